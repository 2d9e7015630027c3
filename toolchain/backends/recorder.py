"""Collects what a backend computes into a Recording."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.backends.memory import check_memory, traced
from toolchain.network import QuantizedNetwork
from toolchain.raster import Raster, Recording

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Recorder:
    """Empty rasters of all populations, and of u and v where `states` asks for them.

    Raises InputError where they would need more memory than there is.
    """

    def __init__(
        self,
        network: QuantizedNetwork,
        samples: int,
        timesteps: int,
        *,
        states: bool | Collection[str],
    ) -> None:
        names = traced(network, states)
        check_memory(network, samples, timesteps, names, per_state=8)
        shapes = {p.name: (samples, timesteps, p.size) for p in network.populations}
        self.spikes = {name: np.zeros(shape, bool) for name, shape in shapes.items()}
        traces = {name: shapes[name] for name in names}
        self.u = {name: np.zeros(shape, np.int64) for name, shape in traces.items()}
        self.v = {name: np.zeros(shape, np.int64) for name, shape in traces.items()}

    def put(self, population: str, where: Any, u: IntArray, v: IntArray, s: BoolArray) -> None:
        """Record states and spikes at an index (sample, timestep, neuron) of slices or integers."""
        self.spikes[population][where] = s
        if population in self.u:
            self.u[population][where] = u
            self.v[population][where] = v

    def recording(self, labels: IntArray | None) -> Recording:
        """What was recorded."""
        raster = Raster(spikes=self.spikes, labels=labels)
        return Recording(raster=raster, u=self.u or None, v=self.v or None)
