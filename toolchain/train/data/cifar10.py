"""CIFAR-10 as distributed: the binary or the python version, unpacked or in its archive.

Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images";
www.cs.toronto.edu/~kriz/cifar.html has the layouts. No formal licence; asks to be cited.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import FileError
from toolchain.files import read_bytes
from toolchain.samples import IntArray
from toolchain.train.config_data import DataConfig
from toolchain.train.data.dataset import Source
from toolchain.train.data.download import fetch
from toolchain.train.data.pickled import read_plain
from toolchain.train.data.samples import samples_of

IMAGE = (3, 32, 32)  # channels red, green, blue; height; width
IMAGES = 10_000  # in each batch
CLASSES = 10
_PIXELS = 3072
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = "test_batch"
_ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
_MD5 = "md5:c58f30108f718f92721af3b95e74349a"  # as published in torchvision 0.28 (cifar.py)

Images = NDArray[np.uint8]
_Batch = tuple[Images, IntArray]


def cifar10(config: DataConfig) -> Source:
    """50,000 and 10,000 images (3, 32, 32) of 0..255 in 10 classes."""
    assert config.folder is not None
    archive = config.folder / "cifar-10-python.tar.gz"
    if config.download and _find(config.folder) is None:
        fetch(_ADDRESS, _MD5, archive)
    found = _find(config.folder)
    if found is None:
        raise FileError(
            f"{config.folder}: holds neither data_batch_1 (python version), nor data_batch_1.bin"
            " (binary version), nor an archive of either, cifar-10-python.tar.gz or"
            " cifar-10-binary.tar.gz; put one there, or set [data] download = true"
        )
    files, read = found
    parts = [read(files(name), f"{config.folder}: {name}") for name in (*_TRAIN, _TEST)]
    images = np.concatenate([batch for batch, _ in parts[:-1]])
    labels = np.concatenate([classes for _, classes in parts[:-1]])
    return Source(
        train=samples_of(images, labels),
        test=samples_of(*parts[-1], first=len(labels)),
        sample=IMAGE,
        maximum=255,
    )


_Files = Callable[[str], bytes]  # name of a batch -> its content
_Read = Callable[[bytes, str], _Batch]


def _find(folder: Path) -> tuple[_Files, _Read] | None:
    """How to get at the batches, and how to read one; the first form that is there."""
    for version, (suffix, read) in _VERSIONS.items():
        for home in (folder, folder / f"cifar-10-batches-{version}"):
            if (home / f"{_TRAIN[0]}{suffix}").exists():
                return _unpacked(home, suffix), read
    for version, (suffix, read) in _VERSIONS.items():
        archive = folder / f"cifar-10-{_ARCHIVES[version]}.tar.gz"
        if archive.exists():
            return _packed(archive, suffix), read
    return None


def _unpacked(home: Path, suffix: str) -> _Files:
    return lambda name: read_bytes(home / f"{name}{suffix}")


def _packed(archive: Path, suffix: str) -> _Files:
    members = _members(archive, {f"{name}{suffix}" for name in (*_TRAIN, _TEST)})
    return lambda name: members[f"{name}{suffix}"]


def _members(archive: Path, names: set[str]) -> Mapping[str, bytes]:
    """These files of an archive, read where they lie; nothing is written to disk."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                file = tar.extractfile(member) if name in names and member.isfile() else None
                if file is not None:
                    found[name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as problem:
        raise FileError(
            f"{archive}: is damaged or was cut short after {archive.stat().st_size:,} bytes"
            f" ({problem}); fetch the file again"
        ) from problem
    missing = sorted(names - found.keys())
    if missing:
        raise FileError(f"{archive}: holds no {missing[0]}; fetch the file again")
    return found


def _read_binary(data: bytes, who: str) -> _Batch:
    """A label byte and 3,072 pixels, red, green, blue, for each image."""
    expected = IMAGES * (1 + _PIXELS)
    if len(data) != expected:
        raise FileError(
            f"{who}: expected {expected:,} bytes, holds {len(data):,}; fetch the file again"
        )
    records = np.frombuffer(data, np.uint8).reshape(IMAGES, 1 + _PIXELS)
    return _checked(records[:, 1:], records[:, 0].astype(np.int64), who)


def _read_python(data: bytes, who: str) -> _Batch:
    """A pickled dict: `data`, bytes (images, 3072), and `labels`, a list."""
    table = read_plain(data, who)
    pixels = table.get("data") if isinstance(table, dict) else None
    labels = table.get("labels") if isinstance(table, dict) else None
    whole = isinstance(labels, list) and all(type(label) is int for label in labels)
    if not isinstance(pixels, np.ndarray) or not whole:
        raise FileError(f"{who}: holds no 'data' and 'labels' of CIFAR-10; is it another file?")
    return _checked(pixels, np.array(labels, np.int64), who)


def _checked(pixels: Images, labels: IntArray, who: str) -> _Batch:
    if pixels.shape != (IMAGES, _PIXELS) or labels.shape != (IMAGES,):
        raise FileError(
            f"{who}: expected {IMAGES:,} images of {_PIXELS:,} values and as many labels, holds"
            f" {pixels.shape} and {labels.shape}; fetch the file again"
        )
    outside = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if len(outside):
        raise FileError(
            f"{who}: image {outside[0]} has label {labels[outside[0]]}, expected 0..{CLASSES - 1};"
            " fetch the file again"
        )
    return np.ascontiguousarray(pixels).reshape(-1, *IMAGE), labels


# name of the folder -> (suffix of its files, how to read one)
_VERSIONS: dict[str, tuple[str, _Read]] = {"py": ("", _read_python), "bin": (".bin", _read_binary)}
_ARCHIVES = {"py": "python", "bin": "binary"}
