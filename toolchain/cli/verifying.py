"""verify: walk the chain from the trained network to the judged backend, arrow by arrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

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
from toolchain.cli.running import artifact_argument, samples_option, stimulus_option
from toolchain.codec import fingerprint
from toolchain.errors import InputError
from toolchain.files import write_json
from toolchain.network import QuantizedNetwork
from toolchain.raster import Raster
from toolchain.verify.verdict import TRAINED, Verdict, judge

SPECIFICATION = "quantized"


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
@hosts_option
@samples_option
@click.option("--out", type=click.Path(path_type=Path), help="Write the verdict to this file, too.")
@json_option
def verify_command(
    artifact: Path,
    stimulus: Path,
    backend: str,
    against: str,
    trained: Path | None,
    hosts: Path | None,
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
    summaries: list[Summary] = []
    with Watcher() as watch:
        known = None if trained is None else trained_raster(trained, loaded, wanted)
        recorded = record(loaded, wanted, chain(backend, against), watch, hosts, summaries)
    if known is not None and trained is not None and is_exact(trained, loaded):
        recorded = {TRAINED: known} | recorded
    verdict = judge(loaded, recorded, trained=known)
    answer = verdict.to_json() | ran_json(summaries)
    if out is not None:
        write_json(out, answer)
    if as_json:
        say_json(answer)
    else:
        show_verdict(verdict)
        say_summaries(summaries)
    exit_with(0 if verdict.equal else 1)


def chain(backend: str, against: str) -> list[str]:
    """From the specification to the judged backend, each once; at least two."""
    names = list(dict.fromkeys([SPECIFICATION, against, backend]))
    if len(names) == 1:
        raise InputError(f"'{backend}' against itself proves nothing; choose another --backend")
    return names


def record(
    artifact: Artifact,
    stimulus: Raster,
    backends: Sequence[str],
    watch: Watch,
    hosts: Path | None = None,
    summaries: list[Summary] | None = None,
) -> dict[str, Raster]:
    """Backend -> raster; every backend is asked whether it is ready before the first one runs.

    `remote` runs on the hosts of a file, and its summary is added to `summaries`.
    """
    held = [] if summaries is None else summaries
    ready = {name: ready_backend(name, hosts, held) for name in backends}
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
