"""How far u and v really went: counted in powers of two, over the states' whole integer range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from toolchain.arithmetic import ALIGN_BITS, STATE_LIMIT, bias_value, next_v
from toolchain.network import IntArray, QuantizedNetwork, QuantizedPopulation
from toolchain.raster import Raster
from toolchain.verify.diagnose import Probe

SAMPLES = 8  # of the stimulus: what is drawn of them changes little with more
_CELLS = 2**22  # of u or v at a time
BITS = STATE_LIMIT.bit_length()  # of the largest magnitude, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One state of a population: counts[BITS + s * b] of values with sign s and magnitude below
    2^b, at least 2^(b - 1); those at zero stand in the middle.
    """

    low: int
    high: int
    counts: tuple[int, ...]  # 2 * BITS + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What was seen of a population; v is that before its reset."""

    u: Spread
    v: Spread
    threshold: tuple[int, int]  # the least and the largest, as v is compared with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Extents:
    """What was seen of the states of a side."""

    side: str
    samples: int
    populations: Mapping[str, Extent]

    def to_json(self) -> dict[str, Any]:
        """The states as JSON."""
        return {
            "side": self.side,
            "samples": self.samples,
            "populations": {name: asdict(one) for name, one in self.populations.items()},
        }


def extents(network: QuantizedNetwork, stimulus: Raster, probe: Probe, side: str) -> Extents | None:
    """u and v of every population in the first few samples, one population at a time.

    So few samples that all these runs together are about one run of the stimulus. None where one
    population's states in one sample would be too many to hold.
    """
    most = max(population.size for population in network.populations) * stimulus.timesteps
    wanted = max(1, stimulus.samples // len(network.populations))
    samples = min(SAMPLES, wanted, stimulus.samples, _CELLS // max(most, 1))
    if samples < 1:
        return None
    some, found = stimulus.first(samples), {}
    for population in network.populations:
        held = probe(side, some, population.name)
        if held.u is None or held.v is None:
            return None
        name = population.name
        found[name] = _extent(population, held.u[name], held.v[name])
    return Extents(side=side, samples=samples, populations=found)


def _extent(population: QuantizedPopulation, u: IntArray, v: IntArray) -> Extent:
    u, v = u.astype(np.int64), v.astype(np.int64)
    held = np.concatenate([np.zeros_like(v[:, :1]), v[:, :-1]], axis=1)
    bias = bias_value(population.bias_mantissa, population.bias_exponent)
    limits = population.threshold << ALIGN_BITS
    return Extent(
        u=_spread(u),
        v=_spread(next_v(held, u, bias, population.decay_v)),
        threshold=(int(limits.min()), int(limits.max())),
    )


def _spread(values: IntArray) -> Spread:
    bits = np.frexp(np.abs(values).astype(np.float64))[1]  # exact: far below 2^53
    places = np.sign(values) * bits + BITS
    return Spread(
        low=int(values.min(initial=0)),
        high=int(values.max(initial=0)),
        counts=tuple(np.bincount(places.ravel(), minlength=2 * BITS + 1).tolist()),
    )
