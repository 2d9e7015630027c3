"""QuantizedNetwork -> Problem: all neurons in one row, with what packing them needs to know."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack, vstack

from toolchain.artifact import PlacedBlock
from toolchain.errors import UnsupportedError
from toolchain.hardware import HardwareProfile
from toolchain.mapper.encodings import index_bits
from toolchain.mapper.growth import Problem
from toolchain.mapper.lists import Key, choose, format_rows, formats_of, key_of, subset_words, tally
from toolchain.network import QuantizedNetwork

IntArray = NDArray[np.int64]
_MOST_KEYS = 62  # a set of keys is the bits of one integer
_SAMPLE = 256  # neurons that say which formats suit a key


def problem_of(network: QuantizedNetwork, profile: HardwareProfile) -> Problem:
    """What the packers work on; neurons follow each other in the order of the network."""
    keys = sorted({key_of(edge, profile.synapse) for edge in network.projections})
    if len(keys) > _MOST_KEYS:
        raise UnsupportedError(
            f"projections differ in more than {_MOST_KEYS} combinations of weight bits, exponent"
            " and delay bits; give them equal scales or delays"
        )
    rows = fan_ins(network)
    columns = rows.tocsc()
    edges = network.projections
    sizes = [edge.weights.shape[1] for edge in edges]
    key = np.repeat([keys.index(key_of(edge, profile.synapse)) for edge in edges], sizes)
    widths = _widths(profile)
    decays = {(p.decay_u, p.decay_v): 0 for p in network.populations}
    numbers = {pair: number for number, pair in enumerate(decays)}
    thresholds = np.concatenate([p.threshold for p in network.populations])
    of = np.repeat(np.arange(len(network.populations)), [p.size for p in network.populations])
    decay = np.array([numbers[p.decay_u, p.decay_v] for p in network.populations])[of]
    return Problem(
        pointers=rows.indptr.astype(np.int64),
        axons=rows.indices.astype(np.int32),
        back=columns.indptr.astype(np.int64),
        targets=columns.indices.astype(np.int32),
        population=of,
        threshold=np.unique(thresholds, return_inverse=True)[1].astype(np.int64),
        decay=decay,
        out=np.zeros(len(of), np.int64),
        key=key.astype(np.int64),
        rows=np.array(
            [format_rows([formats_of(k, profile.synapse, w) for k in keys]) for w in widths]
        ).reshape(len(widths), max(len(keys), 1), -1, 8),
        sets=_sets(network, profile, keys),
        delays=np.array([k[2] for k in keys] or [0], np.int64),
        limits=limits_of(profile),
        widths=np.array(widths, np.int64),
    )


def limits_of(profile: HardwareProfile) -> IntArray:
    """What a core holds, in the order that the compiled code reads."""
    core, synapse = profile.core, profile.synapse
    held = [core.compartments, core.in_axons, core.out_axons, core.synapse_words]
    held += [core.threshold_profiles, core.decay_profiles, core.synapse_formats]
    held += [core.memory_words, synapse.words_per_axon, 2**synapse.accumulator_bits]
    return np.array(held, np.int64)


def _widths(profile: HardwareProfile) -> list[int]:
    """Most compartments that each width of index addresses, to what a core holds."""
    most = profile.core.compartments
    bits = range(profile.synapse.index_bits_min, index_bits(most, profile.synapse) + 1)
    return [min(2**b, most) for b in bits]


def fan_ins(network: QuantizedNetwork) -> csr_array:
    """(neurons, axons) of all populations; an axon is one source of one projection."""
    offsets = np.cumsum([0, *(edge.weights.shape[1] for edge in network.projections)])
    parts = []
    for population in network.populations:
        mine = [i for i, e in enumerate(network.projections) if e.target == population.name]
        edges = [network.projections[i].weights for i in mine]
        ones = [
            csr_array((np.ones(e.nnz, np.int8), e.indices.astype(np.int32), e.indptr), e.shape)
            for e in edges
        ]
        joined = hstack(ones, format="csr", dtype=np.int8)
        names = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in mine])
        shape = (population.size, int(offsets[-1]))
        parts.append(csr_array((joined.data, names[joined.indices], joined.indptr), shape))
    return csr_array(vstack(parts, format="csr"))


def _sets(network: QuantizedNetwork, profile: HardwareProfile, keys: list[Key]) -> IntArray:
    """(keys, formats + 1) the best set of so many formats for each key, judged by a sample."""
    found = []
    for key in keys:
        edges = [e for e in network.projections if key_of(e, profile.synapse) == key]
        edge = max(edges, key=lambda e: e.weights.nnz)
        columns = edge.weights[:_SAMPLE].tocsc()
        rows = format_rows([formats_of(key, profile.synapse, profile.core.compartments)])
        number = np.zeros(columns.shape[1], np.int64)
        starts, places = columns.indptr.astype(np.int64), columns.indices.astype(np.int64)
        _, _, cost = tally(starts, places, number, rows)
        total = subset_words(cost, number, 1)
        kinds = cost.shape[1]
        found.append([0, *(int(choose(total, size)[0]) for size in range(1, kinds + 1))])
    return np.array(found or [[0, 1]], np.int64)


def blocks_of(
    network: QuantizedNetwork, problem: Problem, members: IntArray, *, ascending: bool
) -> tuple[PlacedBlock, ...]:
    """A core's neurons as blocks, one for each population."""
    starts = np.cumsum([0, *(p.size for p in network.populations)])
    of = problem.population[members]
    _, first = np.unique(of, return_index=True)
    blocks, used = [], 0
    for number in of[np.sort(first)]:
        mine = members[of == number] - starts[number]
        neurons = np.sort(mine) if ascending else mine
        name = network.populations[number].name
        blocks.append(PlacedBlock(population=name, neurons=neurons, first_compartment=used))
        used += len(neurons)
    return tuple(blocks)
