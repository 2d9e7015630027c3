"""The synapse lists of blocks that share a core, and the formats that take the fewest words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import PlacedBlock, SynapseBits, SynapseFormat
from toolchain.hardware import HardwareProfile, Synapse
from toolchain.mapper.compiling import compiled
from toolchain.mapper.encodings import (
    ZERO,
    Formats,
    delay_bits,
    extend,
    formats,
    index_bits,
    words,
)
from toolchain.network import QuantizedNetwork, QuantizedProjection

IntArray = NDArray[np.int64]
Key = tuple[int, int, int]  # (weight bits, weight exponent, delay bits): lists of one can share


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lists:
    """One core's lists, sorted by projection, source and compartment, and how each is written."""

    projection: IntArray  # (in-axons,)
    source: IntArray  # (in-axons,) neuron of the projection's source
    start: IntArray  # (in-axons + 1,)
    compartment: IntArray  # (synapses,)
    weight: IntArray  # (synapses,)
    words: IntArray  # (in-axons,)
    form: IntArray  # (in-axons,) index into formats
    formats: tuple[SynapseFormat, ...]  # those in use
    bits: SynapseBits
    needed_formats: int  # formats in use, or keys where there are more than a core may hold


def key_of(edge: QuantizedProjection, synapse: Synapse) -> Key:
    """What the formats of a projection's lists must agree in."""
    return edge.weight_bits, edge.weight_exponent, delay_bits(edge.delay, synapse)


def formats_of(key: Key, synapse: Synapse, compartments: int) -> Formats:
    """The formats for a key on a core with so many compartments in use."""
    return formats(
        synapse,
        weight_bits=key[0],
        delay_bits=key[2],
        index_bits=index_bits(compartments, synapse),
    )


def write_lists(
    network: QuantizedNetwork, profile: HardwareProfile, blocks: Sequence[PlacedBlock]
) -> Lists:
    """The lists of blocks on one core, in the formats that take the fewest words together.

    All lists of a core use one width of index: that which addresses its compartments in use.
    """
    projection, source, start, compartment, weight = _gather(network, blocks)
    keys = sorted({key_of(network.projections[p], profile.synapse) for p in np.unique(projection)})
    used = sum(block.size for block in blocks)
    known = [formats_of(key, profile.synapse, used) for key in keys]
    of = [key_of(edge, profile.synapse) for edge in network.projections]
    number = np.array([keys.index(one) if one in keys else -1 for one in of], np.int64)
    key = number[projection]
    rows = format_rows(known)
    slots, entries, cost = tally(start, compartment, key, rows)
    masks = choose(subset_words(cost, key, len(keys)), profile.core.synapse_formats)
    form = cheapest(cost, masks[key])
    pairs = sorted(set(zip(key.tolist(), form.tolist(), strict=True)))
    at = np.arange(len(key))
    taken = slots[at, form], entries[at, form], cost[at, form]
    return Lists(
        projection=projection,
        source=source,
        start=start,
        compartment=compartment,
        weight=weight,
        words=cost[at, form],
        form=np.array(
            [pairs.index(pair) for pair in zip(key.tolist(), form.tolist(), strict=True)], np.int64
        ),
        formats=tuple(_described(keys[k], known[k][f], used, profile) for k, f in pairs),
        bits=_bits(np.diff(start), *taken, [keys[k] for k in key], rows[key, form], profile),
        needed_formats=max(len(pairs), len(keys)),
    )


def _gather(network: QuantizedNetwork, blocks: Sequence[PlacedBlock]) -> tuple[IntArray, ...]:
    """(projection, source, start, compartment, weight), in the order of `Lists`."""
    parts = [(np.zeros(0, np.int64),) * 5]
    for index, edge in enumerate(network.projections):
        mine = [block for block in blocks if block.population == edge.target and block.size]
        if not mine:
            continue
        places = np.concatenate([block.first_compartment + np.arange(block.size) for block in mine])
        order = np.argsort(places, kind="stable")
        neurons = np.concatenate([block.neurons for block in mine])[order]
        columns = edge.weights[neurons].tocsc()
        count = np.diff(columns.indptr)
        there = np.flatnonzero(count)
        if len(there):
            indices, data = columns.indices, columns.data
            parts.append(
                (np.full(len(there), index), there, count[there], places[order][indices], data)
            )
    joined = [np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True)]
    projection, source, count, compartment, weight = joined
    return projection, source, np.concatenate([[0], np.cumsum(count)]), compartment, weight


def format_rows(known: Sequence[Formats]) -> IntArray:
    """(keys, formats, fields) of formats as the compiled code reads them."""
    if not known:
        return np.zeros((1, 1, 8), np.int64)
    return np.array([[form.row() for form in several] for several in known], np.int64)


def tally(
    start: IntArray, compartment: IntArray, key: IntArray, rows: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """(slots, entries, words), each (lists, formats), of lists written in every format."""
    slots, entries, cost = np.zeros((3, len(start) - 1, rows.shape[1]), np.int64)
    _tally(start, compartment, key, rows, slots, entries, cost)
    return slots, entries, cost


@compiled
def _tally(start, compartment, key, rows, slots, entries, cost):  # type: ignore[no-untyped-def]  # pragma: no cover
    for a in range(len(start) - 1):
        for f in range(rows.shape[1]):
            form = rows[key[a], f]
            slot, entry, filled, last = ZERO, ZERO, ZERO, ZERO
            for s in range(start[a], start[a + 1]):
                step = compartment[s] - last
                slot, entry, filled = extend(slot, entry, filled, step, form)
                last = compartment[s]
            slots[a, f], entries[a, f] = slot, entry
            cost[a, f] = words(slot, entry, form)


def subset_words(cost: IntArray, key: IntArray, keys: int) -> IntArray:
    """(keys, 2^formats) words of a key's lists where only these formats may be used."""
    total = np.zeros((keys, 1 << cost.shape[1]), np.int64)
    least = np.full(1 << cost.shape[1], 1 << 50, np.int64)
    _subset_words(cost, key, least, total)
    return total


@compiled
def _subset_words(cost, key, least, total):  # type: ignore[no-untyped-def]  # pragma: no cover
    for a in range(len(key)):
        for mask in range(1, len(least)):
            low = 0
            while not mask >> low & 1:
                low += 1
            least[mask] = min(least[mask & (mask - 1)], cost[a, low])
            total[key[a], mask] += least[mask]


def choose(total: IntArray, most: int) -> IntArray:
    """(keys,) sets of formats, as bits: fewest words with at most so many formats, then fewest.

    Where there are more keys than formats, each gets one.
    """
    keys, sets = total.shape
    sizes = np.array([mask.bit_count() for mask in range(sets)])
    limit = max(most, keys)
    reached: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    for row in total:
        best = {
            size: min((int(row[m]), m) for m in np.flatnonzero(sizes == size).tolist())
            for size in range(1, int(sizes.max()) + 1)
        }
        after: dict[int, tuple[int, tuple[int, ...]]] = {}
        for used, (cost, masks) in reached.items():
            for size, (more, mask) in best.items():
                if used + size <= limit:
                    option = (cost + more, (*masks, mask))
                    after[used + size] = min(after.get(used + size, option), option)
        reached = after
    _, _, masks = min((cost, used, masks) for used, (cost, masks) in reached.items())
    return np.array(masks, np.int64)


def cheapest(cost: IntArray, masks: IntArray) -> IntArray:
    """(lists,) the format of the fewest words among those that each list may use."""
    allowed = masks[:, None] >> np.arange(cost.shape[1]) & 1
    return np.argmin(np.where(allowed == 1, cost, 2**50), axis=1).astype(np.int64)


def _described(key: Key, form: object, used: int, profile: HardwareProfile) -> SynapseFormat:
    name, reach = form.name, form.reach  # type: ignore[attr-defined]
    return SynapseFormat(
        kind=name,
        weight_bits=key[0],
        weight_exponent=key[1],
        delay_bits=key[2],
        index_bits=index_bits(used, profile.synapse),
        skip_bits=(reach + 1).bit_length() - 1 if name == "run-length" else 0,
    )


def _bits(
    count: IntArray,
    slots: IntArray,
    entries: IntArray,
    cost: IntArray,
    keys: Sequence[Key],
    rows: IntArray,
    profile: HardwareProfile,
) -> SynapseBits:
    """What the words of all lists hold; what is left over pads them."""
    if not len(count):
        return SynapseBits(weights=0, delays=0, indices=0, headers=0, padding=0)
    weights = int((count * [key[0] for key in keys]).sum())
    delays = int((count * [key[2] for key in keys]).sum())
    slot, entry = rows[:, 2], rows[:, 3]
    bare = np.array([key[0] + key[2] for key in keys])
    headers = int((entries * np.minimum(entry, profile.synapse.header_bits)).sum())
    indices = int((slots * np.maximum(slot - bare, 0)).sum() + (entries * entry).sum()) - headers
    total = int(cost.sum()) * profile.synapse.word_bits
    held = weights + delays + indices + headers
    return SynapseBits(
        weights=weights, delays=delays, indices=indices, headers=headers, padding=total - held
    )
