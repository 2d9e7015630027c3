"""Pictures: weights, u and v over the whole range of the chip's integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from markupsafe import Markup

from toolchain.arithmetic import STATE_LIMIT, current_bound, weight_range
from toolchain.artifact import Artifact
from toolchain.network import QuantizedProjection, activation_bounds
from toolchain.report.record import Extent, Spread, States
from toolchain.report.svg import canvas, clip, finish, put

_WIDTH, _SIDE = 440.0, 2.0
_TALL, _HEAD, _FOOT = 78.0, 38.0, 22.0
_BINS = 32
_MOST = 12  # projections, or populations, that are drawn
_BITS = STATE_LIMIT.bit_length()


@dataclass(frozen=True, slots=True, kw_only=True)
class Panels:
    """Pictures, and how many more there would be."""

    svgs: tuple[Markup, ...]
    left_out: int


def draw_weights(artifact: Artifact) -> Panels:
    """A histogram of each projection's weights over all that its bits can hold."""
    edges = artifact.network.projections
    made = tuple(finish(_weights(edge)) for edge in edges[:_MOST])
    return Panels(svgs=made, left_out=max(0, len(edges) - _MOST))


def _weights(edge: QuantizedProjection) -> Element:
    low, high = weight_range(edge.weight_bits)
    values = np.asarray(edge.weights.data, np.int64)
    counts, _ = np.histogram(values, bins=_BINS, range=(low, -low))
    ends = int(((values == low) | (values == high)).sum())
    name = f"{clip(edge.source, 14)} \N{RIGHTWARDS ARROW} {clip(edge.target, 14)}"
    picture = canvas(_WIDTH, _HEAD + _TALL + _FOOT, f"Weights {edge.source} to {edge.target}")
    put(picture, "text", name, x=_SIDE, y=13, class_="title")
    at_ends = f"{ends:,} at an end of the range" if ends else "none at an end of the range"
    words = f"{len(values):,} synapses of {edge.weight_bits} bits; {at_ends}"
    put(picture, "text", words, x=_SIDE, y=28, class_="axis")
    _bars(picture, counts.tolist(), _HEAD + _TALL, _TALL)
    for x, text, look in (
        (_SIDE, f"{low}", "axis"),
        (_WIDTH / 2, "0", "axis mid"),
        (_WIDTH - _SIDE, f"{high}", "axis end"),
    ):
        put(picture, "text", text, x=x, y=_HEAD + _TALL + 15, class_=look)
    return picture


def draw_states(states: States, artifact: Artifact | None) -> Panels:
    """u and v of each population, from the lowest integer to the highest, in powers of two."""
    bounds: dict[str, int] = {}
    order = list(states.populations)
    if artifact is not None:
        most = activation_bounds(artifact.network.projections)
        held = artifact.network.populations
        bounds = {p.name: current_bound(most.get(p.name, 0), p.decay_u) for p in held}
        order = [p.name for p in held if p.name in states.populations]
    made = tuple(
        finish(_states(name, states.populations[name], bounds.get(name))) for name in order[:_MOST]
    )
    return Panels(svgs=made, left_out=max(0, len(order) - _MOST))


def _states(name: str, extent: Extent, bound: int | None) -> Element:
    each = 92.0
    picture = canvas(_WIDTH, 20 + 2 * each + 30, f"u and v of {name}")
    put(picture, "text", clip(name, 30), x=_SIDE, y=13, class_="title")
    for row, (letter, spread, end) in enumerate(
        (("u", extent.u, "wraps"), ("v", extent.v, "is clipped"))
    ):
        top = 22 + row * each
        said = f"{letter}: {spread.low:,} to {spread.high:,}"
        put(picture, "text", said, x=_SIDE, y=top + 11, class_="small strong")
        put(picture, "text", _room(spread, end), x=_WIDTH - _SIDE, y=top + 11, class_="small end")
        base = top + each - 10
        _bars(picture, spread.counts, base, each - 44)
        for x in (_SIDE, _WIDTH - _SIDE):
            put(picture, "path", d=f"M{x:.1f} {base + 3:.1f}v{-(each - 28):.1f}", class_="limit")
        if letter == "v":
            _line(picture, extent.threshold[1], base, each - 30, "threshold")
        elif bound is not None and bound < STATE_LIMIT:
            _line(picture, bound, base, each - 30, "proved")
    _scale(picture, 22 + 2 * each)
    return picture


def _room(spread: Spread, end: str) -> str:
    """How much of the range was used."""
    used = max(abs(spread.low), abs(spread.high))
    if used >= STATE_LIMIT - 1:
        return f"reaches the end: it {end} there"
    left = _BITS - 1 - used.bit_length()
    return f"{left} bit{'' if left == 1 else 's'} of room before it {end}"


def _place(value: int) -> float:
    """Where an integer stands: its sign and the power of two above it, as the counts do."""
    sign = (value > 0) - (value < 0)
    bits = np.log2(abs(value)) if value else 0.0
    return _SIDE + (_WIDTH - 2 * _SIDE) * (_BITS + 0.5 + sign * (bits + 0.5)) / (2 * _BITS + 1)


def _line(picture: Element, value: int, base: float, tall: float, word: str) -> None:
    x = _place(value)
    line = put(picture, "path", d=f"M{x:.1f} {base:.1f}v{-tall:.1f}", class_="mark")
    put(line, "title", f"{word}: {value:,}")
    late = x > 0.8 * _WIDTH
    at = {"x": x - 4 if late else x + 4, "y": base - tall + 8}
    put(picture, "text", word, class_="small end" if late else "small", **at)


def _bars(picture: Element, counts: Sequence[int], base: float, tall: float) -> None:
    """Bars over the whole width; what is there at all is seen."""
    step, most = (_WIDTH - 2 * _SIDE) / len(counts), max(*counts, 1)
    put(picture, "line", x1=_SIDE, x2=_WIDTH - _SIDE, y1=base, y2=base, class_="base")
    for at, count in enumerate(counts):
        if count:
            high = max(tall * count / most, 1.2)
            box = {"x": _SIDE + at * step + 0.4, "width": step - 0.8, "y": base - high}
            bar = put(picture, "rect", height=high, class_="fill", **box)
            put(bar, "title", f"{count:,}")


def _scale(picture: Element, y: float) -> None:
    words = {-_BITS + 1: "\N{MINUS SIGN}2²³", 0: "0", _BITS - 1: "2²³"}
    words |= {-12: "\N{MINUS SIGN}2¹²", 12: "2¹²"}
    for bits, text in words.items():
        value = int(np.sign(bits)) * 2 ** abs(bits) if bits else 0
        look = "axis mid"
        if abs(bits) == _BITS - 1:
            look = "axis end" if bits > 0 else "axis"
        x = {-_BITS + 1: _SIDE, _BITS - 1: _WIDTH - _SIDE}.get(bits, _place(value))
        put(picture, "text", text, x=x, y=y + 12, class_=look)
