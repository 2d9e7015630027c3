"""Checkpoints: a learner, where it is, and its history, in one safetensors file; never a pickle.

model.json beside them is the model's structure, so that reading a run needs no code of a user's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load

from toolchain.errors import FileError
from toolchain.files import read_arrays, read_bytes, read_json, write_arrays, write_json
from toolchain.train.config import TrainConfig
from toolchain.train.geometry import summary
from toolchain.train.learner import Learner, from_arrays, model_arrays, model_from_arrays, to_arrays
from toolchain.train.model import Model
from toolchain.train.model_file import describe

Record = dict[str, Any]  # of an epoch, as in metrics.jsonl

SCHEMA = "snn-deploy.model"
_HEADER_LENGTH = 8  # bytes; safetensors starts with its header's length, little-endian


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the epoch in hand has come, and what it showed so far."""

    batches: int = 0  # done
    samples: int = 0
    loss: float = 0.0  # summed over the samples
    right: int = 0  # samples decided as labelled
    moved: dict[str, dict[str, int]] = field(default_factory=dict)  # synapses -> drop, grow


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """The state of a run: its whole epochs are the history's, the next one is in hand."""

    learner: Learner
    history: list[Record]
    progress: Progress


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all. The story is the file's only metadata entry.

    (safetensors does not promise an order of several entries; equal runs must give equal bytes.)
    """
    story = {"history": state.history, "progress": asdict(state.progress)}
    text = json.dumps(story, sort_keys=True, allow_nan=False)
    write_arrays(path, to_arrays(state.learner), {"story": text})


def read_checkpoint(path: Path, config: TrainConfig) -> Checkpoint:
    """Read what `write_checkpoint` wrote; FileError where it is damaged."""
    data = read_bytes(path)
    described = read_structure(path.parent)
    try:
        length = int.from_bytes(data[:_HEADER_LENGTH], "little")
        header = json.loads(data[_HEADER_LENGTH : _HEADER_LENGTH + length])
        story = json.loads(header["__metadata__"]["story"])
        learner = from_arrays(load(data), described, config)
        progress = Progress(**story["progress"])
        return Checkpoint(learner=learner, history=story["history"], progress=progress)
    except (SafetensorError, ValueError, KeyError, TypeError) as problem:
        raise _damaged(path, problem) from problem


def write_structure(folder: Path, model: Model) -> None:
    """Write model.json: the structure, and as a table for people what is trained."""
    table = {"schema": SCHEMA, "schema_version": 1, "trained": [asdict(r) for r in summary(model)]}
    write_json(folder / "model.json", table | describe(model))


def read_structure(folder: Path) -> Mapping[str, Any]:
    """The structure in model.json."""
    return read_json(folder / "model.json", schema=SCHEMA)


def read_model(run: Path) -> Model:
    """The best model of a run; FileError where it is unfinished or damaged."""
    path = run / "best.safetensors"
    described = read_structure(run)
    arrays: Mapping[str, Any] = read_arrays(path)
    try:
        return model_from_arrays(arrays, described)
    except (KeyError, TypeError, ValueError) as problem:
        raise _damaged(path, problem) from problem


def write_model(path: Path, model: Model) -> None:
    """Write weights, masks, norms and biases."""
    write_arrays(path, model_arrays(model), {})


def _damaged(path: Path, problem: Exception) -> FileError:
    return FileError(
        f"{path}: was cut short or altered ({problem}); remove the run's folder and train again"
    )
