"""An artifact as the simulator runs it: stages in order, and the edges that reach each of them.

A stage is a population, or several that a loop ties together. What comes from earlier stages can
be delivered over the whole time axis before the stage runs; only loops need one timestep after
another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.arithmetic import ALIGN_BITS, STATE_LIMIT
from toolchain.artifact import Artifact, reassemble
from toolchain.errors import InputError
from toolchain.network import (
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
    activation_bounds,
    in_causal_order,
    lag,
)

WIDTH = 128  # targets in one block of weight rows; a population is padded to whole blocks
_PAIRS = 32  # pairs of bytes in a vector register
PAIRED = 128  # is added to the low byte of a pair, which so becomes one without a sign
_LINE = 64  # bytes of a line of the cache
_WIDEST = 2**17  # |a| below it: a << 6 and a state, added, stay within one wrap and int32

Int32 = NDArray[np.int32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Edge:
    """A projection between two places; its forms are made when a way first asks for them."""

    origin: int  # stage of the source; -1 for the input
    first: int  # column of the source's first neuron in its stage's raster
    start: int  # column of the target's first neuron in its stage's raster
    target: int  # position of the target population within its stage
    lag: int
    shift: int  # weight_exponent
    matrix: csr_array  # (source, target) int64, even

    @cached_property
    def sources(self) -> int:
        """Neurons of the source."""
        return int(self.matrix.shape[0])

    @cached_property
    def blocks(self) -> int:
        """Blocks of targets."""
        return -(-int(self.matrix.shape[1]) // WIDTH)

    @cached_property
    def fan_out(self) -> float:
        """Synapses of a source, on average."""
        return int(self.matrix.nnz) / self.sources

    @cached_property
    def halves(self) -> NDArray[np.int8]:
        """(source, padded target) half of each weight: even numbers in -256..254 in 8 bits."""
        dense = np.zeros((self.sources, self.blocks * WIDTH), np.int8)
        row = np.repeat(np.arange(self.sources), np.diff(self.matrix.indptr))
        dense[row, self.matrix.indices] = self.matrix.data // 2
        return dense

    @cached_property
    def rows(self) -> NDArray[np.int8]:
        """(blocks, source, 128) `halves` in pairs, the rows of a block of targets in one piece."""
        rows = aligned((self.blocks, self.sources, WIDTH), np.int8)
        rows[:] = pair(self.halves.reshape(self.sources, self.blocks, WIDTH).transpose(1, 0, 2))
        return rows

    @cached_property
    def lists(self) -> tuple[IntArray, Int32, NDArray[np.int16]]:
        """(source + 1,) pointers, targets and weights << exponent: -256 << 7 still fits."""
        weights = self.matrix.data << self.shift
        pointers, targets = self.matrix.indptr, self.matrix.indices
        return pointers.astype(np.int64), targets.astype(np.int32), weights.astype(np.int16)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stage:
    """Populations side by side in one raster, each padded to whole blocks, in causal order."""

    populations: tuple[QuantizedPopulation, ...]
    columns: dict[str, slice]  # without the padding
    table: IntArray  # (populations, 4) first column, last + 1, keep_u, keep_v; of 4096
    bias: Int32  # (width,)
    threshold: Int32  # (width,) aligned; no v of the padding is above it
    incoming: tuple[Edge, ...]  # from earlier stages
    loops: tuple[Edge, ...]  # among these populations, by target

    @property
    def width(self) -> int:
        """Columns, the padding among them."""
        return len(self.bias)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """What the packed cores compute."""

    network: QuantizedNetwork
    stages: tuple[Stage, ...]


def pair(halves: NDArray[np.int8]) -> NDArray[np.int8]:
    """(..., 128) numbers as pairs of bytes: of every 64, one of the first 32, one of the others.

    The first of a pair is the low byte of a number of 16 bits and has `PAIRED` added to it.
    """
    pairs = halves.reshape(*halves.shape[:-1], -1, 2, _PAIRS).swapaxes(-1, -2).view(np.uint8).copy()
    pairs[..., 0] += np.uint8(PAIRED)
    return pairs.reshape(halves.shape).view(np.int8)


def unpair(pairs: NDArray[np.int8]) -> NDArray[np.int8]:
    """What `pair` was given."""
    halves = pairs.reshape(*pairs.shape[:-1], -1, _PAIRS, 2).view(np.uint8).copy()
    halves[..., 0] += np.uint8(PAIRED)
    return halves.swapaxes(-1, -2).reshape(pairs.shape).view(np.int8)


def aligned(shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """Zeros that begin where a line of the cache does: no vector of them lies in two lines."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    raw = np.zeros(size + _LINE, np.uint8)
    first = -raw.ctypes.data % _LINE
    return raw[first : first + size].view(kind).reshape(shape)


def compile_program(artifact: Artifact) -> Program:
    """Put an artifact's matrices together again from its cores and order them into stages.

    Raises InputError where a sum of arriving weights could leave the simulator's integers.
    """
    network = artifact.network
    edges = reassemble(artifact.image)
    check_range(edges)
    groups = stages_of(network)
    laid = [_lay(group) for group in groups]
    origin = {network.input.name: (-1, slice(0, network.input.size))}
    for number, columns in enumerate(laid):
        origin |= {name: (number, where) for name, where in columns.items()}
    return Program(
        network=network,
        stages=tuple(
            _stage(network, group, columns, edges, origin)
            for group, columns in zip(groups, laid, strict=True)
        ),
    )


def check_range(edges: Sequence[QuantizedProjection]) -> None:
    """Refuse weights whose sum could reach 2^17; below it int32 holds every state exactly.

    |decay(u)| < 2^23 and |a << 6| < 2^23, so their sum is within one wrap, as the chip's is.
    """
    for name, bound in activation_bounds(edges).items():
        if bound >= _WIDEST:
            raise InputError(
                f"population '{name}': up to {bound:,} can arrive in one timestep, the simulator"
                f" holds {_WIDEST - 1:,}, over by {bound - _WIDEST + 1:,}; map the network again"
                " (the quantizer keeps it below 32,768), or use --backend reference"
            )


def stages_of(network: QuantizedNetwork) -> list[list[QuantizedPopulation]]:
    """Populations that reach each other in one group; groups after all that reach them."""
    order = in_causal_order(network)
    place = {population.name: number for number, population in enumerate(order)}
    reaches = np.eye(len(order), dtype=bool)
    for edge in network.projections:
        if edge.source in place:
            reaches[place[edge.source], place[edge.target]] = True
    for middle in range(len(order)):  # the closure, after Warshall
        reaches |= np.outer(reaches[:, middle], reaches[middle])
    tied = reaches & reaches.T
    # A group has fewer ancestors than every group that it reaches.
    first = {n: (int(reaches[:, n].sum()), int(tied[n].argmax())) for n in range(len(order))}
    keys = sorted(set(first.values()))
    return [[p for n, p in enumerate(order) if first[n] == key] for key in keys]


def _lay(group: Sequence[QuantizedPopulation]) -> dict[str, slice]:
    padded = [-(-population.size // WIDTH) * WIDTH for population in group]
    starts = np.cumsum([0, *padded]).tolist()
    return {p.name: slice(s, s + p.size) for p, s in zip(group, starts, strict=False)}


def _stage(
    network: QuantizedNetwork,
    group: Sequence[QuantizedPopulation],
    columns: dict[str, slice],
    edges: Sequence[QuantizedProjection],
    origin: dict[str, tuple[int, slice]],
) -> Stage:
    names = list(columns)
    made = [
        Edge(
            origin=origin[edge.source][0],
            first=origin[edge.source][1].start,
            start=columns[edge.target].start,
            target=names.index(edge.target),
            lag=lag(network, edge),
            shift=edge.weight_exponent,
            matrix=edge.weights.T.tocsr(),
        )
        for edge in sorted(
            (edge for edge in edges if edge.target in columns),
            key=lambda edge: names.index(edge.target),
        )
    ]
    own = origin[names[0]][0]
    stops = [*(columns[name].start for name in names[1:]), _padded(group)]
    table = [
        [columns[p.name].start, stop, 4095 - p.decay_u, 4096 - p.decay_v]
        for p, stop in zip(group, stops, strict=True)
    ]
    bias, threshold = np.zeros(stops[-1], np.int32), np.full(stops[-1], STATE_LIMIT, np.int32)
    for p in group:
        bias[columns[p.name]] = p.bias_mantissa << p.bias_exponent
        threshold[columns[p.name]] = p.threshold << ALIGN_BITS
    return Stage(
        populations=tuple(group),
        columns=columns,
        table=np.array(table, np.int64),
        bias=bias,
        threshold=threshold,
        incoming=tuple(edge for edge in made if edge.origin != own),
        loops=tuple(edge for edge in made if edge.origin == own),
    )


def _padded(group: Sequence[QuantizedPopulation]) -> int:
    return sum(-(-population.size // WIDTH) * WIDTH for population in group)
