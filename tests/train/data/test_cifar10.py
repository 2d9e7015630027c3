"""CIFAR-10 in each of its forms, and nothing that only pretends to be it."""

from __future__ import annotations

import contextlib
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import FileError
from toolchain.train.config_data import DataConfig
from toolchain.train.data import cifar10, load
from toolchain.train.data.pickled import read_plain

COMPACT = Path(__file__).parents[4] / "shared" / "data" / "CIFAR10"
NAMES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
FEW = 20  # images in a batch of a test


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch, request):
    if "slow" not in request.keywords:
        monkeypatch.setattr(cifar10, "IMAGES", FEW)


def batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    """(images, labels) of a batch."""
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (FEW, 3072)).astype(np.uint8), np.arange(FEW) % 10


def short_string(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def python2_pickle(images: np.ndarray, labels: np.ndarray) -> bytes:
    """The layout of the distributed files: protocol 2, as Python 2's cPickle wrote it."""
    rows, columns = (b"M" + struct.pack("<H", extent) for extent in images.shape)
    return b"".join(
        [
            b"\x80\x02}q\x01(",
            short_string(b"batch_label") + b"q\x02" + short_string(b"a batch") + b"q\x03",
            short_string(b"labels") + b"q\x04]q\x05(",
            *(b"K" + bytes([int(label)]) for label in labels),
            b"e" + short_string(b"data") + b"q\x06",
            b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85",
            short_string(b"b") + b"\x87Rq\x09(K\x01" + rows + columns,
            b"\x86cnumpy\ndtype\nq\x0a" + short_string(b"u1") + b"K\x00K\x01\x87Rq\x0b(K\x03",
            short_string(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            b"T" + struct.pack("<I", images.size) + images.tobytes() + b"tb",
            short_string(b"filenames") + b"q\x0c]q\x0d(" + short_string(b"a.png") + b"q\x0ee",
            b"u.",
        ]
    )


def binary(images: np.ndarray, labels: np.ndarray) -> bytes:
    return np.column_stack([labels.astype(np.uint8), images]).tobytes()


def write(folder: Path, form: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        content = python2_pickle(*batch(number)) if form == "py" else binary(*batch(number))
        (folder / (name if form == "py" else f"{name}.bin")).write_bytes(content)


def images_of(folder: Path):
    return load(DataConfig(name="cifar10", folder=folder, validation=0.2))


def whole(data) -> tuple[np.ndarray, np.ndarray]:
    """All training images in the order of the files, and the test images."""
    both = np.concatenate([data.train.values, data.validation.values])
    order = np.argsort(np.concatenate([data.train.indices, data.validation.indices]))
    return both[order], data.test.values


@pytest.mark.parametrize("form", ["py", "bin"])
@pytest.mark.parametrize("home", ["", "cifar-10-batches-{}", "archive"])
def test_every_form_gives_the_same_images(tmp_path, form, home):
    write(tmp_path / "files" / home.format(form), form)
    folder = tmp_path / "files"
    if home == "archive":
        folder = tmp_path / "packed"
        folder.mkdir()
        name = {"py": "python", "bin": "binary"}[form]
        with tarfile.open(folder / f"cifar-10-{name}.tar.gz", "w:gz") as tar:
            tar.add(tmp_path / "files" / home, arcname=f"cifar-10-batches-{form}")
    data = images_of(folder)
    assert (data.shape, data.classes) == ((3, 32, 32), 10)
    train, test = whole(data)
    expected = np.concatenate([batch(number)[0] for number in range(5)])
    assert np.array_equal(train, expected.reshape(-1, 3, 32, 32))
    assert np.array_equal(test, batch(5)[0].reshape(-1, 3, 32, 32))
    assert np.array_equal(data.test.labels, batch(5)[1])


def test_an_empty_folder_says_what_belongs_there(tmp_path):
    with pytest.raises(FileError, match=r"holds neither data_batch_1 .* or set \[data\] download"):
        images_of(tmp_path)


def test_half_a_binary_file_is_refused_with_both_sizes(tmp_path):
    write(tmp_path, "bin")
    path = tmp_path / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match="data_batch_3: expected 61,460 bytes, holds 61,459; fetch"):
        images_of(tmp_path)


def test_a_missing_batch_is_named(tmp_path):
    write(tmp_path, "bin")
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(FileError, match=r"test_batch\.bin: no such file"):
        images_of(tmp_path)


@pytest.mark.parametrize("kept", [0, 1, 50, 4000, -1])
def test_half_a_python_file_is_refused(tmp_path, kept):
    write(tmp_path, "py")
    path = tmp_path / "data_batch_2"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FileError, match=r"data_batch_2: is damaged or was cut short after [\d,]+"):
        images_of(tmp_path)


@pytest.mark.parametrize("kept", [0, 500, -9000])
def test_half_an_archive_is_refused(tmp_path, kept):
    write(tmp_path / "files", "py")
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "files", arcname="cifar-10-batches-py")
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(FileError, match=r"python\.tar\.gz: is damaged or was cut short after"):
        images_of(tmp_path)


def test_an_archive_of_something_else_is_refused(tmp_path):
    (tmp_path / "readme").write_text("nothing")
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "readme", arcname="readme")
    with pytest.raises(FileError, match=r"holds no data_batch_1\.bin; fetch"):
        images_of(tmp_path)


def test_a_label_out_of_range_is_refused(tmp_path):
    write(tmp_path, "bin")
    images, labels = batch(0)
    labels[4] = 10
    (tmp_path / "data_batch_1.bin").write_bytes(binary(images, labels))
    with pytest.raises(FileError, match=r"data_batch_1: image 4 has label 10, expected 0\.\.9"):
        images_of(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([1, 2], 2), "holds no 'data' and 'labels' of CIFAR-10"),
        (pickle.dumps({"data": 1, "labels": [2]}, 2), "holds no 'data' and 'labels'"),
        (python2_pickle(*(part[:-1] for part in batch(0))), "expected 20 images of 3,072 values"),
        (b"<!DOCTYPE html><html>not found</html>", "is damaged or was cut short after 37 bytes"),
    ],
)
def test_another_file_under_its_name_is_refused(tmp_path, content, message):
    write(tmp_path, "py")
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(FileError, match=f"data_batch_1: {message}"):
        images_of(tmp_path)


class Evil:
    """Unpickled by Python's own hand, it runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_and_nothing_of_it_runs(tmp_path, protocol):
    witness = tmp_path / "witness"
    write(tmp_path, "py")
    content = pickle.dumps({"data": Evil(f"touch {witness}"), "labels": [0]}, protocol)
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(FileError, match=r"data_batch_1: asks for .* nothing of it was run"):
        images_of(tmp_path)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("content", "asks"),
    [
        (b"\x80\x02cos\nsystem\nU\x02ls\x85R.", "'os.system'"),
        (b"\x80\x02cnumpy\nload\n.", "'numpy.load'"),
        (b"\x80\x02cnumpy\nndarray\n)R.", "a call of 'numpy ndarray'"),
        (b"\x80\x02U\x02ls)R.", "a call of 'ls'"),
        (b"\x80\x02]}b.", "an object's state"),
        (b"\x80\x02cnumpy\ndtype\n)\x81.", "opcode NEWOBJ"),
        (b"Vabc\nQ.", "opcode BINPERSID"),
        (
            python2_pickle(*batch(0)).replace(short_string(b"u1"), short_string(b"O8")),
            "an array that does not hold bytes",
        ),
    ],
)
def test_whatever_is_no_plain_data_is_refused_by_name(content, asks):
    with pytest.raises(FileError, match=f"it: asks for {asks}"):
        read_plain(content, "it")


@given(st.data())
def test_no_change_of_a_file_does_anything_but_read_or_be_refused(data):
    content = bytearray(python2_pickle(*(part[:2] for part in batch(0))))
    structure = [*range(180), *range(len(content) - 60, len(content))]  # not the pixels
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.sampled_from(structure))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FileError):
        read_plain(bytes(content), "it")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    ),
    st.integers(2, 5),
)
def test_plain_data_is_read_as_python_reads_it(value, protocol):
    assert read_plain(pickle.dumps(value, protocol), "it") == value


def test_the_test_files_use_the_opcodes_of_the_distributed_ones():
    """Of data_batch_1 as published; BINSTRING for what is longer than 255 bytes."""
    used = {opcode.name for opcode, _, _ in pickletools.genops(python2_pickle(*batch(0)))}
    assert used == {
        "PROTO", "EMPTY_DICT", "BINPUT", "MARK", "SHORT_BINSTRING", "EMPTY_LIST", "BININT1",
        "APPENDS", "GLOBAL", "TUPLE1", "TUPLE3", "REDUCE", "BININT2", "TUPLE2", "NONE", "BININT",
        "TUPLE", "BUILD", "NEWFALSE", "BINSTRING", "SETITEMS", "STOP",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not COMPACT.is_dir(), reason="needs ../shared/data/CIFAR10")
def test_the_distributed_files_are_read(tmp_path):
    """Two of the seven, rebuilt byte for byte; the classes of the first images are published."""
    few = tmp_path / "compact"
    few.mkdir()
    for name in ("data_batch_1", "test_batch"):
        (few / f"{name}.med.xz").symlink_to(COMPACT / f"{name}.med.xz")
    rebuild = [sys.executable, str(COMPACT / "cifar10_compact.py"), str(few), str(tmp_path)]
    subprocess.run(rebuild, check=True, capture_output=True)
    for name, classes in (("data_batch_1", [6, 9, 9, 4, 1]), ("test_batch", [3, 8, 8, 0, 6])):
        content = (tmp_path / "cifar-10-batches-py" / name).read_bytes()
        images, labels = cifar10._read_python(content, name)
        assert images.shape == (10_000, 3, 32, 32)
        assert labels[:5].tolist() == classes  # frog, truck, ...; cat, ship, ...
        assert np.bincount(labels, minlength=10).sum() == 10_000
        assert images.tobytes() in content  # the planes lie in the file as they are
