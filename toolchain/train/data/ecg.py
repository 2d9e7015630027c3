"""ECG5000: 500 heartbeats of one lead, 140 steps each, in 5 classes (one of them of 2 beats).

UCR archive (Chen, Keogh et al. 2015), from PhysioNet's BIDMC chf07 (Goldberger et al. 2000).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolchain.errors import FileError, InputError
from toolchain.files import read_npz
from toolchain.train.config_data import DataConfig
from toolchain.train.data.dataset import Source
from toolchain.train.data.events import labels_of
from toolchain.train.data.samples import Samples, samples_of

SCALE = 64  # units of a standard deviation: a power of two, so that scaling is exact
_RANGE = 512  # values lie in -512..511: within 8 standard deviations


def ecg(config: DataConfig) -> Source:
    """ecg5000_train.npz, and ecg5000_test.npz where it is there: x (samples, steps), label."""
    assert config.folder is not None
    train = _read(config.folder / "ecg5000_train.npz", 0)
    path = config.folder / "ecg5000_test.npz"
    test = _read(path, len(train)) if path.exists() else None
    steps = train.values.shape[1]  # type: ignore[union-attr]
    return Source(train=train, test=test, sample=(steps, 1), minimum=-_RANGE, maximum=_RANGE - 1)


def _read(path: Path, first: int) -> Samples:
    arrays = read_npz(path)
    missing = [name for name in ("x", "label") if name not in arrays]
    if missing:
        raise FileError(f"{path}: array '{missing[0]}' is missing; fetch the file again")
    beats = arrays["x"]
    if beats.ndim != 2 or beats.dtype.kind != "f" or not np.isfinite(beats).all():
        raise FileError(
            f"{path}: array 'x' must hold finite reals (samples, steps), holds {beats.dtype} of"
            f" shape {beats.shape}"
        )
    values = np.rint(beats.astype(np.float64) * SCALE)
    if np.abs(values + 0.5).max(initial=0) > _RANGE:
        raise FileError(
            f"{path}: array 'x' must be normalized to within {_RANGE / SCALE:g} standard"
            f" deviations, goes to {np.abs(beats).max():g}"
        )
    try:
        labels = labels_of(arrays["label"], len(beats))
    except InputError as problem:
        raise FileError(f"{path}: {problem}") from problem
    return samples_of(values.astype(np.int16)[:, :, None], labels, first=first)
