"""import onnx and export onnx: trained Relu networks in, the deployed network out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from toolchain import codec
from toolchain.artifact import Artifact, read_artifact
from toolchain.cli.inputs import read_network
from toolchain.cli.interchange import tell_export
from toolchain.cli.options import network_out_option, path_argument, path_option
from toolchain.cli.output import Watcher, json_option, say, say_json, share, show, table
from toolchain.cli.rooms import interchange_room
from toolchain.errors import InputError
from toolchain.network import Network

_FORMS = ("scan", "step", "float")  # onnx_format.FORMS: the room is imported when it is needed


@click.command("onnx")
@path_argument("source", "FILE")
@path_option(
    "--calibrate",
    required=True,
    metavar="DATA.npz",
    help="Raw samples: integers under `values`, and `labels` where known. A few hundred do.",
)
@click.option(
    "--timesteps", required=True, type=click.IntRange(min=1), help="Of a sample's rate code."
)
@network_out_option
@click.option(
    "--range",
    "limits",
    type=(int, int),
    default=(0, 255),
    show_default=True,
    help="Smallest and largest raw value; they become 0 and 1.",
)
@click.option(
    "--scale",
    type=float,
    default=1.0,
    show_default=True,
    help="What the largest raw value was in training: 255 where bytes were not divided.",
)
@click.option(
    "--mean", default="0", show_default=True, help="Taken off next; a number per channel."
)
@click.option("--std", default="1", show_default=True, help="Divided by next; likewise.")
@click.option(
    "--percentile",
    type=float,
    default=99.9,
    show_default=True,
    help="Of a layer's activations, around which its threshold is sought.",
)
@json_option
def import_command(
    source: Path,
    calibrate: Path,
    timesteps: int,
    out: Path,
    limits: tuple[int, int],
    scale: float,
    mean: str,
    std: str,
    percentile: float,
    as_json: bool,
) -> None:
    """Turn a trained network of Relus into integrate-and-fire neurons.

    Conv, Gemm, MatMul, BatchNormalization, average pools, Add and what only moves numbers become
    synapses; every Relu, and the output, a population. Thresholds are balanced on the calibration
    data, layer by layer, and what that loses is told for each. MaxPool and the like are refused,
    all of them at once.
    """
    room = interchange_room("onnx_format")
    preparation = room.Preparation(
        timesteps=timesteps,
        minimum=limits[0],
        maximum=limits[1],
        scale=scale,
        mean=_numbers(mean, "--mean"),
        std=_numbers(std, "--std"),
        percentile=percentile,
    )
    with Watcher() as watch:
        converted, notes = room.convert_file(source, calibrate, preparation, watch=watch)
    codec.write(converted.network, out, "network")
    if as_json:
        say_json(_answer(converted, notes, out))
    else:
        _show(converted, notes, out, source)


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as problem:
        raise InputError(f"{option} must be numbers with commas between, is {text!r}") from problem


def _answer(converted: Any, notes: tuple[str, ...], out: Path) -> dict[str, Any]:
    network = converted.network
    return {
        "out": str(out),
        "fingerprint": codec.fingerprint(network),
        "neurons": sum(population.size for population in network.populations),
        "synapses": network.synapses,
        "notes": list(notes),
        "agreement": converted.agreement,
        "accuracy": dict(converted.accuracy),
        "layers": [
            {name: getattr(loss, name) for name in loss.__slots__} for loss in converted.losses
        ],
    }


def _show(converted: Any, notes: tuple[str, ...], out: Path, source: Path) -> None:
    rows = [
        (
            loss.layer,
            loss.neurons,
            loss.synapses,
            f"{loss.threshold:.3g}",
            f"{loss.gain:.3g}",
            share(loss.rate),
            share(loss.error),
            f"{loss.correlation:.3f}",
        )
        for loss in converted.losses
    ]
    columns = ["layer", "neurons", "synapses", "threshold", "gain", "rate", "lost", "correlation"]
    show(table(columns, rows))
    for note in notes:
        say(f"- {note}")
    say(f"\ndecided alike on the calibration data  {share(converted.agreement)}")
    for name, value in sorted(converted.accuracy.items(), reverse=True):
        say(f"accuracy {name:<9} {share(value)}")
    say(f"{source} -> {out}\nnext      snn-deploy check {out} --chip loihi1")


@click.command("onnx")
@path_argument("network", "ART|RUN")
@path_argument("out", "FILE")
@click.option(
    "--form",
    type=click.Choice(_FORMS),
    default="scan",
    show_default=True,
    help="scan: all timesteps of a batch of samples; step: one, with its state as inputs and"
    " outputs; both in the chip's integers, of an artifact. float: one in real numbers, for"
    " viewers.",
)
@json_option
def export_command(network: Path, out: Path, form: str, as_json: bool) -> None:
    """Write a network as a standard ONNX graph.

    scan and step hold the chip's integers in standard operators alone: onnxruntime gives the spikes
    of the artifact, bit for bit. The same network gives the same bytes.
    """
    room = interchange_room("onnx_format")
    room.check_out(out)
    tell_export(room.export_onnx(_held(network), out, form=form), as_json=as_json)


def _held(path: Path) -> Artifact | Network:
    """An artifact where the folder is one, else a trained network."""
    return read_artifact(path) if (path / "manifest.json").is_file() else read_network(path)
