"""Images to spikes: deterministic rate code in integers, the same bits on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]


def rate_table(maximum: int, timesteps: int) -> BoolArray:
    """(maximum + 1, timesteps): row k is the spike train of pixel value k.

    It spikes at step t where (2(t+1)k + m) // 2m exceeds (2tk + m) // 2m, m the maximum: where the
    rounded line from 0 to T k/m climbs. So k spikes round(T k/m) times in T steps, halves up,
    as evenly spread as integers allow; 0 never spikes, m always.
    """
    value = np.arange(maximum + 1, dtype=np.int64)[:, None]
    step = np.arange(timesteps + 1, dtype=np.int64)[None, :]
    line = (2 * step * value + maximum) // (2 * maximum)
    return line[:, 1:] > line[:, :-1]


def rate_encode(pixels: NDArray[np.uint8], *, maximum: int, timesteps: int) -> BoolArray:
    """(samples, timesteps, pixels) spikes of pixels (samples, pixels) in 0..maximum."""
    assert pixels.max(initial=0) <= maximum, (pixels.max(), maximum)
    table = rate_table(maximum, timesteps)
    return np.stack([column[pixels] for column in table.T], axis=1)
