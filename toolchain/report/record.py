"""What a report reads from others' JSON files, as checked types: a training run and a verdict.

Keys that a report does not show are passed over, so that a run may say more than is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator


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
    half_line: bool = False  # whether metrics.jsonl ends in a line that is still being written

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
    contract: str | None = None
    samples: int
    neuron_steps_compared: int
    spikes_compared: int
    mismatches: int
    mismatches_per_population: dict[str, int] = {}
    mismatches_per_timestep: dict[str, tuple[int, ...]] = {}  # of the local clocks
    first_mismatch: FirstMismatch | None = None
    equal: bool


class Measured(_Record):
    """The arrow from real numbers: shares, never called equal."""

    against: str
    backend: str
    samples: int
    decisions: float
    spikes: float


class Pane(_Record):
    """One population in a window: a row for each neuron kept, a sign for each timestep."""

    population: str
    size: int
    neurons: tuple[int, ...]
    rows: tuple[str, ...]


class Window(_Record):
    """Both sides of one arrow in one sample; signs: `.` neither, `=` both, `-` only the expected
    side, `+` only the judged one.
    """

    against: str
    backend: str
    sample: int
    start: int
    cursor: int | None
    timesteps: int
    left_out: int
    populations: tuple[Pane, ...]

    @model_validator(mode="after")
    def _check_rows(self) -> Window:
        rows = [row for pane in self.populations for row in pane.rows]
        if len({len(row) for row in rows}) > 1 or set("".join(rows)) - set(".=-+"):
            raise ValueError("rows must be of one length, and of the signs . = - +")
        if any(len(pane.rows) != len(pane.neurons) for pane in self.populations):
            raise ValueError("a population needs one row for each neuron")
        return self


class Spread(_Record):
    """One state, counted: the middle is zero, each place beside it a power of two."""

    low: int
    high: int
    counts: Annotated[tuple[NonNegativeInt, ...], Field(min_length=49, max_length=49)]


class Extent(_Record):
    """u and v of one population; v before its reset."""

    u: Spread
    v: Spread
    threshold: tuple[int, int]


class States(_Record):
    """How far the states went."""

    side: str
    samples: int
    populations: dict[str, Extent]


class Moment(_Record):
    """One neuron on one side in one timestep."""

    spike: bool
    arrived: int
    input_sum: int | None = None
    u: int | None = None
    v: int | None = None
    v_before_reset: int | None = None
    note: str = ""


class First(_Record):
    """The first difference, seen from both sides."""

    sample: int
    timestep: int
    population: str
    neuron: int
    core: int
    bias: int
    threshold: int
    expected: Moment
    actual: Moment


class LayerFault(_Record):
    """A population as it ran, and computed again from what it received."""

    population: str
    free_running: int
    teacher_forced: int
    word: str


class Finding(_Record):
    """What explains a wrong population."""

    population: str
    cause: str
    evidence: str
    certain: bool
    others: tuple[str, ...] = ()
    move: str


class Diagnosis(_Record):
    """Of the first arrow that failed: where and why."""

    against: str
    backend: str
    side: str
    cause: str
    first: First
    layers: tuple[LayerFault, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


class LintFinding(_Record):
    """Something that deserves a look before deployment."""

    kind: str
    weight: str
    population: str
    count: int
    of: int
    text: str
    mend: str


class Margin(_Record):
    """How close a population's threshold decisions were."""

    decisions: int
    share_at_one: float
    spiking: tuple[NonNegativeInt, ...] = ()  # decisions by distance, in powers of two
    silent: tuple[NonNegativeInt, ...] = ()

    @model_validator(mode="after")
    def _check_bins(self) -> Margin:
        if len(self.spiking) != len(self.silent):
            raise ValueError("'spiking' and 'silent' must have as many bins")
        return self


class Margins(_Record):
    """How close the decisions of all populations were."""

    samples: int
    share_at_one: float
    populations: dict[str, Margin]


class Lint(_Record):
    """What `snn-deploy lint --json` says."""

    fingerprint: str | None = None
    findings: tuple[LintFinding, ...]
    margins: Margins | None = None


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
    measured: Measured | None = None
    diagnosis: Diagnosis | None = None
    windows: tuple[Window, ...] = ()
    states: States | None = None

    @property
    def backends(self) -> list[str]:
        """The chain's backends, from the defining one to the judged one."""
        return [*[link.against for link in self.chain[:1]], *[link.backend for link in self.chain]]
