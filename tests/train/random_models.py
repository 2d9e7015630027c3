"""Random models: convolutions, pools, norms, skips and loops, as a seed decides."""

from __future__ import annotations

import numpy as np
import torch

from toolchain.train.masks import random_mask
from toolchain.train.model import INPUT, Kernel, Layer, Model, Neuron, Norm, Pool, Shape, Synapses
from toolchain.unroll import convolved_shape, pooled_shape

DT = 0.001


def neuron(rng: np.random.Generator, kind: str | None = None) -> Neuron:
    return Neuron(
        kind=kind or str(rng.choice(["lif", "lifbox"])),
        dt=DT,
        tau_mem_inv=float(rng.uniform(0.1, 1)) / DT,
        tau_syn_inv=float(rng.uniform(0.1, 1)) / DT,
        v_th=float(rng.uniform(0.3, 2)),
        detach_reset=bool(rng.integers(2)),
    )


def weights(shape: Shape, rng: np.random.Generator, scale: float) -> tuple:
    rows = shape[0], int(np.prod(shape[1:]))
    size = rows[0] * rows[1]
    mask = random_mask(rows, max(1, size * 2 // 3), rng)
    values = rng.normal(0.2, 1, rows) * mask * scale
    values.ravel()[np.flatnonzero(mask)[::7]] = 0  # some synapses have just grown
    return (
        torch.from_numpy(values.reshape(shape)).requires_grad_(),
        torch.from_numpy(mask.reshape(shape)),
    )


def norm(channels: int, rng: np.random.Generator) -> Norm:
    return Norm(
        gain=torch.from_numpy(rng.uniform(0.5, 1.5, channels)).requires_grad_(),
        offset=torch.from_numpy(rng.normal(0, 0.2, channels)).requires_grad_(),
        mean=torch.from_numpy(rng.normal(0, 0.2, channels)),
        variance=torch.from_numpy(rng.uniform(0.5, 2, channels)),
    )


def leak(channels: int, rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.normal(0, 0.1, channels)).requires_grad_()


def convolution(source: str, shape: Shape, channels: int, rng) -> tuple[Synapses, Shape]:
    pool = None
    if min(shape[1:]) >= 4 and rng.random() < 0.5:
        size = int(rng.integers(2, 4))
        kind = str(rng.choice(["sum", "average"]))
        stride = int(rng.integers(1, size + 1))
        pool = Pool(kind=kind, size=(size, 2), stride=(stride, 2))
        shape = pooled_shape(shape, pool)
    groups = 2 if shape[0] % 2 == 0 and channels % 2 == 0 and rng.random() < 0.3 else 1
    stride, padding = int(rng.integers(1, 3)), int(rng.integers(0, 2))
    kernel = Kernel(stride=(stride, 1), padding=(padding, 1), dilation=(1, 1), groups=groups)
    taps = (min(3, shape[1]), min(int(rng.integers(1, 4)), shape[2] + 2))
    weight, mask = weights((channels, shape[0] // groups, *taps), rng, 0.7)
    made = Synapses(
        source=source,
        weight=weight,
        mask=mask,
        pool=pool,
        kernel=kernel,
        norm=norm(channels, rng) if rng.random() < 0.5 else None,
    )
    return made, convolved_shape(shape, channels, taps, kernel)


def random_model(seed: int) -> Model:
    """conv, conv with a skip around it, a pooled population, a loop, and a dense output."""
    rng = np.random.default_rng(seed)
    shape: Shape = (int(rng.integers(1, 3)), int(rng.integers(5, 9)), int(rng.integers(5, 8)))
    first, first_shape = convolution(INPUT, shape, 4, rng)
    layers = [made("conv1", first_shape, (first,), 4, rng)]
    around, same = convolution_alike("conv1", first_shape, rng)
    skip = Synapses(source="conv1", weight=None, mask=None)
    relay = made("relay", same, (around,), first_shape[0], rng)
    back, _ = convolution_alike("relay", same, rng)
    layers += [relay, made("joined", same, (back, skip), first_shape[0], rng)]
    into = dense("joined", int(np.prod(same)), 6, rng, normed=rng.random() < 0.5)
    loop = dense("looping", 6, 6, rng)
    layers.append(made("looping", (6,), (into, loop), 6, rng))
    layers.append(made("output", (3,), (dense("looping", 6, 3, rng),), 3, rng))
    return Model(input_shape=shape, layers=tuple(layers))


def made(name: str, shape: Shape, incoming: tuple, channels: int, rng) -> Layer:
    return Layer(
        name=name, shape=shape, neuron=neuron(rng), incoming=incoming, v_leak=leak(channels, rng)
    )


def convolution_alike(source: str, shape: Shape, rng) -> tuple[Synapses, Shape]:
    weight, mask = weights((shape[0], shape[0], 3, 3), rng, 0.5)
    kernel = Kernel(padding=(1, 1))
    return Synapses(source=source, weight=weight, mask=mask, kernel=kernel), shape


def dense(source: str, size: int, target: int, rng, *, normed: bool = False) -> Synapses:
    weight, mask = weights((target, size), rng, 0.5)
    return Synapses(
        source=source, weight=weight, mask=mask, norm=norm(target, rng) if normed else None
    )
