"""A small network on several cores of tiny, and rasters that fit it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import csr_array

from tests.strategies import neurons, place, synapses
from toolchain.artifact import Artifact
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork
from toolchain.raster import Raster

# Neither in the order of the alphabet nor in that of the clocks (wide, deep, answer).
SIZES = {"deep": 20, "wide": 37, "answer": 5}
NAMES = tuple(SIZES)
NEURONS = [(at, n) for at, size in enumerate(SIZES.values()) for n in range(size)]

Bit = tuple[int, int, tuple[int, int]]  # sample, timestep, (place of the population, neuron)


def _artifact() -> Artifact:
    rng = np.random.default_rng(3)

    def some(target: int, source: int) -> csr_array:
        weights = rng.integers(-60, 60, (target, source)) * 2
        return csr_array(weights * (rng.random((target, source)) < 0.3))

    network = QuantizedNetwork(
        input=Input(name="input", size=8),
        populations=tuple(neurons(name, size) for name, size in SIZES.items()),
        projections=(
            synapses("input", "wide", some(37, 8)),
            synapses("wide", "deep", some(20, 37)),
            synapses("deep", "answer", some(5, 20)),
        ),
        output="answer",
    )
    return place(network, find_profile("tiny"))


ARTIFACT = _artifact()
HOMES = {
    (block.population, neuron): core.number
    for core in ARTIFACT.cores
    for block in core.blocks
    for neuron in block.neurons
}


def random_raster(samples: int, timesteps: int, *, rate: float, seed: int) -> Raster:
    rng = np.random.default_rng(seed)
    return Raster(
        spikes={name: rng.random((samples, timesteps, size)) < rate for name, size in SIZES.items()}
    )


def raster(
    samples: int,
    timesteps: int,
    spikes: Iterable[tuple[int, int, str, int]] = (),
    *,
    labels: Sequence[int] | None = None,
) -> Raster:
    """Silent but for these spikes: (sample, timestep, population, neuron)."""
    arrays = {name: np.zeros((samples, timesteps, size), bool) for name, size in SIZES.items()}
    for sample, timestep, name, neuron in spikes:
        arrays[name][sample, timestep, neuron] = True
    return Raster(spikes=arrays, labels=None if labels is None else np.array(labels, np.int64))


def flipped(given: Raster, bits: Iterable[Bit]) -> Raster:
    """The same with these bits turned over, its populations named in the opposite order."""
    arrays = {name: array.copy() for name, array in reversed(given.spikes.items())}
    for sample, timestep, (at, neuron) in bits:
        arrays[NAMES[at]][sample, timestep, neuron] ^= True
    return Raster(spikes=arrays, labels=given.labels)
