"""Draws of whole networks, and the shortest way of one onto a chip.

Structure and numbers of populations are drawn by hypothesis, so that a failure shrinks to few small
populations; matrices come from a drawn seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from tests.shown import RATES, Draw, IntArray, encoded_samples, encodings, seeds, stimuli
from toolchain.arithmetic import ACTIVATION_LIMIT, weight_range, weight_step
from toolchain.artifact import Artifact, make_artifact
from toolchain.errors import DoesNotFitError
from toolchain.hardware import HardwareProfile
from toolchain.mapper.assemble import assemble
from toolchain.mapper.pipeline import pack
from toolchain.network import (
    Input,
    Network,
    Population,
    Projection,
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
)
from toolchain.raster import Raster, Recording

__all__ = ["RATES", "Draw", "IntArray", "encoded_samples", "encodings", "seeds", "stimuli"]
STORMS = st.booleans()
LONGEST_DELAY = 63  # of every profile's register
_MOST_EXTRA_PROJECTIONS = 3  # with the first one, four formats onto a core: what `tiny` holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A projection before it has synapses; the input is number 0."""

    source: int
    target: int
    delay: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network and what it is shown."""

    network: QuantizedNetwork
    stimulus: Raster


def rows(matrix: Sequence[Sequence[float]], dtype: type = np.int64) -> csr_array:
    """Compressed rows (target, source) of a matrix as it is written down; 0 is no synapse."""
    return csr_array(np.array(matrix, dtype))


def neurons(name: str, size: int, **given: Any) -> QuantizedPopulation:
    """A population that loses nothing and has no bias, but for what is given."""
    given["threshold"] = np.broadcast_to(given.get("threshold", 100), size).astype(np.int64)
    plain: dict[str, Any] = {
        "decay_u": 4095,
        "decay_v": 0,
        "bias_mantissa": np.zeros(size, np.int64),
        "bias_exponent": 0,
        "unit": np.ones(size),
    }
    return QuantizedPopulation(name=name, size=size, **(plain | given))


def synapses(
    source: str, target: str, weights: csr_array, *, delay: int = 1, exponent: int = 0
) -> QuantizedProjection:
    """A projection of 8-bit weights."""
    return QuantizedProjection(
        source=source,
        target=target,
        weights=weights,
        delay=delay,
        weight_exponent=exponent,
        weight_bits=8,
    )


def place(network: QuantizedNetwork, profile: HardwareProfile, *, packer: str = "akin") -> Artifact:
    """A quantized network on a chip, without the quantizer."""
    packed, bounds = pack(network, profile, packer)
    return make_artifact(profile, assemble(network, packed, bounds, dropped=0, trained=""))


def place_if_it_fits(network: QuantizedNetwork, profile: HardwareProfile) -> Artifact:
    """The same; a draw that no packing holds does not count."""
    try:
        return place(network, profile)
    except DoesNotFitError:
        assume(False)
        raise


def first_difference(one: Recording, other: Recording) -> str:
    """Where two recordings first differ in spikes, u or v; empty where they are equal."""
    assert set(one.raster.spikes) == set(other.raster.spikes)
    found = []
    for name in one.raster.spikes:
        for what, mine, theirs in (
            ("spikes", one.raster.spikes, other.raster.spikes),
            ("u", one.u or {}, other.u or {}),
            ("v", one.v or {}, other.v or {}),
        ):
            assert mine[name].shape == theirs[name].shape, (name, what)
            assert mine[name].size > 0, "nothing was compared"
            differs = np.argwhere(mine[name] != theirs[name])
            if len(differs):
                where = tuple(differs[0].tolist())
                found.append(
                    f"{what} of {name} at {where}: {mine[name][where]} and {theirs[name][where]}"
                )
    return "; ".join(found)


@st.composite
def cases(
    draw: Draw, *, largest: int = 20, most_samples: int = 4, most_timesteps: int = 12
) -> Case:
    """A network with a stimulus of its width; every other one is a storm, on and on."""
    storm = draw(st.booleans())
    network = draw(quantized_networks(largest=largest, storms=st.just(storm)))
    stimulus = draw(
        stimuli(
            network.input.size,
            most_samples=most_samples,
            least_timesteps=min(8, most_timesteps) if storm else 1,
            most_timesteps=most_timesteps,
            rates=(1.0, 0.9, 0.7) if storm else RATES,
        )
    )
    return Case(network=network, stimulus=stimulus)


def side_by_side(cases: Sequence[Case]) -> Case:
    """Networks that know nothing of each other as one, so that one start of Lava runs them all.

    Their inputs lie beside each other; each stimulus is repeated to the longest one's shape.
    """
    samples = max(case.stimulus.samples for case in cases)
    timesteps = max(case.stimulus.timesteps for case in cases)
    widths = [case.network.input.size for case in cases]
    starts = np.cumsum([0, *widths]).tolist()
    populations: list[QuantizedPopulation] = []
    projections: list[QuantizedProjection] = []
    for number, case in enumerate(cases):
        populations += [replace(p, name=f"{number}.{p.name}") for p in case.network.populations]
        for edge in case.network.projections:
            from_input = edge.source == case.network.input.name
            projections.append(
                replace(
                    edge,
                    source="input" if from_input else f"{number}.{edge.source}",
                    target=f"{number}.{edge.target}",
                    weights=_among(edge.weights, starts[number], starts[-1])
                    if from_input
                    else edge.weights,
                )
            )
    shown = [
        np.resize(case.stimulus.spikes["input"], (samples, timesteps, width))
        for case, width in zip(cases, widths, strict=True)
    ]
    return Case(
        network=QuantizedNetwork(
            input=Input(name="input", size=starts[-1]),
            populations=tuple(populations),
            projections=tuple(projections),
            output=populations[-1].name,
        ),
        stimulus=Raster(spikes={"input": np.concatenate(shown, axis=2)}),
    )


def _among(weights: csr_array, first: int, width: int) -> csr_array:
    """The same synapses from sources that are numbered from `first` among `width`."""
    inside = (weights.data, weights.indices + first, weights.indptr)
    return csr_array(inside, shape=(weights.shape[0], width))


@st.composite
def quantized_networks(
    draw: Draw, *, largest: int = 20, storms: st.SearchStrategy[bool] = STORMS
) -> QuantizedNetwork:
    """Legal networks: |a| stays below 2^15, all else is as extreme as registers allow."""
    sizes = draw(st.lists(st.integers(1, largest), min_size=2, max_size=5))
    names = ["input", *(f"p{number}" for number in range(1, len(sizes)))]
    edges = draw(_edges(len(sizes)))
    rng = np.random.default_rng(draw(seeds()))
    storm = draw(storms)  # much arrives and little is lost: u wraps and v saturates
    projections = [_quantized_projection(draw, edge, names, sizes, rng, storm) for edge in edges]
    populations = [
        _quantized_population(draw, name, size, rng, storm)
        for name, size in zip(names[1:], sizes[1:], strict=True)
    ]
    return QuantizedNetwork(
        input=Input(name="input", size=sizes[0]),
        populations=tuple(draw(st.permutations(populations))),
        projections=tuple(_within_limit(projections)),
        output=names[-1],
    )


@st.composite
def _edges(draw: Draw, count: int) -> list[Edge]:
    """One projection from further up to every population, then skips, loops and ways back."""
    first = [
        Edge(
            source=draw(st.sampled_from([target - 1, draw(st.integers(0, target - 1))])),
            target=target,
            delay=draw(st.sampled_from([1, 1, 1, 1, 1, 2, 4, LONGEST_DELAY])),
        )
        for target in range(1, count)
    ]
    more = st.builds(
        Edge,
        source=st.integers(0, count - 1),
        target=st.integers(1, count - 1),
        delay=st.integers(1, 3) | st.sampled_from([1, 2, 8, LONGEST_DELAY]),
    )
    return first + draw(st.lists(more, max_size=_MOST_EXTRA_PROJECTIONS))


_LOW_REGISTERS = st.integers(0, 10)
_REGISTERS = st.sampled_from([0, 4095]) | st.integers(0, 4095)
_THRESHOLDS = st.sampled_from([0, 1, 2**17 - 1]) | st.integers(0, 2000) | st.integers(0, 2**17 - 1)
_MANTISSAS: dict[str, Callable[[np.random.Generator, int], IntArray]] = {
    "none": lambda rng, size: np.zeros(size, np.int64),
    "any": lambda rng, size: rng.integers(-4096, 4096, size),
    "small": lambda rng, size: rng.integers(-64, 65, size),
    "extreme": lambda rng, size: rng.choice([-4096, 4095], size),
}


def _quantized_population(
    draw: Draw, name: str, size: int, rng: np.random.Generator, storm: bool
) -> QuantizedPopulation:
    registers = _LOW_REGISTERS if storm else _LOW_REGISTERS | _REGISTERS
    return QuantizedPopulation(
        name=name,
        size=size,
        decay_u=draw(registers),
        decay_v=draw(registers),
        threshold=rng.choice(draw(st.lists(_THRESHOLDS, min_size=1, max_size=2)), size),
        bias_mantissa=_MANTISSAS[draw(st.sampled_from(sorted(_MANTISSAS)))](rng, size),
        bias_exponent=draw(st.integers(0, 7)),
        unit=np.ones(size),
    )


_WEIGHTS: dict[str, Callable[[np.random.Generator, IntArray, int], IntArray]] = {
    "any": lambda rng, grid, size: rng.choice(grid, size),
    "small": lambda rng, grid, size: rng.choice(grid[np.argsort(np.abs(grid))[:9]], size),
    "positive": lambda rng, grid, size: rng.choice(grid[grid >= 0], size),
    "negative": lambda rng, grid, size: rng.choice(grid[grid <= 0], size),
    "lowest": lambda rng, grid, size: np.full(size, grid[0]),
    "highest": lambda rng, grid, size: np.full(size, grid[-1]),
}


def _quantized_projection(
    draw: Draw,
    edge: Edge,
    names: Sequence[str],
    sizes: Sequence[int],
    rng: np.random.Generator,
    storm: bool,
) -> QuantizedProjection:
    bits = draw(st.sampled_from([8, 8, 8, 7, 6, 5, 4, 3, 2]))
    low, high = weight_range(bits)
    grid = np.arange(low, high + 1, weight_step(bits))
    exists = _existing(rng, (sizes[edge.target], sizes[edge.source]), draw)
    kinds = ["lowest", "highest", "highest", "any"] if storm else sorted(_WEIGHTS)
    weights = _WEIGHTS[draw(st.sampled_from(kinds))](rng, grid, len(exists[0]))
    return QuantizedProjection(
        source=names[edge.source],
        target=names[edge.target],
        weights=_sparse(weights, exists, (sizes[edge.target], sizes[edge.source])),
        delay=edge.delay,
        weight_exponent=7 if storm else draw(st.integers(0, 7)),
        weight_bits=bits,
    )


def _existing(
    rng: np.random.Generator, shape: tuple[int, int], draw: Draw
) -> tuple[IntArray, IntArray]:
    density = draw(st.sampled_from([0.0, 0.1, 0.3, 0.3, 0.7, 0.7, 1.0, 1.0]))
    target, source = np.nonzero(rng.random(shape) < density)
    return target, source


def _sparse(
    values: NDArray[Any], where: tuple[IntArray, IntArray], shape: tuple[int, int]
) -> csr_array:
    """Compressed rows that keep entries of weight 0."""
    matrix = coo_array((values, where), shape=shape).tocsr()
    matrix.sum_duplicates()
    return matrix


def _within_limit(projections: Sequence[QuantizedProjection]) -> list[QuantizedProjection]:
    """Smaller exponents, and then weights, until no |a| can reach 2^15."""
    found = list(projections)
    for name in {edge.target for edge in projections}:
        mine = [position for position, edge in enumerate(found) if edge.target == name]
        while _activation([found[position] for position in mine]) >= ACTIVATION_LIMIT:
            largest = max(mine, key=lambda position: found[position].weight_exponent)
            if found[largest].weight_exponent > 0:
                lower = found[largest].weight_exponent - 1
                found[largest] = replace(found[largest], weight_exponent=lower)
            else:
                for position in mine:
                    found[position] = _halved(found[position])
    return found


def _halved(edge: QuantizedProjection) -> QuantizedProjection:
    step = weight_step(edge.weight_bits)
    weights = edge.weights.copy()
    weights.data = weights.data // (2 * step) * step
    return replace(edge, weights=weights)


def _activation(edges: Sequence[QuantizedProjection]) -> int:
    total = sum(abs(edge.weights).sum(axis=1) << edge.weight_exponent for edge in edges)
    return int(np.max(total))


@st.composite
def networks(draw: Draw, *, largest: int = 12, ratio: float = 1e3) -> Network:
    """Trained networks whose thresholds and biases are within `ratio` of their weights."""
    sizes = draw(st.lists(st.integers(1, largest), min_size=2, max_size=4))
    names = ["input", *(f"p{number}" for number in range(1, len(sizes)))]
    rng = np.random.default_rng(draw(seeds()))
    unit = 10.0 ** draw(st.integers(-9, 9))  # of all weights; means nothing to the chip
    edges = draw(_edges(len(sizes)))
    return Network(
        input=Input(name="input", size=sizes[0]),
        populations=tuple(
            _population(draw, name, size, rng, unit, ratio)
            for name, size in zip(names[1:], sizes[1:], strict=True)
        ),
        projections=tuple(
            Projection(
                source=names[edge.source],
                target=names[edge.target],
                weights=_real_weights(draw, edge, sizes, rng, unit),
                delay=edge.delay,
            )
            for edge in edges
        ),
        output=names[-1],
    )


def _population(
    draw: Draw, name: str, size: int, rng: np.random.Generator, unit: float, ratio: float
) -> Population:
    share = st.floats(0, 1, exclude_min=True) | st.sampled_from([1.0, 0.5, 1 / 4096])
    return Population(
        name=name,
        size=size,
        decay_u=draw(share),
        decay_v=draw(share | st.just(0.0)),
        threshold=unit * draw(st.floats(1 / ratio, ratio)),
        bias=rng.normal(size=size) * unit * draw(st.sampled_from([0.0, 1e-3, 0.1, 10.0])),
    )


def _real_weights(
    draw: Draw, edge: Edge, sizes: Sequence[int], rng: np.random.Generator, unit: float
) -> csr_array:
    shape = (sizes[edge.target], sizes[edge.source])
    where = _existing(rng, shape, draw)
    weights = rng.normal(size=len(where[0])) * unit
    sign = draw(st.sampled_from(["mixed", "positive", "negative"]))
    signed = {"mixed": weights, "positive": np.abs(weights), "negative": -np.abs(weights)}[sign]
    return _sparse(signed, where, shape)


def cramped(profile: HardwareProfile) -> HardwareProfile:
    """A chip whose cores hold so little that small networks fill many of them."""
    core = profile.core.model_copy(
        update={"compartments": 5, "in_axons": 100, "out_axons": 100, "synapse_words": 100}
    )
    chips = profile.chips.model_copy(update={"cores_per_chip": 64})
    return profile.model_copy(update={"core": core, "chips": chips})
