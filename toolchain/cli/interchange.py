"""import and export: networks of other tools in, ours out; a command for each format."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from toolchain import codec
from toolchain.cli.output import say, say_json
from toolchain.errors import InputError
from toolchain.network import Network

# format -> what it is; its commands are import_command and export_command of interchange_FORMAT.
FORMATS = {
    "nir": "Neuromorphic Intermediate Representation: norse, snnTorch, sinabs, Rockpool, ...",
    "netx": "lava-dl's layer files (.net), on the chip's integers.",
    "onnx": "Feed-forward networks of deep learning, and the deployed network as integers.",
}


class FormatGroup(click.Group):
    """A group whose commands are the formats, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every format."""
        return list(FORMATS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a format."""
        if cmd_name not in FORMATS:
            return None
        module = import_module(f"toolchain.cli.interchange_{cmd_name}")
        command: click.Command = getattr(module, f"{self.name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of formats, without importing what reads them."""
        with formatter.section("Formats"):
            formatter.write_dl(list(FORMATS.items()))


@click.group("import", cls=FormatGroup)
def import_command() -> None:
    """Read another tool's network and write one that check and map accept.

    Nothing that the file does not say is assumed: what is missing is asked for by the name of its
    option. What has no form on a chip is refused, all of it at once, by node and reason.
    """


@click.group("export", cls=FormatGroup)
def export_command() -> None:
    """Write a network for other tools, and say what they will not learn from the file."""


def tell_import(imported: Any, source: Path, out: Path, *, as_json: bool) -> None:
    """Write an imported network's folder and say what it holds."""
    network = imported.network
    name, other = ("network", "quantized")[:: 1 if isinstance(network, Network) else -1]
    if (out / f"{other}.json").exists():
        raise InputError(f"{out}: holds another network, {other}.json; choose another --out")
    codec.write(network, out, name)
    answer = {
        "out": str(out),
        "fingerprint": codec.fingerprint(network),
        "neurons": sum(population.size for population in network.populations),
        "synapses": network.synapses,
        "notes": list(imported.notes),
    }
    if as_json:
        say_json(answer)
        return
    for note in imported.notes:
        say(f"- {note}")
    say(
        f"{source}: {answer['neurons']:,} neurons in {len(network.populations)} populations,"
        f" {network.synapses:,} synapses\nnetwork   {out}"
        f"\nnext      snn-deploy check {out} --chip loihi1"
    )


def tell_export(exported: Any, *, as_json: bool) -> None:
    """Say which files were written and what a reader of them cannot know."""
    files = [str(file) for file in exported.files]
    if as_json:
        say_json({"files": files, "losses": list(exported.losses)})
        return
    for file in files:
        say(f"written   {file}")
    if exported.losses:
        say("\nAnother reader of this file will not know:")
    for loss in exported.losses:
        say(f"- {loss}")
