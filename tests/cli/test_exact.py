"""From [exact] to verify: what was trained on the chip's integers is what is deployed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Shell

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("sklearn", reason="the digits come with scikit-learn")

CONFIG = """
[data]
name = "digits"
train_samples = 300
test_samples = 40
[encoding]
timesteps = 4
[network]
hidden = [24]
[sparsity]
density = 0.3
[training]
epochs = 2
batch_size = 64
[exact]
chip = "loihi1"
weight_bits = 4
epochs = 1
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exact") / "c.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def run(shell: Shell, config: Path) -> Path:
    out = config.parent / "run"
    if not out.exists():
        assert shell("train", config, "--out", out)[0] == 0
    return out


def verify(shell: Shell, artifact: Path, run: Path) -> tuple[int, dict]:
    code, out, _ = shell(
        "verify", artifact, "--stimulus", run / "stimulus.npz", "--backend", "simulator",
        "--trained", run, "--json",
    )  # fmt: skip
    return code, json.loads(out)


def test_the_chain_starts_with_what_was_trained(shell: Shell, run: Path, tmp_path: Path) -> None:
    code, out, _ = shell("map", run, "--chip", "loihi1", "--out", tmp_path / "art", "--json")
    mapped = json.loads(out)
    assert code == 0
    assert mapped["scales"] == "as it was trained, on the chip's integers"
    assert {row["weight_bits"] for row in mapped["quantization"]} == {4}

    code, verdict = verify(shell, tmp_path / "art", run)

    assert code == 0
    first = verdict["chain"][0]
    assert (first["against"], first["backend"], first["mismatches"]) == ("trained", "quantized", 0)
    assert first["neuron_steps_compared"] == verdict["neuron_steps_compared"] > 0
    assert [link["contract"] for link in verdict["chain"]] == ["deploy", "chip", "chip"]
    measured = verdict["measured"]
    assert (measured["against"], measured["backend"]) == ("float", "trained")
    assert 0 < measured["spikes"] <= 1
    assert verdict["diagnosis"] is None
    assert verdict["agreement"] == {}
    assert verdict["accuracy"]["trained"] == verdict["accuracy"]["deployed"]


def test_altered_weights_of_the_trained_run_is_found(
    shell: Shell, run: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    assert shell("map", run, "--chip", "loihi1", "--out", tmp_path / "art")[0] == 0
    altered = tmp_path / "altered"
    shutil.copytree(run, altered)
    file = altered / "exact" / "best.safetensors"
    arrays = load_file(file)
    arrays["hidden1.weight"] = np.roll(arrays["hidden1.weight"], 1, axis=0)
    arrays["hidden1.mask"] = np.roll(arrays["hidden1.mask"], 1, axis=0)
    save_file(arrays, file)

    code, verdict = verify(shell, tmp_path / "art", altered)

    assert code == 1
    assert verdict["first_mismatch"]["population"] == "hidden1"
    assert verdict["chain"][0]["mismatches"] > 0
    assert verdict["diagnosis"]["side"] == "trained"
    first = verdict["diagnosis"]["first"]
    assert first["expected"]["note"] == first["actual"]["note"] == ""
    assert first["actual"]["input_sum"] == first["actual"]["arrived"]


def test_a_run_is_quantized_anew_by_its_network_and_measured(
    shell: Shell, run: Path, tmp_path: Path
) -> None:
    code, out, _ = shell(
        "map", run / "network.json", "--chip", "loihi1", "--weight-bits", "6", "--calibrate",
        "--thresholds", "2", "--out", tmp_path / "art",
    )  # fmt: skip
    assert code == 0
    assert f"by calibration on 256 samples of {run / 'calibration.npz'}" in out

    code, verdict = verify(shell, tmp_path / "art", run)

    assert code == 0
    assert verdict["chain"][0]["against"] == "quantized"
    assert set(verdict["agreement"]) == {"decisions", "spikes"}


def test_a_run_that_does_not_belong_to_the_artifact_is_refused(
    shell: Shell, run: Path, config: Path, tmp_path: Path
) -> None:
    assert shell("map", run, "--chip", "loihi1", "--out", tmp_path / "art")[0] == 0
    other = tmp_path / "other"
    assert shell("train", config, "--out", other, "--set", "exact.weight_bits=5")[0] == 0

    code, _, err = shell(
        "verify", tmp_path / "art", "--stimulus", run / "stimulus.npz", "--backend", "simulator",
        "--trained", other,
    )  # fmt: skip

    assert code == 2
    assert "is not the run that the artifact was mapped from" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weight-bits", "4"], "is mapped as it is; leave out --weight-bits, or give"),
        (["--calibrate"], "is mapped as it is; leave out --calibrate, or give"),
    ],
)
def test_integers_are_not_rounded_again(
    options: list[str], message: str, shell: Shell, run: Path, tmp_path: Path
) -> None:
    code, _, err = shell("map", run, "--chip", "loihi1", *options, "--out", tmp_path / "art")
    assert code == 2
    assert message in err
    assert not (tmp_path / "art").exists()


def test_thresholds_need_data(shell: Shell, network: Path, tmp_path: Path) -> None:
    code, _, err = shell(
        "map", network, "--chip", "tiny", "--thresholds", "2", "--out", tmp_path / "art"
    )
    assert code == 2
    assert "--thresholds: several are chosen on data only; give --calibrate, too" in err


def test_a_run_without_calibration_data_names_the_move(
    shell: Shell, network: Path, tmp_path: Path
) -> None:
    code, _, err = shell("map", network, "--chip", "tiny", "--out", tmp_path / "a", "--calibrate")
    assert code == 2
    assert "calibration.npz: is not there" in err


def test_a_chip_whose_registers_do_not_hold_the_integers_is_refused(
    shell: Shell, run: Path, tmp_path: Path
) -> None:
    profile = (Path(__file__).parents[2] / "hw_profiles" / "tiny.toml").read_text()
    line = next(one for one in profile.splitlines() if one.startswith("weight_bits"))
    narrow = tmp_path / "narrow.toml"
    narrow.write_text(profile.replace(line, line.replace("value = 8", "value = 3")))

    code, _, err = shell("map", run, "--chip", narrow, "--out", tmp_path / "art")

    assert code == 1
    assert "needs 4 bits of a weight, held 3, over by 1" in err
