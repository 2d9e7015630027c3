"""How many synapses a rewiring drops and grows: one function per method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

import numpy as np

from toolchain.errors import ConfigError
from toolchain.train.config import TrainConfig
from toolchain.train.config_sparsity import SparsityConfig
from toolchain.train.masks import BoolArray, FloatArray, IntArray, erdos_renyi_counts
from toolchain.train.pq import pq_index, retain_bound, rewire_count


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """A layer at a rewiring, and where in the run that is."""

    weights: FloatArray  # (target, source)
    mask: BoolArray
    target: int  # synapses that the layer holds in the end
    epoch: int  # the one just trained, from 1
    stop: int  # the last that a rewiring may follow
    last: bool  # no rewiring after this one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Synapses to drop, in the layer or for each target neuron, and to grow in the layer."""

    drop: int | IntArray
    grow: int


def two_stage(moment: Moment, config: SparsityConfig) -> Plan:
    """Drop what the PQ index lets go and regrow a part, down to the target (arXiv 2502.13572).

    c by the PQ index, in each scope; grow max(round(rho c), what the target lacks): once there,
    drop == grow. The paper has no end; here the last rewiring drops all that exceeds the target.
    """
    counts = np.array([_by_pq(weights, config) for weights in _scopes(moment, config.scope)])
    active = int(moment.mask.sum())
    dropped = int(counts.sum())
    surplus = active - dropped - moment.target
    if moment.last and surplus > 0:
        return Plan(drop=dropped + surplus, grow=0)
    lacking = max(-surplus, 0)
    grow = lacking if moment.last else max(round(config.regrow_fraction * dropped), lacking)
    return Plan(drop=counts if config.scope == "neuron" else dropped, grow=grow)


def _scopes(moment: Moment, scope: str) -> list[FloatArray]:
    """The existing weights of the layer, or of each target neuron."""
    if scope == "layer":
        return [moment.weights[moment.mask]]
    rows = zip(moment.weights, moment.mask, strict=True)
    return [weights[mask] for weights, mask in rows]


def _by_pq(weights: FloatArray, config: SparsityConfig) -> int:
    index = pq_index(weights, p=config.p, q=config.q)
    bound = retain_bound(weights.size, index, p=config.p, q=config.q, alpha=config.alpha)
    return rewire_count(weights.size, bound, gamma=config.gamma, beta=config.beta)


def esl(moment: Moment, config: SparsityConfig) -> Plan:
    """Drop and regrow the same number (arXiv 2306.03693): the density never changes.

    The share falls as a cosine, f/2 (1 + cos(pi t / T)), as in RigL (arXiv 1911.11134); ESL-SNNs
    do not say theirs.
    """
    share = config.drop_fraction / 2 * (1 + cos(pi * moment.epoch / (moment.stop + 1)))
    moved = int(moment.mask.sum() * share)
    return Plan(drop=moved, grow=moved)


def dense(moment: Moment, config: SparsityConfig) -> Plan:
    """Every synapse exists from first to last."""
    del moment, config
    return Plan(drop=0, grow=0)


Method = Callable[[Moment, SparsityConfig], Plan]
METHODS: dict[str, Method] = {"two-stage": two_stage, "esl": esl, "dense": dense}


def layer_counts(config: TrainConfig, shapes: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """(synapses of each layer at first, in the end); shapes (target, source).

    Raises ConfigError where a layer is too small for its density to hold a synapse.
    """
    first, last = densities(config.sparsity)
    counts = erdos_renyi_counts(shapes, first), erdos_renyi_counts(shapes, last)
    for shape, count in zip(shapes, counts[1], strict=True):
        if count < 1:
            raise ConfigError(
                f"[sparsity] density = {last:g}: the layer of {shape[1]} -> {shape[0]} neurons"
                " would hold less than one synapse; raise density or [network] hidden"
            )
    return counts


def densities(config: SparsityConfig) -> tuple[float, float]:
    """(density at first, in the end)."""
    if config.method == "dense":
        return 1.0, 1.0
    first = config.start_density if config.method == "two-stage" else config.density
    return first, config.density
