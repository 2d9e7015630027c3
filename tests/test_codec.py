"""Networks to description and arrays, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.sparse import csr_array

from tests.strategies import encodings, networks, quantized_networks
from toolchain import codec
from toolchain.encoding import Encoding
from toolchain.errors import FileError
from toolchain.files import read_arrays, write_arrays
from toolchain.network import Network, Projection, QuantizedNetwork


@settings(max_examples=40)
@given(network=networks())
def test_a_network_comes_back_from_its_files_as_it_was(
    network: Network, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("network")
    codec.write(network, folder, "network")
    again = codec.read(Network, folder, "network")

    assert codec.fingerprint(again) == codec.fingerprint(network)
    for one, other in zip(network.projections, again.projections, strict=True):
        assert (one.source, one.target, one.delay) == (other.source, other.target, other.delay)
        assert other.weights.dtype == np.float64
        for part in ("indptr", "indices", "data"):  # a synapse of weight 0 is one
            np.testing.assert_array_equal(getattr(one.weights, part), getattr(other.weights, part))
    for mine, theirs in zip(network.populations, again.populations, strict=True):
        np.testing.assert_array_equal(mine.bias, theirs.bias)
        for field in ("name", "size", "decay_u", "decay_v", "threshold"):
            assert getattr(mine, field) == getattr(theirs, field)


@settings(max_examples=40)
@given(network=quantized_networks())
def test_a_quantized_network_comes_back_from_its_files_as_it_was(
    network: QuantizedNetwork, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("network")
    codec.write(network, folder, "network")

    again = codec.read(QuantizedNetwork, folder, "network")

    assert codec.fingerprint(again) == codec.fingerprint(network)


@given(network=networks(), code=encodings())
@settings(max_examples=20)
def test_an_encoding_goes_with_its_network_and_changes_nothing_where_there_is_none(
    network: Network, code: Encoding, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("network")
    codec.write(network, folder, "network")
    assert "encoding" not in json.loads((folder / "network.json").read_text())["content"]

    fits = replace(network.input, size=code.neurons)
    coded = replace(network, input=fits, projections=widened(network, code.neurons), encoding=code)
    codec.write(coded, folder, "network")

    assert codec.read(Network, folder, "network").encoding == code


def widened(network: Network, neurons: int) -> tuple[Projection, ...]:
    """The projections, with those from the input made as wide."""
    return tuple(
        edge
        if edge.source != network.input.name
        else replace(edge, weights=csr_array((edge.weights.shape[0], neurons)))
        for edge in network.projections
    )


@settings(max_examples=40)
@given(network=quantized_networks())
def test_any_other_number_gives_another_fingerprint(network: QuantizedNetwork) -> None:
    first = network.populations[0]
    other = replace(first, decay_v=first.decay_v ^ 1)
    bias = first.bias_mantissa.copy()
    bias[-1] = -1 - bias[-1]

    prints = {
        codec.fingerprint(network),
        codec.fingerprint(replace(network, populations=(other, *network.populations[1:]))),
        codec.fingerprint(
            replace(
                network,
                populations=(replace(first, bias_mantissa=bias), *network.populations[1:]),
            )
        ),
    }

    assert len(prints) == 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    codec.write(example(), tmp_path, "network")
    return tmp_path


def example() -> QuantizedNetwork:
    found: list[QuantizedNetwork] = []

    @settings(max_examples=1)
    @given(network=quantized_networks())
    def draw(network: QuantizedNetwork) -> None:
        found.append(network)

    draw()
    return found[0]


def change(folder: Path, edit: str, value: object) -> None:
    """Set the value at a path of keys in network.json; a key that starts with "-" is removed."""
    file = folder / "network.json"
    table = json.loads(file.read_text())
    *path, last = edit.split(".")
    inner = table
    for key in path:
        inner = inner[int(key) if key.isdigit() else key]
    if last.startswith("-"):
        del inner[last[1:]]
    else:
        inner[last] = value
    file.write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("edit", "value", "match"),
    [
        ("schema", "other", r"network\.json: key 'schema' must be 'snn-deploy\.network'"),
        ("schema_version", 2, r"schema_version 2 cannot be read; this version .* reads 1"),
        ("-schema_version", None, r"schema_version None cannot be read"),
        ("content", 5, r"network\.json: : must be a dict, is 5|must be a dict, is 5"),
        ("content.-output", None, r"network\.json: top level: key 'output' is missing"),
        ("content.ouput", 1, r"top level: unknown key 'ouput'; did you mean 'output'\?"),
        ("content.output", 7, r"output: must be a str, is 7"),
        ("content.output", "p9", r"network\.json: output 'p9' is none of p1"),
        ("content.populations", {}, r"populations: must be a list, is \{\}"),
        ("content.populations.0.decay_u", True, r"populations\.0\.decay_u: must be a int, is True"),
        ("content.populations.0.decay_u", 4096, r"decay_u must be in 0\.\.4095, is 4096"),
        ("content.populations.0.unit", "x", r"populations\.0\.unit: must be a NoneType, is 'x'"),
        ("content.projections.0.delay", 0, r"delay must be at least 1, is 0"),
        ("content.projections.0.-delay", None, r"projections\.0: key 'delay' is missing"),
    ],
)
def test_a_description_that_was_edited_wrongly_names_file_and_key(
    folder: Path, edit: str, value: object, match: str
) -> None:
    change(folder, edit, value)

    with pytest.raises(FileError, match=match):
        codec.read(QuantizedNetwork, folder, "network")


def test_an_array_that_is_missing_is_named(folder: Path) -> None:
    arrays = read_arrays(folder / "network.safetensors")
    del arrays["projections.0.weights.indices"]
    write_arrays(folder / "network.safetensors", arrays, {})

    with pytest.raises(FileError, match=r"array 'projections\.0\.weights\.indices' is missing"):
        codec.read(QuantizedNetwork, folder, "network")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("indices", np.array([99])),
        ("indptr", np.array([0, 5])),
        ("shape", np.array([-1, 1])),
        ("data", np.array([2, 4])),
    ],
)
def test_rows_that_contradict_themselves_are_refused(
    folder: Path, part: str, value: np.ndarray
) -> None:
    arrays = read_arrays(folder / "network.safetensors")
    arrays["projections.0.weights.indptr"] = np.array([0, 1])
    arrays["projections.0.weights.indices"] = np.array([0])
    arrays["projections.0.weights.data"] = np.array([2])
    arrays["projections.0.weights.shape"] = np.array([1, 1])
    arrays[f"projections.0.weights.{part}"] = value
    write_arrays(folder / "network.safetensors", arrays, {})

    with pytest.raises(
        FileError, match=r"projections\.0\.weights: is no matrix of compressed rows"
    ):
        codec.read(QuantizedNetwork, folder, "network")


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "network.safetensors").unlink()

    with pytest.raises(FileError, match=r"network\.safetensors: no such file"):
        codec.read(QuantizedNetwork, folder, "network")
