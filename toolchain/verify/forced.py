"""A population computed again from the spikes that reached it, and from its own.

It is forced twice: the sources' spikes are those that a side recorded, and what is reset after a
timestep is what that side's own spikes reset. So a bit that contradicts the rule is a fault of this
population, not the echo of a fault before it (free-running comparisons diverge chaotically).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain import arithmetic
from toolchain.arithmetic import ALIGN_BITS, DECAY_BITS, DECAY_U_OFFSET, STATE_LIMIT
from toolchain.network import QuantizedNetwork, QuantizedPopulation, lag

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Number = TypeVar("Number", bound=np.generic)
STATES, FLIGHTS = "u and v", "u, v and spikes under way"
_CHUNK_BYTES = 2**25  # of what a population needs for the samples that are computed together


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rule:
    """How u and v of a population move; the plain one is that of docs/semantics.md."""

    decay_u: int  # register
    decay_v: int
    bias: IntArray  # (neurons,) added to v
    limit: IntArray  # (neurons,) a spike where v > limit
    current: str = "wraps"  # in CURRENTS
    potential: str = "clips"  # in POTENTIALS
    reset: str = "v to zero"  # in RESETS
    carries: str = ""  # what a sample takes over from the one before it: STATES, or FLIGHTS, too


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrival:
    """What one projection delivers: a[t] = (weights @ spikes[t - lag]) << exponent."""

    source: str
    spikes: BoolArray  # (samples, timesteps, sources)
    weights: csr_array  # (neurons, sources) int64
    exponent: int
    lag: int  # local timesteps; below 0 where spikes act too early
    weight_bits: int
    samples: IntArray  # (samples,) their numbers in the whole recording


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """What one side recorded of a population, for some samples, and what reached it there."""

    rule: Rule
    arrivals: tuple[Arrival, ...]
    spikes: BoolArray  # (samples, timesteps, neurons), of the population
    u: IntArray | None = None  # the same shape, where the side gave its states
    v: IntArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """What a rule makes of what arrives: all (samples, timesteps, neurons)."""

    u: IntArray
    before: IntArray  # v before its reset
    v: IntArray  # v after it
    spikes: BoolArray  # before > limit


def _clipped_u(u: IntArray, activation: IntArray, decay_u: int) -> IntArray:
    return np.clip(_endless_u(u, activation, decay_u), 1 - STATE_LIMIT, STATE_LIMIT - 1)


def _endless_u(u: IntArray, activation: IntArray, decay_u: int) -> IntArray:
    kept = arithmetic.decay(u, 2**DECAY_BITS - (decay_u + DECAY_U_OFFSET))
    return kept + (activation << ALIGN_BITS)


def _floored_u(u: IntArray, activation: IntArray, decay_u: int) -> IntArray:
    kept = (u * (2**DECAY_BITS - (decay_u + DECAY_U_OFFSET))) >> DECAY_BITS
    return arithmetic.wrap(kept + (activation << ALIGN_BITS))


def _endless_v(v: IntArray, u: IntArray, bias: IntArray, decay_v: int) -> IntArray:
    return arithmetic.decay(v, 2**DECAY_BITS - decay_v) + u + bias


def _wrapped_v(v: IntArray, u: IntArray, bias: IntArray, decay_v: int) -> IntArray:
    return arithmetic.wrap(_endless_v(v, u, bias, decay_v))


def _floored_v(v: IntArray, u: IntArray, bias: IntArray, decay_v: int) -> IntArray:
    kept = (v * (2**DECAY_BITS - decay_v)) >> DECAY_BITS
    return np.clip(kept + u + bias, 1 - STATE_LIMIT, STATE_LIMIT - 1)


Current = Callable[[IntArray, IntArray, int], IntArray]  # u, activation, register -> the next u
Potential = Callable[[IntArray, IntArray, IntArray, int], IntArray]  # v, u, bias, register
Reset = Callable[[IntArray, IntArray, BoolArray, IntArray], tuple[IntArray, IntArray]]

CURRENTS: dict[str, Current] = {
    "wraps": arithmetic.next_u,
    "clips": _clipped_u,
    "has no end": _endless_u,
    "rounds down": _floored_u,
}
POTENTIALS: dict[str, Potential] = {
    "clips": arithmetic.next_v,
    "wraps": _wrapped_v,
    "has no end": _endless_v,
    "rounds down": _floored_v,
}
RESETS: dict[str, Reset] = {  # (u, v, fired, limit) -> (u, v)
    "v to zero": lambda u, v, fired, limit: (u, np.where(fired, 0, v)),
    "v by the threshold": lambda u, v, fired, limit: (u, np.where(fired, v - limit, v)),
    "nothing": lambda u, v, fired, limit: (u, v),
    "u and v to zero": lambda u, v, fired, limit: (np.where(fired, 0, u), np.where(fired, 0, v)),
}


def plain_rule(population: QuantizedPopulation) -> Rule:
    """The chip's rule for a population."""
    return Rule(
        decay_u=population.decay_u,
        decay_v=population.decay_v,
        bias=arithmetic.bias_value(population.bias_mantissa, population.bias_exponent),
        limit=population.threshold << ALIGN_BITS,
    )


def arriving(arrivals: tuple[Arrival, ...]) -> IntArray:
    """(samples, timesteps, neurons) the sum of what all projections deliver."""
    total: IntArray | None = None
    for edge in arrivals:
        samples, timesteps, sources = edge.spikes.shape
        rows = csr_array(edge.spikes.reshape(-1, sources).astype(np.int64))
        found = (rows @ edge.weights.T.tocsr()).toarray().reshape(samples, timesteps, -1)
        late = shifted(found, edge.lag) << edge.exponent
        total = late if total is None else total + late
    assert total is not None, "a population without a projection has no clock"
    return total


def shifted(rows: NDArray[Number], by: int) -> NDArray[Number]:
    """The same, so many timesteps later (axis 1); zeros come in."""
    moved = np.zeros_like(rows)
    steps = rows.shape[1]
    if abs(by) < steps:
        moved[:, max(by, 0) : steps + min(by, 0)] = rows[:, max(-by, 0) : steps - max(by, 0)]
    return moved


def follow(rule: Rule, activation: IntArray, spikes: BoolArray | None) -> Course:
    """Step a rule through what arrives, (samples, timesteps, neurons).

    `spikes`: the recorded ones, which do the resets; None: those that the rule gives itself.
    """
    if rule.carries:
        return _follow_on(rule, activation, spikes)
    start = np.zeros((activation.shape[0], activation.shape[2]), np.int64)
    return _follow(rule, activation, spikes, start, start)


def _follow(
    rule: Rule, activation: IntArray, spikes: BoolArray | None, u: IntArray, v: IntArray
) -> Course:
    us, befores, vs = (np.empty_like(activation) for _ in range(3))
    fired = np.empty(activation.shape, bool)
    for t in range(activation.shape[1]):
        u = CURRENTS[rule.current](u, activation[:, t], rule.decay_u)
        v = POTENTIALS[rule.potential](v, u, rule.bias, rule.decay_v)
        befores[:, t], fired[:, t] = v, v > rule.limit
        own = fired[:, t] if spikes is None else spikes[:, t]
        u, v = RESETS[rule.reset](u, v, own, rule.limit)
        us[:, t], vs[:, t] = u, v
    return Course(u=us, before=befores, v=vs, spikes=fired)


def _follow_on(rule: Rule, activation: IntArray, spikes: BoolArray | None) -> Course:
    """One sample after the other, as one long run."""
    own = None if spikes is None else _as_one(spikes)
    run = follow(replace(rule, carries=""), _as_one(activation), own)
    parts = {name: getattr(run, name).reshape(activation.shape) for name in Course.__slots__}
    return Course(**parts)


def _as_one(rows: NDArray[Number]) -> NDArray[Number]:
    """All samples as one long one."""
    return rows.reshape(1, -1, rows.shape[2])


def contradictions(case: Case, rule: Rule, arrivals: tuple[Arrival, ...]) -> BoolArray:
    """(samples, timesteps, neurons) where a rule does not give what was recorded."""
    if rule.carries == FLIGHTS:
        arrivals = tuple(replace(edge, spikes=_as_one(edge.spikes)) for edge in arrivals)
    course = follow(rule, arriving(arrivals).reshape(case.spikes.shape), case.spikes)
    wrong = course.spikes != case.spikes
    for recorded, computed in ((case.u, course.u), (case.v, course.v)):
        if recorded is not None:
            wrong |= recorded != computed
    return wrong


def of_one(case: Case, neuron: int) -> Case:
    """The case of one neuron alone."""
    only = [neuron]
    rule = replace(case.rule, bias=case.rule.bias[only], limit=case.rule.limit[only])
    arrivals = tuple(replace(edge, weights=csr_array(edge.weights[only])) for edge in case.arrivals)
    kept = {
        name: None if array is None else array[:, :, only]
        for name, array in (("u", case.u), ("v", case.v))
    }
    return Case(rule=rule, arrivals=arrivals, spikes=case.spikes[:, :, only], **kept)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """What one side recorded: spikes of the input and of every population, (samples, ...)."""

    network: QuantizedNetwork
    spikes: Mapping[str, BoolArray]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.spikes[self.network.input.name])

    def case(self, name: str, samples: slice | IntArray) -> Case:
        """What reached a population, and what it did, in some samples."""
        population = self.network.population(name)
        numbers = np.arange(self.samples)[samples]
        arrivals = tuple(
            Arrival(
                source=edge.source,
                spikes=self.spikes[edge.source][samples],
                weights=edge.weights,
                exponent=edge.weight_exponent,
                lag=lag(self.network, edge),
                weight_bits=edge.weight_bits,
                samples=numbers,
            )
            for edge in self.network.projections
            if edge.target == name
        )
        return Case(
            rule=plain_rule(population), arrivals=arrivals, spikes=self.spikes[name][samples]
        )

    def chunks(self, name: str) -> Iterator[tuple[slice, Case]]:
        """All samples of a population, so many together that they take about 32 MiB."""
        sources = {e.source for e in self.network.projections if e.target == name}
        neurons = self.spikes[name].shape[2] * 5 + sum(self.spikes[s].shape[2] for s in sources)
        at_once = max(1, _CHUNK_BYTES // (8 * max(1, self.spikes[name].shape[1]) * neurons))
        for start in range(0, self.samples, at_once):
            some = slice(start, min(start + at_once, self.samples))
            yield some, self.case(name, some)

    def wrong(self, name: str) -> BoolArray:
        """(samples, timesteps, neurons) bits of a population that contradict its plain rule."""
        found = np.zeros(self.spikes[name].shape, bool)
        for some, case in self.chunks(name):
            found[some] = contradictions(case, case.rule, case.arrivals)
        return found
