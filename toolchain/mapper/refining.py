"""Local search over all cores: neurons move, too full cores are halved, spare ones come empty."""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from toolchain.mapper.chips import rearrange
from toolchain.mapper.growth import Problem
from toolchain.mapper.moves import Desk, Stand, bring_back, note_all, walk
from toolchain.mapper.reach import Machine, entries, homes

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Cores = list[IntArray]
Halve = Callable[[IntArray], Cores]  # some neurons -> two parts of them
_PASSES = 3  # over all neurons, in a round
_ROUNDS = 16  # that spare cores, at most
_EASES = 64  # rounds until no core exceeds its axons, at most; a few are the rule
_SPARED = 0.003  # of the cores that a round spares at least, if another one is to follow
_EASED = 0.8  # of what exceeds axons that moves leave at most, or cores are halved
_IDLE = 3  # rounds in a row that bring no core below its axons
_RELUCTANT = 8  # of so many of its neurons one may stay at first, before the core is given up
_ROOMY = 16  # cores of a chip that take neurons whose axons they do not listen to yet


def refined(
    problem: Problem, machine: Machine, cores: Cores, words: IntArray, halve: Halve
) -> Cores:
    """Cores that keep to their axons, and few: those that come empty are left out, chip by chip.

    `words` (neurons,) is what each is expected to take of a core's. Cores too full are halved, as
    `halve` says, so more may come out than went in.
    """
    cores, before = _eased(problem, machine, cores, words, halve)
    for _ in range(_ROUNDS):
        fewer = _closed_up(problem, machine, vacated(problem, machine, cores, words))
        fewer, above = _eased(problem, machine, fewer, words, halve)
        spared = len(cores) - len(fewer)
        if above > before or spared <= 0:
            break
        cores, before = fewer, above
        if spared <= _SPARED * len(cores):
            break
    return cores


def _eased(
    problem: Problem, machine: Machine, cores: Cores, words: IntArray, halve: Halve
) -> tuple[Cores, float]:
    """The cores after moves, until none exceeds its axons; and by how much they still do.

    Some do at the beginning, and after some changed chips. Where moves hardly help any more, those
    cores are halved, unless several halvings in a row did not help either.
    """
    best, least, worst, idle = cores, np.inf, np.inf, 0
    for _ in range(_EASES):
        cores = _closed_up(problem, machine, refine(problem, machine, cores, words))
        needs = _needs(problem, machine, cores, words)
        above, _ = _cost(problem, machine, *needs)
        idle = 0 if above < least else idle + 1
        if above < least:
            best, least = cores, above
        full = _too_full(problem, needs[1])
        if not above or not full.any() or idle > _IDLE:
            break
        if above > _EASED * worst:
            cores = _halved(problem, machine, cores, full, halve)
        worst = above
    return best, least


def _too_full(problem: Problem, used: IntArray) -> BoolArray:
    """(cores,) which of them exceed their axons, and have neurons to give away."""
    return (used[:, 1:3] > problem.limits[1:3]).any(axis=1) & (used[:, 0] > 1)


def _halved(
    problem: Problem, machine: Machine, cores: Cores, some: BoolArray, halve: Halve
) -> Cores:
    """Two cores in place of each of some."""
    parts = [half for members in compress(cores, some) for half in halve(members)]
    chip = homes(problem, cores) // machine.per_chip
    return rearrange(problem, [*compress(cores, ~some), *parts], machine, chip)


def refine(problem: Problem, machine: Machine, cores: Cores, words: IntArray) -> Cores:
    """The same cores after neurons moved between them, some of them empty perhaps.

    No core gets more neurons or words than it holds; axons beyond what cores hold only get fewer.
    """
    stand = _stand(problem, machine, cores, words)
    desk = _desk(stand)
    best, least = stand.home.copy(), _cost(problem, machine, stand.out, stand.used)
    for _ in range(_PASSES):
        desk.roomy[:] = _roomy(problem, stand)
        order = np.argsort(stand.home, kind="stable")  # neurons of a core share what they visit
        moved = walk(problem, stand, desk, order, len(order))
        if (cost := _cost(problem, machine, stand.out, stand.used)) < least:
            best, least = stand.home.copy(), cost
        if not moved:
            break
    _assert_up_to_date(stand, _stand(problem, machine, _members(stand.home, len(cores)), words))
    return _members(best, len(cores))


def vacated(problem: Problem, machine: Machine, cores: Cores, words: IntArray) -> Cores:
    """The same cores, those empty whose neurons all found a better place, the emptiest first."""
    stand = _stand(problem, machine, cores, words)
    desk = _desk(stand)
    above, _ = _cost(problem, machine, stand.out, stand.used)
    for core in np.argsort(_fill(problem, stand), kind="stable").tolist():
        if stand.used[core, 0]:
            _vacate(problem, machine, stand, desk, core, above)
    left = _members(stand.home, len(cores))
    _assert_up_to_date(stand, _stand(problem, machine, left, words))
    return left


def _vacate(
    problem: Problem, machine: Machine, stand: Stand, desk: Desk, core: int, above: int
) -> None:
    """All neurons of a core move, or none; what exceeds axons stays what it is, or falls."""
    stand.closed[core], desk.roomy[:] = True, _roomy(problem, stand)
    members = staying = np.flatnonzero(stand.home == core)
    for _ in range(_PASSES):
        moved = walk(problem, stand, desk, staying, len(staying) // _RELUCTANT)
        staying = staying[stand.home[staying] == core]
        if not moved or not len(staying):
            break
    if len(staying) or _cost(problem, machine, stand.out, stand.used)[0] > above:
        bring_back(problem, stand, members, core)
    stand.closed[core] = False


def _closed_up(problem: Problem, machine: Machine, cores: Cores) -> Cores:
    """The cores without the empty ones, as near as can be to their chips."""
    left = [members for members in cores if len(members)]
    if len(left) == len(cores):
        return cores
    return rearrange(problem, left, machine, homes(problem, cores) // machine.per_chip)


def _fill(problem: Problem, stand: Stand) -> NDArray[np.float64]:
    """(cores,) the share in use of what each uses most of."""
    return np.asarray((stand.used / problem.limits[:4]).max(axis=1))


def _members(home: IntArray, cores: int) -> Cores:
    order = np.argsort(home, kind="stable")
    return np.split(order, np.cumsum(np.bincount(home, minlength=cores))[:-1])


def _assert_up_to_date(stand: Stand, anew: Stand) -> None:
    """What moves noted step by step is what a count of all cores gives."""
    for name in ("out", "used", "size", "extra"):
        assert (getattr(stand, name) == getattr(anew, name)).all(), name


def _stand(problem: Problem, machine: Machine, cores: Cores, words: IntArray) -> Stand:
    neurons = len(problem.out)
    nodes = np.where(machine.nodes < neurons, machine.nodes, -1)
    speaking = np.flatnonzero(nodes >= 0)
    reach, count = np.zeros((2, len(problem.targets)), np.int32)
    out, used = _needs(problem, machine, cores, words)
    stand = Stand(
        home=homes(problem, cores),
        out=out,
        words=words,
        used=used,
        closed=np.zeros(len(cores), bool),
        reach=reach,
        count=count,
        size=np.zeros(len(nodes), np.int32),
        own=np.concatenate([[0], np.cumsum(np.bincount(nodes[speaking], minlength=neurons))]),
        speaks=speaking[np.argsort(nodes[speaking], kind="stable")],
        nodes=nodes,
        chip=np.arange(len(cores)) // machine.per_chip,
        extra=np.zeros((len(cores), 3), np.int64),
        remote=machine.remote,
        furthest=machine.furthest,
    )
    note_all(problem, stand)
    return stand


def _needs(
    problem: Problem, machine: Machine, cores: Cores, words: IntArray
) -> tuple[IntArray, IntArray]:
    """(neurons,) out-axon entries, and (cores, 4) what cores use, as in `Stand`, counted anew."""
    out, lists = entries(problem, machine, cores)
    sizes = [len(members) for members in cores]
    sums = [[some[members].sum() for members in cores] for some in (out, words)]
    return out, np.stack([sizes, lists, *sums], axis=1).astype(np.int64)


def _cost(problem: Problem, machine: Machine, out: IntArray, used: IntArray) -> tuple[int, int]:
    """(axons beyond what cores hold and a neuron may have, out-axons of all)."""
    above = np.maximum(used[:, 1:3] - problem.limits[1:3], 0).sum()
    far = np.maximum(out - machine.furthest, 0).sum()
    return int(above + far), int(out.sum())


def _roomy(problem: Problem, stand: Stand) -> IntArray:
    """(chips, few) the cores of each with most compartments and out-axons left, or -1."""
    found = np.full((int(stand.chip[-1]) + 1, _ROOMY), -1, np.int64)
    left = (1 - stand.used / problem.limits[:4])[:, [0, 2]].min(axis=1)
    for number in range(len(found)):
        some = np.flatnonzero((stand.chip == number) & (left > 0) & (stand.used[:, 0] > 0))
        some = some[np.argsort(-left[some], kind="stable")][:_ROOMY]
        found[number, : len(some)] = some
    return found


def _desk(stand: Stand) -> Desk:
    cores = len(stand.used)
    core, there, paid = np.zeros((3, cores), np.int64)
    near = np.zeros(int(stand.chip[-1]) + 1, np.int64)
    return Desk(
        core=core,
        seen=np.full(cores, -1, np.int64),
        there=there,
        paid=paid,
        near=near,
        roomy=np.full((len(near), _ROOMY), -1, np.int64),
    )
