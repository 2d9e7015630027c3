"""Forward passes: what learns, what is evaluated and what is exported are one network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tests.train.random_models import norm, random_model, weights
from toolchain.network import Network, lag, starts
from toolchain.train.export import export, to_network, without_dead
from toolchain.train.forward import Learning, folded, forward
from toolchain.train.geometry import unrolled as connections
from toolchain.train.model import INPUT, Kernel, Layer, Model, Neuron, Pool, Synapses, parameters
from toolchain.unroll import convolved_shape, pooled_shape, unrolled

SEEDS = st.integers(0, 10**9)


def stimulus(model: Model, seed: int, steps: int = 12) -> np.ndarray:
    rng = np.random.default_rng([seed, 1])
    return rng.random((steps, 2, *model.input_shape)) < 0.4


def simulate(network: Network, spikes: np.ndarray) -> dict[str, np.ndarray]:
    """`network.Population`'s equations on local clocks; spikes and rasters (samples, steps, n)."""
    rasters = {network.input.name: spikes}
    steps = spikes.shape[1]
    for population in network.populations:
        rasters[population.name] = np.zeros((len(spikes), steps, population.size), bool)
    state = {p.name: np.zeros((2, len(spikes), p.size)) for p in network.populations}
    for t in range(steps):
        for p in network.populations:
            a = np.zeros((len(spikes), p.size))
            for edge in network.projections:
                if edge.target == p.name and t >= lag(network, edge):
                    a += (edge.weights @ rasters[edge.source][:, t - lag(network, edge)].T).T
            u, v = state[p.name]
            u = (1 - p.decay_u) * u + a
            v = (1 - p.decay_v) * v + u + p.bias
            fired = v > p.threshold
            rasters[p.name][:, t] = fired
            state[p.name] = np.stack([u, np.where(fired, 0, v)])
    return rasters


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_the_exported_network_spikes_as_the_model(seed):
    model = random_model(seed)
    spikes = stimulus(model, seed)
    rasters = forward(folded(model), torch.from_numpy(spikes.astype(float)))
    network = to_network(model)
    found = simulate(network, spikes.swapaxes(0, 1).reshape(2, len(spikes), -1))
    for layer in model.layers:
        expected = rasters[layer.name].detach().numpy().astype(bool).swapaxes(0, 1)
        assert np.array_equal(found[layer.name], expected.reshape(found[layer.name].shape)), layer
    assert starts(network) == {
        "input": 0,
        "conv1": 1,
        "relay": 2,
        "joined": 3,
        "looping": 4,
        "output": 5,
    }


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_without_its_dead_neurons_a_network_spikes_as_before(seed):
    model = random_model(seed)
    with torch.no_grad():  # some neurons that hear nothing, or are heard by nobody
        for layer in model.layers[:-1]:
            for synapses in layer.incoming:
                if synapses.mask is not None:
                    synapses.mask[:2] = False
                    synapses.weight[:2] = 0
        model.layers[-1].incoming[0].mask[:, 3:] = False
        model.layers[-1].incoming[0].weight[:, 3:] = 0
    exported = export(model)
    whole, network = to_network(model), exported.network
    spikes = stimulus(model, seed).swapaxes(0, 1).reshape(2, 12, -1)
    before, after = simulate(whole, spikes), simulate(network, spikes)
    assert exported.removed > 0
    assert np.array_equal(before["output"], after["output"])
    for name, chosen in exported.kept.items():
        assert np.array_equal(before[name][:, :, chosen], after[name]), name
    again, kept = without_dead(network)
    assert again.synapses == network.synapses
    assert all(len(kept[p.name]) == p.size for p in network.populations)


@settings(deadline=None, max_examples=60)
@given(seed=SEEDS, data=st.data())
def test_an_unrolled_convolution_is_torchs(seed, data):
    rng = np.random.default_rng(seed)
    groups = data.draw(st.integers(1, 2))
    source = (2 * groups, int(rng.integers(4, 9)), int(rng.integers(4, 9)))
    pool = None
    if data.draw(st.booleans()):
        kind = data.draw(st.sampled_from(["sum", "average"]))
        pool = Pool(kind=kind, size=(2, 3), stride=(int(rng.integers(1, 3)), 2))
    seen = pooled_shape(source, pool)
    taps = int(rng.integers(1, min(3, *seen[1:]) + 1)), 1
    kernel = Kernel(
        stride=(int(rng.integers(1, 3)), int(rng.integers(1, 3))),
        padding=(int(rng.integers(0, 3)), int(rng.integers(0, 3))),
        dilation=(1, int(rng.integers(1, 3))),
        groups=groups,
    )
    weight, mask = weights((2 * groups, 2, *taps), rng, 1.0)
    target = convolved_shape(seen, 2 * groups, taps, kernel)
    rows = unrolled(
        weight.detach().numpy(),
        mask.numpy(),
        source=source,
        target=target,
        kernel=kernel,
        pool=pool,
    )
    assert rows.has_canonical_format
    image = torch.from_numpy(rng.integers(0, 2, (1, *source)).astype(float))
    pooled = image
    if pool is not None:
        pooled = functional.avg_pool2d(image, pool.size, pool.stride)
        pooled = pooled * (6 if pool.kind == "sum" else 1)
    expected = functional.conv2d(
        pooled, weight, None, kernel.stride, kernel.padding, kernel.dilation, kernel.groups
    )
    assert np.allclose(rows @ image.numpy().ravel(), expected.detach().numpy().ravel(), atol=1e-12)
    bare = unrolled(
        weight.detach().numpy(), mask.numpy(), source=seen, target=target, kernel=kernel, pool=None
    )
    bare_synapses = Synapses(source=INPUT, weight=weight, mask=mask, kernel=kernel)
    count = connections(bare_synapses, seen, target, mask)
    assert count == bare.nnz  # those at weight 0 among them


def chain(normed: bool) -> Model:
    rng = np.random.default_rng(3)
    weight, mask = weights((4, 6), rng, 1.0)
    lif = Neuron(kind="lifbox", dt=0.001, tau_mem_inv=500.0, tau_syn_inv=500.0, v_th=1.0)
    into = Synapses(source=INPUT, weight=weight, mask=mask, norm=norm(4, rng) if normed else None)
    leak = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    only = Layer(name="output", shape=(4,), neuron=lif, incoming=(into,), v_leak=leak)
    return Model(input_shape=(6,), layers=(only,))


def test_a_norm_is_torchs_batch_norm_in_learning_and_folded():
    model = chain(normed=True)
    held = model.layers[0].incoming[0].norm
    torchs = torch.nn.BatchNorm1d(4, dtype=torch.float64)
    with torch.no_grad():
        for mine, theirs in ((held.gain, torchs.weight), (held.offset, torchs.bias)):
            theirs.copy_(mine)
        torchs.running_mean.copy_(held.mean)
        torchs.running_var.copy_(held.variance)
    spikes = torch.from_numpy((np.random.default_rng(0).random((5, 3, 6)) < 0.5).astype(float))
    currents = torchs(spikes.flatten(0, 1) @ model.layers[0].incoming[0].weight.T)
    plain = chain(normed=False)
    identity = Synapses(source=INPUT, weight=None, mask=None)
    bare = Model(
        input_shape=(4,),
        layers=(
            Layer(
                name="output",
                shape=(4,),
                neuron=plain.layers[0].neuron,
                incoming=(identity,),
                v_leak=plain.layers[0].v_leak,
            ),
        ),
    )
    expected = forward(bare, currents.view(5, 3, 4))["output"]
    found = forward(model, spikes, learning=Learning(noise=torch.Generator()))["output"]
    assert torch.equal(found, expected)
    torch.testing.assert_close(held.mean, torchs.running_mean)
    torch.testing.assert_close(held.variance, torchs.running_var)
    torchs.eval()
    after = torchs(spikes.flatten(0, 1) @ model.layers[0].incoming[0].weight.T)
    assert torch.equal(
        forward(folded(model), spikes)["output"], forward(bare, after.view(5, 3, 4))["output"]
    )


def test_every_parameter_gets_a_gradient_and_dropout_is_the_same_at_every_timestep():
    model = random_model(5)
    spikes = torch.from_numpy(stimulus(model, 5).astype(float))
    learning = Learning(noise=torch.Generator().manual_seed(1))
    forward(model, spikes, learning=learning)["output"].sum().backward()
    assert all(p.grad is not None for p in parameters(model).values())


def test_a_model_with_norms_must_be_folded_before_it_is_evaluated():
    with pytest.raises(AssertionError, match="folded before it is evaluated"):
        forward(chain(normed=True), torch.zeros(2, 1, 6, dtype=torch.float64))
