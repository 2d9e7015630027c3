"""What each module of torch and norse is on a chip: synapses, pools, norms, or why it is nothing.

A value on its way through a user's module is `Spikes` or a `Current`; the functions of FORMS say
what a module makes of one, and raise RefusedError where it stands in the wrong place.
`toolchain.train.cells` says what becomes of a value in a neuron; `toolchain.train.trace` walks over
the module and calls both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from toolchain.train.model import Kernel, Norm, Pool, Shape, Synapses
from toolchain.unroll import convolved_shape, pooled_shape


class RefusedError(Exception):
    """Why a module, or a function, has no form on the chip where it stands, and the next move."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spikes:
    """Spikes of the input or a population, on their way to synapses."""

    source: str
    shape: Shape | None  # as seen now: pooled, flattened; None behind something that was refused
    pool: Pool | None = None
    dropout: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """What one set of synapses delivers, before it meets a neuron."""

    spikes: Spikes
    path: str = ""  # of the module that holds the weights
    weight: Tensor | None = None
    kernel: Kernel | None = None
    bias: Tensor | None = None
    norm: Norm | None = None
    norm_path: str = ""

    def synapses(self) -> Synapses:
        """The same in the model's words; a bias is the population's."""
        mask = None if self.weight is None else torch.ones(self.weight.shape, dtype=torch.bool)
        return Synapses(
            source=self.spikes.source,
            weight=self.weight,
            mask=mask,
            pool=self.spikes.pool,
            kernel=self.kernel,
            norm=self.norm,
            dropout=self.spikes.dropout,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Current:
    """A sum of what several sets of synapses deliver."""

    shape: Shape | None
    parts: tuple[Part, ...]


Value = Spikes | Current
UNKNOWN = "?"  # a source behind something that was refused


def as_current(value: Value) -> Current:
    """Spikes that enter a neuron as they are, each with weight 1."""
    if isinstance(value, Current):
        return value
    return Current(shape=value.shape, parts=(Part(spikes=value),))


def added(one: Value, other: Value) -> Current:
    """The sum of two values."""
    first, second = as_current(one), as_current(other)
    if first.shape and second.shape and first.shape != second.shape:
        raise RefusedError(
            f"adds {_by(first.shape)} neurons to {_by(second.shape)}; both must have one shape"
        )
    return Current(shape=first.shape or second.shape, parts=first.parts + second.parts)


def flattened(value: Value) -> Spikes:
    """Spikes in a row, in C order."""
    if isinstance(value, Current):
        raise RefusedError("flattens currents; flatten the spikes, behind the spiking layer")
    return replace(value, shape=None if value.shape is None else (prod(value.shape),))


def parameter(tensor: Tensor) -> Tensor:
    """A copy that is to be trained."""
    return tensor.detach().clone().requires_grad_()


def _linear(module: nn.Module, value: Value, path: str) -> Current:
    assert isinstance(module, nn.Linear)
    part = Part(
        spikes=spikes_in_a_row(value, module.in_features),
        path=path,
        weight=parameter(module.weight),
        bias=module.bias,
    )
    return Current(shape=(module.out_features,), parts=(part,))


def spikes_in_a_row(value: Value, count: int) -> Spikes:
    """The spikes that fully connected synapses see."""
    spikes = _spikes(value)
    if spikes.shape is not None and len(spikes.shape) > 1:
        raise RefusedError(
            f"gets {_by(spikes.shape)} neurons and would see the last dimension only; put"
            " torch.nn.Flatten() before it"
        )
    if spikes.shape not in {None, (count,)}:
        raise RefusedError(f"takes {count} inputs, gets {_by(spikes.shape)}; make them as many")
    return spikes


def _conv(module: nn.Module, value: Value, path: str) -> Current:
    """Conv2d, and Conv1d as one of height 1."""
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    weight = parameter(_as_image(module.weight))
    kernel = Kernel(
        stride=_pair(module.stride, 1),
        padding=_padding(module),
        dilation=_pair(module.dilation, 1),
        groups=module.groups,
    )
    spikes = _spikes(value)
    shape = None
    if spikes.shape is not None:
        _check_image(spikes.shape, flat=isinstance(module, nn.Conv1d))
        if spikes.shape[0] != module.in_channels:
            raise RefusedError(f"takes {module.in_channels} channels, gets {spikes.shape[0]}")
        size = (weight.shape[2], weight.shape[3])
        shape = convolved_shape(spikes.shape, module.out_channels, size, kernel)
        if min(shape) < 1:
            raise RefusedError(f"gets {_by(spikes.shape)} neurons, fewer than its kernel spans")
    part = Part(spikes=spikes, path=path, weight=weight, kernel=kernel, bias=module.bias)
    return Current(shape=shape, parts=(part,))


def _as_image(weight: Tensor) -> Tensor:
    return weight if weight.ndim == 4 else weight.unsqueeze(2)


def _padding(module: nn.Conv1d | nn.Conv2d) -> tuple[int, int]:
    """Zeros on each side; 'same' resolved."""
    if isinstance(module.padding, str):
        if module.padding == "valid":
            return 0, 0
        spans = zip(_pair(module.dilation, 1), _pair(module.kernel_size, 1), strict=True)
        high, wide = (dilation * (taps - 1) // 2 for dilation, taps in spans)
        return high, wide
    return _pair(module.padding, 0)


def _batch_norm(module: nn.Module, value: Value, path: str) -> Current:
    """A norm over one set of synapses, whose bias, if any, becomes part of the running mean."""
    assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    if isinstance(value, Spikes):
        raise RefusedError("normalizes spikes; put it directly behind a Linear or Conv")
    if len(value.parts) > 1:
        raise RefusedError("normalizes a sum; normalize each summand before they are added")
    (part,) = value.parts
    if part.weight is None or part.norm is not None:
        raise RefusedError("must stand directly behind a Linear or Conv, and only one behind each")
    if len(part.weight) != module.num_features:
        raise RefusedError(f"normalizes {module.num_features} channels, gets {len(part.weight)}")
    norm = _norm(module, part.bias)
    return replace(value, parts=(replace(part, bias=None, norm=norm, norm_path=path),))


def _norm(module: nn.BatchNorm1d | nn.BatchNorm2d, bias: Tensor | None) -> Norm:
    mean, variance, momentum = module.running_mean, module.running_var, module.momentum
    assert mean is not None
    assert variance is not None
    assert momentum is not None
    channels = len(mean)
    affine = module.affine
    return Norm(
        gain=parameter(module.weight) if affine else torch.ones(channels),
        offset=parameter(module.bias) if affine else torch.zeros(channels),
        mean=mean.clone() if bias is None else mean - bias.detach(),
        variance=variance.clone(),
        epsilon=module.eps,
        momentum=momentum,
    )


def _average(module: nn.Module, value: Value, path: str) -> Spikes:
    """AvgPool1d, AvgPool2d; divisor_override = 1 makes it a sum."""
    assert isinstance(module, nn.AvgPool1d | nn.AvgPool2d)
    size = _pair(module.kernel_size, 1)
    kind: Literal["sum", "average"] = "average"
    if getattr(module, "divisor_override", None) == 1 != prod(size):
        kind = "sum"
    pool = Pool(kind=kind, size=size, stride=_pair(module.stride, 1))
    return _pooled(value, pool, flat=isinstance(module, nn.AvgPool1d))


def _sum(module: nn.Module, value: Value, path: str) -> Spikes:
    """LPPool1d, LPPool2d of norm_type 1: norse's form of a sum (`norse.torch.from_nir`)."""
    assert isinstance(module, nn.LPPool1d | nn.LPPool2d)
    size = _pair(module.kernel_size, 1)
    stride = size if module.stride is None else _pair(module.stride, 1)
    pool = Pool(kind="sum", size=size, stride=stride)
    return _pooled(value, pool, flat=isinstance(module, nn.LPPool1d))


def _adaptive(module: nn.Module, value: Value, path: str) -> Spikes:
    """AdaptiveAvgPool1d, AdaptiveAvgPool2d, where all its pools are of one size."""
    assert isinstance(module, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d)
    flat = isinstance(module, nn.AdaptiveAvgPool1d)
    spikes = _spikes(value)
    if spikes.shape is None:
        return spikes
    _check_image(spikes.shape, flat=flat)
    extents = spikes.shape[1:]
    asked = module.output_size if isinstance(module.output_size, tuple) else (module.output_size,)
    asked = (1, *asked) if flat else asked * 2 if len(asked) == 1 else asked
    wanted = [extent if out is None else out for extent, out in zip(extents, asked, strict=True)]
    high, wide = (extent // out for extent, out in zip(extents, wanted, strict=True))
    if (high * wanted[0], wide * wanted[1]) != extents:
        raise RefusedError(
            f"pools {_by(extents)} into {_by(tuple(wanted))}, unevenly; choose a size that divides"
        )
    return _pooled(value, Pool(kind="average", size=(high, wide), stride=(high, wide)), flat=flat)


def _pooled(value: Value, pool: Pool, *, flat: bool) -> Spikes:
    spikes = _spikes(value, "pools")
    if spikes.pool is not None:
        raise RefusedError(
            "pools what is pooled already; use one pool, or a spiking layer between them"
        )
    if spikes.shape is None:
        return replace(spikes, pool=pool)
    _check_image(spikes.shape, flat=flat)
    shape = pooled_shape(spikes.shape, pool)
    if min(shape) < 1:
        raise RefusedError(f"gets {_by(spikes.shape)} neurons, fewer than it pools")
    return replace(spikes, pool=pool, shape=shape)


def _dropout(module: nn.Module, value: Value, path: str) -> Spikes:
    """Dropout of source neurons, in training only; drawn once for a sample (`model.Synapses`)."""
    assert isinstance(module, nn.Dropout)
    spikes = _spikes(value, "drops")
    return replace(spikes, dropout=1 - (1 - spikes.dropout) * (1 - module.p))


def _identity(module: nn.Module, value: Value, path: str) -> Value:
    return value


Form = Callable[[nn.Module, Value, str], Value]
FORMS: dict[type[nn.Module], Form] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.AvgPool1d: _average,
    nn.AvgPool2d: _average,
    nn.LPPool1d: _sum,
    nn.LPPool2d: _sum,
    nn.AdaptiveAvgPool1d: _adaptive,
    nn.AdaptiveAvgPool2d: _adaptive,
    nn.Dropout: _dropout,
    nn.Identity: _identity,
}


def _spikes(value: Value, does: str = "applies weights to") -> Spikes:
    if isinstance(value, Spikes):
        return value
    if any(part.weight is not None for part in value.parts):
        raise RefusedError(f"{does} currents; put a spiking layer before it")
    raise RefusedError(
        f"{does} a sum of spikes, which no neuron holds; put a spiking layer before it, or give"
        " each summand its own weights and add what they deliver"
    )


def _check_image(shape: Shape, *, flat: bool) -> None:
    if len(shape) != 3:
        raise RefusedError(f"needs channels and positions, gets {_by(shape)} neurons in a row")
    if flat and shape[1] != 1:
        raise RefusedError(f"needs a height of 1, gets {_by(shape)} neurons; use the 2d form")


def _pair(value: int | tuple[int, ...], other: int) -> tuple[int, int]:
    """(height, width) of a setting; `other` is the height of a 1d module's."""
    if isinstance(value, int):
        return value, value
    return (other, value[0]) if len(value) == 1 else (value[0], value[1])


def _by(shape: Shape | None) -> str:
    return " x ".join(f"{extent}" for extent in shape or ())


def reasons(module: nn.Module, *, to_train: bool = True) -> Iterator[str]:
    """Why a module of FORMS has no form on the chip wherever it stands, or cannot be trained."""
    for name, tensor in module.named_parameters(recurse=False):
        if tensor.dtype != torch.float32:
            yield f"'{name}' is {tensor.dtype}, training is in float32; call .float() on the module"
        if to_train and not tensor.requires_grad:
            yield f"'{name}' is frozen, but everything is trained here; set requires_grad = True"
    match module:
        case nn.Conv1d() | nn.Conv2d():
            yield from _conv_reasons(module)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            yield from _norm_reasons(module)
        case nn.AvgPool1d() | nn.AvgPool2d() | nn.LPPool1d() | nn.LPPool2d():
            yield from _pool_reasons(module)


def _conv_reasons(module: nn.Conv1d | nn.Conv2d) -> Iterator[str]:
    if module.padding_mode != "zeros":
        yield f"pads with padding_mode = '{module.padding_mode}'; only 'zeros' has a form"
    if module.padding == "same" and any(
        dilation * (taps - 1) % 2
        for dilation, taps in zip(module.dilation, module.kernel_size, strict=True)
    ):
        yield "pads one side more than the other; choose an odd kernel or numbers as padding"


def _norm_reasons(module: nn.BatchNorm1d | nn.BatchNorm2d) -> Iterator[str]:
    if module.running_mean is None:
        yield "keeps no running statistics to fold; set track_running_stats = True"
    if module.momentum is None:
        yield "averages its statistics over all batches; give it a momentum, 0.1 for example"


def _pool_reasons(
    module: nn.AvgPool1d | nn.AvgPool2d | nn.LPPool1d | nn.LPPool2d,
) -> Iterator[str]:
    if module.ceil_mode:
        yield "pools past the edge; set ceil_mode = False"
    if isinstance(module, nn.LPPool1d | nn.LPPool2d):
        if module.norm_type != 1:
            yield f"pools by the norm {module.norm_type:g}; only norm_type = 1, a sum, has a form"
        return
    if any(_pair(module.padding, 0)):
        yield "pads what it pools; set padding = 0"
    divisor = getattr(module, "divisor_override", None)
    if divisor not in {None, 1, prod(_pair(module.kernel_size, 1))}:
        yield f"divides by {divisor}; only its own size (a mean) and 1 (a sum) have a form"
