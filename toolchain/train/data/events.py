"""Event recordings as `.npz`: x, y, p, t (us), offsets (samples + 1), label, shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolchain.errors import FileError, InputError
from toolchain.files import Array, read_npz
from toolchain.samples import check_range, events_of
from toolchain.train.config_data import DataConfig
from toolchain.train.data.dataset import Source
from toolchain.train.data.samples import Samples, samples_of


def events(config: DataConfig) -> Source:
    """The folder's one *train.npz and one *test.npz; shape is (polarities, height, width)."""
    assert config.folder is not None
    train, sensor = _read(_only(config.folder, "train"), 0)
    test, other = _read(_only(config.folder, "test"), len(train))
    if sensor != other:
        raise FileError(
            f"{config.folder}: the training sensor has shape {sensor}, the test sensor {other};"
            " both must come from one data set"
        )
    return Source(train=train, test=test, sample=sensor)


def _only(folder: Path, part: str) -> Path:
    found = sorted(folder.glob(f"*{part}.npz"))
    if len(found) != 1:
        held = ", ".join(path.name for path in found) or "none"
        raise FileError(
            f"{folder}: needs exactly one *{part}.npz, holds {held}; point [data] folder at event"
            " files (x, y, p, t, offsets, label, shape)"
        )
    return found[0]


def _read(path: Path, first: int) -> tuple[Samples, tuple[int, ...]]:
    """(samples, (polarities, height, width)) of an event file."""
    arrays = read_npz(path)
    try:
        for name in ("shape", "label"):
            if name not in arrays:
                raise InputError(f"array '{name}' is missing")
        sensor = _sensor(arrays["shape"])
        recorded = events_of(arrays)
        check_range(recorded, *sensor)
        labels = labels_of(arrays["label"], len(recorded))
    except InputError as problem:
        raise FileError(f"{path}: {problem}; fetch the file again") from problem
    return samples_of(recorded, labels, first=first), sensor


def _sensor(shape: Array) -> tuple[int, int, int]:
    if shape.shape != (3,) or shape.dtype.kind not in "iu" or shape.min() < 1:
        raise InputError(f"array 'shape' must be (polarities, height, width), is {shape.tolist()}")
    polarities, height, width = (int(extent) for extent in shape)
    return polarities, height, width


def labels_of(labels: Array, samples: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Classes as int64; InputError unless there are so many, each 0 or more."""
    if labels.dtype.kind not in "iu" or labels.shape != (samples,):
        raise InputError(
            f"labels must be {samples:,} integers, are {labels.dtype} of shape {labels.shape}"
        )
    if samples and labels.min() < 0:
        raise InputError(f"labels must be classes from 0, one is {labels.min()}")
    return labels.astype(np.int64)
