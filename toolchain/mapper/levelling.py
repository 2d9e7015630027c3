"""Cores that need too many out-axons change neurons of many for others' neurons of few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.mapper.filling import fill_with
from toolchain.mapper.growth import NEURONS, Bench, Problem, bench, clear
from toolchain.mapper.reach import Machine, entries

IntArray = NDArray[np.int64]
Cores = list[IntArray]
_ROUNDS = 12  # what moves changes what its sources need, so it takes some
_IDLE = 2  # rounds in a row that may help nobody
_ASKED = 16  # cores that one may ask in a round
_SPARE = 32  # out-axons that both keep free, as what the others need changes too
_LITTLE = 0.02  # of all room, that may be lacking; more is no matter of a few neurons
_WORK = 6  # times that as many synapses as there are may be visited


def level(problem: Problem, machine: Machine, cores: Cores, room: IntArray) -> Cores:
    """The cores, with less of what they need beyond `room`, (cores,) out-axons that each has.

    Two cores of a chip change as many neurons for as many, so no compartment is needed for it.
    Where more is lacking than so can be mended, the cores stay as they are.
    """
    core, cores, best = bench(problem), list(cores), cores
    held, problem.out[:] = problem.out.copy(), 0
    least, idle, work = np.inf, 0, _WORK * len(problem.axons)
    for _ in range(_ROUNDS):
        out, _ = entries(problem, machine, cores)
        used = np.array([int(out[members].sum()) for members in cores])
        above = int(np.maximum(used - room, 0).sum())
        reached = np.isinf(least) or int(out.max(initial=0)) <= machine.furthest
        better = above < least and reached
        idle = 0 if better else idle + 1
        if better:
            least, best = above, list(cores)
        if above == 0 or above > _LITTLE * room.sum() or idle > _IDLE or work < 0:
            break
        for number in np.argsort(room - used, kind="stable").tolist():
            if used[number] > room[number] and work > 0:
                work -= _relieve(problem, machine, core, cores, number, out, used, room)
    problem.out[:] = held
    return best


def _relieve(
    problem: Problem,
    machine: Machine,
    core: Bench,
    cores: Cores,
    number: int,
    out: IntArray,
    used: IntArray,
    room: IntArray,
) -> int:
    """Change neurons of a core with others on its chip until it has room; synapses visited."""
    chip, visited = np.arange(len(cores)) // machine.per_chip, 0
    others = np.flatnonzero((chip == chip[number]) & (used < room - _SPARE))
    for other in others[np.argsort((used - room)[others], kind="stable")][:_ASKED].tolist():
        mine = cores[number][np.argsort(-out[cores[number]], kind="stable")]
        yours = cores[other][np.argsort(out[cores[other]], kind="stable")]
        spare = int(room[other] - used[other])
        count, moved = _changed(out[mine], out[yours], int(used[number] - room[number]), spare)
        if moved <= 0:
            continue
        pair = [np.concatenate([yours[:count], mine[count:]])]
        pair.append(np.concatenate([mine[:count], yours[count:]]))
        written = [_written(problem, core, members) for members in pair]
        visited += sum(int(np.diff(problem.pointers)[members].sum()) for members in pair)
        if all(len(after) == len(members) for after, members in zip(written, pair, strict=True)):
            cores[number], cores[other] = written
            used[number] -= moved
            used[other] += moved
        if used[number] <= room[number]:
            break
    return visited


def _changed(mine: IntArray, yours: IntArray, above: int, spare: int) -> tuple[int, int]:
    """(neurons to change, out-axons that go with them): enough, or what the other can take."""
    pairs = min(len(mine), len(yours)) - 1
    pairs = int(np.count_nonzero(mine[:pairs] > yours[:pairs]))  # those first that gain most
    gain = np.cumsum(mine[:pairs] - yours[:pairs])
    enough = int(np.searchsorted(gain, above + _SPARE)) + 1
    bearable = int(np.searchsorted(gain, spare, side="right"))
    count = min(enough, bearable, pairs)
    return (count, int(gain[count - 1])) if count > 0 else (0, 0)


def _written(problem: Problem, core: Bench, members: IntArray) -> IntArray:
    """As many of these neurons as fit a core one after the other, population by population."""
    clear(core)
    fill_with(problem, core, members[np.argsort(problem.population[members], kind="stable")])
    return core.members[: core.totals[NEURONS]].copy()
