"""A training run and its folder: started, stopped and resumed at any point, always the same bytes.

config.json              the configuration, every default written out
model.json               the model's structure
metrics.jsonl            a line per epoch
checkpoint.safetensors   everything needed to go on after the last whole epoch, or inside one
best.safetensors         weights, masks, norms and biases of the epoch that is deployed
network.json, .safetensors, stimulus.npz     what mapping and verification read
summary.json             written last; only here stands how long it took, and where
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolchain import codec
from toolchain.files import write_bytes, write_json
from toolchain.network import Network
from toolchain.raster import Raster, accuracy, write_raster
from toolchain.train.architectures import build
from toolchain.train.checkpoint import (
    Checkpoint,
    Progress,
    Record,
    read_checkpoint,
    read_model,
    write_checkpoint,
    write_model,
    write_structure,
)
from toolchain.train.config import TrainConfig, check_schedule
from toolchain.train.data import Dataset, load
from toolchain.train.export import export
from toolchain.train.folder import (
    Summary,
    config_table,
    held_alone,
    open_folder,
    read_summary,
)
from toolchain.train.learner import assert_masked, new_learner
from toolchain.train.loop import Pause, Setting, Watch, added, evaluate, train_epoch
from toolchain.train.measures import density, operations, unrolled_connectivity
from toolchain.train.memory import keep_freed_memory
from toolchain.train.model import INPUT, Model, Trained, trained
from toolchain.train.model_file import mapped
from toolchain.train.pq import pq_index
from toolchain.train.predict import spikes_of
from toolchain.train.rewiring import Moved, first_strengths, rewire_all, start
from toolchain.train.schedule import course
from toolchain.train.stopping import STOP_RULES, Seen
from toolchain.train.world import World, joined


def quiet(step: str, done: int, total: int, text: str) -> None:
    """A watch that looks away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A run that was told to stop before its end; `--resume` goes on to the same bytes."""

    run: str
    epoch: int  # in hand
    batches: int  # of it, done
    epochs: int  # of the whole run

    def as_table(self) -> dict[str, Any]:
        """What `snn-deploy train --json` says."""
        return {"finished": False, **asdict(self)}


class _OutOfTimeError(Exception):
    """The session's minutes are over, and its checkpoint is written."""


def train(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    minutes: float | None = None,
    watch: Watch = quiet,
) -> Summary | Paused:
    """Train a network and leave everything that deploying it needs in the folder `out`.

    `watch(step, done, total, text)` hears of the progress. `resume` goes on with an unfinished
    run; a finished one is given back as it is. After so many `minutes` the run is put aside, to be
    resumed. Raises InputError where `out` holds another run, or another session trains there.
    """
    started = time.monotonic()
    check_schedule(config, "the configuration")
    with contextlib.ExitStack() as ends:
        ends.enter_context(_repeatable(config.training.threads))
        world = ends.enter_context(joined(config.training.device))
        if world.writes:
            ends.enter_context(held_alone(out))
        finished = open_folder(config, out, resume=resume) if world.writes else None
        world.wait()
        if world.any(finished is not None):
            return finished or _elsewhere(out)
        session = _Session(out=out, started=started, minutes=minutes, watch=watch, world=world)
        return _train(config, session, resume=resume)


@contextlib.contextmanager
def _repeatable(threads: int) -> Iterator[None]:
    """torch such that equal runs give equal bits; afterwards as it was."""
    memory = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    filled = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is repeatable with it only
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    keep_freed_memory()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_num_threads(before[1])
        memory.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """One sitting of a run."""

    out: Path
    started: float
    minutes: float | None
    watch: Watch
    world: World

    def over(self) -> bool:
        late = self.minutes is not None and time.monotonic() - self.started > 60 * self.minutes
        return self.world.any(late)

    def save(self, state: Checkpoint) -> None:
        if self.world.writes:
            write_checkpoint(self.out / "checkpoint.safetensors", state)

    def save_metrics(self, history: list[Record]) -> None:
        if self.world.writes:
            lines = [json.dumps(r, sort_keys=True, allow_nan=False) + "\n" for r in history]
            write_bytes(self.out / "metrics.jsonl", "".join(lines).encode())


def _train(config: TrainConfig, session: _Session, *, resume: bool) -> Summary | Paused:
    session.watch("data", 0, 1, config.data.name)
    dataset = load(config.data, config.encoding)
    state, setting = _first_state(config, dataset, session, resume=resume)
    try:
        history = _learn(state, setting, session)
    except _OutOfTimeError as paused:
        epoch, batches = paused.args
        run = str(session.out)
        return Paused(run=run, epoch=epoch, batches=batches, epochs=config.training.epochs)
    session.watch("export", 0, 1, "network and stimulus")
    summary = _finish(history, setting, session) if session.world.writes else None
    session.world.wait()
    return summary or _elsewhere(session.out)


def _first_state(
    config: TrainConfig, dataset: Dataset, session: _Session, *, resume: bool
) -> tuple[Checkpoint, Setting]:
    """Where this session begins: at the checkpoint, or with a new network."""
    held = session.out / "checkpoint.safetensors"
    if resume and held.exists():
        state = read_checkpoint(held, config)
        return state, _setting(config, dataset, session, state.learner.model)
    rng = np.random.default_rng([config.training.seed, 0])
    model = build(config.network, dataset.shape, dataset.classes, rng)
    setting = _setting(config, dataset, session, model)
    start(model, setting.course, rng)
    if session.world.writes:
        write_json(session.out / "config.json", config_table(config))
        write_structure(session.out, model)
    model = mapped(model, lambda tensor: tensor.to(config.training.device))
    learner = new_learner(model, config, first_strengths(model, setting.course, config))
    return Checkpoint(learner=learner, history=[], progress=Progress()), setting


def _setting(config: TrainConfig, dataset: Dataset, session: _Session, model: Model) -> Setting:
    shapes = {part.name: tuple(part.weight.shape) for part in trained(model)}
    batches = -(-len(dataset.train) // config.training.batch_size)
    found = course(config, shapes, epoch_steps=batches)
    return Setting(
        config=config, dataset=dataset, course=found, world=session.world, watch=session.watch
    )


def _learn(state: Checkpoint, setting: Setting, session: _Session) -> list[Record]:
    """Train the epochs that are left; the history of all of them."""
    learner, history, progress = state.learner, list(state.history), state.progress
    session.save_metrics(history)
    for epoch in range(len(history) + 1, setting.config.training.epochs + 1):
        pause = _pause(session, state, setting, history, epoch)
        ended = _stopped(history, setting)
        progress = train_epoch(learner, setting, progress, epoch=epoch, stopped=ended, pause=pause)
        record = _record(learner.model, setting, progress, history, epoch)
        if _is_best(record, history) and session.world.writes:
            write_model(session.out / "best.safetensors", learner.model)
        _rewire(record, state, setting, progress.moved, history)
        history.append(record)
        progress = Progress()
        session.save(replace(state, history=history, progress=progress))
        session.save_metrics(history)
        setting.watch("epoch", epoch, setting.config.training.epochs, _line(record))
        if epoch < setting.config.training.epochs and session.over():
            raise _OutOfTimeError(epoch + 1, 0)
    return history


def _pause(
    session: _Session, state: Checkpoint, setting: Setting, history: list[Record], epoch: int
) -> Pause:
    """What follows every batch: a checkpoint where one is due, and the end of a session's time."""
    every = setting.config.training.checkpoint_batches

    def pause(progress: Progress) -> None:
        over = session.over()
        if over or (every is not None and progress.batches % every == 0):
            session.save(replace(state, history=history, progress=progress))
        if over:
            raise _OutOfTimeError(epoch, progress.batches)

    return pause


def _rewire(
    record: Record, state: Checkpoint, setting: Setting, moved: Moved, history: list[Record]
) -> None:
    """Rewire where the schedule says so, and note in the record how much moved in this epoch."""
    at, learner = record["epoch"] * setting.batches, state.learner
    ended = _stopped([*history, record], setting)
    if at in setting.course.steps and not ended:
        moved = added(moved, rewire_all(learner, setting.course, setting.config, at=at))
    for part in trained(learner.model):
        assert_masked(learner, part, optimizer=part.name not in learner.strengths)
    masks = (part.mask for part in trained(learner.model))
    setting.world.assert_equal(masks, "the masks of an epoch")
    for layer in record["layers"]:
        layer |= moved.get(layer["name"], {})


def _record(
    model: Model, setting: Setting, progress: Progress, history: list[Record], epoch: int
) -> Record:
    """What metrics.jsonl says of an epoch; densities are those at its end, before a rewiring."""
    parts = list(trained(model))
    layers = [_layer_record(part, setting.config) for part in parts]
    synapses = sum(layer["synapses"] for layer in layers)
    at = epoch * setting.batches
    return {
        "epoch": epoch,
        "loss": progress.loss / progress.samples,
        "accuracy": {
            "train": progress.right / progress.samples,
            "validation": evaluate(model, setting.dataset.validation, setting),
        },
        "learning_rate": setting.rate(at - 1),
        "at_target": _at_target(synapses, setting, history, at),
        "density": synapses / sum(part.mask.numel() for part in parts),
        "pq_index": _pq_index(layers, setting),
        "layers": layers,
    }


def _at_target(synapses: int, setting: Setting, history: list[Record], at: int) -> bool:
    """Whether a network of so many synapses may be the one that is deployed.

    It has as many as are asked for; or, where the method decides that, it is rewired no more.
    """
    course = setting.course
    if course.targets is not None:
        return synapses == sum(course.targets.values())
    return at > max(course.steps, default=0) or _stopped(history, setting)


def _stopped(history: list[Record], setting: Setting) -> bool:
    """Whether the stop rule has ended all rewiring, after any of these epochs."""
    sparsity = setting.config.sparsity
    rule = STOP_RULES[sparsity.stop_rule]
    seen = [
        Seen(validation=record["accuracy"]["validation"], pq_index=record["pq_index"])
        for record in history
    ]
    return any(rule(seen[:end], sparsity.patience) for end in range(1, len(seen) + 1))


def _pq_index(layers: list[Record], setting: Setting) -> float:
    """Of the layers that are rewired, each by its number of synapses."""
    moving = [layer for layer in layers if layer["name"] in setting.course.rewired]
    weights = [layer["synapses"] for layer in moving]
    if not sum(weights):
        return 0.0
    return float(np.average([layer["pq_index"] for layer in moving], weights=weights))


def _layer_record(part: Trained, config: TrainConfig) -> Record:
    existing = part.weight.detach()[part.mask].cpu().numpy().astype(np.float64)
    return {
        "name": part.name,
        "synapses": existing.size,
        "density": existing.size / part.mask.numel(),
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


def _finish(history: list[Record], setting: Setting, session: _Session) -> Summary:
    """Write the network, the stimulus and, last, the summary."""
    out = session.out
    model = read_model(out)
    exported = export(model)
    network = replace(exported.network, encoding=setting.dataset.encoding)
    stimulus = _stimulus(setting.dataset)
    spikes = spikes_of(model, stimulus, exported.kept)
    tested = accuracy(spikes, network.output)
    assert tested is not None
    codec.write(network, out, "network")
    write_raster(out / "stimulus.npz", stimulus)
    best = _best(history)
    summary = Summary(
        accuracy={"validation": best["accuracy"]["validation"], "test": tested},
        density=density(model),
        unrolled_connectivity=unrolled_connectivity(model),
        seconds=round(time.monotonic() - session.started, 3),
        run=str(out),
        epochs=len(history),
        best_epoch=best["epoch"],
        method=setting.config.sparsity.method,
        removed_neurons=exported.removed,
        sops=operations(network, stimulus, spikes),
        layers=_layers(model, network, spikes),
    )
    write_json(out / "summary.json", summary.as_table())
    return summary


def _stimulus(dataset: Dataset) -> Raster:
    """The test set as the chip receives it."""
    return Raster(spikes={INPUT: dataset.encode(dataset.test)}, labels=dataset.test.labels)


def _layers(model: Model, network: Network, spikes: Raster) -> list[dict[str, Any]]:
    """A row for each set of synapses, in the network's order."""
    every = [synapses for layer in model.layers for synapses in layer.incoming]
    return [
        {
            "name": edge.target,
            "source": edge.source,
            "neurons": int(edge.weights.shape[0]),
            "synapses": int(edge.weights.nnz),
            "density": 1.0 if synapses.mask is None else float(synapses.mask.double().mean()),
            "spikes_per_neuron_step": float(spikes.spikes[edge.target].mean()),
        }
        for edge, synapses in zip(network.projections, every, strict=True)
    ]


def _elsewhere(out: Path) -> Summary:
    """The summary that another process wrote."""
    return read_summary(out)
