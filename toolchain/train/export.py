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
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain import arithmetic
from toolchain.errors import UnsupportedError
from toolchain.network import (
    Input,
    Network,
    Population,
    Projection,
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
)
from toolchain.train.forward import folded
from toolchain.train.model import INPUT, Layer, Model, Shape, Synapses
from toolchain.unroll import unrolled

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
Alive = dict[str, BoolArray]
AnyNetwork = TypeVar("AnyNetwork", Network, QuantizedNetwork)
_FULL = 2**arithmetic.DECAY_BITS
_ARRAYS = ("threshold", "bias_mantissa", "unit")  # of a quantized population, for each neuron
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
    deep = depths(model)
    return Network(
        input=Input(name=INPUT, size=int(np.prod(model.input_shape))),
        populations=tuple(_population(layer) for layer in model.layers),
        projections=tuple(
            _projection(synapses, layer, shapes, deep)
            for layer in model.layers
            for synapses in layer.incoming
        ),
        output=model.output.name,
    )


def depths(model: Model) -> dict[str, int]:
    """Timesteps from the input to each population: those of the longest way."""
    deep = {INPUT: 0}
    for layer in model.layers:
        ahead = [s.source for s in layer.incoming if s.source != layer.name]
        deep[layer.name] = 1 + max(deep[source] for source in ahead)
    return deep


def _projection(
    synapses: Synapses, layer: Layer, shapes: Mapping[str, Shape], deep: Mapping[str, int]
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
        delay=1 if loop else deep[layer.name] - deep[synapses.source],
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


def without_dead(network: AnyNetwork) -> tuple[AnyNetwork, Kept]:
    """The network without hidden neurons that never spike, or lead nowhere; no other spike changes.

    A neuron never spikes where even every excitatory synapse at once, for ever, would leave v at or
    below the threshold. The output keeps all its neurons, every population at least one.
    """
    anyway = {p.name: np.full(p.size, p.name == network.output) for p in network.populations}
    while True:
        alive = _alive(network, anyway)
        empty = [name for name in anyway if not alive[name].any()]
        if not empty:
            break
        for name in empty:
            anyway[name][0] = True  # and, in the next round, whoever it hears
    kept = {p.name: np.flatnonzero(alive[p.name]) for p in network.populations}
    return _restricted(network, kept), kept


def _alive(network: AnyNetwork, anyway: Alive) -> Alive:
    """Which neurons matter to those that are kept anyway, and those themselves."""
    alive = {p.name: np.ones(p.size, bool) for p in network.populations}
    alive[network.input.name] = np.ones(network.input.size, bool)
    for _ in range(sum(p.size for p in network.populations)):
        heard = _heard(network, alive, anyway)
        left = {
            p.name: anyway[p.name] | (alive[p.name] & heard[p.name] & _can_spike(p, network, alive))
            for p in network.populations
        }
        if all(np.array_equal(held, alive[name]) for name, held in left.items()):
            break
        alive |= left
    return alive


def _can_spike(
    population: Population | QuantizedPopulation, network: AnyNetwork, alive: Alive
) -> BoolArray:
    """Whether the largest v that its synapses could ever hold exceeds the threshold.

    On the chip, too: rounding toward zero makes no positive u or v larger.
    """
    drive = np.zeros(population.size)
    for edge in network.projections:
        if edge.target == population.name:
            drive += _weights(edge).maximum(0) @ alive[edge.source].astype(float)
    decay_u, decay_v, threshold, bias = _constants(population)
    largest = drive / decay_u + bias
    # v_max = largest / decay_v; the margin keeps what rounding alone could lift over the threshold
    found: BoolArray = largest * (1 + 1e-6) > threshold * decay_v * (1 - 1e-6)
    return found


def _weights(edge: Projection | QuantizedProjection) -> csr_array:
    """In units of v."""
    if isinstance(edge, Projection):
        return edge.weights
    return edge.weights * float(1 << (edge.weight_exponent + arithmetic.ALIGN_BITS))


def _constants(
    population: Population | QuantizedPopulation,
) -> tuple[float, float, FloatArray, FloatArray]:
    """(decay_u, decay_v, threshold, bias), the last two (size,) in units of v."""
    if isinstance(population, Population):
        threshold = np.full(population.size, population.threshold)
        return population.decay_u, population.decay_v, threshold, population.bias
    return (
        (population.decay_u + arithmetic.DECAY_U_OFFSET) / _FULL,
        population.decay_v / _FULL,
        (population.threshold << arithmetic.ALIGN_BITS).astype(np.float64),
        (population.bias_mantissa << population.bias_exponent).astype(np.float64),
    )


def _heard(network: AnyNetwork, alive: Alive, anyway: Alive) -> Alive:
    """From which neurons a way leads to those that are kept anyway, the output's among them."""
    heard = {name: np.zeros_like(held) for name, held in alive.items()}
    heard |= {name: held.copy() for name, held in anyway.items()}
    while True:
        before = sum(int(held.sum()) for held in heard.values())
        for edge in network.projections:
            rows = np.repeat(heard[edge.target] & alive[edge.target], np.diff(edge.weights.indptr))
            heard[edge.source][edge.weights.indices[rows]] = True
        if sum(int(held.sum()) for held in heard.values()) == before:
            return heard


def _restricted(network: AnyNetwork, kept: Kept) -> AnyNetwork:
    """The same network with these neurons only."""
    every = kept | {network.input.name: np.arange(network.input.size)}
    return replace(
        network,
        populations=tuple(
            replace(p, size=len(kept[p.name]), **_of(p, kept[p.name])) for p in network.populations
        ),
        projections=tuple(
            replace(e, weights=_block(e.weights, every[e.target], every[e.source]))
            for e in network.projections
        ),
    )


def _of(population: Population | QuantizedPopulation, kept: IntArray) -> dict[str, Any]:
    """The arrays of these neurons."""
    names = ["bias"] if isinstance(population, Population) else _ARRAYS
    return {name: getattr(population, name)[kept] for name in names}


def _block(weights: csr_array, rows: IntArray, columns: IntArray) -> csr_array:
    """These rows and columns; entries of weight 0 stay."""
    if len(rows) == weights.shape[0] and len(columns) == weights.shape[1]:
        return weights
    block = csr_array(weights[rows][:, columns])
    block.sort_indices()
    return block


def realized(network: QuantizedNetwork, thresholds: Mapping[str, float]) -> Network:
    """A quantized network in real numbers that mean the same, for these thresholds in units of v.

    Each neuron's weights and bias are in the ratio to its threshold that the chip gives them.
    """
    units = {p.name: thresholds[p.name] / p.threshold for p in network.populations}
    return Network(
        input=network.input,
        populations=tuple(
            Population(
                name=p.name,
                size=p.size,
                decay_u=_constants(p)[0],
                decay_v=_constants(p)[1],
                threshold=thresholds[p.name],
                bias=_constants(p)[3] / 2**arithmetic.ALIGN_BITS * units[p.name],
            )
            for p in network.populations
        ),
        projections=tuple(
            Projection(
                source=e.source, target=e.target, weights=_real(e, units[e.target]), delay=e.delay
            )
            for e in network.projections
        ),
        output=network.output,
        encoding=network.encoding,
    )


def _real(edge: QuantizedProjection, unit: FloatArray) -> csr_array:
    weights = edge.weights.astype(np.float64)
    each = unit * (1 << edge.weight_exponent)
    weights.data *= np.repeat(each, np.diff(weights.indptr))
    return weights
