"""Cores change chips until fewer of them need more out-axons than they hold.

An out-axon to another chip costs more than one, so what a core needs depends on which cores share
its chip. `chips` brings together what has most ties; here cores with room bear more of what leaves
a chip, and those without less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.mapper.compiling import compiled, inner

IntArray = NDArray[np.int64]
_SWAPS = 400  # of two cores, at most


def ease(chip: IntArray, ties: csr_array, used: IntArray, limit: int, surcharge: int) -> IntArray:
    """(cores,) chips after swaps, each the one that takes most off what exceeds `limit` in sum.

    `ties` (cores, cores) are the out-axons from one to the other, each `surcharge` dearer where
    they lie on two chips; `used` (cores,) what each needs now.
    """
    chip, used, heard = chip.copy(), used.copy(), csr_array(ties.T)
    to = ties.indptr, ties.indices, ties.data * surcharge
    by = heard.indptr, heard.indices, heard.data * surcharge
    change, touched = np.zeros(len(chip), np.int64), np.zeros(4 * len(chip) + 2, np.int64)
    stuck = np.zeros(len(chip), bool)
    for _ in range(_SWAPS):
        i, one, other = _best(chip, used, limit, to, by, stuck, change, touched)
        if i < 0:
            break
        stuck[i] = one < 0
        if one >= 0:
            many = _changes(one, other, chip, to, by, change, touched)
            _apply(used, change, touched, many)
            chip[one], chip[other] = chip[other], chip[one]
            stuck[:] = False
    return chip


@compiled
def _best(chip, used, limit, to, by, stuck, change, touched):  # type: ignore[no-untyped-def]  # pragma: no cover
    """The core that exceeds most, and the best swap of it or of one that hears it; -1: none."""
    i = -1
    for c in range(len(chip)):
        if used[c] > limit and not stuck[c] and (i < 0 or used[c] > used[i]):
            i = c
    if i < 0:
        return i, i, i
    one, (least, other) = i, _partner(i, i, False, chip, used, limit, to, by, change, touched)
    for s in range(to[0][i], to[0][i + 1]):
        x = to[1][s]
        if chip[x] != chip[i]:
            gain, y = _partner(x, i, True, chip, used, limit, to, by, change, touched)
            if gain < least:
                least, one, other = gain, x, y
    return i, (one if least < 0 else -1), other


@inner
def _partner(x, i, beside, chip, used, limit, to, by, change, touched):  # type: ignore[no-untyped-def]  # pragma: no cover
    """What the best swap of a core brings, and with which: those beside core i, or all others."""
    least, other = 0, -1
    for y in range(len(chip)):
        if y != i and (chip[y] == chip[i]) == beside:
            gain = _relief(x, y, chip, used, limit, to, by, change, touched)
            if gain < least:
                least, other = gain, y
    return least, other


@inner
def _relief(x, y, chip, used, limit, to, by, change, touched):  # type: ignore[no-untyped-def]  # pragma: no cover
    """What a swap adds to all that exceeds the limit; less than 0 where it helps."""
    many = _changes(x, y, chip, to, by, change, touched)
    total = 0
    for m in range(many):
        c = touched[m]
        total += max(0, used[c] + change[c] - limit) - max(0, used[c] - limit)
        change[c] = 0
    return total


@compiled
def _changes(x, y, chip, to, by, change, touched):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Write into `change` what a swap adds to each core's needs; how many `touched` names."""
    many = 0
    for side in range(2):
        c, other = (x, y) if side == 0 else (y, x)
        touched[many] = c
        many += 1
        for s in range(to[0][c], to[0][c + 1]):
            t = to[1][s]
            if t != c and t != other:
                change[c] += to[2][s] * (int(chip[t] == chip[c]) - int(chip[t] == chip[other]))
        for s in range(by[0][c], by[0][c + 1]):
            t = by[1][s]
            if t != c and t != other and (chip[t] == chip[c] or chip[t] == chip[other]):
                change[t] += by[2][s] * (int(chip[t] == chip[c]) - int(chip[t] == chip[other]))
                touched[many] = t
                many += 1
    return many


@compiled
def _apply(used, change, touched, many):  # type: ignore[no-untyped-def]  # pragma: no cover
    for m in range(many):
        used[touched[m]] += change[touched[m]]
        change[touched[m]] = 0
