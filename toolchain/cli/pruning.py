"""prune: the weakest synapses of a network removed, so that it fits a smaller place."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain import codec
from toolchain.cli.inputs import read_mappable
from toolchain.cli.options import network_out_option, path_argument
from toolchain.cli.output import json_option, say, say_json, show, table
from toolchain.errors import FileError, InputError
from toolchain.mapper.prune import kept_of_density, kept_of_percent, prune, synapses_onto
from toolchain.network import Network


@click.command("prune")
@path_argument("network", "RUN|NETWORK")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME",
    help="A population, with all synapses that lead to it; repeatable. Without it: every layer.",
)
@click.option("--percent", type=float, metavar="P", help="Remove so many percent of the synapses.")
@click.option(
    "--density",
    type=float,
    metavar="D",
    help="Keep so many synapses, as a share (0..1) of those that a full matrix holds.",
)
@network_out_option
@json_option
def prune_command(
    network: Path,
    layers: tuple[str, ...],
    percent: float | None,
    density: float | None,
    out: Path,
    as_json: bool,
) -> None:
    """Remove the weakest synapses of a network, whoever made it, and write one that map accepts.

    Weakest is what has the smallest magnitude within its layer. Counts are exact; of equal weights
    those that stand first stay. Neurons stay, also those that nothing reaches any more. Nothing is
    trained again, so look at the accuracy: 'verify' says it where the stimulus has labels.
    """
    if (percent is None) == (density is None):
        raise InputError("say how much: either --percent or --density")
    before = read_mappable(network)
    named = tuple(dict.fromkeys(layers)) or tuple(p.name for p in before.populations)
    if percent is not None:
        kept = kept_of_percent(before, named, percent)
    else:
        kept = kept_of_density(before, named, density or 0.0)
    after = prune(before, kept)
    _refuse_to_mix(out)
    codec.write(after, out, "network" if isinstance(after, Network) else "quantized")
    rows = [(layer, synapses_onto(before, layer), kept[layer]) for layer in named]
    if as_json:
        say_json(
            {
                "out": str(out),
                "fingerprint": codec.fingerprint(after),
                "synapses": {"before": before.synapses, "after": after.synapses},
                "layers": {name: {"before": b, "after": a} for name, b, a in rows},
            }
        )
        return
    show(table(["layer", "synapses before", "after"], rows))
    say(f"\nnetwork   {out}\nnext      snn-deploy check {out} --chip NAME")


def _refuse_to_mix(out: Path) -> None:
    """Refuse a folder that holds anything: a run would lose the network that it trained."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileError(f"{out}: is there already; choose another --out")
