"""An artifact as Lava processes: one per population, or one per block where cores are asked for.

All samples run one after the other in one Lava run. A layer whose clock starts at s has its sample
k in timesteps k T + 1 + s, ... (Lava counts from 1), where LIFReset zeroes its u and v. Spikes come
from a file and states go to files, row by row, so that memory does not grow with the samples.
Imported only inside the worker process, after `lava_shim.import_lava`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.model.py.model import PyLoihiModelToPyAsyncModel
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIFReset
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix

from toolchain.artifact import Artifact, PlacedBlock, reassemble
from toolchain.backends.lava_files import Request, counter_file, stimulus_file
from toolchain.backends.lava_models import (
    ForgettingDelaySparse,
    ForgettingSparse,
    StreamedSource,
    TracedLif,
)
from toolchain.network import QuantizedProjection, lag, starts

_MODELS = {
    RingBuffer: StreamedSource,
    LIFReset: TracedLif,
    Sparse: ForgettingSparse,
    DelaySparse: ForgettingDelaySparse,
}
# What becomes of a model. Lava's asynchronous models count their timesteps wrongly in a second run
# (its loop ends at num_steps + 1), so a network is run once.
_PROTOCOLS: dict[str, Callable[[Any], Any]] = {
    "synchronous": lambda model: model,
    "asynchronous": PyLoihiModelToPyAsyncModel,
}
# Bits of a spike's payload. Spikes are 0 or 1, so any number but 0 gives the same sums, and Lava
# then multiplies with the compressed rows instead of copying the columns that spiked.
_MESSAGE_BITS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """Neurons that are one Lava process."""

    block: PlacedBlock
    process: Any


class LavaNetwork:
    """One Lava network; it can be run once."""

    def __init__(self, artifact: Artifact, folder: Path, request: Request) -> None:
        self.artifact = artifact
        self.folder = folder
        self.request = request
        self.clock = starts(artifact.network)
        self.steps = request.samples * request.timesteps + max(self.clock.values())
        self.source: Any = None

    def actors(self) -> list[Any]:
        """The operating-system processes that Lava started, as far as it has."""
        return list(getattr(self._infrastructure(), "actors", []))

    def pids(self) -> list[int]:
        """Of the actors and of the process that keeps their shared memory, while they run."""
        keeper = getattr(getattr(self._infrastructure(), "smm", None), "_process", None)
        return [pid for pid in map(_pid, [*self.actors(), keeper]) if pid is not None]

    def _infrastructure(self) -> Any:
        runtime = getattr(self.source, "runtime", None)
        return getattr(runtime, "_messaging_infrastructure", None)

    def run(self) -> None:
        """Run every sample; what is recorded goes to the files that `lava_files` has made."""
        units = [self._unit(block) for block in _blocks(self.artifact, self.request.by)]
        self._count(units)
        self.source = self._source()
        for edge in reassemble(self.artifact.image):
            self._connect(edge, units)
        convert = _PROTOCOLS[self.request.protocol]
        models = {process: convert(model) for process, model in _MODELS.items()}
        config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=models)
        self.source.run(condition=RunSteps(num_steps=self.steps), run_cfg=config)
        self.source.stop()

    def _source(self) -> Any:
        source = RingBuffer(data=np.zeros((self.artifact.network.input.size, 1), np.int32))
        source.proc_params["rows"] = str(stimulus_file(self.folder))
        return source

    def _unit(self, block: PlacedBlock) -> _Unit:
        population = self.artifact.network.population(block.population)
        here = block.neurons
        process = LIFReset(
            shape=(block.size,),
            # int and int64: Lava stores what it is given, and a narrower integer would overflow
            du=int(population.decay_u),
            dv=int(population.decay_v),
            vth=population.threshold[here].astype(np.int64),
            bias_mant=population.bias_mantissa[here].astype(np.int32),
            bias_exp=int(population.bias_exponent),
            reset_interval=self.request.timesteps,
            reset_offset=self._first_step(block.population) % self.request.timesteps,
        )
        process.proc_params["first_step"] = self._first_step(block.population)
        process.proc_params["trace"] = [
            (state, str(self.request.file(self.folder, state, block.population)), here)
            for state in self.request.recorded(block.population)
        ]
        return _Unit(block=block, process=process)

    def _count(self, units: Sequence[_Unit]) -> None:
        """Let a unit whose clock starts last count the timesteps: none is far behind it."""
        last = max(units, key=lambda unit: self.clock[unit.block.population])
        last.process.proc_params["counter"] = str(counter_file(self.folder))

    def _first_step(self, population: str) -> int:
        return 1 + self.clock[population]

    def _connect(self, edge: QuantizedProjection, units: Sequence[_Unit]) -> None:
        """Lava runs only what is connected: a target that no synapse reaches gets an empty one."""
        for target in (unit for unit in units if unit.block.population == edge.target):
            rows = edge.weights[target.block.neurons]
            parts = [
                (port, csr_matrix(rows[:, neurons], dtype=np.int32))
                for neurons, port in self._ports(edge.source, units)
            ]
            for port, weights in [part for part in parts if part[1].nnz] or parts[:1]:
                connection = self._connection(edge, weights)
                port.connect(connection.s_in)
                connection.a_out.connect(target.process.a_in)

    def _ports(self, source: str, units: Sequence[_Unit]) -> Iterator[tuple[Any, Any]]:
        """(neurons, out-port) of everything that sends a source's spikes."""
        origin = self.artifact.network.input
        if source == origin.name:
            yield np.arange(origin.size), self.source.s_out
        for unit in units:
            if unit.block.population == source:
                yield unit.block.neurons, unit.process.s_out

    def _connection(self, edge: QuantizedProjection, weights: csr_matrix) -> Any:
        options = {
            "weights": weights,
            "weight_exp": int(edge.weight_exponent),
            "num_weight_bits": int(edge.weight_bits),
            "num_message_bits": _MESSAGE_BITS,
            "sign_mode": SignMode.MIXED,
        }
        if edge.delay == 1:
            connection = Sparse(**options)
        else:
            delays = weights.astype(np.int64)  # Lava insists on the platform's own integer
            delays.data[:] = edge.delay - 1
            connection = DelaySparse(delays=delays, **options)
        late = lag(self.artifact.network, edge)
        first_step = self._first_step(edge.target)
        connection.proc_params["sample_clock"] = (first_step, self.request.timesteps, late)
        return connection


def _blocks(artifact: Artifact, by: str) -> list[PlacedBlock]:
    if by == "layers":
        return [
            PlacedBlock(population=p.name, neurons=np.arange(p.size), first_compartment=0)
            for p in artifact.network.populations
        ]
    return [block for core in artifact.cores for block in core.blocks]


def _pid(process: Any) -> int | None:
    try:
        return getattr(process, "pid", None)
    except ValueError:  # Lava has waited for it and closed it
        return None
