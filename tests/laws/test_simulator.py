"""The simulator by every way, on any number of threads, in pieces of any size: the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.examples import examples
from tests.strategies import Case, cases, cramped, first_difference, neurons, place, synapses
from toolchain.artifact import Artifact
from toolchain.backends import get_backend, memory, simulator, simulator_program, simulator_ways
from toolchain.errors import InputError
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork
from toolchain.raster import Raster, Recording

CRAMPED = cramped(find_profile("tiny"))
IN_PROCESS = ("quantized", "reference", "simulator")
WAYS = tuple(simulator_ways.WAYS)


def by(way: str, artifact: Artifact, stimulus: Raster) -> Recording:
    """Run with the one way of delivering spikes that the environment asks for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(simulator.WAY_VARIABLE, way)
        return simulator.run(artifact, stimulus, states=True)


def expected(artifact: Artifact, stimulus: Raster) -> Recording:
    return get_backend("quantized").run(artifact, stimulus, states=True)


@st.composite
def late_cases(draw: st.DrawFn) -> Case:
    """Cases whose delays reach those of any chip: 63 timesteps."""
    case = draw(cases(most_timesteps=8))
    delays = st.sampled_from([1, 2, 7, 63]) | st.integers(1, 63)
    edges = [replace(edge, delay=draw(delays)) for edge in case.network.projections]
    longer = np.tile(case.stimulus.spikes["input"], (1, 9, 1))
    return Case(
        network=replace(case.network, projections=tuple(edges)),
        stimulus=Raster(spikes={"input": longer}),
    )


@pytest.mark.parametrize("way", WAYS)
@examples(20)
@given(case=cases())
def test_every_way_computes_what_the_quantized_network_does(way: str, case: Case) -> None:
    artifact = place(case.network, CRAMPED)

    found = by(way, artifact, case.stimulus)

    assert first_difference(found, expected(artifact, case.stimulus)) == ""


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=6)
@given(case=late_cases())
def test_no_delay_is_too_long(way: str, case: Case) -> None:
    artifact = place(case.network, CRAMPED)

    found = by(way, artifact, case.stimulus)

    assert first_difference(found, expected(artifact, case.stimulus)) == ""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.slow
@settings(max_examples=600)
@given(case=cases(largest=32, most_timesteps=40) | late_cases())
def test_every_way_agrees_on_many_more_and_longer_runs(way: str, case: Case) -> None:
    artifact = place(case.network, CRAMPED)

    found = by(way, artifact, case.stimulus)

    assert first_difference(found, expected(artifact, case.stimulus)) == ""


def full(sources: int, weight: int, *, exponent: int = 0, delay: int = 1) -> Artifact:
    """Everything spikes onto 130 neurons, more than one block of targets, which lose little."""
    weights = csr_array(np.full((130, sources), weight))
    network = QuantizedNetwork(
        input=Input(name="input", size=sources),
        populations=(neurons("a", 130, decay_u=0, decay_v=4096, threshold=2**17 - 1),),
        projections=(synapses("input", "a", weights, exponent=exponent, delay=delay),),
        output="a",
    )
    return place(network, find_profile("loihi1"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("sources", "weight", "exponent"),
    [(511, -256, 0), (515, 254, 0), (3, -256, 7), (4, 254, 7), (255, -256, 1)],
)
def test_what_arrives_may_be_as_large_as_the_simulator_allows(
    way: str, sources: int, weight: int, exponent: int
) -> None:
    """More rows than 16 bits hold are added in parts, and u wraps at every timestep."""
    artifact = full(sources, weight, exponent=exponent)
    stimulus = Raster(spikes={"input": np.ones((2, 9, sources), bool)})

    found = by(way, artifact, stimulus)

    assert first_difference(found, expected(artifact, stimulus)) == ""


def test_weights_that_could_sum_to_more_are_refused() -> None:
    stimulus = Raster(spikes={"input": np.zeros((1, 1, 512), bool)})

    with pytest.raises(
        InputError,
        match=r"population 'a': up to 131,072 can arrive .* holds 131,071, over by 1; map .* again",
    ):
        simulator.run(full(512, -256), stimulus)


@examples(12)
@given(case=cases(most_samples=7), threads=st.integers(1, 5), at_once=st.integers(1, 4))
def test_neither_threads_nor_pieces_change_a_bit(case: Case, threads: int, at_once: int) -> None:
    artifact = place(case.network, CRAMPED)
    whole = simulator.run(artifact, case.stimulus, states=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(simulator.THREADS_VARIABLE, str(threads))
        patch.setattr(simulator, "_MOST_AT_ONCE", at_once)
        assert first_difference(simulator.run(artifact, case.stimulus, states=True), whole) == ""
        parts = list(
            simulator.recordings(artifact, case.stimulus, states=True, samples_at_once=at_once)
        )

    assert [part.raster.samples for part in parts[:-1]] == [at_once] * (len(parts) - 1)
    assert first_difference(joined(parts), whole) == ""


def joined(parts: list[Recording]) -> Recording:
    def join(arrays: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([array[name] for array in arrays]) for name in arrays[0]}

    return Recording(
        raster=Raster(spikes=join([dict(part.raster.spikes) for part in parts])),
        u=join([dict(part.u or {}) for part in parts]),
        v=join([dict(part.v or {}) for part in parts]),
    )


@examples(15)
@given(case=cases(most_samples=7))
def test_counts_are_the_sums_of_the_raster(case: Case) -> None:
    artifact = place(case.network, CRAMPED)
    recorded = simulator.run(artifact, case.stimulus).raster

    found = simulator.spike_counts(artifact, case.stimulus)

    every = {"input": case.stimulus.spikes["input"]} | dict(recorded.spikes)
    assert (found.samples, found.timesteps) == (recorded.samples, recorded.timesteps)
    assert set(found.counts) == set(every)
    for name, spikes in every.items():
        np.testing.assert_array_equal(found.counts[name], spikes.sum(axis=(0, 1)))


@pytest.mark.parametrize("backend", IN_PROCESS)
@examples(10)
@given(case=cases(), data=st.data())
def test_a_trace_of_some_populations_is_that_part_of_the_whole(
    backend: str, case: Case, data: st.DataObject
) -> None:
    artifact = place(case.network, CRAMPED)
    names = [population.name for population in case.network.populations]
    chosen = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    whole = expected(artifact, case.stimulus)

    found = get_backend(backend).run(artifact, case.stimulus, states=chosen)

    for traces, of in ((found.u, whole.u), (found.v, whole.v)):
        assert traces is not None
        assert of is not None
        assert set(traces) == set(chosen)
        for name in chosen:
            np.testing.assert_array_equal(traces[name], of[name])


@pytest.mark.parametrize("backend", IN_PROCESS)
def test_a_trace_of_an_unknown_population_is_refused(backend: str) -> None:
    stimulus = Raster(spikes={"input": np.zeros((1, 1, 2), bool)})

    with pytest.raises(InputError, match=r"no population 'aa' to record; did you mean 'a'\?"):
        get_backend(backend).run(full(2, 2), stimulus, states=["aa"])


@pytest.mark.parametrize("backend", IN_PROCESS)
def test_a_trace_larger_than_memory_is_refused_before_it_starts(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**20)
    stimulus = Raster(spikes={"input": np.zeros((300, 10, 2), bool)})
    assert get_backend(backend).run(full(2, 2), stimulus).u is None

    with pytest.raises(
        InputError, match=r"need .* MiB of memory, there are 1.0 MiB, over by .*; run fewer samples"
    ):
        get_backend(backend).run(full(2, 2), stimulus, states=["a"])


def test_without_numba_the_same_bits_come_from_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = full(300, -256)
    stimulus = Raster(spikes={"input": np.random.default_rng(0).random((3, 8, 300)) < 0.5})
    compiled = simulator.run(artifact, stimulus, states=True)
    assert simulator.remark() is None
    monkeypatch.setattr(simulator_ways, "compiled", lambda: None)

    assert first_difference(simulator.run(artifact, stimulus, states=True), compiled) == ""
    assert "numba is missing" in (simulator.remark() or "")
    monkeypatch.setenv(simulator.WAY_VARIABLE, "rows")
    with pytest.raises(InputError, match=r"SNN_DEPLOY_SIMULATOR=rows needs numba: python -m pip"):
        simulator.run(artifact, stimulus)


@pytest.mark.parametrize(
    ("variable", "value", "match"),
    [
        ("SNN_DEPLOY_SIMULATOR", "row", r"no way 'row'; did you mean 'rows'\?"),
        ("SNN_DEPLOY_THREADS", "0", r"must be a number of threads, is '0'"),
        ("SNN_DEPLOY_THREADS", "two", r"must be a number of threads, is 'two'"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(
    variable: str, value: str, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    stimulus = Raster(spikes={"input": np.zeros((40, 1, 2), bool)})

    with pytest.raises(InputError, match=match):
        simulator.run(full(2, 2), stimulus)


def test_the_rule_takes_every_way_somewhere() -> None:
    edges = {
        density: simulator_program.compile_program(sparse(density)).stages[0].incoming[0]
        for density in (0.005, 0.5)
    }
    steps = 100

    def taken(density: float, rate: float, *, matrix: bool = True) -> str:
        events = int(rate * steps * edges[density].sources)
        return simulator_ways.choose(edges[density], events, steps, matrix=matrix)[0]

    assert taken(0.005, 0.01) == "lists"
    assert taken(0.5, 0.05) == "rows"
    assert taken(0.5, 0.9) == "matrix"
    assert taken(0.5, 0.9, matrix=False) == "rows"


def sparse(density: float) -> Artifact:
    rng = np.random.default_rng(0)
    weights = csr_array((rng.random((900, 500)) < density) * 2)
    network = QuantizedNetwork(
        input=Input(name="input", size=500),
        populations=(neurons("a", 900),),
        projections=(synapses("input", "a", weights),),
        output="a",
    )
    return place(network, find_profile("loihi1"))


def test_torch_is_imported_only_where_it_saves_more_than_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(simulator_ways, "torch_is_imported", lambda: False)
    monkeypatch.setattr(simulator_ways, "matrix_unit", lambda: asked.append("") or "not here")
    artifact, spikes = sparse(0.5), np.ones((20, 4, 500), bool)

    simulator.run(artifact, Raster(spikes={"input": spikes}))
    assert asked == []

    monkeypatch.setattr(simulator, "_IMPORT_NS", 1.0)
    simulator.run(artifact, Raster(spikes={"input": spikes}))
    assert asked == [""]


def test_a_matrix_unit_that_saturates_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    simulator_ways.matrix_unit.cache_clear()
    exact = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: exact(a, b).clamp(-(2**14), 2**14))

    assert "is not exact on this processor" in (simulator_ways.matrix_unit() or "")

    simulator_ways.matrix_unit.cache_clear()
    monkeypatch.undo()
    assert simulator_ways.matrix_unit() is None


def test_only_populations_in_a_loop_share_a_stage() -> None:
    names = ("far", "b", "a", "near", "self")
    edges = [
        ("input", "near"),
        ("near", "a"),
        ("a", "b"),
        ("b", "a"),
        ("b", "far"),
        ("near", "far"),
    ]
    one = csr_array(np.full((1, 1), 2))
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=tuple(neurons(name, 1) for name in names),
        projections=tuple(
            synapses(*edge, one) for edge in [*edges, ("input", "self"), ("self", "self")]
        ),
        output="far",
    )

    stages = [[p.name for p in group] for group in simulator_program.stages_of(network)]

    assert sorted(map(sorted, stages)) == [["a", "b"], ["far"], ["near"], ["self"]]
    assert stages.index(["near"]) < stages.index(["a", "b"]) < stages.index(["far"])


def test_the_memory_at_hand_is_known_or_said_to_be_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:   700 kB\n")
    monkeypatch.setattr(memory, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert memory.available_bytes() == 700 * 1024

    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() == 700 * 1024

    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory.available_bytes() == 4000

    monkeypatch.setattr(memory, "_MEMORY", tmp_path / "none")
    assert memory.available_bytes() is None
