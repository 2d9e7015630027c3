"""Lava's bit-accurate simulator spikes as the quantized network does, bit for bit.

A call of Lava costs a process start, so few networks are drawn here and many more by `slow`; a
failure is not shrunk, for the same reason.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from tests.strategies import (
    Case,
    cases,
    cramped,
    first_difference,
    neurons,
    place,
    rows,
    synapses,
)
from toolchain.artifact import Artifact
from toolchain.backends import get_backend
from toolchain.errors import DoesNotFitError
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork
from toolchain.raster import Raster

pytestmark = pytest.mark.lava

TINY = find_profile("tiny")
NARROW = cramped(TINY)
MOST_CORES = 16
MODES = ("lava", "lava-cores")
few = settings(max_examples=8, phases=(Phase.explicit, Phase.generate))
many = settings(max_examples=60, phases=(Phase.explicit, Phase.generate))
by_every_mode = pytest.mark.parametrize("mode", MODES)


@st.composite
def runs(draw: st.DrawFn) -> tuple[Artifact, Raster]:
    """An artifact of at most 16 cores, several of them where it can be, and a stimulus."""
    case: Case = draw(cases(largest=9))
    try:
        artifact = place(case.network, draw(st.sampled_from([NARROW, TINY])))
    except DoesNotFitError:
        assume(False)
        raise
    assume(len(artifact.cores) <= MOST_CORES)
    return artifact, case.stimulus


def check(mode: str, artifact: Artifact, stimulus: Raster) -> None:
    expected = get_backend("quantized").run(artifact, stimulus, states=True)
    found = get_backend(mode).run(artifact, stimulus, states=True)
    assert first_difference(found, expected) == ""


@by_every_mode
@few
@given(drawn=runs())
def test_lava_computes_what_the_quantized_network_does(
    mode: str, drawn: tuple[Artifact, Raster]
) -> None:
    check(mode, *drawn)


@pytest.mark.slow
@by_every_mode
@many
@given(drawn=runs())
def test_lava_agrees_on_many_more_networks(mode: str, drawn: tuple[Artifact, Raster]) -> None:
    check(mode, *drawn)


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
def test_a_run_of_more_samples_than_one_lava_network_takes_is_put_together(mode: str) -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=2),
        populations=(neurons("a", 2, decay_u=300, threshold=60),),
        projections=(
            synapses("input", "a", rows([[90, -40], [30, 50]])),
            synapses("a", "a", rows([[0, 40], [-30, 0]])),
        ),
        output="a",
    )
    shown = np.random.default_rng(6).random((105, 3, 2)) < 0.5

    check(mode, place(network, TINY), Raster(spikes={"input": shown}))


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
