"""Hidden strengths: deep-r, grad-r and stds follow their formulas, and end at an exact count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.train.config_sparsity import SparsityConfig
from toolchain.train.hidden import (
    HIDDEN,
    Point,
    Strength,
    _laplace_center,
    freeze,
    gradient,
)
from toolchain.train.masks import random_mask

every_method = pytest.mark.parametrize("name", HIDDEN)


def strengths(name: str, count: int, seed: int, shape=(6, 9)):
    """(strength, weight, mask, generator) of a method's first weights, `count` of them existing."""
    rng = np.random.default_rng(seed)
    mask = torch.from_numpy(random_mask(shape, count, rng))
    weight = torch.from_numpy(rng.normal(size=shape).astype(np.float32)).masked_fill(~mask, 0)
    return HIDDEN[name].first(weight, mask, rng), weight, mask, rng


def point(share=1.0, rate=0.1, target=10) -> Point:
    return Point(share=share, rate=rate, target=target)


@every_method
@given(st.integers(1, 54), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_before_anything_is_learned_the_weights_are_the_first_ones(name, count, seed):
    count = 54 if name == "stds" else count
    strength, weight, mask, rng = strengths(name, count, seed)
    still = SparsityConfig(method=name, penalty=0.0, temperature=0.0, threshold=1.0)
    after, new = HIDDEN[name].follow(strength, mask, point(share=0.0), still, rng)
    assert torch.equal(new, mask)
    assert torch.equal(after.masked_fill(~new, 0), weight)


@given(st.integers(0, 54), st.floats(0, 30), st.floats(0, 1), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_deep_r_never_changes_its_number(count, penalty, temperature, seed):
    strength, _, mask, rng = strengths("deep-r", count, seed)
    config = SparsityConfig(method="deep-r", penalty=penalty, temperature=temperature)
    for _ in range(4):
        before = mask
        strength.theta.add_(torch.from_numpy(rng.normal(size=(6, 9)).astype(np.float32)) * mask)
        weight, mask = HIDDEN["deep-r"].follow(strength, mask, point(), config, rng)
        assert int(mask.sum()) == count
        assert not weight[~mask].any()
        assert not strength.theta[~mask].any()
        assert not strength.theta[mask & ~before].any()  # born at 0
        assert (strength.theta >= 0).all()
        assert ((weight == 0) | (torch.sign(weight) == strength.sign)).all()


def test_deep_r_lets_go_of_what_falls_below_zero():
    strength = Strength(
        theta=torch.tensor([0.5, 0.01, 0.0, 0.0]), sign=torch.tensor([1, -1, 1, 1]).to(torch.int8)
    )
    mask = torch.tensor([True, True, False, False])
    config = SparsityConfig(method="deep-r", penalty=1.0, temperature=0.0)
    weight, new = HIDDEN["deep-r"].follow(
        strength, mask, point(rate=0.1), config, np.random.default_rng(0)
    )
    assert new[:2].tolist() == [True, False]
    assert int(new.sum()) == 2
    assert weight.tolist() == pytest.approx([0.4, 0.0, 0.0, 0.0])


def test_deep_rs_walk_has_its_temperature():
    """Standard deviation sqrt(2 eta T) a step."""
    theta = torch.full((200_000,), 10.0)
    strength = Strength(theta=theta, sign=torch.ones(200_000, dtype=torch.int8))
    config = SparsityConfig(method="deep-r", penalty=2.0, temperature=0.5)
    everywhere = torch.ones(200_000, dtype=torch.bool)
    HIDDEN["deep-r"].follow(
        strength, everywhere, point(rate=0.01), config, np.random.default_rng(0)
    )
    assert float(theta.std()) == pytest.approx(0.1, rel=0.01)
    assert float(theta.mean()) == pytest.approx(10 - 0.02, abs=1e-3)


def test_grad_r_pulls_toward_the_priors_center_and_cuts_at_zero():
    config = SparsityConfig(method="grad-r", penalty=2.0)
    center = np.log(2 * 0.25) / 2.0  # density 1 / 4: -0.347
    strength = Strength(
        theta=torch.tensor([1.0, 0.1, -0.2, -0.9]), sign=torch.tensor([1, -1, 1, -1]).to(torch.int8)
    )
    weight, mask = HIDDEN["grad-r"].follow(
        strength, torch.ones(4, dtype=torch.bool), point(rate=0.1, target=1), config,
        np.random.default_rng(0),
    )  # fmt: skip
    assert center == pytest.approx(-0.3466, abs=1e-4)
    assert strength.theta.tolist() == pytest.approx([0.8, -0.1, -0.4, -0.7])
    assert mask.tolist() == [True, False, False, False]
    assert weight.tolist() == pytest.approx([0.8, 0, 0, 0])


@given(st.floats(0.01, 1.0), st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_the_laplace_priors_share_above_zero_is_the_density(density, penalty):
    center = _laplace_center(density, penalty)
    drawn = np.random.default_rng(0).laplace(size=100_000) / penalty + center
    assert (drawn > 0).mean() == pytest.approx(density, abs=0.01)


def test_stds_softens_by_its_threshold():
    strength = Strength(
        theta=torch.tensor([3.0, -2.0, 0.5, -0.4]), sign=torch.ones(4, dtype=torch.int8)
    )
    config = SparsityConfig(method="stds", threshold=1.0)
    for share, d in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)):  # half a sine from 0 to D
        weight, mask = HIDDEN["stds"].follow(
            strength, torch.ones(4, dtype=torch.bool), point(share=share), config,
            np.random.default_rng(0),
        )  # fmt: skip
        expected = [3.0 - d, d - 2.0, max(0.5 - d, 0), -max(0.4 - d, 0)]
        assert weight.tolist() == pytest.approx(expected)
        assert mask.tolist() == [value != 0 for value in expected]


@given(st.integers(1, 54), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_stds_without_a_threshold_reaches_its_density_by_itself(target, seed):
    strength, _, mask, rng = strengths("stds", 54, seed)
    config, counts = SparsityConfig(method="stds"), []
    for share in (0.01, 0.3, 0.6, 1.0):
        weight, mask = HIDDEN["stds"].follow(
            strength, mask, point(share=share, target=target), config, rng
        )
        counts.append(int(mask.sum()))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == target
    assert torch.equal(mask, weight != 0)


@every_method
def test_gradients_pass_straight_through_but_for_sign_and_rest(name):
    strength, _, mask, _ = strengths(name, 20, 3)
    dense = torch.randn(mask.shape)
    found = gradient(strength, mask, dense, rests=HIDDEN[name].rests)
    assert torch.equal(found[mask], (dense * strength.sign)[mask])
    assert bool(found[~mask].any()) == (name != "deep-r")


@every_method
@given(st.integers(1, 54), st.integers(1, 54), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_frozen_exactly_the_targets_synapses_exist_and_theta_is_the_weight(
    name, count, target, seed
):
    strength, weight, mask, _ = strengths(name, count, seed)
    theta = strength.theta.clone()
    after, new = freeze(HIDDEN[name], strength, weight, mask, target)
    assert int(new.sum()) == target
    assert torch.equal(strength.theta, after)
    assert (strength.sign == 1).all()
    assert torch.equal(after, weight.masked_fill(~new, 0))
    ranks = HIDDEN[name].rank(theta)
    kept, lost = mask & new, mask & ~new
    if kept.any() and lost.any():
        assert ranks[kept].min() >= ranks[lost].max()
    assert new[mask].all() or not new[~mask].any()


@every_method
def test_without_a_target_the_mask_stays(name):
    strength, weight, mask, _ = strengths(name, 20, 0)
    assert torch.equal(freeze(HIDDEN[name], strength, weight, mask, None)[1], mask)


@every_method
def test_equal_generators_give_equal_strengths(name):
    def followed():
        strength, _, mask, rng = strengths(name, 30, 7)
        config = SparsityConfig(method=name, temperature=0.5)
        return HIDDEN[name].follow(strength, mask, point(), config, rng)

    assert all(torch.equal(*pair) for pair in zip(followed(), followed(), strict=True))
