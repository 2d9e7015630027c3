"""The packed cores against the network that they hold: which synapses are lost, extra, altered.

This needs no spike: where an artifact's cores differ from its network, that is the cause.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.artifact import Image, reassemble
from toolchain.network import QuantizedProjection
from toolchain.verify.forced import IntArray

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Difference:
    """What the cores hold otherwise than a network's projection."""

    number: int  # of the projection in its network
    held: QuantizedProjection  # as the cores hold it
    source: IntArray  # (synapses,) neuron
    target: IntArray
    old: IntArray  # weight in the network; 0: no synapse
    new: IntArray  # in the cores

    @property
    def cause(self) -> str:
        """Which kind of fault it is; where the same weights lie elsewhere, a permutation."""
        lost, extra = self.new == 0, self.old == 0
        if lost.all():
            return "lost synapse"
        if extra.all():
            return "extra synapse"
        before, after = np.sort(self.old[~extra]), np.sort(self.new[~lost])
        alike = len(before) == len(after) and bool((before == after).all())
        return "permuted kernel" if alike and len(before) > 1 else "altered weight"

    def says(self) -> str:
        """The first of them, and how many there are."""
        count = len(self.source)
        synapses = f"{count:,} synapse{'s' if count > 1 else ''}"
        doing = {
            "lost synapse": f"lack {synapses}",
            "extra synapse": f"hold {synapses} too many",
        }.get(self.cause, f"hold {synapses} otherwise")
        named = ", ".join(
            f"{s} -> {t} ({o} in the network, {n} in the cores)"
            for s, t, o, n in list(zip(self.source, self.target, self.old, self.new, strict=True))[
                :_MOST_NAMED
            ]
        )
        more = f" and {count - _MOST_NAMED:,} more" if count > _MOST_NAMED else ""
        return (
            f"the packed cores {doing} from '{self.held.source}' to '{self.held.target}':"
            f" {named}{more}"
        )


def differences(image: Image) -> list[Difference]:
    """Where the cores, put together again, are not the network's projections."""
    found = []
    pairs = zip(reassemble(image), image.network.projections, strict=True)
    for number, (held, own) in enumerate(pairs):
        apart = (held.weights - own.weights).tocoo()
        changed = apart.data != 0
        if changed.any():
            target, source = (axis[changed] for axis in apart.coords)
            old = np.asarray(own.weights[target, source]).ravel()
            found.append(
                Difference(
                    number=number,
                    held=held,
                    source=source,
                    target=target,
                    old=old,
                    new=old + apart.data[changed],
                )
            )
    return found


def on_border(difference: Difference, home: dict[str, IntArray]) -> int | None:
    """The core that whole axons do not reach: all synapses there of each source, from elsewhere."""
    cores = np.unique(home[difference.held.target][difference.target])
    if difference.cause != "lost synapse" or len(cores) > 1:
        return None
    starts = home[difference.held.source][difference.source]
    here = np.flatnonzero(home[difference.held.target] == cores[0])
    left = difference.held.weights[here].tocsc()[:, np.unique(difference.source)].nnz
    several = len(difference.source) > len(np.unique(difference.source))
    return int(cores[0]) if left == 0 and several and bool((starts != cores[0]).all()) else None
