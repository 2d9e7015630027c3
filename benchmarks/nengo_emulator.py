"""nengo-loihi's emulator on one sample, for benchmarks/simulator.py; needs nothing of ours.

    ENV/bin/python benchmarks/nengo_emulator.py FOLDER        FOLDER/network.npz -> one JSON line

Layers are blocks of 1,024 compartments at most, as on a core. Scales are nengo-loihi's own, so the
rates are near ours and not equal: what is compared is the time of a timestep.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse
from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.builder import Model
from nengo_loihi.builder.discretize import discretize_model
from nengo_loihi.emulator import EmulatorInterface
from nengo_loihi.inputs import SpikeInput
from nengo_loihi.probe import LoihiProbe

MOST = 1024


def main(folder: Path) -> None:
    """Build the chain of layers and run it once; building is not on the clock."""
    with np.load(folder / "network.npz") as arrays:
        given = {name: arrays[name] for name in arrays.files}
    model, probes = Model(), []
    spikes = given["spikes"]
    steps, size = spikes.shape
    origin = SpikeInput(size)
    for step, row in enumerate(spikes):
        origin.add_spikes(step + 1, np.flatnonzero(row), permanent=True)
    model.add_input(origin)
    before = origin
    layers = sum(name.startswith("weights") for name in given)
    for n in range(layers):
        before = layer(model, before, given[f"weights{n}"], given[f"threshold{n}"], given["decays"])
        probes.append(LoihiProbe(target=before, key="spiked"))
        model.add_probe(probes[-1])
    discretize_model(model)
    EmulatorInterface.strict = False
    with EmulatorInterface(model) as emulator:
        start, busy = time.perf_counter(), time.process_time()
        emulator.run_steps(steps)
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        rates = [float(np.mean(emulator.collect_probe_output(probe))) for probe in probes]
    print(json.dumps({"seconds": seconds, "processor_seconds": busy, "rates": rates}))


def layer(model, before, weights, threshold, decays):  # type: ignore[no-untyped-def]
    """A block, its synapses, and the axons from what comes before it."""
    size = weights.shape[1]
    assert size <= MOST, "more than one block to a layer"
    block = LoihiBlock(size)
    neurons = block.compartment
    neurons.decay_u[:], neurons.decay_v[:] = (decays[0] + 1) / 4096, decays[1] / 4096
    neurons.scale_u = neurons.scale_v = False
    neurons.vth[:], neurons.vmin = threshold, -np.inf
    model.add_block(block)
    synapse = Synapse(weights.shape[0])
    synapse.set_weights(scipy.sparse.csr_matrix(weights.astype(np.float32)))
    block.add_synapse(synapse)
    axon = Axon(weights.shape[0])
    axon.target = synapse
    before.add_axon(axon)
    if hasattr(before, "compartment"):
        axon.set_compartment_axon_map(np.arange(weights.shape[0]))
    return block


if __name__ == "__main__":
    main(Path(sys.argv[1]))
