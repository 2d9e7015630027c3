"""import nir and export nir."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain.cli.inputs import read_mappable
from toolchain.cli.interchange import tell_export, tell_import
from toolchain.cli.options import network_out_option, path_argument
from toolchain.cli.output import json_option
from toolchain.cli.rooms import interchange_room


@click.command("nir")
@path_argument("file", "FILE.nir")
@network_out_option
@click.option("--dt", type=float, help="Seconds per timestep. NIR does not say it.")
@click.option(
    "--reset",
    type=click.Choice(["zero", "subtract"]),
    help="What a spike does to v: set it to v_reset, or subtract the threshold (refused).",
)
@click.option(
    "--scheme",
    type=click.Choice(["euler", "exponential"]),
    help="How a time constant becomes a share lost per timestep: dt/tau (euler, where nobody"
    " says), or 1 - exp(-dt/tau).",
)
@click.option(
    "--readout",
    metavar="drop|NUMBER",
    help="What becomes of an answer without spikes: left out, or made to spike above a threshold.",
)
@json_option
def import_command(
    file: Path,
    out: Path,
    dt: float | None,
    reset: str | None,
    scheme: str | None,
    readout: str | None,
    as_json: bool,
) -> None:
    """Read a .nir file of norse, snnTorch, sinabs, Rockpool and others.

    What NIR does not carry is taken from the options, or from FILE.nir.snn-deploy.json beside it.
    """
    room = interchange_room()
    imported = room.IMPORTERS["nir"](file, dt=dt, reset=reset, scheme=scheme, readout=readout)
    tell_import(imported, file, out, as_json=as_json)


@click.command("nir")
@path_argument("network", "RUN|NETWORK")
@path_argument("file", "FILE.nir")
@click.option(
    "--dt",
    type=float,
    default=1e-4,
    show_default=True,
    help="Seconds per timestep that time constants are written for; snnTorch knows no other.",
)
@json_option
def export_command(network: Path, file: Path, dt: float, as_json: bool) -> None:
    """Write a trained network as FILE.nir, and beside it what NIR cannot carry.

    With FILE.nir.snn-deploy.json beside it, import gives the same network, to the last bit.
    """
    real = network / "network.json"  # beside which a run may keep its integers
    held = read_mappable(real if real.is_file() else network)
    exported = interchange_room().EXPORTERS["nir"](held, file, dt=dt)
    tell_export(exported, as_json=as_json)
