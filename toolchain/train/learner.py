"""What learning changes: layers, the optimizer's state, and the momentum that growth reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolchain.train.config import TrainConfig
from toolchain.train.models import Layer, first_layer_values, names

Arrays = dict[str, NDArray[np.generic]]

_MOMENTS = ("exp_avg", "exp_avg_sq")  # what AdamW keeps for every weight


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learner:
    """Layers with their optimizer; everything a checkpoint must hold."""

    layers: list[Layer]
    optimizer: torch.optim.AdamW
    # Exponential mean of each layer's dense gradient. Apart from the optimizer, whose state must
    # be 0 wherever no synapse is: else Adam revives what was dropped ("zombie weights").
    growth: list[Tensor]


def new_learner(config: TrainConfig, sizes: list[int], counts: list[int]) -> Learner:
    """A learner at the start of a run; `sizes` from input to output, `counts` of synapses."""
    rng = np.random.default_rng([config.training.seed, 0])
    layers = [
        first_layer_values(name, (target, source), count, config.network, rng)
        for name, source, target, count in zip(
            names(config.network.hidden), sizes[:-1], sizes[1:], counts, strict=True
        )
    ]
    return _learner(layers, config)


def _learner(layers: list[Layer], config: TrainConfig) -> Learner:
    groups = [
        {
            "params": [layer.weight for layer in layers],
            "weight_decay": config.training.weight_decay,
        }
    ]
    if config.network.bias:
        groups.append({"params": [layer.v_leak for layer in layers], "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, lr=config.training.learning_rate)
    return Learner(
        layers=layers,
        optimizer=optimizer,
        growth=[torch.zeros_like(layer.weight, requires_grad=False) for layer in layers],
    )


def learning_rate(base: float, step: int, steps: int) -> float:
    """The rate of a step, counted from 0: half a cosine from `base` toward 0."""
    return base / 2 * (1 + cos(pi * step / steps))


def update(learner: Learner, rate: float, *, momentum: float) -> None:
    """One step along the gradients that lie in the layers; no weight appears without a synapse.

    The layers keep their dense gradients: growth may read them.
    """
    dense = [_gradient(layer) for layer in learner.layers]
    for layer, growth, gradient in zip(learner.layers, learner.growth, dense, strict=True):
        growth.mul_(momentum).add_(gradient, alpha=1 - momentum)
        layer.weight.grad = gradient.masked_fill(~layer.mask, 0)
    for group in learner.optimizer.param_groups:
        group["lr"] = rate
    learner.optimizer.step()
    for layer, gradient in zip(learner.layers, dense, strict=True):
        layer.weight.grad = gradient
        assert_masked(learner, layer)


def _gradient(layer: Layer) -> Tensor:
    assert layer.weight.grad is not None, layer.name
    return layer.weight.grad


def is_finite(learner: Learner) -> bool:
    """Whether every weight and bias is a number."""
    return all(
        bool(torch.isfinite(parameter.detach().sum()))
        for layer in learner.layers
        for parameter in (layer.weight, layer.v_leak)
    )


def moments(learner: Learner, parameter: Tensor) -> dict[str, Tensor]:
    """The optimizer's two moments of a weight matrix or bias."""
    state = learner.optimizer.state[parameter]
    return {moment: state[moment] for moment in _MOMENTS}


def assert_masked(learner: Learner, layer: Layer) -> None:
    """Where no synapse is, weight and optimizer state are exactly 0."""
    for array in (layer.weight.detach(), *moments(learner, layer.weight).values()):
        assert not torch.count_nonzero(array.masked_fill(layer.mask, 0)), layer.name


def to_arrays(learner: Learner) -> Arrays:
    """Everything a learner holds, under the name of its layer."""
    arrays: Arrays = layer_arrays(learner.layers)
    for layer, growth in zip(learner.layers, learner.growth, strict=True):
        arrays[f"{layer.name}.growth"] = growth.numpy()
        for part, parameter in _trained(layer):
            state = learner.optimizer.state[parameter]
            for key in ("step", *_MOMENTS):
                arrays[f"{layer.name}.{part}.{key}"] = state[key].numpy()
    return arrays


def from_arrays(arrays: Mapping[str, NDArray[np.generic]], config: TrainConfig) -> Learner:
    """The learner of which `to_arrays` made these."""
    learner = _learner(layers_from_arrays(arrays, config), config)
    for layer, growth in zip(learner.layers, learner.growth, strict=True):
        growth.copy_(_tensor(arrays, f"{layer.name}.growth"))
        for part, parameter in _trained(layer):
            learner.optimizer.state[parameter] = {
                key: _tensor(arrays, f"{layer.name}.{part}.{key}") for key in ("step", *_MOMENTS)
            }
    return learner


def layer_arrays(layers: list[Layer]) -> Arrays:
    """Weights, masks and biases."""
    arrays: Arrays = {}
    for layer in layers:
        arrays[f"{layer.name}.weight"] = layer.weight.detach().numpy()
        arrays[f"{layer.name}.mask"] = layer.mask.numpy()
        arrays[f"{layer.name}.v_leak"] = layer.v_leak.detach().numpy()
    return arrays


def layers_from_arrays(
    arrays: Mapping[str, NDArray[np.generic]], config: TrainConfig
) -> list[Layer]:
    """The layers of which `layer_arrays` made these; raises KeyError naming what is missing."""
    return [
        Layer(
            name=name,
            weight=_tensor(arrays, f"{name}.weight").requires_grad_(),
            mask=_tensor(arrays, f"{name}.mask"),
            v_leak=_tensor(arrays, f"{name}.v_leak").requires_grad_(config.network.bias),
        )
        for name in names(config.network.hidden)
    ]


def _tensor(arrays: Mapping[str, NDArray[np.generic]], name: str) -> Tensor:
    return torch.from_numpy(arrays[name].copy())


def _trained(layer: Layer) -> list[tuple[str, Tensor]]:
    parameters = [("weight", layer.weight), ("v_leak", layer.v_leak)]
    return [(part, parameter) for part, parameter in parameters if parameter.requires_grad]
