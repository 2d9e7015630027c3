"""Modules of the user's own that have no form on the chip: each is refused by name, all at once."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from tests.train.test_trace import BOX, LIF, box, lif
from toolchain.errors import UnsupportedError
from toolchain.train.trace import from_module

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    import norse.torch as norse
    from norse.torch.functional.reset import reset_subtract


def chain(*modules):
    """The modules between an input of 2 x 4 x 4 and a population of LIF neurons."""
    return norse.SequentialState(*modules, lif())


def end(*modules):
    """The modules behind a population of 4 LIFBox neurons."""
    return norse.SequentialState(nn.Flatten(), nn.Linear(32, 4), box(), *modules)


def conv(**settings):
    return nn.Conv2d(2, 4, 3, **{"bias": False} | settings)


def frozen(module):
    return module.requires_grad_(False)


def hooked(module):
    module.register_forward_hook(lambda *_: None)
    return module


def linear(count=4, **settings):
    return nn.Linear(count, 3, **{"bias": False} | settings)


class Code(nn.Module):
    """Modules and a function of them and the input."""

    def __init__(self, run, **modules):
        super().__init__()
        self.run = run
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x, state=None):
        return self.run(self, x)


def code(run):
    """Code over usual modules: a, b, c are LIF cells; conv keeps the shape, dense flattens."""
    return Code(
        run,
        a=lif(),
        b=lif(),
        c=lif(),
        conv=nn.Conv2d(2, 2, 3, padding=1, bias=False),
        other=nn.Conv2d(2, 2, 1, bias=False),
        flat=nn.Flatten(),
        dense=nn.Linear(32, 3, bias=False),
        drop=nn.Dropout(),
        pool=nn.AvgPool2d(2),
    )


REFUSED = [
    # modules that are nothing on a chip
    (chain(conv(), nn.ReLU()), r"1 \(ReLU\): is no spiking neuron; use norse.torch.LIFCell"),
    (chain(nn.MaxPool2d(2), conv()), r"0 \(MaxPool2d\): takes a maximum.* use torch.nn.AvgPool2d"),
    (chain(conv(), nn.GroupNorm(2, 4)), r"1 \(GroupNorm\): normalizes each sample by itself"),
    (chain(nn.Dropout2d()), r"0 \(Dropout2d\): drops other than single neurons"),
    (chain(nn.Upsample(scale_factor=2)), r"0 \(Upsample\): has no form on the chip; known are"),
    (chain(nn.ConvTranspose2d(2, 1, 3)), r"0 \(ConvTranspose2d\): has no form"),
    (chain(nn.RNN(4, 4)), r"0 \(RNN\): has no spikes"),
    (chain(conv(), norse.LICell()), r"1 \(LICell\): has no threshold"),
    (chain(conv(), norse.LSNNCell()), r"1 \(LSNNCell\): its neuron's equations are not the chip's"),
    (chain(norse.PoissonEncoder(4)), r"0 \(PoissonEncoder\): encodes, .*\[encoding\]"),
    (norse.RecurrentSequential(lif()), r"RecurrentSequential: leads from a later layer back"),
    (chain(norse.LConv2d(2, 4, 3)), r"0 \(LConv2d\): holds a dimension of time"),
    # neurons whose parameters a chip does not have
    (chain(lif(LIF._replace(v_reset=torch.tensor(0.5)))), r"v_reset = 0.5, but the chip resets v"),
    (
        chain(lif(LIF._replace(v_th=torch.ones(4)))),
        r"has 4 values of v_th; a population shares one",
    ),
    (chain(lif(LIF._replace(v_th=torch.tensor(0.0)))), r"v_th = 0 must be above 0"),
    (chain(lif(LIF._replace(v_leak=torch.tensor(0.5)))), r"starts at v_leak, which is not 0"),
    (chain(lif(LIF._replace(method="tanh"))), r"its surrogate gradient is 'tanh'"),
    (chain(lif(LIF._replace(tau_mem_inv=torch.tensor(2e3)))), r"dt \* tau_mem_inv = 1.95312 is"),
    (
        chain(lif(LIF._replace(tau_syn_inv=nn.Parameter(torch.tensor(200.0))))),
        r"trains tau_syn_inv, which is fixed here; give a number",
    ),
    (
        chain(conv(), lif(LIF._replace(v_leak=nn.Parameter(torch.zeros(3))))),
        r"trains 3 v_leak, but has 4 channels",
    ),
    (end(linear(), box(BOX._replace(reset_method=reset_subtract))), r"subtracts at a spike"),
    # synapses that a chip does not have
    (chain(conv(bias=True)), r"0 \(Conv2d\): its bias would enter a LIF's synaptic current"),
    (chain(conv(), nn.BatchNorm2d(4)), r"1 \(BatchNorm2d\): its shift would enter.* LIFBoxCell"),
    (chain(conv(padding=1, padding_mode="circular")), r"padding_mode = 'circular'"),
    (chain(nn.Conv2d(2, 4, 2, padding="same")), r"pads one side more than the other"),
    (chain(nn.Conv2d(3, 4, 3)), r"takes 3 channels, gets 2"),
    (chain(nn.Conv2d(2, 4, 5)), r"gets 2 x 4 x 4 neurons, fewer than its kernel spans"),
    (chain(nn.Flatten(), conv()), r"needs channels and positions, gets 32 neurons in a row"),
    (chain(nn.Conv1d(2, 4, 3)), r"needs a height of 1, gets 2 x 4 x 4 neurons; use the 2d form"),
    (chain(linear()), r"gets 2 x 4 x 4 neurons and would see the last dimension only; put"),
    (chain(nn.Flatten(), linear(31)), r"takes 31 inputs, gets 32"),
    (chain(conv(), conv()), r"1 \(Conv2d\): applies weights to currents; put a spiking layer"),
    (chain(nn.Flatten(2)), r"0 \(Flatten\): flattens from dimension 2; start at 1"),
    (chain(nn.Flatten(1, 2)), r"0 \(Flatten\): leaves dimensions as they are"),
    (chain(conv(), nn.Flatten()), r"1 \(Flatten\): flattens currents; flatten the spikes"),
    (chain(frozen(conv())), r"0 \(Conv2d\): 'weight' is frozen"),
    (chain(conv().double()), r"0 \(Conv2d\): 'weight' is torch.float64, training is in float32"),
    (chain(hooked(conv())), r"0 \(Conv2d\): has hooks"),
    # pools, norms and dropout in the wrong place or manner
    (chain(conv(), nn.AvgPool2d(2)), r"1 \(AvgPool2d\): pools currents; put a spiking layer"),
    (chain(nn.AvgPool2d(2), nn.AvgPool2d(2)), r"1 \(AvgPool2d\): pools what is pooled already"),
    (chain(nn.AvgPool2d(2, padding=1)), r"pads what it pools; set padding = 0"),
    (chain(nn.AvgPool2d(3, ceil_mode=True)), r"pools past the edge; set ceil_mode = False"),
    (chain(nn.AvgPool2d(2, divisor_override=3)), r"divides by 3; only its own size"),
    (chain(nn.LPPool2d(2, 2)), r"pools by the norm 2; only norm_type = 1"),
    (chain(nn.AvgPool2d(5)), r"gets 2 x 4 x 4 neurons, fewer than it pools"),
    (chain(nn.AdaptiveAvgPool2d(3)), r"pools 4 x 4 into 3 x 3, unevenly"),
    (chain(conv(), nn.Dropout()), r"1 \(Dropout\): drops currents; put a spiking layer"),
    (chain(nn.BatchNorm2d(2)), r"0 \(BatchNorm2d\): normalizes spikes; put it directly behind"),
    (end(linear(), nn.BatchNorm1d(3), nn.BatchNorm1d(3), box()), r"only one behind each"),
    (end(linear(), nn.BatchNorm1d(4), box()), r"normalizes 4 channels, gets 3"),
    (
        end(linear(), nn.BatchNorm1d(3, track_running_stats=False), box()),
        r"keeps no running statistics",
    ),
    (end(linear(), nn.BatchNorm1d(3, momentum=None), box()), r"averages its statistics over all"),
    # how they are joined
    (end(linear()), r"the end: the currents of '3' meet no spiking layer"),
    (end(nn.AvgPool1d(2)), r"needs channels and positions"),
    (nn.Flatten(), r"the end: these are the input's"),
    (chain(norse.LIF()), r"1 \(LIFCell\): takes one timestep where others take all; wrap it"),
    (
        norse.SequentialState(conv(), norse.LIF()),
        r"0 \(Conv2d\): knows no dimension of time; wrap it",
    ),
    (nn.Sequential(conv(), lif(), nn.Flatten()), r"2 \(Flatten\): gets spikes and their state"),
    (code(lambda m, x: m.a(torch.relu(x))), r"test_refusals.py:\d+: relu: has no form on the chip"),
    (code(lambda m, x: m.a(x * 2)), r"test_refusals.py:\d+: mul: has no form"),
    (code(lambda m, x: m.a(x + 1)), r"add: adds what are not both spikes"),
    (code(lambda m, x: m.a(x[:, 0])), r"getitem: takes a part of spikes"),
    (code(lambda m, x: m.a(x.view(-1, 4, 8))), r"view: gives .* another shape"),
    (code(lambda m, x: m.a(m.conv.weight)), r"uses the tensor 'conv.weight' by itself"),
    (code(lambda m, x: m.a(torch.zeros(3))), r"uses a tensor of its own by itself"),
    (
        code(lambda m, x: m.b(m.other(m.a(m.conv(x))[0]) + m.dense(m.flat(x)))),
        r"add: adds 2 x 4 x 4 neurons to 3; both must have one shape",
    ),
    (code(lambda m, x: m.b(m.conv(m.a(x)[0] + x))), r"conv \(Conv2d\): applies weights to a sum"),
    (code(lambda m, x: m.b(m.conv(x) + m.other(x))), r"b \(LIFCell\): gets two sets of synapses"),
    (code(lambda m, x: m.a(m.conv(m.a(x)[0]))), r"a \(LIFCell\): is called twice"),
    (code(lambda m, x: m.b(m.conv(m.a(m.conv(x))[0]))), r"conv \(Conv2d\): is called twice"),
    (code(lambda m, x: m.b(m.conv(x), m.a(x)[1])), r"b \(LIFCell\): gets a state; pass None"),
    (code(lambda m, x: (m.a(x), m.b(x))[1]), r"a: its spikes lead nowhere"),
    (code(lambda m, x: (m.a(x), m.b(m.conv(x)))[0]), r"b: its spikes lead nowhere"),
    (code(lambda m, x: m.pool(m.a(x)[0])), r"the end: these are pooled"),
    (code(lambda m, x: x.shape), r"the end: a .* is returned"),
    (
        code(lambda m, x: m.a(x) if x > 0 else m.b(x)),
        r"cannot be followed at .*test_refusals.py:\d+ \(TraceError",
    ),
    (code(lambda m, x: [m.a(now) for now in x]), r"cannot be followed"),
    (Code(lambda m, x: m.input(x), input=lif()), r"input \(LIFCell\): is called as the stimulus"),
]


@pytest.mark.parametrize(("module", "message"), REFUSED)
def test_what_has_no_form_on_the_chip_is_refused_by_name(module, message):
    with pytest.raises(UnsupportedError, match=message):
        from_module(module, (2, 4, 4))


def test_shared_weights_are_refused():
    module = norse.SequentialState(nn.Linear(3, 3, False), lif(), nn.Linear(3, 3, False), lif())
    module[2].weight = module[0].weight
    with pytest.raises(UnsupportedError, match=r"2 \(Linear\): shares its weights with '0'"):
        from_module(module, (3,))


def test_every_offender_is_named_at_once():
    module = norse.SequentialState(
        nn.MaxPool2d(2),
        nn.Conv2d(2, 4, 1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        lif(LIF._replace(v_reset=torch.tensor(1.0))),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    with pytest.raises(UnsupportedError) as caught:
        from_module(module, (2, 4, 4), name="mine.py:build")
    lines = str(caught.value).splitlines()
    assert lines[0] == "mine.py:build (5 parts without a form on the chip):"
    offenders = ["0 (MaxPool2d)", "3 (ReLU)", "4 (LIFCell)", "2 (BatchNorm2d)", "the end"]
    assert [line.split(":")[0].removeprefix("  - ") for line in lines[1:]] == offenders
