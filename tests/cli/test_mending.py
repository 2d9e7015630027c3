"""check, prune, map --from, inspect --neuron: as a person types them."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy.sparse import csr_array

from tests.cli.conftest import Shell, chain
from toolchain import codec
from toolchain.artifact import read_artifact
from toolchain.files import read_json
from toolchain.hardware import find_profile
from toolchain.mapper.quantize import quantize
from toolchain.network import Network


def answer(shell: Shell, *arguments: object) -> dict[str, Any]:
    return dict(json.loads(shell(*arguments, "--json")[1]))


def test_the_commands_of_every_mend_make_the_network_fit(shell: Shell, tmp_path: Path) -> None:
    codec.write(chain(300, 6, 4, density=0.95), tmp_path / "my net", "network")
    asked = ["check", tmp_path / "my net", "--chip", "tiny"]

    code, out, _ = shell(*asked)
    mends = answer(shell, *asked)["mends"]

    assert code == 1
    assert "cheapest mend: " + mends[0]["says"] in out
    assert {"weight-bits", "prune", "chip"} <= {mend["kind"] for mend in mends}
    for number, mend in enumerate(mends):
        assert mend["commands"]
        for command in mend["commands"]:
            assert command in out
            words = [
                str(tmp_path / f"{word}{number}") if word in ("NET", "ART") else word
                for word in shlex.split(command)[1:]
            ]
            assert shell(*words)[0] == 0, command
        assert len(read_artifact(tmp_path / f"ART{number}").cores) == mend["cores"]


def test_a_misfit_names_layer_core_and_over_by_and_can_leave_mends_alone(
    shell: Shell, tmp_path: Path
) -> None:
    codec.write(chain(300, 6, 4, density=0.95), tmp_path / "net", "network")

    code, out, err = shell("check", tmp_path / "net", "--chip", "tiny", "--no-mend")
    found = answer(shell, "check", tmp_path / "net", "--chip", "tiny", "--no-mend")
    _, _, from_map = shell("map", tmp_path / "net", "--chip", "tiny", "--out", tmp_path / "a")

    assert (code, err) == (1, "")
    assert "mend:" not in out
    assert found["mends"] == []
    assert found["error"]["exit_code"] == 1
    assert {tuple(v["layers"]) for v in found["violations"]} == {("layer1",)}
    assert "where" in out.splitlines()[2]
    assert "over by" in out.splitlines()[2]
    assert "tries what would mend it" in from_map


def test_a_network_for_more_chips_is_told_how_many(shell: Shell, tmp_path: Path) -> None:
    codec.write(chain(10, 500, 10, density=0.1), tmp_path / "net", "network")

    _, out, _ = shell("check", tmp_path / "net", "--chip", "tiny")

    assert "take 2 chips" in out
    assert "take 3 such chips" in out or "take 2 such chips" in out


def test_prune_writes_what_map_accepts_and_leaves_the_run_alone(
    shell: Shell, network: Path, tmp_path: Path
) -> None:
    before = (network / "network.json").read_bytes()
    asked = ["prune", network, "--layer", "layer1", "--percent", "50", "--out"]

    code, out, _ = shell(*asked, tmp_path / "small")
    found = answer(shell, *asked, tmp_path / "again")

    was = codec.read(Network, network, "network")
    assert code == 0
    assert "synapses before" in out
    assert found["layers"] == {
        "layer1": {"before": was.projections[0].weights.nnz,
                   "after": was.projections[0].weights.nnz // 2}
    }  # fmt: skip
    assert (network / "network.json").read_bytes() == before
    assert (tmp_path / "small" / "network.safetensors").read_bytes() == (
        tmp_path / "again" / "network.safetensors"
    ).read_bytes()
    art = tmp_path / "art"
    assert shell("map", tmp_path / "small", "--chip", "tiny", "--out", art)[0] == 0


def test_prune_takes_integers_too_and_refuses_what_it_cannot_do(
    shell: Shell, network: Path, tmp_path: Path
) -> None:
    integers = quantize(codec.read(Network, network, "network"), find_profile("tiny")).network
    codec.write(integers, tmp_path / "ints", "quantized")

    assert shell("prune", tmp_path / "ints", "--density", "0.1", "--out", tmp_path / "few")[0] == 0
    assert shell("map", tmp_path / "few", "--chip", "tiny", "--out", tmp_path / "a")[0] == 0
    for asked, words in (
        (["--out", tmp_path / "x"], "either --percent or --density"),
        (["--percent", "5", "--density", "0.1", "--out", tmp_path / "x"], "either --percent or"),
        (["--percent", "5", "--out", network], "is there already; choose another --out"),
        (["--percent", "5", "--layer", "layer3", "--out", tmp_path / "x"], "did you mean 'layer"),
        (["--percent", "nan", "--out", tmp_path / "x"], "must be in 0..100"),
    ):
        code, _, err = shell("prune", network, *asked)
        assert code == 2
        assert words in err
    assert not (tmp_path / "x").exists()


def test_every_input_and_output_is_found_in_its_slot(shell: Shell, artifact: Path) -> None:
    held = read_artifact(artifact)
    io = answer(shell, "inspect", artifact)["io"]
    text = shell("inspect", artifact)[1]

    assert io == read_json(artifact / "manifest.json")["io"]
    assert io["outputs"]["population"] == "layer2"
    numbered = {core.number: core for core in held.cores}
    for neuron, core, slot in zip(
        *(io["outputs"][k] for k in ("neuron", "core", "compartment")), strict=True
    ):
        (block,) = [b for b in numbered[core].blocks if b.population == "layer2"]
        assert block.neurons[slot - block.first_compartment] == neuron
    reached = zip(*(io["inputs"][k] for k in ("neuron", "core", "in_axon")), strict=True)
    weights = held.network.projections[0].weights.tocsc()
    found = 0
    for neuron, core, axon in reached:
        start, stop = numbered[core].axon_start[axon : axon + 2]
        found += stop - start
        assert set(numbered[core].synapse_weight[start:stop]) <= set(weights[:, [neuron]].data)
    assert found == weights.nnz
    assert "outputs layer2[0:6]" in text


def test_where_is_my_output_neuron(shell: Shell, artifact: Path, network: Path) -> None:
    io = read_json(artifact / "manifest.json")["io"]

    for name in ("output:3", "layer2:3"):
        found = answer(shell, "inspect", artifact, "--neuron", name)
        assert found["population"] == "layer2"
        assert (found["core"], found["compartment"]) == (
            io["outputs"]["core"][3], io["outputs"]["compartment"][3],
        )  # fmt: skip
    hears = answer(shell, "inspect", artifact, "--neuron", "input:0")
    assert len(hears["reaches"]) == io["inputs"]["neuron"].count(0)
    assert (
        f"of core {io['outputs']['core'][3]} "
        in shell("inspect", artifact, "--neuron", "output:3")[1]
    )
    assert "is an input" in shell("inspect", artifact, "--neuron", "input:0")[1]
    for path, name, words in (
        (artifact, "output:6", "'layer2' has 6 neurons, numbered from 0"),
        (artifact, "layer3:0", "did you mean 'layer"),
        (artifact, "output", "named POPULATION:NUMBER"),
        (artifact, "output:-1", "named POPULATION:NUMBER"),
        (network, "output:0", "--neuron is for what 'snn-deploy map' wrote"),
    ):
        code, _, err = shell("inspect", path, "--neuron", name)
        assert code == 2
        assert words in err


def test_map_from_says_what_moved_and_refuses_another_chips_artifact(
    shell: Shell, network: Path, artifact: Path, tmp_path: Path
) -> None:
    shell("prune", network, "--percent", "10", "--out", tmp_path / "less")
    asked = ["map", tmp_path / "less", "--chip", "tiny", "--from", artifact]

    code, out, _ = shell(*asked, "--out", tmp_path / "new")
    found = answer(shell, *asked, "--out", tmp_path / "again")["moves"]
    wrong = ["--chip", "loihi1", "--from", artifact, "--out", tmp_path / "x"]
    refused, _, err = shell("map", network, *wrong)

    assert code == 0
    assert "on their core" in out
    assert found["reason"] is None
    assert (found["moved"], found["stayed"], found["moves"]) == (0, 30, [])
    assert (tmp_path / "new" / "manifest.json").read_bytes() == (
        tmp_path / "again" / "manifest.json"
    ).read_bytes()
    assert refused == 2
    assert "was mapped for 'tiny', not for 'loihi1'" in err


def without_synapses(network: Network, layer: str) -> Network:
    edges = tuple(
        replace(e, weights=csr_array(e.weights.shape)) if e.target == layer else e
        for e in network.projections
    )
    return replace(network, projections=edges)


@pytest.mark.parametrize("layer", ["layer1", "layer2"])
def test_a_fully_pruned_layer_maps_and_its_deaf_outputs_are_named(
    layer: str, shell: Shell, stimulus: Path, tmp_path: Path
) -> None:
    codec.write(without_synapses(chain(20, 24, 6, density=0.5), layer), tmp_path / "n", "network")

    code, out, _ = shell("map", tmp_path / "n", "--chip", "tiny", "--out", tmp_path / "a")
    said = answer(shell, "check", tmp_path / "n", "--chip", "tiny")
    asked = ["--stimulus", stimulus, "--backend", "reference", "--out", tmp_path / "r.npz"]
    ran = shell("run", tmp_path / "a", *asked)[0]

    assert (code, ran) == (0, 0)
    assert "layer2[0:6]: no synapse leads there from the input" in out
    assert said["deaf_outputs"] == list(range(6))


def test_one_output_without_synapses_is_named(shell: Shell, tmp_path: Path) -> None:
    network = chain(20, 24, 6, density=0.8)
    last = network.projections[1]
    matrix = last.weights.toarray()
    matrix[4] = 0
    edges = (network.projections[0], replace(last, weights=csr_array(matrix)))
    codec.write(replace(network, projections=edges), tmp_path / "n", "network")

    assert answer(shell, "check", tmp_path / "n", "--chip", "tiny")["deaf_outputs"] == [4]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("size", 0, "population 'layer1': size must be at least 1, is 0"),
        ("name", "layer2", "names must be unique"),
    ],
)
def test_an_empty_layer_and_a_doubled_name_are_refused(
    key: str, value: object, words: str, shell: Shell, network: Path
) -> None:
    table = read_json(network / "network.json")
    table["content"]["populations"][0][key] = value
    (network / "network.json").write_text(json.dumps(table))

    code, _, err = shell("check", network, "--chip", "tiny")

    assert code == 2
    assert words in err


def test_a_layer_that_no_projection_reaches_is_refused(shell: Shell, network: Path) -> None:
    table = read_json(network / "network.json")
    table["content"]["projections"][1]["source"] = "layer2"
    (network / "network.json").write_text(json.dumps(table))

    code, _, err = shell("check", network, "--chip", "tiny")

    assert code == 2
    assert "layer2" in err


@pytest.mark.parametrize("chip", ["loihi1", "odin"])
def test_a_chip_maker_begins_with_the_file_of_another_chip(
    chip: str, shell: Shell, network: Path, tmp_path: Path
) -> None:
    code, text, _ = shell("chips", "show", chip, "--toml")
    mine = tmp_path / "mine.toml"
    mine.write_text(text)

    assert code == 0
    assert shell("chips", "diff", chip, mine)[1].endswith("have the same numbers\n")
    assert shell("check", network, "--chip", mine)[0] == (1 if chip == "odin" else 0)
