"""Event data sets of the size of a test, written as others write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def event_arrays(samples: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Events of a sensor of 2 x 5 x 4; about seven a sample, in 200 us."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 12, samples)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return {
        "x": rng.integers(0, 4, offsets[-1]).astype(np.uint8),
        "y": rng.integers(0, 5, offsets[-1]).astype(np.uint8),
        "p": rng.integers(0, 2, offsets[-1]).astype(np.uint8),
        "t": np.concatenate([np.sort(rng.integers(0, 200, n)) for n in lengths]).astype(np.uint32),
        "offsets": offsets,
        "label": (np.arange(samples) % 3).astype(np.uint8),
        "shape": np.array([2, 5, 4]),
    }


def write_events(folder: Path, *, train: int = 30, test: int = 9) -> None:
    """A folder as `name = "events"` wants it."""
    np.savez(folder / "small_train.npz", **event_arrays(train))
    np.savez(folder / "small_test.npz", **event_arrays(test, seed=1))
