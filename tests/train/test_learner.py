"""A learner: nothing lives where no synapse is, and its arrays are all of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toolchain.encoding import Encoding
from toolchain.train.architectures import build
from toolchain.train.checkpoint import Progress
from toolchain.train.config import TrainConfig
from toolchain.train.config_data import DataConfig
from toolchain.train.config_network import NetworkConfig
from toolchain.train.config_sparsity import PRESETS, SparsityConfig
from toolchain.train.config_training import TrainingConfig
from toolchain.train.data import Dataset, Samples
from toolchain.train.hidden import HIDDEN
from toolchain.train.learner import (
    Learner,
    assert_masked,
    clip,
    from_arrays,
    learning_rate,
    moments,
    new_learner,
    to_arrays,
)
from toolchain.train.loop import Setting, train_epoch
from toolchain.train.model import Trained, parameters
from toolchain.train.model import trained as parts_of
from toolchain.train.model_file import describe
from toolchain.train.rewiring import first_strengths, rewire_all, start
from toolchain.train.schedule import course
from toolchain.train.world import World

CONFIG = TrainConfig(
    data=DataConfig(name="digits"),
    network=NetworkConfig(hidden=(10,)),
    training=TrainingConfig(batch_size=32, epochs=8),
    sparsity=SparsityConfig(method="esl", density=0.3, drop_fraction=0.5),
)


LAYERS = {"hidden1": (10, 20), "output": (4, 10)}
EPOCH_STEPS = 2


def configured(**sparsity) -> TrainConfig:
    return CONFIG.model_copy(update={"sparsity": SparsityConfig(**sparsity)})


def samples(count: int = 64) -> Samples:
    rng = np.random.default_rng(0)
    return Samples(
        values=rng.integers(0, 17, (count, 1, 4, 5)).astype(np.uint8),
        labels=rng.integers(0, 4, count),
        indices=np.arange(count),
    )


def begun(config: TrainConfig, seed: int = 0) -> tuple[Learner, Setting]:
    """A learner before its first step."""
    code = Encoding(kind="rate", timesteps=16, sample=(1, 4, 5), minimum=0, maximum=16)
    data = samples()
    dataset = Dataset(train=data, validation=data, test=data, classes=4, encoding=code)
    planned = course(config, LAYERS, epoch_steps=EPOCH_STEPS)
    rng = np.random.default_rng([seed, 0])
    model = build(config.network, dataset.shape, 4, rng)
    start(model, planned, rng)
    learner = new_learner(model, config, first_strengths(model, planned, config))
    watch = World(), lambda *_: None
    setting = Setting(
        config=config, dataset=dataset, course=planned, world=watch[0], watch=watch[1]
    )
    return learner, setting


def one_epoch(learner: Learner, setting: Setting, epoch: int) -> Progress:
    return train_epoch(
        learner, setting, Progress(), epoch=epoch, stopped=False, pause=lambda progress: None
    )


def trained(epochs: int = 1, config: TrainConfig = CONFIG) -> tuple[Learner, Setting]:
    """(learner, setting) after so many epochs, rewired where the course says so."""
    learner, setting = begun(config)
    for epoch in range(1, epochs + 1):
        one_epoch(learner, setting, epoch)
        if epoch < epochs and epoch * EPOCH_STEPS in setting.course.steps:
            rewired(learner, setting, epoch)
    return learner, setting


def rewired(learner: Learner, setting: Setting, epoch: int = 1) -> dict[str, dict[str, int]]:
    return rewire_all(learner, setting.course, setting.config, at=epoch * EPOCH_STEPS)


def layers(learner: Learner) -> list[Trained]:
    return list(parts_of(learner.model))


def test_where_no_synapse_is_weight_and_optimizer_state_are_zero_but_growth_is_not():
    learner, _ = trained()
    for layer, growth in zip(layers(learner), learner.growth.values(), strict=True):
        for array in (layer.weight, *moments(learner, layer.name).values()):
            assert not array[~layer.mask].any()
            assert array[layer.mask].any()
        assert growth[~layer.mask].any()


def test_new_synapses_start_at_zero_with_no_optimizer_state():
    learner, setting = trained()
    before = [layer.mask.clone() for layer in layers(learner)]
    moved = rewired(learner, setting)
    for old, layer in zip(before, layers(learner), strict=True):
        changed = old ^ layer.mask
        assert changed.sum() == sum(moved[layer.name].values()) > 0
        for array in (layer.weight, *moments(learner, layer.name).values()):
            assert not array[changed].any()


def test_a_rewiring_grows_where_the_momentum_is_largest_whatever_its_sign():
    learner, setting = trained()
    strong = [torch.nonzero(~layer.mask)[-1] for layer in layers(learner)]
    for growth, (target, source) in zip(learner.growth.values(), strong, strict=True):
        growth.fill_(0.1)
        growth[target, source] = -5.0
    moved = rewired(learner, setting)
    for layer, (target, source) in zip(layers(learner), strong, strict=True):
        assert 0 < moved[layer.name]["grow"] < int((~layer.mask).sum())
        assert layer.mask[target, source]


@pytest.mark.parametrize("method", PRESETS)
def test_every_method_ends_with_its_synapses_and_nothing_elsewhere(method):
    """Whatever moves the synapses: after stop_epoch their number is the target's."""
    config = configured(method=method, density=0.3, stop_epoch=3)
    for epochs in range(1, 6):
        learner, setting = trained(epochs, config)
        for layer in layers(learner):
            count = int(layer.mask.sum())
            assert count >= setting.course.targets[layer.name] or method in ("grad-r", "stds")
            if epochs > 3:
                assert count == setting.course.targets[layer.name]
                assert_masked(learner, layer, optimizer=True)
            assert not layer.weight[~layer.mask].any()
            assert layer.weight[layer.mask].any()


@pytest.mark.parametrize("method", ["two-stage", "fixed-ratio", "gmp", "ndsnn", "esl"])
def test_rewired_as_one_the_layers_share_the_total_and_none_is_emptied(method):
    config = configured(method=method, density=0.1, stop_epoch=3, scope="global")
    learner, setting = trained(5, config)
    counts = [int(layer.mask.sum()) for layer in layers(learner)]
    assert sum(counts) == sum(setting.course.targets.values()) == 24
    assert min(counts) >= 1


def test_as_one_the_weakest_of_all_go():
    """With the second layer's weights far above the first's, only the first loses synapses."""
    config = configured(method="gmp", start_density=0.6, density=0.5, stop_epoch=1, scope="global")
    learner, setting = trained(1, config)
    with torch.no_grad():
        layers(learner)[1].weight.mul_(1e6)
    moved = rewired(learner, setting)
    assert moved["hidden1"]["drop"] == 24
    assert moved["output"]["drop"] == 0


def test_as_one_the_weakest_layer_keeps_its_best_synapse():
    config = configured(method="gmp", start_density=0.6, density=0.1, stop_epoch=1, scope="global")
    learner, setting = trained(1, config)
    with torch.no_grad():
        layers(learner)[0].weight.mul_(1e-6)
    best = int(layers(learner)[0].weight.detach().abs().argmax())
    rewired(learner, setting)
    assert torch.nonzero(layers(learner)[0].mask.flatten()).tolist() == [[best]]
    assert int(layers(learner)[1].mask.sum()) == 23


@pytest.mark.parametrize("method", PRESETS)
def test_a_layer_kept_dense_stays_so(method):
    config = configured(method=method, density=0.5, keep_dense=("output",), stop_epoch=2)
    learner, _ = trained(4, config)
    total = sum(int(layer.mask.sum()) for layer in layers(learner))
    assert layers(learner)[1].mask.all()
    assert total == (240 if method == "dense" else 120)


def test_rewirings_within_an_epoch_are_counted():
    config = configured(method="set", density=0.3, every_steps=1, stop_epoch=4)
    learner, setting = trained(1, config)
    assert list(setting.course.steps) == [1, 2, 3, 4, 5, 6, 7, 8]
    progress = one_epoch(learner, setting, 2)
    # the epoch's last step, the fourth, is the run's to rewire after
    assert progress.moved == {
        name: dict.fromkeys(("drop", "grow"), int(0.3 * count))
        for name, count in setting.course.targets.items()
    }


def test_deep_r_holds_its_number_at_every_step_and_moves():
    config = configured(method="deep-r", density=0.3, penalty=5.0)
    first, setting = trained(1, config)
    later, _ = trained(3, config)
    for one, other in zip(layers(first), layers(later), strict=True):
        assert one.mask.sum() == other.mask.sum() == setting.course.targets[one.name]
        assert (one.mask ^ other.mask).any()
        assert_masked(later, other, optimizer=True)


@pytest.mark.parametrize("method", ["esl", *HIDDEN])
def test_arrays_hold_everything(method):
    config = configured(method=method, density=0.3)
    learner, _ = trained(config=config)
    arrays = to_arrays(learner)
    again = to_arrays(from_arrays(arrays, describe(learner.model), config))
    assert arrays.keys() == again.keys()
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)
    assert ("output.theta" in arrays) == (method in HIDDEN)


def test_learning_rate_falls_as_half_a_cosine():
    rates = [learning_rate(0.1, step, 10) for step in range(10)]
    assert rates[0] == 0.1
    assert rates == sorted(rates, reverse=True)
    assert rates[5] == 0.05
    assert 0 < rates[-1] < 0.01


def test_the_same_seed_starts_the_same_and_another_does_not():
    (one, _), (other, _), (third, _) = begun(CONFIG), begun(CONFIG), begun(CONFIG, seed=1)
    for a, b, c in zip(layers(one), layers(other), layers(third), strict=True):
        assert torch.equal(a.weight, b.weight)
        assert torch.equal(a.mask, b.mask)
        assert not torch.equal(a.mask, c.mask)


@given(seed=st.integers(0, 99), norm=st.floats(0.01, 100))
def test_gradients_of_what_exists_have_at_most_the_norm_asked_for(seed, norm):
    learner, _ = begun(CONFIG, seed)
    rng = np.random.default_rng(seed)
    for parameter in parameters(learner.model).values():
        parameter.grad = torch.from_numpy(rng.normal(0, 3, parameter.shape)).float()
    before = {name: p.grad.clone() for name, p in parameters(learner.model).items()}

    clip(learner, norm)

    after = {name: p.grad for name, p in parameters(learner.model).items()}
    masks = {f"{part.name}.weight": part.mask for part in layers(learner)}
    sizes = [
        torch.cat([(g * masks.get(n, 1)).flatten() for n, g in held.items()]).norm().item()
        for held in (before, after)
    ]
    assert sizes[1] == pytest.approx(min(sizes[0], norm), rel=1e-5)
    for name, gradient in before.items():  # all alike, those without a synapse among them
        torch.testing.assert_close(after[name], gradient * (sizes[1] / sizes[0]))
