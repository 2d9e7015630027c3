"""Images in IDX files: MNIST, Fashion-MNIST and kin, raw or .gz."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import FileError
from toolchain.files import read_bytes
from toolchain.train.config_data import DataConfig
from toolchain.train.data.dataset import Source
from toolchain.train.data.download import fetch
from toolchain.train.data.samples import Samples, samples_of

_UBYTE = 8  # IDX's code for unsigned bytes (yann.lecun.com/exdb/mnist)
_PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")

# Address, and MD5 of each part's .gz in the order of _PARTS: as published in torchvision 0.28
# (torchvision/datasets/mnist.py).
_OFFICIAL = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
}


def idx(config: DataConfig) -> Source:
    """Greyscale images of 0..255 and their classes, under MNIST's names of files."""
    assert config.folder is not None
    if config.download:
        _fetch(config.name, config.folder)
    train = _samples(config.folder, "train", 0)
    test = _samples(config.folder, "t10k", len(train))
    shapes = [part.values.shape[1:] for part in (train, test)]  # type: ignore[union-attr]
    if shapes[0] != shapes[1]:
        raise FileError(
            f"{config.folder}: training images have {np.prod(shapes[0])} pixels, test images"
            f" {np.prod(shapes[1])}; both must come from one data set"
        )
    return Source(train=train, test=test, sample=shapes[0], maximum=255)


def _fetch(name: str, folder: Path) -> None:
    """Download what is neither there raw nor packed."""
    address, sums = _OFFICIAL[name]
    for part, md5 in zip(_PARTS, sums, strict=True):
        file = f"{part}-ubyte"
        if not (folder / file).exists() and not (folder / f"{file}.gz").exists():
            fetch(f"{address}{file}.gz", f"md5:{md5}", folder / f"{file}.gz")


def _samples(folder: Path, part: str, first: int) -> Samples:
    images = read_idx(_either(folder / f"{part}-images-idx3-ubyte"), 3)
    labels = read_idx(_either(folder / f"{part}-labels-idx1-ubyte"), 1)
    if len(images) != len(labels) or not len(labels):
        raise FileError(
            f"{folder}: '{part}' has {len(images)} images and {len(labels)} labels; they must be"
            " as many, and at least one; fetch both files again"
        )
    return samples_of(images[:, None], labels.astype(np.int64), first=first)


def _either(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    if not path.exists() and not packed.exists():
        raise FileError(
            f"{path}: no such file, nor {packed.name}; put the IDX files of MNIST or Fashion-MNIST"
            " there, or point [data] folder at them"
        )
    return path if path.exists() else packed


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The unsigned bytes of an IDX file, raw or .gz; FileError unless all of it is there.

    Layout: 0, 0, type, number of dimensions; each dimension as big-endian 32 bits; the values.
    """
    data = _unpacked(path)
    head = 4 + 4 * dimensions
    magic = bytes([0, 0, _UBYTE, dimensions])
    if data[:4] != magic:
        raise FileError(
            f"{path}: must start with {magic.hex(' ')} (unsigned bytes, {dimensions} dimensions),"
            f" starts with {data[:4].hex(' ') or 'nothing'}; is it another file?"
        )
    shape = [int.from_bytes(data[at : at + 4], "big") for at in range(4, head, 4)]
    expected = head + int(np.prod(shape, dtype=object))
    if len(data) < head or len(data) != expected:
        raise FileError(
            f"{path}: expected {expected:,} bytes, holds {len(data):,}; fetch the file again"
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def _unpacked(path: Path) -> bytes:
    """The content of a file; of a .gz that was cut short, what is left of it."""
    data = read_bytes(path)
    if path.suffix != ".gz":
        return data
    held = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while piece := file.read1(1 << 20):
                held.write(piece)
    except EOFError:
        pass  # the caller compares what is held with what the header promises
    except (gzip.BadGzipFile, zlib.error) as problem:
        raise FileError(f"{path}: is damaged ({problem}); fetch the file again") from problem
    return held.getvalue()
