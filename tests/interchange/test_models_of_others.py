"""Networks trained by others, where they lie beside the project: each is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolchain.backends.quantized import run_network
from toolchain.interchange.netx_in import read_netx
from toolchain.interchange.nir_in import read_nir
from toolchain.network import Network, QuantizedNetwork
from toolchain.raster import Raster

MODELS = Path(__file__).parents[3] / "shared" / "models"
pytestmark = pytest.mark.skipif(
    not (MODELS / "MANIFEST.json").is_file(),
    reason=f"no networks of others at {MODELS}: they are not part of the project",
)
BRAILLE = {
    "braille_noDelay_bias_zero.nir": [("lif1.lif", 38, 0.45, 0.1), ("lif2", 7, 0.5, 0.45)],
    "braille_noDelay_noBias_subtract.nir": [("lif1.lif", 40, 0.25, 0.15), ("lif2", 7, 0.55, 0.3)],
    "norse_tests_braille.nir": [("lif1.lif", 38, 0.45, 0.1), ("lif2", 7, 0.5, 0.45)],
}


def test_every_nir_file_is_read() -> None:
    listed = json.loads((MODELS / "MANIFEST.json").read_text())
    names = [entry["file"] for entry in listed if entry["file"].endswith(".nir")]
    assert len(names) == 9
    for name in names:
        if "nmnist" in name or "scnn" in name:
            continue  # large, and measured by benchmarks/interchange.py
        assert isinstance(read_nir(MODELS / name, dt=1e-4, reset="zero").network, Network)


@pytest.mark.parametrize("name", list(BRAILLE))
def test_the_braille_graphs_have_their_shapes_and_parameters(name: str) -> None:
    network: Any = read_nir(MODELS / "nir/braille" / name, dt=1e-4, reset="zero").network

    found = [(p.name, p.size, p.decay_u, p.decay_v) for p in network.populations if p.size > 1]

    for one, expected in zip(found, BRAILLE[name], strict=True):
        assert one[:2] == expected[:2]
        assert one[2:] == pytest.approx(expected[2:])
    inner = next(e for e in network.projections if e.source == e.target)
    assert inner.weights.shape == (found[0][1], found[0][1])
    # dt / tau_syn w_in and dt / tau_mem r are 1 in these files: weights stay what they are
    assert abs(inner.weights).max() > 0.5


def test_the_tiny_network_of_lava_dl_equals_its_recorded_traces() -> None:
    folder = MODELS / "netx/tiny"
    network = read_netx(folder / "tiny.net").network
    assert isinstance(network, QuantizedNetwork)
    shown = np.load(folder / "input.npy")[0].reshape(768, -1).T[None, 1:] > 0

    ours = run_network(network, Raster(spikes={"input": shown})).raster.spikes

    for name, trace in (("layer1", "layer1"), ("layer2", "output")):
        theirs = np.load(folder / f"{trace}.npy")[0].reshape(ours[name].shape[2], -1).T[1:] > 0
        assert theirs.sum() > 50
        assert np.array_equal(ours[name][0], theirs)
