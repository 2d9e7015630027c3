"""A run's folder: who may write into it, and the summary that closes it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import FileError, InputError
from toolchain.files import read_json
from toolchain.train.config import TrainConfig

SCHEMA = "snn-deploy.run"

_FILES = (
    *("config.json", "metrics.jsonl", "checkpoint.safetensors", "best.safetensors"),
    *("network.json", "network.safetensors", "stimulus.npz", "summary.json"),
)


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
    layers: list[dict[str, Any]]

    def as_table(self) -> dict[str, Any]:
        """What summary.json holds."""
        return {"schema": SCHEMA, "schema_version": 1, **asdict(self)}


def config_table(config: TrainConfig) -> dict[str, Any]:
    """What config.json holds."""
    table: dict[str, Any] = json.loads(config.model_dump_json())
    return table


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
    if out.exists() and not out.is_dir():
        raise FileError(f"{out}: is a file; --out names a folder")
    if out.exists() and any(not file.name.startswith(".") for file in out.iterdir()):
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
    for name in _FILES:
        for file in out.glob(f".{name}.*"):
            with contextlib.suppress(FileNotFoundError):
                file.unlink()


def read_summary(out: Path) -> Summary:
    """The summary of a finished run; FileError where there is none."""
    table = read_json(out / "summary.json", schema=SCHEMA)
    names = list(Summary.__dataclass_fields__)
    missing = [name for name in names if name not in table]
    if missing:
        raise FileError(f"{out / 'summary.json'}: key '{missing[0]}' is missing; train again")
    return Summary(**{name: table[name] for name in names})
