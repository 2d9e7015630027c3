"""A network of ours out of a file of ours: structure from the side-car, weights from the file."""

from __future__ import annotations

from math import prod

import numpy as np
from scipy.sparse import coo_array, csr_array

from toolchain import codec
from toolchain.encoding import Encoding
from toolchain.errors import FileError
from toolchain.interchange.nir_file import Graph
from toolchain.interchange.sidecar import NetworkFacts, PopulationFacts, ProjectionFacts
from toolchain.network import Input, Network, Population, Projection


def exact_network(graph: Graph, facts: NetworkFacts) -> Network:
    """The network that was exported, bit for bit; FileError where file and side-car disagree."""
    size = prod(int(extent) for extent in _node(graph, facts.input, "shape"))
    sizes = {facts.input: size}
    for one in facts.populations:
        sizes[one.name] = _node(graph, one.name, "v_threshold").size
    encoding = facts.encoding
    return Network(
        input=Input(name=facts.input, size=size),
        populations=tuple(_population(one, sizes[one.name]) for one in facts.populations),
        projections=tuple(_projection(graph, one) for one in facts.projections),
        output=facts.output,
        encoding=None if encoding is None else codec.unpack(Encoding, encoding, {}, "encoding"),
    )


def _node(graph: Graph, name: str, field: str) -> np.ndarray:
    if name not in graph.nodes:
        raise FileError(f"its side-car speaks of a node '{name}' that it does not have")
    return graph.nodes[name].field(field)


def _population(facts: PopulationFacts, size: int) -> Population:
    return Population(
        name=facts.name,
        size=size,
        decay_u=facts.decay_u,
        decay_v=facts.decay_v,
        threshold=facts.threshold,
        bias=np.broadcast_to(np.asarray(facts.bias, np.float64), size).copy()
        if np.size(facts.bias) in (1, size)
        else np.asarray(facts.bias, np.float64),
    )


def _projection(graph: Graph, facts: ProjectionFacts) -> Projection:
    weight = _node(graph, facts.node, "weight").astype(np.float64)
    targets, sources = np.nonzero(weight)
    silent = np.asarray(facts.zeros, np.int64).reshape(-1, 2)
    rows = np.concatenate([targets, silent[:, 0]])
    columns = np.concatenate([sources, silent[:, 1]])
    try:
        values = weight[rows, columns]
        matrix = csr_array(coo_array((values, (rows, columns)), shape=weight.shape))
    except (ValueError, IndexError) as problem:
        raise FileError(f"node '{facts.node}': its side-car names no synapse of it") from problem
    matrix.sum_duplicates()
    return Projection(source=facts.source, target=facts.target, weights=matrix, delay=facts.delay)
