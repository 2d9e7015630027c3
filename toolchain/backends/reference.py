"""The slow interpreter of packed cores: the definition of what an artifact means.

Every core keeps its own memories; all that passes between cores is a spike that names an in-axon.
See `artifact.Core` for what an in-axon does, and `arithmetic` for what a neuron does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from toolchain import arithmetic
from toolchain.artifact import Artifact, Core, Image, PlacedBlock
from toolchain.backends import Watch, ignore
from toolchain.backends.recorder import Recorder
from toolchain.network import starts
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
    """Run an artifact's cores on every sample of a stimulus, each from a state of zero."""
    network = artifact.network
    spikes = check_stimulus(stimulus, network.input.name, network.input.size)
    recorder = Recorder(network, *spikes.shape[:2], states=states)
    for sample, rows in enumerate(spikes):
        watch("run the reference", sample, len(spikes))
        _Machine(artifact.image, recorder, sample).run(rows)
    watch("run the reference", len(spikes), len(spikes))
    return recorder.recording(stimulus.labels)


class _Machine:
    """All cores during one sample."""

    def __init__(self, image: Image, recorder: Recorder, sample: int) -> None:
        self.image = image
        self.recorder = recorder
        self.sample = sample
        self.clock = starts(image.network)
        self.u = [np.zeros(core.needed.compartments, np.int64) for core in image.cores]
        self.v = [np.zeros(core.needed.compartments, np.int64) for core in image.cores]
        # timestep -> core -> in-axons whose spikes take effect then
        self.mail: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))

    def run(self, rows: BoolArray) -> None:
        """Step all cores until the last local clock has run as long as the stimulus."""
        for now in range(len(rows) + max(self.clock.values())):
            if now < len(rows):
                self.send_input(now, rows[now])
            arriving = self.mail.pop(now, {})
            for index, core in enumerate(self.image.cores):
                self.step_core(now, len(rows), index, core, arriving.get(index, []))

    def send_input(self, now: int, spikes: BoolArray) -> None:
        routes = np.flatnonzero(spikes[self.image.input_neuron])
        self.send(now, self.image.input_core[routes], self.image.input_axon[routes])

    def send(self, now: int, cores: IntArray, axons: IntArray) -> None:
        for core, axon in zip(cores.tolist(), axons.tolist(), strict=True):
            projection = self.image.cores[core].axon_projection[axon]
            delay = self.image.network.projections[projection].delay
            self.mail[now + delay][core].append(axon)

    def step_core(
        self, now: int, timesteps: int, index: int, core: Core, axons: Iterable[int]
    ) -> None:
        activation = self.activation(core, axons)
        fired = np.zeros(core.needed.compartments, bool)
        for block in core.blocks:
            t = now - self.clock[block.population]
            if 0 <= t < timesteps:
                self.step_block(t, index, block, activation, fired)
        routes = np.flatnonzero(fired[core.route_compartment])
        self.send(now, core.route_core[routes], core.route_axon[routes])

    def activation(self, core: Core, axons: Iterable[int]) -> IntArray:
        """(compartments,) the sum of the weights that arrive on some in-axons."""
        total = np.zeros(core.needed.compartments, np.int64)
        for axon in axons:
            projection = self.image.network.projections[core.axon_projection[axon]]
            synapses = slice(core.axon_start[axon], core.axon_start[axon + 1])
            weights = core.synapse_weight[synapses] << projection.weight_exponent
            np.add.at(total, core.synapse_compartment[synapses], weights)
        return total

    def step_block(
        self, t: int, index: int, block: PlacedBlock, activation: IntArray, fired: BoolArray
    ) -> None:
        """One timestep of a block's neurons, the equations of docs/semantics.md."""
        population = self.image.network.population(block.population)
        here, there = block.compartments, block.neurons
        bias = arithmetic.bias_value(population.bias_mantissa[there], population.bias_exponent)
        u = arithmetic.next_u(self.u[index][here], activation[here], population.decay_u)
        v = arithmetic.next_v(self.v[index][here], u, bias, population.decay_v)
        v, fired[here] = arithmetic.fire(v, population.threshold[there])
        self.u[index][here], self.v[index][here] = u, v
        self.recorder.put(block.population, (self.sample, t, there), u, v, fired[here])
