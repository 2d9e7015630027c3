"""What neurons take of their cores, as the tiles of all populations stand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.mapper.growth import Problem
from toolchain.mapper.reach import Machine, entries

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Cores = list[IntArray]
_FULL = 0.92  # of what a core holds that a tile is to need; neurons move into the rest


class Scene(NamedTuple):
    """What all cuts share."""

    spots: Any  # (neurons, modes)
    groups: Any  # population by population, its neurons
    sizes: Any  # (populations,) how many those are
    axons: Any  # population by population, the axons from it and onto it
    rates: Any  # (populations,) words of a synapse
    weight: Any  # (neurons,) share of a core that each is expected to take
    gain: Any  # (neurons,) share of its tile's in-axons that trading leaves
    away: Any  # (neurons,) times dearer are its out-axons as some leave the chip
    price: Any  # (axons,) as in `trading.trade`
    nearby: Machine  # all on one chip


def scene_of(problem: Problem, machine: Machine, spots: FloatArray) -> Scene:
    """Where nothing is known yet: a core's compartments bind, and one chip holds all."""
    ends = np.searchsorted(problem.population, np.arange(problem.population.max() + 2))
    return Scene(
        spots=spots,
        groups=[np.arange(*pair) for pair in pairwise(ends.tolist())],
        sizes=np.diff(ends),
        axons=_touching(problem, machine, len(ends) - 1),
        rates=np.zeros(len(ends) - 1),
        weight=np.full(len(problem.out), 1 / problem.limits[0]),
        gain=np.ones(len(problem.out)),
        away=np.ones(len(problem.out)),
        price=np.where(machine.nodes < len(problem.out), 2, 1),
        nearby=machine._replace(per_chip=len(problem.out)),
    )


def _touching(problem: Problem, machine: Machine, populations: int) -> list[IntArray]:
    """Population by population, the axons from it and onto it."""
    heard = np.flatnonzero(np.diff(problem.back))
    target = problem.population[problem.targets[problem.back[heard]]]
    of = np.append(problem.population, -1)
    source = of[np.minimum(machine.nodes[heard], len(problem.population))]
    return [heard[(target == n) | (source == n)] for n in range(populations)]


def needs_of(problem: Problem, scene: Scene, tiles: list[Cores]) -> FloatArray:
    """(populations, 4) mean share of a core's resources that a neuron takes."""
    cores = [tile for several in tiles for tile in several]
    out, lists = entries(problem, scene.nearby, cores)
    ends = np.cumsum([0, *(len(several) for several in tiles)])
    synapses = np.diff(problem.pointers)
    rows = []
    for number, group in enumerate(scene.groups):
        words = scene.rates[number] * synapses[group].sum()
        axons = lists[ends[number] : ends[number + 1]].sum()
        rows.append([len(group), axons, (out * scene.away)[group].sum(), words])
    return np.array(rows) / problem.limits[:4] / scene.sizes[:, None]


def shares_of(
    problem: Problem, tiles: list[Cores], number: int, scene: Scene
) -> tuple[FloatArray, IntArray]:
    """(neurons,) share of a core that each of a population takes, by what binds where it lies.

    And (tiles,) in-axons as the tiles stand; the shares count those that trading will leave.
    """
    cores = [tile for several in tiles for tile in several]
    out, lists = entries(problem, scene.nearby, cores, scene.axons[number])
    first = sum(len(several) for several in tiles[:number])
    share = np.zeros(len(out))
    limits = problem.limits
    for at, tile in enumerate(tiles[number], start=first):
        words = float(scene.rates[number]) * float(
            (problem.pointers[tile + 1] - problem.pointers[tile]).sum()
        )
        axons = float((out[tile] * scene.away[tile]).sum())
        heard = float(scene.gain[tile].mean()) * int(lists[at])
        needs = [
            heard / limits[1],
            words / limits[3],
            (len(tile) + heard + axons + words) / limits[7],
        ]
        needed = max(axons / limits[2], *needs) / _FULL
        share[tile] = max(len(tile) / limits[0], needed) / len(tile)
    return share, lists[first : first + len(tiles[number])]
