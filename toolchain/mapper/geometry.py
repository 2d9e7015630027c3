"""Where neurons lie beside each other, found from the synapses alone.

Neurons that share sources or targets come to lie close together: the coordinates are the slowest
modes of a walk along the synapses, but for the one that is everywhere the same. Convolutions show
their image so, whatever the order of their neurons. Source: regularized spectral clustering
(Chaudhuri, Chung, Tsiatas 2012); the filter is Chebyshev's (Zhou, Saad 2007).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.mapper.compiling import compiled
from toolchain.mapper.growth import Problem

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
_MODES = 4  # of the walk; as many coordinates
_DEGREE, _ROUNDS = 16, 4  # steps of the filter, and how often it is applied
_SLOW = 0.7  # a mode that decays faster is no extent in space; random masks have none slower
_WITHIN = 0.5  # of a mode's variance: one that has less tells layers apart, not places
_FAN_IN = 12  # synapses of a neuron that the walk may take
_RESTING = 1.0  # weight with which the walk stays, so that small islands make no modes of their own


def coordinates(problem: Problem, nodes: IntArray) -> tuple[FloatArray, float]:
    """(neurons, modes) coordinates, and how slowly the slowest mode decays, at most 1.

    `nodes` (axons,) is the neuron each axon comes from; numbers beyond the neurons are inputs.
    Sums run in a fixed order, so that equal networks get equal coordinates.
    """
    neurons = len(problem.out)
    size = max(neurons, int(nodes.max(initial=-1)) + 1)
    ends = np.zeros(size)
    _degrees(problem.pointers, problem.axons, nodes, ends)
    there = ends > 0
    if np.count_nonzero(there) <= 2 * _MODES:
        return np.zeros((neurons, _MODES)), 0.0
    weight = np.where(there, ends + _RESTING, 0.0)
    scale = np.where(there, 1 / np.sqrt(ends + _RESTING), 0.0)
    resting = np.sqrt(weight / weight.sum())
    spot = np.random.default_rng(0).standard_normal((size, _MODES)) * there[:, None]
    low, before = 0.5, 0.0
    for _ in range(_ROUNDS):
        spot = _orthogonal(_filtered(problem, nodes, scale, spot, low), resting)
        rates, turn = np.linalg.eigh(_gram(spot, _walk(problem, nodes, scale, spot)))
        spot = _combined(spot, turn[:, ::-1])
        if rates[-1] < _SLOW or abs(rates[1] - before) < 0.002:
            break
        low, before = max(low, float(rates[0])), float(rates[1])
    still = _gram(resting[:, None], _walk(problem, nodes, scale, np.tile(resting[:, None], _MODES)))
    slow = np.maximum(1 - rates[::-1] / max(still[0, 0], rates[-1]), 1e-3)
    spots = (spot * scale[:, None] / np.sqrt(slow))[:neurons]
    return np.asarray(spots), float(rates[-1])


def is_extended(problem: Problem, spots: FloatArray, rate: float) -> bool:
    """Whether neurons of a population lie beside each other; a deep stack alone has no image."""
    within = np.zeros(spots.shape[1])
    for group in np.split(spots, np.flatnonzero(np.diff(problem.population)) + 1):
        within += group.var(axis=0) * len(group)
    return rate >= _SLOW and bool((within >= _WITHIN * spots.var(axis=0) * len(spots)).any())


def _filtered(
    problem: Problem, nodes: IntArray, scale: FloatArray, spot: FloatArray, low: float
) -> FloatArray:
    """Chebyshev's polynomial of the walk: what decays faster than `low` is damped."""
    half, middle = (low + 1) / 2, (low - 1) / 2
    before, now = spot, (_walk(problem, nodes, scale, spot) - middle * spot) / half
    for _ in range(_DEGREE - 1):
        after = 2 * (_walk(problem, nodes, scale, now) - middle * now) / half - before
        before, now = now, after
    return now


def _orthogonal(spot: FloatArray, resting: FloatArray) -> FloatArray:
    """Modes at right angles to each other and to the resting one, of length 1."""
    columns = [resting]
    for k in range(spot.shape[1]):
        column = spot[:, k] / max(float(np.abs(spot[:, k]).max()), 1e-300)
        for _ in range(2):
            for other in columns:
                column = column - other * (other * column).sum()
        length = np.sqrt((column * column).sum())
        columns.append(column / length if length > 0 else column)
    return np.stack(columns[1:], axis=1)


def _gram(left: FloatArray, right: FloatArray) -> FloatArray:
    """Products of all columns, each summed in a fixed order."""
    pairs = [[(a * b).sum() for b in right.T] for a in left.T]
    return np.array(pairs)


def _combined(spot: FloatArray, turn: FloatArray) -> FloatArray:
    columns = [sum(spot[:, k] * turn[k, j] for k in range(len(turn))) for j in range(len(turn))]
    return np.stack(columns, axis=1)


def _walk(problem: Problem, nodes: IntArray, scale: FloatArray, spot: FloatArray) -> FloatArray:
    """One step along the synapses, both ways, every neuron sharing itself out evenly."""
    after = np.zeros_like(spot)
    _step(problem.pointers, problem.axons, nodes, scale, spot, after)
    return after


@compiled
def _degrees(pointers, axons, nodes, ends):  # type: ignore[no-untyped-def]  # pragma: no cover
    for i in range(len(pointers) - 1):
        stride = max(1, (pointers[i + 1] - pointers[i]) // _FAN_IN)
        for s in range(pointers[i], pointers[i + 1], stride):
            ends[i] += 1
            ends[nodes[axons[s]]] += 1


@compiled
def _step(pointers, axons, nodes, scale, spot, after):  # type: ignore[no-untyped-def]  # pragma: no cover
    for i in range(len(pointers) - 1):
        stride = max(1, (pointers[i + 1] - pointers[i]) // _FAN_IN)
        for s in range(pointers[i], pointers[i + 1], stride):
            j = nodes[axons[s]]
            both = scale[i] * scale[j]
            for k in range(_MODES):
                after[i, k] += spot[j, k] * both
                after[j, k] += spot[i, k] * both
