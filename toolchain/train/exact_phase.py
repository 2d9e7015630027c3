"""The phase of a run that learns on the chip's integers: where it starts, and what it tells.

Its folder in the run's, exact/, holds what a run's does: model.json, checkpoint.safetensors and
best.safetensors, of the model without norms; and grid.json, which no later step changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain import codec
from toolchain.grid import Grid
from toolchain.network import Network
from toolchain.raster import Raster
from toolchain.train.checkpoint import (
    Checkpoint,
    Progress,
    Record,
    read_checkpoint,
    read_model,
    write_structure,
)
from toolchain.train.config_exact import ExactConfig
from toolchain.train.data import Dataset
from toolchain.train.exact import GridFile, channel_groups, hold, refuse_inexact
from toolchain.train.export import to_network
from toolchain.train.folder import EXACT
from toolchain.train.forward import folded
from toolchain.train.learner import new_learner
from toolchain.train.loop import Setting
from toolchain.train.model import INPUT, Model, parameters, tensors
from toolchain.train.model_file import describe, rebuild
from toolchain.train.phase import learn_phase
from toolchain.train.schedule import Course
from toolchain.train.session import Session

Groups = Mapping[str, NDArray[np.int64]]
# (what is asked for, a network, spikes to choose scales on or None, neurons that share a scale)
# -> the grid of each population, and how they were chosen; raises where the chip cannot hold it.
Quantizer = Callable[[ExactConfig, Network, Raster | None, Groups], tuple[tuple[Grid, ...], str]]


def check_exact(model: Model, config: ExactConfig, quantizer: Quantizer) -> None:
    """Refuse, before anything is learned, what could not be trained on this chip's integers.

    Raises UnsupportedError, InputError or DoesNotFitError.
    """
    refuse_inexact(model)
    quantizer(config, to_network(model), None, channel_groups(model))


def training_spikes(dataset: Dataset, samples: int) -> Raster:
    """The first training samples as the input's spikes."""
    chosen = dataset.train.take(np.arange(min(samples, len(dataset.train))))
    return Raster(spikes={INPUT: dataset.encode(chosen)}, labels=chosen.labels)


def learn_exact(
    before: Checkpoint,
    history: list[Record],
    setting: Setting,
    session: Session,
    quantizer: Quantizer,
) -> tuple[Setting, list[Record]]:
    """Train the epochs of [exact] that are left; the phase's setting and its history."""
    inner = replace(session, out=session.out / EXACT, run=session.out, before=history)
    state = _first_state(before, history, setting, inner, quantizer)
    grids = codec.read(GridFile, inner.out, "grid").by_name()
    setting = replace(
        setting,
        course=Course(first={}, targets=None, rewired=(), steps=range(0)),
        first=len(history),
        grids=grids,
    )
    if not state.history and not state.progress.batches:
        hold(state.learner.model, grids)
    return setting, learn_phase(state, setting, inner)


def _first_state(
    before: Checkpoint,
    history: list[Record],
    setting: Setting,
    inner: Session,
    quantizer: Quantizer,
) -> Checkpoint:
    """At the phase's checkpoint, or at the best float model, whose grids are then chosen."""
    held = inner.out / "checkpoint.safetensors"
    inner.world.wait()
    if held.exists():
        return read_checkpoint(held, setting.config)
    model = read_model(inner.out.parent) if history else before.learner.model
    if inner.world.writes:
        _start_folder(inner, model, setting, quantizer)
    inner.world.wait()
    learner = new_learner(_without_norms(model), setting.config)
    return Checkpoint(learner=learner, history=[], progress=Progress())


def _start_folder(inner: Session, model: Model, setting: Setting, quantizer: Quantizer) -> None:
    """Write the structure without norms, and the grids."""
    config = setting.config.exact
    assert config is not None
    shown = training_spikes(setting.dataset, config.samples)
    inner.watch("scales", 0, 1, f"chosen on {shown.samples} training samples")
    grids, _ = quantizer(config, to_network(model), shown, channel_groups(model))
    inner.out.mkdir(exist_ok=True)
    write_structure(inner.out, _without_norms(model))
    codec.write(GridFile(grids=grids), inner.out, "grid")


def _without_norms(model: Model) -> Model:
    """The model with its norms folded, on tensors of its own, trained as those before were."""
    plain = folded(model)
    learned = {name.rpartition(".")[0] for name in parameters(model) if name.endswith("v_leak")}
    shifted = {layer.name for layer in model.layers if any(s.norm for s in layer.incoming)}
    table = describe(plain)
    for layer in table["layers"]:
        layer["bias"] = layer["name"] in learned | shifted
    held = tensors(plain)
    return rebuild(table, lambda name: held[name].detach().clone())


def exact_story(setting: Setting) -> dict[str, Any]:
    """What summary.json says of the phase."""
    config = setting.config.exact
    assert config is not None
    assert setting.grids is not None
    return {
        "chip": config.chip,
        "epochs": config.epochs,
        "weight_bits": {name: grid.weight_bits for name, grid in setting.grids.items()},
        "fingerprint": codec.fingerprint(GridFile(grids=tuple(setting.grids.values()))),
    }
