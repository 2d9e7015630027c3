"""One spike that differs: verify exits 1 and says which, and on which core it should have been."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Shell
from toolchain.artifact import Artifact, read_artifact
from toolchain.backends import simulator
from toolchain.raster import Raster, Recording

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
