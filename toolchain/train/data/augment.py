"""Images moved and mirrored: what a sample becomes depends on (seed, epoch, its index) alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolchain.encoding import splitmix64
from toolchain.samples import Events, IntArray
from toolchain.train.data.samples import Samples


def augmented(samples: Samples, *, seed: int, epoch: int, pixels: int, flip: bool) -> Samples:
    """Images (samples, channels, height, width) shifted by up to `pixels` each way, zeros filling.

    With `flip`, every other one, by chance, is mirrored left to right.
    """
    values = samples.values
    assert not isinstance(values, Events)
    draws = _draws(seed, epoch, samples.indices)
    down, right = (
        (draws >> np.uint64(bits) & np.uint64(0xFFFF)).astype(np.int64) % (2 * pixels + 1)
        for bits in (0, 16)
    )
    mirrored = flip & ((draws >> np.uint64(63)) == 1)
    height, width = values.shape[2:]
    margin = [(0, 0), (0, 0), (pixels, pixels), (pixels, pixels)]
    padded = np.pad(values, margin)
    rows = down[:, None] + np.arange(height)
    columns = np.broadcast_to(np.arange(width), (len(samples), width))
    columns = np.where(mirrored[:, None], width - 1 - columns, columns) + right[:, None]
    number = np.arange(len(samples))[:, None, None]
    moved = padded[number, :, rows[:, :, None], columns[:, None, :]]  # channels come last
    return replace(samples, values=np.ascontiguousarray(moved.transpose(0, 3, 1, 2)))


def _draws(seed: int, epoch: int, indices: IntArray) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """64 random bits for each sample."""
    key = splitmix64(np.array([seed], np.uint64)) + np.uint64(epoch)
    return splitmix64(splitmix64(key) + indices.astype(np.uint64))
