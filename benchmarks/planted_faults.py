"""The verifier verified: faults planted on purpose, and whether `verify` finds and names each one.

    python benchmarks/planted_faults.py                    measure, and write results and table
    python benchmarks/planted_faults.py --page             write the table from the results alone

Every fault is planted in several random networks, and judged twice: with the states of the faulty
side, as a simulator gives them, and by its spikes alone, as most hardware does. A fault that changes
no spike cannot be found by spikes: it is drawn again, elsewhere in the network.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain import arithmetic
from toolchain.artifact import Artifact, make_artifact
from toolchain.backends import quantized, reference
from toolchain.files import write_bytes, write_json
from toolchain.hardware import find_profile
from toolchain.mapper.assemble import assemble
from toolchain.mapper.pipeline import pack
from toolchain.network import (
    Input,
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
    lag,
)
from toolchain.raster import Raster, Recording
from toolchain.verify.verdict import Verdict, judge

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "planted_faults.json"
PAGE = HERE.parent / "docs" / "why-spikes-differ.md"
BEGIN, END = "<!-- planted faults: begin -->\n", "<!-- planted faults: end -->"
SEEDS = range(8)
SAMPLES, TIMESTEPS = 6, 24
_DRAWS = 40  # of one fault in one network, until a spike differs

IntArray = NDArray[np.int64]
Machine = Callable[[Raster], Recording]  # runs a stimulus, and gives spikes, u and v


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A fault: what it does, and which cause must be named."""

    cause: str
    plant: Callable[[Site], Machine]
    shapes: tuple[str, ...] = ("layers", "kernels", "loop")  # networks it is planted in


# --- networks ---------------------------------------------------------------------------------


def _population(rng: np.random.Generator, name: str, size: int, **given: Any) -> QuantizedPopulation:
    plain: dict[str, Any] = {
        "decay_u": int(rng.integers(900, 2500)),
        "decay_v": int(rng.integers(200, 900)),
        "threshold": rng.integers(150, 260) + rng.integers(0, 3, size) * 16,
        "bias_mantissa": rng.integers(0, 700, size),
        "bias_exponent": 2,
        "unit": np.ones(size),
    }
    return QuantizedPopulation(name=name, size=size, **(plain | given))


def _projection(source: str, target: str, weights: csr_array, exponent: int = 0) -> QuantizedProjection:
    return QuantizedProjection(
        source=source,
        target=target,
        weights=weights,
        delay=1,
        weight_exponent=exponent,
        weight_bits=8,
    )


def _random(rng: np.random.Generator, targets: int, sources: int, density: float = 0.5) -> csr_array:
    values = np.clip(np.round(rng.normal(14, 45, (targets, sources))), -128, 127).astype(np.int64) * 2
    return csr_array(values * (rng.random((targets, sources)) < density))


def _kernels(rng: np.random.Generator, channels: int, sources: int, side: int) -> csr_array:
    """A 3 x 3 convolution with a border of zeros, unrolled."""
    kernel = np.clip(np.round(rng.normal(8, 45, (channels, sources, 3, 3))), -128, 127) * 2
    full = np.zeros((channels, side, side, sources, side, side), np.int64)
    for y in range(side):
        for x in range(side):
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    if 0 <= y + dy < side and 0 <= x + dx < side:
                        full[:, y, x, :, y + dy, x + dx] = kernel[:, :, dy + 1, dx + 1]
    return csr_array(full.reshape(channels * side * side, -1))


def layers(rng: np.random.Generator) -> QuantizedNetwork:
    """Three populations, one after the other."""
    sizes = {"input": 16, "first": 24, "second": 24, "answer": 8}
    names = list(sizes)
    return QuantizedNetwork(
        input=Input(name="input", size=sizes["input"]),
        populations=tuple(_population(rng, name, sizes[name]) for name in names[1:]),
        projections=tuple(
            _projection(before, after, _random(rng, sizes[after], sizes[before]))
            for before, after in zip(names, names[1:], strict=False)
        ),
        output="answer",
    )


def kernels(rng: np.random.Generator) -> QuantizedNetwork:
    """Two convolutions of 3 x 3 on planes of 5 x 5, and an answer."""
    return QuantizedNetwork(
        input=Input(name="input", size=50),
        populations=(
            _population(rng, "first", 75),
            _population(rng, "second", 50),
            _population(rng, "answer", 6),
        ),
        projections=(
            _projection("input", "first", _kernels(rng, 3, 2, 5)),
            _projection("first", "second", _kernels(rng, 2, 3, 5)),
            _projection("second", "answer", _random(rng, 6, 50, 0.3)),
        ),
        output="answer",
    )


def loop(rng: np.random.Generator) -> QuantizedNetwork:
    """A recurrent population, between a layer and an answer."""
    return QuantizedNetwork(
        input=Input(name="input", size=16),
        populations=(
            _population(rng, "first", 20),
            _population(rng, "second", 20),
            _population(rng, "answer", 8),
        ),
        projections=(
            _projection("input", "first", _random(rng, 20, 16)),
            _projection("first", "second", _random(rng, 20, 20)),
            _projection("second", "second", _random(rng, 20, 20, 0.2)),
            _projection("second", "answer", _random(rng, 8, 20)),
        ),
        output="answer",
    )


def storm(rng: np.random.Generator) -> QuantizedNetwork:
    """Much arrives and little is lost: u wraps, v saturates."""
    heavy = [_random(rng, 24, 16, 0.9), _random(rng, 24, 24, 0.5), _random(rng, 8, 24)]
    slow = {"decay_u": 3, "decay_v": 5, "bias_exponent": 7}
    sizes = {"first": 24, "second": 24, "answer": 8}
    names = ["input", *sizes]
    return QuantizedNetwork(
        input=Input(name="input", size=16),
        populations=tuple(
            _population(rng, name, size, **slow, threshold=rng.integers(100_000, 131_000, size))
            for name, size in sizes.items()
        ),
        projections=tuple(
            _projection(before, after, weights, exponent=5)
            for before, after, weights in zip(names, names[1:], heavy, strict=False)
        ),
        output="answer",
    )


SHAPES: dict[str, Callable[[np.random.Generator], QuantizedNetwork]] = {
    "layers": layers,
    "kernels": kernels,
    "loop": loop,
    "storm": storm,
}


def place(network: QuantizedNetwork) -> Artifact:
    """The network on small cores, so that populations are spread over several."""
    profile = find_profile("tiny")
    packed, bounds = pack(network, profile, "akin")
    return make_artifact(profile, assemble(network, packed, bounds, dropped=0, trained=""))


# --- faulty machines --------------------------------------------------------------------------


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
    edges[site.edge] = replace(edges[site.edge], weight_exponent=edges[site.edge].weight_exponent + 1)
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


def _cores(site: Site, change: Callable[[Any], dict[str, Any]], where: int) -> Machine:
    """A machine whose core number `where` of the list holds something else."""
    image = site.artifact.image
    cores = list(image.cores)
    cores[where] = replace(cores[where], **change(cores[where]))
    wrong = make_artifact(site.artifact.profile, replace(image, cores=tuple(cores)))
    return lambda stimulus: reference.run(wrong, stimulus, states=True)


def _core_of_hidden(site: Site) -> int:
    holding = [
        number
        for number, core in enumerate(site.artifact.cores)
        if {block.population for block in core.blocks} == {site.hidden} and len(core.synapse_weight)
    ]
    return int(site.rng.choice(holding))


def core_weight(site: Site) -> Machine:
    """A weight in a core's synaptic memory is not the network's."""

    def change(core: Any) -> dict[str, Any]:
        weights = core.synapse_weight.copy()
        weights[site.rng.integers(len(weights))] *= -1
        return {"synapse_weight": np.clip(weights, -256, 254)}

    return _cores(site, change, _core_of_hidden(site))


def core_target(site: Site) -> Machine:
    """A core's synapses lead to the wrong compartments: these are counted from the end."""

    def change(core: Any) -> dict[str, Any]:
        last = core.needed.compartments - 1
        return {"synapse_compartment": last - core.synapse_compartment}

    return _cores(site, change, _core_of_hidden(site))


def lost_route(site: Site) -> Machine:
    """A neuron's spikes do not reach one of the cores that they should."""
    here = _core_of_hidden(site)
    image = site.artifact.image
    senders = [
        (number, route)
        for number, core in enumerate(image.cores)
        if number != here
        for route in np.flatnonzero(core.route_core == here)
        if np.diff(image.cores[here].axon_start)[core.route_axon[route]] > 1
    ]
    number, route = senders[site.rng.integers(len(senders))]

    def change(core: Any) -> dict[str, Any]:
        names = ("route_compartment", "route_core", "route_axon")
        return {name: np.delete(getattr(core, name), route) for name in names}

    return _cores(site, change, number)


def lost_packet(site: Site) -> Machine:
    """One spike is lost once, between two cores."""
    here = _core_of_hidden(site)
    chosen = int(site.rng.integers(0, 60))
    sample = int(site.rng.integers(SAMPLES))

    def run(stimulus: Raster) -> Recording:
        seen = iter(range(10**9))
        send = reference._Machine.send

        def lossy(machine: Any, now: int, cores: IntArray, axons: IntArray) -> None:
            kept = [
                not (core == here and machine.sample == sample and next(seen) == chosen)
                for core in cores.tolist()
            ]
            send(machine, now, cores[kept], axons[kept])

        with patch.object(reference._Machine, "send", lossy):
            return reference.run(site.artifact, stimulus, states=True)

    return run


PLANTS: dict[str, Plant] = {
    "a synapse is lost": Plant(cause="lost synapse", plant=lost_synapse),
    "a whole projection is lost": Plant(cause="lost synapse", plant=lost_projection),
    "a synapse is too many": Plant(cause="extra synapse", plant=extra_synapse, shapes=("layers", "loop")),
    "a weight has the wrong sign": Plant(cause="altered weight", plant=altered_weight),
    "a bit of a weight is turned over": Plant(cause="altered weight", plant=flipped_bit),
    "a core holds another weight": Plant(cause="altered weight", plant=core_weight),
    "weights are cut to 6 bits": Plant(cause="altered weight", plant=truncated_weights),
    "a weight exponent is one too high": Plant(cause="altered weight", plant=wrong_exponent),
    "kernels are transposed": Plant(cause="permuted kernel", plant=transposed_kernels, shapes=("kernels",)),
    "kernels are turned around": Plant(cause="permuted kernel", plant=turned_kernels, shapes=("kernels",)),
    "a matrix is transposed": Plant(cause="permuted kernel", plant=transposed_matrix, shapes=("layers", "loop")),
    "channels come last": Plant(cause="permuted kernel", plant=channels_last, shapes=("kernels",)),
    "two neurons are exchanged": Plant(cause="permuted kernel", plant=exchanged_neurons, shapes=("layers", "kernels")),
    "a core's synapses are in another order": Plant(cause="permuted kernel", plant=core_target),
    "a route between two cores is lost": Plant(cause="dropped at a core's border", plant=lost_route),
    "one spike is lost between two cores": Plant(cause="dropped at a core's border", plant=lost_packet),
    "a delay is 1 too long": Plant(cause="shifted delay", plant=late_delay),
    "a delay is 2 too long": Plant(cause="shifted delay", plant=early_delay),
    "the input is 1 timestep late": Plant(cause="input encoding", plant=late_input),
    "the input is inverted": Plant(cause="input encoding", plant=inverted_input),
    "the input is in reversed order": Plant(cause="input encoding", plant=reversed_input),
    "the input is transposed": Plant(cause="input encoding", plant=transposed_input),
    "decay_u is 1 too high": Plant(cause="decay of u", plant=decay_u_up),
    "decay_u is 1 too low": Plant(cause="decay of u", plant=decay_u_twice),
    "decay_v is 1 too high": Plant(cause="decay of v", plant=decay_v_up),
    "decay_v is 1 too low": Plant(cause="decay of v", plant=decay_v_down),
    "decays round down": Plant(cause="rounding", plant=rounded_down),
    "a threshold is reached, not passed": Plant(cause="threshold tie", plant=tie),
    "all thresholds are 9 too high": Plant(cause="threshold", plant=all_thresholds),
    "one threshold is halved": Plant(cause="threshold", plant=one_threshold),
    "the bias is missing": Plant(cause="bias", plant=no_bias),
    "the bias has another exponent": Plant(cause="bias", plant=wrong_bias_exponent),
    "v is reset by subtraction": Plant(cause="reset", plant=soft_reset),
    "v is not reset": Plant(cause="reset", plant=no_reset),
    "u saturates": Plant(cause="wrap or clip", plant=clipped_u, shapes=("storm",)),
    "v wraps": Plant(cause="wrap or clip", plant=wrapped_v, shapes=("storm",)),
    "samples are not reset": Plant(cause="state carried over", plant=carried_over),
    "a recorded bit is turned over": Plant(cause="recording", plant=turned_record),
}


# --- measuring --------------------------------------------------------------------------------


@cache
def placed(shape: str, seed: int) -> tuple[Artifact, Raster, Raster]:
    """A random network on small cores, a stimulus for it, and what it spikes."""
    rng = np.random.default_rng([seed, list(SHAPES).index(shape)])
    network = SHAPES[shape](rng)
    rate = 0.6 if shape == "storm" else 0.35
    spikes = rng.random((SAMPLES, TIMESTEPS, network.input.size)) < rate
    stimulus = Raster(spikes={network.input.name: spikes})
    artifact = place(network)
    return artifact, stimulus, quantized.run(artifact, stimulus).raster


def judged(name: str, shape: str, seed: int, *, states: bool) -> Verdict | None:
    """The verdict on a machine with a fault; None where the fault changes no spike anywhere."""
    artifact, stimulus, right = placed(shape, seed)
    for draw in range(_DRAWS):
        rng = np.random.default_rng([seed, list(SHAPES).index(shape), draw])
        where = Site(artifact=artifact, hidden="second", rng=rng)
        machine = PLANTS[name].plant(where)
        wrong = machine(stimulus).raster
        if any((right.spikes[n] != wrong.spikes[n]).any() for n in right.spikes):
            break
    else:
        return None

    def probe(side: str, some: Raster, population: str) -> Recording:
        faulty = side != "quantized"
        return machine(some) if faulty else quantized.run(artifact, some, states=[population])

    recorded = {"quantized": right, "faulty": wrong}
    return judge(artifact, recorded, stimulus=stimulus, probe=probe if states else None)
