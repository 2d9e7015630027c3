"""6Conv2FC on the whole of CIFAR-10: the two-stage method, ESL, dense and STDS, on a GPU.

    python benchmarks/cifar10_deep.py --folder data/cifar-10 --minutes 9    again, until it is done
    python benchmarks/cifar10_deep.py --folder data/cifar-10 --device cpu --epochs 2 --samples 64

Trains the methods one after the other, a piece of --minutes at a time, each resumed where it stood;
then maps the two-stage network at 8 bits and runs it on the fast simulator. Published: STDS 92.49 %
at 4.64 % of the weights (Chen et al., ICML 2022), the two-stage method 92.38 % at 29.7 % (arXiv
2502.13572). Results go to benchmarks/results/cifar10_deep.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from end_to_end import environment, shell

HERE = Path(__file__).parent
CONFIG = HERE.parent / "examples" / "cifar10-6conv2fc.toml"
RESULTS = HERE / "results" / "cifar10_deep.json"
METHODS: dict[str, tuple[str, ...]] = {
    "two-stage": (),
    "esl": ("method=esl", "every_epochs=1"),
    "stds": ("method=stds",),
    "dense": ("method=dense",),
}


@click.command()
@click.option("--folder", required=True, type=click.Path(path_type=Path), help="CIFAR-10's files.")
@click.option("--work", default="runs/cifar10_deep", type=click.Path(path_type=Path))
@click.option("--methods", default=",".join(METHODS), help="Comma-separated.")
@click.option("--minutes", default=9.0, help="Of this piece, all methods together.")
@click.option("--device", default="cuda", type=click.Choice(["cuda", "cpu"]))
@click.option("--epochs", default=0, help="Instead of the configuration's; a trial.")
@click.option("--samples", default=0, help="Training images instead of all; a trial.")
@click.option("--chip", default="", help="Map the two-stage network onto it; default: train only.")
def main(
    folder: Path,
    work: Path,
    methods: str,
    minutes: float,
    device: str,
    epochs: int,
    samples: int,
    chip: str,
) -> None:
    """One piece of the work; says what is left."""
    until = time.monotonic() + 60 * minutes
    common = [f"data.folder={folder.resolve()}", f"training.device={device}"]
    if epochs:
        common += [f"training.epochs={epochs}", "data.download=false"]
    if samples:
        common += [f"data.train_samples={samples}", f"data.test_samples={samples}"]
    for method in methods.split(","):
        left = (until - time.monotonic()) / 60
        if left <= 0:
            sys.exit(f"{method}: its turn comes with the next piece; run the same command again")
        summary = train(method, work, common, left, short=bool(epochs))
        if not summary["finished"]:
            at = f"epoch {summary['epoch']} of {summary['epochs']}"
            sys.exit(f"{method}: {at}; run the same command again")
        keep(method, summary)
    if chip:
        deploy(work, chip)


def train(
    method: str, work: Path, common: list[str], minutes: float, *, short: bool
) -> dict[str, Any]:
    """Train a method for so long, from where it stood."""
    own = [f"sparsity.{part}" for part in METHODS[method]]
    if short and method != "dense":
        own.append("sparsity.stop_epoch=1")
    if short and method == "two-stage":
        own.append("sparsity.every_epochs=1")
    settings = [part for setting in (*common, *own) for part in ("--set", setting)]
    command = [sys.executable, "-m", "toolchain", "train", str(CONFIG), "--out", str(work / method)]
    done = subprocess.run(
        [*command, *settings, "--resume", "--minutes", f"{minutes:.3f}", "--json"],
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{method}: exit code {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def deploy(work: Path, chip: str) -> None:
    """Map the two-stage network and run it on the whole test set."""
    run, artifact = work / "two-stage", work / "artifact"
    mapped = shell("map", run, "--chip", chip, "--out", artifact)
    whole = shell(
        "run", artifact, "--stimulus", run / "stimulus.npz", "--backend", "simulator",
        "--out", work / "raster.npz",
    )  # fmt: skip
    keep("deployed", {"cores": mapped["cores"], "accuracy": whole["accuracy"], "chip": chip})


def keep(name: str, found: dict[str, Any]) -> None:
    """Put what was found into the results."""
    held = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    held |= {name: {k: v for k, v in found.items() if k != "run"}, "environment": environment()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
