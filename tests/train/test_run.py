"""Training runs: stopped at any point and resumed, they leave the same bytes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from toolchain import codec
from toolchain.errors import FileError, InputError
from toolchain.network import Network
from toolchain.raster import accuracy, read_raster
from toolchain.train.config import read_config
from toolchain.train.data import DATASETS, Samples
from toolchain.train.folder import _FILES, read_summary
from toolchain.train.predict import predict
from toolchain.train.run import train

TINY = """
[data]
name = "digits"
train_samples = 200
test_samples = 50
validation = 0.2
[encoding]
timesteps = 5
[network]
hidden = [12]
[sparsity]
density = 0.2
stop_epoch = 3
[training]
epochs = 5
batch_size = 40
learning_rate = 0.02
"""

# Kills itself, for good, before it renames its n-th file or when it reports for the n-th time.
KILLED = """
import os, signal, sys
from pathlib import Path
from toolchain import files
from toolchain.train.config import read_config
from toolchain.train.run import train

left = {"rename": 0, "report": 0} | {sys.argv[3]: int(sys.argv[4])}

def count(what):
    left[what] -= 1
    if left[what] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

rename = os.replace
os.replace = lambda *names: (count("rename"), rename(*names))
train(read_config(Path(sys.argv[1])), Path(sys.argv[2]), resume=True,
      watch=lambda *_: count("report"))
"""


@pytest.fixture(scope="module")
def config_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def finished(config_file, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(read_config(config_file), out)
    assert {file.name for file in out.iterdir()} == set(_FILES)
    return out


def contents(run: Path) -> dict[str, bytes]:
    """Every file, without what the summary says of time and place."""
    held = {file.name: file.read_bytes() for file in run.iterdir()}
    summary = json.loads(held["summary.json"])
    del summary["seconds"], summary["run"]
    return held | {"summary.json": json.dumps(summary).encode()}


def killed(config_file: Path, out: Path, what: str, count: int) -> None:
    command = [sys.executable, "-c", KILLED, str(config_file), str(out), what, str(count)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


# The 18 renames of a fresh run: config, metrics; per epoch best (where at target), checkpoint and
# metrics; network (2), stimulus, summary.
KILLS = [[("report", 9), ("rename", 6)]]
ALL_KILLS = [[("rename", count)] for count in range(1, 19)] + [[("report", 2), ("report", 3)]]


def assert_resumes_to_the_same(config_file, finished, out, kills):
    for what, count in kills:
        killed(config_file, out, what, count)
        assert not (out / "summary.json").exists()
    train(read_config(config_file), out, resume=True)
    assert contents(out) == contents(finished)


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_run_resumes_to_the_same_bytes(config_file, finished, tmp_path, kills):
    assert_resumes_to_the_same(config_file, finished, tmp_path / "run", kills)


@pytest.mark.slow
@pytest.mark.parametrize("kills", ALL_KILLS)
def test_a_run_killed_anywhere_resumes_to_the_same_bytes(config_file, finished, tmp_path, kills):
    assert_resumes_to_the_same(config_file, finished, tmp_path / "run", kills)


def test_an_interruption_propagates_and_the_run_resumes(config_file, finished, tmp_path):
    def interrupt(step, done, total, text):
        if text.startswith("epoch 3/5") and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(read_config(config_file), tmp_path / "run", watch=interrupt)
    with pytest.raises(InputError, match=r"holds an unfinished run .* go on with it by --resume"):
        train(read_config(config_file), tmp_path / "run")
    train(read_config(config_file), tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == contents(finished)


def test_another_seed_trains_another_network(config_file, finished, tmp_path):
    train(read_config(config_file, ["training.seed=1"]), tmp_path / "run")
    assert contents(tmp_path / "run")["network.json"] == contents(finished)["network.json"]
    weights = "network.safetensors"
    assert contents(tmp_path / "run")[weights] != contents(finished)[weights]


def test_a_folder_of_another_run_is_refused_by_the_key_that_differs(config_file, finished):
    with pytest.raises(InputError, match=r"\[training\] epochs is 5 there, 6 here"):
        train(read_config(config_file, ["training.epochs=6"]), finished, resume=True)
    with pytest.raises(InputError, match="holds a finished run of this configuration"):
        train(read_config(config_file), finished)


def test_resuming_a_finished_run_gives_its_summary(config_file, finished):
    before = contents(finished)
    assert train(read_config(config_file), finished, resume=True) == read_summary(finished)
    assert contents(finished) == before


def test_a_folder_that_is_no_run_is_refused(config_file, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="is not empty and holds no run"):
        train(read_config(config_file), tmp_path)
    with pytest.raises(FileError, match="is a file; --out names a folder"):
        train(read_config(config_file), tmp_path / "thesis.tex")


def test_a_truncated_checkpoint_is_refused(config_file, tmp_path):
    def stop(step, done, total, text):
        if step == "epoch":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(read_config(config_file), tmp_path / "run", watch=stop)
    path = tmp_path / "run" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FileError, match=r"checkpoint.safetensors: was cut short or altered"):
        train(read_config(config_file), tmp_path / "run", resume=True)


def test_nan_stops_the_run_by_epoch_and_batch(config_file, tmp_path):
    config = read_config(config_file, ["network.v_th=3e38"])
    with pytest.raises(InputError, match="epoch 1, batch 1: weights are no longer finite"):
        train(config, tmp_path / "run")


def test_the_run_holds_what_it_promises(finished):
    summary = read_summary(finished)
    network = codec.read(Network, finished, "network")
    assert [p.name for p in network.populations] == ["hidden1", "output"]
    assert network.synapses == round(0.2 * (64 * 12 + 12 * 10))
    assert summary.density == network.density == summary.unrolled_connectivity
    records = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3, 4, 5]
    assert [record["at_target"] for record in records] == [False, False, False, True, True]
    best = max(records[3:], key=lambda r: (r["accuracy"]["validation"], r["epoch"]))
    assert summary.best_epoch == best["epoch"]
    assert summary.accuracy["validation"] == best["accuracy"]["validation"]
    for record, after in pairwise(records):
        moved = sum(layer["grow"] - layer["drop"] for layer in record["layers"])
        assert round((after["density"] - record["density"]) * 888) == moved


def test_prediction_repeats_the_test_accuracy(finished):
    stimulus = read_raster(finished / "stimulus.npz")
    raster = predict(finished, stimulus)
    assert list(raster.spikes) == ["hidden1", "output"]
    assert np.array_equal(raster.labels, stimulus.labels)
    assert accuracy(raster, "output") == read_summary(finished).accuracy["test"]
    one = predict(finished, stimulus.between(7, 8))
    assert np.array_equal(one.spikes["output"][0], raster.spikes["output"][7])


# Enough to learn from: its validation accuracy rises, so that an epoch is chosen by it.
LEARNS = [
    "network.hidden=[32]", "sparsity.density=0.5", "training.batch_size=10", "training.epochs=8",
]  # fmt: skip


def test_the_test_set_neither_trains_nor_chooses_the_network(config_file, tmp_path, monkeypatch):
    """Other images under other labels: all that changes is what is said of the test set."""
    original = DATASETS["digits"]
    config = read_config(config_file, LEARNS)

    def with_noise_to_test_on(config):
        learned_from, tested, maximum = original(config)
        rng = np.random.default_rng(0)
        noise = Samples(
            pixels=rng.integers(0, maximum + 1, tested.pixels.shape, np.uint8),
            labels=rng.permutation(tested.labels),
        )
        return learned_from, noise, maximum

    learned = train(config, tmp_path / "one")
    assert learned.accuracy["validation"] > 0.4
    monkeypatch.setitem(DATASETS, "digits", with_noise_to_test_on)
    train(config, tmp_path / "other")

    ours, theirs = contents(tmp_path / "one"), contents(tmp_path / "other")
    changed = {name for name in theirs if ours[name] != theirs[name]}
    assert changed == {"stimulus.npz", "summary.json"}
    one, other = (json.loads(held["summary.json"]) for held in (ours, theirs))
    assert one["accuracy"].pop("test") != other["accuracy"].pop("test")
    for summary in (one, other):
        for layer in summary["layers"]:
            del layer["spikes_per_neuron_step"]  # when shown the test set
    assert one == other


def test_training_leaves_torch_as_it_was(finished):
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("neuron", ["lif", "lifbox"])
@pytest.mark.parametrize("grow", ["momentum", "random", "gradient"])
@pytest.mark.parametrize("method", ["esl", "two-stage"])
def test_every_rule_trains(config_file, tmp_path, method, grow, neuron):
    overrides = [
        f"sparsity.method={method}", f"sparsity.grow={grow}", f"network.neuron={neuron}",
        "sparsity.scope=neuron", "sparsity.regrow_fraction=0.3", "training.epochs=3",
        "sparsity.stop_epoch=2", "network.bias=false", "data.train_samples=100",
    ]  # fmt: skip
    summary = train(read_config(config_file, overrides), tmp_path / "run")
    assert summary.density == pytest.approx(0.2, abs=1e-3)


def test_a_dense_network_trains(config_file, tmp_path):
    overrides = ["sparsity.method=dense", "training.epochs=2"]
    assert train(read_config(config_file, overrides), tmp_path / "run").density == 1
