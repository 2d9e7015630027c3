"""Blocks -> Placement: which blocks share a core. A placer is a function of one signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from toolchain.artifact import PlacedBlock
from toolchain.errors import DoesNotFitError, Violation
from toolchain.hardware import HardwareProfile
from toolchain.mapper.legality import describe, violations
from toolchain.mapper.resources import FanOut, fan_out, planned_fan_out
from toolchain.network import QuantizedNetwork

Placement = tuple[tuple[PlacedBlock, ...], ...]  # core by core, in the order of core numbers
Placer = Callable[[QuantizedNetwork, HardwareProfile, Sequence[PlacedBlock]], Placement]


def place_apart(
    network: QuantizedNetwork, profile: HardwareProfile, blocks: Sequence[PlacedBlock]
) -> Placement:
    """Every block on a core of its own, in order."""
    return tuple((_at(block, 0),) for block in blocks)


def place_first_fit(
    network: QuantizedNetwork, profile: HardwareProfile, blocks: Sequence[PlacedBlock]
) -> Placement:
    """Every block, in order, on the first core where it fits beside those already there."""
    reach = planned_fan_out(network, profile, blocks)
    cores: list[list[PlacedBlock]] = []
    for block in blocks:
        home = next((core for core in cores if _fits(network, profile, core, block, reach)), None)
        if home is None:
            home = []
            cores.append(home)
        home.append(_at(block, _used(home)))
    return tuple(tuple(core) for core in cores)


PLACERS: dict[str, Placer] = {"first-fit": place_first_fit, "apart": place_apart}


def check_placement(
    network: QuantizedNetwork, profile: HardwareProfile, placement: Placement
) -> FanOut:
    """Out-axon entries of each neuron as placed; raises DoesNotFitError listing what is illegal."""
    reach = _fan_out_with_chips(network, profile, placement)
    found = [v for core in placement for v in violations(network, profile, core, reach)]
    if len(placement) > profile.cores:
        found.append(_too_few_cores(profile, placement))
    if found:
        raise DoesNotFitError(f"the network exceeds '{profile.name}'", found)
    return reach


def _fan_out_with_chips(
    network: QuantizedNetwork, profile: HardwareProfile, placement: Placement
) -> FanOut:
    """As `fan_out`, where an entry for another chip may cost more than one."""
    chips = [profile.chip_of(number) for number in range(len(placement))]
    entries = {p.name: np.zeros(p.size, np.int64) for p in network.populations}
    for chip in sorted(set(chips)):
        reached = fan_out(
            network, [c for c, on in zip(placement, chips, strict=True) if on == chip]
        )
        for core, on in zip(placement, chips, strict=True):
            cost = 1 if on == chip else profile.core.out_axon_cost_remote
            for block in core:
                here = block.neurons
                entries[block.population][here] += cost * reached[block.population][here]
    return entries


def _too_few_cores(profile: HardwareProfile, placement: Placement) -> Violation:
    last = placement[profile.cores :]
    chips = -(-len(placement) // profile.chips.cores_per_chip)
    return Violation(
        where=f"what is left from {describe(last[0])} on",
        resource="cores",
        needed=len(placement),
        held=profile.cores,
        mend=f"lower the density, use smaller populations, or take {chips} chips",
    )


def _fits(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    core: Sequence[PlacedBlock],
    block: PlacedBlock,
    reach: FanOut,
) -> bool:
    if _used(core) + block.size > profile.core.compartments:
        return False
    return not violations(network, profile, [*core, _at(block, _used(core))], reach)


def _used(core: Sequence[PlacedBlock]) -> int:
    return sum(block.size for block in core)


def _at(block: PlacedBlock, first_compartment: int) -> PlacedBlock:
    return PlacedBlock(
        population=block.population,
        neurons=block.neurons,
        first_compartment=first_compartment,
    )
