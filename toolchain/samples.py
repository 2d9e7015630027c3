"""Raw samples before they are spikes: integers, or events, and the files that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import FileError, InputError
from toolchain.files import Array, read_npz

IntArray = NDArray[np.int64]
Integers = NDArray[np.integer]
_COLUMNS = ("x", "y", "p", "t")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Events:
    """What an event sensor saw: the events of several samples, one sample after the other.

    Sample i holds events offsets[i], ..., offsets[i + 1] - 1. A sensor of one row has y = 0, one
    without polarity p = 0.
    """

    x: Integers  # (events,) column, from 0
    y: Integers  # (events,) row, from 0
    p: Integers  # (events,) polarity, from 0
    t: Integers  # (events,) microseconds since the sample's start, never falling within a sample
    offsets: IntArray  # (samples + 1,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, positions: IntArray) -> Events:
        """The samples at these positions, in this order."""
        length = np.diff(self.offsets)[positions]
        offsets = np.concatenate([[0], np.cumsum(length)])
        chosen = np.arange(offsets[-1]) + np.repeat(self.offsets[positions] - offsets[:-1], length)
        x, y, p, t = (getattr(self, name)[chosen] for name in _COLUMNS)
        return Events(x=x, y=y, p=p, t=t, offsets=offsets)


Values = Integers | Events


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawSamples:
    """What a file of raw samples holds."""

    values: Values  # (samples, ...) integers, or events
    indices: IntArray  # (samples,) position in the whole data set, >= 0: the seed of noise
    labels: IntArray | None  # (samples,) where known


def read_samples(path: Path) -> RawSamples:
    """Read an `.npz` of raw samples: `values`, or `x y p t offsets` of events; no pickle.

    `labels` (or `label`) are kept where they are there; `indices` default to 0, 1, ... Raises
    FileError naming what is missing or wrong.
    """
    arrays = read_npz(path)
    try:
        values = _values(arrays)
        labels = _of_samples(arrays, "labels" if "labels" in arrays else "label", len(values))
        indices = _of_samples(arrays, "indices", len(values))
    except InputError as problem:
        raise FileError(f"{path}: {problem}") from problem
    if indices is None:
        indices = np.arange(len(values), dtype=np.int64)
    return RawSamples(values=values, indices=indices, labels=labels)


def _values(arrays: dict[str, Array]) -> Values:
    if "values" in arrays:
        values = arrays["values"]
        if values.dtype.kind not in "iu" or values.ndim < 2:
            raise InputError(
                "array 'values' must hold integers of shape (samples, ...), holds"
                f" {values.dtype} of shape {values.shape}"
            )
        return values
    if "offsets" not in arrays:
        raise InputError(
            f"holds neither 'values' nor events (x, y, p, t, offsets), but"
            f" {', '.join(arrays) or 'nothing'}"
        )
    return events_of(arrays)


def events_of(arrays: dict[str, Array]) -> Events:
    """Events from the arrays of a file, their order checked; y and p may be left out for 0.

    Raises InputError where an array is missing, of another length, or out of order.
    """
    for name in ("x", "t", "offsets"):
        if name not in arrays:
            raise InputError(f"array '{name}' of the events is missing")
    absent = np.zeros(arrays["x"].shape, np.uint8)
    columns = {name: arrays.get(name, absent) for name in _COLUMNS}
    for name, column in [*columns.items(), ("offsets", arrays["offsets"])]:
        if column.dtype.kind not in "iu" or column.ndim != 1:
            raise InputError(
                f"array '{name}' must hold integers in one row, holds {column.dtype} of shape"
                f" {column.shape}"
            )
        if name != "offsets" and len(column) != len(columns["x"]):
            raise InputError(
                f"array '{name}' holds {len(column):,} events, 'x' {len(columns['x']):,};"
                " they must be as many"
            )
    offsets = arrays["offsets"].astype(np.int64)
    _check_offsets(offsets, len(columns["x"]))
    events = Events(**columns, offsets=offsets)
    _check_times(events)
    return events


def _check_offsets(offsets: IntArray, events: int) -> None:
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != events:
        ends = f"{offsets[0]} to {offsets[-1]}" if len(offsets) else "nothing"
        raise InputError(
            f"array 'offsets' must go from 0 to the number of events, {events:,}, for at least one"
            f" sample; it holds {ends}"
        )
    falls = np.flatnonzero(np.diff(offsets) < 0)
    if len(falls):
        at = int(falls[0])
        raise InputError(
            f"array 'offsets' falls from {offsets[at]} to {offsets[at + 1]} at sample {at}; a"
            " sample's events must follow those of the sample before"
        )


def _check_times(events: Events) -> None:
    if not len(events.t):
        return
    if events.t.min() < 0:
        at = int(np.argmin(events.t))
        raise InputError(f"event {at:,} has time {events.t[at]} us; times count from 0")
    falls = events.t[1:] < events.t[:-1]
    starts = events.offsets[1:-1]  # a new sample's first event may be earlier than the last one
    falls[starts[(starts > 0) & (starts < len(events.t))] - 1] = False
    if falls.any():
        at = int(np.flatnonzero(falls)[0]) + 1
        sample = int(np.searchsorted(events.offsets, at, side="right")) - 1
        raise InputError(
            f"sample {sample}: time falls from {events.t[at - 1]} to {events.t[at]} us at event"
            f" {at:,}; the events of a sample must be in the order of time"
        )


def check_range(events: Events, polarities: int, height: int, width: int) -> None:
    """Refuse an event outside the sensor, naming event, coordinate and range."""
    for name, limit in (("p", polarities), ("y", height), ("x", width)):
        column = getattr(events, name)
        outside = (column < 0) | (column >= limit)
        if outside.any():
            at = int(np.flatnonzero(outside)[0])
            raise InputError(
                f"event {at:,} has {name} = {column[at]}, the sensor's {name} is in 0..{limit - 1}"
            )


def _of_samples(arrays: dict[str, Array], name: str, samples: int) -> IntArray | None:
    if name not in arrays:
        return None
    array = arrays[name]
    if array.dtype.kind not in "iu" or array.shape != (samples,) or (samples and array.min() < 0):
        raise InputError(
            f"array '{name}' must hold {samples:,} integers from 0, holds {array.dtype} of shape"
            f" {array.shape}"
        )
    return array.astype(np.int64)
