"""The last steps to an ONNX file, and the scribe that writes nodes into a graph.

Value names are "kind/name": a kind has no slash, so no name of a population can make two of them
the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from toolchain import __version__
from toolchain.codec import pack
from toolchain.encoding import Encoding
from toolchain.errors import UnsupportedError
from toolchain.files import to_json

OPSET, IR_VERSION = 17, 8  # the oldest that has every operator used, for the oldest readers
LARGEST = 2**31 - 2**20  # bytes; protobuf holds no message of 2 GiB
SAMPLES, TIMESTEPS = "samples", "timesteps"
BOOL, INT32, INT64 = TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64
FLOAT = TensorProto.FLOAT
NUMPY_KINDS = {BOOL: np.bool_, INT32: np.int32, INT64: np.int64, FLOAT: np.float32}


@dataclass(slots=True)
class Scribe:
    """Nodes, constants and borders of a graph while it is written down, in order."""

    prefix: str = ""  # of constants that are shared: a graph within this one has its own
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def node(
        self, operator: str, *inputs: str, to: str, to_kind: int | None = None, **attributes: Any
    ) -> str:
        """One node, named after what it gives; returns that name. `to_kind` is a Cast's."""
        if to_kind is not None:
            attributes["to"] = to_kind
        node = helper.make_node(operator, list(inputs), [to], name=to, **attributes)
        self.nodes.append(node)
        return to

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """A constant; one of this name that is there already is the same."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def number(self, value: int) -> str:
        """An int64 scalar."""
        return self.constant(f"{self.prefix}number/{value}", np.array(value, np.int64))

    def axes(self, *values: int) -> str:
        """An int64 row of axes, extents or indices."""
        name = "/".join(map(str, values))
        return self.constant(f"{self.prefix}axes/{name}", np.array(values, np.int64))

    def input(self, name: str, kind: int, *shape: int | str) -> str:
        """A border where values come in."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, kind: int, *shape: int | str) -> None:
        """A border where values go out."""
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def graph(self, name: str) -> onnx.GraphProto:
        """What was written."""
        constants = list(self.constants.values())
        return helper.make_graph(self.nodes, name, self.inputs, self.outputs, constants)


def finish(
    scribe: Scribe,
    *,
    name: str,
    says: str,
    properties: Mapping[str, str],
    functions: Sequence[onnx.FunctionProto] = (),
) -> bytes:
    """The bytes of a model: the same for the same graph and properties.

    Asserts that onnx's own checker agrees, types and shapes of every value included.
    """
    domains = sorted({function.domain for function in functions})
    model = helper.make_model(
        scribe.graph(name),
        opset_imports=[
            helper.make_opsetid("", OPSET),
            *(helper.make_opsetid(d, 1) for d in domains),
        ],
        ir_version=IR_VERSION,
        producer_name="snn-deploy",
        producer_version=__version__,
        doc_string=says,
        functions=list(functions),
    )
    helper.set_model_props(model, dict(sorted(properties.items())))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def described(encoding: Encoding | None) -> dict[str, str]:
    """What a model's properties say of the encoding, as the artifact's own words in JSON."""
    if encoding is None:
        return {}
    return {"encoding": to_json(pack(encoding)[0])}


def refuse_large(needed: int, largest_part: str) -> None:
    """UnsupportedError where constants would not fit into one ONNX file."""
    if needed > LARGEST:
        raise UnsupportedError(
            f"ONNX: the weights need {needed:,} bytes, an ONNX file holds {LARGEST:,}, over by"
            f" {needed - LARGEST:,}; the largest part is {largest_part}. Prune the network, or keep"
            " the artifact and use 'snn-deploy run', which leaves sparse weights sparse"
        )
