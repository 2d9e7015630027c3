"""Chunks in any order add up to what a comparison of the whole says."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends.remotes import deployed
from toolchain.errors import InputError
from toolchain.raster import Raster, accuracy, decisions
from toolchain.verify.agreement import Tally
from toolchain.verify.compare import compare

ARTIFACT = deployed()


def drawn(seed: int, samples: int, flips: int) -> tuple[Raster, Raster]:
    """Two rasters of the artifact that differ in at most so many bits."""
    rng = np.random.default_rng(seed)
    left = {name: rng.random((samples, 4, 1)) < 0.5 for name in ("a", "b")}
    right = {name: array.copy() for name, array in left.items()}
    for _ in range(flips):
        where = (rng.integers(samples), rng.integers(4), 0)
        right[str(rng.choice(["a", "b"]))][where] ^= True
    labels = np.zeros(samples, np.int64)
    return Raster(spikes=left, labels=labels), Raster(spikes=right, labels=labels)


@given(
    seed=st.integers(0, 999),
    samples=st.integers(1, 9),
    flips=st.integers(0, 4),
    size=st.integers(1, 4),
    order=st.randoms(use_true_random=False),
)
def test_a_tally_of_chunks_is_the_comparison_of_the_whole(
    seed: int, samples: int, flips: int, size: int, order: random.Random
) -> None:
    expected, actual = drawn(seed, samples, flips)
    whole = compare(expected, actual, ARTIFACT, against="reference", backend="board")
    starts = list(range(0, samples, size))
    order.shuffle(starts)
    tally = Tally(artifact=ARTIFACT)
    for start in starts:
        stop = min(start + size, samples)
        part = expected.between(start, stop)
        tally.add(start, part, actual.between(start, stop), part.labels)

    assert tally.equal == whole.equal
    assert tally.samples == samples
    assert tally.mismatches == whole.mismatches
    assert tally.spikes_compared == whole.spikes_compared
    assert tally.neuron_steps_compared == whole.neuron_steps_compared
    assert tally.first_mismatch == whole.first_mismatch
    assert tally.accuracy == accuracy(actual, "b")
    same = np.mean(decisions(expected, "b") == decisions(actual, "b"))
    assert tally.agreement["decisions"] == same


def test_silence_and_nothing_are_not_equal() -> None:
    silent = Raster(spikes={name: np.zeros((2, 3, 1), bool) for name in ("a", "b")})
    tally = Tally(artifact=ARTIFACT)
    assert not tally.equal

    tally.add(0, silent, silent, None)

    assert not tally.equal
    assert tally.accuracy is None


def test_a_board_shows_the_same_populations_and_shape_throughout() -> None:
    expected, actual = drawn(0, 4, 0)
    output = Raster(spikes={"b": actual.spikes["b"]})
    tally = Tally(artifact=ARTIFACT)
    tally.add(0, expected, output, None)
    assert tally.populations == ["b"]
    assert tally.equal

    with pytest.raises(InputError, match=r"from sample 4 on a, b are shown, before that b;"):
        tally.add(4, expected, actual, None)
    with pytest.raises(InputError, match=r"different shapes, \(4, 4, 1\) and \(3, 4, 1\)"):
        tally.add(4, expected, output.first(3), None)
