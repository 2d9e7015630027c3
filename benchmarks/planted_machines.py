"""Machines with a fault, planted on purpose: each spikes as if one thing were wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain import arithmetic
from toolchain.artifact import Artifact
from toolchain.backends import quantized
from toolchain.network import QuantizedNetwork, QuantizedProjection, lag
from toolchain.raster import Raster, Recording

SAMPLES, TIMESTEPS = 6, 24  # of the stimulus

IntArray = NDArray[np.int64]
Machine = Callable[[Raster], Recording]  # runs a stimulus, and gives spikes, u and v
Planted = Machine | tuple[Machine, Artifact]  # and the artifact, where that is what is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a fault is planted."""

    artifact: Artifact
    hidden: str  # the population that is to be wrong
    rng: np.random.Generator

    @property
    def network(self) -> QuantizedNetwork:
        """The network as it should be."""
        return self.artifact.network

    @property
    def edge(self) -> int:
        """Number of the projection that feeds the wrong population from further up."""
        return next(
            number
            for number, edge in enumerate(self.network.projections)
            if edge.target == self.hidden and edge.source != self.hidden
        )


def _network(site: Site, network: QuantizedNetwork) -> Machine:
    """A machine that runs another network."""
    return lambda stimulus: quantized.run_network(network, stimulus, states=True)


def _with_weights(site: Site, change: Callable[[csr_array], csr_array]) -> Machine:
    edges = list(site.network.projections)
    weights = csr_array(change(edges[site.edge].weights))
    weights.sum_duplicates()
    edges[site.edge] = replace(edges[site.edge], weights=weights)
    return _network(site, replace(site.network, projections=tuple(edges)))


def _with_population(site: Site, **fields: Any) -> Machine:
    populations = tuple(
        replace(p, **fields) if p.name == site.hidden else p for p in site.network.populations
    )
    return _network(site, replace(site.network, populations=populations))


def _patched(site: Site, where: object, name: str, other: Any) -> Machine:
    """A machine whose arithmetic, or clock, is another."""

    def run(stimulus: Raster) -> Recording:
        with patch.object(where, name, other):
            return quantized.run_network(site.network, stimulus, states=True)

    return run


def _with_input(site: Site, change: Callable[[NDArray[np.bool_]], NDArray[np.bool_]]) -> Machine:
    def run(stimulus: Raster) -> Recording:
        spikes = {name: change(array) for name, array in stimulus.spikes.items()}
        return quantized.run_network(site.network, Raster(spikes=spikes), states=True)

    return run


def _one(site: Site, choose: Callable[[IntArray], IntArray]) -> tuple[int, int]:
    """(target, source) of a random entry of the wrong population's weights."""
    dense = site.network.projections[site.edge].weights.toarray()
    found = np.argwhere(choose(dense))
    target, source = found[site.rng.integers(len(found))]
    return int(target), int(source)


def lost_synapse(site: Site) -> Machine:
    """One synapse is not there."""
    at = _one(site, lambda dense: dense != 0)
    return _with_weights(site, lambda weights: _put(weights, at, 0))


def extra_synapse(site: Site) -> Machine:
    """One synapse is there that the network does not have."""
    at = _one(site, lambda dense: dense == 0)
    weight = int(site.rng.choice([-200, -120, 120, 200]))
    return _with_weights(site, lambda weights: _put(weights, at, weight))


def altered_weight(site: Site) -> Machine:
    """One weight has the wrong sign."""
    at = _one(site, lambda dense: (np.abs(dense) > 40) & (np.abs(dense) < 250))
    return _with_weights(site, lambda weights: _put(weights, at, -int(weights[at])))


def flipped_bit(site: Site) -> Machine:
    """One bit of one weight is turned over."""
    at = _one(site, lambda dense: (dense != 0) & (dense > -190))
    return _with_weights(site, lambda weights: _put(weights, at, (int(weights[at]) ^ 64)))


def _put(weights: csr_array, at: tuple[int, int], value: int) -> csr_array:
    dense = weights.toarray()
    dense[at] = value
    return csr_array(dense)


def truncated_weights(site: Site) -> Machine:
    """All weights of a projection are cut to 6 bits."""
    return _with_weights(site, lambda weights: csr_array((weights.toarray() >> 3) << 3))


def wrong_exponent(site: Site) -> Machine:
    """A projection's weight exponent is one too high."""
    edges = list(site.network.projections)
    edges[site.edge] = replace(
        edges[site.edge], weight_exponent=edges[site.edge].weight_exponent + 1
    )
    return _network(site, replace(site.network, projections=tuple(edges)))


def lost_projection(site: Site) -> Machine:
    """A whole projection is silent: its weights were never loaded."""
    return _with_weights(site, lambda weights: csr_array(weights.shape, dtype=np.int64))


def transposed_kernels(site: Site) -> Machine:
    """Every kernel is transposed."""
    order = {size: np.arange(size).reshape(-1, 5, 5).swapaxes(1, 2).ravel() for size in (50, 75)}
    rows, columns = (order[n] for n in site.network.projections[site.edge].weights.shape)
    return _with_weights(site, lambda weights: weights[rows][:, columns])


def turned_kernels(site: Site) -> Machine:
    """Every kernel is turned around: a convolution in the place of a correlation."""
    order = {size: np.arange(size).reshape(-1, 5, 5)[:, ::-1, ::-1].ravel() for size in (50, 75)}
    rows, columns = (order[n] for n in site.network.projections[site.edge].weights.shape)
    return _with_weights(site, lambda weights: weights[rows][:, columns])


def transposed_matrix(site: Site) -> Machine:
    """A square matrix of weights is transposed."""
    return _with_weights(site, lambda weights: weights.T.tocsr())


def channels_last(site: Site) -> Machine:
    """Sources are numbered row, column, channel in the place of channel, row, column."""
    size = site.network.projections[site.edge].weights.shape[1]
    order = np.arange(size).reshape(-1, 25).T.ravel()
    return _with_weights(site, lambda weights: weights[:, order])


def exchanged_neurons(site: Site) -> Machine:
    """Two neurons stand in each other's place."""
    population = site.network.population(site.hidden)
    order = np.arange(population.size)
    one, other = site.rng.choice(population.size, 2, replace=False)
    order[[one, other]] = order[[other, one]]
    edges = tuple(
        replace(e, weights=csr_array(e.weights[order])) if e.target == site.hidden else e
        for e in site.network.projections
    )
    populations = tuple(
        replace(
            p,
            threshold=p.threshold[order],
            bias_mantissa=p.bias_mantissa[order],
        )
        if p.name == site.hidden
        else p
        for p in site.network.populations
    )
    return _network(site, replace(site.network, projections=edges, populations=populations))


def late_delay(site: Site) -> Machine:
    """The spikes of one projection act one timestep too late."""
    return _shifted_lag(site, 1)


def early_delay(site: Site) -> Machine:
    """A projection's delay register is one too high by two timesteps."""
    return _shifted_lag(site, 2)


def _shifted_lag(site: Site, by: int) -> Machine:
    wrong = site.network.projections[site.edge]

    def other(network: QuantizedNetwork, edge: QuantizedProjection) -> int:
        return lag(network, edge) + (by if edge is wrong else 0)

    return _patched(site, quantized, "lag", other)


def decay_u_up(site: Site) -> Machine:
    """The register of u is one too high."""
    return _with_population(site, decay_u=site.network.population(site.hidden).decay_u + 1)


def decay_u_twice(site: Site) -> Machine:
    """Nobody adds the 1 that the chip adds to the register of u."""
    return _with_population(site, decay_u=site.network.population(site.hidden).decay_u - 1)


def decay_v_down(site: Site) -> Machine:
    """The share of v that is lost is one too low."""
    return _with_population(site, decay_v=site.network.population(site.hidden).decay_v - 1)


def decay_v_up(site: Site) -> Machine:
    """The share of v that is lost is one too high."""
    return _with_population(site, decay_v=site.network.population(site.hidden).decay_v + 1)


def rounded_down(site: Site) -> Machine:
    """Decays round down in the place of toward zero."""
    return _patched(site, arithmetic, "decay", lambda x, keep: (x * keep) >> 12)


def tie(site: Site) -> Machine:
    """A neuron spikes where v reaches its threshold."""

    def fire(v: IntArray, threshold: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
        spikes = v >= (threshold << 6)
        return np.where(spikes, 0, v), spikes

    return _patched(site, arithmetic, "fire", fire)


def soft_reset(site: Site) -> Machine:
    """A spike takes the threshold away from v, and leaves the rest."""

    def fire(v: IntArray, threshold: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
        spikes = v > (threshold << 6)
        return np.where(spikes, v - (threshold << 6), v), spikes

    return _patched(site, arithmetic, "fire", fire)


def no_reset(site: Site) -> Machine:
    """A spike leaves v as it is."""
    return _patched(site, arithmetic, "fire", lambda v, threshold: (v, v > (threshold << 6)))


def all_thresholds(site: Site) -> Machine:
    """All thresholds of a population are too high by the same amount."""
    return _with_population(site, threshold=site.network.population(site.hidden).threshold + 9)


def one_threshold(site: Site) -> Machine:
    """One neuron's threshold is half of what it should be."""
    threshold = site.network.population(site.hidden).threshold.copy()
    threshold[site.rng.integers(len(threshold))] //= 2
    return _with_population(site, threshold=threshold)


def no_bias(site: Site) -> Machine:
    """The bias was never loaded."""
    none = np.zeros(site.network.population(site.hidden).size, np.int64)
    return _with_population(site, bias_mantissa=none)


def wrong_bias_exponent(site: Site) -> Machine:
    """The bias has another exponent."""
    exponent = site.network.population(site.hidden).bias_exponent + 1
    return _with_population(site, bias_exponent=exponent)


def clipped_u(site: Site) -> Machine:
    """u saturates where it should wrap."""
    limit = arithmetic.STATE_LIMIT - 1
    return _patched(site, arithmetic, "wrap", lambda u: np.clip(u, -limit, limit))


def wrapped_v(site: Site) -> Machine:
    """v wraps where it should saturate."""

    def next_v(v: IntArray, u: IntArray, bias: IntArray, decay_v: int) -> IntArray:
        return arithmetic.wrap(arithmetic.decay(v, 4096 - decay_v) + u + bias)

    return _patched(site, arithmetic, "next_v", next_v)


def late_input(site: Site) -> Machine:
    """The stimulus comes one timestep too late."""
    zeros = np.zeros_like
    return _with_input(site, lambda s: np.concatenate([zeros(s[:, :1]), s[:, :-1]], axis=1))


def inverted_input(site: Site) -> Machine:
    """A spike in the place of none, and none in the place of a spike."""
    return _with_input(site, np.logical_not)


def reversed_input(site: Site) -> Machine:
    """The input's neurons come in the opposite order."""
    return _with_input(site, lambda s: s[:, :, ::-1])


def transposed_input(site: Site) -> Machine:
    """The input's columns are taken for its rows."""

    def change(spikes: NDArray[np.bool_]) -> NDArray[np.bool_]:
        samples, timesteps, size = spikes.shape
        side = {16: 4, 50: 5}[size]
        planes = spikes.reshape(samples, timesteps, -1, side, side)
        return planes.swapaxes(3, 4).reshape(spikes.shape)

    return _with_input(site, change)


def carried_over(site: Site) -> Machine:
    """Samples are run one after the other, and nothing is reset between them."""

    def run(stimulus: Raster) -> Recording:
        shape = (stimulus.samples, stimulus.timesteps)
        spikes = {n: a.reshape(1, -1, a.shape[2]) for n, a in stimulus.spikes.items()}
        long = quantized.run_network(site.network, Raster(spikes=spikes), states=True)
        parts = [
            {name: array.reshape(*shape, -1) for name, array in held.items()}
            for held in (long.raster.spikes, long.u or {}, long.v or {})
        ]
        return Recording(raster=Raster(spikes=parts[0]), u=parts[1], v=parts[2])

    return run


def turned_record(site: Site) -> Machine:
    """One recorded bit is turned over; the spike itself was right."""
    at = (int(site.rng.integers(SAMPLES)), int(site.rng.integers(TIMESTEPS // 2)))
    neuron = int(site.rng.integers(site.network.population(site.hidden).size))

    def run(stimulus: Raster) -> Recording:
        found = quantized.run_network(site.network, stimulus)
        spikes = {name: array.copy() for name, array in found.raster.spikes.items()}
        if stimulus.samples > at[0]:
            spikes[site.hidden][(*at, neuron)] ^= True
        return Recording(raster=Raster(spikes=spikes))

    return run
