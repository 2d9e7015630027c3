"""check and map: does a network fit a chip, and what does the chip load?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from toolchain.arithmetic import ACTIVATION_LIMIT, STATE_LIMIT
from toolchain.artifact import write_artifact
from toolchain.cli.inputs import read_mappable, read_stimulus
from toolchain.cli.output import (
    Watcher,
    chip_option,
    json_option,
    say,
    say_json,
    show,
    table,
)
from toolchain.errors import FileError, InputError
from toolchain.hardware import find_profile
from toolchain.mapper.calibrate import Calibration
from toolchain.mapper.pipeline import Mapped, map_network
from toolchain.mapper.place import PLACERS
from toolchain.mapper.quantize import Rounding
from toolchain.network import QuantizedNetwork
from toolchain.report.mapping import mapping_summary

_OWN = "the run's own"
network_argument = click.argument("network", metavar="RUN|NETWORK", type=click.Path(path_type=Path))
placer_option = click.option(
    "--placer",
    type=click.Choice(list(PLACERS)),
    default="first-fit",
    show_default=True,
    help="first-fit: blocks share cores where they fit; apart: every block on a core of its own.",
)
weight_bits_option = click.option(
    "--weight-bits",
    type=int,
    metavar="N",
    help="Weights of so many bits, 2 up to what the chip holds (the default).",
)
calibrate_option = click.option(
    "--calibrate",
    is_flag=False,
    flag_value=_OWN,
    metavar="[STIMULUS]",
    help="Choose the scales on this stimulus; without a value, on the run's calibration.npz.",
)
thresholds_option = click.option(
    "--thresholds",
    type=int,
    metavar="N",
    help="With --calibrate: let a population have so many different thresholds, and scales.",
)


@click.command("check")
@network_argument
@chip_option
@weight_bits_option
@calibrate_option
@thresholds_option
@placer_option
@json_option
def check_command(
    network: Path,
    chip: str,
    weight_bits: int | None,
    calibrate: str | None,
    thresholds: int | None,
    placer: str,
    as_json: bool,
) -> None:
    """Say whether a trained network fits a chip; if not, list every limit it breaks.

    Each line says where, how much is needed, how much is held, by how much it is over, and the
    next move. Exit code 0: it fits; 1: it does not. Nothing is written.
    """
    mapped = _map(network, chip, placer, weight_bits, calibrate, thresholds)
    if as_json:
        say_json({"fits": True, "violations": []} | summary_of(mapped))
    else:
        say(f"{network} fits {chip}.")
        show_mapping(mapped)


@click.command("map")
@network_argument
@chip_option
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The artifact's folder."
)
@weight_bits_option
@calibrate_option
@thresholds_option
@placer_option
@json_option
def map_command(
    network: Path,
    chip: str,
    out: Path,
    weight_bits: int | None,
    calibrate: str | None,
    thresholds: int | None,
    placer: str,
    as_json: bool,
) -> None:
    """Turn a trained network into an artifact: what the cores of a chip load.

    Quantizes weights, thresholds and decays onto the chip's integers, packs the synapses into
    cores under every budget of the chip, and writes axon tables and synapse lists. A run that was
    trained on the chip's integers ([exact]) is taken as it is. The same network gives the same
    bytes. Exit code 1: it does not fit, and nothing is written.
    """
    mapped = _map(network, chip, placer, weight_bits, calibrate, thresholds)
    write_artifact(mapped.artifact, out)
    if as_json:
        say_json(summary_of(mapped) | {"out": str(out)})
    else:
        show_mapping(mapped)
        say(f"\nartifact  {out}\nnext      snn-deploy verify {out} --stimulus STIMULUS.npz")


def _map(
    path: Path,
    chip: str,
    placer: str,
    weight_bits: int | None,
    calibrate: str | None,
    thresholds: int | None,
) -> Mapped:
    """Map a run or network as the options ask."""
    network, profile = read_mappable(path), find_profile(chip)
    asked = {"--weight-bits": weight_bits, "--calibrate": calibrate, "--thresholds": thresholds}
    given = [name for name, value in asked.items() if value is not None]
    if given and isinstance(network, QuantizedNetwork):
        raise InputError(
            f"{path}: was trained on the chip's integers and is mapped as it is; leave out"
            f" {' and '.join(given)}, or give {path / 'network.json'}, which rounds anew"
        )
    if thresholds is not None and calibrate is None:
        raise InputError("--thresholds: several are chosen on data only; give --calibrate, too")
    calibration = None
    if calibrate is not None:
        calibration = _calibration(path, calibrate, 1 if thresholds is None else thresholds)
    with Watcher() as watch:
        return map_network(
            network,
            profile,
            placer=placer,
            watch=watch,
            weight_bits=weight_bits,
            calibration=calibration,
        )


def _calibration(path: Path, asked: str, thresholds: int) -> Calibration:
    """The stimulus that scales are chosen on: the one that is named, or the run's own."""
    folder = path.parent if path.name == "network.json" else path
    file = folder / "calibration.npz" if asked == _OWN else Path(asked)
    if not file.exists() and asked == _OWN:
        raise FileError(
            f"{file}: is not there (runs of this version leave it); name a stimulus after"
            " --calibrate, the run's stimulus.npz for example, which is its test set"
        )
    return Calibration(stimulus=read_stimulus(file, None), source=str(file), thresholds=thresholds)


def summary_of(mapped: Mapped) -> dict[str, Any]:
    """The mapping as JSON, with what quantizing lost."""
    roundings = [_rounding_json(rounding) for rounding in mapped.roundings]
    found = {"quantization": roundings, "scales": mapped.scales}
    return mapping_summary(mapped.artifact) | found


def show_mapping(mapped: Mapped) -> None:
    """The mapping as a person reads it."""
    summary = mapping_summary(mapped.artifact)
    cores, synapses = summary["cores"], summary["synapses"]
    say(
        f"cores     {cores['used']} used of {cores['available']}; any packing needs at least"
        f" {cores['lower_bound']}"
    )
    say(
        f"synapses  {synapses['stored']:,} stored, {synapses['dropped_as_zero']:,} dropped because"
        " they rounded to zero\n"
    )
    rows = [
        (name.replace("_", " "), part["used"], part["available"], percent(part))
        for name, part in summary["utilization"].items()
    ]
    show(table(["in the cores used", "needed", "held", "fill"], rows), "")
    lost = [_rounding_row(rounding) for rounding in mapped.roundings]
    errors = ["weight error", "threshold error", "decay error"]
    columns = ["quantized", "bits", "limited by", "clipped", *errors, "bound of a", "bound of u"]
    show(table(columns, lost))
    say(f"scales    {mapped.scales}")


def percent(part: dict[str, int]) -> str:
    """How full a resource is."""
    return f"{part['used'] / part['available']:.1%}"


def _rounding_row(rounding: Rounding) -> tuple[str, ...]:
    """Errors relative to the largest weight and to the threshold; bounds to what the chip holds."""
    return (
        rounding.population,
        str(rounding.weight_bits),
        rounding.limited_by,
        f"{rounding.clipped:,}",
        f"{rounding.worst_weight_error:.2%}",
        f"{rounding.threshold_error:.2%}",
        f"{max(rounding.decay_errors):.2%}",
        f"{rounding.activation_bound / ACTIVATION_LIMIT:.1%}",
        f"{rounding.current_bound / STATE_LIMIT:.1%}",
    )


def _rounding_json(rounding: Rounding) -> dict[str, Any]:
    return {
        "population": rounding.population,
        "scale": float(rounding.scale),
        "thresholds": rounding.thresholds,
        "limited_by": rounding.limited_by,
        "weight_bits": rounding.weight_bits,
        "weight_exponent": rounding.weight_exponent,
        "worst_weight_error": float(rounding.worst_weight_error),
        "clipped": rounding.clipped,
        "threshold_error": float(rounding.threshold_error),
        "decay_u_error": float(rounding.decay_errors[0]),
        "decay_v_error": float(rounding.decay_errors[1]),
        "activation_bound": rounding.activation_bound,
        "current_bound": rounding.current_bound,
    }
