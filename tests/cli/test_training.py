"""train from the shell: interrupted at any point, it goes on to the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("sklearn", reason="the digits come with scikit-learn")

CONFIG = """
[data]
name = "digits"
[encoding]
timesteps = 4
[network]
hidden = [24]
[sparsity]
start_density = 0.5
density = 0.3
[training]
epochs = 6
batch_size = 64
"""
RESULT = (
    "network.json",
    "network.safetensors",
    "best.safetensors",
    "stimulus.npz",
    "metrics.jsonl",
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "c.toml").write_text(CONFIG)
    return tmp_path / "c.toml"


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "toolchain", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "what was waited for did not come"
        time.sleep(0.02)


def test_a_run_is_trained_mapped_and_verified(shell: Shell, config: Path, tmp_path: Path) -> None:
    run, artifact = tmp_path / "run", tmp_path / "artifact"

    code, out, _ = shell("train", config, "--out", run, "--set", "training.epochs=4", "--json")
    summary = json.loads(out)
    assert code == 0
    assert set(summary["accuracy"]) == {"validation", "test"}
    assert summary["density"] == pytest.approx(0.3, abs=0.001)
    assert summary["unrolled_connectivity"] == summary["density"]
    assert summary["run"] == str(run)

    assert shell("map", run, "--chip", "loihi1", "--out", artifact)[0] == 0
    code, out, _ = shell(
        "verify", artifact, "--stimulus", run / "stimulus.npz", "--backend", "simulator",
        "--trained", run, "--samples", "40", "--json",
    )  # fmt: skip
    verdict = json.loads(out)
    assert code == 0
    assert verdict["samples"] == 40
    assert set(verdict["accuracy"]) == {"trained", "deployed"}
    assert verdict["agreement"]["decisions"] > 0.5
    assert shell("report", run)[0] == 0
    assert shell("inspect", run)[0] == 0


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_an_interrupted_run_resumes_to_the_same_bytes(
    sent: signal.Signals, code: int, shell: Shell, config: Path, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert shell("train", config, "--out", whole)[0] == 0

    training = start("train", config, "--out", broken)
    wait_for((broken / "checkpoint.safetensors").exists)
    os.kill(training.pid, sent)
    _, err = training.communicate(timeout=60)
    if training.returncode == 0:
        pytest.skip("the run was over before the signal came")

    assert training.returncode == code
    assert "Traceback" not in err
    assert not (broken / "summary.json").exists()
    assert shell("map", broken, "--chip", "tiny", "--out", tmp_path / "a")[0] == 2

    assert shell("train", config, "--out", broken, "--resume")[0] == 0
    for name in RESULT:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_finished_run_is_not_overwritten(shell: Shell, config: Path, tmp_path: Path) -> None:
    few = ("--set", "training.epochs=3")
    assert shell("train", config, "--out", tmp_path / "run", *few)[0] == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}

    code, _, err = shell("train", config, "--out", tmp_path / "run", *few)

    assert code == 2
    assert "finished run" in err
    assert {f.name: f.read_bytes() for f in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("sparsity.densty=0.2", "did you mean 'density'?"),
        ("training.epochs=many", "epochs"),
        ("sparsity.density=1.5", "density"),
        ("training.epochs", "TABLE.KEY=VALUE"),
    ],
)
def test_an_impossible_setting_is_named(
    override: str, says: str, shell: Shell, config: Path, tmp_path: Path
) -> None:
    code, _, err = shell("train", config, "--out", tmp_path / "run", "--set", override)

    assert code == 2
    assert says.lower() in err.lower()
    assert not (tmp_path / "run").exists()
