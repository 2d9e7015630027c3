"""Files of raw samples: read without pickle, or refused by the array that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolchain.errors import FileError
from toolchain.samples import Events, read_samples

EVENTS = {
    "x": np.array([0, 2, 1]),
    "t": np.array([5, 9, 2]),
    "offsets": np.array([0, 2, 2, 3]),
}


def written(folder: Path, **arrays: object) -> Path:
    path = folder / "samples.npz"
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})
    return path


def test_values_are_numbered_where_nothing_else_is_said(tmp_path: Path) -> None:
    raw = read_samples(written(tmp_path, values=np.arange(6).reshape(3, 2), labels=[2, 0, 1]))
    assert raw.indices.tolist() == [0, 1, 2]
    assert raw.labels is not None
    assert raw.labels.tolist() == [2, 0, 1]


def test_indices_and_the_events_name_of_labels_are_kept(tmp_path: Path) -> None:
    raw = read_samples(written(tmp_path, **EVENTS, label=[7, 7, 8], indices=[30, 10, 20]))
    assert isinstance(raw.values, Events)
    assert len(raw.values) == 3
    assert raw.indices.tolist() == [30, 10, 20]
    assert raw.labels is not None
    assert raw.labels.tolist() == [7, 7, 8]
    assert raw.values.y.tolist() == raw.values.p.tolist() == [0, 0, 0]


def test_events_of_chosen_samples_follow_each_other(tmp_path: Path) -> None:
    events = read_samples(written(tmp_path, **EVENTS)).values
    assert isinstance(events, Events)
    some = events.take(np.array([2, 1, 0, 2]))
    assert some.offsets.tolist() == [0, 1, 1, 3, 4]
    assert some.t.tolist() == [2, 5, 9, 2]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pixels": [[1]]}, "holds neither 'values' nor events .* but pixels"),
        ({"values": [[0.5]]}, "array 'values' must hold integers .* holds float64"),
        ({"values": [1, 2]}, r"array 'values' must hold integers .* of shape \(2,\)"),
        ({"values": [[1]], "labels": [1, 2]}, "array 'labels' must hold 1 integers from 0"),
        ({"values": [[1]], "indices": [-1]}, "array 'indices' must hold 1 integers from 0"),
        ({**EVENTS, "t": [9, 5, 2]}, "sample 0: time falls from 9 to 5 us at event 1"),
        ({**EVENTS, "offsets": [0, 3, 2, 3]}, "array 'offsets' falls from 3 to 2 at sample 1"),
        ({"t": [1], "offsets": [0, 1]}, "array 'x' of the events is missing"),
    ],
)
def test_a_wrong_array_is_refused(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    with pytest.raises(FileError, match=rf"samples\.npz: .*{message}"):
        read_samples(written(tmp_path, **arrays))


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    np.savez(path, values=np.array([[print]], object))
    with pytest.raises(FileError, match=r"is not an \.npz file, or was cut short .*pickle"):
        read_samples(path)
