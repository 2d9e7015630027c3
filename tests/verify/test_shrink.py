"""A cut artifact computes what its cut network does, and an isolated population what it did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.strategies import Case, cases, first_difference, neurons, place, seeds, synapses
from toolchain.artifact import Artifact, read_artifact, write_artifact
from toolchain.backends import quantized, reference
from toolchain.errors import SnnDeployError
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork, QuantizedPopulation
from toolchain.raster import Raster, Recording
from toolchain.verify.shrink import cut, isolate, sources

LOIHI = find_profile("loihi1")


def sizes(artifact: Artifact) -> dict[str, int]:
    network = artifact.network
    return {network.input.name: network.input.size} | {p.name: p.size for p in network.populations}


@given(case=cases(most_samples=2, most_timesteps=6, largest=10), seed=seeds())
@settings(max_examples=15)
def test_cut_cores_compute_what_the_cut_network_does(case: Case, seed: int) -> None:
    artifact = place(case.network, LOIHI)
    rng = np.random.default_rng(seed)
    keep = {name: np.flatnonzero(rng.random(n) < 0.7) for name, n in sizes(artifact).items()}
    try:
        small = cut(artifact, keep)
    except SnnDeployError:  # no input, or no way from it
        return
    shown = Raster(spikes={"input": case.stimulus.spikes["input"][:, :, keep["input"]]})

    one = quantized.run(small, shown, states=True)
    assert first_difference(one, reference.run(small, shown, states=True)) == ""
    assert small.network.synapses == sum(len(core.synapse_weight) for core in small.cores)


@given(case=cases(most_samples=2, most_timesteps=6, largest=10), at=st.integers(0, 3))
@settings(max_examples=15)
def test_a_population_alone_spikes_as_it_did_among_the_others(case: Case, at: int) -> None:
    artifact = place(case.network, LOIHI)
    network = artifact.network
    name = network.populations[at % len(network.populations)].name
    before = quantized.run(artifact, case.stimulus, states=True)
    spikes = {**before.raster.spikes, "input": case.stimulus.spikes["input"]}
    fed = np.concatenate([spikes[source] for source in sources(network, name)], axis=2)

    after = reference.run(isolate(artifact, name), Raster(spikes={"input": fed}), states=True)
    assert before.u is not None
    assert before.v is not None
    wanted = Recording(
        raster=Raster(spikes={name: before.raster.spikes[name]}),
        u={name: before.u[name]},
        v={name: before.v[name]},
    )
    assert first_difference(wanted, after) == ""


@given(case=cases(most_samples=1, most_timesteps=3))
@settings(max_examples=5)
def test_what_is_cut_is_an_artifact_that_can_be_read_back(
    case: Case, tmp_path_factory: pytest.TempPathFactory
) -> None:
    artifact = place(case.network, LOIHI)
    folder = tmp_path_factory.mktemp("cut") / "art"
    for small in (
        cut(artifact, {name: np.arange(n) for name, n in sizes(artifact).items()}),
        isolate(artifact, artifact.network.output),
    ):
        write_artifact(small, folder)

        assert read_artifact(folder).fingerprint == small.fingerprint


def skipping() -> QuantizedNetwork:
    """A skip that comes two local timesteps late, a loop, and numbers that no two neurons share."""
    rng = np.random.default_rng(2)

    def some(target: int, source: int) -> csr_array:
        return csr_array(rng.integers(-40, 60, (target, source)) * 2)

    def own(name: str, size: int) -> QuantizedPopulation:
        given = {"threshold": rng.integers(50, 300, size), "decay_u": 900, "decay_v": 300}
        return neurons(name, size, bias_mantissa=rng.integers(0, 900, size), **given)

    return QuantizedNetwork(
        input=Input(name="input", size=6),
        populations=(own("deep", 7), own("wide", 9)),
        projections=(
            synapses("input", "wide", some(9, 6)),
            synapses("wide", "deep", some(7, 9)),
            synapses("input", "deep", some(7, 6), delay=4),
            synapses("deep", "deep", some(7, 7), delay=2),
        ),
        output="deep",
    )


STIMULUS = Raster(spikes={"input": np.random.default_rng(3).random((2, 25, 6)) < 0.3})


def test_a_skip_and_a_loop_keep_their_lags_when_their_population_is_alone() -> None:
    artifact = place(skipping(), LOIHI)
    before = quantized.run(artifact, STIMULUS, states=True)
    spikes = {**before.raster.spikes, **STIMULUS.spikes}
    fed = np.concatenate([spikes[name] for name in ("wide", "input")], axis=2)

    after = reference.run(isolate(artifact, "deep"), Raster(spikes={"input": fed}), states=True)
    assert before.u is not None
    assert before.v is not None
    assert after.raster.spikes["deep"].any()
    wanted = Raster(spikes={"deep": before.raster.spikes["deep"]})
    states = {"u": {"deep": before.u["deep"]}, "v": {"deep": before.v["deep"]}}
    assert first_difference(Recording(raster=wanted, **states), after) == ""


def test_neurons_that_stay_keep_their_own_numbers() -> None:
    """Of a layer that sends to nobody else: the states of those that stay are what they were."""
    looping = skipping()
    network = replace(looping, projections=looping.projections[:3])
    artifact, kept = place(network, LOIHI), np.array([1, 4, 5])
    before = quantized.run(artifact, STIMULUS, states=True)

    small = cut(artifact, {"input": np.arange(6), "wide": np.arange(9), "deep": kept})
    after = reference.run(small, STIMULUS, states=True)
    assert before.u is not None
    assert before.v is not None
    assert after.u is not None
    assert after.v is not None
    assert np.array_equal(after.raster.spikes["deep"], before.raster.spikes["deep"][..., kept])
    assert np.array_equal(after.u["deep"], before.u["deep"][..., kept])
    assert np.array_equal(after.v["deep"], before.v["deep"][..., kept])
