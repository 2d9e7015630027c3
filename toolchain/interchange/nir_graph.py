"""A NIR graph made ready: where it starts and ends, and which LI is a neuron's current."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from toolchain.errors import FileError
from toolchain.interchange.nir_file import Edge, Graph, Node
from toolchain.interchange.nir_neurons import SILENT, SPIKING


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A graph whose populations all spike."""

    graph: Graph
    origin: str  # the Input
    output: str  # the population whose spikes are the answer
    filters: Mapping[str, Node]  # population -> the LI that was before it, and is its current
    thresholds: Mapping[str, float]  # of integrators that were asked to spike
    notes: tuple[str, ...]
    refused: Mapping[str, str]


def prepared(graph: Graph, readout: str | None) -> Prepared:
    """Find input and output, merge currents into their neurons, settle what reads out."""
    origin = _only(graph, "Input")
    end = _only(graph, "Output")
    graph, filters = _merged(graph)
    notes: list[str] = []
    refused: dict[str, str] = {}
    thresholds: dict[str, float] = {}
    readers = _readers(graph, end)
    if readers and readout is None:
        refused |= dict.fromkeys(readers, _NO_SPIKES)
    elif readers and readout == "drop":
        graph = _without(graph, readers, end)
        notes.append(f"{_names(readers)} left out: the spikes before are the answer (--readout)")
    elif readers:
        refused |= {
            name: "is no integrator, so no threshold can make it spike; say --readout drop"
            for name in readers
            if graph.nodes[name].kind not in SILENT
        }
        thresholds = dict.fromkeys(readers, float(readout or 0))
        notes.append(f"{_names(readers)} spike above {readout} (--readout), and then start at 0")
    refused |= {
        node.name: "it integrates and never spikes, which no neuron of the chip does"
        for node in graph.nodes.values()
        if node.kind in SILENT and node.name not in thresholds and node.name not in refused
    }
    return Prepared(
        graph=graph,
        origin=origin,
        output=_answer(graph, end, refused),
        filters=filters,
        thresholds=thresholds,
        notes=tuple(notes),
        refused=refused,
    )


_NO_SPIKES = (
    "it reads out, and what reads out must spike; say --readout drop (the population before it is"
    " the answer) or --readout NUMBER (an integrator spikes above it)"
)


def _only(graph: Graph, kind: str) -> str:
    """The only Input that nothing leads to, or the only Output that leads nowhere."""
    ends = graph.before if kind == "Input" else graph.after
    found = [n for n, node in graph.nodes.items() if node.kind == kind and not ends(n)]
    if len(found) != 1:
        raise FileError(f"needs exactly one {kind} node, has {len(found)}")
    return found[0]


def _merged(graph: Graph) -> tuple[Graph, dict[str, Node]]:
    """An LI whose only use is as the current of one LIF or IF becomes a part of it."""
    filters: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for node in graph.nodes.values():
        after = graph.after(node.name)
        if node.kind != "LI" or len(after) != 1 or graph.nodes[after[0]].kind not in ("LIF", "IF"):
            continue
        if graph.before(after[0]) == [node.name]:
            filters[after[0]] = node
            renamed[node.name] = after[0]
    edges = [(source, renamed.get(target, target)) for source, target in graph.edges]
    return _keeping(graph, set(graph.nodes) - set(renamed), edges), filters


def _keeping(graph: Graph, names: set[str], edges: list[Edge]) -> Graph:
    held = sorted({(a, b) for a, b in edges if a in names and b in names})
    nodes = {name: node for name, node in graph.nodes.items() if name in names}
    return replace(graph, nodes=nodes, edges=tuple(held))


def _readers(graph: Graph, end: str) -> list[str]:
    """Nodes between the last populations and the Output that do something: they read out."""
    found: list[str] = []
    waiting = list(graph.before(end))
    while waiting:
        name = waiting.pop()
        kind = graph.nodes[name].kind
        if kind in SPIKING or name in found or kind == "Input":
            continue
        found.append(name)
        waiting += graph.before(name) if kind not in SILENT else []
    plain = all(graph.nodes[name].kind in ("Flatten", "Output") for name in found)
    if plain:
        return []
    last = [name for name in found if graph.nodes[name].kind in SILENT]
    return last or found


def _without(graph: Graph, readers: list[str], end: str) -> Graph:
    """The graph without its readout: what fed it leads to the Output."""
    gone: set[str] = set()
    waiting, last = [*graph.before(end), *readers], []
    while waiting:
        name = waiting.pop()
        if graph.nodes[name].kind in SPIKING or graph.nodes[name].kind == "Input":
            last.append(name)
        elif name not in gone:
            gone.add(name)
            waiting += graph.before(name)
    edges = [*graph.edges, *((name, end) for name in sorted(set(last)))]
    return _keeping(graph, set(graph.nodes) - gone, edges)


def _answer(graph: Graph, end: str, refused: dict[str, str]) -> str:
    """The population that the Output shows, through nodes that change nothing."""
    before = graph.before(end)
    while len(before) == 1 and graph.nodes[before[0]].kind in ("Flatten", "Output", "Input"):
        if not graph.before(before[0]):
            break
        before = graph.before(before[0])
    if len(before) != 1:
        refused[end] = f"shows {len(before)} nodes; the answer must be one population's spikes"
        return ""
    if graph.nodes[before[0]].kind not in (*SPIKING, *SILENT):
        refused.setdefault(end, f"shows '{before[0]}', which is no population")
    return before[0]


def _names(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))
