"""lava-dl's layer files, written field by field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np


def net(path: Path, layers: dict[str, dict[str, Any]]) -> Path:
    """A .net file of these layers."""
    with h5py.File(path, "w") as file:
        for number, fields in layers.items():
            group = file.create_group(f"layer/{number}")
            for name, value in fields.items():
                group[name] = value
    return path


def dense(**given: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "type": np.array([b"dense"]),
        "shape": np.array([2]),
        "weight": np.full((2, 2), 4.0),
        "neuron/type": "CUBA",
        "neuron/iDecay": 4096,
        "neuron/vDecay": 10,
        "neuron/vThMant": 5,
    }
    return plain | given


def average(groups: int) -> dict[str, Any]:
    """A layer of means."""
    return {"type": np.array([b"average"]), "shape": np.array([groups, 1, 1])}
