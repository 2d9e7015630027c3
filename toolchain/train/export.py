"""Trained masks and weights -> `Network`: the one place where norse's letters become the chip's.

norse, with v_reset = 0 and state 0 at the start:   the Network (`network.Population`), v / decay_v:
    i = (1 - dt tau_syn_inv) i + W s                    u = (1 - decay_u) u + W s
    v = v + dt tau_mem_inv ((v_leak - v) + i)           v = (1 - decay_v) v + u + v_leak
    s = v > v_th                                        s = v > v_th / decay_v
LIFBox has no i: its decay_u is 1. Both reset v to 0 where they spiked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from toolchain.errors import UnsupportedError
from toolchain.network import Input, Network, Population, Projection
from toolchain.train.config_network import NetworkConfig
from toolchain.train.models import Layer

INPUT = "input"


def to_network(layers: Sequence[Layer], config: NetworkConfig) -> Network:
    """The Network whose spikes are those of the layers, in real numbers."""
    sources = [INPUT, *(layer.name for layer in layers)]
    projections = [
        Projection(source=source, target=layer.name, weights=_rows(layer), delay=1)
        for source, layer in zip(sources[:-1], layers, strict=True)
    ]
    return Network(
        input=Input(name=INPUT, size=layers[0].weight.shape[1]),
        populations=tuple(_population(layer, config) for layer in layers),
        projections=tuple(projections),
        output=layers[-1].name,
    )


def _population(layer: Layer, config: NetworkConfig) -> Population:
    decay_u = config.dt * config.tau_syn_inv if config.neuron == "lif" else 1.0
    return population_of(
        layer.name,
        decay_u=decay_u,
        decay_v=config.dt * config.tau_mem_inv,
        v_th=config.v_th,
        v_leak=layer.v_leak.detach().numpy().astype(np.float64),
    )


def population_of(
    name: str,
    *,
    decay_u: float,
    decay_v: float,
    v_th: float,
    v_leak: np.ndarray[tuple[int], np.dtype[np.float64]],
    v_reset: float = 0.0,
) -> Population:
    """A population from norse's parameters; UnsupportedError where the chip has no form of them."""
    if v_reset != 0:
        raise UnsupportedError(
            f"population '{name}': v_reset = {v_reset:g} has no form on the chip, which resets v to"
            " 0; train with v_reset = 0"
        )
    if not (0 < decay_u <= 1 and 0 < decay_v <= 1):
        raise UnsupportedError(
            f"population '{name}': dt * tau_syn_inv = {decay_u:g} and dt * tau_mem_inv ="
            f" {decay_v:g} must be in (0, 1]: the chip loses a share of u and v per timestep"
        )
    return Population(
        name=name,
        size=len(v_leak),
        decay_u=decay_u,
        decay_v=decay_v,
        threshold=v_th / decay_v,
        bias=v_leak,
    )


def _rows(layer: Layer) -> csr_array:
    """The synapses as compressed rows: those of the mask, a weight of 0 among them."""
    mask = layer.mask.numpy()
    weights = layer.weight.detach().numpy().astype(np.float64)
    targets, sources = np.nonzero(mask)  # ascending targets, then ascending sources
    starts = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    return csr_array((weights[targets, sources], sources, starts), shape=mask.shape)
