"""Picture 3: one sample's spikes, from the input to the decision."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from markupsafe import Markup

from toolchain.raster import BoolArray, decisions
from toolchain.report.collect import Report
from toolchain.report.figure import STEPS
from toolchain.report.svg import canvas, clip, finish, put
from toolchain.report.words import is_foreign

_WIDTH, _LEFT, _RIGHT = 440.0, 8.0, 8.0
_ROWS = 128  # of a panel; a larger population has several neurons in a row
_HEAD, _FOOT, _GAP = 20.0, 30.0, 12.0
_TALLEST = 150.0
_CLASS_ROW = 11.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Spikes of one output neuron, and whether it was decided or is the label."""

    neuron: int
    spikes: int
    share: float  # of the most spikes
    decided: bool
    labelled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikePicture:
    """One sample's raster and decision."""

    svg: Markup
    sample: int
    output: str
    decided: int
    label: int | None
    scores: tuple[Score, ...]  # every output neuron, or the ten with most spikes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Panel:
    name: str
    spikes: BoolArray  # (timesteps, neurons)
    height: float

    @property
    def per_row(self) -> int:
        """Neurons that share a row."""
        return -(-self.spikes.shape[1] // _ROWS)


def draw_spikes(report: Report) -> SpikePicture | None:
    """The sample of the first mismatch where there is one, else the first; None without spikes."""
    recorded = report.recorded
    if recorded is None or is_foreign(report) or 0 in (recorded.samples, recorded.timesteps):
        return None
    output = _output(report)
    sample = _sample(report)
    one = recorded.between(sample, sample + 1)
    decided = int(decisions(one, output)[0])
    label = None if one.labels is None else int(one.labels[0])
    counts = one.spikes[output][0].sum(axis=0)
    return SpikePicture(
        svg=_raster(_panels(report, sample, output), report, sample),
        sample=sample,
        output=output,
        decided=decided,
        label=label,
        scores=_scores([int(n) for n in counts], decided, label),
    )


def _output(report: Report) -> str:
    """The population that decides; the last recorded one where no artifact says it."""
    assert report.recorded is not None
    last = list(report.recorded.spikes)[-1]
    return last if report.artifact is None else report.artifact.network.output


def _sample(report: Report) -> int:
    assert report.recorded is not None
    first = None if report.verdict is None else report.verdict.first_mismatch
    return first.sample if first is not None and first.sample < report.recorded.samples else 0


def _scores(counts: list[int], decided: int, label: int | None) -> tuple[Score, ...]:
    """Scores in the order of neurons; of many, the ten highest, the label's always among them."""
    first = sorted(range(len(counts)), key=lambda n: (n != label, -counts[n], n))[:10]
    most = max(*counts, 1)
    return tuple(
        Score(
            neuron=n,
            spikes=counts[n],
            share=counts[n] / most,
            decided=n == decided,
            labelled=n == label,
        )
        for n in sorted(first)
    )


def _panels(report: Report, sample: int, output: str) -> list[_Panel]:
    """The input, where it is known, then the populations in the order of the network."""
    recorded, stimulus = report.recorded, report.stimulus
    assert recorded is not None
    shown: list[tuple[str, BoolArray]] = []
    if stimulus is not None and stimulus.timesteps == recorded.timesteps:
        shown += [(n, s[sample]) for n, s in stimulus.spikes.items() if sample < stimulus.samples]
    names = list(recorded.spikes)
    if report.artifact is not None:
        names = [population.name for population in report.artifact.network.populations]
    shown += [(name, recorded.spikes[name][sample]) for name in names]
    return [_Panel(name=n, spikes=s, height=_height(n, s, output)) for n, s in shown]


def _height(name: str, spikes: BoolArray, output: str) -> float:
    neurons = spikes.shape[1]
    if name == output and neurons * _CLASS_ROW <= _TALLEST:
        return neurons * _CLASS_ROW
    return float(np.clip(neurons * 1.2, 24, _TALLEST))


def _raster(panels: list[_Panel], report: Report, sample: int) -> Markup:
    height = sum(panel.height + _HEAD + _GAP for panel in panels) + _FOOT - _GAP
    picture = canvas(_WIDTH, height, f"Spikes of sample {sample}")
    y, timesteps = 0.0, panels[0].spikes.shape[0]
    for panel in panels:
        y += _HEAD
        _draw(picture, panel, y)
        _ring(picture, panel, y, report, sample)
        y += panel.height + _GAP
    for tick in _ticks(timesteps):
        x = _LEFT + (tick + 0.5) * _step(timesteps)
        put(picture, "text", f"{tick}", x=x, y=y + 3, class_="axis mid")
    words = "timestep, on each layer's own clock"
    put(picture, "text", words, x=_WIDTH - _RIGHT, y=y + 16, class_="axis end")
    return finish(picture)


def _step(timesteps: int) -> float:
    return (_WIDTH - _LEFT - _RIGHT) / timesteps


def _ticks(timesteps: int) -> list[int]:
    """A few round timesteps."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(5, steps=STEPS, integer=True).tick_values(0, timesteps - 1)
    return [int(tick) for tick in found if 0 <= tick < timesteps]


def _draw(picture: Element, panel: _Panel, top: float) -> None:
    """A frame, its name and a mark per spike; what several neurons share is marked once."""
    timesteps, neurons = panel.spikes.shape
    rows = -(-neurons // panel.per_row)
    put(picture, "text", clip(panel.name, 24), x=_LEFT, y=top - 6, class_="title")
    put(picture, "text", _amounts(panel), x=_WIDTH - _RIGHT, y=top - 6, class_="axis end")
    box = {"x": _LEFT, "y": top, "width": _WIDTH - _LEFT - _RIGHT, "height": panel.height}
    put(picture, "rect", class_="panel", **box)
    width, height = _step(timesteps), panel.height / rows
    t, neuron = np.nonzero(panel.spikes)
    cells = np.unique(np.stack([t, neuron // panel.per_row], axis=1), axis=0)
    mark_w, mark_h = min(0.72 * width, 12.0), max(0.78 * height, 0.9)
    left = _LEFT + (width - mark_w) / 2
    marks = [
        f"M{left + t * width:.1f} {top + (row + 0.5) * height:.1f}h{mark_w:.1f}"
        for t, row in cells.tolist()
    ]
    put(picture, "path", d="".join(marks), class_="spikes", stroke_width=min(mark_h, 5.0))


def _amounts(panel: _Panel) -> str:
    neurons, spikes = panel.spikes.shape[1], int(panel.spikes.sum())
    shared = f", {panel.per_row} to a row" if panel.per_row > 1 else ""
    return f"{neurons:,} neurons{shared}, {spikes:,} spikes"


def _ring(picture: Element, panel: _Panel, top: float, report: Report, sample: int) -> None:
    """A ring around the first mismatch, where it is in this panel."""
    first = None if report.verdict is None else report.verdict.first_mismatch
    if first is None or first.sample != sample or first.population != panel.name:
        return
    timesteps, neurons = panel.spikes.shape
    if first.timestep >= timesteps or first.neuron >= neurons:
        return
    row = panel.height / -(-neurons // panel.per_row)
    x = _LEFT + (first.timestep + 0.5) * _step(timesteps)
    y = top + (first.neuron // panel.per_row + 0.5) * row
    put(picture, "circle", cx=x, cy=y, r=8.0, class_="ring")
    right = x < _WIDTH / 2
    where = {"x": x + (12 if right else -12), "y": y + 4}
    put(picture, "text", "differs", class_="alert" if right else "alert end", **where)
