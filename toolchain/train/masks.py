"""Masks: which synapses exist. Pure functions of arrays and an explicit random generator.

A mask is bool, (target, source), True where a synapse exists; its weight may be 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def erdos_renyi_counts(shapes: Sequence[tuple[int, int]], density: float) -> list[int]:
    """Synapses of each layer, round(density * all) in sum, Erdős–Rényi distributed.

    A layer's share of its possible synapses goes as (n_out + n_in) / (n_out n_in) (Mocanu et al.
    2018, Nat. Commun. 9:2383); what exceeds a layer's size goes to the others in the same ratio.
    """
    sizes = [rows * columns for rows, columns in shapes]
    total = round(density * sum(sizes))
    wanted = _with_caps([float(sum(shape)) for shape in shapes], sizes, total)
    counts = [int(value) for value in wanted]
    remainders = np.array([value - count for value, count in zip(wanted, counts, strict=True)])
    for layer in np.argsort(-remainders, kind="stable")[: total - sum(counts)]:
        counts[layer] += 1
    assert sum(counts) == total
    assert all(count <= size for count, size in zip(counts, sizes, strict=True))
    return counts


def _with_caps(ratios: Sequence[float], sizes: Sequence[int], total: int) -> list[float]:
    """`total` shared out in these ratios, none above its size."""
    full: set[int] = set()
    while True:
        free = [layer for layer in range(len(sizes)) if layer not in full]
        left = total - sum(sizes[layer] for layer in full)
        unit = left / sum(ratios[layer] for layer in free) if free else 0.0
        over = {layer for layer in free if unit * ratios[layer] >= sizes[layer]}
        if not over:
            break
        full |= over
    return [
        float(sizes[layer]) if layer in full else unit * ratios[layer]
        for layer in range(len(sizes))
    ]


def random_mask(shape: tuple[int, int], count: int, rng: Generator) -> BoolArray:
    """A mask with exactly `count` synapses, every choice of them equally likely."""
    size = shape[0] * shape[1]
    assert 0 <= count <= size, (count, shape)
    mask = np.zeros(size, bool)
    mask[rng.permutation(size)[:count]] = True
    return mask.reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What a layer knows about its synapses and places for synapses; all (target, source)."""

    weights: FloatArray
    gradient: FloatArray  # of the last batch, dense
    momentum: FloatArray  # exponential mean of the dense gradients


Score = Callable[[Evidence, Generator], FloatArray]

# The lowest scores are dropped.
DROP: dict[str, Score] = {"magnitude": lambda seen, rng: np.abs(seen.weights)}

# The highest scores are grown.
GROW: dict[str, Score] = {
    "momentum": lambda seen, rng: np.abs(seen.momentum),  # SNFS, Dettmers & Zettlemoyer 2019
    "random": lambda seen, rng: rng.random(seen.weights.shape),  # SET, Mocanu et al. 2018
    "gradient": lambda seen, rng: np.abs(seen.gradient),  # RigL, Evci et al. 2020
}


def rewire(
    mask: BoolArray,
    drop_scores: FloatArray,
    grow_scores: FloatArray,
    *,
    drop: int | IntArray,
    grow: int,
) -> BoolArray:
    """A new mask without the `drop` lowest-scored synapses and with `grow` others.

    `drop` is a number for the whole layer, or one for each target neuron. What was just dropped
    is regrown only where nothing else is left. Ties go to the lowest index.
    """
    dropped = _lowest(mask, drop_scores, drop)
    kept = mask & ~dropped
    order = np.lexsort((-grow_scores.ravel(), dropped.ravel(), kept.ravel()))
    assert grow <= mask.size - kept.sum(), (grow, mask.size, kept.sum())
    grown = kept.copy().ravel()
    grown[order[:grow]] = True
    assert grown.sum() == mask.sum() - np.sum(drop) + grow
    return grown.reshape(mask.shape)


def _lowest(mask: BoolArray, scores: FloatArray, count: int | IntArray) -> BoolArray:
    """The `count` existing synapses of lowest score, over the layer or for each target neuron."""
    if isinstance(count, np.ndarray):
        rows = [_lowest(mask[None, row], scores[None, row], int(c)) for row, c in enumerate(count)]
        return np.concatenate(rows)
    assert 0 <= count <= mask.sum(), (count, mask.sum())
    order = np.argsort(np.where(mask, scores, np.inf).ravel(), kind="stable")
    chosen = np.zeros(mask.size, bool)
    chosen[order[:count]] = True
    return chosen.reshape(mask.shape)
