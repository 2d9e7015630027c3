"""Which cores a neuron reaches, and what that costs in axons."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.mapper.compiling import compiled
from toolchain.mapper.growth import Problem

IntArray = NDArray[np.int64]
Cores = list[IntArray]


class Machine(NamedTuple):
    """What out-axons depend on besides the packing."""

    nodes: Any  # (axons,) the neuron that each comes from; beyond the neurons: inputs
    per_chip: int
    remote: int  # entries of an out-axon to another chip
    furthest: int  # entries that one neuron may have


def entries(
    problem: Problem, machine: Machine, cores: Cores, axons: IntArray | None = None
) -> tuple[IntArray, IntArray]:
    """(neurons,) out-axon entries of each neuron as packed, and (cores,) in-axons.

    Of these axons; default: of all.
    """
    home = homes(problem, cores)
    out, lists = np.zeros(len(home), np.int64), np.zeros(len(cores), np.int64)
    seen = np.full(len(cores), -1, np.int64)
    way = machine.nodes, machine.per_chip, machine.remote
    axons = np.arange(len(problem.key)) if axons is None else axons
    _entries(axons, problem.back, problem.targets, home, *way, seen, out, lists)
    return out, lists


def homes(problem: Problem, cores: Cores) -> IntArray:
    """(neurons,) the core of each."""
    home = np.zeros(len(problem.out), np.int64)
    for number, members in enumerate(cores):
        home[members] = number
    return home


@compiled
def _entries(axons, back, targets, home, nodes, per_chip, remote, seen, out, lists):  # type: ignore[no-untyped-def]  # pragma: no cover
    for a in axons:
        source = nodes[a]
        for s in range(back[a], back[a + 1]):
            core = home[targets[s]]
            if seen[core] == a:
                continue
            seen[core] = a
            lists[core] += 1
            if source < len(home):
                away = home[source] // per_chip != core // per_chip
                out[source] += remote if away else 1
