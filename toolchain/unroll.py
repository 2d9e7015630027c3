"""Synapses as compressed rows: a convolution is unrolled entry by entry, never made dense.

Rows are target neurons, columns source neurons, both flattened in C order. A stored entry is a
synapse, even at weight 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Shape = tuple[int, ...]  # (neurons,) or (channels, height, width)
Entries = tuple[IntArray, IntArray, FloatArray]  # targets, sources, weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Spikes of neighbours taken together, on their way and without a neuron of their own."""

    kind: Literal["sum", "average"]
    size: tuple[int, int]  # height, width in source neurons
    stride: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """How a convolution walks over its source; `torch.nn.Conv2d`'s words."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)  # zeros
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


def pooled_shape(shape: Shape, pool: Pool | None) -> Shape:
    """Shape of what synapses see of a source; what is left over at an edge is not pooled."""
    if pool is None:
        return shape
    channels, height, width = shape
    high = (height - pool.size[0]) // pool.stride[0] + 1
    wide = (width - pool.size[1]) // pool.stride[1] + 1
    return channels, high, wide


def convolved_shape(shape: Shape, channels: int, size: tuple[int, int], kernel: Kernel) -> Shape:
    """Shape that a kernel of this size makes of (channels, height, width); may be empty."""
    extents = (
        (extent + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
        for extent, taps, stride, padding, dilation in zip(
            shape[1:], size, kernel.stride, kernel.padding, kernel.dilation, strict=True
        )
    )
    return channels, *extents


def unrolled(
    weight: FloatArray | None,
    mask: BoolArray | None,
    *,
    source: Shape,
    target: Shape,
    kernel: Kernel | None,
    pool: Pool | None,
) -> csr_array:
    """(target neurons, source neurons): what these synapses are, one entry for each that exists.

    Without a weight each pooled source neuron leads to its own place with weight 1.
    """
    shape = pooled_shape(source, pool)
    if weight is None or mask is None:
        places = np.arange(int(np.prod(shape)))
        entries: Entries = (places, places, np.ones(len(places)))
    elif kernel is None:
        targets, sources = np.nonzero(mask)
        entries = (targets, sources, weight[targets, sources])
    else:
        entries = _convolved(weight, mask, shape, target, kernel)
    if pool is not None:
        entries = _through(entries, _pooling(source, shape, pool))
    return _rows(entries, (int(np.prod(target)), int(np.prod(source))))


def _rows(entries: Entries, shape: tuple[int, int]) -> csr_array:
    """Compressed rows, each target's sources ascending and unique."""
    targets, sources, weights = entries
    rows = csr_array(coo_array((weights, (targets, sources)), shape=shape))
    rows.sum_duplicates()  # windows of a pool may overlap; keeps entries of weight 0
    rows.sort_indices()
    return rows


def _convolved(
    weight: FloatArray, mask: BoolArray, source: Shape, target: Shape, kernel: Kernel
) -> Entries:
    """Every tap of every kernel at every position where it does not fall on the padding."""
    found = [
        (targets.ravel(), sources.ravel(), np.repeat(values, targets.shape[1]))
        for targets, sources, values in _taps(weight, mask, source, target, kernel)
    ]
    joined = (np.concatenate(part) for part in zip(*found, strict=True))
    targets, sources, values = joined
    return targets, sources, values


def _taps(
    weight: FloatArray, mask: BoolArray, source: Shape, target: Shape, kernel: Kernel
) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """For each place in the kernel: (pairs, positions) of targets and of sources; (pairs,) weights.

    A pair is an (out, in) channel pair whose kernel has a synapse at this place.
    """
    outs, per_group = weight.shape[:2]
    for row, column in product(*(range(extent) for extent in weight.shape[2:])):
        out, within = np.nonzero(mask[:, :, row, column])
        into = within + out // (outs // kernel.groups) * per_group
        rows = _reached(row, 0, source[1], target[1], kernel)
        columns = _reached(column, 1, source[2], target[2], kernel)
        ends = _positions(out, rows[0], columns[0], target)
        starts = _positions(into, rows[1], columns[1], source)
        yield ends, starts, weight[out, within, row, column]


def _reached(
    tap: int, axis: int, source: int, target: int, kernel: Kernel
) -> tuple[IntArray, IntArray]:
    """(target, source) positions along an axis that this tap connects."""
    ends = np.arange(target)
    starts = ends * kernel.stride[axis] - kernel.padding[axis] + tap * kernel.dilation[axis]
    inside = (starts >= 0) & (starts < source)
    return ends[inside], starts[inside]


def _positions(channels: IntArray, rows: IntArray, columns: IntArray, shape: Shape) -> IntArray:
    """(channels, positions) flat indices."""
    places = (rows[:, None] * shape[2] + columns[None, :]).ravel()
    return channels[:, None] * (shape[1] * shape[2]) + places[None, :]


def _pooling(source: Shape, after: Shape, pool: Pool) -> csr_array:
    """(pooled, source) rows: 1 for each neuron in a window, or its share of the mean."""
    weight = np.ones((source[0], 1, *pool.size))
    if pool.kind == "average":
        weight /= pool.size[0] * pool.size[1]
    kernel = Kernel(stride=pool.stride, groups=source[0])
    entries = _convolved(weight, np.ones_like(weight, bool), source, after, kernel)
    return _rows(entries, (int(np.prod(after)), int(np.prod(source))))


def _through(entries: Entries, pooling: csr_array) -> Entries:
    """Synapses from pooled neurons as synapses from the neurons in their windows."""
    targets, places, weights = entries
    counts = np.diff(pooling.indptr)[places]
    first = np.repeat(pooling.indptr[places], counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    taken = first + within
    sources = pooling.indices[taken].astype(np.int64)
    return np.repeat(targets, counts), sources, np.repeat(weights, counts) * pooling.data[taken]
