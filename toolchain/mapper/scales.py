"""The scale of a population: how many integers make one unit of its real numbers.

All that leads to a population, its threshold and its bias share it. By the largest weight: as large
as weights, threshold, bias and the proved bounds of the sums `a` and `u` allow together. Another
rule, on data, is `calibrate`; both keep the proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from toolchain import arithmetic
from toolchain.grid import (
    ALIGN,
    Grid,
    activation_bounds,
    largest_activation,
    rows_on,
)
from toolchain.hardware import HardwareProfile
from toolchain.network import SMALLEST, Population, Projection

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
FULL = 2**arithmetic.DECAY_BITS
_FINE_THRESHOLD = 2**8  # below this a threshold's rounding error exceeds 0.2 %
_BY_WEIGHTS, _BY_BOUNDS = "weights", "the bound of a and u"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One population, with all that shares its scale, and the chip that it is for."""

    population: Population
    incoming: tuple[Projection, ...]
    profile: HardwareProfile
    weight_bits: int

    @property
    def largest_weight(self) -> float:
        """The largest magnitude of a weight; 0 where there is none."""
        return max((float(np.abs(e.weights.data).max(initial=0)) for e in self.incoming), default=0)

    @property
    def decay_u(self) -> int:
        """The register whose share lost, (register + 1) / 4096, is nearest to the trained one."""
        return min(max(self.wanted_decay_u, 0), self.profile.neuron.decay_u_max)

    @property
    def wanted_decay_u(self) -> int:
        """The register that would hold the trained decay of u, whatever the chip has."""
        return round(self.population.decay_u * FULL) - arithmetic.DECAY_U_OFFSET

    @property
    def wanted_decay_v(self) -> int:
        """The register that would hold the trained decay of v, whatever the chip has."""
        return round(self.population.decay_v * FULL)

    @property
    def decay_v(self) -> int:
        """The register that is nearest to the trained decay of v."""
        return min(self.wanted_decay_v, self.profile.neuron.decay_v_max)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """The grid of a population, and what decided it."""

    grid: Grid
    limited_by: str  # what kept the scale from being larger


def by_largest_weight(case: Case) -> Chosen:
    """The smallest weight exponent that gives a fine threshold, and the largest scale there.

    An exponent is only raised while the weights alone limit the scale: beyond that it would take
    resolution from the weights.
    """
    best = _largest_at(0, case)
    for exponent in range(1, case.profile.synapse.weight_exponent_max + 1):
        if best.grid.scale[0] * case.population.threshold >= _FINE_THRESHOLD:
            break
        coarser = _largest_at(exponent, case)
        if coarser.limited_by != _BY_WEIGHTS:
            break
        best = coarser
    return best


def _largest_at(exponent: int, case: Case) -> Chosen:
    limits = scale_limits(exponent, case)
    limited_by = min(limits, key=lambda name: limits[name])
    scale = limits[limited_by]
    most = largest_activation(case.decay_u)
    while True:
        grid = grid_at(case, np.full(case.population.size, scale), exponent)
        if bounds(case, grid).max() <= most:
            return Chosen(grid=grid, limited_by=limited_by)
        # Rounding to the grid may add up to half a step per synapse to the bound in real numbers.
        scale, limited_by = scale * (1 - 2**-6), _BY_BOUNDS


def scale_limits(exponent: int, case: Case) -> dict[str, float]:
    """The largest scale that each of weights, threshold and bias allows, nothing being clipped."""
    neuron = case.profile.neuron
    _, high = arithmetic.weight_range(case.weight_bits)
    bias = float(np.abs(case.population.bias).max()) * ALIGN
    bias_max = neuron.bias_mantissa_max << neuron.bias_exponent_max
    largest = case.largest_weight
    return {
        _BY_WEIGHTS: (high << exponent) / largest if largest > SMALLEST else inf,
        "threshold": neuron.threshold_max / case.population.threshold,
        "bias": bias_max / bias if bias else inf,
    }


def grid_at(case: Case, scale: FloatArray, exponent: int) -> Grid:
    """The grid of a population at these scales (size,), which bias and threshold must fit."""
    neuron = case.profile.neuron
    return Grid(
        population=case.population.name,
        scale=scale,
        weight_bits=case.weight_bits,
        weight_exponent=exponent,
        decay_u=case.decay_u,
        decay_v=case.decay_v,
        threshold=np.rint(case.population.threshold * scale).astype(np.int64),
        bias_exponent=_bias_exponent(case.population.bias * scale * ALIGN, case.profile),
        bias_mantissa_max=neuron.bias_mantissa_max,
    )


def units_of_weight(case: Case, scale: FloatArray) -> int:
    """The largest weight at these scales (size,), in units of u.

    A whole number but for the last bit where the weights limit the scale: so not its floor.
    """
    return round(case.largest_weight * float(scale.max()))


def step_of(case: Case, grid: Grid) -> int:
    """One step of the grid, in units of u; a largest weight below it would vanish."""
    return arithmetic.weight_step(case.weight_bits) << grid.weight_exponent


def _bias_exponent(bias: FloatArray, profile: HardwareProfile) -> int:
    """The finest exponent that holds the largest bias."""
    for exponent in range(profile.neuron.bias_exponent_max + 1):
        if np.abs(np.rint(bias / 2**exponent)).max() <= profile.neuron.bias_mantissa_max:
            return exponent
    raise AssertionError("the scale fits the bias")


def bounds(case: Case, grid: Grid) -> IntArray:
    """(size,) proved bounds of |a|."""
    held = [rows_on(grid, edge.weights) * (1 << grid.weight_exponent) for edge in case.incoming]
    return activation_bounds(held, case.population.size)
