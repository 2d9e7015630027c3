"""Which outputs no synapse connects with the input, over however many layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.network import Network, QuantizedNetwork

IntArray = NDArray[np.int64]


def deaf_outputs(network: Network | QuantizedNetwork) -> IntArray:
    """Neurons of the output that no input spike can ever move; they spike by their bias or never.

    Legal, and rarely meant: a class that is never chosen, or a layer that was pruned away.
    """
    hears = {population.name: np.zeros(population.size, bool) for population in network.populations}
    hears[network.input.name] = np.ones(network.input.size, bool)
    linked = [(edge, edge.weights != 0) for edge in network.projections]
    changed = True
    while changed:
        changed = False
        for edge, there in linked:
            new = (there @ hears[edge.source]) & ~hears[edge.target]
            hears[edge.target] |= new
            changed |= bool(new.any())
    return np.flatnonzero(~hears[network.output])
