"""NIR in: a .nir file becomes a network of the chip's neurons, by algebra (docs/interchange.md).

The file says neither how long a timestep is nor how a neuron resets: both are asked for by name.
What has no form on the chip is refused, all of it at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.interchange.clocks import Arrow, Clocks, clocks
from toolchain.interchange.exact import exact_network
from toolchain.interchange.nir_file import Graph, read_graph
from toolchain.interchange.nir_graph import Prepared, prepared
from toolchain.interchange.nir_neurons import Neurons, Times, filtered, stepped
from toolchain.interchange.nir_signals import Flow, Inflow, arriving, flow_of, has_state
from toolchain.interchange.record import Imported
from toolchain.interchange.sidecar import read_side_car, settled
from toolchain.network import Input, Network, Population, Projection, starts

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
RESETS = ("zero", "subtract")
MOST_GROUPS = 16  # populations that one node may be split into


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """The neurons of a node that share their decays: one population."""

    name: str
    node: str
    places: IntArray  # in the node
    neurons: Neurons  # of the whole node

    def population(self, scale: FloatArray, bias: FloatArray) -> Population:
        """The population; `scale` is what its thresholds were multiplied by."""
        first = int(self.places[0])
        return Population(
            name=self.name,
            size=len(self.places),
            decay_u=float(self.neurons.decay_u[first]),
            decay_v=float(self.neurons.decay_v[first]),
            threshold=float(self.neurons.threshold[first] * scale[0]),
            bias=bias[self.places] * scale,
        )

    @property
    def scale(self) -> FloatArray:
        """Factors that give every neuron the same threshold: 1 where they have it already."""
        thresholds = self.neurons.threshold[self.places]
        return np.ones(len(thresholds)) if np.ptp(thresholds) == 0 else 1 / thresholds


def read_nir(
    file: Path,
    *,
    dt: float | None = None,
    reset: str | None = None,
    scheme: str | None = None,
    readout: str | None = None,
) -> Imported:
    """Read a .nir file. Options that are None are taken from its side-car.

    `dt`: seconds per timestep. `reset`: "zero" (to v_reset) or "subtract". `scheme`: of SCHEMES,
    euler where nobody says. `readout`: "drop", or a threshold, for an answer without spikes.

    Raises FileError where the file is damaged or contradicts itself, InputError where dt or reset
    is not said, UnsupportedError listing every node that has no form on the chip.
    """
    facts = read_side_car(file)
    graph = read_graph(file)
    dt, reset, scheme, readout = (
        settled(file, name, given, facts)
        for name, given in (("dt", dt), ("reset", reset), ("scheme", scheme), ("readout", readout))
    )
    _check_options(file, dt, reset, readout)
    assert dt is not None
    try:
        if facts is not None and facts.network is not None:
            exact = exact_network(graph, facts.network)
            return Imported(network=exact, notes=("read to the last bit, by its side-car",))
        times = Times(dt=dt, scheme=scheme or "euler")
        network, notes = _network(prepared(graph, readout), times, str(reset))
    except UnsupportedError as problem:
        raise UnsupportedError(f"{file}: {problem}") from problem
    except InputError as problem:
        raise FileError(f"{file}: {problem}") from problem
    return Imported(network=network, notes=(*graph.repairs, *notes))


def _check_options(file: Path, dt: float | None, reset: str | None, readout: str | None) -> None:
    missing = []
    if dt is None:
        missing.append("how long a timestep is: --dt SECONDS")
    if reset is None:
        missing.append("how a neuron resets: --reset zero (to v_reset) or --reset subtract")
    if missing:
        raise InputError(
            f"{file}: NIR does not say {', nor '.join(missing)} (or write it into"
            f" {file.name}.snn-deploy.json)"
        )
    if dt is not None and not 0 < dt < np.inf:
        raise InputError(f"--dt {dt}: must be a positive number of seconds")
    if readout not in (None, "drop"):
        try:
            threshold = float(readout)
        except ValueError:
            threshold = 0.0
        if not 0 < threshold < np.inf:
            raise InputError(f"--readout {readout}: must be 'drop' or a threshold above 0")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examined:
    """A graph with every neuron in the chip's terms, and the nodes that have none."""

    flow: Flow
    neurons: dict[str, Neurons]
    inflows: dict[str, Inflow]
    refused: dict[str, str]  # node -> why


def examined(ready: Prepared, times: Times, reset: str) -> Examined:
    """Work out all that can be; raises FileError where the file contradicts itself."""
    graph = ready.graph
    flow = flow_of(graph, ready.origin, times.dt)
    refused = dict(ready.refused) | flow.refused
    neurons = _neurons(ready, flow, times, reset, refused)
    inflows = {name: arriving(flow, name) for name in neurons}
    refused |= _unreached(graph, ready.origin, refused)
    return Examined(
        flow=flow,
        neurons=neurons,
        inflows={name: inflow for name, inflow in inflows.items() if inflow is not None},
        refused=refused,
    )


def _network(ready: Prepared, times: Times, reset: str) -> tuple[Network, list[str]]:
    found = examined(ready, times, reset)
    if found.refused:
        nodes = ready.graph.nodes
        lines = [f"  - {nodes[name]}: {why}" for name, why in sorted(found.refused.items())]
        count = f"{len(lines)} node{'s' if len(lines) != 1 else ''} with no form on the chip"
        raise UnsupportedError(f"{count}:\n" + "\n".join(lines))
    assert len(found.inflows) == len(found.neurons), "what is not refused has an inflow"
    return _assembled(ready, found.flow, found.neurons, found.inflows)


def _neurons(
    ready: Prepared, flow: Flow, times: Times, reset: str, refused: dict[str, str]
) -> dict[str, Neurons]:
    """Every population's neurons; those that the chip does not have are added to `refused`."""
    found = {}
    for name, node in ready.graph.nodes.items():
        if not has_state(node) or name not in flow.shapes or name in refused:
            continue
        if reset == "subtract" and node.kind != "Threshold":
            refused[name] = (
                "it subtracts its threshold when it spikes, the chip sets v to 0; --reset zero"
                " deploys it so all the same, and it will spike less"
            )
            continue
        size = int(np.prod(flow.shapes[name]))
        try:
            made = stepped(node, size, times, ready.thresholds.get(name))
            if name in ready.filters:
                made = filtered(made, ready.filters[name], times)
            if _groups(made).max() >= MOST_GROUPS:
                raise UnsupportedError(
                    f"it has {_groups(made).max() + 1} different time constants; a population of"
                    f" the chip has one, and {MOST_GROUPS} are split at most: round them"
                )
        except UnsupportedError as problem:
            refused[name] = str(problem)
        else:
            found[name] = made
    return found


def _groups(neurons: Neurons) -> IntArray:
    """(neurons,) number of each neuron's decays, in the order in which they come up."""
    pairs = np.stack([neurons.decay_u, neurons.decay_v], axis=1)
    _, first, numbers = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    rank: IntArray = np.argsort(np.argsort(first))[numbers.reshape(-1)]
    return rank


def _unreached(graph: Graph, origin: str, refused: dict[str, str]) -> dict[str, str]:
    """Nodes that nothing from the Input leads to, for no reason that is said already."""
    reached, waiting = {origin}, [origin]
    while waiting:
        for after in graph.after(waiting.pop()):
            if after not in reached:
                reached.add(after)
                waiting.append(after)
    return {
        name: "nothing leads to it from the Input"
        for name in graph.nodes
        if name not in reached and name not in refused
    }


def _assembled(
    ready: Prepared, flow: Flow, neurons: dict[str, Neurons], inflows: dict[str, Inflow]
) -> tuple[Network, list[str]]:
    parts = {name: list(_parts(name, held)) for name, held in neurons.items()}
    if len(parts[ready.output]) > 1:
        raise UnsupportedError(
            f"'{ready.output}' is the answer and has {len(parts[ready.output])} different time"
            " constants; a population of the chip has one: round them"
        )
    one = _unused("one", {part.name for several in parts.values() for part in several})
    matrices: dict[Arrow, csr_array] = {}
    populations: dict[str, Population] = {}
    for name, several in parts.items():
        constant = inflows[name].constant + neurons[name].constant
        at_once = neurons[name].decay_u == 1
        bias = neurons[name].bias + np.where(at_once, neurons[name].gain * constant, 0)
        late = np.where(at_once, 0, neurons[name].gain * constant)
        for part in several:
            populations[part.name] = part.population(part.scale, bias)
            matrices |= _into(part, inflows[name], parts)
            if np.any(late[part.places]):
                column = csr_array((late[part.places] * part.scale)[:, None])
                matrices[Arrow(source=one, target=part.name, lag=0)] = column
    notes = [*ready.notes, *flow.notes, *_split_notes(parts)]
    fed = [arrow.target for arrow in matrices if arrow.source == one]
    if fed:
        populations[one] = _ever_spiking(one)
        matrices[Arrow(source=ready.origin, target=one, lag=0)] = csr_array(
            (1, int(np.prod(flow.shapes[ready.origin])))
        )
        notes.append(
            f"{', '.join(fed)}: a bias enters the synaptic current, and the chip has none there;"
            f" the neuron '{one}' spikes at every timestep and brings it"
        )
    size = int(np.prod(flow.shapes[ready.origin]))
    origin = Input(name=ready.origin, size=size)
    output = parts[ready.output][0].name
    network, more = _timed(origin, populations, matrices, output)
    return network, [*notes, *more]


def _parts(name: str, neurons: Neurons) -> Iterator[Part]:
    numbers = _groups(neurons)
    count = int(numbers.max()) + 1
    for number in range(count):
        places = np.flatnonzero(numbers == number)
        own = name if count == 1 else f"{name}.{number}"
        yield Part(name=own, node=name, places=places, neurons=neurons)


def _split_notes(parts: dict[str, list[Part]]) -> list[str]:
    return [
        f"'{name}' has {len(several)} different time constants and became as many populations,"
        f" {several[0].name} to {several[-1].name}, each in the order of its neurons"
        for name, several in parts.items()
        if len(several) > 1
    ]


def _into(part: Part, inflow: Inflow, parts: dict[str, list[Part]]) -> dict[Arrow, csr_array]:
    """The matrices that lead to a part, by where they come from."""
    found = {}
    factors = (part.neurons.gain[part.places] * part.scale)[:, None]
    for (source, lag), matrix in inflow.terms.items():
        rows = csr_array(matrix[part.places].multiply(factors))
        senders = parts.get(source)
        halves = (
            [(source, rows)]
            if senders is None
            else [(sender.name, rows[:, sender.places]) for sender in senders]
        )
        for name, half in halves:
            weights = csr_array(half)
            weights.eliminate_zeros()
            weights.sum_duplicates()
            found[Arrow(source=name, target=part.name, lag=lag)] = weights
    return found


def _ever_spiking(name: str) -> Population:
    """One neuron whose bias lifts it above its threshold at every timestep."""
    return Population(
        name=name, size=1, decay_u=1.0, decay_v=0.0, threshold=1.0, bias=np.array([2.0])
    )


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _timed(
    origin: Input,
    populations: dict[str, Population],
    matrices: dict[Arrow, csr_array],
    output: str,
) -> tuple[Network, list[str]]:
    """The network with its delays, and a note for each loop that takes a chip's time."""
    times = clocks(origin.name, list(matrices))
    orderly = sorted(populations.values(), key=lambda one: times.starts.get(one.name, 0))
    projections = [
        Projection(
            source=arrow.source, target=arrow.target, weights=rows, delay=times.delays[arrow]
        )
        for population in orderly
        for arrow, rows in matrices.items()
        if arrow.target == population.name
    ]
    network = Network(
        input=origin, populations=tuple(orderly), projections=tuple(projections), output=output
    )
    late = _pins(network, times)
    if late:
        network = Network(
            input=origin,
            populations=network.populations,
            projections=(*network.projections, *late),
            output=output,
        )
    notes = [
        f"'{arrow.source}' -> '{arrow.target}' closes a loop; it takes {lag}"
        f" timestep{'s' if lag > 1 else ''}, the fewest a chip can"
        for arrow, lag in times.back.items()
        if arrow.source != arrow.target
    ]
    return network, notes


def _pins(network: Network, times: Clocks) -> list[Projection]:
    """Projections without a synapse, for clocks that run before the first spike can arrive."""
    actual = starts(network)
    return [
        Projection(
            source=network.input.name,
            target=population.name,
            weights=csr_array((population.size, network.input.size)),
            delay=times.starts[population.name],
        )
        for population in network.populations
        if actual[population.name] > times.starts[population.name]
    ]
