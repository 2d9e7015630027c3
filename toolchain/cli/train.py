"""train: a run from a configuration, and the way to the train room, which alone needs torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from toolchain.cli.options import path_argument, path_option
from toolchain.cli.output import Watcher, json_option, say, say_json, share
from toolchain.cli.rooms import train_room
from toolchain.errors import DoesNotFitError
from toolchain.files import write_bytes
from toolchain.grid import Grid
from toolchain.hardware import find_profile
from toolchain.mapper.calibrate import Calibration
from toolchain.mapper.quantize import check_thresholds, quantize
from toolchain.network import Network
from toolchain.raster import Raster


@click.command("train")
@path_argument("config", "CONFIG.toml")
@path_option("--out", required=True, help="The run's folder.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Override a key of the configuration; may be repeated.",
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted run, to the same bytes.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Put the run aside after so long, to go on with --resume.",
)
@json_option
def train_command(
    config: Path,
    out: Path,
    overrides: tuple[str, ...],
    resume: bool,
    minutes: float | None,
    as_json: bool,
) -> None:
    """Train a spiking network sparse from scratch: synapses are dropped and regrown as it learns.

    Leaves in RUN the trained network, the encoded test set (stimulus.npz), metrics, a picture of
    them (curves.svg) and a checkpoint after every epoch. Interrupt it at any time and go on with
    --resume. A table [exact] in CONFIG.toml lets the last epochs learn on a chip's own integers:
    what is trained then is what is deployed, bit for bit. Under torchrun each process learns from
    its share of every batch.
    """
    summary = train(config, out, overrides=overrides, resume=resume, minutes=minutes)
    if int(os.environ.get("RANK", "0")):
        return  # the first process of a torchrun answers for all
    if as_json:
        say_json(summary)
        return
    if not summary["finished"]:
        epoch, epochs = summary["epoch"], summary["epochs"]
        say(f"put aside in epoch {epoch} of {epochs}; go on with the same command and --resume")
        return
    scores = summary["accuracy"]
    say(f"accuracy  {share(scores['test'])} test, {share(scores['validation'])} validation")
    say(f"density   {share(summary['density'])} of all synapses, {summary['method']}")
    if "exact" in summary:
        bits = max(summary["exact"]["weight_bits"].values())
        chip = summary["exact"]["chip"]
        say(f"exact     on the integers of {chip}, weights of {bits} bits: map it as it is")
    if "fell_apart" in summary:
        say(f"note      {_apart(**summary['fell_apart'])}")
    say(f"run       {out}\nnext      snn-deploy map {out} --chip loihi1 --out ARTIFACT")


def _apart(epoch: int, least: float, last: float) -> str:
    return (
        f"training fell apart after epoch {epoch}: the loss was {least:.3f} there and {last:.3f} at"
        "\n          the end. docs/methods.md says why, and what helps: training.detach_reset=true,"
        "\n          training.clip_norm=1, or a lower training.learning_rate"
    )


def train(
    config: Path,
    out: Path,
    *,
    overrides: tuple[str, ...] = (),
    resume: bool = False,
    minutes: float | None = None,
) -> dict[str, Any]:
    """Train with progress on stderr and draw the run's picture; its summary, or where it paused."""
    read_config = train_room("config").read_config
    with Watcher() as watch:
        summary = train_room("run").train(
            read_config(config, overrides),
            out,
            resume=resume,
            minutes=minutes,
            watch=watch,
            quantizer=grids_for,
        )
    if not int(os.environ.get("RANK", "0")):
        draw_run(out)
    table: dict[str, Any] = summary.as_table()
    return table


def grids_for(
    asked: Any, network: Network, shown: Raster | None, groups: Mapping[str, Any]
) -> tuple[tuple[Grid, ...], str]:
    """The grids of a network for [exact], and how they were chosen: the mapper's quantizer.

    Raises DoesNotFitError where the chip's registers do not hold it.
    """
    profile = find_profile(asked.chip)
    check_thresholds(asked.thresholds, profile)
    calibration = None
    if shown is not None:
        calibration = Calibration(
            stimulus=shown, source="the training set", thresholds=asked.thresholds
        )
    found = quantize(
        network, profile, weight_bits=asked.weight_bits, calibration=calibration, groups=groups
    )
    if found.violations:
        raise DoesNotFitError(
            f"the network does not fit the registers of '{profile.name}'", found.violations
        )
    return found.grids, found.scales


def draw_run(out: Path) -> None:
    """Write curves.svg: accuracy, density, PQ index and rewiring over epochs."""
    from toolchain.report.collect import collect
    from toolchain.report.curves import run_picture

    run = collect(out).run
    if run is not None and run.history:
        write_bytes(out / "curves.svg", run_picture(run).encode())
