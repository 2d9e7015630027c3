"""Distances of spike trains are metrics, and those of the papers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.strategies import seeds
from toolchain.errors import InputError
from toolchain.verify.distances import van_rossum, victor_purpura

Trains = NDArray[np.bool_]
DISTANCES: dict[str, Callable[[Trains, Trains], NDArray[np.float64]]] = {
    "van rossum": partial(van_rossum, tau=3.5),
    "van rossum, short": partial(van_rossum, tau=0.2),
    "victor-purpura": partial(victor_purpura, cost=0.3),
    "victor-purpura, counts": partial(victor_purpura, cost=0.0),
    "victor-purpura, coincidences": partial(victor_purpura, cost=5.0),
}


def train(*times: int, steps: int = 12) -> Trains:
    made = np.zeros((1, steps, 1), bool)
    made[0, list(times)] = True
    return made


def some(seed: int, count: int) -> list[Trains]:
    rng = np.random.default_rng(seed)
    rate = rng.choice([0.05, 0.3, 0.7])
    return [rng.random((3, 12, 4)) < rate for _ in range(count)]


@pytest.mark.parametrize("name", DISTANCES)
@given(seed=seeds())
@settings(max_examples=15)
def test_a_distance_is_a_metric(name: str, seed: int) -> None:
    one, two, three = some(seed, 3)
    distance = DISTANCES[name]

    assert not distance(one, one).any()
    assert np.allclose(distance(one, two), distance(two, one))
    assert np.all(distance(one, three) <= distance(one, two) + distance(two, three) + 1e-9)
    if "counts" not in name:  # at cost 0 trains of equal counts are alike
        assert np.array_equal(distance(one, two) > 1e-9, (one != two).any(axis=1))


@pytest.mark.parametrize(
    ("one", "two", "cost", "wanted"),
    [
        ((), (4,), 1.0, 1.0),  # one spike added
        ((3,), (5,), 0.5, 1.0),  # moved by two
        ((3,), (5,), 1.5, 2.0),  # dearer to move than to delete and add
        ((1, 4, 9), (2, 9), 0.25, 1.25),
        ((0, 1, 2), (9, 10, 11), 0.0, 0.0),
        ((0, 1, 2), (1, 2, 3), 0.1, 0.3),
    ],
)
def test_victor_purpura_by_hand(
    one: tuple[int, ...], two: tuple[int, ...], cost: float, wanted: float
) -> None:
    assert victor_purpura(train(*one), train(*two), cost).item() == pytest.approx(wanted)


@given(seed=seeds())
@settings(max_examples=15)
def test_victor_purpura_counts_at_no_cost_and_coincidences_at_a_high_one(seed: int) -> None:
    one, two = some(seed, 2)

    counts = np.abs(one.sum(axis=1) - two.sum(axis=1, dtype=np.int64))
    assert np.array_equal(victor_purpura(one, two, 0), counts)
    assert np.array_equal(victor_purpura(one, two, 2.5), (one != two).sum(axis=1))


def test_van_rossum_by_hand() -> None:
    """One spike against none: 1/2; two spikes d apart: 1 - exp(-d / tau)."""
    assert van_rossum(train(), train(3), 2.0).item() ** 2 == pytest.approx(0.5)
    assert van_rossum(train(3), train(6), 2.0).item() ** 2 == pytest.approx(1 - exp(-1.5))


@given(seed=seeds(), tau=st.floats(0.5, 20))
@settings(max_examples=15)
def test_van_rossum_is_the_integral_of_its_definition(seed: int, tau: float) -> None:
    """Between two rows the traces decay together, so the integral of each row is a closed form."""
    one, two = (side[0, :, 0] for side in some(seed, 2))
    trace, area = 0.0, 0.0
    for here, there in zip(one, two, strict=True):
        trace = trace * exp(-1 / tau) + float(here) - float(there)
        area += trace**2 * tau / 2 * (1 - exp(-2 / tau))
    area += (trace * exp(-1 / tau)) ** 2 * tau / 2

    found = van_rossum(one[None, :, None], two[None, :, None], tau).item()
    assert found**2 == pytest.approx(area / tau)


def test_trains_of_different_shapes_have_no_distance() -> None:
    with pytest.raises(InputError, match=r"different shapes, \(1, 12, 1\) and \(1, 11, 1\)"):
        van_rossum(train(), train(steps=11), 1.0)
    with pytest.raises(InputError, match="tau must be above 0"):
        van_rossum(train(), train(), 0.0)
    with pytest.raises(InputError, match="cost must be at least 0"):
        victor_purpura(train(), train(), -1.0)
