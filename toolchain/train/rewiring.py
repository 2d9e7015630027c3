"""Rewiring a learner: gathers weights and gradients, asks schedule and masks, sets the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolchain.train.config import TrainConfig
from toolchain.train.learner import Learner, assert_masked, moments
from toolchain.train.masks import DROP, GROW, Evidence, rewire
from toolchain.train.models import Layer
from toolchain.train.schedule import METHODS, Moment, Plan

_REWIRING = 2  # names this stream of random numbers; learner uses 0, loop 1


def rewire_all(
    learner: Learner, config: TrainConfig, targets: list[int], epoch: int
) -> list[dict[str, int]]:
    """Rewire every layer after an epoch; how many synapses each lost, and got in new places."""
    rng = np.random.default_rng([config.training.seed, _REWIRING, epoch])
    return [
        _rewire_layer(learner, index, config, target, epoch, rng)
        for index, target in enumerate(targets)
    ]


def _rewire_layer(
    learner: Learner,
    index: int,
    config: TrainConfig,
    target: int,
    epoch: int,
    rng: np.random.Generator,
) -> dict[str, int]:
    layer = learner.layers[index]
    seen = _evidence(layer, learner.growth[index])
    plan = _plan(layer, seen, config, target, epoch)
    mask = rewire(
        layer.mask.numpy(),
        DROP[config.sparsity.drop](seen, rng),
        GROW[config.sparsity.grow](seen, rng),
        drop=plan.drop,
        grow=plan.grow,
    )
    before = layer.mask.numpy().copy()
    _set_mask(learner, layer, torch.from_numpy(mask))
    return {"drop": int((before & ~mask).sum()), "grow": int((mask & ~before).sum())}


def _plan(layer: Layer, seen: Evidence, config: TrainConfig, target: int, epoch: int) -> Plan:
    moment = Moment(
        weights=seen.weights,
        mask=layer.mask.numpy(),
        target=target,
        epoch=epoch,
        stop=config.stop_epoch,
        last=epoch == config.rewiring_epochs[-1],
    )
    return METHODS[config.sparsity.method](moment, config.sparsity)


def _evidence(layer: Layer, growth: Tensor) -> Evidence:
    assert layer.weight.grad is not None
    return Evidence(
        weights=_float64(layer.weight),
        gradient=_float64(layer.weight.grad),
        momentum=_float64(growth),
    )


def _float64(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().numpy().astype(np.float64)


def _set_mask(learner: Learner, layer: Layer, mask: Tensor) -> None:
    """Synapses that go lose weight and optimizer state; those in new places start with both at 0.

    One that is dropped and regrown at once, where no other place is left, keeps both.
    """
    stayed = layer.mask & mask
    with torch.no_grad():
        layer.mask.copy_(mask)
        for tensor in (layer.weight, *moments(learner, layer.weight).values()):
            tensor.masked_fill_(~stayed, 0)
    assert_masked(learner, layer)
