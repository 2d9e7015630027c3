"""Products with spikes as sums: what does not spike is never multiplied.

currents[r] = sum of weight[:, k] for every source k that spikes in row r
gradient[:, k] = sum of incoming[r] for every row r in which source k spikes
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolchain.train.registers import BLOCK, LANES, differing, gather, lowest, scatter
from toolchain.train.threads import in_parts

_PER_THREAD = 1 << 15  # elements below which another thread costs more than it brings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Events:
    """The places of the ones in a matrix of 0 and 1, row after row (compressed rows)."""

    pointers: NDArray[np.int64]  # (rows + 1,)
    columns: NDArray[np.int32]  # (ones,) ascending within a row
    shape: tuple[int, int]

    def __len__(self) -> int:
        return int(self.pointers[-1])


def events_of(spikes: Tensor, *, most: float) -> Events | None:
    """The events of float32 spikes (rows, columns).

    None where more than the share `most` is not 0, or where something is neither 0 nor 1.
    """
    array = spikes.detach().numpy()
    rows, columns = array.shape
    counts = np.empty(rows, np.int64)
    parts: dict[int, NDArray[np.int32] | None] = {}

    def part(start: int, stop: int) -> None:
        found = np.empty((stop - start) * columns, np.int32)  # untouched, it costs nothing
        number = _list(array, counts, found, start, stop)
        parts[start] = None if number < 0 else found[:number]

    in_parts(rows, part, least=max(1, _PER_THREAD // max(1, columns)))
    listed = [parts[start] for start in sorted(parts)]
    number = sum(len(found) for found in listed if found is not None)
    if any(found is None for found in listed) or number > most * array.size:
        return None
    return Events(
        pointers=np.concatenate([[0], np.cumsum(counts)]),
        columns=np.concatenate([found for found in listed if found is not None]),
        shape=(rows, columns),
    )


def product(events: Events, weight: Tensor) -> Tensor:
    """(rows, target) float32: the events through `weight` (target, columns of the events)."""
    packed = blocks_of(weight)
    out = torch.empty(events.shape[0], len(weight))
    array = out.numpy()

    def part(start: int, stop: int) -> None:
        _add_rows(events.pointers, events.columns, packed, array, start, stop)

    in_parts(len(packed), part, least=_least_blocks(events))
    return out


def weight_gradient(events: Events, incoming: Tensor) -> Tensor:
    """(target, columns): how the weight moves what `product` gave, for `incoming` of its shape."""
    array = incoming.contiguous().numpy()
    gradient = torch.empty(incoming.shape[1], events.shape[1])
    out = gradient.numpy()

    def part(start: int, stop: int) -> None:
        _add_to_rows(events.pointers, events.columns, array, out, start, stop)

    in_parts(-(-incoming.shape[1] // BLOCK), part, least=_least_blocks(events))
    return gradient


def blocks_of(weight: Tensor) -> NDArray[np.float32]:
    """(blocks, source, 64): the rows of `weight` (target, source) turned, 64 targets at a time.

    A block lies in one piece: at a stride of a power of 2 its rows would all fall into the same few
    places of the cache (three times slower on 512 targets at 10 % ones).
    """
    targets, sources = weight.shape
    blocks = -(-targets // BLOCK)
    if blocks * BLOCK > targets:
        weight = torch.nn.functional.pad(weight, (0, 0, 0, blocks * BLOCK - targets))
    return weight.detach().view(blocks, BLOCK, sources).transpose(1, 2).contiguous().numpy()


def _least_blocks(events: Events) -> int:
    return max(1, _PER_THREAD // max(1, len(events) * BLOCK))


_compiled: Callable[[Callable], Callable] = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def _list(spikes, counts, found, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    """List the columns of the ones of some rows; how many, or -1 where others are not 0."""
    columns = spikes.shape[1]
    whole = columns - columns % LANES
    place = 0
    for row in range(start, stop):
        before = place
        address = np.int64(spikes[row].ctypes.data)
        odd = np.int64(0)
        for first in range(0, whole, LANES):
            bits = differing(address + 4 * first, np.float32(0))
            odd |= bits & differing(address + 4 * first, np.float32(1))
            while bits:
                found[place] = first + lowest(bits)
                place += 1
                bits &= bits - 1
        for column in range(whole, columns):
            if spikes[row, column] != 0:
                odd |= spikes[row, column] != 1
                found[place] = column
                place += 1
        if odd:
            return -1
        counts[row] = place - before
    return place


@_compiled
def _add_rows(pointers, columns, packed, out, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    width = out.shape[1]
    edge = np.empty(BLOCK, np.float32)
    listed, edge_at = np.int64(columns.ctypes.data), np.int64(edge.ctypes.data)
    out_at = np.int64(out.ctypes.data)
    for block in range(start, stop):
        base = np.int64(packed[block].ctypes.data)
        first = block * BLOCK
        whole = first + BLOCK <= width
        for row in range(len(pointers) - 1):
            place = out_at + 4 * (row * width + first) if whole else edge_at
            gather(base, listed, pointers[row], pointers[row + 1], place)
            if not whole:
                out[row, first:width] = edge[: width - first]


@_compiled
def _add_to_rows(pointers, columns, incoming, out, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    width = incoming.shape[1]
    sums = np.empty((out.shape[1], BLOCK), np.float32)
    edge = np.zeros(BLOCK, np.float32)
    listed, sums_at = np.int64(columns.ctypes.data), np.int64(sums.ctypes.data)
    edge_at, incoming_at = np.int64(edge.ctypes.data), np.int64(incoming.ctypes.data)
    for block in range(start, stop):
        first = block * BLOCK
        last = min(first + BLOCK, width)
        sums[:] = np.float32(0)
        for row in range(len(pointers) - 1):
            place = incoming_at + 4 * (row * width + first)
            if last - first < BLOCK:
                edge[: last - first] = incoming[row, first:last]
                place = edge_at
            scatter(sums_at, listed, pointers[row], pointers[row + 1], place)
        turn(sums, out[first:last])


@_compiled
def turn(given, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """out = given transposed, a few of its rows at a time; `given` may be wider."""
    rows, columns = out.shape
    for first in range(0, columns, LANES):
        for row in range(rows):
            for column in range(first, min(first + LANES, columns)):
                out[row, column] = given[column, row]
