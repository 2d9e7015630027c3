"""Intervals and tests for shares that were counted: what is measured is never called equal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import bdtr, ndtri, stdtrit

FloatArray = NDArray[np.float64]
CONFIDENCE = 0.95  # where nobody asks for another


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number that was measured on samples, and the interval that goes with it."""

    value: float
    low: float
    high: float

    def within(self, low: float, high: float) -> bool:
        """Whether the whole interval lies inside: the test of equivalence."""
        return low <= self.low and self.high <= high


def quantile(confidence: float) -> float:
    """Standard normal quantile of a two-sided interval; 1.96 for 0.95."""
    return float(ndtri(0.5 + confidence / 2))


def wilson(hits: int, of: int, confidence: float = CONFIDENCE) -> Estimate:
    """A share and its score interval; `of` >= 1.

    E. B. Wilson, J. Amer. Statist. Assoc. 22 (1927) 209-212, without continuity correction.
    """
    assert 0 <= hits <= of
    assert of >= 1
    z = quantile(confidence)
    share = hits / of
    centre = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low = 0.0 if hits == 0 else centre - half  # exactly: rounding must not exclude the share
    return Estimate(value=share, low=low, high=1.0 if hits == of else centre + half)


def paired_difference(
    only_first: int, only_second: int, of: int, confidence: float = CONFIDENCE
) -> Estimate:
    """The difference of two shares of the same samples, first - second, and its score interval.

    `only_first`, `only_second`: samples that only one side got right; `of` >= 1 all samples.
    T. Tango, Statist. Med. 17 (1998) 891-908: the differences that its score test does not reject.
    """
    assert min(only_first, only_second) >= 0
    assert only_first + only_second <= of
    z = quantile(confidence)
    value = (only_first - only_second) / of

    def rejected(difference: float) -> float:
        return tango_score(only_first, only_second, of, difference) ** 2 - z * z

    return Estimate(value=value, low=_root(rejected, value, -1.0), high=_root(rejected, value, 1.0))


def tango_score(only_first: int, only_second: int, of: int, difference: float) -> float:
    """Tango's statistic z of the hypothesis that first - second is `difference`.

    (b - c - n d) / sqrt(n (2 q + d (1 - d))), q the likeliest share of c where b/n - c/n is d.
    """
    b, c, n, d = only_first, only_second, of, difference
    linear = (2 * n - b + c) * d - b - c
    root = sqrt(max(linear * linear + 8 * n * c * d * (1 - d), 0.0))
    variance = n * (2 * (root - linear) / (4 * n) + d * (1 - d))
    distance = b - c - n * d
    if variance <= 1e-12 * n:  # every pair would have to be as the hypothesis says
        return 0.0 if abs(distance) < 1e-9 * n else float(np.copysign(np.inf, distance))
    return float(distance / sqrt(variance))


def _root(rejected: Callable[[float], float], inside: float, edge: float) -> float:
    """Where a score test begins to reject between the estimate and an end of the scale."""
    if inside == edge or rejected(edge) <= 0:
        return edge
    return float(brentq(lambda d: min(rejected(d), 1e9), inside, edge, xtol=1e-12))


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that neither side is right more often than the other.

    Q. McNemar, Psychometrika 12 (1947) 153-157; exact: the smaller count is binomial with 1/2.
    A large p-value is no evidence that the sides are alike; for that see `Estimate.within`.
    """
    differing = only_first + only_second
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), differing, 0.5)))


def ratio(parts: FloatArray, wholes: FloatArray, confidence: float = CONFIDENCE) -> Estimate:
    """sum(parts) / sum(wholes), a share of samples that were drawn as wholes; both (samples,).

    The interval takes the sample, not the spike, as what was drawn: spikes of a sample depend on
    each other. W. G. Cochran, Sampling Techniques, 3rd ed. 1977, eq. 2.46 (without correction for a
    finite population), Student's t. Of one sample, or of nothing, the interval is 0 to 1.
    """
    total, count = float(wholes.sum()), len(wholes)
    value = float(parts.sum()) / total if total else 1.0
    if count < 2 or not total:
        return Estimate(value=value, low=0.0, high=1.0)
    half = _half(parts - value * wholes, confidence) * count / total
    return Estimate(value=value, low=max(0.0, value - half), high=min(1.0, value + half))


def mean(values: FloatArray, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of (samples,) numbers that are at least 0, and Student's interval (Biometrika 1908).

    Of one sample the interval is from 0 to the largest number there is.
    """
    value, count = float(values.mean()), len(values)
    if count < 2:
        return Estimate(value=value, low=0.0, high=float(np.finfo(np.float64).max))
    half = _half(values - value, confidence)
    return Estimate(value=value, low=max(0.0, value - half), high=value + half)


def _half(residuals: FloatArray, confidence: float) -> float:
    """Half the width of Student's interval for the mean of (samples,) residuals about 0."""
    count = len(residuals)
    variance = float((residuals**2).sum()) / (count - 1) / count
    return float(stdtrit(count - 1, 0.5 + confidence / 2)) * sqrt(variance)
