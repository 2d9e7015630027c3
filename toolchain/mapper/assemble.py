"""Placement -> Image: write every core's axon tables and synapse lists, and the routes to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import Core, Image, PlacedBlock
from toolchain.hardware import HardwareProfile
from toolchain.mapper.place import Placement
from toolchain.mapper.resources import FanOut, core_needs, lower_bound
from toolchain.network import QuantizedNetwork

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AxonTable:
    """In-axons and synapse lists of one core, sorted by projection, source and compartment."""

    projection: IntArray  # (in-axons,)
    source: IntArray  # (in-axons,) neuron of the projection's source
    start: IntArray  # (in-axons + 1,)
    compartment: IntArray  # (synapses,)
    weight: IntArray  # (synapses,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """One projection's way from its source neurons to the in-axons of one core."""

    projection: int
    core: int  # index into the cores
    source: IntArray  # (routes,) ascending
    axon: IntArray  # (routes,)


def assemble(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    placement: Placement,
    fan_out: FanOut,
    *,
    dropped: int,
    trained: str,
) -> Image:
    """The image that holds a placed network."""
    tables = [axon_table(network, blocks) for blocks in placement]
    routes = [route for core, table in enumerate(tables) for route in _routes(table, core)]
    cores = tuple(
        _core(network, profile, number, blocks, tables[number], routes, fan_out)
        for number, blocks in enumerate(placement)
    )
    neuron, core, axon = _routes_from(network, network.input.name, routes)
    return Image(
        network=network,
        cores=cores,
        input_neuron=neuron,
        input_core=core,
        input_axon=axon,
        lower_bound=lower_bound(network, profile),
        dropped=dropped,
        trained=trained,
    )


def axon_table(network: QuantizedNetwork, blocks: Sequence[PlacedBlock]) -> AxonTable:
    """The in-axons of blocks that share a core: one for each projection and source."""
    parts = [
        (np.full(rows.nnz, index), rows.col, rows.row + block.first_compartment, rows.data)
        for block in blocks
        for index, edge in enumerate(network.projections)
        if edge.target == block.population
        for rows in [edge.weights[block.neurons].tocoo()]
    ]
    nothing = tuple(np.zeros(0, np.int64) for _ in range(4))
    columns = [np.concatenate(column) for column in zip(nothing, *parts, strict=True)]
    order = np.lexsort((columns[2], columns[1], columns[0]))
    projection, source, compartment, weight = (c[order].astype(np.int64) for c in columns)
    first = np.ones(len(projection), bool)
    first[1:] = (np.diff(projection) != 0) | (np.diff(source) != 0)
    return AxonTable(
        projection=projection[first],
        source=source[first],
        start=np.append(np.flatnonzero(first), len(projection)),
        compartment=compartment,
        weight=weight,
    )


def _routes(table: AxonTable, core: int) -> list[Route]:
    return [
        Route(projection=int(p), core=core, source=table.source[mine], axon=np.flatnonzero(mine))
        for p in np.unique(table.projection)
        for mine in [table.projection == p]
    ]


def _routes_from(
    network: QuantizedNetwork, source: str, routes: Sequence[Route]
) -> tuple[IntArray, IntArray, IntArray]:
    """(source neuron, core, in-axon) of every route that starts in a population, by neuron."""
    mine = [r for r in routes if network.projections[r.projection].source == source]
    nothing = np.zeros(0, np.int64)
    neuron = np.concatenate([nothing, *(route.source for route in mine)])
    core = np.concatenate([nothing, *(np.full(len(r.source), r.core) for r in mine)])
    axon = np.concatenate([nothing, *(route.axon for route in mine)])
    order = np.lexsort((axon, core, neuron))
    return neuron[order], core[order], axon[order]


def _core(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    number: int,
    blocks: tuple[PlacedBlock, ...],
    table: AxonTable,
    routes: Sequence[Route],
    fan_out: FanOut,
) -> Core:
    compartment, core, axon = _routes_of_core(network, blocks, routes)
    return Core(
        number=number,
        blocks=blocks,
        axon_projection=table.projection,
        axon_start=table.start,
        synapse_compartment=table.compartment,
        synapse_weight=table.weight,
        route_compartment=compartment,
        route_core=core,
        route_axon=axon,
        needed=core_needs(network, profile, blocks, fan_out),
    )


def _routes_of_core(
    network: QuantizedNetwork, blocks: Sequence[PlacedBlock], routes: Sequence[Route]
) -> tuple[IntArray, IntArray, IntArray]:
    """(source compartment, core, in-axon) of every route that starts on a core, by compartment."""
    parts = []
    for block in blocks:
        neuron, core, axon = _routes_from(network, block.population, routes)
        at = np.full(network.population(block.population).size, -1)
        at[block.neurons] = np.arange(block.size) + block.first_compartment
        compartment = at[neuron]
        here = compartment >= 0
        compartment = compartment[here]
        parts.append((compartment, core[here], axon[here]))
    compartment, core, axon = (np.concatenate(column) for column in zip(*parts, strict=True))
    return compartment, core, axon
