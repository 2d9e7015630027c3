"""Signals: heartbeats and spoken digits as integers, and classes too rare to be split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import ConfigError, FileError
from toolchain.train.config_data import DataConfig, EncodingConfig
from toolchain.train.data import load
from toolchain.train.data.spoken import BANDS, HOP, LOUDEST, RATE, STEPS, WINDOW, band_energies

SHARED = Path(__file__).parents[4] / "shared" / "data"
CROSSINGS = EncodingConfig(kind="delta", timesteps=12, thresholds=(16, 64))


def write_beats(folder: Path, sizes: tuple[int, ...], name: str = "train") -> np.ndarray:
    """ecg5000_<name>.npz of 12 steps, with so many beats of each class."""
    labels = np.repeat(np.arange(len(sizes)), sizes).astype(np.uint8)
    beats = np.random.default_rng(0).normal(size=(len(labels), 12)).astype(np.float32)
    np.savez(folder / f"ecg5000_{name}.npz", x=beats, label=labels)
    return beats


def beats_of(folder: Path, **given: object):
    return load(DataConfig(name="ecg", folder=folder, **given), CROSSINGS)  # type: ignore[arg-type]


def test_beats_become_64ths_of_a_standard_deviation(tmp_path):
    beats = write_beats(tmp_path, (20, 20))
    data = beats_of(tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (29, 3, 8)  # a fifth to test
    assert (data.shape, data.classes) == ((4,), 2)
    for part in (data.train, data.validation, data.test):
        assert np.array_equal(part.values[:, :, 0], np.rint(beats[part.indices] * 64))


def test_an_official_test_set_is_used_where_it_is_there(tmp_path):
    write_beats(tmp_path, (20, 20))
    write_beats(tmp_path, (5, 6), "test")
    data = beats_of(tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 4, 11)
    assert sorted(data.test.indices) == list(range(40, 51))


@pytest.mark.parametrize(
    ("sizes", "given", "message"),
    [
        ((30, 30, 2), {}, r"class 2 leaves no sample to validate on: needed 10 .*, held 1; raise"),
        ((30, 30, 1), {}, r"class 2 leaves no .* to test on: needed 5 in all .*, held 1; collect"),
        ((40, 40, 6), {"validation": 0.05},
         r"class 2 leaves no sample to validate on: needed 23 to train .*, held 5; raise"),
        ((30, 1, 30, 1), {}, r"class 1 \(nor class 3\) leaves no sample to test on: .* = 'drop'"),
    ],
)  # fmt: skip
def test_a_class_too_rare_to_be_split_is_refused_by_number(tmp_path, sizes, given, message):
    write_beats(tmp_path, sizes)
    with pytest.raises(ConfigError, match=message):
        beats_of(tmp_path, **given)


def test_rare_classes_can_be_left_out_and_the_others_keep_their_numbers(tmp_path):
    write_beats(tmp_path, (30, 2, 30))
    data = beats_of(tmp_path, rare_classes="drop")
    parts = (data.train, data.validation, data.test)
    assert [sorted(set(part.labels.tolist())) for part in parts] == [[0, 2]] * 3
    assert data.classes == 3


@given(st.lists(st.integers(0, 30), min_size=2, max_size=5), st.sampled_from([0.05, 0.1, 0.3]))
def test_what_is_not_refused_has_every_class_to_learn_from(tmp_path_factory, sizes, share):
    folder = tmp_path_factory.mktemp("beats")
    write_beats(folder, tuple(sizes))
    try:
        data = beats_of(folder, validation=share, rare_classes="drop")
    except ConfigError:  # nothing was left
        assert max(sizes) < 20
        return
    parts = (data.train, data.validation, data.test)
    seen = [set(part.labels.tolist()) for part in parts]
    for part, classes in zip(parts, seen, strict=True):
        assert classes <= seen[0]
        assert classes == seen[0] or len(part) < len(seen[0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 12))}, "array 'label' is missing"),
        ({"x": np.full((4, 12), np.nan), "label": np.zeros(4, int)}, "must hold finite reals"),
        ({"x": np.zeros((4, 12), int), "label": np.zeros(4, int)}, "must hold finite reals"),
        ({"x": np.full((4, 12), 9.0), "label": np.zeros(4, int)}, "to within 8 standard .* to 9"),
        ({"x": np.zeros((4, 12)), "label": np.zeros(3, int)}, "labels must be 4 integers"),
    ],
)
def test_a_damaged_file_of_beats_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "ecg5000_train.npz", **arrays)
    with pytest.raises(FileError, match=rf"ecg5000_train\.npz: .*{message}"):
        beats_of(tmp_path)


def test_a_missing_file_of_beats_is_named(tmp_path):
    with pytest.raises(FileError, match=r"ecg5000_train\.npz: no such file"):
        beats_of(tmp_path)


def test_steps_must_divide_timesteps(tmp_path):
    write_beats(tmp_path, (20, 20))
    code = EncodingConfig(kind="delta", timesteps=16, thresholds=(16,))
    with pytest.raises(
        ConfigError, match=r"timesteps = 16: must be a multiple of the 12 steps .*12"
    ):
        load(DataConfig(name="ecg", folder=tmp_path), code)


def test_a_tone_lights_its_own_band():
    time = np.arange(RATE // 2)
    tone = (8000 * np.sin(2 * np.pi * 1000 * time / RATE)).astype(np.int16)
    offsets = np.array([0, len(tone)])
    values = band_energies(tone, offsets)[0]
    loud = -(-(len(tone) - WINDOW) // HOP)
    assert np.all(values[:loud].argmax(axis=1) == 8)  # 906..1,062 Hz
    assert np.all(values[:loud].max(axis=1) == LOUDEST)
    assert not values[len(tone) // HOP + 1 :].any()  # silence after its end


@given(st.integers(1, 9000), st.integers(1, 900), st.integers(0, 2**32))
def test_a_clips_values_are_its_own(length, other, seed):
    rng = np.random.default_rng(seed)
    audio = rng.integers(-(2**15), 2**15, length + other).astype(np.int16)
    both = band_energies(audio, np.array([0, length, length + other]))
    assert both.shape == (2, STEPS, BANDS)
    assert both.max() <= LOUDEST
    alone = band_energies(audio[length:], np.array([0, other]))
    assert np.array_equal(both[1], alone[0])


def speech(**changes: object) -> dict[str, np.ndarray]:
    """The arrays of an fsdd.npz with 20 clips of 20 samples."""
    rng = np.random.default_rng(0)
    arrays = {
        "audio": rng.integers(-99, 99, 400).astype(np.int16),
        "offsets": np.arange(0, 401, 20),
        "label": np.tile([0, 1], 10).astype(np.uint8),
        "take": np.repeat(np.arange(10), 2).astype(np.uint8),
        "rate": np.array(8000),
    }
    arrays |= {name: np.asarray(change) for name, change in changes.items() if change is not None}
    return {name: array for name, array in arrays.items() if changes.get(name, 0) is not None}


def test_the_first_five_takes_are_the_test(tmp_path):
    np.savez(tmp_path / "fsdd.npz", **speech())
    code = EncodingConfig(timesteps=STEPS)
    data = load(DataConfig(name="fsdd", folder=tmp_path, validation=0.2), code)
    assert sorted(data.test.indices) == list(range(10))
    assert (len(data.train), len(data.validation)) == (8, 2)
    assert (data.shape, data.encoding.maximum) == ((BANDS,), LOUDEST)
    assert data.encode(data.test).shape == (10, STEPS, BANDS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"take": None}, "array 'take' is missing"),
        ({"rate": 16_000}, "needs 16-bit audio at 8000 Hz"),
        ({"audio": np.zeros(400, np.int32)}, "needs 16-bit audio at 8000 Hz, holds int32"),
        ({"audio": np.zeros(399, np.int16)}, "'offsets' must rise from 0 to the 399 samples"),
        ({"offsets": np.zeros(21, int)}, "'offsets' must rise from 0 to the 400 samples"),
        ({"label": np.zeros(19, int)}, "array 'label' must hold 20 numbers from 0"),
        ({"label": np.zeros(20)}, "array 'label' must hold integers"),
    ],
)
def test_a_damaged_file_of_speech_is_refused(tmp_path, changes, message):
    np.savez(tmp_path / "fsdd.npz", **speech(**changes))
    with pytest.raises(FileError, match=rf"fsdd\.npz: .*{message}"):
        load(DataConfig(name="fsdd", folder=tmp_path), EncodingConfig(timesteps=STEPS))


@pytest.mark.skipif(not (SHARED / "ECG5000").is_dir(), reason="needs ../shared/data/ECG5000")
def test_ecg5000_has_one_class_of_two_beats():
    code = EncodingConfig(kind="delta", timesteps=140, thresholds=(16, 64))
    config = DataConfig(name="ecg", folder=SHARED / "ECG5000")
    with pytest.raises(ConfigError, match="class 4 leaves no sample to test on"):
        load(config, code)
    data = load(config.model_copy(update={"rare_classes": "drop"}), code)
    assert (len(data.train) + len(data.validation), len(data.test)) == (398, 100)
    assert data.encode(data.test).mean() > 0.02


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "FSDD").is_dir(), reason="needs ../shared/data/FSDD")
def test_fsdd_is_read_whole():
    config = DataConfig(name="fsdd", folder=SHARED / "FSDD")
    data = load(config, EncodingConfig(timesteps=STEPS))
    assert (len(data.train), len(data.validation), len(data.test)) == (2430, 270, 300)
    assert set(np.bincount(data.test.labels)) == {30}
