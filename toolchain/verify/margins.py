"""How close every threshold decision was: v against the threshold, in the last bit of v.

A neuron that spiked at v would have been silent with v - threshold less; one that was silent would
have spiked with threshold - v + 1 more. That distance is at least 1. Where no decision of a sample
is at distance 1, none of its spikes changes if all thresholds move by one bit, or if v of each
neuron is off by one once: decay and clipping never make a difference of 1 larger.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain import arithmetic
from toolchain.errors import InputError
from toolchain.network import QuantizedNetwork, QuantizedPopulation
from toolchain.raster import Raster, Recording

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
BINS = arithmetic.STATE_LIMIT.bit_length() + 1  # distance 1, 2..3, 4..7, ..., 2^24..


@dataclass(slots=True, kw_only=True, eq=False)
class Tracked:
    """What was seen of one population, over all samples so far."""

    size: int
    spikes: IntArray  # (size,) how often each spiked
    clipped: IntArray  # (size,) how often v was clipped
    wrapped: IntArray  # (size,) how often u wrapped
    u_peak: IntArray  # (size,) largest |u|
    v_peak: IntArray  # (size,) largest |v| before the reset
    spiking: IntArray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    silent: IntArray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    nearest: int = 0  # smallest distance; 0 where nothing was seen


@dataclass(slots=True, kw_only=True, eq=False)
class Margins:
    """States and decisions of a whole stimulus, gathered some samples after others."""

    network: QuantizedNetwork
    samples: int = 0
    timesteps: int = 0  # of each sample
    fragile_samples: int = 0  # with a decision at distance 1
    fragile_classes: int = 0  # whose class a single spike at distance 1 of the output decides
    labelled: int = 0
    right: int = 0
    fragile_right: int = 0  # right ones among fragile_classes
    populations: dict[str, Tracked] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The margins as JSON; bin i counts distances 2^i to 2^(i+1) - 1."""
        counted = {name: _population_json(seen) for name, seen in self.populations.items()}
        decisions = sum(one["decisions"] for one in counted.values())
        at_one = sum(one["at_one"] for one in counted.values())
        return {
            "samples": self.samples,
            "timesteps": self.timesteps,
            "decisions": decisions,
            "share_at_one": at_one / decisions if decisions else 0.0,
            "unshaken_samples": self.samples - self.fragile_samples,
            "classes": {
                "share_at_one": self.fragile_classes / self.samples if self.samples else 0.0,
                "labelled": self.labelled,
                "right": self.right,
                "right_at_one": self.fragile_right,
            },
            "populations": counted,
        }


def _population_json(seen: Tracked) -> dict[str, Any]:
    both = seen.spiking + seen.silent
    decisions = int(both.sum())
    return {
        "decisions": decisions,
        "at_one": int(both[0]),
        "share_at_one": int(both[0]) / decisions if decisions else 0.0,
        "share_nearer_than_threshold_step": int(both[: arithmetic.ALIGN_BITS].sum()) / decisions
        if decisions
        else 0.0,
        "nearest": seen.nearest,
        "spiking": seen.spiking.tolist(),
        "silent": seen.silent.tolist(),
        "u_peak": int(seen.u_peak.max(initial=0)),
        "v_peak": int(seen.v_peak.max(initial=0)),
    }


def gather(network: QuantizedNetwork, recordings: Iterable[Recording]) -> Margins:
    """Margins over recordings with u and v of all populations, each of some samples.

    Memory: that of one recording at a time. Raises InputError where there is no sample.
    """
    margins = Margins(network=network)
    for population in network.populations:
        margins.populations[population.name] = _nothing_seen(population.size)
    for recording in recordings:
        _add(margins, recording)
    if not margins.samples * margins.timesteps:
        raise InputError("the stimulus is empty: nothing was seen of any neuron")
    return margins


def _nothing_seen(size: int) -> Tracked:
    spikes, clipped, wrapped, u_peak, v_peak = np.zeros((5, size), np.int64)
    return Tracked(
        size=size, spikes=spikes, clipped=clipped, wrapped=wrapped, u_peak=u_peak, v_peak=v_peak
    )


def _add(margins: Margins, recording: Recording) -> None:
    assert recording.u is not None
    assert recording.v is not None
    raster = recording.raster
    fragile = np.zeros(raster.samples, bool)
    for population in margins.network.populations:
        name = population.name
        at_one = _track(
            population,
            margins.populations[name],
            recording.u[name].astype(np.int64),
            recording.v[name].astype(np.int64),
            raster.spikes[name],
        )
        fragile |= at_one.any(axis=(1, 2))
        if name == margins.network.output:
            _count_classes(margins, raster, at_one)
    margins.samples += raster.samples
    margins.timesteps = raster.timesteps
    margins.fragile_samples += int(fragile.sum())


def _track(
    population: QuantizedPopulation, seen: Tracked, u: IntArray, v: IntArray, spikes: BoolArray
) -> BoolArray:
    """Add what a population did; (samples, timesteps, size) its decisions at distance 1."""
    bias = arithmetic.bias_value(population.bias_mantissa, population.bias_exponent)
    kept = arithmetic.decay(_before(v), 2**arithmetic.DECAY_BITS - population.decay_v)
    whole = kept + u + bias  # before it is clipped
    reached = arithmetic.next_v(_before(v), u, bias, population.decay_v)
    lost = population.decay_u + arithmetic.DECAY_U_OFFSET
    arrived = u - arithmetic.decay(_before(u), 2**arithmetic.DECAY_BITS - lost)
    most = arithmetic.ACTIVATION_LIMIT << arithmetic.ALIGN_BITS
    seen.spikes += spikes.sum(axis=(0, 1), dtype=np.int64)
    seen.clipped += (whole != reached).sum(axis=(0, 1))
    seen.wrapped += (np.abs(arrived) >= most).sum(axis=(0, 1))  # more than can arrive
    seen.u_peak = np.maximum(seen.u_peak, np.abs(u).max(axis=(0, 1), initial=0))
    seen.v_peak = np.maximum(seen.v_peak, np.abs(reached).max(axis=(0, 1), initial=0))
    above = reached - (population.threshold << arithmetic.ALIGN_BITS)
    distance = np.where(spikes, above, 1 - above)
    if distance.size:
        assert distance.min() >= 1  # else a backend fires by another rule
        nearest = int(distance.min())
        seen.nearest = min(seen.nearest or nearest, nearest)
    for mine, counts in ((spikes, seen.spiking), (~spikes, seen.silent)):
        exponent = np.frexp(distance[mine].astype(np.float64))[1] - 1
        counts += np.bincount(exponent, minlength=BINS)
    return distance == 1


def _before(state: IntArray) -> IntArray:
    """(samples, timesteps, size) the state that each timestep starts from: zero at first."""
    return np.concatenate([np.zeros_like(state[:, :1]), state[:, :-1]], axis=1)


def _count_classes(margins: Margins, raster: Raster, at_one: BoolArray) -> None:
    """Samples whose class changes where one spike of the output at distance 1 does."""
    spikes = raster.spikes[margins.network.output]
    counts = spikes.sum(axis=1, dtype=np.int64)
    decided = counts.argmax(axis=1)
    changes: BoolArray = np.zeros(len(counts), bool)
    for gained, where in ((1, at_one & ~spikes), (-1, at_one & spikes)):
        possible: BoolArray = np.any(where, axis=1)
        for neuron in np.flatnonzero(possible.any(axis=0)):
            other = counts.copy()
            other[:, neuron] += gained
            changes = changes | (possible[:, neuron] & (other.argmax(axis=1) != decided))
    margins.fragile_classes += int(changes.sum())
    if raster.labels is not None:
        right = decided == raster.labels
        margins.labelled += len(right)
        margins.right += int(right.sum())
        margins.fragile_right += int((right & changes).sum())
