"""Picture: what the words of synaptic memory hold: weights, indices, and what is mere padding."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from xml.etree.ElementTree import Element

import numpy as np
from markupsafe import Markup

from toolchain.artifact import Artifact, Core, SynapseBits
from toolchain.report.svg import canvas, finish, put
from toolchain.report.words import percent

KINDS = {  # in the order of SynapseBits; the darker, the more it is worth
    "weights": "weights",
    "delays": "delays",
    "indices": "indices and skips",
    "headers": "list headers",
    "padding": "padding: gaps, end marks, rounding up to words",
}
_WIDTH, _LEFT, _RIGHT = 440.0, 60.0, 48.0
_ROW, _BELOW = 17.0, 54.0
_MOST = 24  # cores that are drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPicture:
    """Bars, and the same in rows of (css class, kind, bits, share of what is written)."""

    svg: Markup
    rows: tuple[tuple[str, str, int, float], ...]
    written: int  # bits
    held: int  # bits, in the cores in use
    left_out: int  # cores that are not drawn


def draw_memory(artifact: Artifact) -> MemoryPicture | None:
    """A bar for all cores in use and one for each; None where they hold no synapse."""
    cores = artifact.cores
    sums = [sum(column) for column in zip(*(astuple(core.bits) for core in cores), strict=True)]
    written = sum(sums)
    if not written:
        return None
    word, words = artifact.profile.synapse.word_bits, artifact.profile.core.synapse_words
    shown = cores if len(cores) <= _MOST else _fullest(cores)
    picture = canvas(_WIDTH, _BELOW + _ROW * len(shown) + 44, "Synaptic memory by what it holds")
    for y, name, held in ((4.0, "split", written), (26.0, "all", words * word * len(cores))):
        put(picture, "text", name, x=_LEFT - 7, y=y + 12, class_="small end strong")
        _bar(picture, y, 15, sums, held)
    for at, core in enumerate(shown):
        y = _BELOW + at * _ROW
        put(picture, "text", f"core {core.number}", x=_LEFT - 7, y=y + 10, class_="small end")
        _bar(picture, y, 12, list(astuple(core.bits)), words * word)
    _axis(picture, _BELOW + _ROW * len(shown))
    names = [field.name for field in fields(SynapseBits)]
    rows = zip(names, sums, strict=True)
    return MemoryPicture(
        svg=finish(picture),
        rows=tuple((n, KINDS[n], bits, bits / written) for n, bits in rows),
        written=written,
        held=words * word * len(cores),
        left_out=len(cores) - len(shown),
    )


def _fullest(cores: tuple[Core, ...]) -> list[Core]:
    order = np.argsort([-core.needed.synapse_words for core in cores], kind="stable")[:_MOST]
    return [cores[at] for at in sorted(order.tolist())]


def _bar(picture: Element, y: float, tall: float, parts: list[int], held: int) -> None:
    """A track as long as the memory, and on it what is written."""
    whole = _WIDTH - _LEFT - _RIGHT
    put(picture, "rect", x=_LEFT, y=y, width=whole, height=tall, class_="track")
    x = _LEFT
    for field, bits in zip(fields(SynapseBits), parts, strict=True):
        width = whole * bits / held
        if bits:
            box = {"x": x, "y": y, "width": width, "height": tall}
            part = put(picture, "rect", class_=f"bits-{field.name}", **box)
            put(part, "title", f"{KINDS[field.name]}: {bits:,} bits")
        x += width
    said = percent(sum(parts) / held, 0)
    put(picture, "text", said, x=_WIDTH - _RIGHT + 7, y=y + tall - 3, class_="small")


def _axis(picture: Element, y: float) -> None:
    whole = _WIDTH - _LEFT - _RIGHT
    looks = ((0.0, "0", "axis"), (0.5, "50 %", "axis mid"), (1.0, "100 %", "axis end"))
    for share, text, look in looks:
        put(picture, "text", text, x=_LEFT + share * whole, y=y + 12, class_=look)
    words = "of the synaptic memory of the cores in use"
    put(picture, "text", words, x=_LEFT, y=y + 28, class_="axis")
