"""How often each neuron spiked: what cores are placed by, and what estimates start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.files import sha256
from toolchain.network import QuantizedNetwork
from toolchain.raster import Raster, check_stimulus

IntArray = NDArray[np.int64]
ASSUMED = ""  # stimulus of an activity that nobody measured


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activity:
    """Spikes of every neuron, summed over samples and timesteps."""

    samples: int
    timesteps: int  # of each sample
    spikes: IntArray  # (neurons,) those of the input first, then population by population
    stimulus: str  # SHA-256 of what was shown; "" where every neuron is assumed to always spike

    def __post_init__(self) -> None:
        if self.samples < 1 or self.timesteps < 1:
            raise InputError("an activity needs at least one sample of one timestep")
        most = self.samples * self.timesteps
        if self.spikes.ndim != 1 or np.any((self.spikes < 0) | (self.spikes > most)):
            raise InputError(f"an activity counts 0 to {most} spikes for each neuron")

    @property
    def measured(self) -> bool:
        """Whether the spikes were counted, not assumed."""
        return self.stimulus != ASSUMED

    @property
    def steps(self) -> int:
        """Timesteps of all samples together."""
        return self.samples * self.timesteps


def assumed_activity(network: QuantizedNetwork) -> Activity:
    """Every neuron spikes at every timestep: what is assumed where nothing was measured."""
    ones = np.ones(neurons(network), np.int64)
    return Activity(samples=1, timesteps=1, spikes=ones, stimulus=ASSUMED)


def measured_activity(
    network: QuantizedNetwork, stimulus: Raster, counts: Mapping[str, IntArray]
) -> Activity:
    """What was counted when a stimulus ran: (size,) spikes of each population, by its name."""
    shown = check_stimulus(stimulus, network.input.name, network.input.size)
    spikes = [shown.sum(axis=(0, 1)), *(counts[p.name] for p in network.populations)]
    return Activity(
        samples=stimulus.samples,
        timesteps=stimulus.timesteps,
        spikes=np.concatenate(spikes).astype(np.int64),
        stimulus=sha256(str(shown.shape).encode() + np.packbits(shown).tobytes()),
    )


def first_neurons(network: QuantizedNetwork) -> dict[str, int]:
    """Where each population's neurons begin in an activity, the input's first."""
    ends = np.cumsum([0, *(size for _, size in _sizes(network))]).tolist()
    return dict(zip((name for name, _ in _sizes(network)), ends, strict=False))


def neurons(network: QuantizedNetwork) -> int:
    """Neurons that an activity counts: those of the input and of every population."""
    return sum(size for _, size in _sizes(network))


def _sizes(network: QuantizedNetwork) -> list[tuple[str, int]]:
    inside = [(population.name, population.size) for population in network.populations]
    return [(network.input.name, network.input.size), *inside]
