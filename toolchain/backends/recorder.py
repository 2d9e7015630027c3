"""Collects what a backend computes into a Recording."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.network import QuantizedNetwork
from toolchain.raster import Raster, Recording

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Recorder:
    """Empty rasters of all populations, and of u and v where `states` asks for them."""

    def __init__(
        self, network: QuantizedNetwork, samples: int, timesteps: int, *, states: bool
    ) -> None:
        shapes = {p.name: (samples, timesteps, p.size) for p in network.populations}
        self.spikes = {name: np.zeros(shape, bool) for name, shape in shapes.items()}
        traces = shapes if states else {}
        self.u = {name: np.zeros(shape, np.int64) for name, shape in traces.items()}
        self.v = {name: np.zeros(shape, np.int64) for name, shape in traces.items()}

    def put(self, population: str, where: Any, u: IntArray, v: IntArray, s: BoolArray) -> None:
        """Record states and spikes at an index (sample, timestep, neuron) of slices or integers."""
        self.spikes[population][where] = s
        if self.u:
            self.u[population][where] = u
            self.v[population][where] = v

    def recording(self, labels: IntArray | None) -> Recording:
        """What was recorded."""
        raster = Raster(spikes=self.spikes, labels=labels)
        return Recording(raster=raster, u=self.u or None, v=self.v or None)
