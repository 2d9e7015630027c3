"""What NIR's nodes without a state do to a signal: a matrix of compressed rows, and a constant.

Signals are flattened in C order; a shape goes with them, for convolutions and pools.

    y = M x + c        M: (after, before) float64; c: (after,) or nothing
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from toolchain.errors import FileError, UnsupportedError
from toolchain.interchange.hdf5 import MOST_ELEMENTS
from toolchain.interchange.nir_file import Node
from toolchain.unroll import Kernel, Shape, convolved_shape, unrolled

FloatArray = NDArray[np.float64]
MOST_NEURONS = 2**24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """y = M x + c, with the shape of y."""

    matrix: csr_array
    shape: Shape
    constant: FloatArray | None = None  # (after,)


def checked_shape(shape: Shape, who: object) -> Shape:
    """A shape that is small enough to be one of neurons; FileError otherwise."""
    if not shape or min(shape) < 1 or prod(shape) > MOST_NEURONS:
        raise FileError(f"{who}: shape {shape} must have 1 to {MOST_NEURONS:,} elements")
    return shape


def _dense(node: Node, shape: Shape) -> Linear:
    weight = node.field("weight").astype(np.float64)
    if weight.ndim != 2:
        raise UnsupportedError(f"weights of shape {weight.shape}: only (out, in) is known")
    if weight.shape[1] != prod(shape):
        raise FileError(f"takes {weight.shape[1]} values, is given {shape}")
    constant = node.field("bias").astype(np.float64) if node.kind == "Affine" else None
    if constant is not None:
        constant = _per_neuron(constant, weight.shape[0])
    return Linear(matrix=csr_array(weight), shape=(weight.shape[0],), constant=constant)


def _per_neuron(values: FloatArray, size: int) -> FloatArray:
    if values.size not in (1, size):
        raise FileError(f"has {values.size} values for {size} neurons")
    return np.broadcast_to(values.ravel(), size).astype(np.float64)


def _scale(node: Node, shape: Shape) -> Linear:
    scale = _per_neuron(node.field("scale").astype(np.float64), prod(shape))
    return Linear(matrix=csr_array(diags_array(scale)), shape=shape)


def _flatten(node: Node, shape: Shape) -> Linear:
    # The order of the values does not change, and whatever follows takes them flat.
    return Linear(matrix=identity(prod(shape)), shape=(prod(shape),))


def identity(size: int) -> csr_array:
    """Each value to its own place."""
    every = np.arange(size)
    return csr_array((np.ones(size), every, np.arange(size + 1)), shape=(size, size))


def _convolution(node: Node, shape: Shape) -> Linear:
    weight = node.field("weight").astype(np.float64)
    axes = {"Conv1d": 1, "Conv2d": 2}[node.kind]
    if weight.ndim != axes + 2:
        raise FileError(f"weights have shape {weight.shape}, need {axes + 2} dimensions")
    groups = int(node.field("groups")) if "groups" in node.fields else 1
    seen = _image(node, shape, weight.shape[1] * groups, axes)
    if groups < 1 or weight.shape[0] % groups:
        raise FileError(f"{weight.shape[0]} channels do not divide into {groups} groups")
    made = _convolved(node, weight.reshape(*weight.shape[:2], *_two(weight.shape[2:], 1)), seen)
    constant = None
    if "bias" in node.fields and node.fields["bias"].size:
        channels = _per_neuron(node.field("bias").astype(np.float64), weight.shape[0])
        constant = np.repeat(channels, prod(made.shape[1:]))
    after = (made.shape[0], *made.shape[3 - axes :])
    return Linear(matrix=made.matrix, shape=after, constant=constant)


def _image(node: Node, shape: Shape, channels: int, axes: int) -> Shape:
    """(channels, height, width) of what a convolution sees; FileError where it cannot be."""
    if len(shape) != axes + 1 or shape[0] != channels:
        raise FileError(f"needs {channels} channels and {axes} more axes, is given {shape}")
    stated = node.fields.get("input_shape")
    if stated is not None and stated.dtype.kind in "if":
        claimed = tuple(int(extent) for extent in np.ravel(stated))
        if claimed and claimed != shape[1:]:
            raise FileError(f"says its input_shape is {claimed}, is given {shape[1:]}")
    return (channels, *_two(shape[1:], 1))


def _two(extents: Any, missing: int) -> tuple[int, int]:
    """One extent or two as (height, width): one axis is a width."""
    values = [int(extent) for extent in np.ravel(extents)]
    height, width = ([missing, *values] if len(values) == 1 else values)[:2]
    return height, width


def _convolved(node: Node, weight: FloatArray, seen: Shape) -> Linear:
    axes = 1 if node.kind == "Conv1d" else 2
    stride, dilation = (_steps(node, name, 1, axes) for name in ("stride", "dilation"))
    size = (weight.shape[2], weight.shape[3])
    padding, same = _padding(node, size, dilation, axes)
    groups = seen[0] // weight.shape[1]
    kernel = Kernel(stride=stride, padding=padding, dilation=dilation, groups=groups)
    if same and stride != (1, 1):
        raise FileError("padding 'same' needs stride 1")
    after = (weight.shape[0], *seen[1:]) if same else None
    after = after or convolved_shape(seen, weight.shape[0], size, kernel)
    return Linear(matrix=_unrolled(weight, seen, checked_shape(after, node), kernel), shape=after)


def _steps(node: Node, name: str, least: int, axes: int) -> tuple[int, int]:
    """A stride, a dilation or a padding of a node; one number counts for both axes."""
    if name not in node.fields:
        if name == "dilation":
            return (1, 1)
        raise FileError(f"{node}: field '{name}' is missing")
    values = np.ravel(node.numbers(name)).astype(np.int64)
    if values.size not in (1, axes) or values.min() < least or values.max() > MOST_NEURONS:
        raise FileError(f"{name} must be {axes} numbers from {least}, is {values}")
    neutral = 0 if name == "padding" else 1
    if axes == 1:
        return neutral, int(values[0])
    return _two(np.broadcast_to(values, 2), neutral)


def _padding(
    node: Node, size: tuple[int, int], dilation: tuple[int, int], axes: int
) -> tuple[tuple[int, int], bool]:
    """Zeros before each axis, and whether as many outputs as inputs are wanted ('same')."""
    stated = node.fields.get("padding")
    if stated is None or stated.dtype.kind != "O":
        return _steps(node, "padding", 0, axes), False
    word = str(stated)
    if word not in ("same", "valid"):
        raise FileError(f"padding must be numbers, 'same' or 'valid', is '{word}'")
    if word == "valid":
        return (0, 0), False
    high, wide = (d * (taps - 1) // 2 for d, taps in zip(dilation, size, strict=True))
    return (high, wide), True


def _unrolled(weight: FloatArray, seen: Shape, after: Shape, kernel: Kernel) -> csr_array:
    taps = int(np.count_nonzero(weight)) * prod(after[1:])
    if taps > MOST_ELEMENTS:
        raise UnsupportedError(f"up to {taps:,} synapses; read are {MOST_ELEMENTS:,} at most")
    if not taps:
        return csr_array((prod(after), prod(seen)))
    return unrolled(weight, weight != 0, source=seen, target=after, kernel=kernel, pool=None)


def _pool(node: Node, shape: Shape) -> Linear:
    if len(shape) != 3:
        raise FileError(f"needs (channels, height, width), is given {shape}")
    high, wide = _steps(node, "kernel_size", 1, 2)
    checked_shape((shape[0], high, wide), node)
    # Padding counts in a mean, as in torch's AvgPool2d.
    weight = np.full((shape[0], 1, high, wide), 1.0)
    if node.kind == "AvgPool2d":
        weight /= high * wide
    return _convolved(node, weight, shape)


LINEAR: dict[str, Callable[[Node, Shape], Linear]] = {
    "Affine": _dense,
    "Linear": _dense,
    "Scale": _scale,
    "Flatten": _flatten,
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
}
