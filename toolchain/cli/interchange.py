"""import and export: networks of other tools in, ours out; a command for each format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from toolchain import codec
from toolchain.cli.lazy import LazyGroup
from toolchain.cli.output import say, say_json
from toolchain.errors import InputError
from toolchain.network import Network

_FORMATS = {
    "nir": "Neuromorphic Intermediate Representation: norse, snnTorch, sinabs, Rockpool, ...",
    "netx": "lava-dl's layer files (.net), on the chip's integers.",
    "onnx": "Feed-forward networks of deep learning, and the deployed network as integers.",
}
IMPORTS = {
    name: (f"interchange_{name}.import_command", text)
    for name, text in {
        **_FORMATS,
        "torch": "A trained module of torch and norse: a Python file and its state dict.",
    }.items()
}
EXPORTS = {name: (f"interchange_{name}.export_command", text) for name, text in _FORMATS.items()}


@click.group("import", cls=LazyGroup, table=IMPORTS, what="format")
def import_command() -> None:
    """Read another tool's network and write one that check and map accept.

    Nothing that the file does not say is assumed: what is missing is asked for by the name of its
    option. What has no form on a chip is refused, all of it at once, by node and reason.
    """


@click.group("export", cls=LazyGroup, table=EXPORTS, what="format")
def export_command() -> None:
    """Write a network for other tools, and say what they will not learn from the file."""


def tell_import(
    imported: Any, source: Path, out: Path, *, as_json: bool, more: dict[str, Any] | None = None
) -> None:
    """Write an imported network's folder and say what it holds; `more` joins the JSON answer."""
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
        say_json(answer | (more or {}))
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
