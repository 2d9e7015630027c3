"""Rasters in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tests.strategies import seeds
from toolchain.errors import FileError, InputError
from toolchain.raster import (
    Raster,
    accuracy,
    check_stimulus,
    decisions,
    read_raster,
    write_raster,
)


def raster(*shape: int, labels: bool = False) -> Raster:
    spikes = np.random.default_rng(1).random(shape) < 0.5
    return Raster(spikes={"input": spikes}, labels=np.arange(shape[0]) if labels else None)


@examples(40)
@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=3),
    samples=st.integers(0, 4),
    timesteps=st.integers(0, 4),
    labelled=st.booleans(),
    seed=seeds(),
)
def test_a_raster_comes_back_from_its_file_as_it_was(
    sizes: list[int],
    samples: int,
    timesteps: int,
    labelled: bool,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rng = np.random.default_rng(seed)
    spikes = {f"p{i}": rng.random((samples, timesteps, n)) < 0.5 for i, n in enumerate(sizes)}
    labels = rng.integers(0, 9, samples) if labelled else None
    file = tmp_path_factory.mktemp("raster") / "r.npz"

    write_raster(file, Raster(spikes=spikes, labels=labels))
    again = read_raster(file)

    assert list(again.spikes) == list(spikes)
    for name, array in spikes.items():
        np.testing.assert_array_equal(again.spikes[name], array)
    assert (again.labels is None) == (labels is None)
    if labels is not None:
        np.testing.assert_array_equal(again.labels, labels)


def test_the_same_raster_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_raster(tmp_path / name, raster(3, 4, 5, labels=True))

    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@examples(150)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_whole(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever one changed byte does, it is an error of ours or a raster, and never a traceback."""
    file = tmp_path_factory.mktemp("raster") / "r.npz"
    write_raster(file, raster(2, 3, 4, labels=True))
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(bytes(content))

    try:
        found = read_raster(file)
    except FileError as problem:
        assert str(file) in str(problem)  # noqa: PT017
    else:
        assert found.spikes


@examples(60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(
    share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("raster") / "r.npz"
    write_raster(file, raster(2, 3, 4))
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(FileError, match=r"r\.npz: is not an \.npz file, or was cut short"):
        read_raster(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone\.npz: no such file"):
        read_raster(tmp_path / "gone.npz")


def test_a_single_array_is_no_raster(tmp_path: Path) -> None:
    np.save(tmp_path / "r.npy", np.ones((1, 2, 3), bool))

    with pytest.raises(FileError, match=r"r\.npy: is not an \.npz file"):
        read_raster(tmp_path / "r.npy")


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", input=np.array([{"a": 1}], object))

    with pytest.raises(FileError, match=r"r\.npz: is not an \.npz file.*allow_pickle=False"):
        read_raster(tmp_path / "r.npz")


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({}, r"r\.npz: a raster needs at least one population"),
        ({"labels": np.arange(3)}, r"r\.npz: a raster needs at least one population"),
        (
            {"input": np.ones((1, 2, 3))},
            r"'input' must be bool of shape \(samples, timesteps, neurons\), is float64",
        ),
        ({"input": np.ones((2, 3), bool)}, r"is bool of shape \(2, 3\)"),
        (
            {"input": np.ones((1, 2, 3), bool), "a": np.ones((1, 3, 3), bool)},
            r"all populations of a raster must have equal samples and timesteps",
        ),
        (
            {"input": np.ones((1, 2, 3), bool), "labels": np.arange(2)},
            r"labels must have shape \(1,\), have \(2,\)",
        ),
        (
            {"input": np.ones((1, 2, 3), bool), "labels": np.array(["one"])},
            r"labels must be integers, are <U3",
        ),
        (
            {"input": np.ones((1, 2, 3), bool), "labels": np.array([0.5])},
            r"labels must be integers, are float64",
        ),
    ],
)
def test_an_npz_file_that_holds_no_raster_says_what_is_wrong(
    arrays: dict[str, np.ndarray], match: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "r.npz", **arrays)  # type: ignore[arg-type]

    with pytest.raises(FileError, match=match):
        read_raster(tmp_path / "r.npz")


@pytest.mark.parametrize(
    ("stimulus", "match"),
    [
        (
            Raster(spikes={"inptu": np.ones((1, 2, 3), bool)}),
            r"must hold the input 'input'; it holds inptu",
        ),
        (raster(1, 2, 4), r"is 4 neurons wide, the input 'input' has 3; encode the data"),
        (raster(0, 2, 3), r"the stimulus is empty: its shape is \(0, 2, 3\)"),
        (raster(2, 0, 3), r"the stimulus is empty: its shape is \(2, 0, 3\)"),
    ],
)
def test_a_stimulus_that_does_not_belong_to_the_network_is_refused(
    stimulus: Raster, match: str
) -> None:
    with pytest.raises(InputError, match=match):
        check_stimulus(stimulus, "input", 3)


def test_a_stimulus_of_the_right_width_is_handed_on() -> None:
    stimulus = raster(2, 3, 4)

    assert check_stimulus(stimulus, "input", 4) is stimulus.spikes["input"]


def test_samples_are_cut_with_their_labels() -> None:
    whole = raster(5, 2, 3, labels=True)

    part = whole.between(1, 3)

    assert (part.samples, part.timesteps) == (2, 2)
    assert part.labels is not None
    assert part.labels.tolist() == [1, 2]
    np.testing.assert_array_equal(part.spikes["input"], whole.spikes["input"][1:3])
    assert whole.first(2).samples == 2


@pytest.mark.parametrize("samples", [-1, 0, 6])
def test_more_samples_than_there_are_cannot_be_had(samples: int) -> None:
    with pytest.raises(InputError, match=rf"needed {samples} samples, the raster holds 5"):
        raster(5, 2, 3).first(samples)


def test_the_neuron_that_spikes_most_decides_and_the_lowest_wins_a_tie() -> None:
    counts = [[2, 1, 0], [0, 1, 2], [1, 1, 0], [0, 0, 0]]
    spikes = np.array([[[n > t for n in row] for t in range(2)] for row in counts])
    answer = Raster(spikes={"out": spikes}, labels=np.array([0, 2, 1, 0]))

    assert decisions(answer, "out").tolist() == [0, 2, 0, 0]
    assert accuracy(answer, "out") == 0.75
    assert accuracy(Raster(spikes={"out": spikes}), "out") is None
