"""Integers and events to spikes: the same bits on every machine, from the artifact alone.

Every code is integer arithmetic on a sample's own values. A signal's step, like an image, lasts H
timesteps: H = timesteps / steps, where an image has one step. With k = value - minimum, in 0..m:

    rate        timestep t spikes where (2 K_t + m) // 2m climbs; K_t sums k over timesteps 0..t
    bernoulli   spikes with probability k / m: where  m * draw < k * 2^32,  draw in 0..2^32 - 1
    latency     one spike per step, (m - k)(H - 1) // (m - k_0) timesteps into it; none for k < k_0
    delta       x - r >= d: "up" spikes, r += d;  x - r <= -d: "down" spikes, r -= d;  r starts at 0
    events      spikes in bin t // bin_us where `at_least` events or more fell on its pixels
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.samples import Events, IntArray, Integers, Values, check_range

BoolArray = NDArray[np.bool_]
UIntArray = NDArray[np.uint64]
LONGEST = 4096  # timesteps

# kind -> the fields of `Encoding` that it has beside kind, timesteps and sample
PARAMETERS = {
    "rate": ("minimum", "maximum"),
    "bernoulli": ("minimum", "maximum", "seed"),
    "latency": ("minimum", "maximum", "threshold"),
    "delta": ("thresholds",),
    "events": ("bin_us", "polarity", "shrink", "at_least"),
}
_OPTIONAL = sorted({name for names in PARAMETERS.values() for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a raw sample becomes the spikes of the input; all that the chip's host has to know.

    The parameters that its kind has (`PARAMETERS`) are set, the others None.
    """

    kind: str  # a key of ENCODINGS
    timesteps: int  # 1..4096
    # One raw sample: (channels, height, width) of an image; (steps, channels) of a signal, steps
    # dividing timesteps; (polarities, height, width) or (channels,) of an event sensor.
    sample: tuple[int, ...]
    minimum: int | None = None  # smallest value: the one that never spikes
    maximum: int | None = None  # largest value; less than 2^31 above the minimum
    seed: int | None = None  # of the noise, 0..2^63 - 1
    threshold: int | None = None  # smallest value that spikes, above minimum, at most maximum
    thresholds: tuple[int, ...] | None = None  # distances of levels, >= 1: a pair of neurons each
    bin_us: int | None = None  # microseconds of a timestep; later events than the last are left out
    polarity: str | None = None  # "both": a channel each; "merged": one for all
    shrink: int | None = None  # so many pixels by so many, or channels, share a neuron
    at_least: int | None = None  # events in a bin that make a spike

    def __post_init__(self) -> None:
        who = f"encoding '{self.kind}'"
        if self.kind not in PARAMETERS:
            raise InputError(f"{who}: is none of {', '.join(PARAMETERS)}")
        for name in _OPTIONAL:
            if (name in PARAMETERS[self.kind]) != (getattr(self, name) is not None):
                must = "needs" if name in PARAMETERS[self.kind] else "has no"
                raise InputError(f"{who}: {must} parameter '{name}'")
        for holds, needed in _laws(self):
            if not holds:
                raise InputError(f"{who}: {needed}; it is {self}")

    @property
    def steps(self) -> int:
        """Steps of a signal; an image is a signal of one."""
        return self.sample[0] if len(self.sample) == 2 else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input neurons: (neurons,) or (channels, height, width), in C order."""
        if self.kind == "events":
            return self._shape_of_events()
        if self.thresholds is not None:
            return (2 * len(self.thresholds) * (prod(self.sample) // self.steps),)
        return self.sample[1:] if len(self.sample) == 2 else self.sample

    @property
    def neurons(self) -> int:
        """Input neurons."""
        return prod(self.shape)

    def _shape_of_events(self) -> tuple[int, ...]:
        assert self.shrink is not None
        *polarities, height, width = (1, 1, *self.sample)[-3:]
        channels = polarities[0] if self.polarity == "both" else 1
        pixels = (-(-height // self.shrink), -(-width // self.shrink))
        return (channels, *pixels) if len(self.sample) == 3 else pixels[1:]

    def __str__(self) -> str:
        """One line: kind, timesteps, sample, parameters."""
        sample = " x ".join(str(extent) for extent in self.sample)
        parts = [f"{self.kind}, {self.timesteps} timesteps of samples {sample}"]
        for name in PARAMETERS.get(self.kind, ()):
            value = getattr(self, name)
            several = isinstance(value, tuple)
            parts.append(f"{name} {'/'.join(map(str, value)) if several else value}")
        return ", ".join(parts)


def _laws(code: Encoding) -> list[tuple[bool, str]]:
    """What must hold of an encoding whose parameters are complete, as (holds, what is needed)."""
    laws = [
        (1 <= code.timesteps <= LONGEST, f"timesteps must be in 1..{LONGEST}"),
        (all(extent >= 1 for extent in code.sample), "every extent must be at least 1"),
        (len(code.sample) in ((1, 3) if code.kind == "events" else (2, 3)), "no such sample shape"),
    ]
    if len(code.sample) == 2 and code.sample[0] >= 1:
        laws.append((code.timesteps % code.sample[0] == 0, "steps must divide timesteps"))
    if code.minimum is not None and code.maximum is not None:
        span = code.maximum - code.minimum
        laws.append((1 <= span < 2**31, "maximum must exceed minimum, by less than 2^31"))
        if code.threshold is not None:
            fits = code.minimum < code.threshold <= code.maximum
            laws.append((fits, "threshold must be above minimum and at most maximum"))
    if code.seed is not None:
        laws.append((0 <= code.seed < 2**63, "seed must be in 0..2^63 - 1"))
    if code.thresholds is not None:
        fits = bool(code.thresholds) and all(1 <= d < 2**31 for d in code.thresholds)
        laws.append((fits, "thresholds must be at least one number, each in 1..2^31 - 1"))
    counts = {name: getattr(code, name) for name in ("bin_us", "shrink", "at_least")}
    laws += [(n >= 1, f"{name} must be at least 1") for name, n in counts.items() if n is not None]
    if code.polarity is not None:
        laws.append((code.polarity in ("both", "merged"), "polarity must be 'both' or 'merged'"))
    return laws


def encode(code: Encoding, values: Values, indices: IntArray, *, epoch: int = 0) -> BoolArray:
    """(samples, timesteps, neurons) spikes of raw samples.

    `indices` (samples,) are the samples' positions in the whole data set: with the seed they decide
    a Bernoulli sample's noise. `epoch` other than 0 draws it anew, for training; the chip gets 0.
    Raises InputError where the values are not what the encoding is for.
    """
    assert indices.shape == (len(values),), (indices.shape, len(values))
    return ENCODINGS[code.kind](code, values, indices, epoch)


@lru_cache(maxsize=8)
def rate_table(maximum: int, timesteps: int) -> BoolArray:
    """(maximum + 1, timesteps): row k is the spike train of value k.

    It spikes at step t where (2(t+1)k + m) // 2m exceeds (2tk + m) // 2m, m the maximum: where the
    rounded line from 0 to T k/m climbs. So k spikes round(T k/m) times in T steps, halves up,
    as evenly spread as integers allow; 0 never spikes, m always.
    """
    value = np.arange(maximum + 1, dtype=np.int64)[:, None]
    step = np.arange(timesteps + 1, dtype=np.int64)[None, :]
    line = (2 * step * value + maximum) // (2 * maximum)
    table = line[:, 1:] > line[:, :-1]
    table.setflags(write=False)
    return table


def _rate(code: Encoding, values: Values, indices: IntArray, epoch: int) -> BoolArray:
    """Deterministic rate code: the running sum, rounded, climbs."""
    shares, m = _shares(code, values)
    if code.steps == 1 and m < 2**16:
        return _by_table(rate_table(m, code.timesteps), shares)
    held = np.repeat(shares.astype(np.int64), code.timesteps // code.steps, axis=1)
    line = (2 * np.cumsum(held, axis=1) + m) // (2 * m)
    return np.diff(line, axis=1, prepend=0) > 0


def _bernoulli(code: Encoding, values: Values, indices: IntArray, epoch: int) -> BoolArray:
    """Noise by a counter-based hash: draw timestep * neurons + neuron of a sample's own stream.

    Only values strictly between the ends are drawn for; 0 never spikes and m always.
    """
    assert code.seed is not None
    shares, m = _shares(code, values)
    hold = code.timesteps // code.steps
    spikes = np.repeat(shares == m, hold, axis=1)
    sample, step, neuron = np.nonzero((shares > 0) & (shares < m))
    likely = shares[sample, step, neuron].astype(np.uint64) << np.uint64(32)
    key = splitmix64(splitmix64(splitmix64(_u64(code.seed)) + _u64(epoch)) + _u64(indices))
    for late in range(hold):
        timestep = step * hold + late
        counter = _u64(timestep * code.neurons + neuron)
        draw = splitmix64(key[sample] + counter * _GOLDEN) >> np.uint64(32)
        spikes[sample, timestep, neuron] = draw * np.uint64(m) < likely
    return spikes


def _latency(code: Encoding, values: Values, indices: IntArray, epoch: int) -> BoolArray:
    """One spike per step and neuron, the earlier the larger the value (Thorpe et al. 2001)."""
    assert code.threshold is not None
    assert code.minimum is not None
    shares, m = _shares(code, values)
    hold = code.timesteps // code.steps
    first = code.threshold - code.minimum
    when = (m - shares.astype(np.int64)) * (hold - 1) // max(m - first, 1)
    now = np.arange(hold)[:, None]
    spikes = (when[:, :, None] == now) & (shares >= first)[:, :, None]
    return spikes.reshape(len(shares), code.timesteps, -1)


def _delta(code: Encoding, values: Values, indices: IntArray, epoch: int) -> BoolArray:
    """Level crossing: a reference follows the value by at most one level per timestep.

    "Send on delta" (Miskowicz 2006, Sensors 6:49). Neurons: by threshold, up or down, channel.
    """
    frames = _within(code, _frames(code, values), -(2**31), 2**31 - 1).astype(np.int64)
    samples, steps, channels = frames.shape
    assert code.thresholds is not None
    distance = np.array(code.thresholds, np.int64)[:, None]
    reference = np.zeros((samples, len(distance), channels), np.int64)
    spikes = np.empty((samples, code.timesteps, len(distance), 2, channels), bool)
    for timestep in range(code.timesteps):
        above = frames[:, None, timestep * steps // code.timesteps] - reference
        spikes[:, timestep, :, 0] = up = above >= distance
        spikes[:, timestep, :, 1] = down = above <= -distance
        reference += distance * (up.astype(np.int64) - down)
    return spikes.reshape(samples, code.timesteps, -1)


def _events(code: Encoding, values: Values, indices: IntArray, epoch: int) -> BoolArray:
    """Events counted in bins of time."""
    if not isinstance(values, Events):
        raise InputError("encoding 'events': needs events (x, y, p, t, offsets), was given values")
    assert code.bin_us is not None
    assert code.shrink is not None
    assert code.at_least is not None
    check_range(values, *(1, 1, *code.sample)[-3:])
    _, height, width = (1, 1, *code.shape)[-3:]
    x, y, p, t = (column.astype(np.int64) for column in (values.x, values.y, values.p, values.t))
    channel = p if code.polarity == "both" else 0
    neuron = (channel * height + y // code.shrink) * width + x // code.shrink
    timestep = t // code.bin_us
    sample = np.repeat(np.arange(len(values)), np.diff(values.offsets))
    kept = timestep < code.timesteps
    place = ((sample * code.timesteps + timestep) * code.neurons + neuron)[kept]
    spikes = np.zeros(len(values) * code.timesteps * code.neurons, bool)
    if code.at_least == 1:
        spikes[place] = True
    else:
        found, count = np.unique(place, return_counts=True)
        spikes[found[count >= code.at_least]] = True
    return spikes.reshape(len(values), code.timesteps, code.neurons)


ENCODINGS: dict[str, Callable[[Encoding, Values, IntArray, int], BoolArray]] = {
    "rate": _rate,
    "bernoulli": _bernoulli,
    "latency": _latency,
    "delta": _delta,
    "events": _events,
}


def _frames(code: Encoding, values: Values) -> Integers:
    """(samples, steps, channels) of values in the encoding's shape; an image may be flat."""
    if isinstance(values, Events):
        raise InputError(f"encoding '{code.kind}': needs values, was given events")
    held, expected = values.shape[1:], code.sample
    flat = (prod(code.sample),)
    if held not in (expected, flat if code.steps == 1 or code.sample[1] == 1 else expected):
        raise InputError(
            f"encoding '{code.kind}': needs samples of shape {expected}, holds {held}; give"
            " 'values' of the shape that the network was trained on"
        )
    return values.reshape(len(values), code.steps, -1)


def _shares(code: Encoding, values: Values) -> tuple[Integers, int]:
    """(k = value - minimum of shape (samples, steps, channels), m); refuses values out of range."""
    assert code.minimum is not None
    assert code.maximum is not None
    frames = _within(code, _frames(code, values), code.minimum, code.maximum)
    shares = frames.astype(np.int64) - code.minimum if code.minimum else frames
    return shares, code.maximum - code.minimum


def _within(code: Encoding, frames: Integers, least: int, most: int) -> Integers:
    """The values as they are; InputError where one is outside least..most."""
    if frames.size and (frames.min() < least or frames.max() > most):
        raise InputError(
            f"encoding '{code.kind}': needs values in {least}..{most}, holds"
            f" {frames.min()}..{frames.max()}; scale the data as for training"
        )
    return frames


def _by_table(table: BoolArray, shares: Integers) -> BoolArray:
    """(samples, timesteps, channels): each value's row of the table (m + 1, H), step after step."""
    samples, steps, channels = shares.shape
    index = shares.astype(np.intp)
    spikes = np.empty((samples, steps, table.shape[1], channels), bool)
    for late, column in enumerate(np.ascontiguousarray(table.T)):
        spikes[:, :, late] = column[index]
    return spikes.reshape(samples, -1, channels)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def splitmix64(state: UIntArray) -> UIntArray:
    """What SplitMix64 gives next in each state: 64 bits, well mixed, modulo 2^64.

    Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA (mix13).
    """
    z = state + _GOLDEN
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def _u64(value: int | IntArray) -> UIntArray:
    """At least one number as an array: numpy wraps arrays in silence, and warns of scalars."""
    return np.atleast_1d(np.asarray(value)).astype(np.uint64)
