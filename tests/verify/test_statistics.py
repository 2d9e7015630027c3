"""Intervals cover what they say, and give the published numbers on the published data."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, multinomial

from tests.strategies import seeds
from toolchain.verify.statistics import (
    mcnemar,
    mean,
    paired_difference,
    quantile,
    ratio,
    tango_score,
    wilson,
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[int, int, int]:
    """(only first, only second, of)"""
    of = draw(st.integers(1, 400))
    first = draw(st.integers(0, of))
    return first, draw(st.integers(0, of - first)), of


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_newcombes_table(hits: int, of: int, low: float, high: float) -> None:
    """R. G. Newcombe, Statist. Med. 17 (1998) 857-872, table I, method 3."""
    found = wilson(hits, of)

    assert (found.value, round(found.low, 4), round(found.high, 4)) == (hits / of, low, high)


def test_tangos_interval_is_that_of_a_published_example() -> None:
    """Bentur et al. 2009, in Fagerland, Lydersen and Laake, Statist. Med. 33 (2014) 2850-2875."""
    found = paired_difference(1, 7, 21)

    assert (round(found.low, 3), round(found.high, 3)) == (-0.517, -0.026)
    assert round(mcnemar(1, 7), 3) == 0.070


@given(hits=st.integers(0, 300), more=st.integers(0, 300), confidence=st.floats(0.5, 0.999))
def test_wilsons_interval_holds_the_share_and_turns_over_with_it(
    hits: int, more: int, confidence: float
) -> None:
    of = hits + more + 1
    found, other = wilson(hits, of, confidence), wilson(of - hits, of, confidence)

    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low == pytest.approx(1 - other.high, abs=1e-12)
    assert wilson(hits, of, 0.9995).high >= found.high


@given(case=pairs())
@settings(max_examples=60)
def test_tangos_limits_are_where_its_test_begins_to_reject(case: tuple[int, int, int]) -> None:
    first, second, of = case
    found, other = paired_difference(first, second, of), paired_difference(second, first, of)

    assert -1 <= found.low <= found.value <= found.high <= 1
    assert (found.low, found.high) == pytest.approx((-other.high, -other.low), abs=1e-9)
    for limit, sign in ((found.low, 1), (found.high, -1)):
        if abs(limit) < 1:
            score = tango_score(first, second, of, limit)
            assert score == pytest.approx(sign * quantile(0.95), abs=1e-4)


@given(case=pairs(), difference=st.floats(-0.95, 0.95))
@settings(max_examples=40)
def test_tangos_variance_is_at_the_likeliest_shares(
    case: tuple[int, int, int], difference: float
) -> None:
    """The closed form against a search for the likeliest share."""
    first, second, of = case
    low, high = max(0.0, -difference), (1 - difference) / 2

    def unlikely(q: float) -> float:
        shares = np.array([q + difference, q, 1 - difference - 2 * q])
        counts = np.array([first, second, of - first - second])
        return -float(np.sum(counts * np.log(np.maximum(shares, 1e-300))))

    found = minimize_scalar(
        unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    )
    variance = of * (2 * found.x + difference * (1 - difference))
    wanted = (first - second - of * difference) / np.sqrt(max(variance, 1e-300))
    if variance > 1e-3 * of:
        assert tango_score(first, second, of, difference) == pytest.approx(wanted, abs=2e-2)


def test_tangos_interval_covers_as_often_as_it_says() -> None:
    """Exact coverage over all outcomes of 60 pairs: near 95 % where nothing is extreme."""
    of, shares = 60, (0.12, 0.08)
    covered = 0.0
    for first, second in product(range(25), range(22)):
        found = paired_difference(first, second, of)
        if found.low <= shares[0] - shares[1] <= found.high:
            outcome = [first, second, of - first - second]
            covered += multinomial.pmf(outcome, of, [*shares, 1 - sum(shares)])

    assert 0.94 < covered < 0.97


@given(first=st.integers(0, 60), second=st.integers(0, 60))
@settings(max_examples=40)
def test_mcnemar_is_the_binomial_test(first: int, second: int) -> None:
    wanted = binomtest(first, first + second).pvalue if first + second else 1.0

    assert mcnemar(first, second) == pytest.approx(wanted)


@given(seed=seeds(), count=st.integers(2, 30))
@settings(max_examples=30)
def test_a_ratio_of_equal_wholes_is_a_mean(seed: int, count: int) -> None:
    parts = np.random.default_rng(seed).random(count)
    of_wholes, of_values = ratio(parts, np.ones(count)), mean(parts)

    assert of_wholes.value == pytest.approx(of_values.value)
    assert of_wholes.low == pytest.approx(of_values.low)
    assert of_wholes.high == pytest.approx(min(1, of_values.high))


def test_one_sample_says_nothing_about_others() -> None:
    assert (ratio(np.ones(1), np.ones(1)).low, mean(np.ones(1)).low) == (0, 0)
    assert mean(np.ones(1)).high > 1e300
