"""A small network with an unfriendly name, mapped, and rasters of its sizes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array

from toolchain.artifact import Artifact
from toolchain.hardware import find_profile
from toolchain.mapper.pipeline import map_network
from toolchain.network import Input, Network, Population, Projection
from toolchain.raster import Raster

HOSTILE = "<script>[bold]&\"'"
SIZES = {HOSTILE: 20, "output": 3}
SAMPLES, TIMESTEPS = 4, 6


def mapped() -> Artifact:
    rng = np.random.default_rng(0)
    names = ["input", *SIZES]
    sizes = {"input": 8} | SIZES
    projections = tuple(
        Projection(source=s, target=t, weights=csr_array(rng.normal(size=(sizes[t], sizes[s]))))
        for s, t in pairwise(names)
    )
    populations = tuple(
        Population(name=n, size=k, decay_u=0.5, decay_v=0.2, threshold=2.0, bias=np.zeros(k))
        for n, k in SIZES.items()
    )
    network = Network(
        input=Input(name="input", size=8),
        populations=populations,
        projections=projections,
        output="output",
    )
    profile = find_profile("tiny")
    return map_network(network, profile, packer="akin", watch=lambda *_: None).artifact


def random_raster(sizes: dict[str, int]) -> Raster:
    rng = np.random.default_rng(1)
    spikes = {name: rng.random((SAMPLES, TIMESTEPS, n)) < 0.3 for name, n in sizes.items()}
    return Raster(spikes=spikes, labels=np.arange(SAMPLES) % 3)
