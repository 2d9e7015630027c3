"""XY routes on the mesh, and what the links carry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.hardware import HardwareProfile
from toolchain.mapper.traffic import Traffic
from toolchain.mesh import Loads, extent, hops, tiles

IntArray = NDArray[np.int64]


def route(profile: HardwareProfile, traffic: Traffic, numbers: IntArray) -> Loads:
    """The loads of a mesh where core i of the artifact has the number numbers[i]."""
    pairs = traffic.between.tocoo()
    size = extent(profile)
    (x, y), (to_x, to_y) = (tiles(profile, numbers[side]) for side in (pairs.row, pairs.col))
    east, west = _along(y, x, to_x, pairs.data, size.rows, size.columns)
    south, north = _along(to_x, y, to_y, pairs.data, size.columns, size.rows)
    ways = hops(profile, numbers[pairs.row], numbers[pairs.col])
    return Loads(
        extent=size,
        east=east,
        west=west,
        south=south.T,
        north=north.T,
        sent=_sums(traffic, 1),
        received=_sums(traffic, 0) + traffic.from_input,
        synapse_events=traffic.synapse_events,
        hops=total_hops(profile, traffic, numbers),
        hops_in_order=total_hops(profile, traffic, np.arange(len(numbers))),
        longest=int(ways[pairs.data > 0].max(initial=0)),
    )


def total_hops(profile: HardwareProfile, traffic: Traffic, numbers: IntArray) -> int:
    """Hops of all messages between cores."""
    pairs = traffic.between.tocoo()
    ways = hops(profile, numbers[pairs.row], numbers[pairs.col])
    return int(ways @ pairs.data)


def _sums(traffic: Traffic, axis: int) -> IntArray:
    return np.asarray(traffic.between.sum(axis=axis), np.int64).reshape(-1)


def _along(
    line: IntArray, start: IntArray, stop: IntArray, messages: IntArray, lines: int, length: int
) -> tuple[IntArray, IntArray]:
    """(lines, length - 1) messages on each link of straight lines, onward and back.

    A message adds itself where it gets on and takes itself away where it gets off.
    """
    loads = []
    for getting_on, getting_off, mine in (
        (start, stop, start < stop),
        (stop, start, start > stop),
    ):
        change = np.zeros((lines, length), np.int64)
        np.add.at(change, (line[mine], getting_on[mine]), messages[mine])
        np.subtract.at(change, (line[mine], getting_off[mine]), messages[mine])
        loads.append(np.cumsum(change, axis=1)[:, :-1])
    return loads[0], loads[1]
