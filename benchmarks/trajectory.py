"""The density of real runs beside the published trajectory of the two-stage method.

    python benchmarks/trajectory.py                  two short sessions of training, a minute

arXiv 2502.13572 starts at density 0.5 with p = 0.5, q = 1 and alpha = 0.001; its published curve is
0.5 * 0.8455^k after k rewirings, what the PQ index of Gaussian weights gives. Here rho = 0 drops
without regrowing, rho = 1 regrows all. The densities go into
benchmarks/results/sparse_training.json, and from there into docs/sparse-training.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from sparse_training import HERE, results, write

SETTINGS = (
    "sparsity.method=two-stage",
    "sparsity.stop_rule=epoch",
    "sparsity.start=uniform",
    "sparsity.start_density=0.5",
    "sparsity.every_steps=85",  # one epoch of these samples
    "data.train_samples=12000",
    "training.epochs=14",
)


@click.command()
def main() -> None:
    """Train, and keep the density before every rewiring."""
    found = {rho: densities(rho) for rho in ("0.0", "1.0")}
    held = results()
    held["trajectory"] = {"config": "mnist-mlp", "settings": list(SETTINGS), "density": found}
    write(held)


def densities(rho: str) -> list[float]:
    """Of all layers together, epoch by epoch, each before the rewiring that ends it."""
    settings = (*SETTINGS, f"sparsity.regrow_fraction={rho}")
    overrides = [part for setting in settings for part in ("--set", setting)]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "toolchain", "train", str(HERE / "configs/mnist-mlp.toml")]
        subprocess.run([*command, "--out", f"{folder}/run", *overrides], check=True)
        lines = Path(folder, "run", "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["density"] for line in lines]


if __name__ == "__main__":
    main()
