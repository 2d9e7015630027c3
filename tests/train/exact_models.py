"""Random models that are whole networks of the chip's integers, over their full range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st

from tests.strategies import Draw, seeds
from toolchain.arithmetic import ACTIVATION_LIMIT, weight_range, weight_step
from toolchain.grid import Grid
from toolchain.train.model import INPUT, Layer, Model, Neuron, Synapses

REGISTERS = st.sampled_from([0, 4095]) | st.integers(0, 10) | st.integers(0, 4095)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactCase:
    """A model, its grids at scale 1, and spikes (timesteps, samples, neurons)."""

    model: Model
    grids: dict[str, Grid]
    spikes: torch.Tensor


@st.composite
def exact_cases(draw: Draw) -> ExactCase:
    """Layers with skips and loops; decays, thresholds and sums at their extremes."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=2, max_size=4))
    names = [INPUT, *(f"p{number}" for number in range(1, len(sizes)))]
    rng = np.random.default_rng(draw(seeds()))
    grids: dict[str, Grid] = {}
    layers = []
    for at in range(1, len(sizes)):
        storm = draw(st.booleans())  # much arrives and little is lost: u wraps and v saturates
        grid = _grid(draw, names[at], sizes[at], rng, storm)
        sources = [at - 1, *draw(st.lists(st.integers(0, at), max_size=2))]
        sources = [s for n, s in enumerate(sources) if s != at or at not in sources[:n]]
        incoming = _within_limit(
            [_weights(sizes[at], sizes[s], grid, rng, storm) for s in sources], grid
        )
        layers.append(_layer(names, sources, incoming, sizes[at], grid, rng))
        grids[names[at]] = grid
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 3)), sizes[0])
    rate = draw(st.sampled_from([1.0, 0.7, 0.3, 0.0]))
    model = Model(input_shape=(sizes[0],), layers=tuple(layers))
    return ExactCase(
        model=model, grids=grids, spikes=torch.from_numpy(rng.random(shape) < rate).float()
    )


def _grid(draw: Draw, name: str, size: int, rng: np.random.Generator, storm: bool) -> Grid:
    registers = st.integers(0, 10) if storm else REGISTERS
    most = draw(st.sampled_from([1, 100, 5000, 2**17 - 1]))
    return Grid(
        population=name,
        scale=np.ones(size),
        weight_bits=draw(st.integers(2, 8)),
        weight_exponent=7 if storm else draw(st.integers(0, 7)),
        decay_u=draw(registers),
        decay_v=draw(registers),
        threshold=rng.integers(0, most + 1, size),
        bias_exponent=draw(st.integers(0, 7)),
        bias_mantissa_max=4096,
    )


def _weights(
    targets: int, sources: int, grid: Grid, rng: np.random.Generator, storm: bool
) -> np.ndarray:
    low, high = weight_range(grid.weight_bits)
    steps = np.arange(low, high + 1, weight_step(grid.weight_bits))
    ends = steps[-1:] if rng.random() < 0.5 else steps[:1]
    chosen = rng.choice(ends if storm else steps, (targets, sources))
    return chosen * (rng.random(chosen.shape) < rng.choice([0.3, 1.0]))


def _within_limit(arrays: list[np.ndarray], grid: Grid) -> list[np.ndarray]:
    """Fewer synapses, until no |a| can reach 2^15."""
    rng = np.random.default_rng(0)
    while (
        sum(np.abs(a).sum(axis=1).max() for a in arrays) << grid.weight_exponent >= ACTIVATION_LIMIT
    ):
        arrays = [array * (rng.random(array.shape) < 0.8) for array in arrays]
    return arrays


def _layer(
    names: list[str],
    sources: list[int],
    arrays: list[np.ndarray],
    size: int,
    grid: Grid,
    rng: np.random.Generator,
) -> Layer:
    mantissas = rng.integers(-4096, 4096, size) if rng.random() < 0.7 else np.zeros(size)
    return Layer(
        name=grid.population,
        shape=(size,),
        neuron=Neuron(
            kind="lif",
            dt=0.001,
            tau_mem_inv=300.0,
            tau_syn_inv=500.0,
            v_th=1.0,
            detach_reset=bool(rng.integers(2)),
        ),
        incoming=tuple(
            Synapses(
                source=names[source],
                weight=torch.from_numpy(array << grid.weight_exponent).float().requires_grad_(),
                mask=torch.from_numpy(array != 0),
            )
            for source, array in zip(sources, arrays, strict=True)
        ),
        v_leak=torch.from_numpy(mantissas * 2.0**grid.bias_exponent / 64).float().requires_grad_(),
    )
