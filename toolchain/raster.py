"""Rasters: who spiked when. A stimulus is the input's raster; a run gives one per population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import FileError, InputError
from toolchain.files import Array, read_npz, write_npz

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raster:
    """Spikes of named populations, for several samples of equal length.

    Row t of a population is its own local timestep t, which begins when the first input can reach
    it (`network.starts`); so every population of a raster has the same number of rows.
    """

    spikes: Mapping[str, BoolArray]  # name -> (samples, timesteps, neurons)
    labels: IntArray | None = None  # (samples,) the class of each sample, where known

    def __post_init__(self) -> None:
        if not self.spikes:
            raise InputError("a raster needs at least one population")
        for name, array in self.spikes.items():
            if array.ndim != 3 or array.dtype != np.bool_:
                raise InputError(
                    f"raster of '{name}' must be bool of shape (samples, timesteps, neurons), is"
                    f" {array.dtype} of shape {array.shape}"
                )
        if len({array.shape[:2] for array in self.spikes.values()}) != 1:
            raise InputError("all populations of a raster must have equal samples and timesteps")
        if self.labels is not None and self.labels.shape != (self.samples,):
            raise InputError(f"labels must have shape ({self.samples},), have {self.labels.shape}")

    @property
    def samples(self) -> int:
        """Number of samples."""
        return next(iter(self.spikes.values())).shape[0]

    @property
    def timesteps(self) -> int:
        """Timesteps of each sample."""
        return next(iter(self.spikes.values())).shape[1]

    def first(self, samples: int) -> Raster:
        """The first so many samples; raises InputError where there are fewer."""
        if not 1 <= samples <= self.samples:
            raise InputError(f"needed {samples} samples, the raster holds {self.samples}")
        return self.between(0, samples)

    def between(self, start: int, stop: int) -> Raster:
        """Samples start, ..., stop - 1."""
        labels = None if self.labels is None else self.labels[start:stop]
        spikes = {name: array[start:stop] for name, array in self.spikes.items()}
        return Raster(spikes=spikes, labels=labels)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """What a backend gives back: every population's spikes, and states where they were asked for.

    u and v are those after the timestep's update and, for v, after its reset.
    """

    raster: Raster
    u: Mapping[str, IntArray] | None = None  # name -> (samples, timesteps, neurons), chip integers
    v: Mapping[str, IntArray] | None = None


def decisions(raster: Raster, output: str) -> IntArray:
    """(samples,) index of the output neuron that spiked most; the lowest index wins a tie."""
    return raster.spikes[output].sum(axis=1).argmax(axis=1)


def accuracy(raster: Raster, output: str) -> float | None:
    """Share of samples decided as labelled, or None where the raster has no labels."""
    if raster.labels is None:
        return None
    return float(np.mean(decisions(raster, output) == raster.labels))


def check_stimulus(stimulus: Raster, name: str, size: int) -> BoolArray:
    """The input's spikes (samples, timesteps, size), or an InputError that says what is wrong."""
    if name not in stimulus.spikes:
        held = ", ".join(stimulus.spikes)
        raise InputError(f"the stimulus must hold the input '{name}'; it holds {held}")
    spikes = stimulus.spikes[name]
    if spikes.shape[2] != size:
        raise InputError(
            f"the stimulus is {spikes.shape[2]} neurons wide, the input '{name}' has {size};"
            " encode the data for this network"
        )
    if 0 in spikes.shape:
        raise InputError(f"the stimulus is empty: its shape is {spikes.shape}")
    return spikes


def write_raster(path: Path, raster: Raster) -> None:
    """Write an `.npz`: one bool array per population under its name, and `labels` where known."""
    arrays = dict(raster.spikes) | ({} if raster.labels is None else {"labels": raster.labels})
    write_npz(path, arrays)


def read_raster(path: Path) -> Raster:
    """Read what `write_raster` wrote; raises FileError where the file is no raster."""
    arrays = read_npz(path)
    try:
        return Raster(labels=_labels(arrays.pop("labels", None)), spikes=arrays)
    except InputError as problem:
        raise FileError(f"{path}: {problem}") from problem


def _labels(array: Array | None) -> IntArray | None:
    if array is None:
        return None
    if array.dtype.kind not in "iu":
        raise InputError(f"labels must be integers, are {array.dtype}")
    return array.astype(np.int64)
