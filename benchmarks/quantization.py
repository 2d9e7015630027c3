"""What each bit width costs: accuracy after deployment, at 8 to 2 bits, reached in three ways.

    python benchmarks/quantization.py mnist-mlp nmnist

float          the trained network in real numbers: what the others are measured against
largest        quantized after training, scales by the largest weight
calibrated     quantized after training, scales chosen on 256 training samples
exact          trained on for a few epochs on the chip's integers, from the same float network

One float training for each seed, which all cases share. Everything runs in this one process; what
was measured is kept in benchmarks/results/quantization.json, so an interrupted benchmark goes on
where it was. docs/quantization.md is written from that file alone. Data: ../shared/data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import click
from end_to_end import environment

from toolchain.cli.train import grids_for
from toolchain.hardware import find_profile
from toolchain.mapper.calibrate import Calibration
from toolchain.mapper.quantize import quantize
from toolchain.raster import accuracy, read_raster
from toolchain.train.config import TrainConfig, read_config
from toolchain.train.data import load
from toolchain.train.exact_phase import training_spikes
from toolchain.train.export import to_network
from toolchain.train.forward import folded
from toolchain.train.predict import deployed, spikes_of
from toolchain.train.run import train

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "quantization.json"
TABLE = HERE.parent / "docs" / "quantization.md"
CHIP = "loihi1"
BITS = (8, 6, 5, 4, 3, 2)
SAMPLES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A data set and network, and how it is trained on."""

    epochs: int
    learning_rate: float
    says: str


SERIES = {
    "mnist-mlp": Series(
        epochs=2,
        learning_rate=0.004,
        says="MNIST, 784-256-10, 10 % of the synapses, 8 timesteps, 5 epochs and 2 on the chip's"
        " integers; 10,000 test digits",
    ),
    "nmnist": Series(
        epochs=10,
        learning_rate=0.004,
        says="N-MNIST small, 578-256-10, 10 % of the synapses, 20 timesteps, 30 epochs and 10 on"
        " the chip's integers; 100 test digits, so one digit is a whole point",
    ),
}
WAYS = ("largest", "calibrated", "exact")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SERIES)), required=True)
@click.option("--seeds", default="0,1,2", help="Comma-separated.")
@click.option("--work", default="runs/quantization", type=click.Path(path_type=Path))
def main(names: tuple[str, ...], seeds: str, work: Path) -> None:
    """Measure what is not yet measured, seed by seed, and write the table."""
    for seed in seeds.split(","):
        for name in names:
            measure(name, int(seed), work)


def measure(name: str, seed: int, work: Path) -> None:
    """All cases of one seed, those of the results left out."""
    config = read_config(HERE / "configs" / f"{name}.toml", [f"training.seed={seed}"])
    run = work / f"{name}-{seed}"
    if not held(name, seed, "float", None):
        summary = train(config, run, resume=True)
        keep(name, seed, "float", None, {"accuracy": summary.as_table()["accuracy"]["test"]})
    after_training(name, seed, config, run)
    for bits in BITS:
        if not held(name, seed, "exact", bits):
            exact(name, seed, bits, config, run)


def after_training(name: str, seed: int, config: TrainConfig, run: Path) -> None:
    """Quantize the float network at every width, both ways, and run the test set."""
    todo = [(b, way) for b in BITS for way in WAYS[:2] if not held(name, seed, way, b)]
    if not todo:
        return
    model = folded(deployed(run).model)
    network, stimulus = to_network(model), read_raster(run / "stimulus.npz")
    shown = training_spikes(load(config.data, config.encoding), SAMPLES)
    for bits, way in todo:
        calibration = Calibration(stimulus=shown, source="the training set")
        found = quantize(
            network,
            find_profile(CHIP),
            weight_bits=bits,
            calibration=calibration if way == "calibrated" else None,
        )
        assert not found.violations, found.violations
        grids = {grid.population: grid for grid in found.grids}
        spikes = spikes_of(model, stimulus, grids=grids)
        story = {
            "accuracy": accuracy(spikes, network.output),
            "clipped": sum(rounding.clipped for rounding in found.roundings),
            "dropped": found.dropped,
            "synapses": network.synapses,
        }
        keep(name, seed, way, bits, story)


def exact(name: str, seed: int, bits: int, config: TrainConfig, run: Path) -> None:
    """Train on at this width, from the float network's best epoch."""
    settings = [
        f"training.seed={seed}",
        f'exact.chip="{CHIP}"',
        f"exact.weight_bits={bits}",
        f"exact.epochs={SERIES[name].epochs}",
        f"exact.learning_rate={SERIES[name].learning_rate}",
        f'exact.run="{run.resolve()}"',
    ]
    tuned = read_config(HERE / "configs" / f"{name}.toml", settings)
    out = run.with_name(f"{run.name}-exact-{bits}")
    summary = train(tuned, out, resume=True, quantizer=grids_for).as_table()
    keep(name, seed, "exact", bits, {"accuracy": summary["accuracy"]["test"]})


def results() -> dict[str, Any]:
    """What was measured so far."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"cases": []}


def held(name: str, seed: int, way: str, bits: int | None) -> bool:
    """Whether a case is measured."""
    return any(case["key"] == [name, seed, way, bits] for case in results()["cases"])


def keep(name: str, seed: int, way: str, bits: int | None, story: dict[str, Any]) -> None:
    """Add a case to the results, and write the table."""
    found = results()
    case = {"key": [name, seed, way, bits], **story}
    found["cases"] = sorted([*found["cases"], case], key=lambda one: str(one["key"]))
    found["environment"] = environment()
    RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    TABLE.write_text(document(found))
    click.echo(f"{case['key']} {story['accuracy']:.2%}", err=True)


HEAD = f"""# What each bit width costs

Written by `benchmarks/quantization.py` from `benchmarks/results/quantization.json`. Test accuracy
of the deployed network on `{CHIP}`, in the mean over seeds, with its difference in points from the
same seeds' networks in real numbers. How to get each of them: docs/exact-training.md.

- *largest weight*: quantized after training, each population's scale by its largest weight;
- *calibrated*: quantized after training, each scale chosen on {SAMPLES} training samples;
- *exact*: trained on, from the same float network, on the chip's integers. It has had more epochs
  than the float network, so it may exceed it; read the widths of this column against each other.
  What was trained is what is deployed, bit for bit.
"""


def document(found: dict[str, Any]) -> str:
    """docs/quantization.md."""
    lines = HEAD.splitlines()
    for name, series in SERIES.items():
        cases = {tuple(case["key"][1:]): case for case in found["cases"] if case["key"][0] == name}
        if cases:
            lines += ["", f"## {series.says.split(',')[0]}", "", f"{series.says}.", ""]
            lines += table(cases)
    versions = ", ".join(f"{k} {v}" for k, v in found["environment"]["packages"].items())
    return "\n".join([*lines, "", f"Measured with {versions}.", ""])


def table(cases: dict[tuple[Any, ...], dict[str, Any]]) -> list[str]:
    """The rows of one series."""
    floats = {seed: case["accuracy"] for (seed, way, _), case in cases.items() if way == "float"}
    lines = [
        f"In real numbers: {spread(list(floats.values()))} ({len(floats)} of 3 seeds).",
        "",
        "| bits | largest weight | calibrated | exact | seeds |",
        "|---|---|---|---|---|",
    ]
    for bits in BITS:
        cells = [cell(cases, way, bits, floats) for way in WAYS]
        seeds = {len([1 for key in cases if key[1:] == (way, bits)]) for way in WAYS}
        counts = "-".join(str(n) for n in sorted(seeds))
        lines.append(f"| {bits} | {' | '.join(cells)} | {counts} |")
    return lines


def cell(cases: dict[Any, Any], way: str, bits: int, floats: dict[int, float]) -> str:
    """Accuracy of one way at one width, and its distance to float."""
    found = {key[0]: case["accuracy"] for key, case in cases.items() if key[1:] == (way, bits)}
    if not found:
        return "not yet measured"
    gap = mean(found[seed] - floats[seed] for seed in found)
    return f"{spread(list(found.values()))} ({100 * gap:+.2f})"


def spread(values: list[float]) -> str:
    """Mean and standard deviation in percent."""
    wide = f" ± {100 * stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.2f} %{wide}"


if __name__ == "__main__":
    main()
