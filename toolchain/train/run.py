"""A training run and its folder: started, stopped and resumed at any point, always the same bytes.

config.json              the configuration, defaults written out but for keys that came later
model.json               the model's structure
metrics.jsonl            a line per epoch
checkpoint.safetensors   everything needed to go on after the last whole epoch, or inside one
best.safetensors         weights, masks, norms and biases of the epoch that is deployed
network.json, .safetensors, stimulus.npz     what mapping and verification read
calibration.npz          some training samples as the input's spikes: what scales may be chosen on
exact/                   model, grids and checkpoint of the phase on the chip's integers ([exact])
quantized.json, .safetensors     what that phase ends with: the network to be mapped as it is
summary.json             written last; only here stands how long it took, and where
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolchain import codec
from toolchain.errors import ConfigError
from toolchain.files import write_json
from toolchain.network import Network
from toolchain.raster import Raster, accuracy, write_raster
from toolchain.train.architectures import build
from toolchain.train.checkpoint import (
    Checkpoint,
    Progress,
    Record,
    read_checkpoint,
    read_model,
    write_structure,
)
from toolchain.train.config import TrainConfig, check_schedule
from toolchain.train.data import Dataset, load
from toolchain.train.exact_phase import (
    Quantizer,
    check_exact,
    exact_story,
    learn_exact,
    training_spikes,
)
from toolchain.train.folder import (
    Summary,
    config_table,
    held_alone,
    open_folder,
    read_summary,
)
from toolchain.train.learner import new_learner
from toolchain.train.loop import Setting, Watch
from toolchain.train.measures import density, operations, unrolled_connectivity
from toolchain.train.model import INPUT, Model, trained
from toolchain.train.model_file import mapped
from toolchain.train.phase import learn_phase
from toolchain.train.predict import deployed, spikes_of
from toolchain.train.records import best_of, fell_apart
from toolchain.train.rewiring import first_strengths, start
from toolchain.train.schedule import Course, course
from toolchain.train.session import OutOfTimeError, Paused, Session, repeatable
from toolchain.train.world import joined

_CALIBRATION = 256  # samples


def quiet(step: str, done: int, total: int, text: str) -> None:
    """A watch that looks away."""


def train(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    minutes: float | None = None,
    watch: Watch = quiet,
    quantizer: Quantizer | None = None,
) -> Summary | Paused:
    """Train a network and leave everything that deploying it needs in the folder `out`.

    `watch(step, done, total, text)` hears of the progress. `resume` goes on with an unfinished
    run; a finished one is given back as it is. After so many `minutes` the run is put aside, to be
    resumed. `quantizer` makes the grids of [exact]. Raises InputError where `out` holds another
    run, or another session trains there.
    """
    assert config.exact is None or quantizer is not None, "[exact] needs a quantizer"
    started = time.monotonic()
    check_schedule(config, "the configuration")
    with contextlib.ExitStack() as ends:
        ends.enter_context(repeatable(config.training.threads))
        world = ends.enter_context(joined(config.training.device))
        if world.writes:
            ends.enter_context(held_alone(out))
        finished = open_folder(config, out, resume=resume) if world.writes else None
        world.wait()
        if world.any(finished is not None):
            return finished or _elsewhere(out)
        session = Session(out=out, started=started, minutes=minutes, watch=watch, world=world)
        return _train(config, session, quantizer, resume=resume)


def _train(
    config: TrainConfig, session: Session, quantizer: Quantizer | None, *, resume: bool
) -> Summary | Paused:
    session.watch("data", 0, 1, config.data.name)
    dataset = load(config.data, config.encoding)
    state, setting = _first_state(config, dataset, session, resume=resume)
    if quantizer is not None and config.exact is not None:
        check_exact(state.learner.model, config.exact, quantizer)
    try:
        history = learn_phase(state, setting, session)
        if quantizer is not None and config.exact is not None:
            setting, more = learn_exact(state, history, setting, session, quantizer)
            history = [*history, *more]
    except OutOfTimeError as paused:
        epoch, batches = paused.args
        return Paused(run=str(session.out), epoch=epoch, batches=batches, epochs=config.epochs)
    session.watch("export", 0, 1, "network and stimulus")
    summary = _finish(history, setting, session) if session.world.writes else None
    session.world.wait()
    return summary or _elsewhere(session.out)


def _first_state(
    config: TrainConfig, dataset: Dataset, session: Session, *, resume: bool
) -> tuple[Checkpoint, Setting]:
    """Where this session begins: at the checkpoint, or with a new network."""
    held = session.out / "checkpoint.safetensors"
    if resume and held.exists():
        state = read_checkpoint(held, config)
        return state, _setting(config, dataset, session, state.learner.model)
    taken_up = None if config.exact is None else config.exact.run
    if taken_up is not None:
        model = _taken_up(taken_up, dataset)
        setting = _setting(config, dataset, session, model)
    else:
        rng = np.random.default_rng([config.training.seed, 0])
        model = build(config.network, dataset.shape, dataset.classes, rng)
        setting = _setting(config, dataset, session, model)
        start(model, setting.course, rng)
    model = _learning(model, config)
    if session.world.writes:
        write_json(session.out / "config.json", config_table(config))
        write_structure(session.out, model)
    model = mapped(model, lambda tensor: tensor.to(config.training.device))
    learner = new_learner(model, config, first_strengths(model, setting.course, config))
    return Checkpoint(learner=learner, history=[], progress=Progress()), setting


def _learning(model: Model, config: TrainConfig) -> Model:
    """The same model; its gradients go where the configuration wants them."""
    layers = (
        replace(layer, neuron=replace(layer.neuron, detach_reset=config.training.detach_reset))
        for layer in model.layers
    )
    return replace(model, layers=tuple(layers))


def _taken_up(run: Path, dataset: Dataset) -> Model:
    """The best model of another run; ConfigError where it is not for these data."""
    model = read_model(run)
    if model.input_shape != dataset.shape or model.output.size != dataset.classes:
        raise ConfigError(
            f"[exact] run = '{run}': its network takes {model.input_shape} and tells"
            f" {model.output.size} classes, the data are {dataset.shape} of {dataset.classes};"
            " give the configuration of that run"
        )
    return model


def _setting(config: TrainConfig, dataset: Dataset, session: Session, model: Model) -> Setting:
    shapes = {part.name: tuple(part.weight.shape) for part in trained(model)}
    batches = -(-len(dataset.train) // config.training.batch_size)
    if config.exact is not None and config.exact.run is not None:
        found = Course(first={}, targets=None, rewired=(), steps=range(0))
    else:
        found = course(config, shapes, epoch_steps=batches)
    return Setting(
        config=config, dataset=dataset, course=found, world=session.world, watch=session.watch
    )


def _finish(history: list[Record], setting: Setting, session: Session) -> Summary:
    """Write the network, the stimulus and, last, the summary."""
    out = session.out
    held = deployed(out)
    network = replace(held.network, encoding=setting.dataset.encoding)
    stimulus = _stimulus(setting.dataset)
    spikes = spikes_of(held.model, stimulus, held.kept, held.grids)
    tested = accuracy(spikes, network.output)
    assert tested is not None
    codec.write(network, out, "network")
    if held.quantized is not None:
        codec.write(replace(held.quantized, encoding=network.encoding), out, "quantized")
    write_raster(out / "stimulus.npz", stimulus)
    write_raster(out / "calibration.npz", training_spikes(setting.dataset, _CALIBRATION))
    fall = fell_apart(history)
    best = best_of(history if setting.grids is None else history[setting.first :])
    summary = Summary(
        accuracy={"validation": best["accuracy"]["validation"], "test": tested},
        density=density(held.model),
        unrolled_connectivity=unrolled_connectivity(held.model),
        seconds=round(time.monotonic() - session.started, 3),
        run=str(out),
        epochs=len(history),
        best_epoch=best["epoch"],
        method=setting.config.sparsity.method,
        removed_neurons=held.removed,
        sops=operations(network, stimulus, spikes),
        layers=_layers(held.model, network, spikes),
        exact=None if setting.grids is None else exact_story(setting),
        fell_apart=None if fall is None else asdict(fall),
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
