"""run: record an artifact's spikes, and its states where they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from toolchain.artifact import read_artifact
from toolchain.backends import BACKENDS
from toolchain.backends.remote import Summary
from toolchain.cli.inputs import check_out, read_stimulus
from toolchain.cli.options import (
    artifact_argument,
    backend_option,
    path_option,
    samples_option,
    stimulus_option,
)
from toolchain.cli.output import (
    Watcher,
    json_option,
    say,
    say_json,
    share,
    show,
    table,
)
from toolchain.cli.remote import hosts_option, ran_json, ready_backend, say_summaries
from toolchain.files import Array, write_npz
from toolchain.raster import Recording, accuracy, write_raster


@click.command("run")
@artifact_argument
@stimulus_option
@backend_option("--backend", "simulator", None)
@path_option("--out", required=True, help="The raster, an .npz.")
@click.option(
    "--trace",
    multiple=True,
    metavar="POPULATION",
    help="Write its u and v, too, to OUT with .trace.npz for .npz; repeatable.",
)
@path_option(
    "--counts",
    metavar="FILE.npz",
    help="Write how often every neuron spiked, those of the input among them.",
)
@hosts_option
@samples_option
@json_option
def run_command(
    artifact: Path,
    stimulus: Path,
    backend: str,
    out: Path,
    trace: tuple[str, ...],
    counts: Path | None,
    hosts: Path | None,
    samples: int | None,
    as_json: bool,
) -> None:
    """Run an artifact on a stimulus and record every population's spikes.

    Every sample starts from a state of zero. Row t of a population is its own local timestep,
    which begins when the first input can reach it. A trace holds int32 arrays u.POPULATION and
    v.POPULATION (samples, timesteps, neurons), after each timestep's update and reset.
    """
    traces = out.with_suffix(".trace.npz") if trace else None
    for file in filter(None, (out, traces, counts)):
        check_out(file, ".npz", never=stimulus)
    loaded, shown = read_artifact(artifact), read_stimulus(stimulus, samples)
    summaries: list[Summary] = []
    with Watcher() as watch:
        ready = ready_backend(backend, hosts, summaries)
        recording = ready.run(loaded, shown, states=trace, watch=watch)
    raster = recording.raster
    write_raster(out, raster)
    if traces is not None:
        write_npz(traces, _states(recording))
    if counts is not None:
        origin = loaded.network.input.name
        write_npz(counts, _counts({origin: shown.spikes[origin]} | dict(raster.spikes)))
    answer: dict[str, Any] = {
        "trace": None if traces is None else str(traces),
        "counts": None if counts is None else str(counts),
        "backend": backend,
        "samples": raster.samples,
        "timesteps": raster.timesteps,
        "spikes": {name: int(spikes.sum()) for name, spikes in raster.spikes.items()},
        "accuracy": accuracy(raster, loaded.network.output),
        "fingerprint": loaded.fingerprint,
        "out": str(out),
    } | ran_json(summaries)
    if as_json:
        say_json(answer)
        return
    say(
        f"{raster.samples} samples of {raster.timesteps} timesteps ran on {backend}:"
        f" {BACKENDS[backend]}"
    )
    show(table(["population", "spikes"], list(answer["spikes"].items())))
    if answer["accuracy"] is not None:
        say(f"accuracy  {share(accuracy(raster, loaded.network.output) or 0)}")
    say(f"raster    {out}")
    if traces is not None:
        say(f"u and v   {traces}")
    if counts is not None:
        say(f"counts    {counts}")
    say_summaries(summaries)


def _states(recording: Recording) -> dict[str, Array]:
    """u.NAME and v.NAME of every population that was traced; 24 bits each, so int32 holds them."""
    return {
        f"{state}.{name}": np.asarray(array, np.int32)
        for state, arrays in (("u", recording.u), ("v", recording.v))
        for name, array in (arrays or {}).items()
    }


def _counts(spikes: Mapping[str, Array]) -> dict[str, Array]:
    """Name -> (neurons,) how often each spiked, over all samples and timesteps."""
    return {name: array.sum(axis=(0, 1), dtype=np.int64) for name, array in spikes.items()}
