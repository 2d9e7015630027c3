"""Shapes of populations, and how many synapses a model has: shared weights, and unrolled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from toolchain.train.model import INPUT, Kernel, Model, Shape, Synapses, trained
from toolchain.unroll import pooled_shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One set of trained synapses, as a table of a network shows it; counts as if dense."""

    name: str  # as in `model.Trained`
    source: str
    shape: Shape  # of the target
    kernel: tuple[int, ...]  # of the weights: (target, source) or (out, in / groups, height, width)
    weights: int  # each kernel weight once
    unrolled: int  # each kernel weight once per output position; zero padding not counted


def shapes(model: Model) -> dict[str, Shape]:
    """Shape of the input and of every population, by name."""
    return {INPUT: model.input_shape} | {layer.name: layer.shape for layer in model.layers}


def seen_shape(synapses: Synapses, model: Model) -> Shape:
    """Shape of a source as these synapses see it: pooled, not flattened."""
    return pooled_shape(shapes(model)[synapses.source], synapses.pool)


def uses(size: tuple[int, int], kernel: Kernel, seen: Shape, target: Shape) -> Tensor:
    """(height, width) int64: at how many output positions each kernel weight meets the image."""
    counts = [
        torch.tensor([_hits(tap, axis, kernel, seen, target) for tap in range(size[axis])])
        for axis in (0, 1)
    ]
    return torch.outer(*counts)


def _hits(tap: int, axis: int, kernel: Kernel, seen: Shape, target: Shape) -> int:
    """Output rows (axis 0) or columns (axis 1) where one row or column of a kernel hits no zero."""
    start = tap * kernel.dilation[axis] - kernel.padding[axis]
    places = range(start, start + kernel.stride[axis] * target[1 + axis], kernel.stride[axis])
    return sum(0 <= place < seen[1 + axis] for place in places)


def unrolled(synapses: Synapses, seen: Shape, target: Shape, mask: Tensor) -> int:
    """Synapses of a mask, each kernel weight once per output position, padding not counted.

    `seen` is the source's shape, pooled. It is the connectivity of STDS (Chen et al. 2022) and UPR
    (Shi et al. 2024); on a chip each is as many synapses as the pool, if any, has neurons.
    """
    if synapses.kernel is None:
        return int(mask.sum())
    height, width = mask.shape[2:]
    return int((mask.sum(dim=(0, 1)) * uses((height, width), synapses.kernel, seen, target)).sum())


def rows(model: Model) -> Iterator[Row]:
    """Every set of trained synapses, in the model's order."""
    for one in trained(model):
        seen = seen_shape(one.synapses, model)
        every = torch.ones(1, dtype=torch.bool).expand(one.mask.shape)
        yield Row(
            name=one.name,
            source=one.synapses.source,
            shape=one.layer.shape,
            kernel=tuple(one.weight.shape),
            weights=prod(one.weight.shape),
            unrolled=unrolled(one.synapses, seen, one.layer.shape, every),
        )


def summary(model: Model) -> list[Row]:
    """The network as a table."""
    return list(rows(model))


def parameters(model: Model) -> int:
    """Weights, each shared one once, no bias or norm: what a parameter density is a share of."""
    return sum(row.weights for row in rows(model))


def unrolled_synapses(model: Model) -> int:
    """Synapses if dense, each kernel weight once per output position, padding not counted."""
    return sum(row.unrolled for row in rows(model))
