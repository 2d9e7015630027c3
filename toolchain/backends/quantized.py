"""The quantized network itself, timestep by timestep, with no cores at all.

It says what packed cores must reproduce: a synapse that the mapper loses differs from it.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from toolchain import arithmetic
from toolchain.artifact import Artifact
from toolchain.backends import Watch, ignore
from toolchain.backends.recorder import Recorder
from toolchain.network import (
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
    in_causal_order,
    lag,
)
from toolchain.raster import Raster, Recording, check_stimulus

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def why_unavailable() -> str | None:
    """Always ready."""
    return None


def run(
    artifact: Artifact,
    stimulus: Raster,
    *,
    states: bool | Collection[str] = False,
    watch: Watch = ignore,
) -> Recording:
    """Run the artifact's quantized network; see `run_network`."""
    return run_network(artifact.network, stimulus, states=states, watch=watch)


def run_network(
    network: QuantizedNetwork,
    stimulus: Raster,
    *,
    states: bool | Collection[str] = False,
    watch: Watch = ignore,
) -> Recording:
    """Run a quantized network on every sample of a stimulus, each from a state of zero."""
    spikes = check_stimulus(stimulus, network.input.name, network.input.size)
    samples, timesteps, _ = spikes.shape
    recorder = Recorder(network, samples, timesteps, states=states)
    layers = [_Layer(network, p, samples) for p in in_causal_order(network)]
    known = recorder.spikes | {network.input.name: spikes}
    for t in range(timesteps):
        watch("run the quantized network", t, timesteps)
        for layer in layers:  # a spike of lag 0 acts in the same local timestep, further down
            layer.step(t, known, recorder)
    watch("run the quantized network", timesteps, timesteps)
    return recorder.recording(stimulus.labels)


class _Layer:
    """A population's states in all samples at once."""

    def __init__(
        self, network: QuantizedNetwork, population: QuantizedPopulation, samples: int
    ) -> None:
        self.population = population
        self.incoming = [
            (edge, lag(network, edge))
            for edge in network.projections
            if edge.target == population.name
        ]
        self.bias = arithmetic.bias_value(population.bias_mantissa, population.bias_exponent)
        self.u, self.v = (np.zeros((samples, population.size), np.int64) for _ in range(2))

    def step(self, t: int, spikes: dict[str, BoolArray], recorder: Recorder) -> None:
        """One local timestep, the equations of docs/semantics.md."""
        a = np.zeros_like(self.u)
        for edge, late in self.incoming:
            if t >= late:
                a += _arriving(edge, spikes[edge.source][:, t - late])
        self.u = arithmetic.next_u(self.u, a, self.population.decay_u)
        self.v = arithmetic.next_v(self.v, self.u, self.bias, self.population.decay_v)
        self.v, fired = arithmetic.fire(self.v, self.population.threshold)
        recorder.put(self.population.name, (slice(None), t), self.u, self.v, fired)


def _arriving(edge: QuantizedProjection, spikes: BoolArray) -> IntArray:
    """(samples, target) the shifted sum of the weights of the sources that spiked."""
    return np.asarray((edge.weights @ spikes.T.astype(np.int64)).T) << edge.weight_exponent
