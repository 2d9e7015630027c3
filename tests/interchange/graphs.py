"""NIR files put together by hand, sound and hostile."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Fields = Mapping[str, Any]


def shape(kind: str, *extents: int) -> Fields:
    return {"type": kind, "shape": np.array(extents)}


def lif(size: int, **given: Any) -> Fields:
    plain = {
        "type": "LIF",
        "tau": np.full(size, 0.01),
        "r": np.ones(size),
        "v_leak": np.zeros(size),
        "v_threshold": np.ones(size),
    }
    return plain | given


def linear(weight: Any, **given: Any) -> Fields:
    return {"type": "Linear", "weight": np.asarray(weight, float)} | given


def chain(*nodes: Fields, inputs: tuple[int, ...] = (2,), outputs: int = 2) -> Path | Any:
    """(nodes, edges) of Input -> nodes -> Output, the nodes named n0, n1, ..."""
    named = {"input": shape("Input", *inputs)}
    named |= {f"n{place}": node for place, node in enumerate(nodes)}
    named["output"] = shape("Output", outputs)
    names = list(named)
    return named, list(pairwise(names))


def write(
    path: Path, nodes: Mapping[str, Any], edges: list[tuple[str, str]], version: str | None = "1.0"
) -> Path:
    """A .nir file; a node that is a (nodes, edges) pair is a nested graph."""
    with h5py.File(path, "w") as file:
        if version is not None:
            file["version"] = version
        _graph(file.create_group("node"), nodes, edges)
    return path


def _graph(group: h5py.Group, nodes: Mapping[str, Any], edges: list[tuple[str, str]]) -> None:
    group["type"] = "NIRGraph"
    group.create_dataset("edges", data=edges or [], dtype=h5py.string_dtype())
    inner = group.create_group("nodes")
    for name, node in nodes.items():
        one = inner.create_group(name)
        if isinstance(node, tuple):
            _graph(one, *node)
        else:
            for field, value in node.items():
                one[field] = value
