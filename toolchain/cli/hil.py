"""hil, replay and worker: hardware in the loop, its recording judged again, and the far side."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from toolchain.artifact import read_artifact
from toolchain.backends import BACKENDS, Backend, get_backend
from toolchain.backends.remote import Summary, join_chunks, record
from toolchain.backends.remote_adapter import Runner, adapter, cache_folder, own_backend
from toolchain.backends.remote_hosts import HOSTS_VARIABLE, Hosts, name_hosts, read_hosts
from toolchain.backends.remote_recording import read_recording, who_ran
from toolchain.backends.remote_worker import work
from toolchain.cli.inputs import check_out, read_stimulus
from toolchain.cli.options import (
    Decorator,
    artifact_argument,
    backend_option,
    path_argument,
    path_option,
    samples_option,
    stimulus_option,
)
from toolchain.cli.output import Watcher, exit_with, json_option, say, say_json, share, show, table
from toolchain.cli.remote import hosts_option, say_lost, say_ran, tell
from toolchain.errors import InputError
from toolchain.raster import Raster, write_raster
from toolchain.verify.agreement import Tally

LOCAL = [name for name in BACKENDS if name != "remote"]


def _against_option(default: str) -> Decorator:
    text = "The backend on this machine that says what is expected."
    return backend_option("--against", default, text, LOCAL)


@click.command("hil")
@artifact_argument
@stimulus_option
@hosts_option
@click.option(
    "--host",
    multiple=True,
    metavar="USER@HOST[:PORT]|local:",
    help="A host by name, instead of a file; repeatable, several run side by side.",
)
@click.option("--adapter", metavar="FILE.py", help="With --host: the board's adapter, on the host.")
@click.option(
    "--on",
    metavar="BACKEND",
    help="With --host: a backend of snn-deploy's own that runs there, such as simulator.",
)
@click.option("--python", help="With --host: the host's Python.  [default: python3]")
@click.option("--chunk", "chunk_samples", type=int, help="Samples sent together.  [default: 32]")
@click.option("--timeout", "timeout_s", type=float, help="Seconds for a chunk.  [default: 120]")
@click.option("--tries", type=int, help="Of a chunk, and of a host in a row.  [default: 3]")
@_against_option("simulator")
@samples_option
@path_option(
    "--out",
    required=True,
    metavar="REC",
    help="Folder of the recording; an interrupted one goes on where it stopped.",
)
@json_option
def hil_command(
    artifact: Path,
    stimulus: Path,
    hosts: Path | None,
    host: tuple[str, ...],
    adapter: str | None,
    on: str | None,
    python: str | None,
    chunk_samples: int | None,
    timeout_s: float | None,
    tries: int | None,
    against: str,
    samples: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Stream a test set to boards on other machines, and compare every answer as it comes.

    Reports the deployed accuracy, agreement with a backend of this machine, and samples per
    second. What has come back is kept in REC and never sent again; 'snn-deploy replay REC' judges
    it again without a board. Exit code 0: every bit is equal; 1: not, or nothing was compared; 4: a
    host failed or took too long.
    """
    given = {
        "python": python,
        "chunk_samples": chunk_samples,
        "timeout_s": timeout_s,
        "tries": tries,
    }
    where = _hosts(hosts, host, adapter, on, given)
    loaded, shown = read_artifact(artifact), read_stimulus(stimulus, samples)
    judge = get_backend(against)
    tally = Tally(artifact=loaded)
    with Watcher() as watcher:
        summary = record(
            where,
            loaded,
            shown,
            out,
            watch=_Pace(tally, watcher),
            seen=partial(_judge, tally, judge, shown),
            tell=tell,
        )
    answer = _answer(tally, against, summary.chunks[0].ran.backend) | {
        "out": str(out),
        "ran": who_ran(list(summary.chunks)),
        "lost": dict(summary.lost),
        "chunks": {"all": len(summary.chunks), "run": summary.run, "failed": summary.failed},
        "samples_per_second": summary.samples / summary.seconds if summary.run else None,
    }
    if as_json:
        say_json(answer)
    else:
        _show(tally, answer)
        say_ran(summary.chunks)
        _say_summary(summary)
        say(f"recording {out}; judge it again with: snn-deploy replay {out}")
    exit_with(0 if tally.equal else 1)


def _hosts(
    file: Path | None,
    names: tuple[str, ...],
    adapter: str | None,
    backend: str | None,
    given: dict[str, Any],
) -> Hosts:
    """The hosts of a file, or of options: one of them, and not both."""
    if names:
        return name_hosts(names, adapter=adapter, backend=backend, given=given)
    if file is None:
        raise InputError(
            f"no host is named; give --hosts hosts.toml (or set {HOSTS_VARIABLE}), or"
            " --host user@board --adapter FILE.py"
        )
    options = {"adapter": adapter, "on": backend} | given
    extra = [name for name, value in options.items() if value is not None]
    if extra:
        raise InputError(
            f"{', '.join(extra)} cannot be given beside --hosts; write it into {file}, or name"
            " the hosts with --host"
        )
    return read_hosts(file)


def _judge(tally: Tally, judge: Backend, stimulus: Raster, start: int, actual: Raster) -> None:
    """Run a chunk on the backend of this machine, and count how far the board's answer agrees."""
    part = stimulus.between(start, start + actual.samples)
    expected = judge.run(tally.artifact, part).raster
    tally.add(start, expected, actual, part.labels)


class _Pace:
    """Progress with the accuracy, the agreement and the rate so far."""

    def __init__(self, tally: Tally, watcher: Watcher) -> None:
        self.tally = tally
        self.watcher = watcher
        self.began = time.monotonic()
        self.kept = -1  # samples of before, known at the first call

    def __call__(self, what: str, done: int, of: int) -> None:
        """So many samples are done."""
        if self.kept < 0:
            self.began, self.kept = time.monotonic(), done
        rate = (done - self.kept) / max(time.monotonic() - self.began, 1e-9)
        right = self.tally.accuracy
        known = "" if right is None else f"accuracy {share(right)}, "
        agreed = share(self.tally.agreement["decisions"])
        self.watcher(what, done, of, f"{known}same decisions {agreed}, {rate:,.1f} samples/s")


def _answer(tally: Tally, against: str, backend: str) -> dict[str, Any]:
    names = [population.name for population in tally.artifact.network.populations]
    return tally.to_json() | {
        "schema": "snn-deploy.hil",
        "schema_version": 1,
        "fingerprint": tally.artifact.fingerprint,
        "backend": backend,
        "against": against,
        "reason": _reason(tally, against, backend),
        "not_shown": [name for name in names if name not in tally.populations],
    }


def _reason(tally: Tally, against: str, backend: str) -> str:
    """Why it is not equal, in one sentence; empty where it is."""
    first = tally.first_mismatch
    if tally.equal:
        return ""
    if first is None:
        return f"no neuron spiked in {against} or {backend}: nothing was compared"
    found, wanted = ("a spike", "no spike") if first.actual else ("no spike", "a spike")
    return (
        f"{backend} differs from {against} first at sample {first.sample}, timestep"
        f" {first.timestep}, population '{first.population}', neuron {first.neuron} on core"
        f" {first.core}: {wanted} expected, {found} found"
    )


def _show(tally: Tally, answer: dict[str, Any]) -> None:
    """The verdict as a person reads it."""
    row = (
        answer["against"],
        answer["backend"],
        tally.samples,
        tally.neuron_steps_compared,
        tally.spikes_compared,
        tally.mismatches,
        "equal" if tally.equal else "NOT EQUAL",
    )
    columns = ["expected", "judged", "samples", "neuron-steps", "spikes", "mismatches", ""]
    show(table(columns, [row]))
    say(
        "\nequal: every bit of every population that was shown"
        if tally.equal
        else f"\nNOT EQUAL: {answer['reason']}"
    )
    if answer["not_shown"]:
        say(f"not shown by the board, so not compared: {', '.join(answer['not_shown'])}")
    if tally.accuracy is None:
        say("accuracy  not known: the stimulus has no labels")
    else:
        say(f"accuracy deployed  {share(tally.accuracy)}")
    for name, value in tally.agreement.items():
        say(f"{name} that both share  {share(value)}")
    say()


def _say_summary(summary: Summary) -> None:
    kept = len(summary.chunks) - summary.run
    rate = f", {summary.samples / summary.seconds:,.1f} samples/s" if summary.run else ""
    say(
        f"chunks    {summary.run} run now, {kept} kept from before,"
        f" {summary.failed} tries failed{rate}"
    )
    say_lost(summary)


@click.command("replay")
@path_argument("recording", "REC")
@_against_option("reference")
@path_option("--out", metavar="FILE.npz", help="Write the recorded raster, as 'run' does.")
@json_option
def replay_command(recording: Path, against: str, out: Path | None, as_json: bool) -> None:
    """Judge a recording of 'snn-deploy hil' again, with no board and no network.

    Every byte of the recording is checked first. Exit code 0: every bit is equal; 1: not equal.
    """
    held = read_recording(recording)
    if out is not None:
        check_out(out, ".npz", never=recording / "stimulus.npz")
        parts = dict(held.parts())
        write_raster(out, join_chunks(parts, held.stimulus))
    judge = get_backend(against)
    tally = Tally(artifact=held.artifact)
    with Watcher() as watcher:
        for start, part in held.parts():
            _judge(tally, judge, held.stimulus, start, part)
            watcher("judge again", tally.samples, held.plan.samples)
    answer = _answer(tally, against, held.backend) | {
        "ran": who_ran(list(held.chunks)),
        "recording": str(recording),
    }
    if as_json:
        say_json(answer)
    else:
        _show(tally, answer)
        say_ran(held.chunks)
    exit_with(0 if tally.equal else 1)


@click.command("worker")
@path_option(
    "--adapter",
    "file",
    metavar="FILE.py",
    help="The board's adapter: a file with run and why_unavailable.",
)
@click.option("--backend", type=click.Choice(LOCAL), help="Or a backend of snn-deploy's own.")
@click.option(
    "--cache",
    metavar="DIR",
    help="Where artifacts are kept.  [default: ~/.cache/snn-deploy]",
)
@click.option("--check", is_flag=True, help="Only say whether it is ready: 0 yes, 4 no.")
def worker_command(file: Path | None, backend: str | None, cache: str | None, check: bool) -> None:
    """Run artifacts for another machine: what 'hil' starts on a board's host through ssh.

    Reads messages on standard input and answers on standard output, until the input closes. Try
    an adapter by hand with --check.
    """
    if (file is None) == (backend is None):
        raise InputError("a worker needs --adapter FILE.py or --backend NAME, and not both")
    make = partial(_runner, file, backend)
    if not check and sys.stdin.isatty():
        raise InputError("a worker is started by 'snn-deploy hil'; to try it by hand, add --check")
    if not check:
        work(make, cache_folder(cache))
        return
    runner = make()
    versions = ", ".join(f"{name} {value}" for name, value in sorted(runner.versions.items()))
    say(f"{runner.backend} ({versions}): {runner.unavailable or 'ready'}")
    exit_with(4 if runner.unavailable else 0)


def _runner(file: Path | None, backend: str | None) -> Runner:
    if file is not None:
        return adapter(file.expanduser())
    assert backend is not None
    return own_backend(backend)
