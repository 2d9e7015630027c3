"""Methods bound to a learner: first masks, what follows a training step, and rewirings."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from toolchain.errors import InputError
from toolchain.train import hidden
from toolchain.train.config import TrainConfig
from toolchain.train.hidden import HIDDEN, Point, Strength
from toolchain.train.learner import (
    Learner,
    array,
    assert_masked,
    follow_gradients,
    moments,
    step,
)
from toolchain.train.masks import DROP, GROW, BoolArray, Evidence, protected, random_mask, rewire
from toolchain.train.model import Model, Trained, trained
from toolchain.train.schedule import METHODS, Course, Moment

Moved = dict[str, dict[str, int]]  # set of synapses -> how many it lost, got in new places

_STARTING, _REWIRING = 0, 2  # streams of random numbers; loop uses 1 and 3


def start(model: Model, course: Course, rng: Generator) -> None:
    """Leave each set of synapses its first number of them, at random places.

    Weights grow by the root of what went, so that a neuron is driven as if it had them all.
    """
    for part in trained(model):
        count, size = course.first[part.name], part.mask.numel()
        rows = part.mask.shape[0]
        mask = random_mask((rows, size // rows), count, rng).reshape(part.mask.shape)
        with torch.no_grad():
            part.mask.copy_(torch.from_numpy(mask))
            part.weight.mul_(part.mask * sqrt(size / max(count, 1)))


def first_strengths(model: Model, course: Course, config: TrainConfig) -> dict[str, Strength]:
    """The hidden strengths of a method that has them."""
    method = HIDDEN.get(config.sparsity.method)
    if method is None:
        return {}
    rng = np.random.default_rng([config.training.seed, _STARTING, 1])
    return {
        part.name: method.first(part.weight.detach(), part.mask, rng)
        for part in trained(model)
        if part.name in course.rewired
    }


def learn(learner: Learner, course: Course, config: TrainConfig, *, rate: float, at: int) -> Moved:
    """Training step `at`, counted from 1: what the gradients in the model ask for.

    Weights keep their dense gradients, which growth may read. No weight appears without a synapse.
    """
    dense = follow_gradients(learner, momentum=config.sparsity.momentum)
    frozen = not course.steps or at > course.steps[-1]
    for part in trained(learner.model):
        if (strength := learner.strengths.get(part.name)) is not None:
            strength.theta.grad = _for_theta(part, strength, config, frozen=frozen)
    step(learner, rate)
    moved: Moved = {}
    rng = np.random.default_rng([config.training.seed, _REWIRING, 1, at])
    for part in trained(learner.model):
        if (strength := learner.strengths.get(part.name)) is not None:
            point = _point(part, course, at, rate)
            moved[part.name] = _follow(learner, part, strength, point, config, rng, frozen)
        part.weight.grad = dense[part.name]
    return moved


def _for_theta(part: Trained, strength: Strength, config: TrainConfig, *, frozen: bool) -> Tensor:
    assert part.weight.grad is not None
    if frozen:
        return part.weight.grad * part.mask
    rests = HIDDEN[config.sparsity.method].rests
    return hidden.gradient(strength, part.mask, part.weight.grad, rests=rests)


def _point(part: Trained, course: Course, at: int, rate: float) -> Point:
    share = min(1.0, at / course.steps[-1]) if course.steps else 1.0
    return Point(share=share, rate=rate, target=_target(part, course))


def _target(part: Trained, course: Course) -> int | None:
    return None if course.targets is None else course.targets[part.name]


def _follow(
    learner: Learner,
    part: Trained,
    strength: Strength,
    point: Point,
    config: TrainConfig,
    rng: Generator,
    frozen: bool,
) -> dict[str, int]:
    """Set weight and mask from strengths that the optimizer has just moved."""
    method = HIDDEN[config.sparsity.method]
    with torch.no_grad():
        if frozen:
            part.weight.copy_(strength.theta * part.mask)
            return {"drop": 0, "grow": 0}
        weight, mask = method.follow(strength, part.mask, point, config.sparsity, rng)
        moved = _difference(part.mask, mask)
        stayed = part.mask & mask
        if method.rests:
            for moment in moments(learner, part.name).values():
                moment.masked_fill_(~stayed, 0)
        part.weight.copy_(weight.masked_fill(~mask, 0))
        part.mask.copy_(mask)
    return moved


def _difference(before: Tensor, after: Tensor) -> dict[str, int]:
    return {"drop": int((before & ~after).sum()), "grow": int((after & ~before).sum())}


def rewire_all(learner: Learner, course: Course, config: TrainConfig, *, at: int) -> Moved:
    """The rewiring that follows training step `at`: of each layer, or of all as one."""
    parts = [part for part in trained(learner.model) if part.name in course.rewired]
    if learner.strengths:
        return {part.name: _freeze(learner, part, course, config) for part in parts}
    rng = np.random.default_rng([config.training.seed, _REWIRING, 0, at])
    groups = [parts] if config.sparsity.counts_over == "global" else [[part] for part in parts]
    moved: Moved = {}
    for group in groups:
        moved |= _rewire(learner, group, course, config, at, rng)
    return moved


def _freeze(learner: Learner, part: Trained, course: Course, config: TrainConfig) -> dict[str, int]:
    """End the moving of a method with hidden strengths: from here on theta is the weight."""
    strength, target = learner.strengths[part.name], _target(part, course)
    if target is None and not part.mask.any():
        raise InputError(
            f"[sparsity] threshold = {config.sparsity.threshold:g}: leaves layer '{part.name}' no"
            " synapse; lower it, or leave it out and give a density"
        )
    method = HIDDEN[config.sparsity.method]
    with torch.no_grad():
        weight, mask = hidden.freeze(method, strength, part.weight, part.mask, target)
        moved = _difference(part.mask, mask)
        part.weight.copy_(weight)
        part.mask.copy_(mask)
        for moment in moments(learner, part.name).values():
            moment.masked_fill_(~mask, 0)
    assert_masked(learner, part, optimizer=True)
    return moved


def _rewire(
    learner: Learner,
    group: Sequence[Trained],
    course: Course,
    config: TrainConfig,
    at: int,
    rng: Generator,
) -> Moved:
    """Rewire these sets of synapses by one plan."""
    sparsity = config.sparsity
    seen = _evidence(learner, group)
    mask = _joined([array(part.mask) for part in group])
    plan = METHODS[sparsity.method](_moment(group, seen, mask, course, at), sparsity)
    scores = DROP[sparsity.drop_rule](seen, mask)
    if len(group) > 1:
        pieces = zip(_split(mask, group), _split(scores, group), strict=True)
        scores = _joined([protected(*piece) for piece in pieces])
    new = rewire(mask, scores, GROW[sparsity.grow_rule](seen, rng), drop=plan.drop, grow=plan.grow)
    moved: Moved = {}
    for part, held in zip(group, _split(new, group), strict=True):
        moved[part.name] = _set_mask(learner, part, torch.from_numpy(held).to(part.mask.device))
    return moved


def _evidence(learner: Learner, group: Sequence[Trained]) -> Evidence:
    gradients = [part.weight.grad for part in group]
    return Evidence(
        weights=_joined([array(part.weight) for part in group]),
        gradient=_joined([array(gradient) for gradient in gradients if gradient is not None]),
        momentum=_joined([array(learner.growth[part.name]) for part in group]),
    )


def _moment(
    group: Sequence[Trained], seen: Evidence, mask: BoolArray, course: Course, at: int
) -> Moment:
    names = [part.name for part in group]
    targets = course.targets
    return Moment(
        weights=seen.weights,
        mask=mask,
        first=sum(course.first[name] for name in names),
        target=None if targets is None else sum(targets[name] for name in names),
        number=course.number(at),
        rewirings=len(course.steps),
    )


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One array as (target, the rest); several as one long target."""
    if len(arrays) == 1:
        return arrays[0].reshape(len(arrays[0]), -1)
    return np.concatenate([held.ravel() for held in arrays])[None]


def _split(joined: NDArray[Any], group: Sequence[Trained]) -> list[NDArray[Any]]:
    """Each set's piece of what was joined, in its own shape."""
    ends = np.cumsum([part.mask.numel() for part in group])
    pieces = np.split(joined.ravel(), ends[:-1])
    return [p.reshape(part.mask.shape) for p, part in zip(pieces, group, strict=True)]


def _set_mask(learner: Learner, part: Trained, mask: Tensor) -> dict[str, int]:
    """Synapses that go lose weight and optimizer state; those in new places start with both at 0.

    One that is dropped and regrown at once, where no other place is left, keeps both.
    """
    stayed, moved = part.mask & mask, _difference(part.mask, mask)
    with torch.no_grad():
        part.mask.copy_(mask)
        for tensor in (part.weight, *moments(learner, part.name).values()):
            tensor.masked_fill_(~stayed, 0)
    assert_masked(learner, part, optimizer=True)
    return moved
