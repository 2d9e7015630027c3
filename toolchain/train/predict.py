"""What a trained run answers: rasters of every population, in its own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from toolchain import codec
from toolchain.errors import UnsupportedError
from toolchain.network import Network, QuantizedNetwork
from toolchain.raster import BoolArray, IntArray, Raster, Recording, check_stimulus
from toolchain.train import exact
from toolchain.train.checkpoint import read_model
from toolchain.train.exact import GridFile, Grids, OnStates
from toolchain.train.export import Kept, export, realized, without_dead
from toolchain.train.folder import EXACT
from toolchain.train.forward import folded, forward
from toolchain.train.model import INPUT, Model

_AT_ONCE = 2**27  # input bits of the samples that pass together


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deployed:
    """What of a run is deployed."""

    model: Model
    grids: Grids | None  # of a run that ended on the chip's integers
    network: Network  # in real numbers
    quantized: QuantizedNetwork | None  # those integers
    kept: Kept  # population -> neurons of the model that the networks hold
    removed: int  # neurons that exist in the model only


def deployed(run: Path) -> Deployed:
    """The best model of a run: of its exact phase where it has one.

    Raises FileError where the run has no epoch yet that might be deployed.
    """
    inner = run / EXACT
    if not (inner / "best.safetensors").is_file():
        model = read_model(run)
        found = export(model)
        return Deployed(
            model=model,
            grids=None,
            network=found.network,
            quantized=None,
            kept=found.kept,
            removed=found.removed,
        )
    model, grids = read_model(inner), codec.read(GridFile, inner, "grid").by_name()
    whole = exact.to_quantized(model, grids)
    quantized, kept = without_dead(whole)
    thresholds = {layer.name: layer.neuron.v_th / layer.neuron.decay_v for layer in model.layers}
    return Deployed(
        model=model,
        grids=grids,
        network=realized(quantized, thresholds),
        quantized=quantized,
        kept=kept,
        removed=sum(p.size for p in whole.populations) - sum(len(k) for k in kept.values()),
    )


def predict(run: Path, stimulus: Raster) -> Raster:
    """Spikes of every population of a trained run, named as in its Network; labels are kept.

    In real numbers, or on the chip's integers where the run ended on them. Raises FileError where
    the run has no epoch yet that might be deployed.
    """
    held = deployed(run)
    return spikes_of(held.model, stimulus, held.kept, held.grids)


def predict_real(run: Path, stimulus: Raster) -> Raster | None:
    """The raster of the model in real numbers from which a run went on to integers, or None.

    Of the neurons that are deployed, so that it stands beside `predict`'s.
    """
    held = deployed(run)
    if held.grids is None or not (run / "best.safetensors").is_file():
        return None
    return spikes_of(read_model(run), stimulus, held.kept)


def trace(run: Path, stimulus: Raster, population: str) -> Recording:
    """`predict` for a run on integers, with u and v of one population as the chip holds them.

    Raises UnsupportedError for a run in real numbers, whose states are no integers.
    """
    held = deployed(run)
    if held.grids is None:
        raise UnsupportedError(f"{run}: was trained in real numbers, its states are no integers")
    spikes = check_stimulus(stimulus, INPUT, int(np.prod(held.model.input_shape)))
    states: dict[str, dict[str, IntArray]] = {"u": {}, "v": {}}

    def keep(name: str, u: IntArray, v: IntArray) -> None:
        if name == population:
            for state, rows in (("u", u), ("v", v)):
                flat = np.asarray(rows, np.int64).reshape(*rows.shape[:2], -1)
                states[state][name] = flat[:, :, held.kept[name]].swapaxes(0, 1)

    found = _forward(folded(held.model), held.grids, spikes, held.kept, keep)
    return Recording(raster=Raster(spikes=found, labels=stimulus.labels), **states)


def spikes_of(
    model: Model, stimulus: Raster, kept: Kept | None = None, grids: Grids | None = None
) -> Raster:
    """The raster of a model for a stimulus, a few samples at a time; of the kept neurons.

    With `grids`: exactly as the chip spikes.
    """
    spikes = check_stimulus(stimulus, INPUT, int(np.prod(model.input_shape)))
    model = folded(model)
    widest = max([spikes.shape[2], *(layer.size for layer in model.layers)])
    at_once = max(1, min(512, _AT_ONCE // (32 * widest * spikes.shape[1])))
    parts = [
        _forward(model, grids, spikes[start : start + at_once], kept)
        for start in range(0, len(spikes), at_once)
    ]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Raster(spikes=whole, labels=stimulus.labels)


def _forward(
    model: Model,
    grids: Grids | None,
    spikes: BoolArray,
    kept: Kept | None,
    on_states: OnStates | None = None,
) -> dict[str, BoolArray]:
    """(samples, timesteps, neurons) spikes of each population; `on_states`: see `exact.forward`."""
    weights = model.layers[0].v_leak
    by_step = torch.from_numpy(np.ascontiguousarray(spikes.swapaxes(0, 1))).to(weights)
    shaped = by_step.unflatten(2, model.input_shape)
    with torch.no_grad():
        found = (
            forward(model, shaped)
            if grids is None
            else exact.forward(model, grids, shaped, on_states=on_states)
        )
    return {name: _held(raster, kept, name) for name, raster in found.items()}


def _held(raster: torch.Tensor, kept: Kept | None, name: str) -> BoolArray:
    held: BoolArray = raster.flatten(2).cpu().numpy().astype(bool)
    chosen = held if kept is None else held[:, :, kept[name]]
    return np.ascontiguousarray(chosen.swapaxes(0, 1))
