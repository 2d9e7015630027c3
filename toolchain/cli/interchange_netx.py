"""import netx and export netx."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain.artifact import read_artifact
from toolchain.cli.inputs import read_mappable
from toolchain.cli.interchange import tell_export, tell_import
from toolchain.cli.options import network_out_option, path_argument
from toolchain.cli.output import json_option
from toolchain.cli.rooms import interchange_room
from toolchain.errors import DoesNotFitError, InputError
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper.quantize import quantize
from toolchain.network import QuantizedNetwork


@click.command("netx")
@path_argument("file", "FILE.net")
@network_out_option
@click.option(
    "--shape",
    metavar="C,H,W",
    help="The input's shape, where the first layer is a convolution and the file does not say it.",
)
@click.option(
    "--delays",
    type=click.Choice(["inputs", "outputs"]),
    help="What a neuron's delay is of: its inputs, as lava-dl's reader runs it, or its spikes, as"
    " SLAYER trains it. Needed beside a bias or a loop, where they differ.",
)
@click.option(
    "--readout",
    type=click.Choice(["drop"]),
    help="drop: leave out averages at the end, so that the neurons before them are the output.",
)
@json_option
def import_command(
    file: Path,
    out: Path,
    shape: str | None,
    delays: str | None,
    readout: str | None,
    as_json: bool,
) -> None:
    """Read a layer file of lava-dl (.net, HDF5).

    It holds the chip's integers; they are taken as they are, and nothing is rounded.
    """
    room = interchange_room()
    imported = room.IMPORTERS["netx"](file, shape=extents(shape), delays=delays, readout=readout)
    tell_import(imported, file, out, as_json=as_json)


def extents(text: str | None) -> tuple[int, ...] | None:
    """A shape as it is typed; InputError where it is none."""
    if text is None:
        return None
    try:
        extents = tuple(int(part) for part in text.split(","))
    except ValueError:
        extents = ()
    if len(extents) not in (1, 3) or min(extents) < 1:
        raise InputError(f"--shape {text}: must be CHANNELS,HEIGHT,WIDTH or a number of neurons")
    return extents


@click.command("netx")
@path_argument("source", "ARTIFACT|RUN|NETWORK")
@path_argument("file", "FILE.net")
@click.option("--chip", metavar="NAME|FILE.toml", help="Whose integers; an artifact knows its own.")
@json_option
def export_command(source: Path, file: Path, chip: str | None, as_json: bool) -> None:
    """Write a network on a chip's integers as a layer file of lava-dl (.net, HDF5)."""
    exported = interchange_room().EXPORTERS["netx"](_integers(source, chip), file)
    tell_export(exported, as_json=as_json)


def _integers(source: Path, chip: str | None) -> QuantizedNetwork:
    """The integers of an artifact, or those that a network gets on a chip."""
    if (source / "manifest.json").is_file():
        return read_artifact(source).network
    network = read_mappable(source)
    if isinstance(network, QuantizedNetwork):
        return network
    if chip is None:
        raise InputError(f"{source} is in real numbers; say whose integers: --chip NAME")
    quantized = quantize(network, _without_exponents(find_profile(chip)))
    if quantized.violations:
        raise DoesNotFitError(f"{source} has no form in the registers", quantized.violations)
    return quantized.network


def _without_exponents(profile: HardwareProfile) -> HardwareProfile:
    """The chip as lava-dl's reader sees it: it clips weights that need an exponent."""
    synapse = profile.synapse.model_copy(update={"weight_exponent_max": 0})
    return profile.model_copy(update={"synapse": synapse})
