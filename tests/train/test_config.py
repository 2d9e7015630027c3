"""Configurations: every mistake is named by file, table and key."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from toolchain.errors import ConfigError
from toolchain.train.config import TrainConfig, read_config
from toolchain.train.config_network import KEYS, NetworkConfig
from toolchain.train.config_sparsity import PRESETS, SparsityConfig
from toolchain.train.data import DATASETS
from toolchain.train.masks import DROP, GROW
from toolchain.train.starts import STARTS
from toolchain.train.stopping import STOP_RULES

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
        ("sparsity.rho=1", r"\[sparsity\] unknown key 'rho'"),
        ("sparsity.regrow_fraction=1.1", r"regrow_fraction = 1.1"),
        ("sparsity.threshold=1.0", r"threshold has no effect with method = 'two-stage'; .*: stds"),
        ("sparsity.method=twostage", r"\[sparsity\] method = 'twostage'"),
        ("network.hidden=[0]", r"\[network.hidden\] 0 = 0"),
        ("network.model=vgsnn", r"model = 'vgsnn': is neither .*; did you mean 'vggsnn'"),
        ("network.channels=[8]", r"channels = \[8\]: model = 'mlp' does not use it; remove it"),
        ("network.pool=average", r"pool = 'average': model = 'mlp' does not use it"),
        ("network.dropout=1", r"\[network\] dropout = 1"),
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


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["sparsity.method=esl", "sparsity.regrow_fraction=0.3"],
            r"regrow_fraction has no effect with method = 'esl'; .* reads it: two-stage, fixed-rat",
        ),
        (["sparsity.method=rigl", "sparsity.grow=random"], r"grow has no effect .*'rigl'; .*: two"),
        (["sparsity.method=dense", "sparsity.density=0.2"], "density has no effect .* 'dense'"),
        (
            ["sparsity.stop_rule=pq-turn", "sparsity.density=0.2"],
            "density has no effect with stop_rule = 'pq-turn', which leaves it to the method",
        ),
        (
            ["sparsity.method=stds", "sparsity.threshold=2.0", "sparsity.density=0.2"],
            "density has no effect with threshold = 2, which leaves it to the method",
        ),
        (["sparsity.method=gmp", "sparsity.scope=neuron"], "'gmp' counts by layer or global"),
        (["sparsity.method=gmp", "sparsity.start_density=0.05"], "'gmp' only lowers the density"),
        (["sparsity.every_steps=9", "sparsity.every_epochs=2"], "every_epochs = 2 says it too"),
        (["sparsity.method=stds", "training.epochs=1"], "method = 'stds': never rewires"),
        (["sparsity.every_steps=9", "training.epochs=1"], "every_steps = 9: never rewires"),
    ],
)
def test_keys_that_contradict_or_change_nothing_are_refused(digits, overrides, message):
    with pytest.raises(ConfigError, match=message):
        read_config(digits, overrides)


@pytest.mark.parametrize("method", PRESETS)
def test_another_method_by_override_may_meet_keys_meant_for_the_files_own(tmp_path, method):
    path = tmp_path / "config.toml"
    path.write_text(
        DIGITS + "[sparsity]\nregrow_fraction = 0.3\nstop_rule = 'validation'\nscope = 'global'\n"
    )
    config = read_config(path, [f"sparsity.method={method}"]).sparsity
    free = method in ("two-stage", "fixed-ratio")
    assert config.ends_by == ("validation" if free else "density")
    assert config.counts_over == ("global" if "scope" in PRESETS[method].keys else "layer")
    path.write_text(DIGITS + "[sparsity]\nmethod = 'esl'\nregrow_fraction = 0.3\n")
    with pytest.raises(ConfigError, match="regrow_fraction has no effect with method = 'esl'"):
        read_config(path, [f"sparsity.method={method}"])


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
    assert list(config.rewiring_steps(1)) == [1, 2, 3]
    config = read_config(digits, ["training.epochs=20", "sparsity.every_epochs=4"])
    assert list(config.rewiring_steps(7)) == [28, 56, 84]
    config = read_config(digits, ["sparsity.method=dense"])
    assert list(config.rewiring_steps(7)) == []
    config = read_config(digits, ["sparsity.method=rigl", "sparsity.every_steps=50"])
    assert list(config.rewiring_steps(7)) == [50, 100]


def test_choices_are_the_tables_of_functions():
    def choices(model, key):
        return set(get_args(model.model_fields[key].annotation))

    assert choices(SparsityConfig, "method") == set(PRESETS)
    assert choices(SparsityConfig, "start") == set(STARTS)
    assert choices(SparsityConfig, "stop_rule") == set(STOP_RULES)
    assert choices(SparsityConfig, "grow") == set(GROW)
    assert choices(SparsityConfig, "drop") == set(DROP)
    assert choices(TrainConfig.model_fields["data"].annotation, "name") == set(DATASETS)
    assert choices(NetworkConfig, "neuron") == {"lif", "lifbox"}


def test_configurations_and_pure_parts_do_not_import_torch():
    modules = "config, masks, pq, schedule, starts, stopping, data, folder"
    code = f"import sys; from toolchain.train import {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("kernel=4", "kernel = 4: must be odd"),
        ("hidden=[3]", "does not use it; remove it"),
        ("v_th=2.0", "model = 'my/file.py:build' brings its own neurons; set it there"),
    ],
)
def test_a_key_that_the_chosen_model_cannot_use_is_refused(digits, key, message):
    model = "conv" if key.startswith("kernel") else "my/file.py:build"
    with pytest.raises(ConfigError, match=message):
        read_config(digits, [f"network.model={model}", f"network.{key}"])


@pytest.mark.parametrize("model", [*KEYS, "a.py:build"])
def test_a_network_reads_back_what_it_writes(model):
    config = NetworkConfig(model=model)
    assert NetworkConfig.model_validate_json(config.model_dump_json()) == config


def test_a_file_of_ones_own_is_relative_to_the_configuration(digits):
    config = read_config(digits, ["network.model=my/file.py:build"])
    assert config.network.model == f"{digits.parent / 'my' / 'file.py'}:build"
