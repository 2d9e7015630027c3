"""How many synapses a rewiring moves, over whole runs of random weights."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import ConfigError
from toolchain.train.config import TrainConfig
from toolchain.train.config_data import DataConfig
from toolchain.train.config_network import NetworkConfig
from toolchain.train.config_sparsity import SparsityConfig
from toolchain.train.masks import random_mask, rewire
from toolchain.train.schedule import METHODS, Moment, layer_counts

SHAPE = (12, 20)
SIZE = 240


def densities(sparsity: SparsityConfig, first: int, target: int, epochs: int, seed: int):
    """(synapses before each rewiring and after the last, plans) with fresh weights each time."""
    rng = np.random.default_rng(seed)
    mask = random_mask(SHAPE, first, rng)
    counts, plans = [first], []
    for epoch in range(1, epochs + 1):
        moment = Moment(
            weights=rng.normal(size=SHAPE) * mask, mask=mask, target=target,
            epoch=epoch, stop=epochs, last=epoch == epochs,
        )  # fmt: skip
        plan = METHODS[sparsity.method](moment, sparsity)
        mask = rewire(
            mask, np.abs(moment.weights), rng.random(SHAPE), drop=plan.drop, grow=plan.grow
        )
        counts.append(int(mask.sum()))
        plans.append(plan)
    return counts, plans


@settings(deadline=None)
@given(
    st.integers(1, SIZE), st.integers(1, SIZE), st.floats(0, 1), st.floats(0.2, 4),
    st.sampled_from(["layer", "neuron"]), st.integers(1, 8), st.integers(0, 10**6),
)  # fmt: skip
def test_two_stage_falls_to_its_target_and_stays(one, other, rho, gamma, scope, epochs, seed):
    target, first = sorted([one, other])
    sparsity = SparsityConfig(regrow_fraction=rho, gamma=gamma, scope=scope)
    counts, plans = densities(sparsity, first, target, epochs, seed)
    assert all(before >= after for before, after in pairwise(counts))
    assert min(counts) >= target
    assert counts[-1] == target  # the last rewiring sees to it
    for before, plan in zip(counts, plans, strict=False):
        if before == target:
            assert np.sum(plan.drop) == plan.grow


@given(st.integers(0, SIZE), st.floats(0.01, 0.99), st.integers(1, 8), st.integers(0, 10**6))
def test_esl_never_changes_the_density(count, fraction, epochs, seed):
    sparsity = SparsityConfig(method="esl", drop_fraction=fraction)
    counts, plans = densities(sparsity, count, count, epochs, seed)
    assert set(counts) == {count}
    moved = [plan.grow for plan in plans]
    assert moved == sorted(moved, reverse=True)


def test_dense_moves_nothing():
    counts, plans = densities(SparsityConfig(method="dense"), SIZE, SIZE, 3, 0)
    assert set(counts) == {SIZE}
    assert all((plan.drop, plan.grow) == (0, 0) for plan in plans)


def test_gaussian_weights_fall_by_the_published_factor():
    """2502.13572 layer-wise: 0.50 to about 0.30 in 3 rewirings, a factor of 0.8455 each."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(400, 500))
    moment = Moment(
        weights=weights, mask=np.ones(weights.shape, bool), target=1, epoch=1, stop=9, last=False
    )
    plan = METHODS["two-stage"](moment, SparsityConfig())
    assert 1 - plan.drop / weights.size == pytest.approx(0.8455, abs=2e-3)


def configured(**sparsity) -> TrainConfig:
    return TrainConfig(
        data=DataConfig(name="digits"),
        network=NetworkConfig(hidden=(4,)),
        sparsity=SparsityConfig(**sparsity),
    )


def test_a_layer_too_small_for_its_density_is_refused():
    with pytest.raises(ConfigError, match=r"density = 0.001: the layer of .* less than one syn"):
        layer_counts(configured(density=0.001), [(4, 64), (10, 4)])


@pytest.mark.parametrize(("method", "first"), [("two-stage", 148), ("esl", 59), ("dense", 296)])
def test_the_first_density_is_the_methods(method, first):
    counts, targets = layer_counts(configured(method=method, density=0.2), [(4, 64), (10, 4)])
    assert sum(counts) == first
    assert sum(targets) == (296 if method == "dense" else 59)
