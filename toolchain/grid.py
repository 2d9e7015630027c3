"""The grid of one population: all that turns its real numbers into the chip's, but for the numbers.

    weight = clip(round(w * scale / (step << exponent)) * step)     ties to even; docs/semantics.md
    bias   = round(b * scale * 64 / 2^bias_exponent)

Quantizing a trained network and training on the chip's integers read the same grid, so what one
rounds the other rounds alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain import arithmetic
from toolchain.errors import InputError
from toolchain.network import Projection, QuantizedPopulation, QuantizedProjection

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ALIGN = 2**arithmetic.ALIGN_BITS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """What a population, and every projection onto it, rounds to."""

    population: str
    scale: FloatArray  # (size,) integers of a weight or threshold per unit of the trained network
    weight_bits: int  # 2..8
    weight_exponent: int  # the sum of arriving weights is shifted left by it; 0..7
    decay_u: int  # registers; see `QuantizedPopulation`
    decay_v: int
    threshold: IntArray  # (size,) mantissas
    bias_exponent: int  # 0..7
    bias_mantissa_max: int  # the largest that the chip holds

    def __post_init__(self) -> None:
        fits = self.scale.shape == self.threshold.shape and bool(np.all(self.scale > 0))
        if not fits or self.scale.ndim != 1 or not np.all(np.isfinite(self.scale)):
            raise InputError(
                f"grid of '{self.population}': scale and threshold must be a positive number for"
                f" each neuron, have shapes {self.scale.shape} and {self.threshold.shape}"
            )

    @property
    def size(self) -> int:
        """Neurons."""
        return len(self.scale)

    @property
    def unit(self) -> FloatArray:
        """(size,) u and v in the trained network's units = integer * unit."""
        return 1 / (self.scale * ALIGN)

    @property
    def step(self) -> int:
        """Distance of two neighbouring weights, in integers before the shift by the exponent."""
        return arithmetic.weight_step(self.weight_bits)

    def nearest(self, weights: NDArray[Any], targets: IntArray) -> FloatArray:
        """Weights as whole multiples of the step, ties to even; nothing is clipped.

        `targets`: the neuron that each leads to, broadcast to the weights.
        """
        real = np.asarray(weights, np.float64)
        return np.rint(real * self.scale[targets] / (self.step << self.weight_exponent)) * self.step

    def weights(self, weights: NDArray[Any], targets: IntArray) -> IntArray:
        """Weights as the integers that the chip holds; those beyond its range take its end."""
        low, high = arithmetic.weight_range(self.weight_bits)
        return np.clip(self.nearest(weights, targets), low, high).astype(np.int64)

    def clipped(self, weights: NDArray[Any], targets: IntArray) -> int:
        """How many weights lie beyond the range, by more than rounding."""
        low, high = arithmetic.weight_range(self.weight_bits)
        units = self.nearest(weights, targets)
        return int(np.count_nonzero((units < low) | (units > high)))

    def biases(self, bias: NDArray[Any]) -> IntArray:
        """Biases (size,) as mantissas; they must fit, as the choice of the scale promises."""
        real = np.asarray(bias, np.float64)
        mantissas = np.rint(real * self.scale * ALIGN / 2**self.bias_exponent).astype(np.int64)
        assert np.all(np.abs(mantissas) <= self.bias_mantissa_max), "the scale fits the bias"
        return mantissas


def rows_on(grid: Grid, weights: csr_array) -> csr_array:
    """Compressed rows (target, source) as integers; the same stored entries."""
    held = grid.weights(weights.data, targets_of(weights))
    return csr_array((held, weights.indices, weights.indptr), shape=weights.shape)


def targets_of(weights: csr_array) -> IntArray:
    """The row of each stored entry."""
    return np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))


def population_on(grid: Grid, bias: NDArray[Any]) -> QuantizedPopulation:
    """The population as the chip holds it; `bias` (size,) in units of v."""
    return QuantizedPopulation(
        name=grid.population,
        size=grid.size,
        decay_u=grid.decay_u,
        decay_v=grid.decay_v,
        threshold=grid.threshold,
        bias_mantissa=grid.biases(bias),
        bias_exponent=grid.bias_exponent,
        unit=grid.unit,
    )


def projection_on(grid: Grid, edge: Projection, *, keep_zeros: bool = False) -> QuantizedProjection:
    """Synapses onto the population as the chip holds them; those that round to zero are dropped."""
    weights = rows_on(grid, edge.weights).copy()
    if not keep_zeros:
        weights.eliminate_zeros()
    return QuantizedProjection(
        source=edge.source,
        target=edge.target,
        weights=weights,
        delay=edge.delay,
        weight_exponent=grid.weight_exponent,
        weight_bits=grid.weight_bits,
    )


def activation_bounds(arriving: Sequence[csr_array], size: int) -> IntArray:
    """(size,) what |a| of each neuron can never exceed: every source of one sign spikes at once.

    `arriving`: the integer weights of each projection, shifted by its exponent.
    """
    positive, negative = (np.zeros(size, np.int64) for _ in range(2))
    for weights in arriving:
        positive += np.asarray(weights.maximum(0).sum(axis=1)).ravel()
        negative -= np.asarray(weights.minimum(0).sum(axis=1)).ravel()
    return np.maximum(positive, negative)


def largest_activation(decay_u: int) -> int:
    """The largest bound of |a| at which neither a nor u leaves its range, by proof."""
    lost = decay_u + arithmetic.DECAY_U_OFFSET
    most = (arithmetic.STATE_LIMIT - 1) * lost >> (arithmetic.ALIGN_BITS + arithmetic.DECAY_BITS)
    assert arithmetic.current_bound(most, decay_u) < arithmetic.STATE_LIMIT
    return min(most, arithmetic.ACTIVATION_LIMIT - 1)
