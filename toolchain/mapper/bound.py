"""Cores that any packing needs at least, resource by resource."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import Bound
from toolchain.hardware import HardwareProfile
from toolchain.mapper.encodings import delay_bits, words
from toolchain.mapper.lists import Key, format_rows, formats_of, key_of
from toolchain.network import QuantizedNetwork, QuantizedProjection

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What each resource by itself makes necessary."""

    parts: tuple[Bound, ...]

    @property
    def cores(self) -> int:
        """Cores that any packing needs at least."""
        return max(part.cores for part in self.parts)


def lower_bound(network: QuantizedNetwork, profile: HardwareProfile) -> Bounds:
    """What any legal packing needs at least; it reads only how many synapses each source has.

    In-axons and words count every source once, as if all its targets shared a core that holds so
    many, side by side: no packing needs less, and most need more.
    """
    core = profile.core
    fan_outs = [
        np.bincount(edge.weights.indices, minlength=edge.weights.shape[1]).astype(np.int64)
        for edge in network.projections
    ]
    pairs = list(zip(network.projections, fan_outs, strict=True))
    axons = [-(-counts // core.compartments) for counts in fan_outs]
    inner = [
        a for e, a in zip(network.projections, axons, strict=True) if e.source != network.input.name
    ]
    in_axons, out_axons = (int(sum(a.sum() for a in some)) for some in (axons, inner))
    total = sum(_least_words(edge, counts, profile) for edge, counts in pairs)
    neurons = sum(p.size for p in network.populations)
    thresholds = np.unique(np.concatenate([p.threshold for p in network.populations]))
    decays = {(p.decay_u, p.decay_v) for p in network.populations}
    keys = {key_of(edge, profile.synapse) for edge in network.projections if edge.weights.nnz}
    needs = {
        "compartments": neurons / core.compartments,
        "accumulator slots": _slots(network, profile),
        "in axons": in_axons / core.in_axons,
        "out axons": out_axons / core.out_axons,
        "synapse words": total / core.synapse_words,
        "memory words": (neurons + in_axons + out_axons + total) / core.memory_words,
        "threshold profiles": len(thresholds) / core.threshold_profiles,
        "decay profiles": len(decays) / core.decay_profiles,
        "synapse formats": len(keys) / core.synapse_formats,
    }
    return Bounds(
        parts=tuple(
            Bound(name=name, cores=max(1, int(np.ceil(need - 1e-9))))
            for name, need in needs.items()
        )
    )


def _slots(network: QuantizedNetwork, profile: HardwareProfile) -> float:
    """Cores by compartments where a delay onto a neuron leaves its core fewer of them."""
    synapse, total = profile.synapse, 0.0
    for population in network.populations:
        bits = np.zeros(population.size, np.int64)
        for edge in network.projections:
            if edge.target == population.name:
                there = np.diff(edge.weights.indptr) > 0
                bits[there] = np.maximum(bits[there], delay_bits(edge.delay, synapse))
        room = np.maximum(2 ** np.maximum(synapse.accumulator_bits - bits, 0), 1)
        room = np.where(
            bits > 0, np.minimum(room, profile.core.compartments), profile.core.compartments
        )
        total += float((1 / room).sum())
    return total


def _least_words(edge: QuantizedProjection, counts: IntArray, profile: HardwareProfile) -> int:
    """Words of all lists of a projection, each cut over cores in whatever way is cheapest."""
    most = int(counts.max(initial=0))
    if most == 0:
        return 0
    table = least_words(
        key_of(edge, profile.synapse), profile, min(most, profile.core.compartments)
    )
    size = len(table) - 1
    whole, rest = counts // size, counts % size
    return (
        int((whole * table[size] + table[rest]).sum()) if most > size else int(table[counts].sum())
    )


def least_words(key: Key, profile: HardwareProfile, most: int) -> IntArray:
    """(most + 1,) least words of so many synapses of one source, on one core or on several.

    On a core they take least when they lie side by side and indices are short. The last value is
    lowered to the rate of the cheapest length, so that it may stand for each part of a longer list.
    """
    rows = format_rows([formats_of(key, profile.synapse, 1)])[0]
    capacity = rows[:, 4]
    least = np.zeros(most + 1, np.int64)
    for n in range(1, most + 1):
        least[n] = min(
            int(words(n, -(-n // int(full)), row)) for row, full in zip(rows, capacity, strict=True)
        )
    longest = profile.synapse.words_per_axon
    least = np.where(least > longest, 2**40, least)
    for n in range(2, most + 1):
        half = least[1 : n // 2 + 1] + least[n - 1 : (n - 1) // 2 : -1][: n // 2]
        least[n] = min(least[n], int(half.min()))
    return least
