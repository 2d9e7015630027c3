"""Two cores change neurons only as far as the one that needs room gains by it."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from toolchain.mapper.levelling import _changed

OUT_AXONS = st.lists(st.integers(0, 20), min_size=1, max_size=12)


@given(OUT_AXONS, OUT_AXONS, st.integers(1, 200), st.integers(0, 200))
@example([8, 4, 4, 4, 4, 4], [3, 12, 12, 12, 12, 12, 12], 50, 100)
def test_what_is_said_to_move_moves_and_every_pair_helps(
    one: list[int], other: list[int], above: int, spare: int
) -> None:
    mine, yours = np.sort(one)[::-1], np.sort(other)

    count, moved = _changed(mine, yours, above, spare)

    assert moved == mine[:count].sum() - yours[:count].sum()
    assert (mine[:count] > yours[:count]).all()
    assert 0 <= moved <= spare
    assert count < min(len(mine), len(yours)) or count == 0
