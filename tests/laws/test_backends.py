"""One artifact, one stimulus: every backend gives the same spikes, u and v, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.sparse import csr_array

from tests.examples import examples
from tests.strategies import (
    Case,
    cases,
    cramped,
    first_difference,
    neurons,
    place,
    place_if_it_fits,
    rows,
    synapses,
)
from toolchain import arithmetic
from toolchain.artifact import Artifact
from toolchain.backends import get_backend
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork
from toolchain.raster import Raster, Recording

TINY = find_profile("tiny")
CRAMPED = cramped(TINY)
IN_PROCESS = ("quantized", "reference", "simulator")


def run(backend: str, artifact: Artifact, stimulus: Raster) -> Recording:
    return get_backend(backend).run(artifact, stimulus, states=True)


@examples(60)
@given(case=cases())
def test_the_packed_cores_compute_what_the_quantized_network_does(case: Case) -> None:
    artifact = place(case.network, CRAMPED)
    expected = run("quantized", artifact, case.stimulus)

    assert first_difference(run("reference", artifact, case.stimulus), expected) == ""


@examples(60)
@given(case=cases())
def test_the_simulator_computes_what_the_quantized_network_does(case: Case) -> None:
    artifact = place(case.network, CRAMPED)
    expected = run("quantized", artifact, case.stimulus)

    assert first_difference(run("simulator", artifact, case.stimulus), expected) == ""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["reference", "simulator"])
@settings(max_examples=1500)
@given(case=cases(largest=32, most_timesteps=40))
def test_backends_agree_on_many_more_and_longer_runs(backend: str, case: Case) -> None:
    artifact = place_if_it_fits(case.network, CRAMPED)
    expected = run("quantized", artifact, case.stimulus)

    assert first_difference(run(backend, artifact, case.stimulus), expected) == ""


@pytest.mark.parametrize("backend", IN_PROCESS)
@examples(25)
@given(case=cases(most_samples=3))
def test_a_sample_alone_runs_as_it_does_after_others(backend: str, case: Case) -> None:
    artifact = place(case.network, TINY)
    together = run(backend, artifact, case.stimulus)

    for sample in range(case.stimulus.samples):
        alone = run(backend, artifact, case.stimulus.between(sample, sample + 1))
        assert first_difference(alone, only(together, sample)) == ""


def only(recording: Recording, sample: int) -> Recording:
    here = slice(sample, sample + 1)
    assert recording.u is not None
    assert recording.v is not None
    return Recording(
        raster=recording.raster.between(sample, sample + 1),
        u={name: array[here] for name, array in recording.u.items()},
        v={name: array[here] for name, array in recording.v.items()},
    )


@pytest.mark.parametrize("backend", IN_PROCESS)
@examples(15)
@given(case=cases())
def test_the_same_run_twice_gives_the_same_recording(backend: str, case: Case) -> None:
    artifact = place(case.network, TINY)
    once = run(backend, artifact, case.stimulus)

    assert first_difference(run(backend, artifact, case.stimulus), once) == ""


@pytest.mark.parametrize("backend", IN_PROCESS)
@examples(15)
@given(case=cases())
def test_recording_states_changes_no_spike(backend: str, case: Case) -> None:
    artifact = place(case.network, TINY)
    without = get_backend(backend).run(artifact, case.stimulus)
    with_states = run(backend, artifact, case.stimulus)

    assert without.u is None
    assert without.v is None
    for name, spikes in with_states.raster.spikes.items():
        np.testing.assert_array_equal(without.raster.spikes[name], spikes)


@pytest.mark.parametrize("packer", ["akin", "sequential"])
@examples(20)
@given(case=cases())
def test_where_neurons_are_placed_changes_no_spike(packer: str, case: Case) -> None:
    packed = place(case.network, CRAMPED, packer=packer)
    roomy = place(case.network, find_profile("loihi1"))

    one = run("reference", packed, case.stimulus)
    assert first_difference(one, run("reference", roomy, case.stimulus)) == ""


@pytest.mark.parametrize("backend", IN_PROCESS)
def test_labels_pass_through_a_run(backend: str) -> None:
    stimulus = Raster(spikes={"input": np.ones((2, 3, 1), bool)}, labels=np.array([4, 2]))

    recording = get_backend(backend).run(relay(), stimulus)

    assert recording.raster.labels is not None
    assert recording.raster.labels.tolist() == [4, 2]


@pytest.mark.parametrize("backend", IN_PROCESS)
def test_every_run_is_watched_until_it_is_done(backend: str) -> None:
    seen: list[tuple[str, int, int]] = []
    stimulus = Raster(spikes={"input": np.ones((3, 4, 1), bool)})

    get_backend(backend).run(relay(), stimulus, watch=lambda *step: seen.append(step))

    assert seen[0][1] == 0
    assert seen[-1][1] == seen[-1][2] > 0


def relay() -> Artifact:
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 1),),
        projections=(synapses("input", "a", rows([[50]])),),
        output="a",
    )
    return place(network, TINY)


def hand_made() -> QuantizedNetwork:
    """Two neurons, one loop, one bias: every number below was computed with pen and paper."""
    return QuantizedNetwork(
        input=Input(name="input", size=2),
        populations=(
            neurons(
                "a",
                2,
                decay_u=2047,  # half of u is lost
                decay_v=1024,  # a quarter of v is lost
                threshold=10,  # 640
                bias_mantissa=np.array([0, -3]),
                bias_exponent=1,
            ),
        ),
        projections=(
            synapses("input", "a", rows([[10, 0], [0, 6]])),
            synapses("a", "a", rows([[0, 0], [4, 0]]), delay=2, exponent=1),
        ),
        output="a",
    )


# t            0     1     2     3     4
STIMULUS = [[1, 0], [1, 0], [0, 0], [0, 1], [0, 0]]
# neuron 0: u0 = 640; v = 640, not above 640. u1 = 320 + 640 = 960; v = 480 + 960 = 1440 spikes.
# u2 = 480; v = 480. u3 = 240; v = 360 + 240 = 600. u4 = 120; v = 450 + 120 = 570.
U_0 = [640, 960, 480, 240, 120]
V_0 = [640, 0, 480, 600, 570]
S_0 = [0, 1, 0, 0, 0]
# neuron 1: bias -6. v0 = -6; v1 = -(6 * 3072 >> 12) - 6 = -4 - 6 = -10; v2 = -7 - 6 = -13.
# t = 3: (4 << 1) from neuron 0 and 6 from the input: u = 14 * 64 = 896; v = -9 + 896 - 6 = 881
# spikes. u4 = 448; v = 448 - 6 = 442.
U_1 = [0, 0, 0, 896, 448]
V_1 = [-6, -10, -13, 0, 442]
S_1 = [0, 0, 0, 1, 0]


@pytest.mark.parametrize("backend", IN_PROCESS)
def test_a_network_computed_by_hand_runs_as_computed(backend: str) -> None:
    stimulus = Raster(spikes={"input": np.array([STIMULUS], bool)})

    recording = run(backend, place(hand_made(), TINY), stimulus)

    assert recording.u is not None
    assert recording.v is not None
    assert recording.u["a"][0].T.tolist() == [U_0, U_1]
    assert recording.v["a"][0].T.tolist() == [V_0, V_1]
    assert recording.raster.spikes["a"][0].T.astype(int).tolist() == [S_0, S_1]


@pytest.mark.parametrize("backend", IN_PROCESS)
def test_a_current_loses_a_share_of_one_in_4096_at_register_zero(backend: str) -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=2),
        populations=(neurons("a", 2, decay_u=0, threshold=2**17 - 1),),
        projections=(synapses("input", "a", rows([[100, 0], [0, -100]])),),
        output="a",
    )
    once = np.zeros((1, 3, 2), bool)
    once[0, 0] = True

    recording = run(backend, place(network, TINY), Raster(spikes={"input": once}))

    assert recording.u is not None
    assert recording.u["a"][0].tolist() == [[6400, -6400], [6398, -6398], [6396, -6396]]


@pytest.mark.parametrize("backend", IN_PROCESS)
@pytest.mark.parametrize(("threshold", "spikes"), [(49, True), (50, False)])
def test_a_neuron_at_its_threshold_is_silent(backend: str, threshold: int, spikes: bool) -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 1, threshold=threshold),),
        projections=(synapses("input", "a", rows([[50]])),),
        output="a",
    )

    recording = run(
        backend, place(network, TINY), Raster(spikes={"input": np.ones((1, 1, 1), bool)})
    )

    assert recording.raster.spikes["a"].tolist() == [[[spikes]]]
    assert recording.v is not None
    assert recording.v["a"].item() == (0 if spikes else 50 << 6)


@pytest.mark.parametrize("backend", IN_PROCESS)
@pytest.mark.parametrize("sign", [1, -1])
def test_u_wraps_and_v_saturates_in_a_run(backend: str, sign: int) -> None:
    """64 inputs of 254 << 1 (or -256 << 1): |u| passes 2^23 in the fifth timestep."""
    weight = 254 if sign > 0 else -256
    inputs = 32768 // (2 * 256) - 1
    network = QuantizedNetwork(
        input=Input(name="input", size=inputs),
        populations=(neurons("a", 1, decay_u=0, threshold=2**17 - 1),),
        projections=(synapses("input", "a", csr_array(np.full((1, inputs), weight)), exponent=1),),
        output="a",
    )
    arriving = (weight << 1) * inputs << 6
    expected, u = [], 0
    for _ in range(7):
        u = int(np.sign(u)) * (abs(u) * 4095 >> 12) + arriving
        u -= 2**24 if u > 2**23 else 0
        u += 2**24 if u <= -(2**23) else 0
        expected.append(u)
    assert {np.sign(u) for u in expected} == {-1, 1}, "the case reaches a wrap"

    stimulus = Raster(spikes={"input": np.ones((1, 7, inputs), bool)})
    recording = run(backend, place(network, TINY), stimulus)

    assert recording.u is not None
    assert recording.v is not None
    assert recording.u["a"].ravel().tolist() == expected
    if sign < 0:
        assert recording.v["a"].min() == -(2**23 - 1)


def test_drawn_networks_reach_every_edge_of_the_arithmetic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, int] = dict.fromkeys(
        ("down", "up", "lowest", "highest", "spikes", "silent", "cores"), 0
    )
    monkeypatch.setattr(arithmetic, "wrap", counting_wraps(arithmetic.wrap, seen))
    monkeypatch.setattr(arithmetic, "fire", counting_clips(arithmetic.fire, seen))

    @settings(max_examples=100)
    @given(case=cases())
    def draw(case: Case) -> None:
        artifact = place(case.network, CRAMPED)
        recording = run("quantized", artifact, case.stimulus)
        seen["cores"] = max(seen["cores"], len(artifact.cores))
        for spikes in recording.raster.spikes.values():
            seen["spikes"] += int(spikes.sum())
            seen["silent"] += int((~spikes).sum())

    draw()

    assert min(seen["down"], seen["up"]) > 100  # u wraps
    assert min(seen["lowest"], seen["highest"]) > 100  # v saturates
    assert min(seen["spikes"], seen["silent"]) > 1000
    assert seen["cores"] > 8


Wrap = Callable[[arithmetic.IntArray], arithmetic.IntArray]
Fire = Callable[
    [arithmetic.IntArray, arithmetic.IntArray], tuple[arithmetic.IntArray, arithmetic.BoolArray]
]


def counting_wraps(wrap: Wrap, seen: dict[str, int]) -> Wrap:
    def counted(current: arithmetic.IntArray) -> arithmetic.IntArray:
        wrapped = wrap(current)
        seen["down"] += int((wrapped < current).sum())
        seen["up"] += int((wrapped > current).sum())
        return wrapped

    return counted


def counting_clips(fire: Fire, seen: dict[str, int]) -> Fire:
    """A neuron at the upper end always spikes, so it is seen only before its reset."""

    def counted(
        v: arithmetic.IntArray, threshold: arithmetic.IntArray
    ) -> tuple[arithmetic.IntArray, arithmetic.BoolArray]:
        seen["lowest"] += int((v == -(2**23 - 1)).sum())
        seen["highest"] += int((v == 2**23 - 1).sum())
        return fire(v, threshold)

    return counted
