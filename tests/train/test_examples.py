"""The example configurations are read, and the digits are learned as promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.cli.train import grids_for
from toolchain.train.config import read_config
from toolchain.train.run import train

EXAMPLES = Path(__file__).parents[2] / "examples"


CONFIGURATIONS = sorted(set(EXAMPLES.glob("*.toml")) - {EXAMPLES / "contract.toml"})


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.stem)
def test_every_example_configuration_is_read(file):
    assert read_config(file).sparsity.density <= 0.3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "digits-esl"])
def test_digits_are_learned_sparse(name, tmp_path):
    summary = train(read_config(EXAMPLES / f"{name}.toml"), tmp_path / "run")
    assert summary.accuracy["test"] >= 0.96
    assert summary.density == pytest.approx(0.15, abs=1e-3)


@pytest.mark.slow
def test_digits_are_learned_on_the_integers_of_a_chip(tmp_path):
    config = read_config(EXAMPLES / "digits-exact.toml")
    summary = train(config, tmp_path / "run", quantizer=grids_for)
    assert summary.accuracy["test"] >= 0.95
    assert summary.exact["weight_bits"] == {"hidden1": 4, "output": 4}
