"""Descent by swaps: cores change places, or move to free ones, while the spike-hops fall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

IntArray = NDArray[np.int64]


def descend(
    messages: csr_array, hops: IntArray, at: IntArray, region: IntArray, sweeps: int
) -> IntArray:
    """Better sites for cores: `at` after the best swap of each core in turn, again and again.

    `messages` (cores, cores): symmetric, without a diagonal. `hops` (sites, sites): symmetric. `at`
    (cores,): the site of each. `region` (sites,): no core leaves the region of its site. Ends where
    no swap and no move within one saves a hop, or after so many sweeps. Never costs more than `at`
    did; integers throughout, so the same everywhere.
    """
    at = at.copy()
    holder = np.full(len(hops), -1, np.int64)  # the core on each site
    holder[at] = np.arange(len(at))
    cost = messages @ hops[at]  # (cores, sites) hops of a core's messages if it stood there
    busiest = np.argsort(-np.asarray(messages.sum(axis=1)).reshape(-1), kind="stable")
    for _ in range(sweeps):
        better = [_improve(int(core), messages, hops, at, region, holder, cost) for core in busiest]
        if not any(better):
            break
    return at


def _improve(
    core: int,
    messages: csr_array,
    hops: IntArray,
    at: IntArray,
    region: IntArray,
    holder: IntArray,
    cost: IntArray,
) -> bool:
    """Take the best swap of one core with any site of its region, if it saves a hop."""
    here = at[core]
    change = cost[core] - cost[core, here]
    taken = np.flatnonzero(holder >= 0)
    others = holder[taken]
    change[taken] += cost[others, here] - cost[others, taken]
    row = slice(messages.indptr[core], messages.indptr[core + 1])
    partners, amounts = messages.indices[row], messages.data[row]
    change[at[partners]] += (
        2 * amounts * hops[here, at[partners]]
    )  # between the two nothing changes
    change[region != region[here]] = 0
    there = int(np.argmin(change))
    if change[there] >= 0:
        return False
    other = holder[there]
    _move(core, there, messages, hops, at, cost)
    if other >= 0:
        _move(int(other), int(here), messages, hops, at, cost)
    holder[here], holder[there] = other, core
    return True


def _move(
    core: int, to: int, messages: csr_array, hops: IntArray, at: IntArray, cost: IntArray
) -> None:
    """Put a core on a site, and what that costs those that it talks with."""
    row = slice(messages.indptr[core], messages.indptr[core + 1])
    cost[messages.indices[row]] += messages.data[row, None] * (hops[to] - hops[at[core]])
    at[core] = to
