"""Suspicions about whole populations: decays, thresholds, reset, limits, bias, delays, input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import log2

import numpy as np

from toolchain.arithmetic import ALIGN_BITS, DECAY_BITS, bias_value
from toolchain.verify.forced import FLIGHTS, STATES, Arrival, IntArray, arriving, follow
from toolchain.verify.question import Question, Suspicion, by_arrival, by_arrivals, by_rule

_THRESHOLD_BITS = 17  # of a threshold's mantissa
_BEYOND = 2**40  # more than any v
_RARE = 8.0  # bits: registers of single neurons are seldom wrong by themselves
_TIMESTEPS = (1, -1, 2, -2, 3, -3)  # shifts of delays and of the input


def decays(question: Question) -> Iterator[Suspicion]:
    """A decay that is off by one: the chip adds 1 to the register of u, and none to that of v."""
    rule = question.first.rule
    for by in (-1, 1):
        register = rule.decay_u + by
        if register < 2**DECAY_BITS:
            says = f"decay_u {register} in the place of {rule.decay_u}"
            yield Suspicion(cause="decay of u", says=says, bits=2, change=by_rule(decay_u=register))
        share = rule.decay_v + by
        if 0 <= share <= 2**DECAY_BITS:
            says = f"decay_v {share} in the place of {rule.decay_v}"
            yield Suspicion(cause="decay of v", says=says, bits=2, change=by_rule(decay_v=share))


def ties(question: Question) -> Iterator[Suspicion]:
    """A spike where v reaches the threshold and does not pass it."""
    yield Suspicion(
        cause="threshold tie",
        says="a spike where v equals the threshold (>= in the place of >)",
        bits=0,
        change=by_rule(limit=question.first.rule.limit - 1),
    )


def resets(question: Question) -> Iterator[Suspicion]:
    """Another reset than v to zero."""
    for reset in ("v by the threshold", "nothing", "u and v to zero"):
        yield Suspicion(
            cause="reset",
            says=f"a reset of {reset} in the place of v to zero",
            bits=2,
            change=by_rule(reset=reset),
        )


def limits(question: Question) -> Iterator[Suspicion]:
    """States that end, or round, otherwise than 24 bits, u wrapping and v saturating, toward 0."""
    for state, field in (("u", "current"), ("v", "potential")):
        plain = getattr(question.first.rule, field)
        for other in ("wraps", "clips", "has no end", "rounds down"):
            if other != plain:
                yield Suspicion(
                    cause="rounding" if other == "rounds down" else "wrap or clip",
                    says=f"{state} that {other}"
                    + (" in the place of toward zero" if other == "rounds down" else ""),
                    bits=3,
                    change=by_rule(**{field: other}),
                )


def both_rounded(question: Question) -> Iterator[Suspicion]:
    """u and v that both round down."""
    yield Suspicion(
        cause="rounding",
        says="u and v that round down in the place of toward zero",
        bits=2,
        change=by_rule(current="rounds down", potential="rounds down"),
    )


def biases(question: Question) -> Iterator[Suspicion]:
    """A bias that is missing, or shifted by the wrong exponent."""
    population = question.record.network.population(question.name)
    if not population.bias_mantissa.any():
        return
    mantissa, exponent = population.bias_mantissa, population.bias_exponent
    none = np.zeros_like(mantissa)
    yield Suspicion(cause="bias", says="no bias", bits=1, change=by_rule(bias=none))
    for other in (ALIGN_BITS + exponent, 0, exponent - 1, exponent + 1):
        if other >= 0 and other != exponent:
            says = f"a bias of exponent {other} in the place of {exponent}"
            moved = bias_value(mantissa, other)
            yield Suspicion(cause="bias", says=says, bits=3, change=by_rule(bias=moved))


def carried(question: Question) -> Iterator[Suspicion]:
    """Samples that start from the states in which the one before ended."""
    if question.wrong[0].any():
        return
    for what in (STATES, FLIGHTS):
        yield Suspicion(
            cause="state carried over",
            says=f"each sample taking over {what} from the one before it",
            bits=2,
            change=by_rule(carries=what),
        )


def delays(question: Question) -> Iterator[Suspicion]:
    """Spikes of one projection that act too late, or too early."""
    arrivals = question.first.arrivals
    origin = question.record.network.input.name
    for number, edge in enumerate(arrivals):
        if edge.source == origin and _all_from(arrivals, origin):
            continue  # the same as a shifted input
        for by in _TIMESTEPS:
            yield Suspicion(
                cause="shifted delay",
                says=f"the spikes of '{edge.source}' {_late(by)}",
                bits=log2(len(arrivals) * len(_TIMESTEPS)),
                change=by_arrival(number, _later(by)),
            )


def inputs(question: Question) -> Iterator[Suspicion]:
    """A stimulus that arrived otherwise than it was given: shifted, inverted, permuted."""
    origin = question.record.network.input.name
    if all(edge.source != origin for edge in question.first.arrivals):
        return

    def suspicion(says: str, bits: float, change: Callable[[Arrival], Arrival]) -> Suspicion:
        chosen = by_arrivals(lambda _, e: change(e) if e.source == origin else e)
        return Suspicion(cause="input encoding", says=f"the input {says}", bits=bits, change=chosen)

    for by in _TIMESTEPS:
        yield suspicion(_late(by), 3, _later(by))
    yield suspicion("inverted", 1, lambda e: replace(e, spikes=~e.spikes))
    yield suspicion("reversed in time", 2, lambda e: replace(e, spikes=e.spikes[:, ::-1]))
    yield suspicion("silent", 1, lambda e: replace(e, spikes=np.zeros_like(e.spikes)))
    found = permutations(question.record.network.input.size)
    for name, order in found.items():
        bits = 1 + log2(len(found))
        yield suspicion(name, bits, _permuted(order))


def _later(by: int) -> Callable[[Arrival], Arrival]:
    return lambda edge: replace(edge, lag=edge.lag + by)


def _permuted(order: IntArray) -> Callable[[Arrival], Arrival]:
    return lambda edge: replace(edge, spikes=edge.spikes[:, :, order])


def projections(question: Question) -> Iterator[Suspicion]:
    """All weights of a projection lost, negated, rounded, clipped, or by another exponent."""
    arrivals = question.first.arrivals
    for number, edge in enumerate(arrivals):
        for says, change in _ALL_WEIGHTS.items():
            yield Suspicion(
                cause="lost synapse" if says == "none of" else "altered weight",
                says=f"{says} the synapses from '{edge.source}'",
                bits=log2(len(arrivals) * len(_ALL_WEIGHTS)),
                change=by_arrival(number, change),
            )


def _by_data(change: Callable[[IntArray], IntArray]) -> Callable[[Arrival], Arrival]:
    def changed(edge: Arrival) -> Arrival:
        weights = edge.weights.copy()
        weights.data = change(weights.data)
        return replace(edge, weights=weights)

    return changed


_ALL_WEIGHTS: dict[str, Callable[[Arrival], Arrival]] = {
    "none of": _by_data(np.zeros_like),
    "opposite signs of": _by_data(np.negative),
    "magnitudes only of": _by_data(np.abs),
    "a weight exponent one lower of": _by_data(lambda data: data // 2),
    "a weight exponent one higher of": _by_data(lambda data: data * 2),
    "weights cut to 7 bits of": _by_data(lambda data: (data >> 2) << 2),
    "weights cut to 6 bits of": _by_data(lambda data: (data >> 3) << 3),
    "weights cut to 4 bits of": _by_data(lambda data: (data >> 5) << 5),
    "weights clipped at -128 and 127 of": _by_data(lambda data: np.clip(data, -128, 127)),
}


def thresholds(question: Question) -> Iterator[Suspicion]:
    """Other thresholds: by one step for all neurons, or of the wrong neurons alone."""
    low, high = _threshold_ranges(question)
    theirs = question.record.network.population(question.name).threshold
    least, most = int((low - theirs).max()), int((high - theirs).min())
    if least <= most:
        by = min(max(0, least), most)
        yield Suspicion(
            cause="threshold",
            says=f"all thresholds {by:+,}" + (f" (any of {least:+,}..{most:+,})" * (least < most)),
            bits=_THRESHOLD_BITS + 1 - log2(most - least + 1),
            change=by_rule(limit=(theirs + by) << ALIGN_BITS),
        )
    wrong = question.neurons
    if len(wrong) > len(theirs) // 2 + 1 or np.any(low > high):
        return
    fitting = np.clip(theirs, low, high)
    widths = (high - low + 1)[wrong]
    named = ", ".join(
        f"{low[n]:,}..{high[n]:,} of neuron {n} in the place of {theirs[n]:,}" for n in wrong[:3]
    )
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    each = log2(len(theirs)) + _THRESHOLD_BITS + _RARE
    yield Suspicion(
        cause="threshold",
        says=f"a threshold of {named}{more}",
        bits=float(np.sum(each - np.log2(widths))),
        change=by_rule(limit=fitting << ALIGN_BITS),
    )


def _threshold_ranges(question: Question) -> tuple[IntArray, IntArray]:
    """(neurons,) smallest and largest mantissa under which all recorded spikes are as they are."""
    size = question.wrong.shape[2]
    low = np.zeros(size, np.int64)
    high = np.full(size, 2**_THRESHOLD_BITS - 1)
    for _, case in question.record.chunks(question.name):
        before = follow(case.rule, arriving(case.arrivals), case.spikes).before
        silent = np.where(case.spikes, -_BEYOND, before).max(axis=(0, 1))
        fired = np.where(case.spikes, before, _BEYOND).min(axis=(0, 1))
        low = np.maximum(low, -((-silent) >> ALIGN_BITS))  # mantissa << 6 >= silent
        high = np.minimum(high, (fired - 1) >> ALIGN_BITS)  # mantissa << 6 < fired
    return low, high


def permutations(size: int) -> dict[str, IntArray]:
    """Orders that neurons are mistaken in: reversed, rolled, and read as a matrix, transposed."""
    plain = np.arange(size)
    found = {
        "in reversed order": plain[::-1],
        "shifted by one neuron": np.roll(plain, 1),
        "shifted back by one neuron": np.roll(plain, -1),
    }
    for rows in range(2, size // 2 + 1):
        if size % rows == 0:
            columns = size // rows
            found[f"read as {rows} x {columns}, transposed"] = plain.reshape(rows, -1).T.ravel()
        if rows * rows < size and size % (rows * rows) == 0:
            for name, turn in TURNS.items():
                turned = turn(plain.reshape(-1, rows, rows)).ravel()
                found[f"read as channels of {rows} x {rows}, {name}"] = turned
    return found if size > 1 else {}


TURNS: dict[str, Callable[[IntArray], IntArray]] = {  # of (channels, rows, columns), square
    "transposed": lambda planes: planes.swapaxes(1, 2),
    "turned around": lambda planes: planes[:, ::-1, ::-1],
    "upside down": lambda planes: planes[:, ::-1],
    "mirrored": lambda planes: planes[:, :, ::-1],
}


def _late(by: int) -> str:
    steps = "1 timestep" if abs(by) == 1 else f"{abs(by)} timesteps"
    return f"{steps} too {'late' if by > 0 else 'early'}"


def _all_from(arrivals: tuple[Arrival, ...], origin: str) -> bool:
    return sum(edge.source == origin for edge in arrivals) == 1
