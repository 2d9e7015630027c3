"""Tiles trade neurons: none gets lost, and no tile comes to hear more than a core can."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import seeds
from toolchain.mapper.trading import trade


@given(seed=seeds(), tiles=st.integers(2, 5), most=st.integers(4, 40), density=st.floats(0.05, 0.6))
def test_trades_keep_sizes_lower_the_price_and_respect_the_limit(
    seed: int, tiles: int, most: int, density: float
) -> None:
    rng = np.random.default_rng(seed)
    heard = rng.random((8 * tiles, 40)) < density
    problem = SimpleNamespace(
        pointers=np.concatenate([[0], np.cumsum(heard.sum(axis=1))]),
        axons=np.nonzero(heard)[1].astype(np.int32),
        key=np.zeros(40, np.int64),
        limits=np.array([1024, most]),
    )
    price = rng.integers(1, 3, 40)
    before = np.split(rng.permutation(8 * tiles), tiles)

    after = trade(problem, before, rng.random((8 * tiles, 2)), price)  # type: ignore[arg-type]

    assert [len(tile) for tile in after] == [len(tile) for tile in before]
    assert (np.sort(np.concatenate(after)) == np.arange(8 * tiles)).all()
    paid = [sum(price[heard[t].any(axis=0)].sum() for t in cut) for cut in (after, before)]
    assert paid[0] <= paid[1]
    for one, other in zip(after, before, strict=True):
        lists = [int(heard[tile].any(axis=0).sum()) for tile in (one, other)]
        assert lists[0] <= max(most, lists[1])
