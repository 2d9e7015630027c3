"""QuantizedNetwork -> Blocks: cut each population into the fewest runs that fit a core."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolchain.artifact import PlacedBlock
from toolchain.errors import DoesNotFitError, Violation
from toolchain.hardware import HardwareProfile
from toolchain.mapper.legality import violations
from toolchain.mapper.resources import FanOut, lower_bound, planned_fan_out
from toolchain.network import QuantizedNetwork, QuantizedPopulation

_ROUNDS = 16  # blocks decide fan-outs and fan-outs decide blocks; two rounds are the rule


def partition(network: QuantizedNetwork, profile: HardwareProfile) -> tuple[PlacedBlock, ...]:
    """Blocks in the order of the network, each legal on a core of its own.

    Raises DoesNotFitError listing, for each population and resource, the worst neuron that alone
    exceeds a core.
    """
    blocks: tuple[PlacedBlock, ...] = ()
    for _ in range(_ROUNDS):
        found = _cut(network, profile, planned_fan_out(network, profile, blocks))
        if [block.size for block in found] == [block.size for block in blocks]:
            break
        blocks = found
    return blocks


def _cut(
    network: QuantizedNetwork, profile: HardwareProfile, reach: FanOut
) -> tuple[PlacedBlock, ...]:
    blocks: list[PlacedBlock] = []
    too_large: list[Violation] = []
    for population in network.populations:
        start = 0
        while start < population.size:
            stop = _longest(network, profile, population, start, reach)
            blocks.append(_run(population.name, start, max(stop, start + 1)))
            if stop == start:
                too_large += violations(network, profile, [blocks[-1]], reach)
            start += blocks[-1].size
    if too_large:
        found = [*_worst(too_large), *_too_many(network, profile)]
        raise DoesNotFitError(f"neurons exceed a core of '{profile.name}'", found)
    return tuple(blocks)


def _too_many(network: QuantizedNetwork, profile: HardwareProfile) -> list[Violation]:
    """Whether even the best packing needs more cores than there are."""
    needed = lower_bound(network, profile)
    if needed <= profile.cores:
        return []
    return [
        Violation(
            where="the network, by any packing",
            resource="cores",
            needed=needed,
            held=profile.cores,
            mend="lower the density, use smaller populations, or take more chips",
        )
    ]


def _longest(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    population: QuantizedPopulation,
    start: int,
    reach: FanOut,
) -> int:
    """The last stop at which neurons start, ..., stop - 1 still fit a core; needs only grow."""
    fits, fails = start, min(population.size, start + profile.core.compartments) + 1
    while fails - fits > 1:
        stop = (fits + fails) // 2
        if violations(network, profile, [_run(population.name, start, stop)], reach):
            fails = stop
        else:
            fits = stop
    return fits


def _run(population: str, start: int, stop: int) -> PlacedBlock:
    return PlacedBlock(population=population, neurons=np.arange(start, stop), first_compartment=0)


def _worst(found: Sequence[Violation]) -> list[Violation]:
    """Of the neurons of one population that break the same limit, the one that breaks it most."""
    groups: dict[tuple[str, str], list[Violation]] = {}
    for violation in found:
        groups.setdefault((violation.where.partition("[")[0], violation.resource), []).append(
            violation
        )
    return [_first_of(group) for group in groups.values()]


def _first_of(group: Sequence[Violation]) -> Violation:
    worst = group[int(np.argmax([violation.needed for violation in group]))]
    more = f" (and {len(group) - 1} more neurons)" if len(group) > 1 else ""
    return Violation(
        where=worst.where + more,
        resource=worst.resource,
        needed=worst.needed,
        held=worst.held,
        mend=worst.mend,
    )
