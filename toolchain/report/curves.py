"""Picture 1: how a run learned, panel by panel over the same epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from markupsafe import Markup

from toolchain.report.record import Epoch, Run
from toolchain.report.svg import canvas, clip, finish, marker, path, put, spread, ticks

_WIDTH, _HEIGHT = 440.0, 190.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 50.0, 82.0, 26.0, 26.0
_MARKERS = 7  # about as many along a line


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a panel; None where an epoch has no value."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From epochs and values to the picture's units."""

    epochs: Sequence[int]
    low: float
    high: float

    def x(self, epoch: float) -> float:
        """Where an epoch stands."""
        first, last = self.epochs[0], self.epochs[-1]
        share = 0.5 if first == last else (epoch - first) / (last - first)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Where a value stands."""
        share = (value - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def draw_curves(run: Run) -> list[Markup]:
    """Accuracy, density, PQ index and rewiring over epochs; empty before the first epoch."""
    history = run.history
    if not history:
        return []
    deployed = None if run.summary is None else run.summary.best_epoch
    panels = [_panel("Accuracy", _accuracies(history), history, deployed, _share)]
    panels.append(_panel("Density", _per_layer(history, "density"), history, deployed, _share))
    indices = _per_layer(history, "pq_index")
    if any(value is not None for line in indices for value in line.values):
        panels.append(_panel("PQ index (compressibility)", indices, history, deployed, _plain))
    return [*panels, _rewiring(history, deployed)]


def _share(value: float) -> str:
    return f"{100 * value:g} %"


def _plain(value: float) -> str:
    return f"{value:g}"


def _thousands(value: float) -> str:
    return f"{abs(value):,.0f}"


def _accuracies(history: Sequence[Epoch]) -> list[Series]:
    sides = ("validation", "train")
    lines = [Series(name=s, values=tuple(e.accuracy.get(s) for e in history)) for s in sides]
    return [line for line in lines if any(value is not None for value in line.values)]


def _per_layer(history: Sequence[Epoch], field: str) -> list[Series]:
    names = [layer.name for layer in history[-1].layers]
    tables = [{layer.name: getattr(layer, field) for layer in epoch.layers} for epoch in history]
    return [Series(name=n, values=tuple(table.get(n) for table in tables)) for n in names]


def _panel(
    name: str,
    lines: Sequence[Series],
    history: Sequence[Epoch],
    deployed: int | None,
    words: Callable[[float], str],
) -> Markup:
    known = [value for line in lines for value in line.values if value is not None] or [0.0]
    steps = ticks(min(known), max(known), 4)
    scale = Scale(epochs=[epoch.epoch for epoch in history], low=steps[0], high=steps[-1])
    picture = canvas(_WIDTH, _HEIGHT, f"{name} over epochs")
    _frame(picture, name, scale, steps, words, deployed)
    ends = [_line(picture, line, scale, style) for style, line in enumerate(lines)]
    for style, (line, y) in enumerate(zip(lines, spread(ends, 14), strict=True)):
        marker(picture, _WIDTH - _RIGHT + 11, y, style)
        where = {"x": _WIDTH - _RIGHT + 18, "y": y + 4}
        put(picture, "text", clip(line.name, 10), class_="name", **where)
    return finish(picture)


def _frame(
    picture: Element,
    name: str,
    scale: Scale,
    steps: Sequence[float],
    words: Callable[[float], str],
    deployed: int | None,
) -> None:
    """Title, grid, numbers and the epoch that is deployed."""
    put(picture, "text", name, x=0, y=13, class_="title")
    for step in steps:
        y = scale.y(step)
        put(picture, "line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
        put(picture, "text", words(step), x=_LEFT - 7, y=y + 4, class_="axis end")
    for epoch in _epoch_ticks(scale.epochs):
        x = scale.x(epoch)
        put(picture, "text", f"{epoch}", x=x, y=_HEIGHT - 10, class_="axis mid")
    put(picture, "text", "epoch", x=_WIDTH - _RIGHT + 18, y=_HEIGHT - 10, class_="axis")
    if deployed is not None and scale.epochs[0] <= deployed <= scale.epochs[-1]:
        x = scale.x(deployed)
        put(picture, "line", x1=x, x2=x, y1=_TOP - 4, y2=_HEIGHT - _BOTTOM, class_="deployed")


def _epoch_ticks(epochs: Sequence[int]) -> list[int]:
    """The first epoch, the last, and round ones between them."""
    first, last = epochs[0], epochs[-1]
    inner = [int(tick) for tick in ticks(first, last, 5) if tick == int(tick)]
    apart = (last - first) / 10
    between = [tick for tick in inner if first + apart < tick < last - apart]
    return sorted({first, *between, last})


def _line(picture: Element, line: Series, scale: Scale, style: int) -> float:
    """Draw a line and a few of its points; where its name should stand."""
    known = [(e, v) for e, v in zip(scale.epochs, line.values, strict=True) if v is not None]
    points = [(scale.x(epoch), scale.y(value)) for epoch, value in known]
    if not points:
        return scale.y(scale.low)
    put(picture, "path", d=path(points), class_=f"line s{style % 4}")
    every = max(len(points) // _MARKERS, 1)
    for x, y in points[::every]:
        marker(picture, x, y, style)
    return points[-1][1]


def _rewiring(history: Sequence[Epoch], deployed: int | None) -> Markup:
    """Synapses regrown (up, solid) and dropped (down, hatched) at each epoch's end."""
    grown = [sum(layer.grow for layer in epoch.layers) for epoch in history]
    dropped = [sum(layer.drop for layer in epoch.layers) for epoch in history]
    steps = ticks(-max(*dropped, 1), max(*grown, 1), 4)
    if 0 not in steps:
        steps = sorted({0.0, *steps})
    scale = Scale(epochs=[epoch.epoch for epoch in history], low=steps[0], high=steps[-1])
    picture = canvas(_WIDTH, _HEIGHT, "Synapses regrown and dropped over epochs")
    _hatch(picture)
    _frame(picture, "Synapses rewired", scale, steps, _thousands, deployed)
    width = max(0.7 * (_WIDTH - _LEFT - _RIGHT) / max(len(history), 22), 0.5)
    for epoch, up, down in zip(scale.epochs, grown, dropped, strict=True):
        _bar(picture, scale, epoch, up, width, "grown")
        _bar(picture, scale, epoch, -down, width, "dropped")
    zero = scale.y(0)
    put(picture, "line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=zero, y2=zero, class_="zero")
    where = _WIDTH - _RIGHT + 8
    put(picture, "text", f"+{sum(grown):,}", x=where, y=zero - 19, class_="name")
    put(picture, "text", "regrown", x=where, y=zero - 6, class_="name")
    put(picture, "text", f"-{sum(dropped):,}", x=where, y=zero + 14, class_="name")
    put(picture, "text", "dropped", x=where, y=zero + 27, class_="name")
    return finish(picture)


def _bar(picture: Element, scale: Scale, epoch: int, amount: int, width: float, look: str) -> None:
    if amount:
        top, bottom = sorted((scale.y(0), scale.y(amount)))
        where = {"x": scale.x(epoch) - width / 2, "y": top, "height": bottom - top}
        put(picture, "rect", width=width, class_=look, **where)


def _hatch(picture: Element) -> None:
    size = {"width": 4, "height": 4, "patternUnits": "userSpaceOnUse"}
    turn = {"patternTransform": "rotate(45)"}
    pattern = put(put(picture, "defs"), "pattern", id="hatch", **size, **turn)
    put(pattern, "line", x1=0, y1=0, x2=0, y2=4, class_="hatch")
