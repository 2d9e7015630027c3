"""Runs that end on the chip's integers: resumed to the same bytes, taken up, and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.train.random_models import random_model
from toolchain import codec
from toolchain.backends.quantized import run_network
from toolchain.cli.train import grids_for
from toolchain.errors import ConfigError, DoesNotFitError, InputError
from toolchain.network import Network, QuantizedNetwork
from toolchain.raster import accuracy, read_raster
from toolchain.train.config import read_config
from toolchain.train.folder import EXACT, Summary
from toolchain.train.predict import predict
from toolchain.train.run import Paused, train

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
stop_epoch = 1
[training]
epochs = 2
batch_size = 40
learning_rate = 0.05
checkpoint_batches = 4
[exact]
chip = "loihi1"
weight_bits = 4
epochs = 2
learning_rate = 0.01
"""
RESULT = ("network", "quantized", f"{EXACT}/grid", f"{EXACT}/best", "best", "checkpoint")


@pytest.fixture(scope="module")
def config_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def finished(config_file, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(read_config(config_file), out, quantizer=grids_for)
    return out


def contents(run: Path) -> dict[str, bytes]:
    files = [run / f"{name}.safetensors" for name in RESULT]
    files += [run / "metrics.jsonl", run / "stimulus.npz", run / "calibration.npz"]
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


def test_the_trained_spikes_are_those_of_the_network_that_is_mapped(finished):
    stimulus = read_raster(finished / "stimulus.npz")
    network = codec.read(QuantizedNetwork, finished, "quantized")

    trained = predict(finished, stimulus)
    deployed = run_network(network, stimulus).raster

    assert sum(int(spikes.sum()) for spikes in trained.spikes.values()) > 0
    for population in network.populations:
        assert np.array_equal(trained.spikes[population.name], deployed.spikes[population.name])
    assert {edge.weight_bits for edge in network.projections} == {4}
    assert accuracy(trained, network.output) == accuracy(deployed, network.output)


def test_the_network_in_real_numbers_beside_it_has_the_same_synapses(finished):
    network = codec.read(QuantizedNetwork, finished, "quantized")
    real = codec.read(Network, finished, "network")

    for edge, held in zip(real.projections, network.projections, strict=True):
        assert np.array_equal(edge.weights.indices, held.weights.indices)
        assert np.array_equal(np.sign(edge.weights.data), np.sign(held.weights.data))


def test_a_run_in_pieces_leaves_the_same_bytes(config_file, finished, tmp_path):
    config = read_config(config_file)
    for _ in range(60):
        done = train(config, tmp_path / "r", resume=True, minutes=1e-9, quantizer=grids_for)
        if isinstance(done, Summary):
            break
        assert isinstance(done, Paused)
        assert done.epochs == 4
    assert contents(tmp_path / "r") == contents(finished)


def test_the_same_seed_gives_the_same_bytes(config_file, finished, tmp_path):
    train(read_config(config_file), tmp_path / "r", quantizer=grids_for)
    assert contents(tmp_path / "r") == contents(finished)


def test_another_run_is_taken_up_where_it_was_best(config_file, finished, tmp_path):
    asked = [f'exact.run="{finished}"', "exact.weight_bits=3", "exact.thresholds=2"]

    summary = train(read_config(config_file, asked), tmp_path / "r", quantizer=grids_for)

    assert isinstance(summary, Summary)
    assert summary.epochs == 2
    network = codec.read(QuantizedNetwork, tmp_path / "r", "quantized")
    assert {edge.weight_bits for edge in network.projections} == {3}
    assert all(len(np.unique(p.threshold)) <= 2 for p in network.populations)


def test_integers_may_be_used_throughout(config_file, tmp_path):
    asked = ["training.epochs=0", "sparsity.method=static", "exact.weight_bits=8"]
    config = read_config(throughout(config_file, tmp_path), asked)

    summary = train(config, tmp_path / "r", quantizer=grids_for)

    assert isinstance(summary, Summary)
    assert summary.epochs == 2
    assert (tmp_path / "r" / "quantized.json").is_file()


def throughout(config_file: Path, folder: Path) -> Path:
    path = folder / "throughout.toml"
    path.write_text(config_file.read_text().replace("stop_epoch = 1\n", ""))
    return path


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (["exact.chip=loihi9"], InputError, r"no chip 'loihi9'; did you mean"),
        (["exact.weight_bits=9"], ConfigError, r"weight_bits.*less than or equal to 8"),
        (["exact.epochs=0"], ConfigError, r"exact.*epochs.*greater than or equal to 1"),
        (["training.epochs=0"], ConfigError, r"masks are fixed in \[exact\].*method = 'two-stage'"),
        (["training.device=cuda"], ConfigError, r"\[exact\] runs on the CPU.*device = 'cpu'"),
        (["exact.thresholds=8"], InputError, r"8 thresholds.*'loihi1' holds 7.*1 to 7"),
        (["network.tau_syn_inv=0.01"], DoesNotFitError, r"time constant.*larger decay_u"),
        (["exact.run=missing"], InputError, r"model\.json"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_learned(
    asked, error, message, config_file, tmp_path
):
    with pytest.raises(error, match=message):
        train(read_config(config_file, asked), tmp_path / "r", quantizer=grids_for)
    assert not (tmp_path / "r" / "metrics.jsonl").exists()


def test_a_chip_with_narrower_weights_is_refused(config_file, tmp_path):
    profile = Path(__file__).parents[2] / "hw_profiles" / "tiny.toml"
    narrow = tmp_path / "narrow.toml"
    text = profile.read_text()
    line = next(one for one in text.splitlines() if one.startswith("weight_bits"))
    narrow.write_text(text.replace(line, line.replace("value = 8", "value = 3")))

    with pytest.raises(InputError, match=r"weight_bits = 4: .* holds weights of 2 to 3 bits"):
        train(
            read_config(config_file, [f'exact.chip="{narrow}"']),
            tmp_path / "r",
            quantizer=grids_for,
        )


def test_a_run_on_other_data_is_refused(config_file, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("toolchain.train.run.read_model", lambda run: random_model(3))
    config = read_config(config_file, [f'exact.run="{finished}"'])

    with pytest.raises(ConfigError, match=r"\[exact\] run = .* the data are \(1, 8, 8\) of 10"):
        train(config, tmp_path / "r", quantizer=grids_for)
