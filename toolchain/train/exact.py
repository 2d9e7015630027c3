"""A model on the chip's integers: what it spikes there, exactly, and what it becomes as a network.

The model's tensors stay real numbers, which learning moves; `grid.Grid` of each population says
which integers they stand for. Rounding counts as if it were none on the way back (straight
through). A kernel is rounded once, so every use of it is one integer; a mean over n neurons is
their sum through weights of 1/n.

Products are float32, and exact: every partial sum is a whole number below 2^24.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from toolchain import arithmetic
from toolchain.errors import UnsupportedError
from toolchain.grid import ALIGN, Grid, largest_activation, population_on
from toolchain.network import Input, QuantizedNetwork, QuantizedPopulation, QuantizedProjection
from toolchain.train import exact_neurons, products
from toolchain.train.exact_neurons import EXACT_IN_FLOAT32, Registers
from toolchain.train.export import depths
from toolchain.train.geometry import shapes
from toolchain.train.model import INPUT, Layer, Model, Shape, Synapses
from toolchain.unroll import unrolled

IntArray = NDArray[np.int64]
Grids = Mapping[str, Grid]  # population -> its grid
Rasters = dict[str, Tensor]  # population -> spikes (timesteps, samples, *shape)
OnStates = Callable[[str, NDArray[np.int64], NDArray[np.int64]], None]  # population, u, v


def refuse_inexact(model: Model) -> None:
    """Refuse what has no exact form: weights that unroll into sums of rounded ones.

    Raises UnsupportedError naming the layer and the next move.
    """
    for layer in model.layers:
        for synapses in layer.incoming:
            pool = synapses.pool
            overlaps = pool is not None and (
                pool.stride[0] < pool.size[0] or pool.stride[1] < pool.size[1]
            )
            if overlaps and synapses.weight is not None:
                raise UnsupportedError(
                    f"layer '{layer.name}': the windows of its pool overlap, so a synapse of the"
                    " chip would be a sum of rounded weights, off its grid; let the pool's stride"
                    " be its size, or leave [exact] out"
                )


class _Rounded(torch.autograd.Function):
    """Whole numbers in the place of real ones; gradients pass as by the factor between the two."""

    @staticmethod
    def forward(ctx: Any, real: Tensor, whole: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return whole

    @staticmethod
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor, None, None]:
        (factor,) = ctx.saved_tensors
        return incoming * factor, None, None


def share(synapses: Synapses) -> float:
    """What a weight counts for each source neuron: a mean takes its part of each."""
    pool = synapses.pool
    mean = pool is not None and pool.kind == "average"
    return 1 / (pool.size[0] * pool.size[1]) if pool is not None and mean else 1.0


def _real(synapses: Synapses, layer: Layer) -> Tensor:
    """The weights; 1 for each neuron where none are trained."""
    return torch.ones(layer.size) if synapses.weight is None else synapses.weight


def integers(synapses: Synapses, layer: Layer, grid: Grid) -> IntArray:
    """The weights, in their own shape, as the chip holds them; (neurons,) where none are trained.

    A kernel takes the scale of its channel.
    """
    weight = _real(synapses, layer)
    real = weight.detach().double().numpy() * share(synapses)
    return grid.weights(real, _targets(weight, layer))


def _targets(weight: Tensor, layer: Layer) -> IntArray:
    """The first neuron of each row of weights, in a shape that broadcasts to them."""
    first = np.arange(len(weight)) * (layer.size // len(weight))
    return first.reshape(-1, *(1,) * (weight.ndim - 1))


def _whole_weight(synapses: Synapses, layer: Layer, grid: Grid) -> Tensor:
    """The integers as float32, with gradients to the weights; their sums are proved exact."""
    weight = _real(synapses, layer)
    held = integers(synapses, layer, grid)
    window = 1 if synapses.pool is None else synapses.pool.size[0] * synapses.pool.size[1]
    largest = np.abs(held).reshape(len(held), -1).sum(axis=1).max(initial=0) * window
    assert largest < EXACT_IN_FLOAT32, (layer.name, largest)
    factor = grid.scale[_targets(weight, layer)] * share(synapses) / (1 << grid.weight_exponent)
    return _Rounded.apply(weight, torch.from_numpy(held).float(), torch.from_numpy(factor).float())


def _whole_bias(layer: Layer, grid: Grid) -> Tensor:
    """(neurons,) biases in v's integers, float32, with gradients to v_leak."""
    real = layer.v_leak.repeat_interleave(layer.size // len(layer.v_leak))
    held = grid.biases(real.detach().double().numpy()) << grid.bias_exponent
    factor = torch.from_numpy(grid.scale * ALIGN).float()
    return _Rounded.apply(real, torch.from_numpy(held).float(), factor)


def forward(
    model: Model,
    grids: Grids,
    spikes: Tensor,
    *,
    path: str = "fused",
    on_states: OnStates | None = None,
) -> Rasters:
    """Spikes of every population, as the chip gives them, for those of the input.

    `spikes` (timesteps, samples, *input_shape) float32, 0 or 1; state is 0 at the start of every
    sample. The model has no norms (`forward.folded`); dropout is not applied. `on_states` is told
    u and v of each population, (timesteps, samples, *shape), v after its reset; no gradients then.
    """
    rasters: Rasters = {INPUT: spikes}
    for layer in model.layers:
        rasters[layer.name] = _layer(layer, grids[layer.name], rasters, path, on_states)
    del rasters[INPUT]
    return rasters


def _layer(
    layer: Layer, grid: Grid, rasters: Rasters, path: str, on_states: OnStates | None
) -> Tensor:
    """Spikes (timesteps, samples, *shape) of one population."""
    arriving: Tensor | None = None
    loop: Tensor | None = None
    for synapses in layer.incoming:
        assert synapses.norm is None, "norms are folded before a model becomes exact"
        weight = _whole_weight(synapses, layer, grid)
        if synapses.source == layer.name:
            loop = weight
            continue
        delivered = _delivered(synapses, rasters[synapses.source], weight, layer)
        arriving = delivered if arriving is None else arriving + delivered
    assert arriving is not None, layer.name
    p = exact_neurons.registers(
        grid,
        _whole_bias(layer, grid).view(layer.shape),
        layer.shape,
        neuron=layer.neuron,
    )
    if on_states is not None:
        found, u, v = exact_neurons.states(arriving, loop, p)
        on_states(layer.name, u, v)
        return found
    if len(layer.shape) == 1:
        return exact_neurons.EXACT_PATHS[path](arriving, loop, p)
    last = exact_neurons.EXACT_PATHS[path](arriving.movedim(2, -1), None, _channels_last(p))
    return last.movedim(-1, 2)


def _channels_last(p: Registers) -> Registers:
    """As torch's convolutions lie in memory."""
    parts = {name: getattr(p, name).movedim(0, -1) for name in ("threshold", "bias", "unit")}
    return replace(p, **parts)


def _delivered(synapses: Synapses, spikes: Tensor, weight: Tensor, layer: Layer) -> Tensor:
    """Sums of arriving weights, (timesteps, samples, *shape of the target), whole numbers."""
    steps, samples = spikes.shape[:2]
    flat = spikes.flatten(0, 1)
    if synapses.pool is not None:
        pool = synapses.pool
        flat = functional.avg_pool2d(flat, pool.size, pool.stride, divisor_override=1)
    if synapses.weight is None:
        found = flat.flatten(1) * weight
    elif synapses.kernel is None:
        found = products.linear(flat.flatten(1), weight, timesteps=steps)
    else:
        with torch.backends.nnpack.flags(enabled=False):  # its transforms round
            found = products.conv(flat, weight, synapses.kernel)
        found = found.contiguous(memory_format=torch.channels_last)
    return found.reshape(steps, samples, *layer.shape)


def hold(model: Model, grids: Grids) -> None:
    """Bring weights and biases back, in place, to where the chip holds them and no sum overflows.

    Weights beyond the range of a grid take its end. Where all sources of one sign at once could
    exceed what `a` or `u` holds, that neuron's, or channel's, weights are made smaller together.
    """
    with torch.no_grad():
        for layer in model.layers:
            grid = grids[layer.name]
            _hold_bias(layer, grid)
            for synapses in layer.incoming:
                if synapses.weight is not None:
                    _hold_range(synapses, layer, grid)
            _hold_sums(layer, grid)


def _hold_bias(layer: Layer, grid: Grid) -> None:
    most = (grid.bias_mantissa_max << grid.bias_exponent) / (grid.scale * ALIGN)
    each = torch.from_numpy(most.reshape(len(layer.v_leak), -1).min(axis=1))
    layer.v_leak.copy_(torch.minimum(torch.maximum(layer.v_leak.double(), -each), each))


def _hold_range(synapses: Synapses, layer: Layer, grid: Grid) -> None:
    weight = synapses.weight
    assert weight is not None
    low, high = arithmetic.weight_range(grid.weight_bits)
    scale = grid.scale[_targets(weight, layer)] * share(synapses) / (1 << grid.weight_exponent)
    lowest, highest = (torch.from_numpy(end / scale).to(weight.dtype) for end in (low, high))
    weight.copy_(torch.minimum(torch.maximum(weight, lowest), highest))


def _hold_sums(layer: Layer, grid: Grid) -> None:
    most = largest_activation(grid.decay_u)
    if sum(_quick_bound(synapses, layer, grid) for synapses in layer.incoming) <= most:
        return
    for _ in range(1000):
        bound = sum((_row_bounds(s, layer, grid) for s in layer.incoming), np.zeros((2, 1)))
        over = bound.max(axis=0) / most
        if over.max() <= 1:
            return
        assert any(synapses.weight is not None for synapses in layer.incoming), layer.name
        shrink = torch.from_numpy(np.where(over > 1, (1 - 2**-6) / np.maximum(over, 1), 1.0))
        for synapses in layer.incoming:
            if synapses.weight is not None:
                rows = shrink.reshape(len(synapses.weight), -1).min(dim=1).values
                shape = (-1, *(1,) * (synapses.weight.ndim - 1))
                synapses.weight.mul_(rows.view(shape).to(synapses.weight.dtype))
    raise AssertionError(f"{layer.name}: its sums cannot be held")


def _window(synapses: Synapses) -> int:
    return 1 if synapses.pool is None else synapses.pool.size[0] * synapses.pool.size[1]


def _quick_bound(synapses: Synapses, layer: Layer, grid: Grid) -> float:
    """An upper bound of |a| in real numbers: every source spikes, each weight rounds up."""
    step = grid.step << grid.weight_exponent
    if synapses.weight is None or synapses.mask is None:
        return float(grid.scale.max() + step) * _window(synapses)
    rows = synapses.weight.detach().abs().flatten(1).sum(dim=1).double()
    count = float(synapses.mask.flatten(1).sum(dim=1).max())
    scale = float(grid.scale.max()) * share(synapses)
    return (float(rows.max()) * 1.001 * scale + count * step / 2) * _window(synapses)


def _row_bounds(synapses: Synapses, layer: Layer, grid: Grid) -> NDArray[np.float64]:
    """(2, neurons) what arrives when all sources of one sign spike at once: up, down."""
    held = integers(synapses, layer, grid).reshape(-1, 1)
    if synapses.weight is not None:
        held = held.reshape(len(synapses.weight), -1)
    up, down = np.maximum(held, 0).sum(axis=1), np.maximum(-held, 0).sum(axis=1)
    both = np.stack([up, down]) * (_window(synapses) << grid.weight_exponent)
    return np.repeat(both, layer.size // both.shape[1], axis=1).astype(np.float64)


def to_quantized(model: Model, grids: Grids) -> QuantizedNetwork:
    """The network of the model's integers, every neuron among them; weights of 0 are dropped."""
    known, deep = shapes(model), depths(model)
    return QuantizedNetwork(
        input=Input(name=INPUT, size=int(np.prod(model.input_shape))),
        populations=tuple(_population(layer, grids[layer.name]) for layer in model.layers),
        projections=tuple(
            _projection(synapses, layer, grids[layer.name], known, deep)
            for layer in model.layers
            for synapses in layer.incoming
        ),
        output=model.output.name,
    )


def _population(layer: Layer, grid: Grid) -> QuantizedPopulation:
    v_leak = layer.v_leak.detach().double().numpy()
    return population_on(grid, np.repeat(v_leak, layer.size // len(v_leak)))


def _projection(
    synapses: Synapses,
    layer: Layer,
    grid: Grid,
    known: Mapping[str, Shape],
    deep: Mapping[str, int],
) -> QuantizedProjection:
    held = integers(synapses, layer, grid)
    trained = synapses.weight is not None and synapses.mask is not None
    pool = synapses.pool
    weights = unrolled(
        held.astype(np.float64) if trained else None,
        synapses.mask.numpy() if synapses.mask is not None else None,
        source=known[synapses.source],
        target=layer.shape,
        kernel=synapses.kernel,
        pool=None if pool is None else replace(pool, kind="sum"),
    )
    weights.data = weights.data.astype(np.int64)
    if not trained:  # 1 for each source so far
        weights.data *= np.repeat(held, np.diff(weights.indptr))
    weights.eliminate_zeros()
    loop = synapses.source == layer.name
    return QuantizedProjection(
        source=synapses.source,
        target=layer.name,
        weights=weights,
        delay=1 if loop else deep[layer.name] - deep[synapses.source],
        weight_exponent=grid.weight_exponent,
        weight_bits=grid.weight_bits,
    )


def channel_groups(model: Model) -> dict[str, IntArray]:
    """Population -> (size,) numbers of the neurons' channels, which share a scale."""
    return {
        layer.name: np.repeat(np.arange(layer.shape[0]), layer.size // layer.shape[0])
        for layer in model.layers
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GridFile:
    """The grids of a run, as its folder holds them."""

    grids: tuple[Grid, ...]

    def by_name(self) -> dict[str, Grid]:
        """Population -> its grid."""
        return {grid.population: grid for grid in self.grids}
