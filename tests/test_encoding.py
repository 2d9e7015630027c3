"""Encodings: each is its equation, in integers, and the same bits wherever it is computed."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import encoded_samples
from toolchain import codec
from toolchain.encoding import ENCODINGS, PARAMETERS, Encoding, encode, rate_table, splitmix64
from toolchain.errors import FileError, InputError
from toolchain.samples import Events


def code_of(kind: str, **given: object) -> Encoding:
    """A small encoding of a kind: images of 2 x 3 pixels in 0..9, or events of that sensor."""
    plain: dict[str, dict[str, object]] = {
        "rate": {"minimum": 0, "maximum": 9},
        "bernoulli": {"minimum": 0, "maximum": 9, "seed": 5},
        "latency": {"minimum": 0, "maximum": 9, "threshold": 1},
        "delta": {"thresholds": (2, 5)},
        "events": {"bin_us": 10, "polarity": "both", "shrink": 1, "at_least": 1},
    }
    sample = (6, 2) if kind == "delta" else (1, 2, 3)
    every = {"kind": kind, "timesteps": 6, "sample": sample} | plain[kind] | given
    return Encoding(**every)  # type: ignore[arg-type]


def numbered(values: np.ndarray) -> np.ndarray:
    return np.arange(len(values), dtype=np.int64)


def test_parameters_and_functions_are_of_the_same_kinds() -> None:
    assert set(ENCODINGS) == set(PARAMETERS)


@given(encoded_samples())
def test_spikes_have_the_encodings_shape_and_no_state(drawn) -> None:
    code, values, indices = drawn
    spikes = encode(code, values, indices)
    assert spikes.dtype == bool
    assert spikes.shape == (len(values), code.timesteps, code.neurons)
    assert np.array_equal(spikes, encode(code, values, indices))


@given(encoded_samples(), st.data())
def test_a_sample_is_encoded_alike_in_any_company(drawn, data) -> None:
    code, values, indices = drawn
    chosen = np.array(
        data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=4)), np.int64
    )
    some = values.take(chosen) if isinstance(values, Events) else values[chosen]
    whole = encode(code, values, indices)
    assert np.array_equal(encode(code, some, indices[chosen]), whole[chosen])


@given(encoded_samples())
def test_an_encoding_comes_back_from_its_description(drawn) -> None:
    code, *_ = drawn
    described, arrays = codec.pack(code)
    assert codec.unpack(Encoding, described, arrays) == code


@given(st.integers(1, 300), st.integers(1, 64))
def test_every_prefix_of_a_rate_counts_the_rounded_share(maximum: int, timesteps: int) -> None:
    table = rate_table(maximum, timesteps)
    assert table.shape == (maximum + 1, timesteps)
    value = np.arange(maximum + 1)[:, None]
    step = np.arange(1, timesteps + 1)[None, :]
    rounded = (2 * step * value + maximum) // (2 * maximum)  # halves up
    assert np.array_equal(table.cumsum(axis=1), rounded)


@given(st.integers(1, 300), st.integers(1, 64))
def test_nothing_never_spikes_and_the_maximum_always(maximum: int, timesteps: int) -> None:
    table = rate_table(maximum, timesteps)
    assert not table[0].any()
    assert table[-1].all()


def test_a_rate_is_the_table_row_of_each_pixel() -> None:
    pixels = np.array([[0, 1, 4], [2, 3, 4]], np.uint8)
    code = code_of("rate", timesteps=4, sample=(1, 1, 3), maximum=4)
    spikes = encode(code, pixels, numbered(pixels))
    assert spikes[0].astype(int).tolist() == [[0, 0, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1]]
    assert spikes.sum(axis=1).tolist() == pixels.tolist()


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(-50, 50), st.data())
def test_a_signals_rate_counts_the_rounded_running_sum(maximum, steps, hold, minimum, data) -> None:
    shares = np.array(
        data.draw(st.lists(st.integers(0, maximum), min_size=steps, max_size=steps)), np.int64
    )
    code = code_of(
        "rate",
        timesteps=steps * hold,
        sample=(steps, 1),
        minimum=minimum,
        maximum=minimum + maximum,
    )
    spikes = encode(code, (shares + minimum)[None, :, None], np.zeros(1, np.int64))
    total = np.repeat(shares, hold).cumsum()
    expected = (2 * total + maximum) // (2 * maximum)
    assert np.array_equal(spikes[0, :, 0].cumsum(), expected)


def test_splitmix64_gives_its_published_numbers() -> None:
    """Of seed 0: the reference implementation of Vigna (prng.di.unimi.it/splitmix64.c)."""
    golden = np.array([0x9E3779B97F4A7C15], np.uint64)
    state, given = np.zeros(1, np.uint64), []
    for _ in range(3):
        given.append(int(splitmix64(state)[0]))
        state = state + golden
    assert given == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def reference_bernoulli(code: Encoding, value: int, index: int, draw: int, epoch: int) -> bool:
    """The same in Python's own integers."""

    def mixed(state: int) -> int:
        z = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    assert code.seed is not None
    assert code.maximum is not None
    key = mixed((mixed((mixed(code.seed) + epoch) % 2**64) + index) % 2**64)
    number = mixed((key + draw * 0x9E3779B97F4A7C15) % 2**64) >> 32
    return number * code.maximum < value << 32


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**9), st.integers(0, 3), st.data())
def test_noise_is_the_hash_in_exact_integers(seed, index, epoch, data) -> None:
    code = code_of("bernoulli", seed=seed, timesteps=3)
    row = data.draw(st.lists(st.integers(0, 9), min_size=6, max_size=6))
    spikes = encode(code, np.array([row], np.uint8), np.array([index]), epoch=epoch)
    expected = [
        [reference_bernoulli(code, value, index, 6 * t + n, epoch) for n, value in enumerate(row)]
        for t in range(3)
    ]
    assert spikes[0].tolist() == expected


def test_noise_has_the_share_of_the_value_and_differs_by_seed_sample_and_epoch() -> None:
    values = np.tile(np.array([0, 64, 128, 192, 255, 255], np.uint8), (200, 1))
    code = code_of("bernoulli", timesteps=50, maximum=255)
    spikes = encode(code, values, numbered(values))
    rates = spikes.mean(axis=(0, 1))
    assert rates[0] == 0
    assert rates[4] == 1
    assert np.allclose(rates, values[0] / 255, atol=0.015)  # 10,000 draws: 3 sigma
    assert not np.array_equal(spikes[0], spikes[1])
    for other in (
        encode(code_of("bernoulli", timesteps=50, maximum=255, seed=6), values, numbered(values)),
        encode(code, values, numbered(values), epoch=1),
    ):
        assert 0.2 < (other ^ spikes)[:, :, 1:4].mean() < 0.6


@given(st.integers(1, 40), st.integers(1, 30), st.data())
def test_latency_spikes_once_the_earlier_the_larger(maximum, timesteps, data) -> None:
    threshold = data.draw(st.integers(1, maximum))
    code = code_of(
        "latency", timesteps=timesteps, sample=(1, 1, maximum + 1), maximum=maximum,
        threshold=threshold,
    )  # fmt: skip
    values = np.arange(maximum + 1)[None]
    spikes = encode(code, values, numbered(values))[0]
    assert spikes.sum(axis=0).tolist() == [int(v >= threshold) for v in range(maximum + 1)]
    when = spikes.argmax(axis=0)[threshold:]
    assert np.all(np.diff(when) <= 0)
    assert when[-1] == 0
    assert threshold == maximum or when[0] == timesteps - 1


@given(st.lists(st.integers(-60, 60), min_size=1, max_size=30), st.integers(1, 20))
def test_level_crossings_follow_the_signal_as_fast_as_they_can(values, distance) -> None:
    steps = len(values)
    code = code_of("delta", timesteps=3 * steps, sample=(steps, 1), thresholds=(distance,))
    signal = np.array(values, np.int64)[None, :, None]
    up, down = encode(code, signal, np.zeros(1, np.int64))[0].astype(int).T
    followed = distance * (up - down).cumsum()
    assert not np.any(up & down)
    reference = 0
    for timestep, after in enumerate(followed.tolist()):
        gap = values[timestep // 3] - reference
        step = distance * (int(gap >= distance) - int(gap <= -distance))
        assert after == reference + step
        reference = after


def test_level_crossing_neurons_go_by_threshold_then_up_and_down_then_channel() -> None:
    code = code_of("delta", timesteps=2, sample=(2, 2), thresholds=(1, 4))
    values = np.array([[[4, -1], [4, -1]]])
    spikes = encode(code, values, np.zeros(1, np.int64))[0].astype(int)
    #              d=1: up   down   d=4: up  down
    assert spikes[0].tolist() == [1, 0, 0, 1, 1, 0, 0, 0]
    assert spikes[1].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


def events(rows: list[tuple[int, int, int, int]], offsets: list[int]) -> Events:
    x, y, p, t = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return Events(x=x, y=y, p=p, t=t, offsets=np.array(offsets))


TWO = events([(0, 0, 0, 0), (2, 1, 1, 9), (2, 1, 1, 10), (1, 0, 0, 61), (1, 1, 0, 59)], [0, 4, 5])


def test_events_are_binned_by_polarity_row_and_column() -> None:
    spikes = encode(code_of("events", sample=(2, 2, 3)), TWO, np.arange(2))
    where = [tuple(int(i) for i in place) for place in zip(*np.nonzero(spikes), strict=True)]
    assert where == [(0, 0, 0), (0, 0, 11), (0, 1, 11), (1, 5, 4)]  # the event at 61 us is late


def test_polarities_merge_pixels_shrink_and_few_events_are_none() -> None:
    code = code_of("events", sample=(2, 2, 3), polarity="merged", shrink=2, at_least=2, bin_us=20)
    assert code.shape == (1, 1, 2)
    spikes = encode(code, TWO, np.arange(2))
    assert [place.tolist() for place in np.nonzero(spikes)] == [[0], [0], [1]]


@given(encoded_samples(kinds=("events",)))
def test_events_are_counted(drawn) -> None:
    code, values, indices = drawn
    assert isinstance(values, Events)
    assert code.shrink is not None
    assert code.bin_us is not None
    assert code.at_least is not None
    channels, height, width = (1, 1, *code.shape)[-3:]
    counts = np.zeros((len(values), code.timesteps, channels, height, width), int)
    for sample in range(len(values)):
        for at in range(int(values.offsets[sample]), int(values.offsets[sample + 1])):
            step = int(values.t[at]) // code.bin_us
            channel = int(values.p[at]) if code.polarity == "both" else 0
            row, column = int(values.y[at]) // code.shrink, int(values.x[at]) // code.shrink
            if step < code.timesteps:
                counts[sample, step, channel, row, column] += 1
    expected = (counts >= code.at_least).reshape(len(values), code.timesteps, -1)
    assert np.array_equal(encode(code, values, indices), expected)


# What each encoding gave when it was written: on any machine it must give the same.
PINNED = {
    "rate": "4f2e6dd98520bda3",
    "bernoulli": "d749c0fc0819848a",
    "latency": "3e456c0f3beec5a7",
    "delta": "1c35a9be39ae26f7",
    "events": "86cb5f3286986dad",
}


@pytest.mark.parametrize("kind", ENCODINGS)
def test_the_bits_are_those_they_always_were(kind: str) -> None:
    code = code_of(kind, **({"sample": (2, 2, 3)} if kind == "events" else {}))
    drawn = {"delta": np.arange(24).reshape(2, 6, 2) * 7 % 19 - 9, "events": TWO}
    values = drawn.get(kind, np.arange(12).reshape(2, 1, 2, 3) % 10)
    spikes = encode(code, values, np.arange(2))
    assert hashlib.sha256(np.packbits(spikes)).hexdigest()[:16] == PINNED[kind]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "encoding 'rate': has no parameter 'seed'"),
        ({"maximum": None}, "encoding 'rate': needs parameter 'maximum'"),
        ({"timesteps": 0}, r"timesteps must be in 1\.\.4096"),
        ({"sample": (3, 2), "timesteps": 4}, "steps must divide timesteps"),
        ({"sample": (3,)}, "no such sample shape"),
        ({"maximum": 0}, "maximum must exceed minimum"),
    ],
)
def test_a_wrong_encoding_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        code_of("rate", **change)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("bernoulli", {"seed": -1}, r"seed must be in 0\.\.2\^63 - 1"),
        ("latency", {"threshold": 0}, "threshold must be above minimum"),
        ("delta", {"thresholds": ()}, "thresholds must be at least one number"),
        ("delta", {"thresholds": (1, 0)}, "thresholds must be at least one number"),
        ("events", {"bin_us": 0}, "bin_us must be at least 1"),
        ("events", {"polarity": "none"}, "polarity must be 'both' or 'merged'"),
    ],
)
def test_a_wrong_parameter_is_refused(kind: str, change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        code_of(kind, **change)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("rate", np.full((1, 6), 10), r"needs values in 0\.\.9, holds 10\.\.10"),
        ("latency", np.full((1, 6), -1), r"needs values in 0\.\.9, holds -1\.\.-1"),
        ("rate", np.zeros((1, 5), int), r"needs samples of shape \(1, 2, 3\), holds \(5,\)"),
        ("delta", np.full((1, 6, 2), 2**31), r"needs values in -2147483648\.\.2147483647, holds"),
        ("delta", np.zeros((1, 12), int), r"needs samples of shape \(6, 2\), holds \(12,\)"),
        ("events", np.zeros((1, 6), int), "needs events .* was given values"),
        ("rate", TWO.take(np.array([0])), "needs values, was given events"),
        ("events", TWO.take(np.array([0])), r"event 1 has p = 1, the sensor's p is in 0\.\.0"),
    ],
)
def test_values_of_another_kind_are_refused(kind: str, values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        encode(code_of(kind), values, np.zeros(1, np.int64))  # type: ignore[arg-type]


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(InputError, match="'morse': is none of rate, bernoulli"):
        Encoding(kind="morse", timesteps=4, sample=(1, 2, 3))


def test_a_wrong_encoding_in_a_file_is_refused() -> None:
    described, arrays = codec.pack(code_of("rate"))
    with pytest.raises(FileError, match="unknown key 'max'; did you mean 'maximum'"):
        codec.unpack(Encoding, described | {"max": 3}, arrays)
    with pytest.raises(FileError, match="sample: must be a list"):
        codec.unpack(Encoding, described | {"sample": 3}, arrays)


def test_an_encoding_is_one_line() -> None:
    assert str(code_of("delta")) == "delta, 6 timesteps of samples 6 x 2, thresholds 2/5"
    assert str(code_of("rate")) == "rate, 6 timesteps of samples 1 x 2 x 3, minimum 0, maximum 9"


def test_a_large_sensor_of_narrow_integers_is_counted_right() -> None:
    """Rows times columns exceed what a byte holds; the file's bytes must not."""
    pixel = np.array([33, 33], np.uint8)
    events = Events(
        x=pixel, y=pixel, p=np.array([1, 0], np.uint8), t=pixel, offsets=np.array([0, 2])
    )
    code = code_of("events", sample=(2, 34, 34), polarity="merged", bin_us=100, timesteps=1)
    spikes = encode(code, events, np.zeros(1, np.int64))
    assert np.flatnonzero(spikes).tolist() == [33 * 34 + 33]
