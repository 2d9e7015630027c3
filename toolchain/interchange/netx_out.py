"""netx out: the chip's integers as lava-dl's layer file, for those networks that are a chain.

The layout is that of `netx_in`; lava-dl's reader turns it into Lava processes with the same
registers. A layer of its format has one threshold, one pair of decays, and sees only the layer
before it and, as dense_rec, itself.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from toolchain.arithmetic import ALIGN_BITS, bias_value
from toolchain.errors import UnsupportedError
from toolchain.files import write_bytes
from toolchain.interchange.hdf5 import MOST_ELEMENTS
from toolchain.interchange.netx_whole import Made, write_whole
from toolchain.interchange.record import Exported
from toolchain.network import (
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
    in_causal_order,
    lag,
)

IntArray = NDArray[np.int64]
_LARGEST = 254  # lava-dl's reader clips what is larger and only prints so
_MOST_DELAY = 62  # and delays beyond this


def write_netx(network: QuantizedNetwork, file: Path) -> Exported:
    """Write a network of integers as `file`. Same network, same bytes.

    Raises UnsupportedError listing everything that the format has no place for.
    """
    refused = refusals(network)
    if refused:
        lines = "\n".join(f"  - {line}" for line in refused)
        raise UnsupportedError(f"lava-dl's layer file has no place for:\n{lines}")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="earliest") as out:
        layers = out.create_group("layer")
        for number, made in enumerate(layers_of(network)):
            _write_layer(layers.create_group(str(number)), made)
        write_whole(out, network)
    write_bytes(file, buffer.getvalue())
    return Exported(files=(file,), losses=tuple(_losses(network)))


def refusals(network: QuantizedNetwork) -> list[str]:
    """What of a network the format has no place for."""
    return [*_refusals(network, in_causal_order(network))]


def layers_of(network: QuantizedNetwork) -> list[Made]:
    """The layers of a network that is not refused."""
    return [_layer(network, population) for population in in_causal_order(network)]


def _into(
    network: QuantizedNetwork, target: str, *, loop: bool = False
) -> list[QuantizedProjection]:
    """Projections with synapses that lead to a population: from before it, or from itself."""
    return [
        edge
        for edge in network.projections
        if edge.target == target and edge.weights.nnz and (edge.source == target) == loop
    ]


def _refusals(network: QuantizedNetwork, chain: list[QuantizedPopulation]) -> Iterator[str]:
    before = network.input.name
    for population in chain:
        who = f"population '{population.name}'"
        sources = {edge.source for edge in _into(network, population.name)}
        if sources != {before}:
            others = ", ".join(sorted(sources - {before})) or "nothing before it"
            yield f"{who}: is fed by {others}; a layer is fed by the one before, '{before}'"
        if len(np.unique(population.threshold)) > 1:
            yield f"{who}: has several thresholds; a layer has one"
        bias = bias_value(population.bias_mantissa, population.bias_exponent)
        if np.any(bias % (1 << ALIGN_BITS)):
            yield f"{who}: has a bias that is no multiple of 64, the unit of a layer's biases"
        if np.any(np.abs(bias >> ALIGN_BITS) >= 2**12):
            yield f"{who}: has a bias beyond 4095 units of a weight"
        yield from _edge_refusals(network, population, who)
        before = population.name
    if chain[-1].name != network.output:
        yield f"output '{network.output}': is not the last layer, which is '{chain[-1].name}'"


def _edge_refusals(
    network: QuantizedNetwork, population: QuantizedPopulation, who: str
) -> Iterator[str]:
    ahead = _into(network, population.name)
    loops = _into(network, population.name, loop=True)
    for edge in [*ahead, *loops]:
        name = f"projection '{edge.source}' -> '{edge.target}'"
        weights = edge.weights.data << edge.weight_exponent
        if np.any(np.abs(weights) > _LARGEST + 2 * (weights < 0)):
            yield (
                f"{name}: has weights beyond {_LARGEST}, which lava-dl's reader would clip; export"
                " the network itself, not its artifact, and it gets integers without an exponent"
            )
        if int(np.prod(edge.weights.shape)) > MOST_ELEMENTS:
            yield f"{name}: written dense it would exceed {MOST_ELEMENTS:,} weights"
    if any(lag(network, edge) != 1 for edge in loops) or len(loops) > 1:
        yield f"{who}: has a loop of more than one timestep, or several"
    late = _delays(network, population)
    if late is None:
        yield f"{who}: has neurons whose inputs come at different delays; a neuron has one"
    elif late.any():
        if late.max() > _MOST_DELAY:
            yield f"{who}: has delays beyond {_MOST_DELAY}"
        if loops or np.any(population.bias_mantissa):
            yield f"{who}: has delays beside a bias or a loop, which its readers read differently"


def _delays(network: QuantizedNetwork, population: QuantizedPopulation) -> IntArray | None:
    """(neurons,) lag of all inputs of each neuron; None where a neuron has several."""
    found = np.full(population.size, -1)
    for edge in _into(network, population.name):
        fed = np.flatnonzero(np.diff(edge.weights.indptr))
        late = lag(network, edge)
        if np.any((found[fed] >= 0) & (found[fed] != late)):
            return None
        found[fed] = late
    return np.maximum(found, 0)


def _layer(network: QuantizedNetwork, population: QuantizedPopulation) -> Made:
    ahead = _into(network, population.name)
    loops = _into(network, population.name, loop=True)
    fields: dict[str, Any] = {
        "shape": np.array([population.size]),
        "inFeatures": ahead[0].weights.shape[1],
        "outFeatures": population.size,
        "weight": _dense(ahead),
    }
    if loops:
        fields["weight_rec"] = _dense(loops)
    bias = bias_value(population.bias_mantissa, population.bias_exponent) >> ALIGN_BITS
    if bias.any():
        fields["bias"] = bias.astype(np.float32)
    late = _delays(network, population)
    if late is not None and late.any():
        fields["delay"] = late
    neuron = {
        "iDecay": population.decay_u + 1,
        "vDecay": population.decay_v,
        "vThMant": int(population.threshold[0]),
        "refDelay": 1,
        "gradedSpike": False,
    }
    return "dense_rec" if loops else "dense", fields, neuron


def _write_layer(group: h5py.Group, made: Made) -> None:
    kind, fields, registers = made
    group.create_dataset("type", (1,), "S10", [kind.encode()])
    for name, value in fields.items():
        packing = "gzip" if np.size(value) >= 64 else None
        group.create_dataset(name, data=value, compression=packing)
    neuron = group.create_group("neuron")
    neuron.create_dataset("type", data="CUBA", dtype=h5py.string_dtype())
    for name, register in registers.items():
        plain = np.bool_(register) if isinstance(register, bool) else np.int64(register)
        neuron.create_dataset(name, data=plain)


def _dense(edges: list[QuantizedProjection]) -> NDArray[np.float32]:
    """The weights of all these projections in one matrix, as lava-dl writes them."""
    total = sum((edge.weights * (1 << edge.weight_exponent)).toarray() for edge in edges)
    return np.asarray(total, np.float32)


def _losses(network: QuantizedNetwork) -> Iterator[str]:
    """What lava-dl's reader does not learn, or is known to get wrong."""
    names = ", ".join(population.name for population in network.populations)
    yield f"the populations' names: {names} are layers 0, 1, ..."
    yield "which synapses exist: matrices are dense (its sparse_fc_layer drops zeros again)"
    if network.encoding is not None:
        yield f"how samples become spikes: {network.encoding}"
    yield (
        "when a sample starts: reset layer by layer, with reset_offset=1 (its default of 0 is one"
        " step early where the first layer is dense)"
    )
    if any(edge.source == edge.target for edge in network.projections):
        yield "nothing, but mind that its reader drops the exponent of a loop that has delays"
