"""minimise: a failing case, reduced to a small folder that anybody can replay."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import click

from toolchain.artifact import Artifact, read_artifact
from toolchain.backends import get_backend
from toolchain.cli.inputs import read_stimulus
from toolchain.cli.options import (
    against_option,
    artifact_argument,
    judged_option,
    path_option,
    samples_option,
    stimulus_option,
)
from toolchain.cli.output import (
    Watch,
    Watcher,
    exit_with,
    json_option,
    say,
    say_json,
    show,
    table,
)
from toolchain.cli.verifying import RECORDED, chain, read_recorded
from toolchain.raster import Raster
from toolchain.verify.compare import compare
from toolchain.verify.folder import check_folder, describe, write_case
from toolchain.verify.minimise import (
    MOST_RUNS,
    Minimised,
    Run,
    minimise,
    minimise_recorded,
    refuse_silence,
)


@click.command("minimise")
@artifact_argument
@stimulus_option
@judged_option("simulator")
@against_option
@path_option(
    "--recorded",
    metavar="FILE.npz",
    help="Judge this raster of hardware, in place of a backend: reduced by sample and time only.",
)
@samples_option
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=MOST_RUNS,
    show_default=True,
    help="Try at most so many candidates.",
)
@path_option("--out", required=True, help="The case's folder.")
@json_option
def minimise_command(
    artifact: Path,
    stimulus: Path,
    backend: str,
    against: str,
    recorded: Path | None,
    samples: int | None,
    runs: int,
    out: Path,
    as_json: bool,
) -> None:
    """Reduce a case that verify finds unequal to a small folder that replays it.

    Walks verify's chain to the first arrow that fails, and leaves out of it whatever the failure
    does not need: samples, timesteps, populations, neurons, spikes of the input. The cores are cut,
    not packed again, so a fault on a core stays. The folder holds artifact, stimulus, both rasters,
    the verdict and a README with the command. Exit code 1: a case was written; 0: nothing differs.
    """
    check_folder(out)
    loaded, shown = read_artifact(artifact), read_stimulus(stimulus, samples)
    with Watcher() as watch:
        if recorded is None:
            found = _minimise(loaded, shown, chain(backend, against), runs, watch)
        else:
            side = (against, _run(against))
            taken = read_recorded(recorded, shown)
            found = minimise_recorded(loaded, shown, taken, against=side, backend=RECORDED)
    if found is None:
        _say_equal(loaded, shown, as_json)
        return
    write_case(found, out, recorded=recorded is not None)
    if as_json:
        say_json(describe(found, recorded=recorded is not None) | {"out": str(out)})
    else:
        _show(found, out, recorded=recorded is not None)
    exit_with(1)


def _minimise(
    artifact: Artifact, stimulus: Raster, names: list[str], runs: int, watch: Watch
) -> Minimised | None:
    """Minimise the first arrow of a chain that fails."""
    sides = {name: _run(name) for name in names}
    rasters: dict[str, Raster] = {}
    for against, backend in pairwise(names):
        for name in (against, backend):
            if name not in rasters:
                watch(f"run {name}", 0, 1)
                rasters[name] = sides[name](artifact, stimulus)
        link = compare(
            rasters[against], rasters[backend], artifact, against=against, backend=backend
        )
        if link.mismatches:
            return minimise(
                artifact,
                stimulus,
                against=(against, sides[against]),
                backend=(backend, sides[backend]),
                most_runs=runs,
                watch=watch,
            )
        refuse_silence(link)
    return None


def _run(name: str) -> Run:
    """What runs an artifact on a backend; asks at once whether that is ready."""
    backend = get_backend(name)
    return lambda artifact, stimulus: backend.run(artifact, stimulus).raster


def _say_equal(artifact: Artifact, stimulus: Raster, as_json: bool) -> None:
    if as_json:
        say_json({"equal": True, "samples": stimulus.samples, "fingerprint": artifact.fingerprint})
    else:
        say(f"equal in all {stimulus.samples:,} samples: there is nothing to reduce")


def _show(found: Minimised, out: Path, *, recorded: bool) -> None:
    said = describe(found, recorded=recorded)
    rows = [(key.replace("_", " "), found.before[key], said["after"][key]) for key in found.before]
    show(table(["", "given", "kept"], rows))
    name, neuron = found.target
    one, other = found.comparison.against, found.comparison.backend
    say(f"\n{other} differs from {one} at neuron {neuron} of population '{name}'")
    if recorded:
        say("a recorded raster is reduced by sample and by the end of time only")
    elif found.complete:
        say(f"nothing more can be left out by itself ({found.runs} runs)")
    else:
        say(f"ended after {found.runs} runs: give more with --runs to reduce it further")
    say(f"case      {out}\nreplay    cd {out} && {said['replay']}")
