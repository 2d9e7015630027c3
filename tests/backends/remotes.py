"""What tests of remote hosts share: a small artifact, stimuli, and environments of workers."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.strategies import neurons, place, rows, synapses
from toolchain.artifact import Artifact
from toolchain.backends.remote_hosts import Host, Hosts, HostTable, resolve
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork
from toolchain.raster import Raster

ROOT = Path(__file__).parents[2]
ADAPTERS = Path(__file__).parent / "adapters"
WORKERS = Path(__file__).parent / "workers"


@cache
def deployed() -> Artifact:
    """Two populations of one neuron each, a and b, that pass on what they get."""
    network = QuantizedNetwork(
        input=Input(name="input", size=3),
        populations=(neurons("a", 1), neurons("b", 1)),
        projections=(
            synapses("input", "a", rows([[50, 60, 70]])),
            synapses("a", "b", rows([[120]])),
        ),
        output="b",
    )
    return place(network, find_profile("tiny"))


def shown(samples: int, timesteps: int = 20) -> Raster:
    """Random samples, no two of them alike."""
    rng = np.random.default_rng(samples)
    spikes = rng.random((samples, timesteps, 3)) < 0.4
    return Raster(spikes={"input": spikes}, labels=np.zeros(samples, np.int64))


def environment(folder: Path | None = None) -> dict[str, str]:
    """An environment in which workers find this tree, and a board its log."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    more = {} if folder is None else {"SNN_DEPLOY_TEST_BOARD": str(folder)}
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | more


def local(folder: Path, *, names: tuple[str, ...] = ("here",), **given: Any) -> Hosts:
    """Workers of this machine, each with a cache in `folder`."""
    limits = {"chunk_samples": 2, "timeout_s": 60.0, "connect_s": 60.0, "tries": 1}
    limits |= {key: given.pop(key) for key in list(given) if key in limits}
    table = HostTable(local=True, cache=str(folder / "cache"), **given)
    made = tuple(Host(name=name, words=resolve(table, 60.0)) for name in names)
    return Hosts(hosts=made, **limits)


def odd_host(how: str) -> tuple[str, ...]:
    """The command of a worker that misbehaves."""
    return (sys.executable, str(WORKERS / "odd_host.py"), how)


def evidence(recording: Path) -> dict[str, bytes]:
    """The bytes of a recording that do not depend on who ran it."""
    files = [recording / "recording.json", recording / "request.json", recording / "stimulus.npz"]
    files += sorted((recording / "chunks").glob("*.npz")) + sorted(
        (recording / "artifact").iterdir()
    )
    return {str(file.relative_to(recording)): file.read_bytes() for file in files}
