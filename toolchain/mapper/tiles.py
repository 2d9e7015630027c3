"""Cores as tiles of a population, or of two: neurons that lie close together, as many as fit."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from toolchain.mapper.chips import arrange, rearrange
from toolchain.mapper.filling import fill_akin, queue
from toolchain.mapper.growth import NEURONS, WORDS, Bench, Problem, bench, clear
from toolchain.mapper.mixing import Mix, cores_of, followed, mixtures
from toolchain.mapper.reach import Machine, entries, homes
from toolchain.mapper.refining import refined
from toolchain.mapper.scene import Scene, needs_of, scene_of, shares_of
from toolchain.mapper.settling import in_turn, kindred, spread
from toolchain.mapper.trading import trade

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Cores = list[IntArray]
_TRIES = 6  # cuts of a population, each by what the one before turned out to need
_FULLEST = 1.03  # of the axons that a tile may be expected to take: it still fits a core
_SAMPLES = 3  # tiles of a population that say how many words its synapses take


def tiled(problem: Problem, spots: FloatArray, machine: Machine) -> Cores:
    """Cores in the order of their chips; `spots` (neurons, modes) are coordinates.

    Tiles are cut by how full the ones before turned out to be, out-axons included: from the last
    population to the first, as out-axons depend on the tiles of the targets. Those may still
    exceed what a core holds: `settling.settle` comes next.
    """
    scene, core = scene_of(problem, machine, spots), bench(problem)
    tiles = [_cut(group, spots, scene.weight) for group in scene.groups]
    scene.rates[:] = [_words_per_synapse(problem, core, several) for several in tiles]
    for _ in range(2):  # the first shows what trading gains
        _cut_all(problem, scene, tiles, [])
    cores = _swept(problem, scene, machine, tiles)
    rates = np.array([_words_per_synapse(problem, core, several) for several in tiles])
    words = np.ceil(rates[problem.population] * np.diff(problem.pointers)).astype(np.int64)
    cores = refined(problem, machine, cores, words, partial(_halves, spots))
    return _filled(problem, core, cores, entries(problem, machine, cores)[0])


def _swept(problem: Problem, scene: Scene, machine: Machine, tiles: list[Cores]) -> Cores:
    """Cores by chips, then cut again, now that it is known which out-axons leave the chip."""
    mixes = _mixes(problem, scene, tiles)
    if mixes:
        _cut_all(problem, scene, tiles, mixes)
    cores = arrange(problem, _joined(tiles, mixes), scene.spots, machine)
    chip = homes(problem, cores) // machine.per_chip
    near, _ = entries(problem, scene.nearby, cores)
    out, _ = entries(problem, machine, cores)
    scene.away[:] = out / np.maximum(near, 1)
    needs = needs_of(problem, scene, tiles)
    mixes = followed(mixes, needs, scene.sizes, int(problem.limits[0]))
    _cut_all(problem, scene, tiles, mixes)
    return rearrange(problem, _joined(tiles, mixes), machine, chip)


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
        if len(order):
            _fit(problem, scene, tiles, number, order)


def _fit(problem: Problem, scene: Scene, tiles: list[Cores], number: int, order: IntArray) -> None:
    """Cut what is left of a population until its tiles are expected to fit; then they trade."""
    fixed = tiles[number]
    for turn in range(_TRIES):
        cut = _cut(order, scene.spots, scene.weight)
        tiles[number] = fixed + cut
        share, before = shares_of(problem, tiles, number, scene)
        scene.weight[order] = share[order]
        if turn and max(float(share[tile].sum()) for tile in cut) <= _FULLEST:
            break  # the first cut knows only what another one needed
    tiles[number] = fixed + trade(problem, cut, scene.spots, scene.price)
    _, after = shares_of(problem, tiles, number, scene)
    left = (after / np.maximum(before, 1))[len(fixed) :]
    for tile, gain in zip(cut, left.tolist(), strict=True):
        scene.gain[tile] = gain


def _joined(tiles: list[Cores], mixes: list[Mix]) -> Cores:
    """All tiles, those that share a core in one, the host's neurons first."""
    tiles = [list(several) for several in tiles]
    cores = []
    for mix in mixes:
        guests, tiles[mix.guest] = tiles[mix.guest][: mix.tiles], tiles[mix.guest][mix.tiles :]
        cores += [np.concatenate(pair) for pair in zip(tiles[mix.host], guests, strict=True)]
        tiles[mix.host] = []
    return [tile for several in tiles for tile in several] + cores


def _mixes(problem: Problem, scene: Scene, tiles: list[Cores]) -> list[Mix]:
    """Populations that had better share cores."""
    needs, sizes = needs_of(problem, scene, tiles), scene.sizes

    def cores(mixes: list[Mix]) -> float:
        finer = list(tiles)
        for mix in mixes:
            for number, count in (mix.host, mix.tiles), (mix.guest, sizes[mix.guest] / mix.each):
                even = np.full(len(scene.weight), count / sizes[number])
                finer[number] = _cut(scene.groups[number], scene.spots, even)
        return cores_of(needs_of(problem, scene, finer) if mixes else needs, sizes, mixes)

    return mixtures(needs, sizes, int(problem.limits[0]), cores)


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


def _halves(spots: FloatArray, members: IntArray) -> Cores:
    """Two halves of some neurons, parted across their longest extent."""
    order = members[np.argsort(along(spots[members]), kind="stable")]
    return [np.sort(half) for half in np.array_split(order, 2)]


def along(spots: FloatArray) -> FloatArray:
    """(neurons,) places along the longest extent of some coordinates."""
    centred = spots.T.copy()
    centred -= centred.mean(axis=1, keepdims=True)
    spread = np.array([[(a * b).sum() for b in centred] for a in centred])
    axis = np.linalg.eigh(spread)[1][:, -1]
    return np.asarray(sum(row * weight for row, weight in zip(centred, axis, strict=True)))


def _words_per_synapse(problem: Problem, core: Bench, tiles: Cores) -> float:
    step, line = max(1, len(tiles) // _SAMPLES), queue(problem)
    synapses, words = 1, 0
    for number, tile in enumerate(tiles[::step][:_SAMPLES]):
        clear(core)
        some = tile[fill_akin(problem, core, line, tile, number)]
        synapses += int((problem.pointers[some + 1] - problem.pointers[some]).sum())
        words += int(core.totals[WORDS])
    clear(core)
    return words / synapses


def _filled(problem: Problem, core: Bench, cores: Cores, out: IntArray) -> Cores:
    """Tiles written onto cores; what does not fit on further cores.

    `out` (neurons,) are the out-axons that each needs: tiles keep what they need beyond a core's,
    but none takes another's neurons so.
    """
    line = queue(problem)
    done: Cores = []
    left: list[IntArray] = []
    for number, tile in enumerate(cores):
        clear(core)
        taken = fill_akin(problem, core, line, tile, number)
        done.append(core.members[: core.totals[NEURONS]].copy())
        left.append(tile[~taken])
    rest = np.concatenate(left)
    if len(rest):
        problem.out[:] = out
        asked = kindred(problem, done, rest)
        done, rest, _ = spread(problem, core, line, done, rest, asked, len(cores))
        problem.out[:] = 0
    return done + in_turn(problem, core, rest)
