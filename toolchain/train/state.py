"""State dicts of torch, read as numbers and nothing else, and put into the module they belong to.

A .pth file is a pickle: it is read with weights_only, so that nothing in it is run, and only where
its sizes are those of the bytes that are there.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toolchain.errors import FileError, InputError
from toolchain.files import read_arrays

State = dict[str, Tensor]
_MOST_RECORDS = 100_000
_LARGEST_PICKLE = 2**26  # bytes of names and shapes, without the numbers
_UNNEEDED = "num_batches_tracked"  # a norm's count of training steps
_MOST_LISTED = 20


def read_state(file: Path) -> tuple[State, list[str]]:
    """(name -> numbers, what was chosen) of a .safetensors file or one that torch.save wrote.

    Raises FileError where it is damaged, or holds anything but tensors and what lies around them.
    """
    if file.suffix == ".safetensors":
        arrays = read_arrays(file)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}, []
    _check_zip(file)
    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as problem:  # whatever a file makes torch raise is the file's fault
        reason = str(problem).strip().splitlines() or [type(problem).__name__]
        raise FileError(
            f"{file}: is damaged, or holds more than tensors; nothing in it was run"
            f" ({reason[0][:200]}). Save the numbers alone: torch.save(module.state_dict(), FILE)"
        ) from problem
    return _tensors(held, file)


def _check_zip(file: Path) -> None:
    """Refuse what is no file of torch.save, and records that are larger than the file."""
    if not file.is_file():
        raise FileError(f"{file}: no such file")
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        raise FileError(
            f"{file}: is neither .safetensors nor what torch.save writes since torch 1.6"
            f" ({problem})"
        ) from problem
    size = file.stat().st_size
    if len(records) > _MOST_RECORDS or sum(record.file_size for record in records) > size:
        raise FileError(f"{file}: claims more than its {size:,} bytes hold; refused")
    if any(one.file_size > _LARGEST_PICKLE for one in records if one.filename.endswith(".pkl")):
        raise FileError(f"{file}: its list of names exceeds {_LARGEST_PICKLE:,} bytes; refused")


def _tensors(held: Any, file: Path) -> tuple[State, list[str]]:
    """The state dict itself, or the only one that a checkpoint holds."""
    if _is_state(held):
        return dict(held), []
    inner = [key for key, value in held.items() if _is_state(value)] if _is_table(held) else []
    if len(inner) != 1:
        there = ", ".join(f"'{key}'" for key in held) if _is_table(held) else type(held).__name__
        raise FileError(
            f"{file}: holds no state dict, and not just one below it, but {there}; save"
            " module.state_dict()"
        )
    return dict(held[inner[0]]), [f"the state dict is '{inner[0]}' of {file.name}"]


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_state(value: Any) -> bool:
    return (
        bool(value) and _is_table(value) and all(isinstance(one, Tensor) for one in value.values())
    )


def fill(module: nn.Module, state: State, file: Path, name: str) -> list[str]:
    """Put a state dict into a module; returns what was chosen.

    Raises InputError with every key that is missing, unexpected, of another shape, or no numbers.
    """
    wanted = module.state_dict()
    state, notes = _without_prefix(state, wanted)
    wrong = list(_differences(state, wanted))
    if wrong:
        lines = "\n".join(f"  - {line}" for line in wrong)
        raise InputError(f"{file} does not fit {name}:\n{lines}")
    rounded = [key for key, value in state.items() if value.dtype == torch.float64]
    if rounded:
        notes.append(f"float64 becomes float32: {_listed(rounded)}")
    module.load_state_dict(state, strict=False)
    return notes


def _without_prefix(state: State, wanted: Mapping[str, Tensor]) -> tuple[State, list[str]]:
    """The state without the 'module.' that torch's wrappers for many devices put before all."""
    prefix = "module."
    if not all(key.startswith(prefix) for key in state) or any(key in wanted for key in state):
        return state, []
    return (
        {key.removeprefix(prefix): value for key, value in state.items()},
        [f"'{prefix}' before every key is left out"],
    )


def _differences(state: State, wanted: Mapping[str, Tensor]) -> Iterator[str]:
    missing = [key for key in wanted if key not in state and not key.endswith(_UNNEEDED)]
    unexpected = [key for key in state if key not in wanted]
    if missing:
        yield f"missing from the file: {_listed(missing)}"
    if unexpected:
        yield f"not in the module: {_listed(unexpected)}"
    for key in [key for key in wanted if key in state]:
        value, shape = state[key], tuple(wanted[key].shape)
        if tuple(value.shape) != shape:
            yield f"'{key}' is {tuple(value.shape)} in the file, {shape} in the module"
        elif value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            yield f"'{key}' is no plain array of numbers"
        elif value.is_complex() or not bool(torch.isfinite(value).all()):
            yield f"'{key}' holds a number that is complex or not finite"


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _MOST_LISTED} more" if len(keys) > _MOST_LISTED else ""
    return ", ".join(f"'{key}'" for key in keys[:_MOST_LISTED]) + more
