"""Checkpoints: a learner and the history of its epochs in one safetensors file, never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load

from toolchain.errors import FileError
from toolchain.files import read_arrays, read_bytes, write_arrays
from toolchain.train.config import TrainConfig
from toolchain.train.learner import (
    Arrays,
    Learner,
    from_arrays,
    layers_from_arrays,
    to_arrays,
)
from toolchain.train.models import Layer

Record = dict[str, Any]  # of an epoch, as in metrics.jsonl

_HEADER_LENGTH = 8  # bytes; safetensors starts with its header's length, little-endian


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """The state of a run after its last whole epoch."""

    learner: Learner
    history: list[Record]


def write_checkpoint(path: Path, learner: Learner, history: list[Record]) -> None:
    """Write a checkpoint, whole or not at all. The history is the file's only metadata entry.

    (safetensors does not promise an order of several entries; equal runs must give equal bytes.)
    """
    text = json.dumps(history, sort_keys=True, allow_nan=False)
    write_arrays(path, to_arrays(learner), {"history": text})


def read_checkpoint(path: Path, config: TrainConfig) -> Checkpoint:
    """Read what `write_checkpoint` wrote; FileError where it is damaged."""
    data = read_bytes(path)
    try:
        length = int.from_bytes(data[:_HEADER_LENGTH], "little")
        header = json.loads(data[_HEADER_LENGTH : _HEADER_LENGTH + length])
        history = json.loads(header["__metadata__"]["history"])
        return Checkpoint(learner=from_arrays(load(data), config), history=history)
    except (SafetensorError, ValueError, KeyError) as problem:
        raise _damaged(path, problem) from problem


def read_layers(path: Path, config: TrainConfig) -> list[Layer]:
    """The layers in a file of arrays; FileError where it is damaged."""
    arrays: Mapping[str, Any] = read_arrays(path)
    try:
        return layers_from_arrays(arrays, config)
    except KeyError as problem:
        raise _damaged(path, problem) from problem


def write_layers(path: Path, arrays: Arrays) -> None:
    """Write weights, masks and biases."""
    write_arrays(path, arrays, {})


def _damaged(path: Path, problem: Exception) -> FileError:
    return FileError(
        f"{path}: was cut short or altered ({problem}); remove the run's folder and train again"
    )
