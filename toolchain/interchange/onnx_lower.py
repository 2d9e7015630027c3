"""An ONNX graph as layers: each Relu, and the end, is a population of what is summed before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedError
from toolchain.interchange.affine import Affine, Shape, check_size, identity
from toolchain.interchange.onnx_file import Graph, Node
from toolchain.interchange.onnx_operators import AT_THE_END, INSTEAD, OPERATORS, OTHERWISE
from toolchain.interchange.onnx_values import Array, Rectified, Value

FloatArray = NDArray[np.float64]
INPUT = "input"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """activation = min(max(value, 0), cap), or the value itself where nothing rectifies it."""

    name: str
    value: Affine
    cap: float = inf
    rectified: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lowered:
    """Layers in causal order, the output last; a value's sources are layers before it, or INPUT."""

    input_shape: Shape  # of one sample
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Walk:
    """What is known so far, and what was refused."""

    batch: int
    known: dict[str, Value | None] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # values that a refused node should have given
    layers: list[Layer] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def lower(graph: Graph, shape: Shape, prepare: Callable[[Affine], Affine]) -> Lowered:
    """The layers of a graph whose input has this shape (of one sample).

    `prepare` turns the encoded input into what the network was trained on. Raises UnsupportedError
    listing every node that has no form on a chip, with what to do about it.
    """
    check_size(shape)
    walk = _Walk(batch=graph.input_shape[0] or 1)
    walk.known.update(graph.constants)
    walk.known[graph.input] = prepare(identity(INPUT, shape))
    for node in _needed(graph):
        _visit(walk, node, graph.output)
    if walk.refused:
        count = len(walk.refused)
        raise UnsupportedError(
            f"{count} node{'s have' if count > 1 else ' has'} no form on a chip:\n"
            + "\n".join(f"  - {line}" for line in walk.refused)
        )
    return Lowered(input_shape=shape, layers=_with_output(walk, graph), notes=tuple(walk.notes))


def _needed(graph: Graph) -> list[Node]:
    """The nodes that lead to the output."""
    wanted, found = {graph.output}, []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            found.append(node)
    return found[::-1]


def _visit(walk: _Walk, node: Node, output: str) -> None:
    """One node: its value, or its refusal."""
    at_the_end = node.operator in AT_THE_END and node.outputs[0] == output
    if node.operator not in OPERATORS and not at_the_end:
        why = INSTEAD.get(node.operator, OTHERWISE)
        walk.refused.append(f"'{node.name}' ({node.operator}): {why}")
        walk.lost.update(node.outputs)
        return
    if walk.lost.intersection(node.inputs):
        walk.lost.update(node.outputs)
        return
    try:
        inputs = [walk.known[name] if name else None for name in node.inputs]
        if at_the_end:
            made: Affine | Array | Rectified | Value = inputs[0]
            walk.notes.append(f"'{node.name}' ({node.operator}) left out: it changes no decision.")
        else:
            made = _made(node, inputs, walk.batch)
        walk.known[node.outputs[0]] = _populated(walk, node, made)
    except UnsupportedError as problem:
        walk.refused.append(f"'{node.name}' ({node.operator}): {problem}")
        walk.lost.update(node.outputs)


def _made(node: Node, inputs: Sequence[Value], batch: int) -> Affine | Array | Rectified:
    """What the operator gives, of finite numbers."""
    made = OPERATORS[node.operator](node, inputs, batch)
    numbers = made.offset if isinstance(made, Affine) else made
    if isinstance(numbers, np.ndarray) and not _finite(numbers):
        raise UnsupportedError("makes numbers that are not finite")
    return made


def _finite(numbers: Array) -> bool:
    return numbers.dtype.kind != "f" or bool(np.all(np.isfinite(numbers)))


def _populated(walk: _Walk, node: Node, made: Value | Rectified) -> Value:
    """A rectified value becomes a layer, whose activation stands for it from here on."""
    if not isinstance(made, Rectified):
        return made
    name = _name(walk, made.value.label or node.name)
    walk.layers.append(Layer(name=name, value=made.value, cap=made.cap))
    return replace(identity(name, made.value.shape), label="")


def _name(walk: _Walk, wanted: str) -> str:
    """A name of its own for a population."""
    taken = {layer.name for layer in walk.layers} | {INPUT, "labels"}
    stem = wanted.strip("/") or "layer"
    names = [stem, *(f"{stem}_{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _with_output(walk: _Walk, graph: Graph) -> tuple[Layer, ...]:
    """The layers, and the last value as one more unless it is an activation as it stands."""
    last = walk.known[graph.output]
    if not isinstance(last, Affine):
        raise UnsupportedError(f"its output '{graph.output}' does not depend on its input")
    needed = _reached(walk.layers, last)
    layers = [layer for layer in walk.layers if layer.name in needed]
    if layers and _is_activation(last, layers[-1].name):
        return tuple(layers)
    return (*layers, Layer(name=_name(walk, last.label or "output"), value=last, rectified=False))


def _is_activation(value: Affine, name: str) -> bool:
    """Whether the value is just that layer's activation, moved about or not."""
    rows = value.terms.get(name)
    return (
        rows is not None
        and len(value.terms) == 1
        and not value.offset.any()
        and rows.shape[0] == rows.shape[1] == rows.nnz
        and bool(np.all(rows.data == 1))
        and bool(np.array_equal(rows.indices, np.arange(rows.shape[0])))
    )


def _reached(layers: Sequence[Layer], last: Affine) -> set[str]:
    wanted = set(last.terms)
    for layer in reversed(layers):
        if layer.name in wanted:
            wanted.update(layer.value.terms)
    return wanted


def forward(lowered: Lowered, shares: FloatArray) -> Mapping[str, FloatArray]:
    """Layer -> (neurons, samples) activations of the network that was trained.

    `shares` (input neurons, samples) in 0..1 is what the spikes of the input say.
    """
    found = {INPUT: shares}
    for layer in lowered.layers:
        found[layer.name] = activation(layer, summed(layer.value, found))
    return found


def summed(value: Affine, activations: Mapping[str, FloatArray]) -> FloatArray:
    """(neurons, samples) what a layer's neurons sum up."""
    total = np.repeat(value.offset[:, None], next(iter(activations.values())).shape[1], axis=1)
    for source, rows in value.terms.items():
        total += rows @ activations[source]
    return total


def activation(layer: Layer, total: FloatArray) -> FloatArray:
    """What a layer makes of its sums."""
    return np.clip(total, 0, layer.cap) if layer.rectified else total
