"""A changed network packed so that neurons stay on the cores where an earlier artifact has them.

What an old core cannot hold any more leaves it, the heaviest neurons first; they and new neurons go
where there is room. All counts are the exact ones of `resources.py`, so this shares no model of a
core with the packers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import Image, PlacedBlock
from toolchain.hardware import HardwareProfile
from toolchain.mapper.legality import RULES, violations
from toolchain.mapper.lists import write_lists
from toolchain.mapper.resources import FanOut, Packed, Packing, core_needs, count
from toolchain.network import QuantizedNetwork
from toolchain.whereabouts import homes

IntArray = NDArray[np.int64]
Members = dict[str, IntArray]  # population -> its neurons on one core, by compartment
_ROUNDS = 8  # of taking neurons off cores whose out-axons do not fit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stayed:
    """Packed cores, and the numbers that they keep or get."""

    packed: Packed
    numbers: IntArray  # (cores,) of each core on the machine


class _Site:
    """A network on its way onto old cores."""

    def __init__(self, network: QuantizedNetwork, profile: HardwareProfile, reach: FanOut) -> None:
        self.network = network
        self.profile = profile
        self.reach = reach

    def fits(self, members: Members) -> bool:
        """Whether these neurons may share a core, as far as that depends on them alone."""
        blocks = _blocks(members)
        if not blocks:
            return True
        if sum(block.size for block in blocks) > self.profile.core.compartments:
            return False
        lists = write_lists(self.network, self.profile, blocks)
        needs = core_needs(self.network, blocks, lists, self.reach)
        rules = (
            rule(self.network, self.profile, blocks, lists, needs, self.reach) for rule in RULES
        )
        return not any(True for found in rules for _ in found)

    def weight(self, population: str, neurons: IntArray) -> IntArray:
        """(neurons,) synapses onto each of them, and out-axons."""
        onto = self.reach[population][neurons].copy()
        for edge in self.network.projections:
            if edge.target == population:
                onto += np.diff(edge.weights.indptr)[neurons]
        return onto


def stay(network: QuantizedNetwork, profile: HardwareProfile, before: Image) -> Stayed | str:
    """Pack a network onto the cores of an earlier image, neuron by neuron where it was.

    Populations are the same where their names are. No neuron may exceed a core alone. Where the
    neurons cannot stay: the reason, as part of a sentence. Deterministic.
    """
    seeds = _seeds(network, before)
    if not seeds:
        return "no population of the earlier artifact has a name of this network"
    site = _Site(network, profile, _old_reach(network, before))
    order = np.argsort([number for number, _ in seeds], kind="stable")
    cores = [seeds[at][1] for at in order]
    numbers = [seeds[at][0] for at in order]
    kept = [_lightened(site, members) for members in cores]
    _settle(site, kept, _homeless(network, kept))
    for _ in range(_ROUNDS):
        there = [at for at, members in enumerate(kept) if members]
        packing: Packing = tuple(_blocks(kept[at]) for at in there)
        packed = count(network, profile, packing)
        lacking = violations(network, profile, packed)
        if not lacking:
            return _numbered(packed, [numbers[at] for at in there if at < len(numbers)], profile)
        site.reach = packed.fan_out
        for at in {there[one.core] for one in lacking if one.core is not None}:
            kept[at] = _lightened(site, kept[at])
        _settle(site, kept, _homeless(network, kept), onto_new_only=True)
    return f"{lacking[0].where} would need {lacking[0].needed:,} {lacking[0].resource}"


def _numbered(packed: Packed, kept: Sequence[int], profile: HardwareProfile) -> Stayed | str:
    """Old cores keep their numbers, new ones take the lowest that are free."""
    cores = len(packed.packing)
    if cores > profile.cores or max(kept, default=0) >= profile.cores:
        return f"that would need {cores:,} cores"
    free = sorted(set(range(profile.cores)) - set(kept))
    numbers = [*kept, *free[: cores - len(kept)]]
    return Stayed(packed=packed, numbers=np.array(numbers, np.int64))


def _seeds(network: QuantizedNetwork, before: Image) -> list[tuple[int, Members]]:
    """(number, members) of each old core, without what the network has no more."""
    sizes = {population.name: population.size for population in network.populations}
    found = []
    for core in before.cores:
        members: Members = {}
        for block in core.blocks:
            there = block.neurons[block.neurons < sizes.get(block.population, 0)]
            if len(there):
                before_it = members.get(block.population, there[:0])
                members[block.population] = np.concatenate([before_it, there])
        if members:
            found.append((core.number, members))
    return found


def _old_reach(network: QuantizedNetwork, before: Image) -> FanOut:
    """Out-axon entries of each neuron in the earlier image: what this one may need again."""
    reach = {p.name: np.zeros(p.size, np.int64) for p in network.populations}
    for core in before.cores:
        entries = np.bincount(core.route_compartment, minlength=core.needed.compartments)
        for block in core.blocks:
            if block.population in reach:
                there = block.neurons < len(reach[block.population])
                mine = entries[block.compartments]
                reach[block.population][block.neurons[there]] = mine[there]
    return reach


def _blocks(members: Mapping[str, IntArray]) -> tuple[PlacedBlock, ...]:
    """Members one behind the other."""
    found, first = [], 0
    for population, neurons in members.items():
        found.append(PlacedBlock(population=population, neurons=neurons, first_compartment=first))
        first += len(neurons)
    return tuple(found)


def _lightened(site: _Site, members: Members) -> Members:
    """A core without as few of its heaviest neurons as it takes to make it fit."""
    if site.fits(members):
        return members
    names = list(members)
    of = np.repeat(np.arange(len(names)), [len(members[name]) for name in names])
    weight = np.concatenate([site.weight(name, members[name]) for name in names])
    heavy = np.argsort(-weight, kind="stable")

    def without(most: int) -> Members:
        stays = np.ones(len(of), bool)
        stays[heavy[:most]] = False
        left = {name: members[name][stays[of == at]] for at, name in enumerate(names)}
        return {name: neurons for name, neurons in left.items() if len(neurons)}

    return without(_first(1, len(of), lambda most: site.fits(without(most))))


def _homeless(network: QuantizedNetwork, kept: Sequence[Members]) -> Members:
    """Neurons that no core holds, by population."""
    found = {}
    for population in network.populations:
        there = np.zeros(population.size, bool)
        for members in kept:
            there[members.get(population.name, [])] = True
        found[population.name] = np.flatnonzero(~there)
    return found


def _settle(
    site: _Site, kept: list[Members], homeless: Members, *, onto_new_only: bool = False
) -> None:
    """Put neurons where there is room: beside the most of their population, then on new cores."""
    for population, left in homeless.items():
        near = sorted(
            range(len(kept) if onto_new_only else 0, len(kept)),
            key=lambda at: -len(kept[at].get(population, ())),
        )
        for at in near:
            left = _added(site, kept, at, population, left)
        while len(left):
            kept.append({population: left[:1]})  # counted later, should it not even fit alone
            left = _added(site, kept, len(kept) - 1, population, left[1:])


def _added(site: _Site, kept: list[Members], at: int, population: str, left: IntArray) -> IntArray:
    """Put as many of these neurons onto a core as fit behind those there; the rest."""

    def joined(most: int) -> Members:
        old = kept[at].get(population, np.zeros(0, np.int64))
        return kept[at] | {population: np.concatenate([old, left[:most]])}

    room = site.profile.core.compartments - sum(len(neurons) for neurons in kept[at].values())
    most = min(room, len(left))
    if most <= 0 or not site.fits(joined(1)):
        return left
    fails = _first(2, most + 1, lambda many: many > most or not site.fits(joined(many)))
    kept[at] = joined(fails - 1)
    return left[fails - 1 :]


def _first(first: int, last: int, holds: Callable[[int], bool]) -> int:
    """The smallest number for which it holds, as it does for `last`, found by bisection."""
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if holds(middle) else (middle + 1, last)
    return last


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moves:
    """Where the neurons of one population are, beside where they were in an earlier artifact."""

    population: str
    stayed: int  # on the core of the same number
    shifted: int  # of those: in another compartment
    moved: IntArray  # (moves, 3) neuron, core before, core now
    new: int  # that the earlier artifact did not have
    gone: int  # that this one does not have


def moves(before: Image, after: Image) -> tuple[Moves, ...]:
    """What moved between two artifacts, population by population; the same names are the same."""
    names = [p.name for p in after.network.populations]
    return tuple(_moves(before, after, name) for name in names)


def _moves(before: Image, after: Image, name: str) -> Moves:
    now = homes(after, name)
    if name not in {p.name for p in before.network.populations}:
        none = np.zeros((0, 3), np.int64)
        return Moves(population=name, stayed=0, shifted=0, moved=none, new=len(now.core), gone=0)
    old = homes(before, name)
    both = min(len(old.core), len(now.core))
    same = old.core[:both] == now.core[:both]
    shifted = same & (old.compartment[:both] != now.compartment[:both])
    where = np.flatnonzero(~same)
    return Moves(
        population=name,
        stayed=int(same.sum()),
        shifted=int(shifted.sum()),
        moved=np.stack([where, old.core[where], now.core[where]], axis=1),
        new=len(now.core) - both,
        gone=len(old.core) - both,
    )
