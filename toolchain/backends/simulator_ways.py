"""The ways in which the simulator delivers spikes; which one is taken never changes a bit.

Each way adds to `ready` what one edge delivers over the whole time axis of some samples:

    ready[sample, t + lag, target] += (sum of weights of the sources that spike at t) << exponent
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain import arithmetic
from toolchain.backends.simulator_program import WIDTH, Edge, Stage

Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Way = Callable[[Edge, Bytes, Int32, int], None]

# Nanoseconds on one core (docs/simulator.md, "The rule"); only their ratios matter.
ROW_BLOCK = 2.7  # of adding 128 weights of a source that spikes
FLUSH_BLOCK = 25.0  # of adding 128 sums to what arrives, once per timestep
LIST = 10.0  # of finding the synapses of a source that spikes
SYNAPSE = 1.1  # of adding one synapse
PRODUCT = 0.0045  # of multiplying one spike, or none, by one weight in the matrix unit
CALL = 20_000.0  # of one call of the matrix unit
MOST_ROW_BYTES = 2**28  # of one edge's rows: beyond, a sparse matrix is not made dense


def by_rows(edge: Edge, spikes: Bytes, ready: Int32, events: int) -> None:
    """Whole rows of half weights, 8 bits each, of the sources that spike; in vector registers."""
    _loops().deliver_rows(
        spikes, edge.first, edge.sources, events, edge.lag, edge.rows, edge.shift + 1, ready,
        edge.start,
    )  # fmt: skip


def by_lists(edge: Edge, spikes: Bytes, ready: Int32, events: int) -> None:
    """The compressed rows of the sources that spike, synapse by synapse."""
    _loops().deliver_lists(
        spikes, edge.first, edge.sources, edge.lag, *edge.lists, ready, edge.start
    )


def by_matrix(edge: Edge, spikes: Bytes, ready: Int32, events: int) -> None:
    """One product of all spikes and all half weights, int8 x int8 -> int32, in torch."""
    import torch

    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)  # of this thread: others run beside it
    rows = _sources(edge, spikes).reshape(-1, edge.sources)
    product = torch._int_mm(
        torch.from_numpy(np.ascontiguousarray(rows).view(np.int8)), torch.from_numpy(edge.halves)
    )
    _add(edge, product.numpy() << (edge.shift + 1), ready)


def by_numpy(edge: Edge, spikes: Bytes, ready: Int32, events: int) -> None:
    """The compressed rows through scipy: needs nothing compiled."""
    rows = _sources(edge, spikes).reshape(-1, edge.sources).astype(np.int64)
    _add(edge, (edge.matrix.T @ rows.T).T << edge.shift, ready)


WAYS: dict[str, Way] = {
    "rows": by_rows,
    "lists": by_lists,
    "matrix": by_matrix,
    "numpy": by_numpy,
}


def _sources(edge: Edge, spikes: Bytes) -> Bytes:
    """The source's spikes that take effect before the sample ends."""
    return spikes[:, : spikes.shape[1] - edge.lag, edge.first : edge.first + edge.sources]


def _add(edge: Edge, product: NDArray[Any], ready: Int32) -> None:
    there = ready[:, edge.lag :, edge.start : edge.start + product.shape[1]]
    there += product.reshape(*there.shape).astype(np.int32, copy=False)


def choose(edge: Edge, events: int, steps: int, *, matrix: bool) -> tuple[str, float]:
    """The cheapest way for so many spikes in so many timesteps, and its nanoseconds.

    `matrix`: whether torch's matrix unit may be asked.
    """
    costs = {"lists": events * (LIST + SYNAPSE * edge.fan_out)}
    if edge.sources * edge.blocks * WIDTH <= MOST_ROW_BYTES:
        costs["rows"] = edge.blocks * (events * ROW_BLOCK + min(events, steps) * FLUSH_BLOCK)
        if matrix:
            costs["matrix"] = CALL + steps * edge.sources * edge.blocks * WIDTH * PRODUCT
    best = min(costs, key=lambda way: costs[way])
    return best, costs[best]


def pack_loops(stage: Stage, way: str = "auto") -> Sequence[NDArray[Any]]:
    """A stage's loops as flat tables for the compiled loop; each by rows or by lists."""
    table, rows, pointers, targets, weights = [], [_EMPTY[0]], [_EMPTY[1]], [_EMPTY[2]], [_EMPTY[3]]
    synapses = 0
    for edge in stage.loops:
        common = [edge.first, edge.sources, edge.lag]
        if way == "rows" or (way != "lists" and choose(edge, 10**6, 1, matrix=False)[0] == "rows"):
            table.append([*common, edge.shift + 1, 0, sum(map(len, rows))])
            rows.append(edge.rows.ravel())
        else:
            table.append([*common, 0, 1, sum(map(len, pointers))])
            first, target, weight = edge.lists
            pointers.append(first + synapses)
            targets.append(target)
            weights.append(weight)
            synapses += len(target)
    counts = np.bincount([edge.target for edge in stage.loops], minlength=len(stage.table))
    return (
        np.array(table, np.int64).reshape(-1, 6),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        *(np.concatenate(parts) for parts in (rows, pointers, targets, weights)),
    )


_EMPTY = tuple(np.zeros(0, kind) for kind in (np.int8, np.int64, np.int32, np.int16))


def run_stage(
    stage: Stage, loops: Sequence[NDArray[Any]], spikes: Bytes, ready: Int32, u: Int32, v: Int32
) -> None:
    """A stage's neurons over the whole time axis, and its packed loops; writes `spikes`.

    All arrays are (samples, timesteps, width of the stage); u and v may be empty.
    """
    _loops().run_stage(spikes, ready, u, v, stage.table, stage.bias, stage.threshold, *loops)


def run_stage_numpy(stage: Stage, spikes: Bytes, ready: Int32, u: Int32, v: Int32) -> None:
    """As `run_stage`, without anything compiled."""
    states = {p.name: np.zeros((2, len(spikes), p.size), np.int64) for p in stage.populations}
    for t in range(spikes.shape[1]):
        for number, p in enumerate(stage.populations):
            for edge in stage.loops:
                if edge.target == number and t >= edge.lag:
                    past = spikes[:, t - edge.lag : t - edge.lag + 1]
                    by_numpy(replace(edge, lag=0), past, ready[:, t : t + 1], 0)
            here, bias = (
                stage.columns[p.name],
                arithmetic.bias_value(p.bias_mantissa, p.bias_exponent),
            )
            arriving = ready[:, t, here].astype(np.int64)
            old_u, old_v = states[p.name]
            new_u = arithmetic.next_u(old_u, arriving, p.decay_u)
            new_v, fired = arithmetic.fire(
                arithmetic.next_v(old_v, new_u, bias, p.decay_v), p.threshold
            )
            states[p.name] = np.stack([new_u, new_v])
            spikes[:, t, here] = fired
            if len(u):
                u[:, t, here], v[:, t, here] = new_u, new_v


@cache
def compiled() -> ModuleType | None:
    """The compiled loops, or None where numba is not there."""
    try:
        return import_module("toolchain.backends.simulator_loops")
    except ImportError:
        return None


def _loops() -> ModuleType:
    loops = compiled()
    assert loops is not None, "a way that is compiled was chosen without numba"
    return loops


def torch_is_imported() -> bool:
    """Whether the matrix unit costs no import any more."""
    return "torch" in sys.modules


@cache
def matrix_unit() -> str | None:
    """None where torch's integer product is there and exact, else why not.

    It is asked with the largest sums that spikes and half weights can give: a unit that saturates
    half way (8-bit products added in pairs to 16 bits) would fail here.
    """
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    spikes = np.ones((32, 256), np.int8)
    for weight in (-128, 127):
        halves = np.full((256, WIDTH), weight, np.int8)
        found = torch._int_mm(torch.from_numpy(spikes), torch.from_numpy(halves)).numpy()
        if np.any(found != 256 * weight):
            return "torch's integer product is not exact on this processor"
    return None
