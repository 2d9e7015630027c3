"""Picture 1: how a run learned, panel by panel over the same epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup

from toolchain.report.figure import (
    BOTTOM,
    DEEP,
    HEIGHT,
    INK,
    RIGHT,
    SOFT,
    STEPS,
    TOP,
    WIDTH,
    new_figure,
    page_style,
    to_svg,
    write,
)
from toolchain.report.record import Epoch, Run
from toolchain.report.svg import clip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Look = dict[str, Any]  # what matplotlib is told of a line or a bar
_LOOKS: tuple[Look, ...] = (  # told apart without colour, by dash and marker
    {"color": DEEP, "linestyle": "-", "marker": "o"},
    {"color": "#6b7885", "linestyle": (0, (6, 3)), "marker": "s", "markerfacecolor": "white"},
    {"color": "#a0522d", "linestyle": (0, (2, 2.5)), "marker": "^"},
    {"color": "#2f6f62", "linestyle": (0, (8, 3, 2, 3)), "marker": "D", "markerfacecolor": "white"},
)
_MARKERS = 7  # about as many along a line
_APART = 14  # a line of text


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a panel; None where an epoch has no value."""

    name: str
    values: tuple[float | None, ...]

    @property
    def is_known(self) -> bool:
        """Whether any epoch has a value."""
        return any(value is not None for value in self.values)

    @property
    def last(self) -> float:
        """The value at the line's end."""
        return next(value for value in reversed(self.values) if value is not None)


def draw_curves(run: Run) -> list[Markup]:
    """Accuracy, density, PQ index and rewiring over epochs; empty before the first epoch."""
    if not run.history:
        return []
    with page_style():
        panels = [
            _panel("Accuracy", _accuracies(run.history), run, _share),
            _panel("Density", _per_layer(run.history, "density"), run, _share, floor=0),
        ]
        indices = _per_layer(run.history, "pq_index")
        if indices:
            panels.append(_panel("PQ index (compressibility)", indices, run, _plain))
        if len(run.history[-1].layers) > 1:
            dropped = _per_layer(run.history, "drop")
            panels.append(_panel("Synapses dropped, by layer", dropped, run, _amount, floor=0))
        return [*panels, _rewiring(run)]


_ALONE = """text { font: 11px system-ui, sans-serif; fill: #59636f }
.title { font-weight: 600; fill: #1d232b } .name { fill: #1d232b }"""


def run_picture(run: Run) -> str:
    """All panels, one below the other, as an SVG file that stands alone; needs an epoch."""
    panels = [ElementTree.fromstring(panel) for panel in draw_curves(run)]
    whole = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg"})
    height = len(panels) * (HEIGHT + TOP)
    whole.set("viewBox", f"0 0 {WIDTH:g} {height:g}")
    whole.set("width", f"{2 * WIDTH:g}")
    ElementTree.SubElement(whole, "style").text = _ALONE
    ElementTree.SubElement(whole, "rect", {"width": "100%", "height": "100%", "fill": "white"})
    for number, panel in enumerate(panels):
        panel.set("y", f"{number * (HEIGHT + TOP):g}")
        panel.set("width", f"{WIDTH:g}")
        panel.set("height", f"{HEIGHT:g}")
        whole.append(panel)
    return ElementTree.tostring(whole, encoding="unicode")


def _share(value: float, _: object) -> str:
    return f"{100 * value:g} %"


def _plain(value: float, _: object) -> str:
    return f"{value:g}"


def _amount(value: float, _: object, most: float = 1e5) -> str:
    """An amount in full, or in thousands or millions where there is no room for it."""
    from matplotlib.ticker import EngFormatter

    short = EngFormatter()(float(f"{abs(value):.3g}"))
    return f"{abs(value):,.0f}" if abs(value) < most else short


def _accuracies(history: Sequence[Epoch]) -> list[Series]:
    sides = ("validation", "train")
    lines = [Series(name=s, values=tuple(e.accuracy.get(s) for e in history)) for s in sides]
    return [line for line in lines if line.is_known]


def _per_layer(history: Sequence[Epoch], field: str) -> list[Series]:
    names = [layer.name for layer in history[-1].layers]
    tables = [{layer.name: getattr(layer, field) for layer in epoch.layers} for epoch in history]
    lines = [Series(name=n, values=tuple(table.get(n) for table in tables)) for n in names]
    return [line for line in lines if line.is_known]


def _panel(
    name: str,
    lines: Sequence[Series],
    run: Run,
    words: Callable[[float, object], str],
    *,
    floor: float | None = None,
) -> Markup:
    """A line per series; the axis reaches down to the floor, where there is one."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(name)
    _frame(axes, run)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    axes.yaxis.set_major_formatter(words)
    for line, look in zip(lines, cycle(_LOOKS)):
        _line(axes, run, line, look)
    if floor is not None:
        axes.update_datalim([(run.history[0].epoch, floor)])
    _name_lines(axes, lines)
    return to_svg(figure, f"{name} over epochs")


def _frame(axes: Axes, run: Run) -> None:
    """The epochs, and a dotted line at the one that is deployed."""
    first, last = run.history[0].epoch, run.history[-1].epoch
    margin = (last - first) / 40 or 0.5
    axes.set_xlim(first - margin, last + margin)
    axes.set_xticks(_epoch_ticks(first, last))
    for label in axes.get_xticklabels():
        label.set_verticalalignment("baseline")
    write(axes, "epoch", WIDTH - RIGHT + 18, BOTTOM - 16)
    if run.summary is not None and first <= run.summary.best_epoch <= last:
        best = run.summary.best_epoch
        dotted = (0, (2, 3))
        axes.axvline(best, ymax=1.03, color=SOFT, linewidth=1, linestyle=dotted, zorder=0.6)


def _epoch_ticks(first: int, last: int) -> list[int]:
    """The first epoch, the last, and round ones between them."""
    from matplotlib.ticker import MaxNLocator

    apart = (last - first) / 10
    inner = MaxNLocator(4, steps=STEPS, integer=True).tick_values(first, last)
    return sorted({first, *(int(e) for e in inner if first + apart < e < last - apart), last})


def _line(axes: Axes, run: Run, line: Series, look: Look) -> None:
    """A line and a few of its points."""
    pairs = zip(run.history, line.values, strict=True)
    known = [(epoch.epoch, value) for epoch, value in pairs if value is not None]
    every = max(len(known) // _MARKERS, 1)
    axes.plot(*zip(*known, strict=True), markevery=every, **look)


def _name_lines(axes: Axes, lines: Sequence[Series]) -> None:
    """Each line's name beside its end, with its marker."""
    axes.autoscale_view()
    ends = [axes.transData.transform((0, line.last))[1] for line in lines]
    places = spread(ends, _APART, (BOTTOM + 4, HEIGHT - TOP))
    for line, y, look in zip(lines, places, cycle(_LOOKS)):
        x = WIDTH - RIGHT + 11
        axes.plot(x, y, transform=None, **look | {"linestyle": "none"})
        write(axes, clip(line.name, 10), x + 7, y - 4, "name")


def spread(wanted: Sequence[float], gap: float, room: tuple[float, float]) -> list[float]:
    """Places nearest the wanted ones, in their order and in the room, `gap` apart if it is there.

    Less what each must keep from the lowest, places need only rise: an isotonic regression.
    """
    from scipy.optimize import isotonic_regression

    if not wanted:
        return []
    low, high = room
    order = np.argsort(wanted, kind="stable")
    kept = min(gap, (high - low) / len(wanted)) * np.arange(len(wanted))
    rising = isotonic_regression(np.asarray(wanted)[order] - kept).x
    places = np.clip(rising, low, high - kept[-1]) + kept
    return [float(place) for place in places[np.argsort(order)]]


def _rewiring(run: Run) -> Markup:
    """Synapses regrown (up, solid) and dropped (down, hatched) at each epoch's end."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure("Synapses rewired")
    _frame(axes, run)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=STEPS, integer=True))
    axes.yaxis.set_major_formatter(_amount)
    grown = {epoch.epoch: sum(layer.grow for layer in epoch.layers) for epoch in run.history}
    dropped = {epoch.epoch: sum(layer.drop for layer in epoch.layers) for epoch in run.history}
    _bars(axes, grown, 1, {"color": DEEP})
    _bars(axes, dropped, -1, {"facecolor": "white", "edgecolor": SOFT, "hatch": "////"})
    axes.axhline(0, color=INK, linewidth=1)
    _name_bars(axes, sum(grown.values()), sum(dropped.values()))
    return to_svg(figure, "Synapses regrown and dropped over epochs")


def _bars(axes: Axes, amounts: dict[int, int], sign: int, look: Look) -> None:
    """A bar at each epoch that has an amount."""
    first, last = axes.get_xlim()
    width = 0.7 * min(1, (last - first) / 22)
    known = {epoch: sign * amount for epoch, amount in amounts.items() if amount}
    axes.bar(list(known), list(known.values()), width, linewidth=0.7, **look)


def _name_bars(axes: Axes, grown: int, dropped: int) -> None:
    """What the bars add up to, above and below zero."""
    axes.update_datalim([(axes.get_xlim()[0], y) for y in (-1, 1)])
    axes.autoscale_view()
    zero = axes.transData.transform((0, 0))[1]
    zero = float(np.clip(zero, BOTTOM + 2 * _APART, HEIGHT - TOP - 2 * _APART))
    up, down = (_amount(amount, None, 1e7) for amount in (grown, dropped))
    lines = (f"+{up}", "regrown", f"\N{MINUS SIGN}{down}", "dropped")
    for words, above in zip(lines, (19, 6, -14, -27), strict=True):
        write(axes, words, WIDTH - RIGHT + 8, zero + above, "name")
