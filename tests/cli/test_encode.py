"""encode: the stimulus from raw samples, with the artifact alone, in the bits of training."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Shell, chain
from tests.train.data.written import event_arrays, write_events
from toolchain import codec
from toolchain.encoding import Encoding
from toolchain.network import Network
from toolchain.raster import read_raster
from toolchain.samples import Events

RATE = Encoding(kind="rate", timesteps=6, sample=(1, 4, 5), minimum=0, maximum=9)


@pytest.fixture
def coded(shell: Shell, tmp_path: Path) -> Path:
    """An artifact of 20-24-6 neurons that knows its encoding."""
    network = replace(chain(20, 24, 6, density=0.5), encoding=RATE)
    codec.write(network, tmp_path / "coded", "network")
    assert shell("map", tmp_path / "coded", "--chip", "tiny", "--out", tmp_path / "art")[0] == 0
    return tmp_path / "art"


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Three images of 4 x 5 pixels in 0..9."""
    values = np.arange(60).reshape(3, 1, 4, 5) % 10
    np.savez(tmp_path / "samples.npz", values=values, labels=np.array([1, 0, 5]))
    return tmp_path / "samples.npz"


def test_a_stimulus_is_made_that_the_artifact_runs(
    shell: Shell, coded: Path, samples: Path, tmp_path: Path
) -> None:
    stimulus = tmp_path / "stimulus.npz"

    code, out, _ = shell("encode", coded, samples, "--out", stimulus)
    assert code == 0
    assert "rate, 6 timesteps of samples 1 x 4 x 5" in out
    made = read_raster(stimulus)
    assert made.spikes["input"].shape == (3, 6, 20)
    assert made.labels is not None
    assert made.labels.tolist() == [1, 0, 5]

    assert shell("run", coded, "--stimulus", stimulus, "--out", tmp_path / "r.npz")[0] == 0


def test_json_is_one_object(shell: Shell, coded: Path, samples: Path, tmp_path: Path) -> None:
    code, out, _ = shell("encode", coded, samples, "--out", tmp_path / "s.npz", "--json")
    answer = json.loads(out)
    assert code == 0
    spikes = read_raster(tmp_path / "s.npz").spikes["input"]
    assert answer == {
        "encoding": str(RATE), "samples": 3, "timesteps": 6, "neurons": 20,
        "spikes": int(spikes.sum()), "labels": True, "out": str(tmp_path / "s.npz"),
    }  # fmt: skip


@pytest.mark.parametrize("folder", ["coded", "art"])
def test_inspect_and_report_say_the_encoding_in_one_line(
    shell: Shell, coded: Path, tmp_path: Path, folder: str
) -> None:
    code, out, _ = shell("inspect", tmp_path / folder)
    assert code == 0
    assert f"encoding       {RATE}\n" in out
    code, out, _ = shell("report", tmp_path / "art", "--html", tmp_path / "page.html")
    assert f"Input: {RATE}." in " ".join(out.split())
    assert f"Input: {RATE}." in (tmp_path / "page.html").read_text()


def test_an_artifact_without_an_encoding_says_so(
    shell: Shell, artifact: Path, samples: Path, tmp_path: Path
) -> None:
    code, _, err = shell("encode", artifact, samples, "--out", tmp_path / "s.npz")
    assert code == 2
    assert "carries no encoding" in err
    assert "encoding       not known" in shell("inspect", artifact)[1]


def test_samples_of_another_kind_are_refused_by_file(
    shell: Shell, coded: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, values=np.full((2, 20), 10))
    code, _, err = shell("encode", coded, wrong, "--out", tmp_path / "s.npz")
    assert code == 2
    assert "wrong.npz: encoding 'rate': needs values in 0..9, holds 10..10" in err
    np.savez(wrong, **event_arrays(2))
    assert (
        "needs values, was given events"
        in shell("encode", coded, wrong, "--out", tmp_path / "s.npz")[2]
    )
    assert not (tmp_path / "s.npz").exists()


def test_the_samples_are_not_overwritten(shell: Shell, coded: Path, samples: Path) -> None:
    before = samples.read_bytes()
    code, _, err = shell("encode", coded, samples, "--out", samples)
    assert code == 2
    assert "would overwrite what the command reads" in err
    assert samples.read_bytes() == before


def test_encoding_needs_nothing_of_training(coded: Path, samples: Path, tmp_path: Path) -> None:
    arguments = ["encode", str(coded), str(samples), "--out", str(tmp_path / "s.npz")]
    program = f"import sys; from toolchain.cli.main import run; assert run({arguments!r}) == 0\n"
    program += "print([m for m in ('torch', 'norse', 'sklearn', 'numba') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


RUNS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "rate": ({"name": "digits"}, {"timesteps": 8}),
    "bernoulli": ({"name": "digits"}, {"kind": "bernoulli", "timesteps": 8, "seed": 7}),
    "latency": ({"name": "digits"}, {"kind": "latency", "timesteps": 8, "threshold": 2}),
    "delta": ({"name": "ecg"}, {"kind": "delta", "timesteps": 24, "thresholds": [16, 64]}),
    "events": (
        {"name": "events"},
        {"kind": "events", "timesteps": 10, "bin_us": 20, "polarity": "merged", "shrink": 2},
    ),
}


@pytest.mark.parametrize("kind", RUNS)
def test_the_artifact_alone_makes_the_stimulus_that_training_made(
    kind: str, shell: Shell, tmp_path: Path
) -> None:
    """Trained, mapped, and the raw test samples encoded again: every bit is the same."""
    pytest.importorskip("torch", reason="needs torch, which comes with snn-deploy[train]")
    from toolchain.files import fit
    from toolchain.train.config import TrainConfig
    from toolchain.train.data import load
    from toolchain.train.run import train

    data, encoding = RUNS[kind]
    rng = np.random.default_rng(0)
    beats = {"x": rng.normal(size=(60, 12)), "label": np.arange(60) % 3}
    np.savez(tmp_path / "ecg5000_train.npz", **beats)
    (tmp_path / "events").mkdir()
    write_events(tmp_path / "events", train=40)
    folders = {"ecg": {"folder": tmp_path}, "events": {"folder": tmp_path / "events"}}
    table = {
        "data": data | folders.get(str(data["name"]), {"train_samples": 100}),
        "encoding": encoding,
        "network": {"hidden": [8]},
        "sparsity": {"method": "dense"},
        "training": {"epochs": 1},
    }
    config = fit(TrainConfig, table, "config")
    run = tmp_path / "run"
    train(config, run)
    assert shell("map", run, "--chip", "loihi1", "--out", tmp_path / "art")[0] == 0

    tested = load(config.data, config.encoding).test
    values = tested.values
    raw = (
        {name: getattr(values, name) for name in ("x", "y", "p", "t", "offsets")}
        if isinstance(values, Events)
        else {"values": values}
    )
    labelled = {"labels": tested.labels, "indices": tested.indices}
    np.savez(tmp_path / "raw.npz", **raw, **labelled)
    again = tmp_path / "again.npz"
    assert shell("encode", tmp_path / "art", tmp_path / "raw.npz", "--out", again)[0] == 0
    assert again.read_bytes() == (run / "stimulus.npz").read_bytes()

    network = codec.read(Network, run, "network")
    assert network.encoding is not None
    assert network.encoding.kind == kind
