"""Exact mode: the chip's integers forward, bit for bit; the float network's gradients back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.strategies import seeds
from tests.train.exact_models import REGISTERS, ExactCase, exact_cases
from tests.train.random_models import random_model
from toolchain import arithmetic, codec
from toolchain.backends.quantized import run_network
from toolchain.errors import UnsupportedError
from toolchain.grid import activation_bounds, largest_activation
from toolchain.hardware import find_profile
from toolchain.mapper.quantize import quantize
from toolchain.network import QuantizedNetwork
from toolchain.raster import Raster
from toolchain.train import exact
from toolchain.train.exact_neurons import EXACT_PATHS, Forward, Registers, State, step
from toolchain.train.export import realized, to_network, without_dead
from toolchain.train.forward import folded
from toolchain.train.model import INPUT, Model, Pool
from toolchain.train.model_file import mapped

LOIHI = find_profile("loihi1")
STATES = st.sampled_from([0, 1, -1, 4095, -4097, 2**23 - 1, -(2**23) + 1]) | st.integers(
    -(2**23) + 1, 2**23 - 1
)


@given(
    u=st.lists(STATES | st.just(2**23), min_size=1, max_size=8),
    v=STATES,
    a=st.integers(-(2**15) + 1, 2**15 - 1),
    registers=st.tuples(REGISTERS, REGISTERS),
    threshold=st.integers(0, 2**17 - 1),
    bias=st.integers(-(2**19), 2**19),
    exponent=st.integers(0, 7),
)
@example([2**23], 0, 32, (0, 0), 0, 0, 0)  # u reaches +2^23, which stays, and not -2^23
@example([-(2**23) + 1], 0, -32, (0, 0), 0, 0, 0)
def test_a_step_of_the_cell_is_the_arithmetic(u, v, a, registers, threshold, bias, exponent):
    size = len(u)
    arrived = np.full(size, a >> exponent)
    p = Registers(
        decay_u=registers[0],
        decay_v=registers[1],
        exponent=exponent,
        threshold=torch.full((size,), threshold),
        bias=torch.full((size,), float(bias)),
        unit=torch.full((size,), 0.01, dtype=torch.float64),
        trained_decay_v=0.3,
    )
    state = State(
        u=torch.tensor(u, dtype=torch.float64), v=torch.full_like(torch.tensor(u), v).double()
    )

    z, after = step(torch.from_numpy(arrived).double(), state, p)

    wanted_u = arithmetic.next_u(np.array(u), arrived << exponent, registers[0])
    held = arithmetic.next_v(np.full(size, v), wanted_u, np.full(size, bias), registers[1])
    wanted_v, fired = arithmetic.fire(held, np.full(size, threshold))
    assert np.array_equal(after.u.numpy(), wanted_u)
    assert np.array_equal(after.v.numpy(), wanted_v)
    assert np.array_equal(z.numpy().astype(bool), fired)
    run = Forward(torch.from_numpy(arrived).float()[None], p.bias, p)
    run.u[:], run.v[:] = u, v
    run.steps(0, 1)
    assert np.array_equal(run.u, wanted_u)
    assert np.array_equal(run.v, wanted_v)
    assert np.array_equal(run.spikes[0].numpy().astype(bool), fired)


@settings(max_examples=15)
@given(case=exact_cases())
def test_trained_is_deployed_in_spikes_u_and_v(case: ExactCase) -> None:
    assert_equal_everywhere(case.model, case.grids, case.spikes)


@pytest.mark.slow
@settings(max_examples=500)
@given(case=exact_cases())
def test_trained_is_deployed_in_many_networks(case: ExactCase) -> None:
    assert_equal_everywhere(case.model, case.grids, case.spikes)


def assert_equal_everywhere(model: Model, grids: exact.Grids, spikes: torch.Tensor) -> None:
    """s, u and v of every path and of the quantized network."""
    network = exact.to_quantized(model, grids)
    shown = Raster(spikes={INPUT: flat(spikes).astype(bool)})
    wanted = run_network(network, shown, states=True)
    assert wanted.u is not None
    assert wanted.v is not None
    states = {}
    found = exact.forward(
        model, grids, spikes, on_states=lambda name, u, v: states.update({name: (u, v)})
    )
    others = [exact.forward(model, grids, spikes, path=path) for path in EXACT_PATHS]
    for name, raster in wanted.raster.spikes.items():
        for one in (found, *others):
            assert np.array_equal(flat(one[name].detach()).astype(bool), raster)
        assert np.array_equal(flat(states[name][0]), wanted.u[name])
        assert np.array_equal(flat(states[name][1]), wanted.v[name])


def flat(array) -> np.ndarray:
    """(samples, timesteps, neurons)."""
    held = np.asarray(array)
    return held.reshape(*held.shape[:2], -1).swapaxes(0, 1)


def rounded_model(seed: int, bits: int) -> tuple[Model, exact.Grids] | None:
    """A random convolutional model on the grids that the mapper gives it."""
    model = mapped(folded(random_model(seed)), lambda t: t.float() if t.is_floating_point() else t)
    try:
        exact.refuse_inexact(model)
    except UnsupportedError:
        return None
    found = quantize(to_network(model), LOIHI, weight_bits=bits)
    grids = {grid.population: grid for grid in found.grids}
    if found.violations:
        return None
    assert codec.fingerprint(exact.to_quantized(model, grids)) == codec.fingerprint(found.network)
    return model, grids


@pytest.mark.parametrize("seed", [3, 8, pytest.param(range(60), marks=pytest.mark.slow)])
def test_kernels_pools_skips_and_loops_round_as_the_mapper_rounds_them(seed):
    counted = 0
    for one in seed if isinstance(seed, range) else [seed]:
        for bits in (8, 4, 2):
            made = rounded_model(one, bits)
            if made is not None:
                spikes = np.random.default_rng(one).random((7, 2, *made[0].input_shape)) < 0.4
                assert_equal_everywhere(*made, torch.from_numpy(spikes).float())
                counted += 1
    assert counted > 0


@settings(max_examples=15)
@given(case=exact_cases(), seed=seeds())
def test_gradients_are_those_of_the_float_formula_at_the_chips_states(case, seed):
    """The fused way back, against torch's own through the cell's straight-through steps."""
    gradients = []
    for path in EXACT_PATHS:
        model = mapped(case.model, lambda tensor: tensor.clone())
        tensors = [s.weight for layer in model.layers for s in layer.incoming]
        tensors += [layer.v_leak for layer in model.layers]
        spikes = exact.forward(model, case.grids, case.spikes, path=path)[model.output.name]
        weights = np.random.default_rng(seed).normal(size=tuple(spikes.shape))
        (spikes * torch.from_numpy(weights).float()).sum().backward()
        gradients.append([None if t.grad is None else t.grad.double() for t in tensors])
    for one, other in zip(*gradients, strict=True):
        if one is not None and other is not None:
            assert torch.isfinite(one).all()
            scale = float(other.abs().max()) + 1e-30
            assert float((one - other).abs().max()) <= 1e-3 * scale


def test_one_step_has_the_gradient_that_the_formula_says():
    """dz/dw = 1 / (1 + |w - v_th|)^2, w = unit m v, through m and the arriving weight's unit."""
    unit, m, threshold = 1 / (64 * 200), 0.3, 700
    p = Registers(
        decay_u=2047,
        decay_v=1228,
        exponent=1,
        threshold=torch.tensor([threshold]),
        bias=torch.zeros(1),
        unit=torch.tensor([unit], dtype=torch.float64),
        trained_decay_v=m,
    )
    for path in EXACT_PATHS.values():
        arriving = torch.tensor([[[250.0]]], requires_grad=True)
        path(arriving, None, p).sum().backward()
        v = 250 * 2 * 64
        slope = (1 + abs(m * unit * (v - threshold * 64))) ** -2
        assert arriving.grad is not None
        assert arriving.grad.item() == pytest.approx(slope * m * unit * 2 * 64, rel=1e-5)


@settings(max_examples=10)
@given(case=exact_cases(), seed=seeds(), size=st.sampled_from([1.0, 100.0, 1e5]))
def test_what_is_held_fits_the_chip_wherever_learning_moved_it(case, seed, size):
    rng = np.random.default_rng(seed)
    model = mapped(case.model, lambda tensor: tensor.clone())
    grids = {name: replace(grid, bias_mantissa_max=4095) for name, grid in case.grids.items()}
    with torch.no_grad():
        for layer in model.layers:
            layer.v_leak.add_(torch.from_numpy(rng.normal(0, size, layer.v_leak.shape)))
            for synapses in layer.incoming:
                moved = torch.from_numpy(rng.normal(0, size, synapses.weight.shape))
                synapses.weight.add_(moved * synapses.mask)

    exact.hold(model, grids)

    network = exact.to_quantized(model, grids)
    for population in network.populations:
        incoming = [e for e in network.projections if e.target == population.name]
        held = [e.weights * (1 << e.weight_exponent) for e in incoming]
        bound = activation_bounds(held, population.size).max()
        assert bound <= largest_activation(population.decay_u)
    for layer in model.layers:
        for synapses in layer.incoming:
            targets = np.arange(layer.size)[:, None]
            assert grids[layer.name].clipped(synapses.weight.detach().numpy(), targets) == 0
            assert not synapses.weight[~synapses.mask].any()


@settings(max_examples=15)
@given(case=exact_cases())
def test_removing_dead_neurons_changes_no_other_spike(case: ExactCase) -> None:
    whole = exact.to_quantized(case.model, case.grids)
    left, kept = without_dead(whole)
    shown = Raster(spikes={INPUT: flat(case.spikes).astype(bool)})

    spikes, fewer = (run_network(n, shown).raster.spikes for n in (whole, left))

    for name, raster in fewer.items():
        assert np.array_equal(raster, spikes[name][:, :, kept[name]])


def test_the_network_in_real_numbers_means_what_the_integers_do():
    made = rounded_model(3, 6)
    assert made is not None
    network: QuantizedNetwork = exact.to_quantized(*made)
    thresholds = {p.name: p.neuron.v_th / p.neuron.decay_v for p in made[0].layers}

    real = realized(network, thresholds)

    for edge, held in zip(real.projections, network.projections, strict=True):
        population = network.population(edge.target)
        ratio = held.weights.toarray() * 2**held.weight_exponent / population.threshold[:, None]
        assert np.allclose(edge.weights.toarray() / thresholds[edge.target], ratio, rtol=1e-12)


def test_overlapping_pools_are_refused_with_the_next_move():
    model = folded(random_model(3))
    first = model.layers[0]
    pool = Pool(kind="sum", size=(2, 2), stride=(1, 2))
    synapses = replace(first.incoming[0], pool=pool)
    model = replace(model, layers=(replace(first, incoming=(synapses,)), *model.layers[1:]))

    with pytest.raises(
        UnsupportedError, match=r"layer 'conv1': the windows of its pool overlap.*stride"
    ):
        exact.refuse_inexact(model)
