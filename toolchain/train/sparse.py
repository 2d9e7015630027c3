"""Gradients back through sparse weights: where no synapse is, nothing is multiplied."""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from toolchain.train.events import turn
from toolchain.train.registers import BLOCK, LANES, differing, lowest, weighted
from toolchain.train.threads import in_parts


def back_through(incoming: Tensor, weight: Tensor, *, most: float) -> Tensor | None:
    """`incoming` (rows, target) times `weight` (target, source), (rows, source) float32.

    None where (about) more than the share `most` of the weights are not 0.
    """
    turned = weight.detach().T.contiguous().numpy()
    pointers = np.zeros(len(turned) + 1, np.int64)
    listed = np.empty(int(most * turned.size) + turned.shape[1], np.int32)
    values = np.empty(len(listed), np.float32)
    if not _list(turned, pointers, listed, values):
        return None
    array = incoming.contiguous().numpy()
    out = torch.empty(len(array), len(turned))
    rows = out.numpy()

    def part(start: int, stop: int) -> None:
        _back_through(array, pointers, listed, values, rows, start, stop)

    in_parts(-(-len(array) // BLOCK), part, least=1)
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _list(turned, pointers, listed, values):  # type: ignore[no-untyped-def]  # pragma: no cover
    """List the targets of every source with their weights; False where there is no room."""
    targets = turned.shape[1]
    whole = targets - targets % LANES
    place = 0
    for source in range(len(turned)):
        if place + targets > len(listed):
            return False
        address = np.int64(turned[source].ctypes.data)
        for first in range(0, whole, LANES):
            bits = differing(address + 4 * first, np.float32(0))
            while bits:
                target = first + lowest(bits)
                listed[place] = target
                values[place] = turned[source, target]
                place += 1
                bits &= bits - 1
        for target in range(whole, targets):
            if turned[source, target] != 0:
                listed[place] = target
                values[place] = turned[source, target]
                place += 1
        pointers[source + 1] = place
    return True


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _back_through(incoming, pointers, listed, values, out, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    """64 rows at a time, turned: so that a weight multiplies 64 numbers that lie side by side."""
    targets, sources = incoming.shape[1], out.shape[1]
    here = np.zeros((targets, BLOCK), np.float32)
    sums = np.empty((sources, BLOCK), np.float32)
    here_at, sums_at = np.int64(here.ctypes.data), np.int64(sums.ctypes.data)
    listed_at, values_at = np.int64(listed.ctypes.data), np.int64(values.ctypes.data)
    for block in range(start, stop):
        first = block * BLOCK
        last = min(first + BLOCK, len(incoming))
        turn(incoming[first:last], here[:, : last - first])
        for source in range(sources):
            place = sums_at + 4 * BLOCK * source
            weighted(here_at, listed_at, values_at, pointers[source], pointers[source + 1], place)
        turn(sums, out[first:last])
