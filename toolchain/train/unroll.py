"""Synapses as compressed rows: a convolution is unrolled entry by entry, never made dense.

Rows are target neurons, columns source neurons, both flattened in C order. A stored entry is a
synapse, even at weight 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from toolchain.train.geometry import pooled_shape
from toolchain.train.model import Kernel, Pool, Shape

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Entries = tuple[IntArray, IntArray, FloatArray]  # targets, sources, weights


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
