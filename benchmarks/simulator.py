"""The simulator, side by side with what else can run the network: Lava, norse, nengo-loihi.

    python benchmarks/simulator.py                                five minutes
    python benchmarks/simulator.py --nengo ENV/bin/python         with nengo-loihi's emulator

Ways take turns, so that what else the machine does falls on all of them; medians and ratios are of
one run. Results go to benchmarks/results/simulator.json; docs/simulator.md is written from that
file alone. nengo-loihi needs an environment of its own (Python 3.11: pip install numpy==1.23.5
nengo-loihi); without it, or without lava-nc or torch, the results say what was left out.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import numba
import numpy as np
import simulator_page
from numpy.typing import NDArray
from scipy.sparse import coo_array

from toolchain.artifact import Artifact, make_artifact, write_artifact
from toolchain.backends import BACKENDS, get_backend, simulator, simulator_ways
from toolchain.backends.simulator_program import compile_program
from toolchain.hardware import find_profile
from toolchain.mapper.assemble import assemble
from toolchain.mapper.pipeline import pack
from toolchain.network import Input, QuantizedNetwork, QuantizedPopulation, QuantizedProjection
from toolchain.raster import Raster, write_raster

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "simulator.json"
PAGE = ROOT / "docs" / "simulator.md"
PACKAGES = ("lava-nc", "norse", "numba", "numpy", "torch")
FLAGS = ("avx2", "avx512f", "avx512_vnni")
DECAY_U, DECAY_V = 2047, 512  # half of u and an eighth of v are lost
LAVA_SAMPLES = (10, 110)  # the seconds of a sample are the difference's share: start-up falls out
PARTS = ("side_by_side", "sweep", "ways", "scaling", "start_up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A feed-forward network and what it is shown."""

    sizes: tuple[int, ...] = (784, 1024, 1024, 10)
    density: float = 0.1
    steps: int = 32
    rate: float = 0.13  # share of the input that spikes at a timestep, as in MNIST's images
    samples: int = 64
    threshold: float = 1.0  # times what gives the layers about the rate of the input

    @property
    def name(self) -> str:
        """As it stands in the tables."""
        return f"{'-'.join(map(str, self.sizes))}, {self.density:.0%} dense, {self.steps} steps"


BASE = Case(samples=2000)
SWEEP = {
    "rate": [Case(rate=rate) for rate in (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)],
    "density": [Case(density=density) for density in (0.01, 0.03, 0.1, 0.3, 1.0)],
    "width": [Case(sizes=(784, width, width, 10)) for width in (256, 512, 1024, 2048)],
    "steps": [Case(steps=steps) for steps in (8, 16, 32, 64)],
}


def network(case: Case, seed: int = 0) -> QuantizedNetwork:
    """The case's network; weights a little more often positive than not."""
    rng = np.random.default_rng(seed)
    names = ["input", *(f"layer{n}" for n in range(1, len(case.sizes)))]
    populations, projections = [], []
    for n in range(1, len(case.sizes)):
        shape = (case.sizes[n], case.sizes[n - 1])
        target, source = np.nonzero(rng.random(shape) < case.density)
        scale = 0.1 / case.density  # the sum of a neuron's weights stays
        weights = 2 * np.rint(rng.integers(-12, 16, len(target)) * min(1.0, scale)).astype(np.int64)
        matrix = coo_array((weights, (target, source)), shape=shape).tocsr()
        threshold = np.full(case.sizes[n], int(280 * case.threshold), np.int64)
        populations.append(
            QuantizedPopulation(
                name=names[n],
                size=case.sizes[n],
                decay_u=DECAY_U,
                decay_v=DECAY_V,
                threshold=threshold,
                bias_mantissa=np.zeros(case.sizes[n], np.int64),
                bias_exponent=0,
                unit=np.ones(case.sizes[n]),
            )
        )
        projections.append(
            QuantizedProjection(
                source=names[n - 1],
                target=names[n],
                weights=matrix,
                delay=1,
                weight_exponent=0,
                weight_bits=8,
            )
        )
    return QuantizedNetwork(
        input=Input(name="input", size=case.sizes[0]),
        populations=tuple(populations),
        projections=tuple(projections),
        output=names[-1],
    )


def artifact_of(case: Case) -> Artifact:
    """The network on a chip, without the quantizer."""
    profile, quantized = find_profile("loihi1"), network(case)
    packed, bounds = pack(quantized, profile, "sequential")
    return make_artifact(profile, assemble(quantized, packed, bounds, dropped=0, trained=""))


def stimulus_of(case: Case, seed: int = 1) -> Raster:
    """Every input neuron spikes at random, at the case's rate."""
    rng = np.random.default_rng(seed)
    shape = (case.samples, case.steps, case.sizes[0])
    return Raster(spikes={"input": rng.random(shape, np.float32) < case.rate})


def operations(artifact: Artifact, counts: simulator.SpikeCounts) -> int:
    """Synaptic operations: every spike times the synapses of the neuron that it came from."""
    return sum(
        int(counts.counts[edge.source] @ np.diff(edge.weights.tocsc().indptr))
        for edge in artifact.network.projections
    )


def rates(counts: simulator.SpikeCounts) -> dict[str, float]:
    """Share of each population's neurons that spike at a timestep."""
    steps = counts.samples * counts.timesteps
    return {
        name: float(found.sum()) / (steps * len(found)) for name, found in counts.counts.items()
    }


@contextmanager
def environment(**values: object) -> Iterator[None]:
    """Variables of the environment, for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def timed(task: Callable[[], object]) -> tuple[float, float]:
    """(seconds, processor seconds) of a task, in this process and those that it ended."""
    start, busy = time.perf_counter(), _busy()
    task()
    return time.perf_counter() - start, _busy() - busy


def _busy() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def with_threads(task: Callable[[], object], threads: int) -> tuple[float, float]:
    """`timed`, on so many threads of the simulator."""
    with environment(SNN_DEPLOY_THREADS=threads):
        return timed(task)


# Side by side: each function gives seconds per sample, once.


def ours(artifact: Artifact, shown: Raster, threads: int) -> tuple[float, float]:
    """(seconds, processor seconds) per sample of a whole run, compiling the artifact among it."""
    pair = with_threads(lambda: simulator.run(artifact, shown), threads)
    return pair[0] / shown.samples, pair[1] / shown.samples


def lava_batch(name: str, artifact: Artifact, shown: Raster) -> tuple[float, float]:
    """As `ours`, of a longer batch beyond a shorter one: no start-up is among it."""
    few, many = LAVA_SAMPLES
    backend = get_backend(name)
    short = timed(lambda: backend.run(artifact, shown.first(few)))
    long = timed(lambda: backend.run(artifact, shown.first(many)))
    return (long[0] - short[0]) / (many - few), (long[1] - short[1]) / (many - few)


def norse_network(artifact: Artifact) -> Callable[[NDArray[np.bool_]], Any]:
    """The network as a user of norse writes it: a product and a cell at every step."""
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from norse.torch import LIFCell, LIFParameters

    decay_v = DECAY_V / 4096
    layers = []
    for population, edge in zip(
        artifact.network.populations, artifact.network.projections, strict=True
    ):
        linear = torch.nn.Linear(edge.weights.shape[1], edge.weights.shape[0], bias=False)
        linear.weight.data = torch.from_numpy(edge.weights.toarray()).float()
        parameters = LIFParameters(
            tau_syn_inv=torch.tensor((DECAY_U + 1) / 4.096),
            tau_mem_inv=torch.tensor(decay_v * 1000),
            v_th=torch.tensor(float(population.threshold[0]) * decay_v),
        )
        layers.append((linear, LIFCell(parameters)))

    @torch.no_grad()
    def forward(spikes: NDArray[np.bool_]) -> Any:
        states: list[Any] = [None] * len(layers)
        counts = []
        for z in torch.from_numpy(np.ascontiguousarray(spikes.swapaxes(0, 1))).float():
            for n, (linear, cell) in enumerate(layers):
                z, states[n] = cell(linear(z), states[n])
            counts.append(z)
        return torch.stack(counts)

    return forward


def nengo(python: str, folder: Path) -> dict[str, Any]:
    """What the emulator, in its own interpreter, answers about an artifact written as arrays."""
    command = [python, str(ROOT / "benchmarks" / "nengo_emulator.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def write_for_nengo(artifact: Artifact, shown: Raster, folder: Path) -> None:
    """Weights, thresholds and one sample as an .npz."""
    arrays: dict[str, Any] = {"spikes": shown.spikes["input"][0], "decays": [DECAY_U, DECAY_V]}
    for n, edge in enumerate(artifact.network.projections):
        arrays[f"weights{n}"] = edge.weights.T.toarray()
        arrays[f"threshold{n}"] = artifact.network.populations[n].threshold
    np.savez(folder / "network.npz", **arrays)


def side_by_side(turns: int, python: str | None) -> dict[str, Any]:
    """Everything on one network and one stimulus, in turns."""
    artifact, shown = artifact_of(BASE), stimulus_of(BASE)
    counts = simulator.spike_counts(artifact, shown)
    took: dict[str, list[tuple[float, float]]] = {}
    left_out = missing(python)
    forward = None if "norse" in left_out else norse_network(artifact)
    answer: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        write_for_nengo(artifact, shown, Path(name))
        for _ in range(turns):
            for threads in sorted({1, simulator.threads()}):
                way = f"simulator, {threads} thread{'s' * (threads > 1)}"
                took.setdefault(way, []).append(ours(artifact, shown, threads))
            for backend in ("lava", "lava-async"):
                if backend not in left_out:
                    took.setdefault(backend, []).append(lava_batch(backend, artifact, shown))
            if "lava" not in left_out:
                alone = timed(lambda: get_backend("lava").run(artifact, shown.first(1)))
                took.setdefault("lava, fresh", []).append(alone)
            if forward is not None:
                pair = timed(lambda: forward(shown.spikes["input"][:100]))
                took.setdefault("norse", []).append((pair[0] / 100, pair[1] / 100))
            if "nengo-loihi" not in left_out:
                assert python is not None
                answer = nengo(python, Path(name))
                pair = (answer["seconds"], answer["processor_seconds"])
                took.setdefault("nengo-loihi", []).append(pair)
    work = operations(artifact, counts) / BASE.samples
    alone = median(pair[1] for pair in took["simulator, 1 thread"])
    return {
        "case": asdict(BASE) | {"name": BASE.name},
        "turns": turns,
        "rates": rates(counts),
        "nengo_rates": answer.get("rates", []),
        "left_out": left_out,
        "operations_per_sample": work,
        "operations_per_processor_second": work / alone,
        "ways": {
            way: {
                "seconds": median(pair[0] for pair in pairs),
                "least": min(pair[0] for pair in pairs),
                "most": max(pair[0] for pair in pairs),
                "processor_seconds": median(pair[1] for pair in pairs),
            }
            for way, pairs in took.items()
        },
    }


def missing(python: str | None) -> dict[str, str]:
    """Neighbour -> why it is left out."""
    found = {}
    reason = importlib.import_module("toolchain.backends.lava").why_unavailable()
    if reason:
        found |= {"lava": reason, "lava-async": reason}
    elif "lava-async" not in BACKENDS:
        found["lava-async"] = "this version has no asynchronous Lava backend"
    if importlib.util.find_spec("norse") is None:
        found["norse"] = "norse is not installed"
    if python is None:
        found["nengo-loihi"] = "no interpreter that has it was given (--nengo)"
    return found


# What the time is spent on.


def sweep(turns: int) -> dict[str, list[dict[str, Any]]]:
    """Processor time of one thread against events, one quantity moved at a time."""
    points = {}
    for what, cases in SWEEP.items():
        points[what] = [_point(case, turns) for case in cases]
    return points


def _point(case: Case, turns: int) -> dict[str, Any]:
    artifact, shown = artifact_of(case), stimulus_of(case)
    counts = simulator.spike_counts(artifact, shown)  # warms up, and fills the caches
    machine_made = median(timed(lambda: compile_program(artifact))[1] for _ in range(turns))
    whole = median(
        with_threads(lambda: simulator.spike_counts(artifact, shown), 1)[1] for _ in range(turns)
    )
    neuron_steps = case.samples * case.steps * sum(case.sizes[1:])
    return asdict(case) | {
        "operations": operations(artifact, counts),
        "neuron_steps": neuron_steps,
        "rates": rates(counts),
        "processor_seconds": max(whole - machine_made, 0.0),
        "seconds_to_load": machine_made,
    }


def ways(turns: int) -> list[dict[str, Any]]:
    """Every way of delivering one projection's spikes, and what the rule takes."""
    found = []
    for density in (0.01, 0.1, 1.0):
        case = Case(sizes=(1024, 1024), density=density, samples=16)
        (edge,) = compile_program(artifact_of(case)).stages[0].incoming
        for rate in (0.01, 0.03, 0.1, 0.3, 1.0):
            rng = np.random.default_rng(0)
            spikes = (rng.random((16, 32, 1024)) < rate).astype(np.uint8)
            events, ready = int(spikes.sum()), np.zeros((16, 32, 1024), np.int32)
            seconds: dict[str, list[float]] = {}
            for turn in range(turns + 1):
                for name in ("rows", "lists", "matrix"):
                    start = time.process_time()
                    simulator_ways.WAYS[name](edge, spikes, ready, events)
                    took = time.process_time() - start
                    if turn:
                        seconds.setdefault(name, []).append(took)
            taken, _ = simulator_ways.choose(edge, events, 16 * 32, matrix=True)
            medians = {name: median(values) / 16 for name, values in seconds.items()}
            found.append(
                {"density": density, "rate": rate, "seconds_per_sample": medians, "taken": taken}
            )
    return found


@numba.njit(nogil=True)
def _plain_loop(count: int) -> float:  # pragma: no cover
    total = 0.0
    for n in range(count):
        total += (n % 7) * 0.5
    return total


def scaling(turns: int) -> dict[str, Any]:
    """How much faster all threads are than one: the simulator, and a loop that only computes."""
    artifact, shown, processors = artifact_of(BASE), stimulus_of(BASE), simulator.threads()
    _plain_loop(10)
    seconds: dict[str, list[float]] = {}
    for _ in range(turns):
        for threads in (1, processors):
            run = with_threads(lambda: simulator.spike_counts(artifact, shown), threads)[0]
            seconds.setdefault(f"simulator {threads}", []).append(run)
            with ThreadPoolExecutor(threads) as pool:
                parts = [2 * 10**8 // (8 * threads)] * (8 * threads)
                loop = timed(lambda pool=pool, parts=parts: list(pool.map(_plain_loop, parts)))[0]
            seconds.setdefault(f"loop {threads}", []).append(loop)
    medians = {name: median(values) for name, values in seconds.items()}
    return {
        "threads": processors,
        "simulator": medians["simulator 1"] / medians[f"simulator {processors}"],
        "loop": medians["loop 1"] / medians[f"loop {processors}"],
    }


def start_up(turns: int) -> dict[str, dict[str, float]]:
    """Seconds of whole processes, in turns: Python doing nothing, --help, a small first run."""
    small = Case(sizes=(64, 32, 10), steps=16, samples=4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_artifact(artifact_of(small), folder / "artifact")
        write_raster(folder / "stimulus.npz", stimulus_of(small))
        run = ["run", str(folder / "artifact"), "--stimulus", str(folder / "stimulus.npz")]
        commands = {
            "python -c pass": ["-c", "pass"],
            "snn-deploy --help": ["-m", "toolchain", "--help"],
            "snn-deploy run": ["-m", "toolchain", *run, "--out", str(folder / "out.npz")],
        }
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for turn in range(turns + 1):
            for what, arguments in commands.items():
                pair = _process(arguments)
                if turn:
                    took[what].append(pair)
    return {
        what: {
            "seconds": median(pair[0] for pair in pairs),
            "least": min(pair[0] for pair in pairs),
            "processor_seconds": median(pair[1] for pair in pairs),
        }
        for what, pairs in took.items()
    }


def _process(arguments: list[str]) -> tuple[float, float]:
    """(seconds, processor seconds) of a whole process."""
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=variables)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, busy


def where() -> dict[str, Any]:
    """The machine, and what else it did."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = [line.split(":")[1].strip() for line in info.splitlines() if "model name" in line]
    flags = next((line.split() for line in info.splitlines() if line.startswith("flags")), [])
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processors": simulator.threads(),
        "processor": model[0] if model else platform.machine(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "python": platform.python_version(),
        "packages": versions,
        "seeds": {"network": 0, "stimulus": 1},
    }


@click.command()
@click.option("--nengo", "python", metavar="PYTHON", help="An interpreter that has nengo-loihi.")
@click.option("--turns", default=5, show_default=True)
@click.option("--only", type=click.Choice(PARTS), help="Measure one part anew, keep the others.")
def main(python: str | None, turns: int, only: str | None) -> None:
    """Measure, and write the page."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if only else {}
    tasks: dict[str, Callable[[], Any]] = {
        "side_by_side": lambda: side_by_side(max(1, turns - 2), python),
        "sweep": lambda: sweep(turns),
        "ways": lambda: ways(turns),
        "scaling": lambda: scaling(turns),
        "start_up": lambda: start_up(turns),
    }
    loads = dict(results.get("environment", {}).get("load", {}))
    for name in PARTS if only is None else (only,):
        before, start = os.getloadavg()[0], time.perf_counter()
        results[name] = tasks[name]()
        loads[name] = [before, os.getloadavg()[0]]
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    results["environment"] = where() | {"load": loads}
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(simulator_page.document(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
