"""Lava's own models, unchanged in what they compute.

One also writes its states to files; the others also forget, at a sample's start, the spikes that
the sample before still had on their way. Imported only inside the worker process, after
`lava_shim.import_lava`. Base methods are called by class: Lava's builder breaks `super()`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.sparse.models import PyDelaySparseModelBitAcc, PySparseModelBitAcc


class TracedLif(PyLifResetModelBitAcc):
    """PyLifResetModelBitAcc that records spikes, and u and v where asked, timestep by timestep.

    proc_params["trace"]: (name of a state, path, dtype, shape) of files that exist already.
    """

    def __init__(self, proc_params: Any) -> None:
        PyLifResetModelBitAcc.__init__(self, proc_params)
        self.files = {
            name: np.memmap(path, dtype, "r+", shape=shape)
            for name, path, dtype, shape in proc_params["trace"]
        }

    def reset_voltage(self, spike_vector: Any) -> None:
        """The last thing that a timestep does to the states, so they are recorded after it."""
        PyLifResetModelBitAcc.reset_voltage(self, spike_vector)
        states = {"s": spike_vector, "u": self.u, "v": self.v}
        for name, file in self.files.items():
            file[self.time_step - 1] = states[name]


def _foreign(model: Any) -> bool:
    """Whether what is sent at the next timestep was caused by the sample before."""
    first_step, timesteps, lag = model.proc_params["sample_clock"]
    return bool((model.time_step + 1 - first_step) % timesteps < lag)


class ForgettingSparse(PySparseModelBitAcc):
    """PySparseModelBitAcc between samples that do not know of each other."""

    def run_spk(self) -> None:
        """One timestep."""
        PySparseModelBitAcc.run_spk(self)
        if _foreign(self):
            self.a_buff = self.a_buff * 0


class ForgettingDelaySparse(PyDelaySparseModelBitAcc):
    """PyDelaySparseModelBitAcc between samples that do not know of each other."""

    def run_spk(self) -> None:
        """One timestep."""
        PyDelaySparseModelBitAcc.run_spk(self)
        if _foreign(self):
            self.a_buff[:, 0] = 0
