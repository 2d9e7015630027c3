"""Lava's bit-accurate simulator spikes as the quantized network does, bit for bit.

A start of Lava takes as long as thousands of its timesteps, so several drawn networks lie side by
side in each; few are drawn here and 504 by `slow`. A failure is not shrunk, for the same reason.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from tests.strategies import (
    LONGEST_DELAY,
    Case,
    cases,
    cramped,
    first_difference,
    neurons,
    place,
    place_if_it_fits,
    rows,
    side_by_side,
    synapses,
)
from toolchain.artifact import Artifact
from toolchain.backends import get_backend
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork
from toolchain.raster import Raster

pytestmark = pytest.mark.lava

TINY = find_profile("tiny")
NARROW = cramped(TINY)
MOST_CORES = 16
ASYNC = pytest.param("lava-async", marks=pytest.mark.slow)
MODES = ("lava", ASYNC, "lava-cores")
BY_LAYERS = ("lava", ASYNC)
AT_ONCE, STARTS = 8, 63
LOIHI = find_profile("loihi1")
few = settings(max_examples=1, phases=(Phase.explicit, Phase.generate))
many = settings(max_examples=60, phases=(Phase.explicit, Phase.generate))
by_every_mode = pytest.mark.parametrize("mode", MODES)


@st.composite
def runs(draw: st.DrawFn) -> tuple[Artifact, Raster]:
    """An artifact of at most 16 cores, several of them where it can be, and a stimulus."""
    case: Case = draw(cases(largest=9))
    artifact = place_if_it_fits(case.network, draw(st.sampled_from([NARROW, TINY])))
    assume(len(artifact.cores) <= MOST_CORES)
    return artifact, case.stimulus


def check(mode: str, artifact: Artifact, stimulus: Raster) -> None:
    expected = get_backend("quantized").run(artifact, stimulus, states=True)
    found = get_backend(mode).run(artifact, stimulus, states=True)
    assert first_difference(found, expected) == ""


@pytest.mark.parametrize("mode", BY_LAYERS)
@few
@given(drawn=st.lists(cases(largest=9, most_samples=2), min_size=4, max_size=4))
def test_lava_computes_what_the_quantized_network_does(mode: str, drawn: list[Case]) -> None:
    together = side_by_side(drawn)

    check(mode, place(together.network, LOIHI), together.stimulus)


@settings(few, max_examples=2)
@given(drawn=runs())
def test_lava_computes_it_core_by_core(drawn: tuple[Artifact, Raster]) -> None:
    check("lava-cores", *drawn)


@pytest.mark.slow
@pytest.mark.parametrize("mode", BY_LAYERS)
@settings(max_examples=STARTS, phases=(Phase.explicit, Phase.generate))
@given(drawn=st.lists(cases(largest=9), min_size=AT_ONCE, max_size=AT_ONCE))
def test_lava_agrees_on_five_hundred_networks(mode: str, drawn: list[Case]) -> None:
    together = side_by_side(drawn)
    artifact = place(together.network, LOIHI)

    check(mode, artifact, together.stimulus)
    for backend in ("reference", "simulator"):
        check(backend, artifact, together.stimulus)


@pytest.mark.slow
@many
@given(drawn=runs())
def test_lava_agrees_core_by_core_on_many_more_networks(drawn: tuple[Artifact, Raster]) -> None:
    check("lava-cores", *drawn)


@pytest.mark.parametrize("mode", BY_LAYERS)
def test_every_neuron_has_a_threshold_of_its_own(mode: str) -> None:
    """Thresholds from 0 to the register's end, on both sides of v = 100 << 6."""
    thresholds = np.array([0, 99, 100, 101, 2**15, 2**16, 2**17 - 1])
    size = len(thresholds)
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", size, threshold=thresholds, decay_u=100),),
        projections=(synapses("input", "a", rows([[100]] * size), exponent=0),),
        output="a",
    )
    once = Raster(spikes={"input": np.eye(1, 40, dtype=bool).reshape(1, 40, 1)})
    artifact = place(network, TINY)

    check(mode, artifact, once)
    at_first = get_backend("quantized").run(artifact, once).raster.spikes["a"][0, 0]
    assert at_first.tolist() == [True, True, False, False, False, False, False]


@pytest.mark.parametrize("mode", BY_LAYERS)
def test_the_longest_delay_of_a_loop_arrives_on_time(mode: str) -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=3),
        populations=(neurons("a", 3, decay_u=500, threshold=60),),
        projections=(
            synapses("input", "a", rows([[90, 0, -20], [0, 90, 30], [40, 0, 90]])),
            synapses("a", "a", rows([[0, 50, 0], [-30, 0, 60], [20, 0, 0]]), delay=LONGEST_DELAY),
        ),
        output="a",
    )
    shown = np.random.default_rng(7).random((2, 70, 3)) < 0.3

    check(mode, place(network, TINY), Raster(spikes={"input": shown}))


def loops() -> QuantizedNetwork:
    """Every kind of projection at once; `lonely` has a bias and no synapse at all."""
    rng = np.random.default_rng(3)

    def some(target: int, source: int) -> list[list[int]]:
        return (rng.integers(-40, 60, (target, source)) * 2).tolist()

    moving = {"decay_u": 300, "decay_v": 100, "threshold": 60}
    return QuantizedNetwork(
        input=Input(name="input", size=6),
        populations=(
            neurons("a", 7, **moving),
            neurons("b", 6, bias_mantissa=np.arange(6) * 30, bias_exponent=2, **moving),
            neurons("lonely", 3, bias_mantissa=np.array([900, 3000, -20]), bias_exponent=1),
        ),
        projections=(
            synapses("input", "a", rows(some(7, 6)), exponent=1),
            synapses("a", "a", rows(some(7, 7))),
            synapses("a", "a", rows(some(7, 7)), delay=3),
            synapses("a", "b", rows(some(6, 7))),
            synapses("input", "b", rows(some(6, 6)), delay=2),
            synapses("b", "a", rows(some(7, 6)), delay=2),
            synapses("input", "lonely", rows(np.zeros((3, 6)).tolist()), delay=4),
        ),
        output="b",
    )


@by_every_mode
def test_samples_do_not_know_of_each_other_through_loops_and_delays(mode: str) -> None:
    artifact = place(loops(), NARROW)
    shown = np.random.default_rng(5).random((5, 7, 6)) < 0.5
    shown[2] = False  # a silent sample would show what the loud one before it left behind

    check(mode, artifact, Raster(spikes={"input": shown}))


@by_every_mode
def test_samples_may_be_shorter_than_the_way_through_the_network(mode: str) -> None:
    artifact = place(loops(), NARROW)

    check(mode, artifact, Raster(spikes={"input": np.ones((3, 1, 6), bool)}))


@by_every_mode
def test_a_network_without_any_synapse_runs(mode: str) -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=2),
        populations=(neurons("a", 2, bias_mantissa=np.array([4000, 0]), bias_exponent=1),),
        projections=(synapses("input", "a", rows([[0, 0], [0, 0]])),),
        output="a",
    )

    check(mode, place(network, TINY), Raster(spikes={"input": np.ones((2, 4, 2), bool)}))
