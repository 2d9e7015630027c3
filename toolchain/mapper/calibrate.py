"""A population's scales, chosen on data: those at which it strays least from the trained one.

The trained network runs on a stimulus, in real numbers. Each population then hears the very spikes
it heard there, in the chip's arithmetic at one candidate scale after the other, and is reset where
the trained one was. What counts is how far its v strays,

    error = sum over samples and timesteps of ((v_chip - v) / (threshold + |v - threshold|))^2

so a state that nears the threshold counts most: there a small error is a spike. A scale above that
of the largest weight clips the largest weights, where finer steps for all others are worth it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain import arithmetic
from toolchain.grid import ALIGN, Grid, largest_activation, rows_on
from toolchain.mapper.scales import (
    Case,
    Chosen,
    bounds,
    by_largest_weight,
    grid_at,
    step_of,
    units_of_weight,
)
from toolchain.network import Network, Population, Projection, lag, starts
from toolchain.raster import BoolArray, Raster, check_stimulus

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# As multiples of the largest weight's scale; powers of 2^(1/8) from 0.6 to 11.
_FACTORS = tuple(2 ** (k / 8) for k in range(-6, 29))
_MOST_PRODUCTS = 2**27  # synapses times timesteps of all samples, for one candidate
_MOST_STATES = 2**22  # neurons times timesteps of all samples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """What scales are chosen on."""

    stimulus: Raster  # of the input; labels are not read
    source: str  # where it came from, for the report
    thresholds: int = 1  # different ones that a population may have at most, and so many scales


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A trained network's rasters and states on a stimulus, in real numbers."""

    spikes: Mapping[str, BoolArray]  # input and populations -> (timesteps, neurons, samples)
    v: Mapping[str, FloatArray]  # alike; before the reset
    samples: int


def trained_states(network: Network, calibration: Calibration) -> Trained:
    """Run a trained network on as many samples of a stimulus as its size allows.

    Raises InputError where the stimulus has another width than the network's input, or is empty.
    """
    shown = check_stimulus(calibration.stimulus, network.input.name, network.input.size)
    samples = _samples(network, shown)
    spikes = {network.input.name: np.ascontiguousarray(shown[:samples].transpose(1, 2, 0))}
    shape = shown.shape[1], samples
    for population in network.populations:
        spikes[population.name] = np.zeros((shape[0], population.size, samples), bool)
    v = {p.name: np.zeros((shape[0], p.size, samples)) for p in network.populations}
    clock = starts(network)
    ordered = sorted(network.populations, key=lambda population: clock[population.name])
    incoming = {p.name: _lagged(network, p.name) for p in ordered}
    state = {p.name: np.zeros((2, p.size, samples)) for p in ordered}
    for t in range(shape[0]):
        for population in ordered:
            _step(population, incoming[population.name], state[population.name], t, spikes, v)
    return Trained(spikes=spikes, v=v, samples=samples)


def _samples(network: Network, shown: BoolArray) -> int:
    """At least one; the largest population, and all synapses, set the limit."""
    samples, timesteps, width = shown.shape
    widest = max(width, *(population.size for population in network.populations))
    most = min(
        _MOST_PRODUCTS // (timesteps * max(1, network.synapses)),
        _MOST_STATES // (timesteps * widest),
    )
    return max(1, min(samples, most))


def _lagged(network: Network, name: str) -> list[tuple[Projection, int]]:
    return [(e, lag(network, e)) for e in network.projections if e.target == name]


def _step(
    population: Population,
    incoming: Sequence[tuple[Projection, int]],
    state: FloatArray,
    t: int,
    spikes: Mapping[str, BoolArray],
    v: Mapping[str, FloatArray],
) -> None:
    """One timestep in real numbers, the equations of `network.Population`."""
    state[0] *= 1 - population.decay_u
    for edge, late in incoming:
        if t >= late:
            state[0] += edge.weights @ spikes[edge.source][t - late].astype(np.float64)
    state[1] *= 1 - population.decay_v
    state[1] += state[0] + population.bias[:, None]
    v[population.name][t] = state[1]
    fired = state[1] > population.threshold
    spikes[population.name][t] = fired
    state[1][fired] = 0


def by_calibration(
    case: Case, network: Network, trained: Trained, *, thresholds: int, groups: IntArray
) -> Chosen:
    """The scales at which a population strays least; at most `thresholds` different ones.

    `groups` (size,): neurons of equal number share a scale, as those of a channel do.
    """
    start = by_largest_weight(case)
    found = [
        (factor, _group_errors(case, network, trained, grid, groups))
        for factor in _FACTORS
        if (grid := _candidate(case, start.grid, factor)) is not None
    ]
    if not found:
        return start
    errors = np.stack([error for _, error in found])  # (factors, groups)
    factors = np.array([factor for factor, _ in found])
    grid = _grid_of(case, start.grid, factors[_best(errors, thresholds)][groups])
    # All share a bias exponent, so that together some may stray further than each alone.
    if _group_errors(case, network, trained, grid, groups).sum() > errors.sum(axis=1).min():
        grid = _grid_of(case, start.grid, factors[_best(errors, 1)][groups])
    return Chosen(grid=grid, limited_by="calibration")


def _grid_of(case: Case, start: Grid, factors: FloatArray) -> Grid:
    """The grid at so many times each neuron's scale."""
    return grid_at(case, start.scale * factors, start.weight_exponent)


def _candidate(case: Case, start: Grid, factor: float) -> Grid | None:
    """The grid at so many times a scale, or None where the chip does not hold it."""
    if factor == 1:  # held; asking again might fail by a last bit, at the limit of the bias
        return start
    neuron = case.profile.neuron
    scale = start.scale * factor
    threshold = np.rint(case.population.threshold * scale)
    bias = np.abs(case.population.bias * scale).max() * ALIGN
    held = threshold.min() >= 1 and threshold.max() <= neuron.threshold_max
    held &= not case.largest_weight or units_of_weight(case, scale) >= step_of(case, start)
    if not held or bias > neuron.bias_mantissa_max << neuron.bias_exponent_max:
        return None
    return grid_at(case, scale, start.weight_exponent)


def _group_errors(
    case: Case, network: Network, trained: Trained, grid: Grid, groups: IntArray
) -> FloatArray:
    """(groups,) the error of each, infinite where a bound would not hold."""
    name = case.population.name
    errors = strayed(case.population, grid, _lagged(network, name), trained)
    errors[bounds(case, grid) > largest_activation(grid.decay_u)] = np.inf
    return np.bincount(groups, errors).astype(np.float64)


def strayed(
    population: Population,
    grid: Grid,
    incoming: Sequence[tuple[Projection, int]],
    trained: Trained,
) -> FloatArray:
    """(size,) the error of each neuron on this grid; the equation stands at the top."""
    held = [(rows_on(grid, e.weights).astype(np.float64), e.source, late) for e, late in incoming]
    bias = (grid.biases(population.bias) << grid.bias_exponent)[:, None]
    u, v = (np.zeros((population.size, trained.samples), np.int64) for _ in range(2))
    unit = (grid.unit / population.threshold)[:, None]
    errors = np.zeros(population.size)
    for t, wanted in enumerate(trained.v[population.name]):
        u = arithmetic.next_u(u, _arriving(held, trained, t, u.shape, grid), grid.decay_u)
        v = arithmetic.next_v(v, u, bias, grid.decay_v)
        share = wanted / population.threshold
        errors += np.square((v * unit - share) / (1 + np.abs(share - 1))).sum(axis=1)
        v = np.where(trained.spikes[population.name][t], 0, v)
    return errors


def _arriving(
    held: Sequence[tuple[csr_array, str, int]],
    trained: Trained,
    t: int,
    shape: tuple[int, ...],
    grid: Grid,
) -> IntArray:
    """(neurons, samples) the shifted sum of arriving weights; float64 holds it exactly."""
    total = np.zeros(shape)
    for weights, source, late in held:
        if t >= late:
            total += weights @ trained.spikes[source][t - late].astype(np.float64)
    return total.astype(np.int64) << grid.weight_exponent


def _best(errors: FloatArray, most: int) -> IntArray:
    """(groups,) which row of `errors` each group takes, of at most so many different rows.

    The first is best for all together; each further one is the one that then helps most.
    """
    capped = np.minimum(errors, np.finfo(np.float64).max / errors.size)  # infinite, yet comparable
    chosen: list[int] = []
    held = np.full(errors.shape[1], np.inf)
    for _ in range(most):
        totals = np.minimum(capped, held).sum(axis=1)
        best = int(totals.argmin())
        if chosen and totals[best] >= held.sum():
            break
        chosen.append(best)
        held = np.minimum(held, capped[best])
    chosen.sort()
    assert all(one < other for one, other in pairwise(chosen))
    return np.array(chosen)[errors[chosen].argmin(axis=0)]
