"""lava-dl's layer files: integers come back as they went, and give the same spikes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import Draw, neurons, rows, seeds, synapses
from toolchain.backends.quantized import run_network
from toolchain.interchange.netx_in import read_netx
from toolchain.interchange.netx_out import write_netx
from toolchain.network import Input, QuantizedNetwork
from toolchain.raster import Raster


@st.composite
def chains(draw: Draw) -> QuantizedNetwork:
    """Chains with loops and biases, or with delays: all that a layer file can hold."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=2, max_size=4))
    rng = np.random.default_rng(draw(seeds()))
    names = ["input", *(f"p{number}" for number in range(1, len(sizes)))]
    populations, projections = [], []
    for source, target, before, size in zip(names, names[1:], sizes, sizes[1:], strict=False):
        biased = bool(rng.random() < 0.5)
        populations.append(
            neurons(
                target,
                size,
                decay_u=int(rng.integers(0, 4096)),
                decay_v=int(rng.integers(0, 4096)),
                threshold=int(rng.integers(1, 300)),
                bias_mantissa=rng.integers(-50, 50, size) * biased,
                bias_exponent=6,
            )
        )
        weights = rng.integers(-128, 128, (size, before)) * 2 * (rng.random((size, before)) < 0.7)
        weights[0, 0] = 2  # lava-dl's reader knows no layer without a weight
        projections.append(synapses(source, target, rows(weights)))
        if biased and rng.random() < 0.5:
            loop = rng.integers(-20, 20, (size, size)) * 2
            loop[0, 0] = 2
            projections.append(synapses(target, target, rows(loop)))
    return QuantizedNetwork(
        input=Input(name="input", size=sizes[0]),
        populations=tuple(populations),
        projections=tuple(projections),
        output=names[-1],
    )


@settings(max_examples=15, deadline=None)
@given(network=chains(), seed=seeds())
def test_a_chain_comes_back_and_spikes_the_same(network: QuantizedNetwork, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.net")
        write_netx(network, file)
        first = file.read_bytes()
        back = read_netx(file).network
        assert isinstance(back, QuantizedNetwork)
        write_netx(back, file)
        assert file.read_bytes() == first  # the same integers, whatever their names

    stimulus = np.random.default_rng(seed).random((2, 15, network.input.size)) < 0.5
    raster = Raster(spikes={"input": stimulus})
    mine = run_network(network, raster, states=True)
    theirs = run_network(back, raster, states=True)
    for place, population in enumerate(network.populations):
        name, other = population.name, f"layer{place}"
        assert np.array_equal(mine.raster.spikes[name], theirs.raster.spikes[other])
        assert mine.v is not None
        assert theirs.v is not None
        assert np.array_equal(mine.v[name], theirs.v[other])
