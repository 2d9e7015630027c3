"""The page on the speed of training is written from its results, and both networks are one."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from toolchain.train.forward import forward

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    file = ROOT / "benchmarks" / "training_speed.py"
    spec = importlib.util.spec_from_file_location("training_speed", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["training_speed"] = module  # where dataclasses look for annotations
    spec.loader.exec_module(module)
    return module


def test_the_page_is_written_from_its_results(benchmark: ModuleType) -> None:
    results = json.loads(benchmark.RESULTS.read_text())

    assert benchmark.PAGE.read_text() == benchmark.document(results)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_what_is_compared_is_one_network(benchmark: ModuleType, network: str) -> None:
    case = benchmark.Case(network=network, steps=6, width=70)
    model = benchmark.network(case, 0, strength=4.0, grid=True)
    chosen = np.random.default_rng(0).random((6, 3, 1, 28, 28)) < 0.15
    spikes = torch.from_numpy(chosen).float()

    ours = forward(model, spikes)
    theirs = benchmark.Plain(model)(spikes)

    assert all(0 < raster.mean() < 1 for raster in list(ours.values())[:-1])
    assert torch.equal(ours["output"], theirs)
