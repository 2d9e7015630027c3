"""Training steps, side by side with what a user would write: norse's cells, step by step.

    python benchmarks/training_speed.py ../shared/data/MNIST      IDX files of MNIST; five minutes

Each way of training lives in a process of its own; they take turns, so that what else the machine
does falls on all of them. Results go to benchmarks/results/training_speed.json;
docs/training-speed.md is written from that file alone.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import IO, Any

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from toolchain.train.architectures import build
from toolchain.train.config_data import DataConfig, EncodingConfig
from toolchain.train.config_network import NetworkConfig
from toolchain.train.data import Dataset, load
from toolchain.train.forward import forward
from toolchain.train.losses import cross_entropy
from toolchain.train.memory import keep_freed_memory
from toolchain.train.model import Model, Neuron, Trained, trained
from toolchain.train.precision import Precision, has_bfloat16_units

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    from norse.torch import LIFCell, LIFParameters

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "training_speed.json"
PAGE = ROOT / "docs" / "training-speed.md"
PACKAGES = ("norse", "numba", "numpy", "torch")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
OURS: tuple[Precision, ...] = ("float32", "bfloat16")
WAYS = ("norse", "norse, memory kept", *OURS)
LEARNING_RATE = 0.002
LIVELY = {"mlp": 4.0, "conv": 4.0}  # first weights times this: they spike as trained ones do
GRID = 2.0**-12  # weights are multiples of it where gradients are compared: all sums are exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is trained, by every way."""

    network: str  # mlp or conv
    steps: int = 16
    width: int = 512
    density: float = 1.0
    batch: int = 128

    @property
    def name(self) -> str:
        """As it stands in the table."""
        shape = f"784-{self.width}-{self.width}-10" if self.network == "mlp" else "16c3-p2-32c3-p2"
        return f"{shape}, {self.steps} steps, density {self.density:g}"


BASE, CONV = Case(network="mlp"), Case(network="conv")
CASES = (
    BASE,
    *(replace(BASE, steps=steps) for steps in (4, 8, 32)),
    *(replace(BASE, width=width) for width in (128, 1024)),
    *(replace(BASE, density=density) for density in (0.1, 0.02)),
    CONV,
)


class Plain(torch.nn.Module):
    """The same network as a user of norse writes it: a product and a cell at every step."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.products = torch.nn.ModuleList(_product(part) for part in trained(model))
        self.cells = torch.nn.ModuleList(
            LIFCell(_parameters(p.layer.neuron)) for p in trained(model)
        )
        self.pools = [part.synapses.pool is not None for part in trained(model)]

    def forward(self, spikes: Tensor) -> Tensor:
        """Spikes of the output (timesteps, samples, classes)."""
        states: list[Any] = [None] * len(self.cells)
        every = []
        for z in spikes:
            for n, (product, cell) in enumerate(zip(self.products, self.cells, strict=True)):
                z = functional.avg_pool2d(z, 2) if self.pools[n] else z
                z = z.flatten(1) if isinstance(product, torch.nn.Linear) else z
                z, states[n] = cell(product(z), states[n])
            every.append(z)
        return torch.stack(every)


def _product(part: Trained) -> torch.nn.Module:
    weight = part.weight
    if weight.ndim == 2:
        product: Any = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    else:
        product = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=False)
    product.weight = torch.nn.Parameter(weight.detach().clone())
    return product


def _parameters(neuron: Neuron) -> LIFParameters:
    return LIFParameters(
        tau_syn_inv=torch.tensor(neuron.tau_syn_inv),
        tau_mem_inv=torch.tensor(neuron.tau_mem_inv),
        v_th=torch.tensor(neuron.v_th),
    )


class Trainer:
    """One way of training one case."""

    def __init__(
        self, case: Case, way: str, folder: str, seed: int, *, strength: float, grid: bool = False
    ) -> None:
        self.case, self.data = case, dataset(case, folder)
        self.model = network(case, seed, strength=strength, grid=grid)
        parts = list(trained(self.model))
        self.masks = [part.mask for part in parts]
        self.weights: list[Tensor] = [part.weight for part in parts]
        self.answer: Callable[[Tensor], Tensor] = self._ours
        if way.startswith("norse"):
            plain = Plain(self.model)
            self.answer = plain
            self.weights = list(plain.parameters())
        self.precision: Precision = "bfloat16" if way == "bfloat16" else "float32"
        fused = way in OURS
        self.optimizer = torch.optim.Adam(self.weights, lr=LEARNING_RATE, fused=fused or None)
        if way != "norse":
            keep_freed_memory()

    def _ours(self, spikes: Tensor) -> Tensor:
        return forward(self.model, spikes, precision=self.precision)[self.model.output.name]

    def batch(self, chosen: Any, part: str = "train") -> tuple[Tensor, Tensor]:
        """Spikes (timesteps, samples, *shape) and labels."""
        samples = getattr(self.data, part).take(np.asarray(chosen))
        by_step = np.ascontiguousarray(self.data.encode(samples).swapaxes(0, 1))
        spikes = torch.from_numpy(by_step).float().unflatten(2, self.model.input_shape)
        return spikes, torch.from_numpy(samples.labels)

    def gradients(self, spikes: Tensor, labels: Tensor) -> None:
        """Leave the gradients in the weights, those without synapse 0."""
        self.optimizer.zero_grad()
        cross_entropy(self.answer(spikes), labels).backward()
        if self.case.density < 1:
            for weight, mask in zip(self.weights, self.masks, strict=True):
                assert weight.grad is not None
                weight.grad *= mask

    def step(self, number: int) -> float:
        """Seconds of one training step, without the making of its batch."""
        size = self.case.batch
        spikes, labels = self.batch(np.arange(number * size, (number + 1) * size) % 4096)
        start = time.perf_counter()
        self.gradients(spikes, labels)
        self.optimizer.step()
        return time.perf_counter() - start

    def warm_up(self) -> None:
        """Compile, and load what is loaded at the first step, with a few samples."""
        self.gradients(*self.batch(np.arange(8)))

    def rates(self) -> dict[str, float]:
        """Share of neurons of each population that spike at a timestep; empty for norse."""
        if isinstance(self.answer, Plain):
            return {}
        rasters = forward(self.model, self.batch(np.arange(self.case.batch))[0])
        return {name: float(spikes.detach().mean()) for name, spikes in rasters.items()}

    def accuracy(self, epochs: int, samples: int) -> float:
        """Share of test samples decided rightly after training."""
        for epoch in range(epochs):
            order = np.random.default_rng([7, epoch]).permutation(samples)
            for start in range(0, samples, self.case.batch):
                self.gradients(*self.batch(order[start : start + self.case.batch]))
                self.optimizer.step()
        right, tested = 0, len(self.data.test)
        for start in range(0, tested, 500):
            spikes, labels = self.batch(np.arange(start, min(start + 500, tested)), "test")
            with torch.no_grad():
                right += int((self.answer(spikes).sum(dim=0).argmax(dim=1) == labels).sum())
        return right / tested


def dataset(case: Case, folder: str) -> Dataset:
    """MNIST in the deterministic rate code."""
    data = DataConfig(name="idx", folder=Path(folder), train_samples=10_000, test_samples=2_000)
    return load(data, EncodingConfig(timesteps=case.steps))


def network(case: Case, seed: int, *, strength: float, grid: bool) -> Model:
    """The case's network, its first weights and masks drawn from the seed."""
    rng = np.random.default_rng(seed)
    shared: dict[str, Any] = {"bias": False, "tau_syn_inv": 1000.0, "model": case.network}
    if case.network == "mlp":
        config = NetworkConfig(hidden=(case.width, case.width), **shared)
    else:
        config = NetworkConfig(
            channels=(16, 32), kernel=3, pool="average", hidden=(), norm=False, **shared
        )
    model = build(config, (1, 28, 28), 10, rng)
    for part in trained(model):
        with torch.no_grad():
            part.mask.copy_(torch.from_numpy(rng.random(part.mask.shape) < case.density))
            part.weight.mul_(part.mask * strength / case.density**0.5)
            if grid:
                part.weight.copy_(torch.round(part.weight / GRID) * GRID)
    return model


# A way of training as a process: it answers one JSON line with another.


def serve(case: Case, way: str, folder: str, threads: int) -> None:
    """Answer requests of the parent process until it has none left."""
    torch.set_num_threads(threads)
    trainer = Trainer(case, way, folder, seed=0, strength=LIVELY[case.network])
    trainer.warm_up()
    at_rest = peak_bytes()
    for line in sys.stdin:
        request, *given = json.loads(line)
        if request == "step":
            answer: Any = [trainer.step(number) for number in range(*given)]
        elif request == "peak":
            peak = peak_bytes()
            answer = {"peak": peak, "above_rest": peak - at_rest, "rates": trainer.rates()}
        elif request == "gradients":
            answer = _save_gradients(case, way, folder, *given)
        else:
            seed, epochs, samples = given
            answer = Trainer(case, way, folder, seed, strength=1.0).accuracy(epochs, samples)
        print(json.dumps(answer), flush=True)


def _save_gradients(case: Case, way: str, folder: str, out: str) -> None:
    trainer = Trainer(case, way, folder, seed=1, strength=LIVELY[case.network], grid=True)
    trainer.gradients(*trainer.batch(np.arange(case.batch)))
    arrays = {str(n): weight.grad.numpy() for n, weight in enumerate(trainer.weights)}  # type: ignore[union-attr]
    np.savez(out, **arrays)


def peak_bytes() -> int:
    """The most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def worker(case: Case, way: str, folder: str, threads: int) -> Iterator[Callable[..., Any]]:
    """A process that trains in one way, as a function."""
    command = [
        *(sys.executable, __file__, folder, "--threads", str(threads)),
        *("--serve", json.dumps([asdict(case), way])),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        inlet, outlet = process.stdin, process.stdout
        yield lambda *request: _ask(inlet, outlet, request)
        inlet.close()


def _ask(inlet: IO[str], outlet: IO[str], request: tuple[Any, ...]) -> Any:
    inlet.write(json.dumps(request) + "\n")
    inlet.flush()
    return json.loads(outlet.readline())


def measure(case: Case, folder: str, threads: int, rounds: int) -> dict[str, Any]:
    """Seconds of a training step and peak memory of every way; steps taken in turns."""
    ways = WAYS if case in (BASE, CONV) else ("norse", "float32")
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    with ExitStack() as stack:
        ask = {way: stack.enter_context(worker(case, way, folder, threads)) for way in ways}
        for way in ways:
            ask[way]("step", 2)  # warms up
        for number in range(rounds):
            for way in ways:
                seconds[way] += ask[way]("step", 2 * number, 2 * number + 2)
        peaks = {way: ask[way]("peak") for way in ways}
    found = {way: {"seconds": median(seconds[way]), **peaks[way]} for way in ways}
    return asdict(case) | {"name": case.name, "threads": threads, "ways": found}


def compare_gradients(case: Case, folder: str, threads: int) -> dict[str, Any]:
    """Largest difference of gradients, as a share of the largest of its tensor."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        arrays = {}
        for way in ("norse", "float32"):
            ask = stack.enter_context(worker(case, way, folder, threads))
            ask("gradients", f"{name}/{way}.npz")
            arrays[way] = dict(np.load(f"{name}/{way}.npz"))
    shares = [
        float(np.abs(mine - arrays["norse"][key]).max() / np.abs(arrays["norse"][key]).max())
        for key, mine in arrays["float32"].items()
    ]
    return {"name": case.name, "largest": max(shares), "tensors": shares}


def compare_accuracy(folder: str, threads: int, seeds: range) -> dict[str, Any]:
    """Test accuracy of both ways from the same first weights and batches."""
    epochs, samples = 1, 6400
    found: dict[str, Any] = {"epochs": epochs, "samples": samples, "seeds": list(seeds)}
    with ExitStack() as stack:
        for way in ("norse", *OURS):
            ask = stack.enter_context(worker(BASE, way, folder, threads))
            found[way] = [ask("accuracy", seed, epochs, samples) for seed in seeds]
    return found


@click.command()
@click.argument("folder")
@click.option("--threads", default=os.cpu_count() or 1, show_default=True)
@click.option("--rounds", default=6, show_default=True, help="Of two steps for every way.")
@click.option("--serve", "served", hidden=True)
def main(folder: str, threads: int, rounds: int, served: str | None) -> None:
    """Measure with the IDX files of MNIST in FOLDER, and write the page."""
    if served is not None:
        case, way = json.loads(served)
        serve(Case(**case), way, folder, threads)
        return
    results: dict[str, Any] = {"environment": environment(threads), "cases": []}
    for case in CASES:
        results["cases"].append(measure(case, folder, threads, rounds))
        print(row(results["cases"][-1]), flush=True)
    if threads > 1:
        results["one_thread"] = measure(BASE, folder, 1, rounds)
    results["gradients"] = [compare_gradients(c, folder, threads) for c in (BASE, CONV)]
    results["accuracy"] = compare_accuracy(folder, threads, range(3))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(document(results))


def environment(threads: int) -> dict[str, Any]:
    """Versions and processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), ""
    )
    return {
        "python": platform.python_version(),
        "processor": model or platform.processor(),
        "processors": os.cpu_count(),
        "threads": threads,
        "flags": [flag for flag in FLAGS if flag in flags],
        "bfloat16_units": has_bfloat16_units("cpu"),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


COLUMNS = (
    "network", "threads", *(f"{way} ms" for way in WAYS), "float32 times norse",
    "bfloat16 times norse", "norse peak MB", "float32 peak MB", "of them in steps", "rates",
)  # fmt: skip
HEAD = f"""# Speed of training

Written by `benchmarks/training_speed.py` from `benchmarks/results/training_speed.json`: seconds of
a whole training step (forward, backward, optimizer; batch 128 of MNIST in the deterministic rate
code), medians of steps taken in turns.

- *norse*: what a user of norse writes, a product and an `LIFCell` at every timestep, Adam.
- *norse, memory kept*: the same in a process whose C library keeps freed memory
  (`toolchain/train/memory.py`): how much of the difference that makes.
- *float32*: what `snn-deploy train` does: one product over all timesteps, by classes of equal spike
  trains, by events or dense, whichever the spikes allow; neurons in one compiled loop over time;
  fused Adam. Every number is a float32; only the order of sums differs from norse's.
- *bfloat16*: the same with `precision = "bfloat16"`: weights and gradients rounded where they enter
  a product. It can only be faster where a processor has units for it.

Peak memory is what the process held at most, libraries and compiled code among it; *in steps* is
how much of that came after a first step with 8 samples. *rates*: share of each population's neurons
that spike at a timestep; first weights are strong enough for the rates of a trained network.

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}"""


def document(results: dict[str, Any]) -> str:
    """docs/training-speed.md."""
    cases = [*results["cases"], *([results["one_thread"]] if "one_thread" in results else [])]
    parts = [HEAD, *(row(case) for case in cases), "", gradients_text(results["gradients"])]
    parts += ["", accuracy_text(results["accuracy"]), "", place_text(results["environment"]), ""]
    return "\n".join(parts)


def row(case: dict[str, Any]) -> str:
    """One line of the table."""
    ways = case["ways"]
    seconds = {way: ways[way]["seconds"] for way in WAYS if way in ways}
    cells = [
        case["name"],
        str(case["threads"]),
        *(f"{seconds[way] * 1e3:.1f}" if way in seconds else "" for way in WAYS),
        *(f"{seconds['norse'] / seconds[way]:.1f}" if way in seconds else "" for way in OURS),
        *(f"{ways[way]['peak'] / 2**20:.0f}" for way in ("norse", "float32")),
        " and ".join(f"{ways[way]['above_rest'] / 2**20:.0f}" for way in ("norse", "float32")),
        ", ".join(f"{rate:.1%}" for rate in ways["float32"]["rates"].values()),
    ]
    return "| " + " | ".join(cells) + " |"


def gradients_text(found: list[dict[str, Any]]) -> str:
    """How near the gradients are."""
    lines = [
        "Largest difference between the gradients of *norse* and *float32*, as a share of the",
        "largest gradient of its tensor, with weights on a grid of 2^-12. There every sum of",
        "weights is exact in any order, so that both ways have the same spikes:",
        "",
    ]
    return "\n".join([*lines, *(f"- {c['name']}: {c['largest']:.1e}" for c in found)])


def accuracy_text(found: dict[str, Any]) -> str:
    """Whether both learn alike."""
    head = (
        f"Test accuracy (2,000 images) after {found['epochs']} epoch of {found['samples']:,}"
        " images at the same first weights and batches, seeds"
        f" {', '.join(map(str, found['seeds']))}:"
    )
    lines = [f"- {way}: " + ", ".join(f"{a:.2%}" for a in found[way]) for way in ("norse", *OURS)]
    return "\n".join([head, "", *lines])


def place_text(place: dict[str, Any]) -> str:
    """Where it was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in place["packages"].items())
    units = "with" if place["bfloat16_units"] else "without"
    return (
        f"Measured on {place['processors']} processors ({place['processor']};"
        f" {', '.join(place['flags'])}; {units} units for bfloat16) with Python {place['python']},"
        f" {versions}."
    )


if __name__ == "__main__":
    main()
