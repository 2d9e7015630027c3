"""Suspicions about single spikes that did not arrive at one core, at one time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log2

import numpy as np
from scipy.sparse import csr_array

from toolchain.verify.forced import Arrival, Case, IntArray, Rule, arriving, follow, of_one
from toolchain.verify.question import WINDOW, Change, Question, Suspicion

_COLUMNS = 512  # events that are computed together


@dataclass(frozen=True, slots=True)
class Event:
    """One spike on its way to one core."""

    edge: int
    sample: int
    timestep: int  # of the source's clock
    source: int


def dropped(question: Question) -> Iterator[Suspicion]:
    """In every wrong sample one spike that was dropped on its way to one core."""
    wrong = np.flatnonzero(question.wrong.any(axis=(1, 2)))
    cores = np.unique(question.home[question.name][question.neurons])
    if len(wrong) > WINDOW or len(cores) > 1:
        return
    here = np.flatnonzero(question.home[question.name] == cores[0])
    found: list[Event] = []
    choices = 0.0
    for sample in wrong.tolist():
        fits, of = _events(question, sample, here)
        if not fits:
            return
        found.append(fits[0])
        choices += log2(max(2, of / len(fits)))
    named = "; ".join(_name(question, event) for event in found[:3])
    yield Suspicion(
        cause="dropped at a core's border",
        says=f"dropped on the way to core {cores[0]}: {named}"
        + (f"; and {len(found) - 3} more" if len(found) > 3 else ""),
        bits=choices + 2,
        change=_without(found, here),
    )


def _name(question: Question, event: Event) -> str:
    source = question.first.arrivals[event.edge].source
    return (
        f"the spike of neuron {event.source} of '{source}' at timestep {event.timestep} of sample"
        f" {event.sample}"
    )


def _events(question: Question, sample: int, here: IntArray) -> tuple[list[Event], int]:
    """Spikes of a sample whose loss explains all of it, and among how many they were looked for."""
    case = question.record.case(question.name, np.array([sample]))
    wrong = question.wrong[sample]
    latest = int(np.flatnonzero(wrong.any(axis=1))[0])
    neurons = np.flatnonzero(wrong.any(axis=0))
    candidates = list(_candidates(case, sample, latest, int(neurons[0])))
    of = len(candidates)
    for neuron in neurons:
        candidates = _that_fit(of_one(case, int(neuron)), candidates)
    return [event for event in candidates if _fits_all(case, event, here)], of


def _candidates(case: Case, sample: int, latest: int, neuron: int) -> Iterator[Event]:
    for number, edge in enumerate(case.arrivals):
        weights = edge.weights[[neuron]].toarray()[0]
        until = max(0, latest - edge.lag + 1)
        for timestep, source in np.argwhere(edge.spikes[0, :until] & (weights != 0)):
            yield Event(number, sample, int(timestep), int(source))


def _that_fit(case: Case, candidates: list[Event]) -> list[Event]:
    """Those whose loss explains all that one neuron does in one sample."""
    base, found = arriving(case.arrivals), []
    held = [edge.weights.toarray()[0] for edge in case.arrivals]
    for start in range(0, len(candidates), _COLUMNS):
        some = candidates[start : start + _COLUMNS]
        activation = np.repeat(base, len(some), axis=2)
        for at, event in enumerate(some):
            edge = case.arrivals[event.edge]
            arrives = event.timestep + edge.lag
            if arrives < activation.shape[1]:
                activation[0, arrives, at] -= held[event.edge][event.source] << edge.exponent
        course = follow(case.rule, activation, np.repeat(case.spikes, len(some), axis=2))
        right = (course.spikes == case.spikes).all(axis=(0, 1))
        found += [event for event, good in zip(some, right, strict=True) if good]
    return found


def _fits_all(case: Case, event: Event, here: IntArray) -> bool:
    rule, arrivals = _without([event], here)(case.rule, case.arrivals)
    course = follow(rule, arriving(arrivals), case.spikes)
    return bool((course.spikes == case.spikes).all())


def _without(events: list[Event], here: IntArray) -> Change:
    """What these spikes deliver to the neurons of one core, taken away."""

    def change(rule: Rule, arrivals: tuple[Arrival, ...]) -> tuple[Rule, tuple[Arrival, ...]]:
        less = [_taken(edge, number, events, here) for number, edge in enumerate(arrivals)]
        return rule, (*arrivals, *less)

    return change


def _taken(edge: Arrival, number: int, events: list[Event], here: IntArray) -> Arrival:
    spikes = np.zeros_like(edge.spikes)
    for event in events:
        if event.edge == number:
            spikes[edge.samples == event.sample, event.timestep, event.source] = True
    weights = edge.weights.tocoo()
    mine = np.isin(weights.coords[0], here)
    entries = (-weights.data[mine], (weights.coords[0][mine], weights.coords[1][mine]))
    return replace(edge, spikes=spikes, weights=csr_array(entries, shape=edge.weights.shape))
