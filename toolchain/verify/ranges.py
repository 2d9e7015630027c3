"""How far u and v of each neuron can ever go, proved from its weights, whatever is shown.

Every source of a neuron is taken to spike at every timestep, or none, whichever goes further.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.arithmetic import (
    ALIGN_BITS,
    DECAY_BITS,
    DECAY_U_OFFSET,
    STATE_LIMIT,
    bias_value,
)
from toolchain.network import QuantizedNetwork

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranges:
    """Bounds of a population's states before they wrap or are clipped; each (size,)."""

    u_low: FloatArray
    u_high: FloatArray
    v_low: FloatArray  # -inf: grows with time
    v_high: FloatArray  # with the reset at the threshold

    @property
    def may_wrap(self) -> NDArray[np.bool_]:
        """(size,) whether u may leave its 24 bits; where it does, nothing here holds."""
        return (self.u_high > STATE_LIMIT) | (self.u_low <= -STATE_LIMIT)

    @property
    def may_clip(self) -> NDArray[np.bool_]:
        """(size,) whether v may reach the end of its 24 bits."""
        return (self.v_high >= STATE_LIMIT) | (self.v_low <= -STATE_LIMIT)


def ranges(network: QuantizedNetwork) -> dict[str, Ranges]:
    """Population -> the bounds of its neurons' states.

    u is a geometric series of kept shares: at most 64 a / share lost, a the sum of the positive
    weights; rounding toward zero only makes it smaller. v is the same of u + bias; from above it
    also starts each timestep at or below the threshold, which it was reset at.
    """
    found = {}
    for p in network.populations:
        low, high = drives(network, p.name)
        bias = bias_value(p.bias_mantissa, p.bias_exponent).astype(np.float64)
        series = 2.0 ** (ALIGN_BITS + DECAY_BITS) / (p.decay_u + DECAY_U_OFFSET)
        u_low, u_high = low * series, high * series
        threshold = (p.threshold << ALIGN_BITS).astype(np.float64)
        reset = threshold + np.maximum(u_high + bias, 0)
        found[p.name] = Ranges(
            u_low=u_low,
            u_high=u_high,
            v_low=-_summed(-(u_low + bias), p.decay_v),
            v_high=np.minimum(_summed(u_high + bias, p.decay_v), reset),
        )
    return found


def drives(network: QuantizedNetwork, name: str) -> tuple[FloatArray, FloatArray]:
    """(size,) the least and the most that can arrive at each neuron in one timestep."""
    size = network.population(name).size
    low, high = np.zeros(size), np.zeros(size)
    for edge in network.projections:
        if edge.target == name:
            scale = float(1 << edge.weight_exponent)
            high += np.asarray(edge.weights.maximum(0).sum(axis=1)) * scale
            low += np.asarray(edge.weights.minimum(0).sum(axis=1)) * scale
    return low, high


def _summed(drive: FloatArray, decay_v: int) -> FloatArray:
    """What a drive of at most so much per timestep builds up, where so much of it is lost."""
    most = np.maximum(drive, 0)
    if decay_v:
        return most * (2.0**DECAY_BITS / decay_v)
    return np.where(most > 0, np.inf, 0.0)
