"""One timestep of a network as ONNX nodes: what is common to integers and to real numbers.

State comes in and goes out by name: u/NAME, v/NAME -> next_u/NAME, next_v/NAME, and past/NAME
-> next_past/NAME, the spikes of the last timesteps of a source that somebody hears late. All of it
is zero at a sample's start, so nothing arrives where t < lag (docs/semantics.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolchain.interchange.onnx_model import BOOL, SAMPLES, Scribe
from toolchain.network import (
    Network,
    Projection,
    QuantizedNetwork,
    QuantizedProjection,
    lag,
    starts,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One array that lasts from a timestep to the next."""

    name: str  # as it comes in; it goes out as next_NAME
    kind: int  # of its numbers, as ONNX counts kinds
    shape: tuple[int, ...]  # of one sample


Arrive = Callable[[Scribe, int, str], str]  # (scribe, projection's number, spikes) -> what arrives
Live = Callable[[Scribe, str, str], tuple[str, str, str]]  # (scribe, name, a) -> u, v, spikes


def states(network: Network | QuantizedNetwork, kind: int) -> list[State]:
    """u and v of every population, then the past of every source that is heard late."""
    found = [
        State(name=f"{letter}/{population.name}", kind=kind, shape=(population.size,))
        for population in network.populations
        for letter in ("u", "v")
    ]
    sizes = {node.name: node.size for node in (network.input, *network.populations)}
    return found + [
        State(name=f"past/{name}", kind=BOOL, shape=(late, sizes[name]))
        for name, late in longest_lags(network).items()
        if late
    ]


def longest_lags(network: Network | QuantizedNetwork) -> dict[str, int]:
    """Source -> how many timesteps of its past are still to arrive, in the network's order."""
    late = {node.name: 0 for node in (network.input, *network.populations)}
    for edge in network.projections:
        late[edge.source] = max(late[edge.source], lag(network, edge))
    return late


def write_step(
    scribe: Scribe, network: Network | QuantizedNetwork, kind: int, arrive: Arrive, live: Live
) -> None:
    """Write one timestep: inputs are all states, then the spikes; outputs likewise."""
    held = states(network, kind)
    for state in held:
        scribe.input(state.name, state.kind, SAMPLES, *state.shape)
    origin = network.input
    scribe.input(f"spikes/{origin.name}", BOOL, SAMPLES, origin.size)
    clock = starts(network)
    edges: Sequence[Projection | QuantizedProjection] = network.projections
    sums: dict[str, str] = {}
    for name in sorted((p.name for p in network.populations), key=lambda one: clock[one]):
        for number, edge in enumerate(edges):
            if edge.target == name:
                spikes = _heard(scribe, edge.source, lag(network, edge))
                part = arrive(scribe, number, spikes)
                whole = f"arriving_up_to/{number}"
                sums[name] = (
                    scribe.node("Add", sums[name], part, to=whole) if name in sums else part
                )
        live(scribe, name, sums[name])
    _write_past(scribe, network)
    for state in held:
        scribe.output(f"next_{state.name}", state.kind, SAMPLES, *state.shape)
    for population in network.populations:
        scribe.output(f"spikes/{population.name}", BOOL, SAMPLES, population.size)


def _heard(scribe: Scribe, source: str, late: int) -> str:
    """(samples, source) spikes of the source as they were so many timesteps ago."""
    if late == 0:
        return f"spikes/{source}"
    name = f"heard_{late}/{source}"
    if all(node.name != name for node in scribe.nodes):
        index = scribe.number(late - 1)
        scribe.node("Gather", f"past/{source}", index, to=name, axis=1)
    return name


def _write_past(scribe: Scribe, network: Network | QuantizedNetwork) -> None:
    """The newest spikes first; the oldest are forgotten."""
    for name, late in longest_lags(network).items():
        if late:
            newest = scribe.node("Unsqueeze", f"spikes/{name}", scribe.axes(1), to=f"newest/{name}")
            bounds = (scribe.axes(0), scribe.axes(late - 1), scribe.axes(1))
            kept = scribe.node("Slice", f"past/{name}", *bounds, to=f"kept/{name}")
            scribe.node("Concat", newest, kept, to=f"next_past/{name}", axis=1)
