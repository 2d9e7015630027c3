"""Messages between cores: who sends how many spikes to whom.

A neuron's spike is sent once to each core that it has synapses on, through however many
projections (multicast is counted once per destination core).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.activity import Activity, first_neurons, neurons
from toolchain.artifact import Core, Image

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reach:
    """Where each neuron's spikes go, the neurons counted as an activity counts them."""

    cores: csr_array  # (neurons, cores) 1 where the neuron has a synapse on the core
    synapses: csr_array  # (neurons, cores) how many it has there
    home: IntArray  # (neurons,) the core where it lives; -1 for the input


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traffic:
    """Messages and visits to synapses, summed over samples and timesteps."""

    between: csr_array  # (cores, cores) messages from a core of the artifact to another or itself
    from_input: IntArray  # (cores,) messages from outside the chip
    synapse_events: IntArray  # (cores,) synapses that a spike visited
    spikes: IntArray  # (cores,) spikes of the neurons that live there


def reach(image: Image) -> Reach:
    """Where every neuron's spikes go, read off the routes of the packed cores."""
    first = first_neurons(image.network)
    home = np.full(neurons(image.network), -1, np.int64)
    rows, columns, lengths = [image.input_neuron], [image.input_core], [_lengths(image, None)]
    for index, core in enumerate(image.cores):
        here = neurons_of(core, first)
        home[here] = index
        rows.append(here[core.route_compartment])
        columns.append(core.route_core)
        lengths.append(_lengths(image, core))
    where = (np.concatenate(rows), np.concatenate(columns))
    shape = (len(home), len(image.cores))
    synapses = csr_array((np.concatenate(lengths), where), shape=shape, dtype=np.int64)
    synapses.sum_duplicates()
    cores = synapses.copy()
    cores.data = np.ones_like(cores.data)
    return Reach(cores=cores, synapses=synapses, home=home)


def neurons_of(core: Core, first: dict[str, int]) -> IntArray:
    """(compartments in use,) the neuron in each, as an activity counts neurons."""
    return np.concatenate([first[b.population] + b.neurons for b in core.blocks])


def _lengths(image: Image, core: Core | None) -> IntArray:
    """Synapses behind each route of a core, or of the input."""
    to = image.input_core if core is None else core.route_core
    axon = image.input_axon if core is None else core.route_axon
    ends = [np.diff(other.axon_start) for other in image.cores]
    begin = np.cumsum([0, *map(len, ends)])
    return np.concatenate([np.zeros(0, np.int64), *ends])[begin[to] + axon]


def traffic(reached: Reach, activity: Activity) -> Traffic:
    """What a network's spikes make the cores send and visit."""
    spikes, cores = activity.spikes, reached.cores.shape[1]
    inside = reached.home >= 0
    lives = (np.ones(int(inside.sum()), np.int64), (reached.home[inside], np.flatnonzero(inside)))
    homes = csr_array(lives, shape=reached.cores.shape[::-1])
    sent = csr_array(reached.cores.multiply(spikes[:, None]))
    between = csr_array(homes @ sent)
    between.sort_indices()
    return Traffic(
        between=between,
        from_input=np.asarray(sent[~inside].sum(axis=0), np.int64).reshape(cores),
        synapse_events=np.asarray(spikes @ reached.synapses, np.int64).reshape(cores),
        spikes=np.bincount(reached.home[inside], spikes[inside], cores).astype(np.int64),
    )
