"""Random networks in real numbers, and the comparison of what they spike."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tests.strategies import Draw, seeds
from toolchain.network import Input, Network, Population, Projection

Spikes = dict[str, NDArray[np.bool_]]


@st.composite
def networks(
    draw: Draw, *, currents: bool = True, loops: bool = True, late: bool = True
) -> Network:
    """A chain of populations with skips, loops and late projections, as far as is asked for."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=2, max_size=4))
    rng = np.random.default_rng(draw(seeds()))
    names = ["input", *(f"p{number}" for number in range(1, len(sizes)))]
    populations = [
        _population(name, size, rng, currents and bool(rng.random() < 0.6))
        for name, size in zip(names[1:], sizes[1:], strict=True)
    ]
    edges = [(place, place + 1, 1) for place in range(len(sizes) - 1)]
    if late and len(sizes) > 2:
        edges.append((0, len(sizes) - 1, len(sizes) - 1 + int(rng.integers(0, 3))))
    if loops:
        edges += [(1, 1, 1), (len(sizes) - 1, 1, 1)][: int(rng.integers(0, 3))]
    projections = [
        _projection(names[source], names[target], sizes[target], sizes[source], delay, rng)
        for source, target, delay in edges
    ]
    return Network(
        input=Input(name="input", size=sizes[0]),
        populations=tuple(populations),
        projections=tuple(projections),
        output=names[-1],
    )


def _population(name: str, size: int, rng: np.random.Generator, current: bool) -> Population:
    decay_v = float(rng.choice([0.0, rng.uniform(0.05, 1)]))
    biased = bool(rng.random() < 0.5) and (decay_v > 0 or not current)
    return Population(
        name=name,
        size=size,
        decay_u=float(rng.uniform(0.05, 0.95)) if current else 1.0,
        decay_v=decay_v,
        threshold=float(rng.uniform(0.3, 2)),
        bias=rng.normal(0, 0.2, size) * biased,
    )


def _projection(
    source: str, target: str, into: int, out_of: int, delay: int, rng: np.random.Generator
) -> Projection:
    weights = rng.normal(0.2, 0.8, (into, out_of))
    mask = rng.random((into, out_of)) < 0.7
    rows = csr_array(np.where(mask, weights, 0.0))
    if rows.nnz:
        rows.data[rng.integers(rows.nnz)] = 0.0  # a synapse of weight 0 is one all the same
    return Projection(source=source, target=target, weights=rows, delay=delay)


def shown(network: Network, seed: int, timesteps: int = 20) -> NDArray[np.bool_]:
    """(samples, timesteps, neurons) a stimulus."""
    rng = np.random.default_rng(seed)
    return rng.random((3, timesteps, network.input.size)) < 0.5


def compared(one: Spikes, other: Spikes) -> int:
    """How many spikes were compared; fails where two differ."""
    names: Any = set(one) & set(other)
    assert names
    for name in names:
        assert np.array_equal(one[name], other[name]), name
    return int(sum(one[name].sum() for name in names))
