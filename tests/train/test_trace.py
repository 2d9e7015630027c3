"""Modules of the user's own: the traced model is theirs, spike for spike, or a refusal by name."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from toolchain.train.forward import folded, forward
from toolchain.train.model import INPUT, Layer, Model, Norm, Synapses, parameters
from toolchain.train.model_file import mapped
from toolchain.train.trace import from_module

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    import norse.torch as norse
    from norse.torch.functional.lif import LIFFeedForwardState, lif_feed_forward_step
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, lif_box_feed_forward_step

# Powers of two, so that sums, decays and thresholds are exact and no order of additions shows.
DT = 2.0**-10
LIF = norse.LIFParameters(
    tau_syn_inv=torch.tensor(512.0), tau_mem_inv=torch.tensor(256.0), v_th=torch.tensor(0.25)
)
BOX = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(512.0), v_th=torch.tensor(0.5))


def lif(p=LIF):
    return norse.LIFCell(p, dt=DT)


def box(p=BOX):
    return norse.LIFBoxCell(p, dt=DT)


def exact(module: nn.Module, seed: int) -> nn.Module:
    """The module with every weight, bias and statistic a multiple of 1/8, in evaluation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randint(-8, 9, parameter.shape, generator=generator) / 8)
        for one in module.modules():
            if isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d):
                one.eps = 0.25
                one.running_mean.copy_(
                    torch.randint(-4, 5, (one.num_features,), generator=generator) / 8
                )
                one.running_var.fill_(0.75)  # + eps = 1
            if isinstance(one, norse.LIFRecurrentCell):
                one.recurrent_weights.fill_diagonal_(0)
    return module.eval()


def spikes(steps: int, shape: tuple[int, ...], seed: int) -> Tensor:
    """(timesteps, 2 samples, *shape)"""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand((steps, 2, *shape), generator=generator) < 0.4).float()


def walked(model: Model, stimulus: Tensor) -> dict[str, Tensor]:
    """Spikes of every population, one timestep after another, as `model` says it in words."""
    state = {layer.name: None for layer in model.layers}
    last = {layer.name: torch.zeros(2, *layer.shape) for layer in model.layers}
    rasters: dict[str, list[Tensor]] = {layer.name: [] for layer in model.layers}
    for now in stimulus:
        last[INPUT] = now
        for layer in model.layers:
            z, state[layer.name] = stepped(layer, last, state[layer.name])
            last[layer.name] = z
            rasters[layer.name].append(z)
    return {name: torch.stack(steps) for name, steps in rasters.items()}


def stepped(layer: Layer, last: dict[str, Tensor], state):
    neuron, zero = layer.neuron, torch.zeros(2, *layer.shape)
    current, v_leak = zero, layer.v_leak.detach()
    for synapses in layer.incoming:
        delivered = delivers(synapses, last[synapses.source]).view(zero.shape)
        if synapses.norm is not None:
            scale, shift = normed(synapses.norm)
            delivered = delivered * per_channel(scale, layer)
            v_leak = v_leak + shift
        current = current + delivered
    shared = {"v_leak": per_channel(v_leak, layer), "v_th": torch.tensor(neuron.v_th)}
    shared["tau_mem_inv"] = torch.tensor(neuron.tau_mem_inv)
    if neuron.kind == "lif":
        p = norse.LIFParameters(tau_syn_inv=torch.tensor(neuron.tau_syn_inv), **shared)
        start = state or LIFFeedForwardState(v=zero, i=zero)
        return lif_feed_forward_step(current, start, p, neuron.dt)
    start = state or LIFBoxFeedForwardState(v=zero)
    return lif_box_feed_forward_step(current, start, norse.LIFBoxParameters(**shared), neuron.dt)


def delivers(synapses: Synapses, seen: Tensor) -> Tensor:
    if synapses.pool is not None:
        pool = synapses.pool
        size = pool.size[0] * pool.size[1] if pool.kind == "sum" else 1
        seen = functional.avg_pool2d(seen, pool.size, pool.stride) * size
    if synapses.weight is None:
        return seen
    weight = synapses.weight.detach() * synapses.mask
    if synapses.kernel is None:
        return functional.linear(seen.flatten(1), weight)
    kernel = synapses.kernel
    return functional.conv2d(
        seen, weight, None, kernel.stride, kernel.padding, kernel.dilation, kernel.groups
    )


def normed(norm: Norm) -> tuple[Tensor, Tensor]:
    scale = norm.gain.detach() / torch.sqrt(norm.variance + norm.epsilon)
    return scale, norm.offset.detach() - norm.mean * scale


def per_channel(values: Tensor, layer: Layer) -> Tensor:
    return values.view(-1, *(1,) * (len(layer.shape) - 1))


def check_same(module: nn.Module, shape: tuple[int, ...], *, seed: int = 0) -> Model:
    """The traced model spikes as the module does, stepped by its user; returns the model."""
    exact(module, seed)
    stimulus = spikes(6, shape, seed)
    model = from_module(module, shape)
    mine, state = [], None
    with torch.no_grad():
        for now in stimulus:
            z, state = module(now, state)
            mine.append(z)
    every, at_once = walked(model, stimulus), forward(folded(model), stimulus)
    theirs = every[model.output.name]
    assert torch.equal(torch.stack(mine).reshape(theirs.shape), theirs)
    assert all(torch.equal(every[name], at_once[name]) for name in every)
    return model


class Block(nn.Module):
    """Synapses and a neuron, with everything that may stand between two of them."""

    def __init__(self, synapses, cell, *, norm=None, pool=None, skip=False, dropout=0.0):
        super().__init__()
        self.synapses, self.cell, self.skip = synapses, cell, skip
        self.norm = norm or nn.Identity()
        self.pool = pool or nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, state=None):
        current = self.norm(self.synapses(self.dropout(x)))
        if self.skip:
            current = current + x
        z, state = self.cell(current, state)
        return self.pool(z), state


class Net(nn.Module):
    """Blocks in a chain, flattened where the first dense one comes."""

    def __init__(self, blocks, dense, flatten):
        super().__init__()
        self.blocks, self.dense = nn.ModuleList(blocks), nn.ModuleList(dense)
        self.flatten = flatten

    def forward(self, x, state=None):
        state = state if state is not None else [None] * (len(self.blocks) + len(self.dense))
        new = []
        for at, block in enumerate(self.blocks):
            x, s = block(x, state[at])
            new.append(s)
        x = self.flatten(x)
        for at, block in enumerate(self.dense, len(self.blocks)):
            x, s = block(x, state[at])
            new.append(s)
        return x, new


FLATTENS = [
    nn.Flatten(),
    lambda x: torch.flatten(x, 1),
    lambda x: x.flatten(1),
    lambda x: x.view(x.shape[0], -1),
    lambda x: x.reshape(x.size(0), x.shape[1] * x.shape[2] * x.shape[3]),
]


@st.composite
def networks(draw):
    """(module, input shape): convolutions, pools, norms, skips, dropout; dense layers behind."""
    flag = st.booleans()
    channels, size = draw(st.integers(1, 2)), draw(st.integers(4, 6))
    shape = (channels, size, draw(st.integers(4, 6)))
    is_box, blocks = draw(flag), []
    extents, planes = list(shape[1:]), channels
    for _ in range(draw(st.integers(0, 2))):
        skip = draw(flag)
        out = planes if skip else 2 * draw(st.integers(1, 2))
        conv = nn.Conv2d(
            planes,
            out,
            3,
            stride=1 if skip else draw(st.integers(1, 2)),
            padding="same" if skip else 1,
            groups=planes if out % planes == 0 and draw(flag) else 1,
            bias=is_box and draw(flag),
        )
        norm = nn.BatchNorm2d(out) if is_box and draw(flag) else None
        pool = draw(st.sampled_from([None, nn.AvgPool2d(2), nn.LPPool2d(1, 2)]))
        pool = pool if min(extents) > 3 else None
        blocks.append(
            Block(conv, box() if is_box else lif(), norm=norm, pool=pool, skip=skip, dropout=0.5)
        )
        extents = [(e - 1) // conv.stride[0] + 1 for e in extents]
        extents = [e // 2 for e in extents] if pool else extents
        planes = out
    width, dense = planes * extents[0] * extents[1], []
    for _ in range(draw(st.integers(1, 2))):
        out = width if draw(flag) and width < 8 else draw(st.integers(1, 5))
        norm = nn.BatchNorm1d(out) if is_box and draw(flag) else None
        linear = nn.Linear(width, out, bias=is_box and draw(flag))
        cell = box() if is_box else lif()
        dense.append(Block(linear, cell, norm=norm, skip=out == width))
        width = out
    return Net(blocks, dense, draw(st.sampled_from(FLATTENS))), shape


@settings(max_examples=25, deadline=None)
@given(networks(), st.integers(0, 2**30))
def test_the_traced_model_spikes_as_the_users_module_does(network, seed):
    module, shape = network
    model = check_same(module, shape, seed=seed)
    weights = [s.weight for layer in model.layers for s in layer.incoming if s.weight is not None]
    theirs = [m.weight for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert all(torch.equal(mine, held) for mine, held in zip(weights, theirs, strict=True))
    assert all(mine.requires_grad for mine in weights)


def test_a_chain_of_norses_own_is_followed():
    chain = norse.SequentialState(
        nn.Conv2d(2, 3, 3, bias=False),
        lif(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 4, False),
    )
    model = check_same(norse.SequentialState(chain, lif()), (2, 6, 6))
    assert [layer.name for layer in model.layers] == ["layer0.1", "layer1"]
    assert [layer.shape for layer in model.layers] == [(3, 4, 4), (4,)]


@pytest.mark.parametrize("autapses", [False, True])
def test_norses_recurrent_neurons_are_synapses_from_a_layer_to_itself(autapses):
    cell = norse.LIFRecurrentCell(5, 4, LIF, dt=DT, autapses=autapses)
    model = check_same(
        norse.SequentialState(cell, nn.Linear(4, 3, bias=False), lif()), (5,), seed=3
    )
    into, loop = model.layers[0].incoming
    assert (into.source, loop.source) == (INPUT, "layer0")
    assert torch.equal(loop.mask, ~torch.eye(4, dtype=torch.bool) | autapses)


def test_a_module_over_all_timesteps_is_followed():
    module = norse.SequentialState(
        norse.Lift(nn.Conv2d(2, 3, 3, bias=False)),
        norse.LIF(LIF, dt=DT),
        norse.Lift(nn.AvgPool2d(2)),
        nn.Flatten(2),
        norse.LIFRecurrent(12, 3, LIF, dt=DT, autapses=True),
    )
    exact(module, 1)
    stimulus = spikes(5, (2, 6, 6), 1)
    model = from_module(module, (2, 6, 6))
    with torch.no_grad():
        theirs, _ = module(stimulus)
    assert torch.equal(theirs, walked(model, stimulus)["layer4"])


class Signal(nn.Module):
    """One dimension, functions instead of modules, and no state that anybody asks for."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 5, padding="same", dilation=2)
        self.norm = nn.BatchNorm1d(4)
        self.first, self.second, self.third = box(), box(), box()
        self.skip = nn.Linear(24, 5)
        self.dense = nn.Linear(4, 5)

    def forward(self, x, state=None):
        s1, s2, s3 = state or (None, None, None)
        z, s1 = self.first(self.norm(self.conv(x)), s1)
        far = self.skip(torch.reshape(functional.avg_pool1d(z, 2), (-1, 24)))
        z, s2 = self.second(functional.avg_pool1d(z, 4), s2)
        near = self.dense(functional.adaptive_avg_pool1d(z, 1).flatten(1))
        z, s3 = self.third(torch.add(far, near), s3)
        return z, (s1, s2, s3)


@pytest.mark.parametrize("affine", [False, True])
def test_a_norm_is_trained_where_the_users_is_and_stays_so_on_file(affine):
    layers = (nn.Flatten(), nn.Linear(6, 3, bias=False), nn.BatchNorm1d(3, affine=affine), box())
    model = from_module(norse.SequentialState(*layers), (1, 2, 3))
    for held in (model, mapped(model, lambda tensor: tensor)):
        norms = [name.rpartition(".")[2] for name in parameters(held) if ".norm." in name]
        assert norms == (["gain", "offset"] if affine else [])


def test_a_signal_is_an_image_of_height_one():
    module = exact(Signal(), 2)
    stimulus = spikes(6, (2, 12), 2)
    model = from_module(module, (2, 1, 12))
    mine, state = [], None
    with torch.no_grad():
        for now in stimulus:
            z, state = module(now, state)
            mine.append(z)
    theirs = walked(model, stimulus.unsqueeze(3))
    assert torch.equal(torch.stack(mine), theirs["third"])
    assert [layer.shape for layer in model.layers] == [(4, 1, 12), (4, 1, 3), (5,)]
    assert model.layers[0].incoming[0].kernel.padding == (0, 4)


def test_what_is_trained_requires_a_gradient_and_is_the_users_no_more():
    module = norse.SequentialState(
        nn.Linear(3, 4), nn.BatchNorm1d(4), box(), nn.Linear(4, 2), box()
    )
    model = from_module(module, (3,))
    first, second = model.layers
    norm = first.incoming[0].norm
    assert norm.gain.requires_grad
    assert norm.offset.requires_grad
    assert not first.v_leak.requires_grad  # its bias is part of the norm's mean
    assert torch.equal(norm.mean, -module[0].bias.detach())
    assert second.v_leak.requires_grad
    assert torch.equal(second.v_leak.detach(), module[3].bias.detach())
    with torch.no_grad():
        first.incoming[0].weight.zero_()
    assert module[0].weight.abs().sum() > 0


def test_a_v_leak_may_be_trained_from_zero():
    p = LIF._replace(v_leak=nn.Parameter(torch.zeros(2)))
    model = from_module(norse.SequentialState(nn.Linear(3, 2, bias=False), lif(p)), (3,))
    assert model.output.v_leak.requires_grad
