"""Masks: which synapses exist. Pure functions of arrays and an explicit random generator.

A mask is bool, True where a synapse exists; its weight may be 0. Its first axis is the target
(neuron or channel), so that (out, in, height, width) reads as (out, in * height * width).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]


def random_mask(shape: Sequence[int], count: int, rng: Generator) -> BoolArray:
    """A mask with exactly `count` synapses, every choice of them equally likely."""
    size = prod(shape)
    assert 0 <= count <= size, (count, shape)
    mask = np.zeros(size, bool)
    mask[rng.permutation(size)[:count]] = True
    return mask.reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What is known about synapses and places for synapses; all of the mask's shape."""

    weights: FloatArray
    gradient: FloatArray  # of the last batch, dense
    momentum: FloatArray  # exponential mean of the dense gradients


Drop = Callable[[Evidence, BoolArray], FloatArray]  # the lowest scores are dropped
Grow = Callable[[Evidence, Generator], FloatArray]  # the highest scores are grown


def by_magnitude(seen: Evidence, mask: BoolArray) -> FloatArray:
    """Smallest |w|."""
    del mask
    return np.abs(seen.weights)


def by_signed_magnitude(seen: Evidence, mask: BoolArray) -> FloatArray:
    """An equal share of the smallest positive and of the largest negative weights.

    SET, Mocanu et al. 2018, Nat. Commun. 9:2383. The score is the rank by |w| among the weights of
    one sign, divided by their number; 0 counts as positive.
    """
    scores = np.zeros(mask.shape)
    for side in (mask & (seen.weights >= 0), mask & (seen.weights < 0)):
        magnitudes = np.abs(seen.weights[side])
        ranks = np.empty(magnitudes.size)
        ranks[np.argsort(magnitudes, kind="stable")] = np.arange(magnitudes.size)
        scores[side] = (ranks + 0.5) / max(magnitudes.size, 1)
    return scores


def by_gradient(seen: Evidence, mask: BoolArray) -> FloatArray:
    """Smallest |gradient|: what the loss asks least of (one of ESL-SNNs' rules, 2306.03693)."""
    del mask
    return np.abs(seen.gradient)


DROP: dict[str, Drop] = {
    "magnitude": by_magnitude,
    "signed": by_signed_magnitude,
    "gradient": by_gradient,
}

GROW: dict[str, Grow] = {
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

    `drop` is a number for the whole mask, or one for each target. What was just dropped is regrown
    only where nothing else is left. Ties go to the lowest index.
    """
    dropped = _lowest(mask, drop_scores, drop)
    grown = mask & ~dropped
    kept = int(grown.sum())
    assert 0 <= grow <= mask.size - kept, (grow, mask.size, kept)
    absent = mask.size - int(mask.sum())
    places = highest(~mask, grow_scores, min(grow, absent))
    again = highest(dropped, grow_scores, max(grow - absent, 0))
    grown |= places | again
    assert grown.sum() == mask.sum() - np.sum(drop) + grow
    return grown


def highest(among: BoolArray, scores: FloatArray, count: int) -> BoolArray:
    """The `count` entries of highest score among those; ties go to the lowest index."""
    return _lowest(among, -scores, count)


def _lowest(among: BoolArray, scores: FloatArray, count: int | IntArray) -> BoolArray:
    """The `count` entries of lowest score, over all or for each target; ties to the lowest index.

    In linear time: a partition finds the highest score that is still taken.
    """
    if isinstance(count, np.ndarray):
        rows = [_lowest(among[row], scores[row], int(c)) for row, c in enumerate(count)]
        return np.stack(rows)
    where = np.flatnonzero(among)
    assert 0 <= count <= where.size, (count, where.size)
    chosen = np.zeros(among.size, bool)
    if count > 0:
        values = scores.ravel()[where]
        assert not np.isnan(values).any()
        edge = np.partition(values, count - 1)[count - 1]
        below = values < edge
        chosen[where[below]] = True
        tied = np.flatnonzero(values == edge)[: count - int(below.sum())]
        chosen[where[tied]] = True
    return chosen.reshape(among.shape)


def protected(mask: BoolArray, scores: FloatArray) -> FloatArray:
    """Scores that make the best synapse the last to be dropped.

    For layers that are rewired as one: so none of them is ever emptied.
    """
    if not mask.any():
        return scores
    scores = scores.copy()
    scores[highest(mask, scores, 1)] = np.inf
    return scores
