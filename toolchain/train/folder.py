"""A run's folder: who may write into it, and the summary that closes it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from toolchain.errors import FileError, InputError
from toolchain.files import read_json
from toolchain.train.config import TrainConfig

SCHEMA = "snn-deploy.run"
EXACT = "exact"  # the folder in a run's that holds the phase on the chip's integers

_FILES = (
    *("config.json", "model.json", "metrics.jsonl", "checkpoint.safetensors", "best.safetensors"),
    *("network.json", "network.safetensors", "stimulus.npz", "summary.json"),
    "calibration.npz",
)
_LATER = {"detach_reset": False, "clip_norm": None}  # keys of [training]
_EXACT_FILES = ("grid.json", "grid.safetensors", "quantized.json", "quantized.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a run ended."""

    accuracy: dict[str, float]  # "validation", "test": of the deployed epoch, shares
    density: float  # existing / possible synapses
    unrolled_connectivity: float  # the same with every use of a shared weight counted
    seconds: float  # of the session that finished the run
    run: str  # the folder
    epochs: int
    best_epoch: int  # the one that is deployed, from 1
    method: str
    removed_neurons: int  # hidden ones that could never matter; the network has them no more
    sops: dict[str, float]  # synaptic operations per test sample: "total", and by population
    layers: list[dict[str, Any]]
    exact: dict[str, Any] | None = None  # of a run that ended on the chip's integers
    fell_apart: dict[str, Any] | None = None  # of a run that did: `records.Fall`

    def as_table(self) -> dict[str, Any]:
        """What summary.json holds."""
        held = {name: value for name, value in asdict(self).items() if value is not None}
        return {"schema": SCHEMA, "schema_version": 2, "finished": True, **held}


def config_table(config: TrainConfig) -> dict[str, Any]:
    """What config.json holds."""
    table: dict[str, Any] = json.loads(config.model_dump_json())
    if table["exact"] is None:
        del table["exact"]
    for key, default in _LATER.items():  # runs from before there was such a key go on
        if table["training"][key] == default:
            del table["training"][key]
    return table


@contextlib.contextmanager
def held_alone(out: Path) -> Iterator[None]:
    """The folder, made where it is not there, for this session alone.

    Raises InputError that names the session which holds it; one that was killed holds nothing.
    """
    if out.exists() and not out.is_dir():
        raise FileError(f"{out}: is a file; --out names a folder")
    made = not out.exists()
    path = out / ".lock"
    handle = _locked(path, out)
    try:
        os.truncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: the next session locks another file
        os.close(handle)
        if made:
            with contextlib.suppress(OSError):  # not empty: a run
                out.rmdir()


def _locked(path: Path, out: Path) -> int:
    """The lock file, open and held; the system lets go of it when this process ends."""
    while True:
        try:
            out.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as problem:
            raise FileError(f"{path}: cannot be written ({problem.strerror})") from problem
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            holder = os.read(handle, 200).decode(errors="replace") or "another process"
            os.close(handle)
            if not isinstance(problem, BlockingIOError):
                raise FileError(f"{path}: cannot be locked ({problem.strerror})") from problem
            raise InputError(
                f"{out}: is being trained by {holder}; wait for its end, or choose another --out"
            ) from problem
        if _is_still(path, handle):
            return handle
        os.close(handle)  # its holder ended, and removed it, while we came


def _is_still(path: Path, handle: int) -> bool:
    """Whether the open file is the one that has this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def open_folder(config: TrainConfig, out: Path, *, resume: bool) -> Summary | None:
    """Refuse a folder that must not be written; the summary of a finished run to be resumed."""
    described = out / "config.json"
    if not described.exists():
        _refuse_foreign(out)
        _remove_leftovers(out)
        return None
    held = read_json(described)
    _refuse_other(held, config_table(config), out)
    if (out / "summary.json").exists():
        if resume:
            return read_summary(out)
        raise InputError(
            f"{out}: holds a finished run of this configuration; choose another --out, or give"
            " --resume to keep it"
        )
    if not resume:
        raise InputError(
            f"{out}: holds an unfinished run of this configuration; go on with it by --resume, or"
            " choose another --out"
        )
    _remove_leftovers(out)
    return None


def _refuse_foreign(out: Path) -> None:
    if any(not file.name.startswith(".") for file in out.iterdir()):
        raise InputError(f"{out}: is not empty and holds no run; choose another --out")


def _refuse_other(held: dict[str, Any], asked: dict[str, Any], out: Path) -> None:
    """Refuse to mix two configurations in one folder, naming the first key that differs."""
    if held == asked:
        return
    for table, keys in asked.items():
        there = held.get(table, {})
        for key, value in keys.items():
            if there.get(key) != value:
                raise InputError(
                    f"{out}: holds a run of another configuration ([{table}] {key} is"
                    f" {there.get(key)!r} there, {value!r} here); choose another --out"
                )
    raise InputError(f"{out}: holds a run of another configuration; choose another --out")


def _remove_leftovers(out: Path) -> None:
    """Remove what a killed session left under temporary names (`files.write_bytes`)."""
    for name in (*_FILES, *_EXACT_FILES, "curves.svg"):
        for file in (*out.glob(f".{name}.*"), *out.glob(f"{EXACT}/.{name}.*")):
            with contextlib.suppress(FileNotFoundError):
                file.unlink()


def read_summary(out: Path) -> Summary:
    """The summary of a finished run; FileError where there is none."""
    table = read_json(out / "summary.json", schema=SCHEMA)
    known = fields(Summary)
    missing = [f.name for f in known if f.name not in table and f.default is MISSING]
    if missing:
        raise FileError(f"{out / 'summary.json'}: key '{missing[0]}' is missing; train again")
    return Summary(**{field.name: table[field.name] for field in known if field.name in table})
