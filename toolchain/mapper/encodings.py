"""What a list of synapses costs in a core's synaptic memory.

A list belongs to one in-axon. Constants stand in the profile's [synapse]; formulas here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from toolchain.hardware import Synapse

IntArray = NDArray[np.int64]


def nxtf_words(
    counts: IntArray, synapse: Synapse, *, bits_per_synapse: int, offset_bits: int = 0
) -> IntArray:
    """Words of lists of so many synapses: entries of at most 60, then room for an end marker.

    An entry of k synapses takes k * bits_per_synapse + header + offset bits; entries follow each
    other without padding, and the list is rounded up to whole words with its marker. In the sparse
    format a synapse carries its target's index; in the dense one the entry carries the offset of
    its first target. (NxTF, data_structures.py SynEntry.bits and SynapseGroup.)
    """
    entries = -(-counts // synapse.synapses_per_entry)
    bits = counts * bits_per_synapse + entries * (synapse.header_bits + offset_bits)
    return np.where(counts > 0, -(-(bits + synapse.marker_bits) // synapse.word_bits), 0)


def nxtf_sparse(
    counts: IntArray, synapse: Synapse, *, index_bits: int, delay_bits: int
) -> IntArray:
    """NxTF's sparse format: weight, delay and index with every synapse."""
    bits = synapse.weight_bits + delay_bits + index_bits
    return nxtf_words(counts, synapse, bits_per_synapse=bits)


def nxtf_dense(counts: IntArray, synapse: Synapse, *, index_bits: int, delay_bits: int) -> IntArray:
    """NxTF's dense format: consecutive targets, gaps counted as synapses, one index per entry."""
    bits = synapse.weight_bits + delay_bits
    return nxtf_words(counts, synapse, bits_per_synapse=bits, offset_bits=index_bits)


def loihi2_netx(
    counts: IntArray, synapse: Synapse, *, index_bits: int, delay_bits: int
) -> IntArray:
    """ceil((n (weight + index) + header) / word): inferred from the logs of Intel's compiler.

    Logged for dense layers, where n counts zeros too; assumed for each synapse of a sparse one.
    """
    bits = counts * (synapse.weight_bits + delay_bits + index_bits) + synapse.header_bits
    return np.where(counts > 0, -(-bits // synapse.word_bits), 0)


SYNAPSE_ENCODINGS: dict[str, Callable[..., IntArray]] = {
    "nxtf": nxtf_sparse,
    "loihi2-netx": loihi2_netx,
}


def words(counts: IntArray, synapse: Synapse, *, compartments: int, delay: int) -> IntArray:
    """Words of each list of so many synapses onto a core with so many compartments in use."""
    encode = SYNAPSE_ENCODINGS[synapse.encoding]
    return encode(
        counts,
        synapse,
        index_bits=index_bits(compartments, synapse),
        delay_bits=delay_bits(delay, synapse),
    )


def index_bits(compartments: int, synapse: Synapse) -> int:
    """Bits that address so many compartments, not fewer than the format has."""
    return max(synapse.index_bits_min, (compartments - 1).bit_length())


def delay_bits(delay: int, synapse: Synapse) -> int:
    """Bits that hold the delay beyond the first timestep; none where there is none."""
    return 0 if delay == 1 else max(synapse.delay_bits_min, (delay - 1).bit_length())
