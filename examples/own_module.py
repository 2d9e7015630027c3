"""A network of one's own, in plain torch and norse; `own-module.toml` trains it sparse.

Nothing here knows snn-deploy: `Digits` runs by itself, one timestep per call.
"""

from __future__ import annotations

import norse.torch as norse
import torch
from torch import Tensor, nn


class Digits(nn.Module):
    """Two convolutions, the second with a shortcut past it, and a dense layer."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.lif1 = neurons()
        self.pool = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(16)
        self.lif2 = neurons()
        self.drop = nn.Dropout(0.1)
        self.dense = nn.Linear(16 * (height // 2) * (width // 2), classes)
        self.output = neurons()

    def forward(self, spikes: Tensor, state=None):
        """Spikes (samples, channels, height, width) of a timestep -> spikes (samples, classes)."""
        first, second, last = state or (None, None, None)
        z1, first = self.lif1(self.norm1(self.conv1(spikes)), first)
        z1 = self.pool(z1)
        z2, second = self.lif2(self.norm2(self.conv2(z1)) + z1, second)
        z3, last = self.output(self.dense(self.drop(z2).flatten(1)), last)
        return z3, (first, second, last)


def neurons() -> norse.LIFBoxCell:
    """LIFBox neurons: without a synaptic current, so that biases and norms have a form on a chip.

    They lose a quarter of v per timestep of 1 ms.
    """
    return norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=torch.tensor(250.0)), dt=0.001)


def build(input_shape: tuple[int, int, int], classes: int) -> Digits:
    """What `[network] model = "own_module.py:build"` asks for."""
    channels, height, width = input_shape
    return Digits(channels, height, width, classes)
