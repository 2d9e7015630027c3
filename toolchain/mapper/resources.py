"""Exact counts of what blocks need from the core they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import PlacedBlock
from toolchain.hardware import CoreResources, HardwareProfile
from toolchain.mapper import encodings
from toolchain.network import QuantizedNetwork, QuantizedProjection

IntArray = NDArray[np.int64]
FanOut = Mapping[str, IntArray]  # population -> (size,) out-axon entries of each neuron


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SynapseLists:
    """The synapses of one projection on one core: a list for each source that has any there."""

    counts: IntArray  # (source neurons,) synapses per source
    words: IntArray  # (source neurons,) words of synaptic memory per source
    delay_bits: int


def synapse_lists(
    network: QuantizedNetwork, profile: HardwareProfile, blocks: Sequence[PlacedBlock]
) -> list[SynapseLists]:
    """The lists of every projection that ends in these blocks, which share one core."""
    return [
        _lists(edge, profile, mine)
        for edge in network.projections
        if (mine := [block for block in blocks if block.population == edge.target])
    ]


def _lists(
    edge: QuantizedProjection, profile: HardwareProfile, blocks: Sequence[PlacedBlock]
) -> SynapseLists:
    counts = sum((synapse_counts(edge, b.neurons) for b in blocks), np.int64(0))
    used = max(block.first_compartment + block.size for block in blocks)
    synapse = profile.synapse
    return SynapseLists(
        counts=np.asarray(counts),
        words=encodings.words(np.asarray(counts), synapse, compartments=used, delay=edge.delay),
        delay_bits=encodings.delay_bits(edge.delay, synapse),
    )


def synapse_counts(edge: QuantizedProjection, neurons: IntArray) -> IntArray:
    """(source neurons,) synapses of each source onto these target neurons."""
    return np.bincount(edge.weights[neurons].indices, minlength=edge.weights.shape[1])


def core_needs(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    blocks: Sequence[PlacedBlock],
    fan_out: FanOut,
) -> CoreResources:
    """What blocks that share a core need of each of its resources."""
    lists = synapse_lists(network, profile, blocks)
    names = {block.population for block in blocks}
    thresholds = [network.population(b.population).threshold[b.neurons] for b in blocks]
    populations = [population for population in network.populations if population.name in names]
    incoming = [edge for edge in network.projections if edge.target in names]
    return CoreResources(
        compartments=sum(block.size for block in blocks),
        in_axons=sum(int(np.count_nonzero(part.counts)) for part in lists),
        out_axons=sum(int(fan_out[b.population][b.neurons].sum()) for b in blocks),
        synapse_words=sum(int(part.words.sum()) for part in lists),
        threshold_profiles=len(np.unique(np.concatenate(thresholds))),
        decay_profiles=len({(p.decay_u, p.decay_v) for p in populations}),
        synapse_formats=len(
            {
                (edge.weight_bits, edge.weight_exponent, edge.delay)
                for edge, part in zip(incoming, lists, strict=True)
                if part.counts.any()
            }
        ),
    )


def fan_out(network: QuantizedNetwork, groups: Sequence[Sequence[PlacedBlock]]) -> FanOut:
    """Out-axon entries of each neuron where each group of blocks is one core.

    One entry for every projection and every core on which the neuron has a synapse through it.
    """
    entries = {p.name: np.zeros(p.size, np.int64) for p in network.populations}
    for edge in network.projections:
        for group in groups:
            mine = [block for block in group if block.population == edge.target]
            if edge.source in entries and mine:
                counts = sum((synapse_counts(edge, b.neurons) for b in mine), np.int64(0))
                entries[edge.source] += np.asarray(counts) > 0
    return entries


def planned_fan_out(
    network: QuantizedNetwork, profile: HardwareProfile, blocks: Sequence[PlacedBlock]
) -> FanOut:
    """What fan-outs are at most, wherever the blocks will be placed.

    Every block counts as a core of its own, and as one on another chip where they need several.
    """
    one_chip = len(blocks) <= profile.chips.cores_per_chip
    cost = 1 if one_chip else profile.core.out_axon_cost_remote
    reach = fan_out(network, [[block] for block in blocks])
    return {name: entries * cost for name, entries in reach.items()}


def lower_bound(network: QuantizedNetwork, profile: HardwareProfile) -> int:
    """Cores that any packing needs at least, each resource taken by itself.

    A source's list costs least when it lies whole on one core with the shortest indices: splitting
    a list repeats its header and its end marker.
    """
    synapse, core = profile.synapse, profile.core
    words = axons = routes = 0
    for edge in network.projections:
        counts = synapse_counts(edge, np.arange(edge.weights.shape[0]))
        words += int(encodings.words(counts, synapse, compartments=1, delay=edge.delay).sum())
        axons += int(np.count_nonzero(counts))
        routes += 0 if edge.source == network.input.name else int(np.count_nonzero(counts))
    neurons = sum(population.size for population in network.populations)
    demands = [
        (neurons, core.compartments),
        (axons, core.in_axons),
        (routes, core.out_axons),
        (words, core.synapse_words),
    ]
    return max(-(-needed // held) for needed, held in demands)
