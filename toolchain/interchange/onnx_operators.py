"""What each ONNX operator makes of values: a function in a dict, one for each that is read.

A value is an `Affine` where it depends on the sample and an array where it does not. Source of what
operators mean: https://onnx.ai/onnx/operators, opsets 13 and later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, prod

import numpy as np

from toolchain.errors import UnsupportedError
from toolchain.interchange.affine import (
    LARGEST_VALUE,
    Affine,
    Shape,
    added,
    check_size,
    joined,
    scaled,
    shifted,
)
from toolchain.interchange.onnx_file import Node
from toolchain.interchange.onnx_moves import MOVES, rearranged
from toolchain.interchange.onnx_spatial import (
    average_pool,
    conv,
    gemm,
    global_average_pool,
    matmul,
    reduce_mean,
)
from toolchain.interchange.onnx_values import (
    Array,
    Rectified,
    Value,
    affine_of,
    array_of,
    per_number,
)


def _elementwise(node: Node, inputs: Sequence[Value], batch: int) -> Affine | Array:
    """Add, Sub, Mul, Div; of two values that depend on the sample only sums and differences."""
    one, other = inputs[0], inputs[1]
    if isinstance(one, Affine) and isinstance(other, Affine):
        if node.operator not in ("Add", "Sub"):
            raise UnsupportedError("multiplies two values that depend on the sample")
        sign = 1.0 if node.operator == "Add" else -1.0
        return added(one, scaled(other, np.full(other.size, sign)))
    if isinstance(one, Affine):
        return _with_constant(node.operator, one, array_of(other))
    if isinstance(other, Affine):
        return _constant_first(node.operator, array_of(one), other)
    left, right = array_of(one), array_of(other)
    try:
        check_size((1, *np.broadcast_shapes(left.shape, right.shape)))
    except ValueError as problem:
        raise UnsupportedError(f"meets shapes {left.shape} and {right.shape}") from problem
    return np.asarray(_FOLDED[node.operator](left, right))


def _with_constant(operator: str, value: Affine, constant: Array) -> Affine:
    numbers = per_number(constant, value)
    if operator in ("Add", "Sub"):
        return shifted(value, numbers if operator == "Add" else -numbers)
    if operator == "Div" and np.any(numbers == 0):
        raise UnsupportedError("divides by zero")
    return scaled(value, numbers if operator == "Mul" else 1 / numbers)


def _constant_first(operator: str, constant: Array, value: Affine) -> Affine:
    if operator == "Div":
        raise UnsupportedError("divides by a value that depends on the sample")
    if operator == "Sub":
        negative = scaled(value, np.full(value.size, -1.0))
        return shifted(negative, per_number(constant, value))
    return _with_constant(operator, value, constant)


def _quotient(one: Array, other: Array) -> Array:
    if np.any(other == 0):
        raise UnsupportedError("divides by zero")
    whole = one.dtype.kind in "iu"
    return np.trunc(one / other).astype(one.dtype) if whole else one / other


_FOLDED: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _quotient,
}


def _batch_normalization(node: Node, inputs: Sequence[Value], batch: int) -> Affine:
    """(x - mean) * scale / sqrt(variance + epsilon) + offset, for each channel."""
    value = affine_of(inputs[0])
    scale, offset, mean, variance = (array_of(x).astype(np.float64) for x in inputs[1:5])
    if node.attributes.get("training_mode", 0):
        raise UnsupportedError("is in training mode; export the network for inference")
    channels = (value.shape[0],)
    if any(part.shape != channels for part in (scale, offset, mean, variance)):
        raise UnsupportedError(f"has no numbers for each of its {channels[0]} channels")
    spread = variance + node.attributes.get("epsilon", 1e-5)
    if np.any(spread <= 0):
        raise UnsupportedError("has a variance that is not positive")
    gain = scale / np.sqrt(spread)
    places = value.size // channels[0]
    normed = scaled(value, np.repeat(gain, places))
    return shifted(normed, np.repeat(offset - mean * gain, places))


def _relu(node: Node, inputs: Sequence[Value], batch: int) -> Rectified:
    return Rectified(value=affine_of(inputs[0]))


def _clip(node: Node, inputs: Sequence[Value], batch: int) -> Rectified:
    """Clip from 0, as Relu6 is exported."""
    low, high = (
        None if len(inputs) <= at or inputs[at] is None else float(array_of(inputs[at]).reshape(()))
        for at in (1, 2)
    )
    if low != 0 or (high is not None and high <= 0):
        raise UnsupportedError(f"clips to {low} .. {high}; only clipping from 0 is a Relu")
    return Rectified(value=affine_of(inputs[0]), cap=inf if high is None else high)


def _same(node: Node, inputs: Sequence[Value], batch: int) -> Affine | Array:
    """Identity, and what is one outside of training."""
    given = inputs[0]
    training = inputs[2] if node.operator == "Dropout" and len(inputs) > 2 else None
    if training is not None and bool(np.any(array_of(training))):
        raise UnsupportedError("is in training mode; export the network for inference")
    if given is None:
        raise UnsupportedError("has no input")
    return given


def _cast(node: Node, inputs: Sequence[Value], batch: int) -> Affine | Array:
    """Kinds of numbers do not matter here, but for whole ones, which round."""
    given = inputs[0]
    if isinstance(given, Affine):
        if node.attributes.get("to") not in (1, 10, 11, 16):
            raise UnsupportedError("rounds: it casts to a kind that holds no fractions")
        return given
    kinds = {1: np.float32, 6: np.int32, 7: np.int64, 10: np.float16, 11: np.float64}
    if node.attributes.get("to") not in kinds:
        raise UnsupportedError("casts a constant to a kind of number that is not read")
    return array_of(given).astype(kinds[node.attributes["to"]])


def _constant(node: Node, inputs: Sequence[Value], batch: int) -> Array:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if name in node.attributes:
            return np.asarray(node.attributes[name])
    raise UnsupportedError("holds no number")


def _constant_of_shape(node: Node, inputs: Sequence[Value], batch: int) -> Array:
    shape = [int(extent) for extent in array_of(inputs[0]).ravel()]
    if min(shape, default=1) < 0 or prod(shape) > LARGEST_VALUE:
        raise UnsupportedError(
            f"makes a constant of shape {shape}; up to {LARGEST_VALUE:,} numbers are read"
        )
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32)))
    if value.size != 1:
        raise UnsupportedError(f"fills a constant with {value.size} numbers; one")
    return np.full(shape, value.ravel()[0])


def _shape(node: Node, inputs: Sequence[Value], batch: int) -> Array:
    given = inputs[0]
    shape = (batch, *given.shape) if isinstance(given, Affine) else array_of(given).shape
    part = slice(node.attributes.get("start", 0), node.attributes.get("end"))
    return np.array(shape, np.int64)[part]


def _concat(node: Node, inputs: Sequence[Value], batch: int) -> Affine | Array:
    axis = node.attributes.get("axis", 1)
    if not any(isinstance(given, Affine) for given in inputs):
        arrays = [array_of(given) for given in inputs]
        check_size((1, sum(array.size for array in arrays)))
        return np.concatenate(arrays, axis=axis)
    values = [affine_of(given) for given in inputs]
    rank = len(values[0].shape) + 1
    axis += rank if axis < 0 else 0
    shapes: list[Shape] = [value.shape for value in values]
    others = {shape[: axis - 1] + shape[axis:] for shape in shapes}
    if not 1 <= axis < rank or len(others) != 1:
        raise UnsupportedError(f"joins shapes {shapes} along axis {axis}")
    return joined(values, axis - 1)


Operator = Callable[[Node, Sequence[Value], int], Affine | Array | Rectified]

OPERATORS: dict[str, Operator] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "Add": _elementwise,
    "Sub": _elementwise,
    "Mul": _elementwise,
    "Div": _elementwise,
    "BatchNormalization": _batch_normalization,
    "Relu": _relu,
    "Clip": _clip,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "ReduceMean": reduce_mean,
    "Concat": _concat,
    "Shape": _shape,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Cast": _cast,
    "Identity": _same,
    "Dropout": _same,
    **dict.fromkeys(MOVES, rearranged),
}
# Left out where the graph ends in them: they keep the order of their inputs, so the decision.
AT_THE_END = ("Softmax", "LogSoftmax", "Sigmoid")

_TRAIN_AGAIN = "put a Relu in its place and train again"
_OWN_WAY = "train a spiking network instead: 'snn-deploy train'"
INSTEAD = {
    "MaxPool": "the largest of several spike trains is no sum of them; put an AveragePool or a"
    " Conv with stride in its place and train again",
    "GlobalMaxPool": "put a GlobalAveragePool in its place and train again",
    **dict.fromkeys(
        ("LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Erf", "Tanh", "HardSwish"),
        _TRAIN_AGAIN,
    ),
    **dict.fromkeys(("Sigmoid", "HardSigmoid", "Softplus", "Mish"), _TRAIN_AGAIN),
    **dict.fromkeys(("Softmax", "LogSoftmax"), "it may only be the last one; remove it"),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Loop", "Scan", "If"), _OWN_WAY),
    **dict.fromkeys(
        ("QLinearConv", "QLinearMatMul", "QuantizeLinear", "DequantizeLinear", "ConvInteger"),
        "export the network before it was quantized; 'snn-deploy map' quantizes for the chip",
    ),
    **dict.fromkeys(
        ("LayerNormalization", "InstanceNormalization", "LRN"),
        "it divides by the sample's own spread; put a BatchNormalization in its place",
    ),
}
OTHERWISE = "it has no form as integrate-and-fire neurons; remove it, or do it before encoding"
