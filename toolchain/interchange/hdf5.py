"""HDF5 files of strangers, read within bounds: no link leaves the file, no filter is loaded.

Every read goes through here. A file's own claims are checked before memory is taken for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from toolchain.errors import FileError

Array = NDArray[Any]
MOST_ELEMENTS = 2**26  # of one array: 512 MiB as float64
MOST_MEMBERS = 10_000  # of one group
_FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, fletcher32, lzf: what h5py brings along
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError)


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file for reading; FileError where it is none, is damaged, or turns out to be."""
    if not path.is_file():
        raise FileError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except _DAMAGE as problem:
        raise FileError(f"{path}: is not HDF5, or was cut short ({problem})") from problem


def members(group: h5py.Group) -> list[str]:
    """Names in a group, sorted as HDF5 keeps them; FileError where one leads out of the file."""
    if len(group) > MOST_MEMBERS:
        raise FileError(f"'{group.name}' has {len(group):,} members; read are {MOST_MEMBERS:,}")
    names = list(group)
    for name in names:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise FileError(f"'{group.name}/{name}' is a link, perhaps out of the file; refused")
    return names


def group_at(group: h5py.Group, name: str) -> h5py.Group:
    """A group inside a group; FileError where it is missing or no group."""
    found = group[name] if name in members(group) else None
    if not isinstance(found, h5py.Group):
        raise FileError(f"'{group.name}' has no group '{name}'")
    return found


def array_at(group: h5py.Group, name: str) -> Array:
    """Numbers (int64 or float64, finite) or texts (object) of a data set of any shape."""
    dataset = group[name] if name in members(group) else None
    who = f"'{group.name}/{name}'"
    if not isinstance(dataset, h5py.Dataset):
        raise FileError(f"{who} is missing, or no data set")
    _refuse_foreign(dataset, who)
    if dataset.shape is None or dataset.size > MOST_ELEMENTS:
        raise FileError(
            f"{who} claims {dataset.shape} elements, read are {MOST_ELEMENTS:,} at most"
        )
    return _plain(dataset, who)


def _refuse_foreign(dataset: h5py.Dataset, who: str) -> None:
    """Data that lie in other files, and filters that HDF5 would load as plug-ins."""
    if dataset.external or dataset.is_virtual:
        raise FileError(f"{who} keeps its data in another file; refused")
    properties = dataset.id.get_create_plist()
    filters = {properties.get_filter(place)[0] for place in range(properties.get_nfilters())}
    if filters - _FILTERS:
        raise FileError(f"{who} is packed by filter {min(filters - _FILTERS)}, which is not read")


def _plain(dataset: h5py.Dataset, who: str) -> Array:
    kind = dataset.dtype.kind
    if kind == "S" or h5py.check_string_dtype(dataset.dtype) is not None:
        texts = np.asarray(dataset[()], object)
        return (
            np.frompyfunc(_text, 1, 1)(texts)
            if texts.ndim
            else np.array(_text(texts.item()), object)
        )
    if kind not in "iufb":
        raise FileError(f"{who} must hold numbers or texts, is {dataset.dtype}")
    values: Array = np.asarray(dataset[()]).astype(np.float64 if kind == "f" else np.int64)
    if not np.all(np.isfinite(values)):
        raise FileError(f"{who} holds a number that is not finite")
    return values


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
