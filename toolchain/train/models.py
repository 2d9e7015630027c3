"""Fully connected norse networks: a matrix product over all timesteps, then norse step by step.

norse's letters (i, v, z) are used here only; elsewhere they are u, v, s.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toolchain.train.config_network import NetworkConfig
from toolchain.train.masks import random_mask

with warnings.catch_warnings():
    # norse 1.1.0 compiles with torch.jit.script while it is imported; torch 2.13 deprecates that.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
    from norse.torch.functional.lif_box import (
        LIFBoxFeedForwardState,
        LIFBoxParameters,
        lif_box_feed_forward_step,
    )

_GAIN = 2.0  # first weights: how far, in thresholds, a full drive moves v; found by trial


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """A population and the synapses into it. Learning changes the tensors in place."""

    name: str
    weight: Tensor  # (target, source); exactly 0 where the mask is False
    mask: Tensor  # bool, same shape; True where a synapse exists
    v_leak: Tensor  # (target,) where v rests, in units of v; 0 unless biases are trained


def names(hidden: Sequence[int]) -> list[str]:
    """Names of the populations, in order."""
    return [*(f"hidden{number}" for number in range(1, len(hidden) + 1)), "output"]


def first_layer_values(
    name: str, shape: tuple[int, int], count: int, config: NetworkConfig, rng: np.random.Generator
) -> Layer:
    """A layer with `count` random synapses of normally distributed weights."""
    mask = random_mask(shape, count, rng)
    decay_u = config.dt * config.tau_syn_inv if config.neuron == "lif" else 1.0
    deviation = _GAIN * config.v_th * decay_u / np.sqrt(max(count / shape[0], 1.0))
    weights = rng.standard_normal(shape) * deviation * mask
    return Layer(
        name=name,
        weight=torch.from_numpy(weights.astype(np.float32)).requires_grad_(),
        mask=torch.from_numpy(mask),
        v_leak=torch.zeros(shape[0]).requires_grad_(config.bias),
    )


def forward(layers: Iterable[Layer], spikes: Tensor, config: NetworkConfig) -> list[Tensor]:
    """Spikes (timesteps, samples, neurons) of every population, for those of the input.

    State is 0 at the start of every sample.
    """
    every = []
    for layer in layers:
        steps, samples, sources = spikes.shape
        currents = spikes.reshape(steps * samples, sources) @ layer.weight.T
        spikes = NEURONS[config.neuron](currents.view(steps, samples, -1), layer.v_leak, config)
        every.append(spikes)
    return every


def _lif(currents: Tensor, v_leak: Tensor, config: NetworkConfig) -> Tensor:
    """norse's LIF over (timesteps, samples, neurons)."""
    zero = torch.zeros_like(currents[0])
    parameters = LIFParameters(tau_syn_inv=config.tau_syn_inv, **_shared(v_leak, config))
    step = partial(lif_feed_forward_step, p=parameters, dt=config.dt)
    return _over_time(step, LIFFeedForwardState(v=zero, i=zero), currents)


def _lifbox(currents: Tensor, v_leak: Tensor, config: NetworkConfig) -> Tensor:
    """norse's LIFBox, without a synaptic current, over (timesteps, samples, neurons)."""
    parameters = LIFBoxParameters(**_shared(v_leak, config))
    step = partial(lif_box_feed_forward_step, p=parameters, dt=config.dt)
    return _over_time(step, LIFBoxFeedForwardState(v=torch.zeros_like(currents[0])), currents)


def _shared(v_leak: Tensor, config: NetworkConfig) -> dict[str, Any]:
    """The parameters that both neurons have."""
    return {
        "tau_mem_inv": config.tau_mem_inv,
        "v_leak": v_leak,
        "v_th": config.v_th,
        "v_reset": 0.0,
        "method": "super",
    }


def _over_time(step: Callable[..., tuple[Tensor, Any]], state: Any, currents: Tensor) -> Tensor:
    """The spikes of norse's step, timestep after timestep."""
    every = []
    for current in currents.unbind():
        z, state = step(current, state)
        every.append(z)
    return torch.stack(every)


NEURONS: dict[str, Callable[[Tensor, Tensor, NetworkConfig], Tensor]] = {
    "lif": _lif,
    "lifbox": _lifbox,
}
