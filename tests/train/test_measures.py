"""What a network costs: counted by hand, and one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.train.random_models import random_model
from toolchain.network import Input, Network, Population, Projection
from toolchain.raster import Raster
from toolchain.train.export import to_network
from toolchain.train.geometry import seen_shape, unrolled
from toolchain.train.loop import _noise
from toolchain.train.measures import density, operations, unrolled_connectivity
from toolchain.train.model import trained


def population(name: str, size: int) -> Population:
    return Population(
        name=name, size=size, decay_u=1.0, decay_v=1.0, threshold=1.0, bias=np.zeros(size)
    )


def projection(source: str, target: str, weights: list[list[float]]) -> Projection:
    """Every entry is a synapse, those of weight 0, too; NaN is none."""
    dense = np.array(weights)
    rows, columns = np.nonzero(~np.isnan(dense))
    held = csr_array((dense[rows, columns], (rows, columns)), shape=dense.shape)
    return Projection(source=source, target=target, weights=held, delay=1)


def test_an_operation_is_a_spike_that_meets_a_synapse():
    none = float("nan")
    network = Network(
        input=Input(name="input", size=2),
        populations=(population("a", 2), population("b", 1)),
        projections=(
            projection("input", "a", [[1.0, 0.0], [2.0, none]]),  # synapses: 2 and 1
            projection("a", "a", [[none, none], [1.0, none]]),  # 1 and 0
            projection("a", "b", [[1.0, -1.0]]),  # 1 and 1
            projection("input", "b", [[none, 3.0]]),  # a skip: 0 and 1
        ),
        output="b",
    )
    spikes = {  # (samples, timesteps, neurons)
        "input": np.array([[[1, 0], [1, 1]], [[0, 1], [0, 0]]], bool),  # 2 and 1; 0 and 1 spikes
        "a": np.array([[[1, 1], [0, 1]], [[0, 0], [0, 0]]], bool),  # 1 and 2; none
        "b": np.array([[[1], [1]], [[0], [0]]], bool),  # lead nowhere
    }
    stimulus = Raster(spikes={"input": spikes.pop("input")})
    found = operations(network, stimulus, Raster(spikes=spikes))
    to_a = (2 * 2 + 1 * 1 + 1 * 1) + (0 * 2 + 1 * 1)
    to_b = (1 * 1 + 2 * 1 + 1 * 1) + (1 * 1)
    assert found == {"total": (to_a + to_b) / 2, "a": to_a / 2, "b": to_b / 2}


@pytest.mark.parametrize("seed", range(8))
def test_unrolled_synapses_are_those_of_the_network_where_nothing_is_pooled(seed):
    model = random_model(seed)
    parts = {id(part.synapses): part for part in trained(model)}
    every = [synapses for layer in model.layers for synapses in layer.incoming]
    compared = 0
    for synapses, edge in zip(every, to_network(model).projections, strict=True):
        part = parts.get(id(synapses))
        if part is None or synapses.pool is not None:
            continue
        seen = seen_shape(synapses, model)
        assert unrolled(synapses, seen, part.layer.shape, part.mask) == edge.weights.nnz
        compared += 1
    assert compared >= 2


@pytest.mark.parametrize("seed", range(8))
def test_densities_are_shares_of_what_could_be(seed):
    model = random_model(seed)
    masks = [part.mask for part in trained(model)]
    existing, possible = sum(int(m.sum()) for m in masks), sum(m.numel() for m in masks)
    assert density(model) == existing / possible
    assert 0 < unrolled_connectivity(model) < 1
    for mask in masks:
        mask.fill_(True)
    assert density(model) == unrolled_connectivity(model) == 1


def test_dropout_is_drawn_anew_for_each_seed_step_and_process():
    drawn = {_noise(*key) for key in np.ndindex(3, 50, 4)}
    assert len(drawn) == 3 * 50 * 4
    assert all(0 <= value < 2**63 for value in drawn)
