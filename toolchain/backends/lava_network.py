"""An artifact as Lava processes: one per population, or one per block where cores are asked for.

All samples run one after the other in one Lava run. A layer whose clock starts at s has its sample
k in timesteps k T + 1 + s, ... (Lava counts from 1), where LIFReset zeroes its u and v.
Imported only inside the worker process, after `lava_shim.import_lava`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIFReset
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from toolchain.artifact import Artifact, PlacedBlock, reassemble
from toolchain.backends.lava_models import ForgettingDelaySparse, ForgettingSparse, TracedLif
from toolchain.network import QuantizedProjection, lag, starts

BoolArray = NDArray[np.bool_]
_DTYPES = {"s": np.uint8, "u": np.int32, "v": np.int32}
_MODELS = {
    LIFReset: TracedLif,
    Sparse: ForgettingSparse,
    DelaySparse: ForgettingDelaySparse,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """Neurons that are one Lava process, and where their states are recorded."""

    block: PlacedBlock
    process: Any
    files: dict[str, Path]


class LavaNetwork:
    """One Lava network for some samples; it can be run once."""

    def __init__(
        self, artifact: Artifact, rows: BoolArray, *, by: str, states: Sequence[str]
    ) -> None:
        self.artifact = artifact
        self.rows = rows
        self.states = states
        self.blocks = _blocks(artifact, by)
        self.clock = starts(artifact.network)
        self.samples, self.timesteps, _ = rows.shape
        self.steps = self.samples * self.timesteps + max(self.clock.values())
        self.source: Any = None

    def actors(self) -> list[Any]:
        """The operating-system processes that Lava started, as far as it has."""
        runtime = getattr(self.source, "runtime", None)
        infrastructure = getattr(runtime, "_messaging_infrastructure", None)
        return list(getattr(infrastructure, "actors", []))

    def run(self, folder: Path) -> dict[str, dict[str, Any]]:
        """State -> population -> array (samples, timesteps, neurons)."""
        with tempfile.TemporaryDirectory(dir=folder) as traces:
            units = [self._unit(number, Path(traces)) for number in range(len(self.blocks))]
            self.source = self._source()
            for edge in reassemble(self.artifact.image):
                self._connect(edge, units)
            config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=_MODELS)
            self.source.run(condition=RunSteps(num_steps=self.steps), run_cfg=config)
            self.source.stop()
            return {state: self._collect(state, units) for state in self.states}

    def _source(self) -> Any:
        flat = self.rows.reshape(-1, self.rows.shape[2])
        after = np.zeros((max(self.clock.values()), self.rows.shape[2]), bool)
        return RingBuffer(data=np.concatenate([flat, after]).T.astype(np.int32))

    def _unit(self, number: int, folder: Path) -> _Unit:
        block = self.blocks[number]
        population = self.artifact.network.population(block.population)
        process = LIFReset(
            shape=(block.size,),
            # int and int64: Lava stores what it is given, and a narrower integer would overflow
            du=int(population.decay_u),
            dv=int(population.decay_v),
            vth=population.threshold[block.neurons],
            bias_mant=population.bias_mantissa[block.neurons].astype(np.int32),
            bias_exp=int(population.bias_exponent),
            reset_interval=self.timesteps,
            reset_offset=self._first_step(block.population) % self.timesteps,
        )
        files = {state: folder / f"{number}.{state}" for state in self.states}
        shape = (self.steps, block.size)
        for state, file in files.items():
            np.memmap(file, _DTYPES[state], "w+", shape=shape).flush()
        process.proc_params["trace"] = [
            (state, str(file), _DTYPES[state], shape) for state, file in files.items()
        ]
        return _Unit(block=block, process=process, files=files)

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
        if source == self.artifact.network.input.name:
            yield np.arange(self.rows.shape[2]), self.source.s_out
        for unit in units:
            if unit.block.population == source:
                yield unit.block.neurons, unit.process.s_out

    def _connection(self, edge: QuantizedProjection, weights: csr_matrix) -> Any:
        options = {
            "weights": weights,
            "weight_exp": int(edge.weight_exponent),
            "num_weight_bits": int(edge.weight_bits),
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
        connection.proc_params["sample_clock"] = (first_step, self.timesteps, late)
        return connection

    def _collect(self, state: str, units: Sequence[_Unit]) -> dict[str, Any]:
        network = self.artifact.network
        shape = (self.samples, self.timesteps)
        dtype = {"s": np.bool_, "u": np.int64, "v": np.int64}[state]
        whole: dict[str, Any] = {
            p.name: np.zeros((*shape, p.size), dtype) for p in network.populations
        }
        for unit in units:
            size = unit.block.size
            trace = np.memmap(unit.files[state], _DTYPES[state], "r", shape=(self.steps, size))
            start = self.clock[unit.block.population]
            rows = trace[start : start + self.samples * self.timesteps].reshape(*shape, size)
            whole[unit.block.population][:, :, unit.block.neurons] = rows
        return whole


def _blocks(artifact: Artifact, by: str) -> list[PlacedBlock]:
    if by == "layers":
        return [
            PlacedBlock(population=p.name, neurons=np.arange(p.size), first_compartment=0)
            for p in artifact.network.populations
        ]
    return [block for core in artifact.cores for block in core.blocks]
