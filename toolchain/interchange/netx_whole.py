"""The network that a layer file was made of, in the file beside its layers.

A layer file has no place for names, encodings, synapses of weight 0, or which exponent a weight
has. They stand in the group "snn-deploy", which lava-dl's reader passes over. They count only where
the layers are those that this network gives: whoever changes a layer has changed the network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from toolchain import codec
from toolchain.errors import FileError, InputError
from toolchain.files import to_json
from toolchain.interchange.hdf5 import Array, array_at, group_at, members
from toolchain.interchange.netx_file import Layer
from toolchain.network import QuantizedNetwork

GROUP = "snn-deploy"
_VERSION = 1
_KINDS = ("int8", "int16", "int32", "int64", "float32", "float64", "bool")
_PACKED = 64  # numbers from which on it is worth packing them

# A layer to be written: its kind, its fields and its neuron's registers, as netx_file names them.
Made = tuple[str, Mapping[str, Any], Mapping[str, Any]]


def write_whole(out: h5py.File, network: QuantizedNetwork) -> None:
    """Write the network itself beside its layers."""
    described, arrays = codec.pack(network)
    group = out.create_group(GROUP)
    kinds = {name: str(array.dtype) for name, array in arrays.items()}
    text = to_json({"version": _VERSION, "kinds": kinds, "network": described})
    group.create_dataset("description", data=text, dtype=h5py.string_dtype())
    for name, array in arrays.items():
        packing = "gzip" if array.size >= _PACKED else None
        group.create_dataset(name, data=array, compression=packing)


def read_whole(file: h5py.File) -> QuantizedNetwork | None:
    """The network beside the layers, where there is one; FileError where it is damaged."""
    if GROUP not in members(file):
        return None
    group = group_at(file, GROUP)
    try:
        table = json.loads(str(array_at(group, "description").item()))
        if table["version"] != _VERSION:
            raise FileError(f"version {table['version']!r} is not known; this one reads {_VERSION}")
        arrays = {name: _array(group, name, kind) for name, kind in table["kinds"].items()}
        return codec.unpack(QuantizedNetwork, table["network"], arrays)
    except (InputError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise FileError(f"group '{GROUP}' is damaged ({problem})") from problem


def _array(group: h5py.Group, name: str, kind: str) -> Array:
    if kind not in _KINDS:
        raise FileError(f"array '{name}' is of kind '{kind}'")
    held = array_at(group, name)
    made = held.astype(kind)
    if not np.array_equal(made, held):
        raise FileError(f"array '{name}' holds numbers that are no {kind}")
    return made


def gives(made: Sequence[Made], layers: Sequence[Layer]) -> bool:
    """Whether these are the layers of the file, to the last number."""
    return len(made) == len(layers) and all(
        kind == layer.kind and _same(fields, layer.fields) and _same(neuron, layer.neuron)
        for (kind, fields, neuron), layer in zip(made, layers, strict=True)
    )


def _same(made: Mapping[str, Any], held: Mapping[str, Array]) -> bool:
    held = {name: value for name, value in held.items() if name != "type"}
    return set(made) == set(held) and all(
        np.array_equal(np.asarray(value), held[name]) for name, value in made.items()
    )
