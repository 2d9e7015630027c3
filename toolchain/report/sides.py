"""Picture: two sides' spikes in one window, told apart by shape, and where they first part.

A bar: both spike. A ring: only the expected side. A filled diamond: only the judged side. So a
print in grey, or an eye that sees no red, reads the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from xml.etree.ElementTree import Element

from markupsafe import Markup

from toolchain.report.record import Pane, Window
from toolchain.report.svg import canvas, clip, finish, put

_WIDTH, _LEFT, _RIGHT = 440.0, 34.0, 8.0
_TOP, _HEAD, _GAP, _FOOT = 46.0, 20.0, 12.0, 36.0
_TALLEST, _ROW = 230.0, 11.0  # of a panel, and of a row
_LABEL = 10.0  # a row's number needs so much
_MOST = 6  # populations that are drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class SidesPicture:
    """Two sides of an arrow in one sample, and how many populations are not drawn."""

    svg: Markup
    window: Window
    left_out: int


def draw_sides(window: Window) -> SidesPicture:
    """The window as a picture: a panel for each population, one cursor through all."""
    panes = _shown(window.populations)
    left_out = window.left_out + len(window.populations) - len(panes)
    window = window.model_copy(update={"populations": panes})
    return SidesPicture(svg=_picture(window), window=window, left_out=left_out)


def _shown(panes: tuple[Pane, ...]) -> tuple[Pane, ...]:
    """Those that differ earliest; their order stays."""
    ranked = sorted(panes, key=lambda pane: min(map(_earliest, pane.rows), default=inf))[:_MOST]
    return tuple(pane for pane in panes if pane in ranked)


def _earliest(row: str) -> float:
    return next((t for t, sign in enumerate(row) if sign in "-+"), inf)


def _picture(window: Window) -> Markup:
    heights = [_height(pane) for pane in window.populations]
    height = _TOP + sum(h + _HEAD + _GAP for h in heights) + _FOOT - _GAP
    label = (
        f"Sample {window.sample}: spikes of {window.against} and {window.backend},"
        f" {(window.cursor is None and 'all alike') or f'first apart at timestep {window.cursor}'}"
    )
    picture = canvas(_WIDTH, height, label)
    _legend(picture, window)
    steps = max((len(row) for pane in window.populations for row in pane.rows), default=1)
    _cursor(picture, window, steps, height)
    y = _TOP
    for pane, tall in zip(window.populations, heights, strict=True):
        y += _HEAD
        _panel(picture, pane, steps, y, tall)
        y += tall + _GAP
    _axis(picture, window, steps, y - _GAP)
    return finish(picture)


def _height(pane: Pane) -> float:
    return min(max(len(pane.rows), 1) * _ROW, _TALLEST)


def _step(steps: int) -> float:
    return (_WIDTH - _LEFT - _RIGHT) / max(steps, 1)


def _legend(picture: Element, window: Window) -> None:
    """The three signs, and how often each stands in the picture."""
    signs = "".join(row for pane in window.populations for row in pane.rows)
    words = (
        ("=", f"both ({signs.count('='):,})"),
        ("-", f"only {clip(window.against, 12)} ({signs.count('-'):,})"),
        ("+", f"only {clip(window.backend, 12)} ({signs.count('+'):,})"),
    )
    x = _LEFT
    for sign, text in words:
        _mark(picture, sign, x + 5, 9, 10.0, 9.0)
        put(picture, "text", text, x=x + 15, y=13, class_="axis")
        x += 27 + 6.1 * len(text)


def _cursor(picture: Element, window: Window, steps: int, height: float) -> None:
    """A band behind all panels over the timestep in which the sides first part."""
    if window.cursor is None or not window.start <= window.cursor < window.start + steps:
        return
    width = _step(steps)
    x = _LEFT + (window.cursor - window.start) * width
    tall = height - _TOP - _FOOT + 8
    put(picture, "rect", x=x, y=_TOP - 8, width=width, height=tall, class_="cursor")
    words = f"first difference: timestep {window.cursor}"
    late = x > _WIDTH / 2
    at = {"x": x + (width if late else 0.0), "y": _TOP - 13}
    put(picture, "text", words, class_="alert end" if late else "alert", **at)


def _panel(picture: Element, pane: Pane, steps: int, top: float, tall: float) -> None:
    put(picture, "text", clip(pane.population, 24), x=_LEFT, y=top - 6, class_="title")
    kept = len(pane.neurons)
    shown = f"{pane.size:,} neurons" if kept == pane.size else f"{kept} of {pane.size:,} neurons"
    put(picture, "text", shown, x=_WIDTH - _RIGHT, y=top - 6, class_="axis end")
    box = {"x": _LEFT, "y": top, "width": _WIDTH - _LEFT - _RIGHT, "height": tall}
    put(picture, "rect", class_="frame", **box)
    row_height, last = tall / max(len(pane.rows), 1), -_LABEL
    for at, (neuron, row) in enumerate(zip(pane.neurons, pane.rows, strict=True)):
        y = top + (at + 0.5) * row_height
        differs = "-" in row or "+" in row
        if (differs or row_height >= _LABEL) and y - last >= _LABEL:
            look = "small end strong" if differs else "small end"
            put(picture, "text", f"{neuron}", x=_LEFT - 5, y=y + 3.5, class_=look)
            last = y
        _row(picture, row, y, _step(steps), row_height)


def _row(picture: Element, row: str, y: float, width: float, height: float) -> None:
    long = 0.72 * min(width, 16.0)
    bars = [
        f"M{_LEFT + (t + 0.5) * width - long / 2:.1f} {y:.1f}h{long:.1f}"
        for t, sign in enumerate(row)
        if sign == "="
    ]
    if bars:
        thick = min(max(0.5 * height, 1.2), 4.0)
        put(picture, "path", d="".join(bars), class_="both", stroke_width=thick)
    for t, sign in enumerate(row):
        if sign in "-+":
            _mark(picture, sign, _LEFT + (t + 0.5) * width, y, width, height)


def _mark(picture: Element, sign: str, x: float, y: float, width: float, height: float) -> None:
    r = min(max(min(width, height) * 0.44, 2.9), 4.2)
    if sign == "=":
        put(picture, "path", d=f"M{x - 5:.1f} {y:.1f}h10", class_="both", stroke_width=4.0)
    elif sign == "-":
        put(picture, "circle", cx=x, cy=y, r=r, class_="lost")
    else:
        r += 0.6
        points = f"M{x:.1f} {y - r:.1f}l{r:.1f} {r:.1f}l{-r:.1f} {r:.1f}l{-r:.1f} {-r:.1f}z"
        put(picture, "path", d=points, class_="extra")


def _axis(picture: Element, window: Window, steps: int, y: float) -> None:
    every = next((n for n in (1, 2, 5, 10, 20) if steps / n <= 9), 50)
    for t in range(steps):
        if (window.start + t) % every == 0:
            x = _LEFT + (t + 0.5) * _step(steps)
            put(picture, "text", f"{window.start + t}", x=x, y=y + 15, class_="axis mid")
    whole = steps >= window.timesteps
    words = "timestep, on each layer's own clock"
    words += "" if whole else f"; {steps} of {window.timesteps:,} are shown"
    put(picture, "text", words, x=_WIDTH - _RIGHT, y=y + 30, class_="axis end")
