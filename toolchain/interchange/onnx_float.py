"""The network in real numbers as ONNX, one timestep, for viewers: names a person recognises.

A node for each projection, "SOURCE -> TARGET", and one for each population, an `LIF` whose decays
stand as attributes. `LIF` is a function within the file, written in standard operators: a viewer
shows one box, a runtime runs what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from scipy.sparse import csr_array

from toolchain import arithmetic
from toolchain.interchange.onnx_model import FLOAT, OPSET, Scribe, finish, refuse_large
from toolchain.interchange.onnx_step import write_step
from toolchain.network import Network, Population, QuantizedNetwork, QuantizedPopulation

DOMAIN = "snn_deploy"
_FULL = 2**arithmetic.DECAY_BITS
_BYTES = 4  # of a float32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Real:
    """A population's numbers, whichever phase they come from."""

    decay_u: float
    decay_v: float
    threshold: NDArray[np.float64]  # (size,)
    bias: NDArray[np.float64]  # (size,)


def float_model(network: Network | QuantizedNetwork, properties: Mapping[str, str]) -> bytes:
    """One timestep in float32, dense; a quantized network in its trained network's units.

    Raises UnsupportedError where the weights exceed what an ONNX file holds.
    """
    sizes = [_BYTES * int(np.prod(edge.weights.shape)) for edge in network.projections]
    if sizes:
        worst = network.projections[int(np.argmax(sizes))]
        refuse_large(sum(sizes), f"'{worst.source}' -> '{worst.target}', {max(sizes):,} bytes")
    scribe = Scribe()
    write_step(scribe, network, FLOAT, partial(_arrive, network), partial(_live, network))
    says = "One timestep of a spiking network in real numbers: for viewers, not what a chip holds."
    return finish(scribe, name="float", says=says, properties=properties, functions=[_lif()])


def _arrive(network: Network | QuantizedNetwork, scribe: Scribe, number: int, spikes: str) -> str:
    """(samples, target): the weights of the sources that spiked, summed."""
    edge = network.projections[number]
    name = f"{edge.source} -> {edge.target}"
    matrix = scribe.constant(f"weights/{number}/{name}", _dense(network, number))
    ones = scribe.node("Cast", spikes, to=f"ones/{number}", to_kind=FLOAT)
    scribe.node("MatMul", ones, matrix, to=f"arriving/{number}")
    scribe.nodes[-1].name = name if edge.delay == 1 else f"{name} (delay {edge.delay})"
    return f"arriving/{number}"


def _dense(network: Network | QuantizedNetwork, number: int) -> NDArray[np.float32]:
    """(source, target) weights in real units."""
    edge = network.projections[number]
    weights: csr_array = edge.weights
    if isinstance(network, QuantizedNetwork):
        quantized = network.projections[number]
        unit = network.population(edge.target).unit * (_aligned(quantized.weight_exponent))
        rows = np.repeat(unit, np.diff(weights.indptr))
        weights = csr_array((weights.data * rows, weights.indices, weights.indptr), weights.shape)
    return weights.astype(np.float32).toarray().T


def _aligned(exponent: int) -> float:
    return float(2 ** (exponent + arithmetic.ALIGN_BITS))


def _live(
    network: Network | QuantizedNetwork, scribe: Scribe, name: str, a: str
) -> tuple[str, str, str]:
    """u, v and spikes of a population: one node."""
    population = next(p for p in network.populations if p.name == name)
    real = _in_real_numbers(population)
    node = helper.make_node(
        "LIF",
        [
            a,
            f"u/{name}",
            f"v/{name}",
            scribe.constant(f"bias/{name}", real.bias.astype(np.float32)),
            scribe.constant(f"threshold/{name}", real.threshold.astype(np.float32)),
        ],
        [f"next_u/{name}", f"next_v/{name}", f"spikes/{name}"],
        name=name,
        domain=DOMAIN,
        decay_u=float(real.decay_u),
        decay_v=float(real.decay_v),
    )
    scribe.nodes.append(node)
    return node.output[0], node.output[1], node.output[2]


def _in_real_numbers(population: Population | QuantizedPopulation) -> _Real:
    if isinstance(population, Population):
        return _Real(
            decay_u=population.decay_u,
            decay_v=population.decay_v,
            threshold=np.broadcast_to(np.float64(population.threshold), population.size),
            bias=population.bias,
        )
    bias = arithmetic.bias_value(population.bias_mantissa, population.bias_exponent)
    return _Real(
        decay_u=(population.decay_u + arithmetic.DECAY_U_OFFSET) / _FULL,
        decay_v=population.decay_v / _FULL,
        threshold=(population.threshold << arithmetic.ALIGN_BITS) * population.unit,
        bias=bias * population.unit,
    )


def _lif() -> onnx.FunctionProto:
    """network.Population's equations in standard operators."""
    text = f"""
    <domain: "{DOMAIN}", opset_import: ["" : {OPSET}]>
    LIF <decay_u, decay_v> (a, u, v, bias, threshold) => (next_u, next_v, spikes)
    {{
        one = Constant <value_float = 1.0> ()
        lost_u = Constant <value_float: float = @decay_u> ()
        lost_v = Constant <value_float: float = @decay_v> ()
        keep_u = Sub (one, lost_u)
        keep_v = Sub (one, lost_v)
        kept_u = Mul (u, keep_u)
        next_u = Add (kept_u, a)
        kept_v = Mul (v, keep_v)
        driven = Add (kept_v, next_u)
        full_v = Add (driven, bias)
        spikes = Greater (full_v, threshold)
        zero = Constant <value_float = 0.0> ()
        next_v = Where (spikes, zero, full_v)
    }}
    """
    return onnx.parser.parse_function(text)
