"""NIR out: populations as NIR's neurons, projections as Linear nodes, and the side-car beside it.

Written so that the steps of `nir_neurons` give the network back: a population is an IF where it
neither leaks nor has a current, a LIF where it leaks, a CubaLIF where it has a current that lasts,
and an LI before an IF where it has a current and no leak.

NIR has no sparse matrix: a projection is written dense, its absent synapses as zeros.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from toolchain import codec
from toolchain.errors import InputError, UnsupportedError
from toolchain.files import write_bytes
from toolchain.interchange.hdf5 import MOST_ELEMENTS
from toolchain.interchange.record import Exported
from toolchain.interchange.sidecar import write_side_car
from toolchain.network import Network, Population, Projection, QuantizedNetwork, lag

Fields = Mapping[str, Any]
DT = 1e-4  # seconds per timestep where nobody says: the one that snnTorch takes for granted
FOLLOWED = "1.0.8"  # the version of nir whose files these are
OUTPUT = "output"
_PACKED = 64  # arrays from so many elements on are compressed


def write_nir(network: Network | QuantizedNetwork, file: Path, *, dt: float = DT) -> Exported:
    """Write a network as `file`, and beside it what NIR cannot carry.

    `dt`: seconds per timestep, a choice of words only: the network is the same with every one.
    Raises UnsupportedError for integers, and where a projection is too large to be written dense;
    InputError where a name cannot stand in the file. Same network, same dt: same bytes.
    """
    if isinstance(network, QuantizedNetwork):
        raise UnsupportedError(
            "NIR has no words for a chip's integers and how they round; export the network in real"
            " numbers, or the integers as netx"
        )
    if not 0 < dt < np.inf:
        raise InputError(f"--dt {dt}: must be a positive number of seconds")
    _check(network)
    nodes: dict[str, Fields] = {network.input.name: _shape("Input", network.input.size)}
    edges: list[tuple[str, str]] = []
    for population in network.populations:
        nodes |= dict(_neurons(population, dt))
        if f"{population.name}.current" in nodes:
            edges.append((f"{population.name}.current", population.name))
    held: list[dict[str, Any]] = []
    for projection in network.projections:
        _add(network, projection, dt, nodes, edges, held)
    _add_biases(network, nodes, edges)
    answer = _free(OUTPUT, nodes)
    size = next(p.size for p in network.populations if p.name == network.output)
    nodes[answer] = _shape("Output", size)
    edges.append((network.output, answer))
    write_bytes(file, _packed(nodes, edges))
    facts = {"dt": dt, "reset": "zero", "scheme": "euler", "network": _facts(network, held)}
    side_car = write_side_car(file, facts)
    return Exported(files=(file, side_car), losses=tuple(_losses(network, dt, nodes)))


def _check(network: Network) -> None:
    names = [network.input.name, *(population.name for population in network.populations)]
    for name in names:
        if "/" in name or name in ("", "."):
            raise InputError(f"population '{name}': a name with '/' cannot stand in an HDF5 file")
    for one in network.populations:
        if one.decay_v == 0 and one.decay_u < 1 and np.any(one.bias):
            raise UnsupportedError(
                f"population '{one.name}': NIR has no neuron with a current that lasts, a bias and"
                " no leak; give it a decay_v"
            )
    for edge in network.projections:
        elements = int(np.prod(edge.weights.shape))
        if elements > MOST_ELEMENTS:
            raise UnsupportedError(
                f"projection '{edge.source}' -> '{edge.target}': NIR holds matrices dense, this"
                f" one would be {elements:,} weights; {MOST_ELEMENTS:,} are written at most"
            )


def _shape(kind: str, size: int) -> Fields:
    return {"type": kind, "shape": np.array([size])}


def _neurons(population: Population, dt: float) -> Iterator[tuple[str, Fields]]:
    """A population's node; two where it has a current and no leak."""
    one = np.ones(population.size)
    fires = one * population.threshold
    none = np.zeros(population.size)
    lasting, leaks = population.decay_u < 1, population.decay_v > 0
    if not leaks:
        if lasting:
            r = one / population.decay_u
            current = {"type": "LI", "tau": one * (dt / population.decay_u), "r": r, "v_leak": none}
            yield f"{population.name}.current", current
        plain = {"type": "IF", "r": one / dt, "v_threshold": fires, "v_reset": none}
        yield population.name, plain
        return
    tau = one * (dt / population.decay_v)
    if not lasting:  # with r = 1, which norse takes for granted
        yield (
            population.name,
            {
                "type": "LIF",
                "tau": tau,
                "r": one,
                "v_leak": population.bias,
                "v_threshold": fires * population.decay_v,
                "v_reset": none,
            },
        )
        return
    yield (
        population.name,
        {
            "type": "CubaLIF",
            "tau_syn": one * (dt / population.decay_u),
            "tau_mem": tau,
            "r": tau / dt,  # snnTorch takes no other
            "v_leak": population.bias / population.decay_v,
            "v_threshold": fires,
            "v_reset": none,
            "w_in": one / population.decay_u,
        },
    )


def _entrance(population: str, nodes: Mapping[str, Fields]) -> str:
    current = f"{population}.current"
    return current if current in nodes else population


def _add(
    network: Network,
    projection: Projection,
    dt: float,
    nodes: dict[str, Fields],
    edges: list[tuple[str, str]],
    held: list[dict[str, Any]],
) -> None:
    """A projection's Linear, and a Delay where it comes later than its clocks say."""
    name = _free(f"{projection.target}.from.{projection.source}", nodes)
    nodes[name] = {"type": "Linear", "weight": projection.weights.toarray()}
    entrance = _entrance(projection.target, nodes)
    late = lag(network, projection)
    edges.append((projection.source, name))
    if late == 0 or (late == 1 and projection.source == projection.target):
        edges.append((name, entrance))  # a loop takes one timestep everywhere
    else:
        delay = _free(f"{name}.delay", nodes)
        nodes[delay] = {"type": "Delay", "delay": np.full(projection.weights.shape[0], late * dt)}
        edges += [(name, delay), (delay, entrance)]
    rows = np.repeat(np.arange(projection.weights.shape[0]), np.diff(projection.weights.indptr))
    silent = np.flatnonzero(projection.weights.data == 0)
    pairs = zip(rows[silent].tolist(), projection.weights.indices[silent].tolist(), strict=True)
    held.append(
        {
            "source": projection.source,
            "target": projection.target,
            "node": name,
            "delay": projection.delay,
            "zeros": [list(pair) for pair in pairs],
        }
    )


def _add_biases(network: Network, nodes: dict[str, Fields], edges: list[tuple[str, str]]) -> None:
    """IF has no v_leak: its bias is an Affine without weights, from the input."""
    for population in network.populations:
        if population.decay_v > 0 or not np.any(population.bias):
            continue
        name = _free(f"{population.name}.bias", nodes)
        weight = np.zeros((population.size, network.input.size))
        nodes[name] = {"type": "Affine", "weight": weight, "bias": population.bias}
        edges += [(network.input.name, name), (name, population.name)]


def _free(name: str, nodes: Mapping[str, Fields]) -> str:
    while name in nodes:
        name += "_"
    return name


def _facts(network: Network, projections: list[dict[str, Any]]) -> dict[str, Any]:
    """What the side-car says of the network: `sidecar.NetworkFacts`."""
    populations = [
        {
            "name": one.name,
            "decay_u": one.decay_u,
            "decay_v": one.decay_v,
            "threshold": one.threshold,
            "bias": _one_or_all(one.bias),
        }
        for one in network.populations
    ]
    facts = {
        "input": network.input.name,
        "output": network.output,
        "populations": populations,
        "projections": projections,
    }
    if network.encoding is not None:
        facts["encoding"] = codec.pack(network.encoding)[0]
    return facts


def _one_or_all(bias: NDArray[np.float64]) -> float | list[float]:
    """One number where all are the same bits: 0 and -0 are two."""
    same = len(np.unique(bias.view(np.int64))) == 1
    return float(bias[0]) if same else bias.tolist()


def _packed(nodes: Mapping[str, Fields], edges: list[tuple[str, str]]) -> bytes:
    """The HDF5 file, as nir 1.0.8 lays it out."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="earliest") as file:
        file.create_dataset("version", data=FOLLOWED, dtype=h5py.string_dtype())
        graph = file.create_group("node")
        graph.create_dataset("type", data="NIRGraph", dtype=h5py.string_dtype())
        graph.create_dataset("edges", data=sorted(edges), dtype=h5py.string_dtype())
        inner = graph.create_group("nodes")
        for name in sorted(nodes):
            group = inner.create_group(name)
            for field, value in sorted(nodes[name].items()):
                _write(group, field, value)
    return buffer.getvalue()


def _write(group: h5py.Group, field: str, value: str | NDArray[Any]) -> None:
    if isinstance(value, str):
        group.create_dataset(field, data=value, dtype=h5py.string_dtype())
    else:
        packing = "gzip" if value.size >= _PACKED else None
        group.create_dataset(field, data=value, compression=packing)


def _losses(network: Network, dt: float, nodes: Mapping[str, Fields]) -> Iterator[str]:
    """What another reader of the file alone cannot know, or is known to get wrong."""
    kinds = {str(fields["type"]) for fields in nodes.values()}
    stored = sum(int(np.prod(edge.weights.shape)) for edge in network.projections)
    yield f"the timestep, {dt:g} s: norse takes 0.001 unless told (from_nir(dt=...)), snnTorch 1e-4"
    yield "that v is set to 0 by a spike: the file says v_reset = 0, which norse does not read"
    if network.synapses < stored:
        yield f"which synapses exist: {stored:,} weights are in it, {network.synapses:,} synapses"
    if network.encoding is not None:
        yield f"how samples become spikes: {network.encoding}"
    if "Delay" in kinds:
        yield "Delay nodes: norse and snnTorch have none and refuse the file"
    if "IF" in kinds:
        yield "IF as it is: snnTorch 1.0.0 takes it for a leaky neuron (beta 0.9), norse for r = 1"
    if "LI" in kinds:
        yield "LI before IF, a current that lasts without a leak: snnTorch has no LI"
    biased = [p for p in network.populations if p.decay_v > 0 and np.any(p.bias)]
    if biased:
        yield "v_leak, which is the bias: snnTorch refuses it; norse starts v at v_leak, not at 0"
    if any(p.decay_u < 1 for p in biased):
        yield "v_leak of a CubaLIF as it is: norse 1.1.0 lets it leak into the current, too"
    if any(edge.source == edge.target for edge in network.projections):
        yield "that a loop takes one timestep: NIR has none; snnTorch 1.0.0 spikes otherwise there"
