"""Packed cores -> Image: write every core's axon tables and synapse lists, and the routes to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import Core, Image
from toolchain.mapper.bound import Bounds
from toolchain.mapper.resources import Packed
from toolchain.network import QuantizedNetwork

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routes:
    """Ways of spikes out of one place, by where they start."""

    start: IntArray  # (routes,) ascending: neurons of the input, or compartments of a core
    core: IntArray  # (routes,) index into the cores
    axon: IntArray  # (routes,)


def assemble(
    network: QuantizedNetwork,
    packed: Packed,
    bounds: Bounds,
    *,
    dropped: int,
    trained: str,
) -> Image:
    """The image that holds packed cores; core i is number i of the machine."""
    from_input, *from_cores = _routes(network, packed)
    cores = tuple(
        Core(
            number=number,
            blocks=blocks,
            axon_projection=lists.projection,
            axon_format=lists.form,
            axon_start=lists.start,
            synapse_compartment=lists.compartment,
            synapse_weight=lists.weight,
            route_compartment=routes.start,
            route_core=routes.core,
            route_axon=routes.axon,
            formats=lists.formats,
            bits=lists.bits,
            needed=needs,
        )
        for number, (blocks, lists, routes, needs) in enumerate(
            zip(packed.packing, packed.lists, from_cores, packed.needs, strict=True)
        )
    )
    return Image(
        network=network,
        cores=cores,
        input_neuron=from_input.start,
        input_core=from_input.core,
        input_axon=from_input.axon,
        lower_bound=bounds.cores,
        bounds=bounds.parts,
        dropped=dropped,
        trained=trained,
    )


def _routes(network: QuantizedNetwork, packed: Packed) -> list[Routes]:
    """The routes out of the input, then out of each core."""
    place, at = _homes(network, packed)
    sources = [edge.source for edge in network.projections]
    parts = [np.zeros((4, 0), np.int64)]
    for core, lists in enumerate(packed.lists):
        for projection in np.unique(lists.projection):
            axon = np.flatnonzero(lists.projection == projection)
            neuron, source = lists.source[axon], sources[projection]
            here = np.full(len(axon), core)
            parts.append(np.stack([place[source][neuron], at[source][neuron], here, axon]))
    routes = np.concatenate(parts, axis=1)
    routes = routes[:, np.lexsort(routes[::-1])]
    cuts = np.searchsorted(routes[0], np.arange(len(packed.packing) + 2))
    return [
        Routes(start=part[1], core=part[2], axon=part[3])
        for first, last in zip(cuts[:-1], cuts[1:], strict=True)
        for part in [routes[:, first:last].copy()]
    ]


def _homes(
    network: QuantizedNetwork, packed: Packed
) -> tuple[dict[str, IntArray], dict[str, IntArray]]:
    """Population -> (size,) 0 for the input and 1 + core elsewhere; and the compartment there."""
    sizes = {network.input.name: network.input.size}
    sizes |= {p.name: p.size for p in network.populations}
    place = {name: np.zeros(size, np.int64) for name, size in sizes.items()}
    at = {name: np.arange(size) for name, size in sizes.items()}
    for core, blocks in enumerate(packed.packing):
        for block in blocks:
            place[block.population][block.neurons] = 1 + core
            at[block.population][block.neurons] = block.first_compartment + np.arange(block.size)
    return place, at
