"""What arrives at every neuron of a NIR graph: matrices from the populations that send it.

Between two populations lie nodes without a state. They are multiplied into one matrix for each
source and delay, and what their biases add is one constant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.interchange.hdf5 import MOST_ELEMENTS
from toolchain.interchange.nir_file import Graph, Node
from toolchain.interchange.nir_linear import LINEAR, Linear, checked_shape, identity
from toolchain.interchange.nir_neurons import SILENT, SPIKING
from toolchain.unroll import Shape

FloatArray = NDArray[np.float64]
_DELAY_ERROR = 1e-6  # of a timestep: a delay in seconds is a float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inflow:
    """x[t] = sum over (source, lag) of M s_source[t - lag], and a constant."""

    shape: Shape
    terms: Mapping[tuple[str, int], csr_array]
    constant: FloatArray  # (neurons,)


@dataclass(slots=True, kw_only=True)
class Flow:
    """Shapes and signals of a graph while they are worked out, and what cannot be."""

    graph: Graph
    dt: float
    shapes: dict[str, Shape] = field(default_factory=dict)  # of what each node gives
    linear: dict[str, Linear] = field(default_factory=dict)
    signals: dict[str, Inflow] = field(default_factory=dict)  # of what each node gives
    notes: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # node -> why


def has_state(node: Node) -> bool:
    """Whether a node's answer depends on earlier timesteps by itself: a population."""
    return node.kind in SPIKING or node.kind in SILENT


def flow_of(graph: Graph, origin: str, dt: float) -> Flow:
    """Work out every shape, matrix and signal that can be worked out."""
    flow = Flow(graph=graph, dt=dt)
    flow.shapes[origin] = _input_shape(flow, graph.nodes[origin])
    _spread_shapes(flow, origin)
    for name in _in_order(flow):
        if name in flow.shapes and name not in flow.refused:
            flow.signals[name] = _given_by(flow, graph.nodes[name])
    return flow


def arriving(flow: Flow, name: str) -> Inflow | None:
    """The sum of what a node's predecessors give; None where one of them was refused."""
    before = flow.graph.before(name)
    if not before or any(one not in flow.signals for one in before):
        return None
    shape = flow.signals[before[0]].shape
    size = prod(shape)
    terms: dict[tuple[str, int], csr_array] = {}
    constant = np.zeros(size)
    for one in before:
        signal = flow.signals[one]
        if prod(signal.shape) != size:
            raise FileError(
                f"node '{name}': '{before[0]}' gives it {shape}, '{one}' gives it {signal.shape}"
            )
        constant = constant + signal.constant
        for key, matrix in signal.terms.items():
            terms[key] = terms[key] + matrix if key in terms else matrix
    return Inflow(shape=shape, terms=terms, constant=constant)


def _input_shape(flow: Flow, node: Node) -> Shape:
    """The Input's shape, without a batch axis that some writers leave in it."""
    shape = tuple(int(extent) for extent in np.ravel(node.field("shape")))
    after = [flow.graph.nodes[name] for name in flow.graph.after(node.name)]
    if len(shape) > 1 and not _fits(shape, after) and _fits(shape[1:], after):
        flow.notes.append(f"{node} has shape {shape}; its first axis, a batch, is left out")
        shape = shape[1:]
    return checked_shape(shape, node)


def _fits(shape: Shape, after: Iterable[Node]) -> bool:
    return all(_takes(node, shape) for node in after)


def _takes(node: Node, shape: Shape) -> bool:
    if node.kind in ("Affine", "Linear") and "weight" in node.fields:
        return node.fields["weight"].shape[-1:] == (prod(shape),)
    axes = {"Conv1d": 2, "Conv2d": 3, "SumPool2d": 3, "AvgPool2d": 3}.get(node.kind)
    if axes is not None:
        return len(shape) == axes
    held = _neurons_of(node)
    return held in (1, prod(shape))


def _neurons_of(node: Node) -> int:
    """How many neurons a node's parameters are for; 1 where they are for any number."""
    if not has_state(node) and node.kind not in ("Scale", "Delay"):
        return 1
    sizes = [node.numbers(name).size for name in node.fields if name != "metadata"]
    return max(sizes, default=1)


def _spread_shapes(flow: Flow, origin: str) -> None:
    """Shapes from the input onwards, breadth first: a loop's shape comes from outside it."""
    waiting = deque([origin])
    while waiting:
        name = waiting.popleft()
        for after in flow.graph.after(name):
            if after in flow.shapes or after in flow.refused:
                continue
            try:
                shape = _shape_after(flow, flow.graph.nodes[after], flow.shapes[name])
            except UnsupportedError as problem:
                flow.refused[after] = str(problem)
                continue
            except InputError as problem:
                raise FileError(f"{flow.graph.nodes[after]}: {problem}") from problem
            flow.shapes[after] = shape
            waiting.append(after)


def _shape_after(flow: Flow, node: Node, shape: Shape) -> Shape:
    if node.kind in LINEAR:
        flow.linear[node.name] = LINEAR[node.kind](node, shape)
        return checked_shape(flow.linear[node.name].shape, node)
    if node.kind not in (*SPIKING, *SILENT, "Delay", "Input", "Output"):
        raise UnsupportedError(f"a primitive '{node.kind}' has no form on the chip")
    held = _neurons_of(node)
    if held not in (1, prod(shape)):
        raise FileError(f"has {held} neurons, is given {shape}")
    return shape


def _in_order(flow: Flow) -> list[str]:
    """Nodes such that each one's signal can be had; FileError for a loop without a neuron."""
    nodes = flow.graph.nodes
    stateless = [name for name in nodes if not has_state(nodes[name])]
    missing = {
        name: sum(not has_state(nodes[one]) for one in flow.graph.before(name))
        for name in stateless
    }
    ready = deque(name for name in stateless if not missing[name])
    found = [name for name in nodes if has_state(nodes[name])]
    while ready:
        name = ready.popleft()
        found.append(name)
        for after in flow.graph.after(name):
            if after in missing:
                missing[after] -= 1
                if not missing[after]:
                    ready.append(after)
    stuck = sorted(set(nodes) - set(found))
    if stuck:
        raise FileError(
            f"{', '.join(map(repr, stuck))}: a loop in which no neuron holds anything back"
        )
    return found


def _given_by(flow: Flow, node: Node) -> Inflow:
    """The signal after a node: a population's own spikes, or what it makes of those it gets."""
    shape = flow.shapes[node.name]
    inflow = None if has_state(node) else arriving(flow, node.name)
    if inflow is None:
        terms = {(node.name, 0): identity(prod(shape))}
        if not has_state(node) and flow.graph.before(node.name):
            terms = {}  # what leads here was refused; the refusal is what will be said
        return Inflow(shape=shape, terms=terms, constant=np.zeros(prod(shape)))
    if node.kind == "Delay":
        return _delayed(flow, node, inflow)
    if node.kind not in LINEAR:
        return inflow
    linear = flow.linear[node.name]
    if linear.matrix.shape[1] != prod(inflow.shape):
        raise FileError(f"{node}: takes {linear.matrix.shape[1]} values, is given {inflow.shape}")
    constant = linear.matrix @ inflow.constant
    terms = {key: _product(node, linear.matrix, one) for key, one in inflow.terms.items()}
    return Inflow(
        shape=linear.shape,
        terms=terms,
        constant=constant if linear.constant is None else constant + linear.constant,
    )


def _product(node: Node, left: csr_array, right: csr_array) -> csr_array:
    """left @ right, unless it would be larger than anything a chip could hold."""
    counts = np.diff(right.indptr).astype(np.int64)
    if int(counts[left.indices].sum()) > 4 * MOST_ELEMENTS:
        raise FileError(f"{node}: multiplied with what leads to it, its weights are too many")
    made: csr_array = left @ right
    return made


def _delayed(flow: Flow, node: Node, inflow: Inflow) -> Inflow:
    size = prod(inflow.shape)
    seconds = np.broadcast_to(node.field("delay").astype(np.float64).ravel(), size)
    steps = np.rint(seconds / flow.dt)
    if np.any(np.abs(seconds / flow.dt - steps) > _DELAY_ERROR) or np.any(steps < 0):
        flow.refused[node.name] = (
            f"its delays are no multiples of dt = {flow.dt:g} s; give a --dt that divides them"
        )
    terms: dict[tuple[str, int], csr_array] = {}
    for step in np.unique(steps).astype(int):
        rows = csr_array(np.asarray(steps == step, np.float64)[:, None])
        for (source, lag), matrix in inflow.terms.items():
            held = csr_array(matrix.multiply(rows)) if len(np.unique(steps)) > 1 else matrix
            held.eliminate_zeros()
            key = (source, lag + int(step))
            terms[key] = terms[key] + held if key in terms else held
    return Inflow(shape=inflow.shape, terms=terms, constant=inflow.constant)
