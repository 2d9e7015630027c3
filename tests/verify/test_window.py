"""Laws of what a verdict keeps to be drawn: bounded, and true to the rasters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.mapped import SIZES, mapped, random_raster
from toolchain.artifact import Artifact
from toolchain.backends import quantized
from toolchain.raster import Raster, Recording
from toolchain.verify.extent import BITS, SAMPLES, extents
from toolchain.verify.verdict import judge
from toolchain.verify.window import NEURONS, POPULATIONS, SIGNS, TIMESTEPS, window


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return mapped()


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[Raster, Raster]:
    """Two rasters of the mapped network that differ in few bits or in many."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 90)))
    rate = draw(st.sampled_from([0.0, 0.01, 0.2]))
    left = {n: rng.random((*shape, k)) < 0.3 for n, k in SIZES.items()}
    right = {n: bits ^ (rng.random(bits.shape) < rate) for n, bits in left.items()}
    return Raster(spikes=left), Raster(spikes=right)


@given(_pairs())
def test_signs_say_what_the_rasters_hold(artifact: Artifact, pair: tuple[Raster, Raster]) -> None:
    left, right = pair
    made = window(left, right, artifact.network, against="a", backend="b")
    assert made is not None

    for pane in made.panes:
        assert len(pane.rows) == len(pane.neurons) <= NEURONS
        for neuron, row in zip(pane.neurons, pane.rows, strict=True):
            assert len(row) <= TIMESTEPS
            for at, sign in enumerate(row):
                where = (made.sample, made.start + at, neuron)
                sides = (left.spikes[pane.population][where], right.spikes[pane.population][where])
                assert sign == {(0, 0): ".", (1, 1): "=", (1, 0): "-", (0, 1): "+"}[sides]


@given(_pairs())
def test_the_first_difference_is_always_in_the_window(
    artifact: Artifact, pair: tuple[Raster, Raster]
) -> None:
    left, right = pair
    verdict = judge(artifact, {"a": left, "b": right})
    (made,) = verdict.windows
    first = verdict.chain[0].first_mismatch

    assert (made.cursor is None) == (first is None)
    if first is not None:
        pane = next(pane for pane in made.panes if pane.population == first.population)
        row = pane.rows[pane.neurons.index(first.neuron)]
        assert (made.sample, made.cursor) == (first.sample, first.timestep)
        assert row[first.timestep - made.start] in SIGNS[2:]


def test_a_window_counts_what_it_leaves_out() -> None:
    names = [f"p{n}" for n in range(POPULATIONS + 3)]
    network = mapped().network
    many = [network.populations[1]] * len(names)
    populations = tuple(replace(p, name=n) for p, n in zip(many, names, strict=True))
    chain = zip(["input", *names[:-1]], names, strict=True)
    first, last = network.projections
    edges = tuple(
        replace(
            first if s == "input" else last,
            source=s,
            target=t,
            weights=(first if s == "input" else last).weights[:3, : 8 if s == "input" else 3],
        )
        for s, t in chain
    )
    wide = replace(network, populations=populations, projections=edges, output=names[-1])
    left, right = (random_raster(dict.fromkeys(names, 3)) for _ in range(2))
    right.spikes[names[-1]][0, 2, 1] ^= True
    made = window(left, right, wide, against="a", backend="b")

    assert made is not None
    assert made.left_out == 3
    assert names[-1] in [pane.population for pane in made.panes]  # differs: kept before the others


def test_the_neuron_that_differs_first_is_kept(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolchain.verify.window.NEURONS", 1)
    name, size = next(iter(SIZES.items()))
    left, right = ({n: np.ones((1, 5, k), bool) for n, k in SIZES.items()} for _ in range(2))
    for bits in (left, right):
        bits[name][0, :, size - 2] = False  # spikes least, and differs first
    right[name][0, 1, size - 2] = True
    right[name][0, 3, 0] = False
    sides = (Raster(spikes=bits) for bits in (left, right))
    made = window(*sides, artifact.network, against="a", backend="b")

    assert made is not None
    assert made.panes[0].neurons == (size - 2,)


def _probe(artifact: Artifact, side: str, stimulus: Raster, population: str) -> Recording:
    assert side == "quantized"
    return quantized.run(artifact, stimulus, states=[population])


def test_states_are_counted_in_powers_of_two(artifact: Artifact) -> None:
    stimulus = random_raster({"input": 8})
    found = extents(artifact.network, stimulus, lambda *a: _probe(artifact, *a), "quantized")
    assert found is not None
    assert found.samples == min(SAMPLES, stimulus.samples // len(SIZES))
    held = quantized.run(artifact, stimulus.first(found.samples), states=True)
    assert held.u is not None

    for name, one in found.populations.items():
        u = held.u[name]
        counts = dict.fromkeys(range(-BITS, BITS + 1), 0)
        for value in u.ravel().tolist():
            counts[abs(value).bit_length() * (1 if value > 0 else -1)] += 1
        assert one.u.counts == tuple(counts.values())
        assert (one.u.low, one.u.high) == (u.min(), u.max())
        assert sum(one.v.counts) == u.size
        limit = one.threshold[0]
        spiked = held.raster.spikes[name].any()
        assert (one.v.high > limit) == spiked  # v before its reset passes the threshold


def test_without_states_nothing_is_counted(artifact: Artifact) -> None:
    stimulus = random_raster({"input": 8})

    def spikes_only(side: str, some: Raster, population: str) -> Recording:
        return Recording(raster=some)

    assert extents(artifact.network, stimulus, spikes_only, "board") is None
