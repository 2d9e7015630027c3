"""Network -> QuantizedNetwork: every number onto the chip's grid, overflow ruled out by bound.

Each population gets a `Grid`: by the largest weight (`scales`) or on calibration data
(`calibrate`). What that lost is kept in a `Rounding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain import arithmetic
from toolchain.errors import InputError, Violation
from toolchain.grid import (
    ALIGN,
    Grid,
    activation_bounds,
    population_on,
    projection_on,
    rows_on,
    targets_of,
)
from toolchain.hardware import HardwareProfile
from toolchain.mapper.calibrate import Calibration, by_calibration, trained_states
from toolchain.mapper.registers import delay_violations, scale_violations, violations_of
from toolchain.mapper.scales import FULL, Case, Chosen, bounds, by_largest_weight
from toolchain.network import Network, QuantizedNetwork

IntArray = NDArray[np.int64]
BY_LARGEST_WEIGHT = "by the largest weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """What quantizing did to one population and the synapses that lead to it."""

    population: str
    scale: float  # integers per unit of the trained network's weights; the smallest of several
    thresholds: int  # different ones, and so many scales
    limited_by: str  # what kept the scale from being larger
    weight_bits: int
    weight_exponent: int
    worst_weight_error: float  # largest |w - quantized w| as a share of the largest |w|
    clipped: int  # weights beyond the grid's range, which took its end: chosen by calibration only
    threshold_error: float  # relative, the largest
    decay_errors: tuple[float, float]  # absolute, of decay_u and decay_v
    activation_bound: int  # proved: |a| never exceeds it; the chip holds less than 32768
    current_bound: int  # proved: |u| never exceeds it; the chip wraps above 8388608


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantized:
    """A quantized network, and what was lost on the way."""

    network: QuantizedNetwork
    grids: tuple[Grid, ...]  # of each population, in the network's order
    roundings: tuple[Rounding, ...]
    scales: str  # how they were chosen
    dropped: int  # synapses whose weight rounded to zero, removed: they move no spike
    violations: tuple[Violation, ...]  # what has no form in the chip's registers


def quantize(
    network: Network,
    profile: HardwareProfile,
    *,
    weight_bits: int | None = None,
    calibration: Calibration | None = None,
    groups: Mapping[str, IntArray] | None = None,
) -> Quantized:
    """Put a trained network onto a chip's integers.

    `weight_bits` are the profile's where none are given. Without calibration, scales go by the
    largest weight. `groups`: population -> (size,), neurons that share a scale in any case.

    `violations` lists every population and projection whose weights, threshold or delay have no
    form in the chip's registers; the network is then good for counting only. Raises InputError
    where the chip's weights have fewer bits, or its cores fewer thresholds, than asked for.
    """
    bits = _weight_bits(weight_bits, profile)
    cases = [
        Case(
            population=population,
            incoming=tuple(e for e in network.projections if e.target == population.name),
            profile=profile,
            weight_bits=bits,
        )
        for population in network.populations
    ]
    chosen, scales = _choose(cases, network, profile, calibration, groups or {})
    found = {c.population.name: scale_violations(c, chosen[c.population.name]) for c in cases}
    projections = tuple(
        # a population that will be refused is still counted, with all its synapses
        projection_on(chosen[e.target].grid, e, keep_zeros=bool(found[e.target]))
        for e in network.projections
    )
    grids = {name: one.grid for name, one in chosen.items()}
    violations = delay_violations(network, profile)
    return Quantized(
        network=QuantizedNetwork(
            input=network.input,
            populations=tuple(population_on(grids[p.name], p.bias) for p in network.populations),
            projections=projections,
            output=network.output,
            encoding=network.encoding,
        ),
        grids=tuple(grids.values()),
        roundings=tuple(_rounding(case, chosen[case.population.name]) for case in cases),
        scales=scales,
        dropped=network.synapses - sum(edge.weights.nnz for edge in projections),
        violations=(*violations, *(v for several in found.values() for v in several)),
    )


def _weight_bits(asked: int | None, profile: HardwareProfile) -> int:
    held = profile.synapse.weight_bits
    if asked is None:
        return held
    if not 2 <= asked <= held:
        raise InputError(
            f"weight_bits = {asked}: '{profile.name}' holds weights of 2 to {held} bits; choose a"
            " number in between"
        )
    return asked


def _choose(
    cases: list[Case],
    network: Network,
    profile: HardwareProfile,
    calibration: Calibration | None,
    groups: Mapping[str, IntArray],
) -> tuple[dict[str, Chosen], str]:
    """The grid of each population, and how they were chosen."""
    if calibration is None:
        return {case.population.name: by_largest_weight(case) for case in cases}, BY_LARGEST_WEIGHT
    check_thresholds(calibration.thresholds, profile)
    trained = trained_states(network, calibration)
    chosen = {}
    for case in cases:
        own = np.arange(case.population.size)
        chosen[case.population.name] = by_calibration(
            case,
            network,
            trained,
            thresholds=calibration.thresholds,
            groups=groups.get(case.population.name, own),
        )
    return chosen, f"by calibration on {trained.samples} samples of {calibration.source}"


def check_thresholds(asked: int, profile: HardwareProfile) -> None:
    """Raise InputError where a core does not hold so many different thresholds."""
    held = profile.core.threshold_profiles
    if not 1 <= asked <= held:
        raise InputError(
            f"{asked} thresholds in a population: a core of '{profile.name}' holds {held} different"
            f" ones; choose a number from 1 to {held}"
        )


def taken(network: QuantizedNetwork, profile: HardwareProfile) -> Quantized:
    """A network that was trained on the chip's integers: nothing is rounded, all is checked.

    `violations` lists what the profile's registers do not hold, and every bound that is broken.
    """
    return Quantized(
        network=network,
        grids=(),
        roundings=tuple(_as_trained(network, p.name) for p in network.populations),
        scales="as it was trained, on the chip's integers",
        dropped=0,
        violations=tuple(violations_of(network, profile)),
    )


def _as_trained(network: QuantizedNetwork, name: str) -> Rounding:
    population = network.population(name)
    incoming = [edge for edge in network.projections if edge.target == name]
    held = [edge.weights * (1 << edge.weight_exponent) for edge in incoming]
    activation = int(activation_bounds(held, population.size).max())
    return Rounding(
        population=name,
        scale=float(1 / (population.unit.max() * ALIGN)),
        thresholds=len(np.unique(population.threshold)),
        limited_by="training",
        weight_bits=max((edge.weight_bits for edge in incoming), default=8),
        weight_exponent=max((edge.weight_exponent for edge in incoming), default=0),
        worst_weight_error=0.0,
        clipped=0,
        threshold_error=0.0,
        decay_errors=(0.0, 0.0),
        activation_bound=activation,
        current_bound=arithmetic.current_bound(activation, population.decay_u),
    )


def _rounding(case: Case, chosen: Chosen) -> Rounding:
    population, grid = case.population, chosen.grid
    lost_u = (case.decay_u + arithmetic.DECAY_U_OFFSET) / FULL
    activation = int(bounds(case, grid).max())
    thresholds = grid.threshold / (grid.scale * population.threshold)
    edges = [(edge.weights, targets_of(edge.weights)) for edge in case.incoming]
    return Rounding(
        population=population.name,
        scale=float(grid.scale.min()),
        thresholds=len(np.unique(grid.threshold)),
        limited_by=chosen.limited_by,
        weight_bits=grid.weight_bits,
        weight_exponent=grid.weight_exponent,
        worst_weight_error=_weight_error(case, grid),
        clipped=sum(grid.clipped(weights.data, targets) for weights, targets in edges),
        threshold_error=float(np.abs(thresholds - 1).max()),
        decay_errors=(
            abs(lost_u - population.decay_u),
            abs(case.decay_v / FULL - population.decay_v),
        ),
        activation_bound=activation,
        current_bound=arithmetic.current_bound(activation, case.decay_u),
    )


def _weight_error(case: Case, grid: Grid) -> float:
    """The largest error of a weight, as a share of the largest weight."""
    if not case.largest_weight:
        return 0.0
    unit = 2.0**grid.weight_exponent / grid.scale
    errors = [
        np.abs(rows_on(grid, rows).data * unit[targets_of(rows)] - rows.data).max(initial=0)
        for rows in (edge.weights for edge in case.incoming)
    ]
    return float(max(errors, default=0)) / case.largest_weight
