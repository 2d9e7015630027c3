"""The fewest cores of a small network, proven by integer programming (scipy's HiGHS)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from toolchain.errors import UnsupportedError
from toolchain.mapper.growth import Problem
from toolchain.mapper.reach import Machine, entries

IntArray = NDArray[np.int64]
Cores = list[IntArray]
_MOST_NEURONS = 24  # that the exact packer takes
_MOST_NODES = 20_000  # of the search for one number of cores
_MOST_SETS = 400  # of neurons that turned out not to fit a core


def fewest(
    problem: Problem,
    machine: Machine,
    known: Cores,
    least: int,
    fits: Callable[[IntArray], bool],
) -> Cores:
    """A packing of the fewest cores; `known` is a legal one, `least` a bound below.

    Counts of compartments, axons, thresholds, decays and formats are rows of the program. Words
    and delays are not linear: a core that breaks their limits by `fits(members)` is forbidden,
    with every core that holds the same neurons and more.
    Raises UnsupportedError where the network is too large to prove anything.
    """
    neurons = len(problem.out)
    if least >= len(known):
        return known
    if neurons > _MOST_NEURONS or len(known) > machine.per_chip + 1:
        raise UnsupportedError(
            f"the packer 'exact' takes at most {_MOST_NEURONS} neurons on one chip, the network"
            f" has {neurons:,}; take 'akin'"
        )
    forbidden: list[IntArray] = []
    for count in range(max(least, 1), len(known)):
        while (home := _homes(problem, machine, count, forbidden)) is not None:
            cores = [np.flatnonzero(home == c) for c in range(count) if (home == c).any()]
            wrong = [members for members in cores if not fits(members)]
            if not wrong:
                problem.out[:] = entries(problem, machine, cores)[0]
                return cores
            forbidden += wrong
            if len(forbidden) > _MOST_SETS:
                raise _undecided(count)
    return known


def _undecided(count: int) -> UnsupportedError:
    return UnsupportedError(
        f"the packer 'exact' could not decide whether {count} cores hold the network; take 'akin'"
    )


@dataclass
class _Program:
    """low <= A x <= high; the first variables say which neuron lies on which core."""

    neurons: int
    count: int  # cores
    used: int  # variables
    rows: list[tuple[dict[int, float], float, float]] = field(default_factory=list)

    def x(self, neuron: int, core: int) -> int:
        return neuron * self.count + core

    def block(self, number: int) -> int:
        """The first of more variables: so many for each core."""
        first, self.used = self.used, self.used + number * self.count
        return first

    def at_most(self, columns: list[int], high: float) -> None:
        self.rows.append((dict.fromkeys(columns, 1.0), -np.inf, high))

    def constraint(self) -> LinearConstraint:
        data = [value for terms, _, _ in self.rows for value in terms.values()]
        columns = [column for terms, _, _ in self.rows for column in terms]
        starts = np.cumsum([0, *(len(terms) for terms, _, _ in self.rows)])
        matrix = csr_array((data, columns, starts), shape=(len(self.rows), self.used))
        return LinearConstraint(matrix, [r[1] for r in self.rows], [r[2] for r in self.rows])


def _homes(
    problem: Problem, machine: Machine, count: int, forbidden: list[IntArray]
) -> IntArray | None:
    """(neurons,) a core of each that keeps to all that is linear, or None where there is none."""
    neurons = len(problem.out)
    program = _Program(neurons, count, neurons * count)
    limits = problem.limits
    for i in range(neurons):
        program.rows.append(({program.x(i, c): 1.0 for c in range(count)}, 1, 1))
    for c in range(count):
        program.at_most([program.x(i, c) for i in range(neurons)], int(limits[0]))
        for members in forbidden:
            program.at_most([program.x(int(i), c) for i in members], len(members) - 1)
    axons = [problem.axons[problem.pointers[i] : problem.pointers[i + 1]] for i in range(neurons)]
    listens = _once(program, axons, int(limits[1]))
    _once(program, [problem.threshold[i : i + 1] for i in range(neurons)], int(limits[4]))
    _once(program, [problem.decay[i : i + 1] for i in range(neurons)], int(limits[5]))
    _once(program, [np.unique(problem.key[some]) for some in axons], int(limits[6]))
    _leaving(program, machine, listens, int(limits[2]))
    return _solved(program, int(limits[2]))


def _once(program: _Program, needs: list[IntArray], held: int) -> int:
    """Things that a core pays for once, however many of its neurons need them."""
    first = program.block(1 + max((int(some.max()) for some in needs if len(some)), default=0))
    for c in range(program.count):
        program.at_most(list(range(first + c, program.used, program.count)), held)
        for i, some in enumerate(needs):
            for thing in some.tolist():
                terms = {first + thing * program.count + c: 1.0, program.x(i, c): -1.0}
                program.rows.append((terms, 0, np.inf))
    return first


def _leaving(program: _Program, machine: Machine, listens: int, held: int) -> None:
    """Out-axons: a neuron's core pays for every core that listens to one of its axons."""
    first = program.block(program.neurons)
    for i in range(program.neurons):
        reached = [
            listens + int(axon) * program.count + c
            for axon in np.flatnonzero(machine.nodes == i)
            for c in range(program.count)
            if listens + int(axon) * program.count + c < first
        ]
        program.at_most(reached, machine.furthest)
        for c in range(program.count):
            own = {first + i * program.count + c: 1.0, program.x(i, c): -len(reached)}
            program.rows.append((dict.fromkeys(reached, -1.0) | own, -len(reached), np.inf))
    for c in range(program.count):
        program.at_most(list(range(first + c, program.used, program.count)), held)


def _solved(program: _Program, most: int) -> IntArray | None:
    homes = program.neurons * program.count
    upper, whole = np.full(program.used, float(max(most, 1))), np.zeros(program.used)
    upper[:homes], whole[:homes] = 1, 1
    for i in range(min(program.neurons, program.count)):  # cores are alike: i lies on 0 ... i
        upper[[program.x(i, c) for c in range(i + 1, program.count)]] = 0
    found = milp(
        np.zeros(program.used),
        integrality=whole,
        bounds=Bounds(0, upper),
        constraints=program.constraint(),
        options={"node_limit": _MOST_NODES},
    )
    if found.status == 2:
        return None
    if found.x is None:
        raise _undecided(program.count)
    shares = found.x[:homes].reshape(program.neurons, program.count)
    return np.asarray(np.argmax(shares, axis=1))
