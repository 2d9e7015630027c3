"""A hostile or broken ONNX file is one clear error: nothing large is made, nothing is run."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from tests.interchange.onnx_graphs import Written, keras_style, torch_style
from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.interchange.onnx_file import read_graph
from toolchain.interchange.onnx_format import inspect_onnx
from toolchain.interchange.onnx_lower import lower

Break = Callable[[onnx.ModelProto], None]


def small() -> onnx.ModelProto:
    g = Written(shape=("n", 6))
    g.add("Gemm", g.weights(6, 4), g.weights(4))
    g.add("Relu")
    return g.model()


def initializer(model: onnx.ModelProto) -> onnx.TensorProto:
    return model.graph.initializer[0]


def huge_shape(model: onnx.ModelProto) -> None:
    initializer(model).dims[:] = [10**9, 10**9]


def negative_shape(model: onnx.ModelProto) -> None:
    initializer(model).dims[:] = [-6, 4]


def no_data(model: onnx.ModelProto) -> None:
    initializer(model).ClearField("raw_data")


def not_a_number(model: onnx.ModelProto) -> None:
    weights = numpy_helper.to_array(initializer(model)).copy()
    weights[1, 2] = np.nan
    initializer(model).raw_data = weights.tobytes()


def texts(model: onnx.ModelProto) -> None:
    initializer(model).data_type = TensorProto.STRING


def unknown_kind(model: onnx.ModelProto) -> None:
    initializer(model).data_type = 999


def same_name(model: onnx.ModelProto) -> None:
    model.graph.initializer[1].name = initializer(model).name


def circle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "relu1"


def missing_node(model: onnx.ModelProto) -> None:
    del model.graph.node[0]


def given_twice(model: onnx.ModelProto) -> None:
    model.graph.node[1].output[0] = "gemm0"


def no_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "elsewhere"


def no_node(model: onnx.ModelProto) -> None:
    del model.graph.node[:]


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2]))


def new_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 9


def no_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


def no_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def flat_input(model: onnx.ModelProto) -> None:
    del model.graph.input[0].type.tensor_type.shape.dim[1]


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def too_few(model: onnx.ModelProto) -> None:
    del model.graph.node[0].input[1:]


def wrong_kind(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("alpha", "half"))


def no_such_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("omega", 1))


def in_node(model: onnx.ModelProto) -> None:
    tensor = onnx.TensorProto(name="t", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (huge_shape, r"needs 4,000,000,000,000,000,000 bytes|exceed 2 GiB"),
        (negative_shape, r"has shape \(-6, 4\)"),
        (no_data, "needs 96 bytes, the file holds 0; it was cut short or altered"),
        (not_a_number, "'constant0': holds a number that is not finite"),
        (texts, "numbers of kind STRING are not read"),
        (unknown_kind, "numbers of kind unknown are not read"),
        (same_name, "its name is empty or given twice"),
        (circle, "node 'gemm0' reads 'relu1', which nothing before it gives"),
        (missing_node, "node 'relu1' reads 'gemm0', which nothing before it gives"),
        (given_twice, "gives 'gemm0', which is given already"),
        (no_output, "its output 'elsewhere' is given by no node"),
        (no_node, "is no ONNX file, or was cut short: it holds no node"),
        (two_inputs, r"has 2 inputs and 1 outputs \(x, y, relu1\)"),
        (new_opset, "opset 99 cannot be read; opsets 13 to "),
        (old_opset, "opset 9 cannot be read"),
        (no_opset, "opset none cannot be read"),
        (no_shape, "input 'x': its shape is missing"),
        (flat_input, r"input 'x': its shape \(None,\) is no batch of samples"),
        (sparse, "holds sparse initializers"),
        (too_few, "node 'gemm0': Gemm takes 2 to 3 inputs and gives some output; it has 1 and 1"),
        (wrong_kind, "attribute 'alpha' of kind STRING; by its definition it is FLOAT"),
        (no_such_attribute, "attribute 'omega' of kind INT; by its definition there is none"),
        (in_node, "a constant within a node has its numbers in a second file"),
    ],
)
def test_a_broken_graph_is_one_error_that_names_the_file(
    broken: Break, complaint: str, tmp_path: Path
) -> None:
    model = small()
    broken(model)
    file = tmp_path / "broken.onnx"
    file.write_bytes(model.SerializeToString())

    with pytest.raises(FileError, match=complaint) as problem:
        read_graph(file)

    assert str(problem.value).startswith(str(file))


def with_second_file(folder: Path, **entries: str) -> Path:
    """Weights in a second file, as exporters write large ones."""
    model = small()
    weights = initializer(model)
    (folder / "weights.bin").write_bytes(b"pad!" + weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    where = {"location": "weights.bin", "offset": "4", "length": "96"} | entries
    for key, value in where.items():
        weights.external_data.add(key=key, value=value)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


def test_weights_in_a_file_beside_the_model_are_read(tmp_path: Path) -> None:
    graph = read_graph(with_second_file(tmp_path))

    expected = numpy_helper.to_array(initializer(small()))
    np.testing.assert_array_equal(graph.constants["constant0"], expected)


def test_what_onnx_writes_in_two_files_is_read(tmp_path: Path) -> None:
    model = torch_style().model()
    external_data_helper.convert_model_to_external_data(model, location="w.bin", size_threshold=0)
    onnx.save(model, str(tmp_path / "net.onnx"))

    graph = read_graph(tmp_path / "net.onnx")

    plain = torch_style().model().graph.initializer
    for tensor in plain:
        np.testing.assert_array_equal(graph.constants[tensor.name], numpy_helper.to_array(tensor))


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ({"location": "../outside.bin"}, "outside the model's folder"),
        ({"location": "/etc/passwd"}, "outside the model's folder"),
        ({"location": "link.bin"}, "outside the model's folder"),
        ({"location": ""}, "outside the model's folder"),
        ({"location": "nul\0byte"}, "says wrongly where its numbers are"),
        ({"location": "none.bin"}, "which is no file"),
        ({"location": "."}, "which is no file"),
        ({"length": "95"}, "needs 96 bytes"),
        ({"offset": "5"}, "bytes 5 to 101 of weights.bin are named, which holds 100"),
        ({"offset": "-4"}, "needs 96 bytes"),
        ({"offset": "many"}, "says wrongly where its numbers are"),
    ],
)
def test_weights_from_elsewhere_are_refused(
    entries: dict[str, str], complaint: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "outside.bin").write_bytes(b"x" * 100)
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")

    with pytest.raises(FileError, match=complaint):
        read_graph(with_second_file(folder, **entries))


@pytest.mark.parametrize("content", [b"", b"no protobuf at all", b"\x0a\xff\xff\xff\xff\x0f"])
def test_what_is_no_onnx_file_is_said_to_be_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(content)

    with pytest.raises(FileError, match="is no ONNX file, or was cut short"):
        read_graph(tmp_path / "x.onnx")


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is no file"):
        read_graph(tmp_path)
    with pytest.raises(FileError, match="no such file"):
        read_graph(tmp_path / "none.onnx")


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8, 0.97, 0.999])
def test_a_file_that_was_cut_short_is_an_error(share: float, tmp_path: Path) -> None:
    whole = torch_style().model().SerializeToString()
    (tmp_path / "x.onnx").write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(FileError):
        read_graph(tmp_path / "x.onnx")


@given(data=st.data())
@settings(max_examples=60)
def test_a_file_with_changed_bytes_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(keras_style().model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "changed.onnx"
    file.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with contextlib.suppress(InputError):
        inspect_onnx(file)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB: a GiB


def doubling() -> Written:
    """x joined with itself, again and again."""
    g = Written(shape=("n", 1024))
    for _ in range(40):
        g.add("Concat", g.last, axis=1)
    return g


def doubling_constant() -> Written:
    g = Written(shape=("n", 1024))
    g.constant(np.ones((1024, 1)), "w")
    g.last = "w"
    for _ in range(40):
        g.add("Concat", g.last, axis=1)
    g.add("MatMul", g.last, source="x")
    return g


def wide_convolution() -> Written:
    g = Written(shape=("n", 64, 256, 256))
    g.conv(1, 64, 3, 3)
    return g


def spread_constant() -> Written:
    g = Written(shape=("n", 4))
    g.constant(np.ones((10**5, 1)), "a")
    g.constant(np.ones((1, 10**5)), "b")
    g.add("Mul", "b", source="a")
    g.add("Add", g.last, source="x")
    return g


@pytest.mark.parametrize("make", [doubling, doubling_constant, wide_convolution, spread_constant])
def test_a_graph_that_would_grow_without_end_is_refused_before_it_does(
    make: Callable[[], Written], tmp_path: Path
) -> None:
    written = make()
    shape = tuple(int(extent) for extent in written.shape[1:])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(UnsupportedError, match=r"numbers are read|synapses, [\d,]+ are read"):
        lower(read_graph(written.save(tmp_path)), shape, lambda value: value)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB: a GiB
