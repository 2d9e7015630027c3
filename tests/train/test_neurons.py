"""The fused loops are norse: the same spikes bit for bit, the same gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.train.model import Neuron
from toolchain.train.neurons import NEURON_PATHS, RECURRENT_PATHS, spikes_of_currents

KINDS = ["lif", "lifbox"]


@st.composite
def neurons(draw, kind=None):
    """Parameters that users give, and those at the edge: decays of 1."""
    decay = st.floats(0.01, 1.0)
    dt = draw(st.sampled_from([0.001, 0.002, 1.0]))
    return Neuron(
        kind=kind or draw(st.sampled_from(KINDS)),
        dt=dt,
        tau_mem_inv=draw(decay) / dt,
        tau_syn_inv=draw(decay) / dt,
        v_th=draw(st.floats(0.05, 4.0)),
        detach_reset=draw(st.booleans()),
    )


@st.composite
def cases(draw):
    """(currents, v_leak, what the loss weighs each spike with, neuron)."""
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
    steps, samples = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([0.1, 1.0, 5.0, 1e3]))
    currents = torch.randn((steps, samples, *shape), generator=generator) * size
    leaks = [shape, (1,) * len(shape), (shape[0], *(1,) * (len(shape) - 1)), (samples, *shape)]
    v_leak = torch.randn(draw(st.sampled_from(leaks)), generator=generator) * 0.5
    weights = torch.randn(currents.shape, generator=generator)
    return currents, v_leak, weights, draw(neurons())


def gradients(path, inputs, weights, neuron):
    """(spikes, the gradients of their weighted sum)."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    spikes = path(*leaves, neuron)
    (spikes * weights).sum().backward()
    return spikes.detach(), [leaf.grad for leaf in leaves]


def assert_same(mine, theirs):
    assert torch.equal(mine[0], theirs[0])
    for one, other in zip(mine[1], theirs[1], strict=True):
        assert one.shape == other.shape
        largest = other.abs().max().clamp_min(1e-12)
        assert (one - other).abs().max() <= 1e-5 * largest


@given(cases())
@settings(max_examples=200)
def test_fused_spikes_are_norses_bit_for_bit_and_their_gradients_to_rounding(case):
    currents, v_leak, weights, neuron = case
    fused, norse = (
        gradients(NEURON_PATHS[path], (currents, v_leak), weights, neuron)
        for path in ("fused", "norse")
    )
    assert_same(fused, norse)


@given(
    st.integers(2, 8), st.integers(1, 4), st.integers(1, 12), st.integers(0, 2**32 - 1), neurons()
)
def test_recurrent_spikes_are_norses_bit_for_bit_and_their_gradients_to_rounding(
    steps, samples, size, seed, neuron
):
    generator = torch.Generator().manual_seed(seed)
    currents = torch.randn((steps, samples, size), generator=generator) * 3
    weight = torch.randn((size, size), generator=generator)
    v_leak = torch.randn(size, generator=generator) * 0.3
    weights = torch.randn(currents.shape, generator=generator)
    fused, norse = (
        gradients(RECURRENT_PATHS[path], (currents, weight, v_leak), weights, neuron)
        for path in ("fused", "norse")
    )
    assert_same(fused, norse)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_of_real_size_equals_norse_whatever_the_number_of_threads(kind):
    neuron = Neuron(kind=kind, dt=0.001, tau_mem_inv=200, tau_syn_inv=500, v_th=1.0)
    generator = torch.Generator().manual_seed(1)
    currents = torch.randn((16, 32, 300), generator=generator) * 2
    v_leak = torch.rand(300, generator=generator)
    weights = torch.randn(currents.shape, generator=generator)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = gradients(spikes_of_currents, (currents, v_leak), weights, neuron)
        torch.set_num_threads(3)
        three = gradients(spikes_of_currents, (currents, v_leak), weights, neuron)
    finally:
        torch.set_num_threads(before)
    assert 0 < one[0].mean() < 1
    assert torch.equal(one[0], three[0])
    assert all(torch.equal(a, b) for a, b in zip(one[1], three[1], strict=True))
    assert_same(one, gradients(NEURON_PATHS["norse"], (currents, v_leak), weights, neuron))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_a_number_spreads_as_in_norse(kind):
    neuron = Neuron(kind=kind, dt=0.001, tau_mem_inv=200, tau_syn_inv=500, v_th=1.0)
    currents = torch.full((5, 1, 4), 3.0)
    currents[1, 0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    fused, norse = (path(currents, torch.zeros(4), neuron) for path in NEURON_PATHS.values())
    assert torch.equal(fused, norse)


def test_currents_may_lie_in_memory_in_any_order():
    neuron = Neuron(kind="lif", dt=0.001, tau_mem_inv=200, tau_syn_inv=500, v_th=0.3)
    currents = torch.randn((6, 5, 4), generator=torch.Generator().manual_seed(2)).permute(2, 0, 1)
    fused, norse = (path(currents, torch.zeros(5), neuron) for path in NEURON_PATHS.values())
    assert torch.equal(fused, norse)
    assert fused.any()


@pytest.mark.parametrize("path", NEURON_PATHS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_explode_through_the_reset_and_do_not_past_it(kind, path):
    """v rests at -3: through the reset each step multiplies by 0.9 (1 + 3 / 4.1^2) = 1.06."""
    neuron = Neuron(kind=kind, dt=0.001, tau_mem_inv=100, tau_syn_inv=1000, v_th=0.1)
    currents, leak = torch.full((200, 1, 1), 0.0), torch.tensor([-3.0])
    size = []
    for detach_reset in (False, True):
        _, (change, _) = gradients(
            NEURON_PATHS[path], (currents, leak), torch.ones(currents.shape),
            replace(neuron, detach_reset=detach_reset),
        )  # fmt: skip
        size.append(float(change.abs().max()))
    assert size[0] > 1e2
    assert size[1] < 1
