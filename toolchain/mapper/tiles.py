"""Cores as tiles of one population: neurons that lie close together, as many as a core holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.mapper.chips import arrange
from toolchain.mapper.filling import fill_with
from toolchain.mapper.growth import NEURONS, WORDS, Bench, Problem, bench, clear, load
from toolchain.mapper.settling import Machine, entries, homes, in_turn
from toolchain.mapper.trading import trade

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Cores = list[IntArray]
_PASSES = 4  # tiles are cut anew by what the ones before turned out to need
_SAMPLES = 3  # tiles of a population that say how many words its synapses take
_ROOM = 0.985  # share of a core's axons that a tile may be expected to take


def tiled(problem: Problem, spots: FloatArray, machine: Machine) -> Cores:
    """Cores in the order of their chips; `spots` (neurons, modes) are coordinates.

    Tiles are cut by how full the ones before turned out to be, out-axons included. Those may still
    exceed what a core holds: `settling.settle` comes next.
    """
    ends = np.searchsorted(problem.population, np.arange(problem.population.max() + 2))
    groups = [np.arange(*pair) for pair in zip(ends[:-1], ends[1:], strict=True)]
    core = bench(problem)
    weight = np.full(len(problem.out), 1 / problem.limits[0])
    rates = np.zeros(len(groups))
    price = np.where(machine.nodes < len(problem.out), 2, 1)
    for turn in range(_PASSES):
        tiles = [trade(problem, _cut(g, spots, weight), spots, price) for g in groups]
        if turn == 0:
            rates = np.array([_words_per_synapse(problem, core, several) for several in tiles])
        cores = [tile for several in tiles for tile in several]
        cores = arrange(problem, cores, spots, machine)
        weight = _weights(problem, cores, machine, rates)
    tiles = [trade(problem, _cut(g, spots, weight), spots, price) for g in groups]
    cores = arrange(problem, [tile for several in tiles for tile in several], spots, machine)
    return _filled(problem, core, cores, spots)


def _cut(group: IntArray, spots: FloatArray, weight: FloatArray) -> Cores:
    """A population in tiles of equal weight, none above 1, halved across their longest extent."""
    count = max(1, int(np.ceil(weight[group].sum() - 1e-6)))
    done: Cores = []
    stack = [(group, count)]
    while stack:
        members, parts = stack.pop()
        if parts == 1 or len(members) <= 1:
            done.append(members)
            continue
        order = members[np.argsort(along(spots[members]), kind="stable")]
        sums = np.cumsum(weight[order])
        first = parts // 2
        at = int(np.searchsorted(sums, sums[-1] * first / parts * (1 - 1e-9))) + 1
        at = min(max(at, 1), len(order) - 1)
        stack += [(order[at:], parts - first), (order[:at], first)]
    return done


def along(spots: FloatArray) -> FloatArray:
    """(neurons,) places along the longest extent of some coordinates."""
    centred = spots - spots.mean(axis=0)
    spread = np.array([[(a * b).sum() for b in centred.T] for a in centred.T])
    axis = np.linalg.eigh(spread)[1][:, -1]
    return np.asarray(sum(centred[:, k] * axis[k] for k in range(len(axis))))


def _words_per_synapse(problem: Problem, core: Bench, tiles: Cores) -> float:
    step = max(1, len(tiles) // _SAMPLES)
    synapses, words = 1, 0
    for tile in tiles[::step][:_SAMPLES]:
        some = tile[: int(problem.limits[0])]
        clear(core)
        width = int(np.searchsorted(problem.widths, len(some)))
        if _distinct(problem, some) > problem.limits[1]:
            some = some[: max(1, int(problem.limits[1] // max(1, _fan_in(problem, some))))]
        load(problem, core, some, width, np.zeros_like(core.masks))
        synapses += int((problem.pointers[some + 1] - problem.pointers[some]).sum())
        words += int(core.totals[WORDS])
    clear(core)
    return words / synapses


def _fan_in(problem: Problem, members: IntArray) -> int:
    return int((problem.pointers[members + 1] - problem.pointers[members]).max(initial=1))


def _distinct(problem: Problem, members: IntArray) -> int:
    parts = [problem.axons[problem.pointers[i] : problem.pointers[i + 1]] for i in members]
    return len(np.unique(np.concatenate(parts)))


def _weights(
    problem: Problem, cores: Cores, machine: Machine, rates: FloatArray
) -> FloatArray:
    """(neurons,) share of a core that each takes, by what binds where it lies."""
    home = homes(problem, cores)
    out, lists = entries(problem, machine, cores)
    synapses = np.diff(problem.pointers) * rates[problem.population]
    limits = problem.limits
    needs = [
        np.bincount(home) / limits[0],
        lists / (limits[1] * _ROOM),
        np.bincount(home, out) / (limits[2] * _ROOM),
        np.bincount(home, synapses) / (limits[3] * _ROOM),
    ]
    together = np.bincount(home) + lists + np.bincount(home, out) + np.bincount(home, synapses)
    needs.append(together / (limits[7] * _ROOM))
    share = np.max(needs, axis=0) / np.bincount(home)
    return np.asarray(share[home])


def _filled(problem: Problem, core: Any, cores: Cores, spots: FloatArray) -> Cores:
    """Tiles written onto cores from their middle outwards; what does not fit on further cores."""
    done: Cores = []
    left: list[IntArray] = []
    for tile in cores:
        middle = spots[tile] - spots[tile].mean(axis=0)
        order = tile[np.argsort((middle * middle).sum(axis=1), kind="stable")]
        clear(core)
        taken = fill_with(problem, core, order)
        done.append(core.members[: core.totals[NEURONS]].copy())
        left.append(order[~taken])
    return done + in_turn(problem, core, np.concatenate(left))
