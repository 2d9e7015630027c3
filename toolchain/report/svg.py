"""Drawing: SVG elements whose text is always escaped and whose bytes are always the same.

A picture is drawn in user units about as wide as a phone; the page's style sheet gives its classes
their look. What is said by a colour is also said by a dash, a marker, a hatch or a label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

STYLES = 4  # different looks of a line, s0 ... s3 in the style sheet


def canvas(width: float, height: float, label: str) -> Element:
    """An empty picture; `label` is what a screen reader says."""
    box = f"0 0 {_number(width)} {_number(height)}"
    return Element("svg", {"viewBox": box, "role": "img", "aria-label": label})


def put(parent: Element, tag: str, text: str | None = None, /, **attributes: object) -> Element:
    """Add an element; `class_` and `text_anchor` become `class` and `text-anchor`."""
    child = SubElement(parent, tag)
    for key, value in attributes.items():
        plain = _number(value) if isinstance(value, float) else str(value)
        child.set(key.rstrip("_").replace("_", "-"), plain)
    child.text = text
    return child


def finish(picture: Element) -> Markup:
    """The picture as a piece of HTML."""
    return Markup(tostring(picture, encoding="unicode", short_empty_elements=True))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def path(points: Sequence[tuple[float, float]]) -> str:
    """The path data of a line through points."""
    return "M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in points)


def marker(parent: Element, x: float, y: float, style: int) -> None:
    """A point of a line: disc, square, triangle or diamond, by the line's style."""
    look = f"mark s{style % STYLES}"
    match style % STYLES:
        case 0:
            put(parent, "circle", cx=x, cy=y, r=3.0, class_=look)
        case 1:
            put(parent, "rect", x=x - 2.7, y=y - 2.7, width=5.4, height=5.4, class_=look)
        case 2:
            corners = [(x, y - 3.6), (x + 3.6, y + 2.7), (x - 3.6, y + 2.7)]
            put(parent, "path", d=path(corners) + "Z", class_=look)
        case _:
            corners = [(x, y - 3.8), (x + 3.8, y), (x, y + 3.8), (x - 3.8, y)]
            put(parent, "path", d=path(corners) + "Z", class_=look)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from at most `low` to at least `high`: not many more than `most` of them."""
    span = (high - low) or abs(high) or 1.0
    raw = span / max(most - 1, 1)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * f for f in (1, 2, 2.5, 5, 10) if size * f >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 12) for i in range(first, max(last, first + 1) + 1)]


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Positions near the wanted ones, in their order, no two closer than `gap`."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    for _ in range(50):  # push neighbours apart until they rest
        for before, after in pairwise(order):
            short = gap - (placed[after] - placed[before])
            if short > 0:
                placed[before] -= short / 2
                placed[after] += short / 2
    return placed


def clip(name: str, characters: int) -> str:
    """A name cut to so many characters; the cut is shown."""
    return name if len(name) <= characters else name[: characters - 1] + "…"
