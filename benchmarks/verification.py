"""Trained equals deployed, proved on real networks: every bit, from training to Lava.

    python benchmarks/verification.py mnist-mlp mnist-conv nmnist digits-recurrent
    python benchmarks/verification.py vggsnn/2 6conv2fc/4 resnet19/4      drawn, on several chips

Each case is a session of the command line: a sparse network trained in real numbers, trained on in
the chip's integers, mapped, and verified twice: all test samples on the simulator, and some on
Lava. Both chains begin with the network as it was trained. Trainings are left in --work, so an
interrupted benchmark goes on where it was. The large networks are those of benchmarks/mapping.py,
with signed weights, mapped onto a board and verified on Lava, too. Results go to
benchmarks/results/verification.json; docs/verified.md is written from that file alone. Data:
../shared/data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from end_to_end import environment, shell
from mapping import draw

from toolchain import codec
from toolchain.activity import first_neurons
from toolchain.artifact import read_artifact
from toolchain.hardware import find_profile
from toolchain.network import QuantizedNetwork

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "verification.json"
PAGE = HERE.parent / "docs" / "verified.md"
CHIP = "loihi1"
BITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network, how it is trained, and how many samples Lava is given."""

    says: str
    epochs: int  # on the chip's integers
    learning_rate: float
    lava: int
    settings: tuple[str, ...] = ()  # of the training in real numbers


GMP = ("sparsity.method=gmp", "sparsity.start_density=1.0", "sparsity.density=0.1")
CASES = {
    "mnist-mlp": Case(says="MNIST, 784-256-10", epochs=2, learning_rate=0.004, lava=1000),
    "mnist-conv": Case(
        says="MNIST, convolutions of 24 and 48 channels",
        epochs=1,
        learning_rate=0.001,
        lava=100,
        settings=GMP,
    ),
    "nmnist": Case(says="N-MNIST small, 578-256-10", epochs=10, learning_rate=0.004, lava=100),
    "digits-recurrent": Case(
        says="digits, 64 neurons that feed back", epochs=5, learning_rate=0.004, lava=360
    ),
}
LARGE = ("vggsnn/2", "6conv2fc/4", "resnet19/4")
BOARD = "loihi1-nahuku32"
SHOWN = (2, 32)  # samples and timesteps of large networks
INPUT_RATE, SPIKE_RATE, LIVELY = 0.2, 0.1, 160
COUNTS = ("equal", "samples", "spikes_compared", "neuron_steps_compared", "mismatches")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*CASES, *LARGE]), required=True)
@click.option("--work", default="runs/verification", type=click.Path(path_type=Path))
def main(names: tuple[str, ...], work: Path) -> None:
    """Measure, keep what was measured, and write the page."""
    for name in names:
        large = name in LARGE
        story = measure_large(name, work) if large else measure(name, CASES[name], work)
        found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        found.setdefault("large" if large else "cases", {})[name] = story
        found["environment"] = environment()
        RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        PAGE.write_text(document(json.loads(RESULTS.read_text())))


def measure(name: str, case: Case, work: Path) -> dict[str, Any]:
    """One network, the whole way."""
    run, exact, artifact = (work / f"{name}-{part}" for part in ("float", "exact", "artifact"))
    trained = train(name, run, case.settings)
    settings = (
        *case.settings,
        f'exact.chip="{CHIP}"',
        f"exact.weight_bits={BITS}",
        f"exact.epochs={case.epochs}",
        f"exact.learning_rate={case.learning_rate}",
        f'exact.run="{run.resolve()}"',
    )
    tuned = train(name, exact, settings)
    mapped = shell("map", exact, "--chip", CHIP, "--out", artifact)
    shown = ("verify", artifact, "--stimulus", exact / "stimulus.npz", "--trained", exact)
    return {
        "accuracy": {"float": trained["accuracy"]["test"], "exact": tuned["accuracy"]["test"]},
        "cores": mapped["cores"]["used"],
        "synapses": mapped["synapses"]["stored"],
        "simulator": proved(shell(*shown, "--backend", "simulator", codes=(0, 1))),
        "lava": proved(
            shell(
                *shown, "--against", "simulator", "--backend", "lava", "--samples", case.lava,
                codes=(0, 1),
            )
        ),
    }  # fmt: skip


def measure_large(name: str, work: Path) -> dict[str, Any]:
    """A drawn network onto several chips, and its spikes on every backend."""
    network = enlivened(draw(name))
    folder = work / name.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    codec.write(network, folder, "quantized")
    stimulus, artifact = folder / "stimulus.npz", folder / "artifact"
    shown = np.random.default_rng(0).random((*SHOWN, network.input.size)) < INPUT_RATE
    np.savez(stimulus, **{network.input.name: shown})
    mapped = shell("map", folder, "--chip", BOARD, "--stimulus", stimulus, "--out", artifact)
    verdict = shell("verify", artifact, "--stimulus", stimulus, codes=(0, 1))
    cores = mapped["cores"]["used"]
    return {
        "neurons": sum(p.size for p in network.populations),
        "synapses": mapped["synapses"]["stored"],
        "cores": cores,
        "chips": -(-cores // find_profile(BOARD).chips.cores_per_chip),
        "rates": rates(artifact),
        "lava": proved(verdict),
    }


def rates(folder: Path) -> dict[str, float]:
    """Population by population, spikes of a neuron in a timestep."""
    image = read_artifact(folder).image
    activity, first = image.activity, first_neurons(image.network)
    assert activity is not None, "mapped with a stimulus"
    return {
        p.name: float(activity.spikes[first[p.name] :][: p.size].mean() / activity.steps)
        for p in image.network.populations
    }


def enlivened(network: QuantizedNetwork) -> QuantizedNetwork:
    """Signed weights, and thresholds by which every population spikes, but not always."""
    rng = np.random.default_rng(0)
    populations, projections, rate = [], [], INPUT_RATE
    for population, edge in zip(network.populations, network.projections, strict=True):
        weights = edge.weights.copy()
        drawn = np.clip(np.round(rng.normal(0, 40, weights.nnz)), -127, 127).astype(np.int64)
        weights.data = np.where(drawn == 0, 1, drawn) * 2
        fan_in = weights.nnz / population.size
        threshold = round(float(LIVELY * np.sqrt(fan_in * rate)))
        projections.append(replace(edge, weights=weights))
        populations.append(
            replace(population, threshold=np.full(population.size, threshold), decay_u=2048)
        )
        rate = SPIKE_RATE
    return replace(network, populations=tuple(populations), projections=tuple(projections))


def train(name: str, out: Path, settings: tuple[str, ...]) -> dict[str, Any]:
    """Train, or go on, or read what is there."""
    overrides = [part for setting in settings for part in ("--set", setting)]
    config = HERE / "configs" / f"{name}.toml"
    return shell("train", config, "--out", out, *overrides, "--resume")


def proved(verdict: dict[str, Any]) -> dict[str, Any]:
    """What of a verdict is kept: its arrows, and what each compared."""
    keys = ("against", "backend", *COUNTS)
    return {
        "equal": verdict["equal"],
        "accuracy": verdict["accuracy"].get("deployed"),
        "chain": [{key: link.get(key) for key in keys} for link in verdict["chain"]],
    }


HEAD = f"""# Proved on real networks

Written by `benchmarks/verification.py` from `benchmarks/results/verification.json`. Each network
was trained sparse in real numbers, then on in the integers of `{CHIP}` with weights of {BITS} bits,
mapped, and verified by `snn-deploy verify --trained`, twice: all test samples on the simulator,
some on Lava. *trained* is the torch model in its exact mode; every arrow compares every population,
every bit.

| network | accuracy: real numbers | exact | deployed | cores | synapses |
|---|---|---|---|---|---|"""
LARGE_HEAD = f"""
The large ones are the convolutional networks of [mapping-results.md](mapping-results.md), their
masks random (resnet19 without its shortcuts) and their weights drawn with both signs, thresholds
such that every population spikes: packed onto `{BOARD}`, placed, and shown {SHOWN[0]} random
samples of {SHOWN[1]} timesteps.

| network | neurons | synapses | cores | chips | spikes per neuron and step, layer by layer |
|---|---|---|---|---|---|"""
ARROWS = """
| network | arrow | samples | neuron-steps compared | spikes | mismatches |
|---|---|---|---|---|---|"""


def document(found: dict[str, Any]) -> str:
    """docs/verified.md."""
    cases = {name: found["cases"][name] for name in CASES if name in found.get("cases", {})}
    large = {name: found["large"][name] for name in LARGE if name in found.get("large", {})}
    versions = ", ".join(f"{k} {v}" for k, v in found["environment"]["packages"].items())
    rows = [network_row(name, case) for name, case in cases.items()]
    arrows = [
        arrow_row(CASES[name].says, link)
        for name, case in cases.items()
        for link in (*case["simulator"]["chain"], *case["lava"]["chain"])
    ]
    larger = [large_row(name, case) for name, case in large.items()]
    arrows_of_large = [
        arrow_row(name, link) for name, case in large.items() for link in case["lava"]["chain"]
    ]
    tail = f"\nMeasured with Python {found['environment']['python']}: {versions}."
    tables = [HEAD, *rows, ARROWS, *arrows]
    tables += [LARGE_HEAD, *larger, ARROWS, *arrows_of_large] if large else []
    return "\n".join([*tables, tail]) + "\n"


def large_row(name: str, case: dict[str, Any]) -> str:
    """What a large network takes."""
    counts = " | ".join(f"{case[key]:,}" for key in ("neurons", "synapses", "cores", "chips"))
    lively = case["rates"].values()
    return f"| {name} | {counts} | {min(lively):.2f} to {max(lively):.2f} |"


def network_row(name: str, case: dict[str, Any]) -> str:
    """A network's accuracies and its mapping."""
    known = case["accuracy"]
    shares = (known["float"], known["exact"], case["simulator"]["accuracy"])
    cells = " | ".join(f"{share:.2%}" for share in shares)
    return f"| {CASES[name].says} | {cells} | {case['cores']} | {case['synapses']:,} |"


def arrow_row(says: str, link: dict[str, Any]) -> str:
    """One arrow of a chain."""
    counts = " | ".join(f"{link[key] or 0:,}" for key in ("samples", "neuron_steps_compared"))
    return (
        f"| {says} | {link['against']} → {link['backend']} | {counts} |"
        f" {link['spikes_compared']:,} | {link['mismatches']:,} |"
    )


if __name__ == "__main__":
    main()
