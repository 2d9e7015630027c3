"""The page on the simulator is written from its results, and what is compared is one network."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from toolchain.backends import simulator

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("simulator")


def test_the_page_is_written_from_its_results(benchmark: ModuleType) -> None:
    results = json.loads(benchmark.RESULTS.read_text())

    assert benchmark.PAGE.read_text() == benchmark.simulator_page.document(results)


def test_norse_runs_the_network_that_the_simulator_runs(benchmark: ModuleType) -> None:
    pytest.importorskip("norse")
    small = {"sizes": (60, 50, 10), "samples": 3, "steps": 12}
    case = replace(benchmark.BASE, **small, density=0.5, rate=0.3, threshold=0.1)
    artifact, shown = benchmark.artifact_of(case), benchmark.stimulus_of(case)

    ours = simulator.run(artifact, shown).raster.spikes["layer2"]
    theirs = benchmark.norse_network(artifact)(shown.spikes["input"]).numpy() > 0

    assert 0 < ours.mean() < 1
    assert np.mean(ours == theirs.swapaxes(0, 1)) > 0.97  # real numbers against integers


def test_operations_are_spikes_times_synapses(benchmark: ModuleType) -> None:
    case = replace(benchmark.BASE, sizes=(20, 30, 10), density=0.5, samples=2, steps=5)
    artifact, shown = benchmark.artifact_of(case), benchmark.stimulus_of(case)
    spikes = {"input": shown.spikes["input"]} | dict(simulator.run(artifact, shown).raster.spikes)

    expected = 0
    for edge in artifact.network.projections:
        exists = edge.weights.copy()
        exists.data[:] = 1
        rows = spikes[edge.source].reshape(-1, exists.shape[1]).astype(int)
        expected += int((rows @ exists.T).sum())

    counts = simulator.spike_counts(artifact, shown)
    assert benchmark.operations(artifact, counts) == expected > 0
