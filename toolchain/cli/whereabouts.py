"""Where an artifact's inputs and outputs are, and any single neuron of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from toolchain.artifact import name_runs, read_artifact
from toolchain.cli.output import say, say_json, show, table
from toolchain.errors import FileError
from toolchain.whereabouts import find_neuron

_MOST_RUNS = 6  # of numbers that a cell names
_SLOTS = {"outputs": "compartment", "inputs": "in_axon"}


def artifact_folder(path: Path) -> Path:
    """The folder of an artifact that is given by its manifest or by itself."""
    return path.parent if path.name == "manifest.json" else path


def tell_neuron(path: Path, name: str, *, as_json: bool) -> None:
    """Answer where a neuron is."""
    if not (artifact_folder(path) / "manifest.json").is_file():
        raise FileError(f"{path}: is no artifact; --neuron is for what 'snn-deploy map' wrote")
    found = find_neuron(read_artifact(artifact_folder(path)), name)
    if as_json:
        say_json(found)
        return
    who = f"{found['population']}:{found['neuron']}"
    if found["core"] is None:
        say(f"{who} is an input; its spikes go to {len(found['reaches'])} in-axons")
    else:
        say(
            f"{who} is in compartment {found['compartment']} of core {found['core']}"
            f" (chip {found['chip']}); its spikes go to {len(found['reaches'])} in-axons"
        )
    if found["reaches"]:
        rows = [(way["core"], way["in_axon"]) for way in found["reaches"]]
        show("", table(["to core", "in-axon"], rows))


def io_table(io: dict[str, Any]) -> Table:
    """Core by core, which outputs and inputs are there and in which slots."""
    rows = []
    for end, slot in _SLOTS.items():
        neuron, core, place = (np.array(io[end][key], np.int64) for key in ("neuron", "core", slot))
        for number in np.unique(core):
            here = core == number
            what = f"{end} {io[end]['population']}[{name_runs(neuron[here], _MOST_RUNS)}]"
            rows.append(
                (
                    what,
                    int(number),
                    f"{slot.replace('_', '-')} {name_runs(place[here], _MOST_RUNS)}",
                )
            )
    return table(["inputs and outputs", "core", "slots, in this order"], rows)
