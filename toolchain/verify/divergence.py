"""The first bit that differs, and the states of both sides around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain import arithmetic
from toolchain.arithmetic import ALIGN_BITS, DECAY_BITS, DECAY_U_OFFSET
from toolchain.verify.compare import Mismatch
from toolchain.verify.forced import Case, IntArray, Record, Rule, arriving, of_one, plain_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One neuron on one side in one timestep; None: this side gave no states."""

    spike: bool
    arrived: int  # sum of the weights whose sources spiked on this side, by the network
    input_sum: int | None  # what was really added to u, seen from u itself
    u: int | None
    v: int | None  # after its reset
    v_before_reset: int | None
    note: str  # why there are no states; empty where there are


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first spike that one side has and the other has not, seen from both."""

    sample: int
    timestep: int
    population: str
    neuron: int
    core: int
    bias: int
    threshold: int  # as v is compared with it: mantissa << 6
    expected: Moment
    actual: Moment


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class States:
    """u and v of one population in one sample, (timesteps, neurons), or why there are none."""

    u: IntArray | None = None
    v: IntArray | None = None
    note: str = ""


def divergence(
    first: Mismatch, expected: Record, actual: Record, states: tuple[States, States]
) -> Divergence:
    """The first mismatch with both sides' states, expected before actual."""
    population = actual.network.population(first.population)
    rule = plain_rule(population)
    moments = [
        _moment(first, side, held) for side, held in zip((expected, actual), states, strict=True)
    ]
    return Divergence(
        sample=first.sample,
        timestep=first.timestep,
        population=first.population,
        neuron=first.neuron,
        core=first.core,
        bias=int(rule.bias[first.neuron]),
        threshold=int(rule.limit[first.neuron]),
        expected=moments[0],
        actual=moments[1],
    )


def _moment(first: Mismatch, side: Record, states: States) -> Moment:
    sample, t, n = first.sample, first.timestep, first.neuron
    case = of_one(side.case(first.population, np.array([sample])), n)
    spike = bool(case.spikes[0, t, 0])
    u, before = _seen(case, states, t, n, spike=spike)
    return Moment(
        spike=spike,
        arrived=int(arriving(case.arrivals)[0, t, 0]),
        input_sum=None if states.u is None else _input_sum(case.rule, states.u[:, n], t),
        u=u,
        v=None if states.v is None else int(states.v[t, n]),
        v_before_reset=before,
        note=states.note,
    )


def _seen(
    case: Case, states: States, t: int, n: int, *, spike: bool
) -> tuple[int | None, int | None]:
    """(u, v before its reset) as they were recorded; v by the rule where the reset hid it."""
    if states.u is None or states.v is None:
        return None, None
    if not spike:
        return int(states.u[t, n]), int(states.v[t, n])
    held = np.array([states.v[t - 1, n] if t else 0], np.int64)
    u = np.array([states.u[t, n]], np.int64)
    before = arithmetic.next_v(held, u, case.rule.bias, case.rule.decay_v)
    return int(u[0]), int(before[0])


def _input_sum(rule: Rule, u: IntArray, t: int) -> int:
    """(u[t] - what was kept of u[t - 1]) >> 6."""
    before = np.array([u[t - 1] if t else 0], np.int64)
    kept = arithmetic.decay(before, 2**DECAY_BITS - (rule.decay_u + DECAY_U_OFFSET))
    return int((int(u[t]) - int(kept[0])) >> ALIGN_BITS)
