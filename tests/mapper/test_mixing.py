"""Mixes keep what they promise: whole populations, no core beyond its compartments."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolchain.mapper.mixing import mixtures

LIMIT = 64
shares = st.floats(0.6, 1) | st.floats(0, 0.2)  # of what a tile takes
populations = st.lists(
    st.tuples(st.integers(1, 2000), st.sampled_from([3, 10, 40, LIMIT]), shares, shares, shares),
    min_size=2,
    max_size=6,
)


@given(drawn=populations)
def test_mixes_fit_their_cores_and_use_no_neuron_twice(
    drawn: list[tuple[int, int, float, float, float]],
) -> None:
    sizes = [size for size, *_ in drawn]
    tiles = [-(-size // held) for size, held, *_ in drawn]
    needs = np.array([[1 / LIMIT, *np.array(some) / held] for _, held, *some in drawn])

    mixes = mixtures(needs, tiles, sizes, LIMIT)
    again = mixtures(needs, tiles, sizes, LIMIT, {mix.host: mix.guest for mix in mixes})

    assert {mix.host for mix in mixes}.isdisjoint(mix.guest for mix in mixes)
    for mix in mixes:
        assert 1 <= mix.tiles <= sizes[mix.host]
        assert -(-sizes[mix.host] // mix.tiles) + mix.each <= LIMIT
    for guest in {mix.guest for mix in mixes}:
        assert sum(mix.tiles * mix.each for mix in mixes if mix.guest == guest) <= sizes[guest]
    assert {mix.host for mix in again} <= {mix.host for mix in mixes}


def test_a_layer_that_fills_in_axons_shares_cores_with_the_one_that_needs_fewest() -> None:
    needs = np.array(
        [[1 / LIMIT, 0.001, 0.01, 0], [1 / LIMIT, 0.008, 0.01, 0], [1 / LIMIT, 0.2, 0, 0]]
    )

    (mix,) = mixtures(needs, [10, 10, 8], [640, 640, 36], LIMIT)

    assert (mix.host, mix.guest) == (2, 0)
    assert mix.tiles * mix.each > 5 * LIMIT
