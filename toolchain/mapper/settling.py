"""Cores as a packer made them -> cores whose out-axons fit too, and no core that could be spared.

How many out-axons a neuron needs depends on where its targets went, so it is known only once all
are packed. `problem.out` holds what each neuron needs as its cores stand now.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.mapper.chips import rearrange
from toolchain.mapper.filling import Queue, fill, fill_with, queue, waiting
from toolchain.mapper.growth import LISTS, NEURONS, WORDS, Bench, Problem, bench, clear, load
from toolchain.mapper.levelling import level
from toolchain.mapper.reach import Machine, entries, homes

IntArray = NDArray[np.int64]
Cores = list[IntArray]
_ROUNDS = 32  # a core that sheds neurons raises the fan-out of their sources; few are the rule
_GENTLE = 4  # rounds in which others may take what a core sheds
_FAR = 1 << 20  # between numbers that the queue of one round sees and those of the next
_HEADROOM = 64  # entries that a core keeps free when it sheds neurons, as the others shed too
_IDLE = 12  # cores in a row that took none of another's neurons
_MOVES = 2.0  # times dearer to spare is a core where another has to leave its chip for it
_ROOMY = 0.9  # compartments in use below which a core may take many more neurons
_PER_WORD = 3.5  # synapses, in the formats that sparse lists take
_TRIES = 6  # cores that could not be dissolved, after which the search ends


def settle(problem: Problem, machine: Machine, cores: Cores, *, simple: bool = False) -> Cores:
    """Legal cores: those that need more out-axons than they hold shed neurons onto others.

    `simple`: always onto new ones, which come last; else they change neurons with others first.
    """
    core, line = bench(problem), queue(problem)
    for turn in range(_ROUNDS):
        room = np.array([_room(problem, core, members) for members in cores])
        if turn == 0 and not simple:
            cores = level(problem, machine, cores, room)
            room = np.array([_room(problem, core, members) for members in cores])
        out, _ = entries(problem, machine, cores)
        over = np.flatnonzero(_sums(out, cores) > room)
        if not len(over):
            break
        problem.out[:] = out
        spare = _HEADROOM << min(turn, 5)
        chip = homes(problem, cores) // machine.per_chip
        shed, cores = [], list(cores)
        for number in over.tolist():
            members = cores[number]
            kept = _kept(out[members], int(room[number]), spare)
            shed.append(members[kept:])
            cores[number] = members[:kept]
        left = np.concatenate(shed)
        if turn < _GENTLE and not simple:
            asked = kindred(problem, cores, left)
            asked = asked[~np.isin(asked, over)]
            cores, left, _ = spread(problem, core, line, cores, left, asked, turn * _FAR)
        cores += in_turn(problem, core, left)
        if not simple:
            cores = rearrange(problem, cores, machine, chip)
    problem.out[:] = entries(problem, machine, cores)[0]
    return cores


def _sums(out: IntArray, cores: Cores) -> IntArray:
    return np.array([out[members].sum() for members in cores])


def _kept(out: IntArray, room: int, spare: int) -> int:
    """Members that may stay, in their order; at least one."""
    most = max(room - spare, room // 2)
    return max(1, int(np.searchsorted(np.cumsum(out), most, side="right")))


def _room(problem: Problem, core: Bench, members: IntArray) -> int:
    """Out-axons that a core has room for."""
    limits = problem.limits
    if limits[7] >= limits[:4].sum():
        return int(limits[2])
    rewrite(problem, core, members)
    used = core.totals[NEURONS] + core.totals[LISTS] + core.totals[WORDS]
    return min(int(limits[2]), int(limits[7] - used))


def rewrite(problem: Problem, core: Bench, members: IntArray) -> None:
    """Write a core anew with neurons that are known to fit."""
    clear(core)
    width = int(np.searchsorted(problem.widths, len(members)))
    load(problem, core, members, width, _masks(problem, members))


def _masks(problem: Problem, members: IntArray) -> IntArray:
    """(keys,) the formats of each key of a core's lists."""
    parts = [problem.axons[problem.pointers[i] : problem.pointers[i + 1]] for i in members]
    keys = np.unique(problem.key[np.unique(np.concatenate([np.zeros(0, np.int32), *parts]))])
    masks = np.zeros(problem.rows.shape[1], np.int64)
    if len(keys):
        share = min(int(problem.limits[6]) // len(keys), problem.rows.shape[2])
        masks[keys] = problem.sets[keys, share]
    return masks


def in_turn(problem: Problem, core: Bench, left: IntArray) -> Cores:
    """Neurons in a row on cores of their own, each filled before the next."""
    left = left[np.argsort(problem.population[left], kind="stable")]
    done: Cores = []
    while len(left):
        clear(core)
        some = left[: 2 * int(problem.limits[0])]
        taken = fill_with(problem, core, some)
        assert taken.any(), "a neuron fits a core of its own"
        done.append(core.members[: core.totals[NEURONS]].copy())
        left = np.concatenate([some[~taken], left[len(some) :]])
    return done


def dissolve(problem: Problem, machine: Machine, cores: Cores, work: int) -> Cores:
    """Spread the neurons of cores over the others, as long as that frees a core.

    Those come first whose neurons ask for the least of what the others lack. `problem.out` holds
    what the cores need, before and after; `work` is how many synapses may be visited.
    """
    core, line = bench(problem), queue(problem)
    failed, spent, number = 0, 0, 0
    out, lists = entries(problem, machine, cores)
    while failed < _TRIES and len(cores) > failed + 1 and spent <= work:
        sizes = np.array([len(members) for members in cores])
        asks = _asks(problem, cores, out, lists)
        last = (len(cores) - 1) // machine.per_chip
        apart = np.arange(len(cores)) // machine.per_chip < last  # to spare one, another moves in
        order = np.argsort(asks * np.where(apart, _MOVES, 1), kind="stable")
        victim = int(order[failed])
        after = None
        if (problem.limits[0] - np.delete(sizes, victim)).sum() >= sizes[victim]:
            roomy, axons = np.argsort(sizes, kind="stable"), _sums(out, cores)
            after, visited = _without(
                problem, machine, core, line, cores, victim, roomy, axons, number
            )
            spent += visited
            number += 2 * len(cores)
        if after is not None:
            out, lists = entries(problem, machine, after)
            spent += len(problem.targets)
            room = np.array([_room(problem, core, members) for members in after])
            if (_sums(out, after) <= room).all() and out.max(initial=0) <= machine.furthest:
                problem.out[:], cores, failed = out, after, 0
                continue
            out, lists = entries(problem, machine, cores)
        failed += 1
    return cores


def _asks(problem: Problem, cores: Cores, out: IntArray, lists: IntArray) -> IntArray:
    """(cores,) the largest share of what is left over elsewhere that a core's neurons ask for."""
    synapses = np.diff(problem.pointers)
    words = np.array([synapses[members].sum() for members in cores]) / _PER_WORD
    sizes = np.array([len(members) for members in cores])
    asked = np.stack([sizes, lists, _sums(out, cores), words])
    roomy = sizes < _ROOMY * problem.limits[0]
    left = np.maximum(problem.limits[:4, None] - asked, 0)[:, roomy].sum(axis=1)
    return np.asarray((asked / np.maximum(left, 1)[:, None]).max(axis=0))


def _without(
    problem: Problem,
    machine: Machine,
    core: Bench,
    line: Queue,
    cores: Cores,
    victim: int,
    order: IntArray,
    axons: IntArray,
    number: int,
) -> tuple[Cores | None, int]:
    """The cores with one less; None where some neuron has nowhere to go.

    On another chip every out-axon of a neuron may cost what one to another chip does.
    """
    others = order[order != victim]
    same = others // machine.per_chip == victim // machine.per_chip
    after, left, visited = spread(problem, core, line, cores, cores[victim], others[same], number)
    if len(left) and not same.all():
        mine = problem.out[left].copy()
        nearby, _ = entries(problem, machine._replace(per_chip=len(cores)), cores)
        problem.out[left] = nearby[left] * machine.remote
        there, number = left, number + len(cores)
        after, left, more = spread(problem, core, line, after, left, others[~same], number)
        problem.out[there] = mine
        visited += more
    if len(left):
        return None, visited
    first = (len(cores) - 1) // machine.per_chip * machine.per_chip
    if victim >= first:  # the others of the last chip stay on it
        return after[:victim] + after[victim + 1 :], visited
    stranger = first + int(np.argmin(axons[first:]))  # leaves its chip for the victim's place
    after[victim] = after[stranger]
    return after[:stranger] + after[stranger + 1 :], visited


def spread(
    problem: Problem,
    core: Bench,
    line: Queue,
    cores: Cores,
    left: IntArray,
    order: IntArray,
    number: int,
) -> tuple[Cores, IntArray, int]:
    """(cores with more neurons, what fitted none, synapses visited); cores are asked in order.

    `number` is one that the queue has not seen, nor the next ones up to the number of cores.
    """
    placed, groups, cursors = waiting(problem, left)
    after, visited, idle = list(cores), 0, 0
    for at in order.tolist():
        if idle >= _IDLE or placed[left].all():
            break
        if len(cores[at]) < problem.limits[0]:
            rewrite(problem, core, cores[at])
            fill(problem, core, line, placed, groups, cursors.copy(), number + at)
            after[at] = core.members[: core.totals[NEURONS]].copy()
            idle = 0 if len(after[at]) > len(cores[at]) else idle + 1
            visited += int((problem.pointers[cores[at] + 1] - problem.pointers[cores[at]]).sum())
    return after, left[~placed[left]], visited


def kindred(problem: Problem, cores: Cores, left: IntArray) -> IntArray:
    """Numbers of cores, those first that have paid for most of the axons of some neurons."""
    home = homes(problem, cores)
    parts = [problem.axons[problem.pointers[i] : problem.pointers[i + 1]] for i in left]
    axons = np.unique(np.concatenate([np.zeros(0, np.int32), *parts]))
    reached = [home[problem.targets[problem.back[a] : problem.back[a + 1]]] for a in axons]
    shared = np.bincount(np.concatenate([np.zeros(0, np.int64), *reached]), minlength=len(cores))
    return np.argsort(-shared, kind="stable")
