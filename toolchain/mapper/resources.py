"""Exact counts of what packed cores need, each synapse visited once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import PlacedBlock
from toolchain.hardware import CoreResources, HardwareProfile
from toolchain.mapper.lists import Lists, write_lists
from toolchain.network import QuantizedNetwork

IntArray = NDArray[np.int64]
Packing = tuple[tuple[PlacedBlock, ...], ...]  # core by core
FanOut = Mapping[str, IntArray]  # population -> (size,) out-axon entries of each neuron


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packed:
    """Blocks on cores, their synapse lists, and what each core needs."""

    packing: Packing
    lists: tuple[Lists, ...]
    fan_out: FanOut
    needs: tuple[CoreResources, ...]


def count(network: QuantizedNetwork, profile: HardwareProfile, packing: Packing) -> Packed:
    """What packed cores need where core i is number i of the machine."""
    lists = tuple(write_lists(network, profile, blocks) for blocks in packing)
    reach = fan_out(network, profile, packing, lists)
    needs = tuple(
        core_needs(network, blocks, mine, reach)
        for blocks, mine in zip(packing, lists, strict=True)
    )
    return Packed(packing=packing, lists=lists, fan_out=reach, needs=needs)


def core_needs(
    network: QuantizedNetwork, blocks: Sequence[PlacedBlock], lists: Lists, reach: FanOut
) -> CoreResources:
    """What blocks that share a core need of each of its resources."""
    compartments = sum(block.size for block in blocks)
    in_axons, words = len(lists.source), int(lists.words.sum())
    out_axons = sum(int(reach[b.population][b.neurons].sum()) for b in blocks)
    thresholds = [network.population(b.population).threshold[b.neurons] for b in blocks]
    names = {block.population for block in blocks}
    return CoreResources(
        compartments=compartments,
        in_axons=in_axons,
        out_axons=out_axons,
        synapse_words=words,
        threshold_profiles=len(np.unique(np.concatenate(thresholds))),
        decay_profiles=len(
            {(p.decay_u, p.decay_v) for p in network.populations if p.name in names}
        ),
        synapse_formats=lists.needed_formats,
        memory_words=compartments + in_axons + out_axons + words,
    )


def fan_out(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    packing: Packing,
    lists: Sequence[Lists],
) -> FanOut:
    """Out-axon entries of each neuron: one for every projection and core reached through it.

    An entry for another chip may cost more than one.
    """
    chips = [profile.chip_of(number) for number in range(len(packing))]
    entries = {p.name: np.zeros(p.size, np.int64) for p in network.populations}
    home = {p.name: np.zeros(p.size, np.int64) for p in network.populations}
    for blocks, chip in zip(packing, chips, strict=True):
        for block in blocks:
            home[block.population][block.neurons] = chip
    for mine, chip in zip(lists, chips, strict=True):
        for projection in np.unique(mine.projection):
            source = network.projections[projection].source
            if source in entries:
                reached = mine.source[mine.projection == projection]
                remote = home[source][reached] != chip
                cost = np.where(remote, profile.core.out_axon_cost_remote, 1)
                entries[source][reached] += cost
    return entries
