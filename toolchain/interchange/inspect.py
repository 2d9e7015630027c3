"""What a file of another tool holds, without taking it in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.interchange.hdf5 import Array
from toolchain.interchange.netx_file import read_layers
from toolchain.interchange.netx_in import read_netx
from toolchain.interchange.nir_file import Graph, Node, read_graph
from toolchain.interchange.nir_graph import prepared
from toolchain.interchange.nir_in import examined
from toolchain.interchange.nir_neurons import Times
from toolchain.interchange.sidecar import read_side_car

_TIMES = ("tau", "tau_mem", "tau_syn")
_NOTHING = "nothing"


def inspect_nir(file: Path) -> dict[str, Any]:
    """Nodes, shapes, weights, and what a chip has no form for; nothing is written."""
    graph = read_graph(file)
    side_car = read_side_car(file)
    shapes, refused = _examined(graph, side_car.dt if side_car is not None else None)
    return {
        "kind": "a NIR graph",
        "NIR version": graph.version,
        "side-car": "none" if side_car is None else "there",
        "repaired": "; ".join(graph.repairs) or _NOTHING,
        "refused": "; ".join(f"{name}: {why}" for name, why in sorted(refused.items())) or _NOTHING,
        "nodes": [
            {
                "node": node.name,
                "primitive": node.kind,
                "gives": " x ".join(map(str, shapes.get(node.name, ()))) or "?",
                **_weights(node.fields.get("weight")),
                "time constants": _taus(node),
            }
            for node in graph.nodes.values()
        ],
        "edges": len(graph.edges),
    }


def _examined(graph: Graph, dt: float | None) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """(shapes, refusals) at a timestep so short that none is refused for it, unless it is known."""
    shortest = min((float(np.min(t)) for n in graph.nodes.values() for t in _of(n)), default=1.0)
    try:
        ready = prepared(graph, None)
        found = examined(ready, Times(dt=dt or max(shortest, 1e-30) / 2, scheme="euler"), "zero")
    except UnsupportedError as problem:
        return {}, {"the graph": str(problem)}
    except InputError as problem:
        raise FileError(str(problem)) from problem
    unknown = () if dt else [n.name for n in graph.nodes.values() if n.kind == "Delay"]
    refused = {name: why for name, why in found.refused.items() if name not in unknown}
    return found.flow.shapes, refused


def _of(node: Node) -> list[Array]:
    return [node.numbers(name) for name in _TIMES if name in node.fields]


def _taus(node: Node) -> str:
    spans = [np.unique(values) for values in _of(node)]
    return ", ".join(
        f"{one[0]:.4g}" if len(one) == 1 else f"{one[0]:.4g} to {one[-1]:.4g}" for one in spans
    )


def _weights(weight: Array | None) -> dict[str, Any]:
    if weight is None or weight.dtype.kind not in "if" or not weight.size:
        return {"weights": "", "density": "", "from": "", "to": ""}
    return {
        "weights": " x ".join(map(str, weight.shape)),
        "density": f"{np.count_nonzero(weight) / weight.size:.2%}",
        "from": f"{weight.min():.4g}",
        "to": f"{weight.max():.4g}",
    }


def inspect_netx(file: Path) -> dict[str, Any]:
    """Layers, registers, weights, and what a chip has no form for; nothing is written."""
    layers = read_layers(file)
    try:
        notes, refused = "; ".join(read_netx(file).notes), _NOTHING
    except (UnsupportedError, InputError) as problem:
        notes, refused = "", str(problem).removeprefix(f"{file}: ")
    return {
        "kind": "a lava-dl layer file",
        "notes": notes or "none",
        "refused": refused,
        "layers": [
            {
                "layer": layer.number,
                "type": layer.kind,
                "neuron": str(layer.neuron.get("type", "")),
                **{name: _whole(layer.neuron.get(name)) for name in _REGISTERS},
                **_weights(layer.fields.get("weight")),
            }
            for layer in layers
        ],
    }


_REGISTERS = ("iDecay", "vDecay", "vThMant", "refDelay")


def _whole(values: Array | None) -> str:
    return "" if values is None else ", ".join(f"{value:g}" for value in np.unique(values)[:3])
