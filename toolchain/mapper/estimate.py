"""Energy and time per inference, as published figures per event would have it: never a measurement.

Each preset of the profile holds one source's figures. What a count leaves open (which neurons are
idle, which format a list has) makes a range; so do several sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.activity import Activity
from toolchain.artifact import Artifact
from toolchain.hardware import EnergyPreset, TimePreset
from toolchain.mapper.traffic import Reach, Traffic, reach, traffic
from toolchain.mesh import tiles

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """From the least to the most that the figures allow."""

    low: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(low=self.low + other.low, high=self.high + other.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Events of all samples together, from an activity and the packed cores."""

    samples: int
    timesteps: int  # of each sample
    neurons: IntArray  # (cores,) that live on each core
    spikes: IntArray  # (cores,) of these neurons
    sent: IntArray  # (cores,) messages to cores, own one included
    received: IntArray  # (cores,) messages from cores and from outside the chip
    synapse_events: IntArray  # (cores,) stored synapses that a spike visited
    same_tile: int  # messages that stay within a tile
    hops_x: int  # steps east or west of all messages between cores
    hops_y: int
    tiles: int  # in use
    chips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyEstimate:
    """pJ per inference, by what takes it, with one source's figures."""

    source: str
    parts: Mapping[str, Range]

    @property
    def total(self) -> Range:
        """All parts."""
        return sum(self.parts.values(), Range(low=0.0, high=0.0))

    @property
    def largest(self) -> str:
        """The part that takes most."""
        return max(self.parts, key=lambda name: self.parts[name].low + self.parts[name].high)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEstimate:
    """ns per inference with one source's figures."""

    source: str
    total: Range
    busiest: int  # number of the core whose work decides
    limited_by: str  # "updating neurons and sending", "receiving spikes" or "the barrier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What an inference may take, and NeuroBench's metrics of it."""

    measured: bool  # whether the spikes were counted, not assumed
    counts: Counts
    energy: tuple[EnergyEstimate, ...]
    time: tuple[TimeEstimate, ...]
    static: Range | None  # pJ per inference that the chips draw anyway, over the time estimated
    metrics: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As JSON: energies in pJ, times in ns, per inference of one sample."""
        return {
            "kind": "an estimate from published figures, not a measurement",
            "activity": "measured" if self.measured else "assumed: every neuron always spikes",
            "samples": self.counts.samples,
            "timesteps": self.counts.timesteps,
            "energy_pj": [
                {
                    "source": one.source,
                    "parts": {name: _pair(part) for name, part in one.parts.items()},
                    "total": _pair(one.total),
                    "largest": one.largest,
                }
                for one in self.energy
            ],
            "time_ns": [
                {
                    "source": one.source,
                    "total": _pair(one.total),
                    "busiest_core": one.busiest,
                    "limited_by": one.limited_by,
                }
                for one in self.time
            ],
            "static_pj": None if self.static is None else _pair(self.static),
            "neurobench": dict(self.metrics),
        }


def _pair(part: Range) -> list[float]:
    return [float(f"{part.low:.4g}"), float(f"{part.high:.4g}")]


def estimate(artifact: Artifact, activity: Activity) -> Estimate:
    """Energy, time and metrics of an artifact that spikes so much."""
    profile = artifact.profile
    reached = reach(artifact.image)
    counts = count_events(artifact, reached, traffic(reached, activity), activity)
    numbers = [core.number for core in artifact.cores]
    time = tuple(time_of(counts, p, s, numbers) for s, p in sorted(profile.time.items()))
    return Estimate(
        measured=activity.measured,
        counts=counts,
        energy=tuple(energy_of(counts, p, s) for s, p in sorted(profile.energy.items())),
        time=time,
        static=_static(artifact, counts, time),
        metrics=neurobench(artifact, counts),
    )


def count_events(artifact: Artifact, reached: Reach, sent: Traffic, activity: Activity) -> Counts:
    """Every kind of event that a preset prices."""
    numbers = np.array([core.number for core in artifact.cores], np.int64)
    x, y = tiles(artifact.profile, numbers)
    pairs = sent.between.tocoo()
    across, down = np.abs(x[pairs.row] - x[pairs.col]), np.abs(y[pairs.row] - y[pairs.col])
    return Counts(
        samples=activity.samples,
        timesteps=activity.timesteps,
        neurons=np.bincount(reached.home[reached.home >= 0], minlength=len(numbers)),
        spikes=sent.spikes,
        sent=np.asarray(sent.between.sum(axis=1), np.int64).reshape(-1),
        received=np.asarray(sent.between.sum(axis=0), np.int64).reshape(-1) + sent.from_input,
        synapse_events=sent.synapse_events,
        same_tile=int(pairs.data[across + down == 0].sum()),
        hops_x=int(across @ pairs.data),
        hops_y=int(down @ pairs.data),
        tiles=len(set(zip(x.tolist(), y.tolist(), strict=True))),
        chips=len({artifact.profile.chip_of(int(number)) for number in numbers}),
    )


def energy_of(counts: Counts, preset: EnergyPreset, source: str) -> EnergyEstimate:
    """Energy per inference: each event of Davies et al. 2018, Table 2, times its figure.

    synapses = visits * synapse;  updates = idle * (neurons * steps) + (active - idle) * updated;
    spikes * spike;  messages * message;  ways = within tiles + hops x + hops y.
    At least the neurons that spike are updated, at most all are. SANA-FE's costs, which add up, are
    written in the same form (its access + update = active).
    """
    steps = int(counts.neurons.sum()) * counts.samples * counts.timesteps
    spikes, visits = int(counts.spikes.sum()), int(counts.synapse_events.sum())
    formats = (preset.synapse_sparse_pj, preset.synapse_dense_pj)
    more = preset.neuron_active_pj - preset.neuron_idle_pj
    ways = preset.same_tile_pj * counts.same_tile
    ways += preset.hop_x_pj * counts.hops_x + preset.hop_y_pj * counts.hops_y
    parts = {
        "synapses": (visits * min(formats), visits * max(formats)),
        "neuron updates": (
            preset.neuron_idle_pj * steps + more * spikes,
            preset.neuron_active_pj * steps,
        ),
        "spikes": (preset.neuron_spike_pj * spikes,) * 2,
        "messages": (preset.message_pj * int(counts.sent.sum()),) * 2,
        "ways on the mesh": (ways, ways),
    }
    return EnergyEstimate(
        source=source,
        parts={
            name: Range(low=low / counts.samples, high=high / counts.samples)
            for name, (low, high) in parts.items()
        },
    )


def time_of(counts: Counts, preset: TimePreset, source: str, numbers: list[int]) -> TimeEstimate:
    """Time per inference: every step lasts max(T_gen, T_recv) + T_sync, as in SANA-FE's scheduler.

    T_gen = max over cores of neuron updates + messages sent; T_recv = max over cores of messages
    received + synapses visited. A core's work is its mean over all steps, so a network that spikes
    in bursts takes longer. Messages that wait for each other on the mesh are not counted.
    """
    steps = counts.samples * counts.timesteps
    formats = (preset.synapse_sparse_ns, preset.synapse_dense_ns)
    update = preset.neuron_idle_ns * counts.neurons
    more = (preset.neuron_active_ns - preset.neuron_idle_ns) * counts.spikes / steps
    always = preset.neuron_spike_ns * counts.spikes / steps
    always = always + preset.message_out_ns * counts.sent / steps
    gen = (update + more + always, preset.neuron_active_ns * counts.neurons + always)
    into = preset.message_in_ns * counts.received / steps
    recv = tuple(into + one * counts.synapse_events / steps for one in sorted(formats))
    low, high = [max(gen[k].max(), recv[k].max()) for k in (0, 1)]
    sync = _sync(counts, preset)
    total = Range(low=low + sync.low, high=high + sync.high)
    return TimeEstimate(
        source=source,
        total=Range(low=total.low * counts.timesteps, high=total.high * counts.timesteps),
        busiest=numbers[int(np.argmax(np.maximum(gen[1], recv[1])))],
        limited_by=_limit(float(gen[1].max()), float(recv[1].max()), sync.high),
    )


def _sync(counts: Counts, preset: TimePreset) -> Range:
    """The barrier: published for one tile, for a whole chip and for many chips."""
    if counts.chips > 1:
        return Range(low=preset.sync_chip_ns, high=preset.sync_board_ns)
    if counts.tiles > 1:
        return Range(low=preset.sync_tile_ns, high=preset.sync_chip_ns)
    return Range(low=preset.sync_tile_ns, high=preset.sync_tile_ns)


def _limit(gen: float, recv: float, sync: float) -> str:
    if sync > max(gen, recv):
        return "the barrier"
    return "updating neurons and sending" if gen >= recv else "receiving spikes"


def _static(artifact: Artifact, counts: Counts, time: tuple[TimeEstimate, ...]) -> Range | None:
    """mW x ns = pJ: what the chips in use draw for as long as an inference takes."""
    power = artifact.profile.power
    if power is None or not time:
        return None
    drawn = power.static_mw_per_chip * counts.chips
    totals = [one.total for one in time]
    return Range(
        low=drawn * min(total.low for total in totals),
        high=drawn * max(total.high for total in totals),
    )


def neurobench(artifact: Artifact, counts: Counts) -> dict[str, Any]:
    """Metrics under the names of NeuroBench (Yik et al., arXiv 2304.04640), per sample.

    footprint: bytes of synaptic memory in use, indices and padding included. Effective_ACs:
    synapses that spikes visit; Dense: the same if all synapses existed and all neurons spiked.
    """
    network, profile = artifact.network, artifact.profile
    words = sum(core.needed.synapse_words for core in artifact.cores)
    possible = sum(int(np.prod(edge.weights.shape)) for edge in network.projections)
    steps = int(counts.neurons.sum()) * counts.timesteps
    return {
        "footprint": words * profile.synapse.word_bits // 8,
        "connection_sparsity": 1 - network.synapses / possible,
        "activation_sparsity": 1 - int(counts.spikes.sum()) / counts.samples / steps,
        "synaptic_operations": {
            "Effective_MACs": 0,
            "Effective_ACs": int(counts.synapse_events.sum()) / counts.samples,
            "Dense": possible * counts.timesteps,
        },
        "membrane_updates": steps,
    }
