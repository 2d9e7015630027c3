"""QuantizedNetwork -> Packing: which neurons share a core. A packer is one function of two."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import PlacedBlock
from toolchain.hardware import HardwareProfile
from toolchain.mapper.bound import lower_bound
from toolchain.mapper.exact import fewest
from toolchain.mapper.filling import fill, fill_with, queue
from toolchain.mapper.geometry import coordinates, is_extended
from toolchain.mapper.growth import LISTS, NEURONS, WORDS, Bench, Problem, bench, clear
from toolchain.mapper.legality import RULES
from toolchain.mapper.lists import write_lists
from toolchain.mapper.problem import blocks_of, problem_of
from toolchain.mapper.reach import Machine, entries
from toolchain.mapper.resources import Packing, core_needs
from toolchain.mapper.settling import dissolve, rewrite, settle
from toolchain.mapper.tiles import tiled
from toolchain.network import QuantizedNetwork

IntArray = NDArray[np.int64]
Cores = list[IntArray]  # core by core, its neurons in the order of the problem
Packer = Callable[[QuantizedNetwork, HardwareProfile], Packing]

_WORK = 3_000_000  # synapses that may be visited to try again, beyond the first packing
_AGAIN = 40  # times that all synapses may be visited to spare cores


def pack_sequential(network: QuantizedNetwork, profile: HardwareProfile) -> Packing:
    """Population by population in order, each cut into the longest runs; first fit for the runs.

    The simple one, kept to compare with.
    """
    return _packed(network, profile, _in_runs)


def pack_akin(network: QuantizedNetwork, profile: HardwareProfile) -> Packing:
    """Tiles where the network has an extent, cores grown by kinship where not; small ones try both.

    Where cores are grown, runs in order are tried, too: never more cores than `sequential`.
    Then cores whose out-axons do not fit exchange neurons or shed them; the emptiest are dissolved.
    """
    return _packed(network, profile, _best)


def pack_tiles(network: QuantizedNetwork, profile: HardwareProfile) -> Packing:
    """Tiles of neurons that lie close together along the synapses; populations may share cores."""
    return _packed(network, profile, _in_tiles)


def pack_exact(network: QuantizedNetwork, profile: HardwareProfile) -> Packing:
    """The fewest cores, proven; neurons stand in ascending order or as `akin` puts them.

    Raises UnsupportedError where the network is too large for a proof and `akin` is not at the
    lower bound already.
    """

    def fits(members: IntArray) -> bool:
        blocks = blocks_of(network, problem, members, ascending=True)
        lists = write_lists(network, profile, blocks)
        needs = core_needs(network, blocks, lists, nothing)
        return not any(
            True for rule in RULES for _ in rule(network, profile, blocks, lists, needs, nothing)
        )

    problem = problem_of(network, profile)
    machine = _machine(network, profile)
    nothing = {p.name: np.zeros(p.size, np.int64) for p in network.populations}
    known = _best(problem, machine)
    least = lower_bound(network, profile).cores
    cores = fewest(problem, machine, known, least, fits)
    return tuple(_in_compartments(network, profile, problem, members) for members in cores)


PACKERS: dict[str, Packer] = {
    "akin": pack_akin,
    "tiles": pack_tiles,
    "sequential": pack_sequential,
    "exact": pack_exact,
}


def _packed(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    find: Callable[[Problem, Machine], Cores],
) -> Packing:
    """No neuron may exceed a core alone (`legality.check_neurons`)."""
    problem = problem_of(network, profile)
    cores = find(problem, _machine(network, profile))
    return tuple(_in_compartments(network, profile, problem, members) for members in cores)


def _machine(network: QuantizedNetwork, profile: HardwareProfile) -> Machine:
    """What out-axons cost."""
    names = [p.name for p in network.populations]
    starts = np.cumsum([0, *(p.size for p in network.populations)])
    first = dict(zip([*names, network.input.name], starts.tolist(), strict=True))
    nodes = [first[e.source] + np.arange(e.weights.shape[1]) for e in network.projections]
    return Machine(
        nodes=np.concatenate([np.zeros(0, np.int64), *nodes]),
        per_chip=profile.chips.cores_per_chip,
        remote=profile.core.out_axon_cost_remote,
        furthest=profile.core.out_axons_per_neuron,
    )


def _best(problem: Problem, machine: Machine) -> Cores:
    spots, rate = coordinates(problem, machine.nodes)
    extended, found = is_extended(problem, spots, rate), []
    if extended:
        found.append(_finished(problem, machine, tiled(problem, spots, machine)))
    if not extended or 3 * len(problem.axons) <= _WORK:
        found.append(_grown(problem, machine))
    return _fewest(problem, machine, found)


def _fewest(problem: Problem, machine: Machine, found: list[Cores]) -> Cores:
    def cost(cores: Cores) -> tuple[bool, int]:
        out, _ = entries(problem, machine, cores)
        return int(out.max(initial=0)) > machine.furthest, len(cores)

    best = min(found, key=cost)
    problem.out[:] = entries(problem, machine, best)[0]
    return best


def _in_tiles(problem: Problem, machine: Machine) -> Cores:
    spots, _ = coordinates(problem, machine.nodes)
    return _finished(problem, machine, tiled(problem, spots, machine))


def _finished(problem: Problem, machine: Machine, cores: Cores) -> Cores:
    """Cores that are legal, and as few as spreading the emptiest over the others leaves."""
    work = _WORK + _AGAIN * len(problem.axons)
    return dissolve(problem, machine, settle(problem, machine, cores), work)


def _in_compartments(
    network: QuantizedNetwork, profile: HardwareProfile, problem: Problem, members: IntArray
) -> tuple[PlacedBlock, ...]:
    """Neurons in ascending order where their lists fit so, as they were put there where not."""
    blocks = blocks_of(network, problem, members, ascending=True)
    lists = write_lists(network, profile, blocks)
    words = int(lists.words.sum())
    together = len(members) + len(lists.source) + words + int(problem.out[members].sum())
    longest = int(lists.words.max(initial=0)) <= profile.synapse.words_per_axon
    core = profile.core
    if words <= core.synapse_words and together <= core.memory_words and longest:
        return blocks
    return blocks_of(network, problem, members, ascending=False)


def _in_runs(problem: Problem, machine: Machine) -> Cores:
    core = bench(problem)
    runs: Cores = []
    ends = np.searchsorted(problem.population, np.arange(problem.population.max() + 2))
    for first, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        while first < end:
            clear(core)
            some = np.arange(first, min(end, first + int(problem.limits[0])))
            stop = first + int(fill_with(problem, core, some, most=1).sum())
            assert stop > first, "a neuron fits a core of its own"
            runs.append(np.arange(first, stop))
            first = stop
    return settle(problem, machine, _first_fit(problem, core, runs), simple=True)


def _first_fit(problem: Problem, core: Bench, runs: Cores) -> Cores:
    """Every run on the first core where it fits whole beside those already there."""
    cores: Cores = []
    used: list[IntArray] = []
    for run in runs:
        rewrite(problem, core, run)
        more = core.totals.copy()
        for at, members in enumerate(cores):
            if not _may_fit(problem, used[at], more):
                continue
            rewrite(problem, core, members)
            if fill_with(problem, core, run).all():
                cores[at] = np.concatenate([members, run])
                used[at] = core.totals.copy()
                break
        else:
            cores.append(run)
            used.append(more)
    return cores


def _may_fit(problem: Problem, used: IntArray, more: IntArray) -> bool:
    """Whether it is worth a try: joining two lists saves their headers and rounding, 2 words."""
    words = used[WORDS] + more[WORDS] - 2 * min(used[LISTS], more[LISTS])
    return bool(used[NEURONS] + more[NEURONS] <= problem.limits[0] and words <= problem.limits[3])


def _grown(problem: Problem, machine: Machine) -> Cores:
    weight = _weights(problem)
    heavy = np.argsort(-weight, kind="stable")
    orders = [heavy, np.arange(len(weight)), heavy[::-1].copy()]
    tries = 1 + min(2, _WORK // max(1, 3 * len(problem.axons)))
    found = []
    for order in orders[:tries]:
        problem.out[:] = 0
        found.append(_finished(problem, machine, _grow(problem, order)))
    problem.out[:] = 0
    found.append(_in_runs(problem, machine))  # where no neurons are akin, runs may do better
    return _fewest(problem, machine, found)


def _weights(problem: Problem) -> NDArray[np.float64]:
    """(populations,) share of a core that a mean neuron takes of what it takes most of."""
    sizes = np.bincount(problem.population).astype(float)
    fan_in = np.bincount(problem.population, np.diff(problem.pointers)) / sizes
    return np.maximum(fan_in / problem.limits[3], 1 / problem.limits[0])


def _grow(problem: Problem, order: IntArray) -> Cores:
    core, line = bench(problem), queue(problem)
    ends = np.searchsorted(problem.population, np.arange(problem.population.max() + 2))
    cursors = np.stack([ends[:-1], ends[1:]], axis=1)
    placed = np.zeros(len(problem.out), bool)
    cores: Cores = []
    while not placed.all():
        clear(core)
        fill(problem, core, line, placed, order, cursors, len(cores))
        assert core.totals[NEURONS], "a neuron fits a core of its own"
        cores.append(core.members[: core.totals[NEURONS]].copy())
    return cores
