"""Trained equals deployed, proved on real networks: every bit, from training to Lava.

    python benchmarks/verification.py mnist-mlp mnist-conv nmnist digits-recurrent

Each case is a session of the command line: a sparse network trained in real numbers, trained on in
the chip's integers, mapped, and verified twice: all test samples on the simulator, and some on
Lava. Both chains begin with the network as it was trained. What takes long is left in --work, so an
interrupted benchmark goes on where it was. Results go to benchmarks/results/verification.json;
docs/verified.md is written from that file alone. Data: ../shared/data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from end_to_end import environment, shell

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
COUNTS = ("equal", "samples", "spikes_compared", "neuron_steps_compared", "mismatches")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(CASES)), required=True)
@click.option("--work", default="runs/verification", type=click.Path(path_type=Path))
def main(names: tuple[str, ...], work: Path) -> None:
    """Measure, keep what was measured, and write the page."""
    for name in names:
        story = measure(name, CASES[name], work)
        found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"cases": {}}
        found["cases"][name] = story
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
ARROWS = """
| network | arrow | samples | neuron-steps compared | spikes | mismatches |
|---|---|---|---|---|---|"""


def document(found: dict[str, Any]) -> str:
    """docs/verified.md."""
    cases = {name: found["cases"][name] for name in CASES if name in found["cases"]}
    versions = ", ".join(f"{k} {v}" for k, v in found["environment"]["packages"].items())
    rows = [network_row(name, case) for name, case in cases.items()]
    arrows = [
        arrow_row(name, link)
        for name, case in cases.items()
        for link in (*case["simulator"]["chain"], *case["lava"]["chain"])
    ]
    tail = f"\nMeasured with Python {found['environment']['python']}: {versions}."
    return "\n".join([HEAD, *rows, ARROWS, *arrows, tail]) + "\n"


def network_row(name: str, case: dict[str, Any]) -> str:
    """A network's accuracies and its mapping."""
    known = case["accuracy"]
    shares = (known["float"], known["exact"], case["simulator"]["accuracy"])
    cells = " | ".join(f"{share:.2%}" for share in shares)
    return f"| {CASES[name].says} | {cells} | {case['cores']} | {case['synapses']:,} |"


def arrow_row(name: str, link: dict[str, Any]) -> str:
    """One arrow of a chain."""
    counts = " | ".join(f"{link[key] or 0:,}" for key in ("samples", "neuron_steps_compared"))
    return (
        f"| {CASES[name].says} | {link['against']} → {link['backend']} | {counts} |"
        f" {link['spikes_compared']:,} | {link['mismatches']:,} |"
    )


if __name__ == "__main__":
    main()
