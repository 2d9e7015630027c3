"""run and verify: record an artifact's spikes, and compare them with those it must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from toolchain.artifact import Artifact, read_artifact
from toolchain.backends import BACKENDS
from toolchain.backends.remote import Summary
from toolchain.cli.inputs import check_out, read_mappable, read_network, read_stimulus
from toolchain.cli.output import (
    Watch,
    Watcher,
    exit_with,
    json_option,
    say,
    say_json,
    share,
    show,
    table,
)
from toolchain.cli.remote import hosts_option, ran_json, ready_backend, say_summaries
from toolchain.cli.rooms import train_room
from toolchain.codec import fingerprint
from toolchain.errors import InputError
from toolchain.files import Array, write_json, write_npz
from toolchain.network import QuantizedNetwork
from toolchain.raster import Raster, Recording, accuracy, write_raster
from toolchain.verify.verdict import TRAINED, Verdict, judge

artifact_argument = click.argument("artifact", metavar="ART", type=click.Path(path_type=Path))
stimulus_option = click.option(
    "--stimulus",
    required=True,
    type=click.Path(path_type=Path),
    help="An .npz: bool (samples, timesteps, neurons) under the input's name, and labels.",
)
samples_option = click.option(
    "--samples", type=click.IntRange(min=1), help="Use the first so many samples only."
)
SPECIFICATION = "quantized"


@click.command("run")
@artifact_argument
@stimulus_option
@click.option(
    "--backend", type=click.Choice(list(BACKENDS)), default="simulator", show_default=True
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The raster, an .npz.")
@click.option(
    "--trace",
    multiple=True,
    metavar="POPULATION",
    help="Write its u and v, too, to OUT with .trace.npz for .npz; repeatable.",
)
@click.option(
    "--counts",
    type=click.Path(path_type=Path),
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


@click.command("verify")
@artifact_argument
@stimulus_option
@click.option(
    "--backend",
    type=click.Choice(list(BACKENDS)),
    default="lava",
    show_default=True,
    help="The backend that is judged.",
)
@click.option(
    "--against",
    type=click.Choice(list(BACKENDS)),
    default="reference",
    show_default=True,
    help="The backend that says what is expected.",
)
@click.option(
    "--trained",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="The run that the artifact came from: its accuracy and agreement beside it.",
)
@samples_option
@click.option("--out", type=click.Path(path_type=Path), help="Write the verdict to this file, too.")
@json_option
def verify_command(
    artifact: Path,
    stimulus: Path,
    backend: str,
    against: str,
    trained: Path | None,
    samples: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Prove that an artifact spikes alike everywhere: every bit of every population.

    Walks a chain: the quantized network, then the backend of --against, which runs the packed
    cores, then the judged backend; each must equal the one before it exactly. With --trained, a
    run that learned on the chip's integers comes first in the chain; one in real numbers is
    measured beside it. There is no tolerance. Exit code 0: equal; 1: not equal, or nothing was
    compared.
    """
    if out is not None:
        check_out(out, ".json", never=artifact)
    loaded = read_artifact(artifact)
    wanted = read_stimulus(stimulus, samples)
    with Watcher() as watch:
        known = None if trained is None else trained_raster(trained, loaded, wanted)
        recorded = record(loaded, wanted, chain(backend, against), watch)
    if known is not None and trained is not None and is_exact(trained, loaded):
        recorded = {TRAINED: known} | recorded
    verdict = judge(loaded, recorded, trained=known)
    if out is not None:
        write_json(out, verdict.to_json())
    if as_json:
        say_json(verdict.to_json())
    else:
        show_verdict(verdict)
    exit_with(0 if verdict.equal else 1)


def chain(backend: str, against: str) -> list[str]:
    """From the specification to the judged backend, each once; at least two."""
    names = list(dict.fromkeys([SPECIFICATION, against, backend]))
    if len(names) == 1:
        raise InputError(f"'{backend}' against itself proves nothing; choose another --backend")
    return names


def record(
    artifact: Artifact, stimulus: Raster, backends: Sequence[str], watch: Watch
) -> dict[str, Raster]:
    """Backend -> raster; every backend is asked whether it is ready before the first one runs."""
    ready = {name: get_backend(name) for name in backends}
    return {name: b.run(artifact, stimulus, watch=watch).raster for name, b in ready.items()}


def trained_raster(run: Path, artifact: Artifact, stimulus: Raster) -> Raster:
    """The raster of the trained network on a stimulus, in the arithmetic it was trained in.

    Raises InputError where the artifact did not come from this run, or torch is missing.
    """
    if not is_exact(run, artifact) and fingerprint(read_network(run)) != artifact.image.trained:
        raise InputError(
            f"{run}: is not the run that the artifact was mapped from (their networks' fingerprints"
            " differ); give that run, or map this one"
        )
    raster: Raster = train_room("predict").predict(run, stimulus)
    return raster


def is_exact(run: Path, artifact: Artifact) -> bool:
    """Whether an artifact holds the very integers that a run was trained on."""
    held = read_mappable(run)
    return isinstance(held, QuantizedNetwork) and fingerprint(held) == artifact.image.trained


def show_verdict(verdict: Verdict) -> None:
    """The verdict as a person reads it."""
    rows = [
        (
            link.against,
            link.backend,
            link.samples,
            link.neuron_steps_compared,
            link.spikes_compared,
            link.mismatches,
            "equal" if link.equal else "NOT EQUAL",
        )
        for link in verdict.chain
    ]
    columns = ["expected", "judged", "samples", "neuron-steps", "spikes", "mismatches", ""]
    show(table(columns, rows))
    say(
        "\nequal: every bit of every population"
        if verdict.equal
        else f"\nNOT EQUAL: {verdict.reason}"
    )
    for name, value in sorted(verdict.accuracy.items(), reverse=True):
        say(f"accuracy {name:<9} {share(value)}")
    for name, value in verdict.agreement.items():
        say(f"{name} that trained and deployed share  {share(value)}")
