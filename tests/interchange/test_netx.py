"""lava-dl's layer files: integers come back as they went, and give the same spikes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import Draw, neurons, rows, seeds, synapses
from toolchain import codec
from toolchain.backends.quantized import run_network
from toolchain.errors import FileError
from toolchain.interchange.netx_in import read_netx
from toolchain.interchange.netx_out import write_netx
from toolchain.interchange.netx_whole import GROUP
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


@settings(max_examples=8, deadline=None)
@given(network=chains())
def test_a_chain_comes_back_to_the_last_bit(network: QuantizedNetwork) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.net")
        write_netx(network, file)
        first = file.read_bytes()

        imported = read_netx(file)

        assert codec.fingerprint(imported.network) == codec.fingerprint(network)
        assert imported.notes == ()
        write_netx(network, file)
        assert file.read_bytes() == first


@settings(max_examples=8, deadline=None)
@given(network=chains(), seed=seeds())
def test_its_layers_alone_spike_the_same(network: QuantizedNetwork, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.net")
        write_netx(network, file)
        with h5py.File(file, "r+") as held:
            del held[GROUP]
        back = read_netx(file).network
    assert isinstance(back, QuantizedNetwork)

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


def written(folder: Path) -> Path:
    network = QuantizedNetwork(
        input=Input(name="eye", size=2),
        populations=(neurons("mind", 3, threshold=5),),
        projections=(synapses("eye", "mind", rows([[2, 4], [0, -6], [8, 0]])),),
        output="mind",
    )
    write_netx(network, folder / "a.net")
    return folder / "a.net"


def test_who_changes_a_layer_has_changed_the_network(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert read_netx(file).network.output == "mind"
    with h5py.File(file, "r+") as held:
        held["layer/0/weight"][0, 0] = 6.0

    imported = read_netx(file)

    assert imported.network.projections[0].weights.toarray()[0, 0] == 6
    assert imported.network.output == "layer0"
    assert imported.notes == (
        "the layers are not those of the network in group 'snn-deploy', which is left out",
    )
    outputs = read_netx(written(tmp_path), delays="outputs")  # another reading than that network's
    assert outputs.network.output == "layer0"


def _kind(group: h5py.Group, kind: str) -> None:
    table = json.loads(group["description"][()])
    table["kinds"]["projections.0.weights.data"] = kind
    _describe(group, json.dumps(table))


def _describe(group: h5py.Group, text: str) -> None:
    del group["description"]
    group["description"] = text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda group: _describe(group, "no json"), r"group 'snn-deploy' is damaged"),
        (lambda group: _describe(group, "[" * 100_000), r"group 'snn-deploy' is damaged"),
        (lambda group: _describe(group, "{}"), r"group 'snn-deploy' is damaged"),
        (lambda group: _describe(group, '{"version": 9}'), r"version 9 is not known"),
        (lambda group: _kind(group, "object"), r"is of kind 'object'"),
        (lambda group: _kind(group, "bool"), r"holds numbers that are no bool"),
        (lambda group: group.pop("projections.0.weights.data"), r"data' is missing"),
        (lambda group: group["projections.0.weights.indices"].write_direct(np.full(4, 9)),
         r"no matrix of compressed rows"),
    ],
)  # fmt: skip
def test_a_spoilt_network_beside_the_layers_is_one_clear_error(
    tmp_path: Path, spoil: Callable[[h5py.Group], object], message: str
) -> None:
    file = written(tmp_path)
    with h5py.File(file, "r+") as held:
        spoil(held[GROUP])

    with pytest.raises(FileError, match=message):
        read_netx(file)
