"""What the cores send each other, and what an inference may take: counted, said, shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.activity import Activity, assumed_activity, measured_activity
from toolchain.artifact import Artifact
from toolchain.backends import get_backend
from toolchain.cli.inputs import read_stimulus
from toolchain.cli.options import path_option
from toolchain.cli.output import Watch, say, show, table
from toolchain.mapper.estimate import Estimate, estimate
from toolchain.mapper.pipeline import Measure
from toolchain.mapper.routing import route
from toolchain.mapper.traffic import reach, traffic
from toolchain.mesh import Loads
from toolchain.raster import Raster, check_stimulus
from toolchain.report.work import HEADINGS, estimate_rows, estimate_sentence, traffic_rows

_MOST_SAMPLES = 256  # of a run's own stimulus: more change the counts by little
_CELLS_AT_ONCE = 2**27  # of a raster that is counted and dropped again

stimulus_option = path_option(
    "--stimulus",
    help="Count the spikes that this .npz causes; without it, those of the run's own stimulus.npz"
    f" (its first {_MOST_SAMPLES} samples) where there is one.",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """An artifact at work: the mesh's loads, and the estimate."""

    artifact: Artifact
    activity: Activity
    loads: Loads
    estimate: Estimate

    def to_json(self) -> dict[str, Any]:
        """The keys `traffic` and `estimate`; counts are sums over all samples."""
        loads, activity = self.loads, self.activity
        return {
            "traffic": {
                "activity": "measured" if activity.measured else "assumed",
                "stimulus": activity.stimulus,
                "samples": activity.samples,
                "timesteps": activity.timesteps,
                "placer": self.artifact.image.placer,
                "messages": int(loads.sent.sum()),
                "spike_hops": loads.hops,
                "spike_hops_in_order": loads.hops_in_order,
                "longest_route": loads.longest,
                "busiest_link": loads.busiest_link,
                "busiest_core": {
                    "messages": int((loads.sent + loads.received).max()),
                    "synapse_events": int(loads.synapse_events.max()),
                },
            },
            "estimate": self.estimate.to_json(),
        }


def at_work(artifact: Artifact, activity: Activity | None = None) -> Work:
    """What an artifact does with so many spikes, by default those that it was placed by."""
    spikes = activity or artifact.image.activity or assumed_activity(artifact.network)
    numbers = np.array([core.number for core in artifact.cores], np.int64)
    sent = traffic(reach(artifact.image), spikes)
    return Work(
        artifact=artifact,
        activity=spikes,
        loads=route(artifact.profile, sent, numbers),
        estimate=estimate(artifact, spikes),
    )


def measuring(run: Path, stimulus: Path | None, watch: Watch) -> Measure | None:
    """How to count spikes: with the stimulus that is given, or with the run's own."""
    if stimulus is not None:
        shown = read_stimulus(stimulus, None)
    elif (run / "stimulus.npz").is_file():
        whole = read_stimulus(run / "stimulus.npz", None)
        shown = whole.first(min(whole.samples, _MOST_SAMPLES))
    else:
        return None
    return lambda artifact: count_spikes(artifact, shown, watch)


def count_spikes(artifact: Artifact, stimulus: Raster, watch: Watch) -> Activity:
    """Run the packed cores on the fast simulator and count every neuron's spikes."""
    check_stimulus(stimulus, artifact.network.input.name, artifact.network.input.size)
    backend = get_backend("simulator")
    counts = {p.name: np.zeros(p.size, np.int64) for p in artifact.network.populations}
    for some in _pieces(artifact, stimulus):
        for name, spikes in backend.run(artifact, some, watch=watch).raster.spikes.items():
            counts[name] += spikes.sum(axis=(0, 1))
    return measured_activity(artifact.network, stimulus, counts)


def _pieces(artifact: Artifact, stimulus: Raster) -> Iterator[Raster]:
    """The stimulus in pieces whose rasters fit the memory."""
    neurons = sum(population.size for population in artifact.network.populations)
    at_once = max(1, _CELLS_AT_ONCE // (neurons * max(stimulus.timesteps, 1)))
    for start in range(0, stimulus.samples, at_once):
        yield stimulus.between(start, min(start + at_once, stimulus.samples))


def show_work(work: Work) -> None:
    """The work as a person reads it."""
    answer = work.to_json()
    for name, sentence in traffic_rows(answer):
        say(f"{name:<9} {sentence}")
    say(f"\n{estimate_sentence(answer)}")
    if rows := estimate_rows(answer):
        show(table(HEADINGS, rows))
