"""Event data sets through tonic: N-MNIST, DVS Gesture, the Spiking Heidelberg Digits.

N-MNIST: Orchard et al. 2015, CC BY-SA 4.0. DVS Gesture: Amir et al. 2017, CC BY 4.0; recordings cut
into samples by tonic's authors. SHD: Cramer et al. 2020, CC BY 4.0. Addresses and checksums are
tonic's own.
"""

from __future__ import annotations

import contextlib
import sys
import tarfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.errors import FileError, InputError
from toolchain.samples import Events, Integers, check_range, events_of
from toolchain.train.config_data import DataConfig
from toolchain.train.data.dataset import Source
from toolchain.train.data.samples import Samples, limited_positions

_NARROW = {"x": np.int16, "y": np.int16, "p": np.int8, "t": np.int64}


def nmnist(config: DataConfig) -> Source:
    """60,000 and 10,000 saccades over MNIST's digits; 34 x 34 pixels, two polarities."""
    return _source(config, "NMNIST", (2, 34, 34))


def dvs_gesture(config: DataConfig) -> Source:
    """1,077 and 264 recordings of 11 gestures; 128 x 128 pixels, two polarities."""
    return _source(config, "DVSGesture", (2, 128, 128), restart=True)


def shd(config: DataConfig) -> Source:
    """8,156 and 2,264 spoken digits in two languages (20 classes); 700 cochlear channels."""
    return _source(config, "SHD", (700,))


def _source(
    config: DataConfig, name: str, sensor: tuple[int, ...], *, restart: bool = False
) -> Source:
    """`restart` counts time from a sample's first event: it was cut out of a longer recording."""
    assert config.folder is not None
    train = _opened(name, config.folder, train=True, download=config.download)
    test = _opened(name, config.folder, train=False, download=config.download)
    read = partial(_read, sensor=sensor, restart=restart)
    learned = read(train, count=config.train_samples, key="train_samples", first=0)
    tested = read(test, count=config.test_samples, key="test_samples", first=len(train))
    return Source(train=learned, test=tested, sample=sensor)


def _opened(name: str, folder: Path, *, train: bool, download: bool) -> Any:
    """tonic's data set; InputError where tonic, the files or the network are missing."""
    try:
        import tonic
    except ImportError as problem:
        raise InputError(
            f"{name} is read by tonic, which is not installed; install snn-deploy[events]"
        ) from problem
    kind = getattr(tonic.datasets, name)
    where = folder / name
    if not download:  # tonic would fetch what is missing without being asked
        kind = type(name, (kind,), {"download": _not_asked(where)})
    try:
        with contextlib.redirect_stdout(sys.stderr):  # tonic prints; stdout is the answer's
            return kind(save_to=str(folder), train=train)
    except (OSError, RuntimeError, tarfile.TarError, zipfile.BadZipFile) as problem:
        reason = str(problem) or type(problem).__name__
        raise InputError(
            f"{where}: tonic could not fetch or read {name} ({reason}); fetch it where there is a"
            " network, and put tonic's folder there"
        ) from problem


def _not_asked(where: Path) -> Any:
    def refuse(self: Any) -> None:
        raise InputError(
            f"{where}: does not hold all of {where.name} as tonic keeps it ({self.filename},"
            " unpacked); set [data] download = true, or put it there"
        )

    return refuse


def _read(
    recordings: Any,
    *,
    sensor: tuple[int, ...],
    restart: bool,
    count: int | None,
    key: str,
    first: int,
) -> Samples:
    """The samples, or as many of them as the configuration asks for, numbered as in the whole set.

    In the order of their paths, as folders are listed otherwise on every machine.
    """
    order = np.arange(len(recordings))
    if recordings.data:
        order = np.array(sorted(order, key=lambda at: recordings.data[at]), np.int64)
    chosen = order
    if count is not None and recordings.targets:
        labels = np.array(recordings.targets, np.int64)[order]
        chosen = order[limited_positions(labels, count, key)]
    read = [_recording(recordings, int(position)) for position in chosen]
    events = _joined([recorded for recorded, _ in read], restart=restart)
    check_range(events, *(1, 1, *sensor)[-3:])
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    labels = np.array([int(label) for _, label in read], np.int64)
    return Samples(values=events, labels=labels, indices=first + rank[chosen])


def _recording(recordings: Any, position: int) -> Any:
    """(events, label) of one recording; FileError where its file was cut short or is damaged."""
    try:
        return recordings[position]
    except (OSError, ValueError, IndexError, EOFError, zipfile.BadZipFile) as problem:
        file = recordings.data[position] if recordings.data else f"recording {position}"
        raise FileError(
            f"{file}: is damaged or was cut short ({problem}); fetch the data set again"
        ) from problem


def _joined(recorded: list[Any], *, restart: bool) -> Events:
    """Structured arrays as Events, each sample's in order of time; y and p are 0 without rows."""
    columns: dict[str, list[Integers]] = {name: [] for name in _NARROW}
    for sample in recorded:
        order = np.argsort(sample["t"], kind="stable")
        rows = "y" in sample.dtype.names  # without, tonic makes a polarity up
        for name, parts in columns.items():
            used = sample[name][order] if rows or name in ("x", "t") else np.zeros(len(order))
            parts.append(used.astype(_NARROW[name]))  # 60,000 samples have 250 million events
        if restart:
            columns["t"][-1] -= columns["t"][-1][:1]
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    lengths = [len(sample) for sample in recorded]
    return events_of(joined | {"offsets": np.concatenate([[0], np.cumsum(lengths)])})
