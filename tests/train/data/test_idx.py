"""Data sets: whole or refused, split in proportion, no sample in two parts."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import ConfigError, FileError
from toolchain.train.config_data import DataConfig
from toolchain.train.data import Samples, load, split
from toolchain.train.data.idx import read_idx

IMAGES = "train-images-idx3-ubyte"


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.astype(np.uint8).tobytes()


def write_set(folder, *, packed: bool, samples: int = 20):
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        for name, array in (
            (f"{part}-images-idx3-ubyte", rng.integers(0, 256, (samples, 3, 4))),
            (f"{part}-labels-idx1-ubyte", np.arange(samples) % 5),
        ):
            data = idx(array)
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(data) if packed else data)


def test_digits_hold_1437_and_360_samples_of_every_class():
    digits = load(DataConfig(name="digits"))
    assert len(digits.train) + len(digits.validation) == 1437
    assert len(digits.test) == 360
    assert (digits.encoding.maximum, digits.classes, digits.shape) == (16, 10, (1, 8, 8))
    for part in (digits.train, digits.validation, digits.test):
        assert np.ptp(np.bincount(part.labels, minlength=10)) <= 0.1 * len(part)


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_packed_or_raw(tmp_path, packed):
    write_set(tmp_path, packed=packed)
    data = load(DataConfig(name="idx", folder=tmp_path, test_samples=10))
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 10)
    assert (data.encoding.maximum, data.classes, data.shape) == (255, 5, (1, 3, 4))


def test_a_missing_file_is_named_with_the_next_move(tmp_path):
    with pytest.raises(FileError, match=rf"{IMAGES}: no such file, nor {IMAGES}.gz; put the IDX"):
        load(DataConfig(name="idx", folder=tmp_path))


@pytest.mark.parametrize("packed", [True, False])
def test_a_truncated_file_is_refused_with_both_sizes(tmp_path, packed):
    write_set(tmp_path, packed=False)
    path = tmp_path / IMAGES
    data = path.read_bytes()
    if packed:
        path.unlink()
        path = tmp_path / f"{IMAGES}.gz"
        path.write_bytes(gzip.compress(data, 0)[:-60])
    else:
        path.write_bytes(data[:-60])
    with pytest.raises(FileError, match=r"expected 256 bytes, holds \d+; fetch the file again"):
        load(DataConfig(name="idx", folder=tmp_path))


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(idx(np.zeros((2, 3))))
    with pytest.raises(FileError, match=r"must start with 00 00 08 01 .* starts with 00 00 08 02"):
        read_idx(path, 1)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "labels").write_bytes(b"")
    with pytest.raises(FileError, match="starts with nothing"):
        read_idx(tmp_path / "labels", 1)


def test_a_damaged_gz_is_refused(tmp_path):
    (tmp_path / "labels.gz").write_bytes(b"not gzip at all")
    with pytest.raises(FileError, match="is damaged"):
        read_idx(tmp_path / "labels.gz", 1)


def test_images_and_labels_must_be_as_many(tmp_path):
    write_set(tmp_path, packed=False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(19)))
    with pytest.raises(FileError, match="'train' has 20 images and 19 labels"):
        load(DataConfig(name="idx", folder=tmp_path))


def test_more_samples_than_there_are_is_refused():
    with pytest.raises(ConfigError, match=r"\[data\] test_samples = 361: there are 360 samples"):
        load(DataConfig(name="digits", test_samples=361))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.data())
def test_a_split_is_exact_disjoint_and_in_proportion(labels, data):
    count = data.draw(st.integers(0, len(labels)))
    place = np.arange(len(labels))
    every = Samples(values=place[:, None], labels=np.array(labels, np.int64), indices=place)
    rest, chosen = split(every, count)
    assert len(chosen) == count
    both = np.concatenate([rest.values, chosen.values]).ravel()
    assert sorted(both) == list(range(len(labels)))
    sizes = np.bincount(every.labels)
    taken = np.bincount(chosen.labels, minlength=len(sizes))
    assert np.all(np.abs(taken - sizes * count / len(labels)) < 1)
