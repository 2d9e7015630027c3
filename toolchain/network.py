"""The network between training and mapping: neurons, synapses, and when each layer's clock starts.

`Network` is what was trained (real numbers), `QuantizedNetwork` what the chip holds (integers): two
classes, so that a type checker keeps the phases apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.arithmetic import on_grid
from toolchain.encoding import Encoding
from toolchain.errors import InputError, UnsupportedError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SMALLEST = 1e-30  # smaller magnitudes are no unit to scale by: their inverse may not be finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """The neurons outside the chip whose spikes are the stimulus."""

    name: str
    size: int  # neurons, >= 1

    def __post_init__(self) -> None:
        _require(self.size >= 1, f"input '{self.name}': size must be at least 1, is {self.size}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Population:
    """Leaky integrate-and-fire neurons that share their dynamics.

    u[t] = (1 - decay_u) u[t-1] + a[t]        a: the weights that arrive at t, summed
    v[t] = (1 - decay_v) v[t-1] + u[t] + bias
    s[t] = v[t] > threshold, strictly;        then v[t] = 0 where s[t]
    """

    name: str
    size: int  # neurons, >= 1
    decay_u: float  # share of u lost per timestep, in (0, 1]
    decay_v: float  # share of v lost per timestep, in [0, 1]
    threshold: float  # in units of v, 1e-30..1e30
    bias: FloatArray  # (size,) in units of v, added every timestep

    def __post_init__(self) -> None:
        who = f"population '{self.name}'"
        _require(self.size >= 1, f"{who}: size must be at least 1, is {self.size}")
        _require(0 < self.decay_u <= 1, f"{who}: decay_u must be in (0, 1], is {self.decay_u}")
        _require(0 <= self.decay_v <= 1, f"{who}: decay_v must be in [0, 1], is {self.decay_v}")
        _require(
            SMALLEST <= self.threshold <= 1 / SMALLEST,
            f"{who}: threshold must be in {SMALLEST:g}..{1 / SMALLEST:g}, is {self.threshold}",
        )
        _require(
            self.bias.shape == (self.size,) and bool(np.all(np.isfinite(self.bias))),
            f"{who}: bias must be {self.size} finite numbers, has shape {self.bias.shape}",
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """Synapses from one population, or the input, to a population."""

    source: str
    target: str
    weights: csr_array  # (target, source) float64; a stored entry is a synapse, even at weight 0
    delay: int = 1  # timesteps from a spike to the current it causes, >= 1

    def __post_init__(self) -> None:
        _check_projection(self)
        _require(
            bool(np.all(np.isfinite(self.weights.data))),
            f"projection '{self.source}' -> '{self.target}': a weight is not finite",
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedPopulation:
    """A population as the chip holds it; its step is `arithmetic.next_u`, `next_v`, `fire`."""

    name: str
    size: int  # neurons, >= 1
    decay_u: int  # register: the chip loses (decay_u + 1) / 4096 of u per timestep; 0..4095
    decay_v: int  # share of v lost per timestep, in 1/4096; 0..4096
    threshold: IntArray  # (size,) mantissas; v is compared with threshold << 6; 0..131071
    bias_mantissa: IntArray  # (size,), -4096..4095
    bias_exponent: int  # bias = mantissa << exponent; 0..7
    unit: FloatArray  # (size,) u and v in the trained network's units = integer * unit

    def __post_init__(self) -> None:
        who = f"population '{self.name}'"
        limits = {"decay_u": 4095, "decay_v": 4096, "bias_exponent": 7}
        for field, limit in limits.items():
            value = getattr(self, field)
            _require(0 <= value <= limit, f"{who}: {field} must be in 0..{limit}, is {value}")
        _require(self.size >= 1, f"{who}: size must be at least 1, is {self.size}")
        fits = self.bias_mantissa.shape == (self.size,) and bool(
            np.all(np.abs(self.bias_mantissa + 0.5) < 2**12)
        )
        _require(fits, f"{who}: bias_mantissa must be {self.size} integers in -4096..4095")
        fits = self.threshold.shape == (self.size,) and bool(
            np.all((self.threshold >= 0) & (self.threshold < 2**17))
        )
        _require(fits, f"{who}: threshold must be {self.size} integers in 0..131071")
        fits = self.unit.shape == (self.size,) and bool(np.all(self.unit > 0))
        _require(fits, f"{who}: unit must be {self.size} positive numbers")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedProjection:
    """Synapses whose weights stand on the chip's grid."""

    source: str
    target: str
    weights: csr_array  # (target, source) int64 on the mixed-sign grid of `weight_bits`
    delay: int  # timesteps from a spike to the current it causes, >= 1
    weight_exponent: int  # the sum of arriving weights is shifted left by it; 0..7
    weight_bits: int  # 1..8

    def __post_init__(self) -> None:
        _check_projection(self)
        who = f"projection '{self.source}' -> '{self.target}'"
        _require(1 <= self.weight_bits <= 8, f"{who}: weight_bits must be in 1..8")
        _require(0 <= self.weight_exponent <= 7, f"{who}: weight_exponent must be in 0..7")
        _require(
            on_grid(self.weights.data, self.weight_bits),
            f"{who}: a weight is off the mixed-sign grid of {self.weight_bits} bits",
        )


class _Edge(Protocol):
    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def delay(self) -> int: ...
    @property
    def weights(self) -> csr_array: ...


class _Node(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A trained network in real numbers. Order is meaning; names are unique."""

    input: Input
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    output: str  # the population whose spike counts are the answer
    encoding: Encoding | None = None  # how raw samples became the input's spikes, where known

    def __post_init__(self) -> None:
        _check_graph(self.input, self.populations, self.projections, self.output)
        _check_encoding(self.input, self.encoding)

    @property
    def synapses(self) -> int:
        """Synapses that exist, those at weight 0 among them."""
        return sum(projection.weights.nnz for projection in self.projections)

    @property
    def density(self) -> float:
        """Existing synapses as a share of those that full matrices would hold."""
        return self.synapses / sum(int(np.prod(p.weights.shape)) for p in self.projections)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantizedNetwork:
    """A network on the chip's integers: what the packed cores, and Lava, must reproduce."""

    input: Input
    populations: tuple[QuantizedPopulation, ...]
    projections: tuple[QuantizedProjection, ...]
    output: str
    encoding: Encoding | None = None  # the trained network's, unchanged

    def __post_init__(self) -> None:
        _check_graph(self.input, self.populations, self.projections, self.output)
        _check_encoding(self.input, self.encoding)

    @property
    def synapses(self) -> int:
        """Synapses that exist."""
        return sum(projection.weights.nnz for projection in self.projections)

    def population(self, name: str) -> QuantizedPopulation:
        """The population of this name."""
        return next(p for p in self.populations if p.name == name)


def starts(network: Network | QuantizedNetwork) -> dict[str, int]:
    """Timestep at which each local clock starts: when the first input can arrive.

    The length of the shortest way from the input, in timesteps of delay. The input starts at 0.
    """
    return _starts(network.input.name, network.projections)


def lag(network: Network | QuantizedNetwork, projection: _Edge) -> int:
    """Local timesteps between a spike and its effect, on the clocks of source and target; >= 0.

    a[t] = W s[t - lag]. 0 for every feed-forward projection whose delay keeps the clocks aligned,
    the delay itself for a recurrent one.
    """
    clock = starts(network)
    return clock[projection.source] + projection.delay - clock[projection.target]


def _starts(origin: str, projections: Sequence[_Edge]) -> dict[str, int]:
    reached = {origin: 0}
    for _ in projections:  # a shortest way has at most so many edges
        for edge in projections:
            if edge.source in reached:
                arrival = reached[edge.source] + edge.delay
                reached[edge.target] = min(arrival, reached.get(edge.target, arrival))
    return reached


def activation_bounds(projections: Iterable[QuantizedProjection]) -> dict[str, int]:
    """Population -> the largest |a| that its weights can sum to, whatever spikes.

    max over neurons of the sum, over all of one sign that reaches one, of |weight| <<
    weight_exponent: it is largest where every source of that sign spikes at once.
    """
    total: dict[tuple[str, int], IntArray] = {}
    for edge in projections:
        for sign in (1, -1):
            mine = np.asarray((edge.weights * sign).maximum(0).sum(axis=1), np.int64)
            mine <<= edge.weight_exponent
            total[edge.target, sign] = total.get((edge.target, sign), np.zeros_like(mine)) + mine
    names = dict.fromkeys(name for name, _ in total)
    return {name: max(int(total[name, sign].max()) for sign in (1, -1)) for name in names}


def in_causal_order(network: QuantizedNetwork) -> list[QuantizedPopulation]:
    """Populations by the start of their clocks: a spike of lag 0 always goes forward in it."""
    clock = starts(network)
    return sorted(network.populations, key=lambda population: clock[population.name])


def _check_projection(edge: _Edge) -> None:
    who = f"projection '{edge.source}' -> '{edge.target}'"
    _require(edge.delay >= 1, f"{who}: delay must be at least 1, is {edge.delay}")
    matrix = edge.weights
    _require(
        isinstance(matrix, csr_array) and matrix.has_canonical_format,
        f"{who}: weights must be compressed rows, each target's sources ascending and unique",
    )


def _check_graph(
    origin: Input, nodes: Sequence[_Node], edges: Sequence[_Edge], output: str
) -> None:
    sizes = {origin.name: origin.size} | {node.name: node.size for node in nodes}
    _require(len(nodes) >= 1, "the network has no population")
    _require(len(sizes) == len(nodes) + 1, f"names must be unique: {_names([origin, *nodes])}")
    _require("labels" not in sizes, "'labels' cannot name a population: raster files use it")
    populations = [node.name for node in nodes]
    _require(output in populations, f"output '{output}' is none of {', '.join(populations)}")
    for edge in edges:
        who = f"projection '{edge.source}' -> '{edge.target}'"
        _require(edge.source in sizes, f"{who}: no population '{edge.source}'")
        _require(edge.target in populations, f"{who}: no population '{edge.target}'")
        expected = (sizes[edge.target], sizes[edge.source])
        _require(
            edge.weights.shape == expected,
            f"{who}: weights must have shape {expected}, have {edge.weights.shape}",
        )
    unreached = [name for name in populations if name not in _starts(origin.name, edges)]
    if unreached:
        raise UnsupportedError(
            f"no projection leads from the input to {', '.join(map(repr, unreached))}, so the clock"
            " there never starts; remove the population or connect it"
        )


def _check_encoding(origin: Input, encoding: Encoding | None) -> None:
    neurons = origin.size if encoding is None else encoding.neurons
    _require(
        neurons == origin.size,
        f"input '{origin.name}': its encoding gives {neurons} neurons, it has {origin.size}",
    )


def _names(nodes: Iterable[_Node]) -> str:
    return ", ".join(node.name for node in nodes)


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)
