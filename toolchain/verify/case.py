"""A case that fails: an artifact with its stimulus, and what of it may be left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import Artifact
from toolchain.raster import Raster
from toolchain.verify.shrink import cut, isolate, sources

IntArray = NDArray[np.int64]
Neuron = tuple[str, int]  # population and number, of the artifact that was given


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """An artifact with its stimulus, and where its parts came from.

    The stimulus has no labels: what is left of the output decides nothing.
    """

    artifact: Artifact
    stimulus: Raster
    neurons: Mapping[str, tuple[Neuron, ...]]  # the input and populations -> what they were
    samples: tuple[int, ...]  # numbers that the samples had
    first_timestep: int  # number that timestep 0 had

    @property
    def size(self) -> dict[str, int]:
        """What is in it, by kind."""
        network = self.artifact.network
        spikes = self.stimulus.spikes[network.input.name]
        return {
            "samples": spikes.shape[0],
            "timesteps": spikes.shape[1],
            "populations": len(network.populations),
            "neurons": sum(p.size for p in network.populations),
            "input_neurons": network.input.size,
            "synapses": network.synapses,
            "cores": len(self.artifact.cores),
            "input_spikes": int(spikes.sum()),
        }


def whole(artifact: Artifact, stimulus: Raster) -> Case:
    """The case before anything is left out."""
    network = artifact.network
    sizes = {network.input.name: network.input.size}
    sizes |= {p.name: p.size for p in network.populations}
    return Case(
        artifact=artifact,
        stimulus=Raster(spikes={network.input.name: stimulus.spikes[network.input.name]}),
        neurons={n: tuple((n, i) for i in range(size)) for n, size in sizes.items()},
        samples=tuple(range(stimulus.samples)),
        first_timestep=0,
    )


def take_samples(case: Case, some: Sequence[int]) -> Case:
    """The case of these samples, by their numbers in it, in this order."""
    chosen = list(some)
    shown = Raster(spikes={name: bits[chosen] for name, bits in case.stimulus.spikes.items()})
    return replace(case, stimulus=shown, samples=tuple(case.samples[at] for at in chosen))


def take_rows(case: Case, start: int, stop: int | None) -> Case:
    """The case of the stimulus' timesteps start, ..., stop - 1; every sample starts from zero."""
    rows = {name: spikes[:, start:stop] for name, spikes in case.stimulus.spikes.items()}
    shown = Raster(spikes=rows)
    return replace(case, stimulus=shown, first_timestep=case.first_timestep + start)


def take_neurons(case: Case, some: Sequence[tuple[str, int]]) -> Case:
    """The case of these neurons, by their numbers in it."""
    origin = case.artifact.network.input.name
    keep = {
        name: np.array(sorted(n for kept, n in some if kept == name), np.int64)
        for name in case.neurons
    }
    shown = Raster(spikes={origin: case.stimulus.spikes[origin][:, :, keep[origin]]})
    left = {name: tuple(case.neurons[name][n] for n in k) for name, k in keep.items() if len(k)}
    return replace(case, artifact=cut(case.artifact, keep), stimulus=shown, neurons=left)


def feed(case: Case, name: str, expected: Raster) -> Case:
    """A population alone, fed with what its sources were expected to spike."""
    network = case.artifact.network
    origin = network.input.name
    known = {**expected.spikes, origin: case.stimulus.spikes[origin]}
    feeding = sources(network, name)
    shown = np.concatenate([known[source] for source in feeding], axis=2)
    fed = tuple(neuron for source in feeding for neuron in case.neurons[source])
    return replace(
        case,
        artifact=isolate(case.artifact, name),
        stimulus=Raster(spikes={origin: shown}),
        neurons={origin: fed, name: case.neurons[name]},
    )


def place_of(case: Case, target: Neuron) -> tuple[str, int] | None:
    """(population, number) that a neuron has in a case; None where it was left out."""
    kept = case.neurons.get(target[0], ())
    return (target[0], kept.index(target)) if target in kept else None


def leading_to(case: Case, name: str) -> list[tuple[str, int]]:
    """Every neuron of a population, of the input, and of all from which spikes can reach it."""
    network = case.artifact.network
    found = [name]
    for reached in found:  # grows while it is walked
        found += [source for source in sources(network, reached) if source not in found]
    inside = dict.fromkeys([*found, network.input.name])
    return [(kept, n) for kept in inside for n in range(len(case.neurons[kept]))]
