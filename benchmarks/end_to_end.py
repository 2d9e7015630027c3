"""Train, map and verify, side by side with what a user would take instead: a dense network.

    python benchmarks/end_to_end.py digits            seeds 0 to 2, a few minutes
    python benchmarks/end_to_end.py mnist --seeds 0   IDX files of MNIST needed; long

Each case is a real session of the command line: snn-deploy train, map, verify on Lava. Results go
to benchmarks/results/end_to_end.json; docs/benchmarks.md is written from that file alone.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import click

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results" / "end_to_end.json"
TABLE = ROOT / "docs" / "benchmarks.md"
METHODS = {
    "two-stage": [],
    "esl": ["sparsity.method=esl"],
    "dense": ["sparsity.method=dense"],
}
CHIPS = {"digits": ("tiny", "loihi1"), "mnist": ("loihi1",)}
SAMPLES = {"digits": 360, "mnist": 200}
PACKAGES = ("lava-nc", "norse", "numpy", "scikit-learn", "scipy", "torch")

COLUMNS = (
    "data", "method", "seeds", "density", "accuracy trained", "deployed", "chip",
    "cores (lower bound)", "synapses", "synapse words", "samples on Lava", "neuron-steps",
    "mismatches", "training s",
)  # fmt: skip
HEAD = f"""# Benchmarks

Written by `benchmarks/end_to_end.py` from `benchmarks/results/end_to_end.json`. Each row is a real
session of `train`, `map`, `run` and `verify`, mean over seeds. *dense* is the same network with
every synapse, trained and mapped in the same way: what a user would take instead. Trained and
deployed accuracy are of the whole test set; neuron-steps and mismatches are bits compared with
Lava over all populations, and those that differed. Sessions ran beside other work, so their seconds
say little: training is timed [apart](training-speed.md).

Beside it: [sparse training methods side by side](sparse-training.md).

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}"""


@click.command()
@click.argument("datasets", nargs=-1, type=click.Choice(list(CHIPS)), required=True)
@click.option("--seeds", default="0,1,2", help="Comma-separated.")
@click.option("--methods", default=",".join(METHODS), help="Comma-separated.")
def main(datasets: tuple[str, ...], seeds: str, methods: str) -> None:
    """Measure, keep what was measured, and write the table."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"cases": []}
    results["environment"] = environment()
    for dataset in datasets:
        for method in methods.split(","):
            for seed in seeds.split(","):
                keep(results, case(dataset, method, int(seed)))
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
                TABLE.write_text(document(results))


def case(dataset: str, method: str, seed: int) -> dict[str, Any]:
    """One training, mapped onto each chip and verified on Lava."""
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        overrides = [f"training.seed={seed}", *METHODS[method]]
        settings = [part for override in overrides for part in ("--set", override)]
        trained = shell("train", ROOT / "examples" / f"{dataset}.toml", "--out", run, *settings)
        mapped = {chip: on_chip(run, chip, SAMPLES[dataset]) for chip in CHIPS[dataset]}
    wanted = ("accuracy", "density", "seconds", "epochs")
    return {
        "dataset": dataset,
        "method": method,
        "seed": seed,
        "train": {key: trained[key] for key in wanted},
        "chips": mapped,
    }


def on_chip(run: Path, chip: str, samples: int) -> dict[str, Any]:
    """The mapping's cost and the verdict on Lava; or how many violations kept it off the chip."""
    artifact = run.parent / chip
    mapped = shell("map", run, "--chip", chip, "--out", artifact, codes=(0, 1))
    if "violations" in mapped:
        return {"fits": False, "violations": len(mapped["violations"])}
    stimulus = ("--stimulus", run / "stimulus.npz")
    verdict = shell("verify", artifact, *stimulus, "--samples", samples, "--trained", run)
    whole = shell("run", artifact, *stimulus, "--backend", "simulator", "--out", run / "r.npz")
    wanted = ("equal", "mismatches", "samples", "neuron_steps_compared", "spikes_compared")
    return {
        "fits": True,
        "cores": {key: mapped["cores"][key] for key in ("used", "lower_bound")},
        "synapses": mapped["synapses"]["stored"],
        "synapse_words": mapped["utilization"]["synapse_words"]["used"],
        "lava": {key: verdict[key] for key in wanted},
        "accuracy_deployed": whole["accuracy"],
    }


def shell(*arguments: object, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """The JSON answer of one command."""
    print("snn-deploy", *arguments, flush=True)
    command = [sys.executable, "-m", "toolchain", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode not in codes:
        sys.exit(f"exit code {done.returncode}: {done.stdout.decode()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def keep(results: dict[str, Any], found: dict[str, Any]) -> None:
    """Put a case in the place of an older one of the same name."""
    key = ("dataset", "method", "seed")
    others = [c for c in results["cases"] if any(c[part] != found[part] for part in key)]
    results["cases"] = sorted([*others, found], key=lambda c: tuple(str(c[part]) for part in key))


def environment() -> dict[str, Any]:
    """Versions, and how many processors there were."""
    return {
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def document(results: dict[str, Any]) -> str:
    """docs/benchmarks.md."""
    text = HEAD.splitlines()
    groups = sorted({(c["dataset"], c["method"]) for c in results["cases"]})
    for dataset, method in groups:
        cases = [c for c in results["cases"] if (c["dataset"], c["method"]) == (dataset, method)]
        text += [row(cases, chip) for chip in CHIPS[dataset]]
    versions = ", ".join(f"{k} {v}" for k, v in results["environment"]["packages"].items())
    python, processors = (results["environment"][key] for key in ("python", "processors"))
    place = f"Python {python} on {processors} processors"
    return "\n".join([*text, "", f"Measured with {place}: {versions}.", ""])


def row(cases: list[dict[str, Any]], chip: str) -> str:
    """One line of the table: the mean over seeds."""
    trained = [c["train"] for c in cases]
    mapped = [c["chips"][chip] for c in cases]
    cells = [
        cases[0]["dataset"],
        cases[0]["method"],
        ", ".join(str(c["seed"]) for c in cases),
        f"{mean(t['density'] for t in trained):.1%}",
        f"{mean(t['accuracy']['test'] for t in trained):.2%}",
    ]
    if all(m["fits"] for m in mapped):
        cells += fitting(mapped, chip)
    else:
        cells += ["", chip, "does not fit", *[""] * 5]
    return "| " + " | ".join([*cells, f"{mean(t['seconds'] for t in trained):.0f}"]) + " |"


def fitting(mapped: list[dict[str, Any]], chip: str) -> list[str]:
    """The cells of a network that fits its chip."""
    return [
        f"{mean(m['accuracy_deployed'] for m in mapped):.2%}",
        chip,
        ", ".join(f"{m['cores']['used']} ({m['cores']['lower_bound']})" for m in mapped),
        f"{mean(m['synapses'] for m in mapped):,.0f}",
        f"{mean(m['synapse_words'] for m in mapped):,.0f}",
        f"{sum(m['lava']['samples'] for m in mapped):,}",
        f"{sum(m['lava']['neuron_steps_compared'] for m in mapped):,}",
        f"{sum(m['lava']['mismatches'] for m in mapped):,}",
    ]


if __name__ == "__main__":
    main()
