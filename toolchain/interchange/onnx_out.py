"""The deployed network as ONNX: one timestep, or all of them in a Scan; exact, standard operators.

    next_u = wrap(decay(u, 4096 - (decay_u + 1)) + (a << 6))       docs/semantics.md, in int64
    next_v = clip(decay(v, 4096 - decay_v) + next_u + bias);  spikes = v > (threshold << 6)

A shift to the left is a Mul. `decay` divides a magnitude, so a runtime whose integer Div rounds
down and one whose Div rounds toward zero agree. Weights stand halved, as int8: the grid is even.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from toolchain import arithmetic
from toolchain.interchange.onnx_model import (
    BOOL,
    INT32,
    INT64,
    SAMPLES,
    TIMESTEPS,
    Scribe,
    finish,
    refuse_large,
)
from toolchain.interchange.onnx_step import State, states, write_step
from toolchain.network import QuantizedNetwork, QuantizedProjection

IntArray = NDArray[np.int64]
Product = Callable[[Scribe, int, QuantizedProjection, str], str]
_UINT8 = 2
_ROWS_PAY = 8  # how much larger a dense matrix must be before rows are worth their slower sums
_ROW_BYTES = 5  # of a synapse in rows: an int32 source and an int8 weight


def step_model(
    network: QuantizedNetwork, properties: Mapping[str, str], *, product: str | None = None
) -> bytes:
    """One timestep: every state and the input's spikes in, the next states and all spikes out.

    `product` is a key of PRODUCTS for all projections; by default each gets the smaller one.
    Raises UnsupportedError where the weights exceed what an ONNX file holds.
    """
    says = "One timestep of a spiking network. Feed next_* back as the states; start with zeros."
    scribe = _step(network, product)
    return finish(scribe, name="step", says=says, properties=properties)


def scan_model(
    network: QuantizedNetwork, properties: Mapping[str, str], *, product: str | None = None
) -> bytes:
    """All timesteps of a batch of samples, each from a state of zero; see `step_model`.

    Takes raster/INPUT (samples, timesteps, neurons) bool; gives raster/NAME of every population,
    counts/OUTPUT (samples, neurons) and decision (samples,): the lowest index wins a tie.
    """
    scribe = Scribe(prefix="outer_")
    origin = network.input
    scribe.input(f"raster/{origin.name}", BOOL, SAMPLES, TIMESTEPS, origin.size)
    zeros = [_zeros(scribe, f"raster/{origin.name}", state) for state in states(network, INT64)]
    node = helper.make_node(
        "Scan",
        [*zeros, f"raster/{origin.name}"],
        [
            *(f"last_{state.name}" for state in states(network, INT64)),
            *(f"raster/{population.name}" for population in network.populations),
        ],
        name="timesteps",
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[1] * len(network.populations),
        body=_step(network, product).graph("step"),
    )
    scribe.nodes.append(node)
    for population in network.populations:
        scribe.output(f"raster/{population.name}", BOOL, SAMPLES, TIMESTEPS, population.size)
    _write_decision(scribe, network)
    says = "A spiking network over the timesteps of a batch of samples."
    return finish(scribe, name="scan", says=says, properties=properties)


def _zeros(scribe: Scribe, raster: str, state: State) -> str:
    """A state at a sample's start."""
    if not scribe.nodes:
        shape = scribe.node("Shape", raster, to="shape")
        scribe.node("Slice", shape, scribe.axes(0), scribe.axes(1), to="batch")
    extents = scribe.axes(*state.shape)
    shape = scribe.node("Concat", "batch", extents, to=f"shape_of/{state.name}", axis=0)
    value = helper.make_tensor("zero", state.kind, [1], [0])
    return scribe.node("ConstantOfShape", shape, to=f"first_{state.name}", value=value)


def _write_decision(scribe: Scribe, network: QuantizedNetwork) -> None:
    """The output's spikes counted, and who spiked most."""
    output = network.population(network.output)
    cast = scribe.node("Cast", f"raster/{output.name}", to="output_spikes", to_kind=INT32)
    counts = f"counts/{output.name}"
    scribe.node("ReduceSum", cast, scribe.axes(1), to=counts, keepdims=0)
    scribe.node("ArgMax", counts, to="decision", axis=1, keepdims=0)
    scribe.output(counts, INT32, SAMPLES, output.size)
    scribe.output("decision", INT64, SAMPLES)


def _step(network: QuantizedNetwork, product: str | None) -> Scribe:
    chosen = [product or smaller_product(edge) for edge in network.projections]
    _check_size(network, chosen)
    scribe = Scribe()
    arrive = partial(_arrive, network, chosen)
    write_step(scribe, network, INT64, arrive, partial(_live, network))
    return scribe


def smaller_product(edge: QuantizedProjection) -> str:
    """Which of PRODUCTS a projection gets: rows only where a dense matrix is mostly nothing."""
    return "dense" if _bytes_dense(edge) <= _ROWS_PAY * _bytes_rows(edge) else "rows"


def _bytes_dense(edge: QuantizedProjection) -> int:
    targets, sources = edge.weights.shape
    return int(targets) * int(sources)


def _bytes_rows(edge: QuantizedProjection) -> int:
    return int(_ROW_BYTES * (edge.weights.nnz + 1) + 8 * (edge.weights.shape[0] + 1))


def weight_bytes(network: QuantizedNetwork) -> int:
    """Bytes that the weights take in the file."""
    chosen = [smaller_product(edge) for edge in network.projections]
    return sum(_BYTES[name](e) for name, e in zip(chosen, network.projections, strict=True))


def _check_size(network: QuantizedNetwork, chosen: list[str]) -> None:
    sizes = [_BYTES[name](e) for name, e in zip(chosen, network.projections, strict=True)]
    if sizes:
        worst = network.projections[int(np.argmax(sizes))]
        refuse_large(sum(sizes), f"'{worst.source}' -> '{worst.target}', {max(sizes):,} bytes")


def _arrive(
    network: QuantizedNetwork, chosen: list[str], scribe: Scribe, number: int, spikes: str
) -> str:
    """(samples, target) int64: the weights of the sources that spiked, summed and shifted."""
    edge = network.projections[number]
    halves = PRODUCTS[chosen[number]](scribe, number, edge, spikes)
    unit = scribe.number(2 << edge.weight_exponent)
    return scribe.node("Mul", halves, unit, to=f"arriving/{number}")


def _dense(scribe: Scribe, number: int, edge: QuantizedProjection, spikes: str) -> str:
    """Spikes times a dense matrix (source, target) of int8."""
    halves = edge.weights.astype(np.int64)
    halves.data = halves.data // 2
    matrix = scribe.constant(f"weights/{number}", halves.astype(np.int8).toarray().T)
    ones = scribe.node("Cast", spikes, to=f"ones/{number}", to_kind=_UINT8)
    sums = scribe.node("MatMulInteger", ones, matrix, to=f"sums/{number}")
    return scribe.node("Cast", sums, to=f"halves/{number}", to_kind=INT64)


def _rows(scribe: Scribe, number: int, edge: QuantizedProjection, spikes: str) -> str:
    """Compressed rows: all synapses in a row, their running sum, and its rise over each target.

    One synapse of weight 0 more at the end makes the sum before it the sum of all.
    """
    start = edge.weights.indptr.astype(np.int32)
    arrays = {
        "sources": np.append(edge.weights.indices, 0).astype(np.int32),
        "weights": np.append(edge.weights.data // 2, 0).astype(np.int8),
        "first": start[:-1],
        "last": start[1:],
    }
    names = [scribe.constant(f"{what}/{number}", array) for what, array in arrays.items()]
    ones = scribe.node("Cast", spikes, to=f"ones/{number}", to_kind=INT64)
    heard = scribe.node("Gather", ones, names[0], to=f"ones_of_synapses/{number}", axis=1)
    wide = scribe.node("Cast", names[1], to=f"wide_weights/{number}", to_kind=INT64)
    each = scribe.node("Mul", heard, wide, to=f"halves_of_synapses/{number}")
    running = scribe.node("CumSum", each, scribe.number(1), to=f"running/{number}", exclusive=1)
    before = scribe.node("Gather", running, names[2], to=f"before/{number}", axis=1)
    after = scribe.node("Gather", running, names[3], to=f"after/{number}", axis=1)
    return scribe.node("Sub", after, before, to=f"halves/{number}")


PRODUCTS: dict[str, Product] = {"dense": _dense, "rows": _rows}
_BYTES = {"dense": _bytes_dense, "rows": _bytes_rows}


def _live(network: QuantizedNetwork, scribe: Scribe, name: str, a: str) -> tuple[str, str, str]:
    """u, v and spikes of a population, the equations at the top."""
    population = network.population(name)
    keep_u = 2**arithmetic.DECAY_BITS - (population.decay_u + arithmetic.DECAY_U_OFFSET)
    keep_v = 2**arithmetic.DECAY_BITS - population.decay_v
    bias = arithmetic.bias_value(population.bias_mantissa, population.bias_exponent)
    limit = scribe.number(arithmetic.STATE_LIMIT - 1), scribe.number(1 - arithmetic.STATE_LIMIT)

    aligned = scribe.node("Mul", a, scribe.number(2**arithmetic.ALIGN_BITS), to=f"aligned/{name}")
    kept_u = _decayed(scribe, f"u/{name}", keep_u)
    u = _wrapped(scribe, scribe.node("Add", kept_u, aligned, to=f"current/{name}"), name)
    kept_v = _decayed(scribe, f"v/{name}", keep_v)
    driven = scribe.node("Add", kept_v, u, to=f"driven/{name}")
    whole = scribe.node("Add", driven, scribe.constant(f"bias/{name}", bias), to=f"biased/{name}")
    v = scribe.node("Clip", whole, limit[1], limit[0], to=f"before_reset/{name}")
    threshold = scribe.constant(f"threshold/{name}", population.threshold << arithmetic.ALIGN_BITS)
    spikes = scribe.node("Greater", v, threshold, to=f"spikes/{name}")
    scribe.node("Where", spikes, scribe.number(0), v, to=f"next_v/{name}")
    return u, v, spikes


def _decayed(scribe: Scribe, state: str, keep: int) -> str:
    """sign(x) * (|x| * keep >> 12), with a Div for the shift."""
    size = scribe.node("Abs", state, to=f"size_of_{state}")
    part = scribe.node("Mul", size, scribe.number(keep), to=f"kept_part_of_{state}")
    full = scribe.number(2**arithmetic.DECAY_BITS)
    left = scribe.node("Div", part, full, to=f"kept_size_of_{state}")
    sign = scribe.node("Sign", state, to=f"sign_of_{state}")
    return scribe.node("Mul", sign, left, to=f"kept_{state}")


def _wrapped(scribe: Scribe, current: str, name: str) -> str:
    """One modulo step into (-2^23, 2^23]; from above and from below exclude each other."""
    limit, turn = arithmetic.STATE_LIMIT, scribe.number(2 * arithmetic.STATE_LIMIT)
    high = scribe.node("Greater", current, scribe.number(limit), to=f"too_high/{name}")
    fall = scribe.node("Sub", current, turn, to=f"fallen/{name}")
    once = scribe.node("Where", high, fall, current, to=f"lowered/{name}")
    low = scribe.node("LessOrEqual", once, scribe.number(-limit), to=f"too_low/{name}")
    rise = scribe.node("Add", current, turn, to=f"risen/{name}")
    return scribe.node("Where", low, rise, once, to=f"next_u/{name}")
