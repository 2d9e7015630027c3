"""Which neuron comes next on a core: in order, or the one that needs the fewest new axons."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.mapper.compiling import compiled, inner
from toolchain.mapper.encodings import ZERO
from toolchain.mapper.growth import LISTS, NEURONS, Bench, Problem, add

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
_LEVELS = 64  # of kinship: the share of a neuron's axons that are on the core already
_PATIENCE = 48  # neurons of the frontier that may fail one after the other
_SEEDS = 8  # neurons of one population that may fail when nothing on the core is akin


class Queue(NamedTuple):
    """Unplaced neurons that share axons with the core, by how much (doubly linked lists)."""

    head: Any  # (levels + 1,) first neuron of a level, or -1
    after: Any  # (neurons,)
    before: Any  # (neurons,)
    level: Any  # (neurons,) or -1
    shared: Any  # (neurons,) axons on the core
    tried: Any  # (neurons,) number of the core that it did not fit
    touched: Any  # (neurons + 1,) neurons to be reset; the last is their number


def queue(problem: Problem) -> Queue:
    """An empty queue."""
    size = len(problem.out)
    return Queue(
        head=np.full(_LEVELS + 1, -1, np.int32),
        after=np.full(size, -1, np.int32),
        before=np.full(size, -1, np.int32),
        level=np.full(size, -1, np.int32),
        shared=np.zeros(size, np.int32),
        tried=np.full(size, -1, np.int32),
        touched=np.zeros(size + 1, np.int64),
    )


@inner
def _leave(q, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    if q.level[i] < 0:
        return
    if q.before[i] >= 0:
        q.after[q.before[i]] = q.after[i]
    else:
        q.head[q.level[i]] = q.after[i]
    if q.after[i] >= 0:
        q.before[q.after[i]] = q.before[i]
    q.level[i] = -1


@inner
def _enter(q, i, level):  # type: ignore[no-untyped-def]  # pragma: no cover
    q.level[i], q.before[i], q.after[i] = level, -1, q.head[level]
    if q.head[level] >= 0:
        q.before[q.head[level]] = i
    q.head[level] = i


@inner
def _spread(p, q, c, first, placed, core):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Raise the kinship of all that share the lists from number `first` on."""
    for n in range(first, c.totals[LISTS]):
        axon = c.axon[n]
        for s in range(p.back[axon], p.back[axon + 1]):
            i = np.int64(p.targets[s])
            if placed[i] or q.tried[i] == core:
                continue
            if q.shared[i] == 0:
                q.touched[q.touched[-1]] = i
                q.touched[-1] += 1
            q.shared[i] += 1
            fan_in = p.pointers[i + 1] - p.pointers[i]
            level = (fan_in - q.shared[i]) * _LEVELS // fan_in
            if level != q.level[i]:
                _leave(q, i)
                _enter(q, i, level)


@compiled
def fill(p, c, q, placed, order, cursors, core):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Fill one core: what is most akin first, then what is left, population by population.

    It may hold neurons already. `order` names populations; `cursors` (populations, 2) their first
    unplaced neuron and their end.
    """
    _spread(p, q, c, ZERO, placed, core)
    failed, at, seeds = 0, 0, 0
    while c.totals[NEURONS] < p.limits[0]:
        i = -1
        if failed <= _PATIENCE:
            for level in range(_LEVELS + 1):
                if q.head[level] >= 0:
                    i = q.head[level]
                    break
        akin = i >= 0
        while i < 0 and at < len(order):
            i = _next_seed(cursors, order[at], placed, q.tried, core)
            if i < 0 or seeds >= _SEEDS:
                at, seeds, i = at + 1, 0, -1
        if i < 0:
            break
        _leave(q, i)
        before = c.totals[LISTS]
        if add(p, c, i):
            placed[i] = True
            failed = 0 if akin else failed
            _spread(p, q, c, before, placed, core)
        else:
            q.tried[i] = core
            failed += akin
            seeds += not akin
    for n in range(q.touched[-1]):
        q.shared[q.touched[n]] = 0
        _leave(q, q.touched[n])
    q.touched[-1] = 0


@inner
def _next_seed(cursors, population, placed, tried, core):  # type: ignore[no-untyped-def]  # pragma: no cover
    at, end = cursors[population]
    while at < end and placed[at]:
        at += 1
    cursors[population, 0] = at
    while at < end and (placed[at] or tried[at] == core):
        at += 1
    return at if at < end else -1


def waiting(problem: Problem, some: IntArray) -> tuple[BoolArray, IntArray, IntArray]:
    """What `fill` takes of some neurons: (neurons,) who is placed, populations, their cursors."""
    placed = np.ones(len(problem.out), bool)
    placed[some] = False
    population = problem.population[some]
    groups = np.unique(population)
    cursors = np.zeros((int(problem.population.max()) + 1, 2), np.int64)
    for group in groups:
        mine = some[population == group]
        cursors[group] = mine.min(), mine.max() + 1
    return placed, groups, cursors


def fill_akin(problem: Problem, core: Bench, line: Queue, some: IntArray, number: int) -> BoolArray:
    """(neurons,) which of these could be put onto the core, what is most akin next to each other.

    So lists have fewer gaps. `number` is one that the queue has not seen.
    """
    placed, groups, cursors = waiting(problem, some)
    fill(problem, core, line, placed, groups, cursors, number)
    taken = placed[some]
    taken[~taken] = fill_with(problem, core, some[~taken])
    return taken


def fill_with(problem: Problem, core: Bench, some: IntArray, *, most: int = -1) -> BoolArray:
    """(neurons,) which of these could be put onto the core, one after the other.

    None is tried after so many in a row that did not fit; most -1: all are.
    """
    taken = np.zeros(len(some), bool)
    _fill_with(problem, core, some, most, taken)
    return taken


@compiled
def _fill_with(p, c, some, most, taken):  # type: ignore[no-untyped-def]  # pragma: no cover
    failed = 0
    for n in range(len(some)):
        taken[n] = add(p, c, some[n])
        failed = 0 if taken[n] else failed + 1
        if failed == most:
            break
