"""Picture: what an inference may take, as ranges on a scale of powers of ten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import Any
from xml.etree.ElementTree import Element

from markupsafe import Markup

from toolchain.report.svg import canvas, clip, finish, put
from toolchain.report.work import span

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 440.0, 96.0, 12.0, 34.0, 24.0


def draw_spans(work: Mapping[str, Any]) -> list[Markup]:
    """A panel for energy and one for time; none where nobody published figures."""
    made = work["estimate"]
    energy = [(one["source"], one["total"]) for one in made["energy_pj"]]
    if made["static_pj"] is not None:
        energy.append(("static", made["static_pj"]))
    time = [(one["source"], one["total"]) for one in made["time_ns"]]
    panels = (("Energy per sample", energy, "pJ"), ("Time per sample", time, "ns"))
    return [_panel(name, rows, unit) for name, rows, unit in panels if rows]


def _panel(name: str, rows: Sequence[tuple[str, Sequence[float]]], unit: str) -> Markup:
    positive = [value for _, ends in rows for value in ends if value > 0] or [1.0]
    low, high = floor(log10(min(positive))), ceil(log10(max(positive)))
    high = max(high, low + 1)
    picture = canvas(_WIDTH, _TOP + _ROW * len(rows) + 26, f"{name}, as a range by source")
    put(picture, "text", name, x=0, y=13, class_="title")
    base = _TOP + _ROW * len(rows)
    for power in range(low, high + 1):
        x = _place(10.0**power, low, high)
        put(picture, "path", d=f"M{x:.1f} {_TOP}V{base:.1f}", class_="grid")
        look = {low: "axis", high: "axis end"}.get(power, "axis mid")
        put(picture, "text", span((10.0**power,) * 2, unit), x=x, y=base + 16, class_=look)
    for at, (source, ends) in enumerate(rows):
        _range(picture, _TOP + at * _ROW, source, ends, (low, high), unit)
    return finish(picture)


def _place(value: float, low: int, high: int) -> float:
    share = (log10(value) - low) / (high - low) if value > 0 else 0.0
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(share, 0.0), 1.0)


def _range(
    picture: Element,
    top: float,
    source: str,
    ends: Sequence[float],
    powers: tuple[int, int],
    unit: str,
) -> None:
    put(picture, "text", clip(source, 15), x=0, y=top + 20, class_="small")
    x, right = (_place(value, *powers) for value in ends)
    width = max(right - x, 4.0)
    look = "quiet" if source == "static" else "fill"
    bar = put(picture, "rect", x=x, y=top + 16, width=width, height=9, class_=look)
    put(bar, "title", f"{source}: {span(ends, unit)}")
    words, late = span(ends, unit), x > _WIDTH * 0.62
    at = {"x": x + width if late else x, "y": top + 12}
    put(picture, "text", words, class_="small end" if late else "small", **at)
