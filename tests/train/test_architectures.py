"""Networks by name: the published layer tables, first weights, and inputs that do not suit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toolchain.errors import ConfigError
from toolchain.train.architectures import ARCHITECTURES, build
from toolchain.train.config_network import KEYS, NetworkConfig
from toolchain.train.geometry import (
    parameters,
    seen_shape,
    shapes,
    summary,
    unrolled_synapses,
)
from toolchain.train.model import INPUT, Model, trained
from toolchain.unroll import convolved_shape

SMALL = {  # what each architecture is tried on where its size does not matter
    "mlp": ({"hidden": (7, 5)}, (2, 3, 3)),
    "conv": ({"channels": (3, 4), "hidden": (6,)}, (1, 8, 9)),
    "6conv2fc": ({}, (1, 8, 8)),
    "vggsnn": ({}, (2, 16, 16)),
    "resnet19": ({}, (1, 8, 8)),
    "recurrent": ({"hidden": (7, 5)}, (11,)),
}


def made(name: str, shape: tuple[int, ...], classes: int = 10, seed: int = 0, **keys) -> Model:
    return build(NetworkConfig(model=name, **keys), shape, classes, np.random.default_rng(seed))


def small(name: str, seed: int = 0, **more) -> Model:
    keys, shape = SMALL[name]
    return made(name, shape, 4, seed, **keys, **more)


def test_the_keys_are_those_of_the_table_of_functions():
    assert list(KEYS) == list(ARCHITECTURES) == list(SMALL)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_network_fits_together(name):
    model = small(name)
    known = {INPUT: model.input_shape}
    for layer in model.layers:
        assert layer.name not in known
        known[layer.name] = layer.shape
        for synapses in layer.incoming:
            seen = seen_shape(synapses, model)
            assert synapses.source in known  # and so no loop but a layer's own
            if synapses.weight is None:
                assert (seen, synapses.norm) == (layer.shape, None)
            elif synapses.kernel is None:
                assert synapses.weight.shape == (layer.size, int(np.prod(seen)))
            else:
                channels, inner, *size = synapses.weight.shape
                assert inner == seen[0]
                assert convolved_shape(seen, channels, size, synapses.kernel) == layer.shape
        assert layer.v_leak.shape == layer.shape[:1]
    assert (model.output.name, model.output.shape) == ("output", (4,))
    names = [one.name for one in trained(model)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_trained_requires_a_gradient(name):
    model = small(name, bias=False)
    assert not any(layer.v_leak.requires_grad for layer in model.layers)
    assert all(layer.v_leak.requires_grad for layer in small(name).layers)
    for one in trained(model):
        assert one.weight.requires_grad
        assert one.weight.dtype == torch.float32
        assert bool(one.mask.all())
        norm = one.synapses.norm
        assert norm is None or (norm.gain.requires_grad and norm.offset.requires_grad)


@pytest.mark.parametrize("name", ["mlp", "recurrent"])
def test_the_generator_alone_decides_the_weights(name):
    first, again, other = (next(trained(small(name, seed))).weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_weights_spread_so_that_a_full_drive_moves_v_by_two_thresholds():
    model = made("mlp", (400,), hidden=(500,), v_th=3.0)  # decay_u = 1/2 by default
    weight = next(trained(model)).weight.detach()
    assert float(weight.std() * np.sqrt(400)) == pytest.approx(2 * 3.0 * 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("neuron", "tau_mem_inv"), [("lif", 200.0), ("lif", 900.0), ("lifbox", 100.0), ("lifbox", 1e3)]
)
def test_a_norms_gain_starts_such_that_v_spreads_by_the_threshold(neuron, tau_mem_inv):
    """Measured on noise; where v keeps nothing from step to step the gain is tdBN's, v_th."""
    config = NetworkConfig(neuron=neuron, tau_mem_inv=tau_mem_inv, v_th=3.0, norm=True)
    model = build(config, (4,), 2, np.random.default_rng(0))
    gain = next(trained(model)).synapses.norm.gain.unique().item()
    noise = gain * torch.randn((2000, 200), generator=torch.Generator().manual_seed(0))
    current = v = torch.zeros(200)
    every = []
    for now in noise:
        current = (1 - config.decay_u) * current + now
        v = v + config.dt * tau_mem_inv * (current - v)
        every.append(v)
    assert float(torch.stack(every[100:]).std()) == pytest.approx(3.0, rel=0.02)
    assert tau_mem_inv != 1e3 or gain == pytest.approx(3.0)


def kernels(model: Model) -> list[tuple[int, ...]]:
    return [row.kernel for row in summary(model)]


def test_6conv2fc_is_that_of_gradr_and_stds():
    """36.7M parameters (github Yanqi-Chen/STDS), with ten voters for each of ten classes."""
    model = made("6conv2fc", (3, 32, 32), classes=100)
    assert parameters(model) == 36_715_264
    assert kernels(model)[-2:] == [(2048, 256 * 8 * 8), (100, 2048)]
    assert [layer.incoming[0].dropout for layer in model.layers] == [0.0] * 6 + [0.5, 0.5]


def test_vggsnn_is_that_of_tet():
    """9,217,152 weights of convolutions, 30 % of which are the 2.76M of the two-stage paper."""
    rows = summary(made("vggsnn", (2, 48, 48)))
    assert sum(row.weights for row in rows if len(row.kernel) == 4) == 9_217_152
    assert [row.kernel[0] for row in rows] == [64, 128, 256, 256, 512, 512, 512, 512, 10]
    assert rows[-1].kernel == (10, 4608)


def test_resnet19_is_that_of_tdbn():
    model = made("resnet19", (3, 32, 32))
    names = shapes(model)
    assert len(model.layers) == 19
    assert [names[f"block{n}b"] for n in (3, 6, 8)] == [(128, 32, 32), (256, 16, 16), (512, 8, 8)]
    shortcuts = [layer.incoming[1] for layer in model.layers if layer.name.endswith("b")]
    assert [s.weight is not None for s in shortcuts] == [False] * 3 + [True, *[False] * 2] + [
        True,
        False,
    ]
    assert kernels(model)[-2:] == [(256, 512), (10, 256)]


def test_a_signal_is_convolved_along_time_only():
    model = made("conv", (2, 1, 40), channels=(3, 4), kernel=5)
    assert [row.kernel for row in summary(model)] == [(3, 2, 1, 5), (4, 3, 1, 5), (10, 40)]


def test_recurrent_layers_lead_to_themselves():
    model = small("recurrent")
    loops = [[s.source for s in layer.incoming] for layer in model.layers]
    assert loops == [["input", "hidden1"], ["hidden1", "hidden2"], ["hidden2"]]


def test_unrolled_synapses_are_one_for_each_kernel_weight_at_each_output_position():
    """Those of a convolution of ones by ones: what is padded counts nothing."""
    model = small("resnet19")
    expected = 0
    for one in trained(model):
        ones = torch.ones(1, *seen_shape(one.synapses, model))
        if one.synapses.kernel is None:
            expected += one.weight.numel()
            continue
        weight, kernel = torch.ones(one.weight.shape), one.synapses.kernel
        expected += int(
            torch.nn.functional.conv2d(ones, weight, None, kernel.stride, kernel.padding).sum()
        )
    assert unrolled_synapses(model) == expected


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("conv", (64,), r"'conv': needs an input of channels, height and width, the data has 64"),
        ("vggsnn", (2, 8, 8), r"'vggsnn': 'conv8' is 1 x 1 neurons and cannot be pooled by 2 x 2"),
        ("resnet19", (700,), r"'resnet19': needs .*; choose model = 'mlp'"),
    ],
)
def test_an_input_that_does_not_suit_is_refused(name, shape, message):
    with pytest.raises(ConfigError, match=message):
        made(name, shape)
