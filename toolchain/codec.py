"""Frozen dataclasses to a JSON description and named arrays, and back.

One rule for every type: scalars go into the description, arrays and compressed rows into the
arrays under the path of their field ("projections.0.weights.indptr"), nested types recurse. What is
None is left out, so a field that may be None can be added without a new version of the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.errors import FileError, InputError, did_you_mean
from toolchain.files import read_arrays, read_json, sha256, to_json, write_arrays, write_json

Array = NDArray[Any]
T = TypeVar("T")
_CSR_PARTS = ("indptr", "indices", "data", "shape")


def pack(value: Any, path: str = "") -> tuple[Any, dict[str, Array]]:
    """(description, arrays) of a frozen dataclass."""
    if isinstance(value, np.ndarray):
        return None, {path: value}
    if isinstance(value, csr_array):
        rows = {part: np.asarray(getattr(value, part), np.int64) for part in _CSR_PARTS}
        rows["data"] = value.data
        return None, {f"{path}.{part}": array for part, array in rows.items()}
    if is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        held = {name: part for name, part in parts.items() if part is not None}
        return _pack_all(held.keys(), held.values(), path)
    if isinstance(value, tuple):
        names = [str(position) for position in range(len(value))]
        described, arrays = _pack_all(names, value, path)
        return list(described.values()), arrays
    return value, {}


def _pack_all(names: Any, values: Any, path: str) -> tuple[dict[str, Any], dict[str, Array]]:
    described: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for name, value in zip(names, values, strict=True):
        described[name], inner = pack(value, f"{path}.{name}".lstrip("."))
        arrays |= inner
    return described, arrays


def unpack(kind: type[T], described: Any, arrays: Mapping[str, Array], path: str = "") -> T:
    """The inverse of `pack`; raises FileError naming the path of what is missing or wrong."""
    if get_origin(kind) is np.ndarray or kind is csr_array:
        _expect(described, NoneType, path)
    if get_origin(kind) is np.ndarray:
        return _take(arrays, path)  # type: ignore[return-value]
    if kind is csr_array:
        return _unpack_rows(arrays, path)
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        items = _expect(described, list, path)
        return tuple(  # type: ignore[return-value]
            unpack(inner, item, arrays, f"{path}.{position}".lstrip("."))
            for position, item in enumerate(items)
        )
    if is_dataclass(kind):
        return _unpack_dataclass(kind, described, arrays, path)
    if kind is float and isinstance(described, int) and not isinstance(described, bool):
        return float(described)  # type: ignore[return-value]
    return _expect(described, kind, path)


def _unpack_dataclass(kind: type[T], described: Any, arrays: Mapping[str, Array], path: str) -> T:
    hints = {name: _unless_none(hint) for name, hint in get_type_hints(kind).items()}
    table = _expect(described, dict, path)
    for key in table:
        if key not in hints:
            raise FileError(
                f"{path or 'top level'}: unknown key '{key}'; {did_you_mean(key, hints)}"
            )
    for name, (_, optional) in hints.items():
        if name not in table and not optional:
            raise FileError(f"{path or 'top level'}: key '{name}' is missing")
    parts = {
        name: unpack(hint, table[name], arrays, f"{path}.{name}".lstrip("."))
        for name, (hint, _) in hints.items()
        if name in table
    }
    return kind(**parts)


def _unless_none(hint: Any) -> tuple[Any, bool]:
    """(the type of what is there, whether it may be None) of a field that is X or X | None."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    optional = NoneType in get_args(hint)
    return (kinds[0] if optional else hint), optional


def _unpack_rows(arrays: Mapping[str, Array], path: str) -> csr_array:
    indptr, indices, data, shape = (_take(arrays, f"{path}.{part}") for part in _CSR_PARTS)
    try:
        rows = csr_array((data, indices, indptr), shape=tuple(int(n) for n in shape))
        rows.check_format(full_check=True)
    except (ValueError, TypeError) as problem:
        raise FileError(f"{path}: is no matrix of compressed rows ({problem})") from problem
    return rows


def _take(arrays: Mapping[str, Array], name: str) -> Array:
    if name not in arrays:
        raise FileError(f"array '{name}' is missing")
    array = arrays[name]
    if array.dtype.kind not in "bif":
        raise FileError(
            f"array '{name}' must hold truth values, integers or reals, is {array.dtype}"
        )
    return array


def _expect(value: Any, kind: type[T], path: str) -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise FileError(f"{path}: must be a {kind.__name__}, is {value!r}")
    return value


def fingerprint(value: Any) -> str:
    """SHA-256 over description and arrays: equal content, equal fingerprint."""
    described, arrays = pack(value)
    shapes = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    content = b"".join(np.ascontiguousarray(arrays[name]).tobytes() for name in sorted(arrays))
    return sha256(to_json([type(value).__name__, described, shapes]).encode() + content)


def write(value: Any, folder: Path, name: str, *, version: int = 1) -> list[Path]:
    """Write `folder/name.json` and `folder/name.safetensors`; returns both paths."""
    described, arrays = pack(value)
    paths = [folder / f"{name}.safetensors", folder / f"{name}.json"]
    write_arrays(paths[0], arrays, {})
    head = {"schema": f"snn-deploy.{name}", "schema_version": version}
    write_json(paths[1], head | {"content": described})
    return paths


def read(kind: type[T], folder: Path, name: str, *, version: int = 1) -> T:
    """Read what `write` wrote; raises FileError naming file and key."""
    file = folder / f"{name}.json"
    table = read_json(file, schema=f"snn-deploy.{name}")
    if table.get("schema_version") != version:
        raise FileError(
            f"{file}: schema_version {table.get('schema_version')!r} cannot be read; this version"
            f" of snn-deploy reads {version}"
        )
    arrays = read_arrays(folder / f"{name}.safetensors")
    try:
        return unpack(kind, table.get("content"), arrays)
    except InputError as problem:
        raise FileError(f"{file}: {problem}") from problem
