"""Figures: matplotlib draws them, and they become pieces of the page that refer to nothing else.

A text keeps its place and gets a class; its font, size and colour are the style sheet's. Nothing
is changed in matplotlib that outlasts a picture, and a user's own settings of it do not show.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

from toolchain.report.svg import finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, RULE, DEEP = "#1d232b", "#59636f", "#d8dee5", "#1c4a73"  # as in the page's style sheet
WIDTH, HEIGHT = 440.0, 190.0  # in user units, which are matplotlib's points
LEFT, RIGHT, TOP, BOTTOM = 50.0, 86.0, 26.0, 26.0  # around the axes
STEPS = [1, 2, 2.5, 5, 10]  # between the numbers of an axis, times a power of ten
_CLASSES = {"title", "name"}  # of texts, by an artist's gid; the others are "axis"
_STYLE = {
    "axes.autolimit_mode": "round_numbers",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.xmargin": 0,
    "axes.ymargin": 0,
    "font.size": 11,
    "grid.color": RULE,
    "grid.linewidth": 1,
    "hatch.linewidth": 1.3,
    "lines.linewidth": 1.8,
    "lines.markeredgewidth": 1.4,
    "lines.markersize": 5.6,
    "lines.scale_dashes": False,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "xtick.major.pad": 16,
    "xtick.major.size": 0,
    "ytick.major.pad": 7,
    "ytick.major.size": 0,
}


@contextmanager
def page_style() -> Iterator[None]:
    """Within it figures are drawn and made SVG; a glyph that matplotlib lacks the page may have."""
    from matplotlib import style

    with warnings.catch_warnings(), style.context(_STYLE, after_reset=True):
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
        yield


def new_figure(title: str) -> tuple[Figure, Axes]:
    """A figure with its title, and axes without a frame on it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72, frameon=False)
    size = ((WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - TOP - BOTTOM) / HEIGHT)
    axes = figure.add_axes((LEFT / WIDTH, BOTTOM / HEIGHT, *size), frameon=False)
    write(axes, title, 0, HEIGHT - 13, "title")
    return figure, axes


def write(axes: Axes, words: str, x: float, y: float, look: str | None = None) -> None:
    """Words that start at a point of the figure, from its lower left; what is no sign is shown."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)
    axes.annotate(shown, (x, y), xycoords="figure points", gid=look, annotation_clip=False)


def to_svg(figure: Figure, label: str) -> Markup:
    """The figure as a piece of HTML; `label` is what a screen reader says, and keeps ids apart."""
    from matplotlib import rc_context

    file = BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.hashsalt": label}):
        figure.savefig(file, format="svg", metadata=nothing)
    picture = ElementTree.fromstring(file.getvalue())
    for element in list(picture.iter()):
        _tidy(element)
    picture.attrib = {"viewBox": picture.attrib["viewBox"], "stroke-linejoin": "round"}
    picture.attrib |= {"role": "img", "aria-label": label}
    return finish(picture)


def _tidy(element: ElementTree.Element) -> None:
    """Drop what the page has no use for: namespaces, spaces, the names of groups; style elements,
    which would rule the whole page; clips, which cut nothing but half of the outermost grid lines.
    """
    for child in element.findall("{*}defs"):
        if child.find("{*}style") is not None or child.find("{*}clipPath") is not None:
            element.remove(child)
    named = {_local(key): " ".join(value.split()) for key, value in element.attrib.items()}
    element.attrib = {key: value for key, value in named.items() if key != "clip-path"}
    element.tag, element.tail = _local(element.tag), None
    if element.tag != "text":
        element.text = None
    if element.tag == "g":
        look = element.attrib.pop("id", "")
        for text in element.findall("{*}text"):
            _dress(text, look)


def _dress(text: ElementTree.Element, look: str) -> None:
    """Leave a text its anchor and give it a class."""
    anchor = re.search(r"text-anchor: (\w+)", text.attrib.pop("style", ""))
    text.set("text-anchor", anchor[1] if anchor else "start")
    text.set("class", look if look in _CLASSES else "axis")


def _local(name: str) -> str:
    return name.rpartition("}")[2]
