"""What a minimised case holds still fails, none of it can go, and the same comes out twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verify.chip import ARTIFACT, raster
from toolchain.artifact import Artifact, make_artifact, read_artifact
from toolchain.backends import quantized, reference
from toolchain.errors import BackendError, FileError, InputError
from toolchain.raster import Raster, read_raster
from toolchain.verify.case import place_of
from toolchain.verify.compare import compare
from toolchain.verify.folder import write_case
from toolchain.verify.minimise import Minimised, Run, minimise, minimise_recorded, reduced

RNG = np.random.default_rng(5)
STIMULUS = Raster(spikes={"input": RNG.random((4, 20, 8)) < 0.6}, labels=np.arange(4))


def right(artifact: Artifact, stimulus: Raster) -> Raster:
    return quantized.run(artifact, stimulus).raster


def on_cores(artifact: Artifact, stimulus: Raster) -> Raster:
    return reference.run(artifact, stimulus).raster


def changed(wrong: Callable[[dict[str, np.ndarray], Raster], None]) -> Run:
    """A backend whose rasters are altered as they are given back."""

    def run(artifact: Artifact, stimulus: Raster) -> Raster:
        spikes = {name: bits.copy() for name, bits in right(artifact, stimulus).spikes.items()}
        wrong(spikes, stimulus)
        return Raster(spikes=spikes, labels=stimulus.labels)

    return run


def lost_when_three_inputs_spike(spikes: dict[str, np.ndarray], stimulus: Raster) -> None:
    crowded = stimulus.spikes["input"].sum(axis=2) >= 3
    spikes.get("deep", np.zeros(0))[crowded] = False


def carried_over(spikes: dict[str, np.ndarray], stimulus: Raster) -> None:
    """Samples after the first one lose their first spikes."""
    for bits in spikes.values():
        bits[1:, :9] = False


def with_a_wrong_weight(population: str) -> Artifact:
    """The same artifact, but for one weight on one core; its network is untouched."""
    image = ARTIFACT.image
    index = [e.target for e in image.network.projections].index(population)
    at, core = next(
        (at, core) for at, core in enumerate(image.cores) if (core.axon_projection == index).any()
    )
    axon = int(np.flatnonzero(core.axon_projection == index)[0])
    weights = core.synapse_weight.copy()
    weights[core.axon_start[axon] : core.axon_start[axon + 1]] = 254
    cores = (*image.cores[:at], replace(core, synapse_weight=weights), *image.cores[at + 1 :])
    return make_artifact(ARTIFACT.profile, replace(image, cores=cores))


def without_routes(population: str) -> Artifact:
    """The same artifact, but for every route out of one core."""
    image = ARTIFACT.image
    at = next(
        i for i, c in enumerate(image.cores)
        if len(c.route_core) and c.blocks[0].population == population
    )  # fmt: skip
    gone = np.zeros(0, np.int64)
    silent = replace(image.cores[at], route_compartment=gone, route_core=gone, route_axon=gone)
    cores = (*image.cores[:at], silent, *image.cores[at + 1 :])
    return make_artifact(ARTIFACT.profile, replace(image, cores=cores))


FAULTS: dict[str, tuple[Artifact, Run]] = {
    "a backend that loses spikes": (ARTIFACT, changed(lost_when_three_inputs_spike)),
    "a weight of the first layer": (with_a_wrong_weight("wide"), on_cores),
    "a weight of the last layer": (with_a_wrong_weight("answer"), on_cores),
    "routes that are gone": (without_routes("wide"), on_cores),
    "state carried over": (ARTIFACT, changed(carried_over)),
}


@cache
def minimal(name: str, **given: int) -> Minimised:
    artifact, run = FAULTS[name]
    found = minimise(
        artifact, STIMULUS, against=("quantized", right), backend=("judged", run), **given
    )
    assert found is not None
    return found


@pytest.mark.parametrize("name", FAULTS)
def test_a_case_still_fails_when_it_is_read_back_and_is_small(name: str, tmp_path: Path) -> None:
    found = minimal(name)
    write_case(found, tmp_path / "case", recorded=False)

    artifact = read_artifact(tmp_path / "case" / "artifact")
    stimulus = read_raster(tmp_path / "case" / "stimulus.npz")
    rasters = right(artifact, stimulus), FAULTS[name][1](artifact, stimulus)
    again = compare(*rasters, artifact, against="quantized", backend="judged")
    assert again.mismatches > 0
    assert again == found.comparison
    for side, file in zip(rasters, ("expected.npz", "actual.npz"), strict=True):
        kept = read_raster(tmp_path / "case" / file).spikes
        assert all(np.array_equal(kept[p], bits) for p, bits in side.spikes.items())
    after = found.case.size
    assert found.complete
    assert after["samples"] <= 2
    assert after["neurons"] <= 3
    assert after["input_spikes"] < 15 < found.before["input_spikes"]


@pytest.mark.parametrize("name", ["a weight of the last layer", "routes that are gone"])
def test_a_fault_on_a_core_is_left_with_one_population(name: str) -> None:
    found = minimal(name)

    assert found.case.size["populations"] == 1
    assert found.case.size["cores"] == 1
    assert found.target[0] == {"a weight of the last layer": "answer"}.get(name, "deep")


def test_state_that_is_carried_over_needs_two_samples() -> None:
    assert minimal("state carried over").case.size["samples"] == 2


@pytest.mark.parametrize("name", FAULTS)
def test_no_spike_of_the_input_can_go(name: str) -> None:
    found = minimal(name)
    spikes = found.case.stimulus.spikes["input"]
    place = place_of(found.case, found.target)
    assert place is not None
    for where in map(tuple, np.argwhere(spikes)):
        fewer = spikes.copy()
        fewer[where] = False
        shown = Raster(spikes={"input": fewer})
        one, two = right(found.case.artifact, shown), FAULTS[name][1](found.case.artifact, shown)
        assert np.array_equal(*(side.spikes[place[0]][..., place[1]] for side in (one, two)))


def test_the_same_comes_out_twice(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        minimal.cache_clear()
        write_case(minimal("routes that are gone"), tmp_path / folder, recorded=False)

    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 10
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_few_runs_give_a_larger_case_that_fails_and_says_so() -> None:
    found = minimal("a weight of the first layer", most_runs=6)

    assert not found.complete
    assert found.comparison.mismatches > 0
    assert found.case.size["input_spikes"] > minimal("a weight of the first layer").case.size[
        "input_spikes"
    ]  # fmt: skip


def test_equal_sides_give_no_case() -> None:
    sides = {"against": ("quantized", right), "backend": ("reference", on_cores)}

    assert minimise(ARTIFACT, STIMULUS, **sides) is None


def test_a_side_that_varies_from_run_to_run_gives_no_case() -> None:
    calls = []

    def once(artifact: Artifact, stimulus: Raster) -> Raster:
        calls.append(1)
        wrong = changed(lost_when_three_inputs_spike)
        return (wrong if len(calls) == 1 else right)(artifact, stimulus)

    with pytest.raises(BackendError, match="differed from quantized once and not again"):
        minimise(ARTIFACT, STIMULUS, against=("quantized", right), backend=("flaky", once))


def test_a_recorded_raster_is_cut_to_a_sample_and_its_time() -> None:
    recorded = right(ARTIFACT, STIMULUS)
    recorded.spikes["answer"][2, 7, 3] ^= True
    recorded.spikes["deep"][3, 1, 0] ^= True
    side = ("quantized", right)

    found = minimise_recorded(ARTIFACT, STIMULUS, recorded, against=side, backend="board")
    assert found is not None
    assert found.target == ("answer", 3)
    assert found.case.samples == (2,)
    assert found.case.size["timesteps"] == 8
    assert found.case.artifact is ARTIFACT
    assert found.comparison.mismatches == 1


def test_what_cannot_be_compared_gives_no_case() -> None:
    side = ("quantized", right)
    silent = Raster(spikes={"input": np.zeros((2, 5, 8), bool)})
    with pytest.raises(InputError, match=r"no neuron spiked in quantized or board"):
        minimise_recorded(ARTIFACT, silent, raster(2, 5), against=side, backend="board")
    with pytest.raises(InputError, match=r"different shapes, \(4, 20, 20\) and \(4, 19, 20\)"):
        minimise_recorded(ARTIFACT, STIMULUS, raster(4, 19), against=side, backend="board")
    empty = Raster(spikes={"input": np.zeros((0, 5, 8), bool)})
    with pytest.raises(InputError, match="the stimulus is empty"):
        minimise(ARTIFACT, empty, against=side, backend=("reference", on_cores))


def test_a_case_never_replaces_what_is_none(tmp_path: Path) -> None:
    found = minimal("routes that are gone")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")

    with pytest.raises(FileError, match="is there already and is no case"):
        write_case(found, tmp_path / "mine", recorded=False)
    write_case(found, tmp_path / "case", recorded=False)
    write_case(found, tmp_path / "case", recorded=False)
    assert json.loads((tmp_path / "case" / "case.json").read_text())["complete"] is True


@given(needed=st.sets(st.integers(0, 40)), count=st.integers(0, 41))
@settings(max_examples=80)
def test_reduced_finds_what_is_needed_and_nothing_else(needed: set[int], count: int) -> None:
    wanted = {item for item in needed if item < count}
    tries = []

    def fails(some: list[int]) -> bool:
        tries.append(some)
        return wanted <= set(some)

    assert reduced(range(count), fails) == sorted(wanted)
    assert all(some == sorted(some) for some in tries)
