"""map --from: what moved since an earlier artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from toolchain.artifact import Image, name_runs, read_artifact
from toolchain.cli.options import path_option
from toolchain.cli.output import say, show, table
from toolchain.errors import InputError
from toolchain.hardware import HardwareProfile
from toolchain.mapper.pipeline import Mapped
from toolchain.mapper.stable import moves

_MOST_LINES = 20  # of moves that are listed; --json has them all

from_option = path_option(
    "--from",
    "old",
    metavar="OLD",
    help="An earlier artifact: leave every neuron on the core where it is there, if it still fits,"
    " and say what moved. Cores are then not placed anew.",
)


def read_before(old: Path, profile: HardwareProfile) -> Image:
    """An earlier artifact's image; raises InputError where it is for another chip."""
    artifact = read_artifact(old)
    if artifact.profile.name != profile.name:
        raise InputError(
            f"{old}: was mapped for '{artifact.profile.name}', not for '{profile.name}': neurons"
            " cannot stay where they are on another chip; leave out --from"
        )
    return artifact.image


def moves_json(before: Image, mapped: Mapped) -> dict[str, Any]:
    """What moved; `reason` says why the neurons could not stay, and is null where they did."""
    found = moves(before, mapped.artifact.image)
    return {
        "reason": mapped.unheld,
        "stayed": sum(one.stayed for one in found),
        "shifted": sum(one.shifted for one in found),
        "moved": sum(len(one.moved) for one in found),
        "new": sum(one.new for one in found),
        "gone": sum(one.gone for one in found),
        "moves": [
            {"population": one.population, "neuron": neuron, "core_before": old, "core": now}
            for one in found
            for neuron, old, now in one.moved.tolist()
        ],
    }


def show_moves(before: Image, mapped: Mapped) -> None:
    """What moved, as a person reads it."""
    found = moves(before, mapped.artifact.image)
    if mapped.unheld is not None:
        say(f"\nNeurons could not stay where they were: {mapped.unheld}. All was packed anew.")
    rows = [
        (one.population, one.stayed, one.shifted, len(one.moved), one.new, one.gone)
        for one in found
    ]
    columns = ["population", "on their core", "of these in another slot", "moved", "new", "gone"]
    show("", table(columns, rows))
    lines = []
    for one in found:
        for old, now in np.unique(one.moved[:, 1:], axis=0).tolist():
            mine = one.moved[(one.moved[:, 1] == old) & (one.moved[:, 2] == now), 0]
            lines.append(f"  {one.population}[{name_runs(mine)}] moved from core {old} to {now}")
    for line in lines[:_MOST_LINES]:
        say(line)
    if len(lines) > _MOST_LINES:
        say(f"  and {len(lines) - _MOST_LINES} more moves; --json has them all")
