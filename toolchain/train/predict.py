"""What a trained run answers: rasters of every population, in real numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from toolchain.raster import BoolArray, Raster, check_stimulus
from toolchain.train.checkpoint import read_model
from toolchain.train.export import Kept, export
from toolchain.train.forward import folded, forward
from toolchain.train.model import INPUT, Model

_AT_ONCE = 2**27  # input bits of the samples that pass together


def predict(run: Path, stimulus: Raster) -> Raster:
    """Spikes of every population of a trained run, named as in its Network; labels are kept.

    Raises FileError where the run has no epoch yet that might be deployed.
    """
    model = read_model(run)
    return spikes_of(model, stimulus, export(model).kept)


def spikes_of(model: Model, stimulus: Raster, kept: Kept | None = None) -> Raster:
    """The raster of a model for a stimulus, a few samples at a time; of the kept neurons."""
    spikes = check_stimulus(stimulus, INPUT, int(np.prod(model.input_shape)))
    model = folded(model)
    widest = max([spikes.shape[2], *(layer.size for layer in model.layers)])
    at_once = max(1, min(512, _AT_ONCE // (32 * widest * spikes.shape[1])))
    parts = [
        _forward(model, spikes[start : start + at_once], kept)
        for start in range(0, len(spikes), at_once)
    ]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Raster(spikes=whole, labels=stimulus.labels)


def _forward(model: Model, spikes: BoolArray, kept: Kept | None) -> dict[str, BoolArray]:
    """(samples, timesteps, neurons) spikes of each population."""
    weights = model.layers[0].v_leak
    by_step = torch.from_numpy(np.ascontiguousarray(spikes.swapaxes(0, 1))).to(weights)
    with torch.no_grad():
        rasters = forward(model, by_step.unflatten(2, model.input_shape))
    return {name: _held(raster, kept, name) for name, raster in rasters.items()}


def _held(raster: torch.Tensor, kept: Kept | None, name: str) -> BoolArray:
    held: BoolArray = raster.flatten(2).cpu().numpy().astype(bool)
    chosen = held if kept is None else held[:, :, kept[name]]
    return np.ascontiguousarray(chosen.swapaxes(0, 1))
