"""What lava-dl's layers mean: read, they spike as SLAYER's equations say, step by step."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.interchange.layers import average, dense, net
from tests.strategies import Draw, seeds
from toolchain import arithmetic
from toolchain.backends.quantized import run_network
from toolchain.interchange.netx_in import read_netx
from toolchain.network import QuantizedNetwork
from toolchain.raster import Raster

Layers = dict[str, dict[str, Any]]


@st.composite
def files(draw: Draw) -> tuple[Layers, int]:
    """Layers with all that SLAYER may write, and the number of inputs."""
    rng = np.random.default_rng(draw(seeds()))
    inputs = size = int(rng.integers(1, 5)) * 2
    layers: Layers = {}
    for _ in range(draw(st.integers(1, 3))):
        neurons = int(rng.integers(1, 4)) * 2
        layers[str(len(layers))] = _random(rng, neurons, size)
        size = neurons
        if draw(st.booleans()):
            layers[str(len(layers))], size = average(neurons // 2), neurons // 2
    if len(layers) > 1 and layers[str(len(layers) - 1)].get("weight") is None:
        del layers[str(len(layers) - 1)]
    return layers, inputs


def _random(rng: np.random.Generator, size: int, before: int) -> dict[str, Any]:
    kind = "dense_rec" if rng.random() < 0.4 else "dense"
    even = 16  # so that means of two and three exponents stay on the grid
    made = dense(
        type=np.array([kind.encode()]),
        shape=np.array([size]),
        weight=rng.integers(-15, 16, (size, before)) * float(even),
        **{
            "neuron/iDecay": int(rng.integers(1, 4097)),
            "neuron/vDecay": int(rng.integers(0, 4097)),
            "neuron/vThMant": int(rng.integers(1, 300)),
            "neuron/wgtExp": int(rng.integers(-1, 3)),
            "neuron/weight_exp": int(rng.integers(-1, 2)),
        },
    )
    if kind == "dense_rec":
        made["weight_rec"] = rng.integers(-3, 4, (size, size)) * float(even)
    if rng.random() < 0.5:
        made["bias"] = rng.integers(-40, 60, size) * 2.0
    if rng.random() < 0.5:
        made["delay"] = rng.integers(0, 4, size) + 0.5
    return made


def slayer(layers: Layers, shown: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """(timesteps, neurons) spikes of every layer; a layer's delays act on its way out."""
    found, seen = {}, shown.astype(np.float64)
    for number, layer in layers.items():
        if layer["type"][0] == b"average":
            groups = int(layer["shape"][0])
            seen = seen.reshape(len(seen), groups, -1).mean(axis=2)
            continue
        spikes = _neurons(layer, seen)
        found[f"layer{number}"] = spikes
        seen = np.zeros(spikes.shape)
        late = np.broadcast_to(np.floor(layer.get("delay", 0)).astype(int), spikes.shape[1])
        for neuron, steps in enumerate(late):
            seen[steps:, neuron] = spikes[: len(spikes) - steps, neuron]
    return found


def _neurons(layer: dict[str, Any], seen: NDArray[np.float64]) -> NDArray[np.bool_]:
    size = len(layer["weight"])
    scale = 2.0 ** (layer.get("neuron/wgtExp", 0) - layer.get("neuron/weight_exp", 0))
    per = 64 / 2.0 ** layer.get("neuron/weight_exp", 0)
    bias = (np.broadcast_to(layer.get("bias", 0.0), size) * per).astype(np.int64)
    u, v = np.zeros(size, np.int64), np.zeros(size, np.int64)
    out = np.zeros((len(seen), size), bool)
    for t, arriving in enumerate(seen):
        a = layer["weight"] @ arriving * scale
        if t and "weight_rec" in layer:
            a = a + layer["weight_rec"] @ out[t - 1] * scale
        u = arithmetic.next_u(u, a.astype(np.int64), layer["neuron/iDecay"] - 1)
        v = arithmetic.next_v(v, u, bias, layer["neuron/vDecay"])
        out[t] = v > layer["neuron/vThMant"] << 6
        v = np.where(out[t], 0, v)
    return out


@settings(max_examples=8, deadline=None)
@given(made=files(), seed=seeds())
def test_layers_spike_as_they_were_trained(made: tuple[Layers, int], seed: int) -> None:
    layers, inputs = made
    shown = np.random.default_rng(seed).random((14, inputs)) < 0.5
    with tempfile.TemporaryDirectory() as folder:
        network = read_netx(net(Path(folder, "a.net"), layers), delays="outputs").network

    assert isinstance(network, QuantizedNetwork)
    ours = run_network(network, Raster(spikes={"input": shown[None]})).raster.spikes
    theirs = slayer(layers, shown)
    assert network.output == list(theirs)[-1]
    for name, spikes in theirs.items():
        assert np.array_equal(ours[name][0], spikes), name


def test_a_delayed_layer_spikes_later_neuron_by_neuron(tmp_path: Path) -> None:
    late = net(tmp_path / "a.net", {"0": dense(delay=np.array([0.0, 2.9]))})

    network = read_netx(late).network

    assert sorted((edge.delay, edge.weights.nnz) for edge in network.projections) == [
        (1, 2),
        (3, 2),
    ]


def test_a_convolutions_delays_are_its_channels_or_its_inputs(tmp_path: Path) -> None:
    conv = dense(
        type=np.array([b"conv"]),
        weight=np.full((3, 1, 2, 2), 4.0),
        delay=np.array([0.0, 1.0, 2.0]),
        **{name: np.array([1, 1]) for name in ("stride", "dilation")},
        padding=np.array([0, 0]),
        groups=1,
    )
    by_input = dense(weight=np.full((2, 3), 4.0), delay=np.array([0, 0, 5]))

    channels = read_netx(net(tmp_path / "a.net", {"0": conv}), shape=(1, 3, 3)).network
    inputs = read_netx(net(tmp_path / "b.net", {"0": by_input})).network

    assert [(e.delay, e.weights.nnz) for e in channels.projections] == [(1, 16), (2, 16), (3, 16)]
    assert [(e.delay, e.weights.nnz) for e in inputs.projections] == [(1, 4), (6, 2)]
    assert set(inputs.projections[1].weights.indices.tolist()) == {2}


def test_averages_at_the_end_are_left_out_when_that_is_asked_for(tmp_path: Path) -> None:
    file = net(tmp_path / "a.net", {"0": dense(), "1": average(2)})

    imported = read_netx(file, readout="drop")

    assert imported.network.output == "layer0"
    assert imported.notes == (
        "layer 1 (average) is left out: the output is the neurons before it, 2 groups of equals",
    )


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"neuron/wgtExp": 2}, r"wgtExp = 2: its weights are taken times 2\^2, as in training"),
        ({"neuron/weight_exp": 1}, r"weight_exp = 1: its weights are taken divided by 2\^1"),
        ({"neuron/refDelay": 2}, r"refDelay = 2 is left out, as netx does"),
        ({"delay": np.array([63.0, 0.0])}, r"delays beyond 62 are taken as they are"),
    ],
)
def test_what_others_take_otherwise_is_said(
    tmp_path: Path, given: dict[str, Any], note: str
) -> None:
    (said,) = read_netx(net(tmp_path / "a.net", {"0": dense(**given)})).notes

    assert re.search(note, said)
