"""Reading and writing files: whole or not at all, and every error names file, table and key."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import safetensors
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from toolchain.errors import ConfigError, FileError, did_you_mean

Array = NDArray[Any]
Model = TypeVar("Model", bound=BaseModel)
_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    MemoryError,  # a header that claims more than there is
    zipfile.BadZipFile,
    zlib.error,
)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name in its folder, then rename it: whole or not at all.

    Raises FileError where the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as problem:
        raise FileError(f"{path}: cannot be written ({problem.strerror})") from problem
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as problem:
        raise FileError(f"{path}: cannot be written ({problem.strerror})") from problem
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_bytes(path: Path) -> bytes:
    """The content of a file; raises FileError where it is missing or unreadable."""
    try:
        return path.read_bytes()
    except FileNotFoundError as problem:
        raise FileError(f"{path}: no such file") from problem
    except OSError as problem:
        raise FileError(f"{path}: cannot be read ({problem.strerror})") from problem


def sha256(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def to_json(value: object) -> str:
    """JSON with sorted keys and no NaN: the same value gives the same bytes."""
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write a value as canonical JSON."""
    write_bytes(path, to_json(value).encode())


def read_json(path: Path, *, schema: str | None = None) -> dict[str, Any]:
    """Read a JSON object; `schema` is what its "schema" key must say.

    Raises FileError where the file is missing, is no JSON object, or is of another schema.
    """
    try:
        value = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as problem:
        raise FileError(f"{path}: is not JSON, or was cut short ({problem})") from problem
    if not isinstance(value, dict):
        raise FileError(f"{path}: must hold a JSON object, holds a {type(value).__name__}")
    if schema is not None and value.get("schema") != schema:
        raise FileError(f"{path}: key 'schema' must be '{schema}', is {value.get('schema')!r}")
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises FileError or ConfigError (with the line)."""
    try:
        return tomllib.loads(read_bytes(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path}: is not TOML: {problem}") from problem


def write_arrays(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays as safetensors; the same arrays give the same bytes."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_bytes(path, save_safetensors(whole, dict(metadata) or None))


def read_arrays(path: Path) -> dict[str, Array]:
    """Read every array of a safetensors file; raises FileError where it is truncated."""
    try:
        return load_safetensors(read_bytes(path))
    except (safetensors.SafetensorError, ValueError) as problem:
        raise FileError(
            f"{path}: is not a safetensors file, or was cut short ({problem})"
        ) from problem


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a compressed `.npz`; any name will do, and the same arrays give the same bytes.

    (numpy's own writer takes names as keywords, so one called `file` or `allow_pickle` gets lost.)
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, always
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def read_npz(path: Path) -> dict[str, Array]:
    """Every array of an `.npz`, without pickle; FileError where it is none or was cut short."""
    data = read_bytes(path)
    try:
        with np.lib.npyio.NpzFile(io.BytesIO(data), allow_pickle=False) as file:
            return {name: _array(file[name], name) for name in file.files}
    except _UNREADABLE as problem:
        raise FileError(f"{path}: is not an .npz file, or was cut short ({problem})") from problem


def _array(value: Any, name: str) -> Array:
    if not isinstance(value, np.ndarray):
        raise ValueError(f"its member '{name}' is no array")
    return value


def fit(model: type[Model], values: Mapping[str, Any], file: Path | str) -> Model:
    """Check a table against its schema, and say in one line everything that is wrong with it.

    Raises ConfigError naming file, table and key, with the nearest known key for an unknown one.
    """
    try:
        return model.model_validate(values)
    except ValidationError as problem:
        lines = [_explain(model, error) for error in problem.errors()]
        raise ConfigError(f"{file}: " + "; ".join(lines)) from problem


def _explain(model: type[BaseModel], error: ErrorDetails) -> str:
    *tables, key = [str(part) for part in error["loc"]] or ["(the whole file)"]
    where = f"[{'.'.join(tables)}] " if tables else ""
    match error["type"]:
        case "extra_forbidden":
            known = _fields_at(model, tables)
            return f"{where}unknown key '{key}'; {did_you_mean(key, known)}"
        case "missing":
            return f"{where}key '{key}' is missing"
    reason = error["msg"].removeprefix("Value error, ")
    return f"{where}{key} = {error['input']!r}: {reason[0].lower()}{reason[1:]}"


def _fields_at(model: type[BaseModel], tables: list[str]) -> list[str]:
    """The known keys of the table at a path of table names; a name within a mapping is passed."""
    for table in tables:
        field = model.model_fields.get(table)
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        inner = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        model = inner[0] if inner else model
    return list(model.model_fields)
