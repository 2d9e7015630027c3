"""What a network costs: two densities that are never mixed, and synaptic operations."""

from __future__ import annotations

import numpy as np

from toolchain.network import Network
from toolchain.raster import Raster
from toolchain.train.geometry import parameters, seen_shape, unrolled, unrolled_synapses
from toolchain.train.model import Model, trained


def density(model: Model) -> float:
    """Existing weights as a share of all: a kernel's weight counts once."""
    return sum(int(part.mask.sum()) for part in trained(model)) / parameters(model)


def unrolled_connectivity(model: Model) -> float:
    """Existing connections as a share of all: a kernel's weight counts at every position.

    The "connectivity" of STDS (ICML 2022) and UPR (ICLR 2024). What falls on zero padding is no
    connection; a skip, which has no trained weight, counts on neither side.
    """
    existing = 0
    for part in trained(model):
        seen = seen_shape(part.synapses, model)
        existing += unrolled(part.synapses, seen, part.layer.shape, part.mask)
    return existing / unrolled_synapses(model)


def operations(network: Network, stimulus: Raster, spikes: Raster) -> dict[str, float]:
    """Synaptic operations per sample, in sum and for each population that they reach.

    Every spike once for each synapse it meets: Shi et al., ICLR 2024 (UPR), on the chip's synapses.
    The stimulus is spikes, so its operations count, too.
    """
    rasters = {**spikes.spikes, **stimulus.spikes}
    found = {population.name: 0.0 for population in network.populations}
    for edge in network.projections:
        spiked = rasters[edge.source].sum(axis=1, dtype=np.int64)  # (samples, neurons)
        synapses = np.bincount(edge.weights.indices, minlength=edge.weights.shape[1])
        found[edge.target] += float((spiked @ synapses).mean())
    return {"total": sum(found.values())} | found
