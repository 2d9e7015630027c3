"""Where the cores of a machine stand, how far apart they are, and what the links carry.

Cores are numbered chip by chip, within a chip tile by tile, both row by row. A tile's place is
(x, y) on the mesh of the whole machine: chips stand edge to edge. A message goes first along x,
then along y, from tile to tile; the step to the next chip counts `chip_crossing_hops` more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.hardware import HardwareProfile

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The mesh of tiles, in tiles."""

    columns: int  # of the whole machine
    rows: int
    chip_columns: int  # of one chip
    chip_rows: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loads:
    """What the mesh carries while a network runs, summed over all samples and timesteps.

    A message is one spike sent to one core, however many synapses it has there. Links are counted
    in messages: east[y, x] leads from tile (x, y) to (x + 1, y), south[y, x] to (x, y + 1).
    """

    extent: Extent
    east: IntArray  # (rows, columns - 1)
    west: IntArray  # (rows, columns - 1) back
    south: IntArray  # (rows - 1, columns)
    north: IntArray  # (rows - 1, columns) back
    sent: IntArray  # (cores,) messages from each core of the artifact
    received: IntArray  # (cores,) messages to each core, those from outside the chip among them
    synapse_events: IntArray  # (cores,) synapses that a spike visited
    hops: int  # of all messages, those from outside the chip left out
    hops_in_order: int  # the same with cores numbered as they were packed
    longest: int  # hops of the longest way that a message takes

    @property
    def busiest_link(self) -> int:
        """Messages on the link that carries most."""
        links = (self.east, self.west, self.south, self.north)
        return max((int(link.max(initial=0)) for link in links), default=0)


def extent(profile: HardwareProfile) -> Extent:
    """The size of the mesh of tiles."""
    mesh, chips = profile.mesh, profile.chips
    rows = chips.cores_per_chip // mesh.cores_per_tile // mesh.tile_columns
    return Extent(
        columns=mesh.tile_columns * mesh.chip_columns,
        rows=rows * (chips.chips // mesh.chip_columns),
        chip_columns=mesh.tile_columns,
        chip_rows=rows,
    )


def tiles(profile: HardwareProfile, numbers: IntArray) -> tuple[IntArray, IntArray]:
    """(x, y) on the mesh of the tile of each core number."""
    size = extent(profile)
    chip, core = np.divmod(numbers, profile.chips.cores_per_chip)
    down, across = np.divmod(core // profile.mesh.cores_per_tile, size.chip_columns)
    chip_down, chip_across = np.divmod(chip, profile.mesh.chip_columns)
    return chip_across * size.chip_columns + across, chip_down * size.chip_rows + down


def cells(profile: HardwareProfile, numbers: IntArray) -> tuple[IntArray, IntArray]:
    """(x, y) of each core number on a grid where every core has a place of its own."""
    x, y = tiles(profile, numbers)
    per_tile = profile.mesh.cores_per_tile
    width = profile.chips.columns // profile.mesh.tile_columns
    down, across = np.divmod(numbers % per_tile, width)
    return x * width + across, y * (per_tile // width) + down


def hops(profile: HardwareProfile, one: IntArray, other: IntArray) -> IntArray:
    """Hops between cores of these numbers (broadcast): 0 within a tile."""
    size, crossing = extent(profile), profile.mesh.chip_crossing_hops
    (x, y), (to_x, to_y) = tiles(profile, one), tiles(profile, other)
    chips_x = np.abs(x // size.chip_columns - to_x // size.chip_columns)
    chips_y = np.abs(y // size.chip_rows - to_y // size.chip_rows)
    return np.abs(x - to_x) + np.abs(y - to_y) + crossing * (chips_x + chips_y)
