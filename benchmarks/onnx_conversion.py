"""A network trained in torch, through ONNX onto a chip: the accuracy after each step.

    python benchmarks/onnx_conversion.py --data FOLDER      IDX files of MNIST needed; ten minutes

Trains a small CNN, writes it with torch's own exporter, and walks the command line: import for 16,
32 and 64 timesteps, map, run, verify on Lava, export again and run in onnxruntime. Results go to
benchmarks/results/onnx_conversion.json; docs/onnx-conversion.md is written from that file alone.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import nn

from toolchain import codec
from toolchain.artifact import read_artifact
from toolchain.encoding import encode
from toolchain.files import write_npz
from toolchain.interchange.onnx_convert import run
from toolchain.network import Network
from toolchain.raster import Raster, read_raster, write_raster
from toolchain.train.data.idx import read_idx

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results" / "onnx_conversion.json"
TABLE = ROOT / "docs" / "onnx-conversion.md"
TIMESTEPS = (16, 32, 64)
CALIBRATION, TESTED, ON_LAVA, IN_RUNTIME = 512, 2000, 32, 200  # samples
CHIP = "loihi1"
PACKAGES = ("lava-nc", "numpy", "onnx", "onnxruntime", "scipy", "torch")
COLUMNS = (
    "timesteps", "trained (torch)", "as spikes, real numbers", "on the chip's integers",
    "cores (lower bound)", "synapses", "samples on Lava", "neuron-steps", "mismatches",
    "samples in onnxruntime", "spikes that differ",
)  # fmt: skip
HEAD = """# A network of Relus on a chip

Written by `benchmarks/onnx_conversion.py` from `benchmarks/results/onnx_conversion.json`. A CNN
trained on MNIST in torch, written by torch's own ONNX exporter, and then only the command line:
`import onnx`, `map`, `run`, `verify`, `export onnx`. Accuracy is of the first {tested:,} test
images; thresholds were balanced on {calibration} training images.
[What the conversion does](onnx.md).
"""


class Net(nn.Module):
    """Two convolutions with stride, and two fully connected layers; no bias is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 5, stride=2, padding=2)
        self.norm1 = nn.BatchNorm2d(12)
        self.conv2 = nn.Conv2d(12, 24, 3, stride=2, padding=1)
        self.norm2 = nn.BatchNorm2d(24)
        self.pool = nn.AvgPool2d(2, ceil_mode=False, padding=1, count_include_pad=False)
        self.hidden = nn.Linear(24 * 4 * 4, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(samples, 1, 28, 28) in 0..1 -> (samples, 10)."""
        x = torch.relu(self.norm1(self.conv1(image)))
        x = torch.relu(self.norm2(self.conv2(x)))
        x = torch.flatten(self.pool(x), 1)
        scores: torch.Tensor = self.out(torch.relu(self.hidden(x)))
        return scores


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path), help="IDX files of MNIST.")
@click.option("--epochs", default=4, show_default=True)
@click.option("--only-document", is_flag=True, help="Write the page from what was measured before.")
def main(data: Path, epochs: int, only_document: bool) -> None:
    """Measure, keep what was measured, and write the page."""
    if not only_document:
        with tempfile.TemporaryDirectory() as name:
            results = measure(data, Path(name), epochs)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    TABLE.write_text(document(json.loads(RESULTS.read_text())))


def measure(data: Path, folder: Path, epochs: int) -> dict[str, Any]:
    """Everything, from the images on."""
    torch.manual_seed(0)
    images, labels = mnist(data, "train")
    tests, answers = mnist(data, "t10k")
    model = Net()
    began = time.monotonic()
    train(model, images, labels, epochs)
    seconds = time.monotonic() - began
    exporter = write(model, folder / "net.onnx")
    chosen = np.random.default_rng(0).permutation(len(images))[:CALIBRATION]
    write_npz(folder / "c.npz", {"values": images[chosen], "labels": labels[chosen]})
    return {
        "model": "conv 12 of 5x5 /2, conv 24 of 3x3 /2, average pool 2, 64, 10",
        "exporter": exporter,
        "training": {
            "epochs": epochs,
            "seconds": seconds,
            "accuracy": score(model, tests, answers),
            "accuracy_tested": score(model, tests[:TESTED], answers[:TESTED]),
        },
        "tested": TESTED,
        "calibration": CALIBRATION,
        "chip": CHIP,
        "cases": [case(folder, tests[:TESTED], answers[:TESTED], steps) for steps in TIMESTEPS],
        "environment": environment(),
    }


def mnist(data: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """(samples, 1, 28, 28) bytes and (samples,) labels."""
    images = read_idx(data / f"{part}-images-idx3-ubyte.gz", 3)
    labels = read_idx(data / f"{part}-labels-idx1-ubyte.gz", 1)
    return images[:, None], labels.astype(np.int64)


def train(model: Net, images: np.ndarray, labels: np.ndarray, epochs: int) -> None:
    """Adam, one cycle of learning rates, plain images."""
    inputs, targets = torch.tensor(images), torch.tensor(labels)
    optimizer = torch.optim.Adam(model.parameters())
    batches = len(inputs) // 128
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        order = torch.randperm(len(inputs))[: batches * 128].view(batches, 128)
        for batch in order:
            loss = nn.functional.cross_entropy(model(inputs[batch] / 255), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.4f}", flush=True)
    model.eval()


def score(model: Net, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of images decided as labelled."""
    with torch.no_grad():
        decided = torch.cat(
            [model(part / 255).argmax(1) for part in torch.tensor(images).split(500)]
        )
    return float(np.mean(decided.numpy() == labels))


def write(model: Net, file: Path) -> str:
    """With torch's exporter that needs no onnxscript; returns its name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that exporter says that it is old
        torch.onnx.export(
            model,
            (torch.zeros(1, 1, 28, 28),),
            str(file),
            dynamo=False,
            input_names=["image"],
            output_names=["scores"],
            dynamic_axes={"image": {0: "samples"}},
        )
    return "torch.onnx.export(dynamo=False)"


def case(folder: Path, tests: np.ndarray, answers: np.ndarray, steps: int) -> dict[str, Any]:
    """One number of timesteps, from the import to Lava and onnxruntime."""
    place = folder / str(steps)
    began = time.monotonic()
    imported = shell(
        "import", "onnx", folder / "net.onnx", "--calibrate", folder / "c.npz",
        "--timesteps", steps, "--out", place / "network",
    )  # fmt: skip
    seconds = time.monotonic() - began
    network = codec.read(Network, place / "network", "network")
    assert network.encoding is not None
    spikes = encode(network.encoding, tests, np.arange(len(tests)))
    stimulus = Raster(spikes={"input": spikes}, labels=answers)
    write_raster(place / "stimulus.npz", stimulus)
    mapped = shell("map", place / "network", "--chip", CHIP, "--out", place / "art")
    given = (place / "art", "--stimulus", place / "stimulus.npz")
    whole = shell("run", *given, "--out", place / "raster.npz")
    verdict = shell("verify", *given, "--samples", ON_LAVA, "--backend", "lava")
    wanted = ("equal", "mismatches", "samples", "neuron_steps_compared", "spikes_compared")
    return {
        "timesteps": steps,
        "seconds": seconds,
        "import": {key: imported[key] for key in ("accuracy", "agreement", "layers", "synapses")},
        "accuracy": {
            "spiking": in_real_numbers(network, spikes, answers),
            "deployed": whole["accuracy"],
        },
        "cores": {key: mapped["cores"][key] for key in ("used", "lower_bound")},
        "synapses": mapped["synapses"]["stored"],
        "lava": {key: verdict[key] for key in wanted},
        "onnxruntime": in_runtime(place, spikes[:IN_RUNTIME]),
    }


def in_real_numbers(network: Network, spikes: np.ndarray, answers: np.ndarray) -> float:
    """Accuracy of the integrate-and-fire network before it is quantized."""
    parts = [
        run(network, spikes[at : at + 500])[network.output] for at in range(0, len(spikes), 500)
    ]
    decided = np.concatenate([part.sum(axis=1).argmax(axis=1) for part in parts])
    return float(np.mean(decided == answers))


def in_runtime(place: Path, spikes: np.ndarray) -> dict[str, Any]:
    """The exported artifact in onnxruntime against the raster of the packed cores."""
    import onnxruntime

    file = place / "deployed.onnx"
    shell("export", "onnx", place / "art", file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    began = time.monotonic()
    found = dict(zip(names, session.run(names, {"raster/input": spikes}), strict=True))
    seconds = time.monotonic() - began
    expected = read_raster(place / "raster.npz").first(len(spikes)).spikes
    populations = [p.name for p in read_artifact(place / "art").network.populations]
    return {
        "samples": len(spikes),
        "bytes": file.stat().st_size,
        "seconds": seconds,
        "compared": sum(expected[name].size for name in populations),
        "differ": sum(int(np.sum(found[f"raster/{n}"] != expected[n])) for n in populations),
    }


def shell(*arguments: object) -> dict[str, Any]:
    """The JSON answer of one command."""
    print("snn-deploy", *arguments, flush=True)
    command = [sys.executable, "-m", "toolchain", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {done.stdout.decode()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def environment() -> dict[str, Any]:
    """Versions, and how many processors there were."""
    return {
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def document(results: dict[str, Any]) -> str:
    """docs/onnx-conversion.md."""
    training = results["training"]
    text = [
        HEAD.format(calibration=results["calibration"], tested=results["tested"]),
        f"The network: {results['model']}; {training['epochs']} epochs,"
        f" {training['seconds']:.0f} s of training; {training['accuracy']:.2%} of all 10,000 test"
        f" images. Exporter: `{results['exporter']}`. Chip:"
        f" `{results['chip']}`.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *(row(found, training["accuracy_tested"]) for found in results["cases"]),
        "",
        "What each layer loses, on the calibration data: *lost* is the norm of what spike rates"
        " leave of the activations, as a share of their norm; *rate* is spikes per neuron and"
        " timestep.",
        "",
        "| timesteps | layer | neurons | synapses | lost | correlation | rate |",
        "|---|---|---|---|---|---|---|",
        *(line for found in results["cases"] for line in layers(found)),
        "",
        measured(results["environment"]),
        "",
    ]
    return "\n".join(text)


def row(found: dict[str, Any], trained: float) -> str:
    """One number of timesteps."""
    lava, runtime, accuracy = found["lava"], found["onnxruntime"], found["accuracy"]
    cells = [
        str(found["timesteps"]),
        f"{trained:.2%}",
        f"{accuracy['spiking']:.2%}",
        f"{accuracy['deployed']:.2%}",
        f"{found['cores']['used']} ({found['cores']['lower_bound']})",
        f"{found['synapses']:,}",
        f"{lava['samples']:,}",
        f"{lava['neuron_steps_compared']:,}",
        f"{lava['mismatches']:,}",
        f"{runtime['samples']:,}",
        f"{runtime['differ']:,} of {runtime['compared']:,}",
    ]
    return "| " + " | ".join(cells) + " |"


def layers(found: dict[str, Any]) -> list[str]:
    """A line for each layer of one number of timesteps."""
    return [
        f"| {found['timesteps']} | {loss['layer']} | {loss['neurons']:,} | {loss['synapses']:,} |"
        f" {loss['error']:.1%} | {loss['correlation']:.3f} | {loss['rate']:.1%} |"
        for loss in found["import"]["layers"]
    ]


def measured(environment: dict[str, Any]) -> str:
    """Where it was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in environment["packages"].items())
    place = f"Python {environment['python']} on {environment['processors']} processors"
    return f"Measured with {place}: {versions}."


if __name__ == "__main__":
    main()
