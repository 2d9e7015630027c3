"""ONNX graphs of trained networks, as exporters write them, with weights drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


@dataclass
class Written:
    """A graph while it is written: `last` is the newest value."""

    shape: tuple[int | str, ...]  # of the input, the batch first
    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    last: str = "x"
    opset: int = 17

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def constant(self, value: Any, name: str = "") -> str:
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        name = name or f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *others: str, source: str = "", **attributes: Any) -> str:
        name = f"{operator.lower()}{len(self.nodes)}"
        inputs = [source or self.last, *others]
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        self.last = name
        return name

    def weights(self, *shape: int) -> str:
        fan_in = max(int(np.prod(shape[1:])), 1)
        return self.constant(self.rng.normal(0, 1.4 / np.sqrt(fan_in), shape))

    def conv(self, outs: int, ins: int, *size: int, **attributes: Any) -> str:
        return self.add("Conv", self.weights(outs, ins, *size), self.weights(outs), **attributes)

    def norm(self, channels: int) -> str:
        numbers = [self.rng.uniform(0.5, 1.5, channels) for _ in range(4)]
        return self.add("BatchNormalization", *(self.constant(part) for part in numbers))

    def model(self, opset: int = 0) -> onnx.ModelProto:
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)
        out = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "g", [given], [out], self.constants)
        opsets = [helper.make_opsetid("", opset or self.opset)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=10 if self.opset > 17 else 8
        )

    def save(self, folder: Path, opset: int = 0) -> Path:
        file = folder / "net.onnx"
        file.write_bytes(self.model(opset).SerializeToString())
        return file


def by_onnxruntime(file: Path, samples: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: samples.astype(np.float32)}
    return np.asarray(session.run(None, given)[0], np.float64)


def torch_style() -> Written:
    """(1, 9, 9): a skip, a grouped convolution, norms, and a flattening that asks for shapes."""
    g = Written(shape=("n", 1, 9, 9), seed=1)
    g.conv(4, 1, 3, 3, strides=[2, 2], pads=[1, 1, 1, 1])
    g.norm(4)
    first = g.add("Relu")
    g.conv(4, 2, 3, 3, pads=[1, 1, 1, 1], group=2)
    g.add("Add", first)
    g.add("Relu")
    pooled = g.add("AveragePool", kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1])
    batch = g.add("Gather", g.constant(np.int64(0)), source=g.add("Shape"), axis=0)
    row = g.add("Unsqueeze", g.constant(np.array([0])), source=batch)
    shape = g.add("Concat", g.constant(np.array([-1])), source=row, axis=0)
    g.add("Reshape", shape, source=pooled)
    g.add("Dropout")
    g.add("Gemm", g.weights(6, 100), g.weights(6), transB=1, alpha=0.5)
    g.add("Relu")
    g.add("Gemm", g.weights(6, 3), g.weights(3))
    g.add("Softmax", axis=1)
    return g


def keras_style() -> Written:
    """(9, 6, 3), channels last: SAME padding, uneven everywhere, then MatMul and Add."""
    g = Written(shape=("n", 9, 6, 3), seed=2)
    g.add("Mul", g.constant(0.5))
    g.add("Transpose", perm=[0, 3, 1, 2])
    g.conv(5, 3, 4, 3, auto_pad="SAME_UPPER", strides=[2, 2])
    g.add("Clip", g.constant(0.0), g.constant(6.0))
    g.add("AveragePool", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER")
    g.add("Transpose", perm=[0, 2, 3, 1])
    g.add("Reshape", g.constant(np.array([-1, 30])))
    g.add("MatMul", g.weights(30, 7))
    g.add("Add", g.weights(7))
    return g


def other_parts() -> Written:
    """(2, 11): one dimension, dilation, joined and cut values, means over places."""
    g = Written(shape=(4, 2, 11), seed=3)
    g.add("Identity")
    g.add("Pad", g.constant(np.array([0, 0, 1, 0, 0, 2])))
    g.conv(4, 2, 3, dilations=[2])
    one = g.add("Relu")
    g.add("AveragePool", kernel_shape=[3], strides=[2], count_include_pad=1, pads=[1, 1])
    g.add("ReduceMean", axes=[2], keepdims=1)
    g.add("Sub", one)
    both = g.add("Concat", one, axis=1)
    cut = [g.constant(np.array([part])) for part in (5, -99, 1, -2)]
    g.add("Slice", *cut, source=both)
    g.add("GlobalAveragePool")
    g.add("Squeeze", g.constant(np.array([2])))
    g.add("Div", g.constant(np.array([2.0, 4.0, -1.0])))
    return g


def dynamo_style() -> Written:
    """(1, 10, 10): torch 2.13 with dynamo=True: every attribute spelt out, norms folded."""
    g = Written(shape=("n", 1, 10, 10), seed=6, opset=20)
    plain = {"auto_pad": "NOTSET", "dilations": [1, 1], "strides": [1, 1], "group": 1}
    mean = {"count_include_pad": 1, "ceil_mode": 0, "auto_pad": "NOTSET", "pads": [0, 0, 0, 0]}
    g.add("Sub", g.constant(np.float32(0.5)))
    g.add("Div", g.constant(np.float32(0.25)))
    g.conv(4, 1, 3, 3, **plain, pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    first = g.add("Relu")
    g.conv(4, 2, 3, 3, **plain | {"group": 2}, pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    g.add("Add", first)
    g.add("Clip", g.constant(np.float32(0)), g.constant(np.float32(6)))
    g.add("AveragePool", **mean, kernel_shape=[3, 3], strides=[3, 3])
    g.add("ReduceMean", g.constant(np.array([-1])), keepdims=1, noop_with_empty_axes=0)
    g.add("Reshape", g.constant(np.array([-1, 12])), allowzero=1)
    g.add("Gemm", g.weights(6, 12), g.weights(6), alpha=1.0, transA=0, transB=1)
    g.add("Relu")
    g.add("Gemm", g.weights(3, 6), g.weights(3), alpha=1.0, beta=1.0, transA=0, transB=1)
    return g


def tf2onnx_style() -> Written:
    """(8, 8, 1), channels last: tf2onnx 1.17 of Keras: a norm as Mul and Add, one channel
    reshaped in place of a Transpose, uneven pads, and a Flatten that asks for the batch."""
    g = Written(shape=("n", 8, 8, 1), seed=7)
    g.add("Mul", g.constant(np.float32(0.5)))
    g.add("Add", g.constant(np.float32(0.0)))
    g.add("Reshape", g.constant(np.array([-1, 1, 8, 8])))
    g.conv(6, 1, 3, 3, dilations=[1, 1], strides=[1, 1], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    g.add("Mul", g.weights(1, 6, 1, 1))
    g.add("Add", g.weights(1, 6, 1, 1))
    g.add("Relu")
    g.add("Conv", g.weights(6, 1, 3, 3), group=6, strides=[1, 1], kernel_shape=[3, 3])
    g.add("Reshape", g.constant(np.array([-1, 6, 6, 6])))
    pooled = g.add("AveragePool", strides=[2, 2], kernel_shape=[3, 3], pads=[0, 0, 1, 1])
    last = g.add("Transpose", perm=[0, 2, 3, 1])
    g.add("Gather", g.constant(np.array([0, 2, 3, 1])), source=g.add("Shape", source=pooled))
    g.add("Cast", to=TensorProto.INT32)
    zero, one = g.constant(np.array([0])), g.constant(np.array([1]))
    g.add("Slice", zero, one, zero)
    g.add("Concat", g.constant(np.array([-1], np.int32)), axis=0)
    g.add("Reshape", g.add("Cast", to=TensorProto.INT64), source=last)
    g.add("Unsqueeze", g.constant(np.array([1])))
    g.add("Squeeze", g.constant(np.array([1])))
    g.add("MatMul", g.weights(54, 5))
    g.add("Add", g.weights(5))
    return g


def keras3_style() -> Written:
    """(7, 6, 2), channels last: keras 3.15 on torch: a Cast behind everything, pads put together
    from empty pieces and turned about, and means whose edges stand twice."""
    g = Written(shape=("n", 7, 6, 2), seed=8, opset=20)
    g.add("Cast", to=TensorProto.FLOAT)
    given = g.add("Transpose", perm=[0, 3, 1, 2])
    none = g.add("ConstantOfShape", source=g.constant(np.array([4])), value=_zero())
    g.add("Concat", none, source=g.constant(np.array([0, 1, 1, 0])), axis=0)
    g.add("Reshape", g.constant(np.array([-1, 2])))
    back = [g.constant(np.array([part])) for part in (-1, -(2**63) + 1, 0, -1)]
    g.add("Slice", *back)
    g.add("Transpose", perm=[1, 0])
    pads = g.add("Reshape", g.constant(np.array([-1])))
    g.add("Pad", pads, "", source=given, mode="constant")
    g.add("Conv", g.weights(4, 2, 3, 3))
    g.add("Transpose", perm=[0, 2, 3, 1])
    g.add("Add", g.weights(4))
    g.add("Cast", to=TensorProto.FLOAT)
    g.add("Relu")
    g.add("Transpose", perm=[0, 3, 1, 2])
    g.add("Pad", g.constant(np.array([0, 0, 0, 1, 0, 0, 1, 0])), mode="edge")
    g.add("AveragePool", kernel_shape=[3, 3], strides=[2, 2], count_include_pad=0)
    g.add("Transpose", perm=[0, 2, 3, 1])
    g.add("ReduceMean", g.constant(np.array([1, 2])), keepdims=0)
    g.add("MatMul", g.weights(4, 3))
    return g


def _zero() -> onnx.TensorProto:
    return numpy_helper.from_array(np.zeros(1, np.int64))


STYLES = {
    "torch": torch_style,
    "keras": keras_style,
    "other": other_parts,
    "dynamo": dynamo_style,
    "tf2onnx": tf2onnx_style,
    "keras3": keras3_style,
}


def shapes(written: Written) -> Sequence[int]:
    """Of one sample."""
    return [int(extent) for extent in written.shape[1:]]
