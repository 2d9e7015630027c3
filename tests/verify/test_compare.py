"""A comparison finds every bit that differs, and of these the first, and nothing else is equal."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import seeds
from tests.verify.chip import (
    ARTIFACT,
    HOMES,
    NAMES,
    NEURONS,
    SIZES,
    Bit,
    flipped,
    random_raster,
    raster,
)
from toolchain.errors import InputError
from toolchain.raster import Raster
from toolchain.verify.compare import Comparison, compare

RATES = st.sampled_from([0.5, 0.1, 0.01, 1.0, 0.0])


@st.composite
def rasters(draw: Any) -> Raster:
    return random_raster(
        draw(st.integers(1, 3)), draw(st.integers(1, 4)), rate=draw(RATES), seed=draw(seeds())
    )


@st.composite
def flips(draw: Any) -> tuple[Raster, set[Bit]]:
    """A raster, and some of its bits; often several of one timestep."""
    drawn = draw(rasters())
    bits = st.tuples(
        st.integers(0, drawn.samples - 1),
        st.integers(0, drawn.timesteps - 1),
        st.sampled_from(NEURONS),
    )
    return drawn, draw(st.sets(bits, max_size=15))


def compared(expected: Raster, actual: Raster) -> Comparison:
    return compare(expected, actual, ARTIFACT, against="reference", backend="simulator")


def test_the_network_lies_on_several_cores_and_some_are_shared() -> None:
    residents = [{block.population for block in core.blocks} for core in ARTIFACT.cores]

    assert len(ARTIFACT.cores) >= 4
    assert any(len(populations) > 1 for populations in residents)
    assert len({core for (name, _), core in HOMES.items() if name == "wide"}) >= 3
    assert set(HOMES) == {(NAMES[at], neuron) for at, neuron in NEURONS}


@given(case=flips())
def test_every_flipped_bit_is_counted_once_in_its_population(case: tuple[Raster, set[Bit]]) -> None:
    expected, bits = case
    found = compared(expected, flipped(expected, bits))

    counts = Counter(NAMES[at] for _, _, (at, _) in bits)
    assert found.mismatches == len(bits)
    assert found.mismatches_per_population == {name: counts[name] for name in NAMES}


@given(case=flips())
def test_the_first_mismatch_is_the_first_flipped_bit_and_the_core_it_lives_on(
    case: tuple[Raster, set[Bit]],
) -> None:
    expected, bits = case
    actual = flipped(expected, bits)
    first = compared(expected, actual).first_mismatch

    if not bits:
        assert first is None
        return
    sample, timestep, (at, neuron) = min(bits)
    name = NAMES[at]
    assert first is not None
    assert (first.sample, first.timestep, first.population, first.neuron) == (
        sample,
        timestep,
        name,
        neuron,
    )
    assert first.core == HOMES[name, neuron]
    assert first.expected == expected.spikes[name][sample, timestep, neuron]
    assert first.actual == actual.spikes[name][sample, timestep, neuron]
    assert first.expected != first.actual


@given(case=flips())
def test_all_that_was_there_is_counted_as_compared(case: tuple[Raster, set[Bit]]) -> None:
    expected, bits = case
    actual = flipped(expected, bits)
    found = compared(expected, actual)

    either = {
        (name, *where)
        for side in (expected, actual)
        for name in NAMES
        for where in np.argwhere(side.spikes[name]).tolist()
    }
    assert found.samples == expected.samples
    assert found.neuron_steps_compared == expected.samples * expected.timesteps * len(NEURONS)
    assert found.spikes_compared == len(either)
    assert (found.against, found.backend) == ("reference", "simulator")


@given(case=flips())
def test_equal_is_no_flipped_bit_and_at_least_one_spike(case: tuple[Raster, set[Bit]]) -> None:
    expected, bits = case

    spoke = any(array.any() for array in expected.spikes.values())
    assert compared(expected, flipped(expected, bits)).equal == (spoke and not bits)


@given(case=flips())
def test_the_sides_may_be_exchanged_but_for_who_spiked(case: tuple[Raster, set[Bit]]) -> None:
    one, bits = case
    other = flipped(one, bits)
    there, back = compared(one, other), compared(other, one)

    assert there.mismatches_per_population == back.mismatches_per_population
    assert there.equal == back.equal
    if bits:
        assert there.first_mismatch is not None
        assert back.first_mismatch is not None
        assert there.first_mismatch.expected == back.first_mismatch.actual
        assert there.first_mismatch.core == back.first_mismatch.core


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ((0, 3, "answer", 4), (1, 0, "deep", 0)),  # sample before timestep
        ((1, 1, "answer", 4), (1, 2, "deep", 0)),  # timestep before population
        ((1, 1, "deep", 19), (1, 1, "wide", 0)),  # population before neuron
        ((1, 1, "wide", 36), (1, 1, "answer", 0)),  # as in the network, not as in the alphabet
        ((1, 1, "wide", 15), (1, 1, "wide", 16)),
    ],
)
def test_first_is_by_sample_then_timestep_then_down_the_network_then_neuron(
    first: tuple[int, int, str, int], later: tuple[int, int, str, int]
) -> None:
    found = compared(raster(2, 4, [later]), raster(2, 4, [first])).first_mismatch

    assert found is not None
    assert (found.sample, found.timestep, found.population, found.neuron) == first
    assert found.core == HOMES[first[2:]]
    assert (found.expected, found.actual) == (False, True)


def test_a_single_spike_is_enough_to_be_equal() -> None:
    spoken = raster(2, 3, [(1, 2, "wide", 30)])

    assert compared(spoken, spoken).equal
    assert compared(spoken, spoken).spikes_compared == 1


def test_silence_equals_no_silence() -> None:
    found = compared(raster(2, 3), raster(2, 3))

    assert not found.equal
    assert (found.mismatches, found.first_mismatch, found.spikes_compared) == (0, None, 0)
    assert found.neuron_steps_compared == 2 * 3 * len(NEURONS)


@pytest.mark.parametrize(("samples", "timesteps"), [(0, 3), (2, 0), (0, 0)])
def test_nothing_is_never_equal(samples: int, timesteps: int) -> None:
    found = compared(raster(samples, timesteps), raster(samples, timesteps))

    assert not found.equal
    assert (found.mismatches, found.first_mismatch) == (0, None)
    assert found.neuron_steps_compared == 0


@pytest.mark.parametrize("missing", NAMES)
def test_a_missing_population_is_refused_on_either_side(missing: str) -> None:
    whole = random_raster(2, 3, rate=0.3, seed=0)
    lacking = Raster(spikes={n: array for n, array in whole.spikes.items() if n != missing})
    says = f"a raster lacks population '{missing}'; it holds "

    with pytest.raises(InputError, match=says):
        compared(whole, lacking)
    with pytest.raises(InputError, match=says):
        compared(lacking, whole)


@pytest.mark.parametrize("shape", [(1, 3), (3, 3), (2, 1), (2, 4), (0, 3), (2, 0)])
def test_fewer_or_more_samples_or_timesteps_are_refused_and_never_broadcast(
    shape: tuple[int, int],
) -> None:
    expected, actual = raster(2, 3), raster(*shape)

    with pytest.raises(InputError, match=r"rasters of 'deep' have different shapes, \(2, 3, 20\)"):
        compared(expected, actual)
    with pytest.raises(InputError, match="they come from different stimuli"):
        compared(actual, expected)


@pytest.mark.parametrize("size", [1, SIZES["wide"] - 1, SIZES["wide"] + 1])
def test_fewer_or_more_neurons_are_refused_and_never_broadcast(size: int) -> None:
    expected = random_raster(2, 3, rate=0.3, seed=0)
    other = Raster(spikes={**expected.spikes, "wide": np.zeros((2, 3, size), bool)})

    with pytest.raises(InputError, match=rf"'wide' have different shapes, .* \(2, 3, {size}\)"):
        compared(expected, other)
