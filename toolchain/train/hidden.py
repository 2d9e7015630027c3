"""Methods whose synapses have a hidden strength theta, and come and go at every training step.

theta is what the optimizer moves; weight and mask follow from it, by a method's `follow`:

    deep-r   w = s theta           exists while theta >= 0          Bellec et al. 2018, 1711.05136
    grad-r   w = s max(theta, 0)   exists while theta > 0           Chen et al. 2021, 2105.04916
    stds     w = sign(theta) max(|theta| - d, 0), while |theta| > d     Chen et al. 2022, ICML

s is a sign that never changes. After the last rewiring (`freeze`) exactly the target's synapses
exist, theta is the weight itself, and training goes on as with any other mask: so that all methods
are compared at one density.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log, pi, sin, sqrt

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from toolchain.train.config_sparsity import SparsityConfig
from toolchain.train.masks import BoolArray, FloatArray, highest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strength:
    """The hidden strengths of a set of synapses. Learning changes them in place."""

    theta: Tensor  # float, as the weight
    sign: Tensor  # int8, as the weight: -1 or 1, drawn at first; all 1 for stds


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where in a run a training step is."""

    share: float  # of the steps until the last rewiring, in (0, 1]
    rate: float  # the step's learning rate
    target: int | None  # synapses the set has in the end; None: the method decides


# (strength, mask before the step, point, configuration, random numbers) -> (weight, mask) after
# it; may move theta in place.
Follow = Callable[[Strength, Tensor, Point, SparsityConfig, Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """A method with hidden strengths."""

    first: Callable[[Tensor, Tensor, Generator], Strength]  # of first weights and mask
    follow: Follow  # what the optimizer's move of theta makes of the synapses
    rank: Callable[[Tensor], Tensor]  # of theta; the highest are kept in the end
    rests: bool  # whether theta has neither gradient nor moments where no synapse is


def gradient(strength: Strength, mask: Tensor, dense: Tensor, *, rests: bool) -> Tensor:
    """The gradient of theta, for the dense one of the weights: straight through, but for the sign.

    dE/dtheta = s dE/dw, also where there is no synapse, so that theta may come back; but not where
    it rests.
    """
    signed = dense * strength.sign
    return signed.masked_fill(~mask, 0) if rests else signed


def freeze(
    method: Hidden, strength: Strength, weight: Tensor, mask: Tensor, target: int | None
) -> tuple[Tensor, Tensor]:
    """(weight, mask) with exactly the target's synapses; theta becomes the weight, in place.

    Those of lowest rank go, or the places of highest rank join, with weight 0. Without a target
    the mask stays.
    """
    if target is not None:
        kept = _exactly(mask.cpu().numpy(), method.rank(strength.theta).cpu().numpy(), target)
        mask = torch.from_numpy(kept).to(mask.device)
    weight = weight.detach().masked_fill(~mask, 0)
    strength.theta.copy_(weight)
    strength.sign.fill_(1)
    return weight, mask


def _exactly(mask: BoolArray, ranks: FloatArray, target: int) -> BoolArray:
    lacking = target - int(mask.sum())
    if lacking < 0:
        return highest(mask, ranks, target)
    return mask | highest(~mask, ranks, lacking)


def _first_signed(weight: Tensor, mask: Tensor, rng: Generator) -> Strength:
    """theta = |w| and the sign of w where a synapse is; elsewhere a random sign, and theta 0."""
    random = torch.from_numpy(rng.integers(0, 2, tuple(weight.shape), np.int8) * 2 - 1)
    sign = torch.where(mask, torch.where(weight < 0, -1, 1), random.to(weight.device))
    return Strength(theta=weight.detach().abs(), sign=sign.to(torch.int8))


def _follow_deep_r(
    strength: Strength, mask: Tensor, point: Point, config: SparsityConfig, rng: Generator
) -> tuple[Tensor, Tensor]:
    """DEEP R, Algorithm 1: existing theta drift down and walk at random; as many exist as before.

    theta -= eta alpha, += sqrt(2 eta T) N(0, 1); below 0 it rests, and a synapse drawn from those
    that rested before is born at theta = 0. eta: learning rate, alpha: penalty, T: temperature.
    """
    theta = strength.theta
    count = int(mask.sum())
    noise = rng.standard_normal(count, np.float32) * sqrt(2 * point.rate * config.temperature)
    theta[mask] += torch.from_numpy(noise).to(theta) - point.rate * config.penalty
    alive = mask & (theta >= 0)
    rested = np.flatnonzero(~mask.cpu().numpy())
    dead = torch.nonzero((mask & ~alive).flatten()).flatten()
    born = rng.choice(rested, min(len(dead), rested.size), replace=False)
    new = alive.flatten().clone()
    new[torch.from_numpy(born).to(mask.device)] = True
    new[dead[: len(dead) - len(born)]] = True  # where no other place is left
    theta[~(alive & mask)] = 0
    assert int(new.sum()) == count
    return strength.sign * theta, new.view_as(mask)


def _follow_grad_r(
    strength: Strength, mask: Tensor, point: Point, config: SparsityConfig, rng: Generator
) -> tuple[Tensor, Tensor]:
    """Grad R: theta -= alpha eta sign(theta - mu), a Laplace prior with P(theta > 0) = density.

    mu = ln(2 density) / alpha for a density up to 1/2; mirrored above it, -ln(2 (1 - density)) /
    alpha. eta: learning rate, alpha: penalty. The density meant is the set's in the end.
    """
    del mask, rng
    theta = strength.theta
    assert point.target is not None
    if config.penalty > 0:
        center = _laplace_center(point.target / theta.numel(), config.penalty)
        theta.sub_(torch.sign(theta - center), alpha=config.penalty * point.rate)
    return strength.sign * theta.clamp(min=0), theta > 0


def _laplace_center(density: float, penalty: float) -> float:
    """mu such that the share `density` of a Laplace distribution of that rate lies above 0."""
    if density <= 0.5:
        return log(2 * density) / penalty
    return inf if density == 1 else -log(2 * (1 - density)) / penalty


def _first_below_zero(weight: Tensor, mask: Tensor, rng: Generator) -> Strength:
    """Grad R's start: where no synapse is, theta lies as far below 0 as it lies above elsewhere.

    (Our choice, so that a run may start at any density; the paper starts with every synapse.)
    """
    strength = _first_signed(weight, mask, rng)
    existing = strength.theta[mask]
    if existing.numel():
        drawn = rng.integers(0, existing.numel(), int((~mask).sum()))
        strength.theta[~mask] = -existing[torch.from_numpy(drawn).to(mask.device)]
    return strength


def _follow_stds(
    strength: Strength, mask: Tensor, point: Point, config: SparsityConfig, rng: Generator
) -> tuple[Tensor, Tensor]:
    """STDS: w = sign(theta) max(|theta| - d, 0); what exceeds the threshold d exists."""
    del mask, rng
    excess = strength.theta.abs() - _threshold(strength, point, config)
    return torch.sign(strength.theta) * excess.clamp(min=0), excess > 0


def _threshold(strength: Strength, point: Point, config: SparsityConfig) -> float:
    """d(n) = D (1 + sin(pi (n/N - 1/2))) / 2: nothing at first, D at the last rewiring N.

    D is `threshold`, as published. Where none is given it is chosen at every step such that, were
    this the last, exactly the target's synapses would exceed it: the largest |theta| of those that
    would not. So the density is reached whatever the weights' scale.
    """
    rising = (1 + sin(pi * (point.share - 0.5))) / 2
    if config.threshold is not None:
        return config.threshold * rising
    assert point.target is not None
    magnitudes = strength.theta.abs().flatten()
    if point.target >= magnitudes.numel():
        return 0.0
    return rising * _kth_largest(magnitudes, point.target + 1)


def _kth_largest(values: Tensor, k: int) -> float:
    """By a partition where the numbers lie at hand, which is ten times as fast as torch's topk."""
    if values.device.type == "cpu":
        array = values.numpy()
        return float(np.partition(array, array.size - k)[array.size - k])
    return float(torch.topk(values, k).values[-1])


def _dense_theta(weight: Tensor, mask: Tensor, rng: Generator) -> Strength:
    """STDS's start: every synapse exists, theta is its weight."""
    del mask, rng
    return Strength(theta=weight.detach().clone(), sign=torch.ones_like(weight, dtype=torch.int8))


HIDDEN: dict[str, Hidden] = {
    "deep-r": Hidden(
        first=_first_signed, follow=_follow_deep_r, rank=lambda theta: theta, rests=True
    ),
    "grad-r": Hidden(
        first=_first_below_zero, follow=_follow_grad_r, rank=lambda theta: theta, rests=False
    ),
    "stds": Hidden(first=_dense_theta, follow=_follow_stds, rank=torch.abs, rests=False),
}
