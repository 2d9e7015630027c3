"""Masks: exact counts, stable ties, nothing dropped that stays and nothing grown that was there."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.train.masks import DROP, GROW, Evidence, highest, protected, random_mask, rewire

shapes = st.one_of(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(*[st.integers(1, 5)] * 2, *[st.integers(1, 3)] * 2),  # a convolution's
)
seeds = st.integers(0, 2**32 - 1)


@given(shapes, st.data(), seeds)
def test_random_mask_has_its_count_and_its_seed(shape, data, seed):
    count = data.draw(st.integers(0, prod(shape)))
    mask = random_mask(shape, count, np.random.default_rng(seed))
    assert mask.sum() == count
    assert np.array_equal(mask, random_mask(shape, count, np.random.default_rng(seed)))


def evidence(shape, levels, rng):
    names = ("weights", "gradient", "momentum")
    return Evidence(**{name: rng.integers(-levels, levels, shape) / levels for name in names})


@st.composite
def rewirings(draw):
    shape = draw(shapes)
    rng = np.random.default_rng(draw(seeds))
    mask = random_mask(shape, draw(st.integers(0, prod(shape))), rng)
    if draw(st.booleans()):
        drop = np.array([rng.integers(0, row.sum() + 1) for row in mask])
    else:
        drop = draw(st.integers(0, int(mask.sum())))
    grow = draw(st.integers(0, int(mask.size - mask.sum() + np.sum(drop))))
    levels = draw(st.sampled_from([2, 1000]))  # few levels: many ties
    return mask, evidence(shape, levels, rng), drop, grow, rng


@pytest.mark.parametrize("grow_rule", GROW)
@pytest.mark.parametrize("drop_rule", DROP)
@given(case=rewirings())
def test_rewiring_drops_the_lowest_and_grows_the_highest(drop_rule, grow_rule, case):
    mask, seen, drop, grow, rng = case
    low, high = DROP[drop_rule](seen, mask), GROW[grow_rule](seen, rng)
    new = rewire(mask, low, high, drop=drop, grow=grow)
    assert new.sum() == mask.sum() - np.sum(drop) + grow
    assert new.dtype == bool
    room = int((~mask).sum())
    if grow > room:  # nothing else was left: everything that was absent exists now
        assert new[~mask].all()
        return
    lost, gained = mask & ~new, new & ~mask
    assert lost.sum() == np.sum(drop)  # nothing that was dropped came back
    assert gained.sum() == grow
    if gained.any() and (~mask & ~new).any():
        assert high[gained].min() >= high[~mask & ~new].max()
    rows = range(len(mask)) if isinstance(drop, np.ndarray) else [slice(None)]
    for row in rows:
        if lost[row].any() and (mask & new)[row].any():
            assert low[row][lost[row]].max() <= low[row][(mask & new)[row]].min()


def test_ties_go_to_the_lowest_index():
    mask = np.array([[True, True, True, False, False, False]])
    flat = np.zeros(mask.shape)
    new = rewire(mask, flat, flat, drop=1, grow=1)
    assert new.tolist() == [[False, True, True, True, False, False]]


def test_what_was_just_dropped_comes_back_only_where_nothing_else_is_left():
    mask = np.array([[True, True, False]])
    scores = np.array([[1.0, 2.0, 3.0]])
    assert rewire(mask, scores, -scores, drop=1, grow=1).tolist() == [[False, True, True]]
    assert rewire(mask, scores, -scores, drop=1, grow=2).tolist() == [[True, True, True]]


@pytest.mark.parametrize("rule", ["momentum", "gradient"])
def test_growth_ranks_by_magnitude_and_not_by_sign(rule):
    mask = np.array([[True, False, False, False]])
    pull = np.array([[0.0, 0.1, -5.0, 0.0]])
    flat = np.zeros(mask.shape)
    seen = Evidence(**{"weights": flat, "gradient": flat, "momentum": flat, rule: pull})
    scores = GROW[rule](seen, np.random.default_rng(0))
    assert rewire(mask, flat, scores, drop=0, grow=1).tolist() == [[True, False, True, False]]
    assert rewire(mask, flat, scores, drop=0, grow=2).tolist() == [[True, True, True, False]]


@given(shapes, seeds, st.sampled_from([1, 3, 10**6]), st.data())
def test_selection_is_that_of_a_stable_sort(shape, seed, levels, data):
    rng = np.random.default_rng(seed)
    among, scores = rng.random(shape) < 0.7, rng.integers(0, levels, shape).astype(float)
    count = data.draw(st.integers(0, int(among.sum())))
    order = np.argsort(np.where(among, -scores, np.inf).ravel(), kind="stable")
    assert np.array_equal(np.flatnonzero(highest(among, scores, count)), np.sort(order[:count]))


def test_signed_magnitude_takes_an_equal_share_from_both_signs():
    """SET: of 6 positive and 3 negative weights, 3 go: the 2 smallest and the 1 nearest to 0."""
    weights = np.array([[0.9, 0.1, 0.3, 0.5, 0.2, 0.7, -9.0, -5.0, -7.0, 0.0]])
    mask = np.array([[True] * 9 + [False]])
    seen = Evidence(weights=weights, gradient=weights, momentum=weights)
    new = rewire(mask, DROP["signed"](seen, mask), weights, drop=3, grow=0)
    assert weights[mask & ~new].tolist() == [0.1, 0.2, -5.0]


@given(rewirings())
def test_signed_magnitude_is_fair_to_within_one(case):
    mask, seen, _, _, rng = case
    drop = int(rng.integers(0, mask.sum() + 1))
    new = rewire(mask, DROP["signed"](seen, mask), np.zeros(mask.shape), drop=drop, grow=0)
    for side in (mask & (seen.weights >= 0), mask & (seen.weights < 0)):
        gone, fair = (side & ~new).sum(), drop * side.sum() / max(mask.sum(), 1)
        assert abs(gone - fair) <= 1


@given(rewirings())
def test_the_best_synapse_of_a_protected_layer_goes_last(case):
    mask, seen, _, _, _ = case
    scores = protected(mask, np.abs(seen.weights))
    if mask.any():
        new = rewire(mask, scores, scores, drop=int(mask.sum()) - 1, grow=0)
        assert np.abs(seen.weights)[new].item() == np.abs(seen.weights)[mask].max()


@pytest.mark.parametrize("grow_rule", GROW)
def test_equal_generators_give_equal_masks(grow_rule):
    def rewired():
        rng = np.random.default_rng(5)
        mask, seen = random_mask((30, 40), 400, rng), evidence((30, 40), 2, rng)
        scores = GROW[grow_rule](seen, rng)
        return rewire(mask, DROP["signed"](seen, mask), scores, drop=100, grow=60)

    assert np.array_equal(rewired(), rewired())
