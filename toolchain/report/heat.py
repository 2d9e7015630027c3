"""Picture 3: the mesh once for every resource and for the traffic, each core as dark as it is full.

One hue from light to dark, so that a grey print says the same; a number stands where there is room.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from toolchain.artifact import Artifact
from toolchain.hardware import HardwareProfile
from toolchain.mesh import Loads, cells, tiles
from toolchain.report.svg import canvas, finish, put
from toolchain.report.words import BUDGETS, RESOURCES, fills, percent

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

WIDTH = 340.0  # of a panel, in user units
TOP, BOTTOM = 24.0, 30.0  # for the title, and for the scale
SHADES = ("#eaf0f5", "#c6d5e3", "#98b4cd", "#668fb3", "#386a95", "#174568", "#0a2540")
_LARGEST = 58.0  # side of a cell
_LEGIBLE = 18.0  # side of a cell that holds a number
_GAPS = {"tile": 0.14, "chip": 0.5}  # between tiles and between chips, as a share of a cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where cells stand: only the chips in use, edge to edge but for a gap."""

    cell: float  # side
    left: tuple[float, ...]  # of each column of cells; the last is where the mesh ends
    top: tuple[float, ...]  # of each row
    first: tuple[int, int]  # the cell in the upper left corner


def draw_panels(artifact: Artifact, loads: Loads | None, samples: int) -> list[Markup]:
    """A panel for every budget, then for messages and visits of synapses, then for the links."""
    return [finish(panel) for panel in panels(artifact, loads, samples)]


def panels(artifact: Artifact, loads: Loads | None, samples: int) -> list[Element]:
    """The same as elements."""
    numbers = np.array([core.number for core in artifact.cores], np.int64)
    shares = [fills(core, artifact) for core in artifact.cores]
    found = [
        _heat(
            artifact.profile, numbers, RESOURCES[key], np.array([one[key] for one in shares]), "%"
        )
        for key in BUDGETS
    ]
    if loads is not None:
        messages = (loads.sent + loads.received) / samples
        visits = loads.synapse_events / samples
        found += [
            _heat(artifact.profile, numbers, "messages", messages, "per sample"),
            _heat(artifact.profile, numbers, "synapses visited", visits, "per sample"),
        ]
        if loads.hops:
            found.append(_links(artifact.profile, numbers, loads, samples))
    return found


def sheet(artifact: Artifact, loads: Loads | None, samples: int, title: str) -> str:
    """All panels on one sheet: a file of its own that needs nothing else."""
    made = panels(artifact, loads, samples)
    columns, gap = min(3, len(made)), 26.0
    heights = [
        max(_height(p) for p in made[at : at + columns]) for at in range(0, len(made), columns)
    ]
    width = columns * (WIDTH + gap) + gap
    whole = canvas(width, 64 + sum(heights) + gap * len(heights), title)
    whole.set("xmlns", "http://www.w3.org/2000/svg")
    whole.set("width", f"{width:g}")
    put(whole, "style", _STYLE)
    put(whole, "rect", width="100%", height="100%", fill="#fff")
    put(whole, "text", title, x=gap, y=36, class_="head")
    for at, panel in enumerate(made):
        row, column = divmod(at, columns)
        x, y = gap + column * (WIDTH + gap), 64 + sum(heights[:row]) + gap * row
        group = put(whole, "g", transform=f"translate({x:g} {y:g})")
        group.extend(list(panel))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + str(finish(whole)) + "\n"


_STYLE = """text { font: 11px system-ui, "Segoe UI", Roboto, Arial, sans-serif; fill: #1d232b }
.head { font-size: 17px; font-weight: 600 } .title { font-size: 12.5px; font-weight: 600 }
.axis { fill: #59636f } .mid { text-anchor: middle } .end { text-anchor: end }
.cell { font-size: 9.5px } .onto { fill: #fff }"""


def _height(panel: Element) -> float:
    return float(panel.attrib["viewBox"].split()[3])


def _heat(
    profile: HardwareProfile, numbers: IntArray, title: str, values: FloatArray, unit: str
) -> Element:
    """One panel: the cores in use shaded by a value, the others empty."""
    frame = _frame(profile, numbers)
    most = float(values.max(initial=0.0))
    top = most if unit != "%" else 1.0
    fullest = f"{_say(most, unit)} on core {numbers[int(np.argmax(values))]}"
    picture = _panel(frame, title, f"most: {fullest}")
    _background(picture, profile, numbers, frame)
    words = [_say(value, unit) for value in values]
    longest = max(len(word.removesuffix(" %")) for word in words)
    room = frame.cell >= _LEGIBLE and longest * 5.6 < frame.cell
    x, y = cells(profile, numbers)
    for across, down, value, number, said in zip(x, y, values, numbers, words, strict=True):
        corner = (frame.left[across - frame.first[0]], frame.top[down - frame.first[1]])
        share = value / top if top else 0.0
        _cell(picture, corner, frame.cell, share, f"core {number}: {said}", said if room else "")
    _scale(picture, frame.top[-1] + 9, "0", _say(top, unit) + ("" if unit == "%" else f" {unit}"))
    return picture


def _say(value: float, unit: str) -> str:
    if unit == "%":
        return percent(value, 0)
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            return f"{value / (limit if letter != 'k' else 1e3):.3g} {letter}"
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.2g}"


def _shade(share: float) -> str:
    return SHADES[min(int(share * len(SHADES)), len(SHADES) - 1)]


def _cell(
    picture: Element,
    corner: tuple[float, float],
    side: float,
    share: float,
    hover: str,
    words: str,
) -> None:
    x, y = corner
    box = {"x": x, "y": y, "width": side * 0.94, "height": side * 0.94, "rx": min(2.0, side / 8)}
    rect = put(picture, "rect", fill=_shade(share), **box)
    put(rect, "title", hover)
    if words:
        onto = " onto" if share * len(SHADES) >= 3 else ""
        middle = {"x": x + side * 0.47, "y": y + side * 0.47 + 3.5}
        put(picture, "text", words.replace(" %", ""), class_=f"cell mid{onto}", **middle)


def _frame(profile: HardwareProfile, numbers: IntArray) -> Frame:
    """Cells of the chips in use, as large as the panel allows."""
    every = _cores_of_chips(profile, numbers)
    x, y = cells(profile, every)
    wide = profile.chips.columns // profile.mesh.tile_columns
    high = profile.mesh.cores_per_tile // wide
    rows = profile.chips.cores_per_chip // profile.chips.columns
    units_x = _offsets(int(x.min()), int(x.max()), wide, profile.chips.columns)
    units_y = _offsets(int(y.min()), int(y.max()), high, rows)
    cell = min(_LARGEST, WIDTH / units_x[-1])
    return Frame(
        cell=cell,
        left=tuple(unit * cell for unit in units_x),
        top=tuple(TOP + unit * cell for unit in units_y),
        first=(int(x.min()), int(y.min())),
    )


def _cores_of_chips(profile: HardwareProfile, numbers: IntArray) -> IntArray:
    """Every core of the chips on which these stand."""
    per_chip = profile.chips.cores_per_chip
    chips = np.unique(numbers // per_chip)
    return (chips[:, None] * per_chip + np.arange(per_chip)).reshape(-1)


def _offsets(first: int, last: int, per_tile: int, per_chip: int) -> list[float]:
    """Where each row or column of cells begins, in cells; the last number is where they end."""
    at, found = 0.0, []
    for cell in range(first, last + 1):
        if cell > first and cell % per_chip == 0:
            at += _GAPS["chip"]
        elif cell > first and cell % per_tile == 0:
            at += _GAPS["tile"]
        found.append(at)
        at += 1.0
    return [*found, at]


def _background(
    picture: Element, profile: HardwareProfile, numbers: IntArray, frame: Frame
) -> None:
    """The cores that are not used: a faint ring each, or a faint area where they are many."""
    every = _cores_of_chips(profile, numbers)
    free = every[~np.isin(every, numbers)]
    x, y = cells(profile, free)
    side = frame.cell * 0.94
    for across, down in zip(x - frame.first[0], y - frame.first[1], strict=True):
        box = {"x": frame.left[across], "y": frame.top[down], "width": side, "height": side}
        look = {"fill": "none", "stroke": "#d3d9e0", "stroke_width": min(1.0, side / 8)}
        put(picture, "rect", **box, **look, rx=min(2.0, side / 8))


def _panel(frame: Frame, title: str, note: str) -> Element:
    picture = canvas(WIDTH, frame.top[-1] + BOTTOM, f"{title}; {note}")
    put(picture, "text", title, x=0, y=12, class_="title")
    put(picture, "text", note, x=WIDTH, y=12, class_="axis end")
    return picture


def _scale(picture: Element, y: float, least: str, most: str) -> None:
    """The shades from none to most."""
    step = 18.0
    start = 7.0 * len(least) + 6
    put(picture, "text", least, x=0, y=y + 9, class_="axis")
    for at, shade in enumerate(SHADES):
        put(picture, "rect", x=start + at * step, y=y, width=step - 1, height=10, fill=shade)
    put(picture, "text", most, x=start + len(SHADES) * step + 5, y=y + 9, class_="axis")


def _links(profile: HardwareProfile, numbers: IntArray, loads: Loads, samples: int) -> Element:
    """The last panel: every link between tiles as wide and as dark as it is loaded."""
    every = _cores_of_chips(profile, numbers)
    x, y = tiles(profile, every)
    first, last = (int(x.min()), int(y.min())), (int(x.max()), int(y.max()))
    pitch = min(_LARGEST, WIDTH / (last[0] - first[0] + 1))
    busiest = loads.busiest_link
    frame = Frame(cell=pitch, left=(), top=(TOP + pitch * (last[1] - first[1] + 1),), first=first)
    words = _say(busiest / samples, "")
    picture = _panel(frame, "links between tiles", f"busiest: {words} per sample")
    used = set(zip(*(part.tolist() for part in tiles(profile, numbers)), strict=True))
    for tile in sorted(set(zip(x.tolist(), y.tolist(), strict=True))):
        _tile(picture, tile, frame, tile in used)
    for step, there, back in (((1, 0), loads.east, loads.west), ((0, 1), loads.south, loads.north)):
        for way, load in ((1, there), (-1, back)):
            for down, across in zip(*np.nonzero(load), strict=True):
                link = (int(across), int(down))
                _link(picture, link, step, way, frame, load[down, across] / busiest)
    _scale(picture, frame.top[-1] + 9, "0", f"{words} messages per sample")
    return picture


def _tile(picture: Element, tile: tuple[int, int], frame: Frame, used: bool) -> None:
    side = frame.cell * 0.5
    x = (tile[0] - frame.first[0]) * frame.cell + frame.cell * 0.25
    y = TOP + (tile[1] - frame.first[1]) * frame.cell + frame.cell * 0.25
    look = {"fill": "#fff", "stroke": "#59636f" if used else "#d3d9e0"}
    put(picture, "rect", x=x, y=y, width=side, height=side, rx=min(3.0, side / 6), **look)


def _link(
    picture: Element,
    tile: tuple[int, int],
    step: tuple[int, int],
    way: int,
    frame: Frame,
    share: float,
) -> None:
    """A bar between two tiles; the two directions lie side by side, as traffic does on a road."""
    wide = max(frame.cell * 0.2 * share, 0.6)
    middle = [(tile[k] - frame.first[k] + 0.5) * frame.cell for k in (0, 1)]
    aside = way * frame.cell * 0.12
    ends = [
        (
            middle[0] + step[0] * part * frame.cell - step[1] * aside,
            TOP + middle[1] + step[1] * part * frame.cell + step[0] * aside,
        )
        for part in (0.26, 0.74)
    ]
    (x1, y1), (x2, y2) = ends
    line = {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "stroke_width": wide}
    put(picture, "line", stroke=_shade(0.25 + 0.75 * share), **line)
