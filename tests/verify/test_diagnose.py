"""A diagnosis names what was planted, or says that it does not know."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings

from tests.strategies import Case, cases
from toolchain.backends.quantized import run_network
from toolchain.errors import InputError
from toolchain.raster import Raster
from toolchain.verify.causes import CAUSES
from toolchain.verify.diagnose import SUSPECTS
from toolchain.verify.forced import Record, arriving, contradictions, follow, plain_rule
from toolchain.verify.verdict import judge

ROOT = Path(__file__).parents[2]
QUICK = {  # fault -> the network that it is planted in; the others are slow tests
    "a synapse is lost": "layers",
    "a weight has the wrong sign": "layers",
    "a route between two cores is lost": "layers",
    "a delay is 1 too long": "layers",
    "the input is inverted": "layers",
    "decay_u is 1 too low": "fine",
    "a threshold is reached, not passed": "even",
    "v is reset by subtraction": "layers",
    "samples are not reset": "layers",
}
SIDES = ("states", "spikes")


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("planted_faults")


@pytest.mark.parametrize(("fault", "shape"), QUICK.items())
def test_a_planted_fault_is_found_and_named(fault: str, shape: str, planted: ModuleType) -> None:
    verdict = planted.judged(fault, shape, 0, states=True)

    assert not verdict.equal
    assert verdict.diagnosis.cause == planted.PLANTS[fault].cause
    found = verdict.diagnosis.findings[0]
    assert found.explained == found.of > 0
    assert verdict.diagnosis.first.expected.spike is not verdict.diagnosis.first.actual.spike


@pytest.mark.slow
def test_every_planted_fault_is_found_and_named(planted: ModuleType) -> None:
    wrong = {}
    for name, plant in planted.PLANTS.items():
        verdict = planted.judged(name, plant.shapes[0], 5, states=True)
        assert verdict is None or not verdict.equal
        if verdict is not None and verdict.diagnosis.cause != plant.cause:
            wrong[name] = verdict.diagnosis.cause
    assert len(wrong) <= len(planted.PLANTS) // 10, wrong


def test_the_table_of_planted_faults_is_written_from_its_results(planted: ModuleType) -> None:
    results = json.loads(planted.RESULTS.read_text())
    page = planted.PAGE.read_text()

    assert page == planted.document(page, results)
    assert all(f"\n| {cause} | " in page for cause in CAUSES)
    rows = results["rows"]
    assert [row["fault"] for row in rows] == list(planted.PLANTS)
    assert {row["cause"] for row in rows} == set(CAUSES) - {"unknown"}
    assert all(row[side]["found"] == row[side]["planted"] for row in rows for side in SIDES)
    assert all(row["states"]["planted"] > 0 for row in rows)
    assert sum(row["states"]["right"] == row["states"]["planted"] for row in rows) >= 12


def test_what_nothing_explains_is_unknown(planted: ModuleType) -> None:
    """Spikes turned over by chance in every sample: no cause may be claimed."""
    artifact, stimulus, right = planted.placed("layers", 0)
    rng = np.random.default_rng(1)
    spikes = dict(right.spikes)
    spikes["second"] = spikes["second"] ^ (rng.random(spikes["second"].shape) < 0.1)
    # what follows did receive them, so that their recording is no excuse
    forged = Record(network=artifact.network, spikes=spikes | dict(stimulus.spikes))
    case = forged.case("answer", slice(0, forged.samples))
    spikes["answer"] = follow(case.rule, arriving(case.arrivals), None).spikes

    verdict = judge(
        artifact, {"quantized": right, "chip": replace(right, spikes=spikes)}, stimulus=stimulus
    )

    assert verdict.diagnosis is not None
    found = verdict.diagnosis.findings[0]
    assert (found.cause, found.explained, found.certain) == ("unknown", 0, False)
    assert found.tried > len(SUSPECTS)
    assert "suspicions explains all" in found.evidence
    words = {layer.population: layer.word for layer in verdict.diagnosis.layers}
    assert words == {"first": "right", "second": "wrong layer", "answer": "wrong input"}


def test_few_spikes_fit_several_causes_and_none_is_claimed(planted: ModuleType) -> None:
    verdict = planted.judged("a bit of a weight is turned over", "layers", 0, states=False)

    found = verdict.diagnosis.findings[0]
    assert not found.certain
    assert any(other.startswith("altered weight:") for other in (found.cause + ":", *found.others))
    assert verdict.diagnosis.first.actual.note == "only spikes are known of it"


@given(case=cases(largest=10, most_samples=3))
@settings(max_examples=15)
def test_what_runs_as_the_network_says_is_never_wrong_by_itself(case: Case) -> None:
    """Delays, loops, skips, wraps and saturation: teacher forcing agrees with the definition."""
    found = run_network(case.network, case.stimulus, states=True)
    record = Record(
        network=case.network, spikes=dict(found.raster.spikes) | dict(case.stimulus.spikes)
    )
    assert found.u is not None
    assert found.v is not None
    for population in case.network.populations:
        assert not record.wrong(population.name).any()
        whole = record.case(population.name, slice(0, record.samples))
        states = replace(whole, u=found.u[population.name], v=found.v[population.name])
        rule = plain_rule(population)
        assert not contradictions(states, rule, whole.arrivals).any()


def test_an_equal_chain_costs_no_diagnosis(
    planted: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, stimulus, right = planted.placed("layers", 0)
    monkeypatch.setattr("toolchain.verify.verdict.diagnose", None)

    verdict = judge(artifact, {"quantized": right, "reference": right}, stimulus=stimulus)

    assert verdict.equal
    assert verdict.to_json()["diagnosis"] is None
    assert verdict.to_json()["chain"][0]["mismatches_per_timestep"] == {}


def test_rasters_of_another_time_base_are_refused_by_what_differs(planted: ModuleType) -> None:
    artifact, _, right = planted.placed("layers", 0)
    shorter = Raster(spikes={name: array[:, 1:] for name, array in right.spikes.items()})

    with pytest.raises(InputError, match="their timesteps differ, so they come from different"):
        judge(artifact, {"quantized": right, "board": shorter})
