"""Training runs: stopped at any point and resumed, they leave the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.apart import killed
from toolchain import codec
from toolchain.errors import FileError, InputError
from toolchain.network import Network
from toolchain.raster import accuracy, read_raster
from toolchain.train.config import read_config
from toolchain.train.config_sparsity import NEVER_REWIRES
from toolchain.train.data import DATASETS, Samples, split
from toolchain.train.folder import _FILES, held_alone, read_summary
from toolchain.train.hidden import HIDDEN
from toolchain.train.losses import LOSSES
from toolchain.train.predict import predict
from toolchain.train.run import Paused, train
from toolchain.train.schedule import METHODS
from toolchain.train.stopping import STOP_RULES, Seen

TINY = """
[data]
name = "digits"
train_samples = 300
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
learning_rate = 0.05
checkpoint_batches = 4
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


def history(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


# A fresh run renames config, model, metrics; per epoch a checkpoint after four of its six batches,
# best (where at target), checkpoint and metrics; network (2), stimulus, summary: 24 times. It
# reports each of its 30 batches.
KILLS = [[("report", 9), ("rename", 6), ("report", 13)]]
ALL_KILLS = [[("rename", count)] for count in range(1, 25)] + [[("report", 2), ("report", 3)]]
ALL_KILLS += [[("report", count)] for count in range(4, 34, 3)]


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


def test_a_run_in_pieces_leaves_the_same_bytes(config_file, finished, tmp_path):
    """With no minutes at all, each session learns from one batch."""
    paused = train(read_config(config_file), tmp_path / "run", minutes=1e-9)
    assert paused == Paused(run=str(tmp_path / "run"), epoch=1, batches=1, epochs=5)
    sessions = 1
    while isinstance(paused, Paused):
        paused = train(read_config(config_file), tmp_path / "run", resume=True, minutes=1e-9)
        sessions += 1
    assert sessions == 30
    assert contents(tmp_path / "run") == contents(finished)


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
    assert contents(tmp_path / "run")["model.json"] == contents(finished)["model.json"]
    weights = "best.safetensors"
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


@pytest.mark.parametrize("method", HIDDEN)
def test_nan_is_noticed_where_it_would_take_synapses_with_it(config_file, tmp_path, method):
    """A hidden strength that is none leaves no synapse, and a weight of 0."""
    text = config_file.read_text().replace("[network]", "[network]\nv_th = 3e38\nbias = false")
    (tmp_path / "c.toml").write_text(text.replace("[sparsity]", f'[sparsity]\nmethod = "{method}"'))
    with pytest.raises(InputError, match="epoch 1, batch 1: weights are no longer finite"):
        train(read_config(tmp_path / "c.toml"), tmp_path / "run")


def test_a_threshold_that_leaves_no_synapse_is_refused(config_file, tmp_path):
    text = config_file.read_text().replace("density = 0.2", 'method = "stds"\nthreshold = 1000.0')
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(InputError, match="threshold = 1000: leaves layer 'hidden1' no synapse"):
        train(read_config(tmp_path / "c.toml"), tmp_path / "run")


def test_two_sessions_never_train_in_one_folder(config_file, tmp_path):
    held = f"is being trained by process {os.getpid()} on"

    def second(step, done, total, text):
        with pytest.raises(InputError, match=held):
            train(read_config(config_file), tmp_path / "run", resume=True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(read_config(config_file), tmp_path / "run", watch=second)
    assert not (tmp_path / "run").exists()  # it was stopped before anything was written


def test_a_session_that_was_killed_holds_no_folder(tmp_path):
    code = "import os, sys, pathlib; from toolchain.train.folder import held_alone\n"
    code += "with held_alone(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    out = tmp_path / "run"
    subprocess.run([sys.executable, "-c", code, str(out)], check=False)
    assert (out / ".lock").exists()
    with held_alone(out):
        pass
    assert not list(out.iterdir())


def test_the_run_holds_what_it_promises(finished):
    summary = read_summary(finished)
    network = codec.read(Network, finished, "network")
    assert [p.name for p in network.populations] == ["hidden1", "output"]
    assert network.synapses == round(0.2 * (64 * 12 + 12 * 10))
    assert summary.density == network.density == summary.unrolled_connectivity
    records = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3, 4, 5]
    assert [record["at_target"] for record in records] == [False, False, False, True, True]
    assert summary.sops["total"] == summary.sops["hidden1"] + summary.sops["output"] > 0
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
        source = original(config)
        learned_from, tested = split(source.train, 360)
        rng = np.random.default_rng(0)
        noise = Samples(
            values=rng.integers(0, 17, tested.values.shape, np.uint8),
            labels=rng.permutation(tested.labels),
            indices=tested.indices,
        )
        return replace(source, train=learned_from, test=noise)

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
        del summary["sops"]
        for layer in summary["layers"]:
            del layer["spikes_per_neuron_step"]  # when shown the test set
    assert one == other


def test_training_leaves_torch_as_it_was(finished):
    assert not torch.are_deterministic_algorithms_enabled()


NETWORKS = {
    "mlp": ["network.hidden=[12]"],
    "recurrent": ["network.model=recurrent", "network.hidden=[12]", "network.neuron=lifbox"],
    "conv": [
        "network.model=conv", "network.channels=[4]", "network.hidden=[10]", "network.norm=true",
        "network.neuron=lifbox", "network.dropout=0.2",
    ],
}  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", [*METHODS, *HIDDEN])
def test_every_method_trains_every_network(method, network, config_file, tmp_path):
    sparsity = [f"sparsity.method={method}"] + ["sparsity.density=0.3"] * (method != "dense")
    short = ["training.epochs=3", "data.train_samples=100"]
    short += ["sparsity.stop_epoch=2"] * (method not in NEVER_REWIRES)
    overrides = [*sparsity, *NETWORKS[network], *short]
    summary = train(read_config(config_file, overrides), tmp_path / "run")
    asked = 1.0 if method == "dense" else 0.3
    assert summary.density == pytest.approx(asked, abs=1e-2)
    raster = predict(tmp_path / "run", read_raster(tmp_path / "run" / "stimulus.npz"))
    network = codec.read(Network, tmp_path / "run", "network")
    assert {name: s.shape[2] for name, s in raster.spikes.items()} == {
        p.name: p.size for p in network.populations
    }


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns(loss, config_file, tmp_path):
    overrides = [f"training.loss={loss}", "sparsity.method=dense", "network.hidden=[32]"]
    more = ["training.epochs=8", "training.batch_size=20", "data.train_samples=600"]
    summary = train(read_config(config_file, [*overrides, *more]), tmp_path / "run")
    assert summary.accuracy["validation"] > 0.5


@pytest.mark.parametrize("key", ["detach_reset=true", "clip_norm=0.01"])
def test_where_gradients_go_is_the_users_to_say(key, config_file, finished, tmp_path):
    train(read_config(config_file, [f"training.{key}"]), tmp_path / "run")

    for name in ("best.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() != (finished / name).read_bytes()


@pytest.mark.parametrize("method", ["deep-r", "grad-r", "stds"])
def test_a_method_that_moves_at_every_step_resumes_to_the_same_bytes(config_file, tmp_path, method):
    config = read_config(config_file, [f"sparsity.method={method}", "data.train_samples=100"])
    train(config, tmp_path / "whole")

    def interrupt(resumed):
        def watch(step, done, total, text):
            if (step, done) == ("epoch", 4) if resumed else text.startswith("epoch 3/5"):
                raise KeyboardInterrupt

        return watch

    for resume in (False, True):  # within the third epoch, and after the fourth
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run", resume=resume, watch=interrupt(resume))
    train(config, tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_rewiring_by_steps_goes_on_within_epochs(config_file, tmp_path):
    overrides = ["sparsity.method=set", "sparsity.every_steps=3", "sparsity.drop_fraction=0.1"]
    train(read_config(config_file, overrides), tmp_path / "run")
    records = history(tmp_path / "run")  # of 6 steps each; rewired after 3, 6, ..., 18
    assert [record["layers"][0]["drop"] for record in records] == [26, 26, 26, 0, 0]


@pytest.mark.parametrize("rule", ["epoch", "validation", "pq-turn"])
def test_a_stop_rule_leaves_the_density_to_the_method(config_file, tmp_path, rule):
    text = config_file.read_text().replace("density = 0.2", f"stop_rule = '{rule}'")
    text = text.replace("hidden = [12]", "hidden = [32]")  # learns
    text = text.replace("epochs = 5", "epochs = 12").replace("stop_epoch = 3", "stop_epoch = 10")
    file = tmp_path / "free.toml"
    file.write_text(text)
    patience = [] if rule == "epoch" else ["sparsity.patience=1"]
    summary = train(read_config(file, patience), tmp_path / "run")
    records = history(tmp_path / "run")
    moving = [record["epoch"] for record in records if record["layers"][0]["drop"]]
    assert moving == list(range(1, len(moving) + 1))
    seen = [
        Seen(validation=record["accuracy"]["validation"], pq_index=record["pq_index"])
        for record in records
    ]
    stops = [epoch for epoch in range(1, 11) if STOP_RULES[rule](seen[:epoch], 1)]
    assert len(moving) == (stops[0] - 1 if stops else 10)
    assert bool(stops) == (rule == "validation")
    assert summary.density == records[-1]["density"] < 0.5
    assert summary.best_epoch > len(moving)
    at_target = [record["epoch"] for record in records if record["at_target"]]
    assert set(at_target) <= set(range(len(moving) + 1, 13))
