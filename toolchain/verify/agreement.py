"""Two rasters of one artifact, chunk by chunk as they come: how far they agree so far.

For a board that shows some populations only, and for runs that are too long to be held: what is
counted needs no memory. Where every bit agrees, `equal` says so; there is no tolerance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from toolchain.artifact import Artifact
from toolchain.errors import InputError
from toolchain.raster import IntArray, Raster, decisions
from toolchain.verify.compare import Mismatch


@dataclass(slots=True, kw_only=True, eq=False)
class Tally:
    """What was compared so far. `add` takes the chunks of a run in any order, each once."""

    artifact: Artifact
    samples: int = 0
    labelled: int = 0  # samples whose label is known
    right: int = 0  # of those, decided as labelled
    same_decisions: int = 0
    shared_spikes: int = 0  # that both sides have
    spikes_compared: int = 0  # that either has
    neuron_steps_compared: int = 0
    mismatches: int = 0
    first_mismatch: Mismatch | None = None
    populations: list[str] = field(default_factory=list)  # that the judged side shows

    def add(self, start: int, expected: Raster, actual: Raster, labels: IntArray | None) -> None:
        """Count a chunk that begins at sample `start`; `actual` may lack populations.

        Raises InputError where shapes differ, or other populations are shown than before.
        """
        shown = [p.name for p in self.artifact.network.populations if p.name in actual.spikes]
        if self.samples and shown != self.populations:
            raise InputError(
                f"from sample {start} on {', '.join(shown)} are shown, before that"
                f" {', '.join(self.populations)}; a run shows the same populations throughout"
            )
        self.populations = shown
        output = self.artifact.network.output
        for name in shown:
            self._count(start, name, expected, actual)
        decided = decisions(actual, output)
        self.samples += actual.samples
        self.same_decisions += int((decided == decisions(expected, output)).sum())
        if labels is not None:
            self.labelled += len(labels)
            self.right += int((decided == labels).sum())

    def _count(self, start: int, name: str, expected: Raster, actual: Raster) -> None:
        left, right = expected.spikes[name], actual.spikes[name]
        if left.shape != right.shape:
            raise InputError(
                f"rasters of '{name}' have different shapes, {left.shape} and {right.shape}"
                " (samples, timesteps, neurons): they come from different stimuli"
            )
        differ = left != right
        self.neuron_steps_compared += differ.size
        self.shared_spikes += int((left & right).sum())
        self.spikes_compared += int((left | right).sum())
        found = int(differ.sum())
        self.mismatches += found
        if found:
            sample, timestep, neuron = np.unravel_index(differ.argmax(), differ.shape)
            wanted = bool(left[sample, timestep, neuron])
            where = (start + int(sample), int(timestep), name, int(neuron))
            self._remember(where, wanted)

    def _remember(self, where: tuple[int, int, str, int], wanted: bool) -> None:
        """Keep the first one: by sample, by timestep, then down the network."""
        sample, timestep, name, neuron = where
        first = self.first_mismatch
        order = [population.name for population in self.artifact.network.populations]
        if first is None or (sample, timestep, order.index(name)) < (
            first.sample,
            first.timestep,
            order.index(first.population),
        ):
            self.first_mismatch = Mismatch(
                sample=sample,
                timestep=timestep,
                population=name,
                neuron=neuron,
                core=self.artifact.core_of(name, neuron),
                expected=wanted,
                actual=not wanted,
            )

    @property
    def equal(self) -> bool:
        """Whether every bit is equal; a comparison of nothing, or of silence, is not."""
        return self.mismatches == 0 and self.spikes_compared > 0

    @property
    def accuracy(self) -> float | None:
        """Share of labelled samples decided as labelled; None without labels."""
        return self.right / self.labelled if self.labelled else None

    @property
    def agreement(self) -> Mapping[str, float]:
        """Shares of equal decisions, and of spikes that both have among those that either has."""
        spikes = self.shared_spikes / self.spikes_compared if self.spikes_compared else 1.0
        return {
            "decisions": self.same_decisions / self.samples if self.samples else 1.0,
            "spikes": spikes,
        }

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON."""
        first = self.first_mismatch
        return {
            "equal": self.equal,
            "samples": self.samples,
            "spikes_compared": self.spikes_compared,
            "neuron_steps_compared": self.neuron_steps_compared,
            "mismatches": self.mismatches,
            "first_mismatch": None if first is None else asdict(first),
            "accuracy": {} if self.accuracy is None else {"deployed": self.accuracy},
            "agreement": dict(self.agreement),
            "populations": list(self.populations),
        }
