"""Masks: exact counts, stable ties, nothing dropped that stays and nothing grown that was there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.train.masks import DROP, GROW, Evidence, erdos_renyi_counts, random_mask, rewire

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
seeds = st.integers(0, 2**32 - 1)


@given(st.lists(shapes, min_size=1, max_size=5), st.floats(0, 1))
def test_counts_sum_exactly_and_fit(all_shapes, density):
    counts = erdos_renyi_counts(all_shapes, density)
    sizes = [rows * columns for rows, columns in all_shapes]
    assert sum(counts) == round(density * sum(sizes))
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))


@given(st.lists(shapes, min_size=1, max_size=5), st.floats(0, 1), st.floats(0, 1))
def test_no_layer_loses_synapses_as_density_grows(all_shapes, one, other):
    """But for one by rounding."""
    low, high = sorted([one, other])
    fewer, more = erdos_renyi_counts(all_shapes, low), erdos_renyi_counts(all_shapes, high)
    assert all(a <= b + 1 for a, b in zip(fewer, more, strict=True))


def test_counts_go_as_the_neurons_on_both_sides():
    assert erdos_renyi_counts([(100, 100), (100, 300)], 0.03) == [400, 800]


def test_excess_of_a_full_layer_goes_to_the_others():
    assert erdos_renyi_counts([(10, 10), (1, 10), (30, 10)], 0.9) == [100, 10, 259]


@given(shapes, st.data(), seeds)
def test_random_mask_has_its_count_and_its_seed(shape, data, seed):
    count = data.draw(st.integers(0, shape[0] * shape[1]))
    mask = random_mask(shape, count, np.random.default_rng(seed))
    assert mask.sum() == count
    assert np.array_equal(mask, random_mask(shape, count, np.random.default_rng(seed)))


@st.composite
def rewirings(draw):
    shape = draw(shapes)
    rng = np.random.default_rng(draw(seeds))
    mask = random_mask(shape, draw(st.integers(0, shape[0] * shape[1])), rng)
    if draw(st.booleans()):
        drop = np.array([rng.integers(0, row.sum() + 1) for row in mask])
    else:
        drop = draw(st.integers(0, int(mask.sum())))
    grow = draw(st.integers(0, int(mask.size - mask.sum() + np.sum(drop))))
    levels = draw(st.sampled_from([2, 1000]))  # few levels: many ties
    seen = Evidence(
        *[],
        **{
            name: rng.integers(-levels, levels, shape) / levels
            for name in ("weights", "gradient", "momentum")
        },
    )
    return mask, seen, drop, grow, rng


@pytest.mark.parametrize("grow_rule", GROW)
@pytest.mark.parametrize("drop_rule", DROP)
@given(case=rewirings())
def test_rewiring_drops_the_lowest_and_grows_the_highest(drop_rule, grow_rule, case):
    mask, seen, drop, grow, rng = case
    low, high = DROP[drop_rule](seen, rng), GROW[grow_rule](seen, rng)
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
