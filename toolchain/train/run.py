"""A training run and its folder: started, stopped and resumed at any point, always the same bytes.

config.json              the configuration, every default written out
metrics.jsonl            a line per epoch
checkpoint.safetensors   everything needed to go on after the last whole epoch
best.safetensors         weights, masks and biases of the epoch that is deployed
network.json, .safetensors, stimulus.npz     what mapping and verification read
summary.json             written last; only here stands how long it took, and where
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolchain import codec
from toolchain.files import write_bytes, write_json
from toolchain.network import Network
from toolchain.raster import Raster, accuracy, write_raster
from toolchain.train.checkpoint import (
    Checkpoint,
    Record,
    read_checkpoint,
    read_layers,
    write_checkpoint,
    write_layers,
)
from toolchain.train.config import TrainConfig, check_schedule
from toolchain.train.data import Dataset, load
from toolchain.train.encoding import rate_encode
from toolchain.train.export import INPUT, to_network
from toolchain.train.folder import Summary, config_table, open_folder
from toolchain.train.learner import Learner, layer_arrays, new_learner
from toolchain.train.loop import Epoch, Watch, encoder, evaluate, train_epoch
from toolchain.train.models import Layer
from toolchain.train.pq import pq_index
from toolchain.train.predict import spikes_of
from toolchain.train.rewiring import rewire_all
from toolchain.train.schedule import layer_counts


def quiet(step: str, done: int, total: int, text: str) -> None:
    """A watch that looks away."""


def train(config: TrainConfig, out: Path, *, resume: bool = False, watch: Watch = quiet) -> Summary:
    """Train a network and leave everything that deploying it needs in the folder `out`.

    `watch(step, done, total, text)` hears of the progress. `resume` goes on with an unfinished
    run; a finished one is given back as it is. Raises InputError where `out` holds another run.
    """
    started = time.monotonic()
    check_schedule(config, "the configuration")
    finished = open_folder(config, out, resume=resume)
    if finished is not None:
        return finished
    with _repeatable(config.training.threads):
        return _train(config, out, resume=resume, watch=watch, started=started)


@contextlib.contextmanager
def _repeatable(threads: int) -> Iterator[None]:
    """torch such that equal runs give equal bits; afterwards as it was."""
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_num_threads(before[1])


def _train(
    config: TrainConfig, out: Path, *, resume: bool, watch: Watch, started: float
) -> Summary:
    watch("data", 0, 1, config.data.name)
    dataset = load(config.data)
    sizes = [dataset.pixels, *config.network.hidden, dataset.classes]
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    first, targets = layer_counts(config, shapes)
    write_json(out / "config.json", config_table(config))
    if resume and (out / "checkpoint.safetensors").exists():
        state = read_checkpoint(out / "checkpoint.safetensors", config)
    else:
        state = Checkpoint(learner=new_learner(config, sizes, first), history=[])
    history = _learn(state, dataset, config, targets, out, watch)
    watch("export", 0, 1, "network and stimulus")
    return _finish(history, dataset, config, out, started)


def _learn(
    state: Checkpoint,
    dataset: Dataset,
    config: TrainConfig,
    targets: list[int],
    out: Path,
    watch: Watch,
) -> list[Record]:
    """Train the epochs that are left; the history of all of them."""
    learner, history = state.learner, list(state.history)
    encode = encoder(config, dataset.maximum)
    _write_metrics(out, history)
    for epoch in range(len(history) + 1, config.training.epochs + 1):
        learned = train_epoch(learner, dataset.train, encode, config, epoch=epoch, watch=watch)
        validation = evaluate(learner.layers, dataset.validation, encode, config)
        record = _record(learner, config, targets, learned, epoch, validation)
        if _is_best(record, history):
            write_layers(out / "best.safetensors", layer_arrays(learner.layers))
        _rewire(record, learner, config, targets)
        history.append(record)
        write_checkpoint(out / "checkpoint.safetensors", learner, history)
        _write_metrics(out, history)
        watch("epoch", epoch, config.training.epochs, _line(record))
    return history


def _rewire(record: Record, learner: Learner, config: TrainConfig, targets: list[int]) -> None:
    """Rewire where the schedule says so, and note in the record how much was moved."""
    if record["epoch"] not in config.rewiring_epochs:
        return
    moved = rewire_all(learner, config, targets, record["epoch"])
    for layer, counts in zip(record["layers"], moved, strict=True):
        layer |= counts


def _record(
    learner: Learner,
    config: TrainConfig,
    targets: list[int],
    learned: Epoch,
    epoch: int,
    validation: float,
) -> Record:
    """What metrics.jsonl says of an epoch; densities are those it was trained with."""
    synapses = [int(layer.mask.sum()) for layer in learner.layers]
    return {
        "epoch": epoch,
        "loss": learned.loss,
        "accuracy": {"train": learned.accuracy, "validation": validation},
        "learning_rate": learned.learning_rate,
        "at_target": synapses == targets,
        "density": sum(synapses) / sum(layer.mask.numel() for layer in learner.layers),
        "layers": [_layer_record(layer, config) for layer in learner.layers],
    }


def _layer_record(layer: Layer, config: TrainConfig) -> Record:
    existing = layer.weight.detach()[layer.mask].numpy().astype(np.float64)
    return {
        "name": layer.name,
        "density": existing.size / layer.mask.numel(),
        "pq_index": pq_index(existing, p=config.sparsity.p, q=config.sparsity.q),
        "drop": 0,
        "grow": 0,
    }


def _is_best(record: Record, history: list[Record]) -> bool:
    """Whether no epoch before, of those at the final density, validated better."""
    before = [past["accuracy"]["validation"] for past in history if past["at_target"]]
    now: float = record["accuracy"]["validation"]
    return bool(record["at_target"]) and all(now >= past for past in before)


def _best(history: list[Record]) -> Record:
    best = [record for at, record in enumerate(history) if _is_best(record, history[:at])]
    assert best, "the last rewiring reaches the final density, and an epoch follows it"
    return best[-1]


def _line(record: Record) -> str:
    shares = record["accuracy"]
    return (
        f"loss {record['loss']:.3f}, train {shares['train']:.2%}, validation"
        f" {shares['validation']:.2%}, density {record['density']:.1%}"
    )


def _write_metrics(out: Path, history: list[Record]) -> None:
    lines = [json.dumps(record, sort_keys=True, allow_nan=False) + "\n" for record in history]
    write_bytes(out / "metrics.jsonl", "".join(lines).encode())


def _finish(
    history: list[Record], dataset: Dataset, config: TrainConfig, out: Path, started: float
) -> Summary:
    """Write the network, the stimulus and, last, the summary."""
    layers = read_layers(out / "best.safetensors", config)
    network = to_network(layers, config.network)
    stimulus = _stimulus(dataset, config)
    spikes = spikes_of(layers, stimulus, config.network)
    tested = accuracy(spikes, network.output)
    assert tested is not None
    codec.write(network, out, "network")
    write_raster(out / "stimulus.npz", stimulus)
    best = _best(history)
    summary = Summary(
        accuracy={"validation": best["accuracy"]["validation"], "test": tested},
        density=_density(layers),
        unrolled_connectivity=network.density,  # a Network shares no weight: it is unrolled
        seconds=round(time.monotonic() - started, 3),
        run=str(out),
        epochs=len(history),
        best_epoch=best["epoch"],
        method=config.sparsity.method,
        layers=_layers(network, layers, spikes),
    )
    write_json(out / "summary.json", summary.as_table())
    return summary


def _stimulus(dataset: Dataset, config: TrainConfig) -> Raster:
    """The test set as the chip receives it."""
    spikes = rate_encode(
        dataset.test.pixels, maximum=dataset.maximum, timesteps=config.encoding.timesteps
    )
    return Raster(spikes={INPUT: spikes}, labels=dataset.test.labels)


def _density(layers: list[Layer]) -> float:
    existing = sum(int(layer.mask.sum()) for layer in layers)
    return existing / sum(layer.mask.numel() for layer in layers)


def _layers(network: Network, layers: list[Layer], spikes: Raster) -> list[dict[str, Any]]:
    return [
        {
            "name": projection.target,
            "source": projection.source,
            "neurons": int(projection.weights.shape[0]),
            "synapses": int(projection.weights.nnz),
            "density": float(layer.mask.numpy().mean()),
            "spikes_per_neuron_step": float(spikes.spikes[projection.target].mean()),
        }
        for projection, layer in zip(network.projections, layers, strict=True)
    ]
