"""A learner: nothing lives where no synapse is, and its arrays are all of it."""

from __future__ import annotations

import numpy as np
import torch

from toolchain.train.config import TrainConfig
from toolchain.train.config_data import DataConfig
from toolchain.train.config_network import NetworkConfig
from toolchain.train.config_sparsity import SparsityConfig
from toolchain.train.data import Samples
from toolchain.train.learner import from_arrays, learning_rate, moments, new_learner, to_arrays
from toolchain.train.loop import encoder, train_epoch
from toolchain.train.rewiring import rewire_all

CONFIG = TrainConfig(
    data=DataConfig(name="digits"),
    network=NetworkConfig(hidden=(10,)),
    sparsity=SparsityConfig(method="esl", density=0.3, drop_fraction=0.5),
)


def trained(epochs: int = 1):
    rng = np.random.default_rng(0)
    samples = Samples(
        pixels=rng.integers(0, 17, (64, 20)).astype(np.uint8), labels=rng.integers(0, 4, 64)
    )
    learner = new_learner(CONFIG, [20, 10, 4], [70, 20])
    encode = encoder(CONFIG, 16)
    for epoch in range(1, epochs + 1):
        train_epoch(learner, samples, encode, CONFIG, epoch=epoch, watch=lambda *_: None)
    return learner


def test_where_no_synapse_is_weight_and_optimizer_state_are_zero_but_growth_is_not():
    learner = trained()
    for layer, growth in zip(learner.layers, learner.growth, strict=True):
        for array in (layer.weight, *moments(learner, layer.weight).values()):
            assert not array[~layer.mask].any()
            assert array[layer.mask].any()
        assert growth[~layer.mask].any()


def test_new_synapses_start_at_zero_with_no_optimizer_state():
    learner = trained()
    before = [layer.mask.clone() for layer in learner.layers]
    moved = rewire_all(learner, CONFIG, [70, 20], epoch=1)
    for old, layer, counts in zip(before, learner.layers, moved, strict=True):
        changed = old ^ layer.mask
        assert changed.sum() == counts["drop"] + counts["grow"] > 0
        for array in (layer.weight, *moments(learner, layer.weight).values()):
            assert not array[changed].any()


def test_a_rewiring_grows_where_the_momentum_is_largest_whatever_its_sign():
    learner = trained()
    strong = [torch.nonzero(~layer.mask)[-1] for layer in learner.layers]
    for growth, (target, source) in zip(learner.growth, strong, strict=True):
        growth.fill_(0.1)
        growth[target, source] = -5.0
    moved = rewire_all(learner, CONFIG, [70, 20], epoch=1)
    for layer, counts, (target, source) in zip(learner.layers, moved, strong, strict=True):
        assert 0 < counts["grow"] < int((~layer.mask).sum())
        assert layer.mask[target, source]


def test_arrays_hold_everything():
    arrays = to_arrays(trained())
    again = to_arrays(from_arrays(arrays, CONFIG))
    assert arrays.keys() == again.keys()
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)


def test_learning_rate_falls_as_half_a_cosine():
    rates = [learning_rate(0.1, step, 10) for step in range(10)]
    assert rates[0] == 0.1
    assert rates == sorted(rates, reverse=True)
    assert rates[5] == 0.05
    assert 0 < rates[-1] < 0.01


def test_the_same_seed_starts_the_same():
    one, other = (new_learner(CONFIG, [20, 10, 4], [70, 20]) for _ in range(2))
    for a, b in zip(one.layers, other.layers, strict=True):
        assert torch.equal(a.weight, b.weight)
