"""The files through which a Lava worker is asked and answers, and whether there is room for them.

FOLDER/artifact/        what to run
FOLDER/request.json     how
FOLDER/stimulus.npy     bool (samples, timesteps, neurons)
FOLDER/steps.npy        int64 (1,) timesteps done, which the worker counts up
FOLDER/s-0.npy          bool (samples * timesteps, neurons) spikes of the first population, ...
FOLDER/u-0.npy          int32, v-0.npy as well, of those populations whose states were asked for

The worker's processes write rows into these files as they happen, so nobody holds a whole run.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import Artifact, write_artifact
from toolchain.backends.memory import available_bytes
from toolchain.errors import InputError, Violation
from toolchain.files import read_json, write_json
from toolchain.network import QuantizedNetwork
from toolchain.raster import Raster, Recording, check_stimulus

_DTYPES: dict[str, type[np.generic]] = {"s": np.bool_, "u": np.int32, "v": np.int32}
_BYTES_ON_DISK = {"s": 1, "u": 4, "v": 4}
_BYTES_IN_MEMORY = {"s": 1, "u": 8, "v": 8}  # a Recording holds its states as int64


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a worker is asked to run and to record."""

    by: str  # "layers" or "cores": what becomes one Lava process
    protocol: str  # "synchronous" or "asynchronous"
    samples: int
    timesteps: int
    populations: tuple[str, ...]  # in the network's order
    states: tuple[str, ...]  # those of them whose u and v are recorded

    def recorded(self, population: str) -> tuple[str, ...]:
        """Names of what is recorded of a population: s, and perhaps u and v."""
        return ("s", "u", "v") if population in self.states else ("s",)

    def file(self, folder: Path, state: str, population: str) -> Path:
        """Where a state of a population is recorded; names may hold what no file name can."""
        return folder / f"{state}-{self.populations.index(population)}.npy"


def stimulus_file(folder: Path) -> Path:
    """The input's spikes."""
    return folder / "stimulus.npy"


def counter_file(folder: Path) -> Path:
    """The timesteps done."""
    return folder / "steps.npy"


def read_request(folder: Path) -> Request:
    """What `write_all` wrote."""
    values = read_json(folder / "request.json")
    names: dict[str, Any] = {key: tuple(values[key]) for key in ("populations", "states")}
    return Request(**(values | names))


def write_all(folder: Path, artifact: Artifact, stimulus: Raster, request: Request) -> None:
    """Write what a worker reads, and empty files for what it records."""
    network = artifact.network
    spikes = check_stimulus(stimulus, network.input.name, network.input.size)
    write_artifact(artifact, folder / "artifact")
    np.save(stimulus_file(folder), spikes, allow_pickle=False)
    np.save(counter_file(folder), np.zeros(1, np.int64), allow_pickle=False)
    for population in network.populations:
        shape = (request.samples * request.timesteps, population.size)
        for state in request.recorded(population.name):
            file = request.file(folder, state, population.name)
            np.lib.format.open_memmap(file, "w+", _DTYPES[state], shape)
    write_json(folder / "request.json", asdict(request))


def steps_done(folder: Path) -> int:
    """Timesteps that the worker has done so far."""
    return int(np.load(counter_file(folder), allow_pickle=False)[0])


def read_recording(folder: Path, stimulus: Raster, request: Request) -> Recording:
    """What a worker recorded; u and v are None where none were asked for."""

    def arrays(state: str, dtype: type[np.generic]) -> dict[str, NDArray[Any]]:
        found = {}
        for name in request.populations if state == "s" else request.states:
            rows = np.load(request.file(folder, state, name), mmap_mode="r", allow_pickle=False)
            shape = (request.samples, request.timesteps, rows.shape[1])
            found[name] = np.array(rows, dtype).reshape(shape)
        return found

    return Recording(
        raster=Raster(spikes=arrays("s", np.bool_), labels=stimulus.labels),
        u=arrays("u", np.int64) or None,
        v=arrays("v", np.int64) or None,
    )


def check_room(folder: Path, network: QuantizedNetwork, request: Request) -> None:
    """Refuse a recording that disk or memory cannot hold, before anything starts.

    Raises InputError with what is needed, what is held, and the next move.
    """
    rows = request.samples * request.timesteps
    needs = rows * _neuron_bytes(network, request.states, _BYTES_ON_DISK)
    needs += rows * network.input.size
    memory = rows * _neuron_bytes(network, request.states, _BYTES_IN_MEMORY)
    _require(needs, shutil.disk_usage(folder).free, f"bytes of disk in {folder.parent}")
    _require(memory, available_bytes(), "bytes of memory")


def _neuron_bytes(network: QuantizedNetwork, states: Collection[str], sizes: dict[str, int]) -> int:
    """Bytes that one timestep of all populations takes."""
    traced = sum(p.size for p in network.populations if p.name in states)
    everyone = sum(p.size for p in network.populations)
    return everyone * sizes["s"] + traced * (sizes["u"] + sizes["v"])


def _require(needed: int, held: int | None, resource: str) -> None:
    if held is not None and needed > held:
        mend = "take fewer samples, or record the states of fewer populations"
        raise InputError(
            str(
                Violation(
                    where="what Lava records",
                    resource=resource,
                    needed=needed,
                    held=held,
                    mend=mend,
                )
            )
        )
