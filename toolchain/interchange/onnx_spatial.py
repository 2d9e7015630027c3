"""ONNX operators with weights, and those over an image's places, as compressed rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.errors import UnsupportedError
from toolchain.interchange.affine import (
    Affine,
    check_rows,
    check_size,
    picked,
    scaled,
    shifted,
    through,
)
from toolchain.interchange.onnx_file import Node
from toolchain.interchange.onnx_values import Array, Value, affine_of, array_of, per_number
from toolchain.unroll import Kernel, Shape, unrolled

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """How a window walks over an image: (height, width) of everything."""

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    begin: tuple[int, int]  # zeros above and to the left
    end: tuple[int, int]  # and below and to the right

    def places(self, shape: Shape) -> tuple[int, int]:
        """How many places it has on an image (channels, height, width)."""
        found = [
            (shape[1 + a] + self.begin[a] + self.end[a] - self.dilation[a] * (self.size[a] - 1) - 1)
            // self.stride[a]
            + 1
            for a in (0, 1)
        ]
        return found[0], found[1]


def conv(node: Node, inputs: Sequence[Value], batch: int) -> Affine:
    """Conv in one or two dimensions, with groups, dilation, and uneven padding."""
    given, weight = affine_of(inputs[0]), array_of(inputs[1]).astype(np.float64)
    value, weight, window = _as_image(node, given, weight)
    groups = int(node.attributes.get("group", 1))
    channels, outs = value.shape[0], weight.shape[0]
    if groups < 1 or outs % groups or channels != groups * weight.shape[1] or weight.size == 0:
        raise UnsupportedError(
            f"has weights of shape {weight.shape} in {groups} groups; its input has {channels}"
            " channels"
        )
    made = _walked(weight, value, window, groups)
    if len(inputs) > 2 and inputs[2] is not None:
        made = shifted(made, np.repeat(_per_channel(inputs[2], outs), made.size // outs))
    label = label_of(node)
    flat = made.shape if len(given.shape) == 3 else (made.shape[0], made.shape[2])
    return Affine(shape=flat, terms=made.terms, offset=made.offset, label=label)


def _as_image(node: Node, given: Affine, weight: Array) -> tuple[Affine, Array, _Window]:
    """A signal (channels, length) as an image of one row, and so its weights and window."""
    dimensions = len(given.shape) - 1
    if dimensions not in (1, 2) or weight.ndim != dimensions + 2:
        raise UnsupportedError(
            f"walks over {dimensions} dimensions with weights of shape {weight.shape}; one or two"
            " are read"
        )
    sizes = tuple(int(n) for n in weight.shape[2:])
    if tuple(node.attributes.get("kernel_shape", sizes)) != sizes:
        raise UnsupportedError(f"its kernel_shape is not that of its weights, {sizes}")
    window = _window(node, sizes, given.shape[1:])
    if dimensions == 2:
        return given, weight, window
    shape = (given.shape[0], 1, given.shape[1])
    value = Affine(shape=shape, terms=given.terms, offset=given.offset, label=given.label)
    return value, weight[:, :, None, :], window


def _window(node: Node, sizes: Sequence[int], extents: Sequence[int]) -> _Window:
    """The attributes of Conv and AveragePool, checked; one dimension gets a height of one."""
    count = len(sizes)
    strides = tuple(node.attributes.get("strides", (1,) * count))
    dilations = tuple(node.attributes.get("dilations", (1,) * count))
    if len(strides) != count or len(dilations) != count or len(extents) != count:
        raise UnsupportedError(f"has {len(strides)} strides for {len(extents)} dimensions")
    if any(n < 1 for n in (*strides, *dilations, *sizes)):
        raise UnsupportedError("has a stride, dilation or kernel below 1")
    reach = [d * (n - 1) + 1 for d, n in zip(dilations, sizes, strict=True)]
    pads = _pads(node, strides, reach, extents)
    if any(not 0 <= pad < reach[at % count] for at, pad in enumerate(pads)):
        raise UnsupportedError(f"has pads {pads}; fewer than its kernel reaches, {reach}, are read")
    lead = 2 - count
    return _Window(
        size=_two(lead, 1, sizes),
        stride=_two(lead, 1, strides),
        dilation=_two(lead, 1, dilations),
        begin=_two(lead, 0, pads[:count]),
        end=_two(lead, 0, pads[count:]),
    )


def _two(lead: int, filler: int, values: Sequence[int]) -> tuple[int, int]:
    both = (*([filler] * lead), *values)
    return both[0], both[1]


def _pads(
    node: Node, strides: Sequence[int], reach: Sequence[int], extents: Sequence[int]
) -> tuple[int, ...]:
    """(begin of each dimension, end of each dimension), worked out where the file says SAME."""
    how = node.attributes.get("auto_pad", "NOTSET")
    if how in ("NOTSET", ""):
        pads = tuple(node.attributes.get("pads", (0,) * (2 * len(reach))))
        if len(pads) != 2 * len(reach):
            raise UnsupportedError(f"has pads {pads} for {len(reach)} dimensions")
        return pads
    if how == "VALID":
        return (0,) * (2 * len(reach))
    if how not in ("SAME_UPPER", "SAME_LOWER"):
        raise UnsupportedError(f"has auto_pad {how!r}")
    whole = [
        max((-(-extent // stride) - 1) * stride + wide - extent, 0)
        for extent, stride, wide in zip(extents, strides, reach, strict=True)
    ]
    less, more = [n // 2 for n in whole], [n - n // 2 for n in whole]
    return (*less, *more) if how == "SAME_UPPER" else (*more, *less)


def _walked(weight: FloatArray, value: Affine, window: _Window, groups: int) -> Affine:
    """A kernel (out, in / groups, height, width) at every place of an image."""
    target = (weight.shape[0], *window.places(value.shape))
    check_size(target)
    mask = weight != 0  # what is exactly zero is no synapse: ONNX has no other word for it
    check_rows(int(mask.sum()) * target[1] * target[2])
    kernel = Kernel(
        stride=window.stride, padding=window.begin, dilation=window.dilation, groups=groups
    )
    rows = unrolled(weight, mask, source=value.shape, target=target, kernel=kernel, pool=None)
    return through(rows, value, target)


def average_pool(node: Node, inputs: Sequence[Value], batch: int) -> Affine:
    """AveragePool in one or two dimensions: a convolution of each channel with itself."""
    given = affine_of(inputs[0])
    sizes = tuple(node.attributes.get("kernel_shape", ()))
    if node.attributes.get("ceil_mode", 0):
        raise UnsupportedError("has ceil_mode; export it without")
    if len(sizes) != len(given.shape) - 1 or len(sizes) not in (1, 2):
        raise UnsupportedError(f"pools windows {sizes} of an input {given.shape}")
    window = _window(node, sizes, given.shape[1:])
    lead = (1,) * (2 - len(sizes))
    shape = (given.shape[0], *lead, *given.shape[1:])
    value = Affine(shape=shape, terms=given.terms, offset=given.offset, label=given.label)
    ones = np.ones((shape[0], 1, *window.size))
    summed = _walked(ones, value, window, groups=shape[0])
    if node.attributes.get("count_include_pad", 0):
        counts = np.full(summed.size, float(np.prod(window.size)))
    else:
        flat = Affine(shape=shape, terms={}, offset=np.ones(value.size))
        counts = _walked(ones, flat, window, groups=shape[0]).offset
    mean = scaled(summed, 1 / counts)
    made = mean.shape if len(sizes) == 2 else (mean.shape[0], mean.shape[2])
    return Affine(shape=made, terms=mean.terms, offset=mean.offset, label=given.label)


def global_average_pool(node: Node, inputs: Sequence[Value], batch: int) -> Affine:
    """The mean over all places of each channel."""
    value = affine_of(inputs[0])
    return _mean(value, tuple(range(1, len(value.shape))), keep=True)


def reduce_mean(node: Node, inputs: Sequence[Value], batch: int) -> Affine:
    """The mean over some axes; from opset 18 they are an input, before an attribute."""
    value = affine_of(inputs[0])
    given = inputs[1] if len(inputs) > 1 else None
    axes = node.attributes.get("axes") if given is None else array_of(given).ravel().tolist()
    rank = len(value.shape) + 1
    found = sorted({int(a) + (rank if a < 0 else 0) for a in axes or ()})
    if not found or found[0] < 1 or found[-1] >= rank:
        raise UnsupportedError(f"takes the mean over axes {axes}; not over samples, or over none")
    return _mean(value, tuple(a - 1 for a in found), keep=bool(node.attributes.get("keepdims", 1)))


def _mean(value: Affine, axes: tuple[int, ...], *, keep: bool) -> Affine:
    others = [a for a in range(len(value.shape)) if a not in axes]
    count = int(np.prod([value.shape[a] for a in axes]))
    places = np.arange(value.size).reshape(value.shape).transpose(*others, *axes)
    sources = places.reshape(-1, count)
    targets = np.repeat(np.arange(len(sources)), count)
    shares = np.full(value.size, 1 / count)
    rows = csr_array((shares, (targets, sources.ravel())), shape=(len(sources), value.size))
    kept = tuple(1 if a in axes else n for a, n in enumerate(value.shape))
    shape = kept if keep else tuple(value.shape[a] for a in others)
    return through(rows, value, shape)


def gemm(node: Node, inputs: Sequence[Value], batch: int) -> Affine:
    """alpha A B + beta C, where A is the sample's."""
    value, weight = affine_of(inputs[0]), array_of(inputs[1])
    if node.attributes.get("transA", 0):
        raise UnsupportedError("transposes its first input, which mixes samples")
    if weight.ndim != 2:
        raise UnsupportedError(f"has weights of shape {weight.shape}")
    rows = weight if node.attributes.get("transB", 0) else weight.T
    made = _weighted(rows * np.float64(node.attributes.get("alpha", 1.0)), value, label_of(node))
    if len(inputs) > 2 and inputs[2] is not None:
        beta = node.attributes.get("beta", 1.0)
        made = shifted(made, beta * per_number(array_of(inputs[2]), made))
    return made


def matmul(node: Node, inputs: Sequence[Value], batch: int) -> Affine:
    """The sample's value times a matrix, on the value's last axis."""
    if not isinstance(inputs[0], Affine):
        raise UnsupportedError("has its constant first; only a value times a constant is read")
    value, weight = inputs[0], array_of(inputs[1])
    if weight.ndim != 2:
        raise UnsupportedError(f"has weights of shape {weight.shape}")
    lead = value.shape[:-1]
    if value.size == value.shape[-1]:
        flat = picked(value, np.arange(value.size))
        made = _weighted(weight.T, flat, label_of(node))
        shape = (*lead, made.size)
        return Affine(shape=shape, terms=made.terms, offset=made.offset, label=made.label)
    raise UnsupportedError(f"multiplies a value of shape {value.shape}; flatten it first")


def _weighted(rows: Array, value: Affine, label: str) -> Affine:
    """A matrix (target, source), its zeros left out, times a value."""
    if len(value.shape) != 1 or rows.shape[1] != value.size or rows.size == 0:
        raise UnsupportedError(
            f"multiplies a value of shape {value.shape} by weights {rows.T.shape}"
        )
    return through(csr_array(rows.astype(np.float64)), value, (rows.shape[0],), label)


def _per_channel(given: Value, channels: int) -> FloatArray:
    bias = array_of(given)
    if bias.shape != (channels,):
        raise UnsupportedError(f"has a bias of shape {bias.shape} for {channels} channels")
    return bias.astype(np.float64)


def label_of(node: Node) -> str:
    """What a person calls a layer: "conv1" of weights "conv1.weight", or of node "/conv1/Conv"."""
    weight = node.inputs[1] if len(node.inputs) > 1 else ""
    if weight.endswith(".weight"):
        return weight.removesuffix(".weight")
    parts = [part for part in node.name.split("/") if part]
    if len(parts) > 1 and parts[-1].lower() in (node.operator.lower(), "conv2d", "biasadd"):
        parts = parts[:-1]
    return parts[-1] if parts else node.operator
