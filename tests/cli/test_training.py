"""train from the shell: interrupted at any point, it goes on to the same bytes."""

import errno
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
    ("sent", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_an_interrupted_run_resumes_to_the_same_bytes(
    sent: signal.Signals, code: int, shell: Shell, config: Path, tmp_path: Path
) -> None:
    long = config.with_name("long.toml")  # there is time left after the first checkpoint
    long.write_text(CONFIG.replace("batch_size = 64", "batch_size = 8"))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert shell("train", long, "--out", whole)[0] == 0

    # started in a shell's background, this process ignores interrupts, and a child would, too
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    training = start("train", long, "--out", broken)
    signal.signal(signal.SIGINT, before)
    wait_for((broken / "checkpoint.safetensors").exists)
    os.kill(training.pid, sent)
    _, err = training.communicate(timeout=60)

    assert training.returncode == code
    assert "Traceback" not in err
    assert not (broken / "summary.json").exists()
    assert shell("map", broken, "--chip", "tiny", "--out", tmp_path / "a")[0] == 2

    assert shell("train", long, "--out", broken, "--resume")[0] == 0
    for name in RESULT:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_finished_run_is_not_overwritten_and_shows_its_network(
    shell: Shell, config: Path, tmp_path: Path
) -> None:
    few = ("--set", "training.epochs=3")
    assert shell("train", config, "--out", tmp_path / "run", *few)[0] == 0
    rows = [
        {"name": "hidden1", "source": "input", "shape": "24", "kernel": "24 x 64", "weights": 1536},
        {"name": "output", "source": "hidden1", "shape": "10", "kernel": "10 x 24", "weights": 240},
    ]
    for path in (tmp_path / "run", config):
        seen = json.loads(shell("inspect", path, "--json")[1])
        assert seen["trained"] == [row | {"unrolled": row["weights"]} for row in rows]
        assert (seen["weights"], seen["unrolled"]) == (1776, 1776)
        assert "24 x 64" in shell("inspect", path)[1]
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}

    code, _, err = shell("train", config, "--out", tmp_path / "run", *few)

    assert code == 2
    assert "finished run" in err
    assert {f.name: f.read_bytes() for f in (tmp_path / "run").iterdir()} == before


MISTAKES = {
    "sparsity.densty=0.2": "did you mean 'density'?",
    "sparsety.density=0.2": "did you mean 'sparsity'?",
    "training.epochs": "TABLE.KEY=VALUE",
    "training.epochs=many": "epochs = 'many': input should be a valid integer",
    "training.epochs=2.5": "epochs = 2.5: input should be a valid integer",
    "training.epochs=1": "never rewires",
    "training.learning_rate=nan": "finite number",
    "training.seed=9223372036854775808": "seed = 9223372036854775808",
    "training.device='cuda'": "torch sees no CUDA GPU on this machine; choose 'cpu'",
    "sparsity.density=0": "density = 0: input should be greater than 0",
    "sparsity.density=1.5": "density = 1.5: input should be less than or equal to 1",
    "sparsity.density=0.6": "only lowers the density, and start_density is 0.5",
    "sparsity.density=0.0001": "layer 'hidden1' of 64 -> 24 would hold less than one synapse",
    "sparsity.p=2": "q = 1.0: must exceed p, which is 2",
    "sparsity.every_epochs=7": "every_epochs = 7: never rewires",
    "sparsity.every_steps=7000": "every_steps = 7000: never rewires",
    "sparsity.keep_dense=['outptu']": "no layer is called 'outptu'; did you mean 'output'?",
    "network.kernel=3": "model = 'mlp' does not use it; remove it",
    "network.model='gone.py:build'": "gone.py: no such file",
    "encoding.kind='delta'": "kind = 'delta' needs it",
    "data.train_samples=20000": "there are 1,437 samples; lower it",
    "data.validation=0.0001": "leaves no sample of 1437 to validate on; raise it",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_an_impossible_setting_is_one_sentence_and_nothing_is_written(
    override: str, shell: Shell, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    if "model" in override:
        config.write_text(CONFIG.replace("hidden = [24]", ""))

    code, _, err = shell("train", config, "--out", tmp_path / "run", "--set", override)

    assert code == 2, err
    told = [line for line in err.splitlines() if not line.startswith("[")]
    assert len(told) == 1, err
    assert told[0].startswith("error: ")
    assert MISTAKES[override] in told[0]
    assert not (tmp_path / "run").exists()


OWN = {
    "raise ValueError('mine')": "own.py:1: ValueError: mine",
    "import sys; sys.exit()": "own.py:1: SystemExit",
    "def build(: pass": "own.py:1: SyntaxError",
    "def bild(): pass": "has no function 'build'; did you mean 'bild'?",
    "def build(): return 3": "build returned int; it must return a torch.nn.Module",
    "def build(): 1 / 0": "own.py:1: ZeroDivisionError",
    "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.ReLU())": (
        "1 (ReLU): is no spiking neuron; use norse.torch.LIFCell"
    ),
}


@pytest.mark.parametrize("source", OWN)
def test_a_module_of_ones_own_that_is_none_is_explained_with_its_line(
    source: str, shell: Shell, config: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(source + "\n")
    config.write_text(CONFIG.replace("hidden = [24]", 'model = "own.py:build"'))

    code, _, err = shell("train", config, "--out", tmp_path / "run")

    assert code == 2, err
    assert OWN[source] in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_a_disk_that_is_full_is_one_sentence_and_the_run_goes_on_later(
    shell: Shell, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("--set", "training.epochs=3")
    rename, left = os.replace, [6]

    def full(*names: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(*names)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", full)
    code, _, err = shell("train", config, "--out", tmp_path / "run", *few)
    assert code == 2
    assert "cannot be written (No space left on device)" in err
    assert not [file.name for file in (tmp_path / "run").iterdir() if file.name.startswith(".")]

    assert shell("train", config, "--out", tmp_path / "run", "--resume", *few)[0] == 0
