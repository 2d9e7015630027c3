"""What a value between two activations is: weighted sums of activations, as compressed rows.

    value = sum over sources of rows[source] @ activation[source] + offset

Every linear operator turns such a value into another, so a chain of them (a convolution, a norm, a
pool, a transposition) is one set of synapses in the end, and none of it is ever dense.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, vstack

from toolchain.errors import UnsupportedError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Shape = tuple[int, ...]
LARGEST_VALUE = 2**22  # numbers of one sample's value, and of a constant made on the way
LARGEST_ROWS = 2**25  # synapses between two populations


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Affine:
    """One sample's value, flattened in C order, as sums of its sources' activations."""

    shape: Shape  # of one sample: no batch
    terms: Mapping[str, csr_array]  # source -> (size, source size)
    offset: FloatArray  # (size,)
    label: str = field(default="")  # what the file calls the last operator with weights

    @property
    def size(self) -> int:
        """Numbers of one sample."""
        return len(self.offset)


def identity(source: str, shape: Shape) -> Affine:
    """The source itself."""
    size = prod(shape)
    rows = csr_array(diags_array(np.ones(size)))
    return Affine(shape=shape, terms={source: rows}, offset=np.zeros(size))


def through(matrix: csr_array, value: Affine, shape: Shape, label: str = "") -> Affine:
    """matrix @ value, of another shape."""
    terms = {source: _product(matrix, rows) for source, rows in value.terms.items()}
    offset = matrix @ value.offset
    return Affine(shape=shape, terms=terms, offset=offset, label=label or value.label)


def _product(matrix: csr_array, rows: csr_array) -> csr_array:
    """matrix @ rows, refused before it is made where it could become too large."""
    check_rows(int(np.diff(rows.indptr)[matrix.indices].sum()))
    made = csr_array(matrix @ rows)
    made.sum_duplicates()
    made.sort_indices()
    return made


def scaled(value: Affine, factor: FloatArray) -> Affine:
    """Each number times its factor (size,)."""
    return through(csr_array(diags_array(factor)), value, value.shape)


def shifted(value: Affine, offset: FloatArray) -> Affine:
    """Each number plus its own (size,)."""
    shape, terms = value.shape, value.terms
    return Affine(shape=shape, terms=terms, offset=value.offset + offset, label=value.label)


def added(one: Affine, other: Affine) -> Affine:
    """Two values number by number, spread over each other by ONNX's rules of broadcasting."""
    if one.shape != other.shape:
        return added(*_spread(one, other))
    terms = dict(one.terms)
    for source, rows in other.terms.items():
        terms[source] = csr_array(terms[source] + rows) if source in terms else rows
        terms[source].sort_indices()
    offset = one.offset + other.offset
    return Affine(shape=one.shape, terms=terms, offset=offset, label=one.label or other.label)


def _spread(one: Affine, other: Affine) -> tuple[Affine, Affine]:
    try:
        shape = np.broadcast_shapes(one.shape, other.shape)
    except ValueError as problem:
        raise UnsupportedError(f"adds shapes {one.shape} and {other.shape}") from problem
    check_size(shape)
    if len(one.shape) != len(other.shape):
        raise UnsupportedError(f"adds shapes {one.shape} and {other.shape}, across samples")
    places = (np.arange(value.size).reshape(value.shape) for value in (one, other))
    first, second = (np.broadcast_to(place, shape) for place in places)
    return picked(one, first), picked(other, second)


def picked(value: Affine, index: IntArray) -> Affine:
    """The numbers at these flat places, in the index's shape; 0 where a place is -1."""
    check_size(index.shape)
    flat = index.ravel()
    there = np.flatnonzero(flat >= 0)
    ones = np.ones(len(there))
    matrix = csr_array((ones, (there, flat[there])), shape=(len(flat), value.size))
    return through(matrix, value, index.shape)


def joined(values: Sequence[Affine], axis: int) -> Affine:
    """Values one after the other along an axis of a sample."""
    ends = np.cumsum([0, *(value.size for value in values)])
    check_size((int(ends[-1]),))
    places = [
        np.arange(start, start + value.size).reshape(value.shape)
        for start, value in zip(ends[:-1].tolist(), values, strict=True)
    ]
    sources = list(dict.fromkeys(source for value in values for source in value.terms))
    terms = {source: _stacked(values, source) for source in sources}
    label = next((value.label for value in values if value.label), "")
    offset = np.concatenate([value.offset for value in values])
    stacked = Affine(shape=(int(ends[-1]),), terms=terms, offset=offset, label=label)
    return picked(stacked, np.concatenate(places, axis=axis))


def _stacked(values: Sequence[Affine], source: str) -> csr_array:
    width = next(value.terms[source].shape[1] for value in values if source in value.terms)
    parts = [
        value.terms.get(source, csr_array((value.size, width), dtype=np.float64))
        for value in values
    ]
    return csr_array(vstack(parts, format="csr"))


def check_size(shape: Sequence[int]) -> None:
    """Refuse a value before it is made."""
    if prod(shape) > LARGEST_VALUE or any(extent < 1 for extent in shape):
        raise UnsupportedError(
            f"makes a value of shape {tuple(shape)}; 1 to {LARGEST_VALUE:,} numbers are read"
        )


def check_rows(synapses: int) -> None:
    """Refuse synapses before they are made."""
    if synapses > LARGEST_ROWS:
        raise UnsupportedError(
            f"unrolls to as many as {synapses:,} synapses, {LARGEST_ROWS:,} are read, over by"
            f" {synapses - LARGEST_ROWS:,}; make the layer smaller, or put a Relu before it"
        )
