"""Picture 2: the mesh of cores, and how full each core in use is."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from markupsafe import Markup

from toolchain.artifact import Artifact, Core
from toolchain.hardware import HardwareProfile
from toolchain.mesh import cells
from toolchain.report.svg import canvas, clip, finish, put
from toolchain.report.words import BUDGETS, RESOURCES, count, fills, holdings, percent

LETTERS = {"compartments": "C", "in_axons": "I", "out_axons": "O", "synapse_words": "W"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """The measures of a tile, by how many stand side by side."""

    width: float
    height: float
    lines: int  # of blocks that can be named on it
    letters: int  # of a name that fit on a line

    @property
    def bar_height(self) -> float:
        """What numbers and names leave to the bars."""
        return self.height - 42 - 12 * self.lines


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipPicture:
    """The mesh of one chip."""

    title: str
    svg: Markup
    columns: int  # what is wide may be scrolled on a narrow screen


def draw_meshes(artifact: Artifact) -> list[ChipPicture]:
    """One picture per chip in use."""
    profile = artifact.profile
    used = {core.number: core for core in artifact.cores}
    pictures = []
    for chip in sorted({profile.chip_of(number) for number in used}):
        numbers = _by_place(profile, chip)
        here = sum(number in used for number in numbers)
        title = f"Chip {chip}: {here:,} of {count(len(numbers), 'core')} used"
        svg = _mesh(artifact, used, numbers, title)
        pictures.append(ChipPicture(title=title, svg=svg, columns=profile.chips.columns))
    return pictures


def _by_place(profile: HardwareProfile, chip: int) -> list[int]:
    """The core numbers of a chip, row by row as its cores stand."""
    first = chip * profile.chips.cores_per_chip
    numbers = np.arange(first, first + profile.chips.cores_per_chip)
    x, y = cells(profile, numbers)
    ordered: list[int] = numbers[np.lexsort((x, y))].tolist()
    return ordered


def _mesh(artifact: Artifact, used: dict[int, Core], numbers: list[int], title: str) -> Markup:
    """Rows of tiles; rows without a core in use are one thin line with a sentence."""
    columns = min(artifact.profile.chips.columns, len(numbers))
    tile = _tile(columns)
    rows = [numbers[at : at + columns] for at in range(0, len(numbers), columns)]
    last = max(at for at, row in enumerate(rows) if any(number in used for number in row))
    tail = sum(len(row) for row in rows[last + 1 :])
    shown = min(last + 2, len(rows)) if tail <= columns else last + 1
    foot = 24.0 if shown < len(rows) else 0.0
    picture = canvas(columns * tile.width, shown * tile.height + foot, title)
    for at, row in enumerate(rows[:shown]):
        for column, number in enumerate(row):
            corner = (column * tile.width, at * tile.height)
            _draw(picture, corner, number, used.get(number), artifact, tile)
    if foot:
        words = (
            f"{count(sum(map(len, rows[shown:])), 'core')} in the rows below: not used, not drawn"
        )
        put(picture, "text", words, x=3, y=shown * tile.height + 16, class_="axis")
    return finish(picture)


def _tile(columns: int) -> Tile:
    if columns <= 5:
        return Tile(width=110, height=108, lines=2, letters=13)
    if columns <= 8:
        return Tile(width=84, height=104, lines=2, letters=10)
    return Tile(width=70, height=102, lines=2, letters=9)


def _draw(
    picture: Element,
    corner: tuple[float, float],
    number: int,
    core: Core | None,
    artifact: Artifact,
    tile: Tile,
) -> None:
    x, y = corner
    group = put(picture, "g", transform=f"translate({x:g} {y:g})")
    box = {"x": 3, "y": 3, "width": tile.width - 6, "height": tile.height - 6, "rx": 3}
    put(group, "rect", class_="unused" if core is None else "core", **box)
    put(group, "text", f"{number}", x=9, y=17, class_="faint" if core is None else "number")
    if core is None:
        return
    shares = fills(core, artifact)
    put(group, "title", _hover(core, shares))
    fullest = max(shares[key] for key in BUDGETS)
    put(group, "text", percent(fullest, 0), x=tile.width - 9, y=17, class_="small end")
    for line, words in enumerate(_names(core, tile)):
        put(group, "text", words, x=9, y=30 + 12 * line, class_="small")
    _bars(group, shares, tile)


def _names(core: Core, tile: Tile) -> list[str]:
    """What a tile says of its blocks: one in two lines, two in a line each, else how many more."""
    held = holdings(core, dash="\N{EN DASH}")
    if len(held) == 1:
        return [clip(part, tile.letters) for part in held[0]]
    words = [_short(name, neurons, tile.letters) for name, neurons in held]
    if len(words) > tile.lines:
        more = len(words) - tile.lines + 1
        return [*words[: tile.lines - 1], f"+ {more} more"]
    return words


def _short(name: str, neurons: str, letters: int) -> str:
    """A block in a line: with its neurons where they fit."""
    whole = f"{name} {neurons}"
    return whole if len(whole) <= letters else clip(name, letters)


def _bars(group: Element, shares: dict[str, float], tile: Tile) -> None:
    """One standing bar per budget, its letter below it."""
    step = (tile.width - 18) / len(BUDGETS)
    floor = tile.height - 19
    for at, key in enumerate(BUDGETS):
        x, full = 9 + at * step, tile.bar_height
        size = {"x": x + 1, "width": step - 4}
        put(group, "rect", y=floor - full, height=full, class_="track", **size)
        height = max(full * min(shares[key], 1.0), 1.0 if shares[key] else 0.0)
        put(group, "rect", y=floor - height, height=height, class_="fill", **size)
        put(group, "text", LETTERS[key], x=x + step / 2 - 1, y=floor + 11, class_="small mid")


def _hover(core: Core, shares: dict[str, float]) -> str:
    blocks = ", ".join(f"{name} {neurons}" for name, neurons in holdings(core))
    amounts = ", ".join(f"{RESOURCES[key]} {percent(shares[key])}" for key in BUDGETS)
    return f"core {core.number}: {blocks}; {amounts}"
