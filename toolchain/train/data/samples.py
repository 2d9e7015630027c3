"""Labelled samples, and how they are shared out: every class in proportion, always the same way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.errors import ConfigError
from toolchain.samples import Events, IntArray, Values

_SPLIT_SEED = 20_250_213  # splits are part of the data: the same for every training seed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Raw integers or events, and their classes."""

    # (samples, channels, height, width) uint8 of images, (samples, steps, channels) integers of
    # signals, or events
    values: Values
    labels: IntArray  # (samples,), 0..classes - 1
    indices: IntArray  # (samples,) position in the whole data set: the seed of Bernoulli noise

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: IntArray) -> Samples:
        """The samples at these positions, in this order."""
        values = self.values
        return Samples(
            values=values.take(positions) if isinstance(values, Events) else values[positions],
            labels=self.labels[positions],
            indices=self.indices[positions],
        )


def samples_of(values: Values, labels: IntArray, *, first: int = 0) -> Samples:
    """Samples numbered first, first + 1, ..."""
    indices = np.arange(first, first + len(labels), dtype=np.int64)
    return Samples(values=values, labels=labels.astype(np.int64), indices=indices)


def limited(samples: Samples, count: int | None, key: str) -> Samples:
    """So many samples with every class in proportion, or all of them for None."""
    if count is None or count == len(samples):
        return samples
    return samples.take(limited_positions(samples.labels, count, key))


def limited_positions(labels: IntArray, count: int, key: str) -> IntArray:
    """Ascending positions of `count` samples with every class in proportion."""
    if count > len(labels):
        raise ConfigError(f"[data] {key} = {count:,}: there are {len(labels):,} samples; lower it")
    return split_positions(labels, count)[1]


def split(samples: Samples, count: int) -> tuple[Samples, Samples]:
    """(the rest, `count` samples), with every class in proportion; always the same split."""
    rest, chosen = split_positions(samples.labels, count)
    return samples.take(rest), samples.take(chosen)


def split_positions(labels: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """(positions of the rest, of `count` samples), both ascending, every class in proportion."""
    rng = np.random.default_rng(_SPLIT_SEED)
    order = rng.permutation(len(labels))
    labels = labels[order]
    sizes = np.bincount(labels)
    taken = _proportional(sizes, count)
    rank = np.empty(len(labels), np.int64)  # how many of its class come before it
    for label, size in enumerate(sizes):
        rank[labels == label] = np.arange(size)
    chosen = rank < taken[labels]
    return np.sort(order[~chosen]), np.sort(order[chosen])


def _proportional(sizes: IntArray, count: int) -> IntArray:
    """`count` shared out over classes of these sizes, by largest remainder."""
    share = sizes * count  # in units of 1 / sum(sizes)
    taken = share // sizes.sum()
    order = np.argsort(-(share % sizes.sum()), kind="stable")
    taken[order[: count - int(taken.sum())]] += 1
    return taken
