"""Rate code: counts are rounded shares, spikes are spread evenly, all in integers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolchain.train.encoding import rate_encode, rate_table


@given(st.integers(1, 300), st.integers(1, 64))
def test_every_prefix_counts_the_rounded_share(maximum, timesteps):
    table = rate_table(maximum, timesteps)
    assert table.shape == (maximum + 1, timesteps)
    value = np.arange(maximum + 1)[:, None]
    step = np.arange(1, timesteps + 1)[None, :]
    rounded = (2 * step * value + maximum) // (2 * maximum)  # halves up
    assert np.array_equal(table.cumsum(axis=1), rounded)


@given(st.integers(1, 300), st.integers(1, 64))
def test_nothing_never_spikes_and_the_maximum_always(maximum, timesteps):
    table = rate_table(maximum, timesteps)
    assert not table[0].any()
    assert table[-1].all()


def test_encoding_is_the_table_row_of_each_pixel():
    pixels = np.array([[0, 1, 4], [2, 3, 4]], np.uint8)
    spikes = rate_encode(pixels, maximum=4, timesteps=4)
    assert spikes.dtype == bool
    assert spikes.shape == (2, 4, 3)
    assert spikes[0].astype(int).tolist() == [[0, 0, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1]]
    assert spikes.sum(axis=1).tolist() == pixels.tolist()
