"""How many synapses a rewiring drops and grows: one function per method, and a run's rewirings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, pi, prod

import numpy as np

from toolchain.errors import ConfigError
from toolchain.train.config import TrainConfig
from toolchain.train.config_sparsity import HIDDEN_STRENGTHS, SparsityConfig
from toolchain.train.masks import BoolArray, FloatArray, IntArray
from toolchain.train.pq import pq_index, retain_bound, rewire_count
from toolchain.train.starts import STARTS, Shape, counts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moment:
    """Synapses at a rewiring, and where in the run that is.

    They are a layer's; with scope "global" those of all rewired layers, as one long target.
    """

    weights: FloatArray  # (target, source, ...)
    mask: BoolArray
    first: int  # synapses there were when training started
    target: int | None  # synapses there are in the end; None: the method decides
    number: int  # of this rewiring, from 1
    rewirings: int  # planned in all

    @property
    def active(self) -> int:
        """Existing synapses."""
        return int(self.mask.sum())

    @property
    def last(self) -> bool:
        """Whether no rewiring is planned after this one."""
        return self.number == self.rewirings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Synapses to drop, in all or for each target, and to grow in all."""

    drop: int | IntArray
    grow: int


def two_stage(moment: Moment, config: SparsityConfig) -> Plan:
    """Drop what the PQ index lets go and regrow a part of it (arXiv 2502.13572, Eqs. 2-4).

    c by the PQ index, in each scope; grow round(rho c). The paper has no end; see `_ending`.
    """
    return _ending(moment, config, lambda weights: _by_pq(weights, config))


def fixed_ratio(moment: Moment, config: SparsityConfig) -> Plan:
    """The two-stage course with a fixed share, floor(f d), in place of the PQ index's.

    The control that the two-stage paper lacks: what does it matter that the PQ index decides?
    """
    return _ending(moment, config, lambda weights: int(config.drop_fraction * weights.size))


def _ending(moment: Moment, config: SparsityConfig, count: Callable[[FloatArray], int]) -> Plan:
    """Drop `count` in each scope and regrow the share rho of it, down to the target if one is.

    No rewiring goes below the target: what would be lacking is regrown, so that there drop ==
    grow. The last rewiring drops all that exceeds it.
    """
    each = np.array([count(weights) for weights in _scopes(moment, config.counts_over)], np.int64)
    dropped = int(each.sum())
    drop = each if config.counts_over == "neuron" else dropped
    regrown = round(config.regrow_fraction * dropped)
    if moment.target is None:
        return Plan(drop=drop, grow=regrown)
    surplus = moment.active - dropped - moment.target
    if moment.last and surplus > 0:
        return Plan(drop=dropped + surplus, grow=0)
    lacking = max(-surplus, 0)
    return Plan(drop=drop, grow=lacking if moment.last else max(regrown, lacking))


def _scopes(moment: Moment, scope: str) -> list[FloatArray]:
    """The existing weights of all, or of each target."""
    if scope != "neuron":
        return [moment.weights[moment.mask]]
    rows = zip(moment.weights, moment.mask, strict=True)
    return [weights[mask] for weights, mask in rows]


def _by_pq(weights: FloatArray, config: SparsityConfig) -> int:
    index = pq_index(weights, p=config.p, q=config.q)
    bound = retain_bound(weights.size, index, p=config.p, q=config.q, alpha=config.alpha)
    return rewire_count(weights.size, bound, gamma=config.gamma, beta=config.beta)


def constant_density(moment: Moment, config: SparsityConfig) -> Plan:
    """Drop and grow the same number: ESL-SNNs (arXiv 2306.03693), SET, RigL, SNFS.

    int(f(t) d), where f stays (SET) or falls as in RigL (arXiv 1911.11134). ESL-SNNs do not say.
    """
    moved = int(moment.active * _share(moment, config))
    return Plan(drop=moved, grow=moved)


def _share(moment: Moment, config: SparsityConfig) -> float:
    """f(t) = f/2 (1 + cos(pi t / T)); T lies one rewiring after the last, so that none is idle."""
    if not config.annealed:
        return config.drop_fraction
    return config.drop_fraction / 2 * (1 + cos(pi * moment.number / (moment.rewirings + 1)))


def gradual_pruning(moment: Moment, config: SparsityConfig) -> Plan:
    """Only drop, down to the target as a cubic (Zhu & Gupta 2017, arXiv 1710.01878, Eq. 1)."""
    del config
    surplus = moment.active - _cubic(moment)
    return Plan(drop=max(surplus, 0), grow=max(-surplus, 0))


def decreasing_density(moment: Moment, config: SparsityConfig) -> Plan:
    """Drop more than is grown, down to the target: NDSNN (Huang et al. 2023, arXiv 2304.12214).

    Drops int(f(t) d), annealed as in RigL, and grows what Zhu & Gupta's cubic leaves room for. The
    paper's text was read only in part: this says how the two schedules meet here.
    """
    surplus = moment.active - _cubic(moment)
    dropped = max(int(moment.active * _share(moment, config)), surplus)
    return Plan(drop=dropped, grow=dropped - surplus)


def _cubic(moment: Moment) -> int:
    """s(t) = s_f + (s_i - s_f) (1 - t/T)^3 synapses; the last rewiring is T."""
    assert moment.target is not None
    left = (1 - moment.number / moment.rewirings) ** 3
    return moment.target + round((moment.first - moment.target) * left)


def static(moment: Moment, config: SparsityConfig) -> Plan:
    """What exists at first exists to the end; for "dense" that is every synapse."""
    del moment, config
    return Plan(drop=0, grow=0)


Method = Callable[[Moment, SparsityConfig], Plan]
METHODS: dict[str, Method] = {  # and `hidden.HIDDEN`, which move at every step
    "two-stage": two_stage,
    "fixed-ratio": fixed_ratio,
    "esl": constant_density,
    "set": constant_density,
    "rigl": constant_density,
    "momentum": constant_density,
    "ndsnn": decreasing_density,
    "gmp": gradual_pruning,
    "static": static,
    "dense": static,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is known of a run's synapses before it starts; layers by name."""

    first: dict[str, int]  # synapses when training starts
    targets: dict[str, int] | None  # in the end; None where the method decides that
    rewired: tuple[str, ...]  # layers that are; those kept dense are not
    steps: range  # training steps, counted from 1, that a rewiring follows

    def number(self, step: int) -> int:
        """Of the rewiring after a step, counted from 1."""
        return self.steps.index(step) + 1


def course(config: TrainConfig, shapes: Mapping[str, Shape], *, epoch_steps: int) -> Course:
    """The course of a run over layers of these shapes, `epoch_steps` training steps an epoch.

    Raises ConfigError where a layer is too small for its density to hold a synapse, layers kept
    dense are unknown or exceed the density, or no rewiring would ever happen.
    """
    sparsity = config.sparsity
    keep = () if sparsity.method == "dense" else sparsity.keep_dense
    ratio = STARTS[sparsity.start]
    first = counts(shapes, sparsity.first_density, ratio, keep)
    last = sparsity.last_density
    targets = None if last is None else counts(shapes, last, ratio, keep)
    _refuse_empty(first if targets is None else targets, shapes, last or sparsity.first_density)
    steps = config.rewiring_steps(epoch_steps)
    if sparsity.every_steps is not None and not steps and sparsity.moves:
        raise ConfigError(
            f"[sparsity] every_steps = {sparsity.every_steps}: never rewires, as the last rewiring"
            f" may follow step {config.stop_epoch * epoch_steps} (epoch {config.stop_epoch} of"
            f" {config.training.epochs}); lower every_steps, or raise stop_epoch"
        )
    rewired = tuple(name for name in shapes if name not in keep)
    if sparsity.moves and not rewired:
        raise ConfigError(
            "[sparsity] keep_dense: names every layer, so that none is left to rewire; name fewer,"
            " or choose method = 'dense'"
        )
    return Course(first=first, targets=targets, rewired=rewired, steps=steps)


def _refuse_empty(found: Mapping[str, int], shapes: Mapping[str, Shape], density: float) -> None:
    for name, count in found.items():
        if count < 1:
            shape = shapes[name]
            raise ConfigError(
                f"[sparsity] density = {density:g}: layer '{name}' of {prod(shape[1:])} ->"
                f" {shape[0]} would hold less than one synapse; raise density or make it wider"
            )


assert not HIDDEN_STRENGTHS & METHODS.keys()
