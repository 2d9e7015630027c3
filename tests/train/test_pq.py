"""The PQ index, its bound and the rewiring count: published vectors, then laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from toolchain.train.pq import pq_index, retain_bound, rewire_count

PAIRS = [(0.5, 1.0), (1.0, 2.0), (0.2, 1.0), (1.0, 1.4)]
weights = arrays.arrays(
    np.float64,
    st.integers(1, 40),
    elements=st.floats(-100, 100).map(lambda value: value if abs(value) > 1e-3 else 0.0),
)
pairs = st.sampled_from(PAIRS)

# Computed apart from this code: weights, (p, q), index, bound at alpha = 0
VECTORS = [
    ([1, 1, 1, 1], (0.5, 1), 0.0, 4.0),
    ([1, 1, 1, 1], (1, 2), 0.0, 4.0),
    ([4, 0, 0, 0], (0.5, 1), 0.75, 1.0),
    ([4, 0, 0, 0], (1, 2), 0.5, 1.0),
    ([1, 2, 3, 4], (0.5, 1), 0.055586, 3.7777),
    ([1, 2, 3, 4], (1, 2), 0.087129, 3.3333),
    ([3, 1, 0, 0], (0.5, 1), 0.533494, 1.8660),
    ([3, 1, 0, 0], (1, 2), 0.367544, 1.6000),
    ([10, 1, 1, 1], (0.5, 1), 0.269737, 2.9211),
    ([10, 1, 1, 1], (1, 2), 0.359536, 1.6408),
]


@pytest.mark.parametrize(("values", "pq", "index", "bound"), VECTORS)
def test_published_vectors(values, pq, index, bound):
    p, q = pq
    found = pq_index(np.array(values, float), p=p, q=q)
    assert found == pytest.approx(index, abs=1e-6)
    assert retain_bound(len(values), found, p=p, q=q, alpha=0) == pytest.approx(bound, abs=1e-4)


@pytest.mark.parametrize(
    ("draw", "pq", "share"),
    [
        (lambda rng: np.ones(1000), (0.5, 1), 0.002),
        (lambda rng: rng.uniform(-1, 1, 400_000), (0.5, 1), 0.113),
        (lambda rng: rng.uniform(-1, 1, 400_000), (1, 2), 0.252),
        (lambda rng: rng.normal(size=400_000), (0.5, 1), 0.155),
        (lambda rng: rng.normal(size=400_000), (1, 2), 0.365),
        (lambda rng: rng.laplace(size=400_000), (0.5, 1), 0.216),
    ],
)
def test_prune_share_of_known_distributions(draw, pq, share):
    values = draw(np.random.default_rng(1))
    p, q = pq
    bound = retain_bound(values.size, pq_index(values, p=p, q=q), p=p, q=q, alpha=0.001)
    count = rewire_count(values.size, bound, gamma=1, beta=0.9)
    assert count / values.size == pytest.approx(share, abs=2e-3)


@given(weights, pairs, st.floats(1e-6, 1e6), st.randoms())
def test_index_ignores_scale_order_and_clones(values, pq, scale, random):
    p, q = pq
    index = pq_index(values, p=p, q=q)
    shuffled = values.copy()
    random.shuffle(shuffled)
    for same in (values * scale, shuffled, np.tile(values, 3), -values):
        assert pq_index(same, p=p, q=q) == pytest.approx(index, abs=1e-9)


@given(weights, pairs)
def test_index_stays_in_its_range(values, pq):
    p, q = pq
    top = 1 - values.size ** (1 / q - 1 / p)
    assert 0 <= pq_index(values, p=p, q=q) <= top + 1e-9


@given(weights, pairs, st.integers(1, 40))
def test_no_smaller_set_keeps_its_share_of_the_powers(values, pq, kept):
    """Hoelder: where `kept` largest leave a tail of share alpha, the bound is at most `kept`."""
    p, q = pq
    powers = np.sort(np.abs(values) ** p)[::-1]
    assume(powers[:kept].sum() > 0)
    alpha = powers[kept:].sum() / powers[:kept].sum()
    bound = retain_bound(values.size, pq_index(values, p=p, q=q), p=p, q=q, alpha=alpha)
    assert bound <= max(kept, 0) + 1e-6


@given(weights, pairs, st.floats(0.1, 9), st.floats(0.01, 0.99))
def test_rewiring_always_leaves_a_synapse(values, pq, gamma, beta):
    p, q = pq
    bound = retain_bound(values.size, pq_index(values, p=p, q=q), p=p, q=q, alpha=0.001)
    assert 0 <= rewire_count(values.size, bound, gamma=gamma, beta=beta) < values.size


def test_nothing_and_only_zeros_are_not_compressible():
    assert pq_index(np.zeros(0), p=0.5, q=1) == 0
    assert pq_index(np.zeros(5), p=0.5, q=1) == 0
    assert rewire_count(0, 0.0, gamma=1, beta=0.9) == 0


def test_tiny_and_huge_weights_do_not_under_or_overflow():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    for scale in (1e-300, 1e300):
        assert pq_index(values * scale, p=1, q=2) == pytest.approx(0.087129, abs=1e-6)
