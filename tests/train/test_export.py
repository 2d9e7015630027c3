"""Export: norse's equations in float64 are the Network's, spike for spike."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedError
from toolchain.network import Network, starts
from toolchain.train.config_network import NetworkConfig
from toolchain.train.export import population_of, to_network
from toolchain.train.masks import random_mask
from toolchain.train.models import Layer, forward

SIZES = [9, 12, 8, 5]


def random_layers(rng: np.random.Generator, decay_u: float) -> list[Layer]:
    layers = []
    for number, (source, target) in enumerate(pairwise(SIZES)):
        mask = random_mask((target, source), target * source // 2, rng)
        weights = rng.normal(0.3, 1.0, (target, source)) * mask * decay_u
        weights.ravel()[np.flatnonzero(mask)[::7]] = 0  # some synapses have just grown
        layers.append(
            Layer(
                name=f"layer{number}",
                weight=torch.from_numpy(weights),
                mask=torch.from_numpy(mask),
                v_leak=torch.from_numpy(rng.normal(0, 0.2, target)),
            )
        )
    return layers


def simulate(network: Network, spikes: np.ndarray) -> dict[str, np.ndarray]:
    """`network.Population`'s equations on each population's local clock, for a chain."""
    rasters = {network.input.name: spikes}
    for population, projection in zip(network.populations, network.projections, strict=True):
        arriving = rasters[projection.source].astype(float) @ projection.weights.toarray().T
        u = v = np.zeros((len(spikes), population.size))
        steps = []
        for a in arriving.swapaxes(0, 1):
            u = (1 - population.decay_u) * u + a
            v = (1 - population.decay_v) * v + u + population.bias
            fired = v > population.threshold
            v = np.where(fired, 0, v)
            steps.append(fired)
        rasters[population.name] = np.stack(steps, axis=1)
    return rasters


@settings(deadline=None, max_examples=40)
@given(
    neuron=st.sampled_from(["lif", "lifbox"]),
    decay_u=st.floats(0.05, 1),
    decay_v=st.floats(0.05, 1),
    v_th=st.floats(0.2, 3),
    seed=st.integers(0, 10**9),
)
def test_norse_and_network_spike_alike(neuron, decay_u, decay_v, v_th, seed):
    rng = np.random.default_rng(seed)
    dt = 0.001
    config = NetworkConfig(
        neuron=neuron, dt=dt, tau_syn_inv=decay_u / dt, tau_mem_inv=decay_v / dt, v_th=v_th
    )
    layers = random_layers(rng, decay_u if neuron == "lif" else 1.0)
    spikes = rng.random((3, 40, SIZES[0])) < 0.4
    every = forward(layers, torch.from_numpy(spikes.swapaxes(0, 1).astype(float)), config)
    network = to_network(layers, config)
    expected = simulate(network, spikes)
    for layer, raster in zip(layers, every, strict=True):
        found = raster.numpy().astype(bool).swapaxes(0, 1)
        assert np.array_equal(found, expected[layer.name]), layer.name


def test_synapses_are_those_of_the_mask_not_of_nonzero_weights():
    layers = random_layers(np.random.default_rng(0), 1.0)
    network = to_network(layers, NetworkConfig())
    assert network.synapses == sum(int(layer.mask.sum()) for layer in layers)
    assert any(np.any(projection.weights.data == 0) for projection in network.projections)
    assert starts(network) == {"input": 0, "layer0": 1, "layer1": 2, "layer2": 3}


def test_what_the_chip_has_no_form_of_is_refused_by_name():
    norse = {"decay_u": 0.5, "decay_v": 0.5, "v_th": 1.0, "v_leak": np.zeros(3)}
    with pytest.raises(UnsupportedError, match="'hidden1': v_reset = -1 has no form on the chip"):
        population_of("hidden1", **norse, v_reset=-1.0)
    with pytest.raises(UnsupportedError, match=r"dt \* tau_mem_inv = 1.5 must be in \(0, 1\]"):
        population_of("hidden1", **(norse | {"decay_v": 1.5}))
