"""Picture of margins: how far v was from the threshold, in powers of two, population by population.

Takes the table of `snn-deploy lint --json`. Spikes are dark, silences light: a grey print says it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from markupsafe import Markup

from toolchain.report.svg import canvas, clip, finish, put

WIDTH, PANEL = 440.0, 118.0  # user units
LEFT, RIGHT, BASE, TALL = 8.0, 8.0, 92.0, 62.0
DARK, LIGHT, ALARM = "#174568", "#c6d5e3", "#b3261e"
_STYLE = """text { font: 11px system-ui, "Segoe UI", Roboto, Arial, sans-serif; fill: #1d232b }
.head { font-size: 15px; font-weight: 600 } .title { font-size: 12.5px; font-weight: 600 }
.axis { fill: #59636f } .mid { text-anchor: middle } .end { text-anchor: end }"""


def draw_margins(margins: Mapping[str, Any]) -> list[Markup]:
    """A panel for every population."""
    return [finish(panel) for panel in _panels(margins)]


def margin_sheet(margins: Mapping[str, Any], title: str) -> str:
    """All panels below each other: a file of its own that needs nothing else."""
    made = _panels(margins)
    whole = canvas(WIDTH, 44 + PANEL * len(made), title)
    whole.set("xmlns", "http://www.w3.org/2000/svg")
    whole.set("width", f"{1.6 * WIDTH:g}")
    put(whole, "style", _STYLE)
    put(whole, "rect", width="100%", height="100%", fill="#fff")
    put(whole, "text", clip(title, 60), x=LEFT, y=26, class_="head")
    for at, panel in enumerate(made):
        group = put(whole, "g", transform=f"translate(0 {44 + PANEL * at:g})")
        group.extend(list(panel))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + str(finish(whole)) + "\n"


def _panels(margins: Mapping[str, Any]) -> list[Element]:
    return [_panel(name, seen) for name, seen in margins["populations"].items()]


def _panel(name: str, seen: Mapping[str, Any]) -> Element:
    """Bars of the bins; the first, which one bit decides, has a ring and its share beside it."""
    spiking, silent = seen["spiking"], seen["silent"]
    label = f"{name}: {seen['share_at_one']:.3%} of {seen['decisions']:,} decisions one bit away"
    picture = canvas(WIDTH, PANEL, label)
    put(picture, "text", clip(name, 24), x=LEFT, y=13, class_="title")
    said = f"one bit would change {seen['share_at_one']:.3%} of {seen['decisions']:,} decisions"
    put(picture, "text", said, x=WIDTH - RIGHT, y=13, class_="axis end")
    step = (WIDTH - LEFT - RIGHT) / len(spiking)
    most = max(1, *(a + b for a, b in zip(spiking, silent, strict=True)))
    for at, pair in enumerate(zip(spiking, silent, strict=True)):
        _bar(picture, LEFT + at * step, step, pair, most)
        if at % 4 == 0 and at < len(spiking) - 2:
            middle = LEFT + (at + 0.5) * step
            put(picture, "text", f"{2**at:,}", x=middle, y=BASE + 14, class_="axis mid")
    put(picture, "line", x1=LEFT, x2=WIDTH - RIGHT, y1=BASE, y2=BASE, stroke="#59636f")
    tall = TALL * (spiking[0] + silent[0]) / most
    box = {"x": LEFT, "y": BASE - tall - 2, "width": step, "height": tall + 2}
    put(picture, "rect", **box, fill="none", stroke=ALARM, stroke_width=1.2)
    return picture


def _bar(picture: Element, x: float, width: float, pair: Sequence[int], most: int) -> None:
    """Spikes from the base up, silences on top of them."""
    y = BASE
    for count, colour, word in ((pair[0], DARK, "spikes"), (pair[1], LIGHT, "silences")):
        height = TALL * count / most
        y -= height
        if count:
            box = {"x": x + 0.8, "y": y, "width": width - 1.6, "height": height}
            put(put(picture, "rect", **box, fill=colour), "title", f"{count:,} {word}")
