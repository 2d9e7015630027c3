"""Data sets as integers: scikit-learn's digits, and IDX files (MNIST, Fashion-MNIST and kin)."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import ConfigError, FileError, InputError
from toolchain.files import read_bytes
from toolchain.train.config_data import DataConfig

Pixels = NDArray[np.uint8]
IntArray = NDArray[np.int64]

_SPLIT_SEED = 20_250_213  # splits are part of the data: the same for every training seed
_UBYTE = 8  # IDX's code for unsigned bytes (yann.lecun.com/exdb/mnist)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Images and their classes."""

    pixels: Pixels  # (samples, pixels), 0..maximum
    labels: IntArray  # (samples,), 0..classes - 1

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: IntArray) -> Samples:
        """The samples at these positions, in this order."""
        return Samples(pixels=self.pixels[chosen], labels=self.labels[chosen])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """What a network learns from, is chosen by, and is judged on; no sample in two of them."""

    train: Samples
    validation: Samples
    test: Samples
    maximum: int  # largest possible pixel value
    classes: int

    @property
    def pixels(self) -> int:
        """Pixels of an image, hence input neurons."""
        return self.train.pixels.shape[1]


def load(config: DataConfig) -> Dataset:
    """The data set of a configuration, split and limited as it says."""
    train, test, maximum = DATASETS[config.name](config)
    classes = int(max(train.labels.max(), test.labels.max())) + 1
    train = limited(train, config.train_samples, "train_samples")
    test = limited(test, config.test_samples, "test_samples")
    learned, validation = split(train, round(config.validation * len(train)))
    if not (len(validation) and len(learned)):
        mend = "validate on; raise it" if len(learned) else "train on; lower it"
        raise ConfigError(
            f"[data] validation = {config.validation:g}: leaves no sample of {len(train)} to {mend}"
        )
    return Dataset(
        train=learned, validation=validation, test=test, maximum=maximum, classes=classes
    )


def _digits(config: DataConfig) -> tuple[Samples, Samples, int]:
    """scikit-learn's 1,797 images of 8 x 8 pixels in 0..16: 1,437 to train, 360 to test."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as problem:
        raise InputError(
            "the digits come with scikit-learn, which is not installed; install snn-deploy[train]"
        ) from problem
    pixels, labels = load_digits(return_X_y=True)
    every = Samples(pixels=pixels.astype(np.uint8), labels=labels.astype(np.int64))
    return *split(every, 360), 16


def _idx(config: DataConfig) -> tuple[Samples, Samples, int]:
    """IDX files under MNIST's names, raw or .gz."""
    assert config.folder is not None
    train, test = (_idx_samples(config.folder, part) for part in ("train", "t10k"))
    if train.pixels.shape[1] != test.pixels.shape[1]:
        raise FileError(
            f"{config.folder}: training images have {train.pixels.shape[1]} pixels, test images"
            f" {test.pixels.shape[1]}; both must come from one data set"
        )
    return train, test, 255


DATASETS = {"digits": _digits, "idx": _idx}


def _idx_samples(folder: Path, part: str) -> Samples:
    images = read_idx(_either(folder / f"{part}-images-idx3-ubyte"), 3)
    labels = read_idx(_either(folder / f"{part}-labels-idx1-ubyte"), 1)
    if len(images) != len(labels) or not len(labels):
        raise FileError(
            f"{folder}: '{part}' has {len(images)} images and {len(labels)} labels; they must be"
            " as many, and at least one; fetch both files again"
        )
    return Samples(pixels=images.reshape(len(images), -1), labels=labels.astype(np.int64))


def _either(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.gz")
    if not path.exists() and not packed.exists():
        raise FileError(
            f"{path}: no such file, nor {packed.name}; put the IDX files of MNIST or Fashion-MNIST"
            " there, or point [data] folder at them"
        )
    return path if path.exists() else packed


def read_idx(path: Path, dimensions: int) -> Pixels:
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


def limited(samples: Samples, count: int | None, key: str) -> Samples:
    """So many samples with every class in proportion, or all of them for None."""
    if count is None or count == len(samples):
        return samples
    if count > len(samples):
        raise ConfigError(f"[data] {key} = {count:,}: there are {len(samples):,} samples; lower it")
    return split(samples, count)[1]


def split(samples: Samples, count: int) -> tuple[Samples, Samples]:
    """(the rest, `count` samples), with every class in proportion; always the same split."""
    rng = np.random.default_rng(_SPLIT_SEED)
    order = rng.permutation(len(samples))
    labels = samples.labels[order]
    sizes = np.bincount(labels)
    taken = _proportional(sizes, count)
    rank = np.empty(len(samples), np.int64)  # how many of its class come before it
    for label, size in enumerate(sizes):
        rank[labels == label] = np.arange(size)
    chosen = rank < taken[labels]
    return samples.take(np.sort(order[~chosen])), samples.take(np.sort(order[chosen]))


def _proportional(sizes: IntArray, count: int) -> IntArray:
    """`count` shared out over classes of these sizes, by largest remainder."""
    share = sizes * count  # in units of 1 / sum(sizes)
    taken = share // sizes.sum()
    order = np.argsort(-(share % sizes.sum()), kind="stable")
    taken[order[: count - int(taken.sum())]] += 1
    return taken
