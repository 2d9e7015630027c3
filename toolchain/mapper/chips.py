"""Which cores share a chip, where an out-axon to another chip costs more than one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from toolchain.mapper.compiling import compiled
from toolchain.mapper.easing import ease
from toolchain.mapper.growth import Problem
from toolchain.mapper.reach import Machine, homes

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Cores = list[IntArray]
_SWAPS = 400  # of two cores, at most


def arrange(problem: Problem, cores: Cores, spots: FloatArray, machine: Machine) -> Cores:
    """The cores, chip by chip: those that lie close together share one, then swaps improve it."""
    per_chip = machine.per_chip
    if len(cores) <= per_chip:
        return cores
    places = np.array(
        [[*spots[members].mean(axis=0), problem.population[members].mean()] for members in cores]
    )
    directed, ties = _ties(problem, cores, machine)
    order = np.array(_parted(places, ties, per_chip))
    chip = np.arange(len(cores)) // per_chip
    chip[order] = chip.copy()
    return _by_chip(problem, cores, machine, directed, _swapped(ties, chip))


def rearrange(problem: Problem, cores: Cores, machine: Machine, chip_of: IntArray) -> Cores:
    """The cores, chip by chip, as near as can be to where their neurons lay: (neurons,) chips."""
    if len(cores) <= machine.per_chip:
        return cores
    wanted = np.array([float(np.median(chip_of[members])) for members in cores])
    order = np.argsort(wanted, kind="stable")
    chip = np.zeros(len(cores), np.int64)
    chip[order] = np.arange(len(cores)) // machine.per_chip
    directed, ties = _ties(problem, cores, machine)
    return _by_chip(problem, cores, machine, directed, _swapped(ties, chip))


def _by_chip(
    problem: Problem, cores: Cores, machine: Machine, ties: csr_array, chip: IntArray
) -> Cores:
    """The cores, chip by chip, after those that exceed their out-axons were eased."""
    surcharge, number = machine.remote - 1, np.repeat(np.arange(len(cores)), np.diff(ties.indptr))
    away = ties.data * (chip[number] != chip[ties.indices])
    used = ties.sum(axis=1) + surcharge * np.bincount(number, away, len(cores)).astype(np.int64)
    eased = ease(chip, ties, used, int(problem.limits[2]), surcharge)
    return [cores[at] for at in np.argsort(eased, kind="stable")]


def _parted(places: FloatArray, ties: csr_array, per_chip: int) -> list[int]:
    """Numbers of cores, parted by space or by depth, whichever cuts fewer ties, chip by chip."""
    stack, done = [np.arange(len(places))], []
    while stack:
        some = stack.pop()
        if len(some) <= per_chip:
            done += some.tolist()
            continue
        mine = csr_array(ties[some][:, some])
        best, first, second = np.inf, some, some
        for place in places[some].T:
            order = np.argsort(place, kind="stable")
            for at in range(per_chip, len(some), per_chip):
                side = np.zeros(len(some))
                side[order[:at]] = 1
                cut = float(side @ (mine @ (1 - side))) / (at * (len(some) - at))
                if cut < best:
                    best, first, second = cut, some[order[:at]], some[order[at:]]
        stack += [second, first]
    return done


def _ties(problem: Problem, cores: Cores, machine: Machine) -> tuple[csr_array, csr_array]:
    """(cores, cores) out-axons from one to the other, and ties: how dear both ways are together.

    A core that could pay the surcharge for all of its out-axons has weak ties.
    """
    home = homes(problem, cores)
    source, target = _pairs(problem.back, problem.targets, home, machine.nodes, len(cores))
    used = np.bincount(source, minlength=len(cores))
    tight = used * machine.remote > problem.limits[2]
    ones = np.ones(len(source), np.int64)
    out = csr_array(coo_array((ones, (source, target)), shape=(len(cores),) * 2))
    weighed = csr_array(out * np.where(tight, 1.0, 0.01)[:, None])
    return out, csr_array(weighed + weighed.T)


@compiled
def _pairs(back, targets, home, nodes, cores):  # type: ignore[no-untyped-def]  # pragma: no cover
    seen = np.full(cores, -1, np.int64)
    count = 0
    for again in range(2):
        if again:
            source, target = np.zeros(count, np.int32), np.zeros(count, np.int32)
            seen[:], count = -1, 0
        for a in range(len(back) - 1):
            if nodes[a] >= len(home):
                continue
            for s in range(back[a], back[a + 1]):
                core = home[targets[s]]
                if seen[core] != a:
                    seen[core] = a
                    if again:
                        source[count], target[count] = home[nodes[a]], core
                    count += 1
    return source, target


def _swapped(ties: csr_array, chip: IntArray) -> IntArray:
    """(cores,) chips after swapping cores between them while that lowers the ties across."""
    number = np.arange(len(chip))
    chips = int(chip.max()) + 1
    where = np.zeros((len(chip), chips))
    where[number, chip] = 1
    pull = np.asarray(ties @ where)
    for _ in range(_SWAPS):
        i, j = _best_swap(pull, chip, ties.indptr, ties.indices, ties.data)
        if i < 0:
            break
        for one, there in ((i, chip[j]), (j, chip[i])):
            span = slice(ties.indptr[one], ties.indptr[one + 1])
            pull[ties.indices[span], chip[one]] -= ties.data[span]
            pull[ties.indices[span], there] += ties.data[span]
        chip[i], chip[j] = chip[j], chip[i]
    return chip


@compiled
def _best_swap(pull, chip, indptr, indices, data):  # type: ignore[no-untyped-def]  # pragma: no cover
    """The two cores whose swap lowers the ties across most, -1 where none does."""
    chips = pull.shape[1]
    keenest = np.full((chips, chips), -1, np.int64)  # on one chip, to be on another
    for n in range(len(chip)):
        a = chip[n]
        for b in range(chips):
            i = keenest[a, b]
            if a != b and (i < 0 or pull[n, b] - pull[n, a] > pull[i, b] - pull[i, a]):
                keenest[a, b] = n
    most, one, other = 1e-9, np.int64(-1), np.int64(-1)
    for a in range(chips):
        for b in range(a + 1, chips):
            i, j = keenest[a, b], keenest[b, a]
            tie = 0.0
            for s in range(indptr[i], indptr[i + 1]):
                if indices[s] == j:
                    tie = data[s]
            gain = (pull[i, b] - pull[i, a]) + (pull[j, a] - pull[j, b]) - 2 * tie
            if gain > most or (gain == most and (i > one or (i == one and j > other))):
                most, one, other = gain, i, j
    return one, other
