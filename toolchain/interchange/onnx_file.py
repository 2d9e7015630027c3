"""An ONNX file of somebody else's, read with distrust: nothing in it is run or believed.

Every size is checked against the bytes that are there before anything of that size is made. Weights
in a second file are read where that file lies in the same folder, or below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from toolchain.errors import FileError
from toolchain.files import read_bytes

Array = NDArray[Any]
OLDEST = 13  # opset: before it several operators took their axes otherwise
LARGEST_FILE = 2**31  # bytes of a file, and of all weights; protobuf holds no more
_OWN = ("", "ai.onnx")  # how the standard operators' domain is written
# Kinds of numbers that are read -> the field that holds them where they are not raw bytes.
_FIELDS: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.FLOAT16: "int32_data",
    TensorProto.INT64: "int64_data",
    TensorProto.INT32: "int32_data",
    TensorProto.INT16: "int32_data",
    TensorProto.INT8: "int32_data",
    TensorProto.UINT8: "int32_data",
    TensorProto.BOOL: "int32_data",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """One operator of the graph; an input that is left out has the name ""."""

    name: str  # as the file names it, or operator and position
    operator: str  # with its domain in front where that is not ONNX's own
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]  # integers, reals, texts, arrays, and tuples of the first two


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """A graph of one input and one output, in causal order; every name is given once."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    input: str
    input_shape: tuple[int | None, ...]  # the batch among it; None where the file leaves it open
    output: str


def read_graph(file: Path) -> Graph:
    """Read a model; raises FileError naming the file, the part of it, and what is wrong."""
    try:
        return _graph(_model(file), file.parent)
    except FileError as problem:
        said = str(problem)
        raise FileError(said if said.startswith(str(file)) else f"{file}: {said}") from problem


def read_properties(file: Path) -> dict[str, str]:
    """What a model says of itself beside its graph; FileError where it is no model."""
    return {_text(entry.key): _text(entry.value) for entry in _model(file).metadata_props}


def _text(value: str | bytes) -> str:
    """A name; protobuf hands over bytes where they are no text."""
    if isinstance(value, bytes):
        raise FileError(f"holds a name that is no text: {value[:40]!r}")
    return value


def _model(file: Path) -> onnx.ModelProto:
    if file.exists() and not file.is_file():
        raise FileError(f"{file}: is no file")
    if file.exists() and file.stat().st_size >= LARGEST_FILE:
        raise FileError(f"{file}: holds {file.stat().st_size:,} bytes; ONNX ends at 2 GiB")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(read_bytes(file))
    except (DecodeError, RecursionError, ValueError) as problem:
        raise FileError(f"{file}: is no ONNX file, or was cut short ({problem})") from problem
    if not model.HasField("graph") or not model.graph.node:
        raise FileError(f"{file}: is no ONNX file, or was cut short: it holds no node")
    return model


def _graph(model: onnx.ModelProto, folder: Path) -> Graph:
    opset, graph = _opset(model), model.graph
    if graph.sparse_initializer:
        raise FileError("holds sparse initializers, which are not read; export them dense")
    constants = _constants(graph.initializer, folder)
    given = [value for value in graph.input if _text(value.name) not in constants]
    if len(given) != 1 or len(graph.output) != 1:
        names = [_text(value.name) for value in (*given, *graph.output)]
        raise FileError(
            f"has {len(given)} inputs and {len(graph.output)} outputs ({', '.join(names)});"
            " networks of one input and one output are read: export only that path"
        )
    nodes = tuple(_node(proto, number, opset) for number, proto in enumerate(graph.node))
    output = _text(graph.output[0].name)
    _check_order(nodes, {*constants, given[0].name}, output)
    return Graph(
        nodes=nodes,
        constants=constants,
        input=given[0].name,
        input_shape=_shape(given[0]),
        output=output,
    )


def _opset(model: onnx.ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in _OWN]
    newest = onnx.defs.onnx_opset_version()
    if len(versions) != 1 or not OLDEST <= versions[0] <= newest:
        held = ", ".join(map(str, versions)) or "none"
        raise FileError(
            f"opset {held} cannot be read; opsets {OLDEST} to {newest} are: export it with one of"
            " them"
        )
    return int(versions[0])


def _constants(tensors: Sequence[onnx.TensorProto], folder: Path) -> dict[str, Array]:
    found: dict[str, Array] = {}
    held = 0
    for tensor in tensors:
        if not _text(tensor.name) or tensor.name in found:
            raise FileError(f"initializer '{tensor.name}': its name is empty or given twice")
        held += _bytes(tensor)
        if held > LARGEST_FILE:
            raise FileError(f"initializer '{tensor.name}': all of them exceed 2 GiB")
        found[tensor.name] = _array(tensor, folder)
    return found


def _bytes(tensor: onnx.TensorProto) -> int:
    """How many bytes its shape and kind of number say; refuses other kinds, asks for no memory."""
    if tensor.data_type not in _FIELDS:
        kinds = {value: name for name, value in TensorProto.DataType.items()}
        kind = kinds.get(tensor.data_type, "unknown")
        raise FileError(f"initializer '{tensor.name}': numbers of kind {kind} are not read")
    if any(extent < 0 for extent in tensor.dims):
        raise FileError(f"initializer '{tensor.name}': has shape {tuple(tensor.dims)}")
    itemsize = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return int(prod(tensor.dims) * itemsize)


def _array(tensor: onnx.TensorProto, folder: Path | None) -> Array:
    """A tensor's numbers, once as many are there as its shape says; finite ones only."""
    who = f"initializer '{tensor.name}'"
    needed = _bytes(tensor)
    if tensor.data_location == TensorProto.EXTERNAL:
        if folder is None:  # of an attribute: no exporter does that
            raise FileError(f"{who}: a constant within a node has its numbers in a second file")
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        data = _external(tensor, folder, needed)
        array: Array = np.frombuffer(data, kind.newbyteorder("<")).reshape(tuple(tensor.dims))
    else:
        field = getattr(tensor, _FIELDS[tensor.data_type])
        itemsize = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        held = len(tensor.raw_data) if tensor.HasField("raw_data") else len(field) * itemsize
        if held != needed:
            raise FileError(
                f"{who}: its shape {tuple(tensor.dims)} needs {needed:,} bytes, the file holds"
                f" {held:,}; it was cut short or altered"
            )
        array = numpy_helper.to_array(tensor)
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise FileError(f"{who}: holds a number that is not finite")
    return array


def _external(tensor: onnx.TensorProto, folder: Path, needed: int) -> bytes:
    """The bytes of a tensor that stand in a second file beside the first."""
    who = f"initializer '{tensor.name}'"
    entries = {_text(entry.key): _text(entry.value) for entry in tensor.external_data}
    location, home = entries.get("location", ""), folder.resolve()
    try:
        path = (home / location).resolve()
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(needed)))
    except (ValueError, OSError, RuntimeError) as problem:
        raise FileError(f"{who}: says wrongly where its numbers are ({problem})") from problem
    if not location or not path.is_relative_to(home):
        raise FileError(
            f"{who}: wants its numbers from '{location}', outside the model's folder; put that"
            " file beside the model and save it anew, or save the model as one file"
        )
    if not path.is_file():
        raise FileError(f"{who}: its numbers should be in {path}, which is no file")
    held = path.stat().st_size
    if length != needed or offset < 0 or offset + length > held:
        raise FileError(
            f"{who}: its shape {tuple(tensor.dims)} needs {needed:,} bytes; bytes {offset:,} to"
            f" {offset + length:,} of {path.name} are named, which holds {held:,}"
        )
    with path.open("rb") as opened:
        opened.seek(offset)
        return opened.read(length)


def _node(proto: onnx.NodeProto, number: int, opset: int) -> Node:
    kind, domain = _text(proto.op_type), _text(proto.domain)
    name = _text(proto.name) or f"{kind} number {number}"
    if domain in _OWN and onnx.defs.has(kind, opset):
        _check_schema(proto, name, onnx.defs.get_schema(kind, opset))
    return Node(
        name=name,
        operator=kind if domain in _OWN else f"{domain}.{kind}",
        inputs=tuple(_text(value) for value in proto.input),
        outputs=tuple(_text(value) for value in proto.output),
        attributes=dict(_attributes(proto)),
    )


def _check_schema(proto: onnx.NodeProto, name: str, schema: Any) -> None:
    """How many inputs there are, and the kind of each attribute, as the operator is defined."""
    if not schema.min_input <= len(proto.input) <= schema.max_input or not proto.output:
        raise FileError(
            f"node '{name}': {proto.op_type} takes {schema.min_input} to {schema.max_input} inputs"
            f" and gives some output; it has {len(proto.input)} and {len(proto.output)}"
        )
    for attribute in proto.attribute:
        known = schema.attributes.get(_text(attribute.name))
        if known is None or int(known.type.value) != attribute.type:
            wanted = "there is none" if known is None else f"it is {known.type.name}"
            held = {value: key for key, value in AttributeProto.AttributeType.items()}
            raise FileError(
                f"node '{name}': {proto.op_type} has attribute '{attribute.name}' of kind"
                f" {held.get(attribute.type, 'unknown')}; by its definition {wanted}"
            )


def _attributes(proto: onnx.NodeProto) -> Iterator[tuple[str, Any]]:
    """What is a number, a text or an array; graphs within belong to operators that are refused."""
    for attribute in proto.attribute:
        match attribute.type:
            case AttributeProto.INT:
                yield attribute.name, int(attribute.i)
            case AttributeProto.FLOAT:
                yield attribute.name, float(attribute.f)
            case AttributeProto.STRING:
                yield attribute.name, attribute.s.decode(errors="replace")
            case AttributeProto.INTS:
                yield attribute.name, tuple(int(value) for value in attribute.ints)
            case AttributeProto.FLOATS:
                yield attribute.name, tuple(float(value) for value in attribute.floats)
            case AttributeProto.TENSOR:
                yield attribute.name, _array(attribute.t, None)


def _check_order(nodes: Sequence[Node], known: set[str], output: str) -> None:
    """Every name that is read was given before, and is given once."""
    for node in nodes:
        for name in node.inputs:
            if name and name not in known:
                raise FileError(
                    f"node '{node.name}' reads '{name}', which nothing before it gives: a node is"
                    " missing, or the graph runs in a circle"
                )
        for name in node.outputs:
            if name and name in known:
                raise FileError(f"node '{node.name}' gives '{name}', which is given already")
            known.add(name)
    if output not in known:
        raise FileError(f"its output '{output}' is given by no node")


def _shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise FileError(f"input '{value.name}': its shape is missing")
    shape = tuple(
        int(extent.dim_value) if extent.HasField("dim_value") else None
        for extent in value.type.tensor_type.shape.dim
    )
    if len(shape) < 2 or any(extent is not None and extent < 1 for extent in shape):
        raise FileError(
            f"input '{value.name}': its shape {shape} is no batch of samples (samples, ...)"
        )
    return shape
