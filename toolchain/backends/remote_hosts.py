"""The machines that boards are attached to: `hosts.toml`, or the options that stand for one."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from toolchain.errors import InputError
from toolchain.files import fit, read_toml

HOSTS_VARIABLE = "SNN_DEPLOY_HOSTS"
LOCAL = "local:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}")
_DESTINATION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:%-]{0,254}")  # never an option of ssh's
_ALIVE_S = 15  # ssh asks the host so often whether it is there, and gives up after three silences

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(lambda v: tuple(v) if type(v) is list else v)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class HostTable(_Table):
    """One host: how it is reached, and what runs the artifact there."""

    ssh: Text | None = None  # destination of ssh: user@host, or a name of ~/.ssh/config
    local: bool = False  # a subprocess of this machine instead
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    ssh_config: Text | None = None  # the file that ssh reads in the place of ~/.ssh/config
    ssh_options: Texts = ()  # each is given to ssh after -o
    python: Text | None = None  # on the host; python3, and this interpreter where local
    command: Texts = ()  # in the place of PYTHON -m toolchain worker
    adapter: Text | None = None  # a Python file on the host
    backend: Text | None = None  # or a backend of snn-deploy's own, on the host
    cache: Text | None = None  # folder on the host in which artifacts are kept

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.ssh is None) != self.local:
            raise ValueError("needs ssh = 'user@host', or local = true, and not both")
        if self.ssh is not None and not _DESTINATION.fullmatch(self.ssh):
            raise ValueError(f"ssh = '{self.ssh}' is no destination such as user@host")
        if (self.adapter is None) == (self.backend is None):
            raise ValueError("needs adapter = 'FILE.py', or backend = 'NAME', and not both")
        if self.local and (self.port is not None or self.ssh_options or self.ssh_config):
            raise ValueError("port, ssh_config and ssh_options mean nothing where local = true")
        return self


class HostsTable(_Table):
    """A `hosts.toml`: what holds for all hosts, and a table [host.NAME] for each."""

    chunk_samples: Annotated[int, Field(ge=1, le=100_000)] = 32  # sent and kept together
    timeout_s: Seconds = 120.0  # from a chunk's sending to its result; of each file as well
    connect_s: Seconds = 30.0  # until the worker greets
    tries: Annotated[int, Field(ge=1, le=100)] = 3  # of one chunk, and of one host in a row
    host: Annotated[dict[str, HostTable], Field(min_length=1)]

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name in self.host:
            if not _NAME.fullmatch(name):
                raise ValueError(f"'{name}' is no name of a host: letters, digits and . _ @ : -")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host, and the words that start a worker on it."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """All hosts of a run, and the limits that they are held to."""

    hosts: tuple[Host, ...]
    chunk_samples: int
    timeout_s: float
    connect_s: float
    tries: int


def read_hosts(file: Path) -> Hosts:
    """Read a `hosts.toml`; raises FileError or ConfigError (table, key, nearest known key)."""
    return _resolved(fit(HostsTable, read_toml(file), file))


def name_hosts(
    destinations: Sequence[str],
    *,
    adapter: str | None,
    backend: str | None,
    given: Mapping[str, object],
) -> Hosts:
    """Hosts as options name them: `local:` or `user@host[:port]`, all with the same adapter.

    `given`: keys of `HostsTable`, and `python`, that were given as options. Raises InputError or
    ConfigError.
    """
    if (adapter is None) == (backend is None):
        raise InputError(
            "say what runs the artifact on the hosts: --adapter FILE.py for a board, or"
            " --on simulator for one of snn-deploy's own backends"
        )
    shared = {"adapter": adapter, "backend": backend, "python": given.get("python")}
    tables = {
        name: shared | _reach(where)
        for name, where in zip(_names(destinations), destinations, strict=True)
    }
    limits = {key: value for key, value in given.items() if key != "python" and value is not None}
    return _resolved(fit(HostsTable, {"host": tables} | limits, "--host"))


def _names(destinations: Sequence[str]) -> list[str]:
    """A name for each destination; those that are named twice are numbered."""
    plain = [where.rstrip(":") for where in destinations]
    return [
        f"{name}-{plain[: at + 1].count(name)}" if plain.count(name) > 1 else name
        for at, name in enumerate(plain)
    ]


def _reach(destination: str) -> dict[str, object]:
    if destination == LOCAL:
        return {"local": True}
    host, colon, port = destination.rpartition(":")
    if colon and port.isdecimal() and ":" not in host:
        return {"ssh": host, "port": int(port)}
    return {"ssh": destination}


def _resolved(table: HostsTable) -> Hosts:
    return Hosts(
        hosts=tuple(
            Host(name=name, words=resolve(host, table.connect_s))
            for name, host in table.host.items()
        ),
        chunk_samples=table.chunk_samples,
        timeout_s=table.timeout_s,
        connect_s=table.connect_s,
        tries=table.tries,
    )


def resolve(host: HostTable, connect_s: float) -> tuple[str, ...]:
    """The words that start a worker: its command, or ssh with that command as one quoted word."""
    worker = _worker(host)
    if host.ssh is None:
        return tuple(worker)
    limits = {
        "BatchMode": "yes",  # a question would hang
        "ConnectTimeout": max(1, round(connect_s)),
        "ServerAliveInterval": _ALIVE_S,
        "ServerAliveCountMax": 3,
    }
    options = [*host.ssh_options, *(f"{key}={value}" for key, value in limits.items())]
    given = [word for option in options for word in ("-o", option)]  # the first one given holds
    given += [] if host.port is None else ["-p", str(host.port)]
    given += [] if host.ssh_config is None else ["-F", str(Path(host.ssh_config).expanduser())]
    remote = " ".join(_quoted(word) for word in worker)
    return ("ssh", "-T", *given, "--", host.ssh, remote)


def _worker(host: HostTable) -> list[str]:
    python = host.python or (sys.executable if host.local else "python3")
    words = list(host.command) or [python, "-m", "toolchain", "worker"]
    if host.adapter is not None:
        words += ["--adapter", host.adapter]
    if host.backend is not None:
        words += ["--backend", host.backend]
    if host.cache is not None:
        words += ["--cache", host.cache]
    return words


def _quoted(word: str) -> str:
    """A word as the host's shell takes it; a home folder at its start stays one."""
    if word.startswith("~/"):
        return f"~/{shlex.quote(word[2:])}"
    return shlex.quote(word)
