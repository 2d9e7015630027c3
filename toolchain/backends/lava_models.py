"""Lava's own models, unchanged in what they compute.

One sends spikes from a file, one also writes its states to files; the others also forget, at a
sample's start, the spikes that the sample before still had on their way. Imported only inside the
worker process, after `lava_shim.import_lava`. Base methods are called by class, never by `super()`
or through an instance's static method: Lava's builder, and its conversion of a model to the
asynchronous protocol, copy methods out of their classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.proc.io.source import PySendModelFixed
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.sparse.models import PyDelaySparseModelBitAcc, PySparseModelBitAcc


class StreamedSource(PySendModelFixed):
    """PySendModelFixed whose rows lie in a file: a run of any length takes no more memory.

    proc_params["rows"]: path of a bool `.npy` (samples, timesteps, neurons). Silent after its end.
    """

    def __init__(self, proc_params: Any) -> None:
        PySendModelFixed.__init__(self, proc_params)
        stimulus = np.load(proc_params["rows"], mmap_mode="r", allow_pickle=False)
        self.rows = stimulus.reshape(-1, stimulus.shape[2])

    def run_spk(self) -> None:
        """One timestep."""
        now = self.time_step - 1
        row = self.rows[now] if now < len(self.rows) else np.zeros(self.rows.shape[1])
        self.s_out.send(row.astype(np.int32))


class TracedLif(PyLifResetModelBitAcc):
    """PyLifResetModelBitAcc that records spikes, and u and v where asked, timestep by timestep.

    proc_params["trace"]: (state, path of an `.npy` that exists already, its columns) of each; row 0
    is that of timestep proc_params["first_step"]. proc_params["counter"]: path of an `.npy` that
    takes the number of timesteps done, where it is given.
    """

    def __init__(self, proc_params: Any) -> None:
        PyLifResetModelBitAcc.__init__(self, proc_params)
        self.first_step = proc_params["first_step"]
        self.traces = [
            (state, np.load(path, mmap_mode="r+", allow_pickle=False), columns)
            for state, path, columns in proc_params["trace"]
        ]
        path = proc_params.get("counter")
        self.counter = None if path is None else np.load(path, mmap_mode="r+", allow_pickle=False)

    def reset_voltage(self, spike_vector: Any) -> None:
        """The last thing that a timestep does to the states, so they are recorded after it."""
        PyLifResetModelBitAcc.reset_voltage(self, spike_vector)
        states = {"s": spike_vector, "u": self.u, "v": self.v}
        row = self.time_step - self.first_step
        for state, trace, columns in self.traces:
            if 0 <= row < len(trace):
                trace[row, columns] = states[state]
        if self.counter is not None:
            self.counter[0] = self.time_step


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
    """PyDelaySparseModelBitAcc between samples that do not know of each other.

    Lava sorts the weights by their delays anew at every timestep; here it does so once.
    """

    def __init__(self, proc_params: Any) -> None:
        PyDelaySparseModelBitAcc.__init__(self, proc_params)
        self.by_delay: Any = None

    def calc_act(self, s_in: Any) -> Any:
        """(neurons, delays) what spikes cause at each of the coming timesteps."""
        slots = self.a_buff.shape[-1]
        if self.by_delay is None:  # Lava has cut the weights to their bits by now
            self.by_delay = PyDelaySparseModelBitAcc.get_delay_wgts_mat(
                self.weights, self.delays, slots - 1
            ).tocsr()
        return np.reshape(self.by_delay.dot(s_in), (slots, self.weights.shape[0])).T

    def run_spk(self) -> None:
        """One timestep."""
        PyDelaySparseModelBitAcc.run_spk(self)
        if _foreign(self):
            self.a_buff[:, 0] = 0
