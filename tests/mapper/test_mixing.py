"""Mixes keep what they promise: whole populations, no core beyond its compartments."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolchain.mapper.mixing import Mix, cores_of, followed, mixtures

LIMIT = 64
Drawn = list[tuple[int, int, float, float, float]]
shares = st.floats(0.6, 1) | st.floats(0, 0.2)  # of what a tile takes
populations = st.lists(
    st.tuples(st.integers(1, 2000), st.sampled_from([3, 10, 40, LIMIT]), shares, shares, shares),
    min_size=2,
    max_size=6,
)


def of(drawn: Drawn) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    needs = np.array([[1 / LIMIT, *np.array(some) / held] for _, held, *some in drawn])
    return needs, np.array([size for size, *_ in drawn])


def assert_legal(mixes: list[Mix], sizes: NDArray[np.int64]) -> None:
    assert {mix.host for mix in mixes}.isdisjoint(mix.guest for mix in mixes)
    for mix in mixes:
        assert 1 <= mix.tiles <= sizes[mix.host]
        assert -(-sizes[mix.host] // mix.tiles) + mix.each <= LIMIT
    for guest in {mix.guest for mix in mixes}:
        assert sum(mix.tiles * mix.each for mix in mixes if mix.guest == guest) <= sizes[guest]


@given(drawn=populations)
def test_mixes_fit_their_cores_use_no_neuron_twice_and_spare_cores(drawn: Drawn) -> None:
    needs, sizes = of(drawn)

    mixes = mixtures(needs, sizes, LIMIT, lambda mixes: cores_of(needs, sizes, mixes))

    assert_legal(mixes, sizes)
    spared = cores_of(needs, sizes, []) - cores_of(needs, sizes, mixes)
    assert spared >= len(mixes) * (1 - 1e-9)


@given(drawn=populations, dearer=st.floats(0.5, 3))
def test_pairs_stay_pairs_when_needs_change(drawn: Drawn, dearer: float) -> None:
    needs, sizes = of(drawn)
    mixes = mixtures(needs, sizes, LIMIT, lambda mixes: cores_of(needs, sizes, mixes))

    again = followed(mixes, needs * [1, 1, dearer, 1], sizes, LIMIT)

    assert_legal(again, sizes)
    assert {(m.host, m.guest) for m in again} <= {(m.host, m.guest) for m in mixes}


def test_a_layer_that_fills_in_axons_shares_cores_with_the_one_that_needs_fewest() -> None:
    needs = np.array(
        [[1 / LIMIT, 0.001, 0.01, 0], [1 / LIMIT, 0.008, 0.01, 0], [1 / LIMIT, 0.2, 0, 0]]
    )
    sizes = np.array([640, 640, 36])

    (mix,) = mixtures(needs, sizes, LIMIT, lambda mixes: cores_of(needs, sizes, mixes))

    assert (mix.host, mix.guest) == (2, 0)
    assert mix.tiles * mix.each > 5 * LIMIT


def test_no_mix_where_what_comes_before_would_need_as_much_more() -> None:
    needs = np.array([[1 / LIMIT, 0.001, 0.01, 0], [1 / LIMIT, 0.2, 0, 0]])

    assert not mixtures(needs, np.array([640, 36]), LIMIT, lambda mixes: 20.0)
