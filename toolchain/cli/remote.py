"""Options that name the hosts of boards, and the lines that say what ran there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from toolchain.backends import Backend, get_backend
from toolchain.backends.remote import On, Summary
from toolchain.backends.remote_hosts import HOSTS_VARIABLE, read_hosts
from toolchain.backends.remote_recording import Chunk, kept_chunks, read_plan, who_ran
from toolchain.cli.options import path_option
from toolchain.cli.output import say, show, table
from toolchain.errors import BackendError

hosts_option = path_option(
    "--hosts",
    metavar="FILE.toml",
    envvar=HOSTS_VARIABLE,
    help=f"Where boards are, for --backend remote; or set {HOSTS_VARIABLE}.",
)


def tell(text: str) -> None:
    """What a host did that it should not have, as it happens."""
    click.echo(text, err=True)


def ready_backend(name: str, hosts: Path | None, summaries: list[Summary]) -> Backend:
    """The backend of this name; `remote` on the hosts of a file, whose summary is collected.

    Raises as `get_backend` does, and BackendError where the hosts cannot be served.
    """
    if name != "remote" or hosts is None:
        return get_backend(name)
    backend = On(hosts=read_hosts(hosts), tell=tell, ended=summaries.append)
    reason = backend.why_unavailable()
    if reason is not None:
        raise BackendError(f"backend 'remote' is unavailable: {reason}")
    return backend


def ran_json(summaries: Sequence[Summary]) -> dict[str, Any]:
    """What really ran on hosts, and which were given up; nothing where none ran."""
    found: dict[str, Any] = {}
    for summary in summaries:
        found = {"ran": who_ran(list(summary.chunks)), "lost": dict(summary.lost)}
    return found


def say_summaries(summaries: Sequence[Summary]) -> None:
    """What really ran on hosts, as a person reads it; nothing where none ran."""
    for summary in summaries:
        say()
        say_ran(summary.chunks)
        say_lost(summary)


def say_lost(summary: Summary) -> None:
    """The hosts that were given up, and why."""
    for name, reason in summary.lost.items():
        say(f"given up  host '{name}': {reason}")


def inspect_recording(folder: Path) -> dict[str, Any]:
    """What a recording holds so far; raises FileError where it is none, or was altered."""
    plan = read_plan(folder)
    kept = list(kept_chunks(folder, plan))
    return {
        "kind": "a recording" if len(kept) == plan.chunks else "an unfinished recording",
        "artifact": plan.fingerprint,
        "samples": plan.samples,
        "timesteps": plan.timesteps,
        "chunks": plan.chunks,
        "kept": len(kept),
    } | ({"ran": _rows(kept)} if kept else {})


def _rows(chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    """Host by host: what ran there, in which version, and how many chunks of the run."""
    return [
        {
            "host": row["host"],
            "calls itself": row["hostname"],
            "ran": row["backend"],
            "versions": ", ".join(f"{n} {value}" for n, value in sorted(row["versions"].items())),
            "chunks": len(row["chunks"]),
        }
        for row in who_ran(list(chunks))
    ]


def say_ran(chunks: Sequence[Chunk]) -> None:
    """What ran, host by host, as a person reads it."""
    rows = _rows(chunks)
    show(table(list(rows[0]), [tuple(row.values()) for row in rows]))
    say(f"artifact  {chunks[0].ran.fingerprint}")
