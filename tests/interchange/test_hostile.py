"""Files that are damaged or mean harm: one clear error each, in bounded memory."""

from __future__ import annotations

import contextlib
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.interchange.graphs import chain, lif, linear, write
from tests.interchange.layers import average, dense, net
from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.interchange.netx_in import read_netx
from toolchain.interchange.nir_in import read_nir
from toolchain.interchange.sidecar import SCHEMA, beside

GROWTH = 200 * 2**20  # bytes that refusing a file may take


def read(file: Path) -> Any:
    return read_nir(file, dt=1e-3, reset="zero")


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write(tmp_path / "a.nir", *chain(linear(np.eye(2)), lif(2)))


def _spoil(file: Path, change: Callable[[h5py.Group], None]) -> Path:
    with h5py.File(file, "r+") as held:
        change(held["node/nodes"])
    return file


def _replace(nodes: h5py.Group, path: str, **made: Any) -> None:
    del nodes[path]
    nodes.create_dataset(path, **made)


def _huge(nodes: h5py.Group) -> None:
    _replace(nodes, "n0/weight", shape=(2**30, 2**30), dtype="f8", chunks=(1024, 1024))


def _external(nodes: h5py.Group) -> None:
    _replace(nodes, "n0/weight", shape=(2, 2), dtype="f8", external=[("/etc/hostname", 0, 32)])


def _link_out(nodes: h5py.Group) -> None:
    del nodes["n0"]
    nodes["n0"] = h5py.ExternalLink("/etc/passwd", "/")


def _virtual(nodes: h5py.Group) -> None:
    del nodes["n0/weight"]
    layout = h5py.VirtualLayout(shape=(2, 2), dtype="f8")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "data", shape=(2, 2))
    nodes["n0"].create_virtual_dataset("weight", layout)


def _words(nodes: h5py.Group) -> None:
    _replace(nodes, "n0/weight", data=["a", "b"], dtype=h5py.string_dtype())


def _compound(nodes: h5py.Group) -> None:
    _replace(nodes, "n0/weight", data=np.zeros(2, [("x", "f8"), ("y", "i4")]))


def _group(nodes: h5py.Group) -> None:
    del nodes["n0/weight"]
    nodes["n0"].create_group("weight")


def _not_a_number(nodes: h5py.Group) -> None:
    nodes["n0/weight"][0, 0] = np.nan


def _infinite(nodes: h5py.Group) -> None:
    nodes["n1/tau"][0] = np.inf


def _endless(nodes: h5py.Group) -> None:
    del nodes["n0"]
    nodes["n0"] = nodes.parent  # the graph is a node of itself


def _missing(nodes: h5py.Group) -> None:
    del nodes["n1"]


def _no_edges(nodes: h5py.Group) -> None:
    del nodes.parent["edges"]


def _odd_edges(nodes: h5py.Group) -> None:
    del nodes.parent["edges"]
    nodes.parent["edges"] = np.arange(6)


def _later(nodes: h5py.Group) -> None:
    del nodes.file["version"]
    nodes.file["version"] = "7.0"


def _wide(nodes: h5py.Group) -> None:
    _replace(nodes, "input/shape", data=np.array([2**40, 2**40]))


def _narrow(nodes: h5py.Group) -> None:
    _replace(nodes, "input/shape", data=np.array([3]))


def _many(nodes: h5py.Group) -> None:
    _replace(nodes, "n1/tau", data=np.full(5, 0.01))


SPOILT = {
    _huge: r"claims .* elements",
    _external: r"keeps its data in another file; refused",
    _link_out: r"is a link, perhaps out of the file; refused",
    _virtual: r"keeps its data in another file; refused",
    _words: r"field 'weight' must be numbers",
    _compound: r"must hold numbers or texts",
    _group: r"field 'weight' is missing",
    _not_a_number: r"holds a number that is not finite",
    _infinite: r"holds a number that is not finite",
    _endless: r"nested more than 16 deep",
    _missing: r"there is no node 'n1'",
    _no_edges: r"has no edges",
    _odd_edges: r"must be pairs of names",
    _later: r"NIR version '7.0' is not known",
    _wide: r"shape .* must have 1 to",
    _narrow: r"takes 2 values, is given \(3,\)",
    _many: r"has 5 neurons, is given \(2,\)",
}


@pytest.mark.parametrize("change", SPOILT, ids=lambda change: change.__name__)
def test_a_spoilt_file_is_one_clear_error(
    sound: Path, change: Callable[[h5py.Group], None]
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(FileError, match=SPOILT[change]) as caught:
        read(_spoil(sound, change))

    assert str(caught.value).startswith(str(sound))
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GROWTH


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cut=st.floats(0, 0.999))
def test_a_file_that_was_cut_short_is_refused(sound: Path, cut: float) -> None:
    short = sound.with_name("short.nir")
    data = sound.read_bytes()
    short.write_bytes(data[: int(len(data) * cut)])

    with pytest.raises(FileError, match=r"short.nir: "):
        read(short)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 0.9999), value=st.integers(0, 255))
def test_a_flipped_byte_is_read_or_refused_and_never_a_crash(
    sound: Path, place: float, value: int
) -> None:
    data = bytearray(sound.read_bytes())
    data[int(len(data) * place)] = value
    flipped = sound.with_name("flipped.nir")
    flipped.write_bytes(bytes(data))

    with contextlib.suppress(InputError):  # whatever else is raised fails the test
        read(flipped)


def test_a_loop_in_which_nothing_holds_back_is_refused(tmp_path: Path) -> None:
    nodes, edges = chain(linear(np.eye(2)), lif(2))
    nodes |= {"a": linear(np.eye(2)), "b": linear(np.eye(2))}
    edges += [("a", "b"), ("b", "a"), ("input", "a"), ("b", "n1")]

    with pytest.raises(FileError, match=r"'a', 'b': a loop in which no neuron holds anything back"):
        read(write(tmp_path / "a.nir", nodes, edges))


def test_what_the_input_does_not_reach_is_named(tmp_path: Path) -> None:
    nodes, edges = chain(linear(np.eye(2)), lif(2))
    nodes["lost"] = linear(np.eye(2))

    with pytest.raises(UnsupportedError, match=r"'lost' \(Linear\): nothing leads to it"):
        read(write(tmp_path / "a.nir", nodes, [*edges, ("lost", "n1")]))


def test_a_product_too_large_for_any_chip_is_refused_before_it_is_made(tmp_path: Path) -> None:
    wide = linear(np.ones((30_000, 1))), linear(np.ones((1, 30_000)))
    nodes, edges = chain(wide[1], wide[0], lif(30_000), inputs=(30_000,), outputs=30_000)

    with pytest.raises(FileError, match=r"multiplied with what leads to it, its weights are too"):
        read(write(tmp_path / "a.nir", nodes, edges))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", r"is not JSON"),
        (json.dumps({"schema": SCHEMA, "schema_version": 9}), r"schema_version"),
        (json.dumps({"schema": SCHEMA, "schema_version": 1, "td": 1}), r"unknown key 'td'"),
        (json.dumps({"schema": SCHEMA, "schema_version": 1, "dt": -1.0}), r"must be a positive"),
    ],
)
def test_a_side_car_is_checked(sound: Path, text: str, message: str) -> None:
    beside(sound).write_text(text)

    with pytest.raises(InputError, match=message):
        read_nir(sound, reset="zero")


def test_no_file_and_no_hdf5_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"no such file"):
        read(tmp_path / "none.nir")
    (tmp_path / "text.nir").write_text("hello")
    with pytest.raises(FileError, match=r"is not HDF5"):
        read(tmp_path / "text.nir")


@pytest.mark.parametrize(
    ("layers", "kind", "message"),
    [
        ({}, FileError, r"has no group 'layer'"),
        ({"1": dense()}, FileError, r"numbered from 0 without a gap"),
        ({"0": dense(weight=np.full((2, 2), 3.0))}, UnsupportedError, r"off the grid"),
        ({"0": dense(weight=np.full((2, 2), 0.5))}, UnsupportedError, r"off the grid"),
        ({"0": dense(weight=np.full((2, 2), 2.0**20))}, UnsupportedError, r"off the grid"),
        ({"0": dense(weight=np.full(4, 2.0))}, FileError, r"weights \(4,\) are given"),
        ({"0": dense(), "1": dense(weight=np.ones((2, 3)))}, FileError, r"are given 2 values"),
        ({"0": dense(**{"neuron/type": "ALIF"})}, UnsupportedError, r"its neuron is 'ALIF'"),
        ({"0": dense(**{"neuron/iDecay": 0})}, UnsupportedError, r"iDecay must be in 1..4096"),
        ({"0": dense(**{"neuron/vThMant": 2**30})}, UnsupportedError, r"threshold must be"),
        ({"0": dense(**{"neuron/gradedSpike": True})}, UnsupportedError, r"carry values"),
        ({"0": dense(type=np.array([b"convT"]))}, UnsupportedError, r"no such layer is known"),
        ({"0": dense(delay=np.array([1, 2]), bias=np.ones(2))}, UnsupportedError, r"--delays inpu"),
        ({"0": dense(type=np.array([b"dense_rec"]), delay=1)}, UnsupportedError, r"beside a loop"),
        ({"0": dense(delay=np.arange(3))}, FileError, r"delay must be 0..1024 for each neuron"),
        ({"0": dense(delay=np.array([-1, 2]))}, FileError, r"delay must be 0..1024 for each"),
        ({"0": dense(**{"neuron/wgtExp": 8})}, UnsupportedError, r"wgtExp must be in -7..7"),
        ({"0": dense(**{"neuron/weight_exp": 4})}, UnsupportedError, r"weight_exp must be in -3"),
        ({"0": dense(**{"neuron/weight_exp": 2})}, UnsupportedError, r"off the grid"),
        ({"0": dense(), "1": average(2)}, UnsupportedError, r"a mean, not spikes; --readout drop"),
        ({"0": dense(), "1": average(3), "2": dense()}, FileError, r"do not make 3 groups"),
        ({"0": dense(), "1": average(0), "2": dense()}, FileError, r"do not make 0 groups"),
        ({"0": average(1)}, UnsupportedError, r"a mean, not spikes"),
        ({"0": dense(type=np.array([b"conv"]))}, InputError, r"give --shape CHANNELS"),
        ({"0": dense(bias=np.array([0.5, 1]))}, FileError, r"bias must be whole numbers"),
    ],
)
def test_a_layer_file_without_a_form_says_why(
    tmp_path: Path, layers: dict[str, dict[str, Any]], kind: type[InputError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        read_netx(net(tmp_path / "a.net", layers))

    assert str(caught.value).startswith(str(tmp_path / "a.net"))


def _claims(layer: h5py.Group) -> None:
    _replace(layer, "weight", shape=(2**30, 2**30), dtype="f4", chunks=(1024, 1024))


def _elsewhere(layer: h5py.Group) -> None:
    _replace(layer, "weight", shape=(2, 2), dtype="f8", external=[("/etc/hostname", 0, 32)])


def _not_finite(layer: h5py.Group) -> None:
    layer["weight"][0, 0] = np.nan


def _out_of_the_file(layer: h5py.Group) -> None:
    del layer["neuron"]
    layer["neuron"] = h5py.ExternalLink("/etc/passwd", "/")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_claims, r"claims .* elements"),
        (_elsewhere, r"keeps its data in another file; refused"),
        (_not_finite, r"holds a number that is not finite"),
        (_out_of_the_file, r"is a link, perhaps out of the file; refused"),
    ],
)
def test_a_spoilt_layer_file_is_one_clear_error_in_bounded_memory(
    tmp_path: Path, change: Callable[[h5py.Group], None], message: str
) -> None:
    file = net(tmp_path / "a.net", {"0": dense()})
    with h5py.File(file, "r+") as held:
        change(held["layer/0"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(FileError, match=message):
        read_netx(file)

    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GROWTH


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_layer_file_that_was_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    data = net(tmp_path / "a.net", {"0": dense()}).read_bytes()
    (tmp_path / "b.net").write_bytes(data[: int(len(data) * share)])

    with pytest.raises(FileError, match=r"b.net: "):
        read_netx(tmp_path / "b.net")
