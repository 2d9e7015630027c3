"""A trained network against a chip of which only counts are known: what would fit, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import Violation
from toolchain.network import Network
from toolchain.outline import Outline, OutlineCore

IntArray = NDArray[np.int64]

_MENDS = {
    "in_axons": "connect each of them to fewer sources",
    "fan_in": "connect each of them to fewer sources",
    "fan_out": "prune the synapses that leave them",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How a network compares with an outline."""

    rows: tuple[
        tuple[str, int, int, int], ...
    ]  # (resource, needed, held by a core, cores at least)
    violations: tuple[Violation, ...]

    @property
    def cores(self) -> int:
        """Cores that any mapping would need at least."""
        return max((cores for *_, cores in self.rows), default=1)


def count_fit(network: Network, outline: Outline) -> Counted:
    """Compare totals with what cores hold, and every neuron's synapses with what one may have.

    The cores are a lower bound: each resource by itself, as if it could be divided at will.
    """
    neurons = sum(population.size for population in network.populations)
    needs = {"compartments": neurons, "synapses": network.synapses}
    rows = [
        (name, needed, held, -(-needed // held))
        for name, needed in needs.items()
        if (held := getattr(outline.core, name)) is not None
    ]
    found = _neurons_beyond(network, outline)
    needed = max(cores for *_, cores in rows)
    if needed > outline.cores:
        found.append(
            Violation(
                where="the network, by any packing",
                resource="cores",
                needed=needed,
                held=outline.cores,
                mend="lower the density, or use smaller populations",
            )
        )
    return Counted(rows=tuple(rows), violations=tuple(found))


def _neurons_beyond(network: Network, outline: Outline) -> list[Violation]:
    """Of each population and limit, the neuron that exceeds it most."""
    found = []
    for population in network.populations:
        for key, counts in _counts(network, population.name, outline.core).items():
            held = getattr(outline.core, key)
            over = int(np.count_nonzero(counts > held)) if held is not None else 0
            if over:
                found.append(_violation(population.name, key, counts, held, over))
    return found


def _violation(name: str, key: str, counts: IntArray, held: int, over: int) -> Violation:
    worst = int(np.argmax(counts))
    more = f" (and {over - 1} more neurons)" if over > 1 else ""
    return Violation(
        where=f"'{name}'[{worst}]{more}",
        resource=key.replace("_", "-"),
        needed=int(counts[worst]),
        held=held,
        mend=_MENDS[key],
        layers=(name,),
    )


def _counts(network: Network, name: str, core: OutlineCore) -> dict[str, IntArray]:
    """Key of a limit -> (size,) what each neuron of a population needs of it."""
    into = [edge for edge in network.projections if edge.target == name]
    out = [edge for edge in network.projections if edge.source == name]
    fan_in = _sum([np.diff(edge.weights.indptr) for edge in into])
    sources = [np.bincount(e.weights.indices, minlength=e.weights.shape[1]) for e in out]
    limit = "in_axons" if core.fan_in is None else "fan_in"  # what a neuron's sources count against
    return {limit: fan_in, "fan_out": _sum(sources)}


def _sum(parts: Sequence[IntArray]) -> IntArray:
    return np.sum(parts, axis=0).astype(np.int64) if parts else np.zeros(1, np.int64)
