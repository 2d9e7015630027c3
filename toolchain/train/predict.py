"""What a trained run answers: rasters of every population, from norse itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from toolchain.files import fit, read_json
from toolchain.raster import BoolArray, Raster, check_stimulus
from toolchain.train.checkpoint import read_layers
from toolchain.train.config import TrainConfig
from toolchain.train.config_network import NetworkConfig
from toolchain.train.export import INPUT
from toolchain.train.models import Layer, forward

_AT_ONCE = 512  # samples


def read_run(run: Path) -> tuple[TrainConfig, list[Layer]]:
    """(configuration, best layers) of a run's folder; FileError where it is unfinished."""
    table = read_json(run / "config.json")
    config = fit(TrainConfig, table, run / "config.json")
    return config, read_layers(run / "best.safetensors", config)


def predict(run: Path, stimulus: Raster) -> Raster:
    """Spikes of every population of a trained run, named as in its Network; labels are kept."""
    config, layers = read_run(run)
    return spikes_of(layers, stimulus, config.network)


def spikes_of(layers: list[Layer], stimulus: Raster, config: NetworkConfig) -> Raster:
    """The raster of these layers for a stimulus, a few samples at a time."""
    spikes = check_stimulus(stimulus, INPUT, layers[0].weight.shape[1])
    parts = [
        _forward(layers, spikes[start : start + _AT_ONCE], config)
        for start in range(0, len(spikes), _AT_ONCE)
    ]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Raster(spikes=whole, labels=stimulus.labels)


def _forward(layers: list[Layer], spikes: BoolArray, config: NetworkConfig) -> dict[str, BoolArray]:
    """(samples, timesteps, neurons) spikes of each population."""
    by_step = torch.from_numpy(np.ascontiguousarray(spikes.swapaxes(0, 1)))
    with torch.no_grad():
        every = forward(layers, by_step.to(layers[0].weight.dtype), config)
    return {
        layer.name: np.ascontiguousarray(raster.numpy().astype(bool).swapaxes(0, 1))
        for layer, raster in zip(layers, every, strict=True)
    }
