"""The float contract: what a network in real numbers and the deployed one have in common.

Measured, never called equal: every number carries the interval of what other samples of the same
kind may give. Samples are what was drawn; neurons and timesteps of a sample are not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError
from toolchain.raster import Raster, decisions
from toolchain.verify.distances import van_rossum, victor_purpura
from toolchain.verify.statistics import (
    CONFIDENCE,
    Estimate,
    mcnemar,
    mean,
    paired_difference,
    ratio,
    wilson,
)

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Decisions as labelled, of both sides on the same samples."""

    trained: Estimate  # Wilson's interval
    deployed: Estimate
    drop: Estimate  # trained - deployed; Tango's interval for pairs
    only_trained: int  # samples that the trained network alone decides as labelled
    only_deployed: int
    p_alike: float  # McNemar's exact test that neither side is right more often


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured of a trained network beside the deployed one, on the same samples."""

    samples: int
    confidence: float  # of all intervals
    populations: tuple[str, ...]  # whose spikes both sides have
    spikes_compared: int  # spikes on either side
    accuracy: Accuracy | None  # None: the samples have no labels
    decisions: Estimate  # share of equal decisions; Wilson's interval
    spikes: Estimate  # spikes of both among those of either; Cochran's interval for a ratio
    van_rossum: Estimate | None  # mean distance of the output's trains; None: not asked for
    victor_purpura: Estimate | None

    def to_json(self) -> dict[str, Any]:
        """The measurement as JSON."""
        head = {"schema": "snn-deploy.measurement", "schema_version": 1}
        return head | asdict(self)


def measure(
    trained: Raster,
    deployed: Raster,
    output: str,
    *,
    confidence: float = CONFIDENCE,
    tau: float | None = None,
    cost: float | None = None,
) -> Measurement:
    """Measure two rasters of one stimulus; `tau`, `cost`: ask for a distance of spike trains.

    Raises InputError where they are of different stimuli, where the output is missing, and where
    there is no sample.
    """
    names = _common(trained, deployed, output)
    same = decisions(trained, output) == decisions(deployed, output)
    shared, either = (_per_sample(trained, deployed, names, both) for both in (True, False))
    trains = trained.spikes[output], deployed.spikes[output]
    return Measurement(
        samples=deployed.samples,
        confidence=confidence,
        populations=names,
        spikes_compared=int(either.sum()),
        accuracy=_accuracy(trained, deployed, output, confidence),
        decisions=wilson(int(same.sum()), len(same), confidence),
        spikes=ratio(shared.astype(np.float64), either.astype(np.float64), confidence),
        van_rossum=None if tau is None else mean(van_rossum(*trains, tau).mean(axis=1), confidence),
        victor_purpura=None
        if cost is None
        else mean(victor_purpura(*trains, cost).mean(axis=1), confidence),
    )


def _common(trained: Raster, deployed: Raster, output: str) -> tuple[str, ...]:
    """The populations that both sides hold, in the deployed one's order; their shapes are equal."""
    names = tuple(name for name in deployed.spikes if name in trained.spikes)
    if output not in names:
        held = ", ".join(trained.spikes)
        raise InputError(
            f"the trained raster must hold the output population '{output}'; it holds {held}"
        )
    if 0 in deployed.spikes[output].shape:
        raise InputError("the rasters are empty: nothing can be measured on them")
    for name in names:
        mine, other = trained.spikes[name].shape, deployed.spikes[name].shape
        if mine != other:
            raise InputError(
                f"rasters of '{name}' have different shapes, {mine} trained and {other} deployed"
                " (samples, timesteps, neurons): run both on one stimulus"
            )
    return names


def _per_sample(trained: Raster, deployed: Raster, names: tuple[str, ...], both: bool) -> IntArray:
    """(samples,) spikes that both sides have, or that either has."""
    meet = np.logical_and if both else np.logical_or
    total = np.zeros(deployed.samples, np.int64)
    for name in names:
        total += meet(trained.spikes[name], deployed.spikes[name]).sum(axis=(1, 2))
    return total


def _accuracy(trained: Raster, deployed: Raster, output: str, confidence: float) -> Accuracy | None:
    labels = deployed.labels if deployed.labels is not None else trained.labels
    if labels is None:
        return None
    if trained.labels is not None and not np.array_equal(trained.labels, labels):
        raise InputError("the rasters' labels differ: they come from different samples")
    right, also = (decisions(side, output) == labels for side in (trained, deployed))
    only_trained, only_deployed = int((right & ~also).sum()), int((also & ~right).sum())
    return Accuracy(
        trained=wilson(int(right.sum()), len(labels), confidence),
        deployed=wilson(int(also.sum()), len(labels), confidence),
        drop=paired_difference(only_trained, only_deployed, len(labels), confidence),
        only_trained=only_trained,
        only_deployed=only_deployed,
        p_alike=mcnemar(only_trained, only_deployed),
    )
