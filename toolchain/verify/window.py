"""A window of two rasters of one sample, small enough to be kept in a verdict and to be drawn.

It lies around the first bit that differs. What is left out is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.network import QuantizedNetwork, in_causal_order
from toolchain.raster import BoolArray, Raster

TIMESTEPS, NEURONS, POPULATIONS = 64, 48, 12  # at most so many of each are kept
_AHEAD = 24  # timesteps kept before the cursor, where not all are
SIGNS = ".=-+"  # none spikes; both; only the expected side; only the judged one
_ONLY = 2  # the first of the signs that differ

SignArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pane:
    """One population: a row of SIGNS for each neuron that is kept, a sign for each timestep."""

    population: str
    size: int  # neurons it has
    neurons: tuple[int, ...]  # those kept, ascending
    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Both sides of one arrow in one sample."""

    against: str  # the side that says what is expected
    backend: str  # the side that is judged
    sample: int
    start: int  # the first timestep that is kept, of the local clocks
    cursor: int | None  # the first timestep in which a bit of this sample differs
    timesteps: int  # of the whole sample
    panes: tuple[Pane, ...]  # in causal order
    left_out: int  # populations

    def to_json(self) -> dict[str, Any]:
        """The window as JSON, with the meaning of its signs."""
        return {
            "against": self.against,
            "backend": self.backend,
            "sample": self.sample,
            "start": self.start,
            "cursor": self.cursor,
            "timesteps": self.timesteps,
            "left_out": self.left_out,
            "signs": dict(zip(("neither", "both", "expected", "judged"), SIGNS, strict=True)),
            "populations": [
                {
                    "population": pane.population,
                    "size": pane.size,
                    "neurons": list(pane.neurons),
                    "rows": list(pane.rows),
                }
                for pane in self.panes
            ],
        }


def window(
    expected: Raster, actual: Raster, network: QuantizedNetwork, *, against: str, backend: str
) -> Window | None:
    """The first sample that differs in any population, else the first; None where there is none."""
    names = [population.name for population in in_causal_order(network)]
    if 0 in (expected.samples, expected.timesteps):
        return None
    sample = _sample(expected, actual, names)
    signs = {
        name: _signs(expected.spikes[name][sample], actual.spikes[name][sample]) for name in names
    }
    cursor = min((t for name in names for t in _differing(signs[name])[:1]), default=None)
    start = max(0, min((cursor or 0) - _AHEAD, expected.timesteps - TIMESTEPS))
    shown = {name: rows[start : start + TIMESTEPS] for name, rows in signs.items()}
    kept = _kept(names, shown)
    return Window(
        against=against,
        backend=backend,
        sample=sample,
        start=start,
        cursor=cursor,
        timesteps=expected.timesteps,
        panes=tuple(_pane(name, shown[name]) for name in kept),
        left_out=len(names) - len(kept),
    )


def _sample(expected: Raster, actual: Raster, names: Sequence[str]) -> int:
    for sample in range(expected.samples):
        if any((expected.spikes[n][sample] != actual.spikes[n][sample]).any() for n in names):
            return sample
    return 0


def _signs(expected: BoolArray, actual: BoolArray) -> SignArray:
    """(timesteps, neurons) indices into SIGNS."""
    return np.select([expected & actual, expected, actual], [1, 2, 3], 0)


def _differing(signs: SignArray) -> list[int]:
    """Timesteps in which a bit differs."""
    found: list[int] = np.flatnonzero((signs >= _ONLY).any(axis=1)).tolist()
    return found


def _kept(names: Sequence[str], shown: dict[str, SignArray]) -> list[str]:
    """Those that differ before those that do not, and both in causal order."""
    ranked = sorted(names, key=lambda name: not _differing(shown[name]))[:POPULATIONS]
    return [name for name in names if name in ranked]


def _pane(name: str, signs: SignArray) -> Pane:
    """Neurons that differ earliest come first, then those that spike most."""
    differ = signs >= _ONLY
    earliest = np.where(differ.any(axis=0), differ.argmax(axis=0), len(signs))
    order = np.lexsort((-(signs > 0).sum(axis=0), earliest))
    kept = np.sort(order[:NEURONS])
    return Pane(
        population=name,
        size=signs.shape[1],
        neurons=tuple(kept.tolist()),
        rows=tuple("".join(SIGNS[sign] for sign in signs[:, n]) for n in kept),
    )
