"""A forward pass: each layer over its whole time axis, in the model's order.

What synapses deliver is one product over all timesteps (`products`), then the neurons run through
time (`neurons`); only a layer that leads to itself is walked step by step. The last function of
this file folds batch norms into weights and biases: what is evaluated, exported and deployed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from toolchain.train import neurons, products
from toolchain.train.model import INPUT, Layer, Model, Neuron, Norm, Pool, Synapses
from toolchain.train.precision import Precision

Rasters = dict[str, Tensor]  # population -> spikes (timesteps, samples, *shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learning:
    """What a forward pass that learns does besides: batch statistics and dropout."""

    noise: torch.Generator


def forward(
    model: Model,
    spikes: Tensor,
    *,
    precision: Precision = "float32",
    learning: Learning | None = None,
) -> Rasters:
    """Spikes of every population for those of the input (timesteps, samples, *input_shape).

    State is 0 at the start of every sample. `learning`: norms use the batch's statistics, and
    follow them; without it the model must be `folded`.
    """
    rasters: Rasters = {INPUT: spikes}
    for layer in model.layers:
        rasters[layer.name] = _layer(layer, rasters, precision, learning)
    del rasters[INPUT]
    return rasters


def _layer(
    layer: Layer, rasters: Rasters, precision: Precision, learning: Learning | None
) -> Tensor:
    """Spikes (timesteps, samples, *shape) of one population."""
    currents: Tensor | None = None
    v_leak = layer.v_leak
    for synapses in layer.incoming:
        if synapses.source == layer.name:
            continue
        delivered = _delivered(synapses, rasters[synapses.source], layer, precision, learning)
        if synapses.norm is not None:
            delivered, shift = _normed(delivered, synapses.norm, layer.neuron, learning)
            v_leak = v_leak + shift
        currents = delivered if currents is None else currents + delivered
    assert currents is not None, layer.name
    if len(layer.shape) > 1:
        # channels last in memory: so torch's pools and norms take half as long
        last = neurons.spikes_of_currents(currents.movedim(2, -1), v_leak, layer.neuron)
        return last.movedim(-1, 2)
    loop = next((s.weight for s in layer.incoming if s.source == layer.name), None)
    if loop is None:
        return neurons.spikes_of_currents(currents, v_leak, layer.neuron)
    return neurons.recurrent_spikes(currents, loop, v_leak, layer.neuron)


def _delivered(
    synapses: Synapses,
    spikes: Tensor,
    layer: Layer,
    precision: Precision,
    learning: Learning | None,
) -> Tensor:
    """What these synapses deliver, (timesteps, samples, *shape of the target)."""
    steps, samples = spikes.shape[:2]
    if learning is not None and synapses.dropout:
        spikes = spikes * _kept(spikes[0], synapses.dropout, learning.noise)
    flat = spikes.flatten(0, 1)
    if synapses.pool is not None:
        flat = pooled(flat, synapses.pool)
    if synapses.weight is None:
        found = flat
    elif synapses.kernel is None:
        found = products.linear(
            flat.flatten(1), synapses.weight, precision=precision, timesteps=steps
        )
    else:
        found = products.conv(flat, synapses.weight, synapses.kernel, precision=precision)
        found = found.contiguous(memory_format=torch.channels_last)
    return found.reshape(steps, samples, *layer.shape)


def _kept(like: Tensor, dropout: float, noise: torch.Generator) -> Tensor:
    """1 / (1 - dropout) where a source neuron is heard, else 0; the same at every timestep."""
    kept = torch.rand(like.shape, generator=noise).to(like.device) >= dropout
    return kept.to(like.dtype) / (1 - dropout)


def pooled(spikes: Tensor, pool: Pool) -> Tensor:
    """Sums or means (images, channels, height, width) of neighbouring spikes."""
    mean = functional.avg_pool2d(spikes, pool.size, pool.stride)
    return mean if pool.kind == "average" else mean * (pool.size[0] * pool.size[1])


def _normed(
    delivered: Tensor, norm: Norm, neuron: Neuron, learning: Learning | None
) -> tuple[Tensor, Tensor]:
    """(scaled currents, shift of each channel), by the statistics of this very batch."""
    assert learning is not None, "a model is folded before it is evaluated"
    if neuron.kind == "lifbox":  # its v takes a shift of the currents as one of v_leak
        return _torchs_norm(delivered, norm), torch.zeros_like(norm.offset)
    axes = [axis for axis in range(delivered.ndim) if axis != 2]
    variance, mean = torch.var_mean(delivered, dim=axes, correction=0)
    count = delivered.numel() / len(mean)
    with torch.no_grad():
        norm.mean.lerp_(mean, norm.momentum)
        norm.variance.lerp_(variance * (count / max(count - 1, 1)), norm.momentum)
    scale = norm.gain / torch.sqrt(variance + norm.epsilon)
    return delivered * scale.view(-1, *(1,) * (delivered.ndim - 3)), norm.offset - mean * scale


def _torchs_norm(delivered: Tensor, norm: Norm) -> Tensor:
    """torch's batch norm, shift and all: one pass over memory in place of four."""
    found = functional.batch_norm(
        delivered.flatten(0, 1),
        norm.mean,
        norm.variance,
        norm.gain,
        norm.offset,
        training=True,
        momentum=norm.momentum,
        eps=norm.epsilon,
    )
    return found.unflatten(0, delivered.shape[:2])


def folded(model: Model) -> Model:
    """The same network without norms: their scale in the weights, their shift in v_leak.

    Tensors are new where a norm was, detached, and shared elsewhere.
    """
    return replace(model, layers=tuple(_folded(layer) for layer in model.layers))


def _folded(layer: Layer) -> Layer:
    v_leak = layer.v_leak.detach()
    incoming = []
    for synapses in layer.incoming:
        if synapses.norm is not None:
            scale, shift = scale_and_shift(synapses.norm)
            v_leak = v_leak + shift
            synapses = _scaled(synapses, scale)
        incoming.append(synapses)
    return replace(layer, incoming=tuple(incoming), v_leak=v_leak)


def scale_and_shift(norm: Norm) -> tuple[Tensor, Tensor]:
    """(scale, shift) of each channel, by the running statistics."""
    scale = norm.gain.detach() / torch.sqrt(norm.variance + norm.epsilon)
    return scale, norm.offset.detach() - norm.mean * scale


def _scaled(synapses: Synapses, scale: Tensor) -> Synapses:
    assert synapses.weight is not None, "a norm follows synapses that have weights"
    shape = (-1, *(1,) * (synapses.weight.ndim - 1))
    weight = synapses.weight.detach() * scale.view(shape)
    return replace(synapses, weight=weight, norm=None)
