"""verify: walk the chain from the trained network to the judged backend, arrow by arrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from toolchain.artifact import Artifact, read_artifact
from toolchain.backends.remote import Summary
from toolchain.cli.contracting import check_junit, keep_contract, write_junit
from toolchain.cli.diagnosing import show_verdict
from toolchain.cli.inputs import check_out, read_mappable, read_network, read_stimulus
from toolchain.cli.options import (
    against_option,
    judged_option,
    path_argument,
    path_option,
    samples_option,
    stimulus_if_any_option,
)
from toolchain.cli.output import Watch, Watcher, exit_with, json_option, say_json
from toolchain.cli.remote import hosts_option, ran_json, ready_backend, say_summaries
from toolchain.cli.rooms import train_room
from toolchain.codec import fingerprint
from toolchain.errors import InputError
from toolchain.files import write_json
from toolchain.network import QuantizedNetwork
from toolchain.raster import Raster, Recording, read_raster
from toolchain.verify.compare import TRAINED
from toolchain.verify.diagnose import Probe
from toolchain.verify.verdict import SPECIFICATION, judge

CORES = ("reference", "simulator")  # the interpreters of packed cores
RECORDED = "recorded"  # in a chain: a raster from a file


@click.command("verify")
@path_argument("artifact", "ART", required=False)
@stimulus_if_any_option
@path_option(
    "--contract",
    metavar="FILE.toml",
    help="Hold the artifact to what this file promises of it; it may name all else.",
)
@path_option(
    "--junit",
    metavar="FILE.xml",
    help="Write the verdict as JUnit XML, too: a test case for every arrow or clause.",
)
@judged_option("lava")
@against_option
@path_option(
    "--trained",
    metavar="RUN",
    help="The run that the artifact came from: its accuracy and agreement beside it.",
)
@path_option(
    "--recorded", metavar="FILE.npz", help="Judge this recorded raster, in place of a backend."
)
@hosts_option
@samples_option
@path_option("--out", help="Write the verdict to this file, too.")
@json_option
@click.pass_context
def verify_command(
    context: click.Context,
    artifact: Path | None,
    stimulus: Path | None,
    contract: Path | None,
    junit: Path | None,
    backend: str,
    against: str,
    trained: Path | None,
    recorded: Path | None,
    hosts: Path | None,
    samples: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Prove that an artifact spikes alike everywhere: every bit of every population.

    Walks a chain, arrow by arrow: with --trained, the network as it was trained; the quantized
    network; the packed cores, on the simulator and on the backend of --against; the judged backend.
    Each must equal the one before it exactly, and there is no tolerance; only what was trained in
    real numbers is measured, and never called equal. The first arrow that fails is diagnosed:
    where the spikes part, u and v on both sides, which population is wrong by itself, and what
    explains every bit of it. Exit code 0: equal; 1: not equal, or nothing was compared.

    With --contract, the file says what is exact and what is measured, by how much:
    docs/verification.md. Exit code 0: every clause is kept; 1: one is broken.
    """
    if contract is not None:
        _refuse_beside_a_contract(context)
        keep_contract(
            contract,
            artifact=artifact,
            stimulus=stimulus,
            trained=trained,
            samples=samples,
            junit=junit,
            out=out,
            as_json=as_json,
        )
        return
    if artifact is None or stimulus is None:
        raise click.UsageError("give ART and --stimulus, or --contract")
    if junit is not None:
        check_junit(junit)
    if out is not None:
        check_out(out, ".json", never=artifact)
    loaded = read_artifact(artifact)
    wanted = read_stimulus(stimulus, samples)
    summaries: list[Summary] = []
    with Watcher() as watch:
        sides = _Trained(trained, loaded, wanted)
        names = chain(RECORDED if recorded is not None else backend, against)
        backends = [name for name in names if name != RECORDED]
        deployed = record(loaded, wanted, backends, watch, hosts, summaries)
        rasters = sides.recorded | deployed
        if recorded is not None:
            rasters[RECORDED] = read_recorded(recorded, wanted)
        verdict = judge(
            loaded,
            rasters,
            trained=sides.trained,
            real=sides.real,
            stimulus=wanted,
            probe=prober(loaded, trained, hosts),
        )
    answer = verdict.to_json() | ran_json(summaries)
    if out is not None:
        write_json(out, answer)
    if junit is not None:
        write_junit(junit, verdict)
    if as_json:
        say_json(answer)
    else:
        show_verdict(verdict)
        say_summaries(summaries)
    exit_with(0 if verdict.equal else 1)


class _Trained:
    """What a trained run spikes: on the chip's integers, in real numbers, or both."""

    def __init__(self, run: Path | None, artifact: Artifact, stimulus: Raster) -> None:
        self.trained = None if run is None else trained_raster(run, artifact, stimulus)
        self.recorded: dict[str, Raster] = {}
        self.real: Raster | None = None
        if run is not None and self.trained is not None and is_exact(run, artifact):
            self.recorded = {TRAINED: self.trained}
            self.real = train_room("predict").predict_real(run, stimulus)


def _refuse_beside_a_contract(context: click.Context) -> None:
    for name in ("backend", "against", "recorded", "hosts"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} does not go with --contract: its [exact] chain says")


def chain(backend: str, against: str) -> list[str]:
    """From the specification to the judged backend, each once; at least two.

    Where the judged one is no interpreter of ours, the simulator has a say before it: it is fast.
    """
    between = [] if backend in (SPECIFICATION, *CORES) else ["simulator"]
    ahead = [name for name in between if name != against]
    names = list(dict.fromkeys([SPECIFICATION, *ahead, against, backend]))
    if len(names) == 1:
        raise InputError(f"'{backend}' against itself proves nothing; choose another --backend")
    return names


def read_recorded(file: Path, stimulus: Raster) -> Raster:
    """A raster that was recorded on a stimulus, cut to the samples that are asked for."""
    raster = read_raster(file)
    return raster.first(stimulus.samples) if raster.samples > stimulus.samples else raster


def prober(artifact: Artifact, run: Path | None, hosts: Path | None = None) -> Probe:
    """Runs a side of the chain again, on a few samples, with u and v of one population."""

    def probe(side: str, stimulus: Raster, population: str) -> Recording:
        if side == TRAINED:
            found: Recording = train_room("predict").trace(run, stimulus, population)
            return found
        if side == RECORDED:
            raise InputError("a recorded raster holds no u and v")
        return ready_backend(side, hosts, []).run(artifact, stimulus, states=[population])

    return probe


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
