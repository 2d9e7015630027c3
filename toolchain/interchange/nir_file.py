"""A .nir file as nodes and edges, nested graphs laid flat; what had to be repaired is said.

Read with h5py alone: nir's own reader (1.0.8) refuses sound graphs, such as those of earlier
versions, of recurrent networks, and with a batch in their shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py

from toolchain.errors import FileError, InputError
from toolchain.interchange.hdf5 import Array, array_at, group_at, members, opened

Edge = tuple[str, str]
_DEEPEST = 16  # graphs within graphs
_MOST_NODES = 10_000
_MOST_DIMENSIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One primitive, its fields as they stand in the file."""

    name: str  # of a nested graph's: "graph.node"
    kind: str  # NIR's word
    fields: Mapping[str, Array]

    def __str__(self) -> str:
        return f"node '{self.name}' ({self.kind})"

    def field(self, name: str) -> Array:
        """A field that must be there; FileError where it is not, or has too many dimensions."""
        if name not in self.fields:
            raise FileError(f"{self}: field '{name}' is missing")
        return self.numbers(name)

    def numbers(self, name: str) -> Array:
        """A field as numbers."""
        values = self.fields[name]
        if values.dtype.kind not in "if" or values.ndim > _MOST_DIMENSIONS:
            raise FileError(f"{self}: field '{name}' must be numbers, is {values.dtype}")
        return values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """A .nir file, laid flat. Every edge's ends are nodes."""

    version: str
    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]  # sorted, unique
    repairs: tuple[str, ...]

    def before(self, name: str) -> list[str]:
        """Nodes with an edge to this one."""
        return [source for source, target in self.edges if target == name]

    def after(self, name: str) -> list[str]:
        """Nodes with an edge from this one."""
        return [target for source, target in self.edges if source == name]


def read_graph(path: Path) -> Graph:
    """Read a .nir file; FileError where it is damaged, hostile, or of a version to come."""
    with opened(path) as file:
        try:
            return _graph(file)
        except InputError as problem:
            raise FileError(f"{path}: {problem}") from problem


def _graph(file: h5py.File) -> Graph:
    repairs: list[str] = []
    version = _version(file, repairs)
    nodes: dict[str, Node] = {}
    graphs: set[str] = set()
    edges = _read_into(nodes, graphs, group_at(file, "node"), "", 0)
    edges = _repaired(nodes, graphs, edges, repairs)
    return Graph(
        version=version, nodes=nodes, edges=tuple(sorted(set(edges))), repairs=tuple(repairs)
    )


def _version(file: h5py.File, repairs: list[str]) -> str:
    if "version" not in members(file):
        repairs.append("the file does not say its NIR version; it is read as 1.0")
        return "unknown"
    version = str(array_at(file, "version"))
    if not re.match(r"[01]\.", version):
        raise FileError(f"NIR version '{version}' is not known; 0.x and 1.x are read")
    return version


def _read_into(
    nodes: dict[str, Node], graphs: set[str], group: h5py.Group, prefix: str, depth: int
) -> list[Edge]:
    """Put a graph's nodes into `nodes`; its edges, with the names they have laid flat."""
    if depth > _DEEPEST:
        raise FileError(f"graphs are nested more than {_DEEPEST} deep")
    inner = group_at(group, "nodes")
    edges = [(prefix + source, prefix + target) for source, target in _edges(group)]
    for name in members(inner):
        one = group_at(inner, name)
        kind = str(array_at(one, "type"))
        if len(nodes) >= _MOST_NODES:
            raise FileError(f"more than {_MOST_NODES:,} nodes")
        if kind == "NIRGraph":
            graphs.add(prefix + name)
            edges += _read_into(nodes, graphs, one, f"{prefix}{name}.", depth + 1)
        else:
            data = (field for field in members(one) if isinstance(one[field], h5py.Dataset))
            held = {field: array_at(one, field) for field in data if field != "type"}
            nodes[prefix + name] = Node(name=prefix + name, kind=kind, fields=held)
    return edges


def _edges(group: h5py.Group) -> list[Edge]:
    if "edges" not in members(group):
        raise FileError(f"'{group.name}' has no edges")
    pairs = array_at(group, "edges")
    if pairs.size == 0:
        return []
    if pairs.dtype.kind != "O" or pairs.ndim != 2 or pairs.shape[1] != 2:
        raise FileError(f"'{group.name}/edges' must be pairs of names, is {pairs.shape}")
    return [(str(source), str(target)) for source, target in pairs]


def _repaired(
    nodes: Mapping[str, Node], graphs: set[str], edges: list[Edge], repairs: list[str]
) -> list[Edge]:
    """Edges to a nested graph lead to its Input, those from it come from its Output."""
    if len(set(edges)) < len(edges):
        repairs.append(f"{len(edges) - len(set(edges))} edges stood twice; each is taken once")
    found = []
    for edge in dict.fromkeys(edges):
        ends = [_end(nodes, name, kind) for name, kind in zip(edge, _ENDS, strict=True)]
        for name, end in zip(edge, ends, strict=True):
            if end is None:
                raise FileError(f"edge '{edge[0]}' -> '{edge[1]}': there is no node '{name}'")
            if end != name and name not in graphs:
                repairs.append(f"an edge names '{name}', which is no node; '{end}' is meant")
        found.append((str(ends[0]), str(ends[1])))
    return found


_ENDS = ("Output", "Input")  # what an edge that names a graph starts from and leads to


def _end(nodes: Mapping[str, Node], name: str, kind: str) -> str | None:
    """The node of this name, or the only Input or Output of the nested graph of this name."""
    if name in nodes:
        return name
    inside = [n for n, one in nodes.items() if one.kind == kind and n.startswith(f"{name}.")]
    depth = min((one.count(".") for one in inside), default=0)
    nearest = [one for one in inside if one.count(".") == depth]
    return nearest[0] if len(nearest) == 1 else None
