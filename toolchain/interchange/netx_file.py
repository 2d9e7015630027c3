"""A lava-dl layer file (.net, HDF5): a chain of layers, each with its neurons' registers.

The layout is that of lava-dl 0.6.0 (`slayer/block/base.py`, `export_hdf5`; `netx/utils.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from toolchain.errors import FileError, InputError
from toolchain.interchange.hdf5 import Array, array_at, group_at, members, opened

T = TypeVar("T")
_MOST_LAYERS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """One layer, its fields as they stand in the file."""

    number: int
    kind: str  # lava-dl's word
    fields: Mapping[str, Array]
    neuron: Mapping[str, Array]

    def __str__(self) -> str:
        return f"layer {self.number} ({self.kind})"

    def field(self, name: str) -> Array:
        """A field that must be there."""
        if name not in self.fields or self.fields[name].dtype.kind not in "if":
            raise FileError(f"{self}: field '{name}' is missing, or no numbers")
        return self.fields[name]

    def register(self, name: str, default: int | None = None) -> int:
        """A whole number of its neurons."""
        if name not in self.neuron:
            if default is not None:
                return default
            raise FileError(f"{self}: its neuron does not say '{name}'")
        values = np.unique(self.neuron[name])
        if values.dtype.kind not in "if" or values.size != 1 or values[0] != int(values[0]):
            raise FileError(f"{self}: '{name}' must be one whole number, is {values}")
        return int(values[0])


def read_layers(path: Path) -> list[Layer]:
    """Read a .net file's layers; FileError where it is damaged, hostile, or no such file."""
    return read_with(path, lambda file: None)[0]


def read_with(path: Path, more: Callable[[h5py.File], T]) -> tuple[list[Layer], T]:
    """A .net file's layers, and what `more` reads beside them."""
    with opened(path) as file:
        try:
            return _layers(file), more(file)
        except InputError as problem:
            raise FileError(f"{path}: {problem}") from problem


def _layers(file: h5py.File) -> list[Layer]:
    group = group_at(file, "layer")
    names = set(members(group))
    if not names or len(names) > _MOST_LAYERS or names != {str(n) for n in range(len(names))}:
        raise FileError(f"layers must be numbered from 0 without a gap, are {sorted(names)[:10]}")
    return [_layer(number, group_at(group, str(number))) for number in range(len(names))]


def _layer(number: int, group: h5py.Group) -> Layer:
    kinds = np.ravel(array_at(group, "type"))
    if len(kinds) != 1 or not isinstance(kinds[0], str):
        raise FileError(f"layer {number}: 'type' must be one word, is {kinds}")
    return Layer(
        number=number,
        kind=kinds[0],
        fields=_data(group),
        neuron=_data(group_at(group, "neuron")) if "neuron" in members(group) else {},
    )


def _data(group: h5py.Group) -> dict[str, Array]:
    return {
        name: array_at(group, name)
        for name in members(group)
        if isinstance(group[name], h5py.Dataset)
    }
