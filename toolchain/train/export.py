"""Trained masks and weights -> `Network`: the one place where norse's letters become the chip's.

norse, with v_reset = 0 and state 0 at the start:   the Network (`network.Population`), v / decay_v:
    i = (1 - dt tau_syn_inv) i + W s                    u = (1 - decay_u) u + W s
    v = v + dt tau_mem_inv ((v_leak - v) + i)           v = (1 - decay_v) v + u + v_leak
    s = v > v_th                                        s = v > v_th / decay_v
LIFBox has no i: its decay_u is 1. Both reset v to 0 where they spiked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.errors import UnsupportedError
from toolchain.network import Input, Network, Population, Projection
from toolchain.train.forward import folded
from toolchain.train.model import INPUT, Layer, Model, Shape, Synapses
from toolchain.unroll import unrolled

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Alive = dict[str, BoolArray]
Kept = dict[str, IntArray]  # population -> neurons of the model that the network holds, ascending


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exported:
    """A network, and which of the model's neurons it is made of."""

    network: Network
    kept: Kept
    removed: int  # neurons that exist in the model only


def export(model: Model) -> Exported:
    """The network whose spikes are the model's, in real numbers, without its dead neurons."""
    whole = to_network(model)
    network, kept = without_dead(whole)
    sizes = (sum(p.size for p in one.populations) for one in (whole, network))
    return Exported(network=network, kept=kept, removed=next(sizes) - next(sizes))


def to_network(model: Model) -> Network:
    """The network whose spikes are those of the model, every neuron among them."""
    model = folded(model)
    shapes = {INPUT: model.input_shape} | {layer.name: layer.shape for layer in model.layers}
    depths = _depths(model)
    return Network(
        input=Input(name=INPUT, size=int(np.prod(model.input_shape))),
        populations=tuple(_population(layer) for layer in model.layers),
        projections=tuple(
            _projection(synapses, layer, shapes, depths)
            for layer in model.layers
            for synapses in layer.incoming
        ),
        output=model.output.name,
    )


def _depths(model: Model) -> dict[str, int]:
    """Timesteps from the input to each population: those of the longest way."""
    depths = {INPUT: 0}
    for layer in model.layers:
        ahead = [s.source for s in layer.incoming if s.source != layer.name]
        depths[layer.name] = 1 + max(depths[source] for source in ahead)
    return depths


def _projection(
    synapses: Synapses, layer: Layer, shapes: Mapping[str, Shape], depths: Mapping[str, int]
) -> Projection:
    """Synapses with the delay that keeps the clocks of source and target aligned."""
    weight, mask = synapses.weight, synapses.mask
    loop = synapses.source == layer.name
    return Projection(
        source=synapses.source,
        target=layer.name,
        weights=unrolled(
            None if weight is None else weight.detach().cpu().double().numpy(),
            None if mask is None else mask.cpu().numpy(),
            source=shapes[synapses.source],
            target=layer.shape,
            kernel=synapses.kernel,
            pool=synapses.pool,
        ),
        delay=1 if loop else depths[layer.name] - depths[synapses.source],
    )


def _population(layer: Layer) -> Population:
    v_leak = layer.v_leak.detach().cpu().double().numpy()
    return population_of(
        layer.name,
        decay_u=layer.neuron.decay_u,
        decay_v=layer.neuron.decay_v,
        v_th=layer.neuron.v_th,
        v_leak=np.repeat(v_leak, layer.size // len(v_leak)),
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


def without_dead(network: Network) -> tuple[Network, Kept]:
    """The network without hidden neurons that never spike, or lead nowhere; no other spike changes.

    A neuron never spikes where even every excitatory synapse at once, for ever, would leave v at or
    below the threshold. The output keeps all its neurons, every population at least one.
    """
    alive = {p.name: np.ones(p.size, bool) for p in network.populations}
    alive[network.input.name] = np.ones(network.input.size, bool)
    for _ in range(sum(p.size for p in network.populations)):
        heard = _heard(network, alive)
        left = {
            p.name: alive[p.name] & heard[p.name] & _can_spike(p, network, alive)
            for p in network.populations
        }
        left[network.output] = alive[network.output]
        if all(np.array_equal(held, alive[name]) for name, held in left.items()):
            break
        alive |= left
    for held in alive.values():
        held[0] |= not held.any()
    kept = {p.name: np.flatnonzero(alive[p.name]) for p in network.populations}
    return _restricted(network, kept), kept


def _can_spike(population: Population, network: Network, alive: Alive) -> BoolArray:
    """Whether the largest v that its synapses could ever hold exceeds the threshold."""
    drive = np.zeros(population.size)
    for edge in network.projections:
        if edge.target == population.name:
            drive += edge.weights.maximum(0) @ alive[edge.source].astype(float)
    largest = drive / population.decay_u + population.bias
    # v_max = largest / decay_v; the margin keeps what rounding alone could lift over the threshold
    return largest * (1 + 1e-6) > population.threshold * population.decay_v * (1 - 1e-6)


def _heard(network: Network, alive: Alive) -> Alive:
    """From which neurons a way leads to the output."""
    heard = {name: np.zeros_like(held) for name, held in alive.items()}
    heard[network.output] |= True
    while True:
        before = sum(int(held.sum()) for held in heard.values())
        for edge in network.projections:
            rows = np.repeat(heard[edge.target] & alive[edge.target], np.diff(edge.weights.indptr))
            heard[edge.source][edge.weights.indices[rows]] = True
        if sum(int(held.sum()) for held in heard.values()) == before:
            return heard


def _restricted(network: Network, kept: Kept) -> Network:
    """The same network with these neurons only."""
    every = kept | {network.input.name: np.arange(network.input.size)}
    return replace(
        network,
        populations=tuple(
            replace(p, size=len(kept[p.name]), bias=p.bias[kept[p.name]])
            for p in network.populations
        ),
        projections=tuple(
            replace(e, weights=_block(e.weights, every[e.target], every[e.source]))
            for e in network.projections
        ),
    )


def _block(weights: csr_array, rows: IntArray, columns: IntArray) -> csr_array:
    """These rows and columns; entries of weight 0 stay."""
    if len(rows) == weights.shape[0] and len(columns) == weights.shape[1]:
        return weights
    block = csr_array(weights[rows][:, columns])
    block.sort_indices()
    return block
