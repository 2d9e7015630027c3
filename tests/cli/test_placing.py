"""map, inspect and check about places, traffic, estimates, and chips that are only counted."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Shell
from toolchain.artifact import read_artifact
from toolchain.mapper.placement import PLACERS
from toolchain.outline import outline_names


@pytest.fixture
def measured(shell: Shell, network: Path, stimulus: Path, tmp_path: Path) -> Path:
    """The network on loihi1, every block on a core of its own, placed by counted spikes."""
    asked = ["--chip", "loihi1", "--packer", "sequential", "--stimulus", stimulus]
    assert shell("map", network, *asked, "--out", tmp_path / "placed")[0] == 0
    return tmp_path / "placed"


def test_map_says_where_its_spikes_came_from(
    shell: Shell, network: Path, stimulus: Path, tmp_path: Path
) -> None:
    asked = ["map", network, "--chip", "tiny", "--out", tmp_path / "a"]

    assumed = shell(*asked)[1]
    counted = shell(*asked, "--stimulus", stimulus)[1]

    assert "spikes    assumed, not counted" in assumed
    assert "spikes    counted on the simulator over 5 samples of 12 timesteps" in counted
    assert "No energy or time per event is published for this chip" in counted


def test_a_runs_own_stimulus_is_used_where_none_is_given(
    shell: Shell, network: Path, stimulus: Path, tmp_path: Path
) -> None:
    asked = ["map", network, "--chip", "tiny", "--json"]
    given = json.loads(shell(*asked, "--out", tmp_path / "a", "--stimulus", stimulus)[1])

    stimulus.rename(network / "stimulus.npz")
    own = json.loads(shell(*asked, "--out", tmp_path / "b")[1])

    assert own["traffic"] == given["traffic"]
    assert own["fingerprint"] == given["fingerprint"]
    assert own["traffic"]["activity"] == "measured"


def test_map_answers_with_traffic_and_a_range_for_every_source(
    shell: Shell, measured: Path
) -> None:
    answer = json.loads(shell("inspect", measured, "--json")[1])

    assert {one["source"] for one in answer["estimate"]["energy_pj"]} == {
        "davies2018",
        "sanafe2025",
    }
    for one in answer["estimate"]["energy_pj"] + answer["estimate"]["time_ns"]:
        assert 0 < one["total"][0] <= one["total"][1]
    assert "not a measurement" in answer["estimate"]["kind"]
    assert answer["traffic"]["samples"] == 5
    assert answer["traffic"]["messages"] > 0
    assert set(answer["estimate"]["neurobench"]) == {
        "footprint",
        "connection_sparsity",
        "activation_sparsity",
        "synaptic_operations",
        "membrane_updates",
    }


def test_the_spikes_that_cores_were_placed_by_are_kept(measured: Path) -> None:
    image = read_artifact(measured).image

    assert image.placer == "force"
    assert image.activity is not None
    assert image.activity.measured
    assert (image.activity.samples, image.activity.timesteps) == (5, 12)


@pytest.mark.parametrize("placer", PLACERS)
def test_every_placer_can_be_asked_for(
    placer: str, shell: Shell, network: Path, tmp_path: Path
) -> None:
    asked = ["--chip", "tiny", "--placer", placer, "--packer", "sequential", "--json"]
    answer = json.loads(shell("map", network, *asked, "--out", tmp_path / "a")[1])

    assert answer["traffic"]["placer"] == placer
    if placer == "in-order":
        assert answer["traffic"]["spike_hops"] == answer["traffic"]["spike_hops_in_order"]


def test_inspect_counts_other_spikes_and_draws_the_mesh(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    before = json.loads(shell("inspect", artifact, "--json")[1])
    asked = ["--stimulus", stimulus, "--svg", tmp_path / "a.svg"]

    code, out, _ = shell("inspect", artifact, *asked, "--json")

    assert code == 0
    assert before["traffic"]["activity"] == "assumed"
    assert json.loads(out)["traffic"]["activity"] == "measured"
    first = (tmp_path / "a.svg").read_bytes()
    titles = [e.text for e in ElementTree.fromstring(first).iter() if e.get("class") == "title"]
    assert titles[:6] == [
        "compartments", "in-axons", "out-axons", "synapse words", "messages", "synapses visited",
    ]  # fmt: skip
    shell("inspect", artifact, *asked)
    assert (tmp_path / "a.svg").read_bytes() == first


def test_inspect_says_what_a_picture_is_for(
    shell: Shell, network: Path, artifact: Path, tmp_path: Path
) -> None:
    for path, out, words in (
        (network, "a.svg", "--stimulus and --svg are for an artifact"),
        (artifact, "a.png", "--svg must end in .svg"),
    ):
        code, _, err = shell("inspect", path, "--svg", tmp_path / out)
        assert code == 2
        assert words in err


@pytest.mark.parametrize("chip", outline_names())
@pytest.mark.parametrize("command", ["check", "map"])
def test_a_chip_that_is_only_counted_gets_a_report_and_no_artifact(
    command: str, chip: str, shell: Shell, network: Path, tmp_path: Path
) -> None:
    asked = [command, network, "--chip", chip]
    asked += ["--out", tmp_path / "a"] if command == "map" else []

    code, out, _ = shell(*asked)
    answer = json.loads(shell(*asked, "--json")[1])

    assert code == 1
    assert f"'{chip}' can only be counted, so nothing is written for it" in out
    assert "Missing:" in out
    assert answer["fits"] is False
    assert answer["fits_by_counts"] is True
    assert answer["missing"]
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("chip", ["odin", "loihi1-nahuku32"])
def test_chips_show_and_diff_read_alike_for_both_kinds(chip: str, shell: Shell) -> None:
    shown = shell("chips", "show", chip)
    differ = json.loads(shell("chips", "diff", "tiny", chip, "--json")[1])["differ"]

    assert shown[0] == 0
    assert "core.compartments" in shown[1]
    assert differ["core.compartments"] == [16, 256 if chip == "odin" else 1024]
    missing = "core.synapses" if chip == "odin" else "energy.davies2018.hop_x_pj"
    assert differ[missing][0] is None
