"""Event data sets through tonic: in the files' order of paths, and never fetched unasked."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from toolchain.errors import FileError, InputError
from toolchain.train.config_data import DataConfig, EncodingConfig
from toolchain.train.data import load

BINS = EncodingConfig(kind="events", timesteps=5, bin_us=1000)


def config(folder, name="nmnist", **given) -> DataConfig:
    return DataConfig(name=name, folder=folder, **given)


def test_without_tonic_the_mend_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(InputError, match=r"NMNIST is read by tonic, .* snn-deploy\[events\]"):
        load(config(tmp_path), BINS)


@pytest.fixture
def tonic(monkeypatch):
    """tonic, content with few files, and with nobody to download from."""
    module = pytest.importorskip("tonic", reason="needs tonic, which comes with snn-deploy[events]")
    for name in ("train_url", "test_url"):
        monkeypatch.setattr(module.datasets.NMNIST, name, "http://127.0.0.1:9/nobody")
    monkeypatch.setattr(
        module.dataset.Dataset, "_folder_contains_at_least_n_files_of_type", lambda *_: True
    )
    return module


def write_n_mnist(folder: Path, *, classes: int = 3, each: int = 10) -> None:
    """N-MNIST's layout: five bytes an event (x, y, polarity and time), a file a sample.

    The sample numbered n has one event, at x = n % 34, y = its class, n us after its start.
    """
    for part in ("Train", "Test"):
        (folder / "NMNIST").mkdir(parents=True, exist_ok=True)
        (folder / "NMNIST" / f"{part.lower()}.zip").touch()
        for number in range(classes * each):
            home = folder / "NMNIST" / part / str(number % classes)
            home.mkdir(parents=True, exist_ok=True)
            event = [number % 34, number % classes, 128, 0, number]
            (home / f"{number:05}.bin").write_bytes(bytes(event))


def test_n_mnist_is_read_in_the_order_of_paths(tonic, tmp_path):
    write_n_mnist(tmp_path)
    data = load(config(tmp_path), BINS)
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 30)
    assert data.shape == (2, 34, 34)
    tested = data.test.values
    assert tested.y.tolist() == data.test.labels.tolist() == sorted(data.test.labels)
    assert tested.x.tolist() == [*range(0, 30, 3), *range(1, 30, 3), *range(2, 30, 3)]
    assert np.array_equal(tested.x, tested.t)
    assert np.all(tested.p == 1)
    assert data.test.indices.tolist() == list(range(30, 60))


def test_only_so_many_recordings_are_read_as_are_asked_for(tonic, tmp_path):
    write_n_mnist(tmp_path)
    whole = load(config(tmp_path), BINS)
    data = load(config(tmp_path, train_samples=15, test_samples=6, validation=0.2), BINS)
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 3, 6)
    rows = dict(zip(whole.test.indices.tolist(), whole.test.values.x.tolist(), strict=True))
    for index, x in zip(data.test.indices.tolist(), data.test.values.x.tolist(), strict=True):
        assert rows[index] == x


def test_nothing_is_fetched_unasked(tonic, tmp_path):
    with pytest.raises(InputError, match=r"NMNIST: does not hold all of NMNIST .*train\.zip.*true"):
        load(config(tmp_path), BINS)


def test_a_recording_that_was_cut_short_is_named(tonic, tmp_path):
    write_n_mnist(tmp_path)
    file = tmp_path / "NMNIST" / "Train" / "1" / "00001.bin"
    file.write_bytes(file.read_bytes()[:3])
    with pytest.raises(FileError, match=r"00001\.bin: is damaged or was cut short .* fetch"):
        load(config(tmp_path), BINS)


def test_no_network_is_one_sentence_and_stdout_is_left_alone(tonic, tmp_path, capsys):
    with pytest.raises(InputError, match=r"tonic could not fetch or read NMNIST .* fetch it where"):
        load(config(tmp_path, download=True), BINS)
    assert capsys.readouterr().out == ""


def test_cochlear_channels_have_no_rows_and_gestures_start_at_their_first_event():
    from toolchain.train.data.tonic_sets import _joined

    channels = np.array([(30, 5, 1), (10, 2, 1)], [("t", int), ("x", int), ("p", int)])
    heard = _joined([channels], restart=False)
    assert (heard.t.tolist(), heard.x.tolist()) == ([10, 30], [2, 5])
    assert not heard.p.any()
    assert not heard.y.any()
    pixels = np.array([(1, 2, True, 700), (3, 4, False, 900)], [
        ("x", np.int16), ("y", np.int16), ("p", bool), ("t", np.int64)
    ])  # fmt: skip
    seen = _joined([pixels, pixels], restart=True)
    assert seen.t.tolist() == [0, 200, 0, 200]
    assert seen.p.tolist() == [1, 0, 1, 0]
    assert seen.offsets.tolist() == [0, 2, 4]
