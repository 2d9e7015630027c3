"""Local search: neighbouring tiles trade neurons while that leaves them fewer axons together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.mapper.compiling import compiled, inner
from toolchain.mapper.growth import Problem

IntArray = NDArray[np.int64]
Counts = NDArray[np.int32]
FloatArray = NDArray[np.float64]
Cores = list[IntArray]
_NEIGHBOURS = 5  # tiles with which one trades
_ROUNDS = 2  # over all pairs of tiles
_PATIENCE = 24  # trades in a row that may gain nothing


def trade(problem: Problem, tiles: Cores, spots: FloatArray, price: IntArray) -> Cores:
    """Tiles of one population after trading; their sizes stay.

    `price` (axons,) is what an axon costs on each core that listens to it.
    """
    if len(tiles) == 1:
        return tiles
    middles = np.array([spots[tile].mean(axis=0) for tile in tiles])
    pairs = _neighbours(middles)
    here, there = np.zeros((2, len(problem.key)), np.int32)
    tiles = [tile.copy() for tile in tiles]
    for _ in range(_ROUNDS):
        gained = 0
        for one, other in pairs:
            gained += _trade(problem, price, here, there, tiles[one], tiles[other])
        if not gained:
            break
    return tiles


def _trade(
    problem: Problem,
    price: IntArray,
    here: Counts,
    there: Counts,
    one: IntArray,
    other: IntArray,
) -> int:
    """Swap neurons of two tiles, those who gain most first; what was gained. Counts come back 0."""
    known = problem.pointers, problem.axons
    lists = _count(*known, here, one, 1), _count(*known, there, other, 1)
    leaving = _wishes(problem, price, here, there, one)
    coming = _wishes(problem, price, there, here, other)
    most = int(problem.limits[1])
    total: int = _swap(*known, price, here, there, *lists, most, one, other, leaving, coming)
    _count(*known, here, one, -1)
    _count(*known, there, other, -1)
    return total


def _wishes(
    problem: Problem, price: IntArray, here: Counts, there: Counts, members: IntArray
) -> IntArray:
    """Places of members, those first whose leaving gains most (compiled, sorting is dear)."""
    gains = np.zeros(len(members), np.int64)
    _gains(problem.pointers, problem.axons, price, here, there, members, gains)
    return np.argsort(-gains, kind="stable")


def _neighbours(middles: FloatArray) -> list[tuple[int, int]]:
    """Pairs of tiles that lie close together, each once."""
    found = set()
    for number, middle in enumerate(middles):
        away = ((middles - middle) ** 2).sum(axis=1)
        for other in np.argsort(away, kind="stable")[: _NEIGHBOURS + 1].tolist():
            if other != number:
                found.add((min(number, other), max(number, other)))
    return sorted(found)


@compiled
def _count(pointers, axons, counts, members, by):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add to the counts of the axons of some neurons; how many of these were 0."""
    new = 0
    for i in members:
        for s in range(pointers[i], pointers[i + 1]):
            new += counts[axons[s]] == 0
            counts[axons[s]] += by
    return new


@inner
def _gain(pointers, axons, price, here, there, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    """What moving one neuron from here to there saves."""
    gain = 0
    for s in range(pointers[i], pointers[i + 1]):
        a = axons[s]
        gain += price[a] * (int(here[a] == 1) - int(there[a] == 0))
    return gain


@inner
def _move(pointers, axons, here, there, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    for s in range(pointers[i], pointers[i + 1]):
        here[axons[s]] -= 1
        there[axons[s]] += 1


@compiled
def _gains(pointers, axons, price, here, there, members, gains):  # type: ignore[no-untyped-def]  # pragma: no cover
    for n in range(len(members)):
        gains[n] = _gain(pointers, axons, price, here, there, members[n])


@inner
def _lists(pointers, axons, here, there, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    """In-axons that here saves and there pays for where one neuron moves."""
    saved, paid = 0, 0
    for s in range(pointers[i], pointers[i + 1]):
        saved += int(here[axons[s]] == 1)
        paid += int(there[axons[s]] == 0)
    return saved, paid


@compiled
def _swap(  # type: ignore[no-untyped-def]  # pragma: no cover
    pointers, axons, price, here, there, mine, yours, most, one, other, leaving, coming
):
    """Swap neurons of two tiles in their orders while that gains; what was gained.

    No tile comes to need more in-axons than `most` by it; now they are `mine` and `yours`.
    """
    total, idle = 0, 0
    for n in range(min(len(one), len(other))):
        i, j = one[leaving[n]], other[coming[n]]
        gain = _gain(pointers, axons, price, here, there, i)
        saved, paid = _lists(pointers, axons, here, there, i)
        _move(pointers, axons, here, there, i)
        gain += _gain(pointers, axons, price, there, here, j)
        back, more = _lists(pointers, axons, there, here, j)
        less, grown = mine - saved + more, yours + paid - back
        fits = less <= max(most, mine) and grown <= max(most, yours)
        if gain > 0 and fits:
            _move(pointers, axons, there, here, j)
            one[leaving[n]], other[coming[n]] = j, i
            mine, yours = less, grown
            total += gain
            idle = 0
        else:
            _move(pointers, axons, there, here, i)
            idle += 1
            if idle > _PATIENCE:
                break
    return total
