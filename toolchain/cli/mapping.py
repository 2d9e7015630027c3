"""check and map: does a network fit a chip, and what does the chip load?"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import click

from toolchain.arithmetic import ACTIVATION_LIMIT, STATE_LIMIT
from toolchain.artifact import Image, name_runs, write_artifact
from toolchain.cli.inputs import read_network
from toolchain.cli.mending import no_mend_option, refuse
from toolchain.cli.options import path_argument, path_option
from toolchain.cli.output import (
    Watcher,
    chip_option,
    json_option,
    say,
    say_json,
    show,
    table,
    violations_json,
)
from toolchain.cli.quantizing import Asked, quantizing_options, read_asked
from toolchain.cli.remapping import from_option, moves_json, read_before, show_moves
from toolchain.cli.traffic import at_work, measuring, show_work, stimulus_option
from toolchain.errors import DoesNotFitError
from toolchain.mapper.counting import count_fit
from toolchain.mapper.hearing import deaf_outputs
from toolchain.mapper.mends import Wish
from toolchain.mapper.pack import PACKERS
from toolchain.mapper.pipeline import Mapped, Measure, Watch, map_network
from toolchain.mapper.placement import PLACERS
from toolchain.mapper.quantize import Rounding
from toolchain.network import Network
from toolchain.outline import Outline, find_chip
from toolchain.report.mapping import mapping_summary

network_argument = path_argument("network", "RUN|NETWORK")
packer_option = click.option(
    "--packer",
    type=click.Choice(list(PACKERS)),
    default=next(iter(PACKERS)),
    show_default=True,
    help="akin: neurons with common sources share cores; tiles: neurons that lie close together;"
    " sequential: runs of neurons in order; exact: the fewest cores, proven, for small networks.",
)
placer_option = click.option(
    "--placer",
    type=click.Choice(list(PLACERS)),
    default="force",
    show_default=True,
    help="Where packed cores stand on the mesh. in-order: as packed; curve: along a space-filling"
    " curve; spectral: by the smoothest eigenvectors of their traffic; force: both,"
    " swapped while the spike-hops fall, and the better one.",
)


@click.command("check")
@network_argument
@chip_option
@quantizing_options
@packer_option
@no_mend_option
@json_option
def check_command(
    network: Path, chip: str, asked: Asked, packer: str, no_mend: bool, as_json: bool
) -> None:
    """Say whether a trained network fits a chip; if not, list every limit it breaks.

    Each line says where, how much is needed, how much is held and by how much it is over. Then
    changes are tried by mapping the network with them: another packer, fewer weight bits, the
    weakest synapses pruned, more chips, another chip. Of each kind the smallest that makes it fit
    is named, the cheapest first, with the command that applies it. A chip whose neurons are not
    known well enough is compared by its counts alone. Exit code 0: it fits; 1: it does not, or that
    cannot be said. Nothing is written.
    """
    wish = _wish(network, chip, asked, packer, as_json=as_json)
    try:
        with Watcher() as watch:
            mapped = _map(wish, placer="in-order", watch=watch)
    except DoesNotFitError as lacking:
        refuse(network, chip, asked, wish, lacking, mend=not no_mend, as_json=as_json)
    if as_json:
        say_json({"fits": True, "violations": []} | summary_of(mapped))
    else:
        say(f"{network} fits {chip}.")
        show_mapping(mapped)


@click.command("map")
@network_argument
@chip_option
@path_option("--out", required=True, help="The artifact's folder.")
@quantizing_options
@packer_option
@placer_option
@stimulus_option
@from_option
@json_option
def map_command(
    network: Path,
    chip: str,
    out: Path,
    asked: Asked,
    packer: str,
    placer: str,
    stimulus: Path | None,
    old: Path | None,
    as_json: bool,
) -> None:
    """Turn a trained network into an artifact: what the cores of a chip load.

    Quantizes weights, thresholds and decays onto the chip's integers, packs the synapses into
    cores under every budget of the chip, runs the packed cores to count their spikes, places them
    on the mesh so that the spikes travel little, and writes axon tables and synapse lists. A run
    that was trained on the chip's integers ([exact]) is taken as it is. The same network gives the
    same bytes. Exit code 1: it does not fit, and nothing is written.
    """
    wish = _wish(network, chip, asked, packer, as_json=as_json)
    before = None if old is None else read_before(old, wish.profile)
    try:
        with Watcher() as watch:
            measure = measuring(network, stimulus, watch)
            mapped = _map(wish, placer=placer, measure=measure, watch=watch, before=before)
    except DoesNotFitError as lacking:
        advice = f"'snn-deploy check {network} --chip {chip}' tries what would mend it"
        raise DoesNotFitError(lacking.subject, lacking.violations, advice) from lacking
    write_artifact(mapped.artifact, out)
    work = at_work(mapped.artifact)
    remapped = {} if before is None else {"moves": moves_json(before, mapped)}
    if as_json:
        say_json(summary_of(mapped) | work.to_json() | remapped | {"out": str(out)})
    else:
        show_mapping(mapped)
        if before is not None:
            show_moves(before, mapped)
        say()
        show_work(work)
        say(f"\nartifact  {out}\nnext      snn-deploy verify {out} --stimulus STIMULUS.npz")


def _wish(path: Path, chip: str, asked: Asked, packer: str, *, as_json: bool) -> Wish:
    """What the options ask for; an outline is counted against, and that is the end."""
    profile = find_chip(chip)
    if isinstance(profile, Outline):
        count_only(read_network(path), profile, as_json=as_json)
    network, calibration = read_asked(path, asked)
    return Wish(
        network=network,
        profile=profile,
        packer=packer,
        weight_bits=asked.weight_bits,
        calibration=calibration,
    )


def _map(
    wish: Wish,
    *,
    placer: str,
    measure: Measure | None = None,
    watch: Watch,
    before: Image | None = None,
) -> Mapped:
    return map_network(
        wish.network,
        wish.profile,
        packer=wish.packer,
        placer=placer,
        measure=measure,
        watch=watch,
        weight_bits=wish.weight_bits,
        calibration=wish.calibration,
        before=before,
    )


def count_only(network: Network, outline: Outline, *, as_json: bool) -> NoReturn:
    """Compare with an outline, and end with exit code 1: nothing more can be promised."""
    counted = count_fit(network, outline)
    sentence = f"'{outline.name}' can only be counted, so nothing is written for it"
    if as_json:
        say_json(
            {
                "chip": outline.name,
                "fits": False,
                "fits_by_counts": not counted.violations,
                "reason": sentence,
                "missing": list(outline.missing),
                "cores": {"lower_bound": counted.cores, "available": outline.cores},
                "violations": violations_json(counted.violations),
            }
        )
        raise click.exceptions.Exit(1)
    show(table(["by counts alone", "needed", "a core holds", "cores at least"], counted.rows), "")
    if counted.violations:
        say(f"It exceeds '{outline.name}':")
        for violation in counted.violations:
            say(f"  - {violation}")
    else:
        say(f"Nothing that is counted exceeds the {outline.cores:,} cores of '{outline.name}'.")
    say(f"\n{sentence}. Missing:")
    for line in outline.missing:
        say(f"  - {line}")
    raise click.exceptions.Exit(1)


def summary_of(mapped: Mapped) -> dict[str, Any]:
    """The mapping as JSON, with what quantizing lost."""
    roundings = [_rounding_json(rounding) for rounding in mapped.roundings]
    return mapping_summary(mapped.artifact) | {
        "quantization": roundings,
        "scales": mapped.scales,
        "placing": mapped.remark,
        "deaf_outputs": deaf_outputs(mapped.artifact.network).tolist(),
    }


def show_mapping(mapped: Mapped) -> None:
    """The mapping as a person reads it."""
    summary = mapping_summary(mapped.artifact)
    cores, synapses = summary["cores"], summary["synapses"]
    say(
        f"cores     {cores['used']} used of {cores['available']}; any packing needs at least"
        f" {cores['lower_bound']} (bound: {' and '.join(cores['binding'])}); gap"
        f" {cores['used'] - cores['lower_bound']}"
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
    if mapped.remark is not None:
        say(f"placing   {mapped.remark}")
    network = mapped.artifact.network
    if len(deaf := deaf_outputs(network)):
        say(
            f"outputs   {network.output}[{name_runs(deaf)}]: no synapse leads there from the input;"
            " they spike by their bias, or never"
        )


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
