"""What synapses deliver over the whole time axis: one product for all timesteps and samples.

`linear` takes the first way that its spikes allow: by trains, where sources spike alike (`trains`);
by events, where few spike (`events`); dense. Which one depends on the spikes and shapes alone: a
run takes the same way whenever it is repeated.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from toolchain.train import events, sparse, trains
from toolchain.train.events import Events
from toolchain.train.model import Kernel
from toolchain.train.precision import Precision, has_bfloat16_units, rounded, units
from toolchain.train.trains import Trains

# Measured with benchmarks/training_speed.py: where sums over events and dense products break even.
_MOST_SPIKING = 0.2  # share of sources that spike
_MOST_IN_CLASSES = 0.1  # share of (timestep, source) that would be added, class by class
_MOST_SYNAPSES = 0.1  # share of weights that are not 0, on the way back
_LEAST_SYNAPSES = 1 << 14  # possible ones, below which a dense product takes no time
_LEAST_TARGETS = 64  # below, a dense product costs less than finding the events


def linear(
    spikes: Tensor, weight: Tensor, *, precision: Precision = "float32", timesteps: int = 1
) -> Tensor:
    """(rows, target) float32: `spikes` (rows, source) through `weight` (target, source).

    `timesteps`: the rows are (timesteps, samples), in C order; where it is given, sources that
    spike at the same times as others cost less. Gradients to both; the weight's is dense.
    """
    return _Linear.apply(spikes.contiguous(), weight, timesteps, precision)


def conv(
    spikes: Tensor, weight: Tensor, kernel: Kernel, *, precision: Precision = "float32"
) -> Tensor:
    """(rows, out, height, width) float32: `spikes` (rows, in, height, width) under a kernel.

    `weight` (out, in / groups, height, width); groups, stride, padding, dilation as torch's.
    """
    _, channels, height, width = spikes.shape
    if channels == 1 and spikes.is_contiguous():
        # Channels last in name, too: torch then answers channels last, in a third of the time.
        spikes = spikes.as_strided(spikes.shape, (height * width, 1, width, 1))
    return _Conv.apply(spikes, weight, kernel, precision)


class _Linear(torch.autograd.Function):
    """A product whose way back goes as its way there; only what that needs is kept."""

    @staticmethod
    def forward(
        ctx: Any, spikes: Tensor, weight: Tensor, timesteps: int, precision: Precision
    ) -> Tensor:
        weight = rounded(weight, precision)
        known = _factorize(spikes, len(weight), timesteps, precision)
        ctx.known, ctx.precision = known, precision
        ctx.save_for_backward(weight, spikes if known is None else spikes.new_empty(0))
        if isinstance(known, Trains):
            return trains.through(known, weight)
        if isinstance(known, Events):
            return events.product(known, weight)
        with units(precision, spikes.device.type):
            return spikes @ weight.T

    @staticmethod
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        weight, spikes = ctx.saved_tensors
        incoming = rounded(incoming, ctx.precision)
        to_spikes = to_weight = None
        with units(ctx.precision, weight.device.type):
            if ctx.needs_input_grad[0]:
                to_spikes = _spikes_gradient(incoming, weight, ctx.precision)
            if ctx.needs_input_grad[1]:
                to_weight = _weight_gradient(ctx.known, spikes, incoming)
        return to_spikes, to_weight, None, None


def _spikes_gradient(incoming: Tensor, weight: Tensor, precision: Precision) -> Tensor:
    if not _by_units(weight, precision) and weight.numel() >= _LEAST_SYNAPSES:
        found = sparse.back_through(incoming, weight, most=_MOST_SYNAPSES)
        if found is not None:
            return found
    return incoming @ weight


def _by_units(tensor: Tensor, precision: Precision) -> bool:
    """Whether dense products win, or are all there is."""
    device = tensor.device.type
    units_win = precision == "bfloat16" and has_bfloat16_units(device)
    return device != "cpu" or tensor.dtype != torch.float32 or units_win


def _weight_gradient(known: Trains | Events | None, spikes: Tensor, incoming: Tensor) -> Tensor:
    if isinstance(known, Trains):
        return trains.weight_gradient(known, incoming)
    if isinstance(known, Events):
        return events.weight_gradient(known, incoming)
    return incoming.T @ spikes


def _factorize(
    spikes: Tensor, targets: int, timesteps: int, precision: Precision
) -> Trains | Events | None:
    """The form in which these spikes cost least; None is dense."""
    if targets < _LEAST_TARGETS or _by_units(spikes, precision):
        return None
    if timesteps > 1 and not spikes.requires_grad:
        by_time = spikes.view(timesteps, -1, spikes.shape[1])
        classes = trains.trains_of(by_time, most=_MOST_IN_CLASSES)
        if classes is not None:
            return classes
    return events.events_of(spikes, most=_MOST_SPIKING)


class _Conv(torch.autograd.Function):
    """torch's convolution of rounded factors."""

    @staticmethod
    def forward(
        ctx: Any, spikes: Tensor, weight: Tensor, kernel: Kernel, precision: Precision
    ) -> Tensor:
        weight = rounded(weight, precision)
        ctx.kernel, ctx.precision = kernel, precision
        ctx.save_for_backward(spikes, weight)
        with units(precision, spikes.device.type):
            return torch.nn.functional.conv2d(
                spikes, weight, None, kernel.stride, kernel.padding, kernel.dilation, kernel.groups
            )

    @staticmethod
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        spikes, weight = ctx.saved_tensors
        kernel = ctx.kernel
        needed = [*ctx.needs_input_grad[:2], False]
        with units(ctx.precision, weight.device.type):
            to_spikes, to_weight, _ = torch.ops.aten.convolution_backward(
                rounded(incoming, ctx.precision), spikes, weight, None, kernel.stride,
                kernel.padding, kernel.dilation, False, (0, 0), kernel.groups, needed,
            )  # fmt: skip
        return to_spikes, to_weight, None, None
