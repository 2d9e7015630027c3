"""Sparse training methods side by side: data set x method x density x seed.

    python benchmarks/sparse_training.py mnist-mlp                 every method, three seeds
    python benchmarks/sparse_training.py nmnist --methods dense,two-stage --jobs 2

Each case is a real session of `snn-deploy train` on a configuration of benchmarks/configs, left in
--work so that an interrupted benchmark goes on where it was. Results go to
benchmarks/results/sparse_training.json; docs/sparse-training.md is written from that file alone.
The data are read from ../shared/data; CIFAR-10 must lie unpacked in the folder --cifar10.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from threading import Lock
from typing import Any

import click
from end_to_end import environment

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "sparse_training.json"
TABLE = HERE.parent / "docs" / "sparse-training.md"
LOCK = Lock()

FALLS = ("start_density=0.5",)
TWO_STAGE = ("method=two-stage", *FALLS, "gamma=2.0", "beta=0.3", "regrow_fraction=0.3")
METHODS: dict[str, tuple[str, ...]] = {
    "dense": ("method=dense",),
    "static": ("method=static",),
    "two-stage": TWO_STAGE,
    "two-stage, neuron": (*TWO_STAGE, "scope=neuron"),
    "two-stage, global": (*TWO_STAGE, "scope=global"),
    "fixed-ratio": ("method=fixed-ratio", *FALLS, "regrow_fraction=0.3"),
    "esl": ("method=esl", "grow=random"),
    "esl, momentum": ("method=esl", "grow=momentum"),
    "set": ("method=set",),
    "rigl": ("method=rigl",),
    "momentum": ("method=momentum",),
    "ndsnn": ("method=ndsnn", *FALLS),
    "gmp": ("method=gmp", "start_density=1.0"),
    "deep-r": ("method=deep-r",),
    "grad-r": ("method=grad-r", *FALLS),
    "stds": ("method=stds",),
}
FEW = ("dense", "static", "two-stage", "fixed-ratio", "esl", "rigl", "stds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A data set and network, and what is measured on it."""

    config: str
    densities: tuple[float, ...]
    methods: tuple[str, ...]
    cut: str = ""  # what was left out, and why


SERIES: dict[str, Series] = {
    "mnist-mlp": Series(config="mnist-mlp", densities=(0.1,), methods=tuple(METHODS)),
    "mnist-mlp-long": Series(
        config="mnist-mlp-long", densities=(0.1,), methods=("dense", "two-stage", "gmp")
    ),
    "mnist-mlp-wide": Series(
        config="mnist-mlp-wide",
        densities=(0.0225,),
        methods=("gmp",),
        cut="no dense twin, which takes four times as long",
    ),
    "mnist-mlp-deep": Series(
        config="mnist-mlp-deep",
        densities=(0.0225,),
        methods=("gmp",),
        cut="no dense twin, which takes four times as long",
    ),
    "mnist-conv": Series(
        config="mnist-conv", densities=(0.1,), methods=("gmp", "dense", "two-stage")
    ),
    "mnist-conv-wide": Series(
        config="mnist-conv-wide",
        densities=(0.1,),
        methods=("gmp",),
        cut="no dense twin, which takes long on two processors",
    ),
    "nmnist": Series(
        config="nmnist-detached",
        densities=(0.1,),
        methods=(*FEW, "two-stage, neuron", "ndsnn", "gmp"),
    ),
    "ecg": Series(config="ecg", densities=(0.1,), methods=(*FEW, "gmp")),
    "spoken-digits": Series(config="spoken-digits", densities=(0.1,), methods=FEW),
    "cifar10": Series(
        config="cifar10",
        densities=(0.1,),
        methods=("dense", "static", "two-stage", "esl"),
        cut="10,000 of 50,000 training images",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One training."""

    series: str
    method: str
    density: float
    seed: int

    @property
    def name(self) -> str:
        """A folder's name."""
        method = self.method.replace(", ", "-")
        return f"{self.series}-{method}-{self.density:g}-{self.seed}"

    def key(self) -> list[Any]:
        """What tells it from the others in the results."""
        return [self.series, self.method, self.density, self.seed]


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SERIES)), required=True)
@click.option("--seeds", default="0,1,2", help="Comma-separated.")
@click.option("--methods", default="", help="Semicolon-separated; default: those of the series.")
@click.option("--jobs", default=1, help="Trainings side by side, each on one thread.")
@click.option("--work", default="runs/sparse_training", type=click.Path(path_type=Path))
@click.option("--cifar10", type=click.Path(path_type=Path), help="The folder of CIFAR-10.")
def main(
    names: tuple[str, ...], seeds: str, methods: str, jobs: int, work: Path, cifar10: Path | None
) -> None:
    """Measure, keep what was measured, and write the table."""
    cases = [
        Case(series=name, method=method, density=density, seed=int(seed))
        for name in names
        for seed in seeds.split(",")
        for density in SERIES[name].densities
        for method in (methods.split(";") if methods else SERIES[name].methods)
    ]
    with ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(lambda case: measure(case, work, cifar10), cases):
            pass


def measure(case: Case, work: Path, cifar10: Path | None) -> None:
    """Train one case, or go on with it, and keep what it gave."""
    if case.method == "dense" and case.density != SERIES[case.series].densities[0]:
        return
    if any(held["key"] == case.key() for held in results()["cases"]):
        return
    out = work / case.name
    settings = [f"sparsity.{part}" for part in METHODS[case.method]]
    if case.method == "fixed-ratio":
        settings.append(f"sparsity.drop_fraction={mean_ratio(case, work):.4f}")
    if case.method != "dense":
        settings.append(f"sparsity.density={case.density}")
    settings.append(f"training.seed={case.seed}")
    if cifar10 is not None and case.series == "cifar10":
        settings.append(f"data.folder={cifar10.resolve()}")
    config = HERE / "configs" / f"{SERIES[case.series].config}.toml"
    overrides = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "toolchain", "train", str(config), "--out", str(out)]
    done = subprocess.run(
        [*command, *overrides, "--resume", "--json"], stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        sys.exit(f"{case.name}: exit code {done.returncode}")
    keep(case, settings, json.loads(done.stdout))


def mean_ratio(case: Case, work: Path) -> float:
    """The share that the PQ index let go, in the mean over layers and rewirings of its own run."""
    pq = Case(series=case.series, method="two-stage", density=case.density, seed=case.seed)
    lines = (work / pq.name / "metrics.jsonl").read_text().splitlines()
    epochs = [[layer for layer in json.loads(line)["layers"] if layer["drop"]] for line in lines]
    rewired = [layers for layers in epochs if layers][:-1]  # the last one cuts to the density
    return mean(layer["drop"] / layer["synapses"] for layers in rewired for layer in layers)


def results() -> dict[str, Any]:
    """What was measured so far."""
    held: dict[str, Any] = {"cases": []}
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else held


def keep(case: Case, settings: list[str], summary: dict[str, Any]) -> None:
    """Add a case to the results, and write the table."""
    rates = {layer["name"]: layer["spikes_per_neuron_step"] for layer in summary["layers"]}
    neurons = {layer["name"]: layer["neurons"] for layer in summary["layers"]}
    spikes = sum(rates[name] * neurons[name] for name in rates)
    found = {
        "key": case.key(),
        "settings": settings,
        "accuracy": summary["accuracy"],
        "density": summary["density"],
        "unrolled_connectivity": summary["unrolled_connectivity"],
        "sops": summary["sops"]["total"],
        "firing_rate": spikes / sum(neurons.values()),
        "seconds": summary["seconds"],
        "epochs": summary["epochs"],
        "loads": os.getloadavg()[0],
    }
    with LOCK:
        held = results()
        held["cases"] = sorted([*held["cases"], found], key=lambda one: str(one["key"]))
        write(held)


def write(held: dict[str, Any]) -> None:
    """Keep the results, and write the page from them."""
    held["environment"] = environment()
    RESULTS.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n")
    TABLE.write_text(document(held))


COLUMNS = (
    "network", "method", "density", "unrolled connectivity", "seeds", "test accuracy",
    "to dense", "SOPs per inference", "spikes per neuron and step",
)  # fmt: skip
HEAD = f"""# Sparse training, measured

Written by `benchmarks/sparse_training.py` from `benchmarks/results/sparse_training.json`. Each row
is a mean over seeds of real sessions of `snn-deploy train`, all with one network, one optimizer and
the same epochs; the spread is the standard deviation over seeds. *to dense* is the difference in
points from the same network with every synapse, over the same seeds. *density* counts a kernel's
weight once, *unrolled connectivity* at every position: two things, never one for the other. *SOPs*
are synaptic operations of the deployed network, every spike of input and neurons once for each
synapse that it meets. Cases ran beside other work, so their seconds say nothing; what a method
costs in time was measured apart, in turns, and stands below the table. On nmnist and ecg gradients
go past the neurons' reset ([why](methods.md#training-that-falls-apart)).

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}"""


def document(held: dict[str, Any]) -> str:
    """docs/sparse-training.md."""
    lines = HEAD.splitlines()
    for name in SERIES:
        cases = [one for one in held["cases"] if one["key"][0] == name]
        dense = {one["key"][3]: one for one in cases if one["key"][1] == "dense"}
        for method in METHODS:
            for density in sorted({one["key"][2] for one in cases}):
                chosen = [one for one in cases if one["key"][1:3] == [method, density]]
                if chosen:
                    lines.append(row(name, method, chosen, dense))
    known = {one["key"][0] for one in held["cases"]}
    cut = [
        f"- {name}: {SERIES[name].cut}." for name in SERIES if name in known and SERIES[name].cut
    ]
    if cut:
        lines += ["", "What was cut:", "", *cut]
    if missing := [name for name in SERIES if name not in known]:
        lines += ["", f"Ready, and not measured yet: {', '.join(missing)}."]
    if "times" in held:
        lines += ["", *times_table(held["times"])]
    if "trajectory" in held:
        lines += ["", *trajectory_table(held["trajectory"])]
    versions = ", ".join(f"{k} {v}" for k, v in held["environment"]["packages"].items())
    return "\n".join([*lines, "", f"Measured with {versions}.", ""])


def times_table(times: dict[str, Any]) -> list[str]:
    """What each method costs, as multiples of a dense step (benchmarks/method_times.py)."""
    dense = times["methods"]["dense"]["step"]
    every = times["every_steps"]
    head = [
        f"What a method costs in time, on {times['config']} at density {times['density']:g}:",
        "medians of turns in one process, as multiples of a dense training step; a rewiring every",
        f"{every} steps.",
        "",
        f"| method | a training step | a rewiring | both, one rewiring in {every} steps |",
        "|---|---|---|---|",
    ]
    return head + [
        f"| {method} | {one['step'] / dense:.2f} | {one['rewiring'] / dense:.2f} |"
        f" {one['sum'] / dense:.2f} |"
        for method in METHODS
        for one in [times["methods"][method]]
    ]


def trajectory_table(found: dict[str, Any]) -> list[str]:
    """Density after each rewiring, beside the published curve (benchmarks/trajectory.py)."""
    falling, constant = found["density"]["0.0"], found["density"]["1.0"]
    shown = range(0, len(falling), 2)
    head = [
        "Two-stage, layer by layer, from density 0.5 with p = 0.5, q = 1, alpha = 0.001 and",
        f"gamma = 1: the density of a real run ({found['config']}, 12,000 images) before each",
        "rewiring, beside the curve that the paper's figures follow, 0.5 x 0.8455^k. Weights drawn",
        "anew from a Gaussian follow it within 0.5 % (a test shows that); those that survived a",
        "rewiring are less unequal than a Gaussian, so that the PQ index lets fewer of them go.",
        "",
        "| rewirings before | " + " | ".join(map(str, shown)) + " |",
        "|---|" + "---|" * len(shown),
    ]
    rows = {
        "0.5 x 0.8455^k": [0.5 * 0.8455**k for k in range(len(falling))],
        "rho = 0": falling,
        "rho = 1": constant,
    }
    return head + [
        f"| {name} | " + " | ".join(f"{density[k]:.3f}" for k in shown) + " |"
        for name, density in rows.items()
    ]


def row(name: str, method: str, cases: list[dict[str, Any]], dense: dict[int, Any]) -> str:
    """One line of the table."""
    tests = [one["accuracy"]["test"] for one in cases]
    twins = [(one, dense[one["key"][3]]) for one in cases if one["key"][3] in dense]
    gap = [one["accuracy"]["test"] - twin["accuracy"]["test"] for one, twin in twins]
    spread = f" ± {100 * stdev(tests):.2f}" if len(tests) > 1 else ""
    cells = [
        name,
        method,
        f"{mean(one['density'] for one in cases):.2%}",
        f"{mean(one['unrolled_connectivity'] for one in cases):.2%}",
        str(len(cases)),
        f"{100 * mean(tests):.2f} %{spread}",
        f"{100 * mean(gap):+.2f}" if gap and method != "dense" else "",
        f"{mean(one['sops'] for one in cases):,.0f}",
        f"{mean(one['firing_rate'] for one in cases):.3f}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
