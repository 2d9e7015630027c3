"""The chip's integer arithmetic, defined once: Lava's bit-accurate LIF (docs/semantics.md).

Source of every rule and width: lava-nc 0.10.0, `PyLifModelBitAcc` (proc/lif/models.py) and
`truncate_weights` (utils/weightutils.py). All arrays are int64; nothing here rounds a float.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

DECAY_BITS = 12  # a decay is a share of 2^12
STATE_LIMIT = 2**23  # u and v have 24 bits with their sign
ALIGN_BITS = 6  # arriving weights and thresholds stand 6 bits above the states' lowest bit
ACTIVATION_LIMIT = 2**15  # the sum of arriving weights has 16 bits with its sign
DECAY_U_OFFSET = 1  # the chip adds one to the register that holds a current's decay


def decay(state: IntArray, keep: int) -> IntArray:
    """What is left of a state: keep / 2^12 of its magnitude, rounded toward zero.

    `keep` is in 0..4096.
    """
    return np.sign(state) * ((np.abs(state) * keep) >> DECAY_BITS)


def wrap(current: IntArray) -> IntArray:
    """One modulo step into (-2^23, 2^23], as Lava's current does."""
    lowered = np.where(current > STATE_LIMIT, current - 2 * STATE_LIMIT, current)
    return np.where(lowered <= -STATE_LIMIT, current + 2 * STATE_LIMIT, lowered)


def next_u(u: IntArray, activation: IntArray, decay_u: int) -> IntArray:
    """u = wrap(decay(u, 4096 - (decay_u + 1)) + (a << 6)); `decay_u` is the register, 0..4095."""
    kept = decay(u, 2**DECAY_BITS - (decay_u + DECAY_U_OFFSET))
    return wrap(kept + (activation << ALIGN_BITS))


def next_v(v: IntArray, u: IntArray, bias: IntArray, decay_v: int) -> IntArray:
    """v = clip(decay(v, 4096 - decay_v) + u + bias, +-(2^23 - 1)); u is the new one."""
    limit = STATE_LIMIT - 1
    return np.clip(decay(v, 2**DECAY_BITS - decay_v) + u + bias, -limit, limit)


def fire(v: IntArray, threshold: IntArray) -> tuple[IntArray, BoolArray]:
    """(v after its reset, spikes): s = v > threshold << 6, strictly; v = 0 where it spiked.

    `threshold` holds one mantissa for each neuron: the last axis of `v`.
    """
    spikes = v > (threshold << ALIGN_BITS)
    return np.where(spikes, 0, v), spikes


def bias_value(mantissa: IntArray, exponent: int) -> IntArray:
    """bias = mantissa << exponent; not aligned by 6 bits, unlike the threshold."""
    return mantissa << exponent


def weight_step(weight_bits: int) -> int:
    """Distance of two neighbours on the grid of mixed-sign weights: 2 at 8 bits, 32 at 4 bits."""
    return int(2 ** (8 - weight_bits + 1))


def weight_range(weight_bits: int) -> tuple[int, int]:
    """Smallest and largest mixed-sign weight: (-256, 254) at 8 bits, (-256, 224) at 4 bits."""
    return -256, 256 - weight_step(weight_bits)


def on_grid(weights: IntArray, weight_bits: int) -> bool:
    """Whether the chip holds every one of these weights as it stands."""
    low, high = weight_range(weight_bits)
    inside = np.all((weights >= low) & (weights <= high))
    return bool(inside and not np.any(weights % weight_step(weight_bits)))


def current_bound(activation: int, decay_u: int) -> int:
    """The largest |u| that arriving sums of at most `activation` can ever build up.

    |u| <= 64 a / (share lost per step): the geometric series of the kept shares; rounding toward
    zero only makes it smaller.
    """
    lost = decay_u + DECAY_U_OFFSET
    return -(-(activation << (ALIGN_BITS + DECAY_BITS)) // lost)
