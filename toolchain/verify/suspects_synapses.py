"""Suspicions about single synapses: which one, by itself, explains all that a neuron does.

v answers to one weight almost linearly, but for rounding. So every spike, and every missing one,
bounds what a weight may be: most sources are out at once, and the few that are left are computed
exactly, on all samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import log2

import numpy as np
from scipy.sparse import csr_array

from toolchain.arithmetic import (
    ALIGN_BITS,
    DECAY_BITS,
    DECAY_U_OFFSET,
    decay,
    weight_range,
    weight_step,
)
from toolchain.verify.forced import (
    Arrival,
    BoolArray,
    Case,
    IntArray,
    Rule,
    arriving,
    contradictions,
    follow,
    of_one,
    shifted,
)
from toolchain.verify.question import Change, Question, Suspicion

MOST_NEURONS = 24  # wrong ones, each explained by a synapse of its own
_MOST_WEIGHTS = 3000  # of one neuron that are computed exactly
_COLUMN_BYTES = 2**25


@dataclass(frozen=True, slots=True, order=True)
class Fit:
    """A weight that, by itself, explains all that a neuron does."""

    edge: int  # number of the projection among those that arrive
    source: int
    target: int
    old: int  # 0 where there is no synapse
    new: int

    @property
    def cause(self) -> str:
        """Which kind of fault it would be."""
        if self.old == 0:
            return "extra synapse"
        return "altered weight" if self.new else "lost synapse"


def synapses(question: Question) -> Iterator[Suspicion]:
    """Lost, extra and altered synapses; and axons lost on their way from core to core."""
    yield from _silent_cores(question)
    if not 0 < len(question.neurons) <= MOST_NEURONS:
        return
    fits: list[list[Fit]] = []
    for neuron in question.neurons:
        fits.append(_fits(question, int(neuron)))
        if not fits[-1]:
            return  # what no synapse explains in one neuron, none explains in all
    yield from _lost_axons(question, fits)
    for cause in ("lost synapse", "altered weight", "extra synapse"):
        chosen = [[fit for fit in found if fit.cause == cause] for found in fits]
        if all(chosen):
            yield _suspicion(question, cause, chosen)
    each = [_simplest(question, found) for found in fits]
    if len({found[0].cause for found in each}) > 1:
        yield _suspicion(question, each[0][0].cause, each)


def _simplest(question: Question, fits: list[Fit]) -> list[Fit]:
    kinds = {fit.cause for fit in fits}
    by_kind = [[fit for fit in fits if fit.cause == kind] for kind in sorted(kinds)]
    return min(by_kind, key=lambda found: _bits(question, found))


def _bits(question: Question, fits: list[Fit]) -> float:
    """log2 of how many faults of this kind there are, less those that fit as well."""
    arrivals = question.first.arrivals
    existing = sum(edge.weights.nnz for edge in arrivals)
    possible = sum(int(np.prod(edge.weights.shape)) for edge in arrivals)
    values = len(_grid(arrivals[fits[0].edge]))
    kinds = {
        "lost synapse": existing,
        "altered weight": existing * values,
        "extra synapse": max(1, possible - existing) * values,
    }
    return log2(max(1, kinds[fits[0].cause])) - log2(len(fits))


def _suspicion(question: Question, cause: str, fits: Sequence[list[Fit]]) -> Suspicion:
    chosen = [found[len(found) // 2] for found in fits]
    named = "; ".join(
        _name(question, fit, len(found)) for fit, found in zip(chosen, fits, strict=True)
    )[:400]
    return Suspicion(
        cause=cause,
        says=named,
        bits=sum(_bits(question, found) for found in fits),
        change=_with(chosen),
    )


def _name(question: Question, fit: Fit, alike: int) -> str:
    edge = question.first.arrivals[fit.edge]
    which = f"synapse {fit.source} -> {fit.target} from '{edge.source}'"
    others = f" ({alike - 1} others fit as well)" if alike > 1 else ""
    if fit.cause == "lost synapse":
        return f"the {which}, of weight {fit.old}, lost{others}"
    if fit.cause == "extra synapse":
        return f"a {which} that is not in the network, of weight {fit.new}{others}"
    return f"weight {fit.new} in the place of {fit.old} at the {which}{others}"


def _with(fits: Sequence[Fit]) -> Change:
    """These weights in the place of those of the network."""

    def change(rule: Rule, arrivals: tuple[Arrival, ...]) -> tuple[Rule, tuple[Arrival, ...]]:
        changed = list(arrivals)
        for number in {fit.edge for fit in fits}:
            mine = [fit for fit in fits if fit.edge == number]
            more = csr_array(
                (
                    np.array([fit.new - fit.old for fit in mine], np.int64),
                    ([fit.target for fit in mine], [fit.source for fit in mine]),
                ),
                shape=arrivals[number].weights.shape,
            )
            weights = csr_array(arrivals[number].weights + more)
            changed[number] = replace(arrivals[number], weights=weights)
        return rule, tuple(changed)

    return change


def _fits(question: Question, neuron: int) -> list[Fit]:
    """All single weights that explain what a neuron does in all samples."""
    case = of_one(question.window, neuron)
    found = _by_states(question, neuron) if question.states is not None else None
    candidates = _by_bounds(case, neuron) if found is None else found
    candidates = _thinned(candidates)
    cases = [question.window] + [case for _, case in question.record.chunks(question.name)]
    for whole in cases:
        if candidates:
            candidates = _exact(of_one(whole, neuron), candidates)
    return candidates


def _thinned(candidates: list[Fit]) -> list[Fit]:
    """All losses, and as many others as can be computed: of each source the middle ones."""
    if len(candidates) <= _MOST_WEIGHTS:
        return candidates
    lost = [fit for fit in candidates if fit.cause == "lost synapse"]
    others = [fit for fit in candidates if fit.cause != "lost synapse"]
    return lost + others[:: -(-len(others) // _MOST_WEIGHTS)]


def _grid(edge: Arrival) -> IntArray:
    low, high = weight_range(edge.weight_bits)
    return np.arange(low, high + 1, weight_step(edge.weight_bits))


def _by_states(question: Question, neuron: int) -> list[Fit] | None:
    """Weights that give the recorded u of one sample; None where it says nothing of them."""
    assert question.states is not None
    case = of_one(question.states, neuron)
    assert case.u is not None
    before = shifted(case.u, 1)
    kept = decay(before, 2**DECAY_BITS - (case.rule.decay_u + DECAY_U_OFFSET))
    missing = (((case.u - kept) >> ALIGN_BITS) - arriving(case.arrivals))[0, :, 0]
    if not missing.any():
        return [] if contradictions(case, case.rule, case.arrivals).any() else None
    found = []
    for number, edge in enumerate(case.arrivals):
        rows = shifted(edge.spikes, edge.lag)[0]
        change = missing[np.flatnonzero(missing)[0]] >> edge.exponent
        alike = (rows * (change << edge.exponent) == missing[:, None]).all(axis=0)
        held = edge.weights.toarray()[0]
        allowed = _grid(edge)
        for source in np.flatnonzero(alike & np.isin(held + change, allowed)):
            old = int(held[source])
            found.append(Fit(number, int(source), neuron, old, old + int(change)))
    return found


def _by_bounds(case: Case, neuron: int) -> list[Fit]:
    """Weights that no spike of some samples forbids, but for rounding."""
    course = follow(case.rule, arriving(case.arrivals), case.spikes)
    room = (case.rule.limit - course.before)[:, :, 0].astype(float)  # to the threshold
    fired = case.spikes[:, :, 0]
    slack = _rounding(case.rule, fired.shape[1])
    found: list[Fit] = []
    for number, edge in enumerate(case.arrivals):
        low, high = _all_bounds(case.rule, edge, room, fired, slack)
        held = edge.weights.toarray()[0]
        grid = _grid(edge)
        for source in np.flatnonzero(low <= high):
            old = int(held[source])
            inside = (grid - old >= low[source]) & (grid - old <= high[source]) & (grid != old)
            found += [Fit(number, int(source), neuron, old, int(new)) for new in grid[inside]]
    return found


def _rounding(rule: Rule, timesteps: int) -> float:
    """How far v may be off where two courses round toward zero and their difference does not."""
    u = v = 0.0
    for _ in range(timesteps):
        u = u * (1 - (rule.decay_u + DECAY_U_OFFSET) / 2**DECAY_BITS) + 2
        v = v * (1 - rule.decay_v / 2**DECAY_BITS) + u + 2
    return v


def _gains(rule: Rule, edge: Arrival, fired: BoolArray) -> np.ndarray:
    """(samples, timesteps, sources) what 1 more of a weight adds to v, in real numbers."""
    spikes = shifted(edge.spikes, edge.lag)
    u, v = (np.zeros((spikes.shape[0], spikes.shape[2]), np.float64) for _ in range(2))
    found = np.empty(spikes.shape, np.float64)
    for t in range(spikes.shape[1]):
        u = u * (1 - (rule.decay_u + DECAY_U_OFFSET) / 2**DECAY_BITS)
        u += spikes[:, t] * float(1 << (ALIGN_BITS + edge.exponent))
        v = v * (1 - rule.decay_v / 2**DECAY_BITS) + u
        found[:, t] = v
        v = np.where(fired[:, t, None], 0.0, v)
    return found


def _all_bounds(
    rule: Rule, edge: Arrival, room: np.ndarray, fired: BoolArray, slack: float
) -> tuple[np.ndarray, np.ndarray]:
    """`_bounds` of all sources, so many at once that memory stays bounded."""
    at_once = max(1, _COLUMN_BYTES // (8 * fired.size))
    parts = range(0, edge.spikes.shape[2], at_once)
    some = (replace(edge, spikes=edge.spikes[:, :, start : start + at_once]) for start in parts)
    found = [_bounds(_gains(rule, part, fired), room, fired, slack) for part in some]
    low, high = (np.concatenate(side) for side in zip(*found, strict=True))
    return low, high


def _bounds(
    gains: np.ndarray, room: np.ndarray, fired: BoolArray, slack: float
) -> tuple[np.ndarray, np.ndarray]:
    """(sources,) least and most that a weight may change by; least > most where nothing does."""
    touched = gains > 0
    hopeless = ~touched & (fired != (room < 0))[:, :, None]  # wrong, and out of reach
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(touched & fired[:, :, None], (room[:, :, None] - slack) / gains, -np.inf)
        allowed = np.where(touched & ~fired[:, :, None], (room[:, :, None] + slack) / gains, np.inf)
    low, high = needed.max(axis=(0, 1)), allowed.min(axis=(0, 1))
    return np.where(hopeless.any(axis=(0, 1)), np.inf, low), high


def _exact(case: Case, candidates: list[Fit]) -> list[Fit]:
    """Those under which no bit of one neuron contradicts what was recorded."""
    base = arriving(case.arrivals)
    at_once = max(1, _COLUMN_BYTES // (8 * 6 * base.size))
    found: list[Fit] = []
    for start in range(0, len(candidates), at_once):
        some = candidates[start : start + at_once]
        activation = np.repeat(base, len(some), axis=2)
        for number, edge in enumerate(case.arrivals):
            columns = [at for at, fit in enumerate(some) if fit.edge == number]
            if columns:
                chosen = [some[at] for at in columns]
                change = np.array([fit.new - fit.old for fit in chosen]) << edge.exponent
                rows = edge.spikes[:, :, [fit.source for fit in chosen]].astype(np.int64)
                activation[:, :, columns] += shifted(rows, edge.lag) * change
        course = follow(case.rule, activation, np.repeat(case.spikes, len(some), axis=2))
        right = (course.spikes == case.spikes).all(axis=(0, 1))
        found += [fit for fit, good in zip(some, right, strict=True) if good]
    return found


def _lost_axons(question: Question, fits: Sequence[list[Fit]]) -> Iterator[Suspicion]:
    """Sources whose spikes do not reach a core at all: every wrong neuron of it lost a synapse."""
    home = question.home[question.name]
    cores = np.unique(home[question.neurons])
    lost = [{(f.edge, f.source) for f in found if f.cause == "lost synapse"} for found in fits]
    common = reduce(set.intersection, lost)
    if len(cores) > 1:
        return
    here = np.flatnonzero(home == cores[0])
    for number, source in sorted(common):
        edge = question.first.arrivals[number]
        start = question.home[edge.source][source]
        behind = edge.weights[here].tocsc()[:, [source]].nnz
        if start != cores[0] and behind > 1:
            yield Suspicion(
                cause="dropped at a core's border",
                says=f"no spike of neuron {source} of '{edge.source}' reaching core {cores[0]}"
                f" from {_place(int(start))} ({behind} synapses behind one in-axon)",
                bits=log2(max(2, sum(e.weights.shape[1] for e in question.first.arrivals)))
                + log2(len(np.unique(home))),
                change=without(number, here, np.array([source])),
            )


def _silent_cores(question: Question) -> Iterator[Suspicion]:
    """All spikes from one core that do not reach another."""
    home = question.home[question.name]
    cores = np.unique(home[question.neurons])
    if len(cores) > 1:
        return
    here = np.flatnonzero(home == cores[0])
    for number, edge in enumerate(question.first.arrivals):
        for start in np.unique(question.home[edge.source]):
            if start != cores[0] and start >= 0:
                sources = np.flatnonzero(question.home[edge.source] == start)
                yield Suspicion(
                    cause="dropped at a core's border",
                    says=f"no spike of '{edge.source}' reaching core {cores[0]} from core {start}",
                    bits=2 + log2(len(np.unique(home))),
                    change=without(number, here, sources),
                )


def _place(core: int) -> str:
    return "the input" if core < 0 else f"core {core}"


def without(number: int, rows: IntArray, columns: IntArray) -> Change:
    """A projection without the synapses from some sources to some targets."""

    def change(rule: Rule, arrivals: tuple[Arrival, ...]) -> tuple[Rule, tuple[Arrival, ...]]:
        edge = arrivals[number]
        weights = edge.weights.tocoo()
        gone = np.isin(weights.coords[0], rows) & np.isin(weights.coords[1], columns)
        kept = (weights.data[~gone], (weights.coords[0][~gone], weights.coords[1][~gone]))
        lighter = csr_array(kept, shape=edge.weights.shape)
        changed = (*arrivals[:number], replace(edge, weights=lighter), *arrivals[number + 1 :])
        return rule, changed

    return change
