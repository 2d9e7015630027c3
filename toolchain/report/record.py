"""What a report reads from others' JSON files, as checked types: a training run and a verdict.

Keys that a report does not show are passed over, so that a run may say more than is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class LayerEpoch(_Record):
    """One layer in one epoch; `drop` and `grow` count synapses moved at the epoch's end."""

    name: str
    density: float
    pq_index: float | None = None
    drop: int = 0
    grow: int = 0


class Epoch(_Record):
    """One line of metrics.jsonl."""

    epoch: int  # from 1
    loss: float | None = None
    accuracy: dict[str, float]  # "train", "validation"; shares
    density: float
    layers: tuple[LayerEpoch, ...]


class LayerSummary(_Record):
    """One layer as it was trained."""

    name: str
    source: str
    neurons: int
    synapses: int
    density: float
    spikes_per_neuron_step: float | None = None


class RunSummary(_Record):
    """How a run ended (summary.json)."""

    accuracy: dict[str, float]  # "validation", "test"; shares
    density: float
    unrolled_connectivity: float
    seconds: float | None = None
    epochs: int
    best_epoch: int  # the one that is deployed, from 1
    method: str
    layers: tuple[LayerSummary, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training run, finished or not."""

    summary: RunSummary | None  # None: still being written, or interrupted
    planned_epochs: int | None  # what its configuration asks for
    history: tuple[Epoch, ...]

    @property
    def finished(self) -> bool:
        """Whether the run has written its summary."""
        return self.summary is not None

    def to_json(self) -> dict[str, Any]:
        """The run as JSON."""
        ended = {} if self.summary is None else self.summary.model_dump(mode="json")
        return ended | {
            "finished": self.finished,
            "planned_epochs": self.planned_epochs,
            "history": [epoch.model_dump(mode="json") for epoch in self.history],
        }


class Demo(_Record):
    """What a demo's summary.json tells beyond the parts beside it."""

    seconds: dict[str, float] = {}  # step -> how long it took


class FirstMismatch(_Record):
    """The first spike that one side has and the other has not."""

    sample: int
    timestep: int
    population: str
    neuron: int
    core: int
    expected: bool
    actual: bool


class Link(_Record):
    """One arrow of the chain: `backend` judged against another."""

    against: str
    backend: str
    samples: int
    neuron_steps_compared: int
    spikes_compared: int
    mismatches: int
    mismatches_per_population: dict[str, int] = {}
    first_mismatch: FirstMismatch | None = None
    equal: bool


class Verdict(_Record):
    """What verify.json says."""

    fingerprint: str  # of the artifact that was judged
    equal: bool
    reason: str
    samples: int
    spikes_compared: int
    neuron_steps_compared: int
    mismatches: int
    first_mismatch: FirstMismatch | None = None
    chain: tuple[Link, ...]
    accuracy: dict[str, float] = {}  # "trained", "deployed"; shares
    agreement: dict[str, float] = {}  # "decisions", "spikes"; shares

    @property
    def backends(self) -> list[str]:
        """The chain's backends, from the defining one to the judged one."""
        return [*[link.against for link in self.chain[:1]], *[link.backend for link in self.chain]]
