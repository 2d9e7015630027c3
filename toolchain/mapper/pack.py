"""QuantizedNetwork -> Packing: which neurons share a core. A packer is one function of two."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import PlacedBlock
from toolchain.hardware import HardwareProfile
from toolchain.mapper.filling import fill, fill_in_order, fill_with, queue
from toolchain.mapper.growth import LISTS, NEURONS, WORDS, Bench, Problem, bench, clear, load
from toolchain.mapper.lists import write_lists
from toolchain.mapper.problem import blocks_of, problem_of
from toolchain.mapper.resources import Packing
from toolchain.network import QuantizedNetwork

IntArray = NDArray[np.int64]
Cores = list[IntArray]  # core by core, its neurons in the order of the problem
Packer = Callable[[QuantizedNetwork, HardwareProfile], Packing]

_ROUNDS = 8  # cores decide fan-outs and fan-outs decide cores; one round is the rule
_WORK = 20_000_000  # synapses that may be visited to try again, beyond the first packing
_TRIES = 4  # cores that could not be emptied, after which the search ends


def pack_sequential(network: QuantizedNetwork, profile: HardwareProfile) -> Packing:
    """Population by population in order, each cut into the longest runs; first fit for the runs.

    The simple one, kept to compare with.
    """
    return _settle(network, profile, _in_runs)


def pack_akin(network: QuantizedNetwork, profile: HardwareProfile) -> Packing:
    """Cores grown by kinship: next comes the neuron most of whose axons the core has paid for.

    What cannot be akin any more fills up what is left, population by population, the heaviest
    first. Then the emptiest cores are emptied into the others where all their neurons fit.
    """
    return _settle(network, profile, _grown)


PACKERS: dict[str, Packer] = {"akin": pack_akin, "sequential": pack_sequential}


def _settle(
    network: QuantizedNetwork, profile: HardwareProfile, grow: Callable[[Problem, int], Cores]
) -> Packing:
    """Pack until the out-axons that the packing itself makes necessary fit too.

    No neuron may exceed a core alone (`legality.check_neurons`).
    """
    problem = problem_of(network, profile)
    sources = _sources(network)
    cores: Cores = []
    for _ in range(_ROUNDS):
        cores = grow(problem, _WORK)
        out = _out_axons(problem, profile, sources, cores)
        if all(out[members].sum() <= profile.core.out_axons for members in cores):
            break
        problem.out[:] = np.minimum(np.maximum(problem.out, out), profile.core.out_axons)
    return tuple(_in_compartments(network, profile, problem, members) for members in cores)


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


def _sources(network: QuantizedNetwork) -> IntArray:
    """(axons,) the neuron that each axon comes from, -1 for the input."""
    starts = np.cumsum([0, *(p.size for p in network.populations)])
    names = [p.name for p in network.populations]
    parts = [np.zeros(0, np.int64)]
    for edge in network.projections:
        size = edge.weights.shape[1]
        inside = edge.source in names
        first = starts[names.index(edge.source)] if inside else 0
        parts.append(np.arange(first, first + size) if inside else np.full(size, -1))
    return np.concatenate(parts)


def _out_axons(
    problem: Problem, profile: HardwareProfile, sources: IntArray, cores: Cores
) -> IntArray:
    """(neurons,) out-axon entries of each neuron as packed."""
    home = np.zeros(len(problem.out), np.int64)
    for core, members in enumerate(cores):
        home[members] = profile.chip_of(core)
    entries = np.zeros(len(problem.out), np.int64)
    for core, members in enumerate(cores):
        reached = sources[_axons_of(problem, members)]
        reached = reached[reached >= 0]
        remote = home[reached] != profile.chip_of(core)
        np.add.at(entries, reached, np.where(remote, profile.core.out_axon_cost_remote, 1))
    return entries


def _axons_of(problem: Problem, members: IntArray) -> IntArray:
    parts = [problem.axons[problem.pointers[i] : problem.pointers[i + 1]] for i in members]
    return np.unique(np.concatenate([np.zeros(0, np.int32), *parts]))


def _in_runs(problem: Problem, work: int) -> Cores:
    core = bench(problem)
    runs: Cores = []
    ends = np.searchsorted(problem.population, np.arange(problem.population.max() + 2))
    for first, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        while first < end:
            clear(core)
            stop = fill_in_order(problem, core, first, end)
            assert stop > first, "a neuron fits a core of its own"
            runs.append(np.arange(first, stop))
            first = stop
    return _first_fit(problem, core, runs)


def _first_fit(problem: Problem, core: Bench, runs: Cores) -> Cores:
    """Every run on the first core where it fits whole beside those already there."""
    cores: Cores = []
    used: list[IntArray] = []
    for run in runs:
        refill(problem, core, run)
        more = core.totals.copy()
        for at, members in enumerate(cores):
            if not _may_fit(problem, used[at], more):
                continue
            refill(problem, core, members)
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


def _grown(problem: Problem, work: int) -> Cores:
    weight = _weights(problem)
    heavy = np.argsort(-weight, kind="stable")
    orders = [heavy, np.arange(len(weight)), heavy[::-1]]
    tries = 1 + min(2, work // max(1, 3 * len(problem.axons)))
    found = [empty(problem, _grow(problem, order), work) for order in orders[:tries]]
    return min(found, key=len)


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


def refill(problem: Problem, core: Bench, members: IntArray) -> None:
    """Write a core anew with neurons that are known to fit."""
    clear(core)
    if not fill_with(problem, core, members).all():
        width = int(np.searchsorted(problem.widths, len(members)))
        masks = core.masks.copy()
        load(problem, core, members, width, masks)


def empty(problem: Problem, cores: Cores, work: int) -> Cores:
    """Give the neurons of the emptiest cores to others, as long as that frees a core."""
    core = bench(problem)
    cores, failed, spent = list(cores), 0, 0
    while failed < _TRIES and len(cores) > failed + 1 and spent <= work:
        loads = [_load(problem, members) for members in cores]
        order = np.argsort(loads, kind="stable")
        victim = int(order[failed])
        left = cores[victim]
        moved: dict[int, IntArray] = {}
        for at in order.tolist():
            if at == victim or not len(left):
                continue
            if len(cores[at]) >= problem.limits[0]:
                continue
            refill(problem, core, cores[at])
            taken = fill_with(problem, core, left)
            moved[at] = core.members[: core.totals[NEURONS]].copy()
            left = left[~taken]
            spent += int(np.diff(problem.pointers)[cores[at]].sum())
        if len(left):
            failed += 1
            continue
        cores = [moved.get(at, c) for at, c in enumerate(cores) if at != victim]
        failed = 0
    return cores


def _load(problem: Problem, members: IntArray) -> float:
    """How full a core is, by neurons or synapses."""
    synapses = int((problem.pointers[members + 1] - problem.pointers[members]).sum())
    return max(len(members) / problem.limits[0], synapses / (3.5 * problem.limits[3]))
