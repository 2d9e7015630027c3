"""Distances of two spike trains, for those to whom a late spike is less wrong than a lost one.

A train is one neuron in one sample; a spike of row t stands at time t, and times are in timesteps.
"""

from __future__ import annotations

from math import exp

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from toolchain.errors import InputError

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def van_rossum(one: BoolArray, other: BoolArray, tau: float) -> FloatArray:
    """(samples, neurons) distances of trains (samples, timesteps, neurons); `tau` > 0 timesteps.

    M. C. W. van Rossum, Neural Comput. 13 (2001) 751-763: D^2 = 1/tau times the integral of
    (f - g)^2, where each spike adds exp(-(t - t_spike) / tau) from its time on. So D^2 is 1/2 sum
    over pairs of spikes of +-exp(-|t - t'| / tau): one spike against none has D^2 = 1/2.
    """
    _check(one, other)
    if not tau > 0:
        raise InputError(f"van Rossum's tau must be above 0 timesteps, is {tau:g}")
    signs = one.astype(np.float64) - other
    trace = lfilter([1.0], [1.0, -exp(-1 / tau)], signs, axis=1)
    squared = (signs * (trace - signs / 2)).sum(axis=1)  # each pair of spikes once, itself half
    found: FloatArray = np.sqrt(np.maximum(squared, 0.0))
    return found


def victor_purpura(one: BoolArray, other: BoolArray, cost: float) -> FloatArray:
    """(samples, neurons) distances of trains (samples, timesteps, neurons).

    J. D. Victor and K. P. Purpura, J. Neurophysiol. 76 (1996) 1310-1326, D^spike: the cheapest way
    from one train to the other, where adding or deleting a spike costs 1 and moving it by one
    timestep `cost` >= 0. At cost 0 the difference of the counts, above 2 the spikes not shared.
    """
    _check(one, other)
    if not cost >= 0:
        raise InputError(f"Victor and Purpura's cost must be at least 0, is {cost:g}")
    samples, timesteps, neurons = one.shape
    trains = [np.moveaxis(side, 1, 2).reshape(-1, timesteps) for side in (one, other)]
    found = np.zeros(samples * neurons)
    differing = np.flatnonzero((trains[0] != trains[1]).any(axis=1))
    if len(differing):
        here, there = (_times(side[differing]) for side in trains)
        found[differing] = _edits(here, there, cost)
    return found.reshape(samples, neurons)


def _times(trains: BoolArray) -> tuple[IntArray, IntArray]:
    """(trains, most spikes) times, early ones first, and (trains,) how many of them are spikes."""
    counts = trains.sum(axis=1)
    late = np.argsort(~trains, axis=1, kind="stable")
    return late[:, : int(counts.max(initial=0))], counts


def _edits(
    one: tuple[IntArray, IntArray], other: tuple[IntArray, IntArray], cost: float
) -> FloatArray:
    """The cheapest edit of each train, by Sellers' recursion over all trains at once."""
    (here, mine), (there, theirs) = one, other
    above = np.repeat(np.arange(there.shape[1] + 1.0)[None], len(here), axis=0)
    rows = [above]
    for i in range(here.shape[1]):
        row = np.empty_like(above)
        row[:, 0] = i + 1
        moved = above[:, :-1] + cost * np.abs(here[:, i, None] - there)
        for j in range(there.shape[1]):
            add_or_delete = np.minimum(above[:, j + 1], row[:, j]) + 1
            row[:, j + 1] = np.minimum(add_or_delete, moved[:, j])
        above = row
        rows.append(row)
    table = np.stack(rows)
    found: FloatArray = table[mine, np.arange(len(mine)), theirs]
    return found


def _check(one: BoolArray, other: BoolArray) -> None:
    if one.shape != other.shape:
        raise InputError(
            f"spike trains of different shapes, {one.shape} and {other.shape} (samples, timesteps,"
            " neurons), have no distance here: run both sides on one stimulus"
        )
