"""Two rasters of one artifact, bit by bit. There is no tolerance, and no way to ask for one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import Artifact
from toolchain.errors import InputError
from toolchain.raster import Raster

_UNITS = ("samples", "timesteps", "neurons")  # of the axes of a raster
TRAINED = "trained"  # in a chain: the network as it was trained, on the chip's integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """The first spike that one side has and the other has not.

    First by sample, then by timestep of the local clock, then down the network.
    """

    sample: int
    timestep: int
    population: str
    neuron: int
    core: int  # number of the core on which the neuron lives
    expected: bool
    actual: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One arrow of the chain: what was compared, and what differed."""

    against: str  # the backend that says what is expected
    backend: str  # the backend that is judged
    samples: int
    neuron_steps_compared: int  # bits: samples x timesteps x neurons, over all populations
    spikes_compared: int  # spikes on either side
    mismatches: int  # bits that differ
    mismatches_per_population: dict[str, int]
    first_mismatch: Mismatch | None
    mismatches_per_timestep: dict[str, list[int]]  # by local timestep; empty where all are equal

    @property
    def contract(self) -> str:
        """Which of the contracts of docs/semantics.md it must keep."""
        return "deploy" if self.against == TRAINED else "chip"

    @property
    def equal(self) -> bool:
        """Whether every bit is equal; a comparison of nothing, or of silence, is not."""
        return self.mismatches == 0 and self.neuron_steps_compared > 0 and self.spikes_compared > 0


def compare(
    expected: Raster, actual: Raster, artifact: Artifact, *, against: str, backend: str
) -> Comparison:
    """Compare every population of an artifact over all samples and timesteps.

    Raises InputError where the rasters are of different shape or lack a population.
    """
    names = [population.name for population in artifact.network.populations]
    pairs = {name: _pair(expected, actual, name) for name in names}
    differ = {name: left != right for name, (left, right) in pairs.items()}
    return Comparison(
        against=against,
        backend=backend,
        samples=expected.samples,
        neuron_steps_compared=sum(bits.size for bits in differ.values()),
        spikes_compared=sum(int((left | right).sum()) for left, right in pairs.values()),
        mismatches=sum(int(bits.sum()) for bits in differ.values()),
        mismatches_per_population={name: int(bits.sum()) for name, bits in differ.items()},
        first_mismatch=_first(differ, expected, artifact),
        mismatches_per_timestep={
            name: bits.sum(axis=(0, 2)).tolist()
            for name, bits in differ.items()
            if any(bits.any() for bits in differ.values())
        },
    )


def _pair(
    expected: Raster, actual: Raster, name: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    for raster in (expected, actual):
        if name not in raster.spikes:
            held = ", ".join(raster.spikes)
            raise InputError(f"a raster lacks population '{name}'; it holds {held}")
    left, right = expected.spikes[name], actual.spikes[name]
    if left.shape != right.shape:
        apart = [unit for at, unit in enumerate(_UNITS) if left.shape[at] != right.shape[at]]
        raise InputError(
            f"rasters of '{name}' have different shapes, {left.shape} and {right.shape}"
            f" ({', '.join(_UNITS)}): their {' and '.join(apart)} differ, so they come from"
            " different stimuli or count time otherwise; record both from one stimulus"
        )
    return left, right


def _first(
    differ: dict[str, NDArray[np.bool_]], expected: Raster, artifact: Artifact
) -> Mismatch | None:
    earliest = [(_where(bits), name) for name, bits in differ.items() if bits.any()]
    if not earliest:
        return None
    (sample, timestep, neuron), name = min(earliest, key=lambda found: found[0][:2])
    wanted = bool(expected.spikes[name][sample, timestep, neuron])
    return Mismatch(
        sample=sample,
        timestep=timestep,
        population=name,
        neuron=neuron,
        core=artifact.core_of(name, neuron),
        expected=wanted,
        actual=not wanted,
    )


def _where(bits: NDArray[np.bool_]) -> tuple[int, int, int]:
    """(sample, timestep, neuron) of the first bit that is set."""
    sample, timestep, neuron = np.unravel_index(bits.argmax(), bits.shape)
    return int(sample), int(timestep), int(neuron)
