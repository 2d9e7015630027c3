"""Suspicions about order: kernels transposed or permuted, neurons exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import log2

import numpy as np
from scipy.sparse import csr_array

from toolchain.verify.forced import (
    Arrival,
    BoolArray,
    IntArray,
    Record,
    Rule,
    arriving,
    contradictions,
    follow,
)
from toolchain.verify.question import Change, Question, Suspicion, by_arrival
from toolchain.verify.suspects import TURNS, permutations

_MOST_TURNED = 9  # bits; more are no slip of what records


def kernels(question: Question) -> Iterator[Suspicion]:
    """Weights of one projection that are transposed, or whose sources or targets are permuted.

    Turning the planes of source and target alike is what turning each kernel does.
    """
    origin = question.record.network.input.name
    for number, edge in enumerate(question.first.arrivals):
        found = _orders(edge.weights, sources=edge.source != origin)
        for says, (rows, columns) in found.items():
            yield Suspicion(
                cause="permuted kernel",
                says=f"the weights from '{edge.source}' {says}",
                bits=2 + log2(len(found) + 1),
                change=by_arrival(number, _Reordered(rows, columns)),
            )
        if edge.weights.shape[0] == edge.weights.shape[1]:
            yield Suspicion(
                cause="permuted kernel",
                says=f"the weights from '{edge.source}' transposed",
                bits=1,
                change=by_arrival(number, lambda e: replace(e, weights=e.weights.T.tocsr())),
            )


class _Reordered:
    """Rows and columns of a projection's weights in another order; None: as they are."""

    def __init__(self, rows: IntArray | None, columns: IntArray | None) -> None:
        self.rows, self.columns = rows, columns

    def __call__(self, edge: Arrival) -> Arrival:
        weights = edge.weights
        weights = weights if self.rows is None else weights[self.rows]
        weights = weights if self.columns is None else weights[:, self.columns]
        return replace(edge, weights=csr_array(weights))


def _orders(
    weights: csr_array, *, sources: bool
) -> dict[str, tuple[IntArray | None, IntArray | None]]:
    """What may be mistaken -> orders of the targets and of the sources."""
    targets, others = weights.shape
    found: dict[str, tuple[IntArray | None, IntArray | None]] = {}
    for name, order in permutations(targets).items():
        found[f"with targets {name}"] = (order, None)
    if sources:  # of the input they are suspicions about the input
        for name, order in permutations(others).items():
            found[f"with sources {name}"] = (None, order)
    for side, planes in _squares(targets):
        for other, behind in _squares(others):
            for name, turn in TURNS.items():
                says = f"as kernels {name} ({side} x {side} from {other} x {other})"
                found[says] = (turn(planes).ravel(), turn(behind).ravel())
    return found


def _squares(size: int) -> list[tuple[int, IntArray]]:
    """(side, (channels, side, side) neuron numbers) of all square planes a population may have."""
    sides = [side for side in range(2, int(size**0.5) + 1) if size % (side * side) == 0]
    return [(side, np.arange(size).reshape(-1, side, side)) for side in sides]


def exchanged(question: Question) -> Iterator[Suspicion]:
    """Neurons that spike as others of their population should."""
    case = question.window
    own = follow(case.rule, arriving(case.arrivals), None).spikes
    holders: dict[bytes, list[int]] = {}
    for neuron in range(own.shape[2]):
        holders.setdefault(_bytes(own, neuron), []).append(neuron)
    stands_for = np.arange(own.shape[2])
    for neuron in question.neurons:
        alike = holders.get(_bytes(case.spikes, neuron), [])
        if not alike or not case.spikes[:, :, neuron].any():
            return
        stands_for[neuron] = alike[0]
    moved = np.flatnonzero(stands_for != np.arange(len(stands_for)))
    if len(moved) == 0:
        return
    named = ", ".join(f"{n} as {stands_for[n]}" for n in moved[:4])
    yield Suspicion(
        cause="permuted kernel",
        says=f"neurons in the place of others ({named}{', ...' if len(moved) > 4 else ''})",
        bits=float(len(moved) * log2(len(stands_for) + 1) / 2),
        change=_standing_for(stands_for),
    )


def _standing_for(order: IntArray) -> Change:
    def change(rule: Rule, arrivals: tuple[Arrival, ...]) -> tuple[Rule, tuple[Arrival, ...]]:
        moved = replace(rule, bias=rule.bias[order], limit=rule.limit[order])
        return moved, tuple(_Reordered(order, None)(edge) for edge in arrivals)

    return change


def _bytes(spikes: BoolArray, neuron: int) -> bytes:
    return np.packbits(spikes[:, :, neuron]).tobytes()


def recorded(question: Question) -> Iterator[Suspicion]:
    """Spikes that were right, and were recorded wrong.

    What follows received the right ones; or the neurons themselves went on as if they had spiked
    right, so that their own reset tells. Bits without such a witness are not said to be so.
    """
    heard = _followers_received(question)
    turned = np.argwhere(_turned(question))
    witnessed = 0 < len(turned) < min(int(question.wrong.sum()), _MOST_TURNED)
    if not heard and not witnessed:
        return
    who = "the populations that they reach did receive the right ones"
    sample, timestep, neuron = turned[0].tolist()
    own = f"neuron {neuron} went on so after timestep {timestep} of sample {sample}"
    yield Suspicion(
        cause="recording",
        says=f"the spikes of '{question.name}' right and {len(turned):,} of their recorded bits"
        f" wrong ({who if heard else own})",
        bits=0 if heard else len(turned) * log2(question.wrong.size),
        change=lambda rule, arrivals: (rule, arrivals),
    )


def _turned(question: Question) -> BoolArray:
    """Bits of all samples that are not as the network by itself gives them from what arrived."""
    found = np.zeros(question.wrong.shape, bool)
    for some, case in question.record.chunks(question.name):
        found[some] = follow(case.rule, arriving(case.arrivals), None).spikes != case.spikes
    return found


def _followers_received(question: Question) -> bool:
    """Whether what follows contradicts the recorded spikes, and fits those that were expected.

    Asked of the first wrong samples; what follows may have faults of its own elsewhere.
    """
    record, name, some = question.record, question.name, question.numbers
    followers = {e.target for e in record.network.projections if e.source == name} - {name}
    spikes = dict(record.spikes) | {name: question.expected.spikes[name]}
    mended = replace(record, spikes=spikes)

    def wrong(side: Record, follower: str) -> bool:
        case = side.case(follower, some)
        return bool(contradictions(case, case.rule, case.arrivals).any())

    return any(wrong(record, f) for f in followers) and not any(wrong(mended, f) for f in followers)
