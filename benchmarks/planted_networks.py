"""Networks in which faults are planted: random, small, and spread over several cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from toolchain.artifact import Artifact, make_artifact
from toolchain.hardware import find_profile
from toolchain.mapper.assemble import assemble
from toolchain.mapper.pipeline import pack
from toolchain.network import Input, QuantizedNetwork, QuantizedPopulation, QuantizedProjection


def _population(
    rng: np.random.Generator, name: str, size: int, **given: Any
) -> QuantizedPopulation:
    plain: dict[str, Any] = {
        "decay_u": int(rng.integers(900, 2500)),
        "decay_v": int(rng.integers(200, 900)),
        "threshold": rng.integers(150, 260) + rng.integers(0, 3, size) * 16,
        "bias_mantissa": rng.integers(0, 700, size),
        "bias_exponent": 2,
        "unit": np.ones(size),
    }
    return QuantizedPopulation(name=name, size=size, **(plain | given))


def _projection(
    source: str, target: str, weights: csr_array, exponent: int = 0
) -> QuantizedProjection:
    return QuantizedProjection(
        source=source,
        target=target,
        weights=weights,
        delay=1,
        weight_exponent=exponent,
        weight_bits=8,
    )


def _random(
    rng: np.random.Generator, targets: int, sources: int, density: float = 0.5
) -> csr_array:
    values = (
        np.clip(np.round(rng.normal(14, 45, (targets, sources))), -128, 127).astype(np.int64) * 2
    )
    return csr_array(values * (rng.random((targets, sources)) < density))


def _kernels(rng: np.random.Generator, channels: int, sources: int, side: int) -> csr_array:
    """A 3 x 3 convolution with a border of zeros, unrolled."""
    kernel = np.clip(np.round(rng.normal(8, 45, (channels, sources, 3, 3))), -128, 127) * 2
    full = np.zeros((channels, side, side, sources, side, side), np.int64)
    for y in range(side):
        for x in range(side):
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    if 0 <= y + dy < side and 0 <= x + dx < side:
                        full[:, y, x, :, y + dy, x + dx] = kernel[:, :, dy + 1, dx + 1]
    return csr_array(full.reshape(channels * side * side, -1))


def layers(rng: np.random.Generator) -> QuantizedNetwork:
    """Three populations, one after the other."""
    sizes = {"input": 16, "first": 24, "second": 24, "answer": 8}
    names = list(sizes)
    return QuantizedNetwork(
        input=Input(name="input", size=sizes["input"]),
        populations=tuple(_population(rng, name, sizes[name]) for name in names[1:]),
        projections=tuple(
            _projection(before, after, _random(rng, sizes[after], sizes[before]))
            for before, after in pairwise(names)
        ),
        output="answer",
    )


def kernels(rng: np.random.Generator) -> QuantizedNetwork:
    """Two convolutions of 3 x 3 on planes of 5 x 5, and an answer."""
    return QuantizedNetwork(
        input=Input(name="input", size=50),
        populations=(
            _population(rng, "first", 75),
            _population(rng, "second", 50),
            _population(rng, "answer", 6),
        ),
        projections=(
            _projection("input", "first", _kernels(rng, 3, 2, 5)),
            _projection("first", "second", _kernels(rng, 2, 3, 5)),
            _projection("second", "answer", _random(rng, 6, 50, 0.3)),
        ),
        output="answer",
    )


def loop(rng: np.random.Generator) -> QuantizedNetwork:
    """A recurrent population, between a layer and an answer."""
    return QuantizedNetwork(
        input=Input(name="input", size=16),
        populations=(
            _population(rng, "first", 20),
            _population(rng, "second", 20),
            _population(rng, "answer", 8),
        ),
        projections=(
            _projection("input", "first", _random(rng, 20, 16)),
            _projection("first", "second", _random(rng, 20, 20)),
            _projection("second", "second", _random(rng, 20, 20, 0.2)),
            _projection("second", "answer", _random(rng, 8, 20)),
        ),
        output="answer",
    )


def storm(rng: np.random.Generator) -> QuantizedNetwork:
    """Much arrives and little is lost: u wraps, v saturates."""
    heavy = [_random(rng, 12, 16, 0.9), _random(rng, 12, 12, 0.7), _random(rng, 4, 12)]
    slow = {"decay_u": 3, "decay_v": 5, "bias_exponent": 7}
    sizes = {"first": 12, "second": 12, "answer": 4}
    names = ["input", *sizes]
    return QuantizedNetwork(
        input=Input(name="input", size=16),
        populations=tuple(
            _population(rng, name, size, **slow, threshold=rng.integers(100_000, 131_000, size))
            for name, size in sizes.items()
        ),
        projections=tuple(
            _projection(before, after, weights, exponent=5)
            for before, after, weights in zip(names, names[1:], heavy, strict=False)
        ),
        output="answer",
    )


def fine(rng: np.random.Generator) -> QuantizedNetwork:
    """Little is lost and much is added up before a spike: small errors of the states matter."""
    network = layers(rng)
    slow = {"decay_u": 300, "decay_v": 12}
    populations = tuple(replace(p, **slow, threshold=p.threshold * 4) for p in network.populations)
    edges = tuple(replace(e, weights=_lower(e.weights, 20)) for e in network.projections)
    return replace(network, populations=populations, projections=edges)


def _lower(weights: csr_array, by: int) -> csr_array:
    """Synapses that are weaker, or more inhibitory, so that states are often below zero."""
    data = np.clip(weights.data - by, -256, 254)
    return csr_array((data, weights.indices, weights.indptr), shape=weights.shape)


def even(rng: np.random.Generator) -> QuantizedNetwork:
    """Nothing is lost of v, all of u, and there is no bias: v often equals its threshold."""
    network = layers(rng)
    populations = tuple(
        replace(p, decay_u=4095, decay_v=0, bias_mantissa=p.bias_mantissa * 0)
        for p in network.populations
    )
    return replace(network, populations=populations)


SHAPES: dict[str, Callable[[np.random.Generator], QuantizedNetwork]] = {
    "layers": layers,
    "kernels": kernels,
    "loop": loop,
    "storm": storm,
    "fine": fine,
    "even": even,
}


def place(network: QuantizedNetwork) -> Artifact:
    """The network on small cores, so that populations are spread over several."""
    profile = find_profile("tiny")
    packed, bounds = pack(network, profile, "akin")
    return make_artifact(profile, assemble(network, packed, bounds, dropped=0, trained=""))
