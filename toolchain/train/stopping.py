"""When rewiring ends before stop_epoch: one function per rule, over what the epochs showed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an epoch showed, before the rewiring that follows it."""

    validation: float  # accuracy, a share
    pq_index: float  # of the rewired layers, each by its number of synapses


def never(epochs: Sequence[Seen], patience: int) -> bool:
    """Only stop_epoch ends it."""
    del epochs, patience
    return False


def validation_stalled(epochs: Sequence[Seen], patience: int) -> bool:
    """Whether the best validation lies `patience` epochs back; of equal ones, the latest counts."""
    latest_first = [epoch.validation for epoch in reversed(epochs)]
    return int(np.argmax(latest_first)) >= patience


def pq_turned(epochs: Sequence[Seen], patience: int) -> bool:
    """Whether the PQ index fell, and has been above its lowest for `patience` epochs.

    Diao et al., arXiv 2302.05601: as pruning goes on the index falls, then rises where the network
    can be compressed no further. Using that to stop is ours; the two-stage paper has no rule.
    """
    indices = [epoch.pq_index for epoch in epochs]
    lowest = len(indices) - 1 - int(np.argmin(indices[::-1]))
    return indices[lowest] < indices[0] and len(indices) - 1 - lowest >= patience


STOP_RULES: dict[str, Callable[[Sequence[Seen], int], bool]] = {
    "density": never,
    "epoch": never,
    "validation": validation_stalled,
    "pq-turn": pq_turned,
}
