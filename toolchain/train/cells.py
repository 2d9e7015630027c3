"""Which of norse's neurons a chip has, with what parameters, and what may lead to them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from toolchain.train.forms import UNKNOWN, Current, Part, Value, as_current, spikes_in_a_row
from toolchain.train.model import Layer, Neuron, Synapses

with warnings.catch_warnings():
    # norse 1.1.0 compiles with torch.jit.script while it is imported; torch 2.13 deprecates that.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    from norse.torch.functional.reset import reset_value
    from norse.torch.module.lif import LIF, LIFCell, LIFRecurrent, LIFRecurrentCell
    from norse.torch.module.lif_box import LIFBoxCell

Cell = Any  # a module of KINDS; norse ships no types

KINDS: dict[type[nn.Module], Literal["lif", "lifbox"]] = {
    LIFCell: "lif",
    LIF: "lif",
    LIFRecurrentCell: "lif",
    LIFRecurrent: "lif",
    LIFBoxCell: "lifbox",
}
RECURRENT = (LIFRecurrentCell, LIFRecurrent)
OVER_TIME = (LIF, LIFRecurrent)  # they take all timesteps at once


def neuron_reasons(module: Cell, *, to_train: bool = True) -> Iterator[str]:
    """Why a neuron of KINDS has no form on the chip wherever it stands, or cannot be trained."""
    p, kind = module.p, KINDS[type(module)]
    rates = ("tau_mem_inv", "tau_syn_inv") if kind == "lif" else ("tau_mem_inv",)
    for name in (*rates, "v_th", "v_reset"):
        value = torch.as_tensor(getattr(p, name))
        if value.numel() != 1:
            yield f"has {value.numel()} values of {name}; a population shares one: give one number"
        elif to_train and value.requires_grad:
            yield f"trains {name}, which is fixed here; give a number"
        elif name in rates and not 0 < _number(value) * module.dt <= 1:
            yield (
                f"dt * {name} = {_number(value) * module.dt:g} is the share lost per timestep and"
                " must be in (0, 1]; lower one of them"
            )
        elif name == "v_th" and _number(value) <= 0:
            yield f"v_th = {_number(value):g} must be above 0, where v rests"
        elif name == "v_reset" and _number(value) != 0:
            yield f"v_reset = {_number(value):g}, but the chip resets v to 0; set v_reset = 0"
    if to_train:
        yield from _training_reasons(module)
    if kind == "lifbox" and p.reset_method is not reset_value:
        yield "subtracts at a spike, but the chip resets v to 0; choose reset_method = reset_value"


def _training_reasons(module: Cell) -> Iterator[str]:
    p = module.p
    if leaks_elsewhere(module):
        yield (
            "starts at v_leak, which is not 0, but v starts at 0 on the chip; to train it, set"
            " v_leak = torch.nn.Parameter(torch.zeros(n)), one for each neuron or channel"
        )
    if p.method != "super":
        yield f"its surrogate gradient is '{p.method}', training has 'super' only; choose that"


def leaks_elsewhere(module: Cell) -> bool:
    """Whether v rests, and in norse starts, elsewhere than at 0."""
    return bool(torch.as_tensor(module.p.v_leak).detach().abs().max() > 0)


def objections(module: Cell, value: Value, *, to_train: bool = True) -> Iterator[tuple[str, str]]:
    """(path, reason) of what leads to a neuron and has no form there; the path '' is its own."""
    parts = as_current(value).parts
    if KINDS[type(module)] == "lif":
        for part in parts:
            if part.bias is not None:
                yield part.path, _BIAS
            if part.norm is not None:
                yield part.norm_path, _NORM
    own, shape = torch.as_tensor(module.p.v_leak), as_current(value).shape
    if own.requires_grad and to_train and shape and own.numel() != shape[0]:
        yield "", f"trains {own.numel()} v_leak, but has {shape[0]} channels or neurons; as many"
    if not to_train and shape and own.numel() not in {1, shape[0]}:
        yield "", f"has {own.numel()} v_leak for {shape[0]} channels or neurons; one, or as many"
    for weighted in (True, False):
        sources = [p.spikes.source for p in parts if (p.weight is not None) == weighted]
        sources = [source for source in sources if source != UNKNOWN]
        if len(set(sources)) < len(sources):
            yield "", "gets two sets of synapses from one source; join them into one"


_BIAS = (
    "its bias would enter a LIF's synaptic current, but the chip adds a bias to v; set bias ="
    " False, or choose LIFBoxCell"
)
_NORM = (
    "its shift would enter a LIF's synaptic current, but the chip adds a shift to v; leave it out,"
    " or choose LIFBoxCell"
)


def population(module: Cell, name: str, value: Value) -> Layer:
    """The neurons of a module, and all that leads to them."""
    incoming: tuple[Synapses, ...]
    if isinstance(module, RECURRENT):
        shape: tuple[int, ...] | None = (len(module.recurrent_weights),)
        incoming = _recurrent(module, name, value)
        current = Current(shape=shape, parts=())
    else:
        current = as_current(value)
        incoming = tuple(part.synapses() for part in current.parts)
    return Layer(
        name=name,
        shape=current.shape or (),
        neuron=_neuron(module),
        incoming=incoming,
        v_leak=_v_leak(module, current),
    )


def _recurrent(module: Cell, name: str, value: Value) -> tuple[Synapses, ...]:
    """norse's own input weights, and those from the population's last spikes.

    lif_step of norse 1.1.0 adds both to the current before it moves v, as its feed-forward step
    does with the input's; without autapses the diagonal holds no synapse.
    """
    seen = spikes_in_a_row(value, module.input_weights.shape[1])
    into = Part(spikes=seen, weight=_copy(module.input_weights)).synapses()
    weight = _copy(module.recurrent_weights)
    mask = torch.ones(weight.shape, dtype=torch.bool)
    if not module.autapses:
        mask.fill_diagonal_(False)
    return into, Synapses(source=name, weight=weight, mask=mask)


def _copy(weights: Tensor) -> Tensor:
    return weights.detach().clone().requires_grad_()


def _neuron(module: Cell) -> Neuron:
    kind = KINDS[type(module)]
    return Neuron(
        kind=kind,
        dt=float(module.dt),
        tau_mem_inv=_number(module.p.tau_mem_inv),
        tau_syn_inv=_number(module.p.tau_syn_inv) if kind == "lif" else 1 / float(module.dt),
        v_th=_number(module.p.v_th),
    )


def _v_leak(module: Cell, current: Current) -> Tensor:
    """What drives each channel or neuron at every timestep: v_leak, and the biases before it."""
    channels = current.shape[0] if current.shape else 1
    own = torch.as_tensor(module.p.v_leak)
    biases = [part.bias for part in current.parts if part.bias is not None]
    total = torch.zeros(channels)
    if own.numel() in {1, channels}:  # else it was refused
        total = total + own.detach().flatten().float()
    for bias in biases:
        total = total + bias.detach()
    return total.requires_grad_(bool(biases) or own.requires_grad)


def _number(value: Tensor | float) -> float:
    return float(torch.as_tensor(value).detach())
