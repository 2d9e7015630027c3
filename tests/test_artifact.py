"""An artifact on disk is whole and unaltered, or it is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import cramped, neurons, place, quantized_networks, rows, synapses
from toolchain import files
from toolchain.artifact import (
    Artifact,
    make_artifact,
    read_artifact,
    reassemble,
    write_artifact,
)
from toolchain.errors import FileError, InputError
from toolchain.files import read_json, write_json
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork, activation_bounds

CHIP = cramped(find_profile("tiny"))
FILES = ("artifact.json", "artifact.safetensors", "manifest.json", "profile.json")


@pytest.fixture(scope="module")
def example() -> Artifact:
    found: list[Artifact] = []

    @settings(max_examples=12)
    @given(network=quantized_networks())
    def draw(network: QuantizedNetwork) -> None:
        found.append(place(network, CHIP))

    draw()
    return max(found, key=lambda artifact: len(artifact.cores))


@pytest.fixture(scope="module")
def written(example: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact")
    write_artifact(example, folder)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(written, tmp_path / "artifact"))


@settings(max_examples=25)
@given(network=quantized_networks())
def test_an_artifact_comes_back_from_its_folder_as_it_was(
    network: QuantizedNetwork, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = place(network, CHIP)
    folder = tmp_path_factory.mktemp("artifact")
    write_artifact(made, folder)

    again = read_artifact(folder)

    assert again.fingerprint == made.fingerprint
    assert again.profile == made.profile
    for one, other in zip(reassemble(made.image), reassemble(again.image), strict=True):
        np.testing.assert_array_equal(one.weights.toarray(), other.weights.toarray())


def test_writing_over_another_artifact_leaves_the_new_one_only(
    folder: Path, example: Artifact
) -> None:
    write_artifact(example, folder)

    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert read_artifact(folder).fingerprint == example.fingerprint


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60)
@given(data=st.data())
def test_no_byte_of_an_artifact_can_change_unnoticed(
    name: str, data: st.DataObject, written: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = Path(shutil.copytree(written, tmp_path_factory.mktemp("copy") / "artifact"))
    content = bytearray((folder / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / name).write_bytes(bytes(content))

    with pytest.raises(FileError, match=r"(manifest|artifact|profile)\.(json|safetensors): "):
        read_artifact(folder)


def test_no_bit_of_a_manifest_can_change_unnoticed(folder: Path) -> None:
    whole = (folder / "manifest.json").read_bytes()
    first, last = whole.index(b'"io"'), whole.index(b'"schema"')
    inside = [*range(first, first + 8), *range(first + 8, last, 23)]  # every bit takes minutes

    for position in [*range(first), *inside, *range(last, len(whole))]:
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        (folder / "manifest.json").write_bytes(bytes(changed))
        with pytest.raises(FileError, match=r"manifest\.json|no such file|was altered"):
            read_artifact(folder)


@pytest.mark.parametrize("name", FILES)
def test_an_artifact_with_a_truncated_file_is_refused(name: str, folder: Path) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])

    match = "cut short" if name == "manifest.json" else rf"{name}: was altered after it was written"
    with pytest.raises(FileError, match=match):
        read_artifact(folder)


@pytest.mark.parametrize("name", FILES)
def test_an_artifact_without_one_of_its_files_is_refused(name: str, folder: Path) -> None:
    (folder / name).unlink()

    match = "it has no manifest.json" if name == "manifest.json" else rf"{name}: no such file"
    with pytest.raises(FileError, match=match):
        read_artifact(folder)


def test_an_artifact_from_before_manifests_said_where_outputs_are_is_read(folder: Path) -> None:
    manifest = read_json(folder / "manifest.json")
    del manifest["io"]
    write_json(folder / "manifest.json", manifest)

    assert read_artifact(folder).fingerprint == manifest["fingerprint"]


def test_a_folder_that_is_not_there_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone: is no artifact, .* make one with 'snn-deploy map'"):
        read_artifact(tmp_path / "gone")


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("schema", "snn-deploy.network", r"key 'schema' must be 'snn-deploy\.artifact'"),
        ("schema_version", 1, r"schema_version 1 cannot be read"),
        ("files", {}, r"key 'files' does not name an artifact's files"),
        ("files", 3, r"key 'files' does not name an artifact's files"),
        ("fingerprint", "0" * 64, r"key 'fingerprint' does not belong to its files"),
        ("io", {}, r"key 'io' does not belong to its files"),
        ("oi", {}, r"was altered after it was written"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(
    key: str, value: object, match: str, folder: Path
) -> None:
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", manifest | {key: value})

    with pytest.raises(FileError, match=rf"manifest\.json: {match}"):
        read_artifact(folder)


@pytest.mark.parametrize("failing", ["profile.json", "artifact.json", "manifest.json"])
def test_an_interrupted_write_leaves_the_old_artifact_and_nothing_beside_it(
    failing: str, folder: Path, example: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes = files.write_bytes

    def stop(path: Path, data: bytes) -> None:
        if path.name == failing:
            raise KeyboardInterrupt
        write_bytes(path, data)

    monkeypatch.setattr(files, "write_bytes", stop)
    other = example.profile.model_copy(update={"title": "another"})
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        write_artifact(make_artifact(other, example.image), folder)

    assert [path.name for path in folder.parent.iterdir()] == ["artifact"]
    assert read_artifact(folder).fingerprint == example.fingerprint


def test_an_artifact_never_replaces_what_is_none(example: Artifact, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes").write_bytes(b"mine")
    write_artifact(example, tmp_path / "artifact")
    (tmp_path / "artifact" / "notes").write_bytes(b"mine")

    for name in ("file", "folder", "artifact"):
        with pytest.raises(FileError, match=rf"{name}: is there already and is no artifact"):
            write_artifact(example, tmp_path / name)

    assert (tmp_path / "file").read_bytes() == b"mine"
    assert (tmp_path / "folder" / "notes").read_bytes() == b"mine"
    assert (tmp_path / "artifact" / "notes").read_bytes() == b"mine"


def test_an_artifact_cannot_be_written_below_a_file(example: Artifact, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")

    with pytest.raises(FileError, match=r"inner: cannot be written \((File exists|Not a dir)"):
        write_artifact(example, tmp_path / "file" / "inner")


def test_every_neuron_has_the_core_that_the_artifact_names(example: Artifact) -> None:
    for core in example.cores:
        for block in core.blocks:
            for neuron in block.neurons:
                assert example.core_of(block.population, neuron) == core.number
    with pytest.raises(InputError, match=r"no core holds neuron 999 of 'p1'"):
        example.core_of("p1", 999)


def test_another_chip_gives_another_fingerprint(example: Artifact) -> None:
    other = example.profile.model_copy(update={"title": "another"})

    assert make_artifact(other, example.image).fingerprint != example.fingerprint


@pytest.mark.parametrize(("sources", "refused"), [(127, False), (128, True)])
def test_an_artifact_whose_weights_could_sum_beyond_16_bits_is_refused(
    sources: int, refused: bool, tmp_path: Path
) -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=sources),
        populations=(neurons("a", 1),),
        projections=(synapses("input", "a", rows([[-256] * sources])),),
        output="a",
    )
    write_artifact(place(network, find_profile("loihi1")), tmp_path / "a")

    if not refused:
        assert read_artifact(tmp_path / "a").network.synapses == sources
        return
    with pytest.raises(
        FileError,
        match=r"population 'a': up to 32,768 can arrive .* a chip holds 32,767, over by 1; lower",
    ):
        read_artifact(tmp_path / "a")


def test_weights_of_both_signs_cannot_all_add_up(tmp_path: Path) -> None:
    """What arrives is largest where every source of one sign spikes, and no other."""
    network = QuantizedNetwork(
        input=Input(name="input", size=240),
        populations=(neurons("a", 1),),
        projections=(synapses("input", "a", rows([[-256, 254] * 120])),),
        output="a",
    )
    write_artifact(place(network, find_profile("loihi1")), tmp_path / "a")

    assert read_artifact(tmp_path / "a").network.synapses == 240
    assert activation_bounds(network.projections) == {"a": 256 * 120}
