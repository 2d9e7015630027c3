"""Picture: over time and layer by layer, how many bits of an arrow differ."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from markupsafe import Markup

from toolchain.report.record import Link
from toolchain.report.svg import canvas, clip, finish, put

_WIDTH, _LEFT, _RIGHT = 440.0, 2.0, 2.0
_HEAD, _TALL, _GAP, _FOOT = 18.0, 34.0, 14.0, 42.0
_MOST_LAYERS, _MOST_BARS = 24, 200


def draw_parting(link: Link, order: Sequence[str]) -> Markup | None:
    """A strip of bars for each population, in the order of the network; None where nothing differs.

    Each strip is as high as its own largest bar, whose number stands beside it.
    """
    held = link.mismatches_per_timestep
    names = [name for name in (*order, *sorted(set(held) - set(order))) if name in held]
    if not any(any(held[name]) for name in names):
        return None
    shown = names[:_MOST_LAYERS]
    height = len(shown) * (_HEAD + _TALL + _GAP) + _FOOT - _GAP
    label = f"Bits in which {link.backend} differs from {link.against}, by timestep and layer"
    picture = canvas(_WIDTH, height, label)
    y = 0.0
    for name in shown:
        y += _HEAD
        _strip(picture, name, held[name], y)
        y += _TALL + _GAP
    _axis(picture, len(held[shown[0]]), y - _GAP, len(names) - len(shown))
    return finish(picture)


def _strip(picture: Element, name: str, counts: Sequence[int], top: float) -> None:
    put(picture, "text", clip(name, 24), x=_LEFT, y=top - 5, class_="title")
    put(picture, "text", _words(counts), x=_WIDTH - _RIGHT, y=top - 5, class_="axis end")
    each = -(-len(counts) // _MOST_BARS)  # timesteps that share a bar
    bars = [max(counts[at : at + each]) for at in range(0, len(counts), each)]
    step = (_WIDTH - _LEFT - _RIGHT) / (len(counts) / each)
    most = max(*bars, 1)
    for at, value in enumerate(bars):
        if value:
            tall = max(_TALL * value / most, 1.5)
            box = {"x": _LEFT + at * step + 0.08 * step, "width": 0.84 * step}
            bar = put(picture, "rect", y=top + _TALL - tall, height=tall, class_="fill", **box)
            put(bar, "title", f"timestep {at * each}: {value:,} bits differ")
    base = top + _TALL
    put(picture, "line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=base, y2=base, class_="base")
    first = next((t for t, value in enumerate(counts) if value), None)
    if first is not None:
        x = _LEFT + (first + 0.5) * (_WIDTH - _LEFT - _RIGHT) / len(counts)
        put(picture, "path", d=f"M{x:.1f} {base + 1.5:.1f}l4 6h-8z", class_="extra")


def _words(counts: Sequence[int]) -> str:
    if not any(counts):
        return "none differs"
    most = max(counts)
    first = next(t for t, value in enumerate(counts) if value)
    return f"{sum(counts):,} differ; most {most:,}, at {counts.index(most)}; earliest at {first}"


def _axis(picture: Element, timesteps: int, y: float, left_out: int) -> None:
    every = next((n for n in (1, 2, 5, 10, 20, 50, 100, 200) if timesteps / n <= 9), 500)
    step = (_WIDTH - _LEFT - _RIGHT) / timesteps
    for t in range(0, timesteps, every):
        put(picture, "text", f"{t}", x=_LEFT + (t + 0.5) * step, y=y + 20, class_="axis mid")
    words = "timestep, on each layer's own clock"
    words += f"; {left_out} more layers are not drawn" if left_out else ""
    put(picture, "text", words, x=_WIDTH - _RIGHT, y=y + 36, class_="axis end")
