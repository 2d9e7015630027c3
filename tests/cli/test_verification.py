"""lint, minimise and verify --contract answer as their help says, with the right exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.cli.conftest import Shell
from toolchain.artifact import make_artifact, read_artifact, write_artifact
from toolchain.raster import Raster, read_raster, write_raster


@pytest.fixture
def altered(artifact: Path, tmp_path: Path) -> Path:
    """The artifact, one synapse of a core of its last layer turned over."""
    held = read_artifact(artifact)
    last = len(held.network.projections) - 1
    at, core = next(
        (at, core) for at, core in enumerate(held.cores) if (core.axon_projection == last).any()
    )
    start = core.axon_start[int(np.flatnonzero(core.axon_projection == last)[0])]
    weights = core.synapse_weight.copy()
    weights[start] = 254 if weights[start] < 0 else -256
    cores = (*held.cores[:at], replace(core, synapse_weight=weights), *held.cores[at + 1 :])
    image = replace(held.image, cores=cores)
    write_artifact(make_artifact(held.profile, image), tmp_path / "altered")
    return tmp_path / "altered"


def test_a_minimised_case_is_replayed_by_its_own_command(
    shell: Shell, altered: Path, stimulus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = shell(
        "minimise", altered, "--stimulus", stimulus, "--backend", "reference",
        "--out", tmp_path / "case", "--json",
    )  # fmt: skip

    answer = json.loads(out)
    assert code == 1
    assert (answer["against"], answer["backend"]) == ("quantized", "reference")
    assert answer["complete"] is True
    assert answer["after"]["samples"] == answer["after"]["populations"] == 1
    assert answer["after"]["neurons"] == 1
    assert json.loads((tmp_path / "case" / "case.json").read_text())["target"] == answer["target"]
    assert answer["replay"] in (tmp_path / "case" / "README.md").read_text()

    monkeypatch.chdir(tmp_path / "case")
    code, out, _ = shell(*answer["replay"].split()[1:])
    assert code == 1
    assert "NOT EQUAL: reference differs from quantized first at sample 0" in " ".join(out.split())


def test_a_recorded_raster_is_reduced_and_replayed(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("run", artifact, "--stimulus", stimulus, "--backend", "reference")
    assert shell(*run, "--out", tmp_path / "board.npz")[0] == 0
    wrong = read_raster(tmp_path / "board.npz")
    wrong.spikes["layer2"][3, 4, 1] ^= True
    write_raster(tmp_path / "board.npz", wrong)
    given = ("--stimulus", stimulus, "--recorded", tmp_path / "board.npz")

    code, out, _ = shell("minimise", artifact, *given, "--out", tmp_path / "case")
    assert code == 1
    assert "by sample and by the end of time only" in out
    monkeypatch.chdir(tmp_path / "case")
    given = ("--stimulus", "stimulus.npz", "--recorded", "actual.npz")
    code, out, _ = shell("verify", "artifact", *given, "--json")
    answer = json.loads(out)
    first = answer["first_mismatch"]
    assert code == 1
    assert answer["backend"] == "recorded"
    assert answer["mismatches"] == 1
    assert (first["sample"], first["timestep"], first["population"]) == (0, 4, "layer2")


def test_equal_sides_give_nothing_to_reduce(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    given = ("--stimulus", stimulus, "--backend", "reference", "--out", tmp_path / "case")
    code, out, _ = shell("minimise", artifact, *given)

    assert code == 0
    assert "there is nothing to reduce" in out
    assert not (tmp_path / "case").exists()


def test_silence_is_no_equality_to_minimise(shell: Shell, artifact: Path, tmp_path: Path) -> None:
    write_raster(tmp_path / "0.npz", Raster(spikes={"input": np.zeros((2, 5, 20), bool)}))
    given = ("--stimulus", tmp_path / "0.npz", "--backend", "reference", "--out", tmp_path / "case")
    code, _, err = shell("minimise", artifact, *given)

    assert code == 2
    assert "no neuron spiked in quantized or reference" in err


def test_lint_answers_with_findings_margins_and_a_picture(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    given = ("lint", artifact, "--stimulus", stimulus, "--svg", tmp_path / "m.svg")
    code, out, _ = shell(*given, "--json")

    answer = json.loads(out)
    assert code == int(answer["weights"]["error"] > 0)
    assert answer["schema"] == "snn-deploy.lint"
    assert answer["margins"]["decisions"] == 5 * 12 * 30
    assert answer["fingerprint"] == read_artifact(artifact).fingerprint
    picture = ElementTree.parse(tmp_path / "m.svg").getroot()
    texts = [text.text for text in picture.iter() if text.tag.endswith("text")]
    assert {"layer1", "layer2"} <= set(texts)
    code, out, _ = shell(*given)
    assert "threshold decisions are one bit away" in " ".join(out.split())


def test_lint_of_a_silent_stimulus_ends_with_1(
    shell: Shell, artifact: Path, tmp_path: Path
) -> None:
    write_raster(tmp_path / "0.npz", Raster(spikes={"input": np.zeros((2, 5, 20), bool)}))

    code, out, _ = shell("lint", artifact, "--stimulus", tmp_path / "0.npz")
    assert code == 1
    assert "error[silent-input] input[0:20]: 20 of 20 neurons" in out


def test_lint_of_a_network_in_real_numbers_has_no_margins(
    shell: Shell, network: Path, stimulus: Path
) -> None:
    code, out, _ = shell("lint", network, "--json")
    assert code == 0
    assert json.loads(out)["integers"] is False
    code, _, err = shell("lint", network, "--stimulus", stimulus)
    assert code == 2
    assert "map it, and give the artifact" in err


CONTRACT = """
artifact = "art"
stimulus = "s.npz"
trained = "trained.npz"

[exact]
chain = ["quantized", "reference"]

[measured]
decisions_at_least = 0.5
"""


@pytest.fixture
def contract(shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path) -> Path:
    """A contract that is kept: what was trained is played by the reference's raster."""
    run = ("run", artifact, "--stimulus", stimulus, "--backend", "reference")
    assert shell(*run, "--out", tmp_path / "trained.npz")[0] == 0
    (tmp_path / "c.toml").write_text(CONTRACT)
    return tmp_path / "c.toml"


def test_a_contract_that_is_kept_ends_with_0(shell: Shell, contract: Path, tmp_path: Path) -> None:
    code, out, _ = shell(
        "verify", "--contract", contract, "--junit", tmp_path / "j.xml",
        "--out", tmp_path / "v.json", "--json",
    )  # fmt: skip

    answer = json.loads(out)
    assert code == 0
    assert json.loads((tmp_path / "v.json").read_text()) == answer
    assert answer["holds"] is True
    assert [clause["name"] for clause in answer["clauses"]] == [
        "quantized == reference", "something was measured", "decisions",
    ]  # fmt: skip
    assert ElementTree.parse(tmp_path / "j.xml").getroot().attrib["failures"] == "0"


def test_a_recorded_raster_of_what_was_trained_can_head_an_exact_chain(
    shell: Shell, contract: Path, tmp_path: Path
) -> None:
    contract.write_text(CONTRACT.replace('["quantized"', '["trained", "quantized"'))
    code, out, _ = shell("verify", "--contract", contract, "--json")
    assert code == 0
    assert json.loads(out)["clauses"][0]["name"] == "trained == quantized"

    wrong = read_raster(tmp_path / "trained.npz")
    wrong.spikes["layer1"][0, 0, 0] ^= True
    write_raster(tmp_path / "trained.npz", wrong)
    code, out, _ = shell("verify", "--contract", contract, "--json")
    assert code == 1
    assert "1 bits differ, first at sample 0, timestep 0" in json.loads(out)["clauses"][0]["found"]


def test_a_broken_clause_ends_with_1_and_is_a_failure_in_junit(
    shell: Shell, contract: Path, altered: Path, tmp_path: Path
) -> None:
    given = ("--contract", contract, "--junit", tmp_path / "j.xml")
    code, out, _ = shell("verify", altered, *given)

    root = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert code == 1
    assert "BROKEN: 1 of 3 clauses" in out
    assert [case.attrib["name"] for case in root.iter("testcase") if len(case)] == [
        "quantized == reference"
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("decisions_at_least = 0.5", "accuracy_margin_points = 50.0", "the stimulus has no labels"),
        ('stimulus = "s.npz"', "", "names no stimulus"),
        ('trained = "trained.npz"', "", "name a run, or a raster"),
        ('trained = "trained.npz"', 'trained = "short.npz"', "have different shapes"),
        ("[exact]", "[exakt]", "unknown key 'exakt'; did you mean 'exact'?"),
    ],
)
def test_a_contract_that_cannot_be_settled_ends_with_2_and_an_error_in_junit(
    old: str, new: str, says: str, shell: Shell, contract: Path, tmp_path: Path
) -> None:
    held = read_raster(tmp_path / "s.npz")
    write_raster(tmp_path / "s.npz", Raster(spikes=held.spikes))
    trained = read_raster(tmp_path / "trained.npz")
    short = {name: bits[:, :-1] for name, bits in trained.spikes.items()}
    write_raster(tmp_path / "short.npz", Raster(spikes=short))
    contract.write_text(CONTRACT.replace(old, new))

    code, _, err = shell("verify", "--contract", contract, "--junit", tmp_path / "j.xml")
    root = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert code == 2
    assert says in err
    assert root.attrib["errors"] == "1"


def test_junit_of_a_chain_has_a_case_for_every_arrow(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    given = ("--stimulus", stimulus, "--backend", "reference", "--junit", tmp_path / "j.xml")
    assert shell("verify", artifact, *given)[0] == 0

    names = [case.attrib["name"] for case in ElementTree.parse(tmp_path / "j.xml").iter("testcase")]
    assert names == ["quantized == reference"]
    (tmp_path / "mine.xml").write_text("<song/>")
    code, _, err = shell("verify", artifact, *given[:-1], tmp_path / "mine.xml")
    assert code == 2
    assert "would overwrite what is no JUnit XML" in err


def test_a_contract_leaves_no_room_for_a_backend(shell: Shell, contract: Path) -> None:
    code, _, err = shell("verify", "--contract", contract, "--backend", "lava")
    assert code == 2
    assert "--backend does not go with --contract" in err
    code, _, err = shell("verify")
    assert code == 2
    assert "give ART and --stimulus, or --contract" in err
