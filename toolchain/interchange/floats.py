"""A network in real numbers, run: what an imported file says before anything is rounded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.network import Network, lag, starts

BoolArray = NDArray[np.bool_]


def spikes_of(network: Network, stimulus: BoolArray) -> dict[str, BoolArray]:
    """(samples, timesteps, neurons) bool of every population, on local clocks, in float64.

    `stimulus`: (samples, timesteps, input neurons). The equations are `network.Population`'s.
    """
    samples, timesteps, _ = stimulus.shape
    clock = starts(network)
    orderly = sorted(network.populations, key=lambda one: clock[one.name])
    incoming = {
        one.name: [
            (e, lag(network, e), e.weights.T.tocsr())
            for e in network.projections
            if e.target == one.name
        ]
        for one in orderly
    }
    spikes = {network.input.name: stimulus}
    spikes |= {p.name: np.zeros((samples, timesteps, p.size), bool) for p in orderly}
    u = {p.name: np.zeros((samples, p.size)) for p in orderly}
    v = {p.name: np.zeros((samples, p.size)) for p in orderly}
    for t in range(timesteps):
        for one in orderly:
            a = np.zeros((samples, one.size))
            for edge, late, weights in incoming[one.name]:
                if t >= late and weights.nnz:
                    a += spikes[edge.source][:, t - late].astype(np.float64) @ weights
            u[one.name] = (1 - one.decay_u) * u[one.name] + a
            v[one.name] = (1 - one.decay_v) * v[one.name] + u[one.name] + one.bias
            fired = v[one.name] > one.threshold
            v[one.name][fired] = 0
            spikes[one.name][:, t] = fired
    del spikes[network.input.name]
    return spikes
