"""import torch: a trained module of torch and norse, by way of the train room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from toolchain.cli.interchange import tell_import
from toolchain.cli.interchange_netx import extents
from toolchain.cli.options import network_out_option, path_option
from toolchain.cli.output import json_option, say
from toolchain.cli.rooms import interchange_room, train_room
from toolchain.errors import InputError

_SAMPLES = 8
_RATES = (0.05, 0.8)  # of the example's spikes, from the first sample to the last


@click.command("torch")
@click.argument("module", metavar="FILE.py:FUNCTION")
@click.option(
    "--example",
    required=True,
    metavar="C,H,W|N",
    help="The shape of one timestep's input, without samples: the module is followed with it, and"
    " run on random spikes of it.",
)
@path_option(
    "--state",
    metavar="FILE.pth|FILE.safetensors",
    help="The module's trained state dict. Nothing in it is run.",
)
@click.option(
    "--classes",
    type=click.IntRange(min=1),
    help="The number of classes, for a function that takes (input_shape, classes).",
)
@click.option(
    "--timesteps",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Of the example.",
)
@network_out_option
@json_option
def import_command(
    module: str,
    example: str,
    state: Path | None,
    classes: int | None,
    timesteps: int,
    out: Path,
    as_json: bool,
) -> None:
    """Read a module of torch and norse that was trained elsewhere.

    FILE.py is run, and FUNCTION() or FUNCTION(input_shape, classes) in it returns the module, as
    for a network that is trained here. What it spikes on an example is compared with the network.
    """
    file, _, function = module.rpartition(":")
    shape = extents(example)
    if not file or not function.isidentifier():
        raise InputError(f"'{module}' must be FILE.py:FUNCTION, such as my_file.py:build")
    room = train_room("deploy")
    deployed = room.read_module(Path(file), function, shape, classes=classes, state=state)
    told = _compared(room, deployed, timesteps)
    tell_import(deployed, Path(file), out, as_json=as_json, more={"example": told})
    if not as_json:
        say(_sentence(told))


def _compared(room: Any, deployed: Any, timesteps: int) -> dict[str, Any] | None:
    """How many of the output's bits differ between module and network on random spikes."""
    network = deployed.network
    rng = np.random.default_rng(0)
    rates = np.linspace(*_RATES, _SAMPLES)[:, None, None]
    stimulus = rng.random((_SAMPLES, timesteps, network.input.size)) < rates
    theirs = room.spikes_of_module(deployed, stimulus)
    if theirs is None:
        return None
    ours = interchange_room("floats").spikes_of(network, stimulus)[network.output]
    return {
        "samples": _SAMPLES,
        "timesteps": timesteps,
        "bits": int(theirs.size),
        "spikes": int(theirs.sum()),
        "differ": int((ours != theirs).sum()),
    }


def _sentence(told: dict[str, Any] | None) -> str:
    if told is None:
        return "example   not compared: the module does not return (spikes, state)"
    if not told["spikes"]:
        return "example   not compared: the module's output never spiked on it"
    return (
        f"example   {told['differ']:,} of {told['bits']:,} output bits differ from the module's"
        f" own, {told['spikes']:,} spikes"
    )
