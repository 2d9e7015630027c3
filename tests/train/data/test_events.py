"""Event files: read as they are, or refused with the event that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.train.data.written import event_arrays, write_events
from toolchain.errors import ConfigError, FileError
from toolchain.samples import Events
from toolchain.train.config_data import DataConfig, EncodingConfig
from toolchain.train.data import Dataset, load

SHARED = Path(__file__).parents[4] / "shared" / "data"
BINS = EncodingConfig(kind="events", timesteps=10, bin_us=20)


def loaded(folder: Path, **given: object) -> Dataset:
    return load(DataConfig(name="events", folder=folder, **given), BINS)  # type: ignore[arg-type]


def test_events_are_read_split_and_numbered(tmp_path):
    write_events(tmp_path)
    data = loaded(tmp_path, validation=0.2)
    assert (len(data.train), len(data.validation), len(data.test)) == (24, 6, 9)
    assert (data.shape, data.classes) == ((2, 5, 4), 3)
    numbers = np.concatenate([part.indices for part in (data.train, data.validation, data.test)])
    assert sorted(numbers) == list(range(39))
    assert sorted(data.test.indices) == list(range(30, 39))


def test_a_chosen_sample_keeps_its_events(tmp_path):
    write_events(tmp_path)
    data, arrays = loaded(tmp_path), event_arrays(30)
    for place in (0, len(data.train) - 1):
        number = int(data.train.indices[place])
        one = data.train.take(np.array([place])).values
        assert isinstance(one, Events)
        first, end = arrays["offsets"][number], arrays["offsets"][number + 1]
        for name in ("x", "y", "p", "t"):
            assert np.array_equal(getattr(one, name), arrays[name][first:end])


def broken(**changes: object) -> dict[str, np.ndarray]:
    """Arrays of 30 samples with single entries changed: name=(position, value), or None."""
    arrays = {name: array.astype(np.int64) for name, array in event_arrays(30).items()}
    for name, change in changes.items():
        if change is None:
            del arrays[name]
        elif isinstance(change, tuple):
            arrays[name][change[0]] = change[1]
        else:
            arrays[name] = np.asarray(change)
    return arrays


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": (7, 4)}, r"event 7 has x = 4, the sensor's x is in 0\.\.3"),
        ({"y": (7, -1)}, r"event 7 has y = -1, the sensor's y is in 0\.\.4"),
        ({"p": (0, 2)}, r"event 0 has p = 2, the sensor's p is in 0\.\.1"),
        ({"t": (1, 300)}, r"sample 0: time falls from 300 to \d+ us at event 2"),
        ({"t": (0, -5)}, "event 0 has time -5 us; times count from 0"),
        ({"offsets": (3, 10**6)}, r"'offsets' falls from 1000000 to \d+ at sample 3"),
        ({"offsets": (0, 1)}, r"'offsets' must go from 0 to the number of events, \d+.*1 to"),
        ({"offsets": (-1, 3)}, "'offsets' must go from 0 to the number of events"),
        ({"offsets": [0]}, "'offsets' must go from 0 .* at least one sample"),
        ({"y": [1, 2]}, r"array 'y' holds 2 events, 'x' \d+; they must be as many"),
        ({"t": np.zeros((4, 2), int)}, r"array 't' must hold integers in one row"),
        ({"x": [0.5]}, "array 'x' must hold integers in one row, holds float64"),
        ({"t": None}, "array 't' of the events is missing"),
        ({"label": None}, "array 'label' is missing"),
        ({"shape": None}, "array 'shape' is missing"),
        ({"shape": [34, 34]}, r"'shape' must be \(polarities, height, width\), is \[34, 34\]"),
        ({"label": [0, 1]}, r"labels must be 30 integers, are int64 of shape \(2,\)"),
        ({"label": (3, -1)}, "labels must be classes from 0, one is -1"),
    ],
)
def test_a_damaged_event_file_is_refused_by_file_and_event(tmp_path, changes, message):
    write_events(tmp_path)
    np.savez(tmp_path / "small_train.npz", **broken(**changes))
    with pytest.raises(FileError, match=rf"small_train\.npz: .*{message}"):
        loaded(tmp_path)


def test_half_a_file_is_refused(tmp_path):
    write_events(tmp_path)
    path = tmp_path / "small_test.npz"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(FileError, match=r"small_test\.npz: is not an \.npz file, or was cut short"):
        loaded(tmp_path)


@pytest.mark.parametrize("others", [(), ("a_train.npz", "b_train.npz")])
def test_the_wrong_folder_is_said(tmp_path, others):
    for name in others:
        (tmp_path / name).touch()
    held = ", ".join(others) or "none"
    with pytest.raises(FileError, match=rf"needs exactly one \*train\.npz, holds {held}; point"):
        loaded(tmp_path)


def test_two_sensors_are_no_data_set(tmp_path):
    write_events(tmp_path)
    np.savez(tmp_path / "small_test.npz", **broken(shape=[2, 6, 6]))
    with pytest.raises(FileError, match=r"training sensor has shape \(2, 5, 4\), the test sensor"):
        loaded(tmp_path)


def test_events_have_no_rate(tmp_path):
    write_events(tmp_path)
    with pytest.raises(ConfigError, match="kind = 'rate': is not for events; choose 'events'"):
        load(DataConfig(name="events", folder=tmp_path))


@pytest.mark.skipif(
    not (SHARED / "NMNISTsmall").is_dir(), reason="needs ../shared/data/NMNISTsmall"
)
def test_n_mnist_small_is_read_whole():
    code = EncodingConfig(kind="events", timesteps=20, bin_us=15_000)
    data = load(DataConfig(name="events", folder=SHARED / "NMNISTsmall"), code)
    assert (len(data.train), len(data.validation), len(data.test)) == (900, 100, 100)
    assert data.shape == (2, 34, 34)
    assert data.test.labels[:4].tolist() == [7, 2, 1, 0]  # MNIST's
    spikes = data.encode(data.test.take(np.arange(10)))
    assert 0.01 < spikes.mean() < 0.2
