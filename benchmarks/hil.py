"""What a host costs: samples per second through ssh on loopback, beside a run in this process.

    python benchmarks/hil.py

Starts an ssh server of its own on 127.0.0.1 (that of the tests) and records a stimulus on one
worker behind it, in chunks of several sizes; the worker runs the simulator. "steady" leaves out the
first chunk, in which the worker starts, receives the artifact and loads compiled code. Writes
benchmarks/results/hil.json.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from toolchain.artifact import Artifact, write_artifact
from toolchain.backends import ignore, simulator
from toolchain.backends.remote import record
from toolchain.backends.remote_hosts import Hosts, read_hosts
from toolchain.hardware import find_profile
from toolchain.mapper.pipeline import map_network
from toolchain.network import Input, Network, Population, Projection
from toolchain.raster import Raster

HERE = Path(__file__).parent
ROOT = HERE.parent
SIZES, DENSITY, TIMESTEPS, RATE = (784, 256, 10), 0.1, 32, 0.1
SAMPLES = 1000
CHUNKS = (8, 32, 128)


def network() -> Network:
    """Layers of MNIST's size with random weights: what is sent does not depend on learning."""
    rng = np.random.default_rng(0)
    names = ["input", "hidden", "output"]
    return Network(
        input=Input(name="input", size=SIZES[0]),
        populations=tuple(
            Population(
                name=name, size=size, decay_u=0.5, decay_v=0.2, threshold=1.5, bias=np.zeros(size)
            )
            for name, size in zip(names[1:], SIZES[1:], strict=True)
        ),
        projections=tuple(
            Projection(source=before, target=after, weights=_weights(rng, rows, columns))
            for before, after, columns, rows in zip(
                names[:-1], names[1:], SIZES[:-1], SIZES[1:], strict=True
            )
        ),
        output="output",
    )


def _weights(rng: np.random.Generator, rows: int, columns: int) -> csr_array:
    full = rng.normal(0.05, 0.3, (rows, columns))
    return csr_array(full * (rng.random((rows, columns)) < DENSITY))


def hosts(folder: Path, chunk_samples: int) -> Hosts:
    """One worker behind the server of a folder."""
    lines = [
        f"chunk_samples = {chunk_samples}",
        "[host.loopback]",
        'ssh = "board"',
        'backend = "simulator"',
        *(
            f"{key} = {json.dumps(str(value))}"
            for key, value in {
                "ssh_config": folder / "config",
                "python": sys.executable,
                "cache": folder / "cache",
            }.items()
        ),
    ]
    (folder / "hosts.toml").write_text("\n".join(lines))
    return read_hosts(folder / "hosts.toml")


def through_ssh(artifact: Artifact, stimulus: Raster, folder: Path, chunk: int) -> dict[str, Any]:
    """Record all samples, and note when each chunk came."""
    came: list[tuple[float, int]] = []

    def watch(what: str, done: int, of: int) -> None:
        came.append((time.perf_counter(), done))

    summary = record(hosts(folder, chunk), artifact, stimulus, folder / f"rec-{chunk}", watch=watch)
    (first, after_first), (last, done) = came[1], came[-1]
    return {
        "chunk_samples": chunk,
        "samples_per_second": summary.samples / summary.seconds,
        "steady_samples_per_second": (done - after_first) / (last - first),
    }


def here(artifact: Artifact, stimulus: Raster) -> float:
    """Samples per second of the simulator in this process; the best of three, once warm."""
    simulator.run(artifact, stimulus.first(32))
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        simulator.run(artifact, stimulus)
        seconds.append(time.perf_counter() - began)
    return stimulus.samples / min(seconds)


def main() -> None:
    """Measure, and write the results."""
    mapped = map_network(network(), find_profile("loihi1"), packer="akin", watch=ignore)
    artifact = mapped.artifact
    rng = np.random.default_rng(1)
    spikes = rng.random((SAMPLES, TIMESTEPS, SIZES[0])) < RATE
    stimulus = Raster(spikes={"input": spikes}, labels=rng.integers(0, 10, SAMPLES))
    local = here(artifact, stimulus)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_artifact(artifact, folder / "art")
        size = sum(file.stat().st_size for file in (folder / "art").iterdir())
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "backends" / "ssh_server.py"), name],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        try:
            while not (folder / "config").exists():
                assert server.poll() is None, "the server ended"
                time.sleep(0.1)
            rows = [through_ssh(artifact, stimulus, folder, chunk) for chunk in CHUNKS]
        finally:
            server.kill()
            server.wait()
    results = {
        "network": "-".join(map(str, SIZES)),
        "density": DENSITY,
        "timesteps": TIMESTEPS,
        "samples": SAMPLES,
        "artifact_bytes": size,
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "here_samples_per_second": local,
        "through_ssh": rows,
    }
    (HERE / "results" / "hil.json").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    print(json.dumps(results, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
