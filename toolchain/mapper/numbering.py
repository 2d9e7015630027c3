"""Packed cores onto the machine: numbers by a placer, and the limits that depend on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolchain.activity import Activity
from toolchain.artifact import Core, Image
from toolchain.hardware import HardwareProfile
from toolchain.mapper.placement import PLACERS
from toolchain.mapper.traffic import reach, traffic

IntArray = NDArray[np.int64]
IN_ORDER = "in-order"
WITHIN = " within chips"  # after a placer's name: no core left the chip that it was packed for
KEPT = "kept"  # in place of a placer's name: the numbers are those of an earlier artifact


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbered:
    """An image whose cores stand where a placer put them."""

    image: Image
    remark: str | None  # why these are not the numbers that were asked for, as a sentence


def number_cores(
    profile: HardwareProfile,
    image: Image,
    activity: Activity,
    placer: str,
    *,
    kept: IntArray | None = None,
) -> Numbered:
    """Let a placer give the cores of a legally packed image their numbers, or take those `kept`.

    Spikes are not touched: tables index cores by their place in the image, not by their number.
    An out-axon to another chip costs more. Where a placer's numbers would overfill a core by that,
    it places anew, and no core leaves those of its chip; where those `kept` would, the order of
    packing stays. `remark` says so, and the image's `placer`.
    """
    between = traffic(reach(image), activity).between
    if kept is not None:
        placer, numbers = KEPT, kept
    else:
        numbers = PLACERS[placer](profile, between, None)
    lacking, remark = _lacking(profile, image.cores, numbers), None
    if lacking and kept is not None:
        remark = f"{_would_need(placer, lacking)}; the cores stay in the order of packing"
        placer, numbers = IN_ORDER, np.arange(len(numbers))
    elif lacking:
        remark = f"{_would_need(placer, lacking)}; so cores change places only within their chips"
        together = np.array([profile.chip_of(core.number) for core in image.cores])
        numbers = PLACERS[placer](profile, between, together)
        assert _lacking(profile, image.cores, numbers) is None, "chips stayed what they were"
        placer += WITHIN
    cores = _cores(profile, image.cores, numbers)
    return Numbered(
        image=replace(image, cores=cores, placer=placer, activity=activity), remark=remark
    )


def _would_need(placer: str, lacking: tuple[str, int, int]) -> str:
    resource, needed, held = lacking
    return (
        f"'{placer}' would need {needed:,} {resource.replace('_', ' ')} on a core that holds"
        f" {held:,}"
    )


def _lacking(
    profile: HardwareProfile, cores: Sequence[Core], numbers: IntArray
) -> tuple[str, int, int] | None:
    """(resource, needed, held) of what some core would lack with these numbers, or None."""
    chips = numbers // profile.chips.cores_per_chip
    for core in _cores(profile, cores, numbers):
        remote = chips[core.route_core] != profile.chip_of(core.number)
        entries = np.where(remote, profile.core.out_axon_cost_remote, 1)
        furthest = int(np.bincount(core.route_compartment, entries).max(initial=0))
        found = core.needed.shortfalls(profile.core.resources())
        if furthest > profile.core.out_axons_per_neuron:
            found.append(("out axons of one neuron", furthest, profile.core.out_axons_per_neuron))
        if found:
            return found[0]
    return None


def _cores(profile: HardwareProfile, cores: Sequence[Core], numbers: IntArray) -> tuple[Core, ...]:
    """The cores with new numbers, and their out-axons counted anew."""
    before = np.array([core.number for core in cores]) // profile.chips.cores_per_chip
    after = numbers // profile.chips.cores_per_chip
    surcharge = profile.core.out_axon_cost_remote - 1
    placed = []
    for index, core in enumerate(cores):
        away = [int((chip[core.route_core] != chip[index]).sum()) for chip in (before, after)]
        more = surcharge * (away[1] - away[0])
        needed = replace(
            core.needed,
            out_axons=core.needed.out_axons + more,
            memory_words=core.needed.memory_words + more,
        )
        placed.append(replace(core, number=int(numbers[index]), needed=needed))
    return tuple(placed)
