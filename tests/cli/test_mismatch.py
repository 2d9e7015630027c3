"""One spike that differs: verify exits 1 and says which, and on which core it should have been."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Shell
from toolchain.artifact import Artifact, make_artifact, read_artifact, write_artifact
from toolchain.backends import simulator
from toolchain.raster import Raster, Recording, write_raster

SAMPLE, TIMESTEP, NAME, NEURON = 2, 7, "layer1", 21
LATER = (4, 11, "layer2", 5)


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator that turns over two bits."""
    right = simulator.run

    def run(artifact: Artifact, stimulus: Raster, **given: Any) -> Recording:
        raster = right(artifact, stimulus, **given).raster
        spikes = {name: array.copy() for name, array in raster.spikes.items()}
        for sample, timestep, name, neuron in (LATER, (SAMPLE, TIMESTEP, NAME, NEURON)):
            spikes[name][sample, timestep, neuron] ^= True
        return Recording(raster=Raster(spikes=spikes, labels=raster.labels))

    monkeypatch.setattr(simulator, "run", run)


def home(folder: Path) -> int:
    (number,) = (
        core.number
        for core in read_artifact(folder).cores
        for block in core.blocks
        if block.population == NAME and NEURON in block.neurons
    )
    return number


@pytest.mark.usefixtures("wrong")
def test_verify_says_where_the_first_wrong_spike_is(
    shell: Shell, artifact: Path, stimulus: Path
) -> None:
    code, out, _ = shell("verify", artifact, "--stimulus", stimulus, "--backend", "simulator")

    assert code == 1
    assert home(artifact) > 0  # else a core that is forgotten reads the same
    assert (
        f"NOT EQUAL: simulator differs from reference first at sample {SAMPLE}, timestep"
        f" {TIMESTEP}, population '{NAME}', neuron {NEURON} on core {home(artifact)}: "
    ) in " ".join(out.split())


@pytest.mark.usefixtures("wrong")
def test_verify_says_in_json_and_in_a_file_where_the_first_wrong_spike_is(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    code, out, _ = shell(
        "verify", artifact, "--stimulus", stimulus, "--backend", "simulator",
        "--out", tmp_path / "v.json", "--json",
    )  # fmt: skip

    answer = json.loads(out)
    first = answer["first_mismatch"]
    assert code == 1
    assert answer["equal"] is False
    assert answer["mismatches"] == 2
    assert [link["equal"] for link in answer["chain"]] == [True, False]
    assert (first["sample"], first["timestep"]) == (SAMPLE, TIMESTEP)
    assert (first["population"], first["neuron"]) == (NAME, NEURON)
    assert first["core"] == home(artifact)
    assert first["expected"] is not first["actual"]
    assert json.loads((tmp_path / "v.json").read_text()) == answer


@pytest.mark.usefixtures("wrong")
def test_a_wrong_spike_that_was_not_run_is_not_found(
    shell: Shell, artifact: Path, stimulus: Path
) -> None:
    """The quantized network against the reference: the faulty simulator has no say."""
    code, out, _ = shell("verify", artifact, "--stimulus", stimulus, "--backend", "reference")

    assert code == 0
    assert "equal: every bit of every population" in out


def test_verify_shows_both_sides_and_names_a_lost_synapse(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    held = read_artifact(artifact)
    at = next(
        number
        for number, core in enumerate(held.cores)
        if {block.population for block in core.blocks} == {NAME}
    )
    core = held.cores[at]
    weights = core.synapse_weight.copy()
    weights[np.abs(weights).argmax()] = 0
    cores = [*held.cores[:at], replace(core, synapse_weight=weights), *held.cores[at + 1 :]]
    bad = make_artifact(held.profile, replace(held.image, cores=tuple(cores)))
    write_artifact(bad, tmp_path / "bad")
    call = ("verify", tmp_path / "bad", "--stimulus", stimulus, "--backend", "simulator")

    code, out, _ = shell(*call)
    assert code == 1
    assert f"Cause in '{NAME}': lost synapse" in out
    assert "the packed cores lack 1 synapse from 'input' to 'layer1'" in " ".join(out.split())

    code, out, _ = shell(*call, "--json")
    answer = json.loads(out)["diagnosis"]
    assert (code, answer["cause"], answer["side"]) == (1, "lost synapse", "reference")
    assert answer["first"]["expected"]["input_sum"] != answer["first"]["actual"]["input_sum"]
    words = {layer["population"]: layer["word"] for layer in answer["layers"]}
    assert words == {"layer1": "wrong layer", "layer2": "wrong input"}


def test_an_empty_stimulus_is_a_mistake_and_a_missing_label_is_said(
    shell: Shell, artifact: Path, tmp_path: Path
) -> None:
    file = tmp_path / "s.npz"
    write_raster(file, Raster(spikes={"input": np.zeros((0, 12, 20), bool)}))
    code, _, err = shell("verify", artifact, "--stimulus", file, "--backend", "reference")
    assert code == 2
    assert "the stimulus is empty" in err

    write_raster(file, Raster(spikes={"input": np.ones((1, 12, 20), bool)}))
    code, out, _ = shell("verify", artifact, "--stimulus", file, "--backend", "reference")
    assert code == 0
    assert "accuracy is not known: the stimulus has no labels" in out

    write_raster(file, Raster(spikes={"input": np.zeros((1, 12, 20), bool)}))
    code, out, _ = shell("verify", artifact, "--stimulus", file, "--backend", "reference")
    assert code == 1
    assert "nothing was compared" in out
