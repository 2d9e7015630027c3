"""Cores as tiles of a population, or of two: neurons that lie close together, as many as fit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolchain.mapper.chips import arrange, rearrange
from toolchain.mapper.filling import fill_with, queue
from toolchain.mapper.growth import NEURONS, WORDS, Bench, Problem, bench, clear, load
from toolchain.mapper.mixing import Mix, mixtures
from toolchain.mapper.reach import Machine, entries, homes
from toolchain.mapper.settling import in_turn, kindred, spread
from toolchain.mapper.trading import trade

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Cores = list[IntArray]
_TRIES = 6  # cuts of a population, each by what the one before turned out to need
_SWEEPS = 3  # over all populations, at most; the second knows which cores share a chip
_FULLEST = 1.03  # of the axons that a tile may be expected to take: it still fits a core
_LOOSE = 0.92  # both where compartments are left over: neurons of other tiles may then take those
_FEW = 0.02  # of the cores that may exceed their out-axons: they will shed neurons
_SAMPLES = 3  # tiles of a population that say how many words its synapses take
_FULL = 0.985  # share of a core's out-axons that a tile may be expected to take
_TIGHT = 0.97  # the same of what leaves neurons over where a tile exceeds it, scattered at its rim


def tiled(problem: Problem, spots: FloatArray, machine: Machine) -> Cores:
    """Cores in the order of their chips; `spots` (neurons, modes) are coordinates.

    Tiles are cut by how full the ones before turned out to be, out-axons included: from the last
    population to the first, as out-axons depend on the tiles of the targets. Those may still
    exceed what a core holds: `settling.settle` comes next.
    """
    ends = np.searchsorted(problem.population, np.arange(problem.population.max() + 2))
    groups = [np.arange(*pair) for pair in pairwise(ends.tolist())]
    core = bench(problem)
    weight = np.full(len(problem.out), 1 / problem.limits[0])
    tiles = [_cut(group, spots, weight) for group in groups]
    rates = np.array([_words_per_synapse(problem, core, several) for several in tiles])
    scene = Scene(
        spots=spots,
        groups=groups,
        rates=rates,
        weight=weight,
        away=np.ones(len(problem.out)),
        price=np.where(machine.nodes < len(problem.out), 2, 1),
        nearby=machine._replace(per_chip=len(problem.out)),
    )
    _cut_all(problem, scene, tiles, [])
    unmixed = [len(several) for several in tiles]
    sizes, limit = [len(group) for group in groups], int(problem.limits[0])
    needs = _needs(problem, scene, tiles)
    mixes = mixtures(needs, unmixed, sizes, limit)
    guests = {mix.host: mix.guest for mix in mixes}
    best: Cores = []
    for sweep in range(_SWEEPS):
        if sweep:
            needs[:, 2] = _needs(problem, scene, tiles)[:, 2]
            mixes = mixtures(needs, unmixed, sizes, limit, guests)
        if mixes or sweep:
            _cut_all(problem, scene, tiles, mixes)
        cores = _joined(tiles, mixes)
        if sweep == 0:
            cores = arrange(problem, cores, spots, machine)
        else:
            cores = rearrange(problem, cores, machine, homes(problem, best) // machine.per_chip)
        best = cores
        near, _ = entries(problem, scene.nearby, cores)
        out, _ = entries(problem, machine, cores)
        scene.away[:] = out / np.maximum(near, 1)
        over = sum(int(out[tile].sum()) > problem.limits[2] for tile in cores)
        if over <= _FEW * len(cores):
            break
    return _filled(problem, core, cores, spots)


class Scene(NamedTuple):
    """What all cuts share."""

    spots: Any  # (neurons, modes)
    groups: Any  # population by population, its neurons
    rates: Any  # (populations,) words of a synapse
    weight: Any  # (neurons,) share of a core that each is expected to take
    away: Any  # (neurons,) times dearer are its out-axons as some leave the chip
    price: Any  # (axons,) as in `trading.trade`
    nearby: Machine  # all on one chip


def _cut_all(problem: Problem, scene: Scene, tiles: list[Cores], mixes: list[Mix]) -> None:
    """Cut every population anew; the tiles of guests that share a core come first, host by host."""
    shared = {mix.host: mix.tiles for mix in mixes}
    for number in reversed(range(len(tiles))):
        group, weight = scene.groups[number], scene.weight
        guests = [(mix.tiles, mix.each) for mix in mixes if mix.guest == number]
        order = group[np.argsort(along(scene.spots[group]), kind="stable")] if guests else group
        fixed: Cores = []
        for count, each in [*guests, *([(shared[number], len(group))] if number in shared else [])]:
            some, order = order[: count * each], order[count * each :]
            even = np.full(len(weight), count / len(some))
            fixed += trade(problem, _cut(some, scene.spots, even), scene.spots, scene.price)
        tiles[number] = fixed
        for _ in range(_TRIES if len(order) else 0):
            cut = _cut(order, scene.spots, weight)
            tiles[number] = fixed + trade(problem, cut, scene.spots, scene.price)
            share = _shares(problem, tiles, number, scene)
            weight[order] = share[order]
            fullest = max(float(share[tile].sum()) for tile in tiles[number][len(fixed) :])
            if fullest <= _FULLEST:
                break


def _joined(tiles: list[Cores], mixes: list[Mix]) -> Cores:
    """All tiles, those that share a core in one, the host's neurons first."""
    tiles = [list(several) for several in tiles]
    cores = []
    for mix in mixes:
        guests, tiles[mix.guest] = tiles[mix.guest][: mix.tiles], tiles[mix.guest][mix.tiles :]
        cores += [np.concatenate(pair) for pair in zip(tiles[mix.host], guests, strict=True)]
        tiles[mix.host] = []
    return [tile for several in tiles for tile in several] + cores


def _needs(problem: Problem, scene: Scene, tiles: list[Cores]) -> FloatArray:
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
    sizes = np.array([len(group) for group in scene.groups])
    return np.array(rows) / problem.limits[:4] / sizes[:, None]


def _shares(problem: Problem, tiles: list[Cores], number: int, scene: Scene) -> FloatArray:
    """(neurons,) share of a core that each of a population takes, by what binds where it lies."""
    out, lists = entries(problem, scene.nearby, [tile for several in tiles for tile in several])
    first = sum(len(several) for several in tiles[:number])
    share = np.zeros(len(out))
    limits = problem.limits
    for at, tile in enumerate(tiles[number], start=first):
        words = float(scene.rates[number]) * float(
            (problem.pointers[tile + 1] - problem.pointers[tile]).sum()
        )
        axons = float((out[tile] * scene.away[tile]).sum())
        together = len(tile) + int(lists[at]) + axons + words
        needs = [lists[at] / limits[1], words / limits[3], together / limits[7]]
        empty = len(tile) < limits[0] / 2
        counted = max(len(tile) / limits[0], axons / limits[2] / (_LOOSE if empty else _FULL))
        share[tile] = max(counted, max(needs) / (_LOOSE if empty else _TIGHT)) / len(tile)
    return share


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


def _in_order(of: IntArray) -> list[int]:
    """Numbers of populations as they first occur."""
    return list(dict.fromkeys(of.tolist()))


def _outwards(tile: IntArray, spots: FloatArray) -> IntArray:
    """Neurons from the middle of a tile to its rim."""
    middle = spots[tile] - spots[tile].mean(axis=0)
    return tile[np.argsort((middle * middle).sum(axis=1), kind="stable")]


def _fan_in(problem: Problem, members: IntArray) -> int:
    return int((problem.pointers[members + 1] - problem.pointers[members]).max(initial=1))


def _distinct(problem: Problem, members: IntArray) -> int:
    parts = [problem.axons[problem.pointers[i] : problem.pointers[i + 1]] for i in members]
    return len(np.unique(np.concatenate(parts)))


def _filled(problem: Problem, core: Any, cores: Cores, spots: FloatArray) -> Cores:
    """Tiles written onto cores from their middle outwards; what does not fit on further cores."""
    done: Cores = []
    left: list[IntArray] = []
    for tile in cores:
        parts = [tile[problem.population[tile] == p] for p in _in_order(problem.population[tile])]
        order = np.concatenate([_outwards(part, spots) for part in parts])
        clear(core)
        taken = fill_with(problem, core, order)
        done.append(core.members[: core.totals[NEURONS]].copy())
        left.append(order[~taken])
    rest = np.concatenate(left)
    if len(rest):
        asked = kindred(problem, done, rest)
        done, rest, _ = spread(problem, core, queue(problem), done, rest, asked, 0)
    return done + in_turn(problem, core, rest)
