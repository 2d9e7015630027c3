"""Configurations: every mistake is named by file, table and key."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from toolchain.errors import ConfigError
from toolchain.train.config import TrainConfig, read_config
from toolchain.train.config_network import NetworkConfig
from toolchain.train.config_sparsity import SparsityConfig
from toolchain.train.data import DATASETS
from toolchain.train.masks import DROP, GROW
from toolchain.train.schedule import METHODS

DIGITS = '[data]\nname = "digits"\n'


@pytest.fixture
def digits(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(DIGITS)
    return path


def test_defaults_are_the_papers(digits):
    sparsity = read_config(digits).sparsity
    assert (sparsity.p, sparsity.q, sparsity.alpha) == (0.5, 1.0, 0.001)
    assert (sparsity.gamma, sparsity.beta, sparsity.start_density) == (1.0, 0.9, 0.5)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sparsity.densty=0.1", r"\[sparsity\] unknown key 'densty'; did you mean 'density'"),
        ("spasity.density=0.1", r"unknown key 'spasity'; did you mean 'sparsity'"),
        ("sparsity.density=0", r"\[sparsity\] density = 0"),
        ("sparsity.density=1.5", r"\[sparsity\] density = 1.5"),
        ("sparsity.density=0.6", "start_density is 0.5; lower density or raise start_density"),
        ("sparsity.p=1.0", r"\[sparsity\] q = 1.0: must exceed p, which is 1"),
        ("sparsity.every_epochs=20", r"every_epochs = 20: never rewires.* epoch 15 of 20"),
        ("training.epochs=1", "every_epochs = 1: never rewires"),
        ("sparsity.method=twostage", r"\[sparsity\] method = 'twostage'"),
        ("network.hidden=[0]", r"\[network.hidden\] 0 = 0"),
        ("network.tau_mem_inv=2000", r"tau_mem_inv = 2000: .*must be at most 1, is 2"),
        ("training.epochs=true", r"\[training\] epochs = True"),
        ("training.learning_rate=nan", r"\[training\] learning_rate = nan"),
        ("data.name=idx", r"\[data\] folder = None: name = 'idx' needs the folder"),
        ("data.folder=here", r"\[data\] folder = 'here': name = 'digits' has no folder"),
        ("epochs=3", "an override is TABLE.KEY=VALUE"),
        ("training.epochs", "an override is TABLE.KEY=VALUE"),
    ],
)
def test_a_mistake_is_refused_by_name(digits, override, message):
    with pytest.raises(ConfigError, match=message):
        read_config(digits, [override])


def test_overrides_are_toml_values_and_bare_words(digits):
    config = read_config(
        digits, ["sparsity.method=esl", "network.hidden=[7, 8]", "training.learning_rate = 1e-3"]
    )
    assert config.sparsity.method == "esl"
    assert config.network.hidden == (7, 8)
    assert config.training.learning_rate == 1e-3


def test_the_folder_is_relative_to_the_configuration(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('[data]\nname = "idx"\nfolder = "../there"\n')
    assert read_config(path).data.folder == tmp_path.parent / "there"


def test_the_last_epoch_is_never_followed_by_a_rewiring(digits):
    config = read_config(digits, ["training.epochs=4", "sparsity.stop_epoch=9"])
    assert list(config.rewiring_epochs) == [1, 2, 3]
    config = read_config(digits, ["training.epochs=20", "sparsity.every_epochs=4"])
    assert list(config.rewiring_epochs) == [4, 8, 12]
    config = read_config(digits, ["sparsity.method=dense"])
    assert list(config.rewiring_epochs) == []


def test_choices_are_the_tables_of_functions():
    def choices(model, key):
        return set(get_args(model.model_fields[key].annotation))

    assert choices(SparsityConfig, "method") == set(METHODS)
    assert choices(SparsityConfig, "grow") == set(GROW)
    assert choices(SparsityConfig, "drop") == set(DROP)
    assert choices(TrainConfig.model_fields["data"].annotation, "name") == set(DATASETS)
    assert choices(NetworkConfig, "neuron") == {"lif", "lifbox"}


def test_configurations_and_pure_parts_do_not_import_torch():
    modules = "config, masks, pq, schedule, encoding, data, folder"
    code = f"import sys; from toolchain.train import {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
