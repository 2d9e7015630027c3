"""A population that does not do what its network says, and how a suspicion about it is tested.

A suspicion is a change of the rule, or of what arrives. It stands only where it explains all: under
it, no bit of any sample contradicts what was recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from toolchain.verify.forced import (
    Arrival,
    BoolArray,
    Case,
    IntArray,
    Record,
    Rule,
    contradictions,
)

WINDOW = 12  # samples on which a suspicion is tested before it is tested on all
Change = Callable[[Rule, tuple[Arrival, ...]], tuple[Rule, tuple[Arrival, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Suspicion:
    """One thing that may be wrong."""

    cause: str  # in causes.CAUSES
    says: str  # what is supposed, as 'with ...' goes on
    bits: float  # log2 of how many equally simple ones there are, less those that fit as well
    change: Change


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """Why a population of a record contradicts its network."""

    record: Record
    name: str
    wrong: BoolArray  # (samples, timesteps, neurons) bits that contradict the plain rule
    home: dict[str, IntArray]  # population -> (neurons,) number of the core where each one lives
    expected: Record  # what the network itself spikes on this stimulus
    states: Case | None = None  # one sample with u and v, where the side gives them

    @cached_property
    def numbers(self) -> IntArray:
        """The first samples that hold a wrong bit."""
        return np.flatnonzero(self.wrong.any(axis=(1, 2)))[:WINDOW]

    @cached_property
    def first(self) -> Case:
        """The first wrong sample."""
        return self.record.case(self.name, self.numbers[:1])

    @cached_property
    def window(self) -> Case:
        """The first wrong samples."""
        return self.record.case(self.name, self.numbers)

    @cached_property
    def neurons(self) -> IntArray:
        """The neurons with a wrong bit, or a wrong state."""
        found = np.asarray(self.wrong.any(axis=(0, 1)))
        if self.states is not None:
            wrong = contradictions(self.states, self.states.rule, self.states.arrivals)
            found = found | wrong.any(axis=(0, 1))
        return np.flatnonzero(found)

    @cached_property
    def in_first(self) -> int:
        """Bits, and states where they are known, that contradict the plain rule in one sample."""
        case = self.first if self.states is None else self.states
        return int(contradictions(case, case.rule, case.arrivals).sum())

    @cached_property
    def until(self) -> Case:
        """All samples from the first of all to the last of the window."""
        return self.record.case(self.name, slice(0, int(self.numbers[-1]) + 1))

    def left_in_first(self, suspicion: Suspicion) -> int:
        """How many of them a suspicion leaves, or makes."""
        if self._carries(suspicion):
            return _left(self.until, suspicion)
        return _left(self.first if self.states is None else self.states, suspicion)

    def explained(self, suspicion: Suspicion) -> bool:
        """Whether no bit of any sample contradicts a suspicion."""
        if self._carries(suspicion):
            everything = self.record.case(self.name, slice(0, self.record.samples))
            return _left(everything, suspicion) == 0
        quick = (self.states, self.first, self.window)
        if any(case is not None and _left(case, suspicion) for case in quick):
            return False
        return all(_left(case, suspicion) == 0 for _, case in self.record.chunks(self.name))

    def _carries(self, suspicion: Suspicion) -> bool:
        return bool(suspicion.change(self.first.rule, self.first.arrivals)[0].carries)


def _left(case: Case, suspicion: Suspicion) -> int:
    rule, arrivals = suspicion.change(case.rule, case.arrivals)
    return int(contradictions(case, rule, arrivals).sum())


def by_rule(**fields: object) -> Change:
    """A change of fields of the rule."""
    return lambda rule, arrivals: (replace(rule, **fields), arrivals)  # type: ignore[arg-type]


def by_arrival(number: int, change: Callable[[Arrival], Arrival]) -> Change:
    """A change of what one projection delivers."""
    return by_arrivals(lambda at, edge: change(edge) if at == number else edge)


def by_arrivals(change: Callable[[int, Arrival], Arrival]) -> Change:
    """A change of what every projection delivers: (its number, it) -> it."""
    return lambda rule, arrivals: (rule, tuple(change(n, e) for n, e in enumerate(arrivals)))
