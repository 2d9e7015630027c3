"""What learning changes: a model, the optimizer's state, and the momentum that growth reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolchain.train.config import TrainConfig
from toolchain.train.hidden import Strength
from toolchain.train.model import Model, Trained, parameters, tensors, trained
from toolchain.train.model_file import rebuild

Arrays = dict[str, NDArray[np.generic]]

_MOMENTS = ("exp_avg", "exp_avg_sq")  # what AdamW keeps for every weight


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learner:
    """A model with its optimizer; everything a checkpoint must hold."""

    model: Model
    optimizer: torch.optim.AdamW
    # Exponential mean of each weight's dense gradient. Apart from the optimizer, whose state must
    # be 0 wherever no synapse is: else Adam revives what was dropped ("zombie weights").
    growth: dict[str, Tensor]
    strengths: dict[str, Strength]  # of methods that have them: what is moved in a weight's place


def new_learner(
    model: Model, config: TrainConfig, strengths: dict[str, Strength] | None = None
) -> Learner:
    """A learner at the start of a run."""
    held = moved(model, strengths or {})
    weights = [tensor for name, tensor in held.items() if name.endswith(".weight")]
    others = [tensor for name, tensor in held.items() if not name.endswith(".weight")]
    groups = [{"params": weights, "weight_decay": config.training.weight_decay}]
    if others:
        groups.append({"params": others, "weight_decay": 0.0})
    return Learner(
        model=model,
        optimizer=torch.optim.AdamW(groups, lr=config.training.learning_rate, fused=True),
        growth={t.name: torch.zeros_like(t.weight, requires_grad=False) for t in trained(model)},
        strengths=strengths or {},
    )


def moved(model: Model, strengths: Mapping[str, Strength]) -> dict[str, Tensor]:
    """What the optimizer moves, under the name of the parameter that it stands for."""
    hidden = {f"{name}.weight": strength.theta for name, strength in strengths.items()}
    return parameters(model) | hidden


def learning_rate(base: float, step: int, steps: int) -> float:
    """The rate of a step, counted from 0: half a cosine from `base` toward 0."""
    return base / 2 * (1 + cos(pi * step / steps))


def clip(learner: Learner, norm: float) -> None:
    """Scale all gradients down alike where those of what exists have a larger norm than this."""
    masks = {f"{part.name}.weight": part.mask for part in trained(learner.model)}
    held = {n: p.grad for n, p in parameters(learner.model).items() if p.grad is not None}
    there = [grad * masks[name] if name in masks else grad for name, grad in held.items()]
    scale = norm / torch.nn.utils.get_total_norm(there).clamp(min=norm)
    for grad in held.values():
        grad *= scale


def follow_gradients(learner: Learner, *, momentum: float) -> dict[str, Tensor]:
    """Let growth's momentum see the dense gradients, which are given back; mask them for learning.

    Where strengths are, what they are moved by is up to their method.
    """
    dense: dict[str, Tensor] = {}
    for part in trained(learner.model):
        assert part.weight.grad is not None, part.name
        dense[part.name] = part.weight.grad
        learner.growth[part.name].mul_(momentum).add_(part.weight.grad, alpha=1 - momentum)
        if part.name not in learner.strengths:
            part.weight.grad = part.weight.grad * part.mask
    return dense


def step(learner: Learner, rate: float) -> None:
    """One step of the optimizer along the gradients that lie in what it moves."""
    for group in learner.optimizer.param_groups:
        group["lr"] = rate
    learner.optimizer.step()


def is_finite(learner: Learner) -> bool:
    """Whether every number of the model, its gradients and its hidden strengths is one.

    (Where a strength is not, no synapse exists, and its weight is 0.)
    """
    held = [tensor for tensor in tensors(learner.model).values() if tensor.is_floating_point()]
    held += [tensor.grad for tensor in held if tensor.grad is not None]
    held += [strength.theta for strength in learner.strengths.values()]
    return bool(torch.isfinite(torch.stack([tensor.detach().sum() for tensor in held])).all())


def moments(learner: Learner, name: str) -> dict[str, Tensor]:
    """The optimizer's two moments of a weight, or of the strength in its place."""
    state = learner.optimizer.state[moved(learner.model, learner.strengths)[f"{name}.weight"]]
    return {moment: state[moment] for moment in _MOMENTS}


def assert_masked(learner: Learner, part: Trained, *, optimizer: bool) -> None:
    """Where no synapse is, the weight, and the optimizer's state if it is meant, are exactly 0."""
    held = [part.weight.detach(), *(moments(learner, part.name).values() if optimizer else ())]
    for array in held:
        assert not torch.count_nonzero(array.masked_fill(part.mask, 0)), part.name


def to_arrays(learner: Learner) -> Arrays:
    """Everything a learner holds, under its name."""
    arrays: Arrays = model_arrays(learner.model)
    for name, growth in learner.growth.items():
        arrays[f"{name}.growth"] = array(growth)
    for name, strength in learner.strengths.items():
        arrays[f"{name}.theta"], arrays[f"{name}.sign"] = (
            array(strength.theta),
            array(strength.sign),
        )
    for name, parameter in moved(learner.model, learner.strengths).items():
        for key, value in learner.optimizer.state.get(parameter, {}).items():
            arrays[f"{name}.{key}"] = array(value)
    return arrays


def from_arrays(
    arrays: Mapping[str, NDArray[np.generic]],
    described: Mapping[str, Any],
    config: TrainConfig,
) -> Learner:
    """The learner of which `to_arrays` made these; raises KeyError naming what is missing."""
    device = config.training.device
    model = model_from_arrays(arrays, described, device)
    strengths = {
        part.name: Strength(
            theta=_tensor(arrays, f"{part.name}.theta", device),
            sign=_tensor(arrays, f"{part.name}.sign", device),
        )
        for part in trained(model)
        if f"{part.name}.theta" in arrays
    }
    learner = new_learner(model, config, strengths)
    for name, growth in learner.growth.items():
        growth.copy_(_tensor(arrays, f"{name}.growth", device))
    for name, parameter in moved(model, strengths).items():
        if f"{name}.step" in arrays:
            learner.optimizer.state[parameter] = {
                key: _tensor(arrays, f"{name}.{key}", device) for key in ("step", *_MOMENTS)
            }
    return learner


def model_arrays(model: Model) -> Arrays:
    """Weights, masks, norms and biases."""
    return {name: array(tensor) for name, tensor in tensors(model).items()}


def model_from_arrays(
    arrays: Mapping[str, NDArray[np.generic]], described: Mapping[str, Any], device: str = "cpu"
) -> Model:
    """The model of which `model_arrays` made these; raises KeyError naming what is missing."""
    return rebuild(described, lambda name: _tensor(arrays, name, device))


def _tensor(arrays: Mapping[str, NDArray[np.generic]], name: str, device: str) -> Tensor:
    return torch.from_numpy(arrays[name].copy()).to(device)


def array(tensor: Tensor) -> NDArray[Any]:
    """A tensor's numbers."""
    held: NDArray[Any] = tensor.detach().cpu().numpy()
    return held
