"""What a list of synapses costs in a core's synaptic memory: formats, and the words they take.

A list belongs to one in-axon. Its targets are visited in the order of their compartments; what
counts is the step from each to the next. Constants stand in the profile's [synapse]; formulas here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.hardware import Synapse
from toolchain.mapper.compiling import compiled

IntArray = NDArray[np.int64]
_ANY = 2**40  # no step and no entry is longer
ZERO = np.int64(0)  # where compiled code begins to count: callees are compiled again for a literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How a list is written: slots of one synapse each, in entries that share a header.

    A target begins a new entry where its step from the one before exceeds `reach`, or the entry is
    full. A format that `pads` fills a step of n with n - 1 slots of weight 0.
    """

    name: str  # sparse, run-length, dense
    reach: int  # longest step inside an entry
    pads: int  # 1 or 0
    slot_bits: int
    entry_bits: int
    capacity: int  # slots of an entry
    list_bits: int  # once for each list
    word_bits: int
    rounded: int  # slots after which bits are rounded up to a word; 0: only at the list's end

    def row(self) -> list[int]:
        """All but the name, as the compiled code reads it."""
        return [int(value) for value in astuple(self)[1:]]


Formats = tuple[Format, ...]


def nxtf(synapse: Synapse, *, weight_bits: int, delay_bits: int, index_bits: int) -> Formats:
    """NxTF's sparse, run-length and dense formats (data_structures.py, SynEntry.bits).

    Sparse: an index with every synapse. Run-length: a skip with every synapse and the index of the
    first with every entry, once for each width of the skip. Dense: the index of the first, and
    zeros in a gap where they cost no more than a new entry. Entries follow each other without
    padding; the list is rounded up to words with its end marker (SynapseGroup).
    """
    slot, entry = weight_bits + delay_bits, synapse.header_bits + index_bits

    def written(name: str, **given: int) -> Format:
        plain = {"reach": _ANY, "pads": 0, "slot_bits": slot, "entry_bits": entry, "rounded": 0}
        return Format(
            name=name,
            capacity=synapse.synapses_per_entry,
            list_bits=synapse.marker_bits,
            word_bits=synapse.word_bits,
            **(plain | given),
        )

    skips = range(synapse.skip_bits_min, synapse.skip_bits_max + 1)
    return (
        written("sparse", slot_bits=slot + index_bits, entry_bits=synapse.header_bits),
        *(written("run-length", slot_bits=slot + skip, reach=2**skip - 1) for skip in skips),
        written("dense", pads=1, reach=1 + entry // slot),
    )


def nengo(synapse: Synapse, *, weight_bits: int, delay_bits: int, index_bits: int) -> Formats:
    """nengo-loihi's sparse and dense formats (block.py, SynapseConfig.bits_per_axon).

    Entries are rounded up to words one by one. Dense has no index at all, so every gap is filled;
    nengo-loihi itself forgets to count what fills it. 7-bit weights have no code and take 8.
    """
    slot = (8 if weight_bits == 7 else weight_bits) + delay_bits

    def written(name: str, slot_bits: int, pads: int) -> Format:
        return Format(
            name=name,
            reach=_ANY,
            pads=pads,
            slot_bits=slot_bits,
            entry_bits=synapse.header_bits,
            capacity=_ANY,
            list_bits=synapse.marker_bits,
            word_bits=synapse.word_bits,
            rounded=synapse.synapses_per_entry,
        )

    return written("sparse", slot + index_bits, 0), written("dense", slot, 1)


def loihi2_netx(synapse: Synapse, *, weight_bits: int, delay_bits: int, index_bits: int) -> Formats:
    """ceil((n (weight + index) + header) / word): inferred from the logs of Intel's compiler.

    Logged for dense layers, where n counts zeros too; assumed for each synapse of a sparse one.
    """
    sparse = Format(
        name="sparse",
        reach=_ANY,
        pads=0,
        slot_bits=weight_bits + delay_bits + index_bits,
        entry_bits=synapse.header_bits,
        capacity=synapse.synapses_per_entry,
        list_bits=synapse.marker_bits,
        word_bits=synapse.word_bits,
        rounded=0,
    )
    return (sparse,)


SYNAPSE_ENCODINGS: dict[str, Callable[..., Formats]] = {
    "nxtf": nxtf,
    "nengo": nengo,
    "loihi2-netx": loihi2_netx,
}


def formats(synapse: Synapse, *, weight_bits: int, delay_bits: int, index_bits: int) -> Formats:
    """The formats in which a profile's chip may write a list."""
    encode = SYNAPSE_ENCODINGS[synapse.encoding]
    return encode(synapse, weight_bits=weight_bits, delay_bits=delay_bits, index_bits=index_bits)


def list_words(steps: Sequence[int], form: Format) -> int:
    """Words of one list whose targets follow each other by these steps (the first is ignored)."""
    row = np.array(form.row(), np.int64)
    state = 0, 0, 0
    for step in steps:
        state = extend(*state, step, row)
    return int(words(state[0], state[1], row))


@compiled
def extend(slots, entries, last, step, form):  # type: ignore[no-untyped-def]  # pragma: no cover
    """(slots, entries, slots of the last entry) of a list with one more target."""
    width = step if form[1] else 1
    if entries == 0 or step > form[0] or last + width > form[4]:
        return slots + 1, entries + 1, 1
    return slots + width, entries, last + width


@compiled
def words(slots, entries, form):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Words of a list of so many slots and entries; none of an empty list."""
    word, chunk = form[6], form[7]
    if slots == 0:
        total = 0
    elif chunk == 0:
        total = (slots * form[2] + entries * form[3] + form[5] + word - 1) // word
    else:
        whole, rest = slots // chunk, slots % chunk
        total = whole * ((chunk * form[2] + form[3] + word - 1) // word)
        total += (rest * form[2] + form[3] + word - 1) // word if rest else 0
    return total


def index_bits(compartments: int, synapse: Synapse) -> int:
    """Bits that address so many compartments, not fewer than the format has."""
    return max(synapse.index_bits_min, (compartments - 1).bit_length())


def delay_bits(delay: int, synapse: Synapse) -> int:
    """Bits that hold the delay beyond the first timestep; none where there is none."""
    return 0 if delay == 1 else max(synapse.delay_bits_min, (delay - 1).bit_length())
