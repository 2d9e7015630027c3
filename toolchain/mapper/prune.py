"""Network -> Network: the weakest synapses of a layer removed, in exact counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.errors import InputError, did_you_mean
from toolchain.network import Network, Projection, QuantizedNetwork, QuantizedProjection

AnyNetwork = TypeVar("AnyNetwork", bound=Network | QuantizedNetwork)
Edge = Projection | QuantizedProjection


def prune(network: AnyNetwork, kept: Mapping[str, int]) -> AnyNetwork:
    """Keep of each of these layers so many synapses: those of the largest magnitude.

    A layer is a population and all synapses that lead to it. Where magnitudes are equal, what comes
    first in the network stays; so what a smaller number keeps, a larger one keeps too. Neurons
    stay, with or without synapses. Raises InputError for an unknown layer, and for a number that is
    negative or exceeds what there is.
    """
    edges: list[Edge] = list(network.projections)
    for layer, most in kept.items():
        there = synapses_onto(network, layer)
        if not 0 <= most <= there:
            raise InputError(
                f"layer '{layer}': {most:,} synapses cannot be kept, it has {there:,}; pruning only"
                " removes"
            )
        mine = [number for number, edge in enumerate(edges) if edge.target == layer]
        for number, edge in zip(mine, _strongest([edges[n] for n in mine], most), strict=True):
            edges[number] = edge
    return replace(network, projections=tuple(edges))  # type: ignore[arg-type]  # of its own kind


def synapses_onto(network: Network | QuantizedNetwork, layer: str) -> int:
    """Synapses of a layer; raises InputError with the nearest known one."""
    names = [population.name for population in network.populations]
    if layer not in names:
        raise InputError(f"no layer '{layer}'; {did_you_mean(layer, names)}")
    return sum(edge.weights.nnz for edge in network.projections if edge.target == layer)


def kept_of_percent(
    network: Network | QuantizedNetwork, layers: Sequence[str], percent: float
) -> dict[str, int]:
    """Layer -> what stays when so many percent of its synapses are removed, rounded down.

    Raises InputError where percent is not in 0..100.
    """
    if not 0 <= percent <= 100:
        raise InputError(f"percent = {percent:g}: must be in 0..100")
    share = 1 - Fraction(str(percent)) / 100
    return {layer: int(synapses_onto(network, layer) * share) for layer in layers}


def kept_of_density(
    network: Network | QuantizedNetwork, layers: Sequence[str], density: float
) -> dict[str, int]:
    """Layer -> synapses at this density: a share of those that full matrices hold, rounded.

    Raises InputError where it is not in 0..1, or higher than what a layer has.
    """
    if not 0 <= density <= 1:
        raise InputError(f"density = {density:g}: must be in 0..1")
    found = {}
    for layer in layers:
        there = synapses_onto(network, layer)
        full = sum(
            int(np.prod(edge.weights.shape)) for edge in network.projections if edge.target == layer
        )
        found[layer] = round(Fraction(str(density)) * full)
        if found[layer] > there:
            raise InputError(
                f"layer '{layer}': has a density of {there / full:.4%} already, less than"
                f" {density:.4%}; pruning only removes"
            )
    return found


def _strongest(edges: Sequence[Edge], most: int) -> list[Edge]:
    """The projections of one layer with the strongest of all their synapses."""
    sizes = [edge.weights.nnz for edge in edges]
    magnitudes = np.concatenate([np.zeros(0), *(_magnitudes(edge) for edge in edges)])
    stays = np.zeros(len(magnitudes), bool)
    stays[np.argsort(-magnitudes, kind="stable")[:most]] = True
    cuts = np.split(stays, np.cumsum(sizes)[:-1])
    return [
        replace(edge, weights=_only(edge.weights, mine))
        for edge, mine in zip(edges, cuts, strict=True)
    ]


def _magnitudes(edge: Edge) -> NDArray[np.float64]:
    """(synapses,) what a spike adds at most; exponents of integers are part of it."""
    exponent = edge.weight_exponent if isinstance(edge, QuantizedProjection) else 0
    return np.abs(edge.weights.data).astype(float) * 2.0**exponent


def _only(rows: csr_array, stays: NDArray[np.bool_]) -> csr_array:
    starts = np.concatenate([[0], np.cumsum(stays)])[rows.indptr]
    return csr_array((rows.data[stays], rows.indices[stays], starts), shape=rows.shape)
