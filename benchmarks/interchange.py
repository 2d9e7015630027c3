"""Networks trained by others, read, run and put onto a chip: how close to what their makers saw.

    python benchmarks/interchange.py ../shared        models/ (MANIFEST.json) and data/ of others

Results go to benchmarks/results/interchange.json; docs/interchange-results.md is written from that
file alone. Some minutes on one core.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from interchange_page import RESULTS, TABLE, Result, document
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain import arithmetic
from toolchain.artifact import Artifact
from toolchain.backends import get_backend, ignore
from toolchain.backends.quantized import run_network
from toolchain.errors import InputError
from toolchain.hardware import find_profile
from toolchain.interchange.floats import spikes_of
from toolchain.interchange.netx_in import read_netx
from toolchain.interchange.nir_in import read_nir
from toolchain.mapper.pipeline import map_network
from toolchain.network import (
    Input,
    Network,
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
)
from toolchain.raster import Raster
from toolchain.train.state import read_state

PACKAGES = ("h5py", "lava-nc", "nir", "numpy", "scipy")
CHIP = "loihi1"
PACKER = "akin"
MICROSECONDS = 3000  # of an event camera's time in one timestep, for the network of IF neurons
BoolArray = NDArray[np.bool_]

# file -> (options it needs; NIR says neither)
NIR_OPTIONS = {
    "nir/lif/two_lif_neurons.nir": 1e-3,
    "nir/lif/lif_norse.nir": 1e-4,
    "nir/lif/lif_rockpool.nir": 1e-4,
    "nir/cnn_nmnist/cnn_sinabs.nir": 1.0,
    "nir/braille/braille_noDelay_bias_zero.nir": 1e-4,
    "nir/braille/braille_noDelay_noBias_subtract.nir": 1e-4,
    "nir/braille/norse_tests_braille.nir": 1e-4,
    "nir/old_versions/NIR__braille_v2__c777885.nir": 1e-4,
    "nir/old_versions/NIR__scnn_mnist__e1117a1.nir": 1.0,
}


def nmnist(shared: Path, microseconds: int) -> tuple[BoolArray, NDArray[np.int64]]:
    """(samples, timesteps, neurons) spikes and labels; neuron = (polarity * 34 + y) * 34 + x."""
    with np.load(shared / "data/NMNISTsmall/nmnist_small_test.npz") as file:
        held = {name: file[name] for name in file.files}
    steps = held["t"] // microseconds
    sample = np.repeat(np.arange(len(held["label"])), np.diff(held["offsets"]))
    spikes = np.zeros((len(held["label"]), int(steps.max()) + 1, 2, 34, 34), bool)
    spikes[sample, steps, held["p"], held["y"], held["x"]] = True
    return spikes.reshape(*spikes.shape[:2], -1), held["label"].astype(np.int64)


def right(spikes: BoolArray, labels: NDArray[np.int64]) -> int:
    """Samples whose most active output neuron, the first of equals, is their class."""
    return int((spikes.sum(axis=1).argmax(axis=1) == labels).sum())


def put(network: Network | QuantizedNetwork) -> Artifact:
    """A network on the chip; integers as they are."""
    profile = find_profile(CHIP)
    return map_network(network, profile, packer=PACKER, placer="in-order", watch=ignore).artifact


def first_three(network: Network | QuantizedNetwork) -> Result:
    """What a network is made of."""
    return {
        "populations": [[p.name, p.size] for p in network.populations],
        "synapses": network.synapses,
        "neurons": sum(p.size for p in network.populations),
    }


def nir_file(shared: Path, name: str) -> Result:
    """A NIR file, read with its timestep."""
    dt = NIR_OPTIONS[name]
    imported = read_nir(shared / "models" / name, dt=dt, reset="zero")
    assert isinstance(imported.network, Network)
    decays = [[p.name, p.decay_u, p.decay_v, p.threshold] for p in imported.network.populations]
    found = first_three(imported.network) | {"dt": dt, "notes": list(imported.notes)}
    return found | {"decays": [[n, *(round(x, 6) for x in rest)] for n, *rest in decays]}


def convolutional(shared: Path, name: str) -> Result:
    """The network of IF neurons on N-MNIST: its authors' accuracies, ours before and after."""
    network = read_nir(shared / "models" / name, dt=1.0, reset="zero").network
    assert isinstance(network, Network)
    spikes, labels = nmnist(shared, MICROSECONDS)
    trained = [
        right(spikes_of(network, spikes[start : start + 10])[network.output], labels[start:][:10])
        for start in range(0, len(spikes), 10)
    ]
    artifact = put(network)
    raster = get_backend("simulator").run(artifact, Raster(spikes={network.input.name: spikes}))
    folder = (shared / "models" / name).parent
    recorded = {
        path.name.removesuffix("_accuracy.npy"): round(float(np.load(path)), 4)
        for path in sorted(folder.glob("*_accuracy.npy"))
    }
    return {
        "samples": len(labels),
        "timesteps": spikes.shape[1],
        "microseconds": MICROSECONDS,
        "right_float": sum(trained),
        "right_deployed": right(raster.raster.spikes[network.output], labels),
        "cores": len(artifact.cores),
        "chip": CHIP,
        "recorded": recorded,
    }


def tiny(shared: Path) -> Result:
    """lava-dl's test network against its recorded traces, which begin with one empty timestep."""
    folder = shared / "models/netx/tiny"
    network = read_netx(folder / "tiny.net").network
    assert isinstance(network, QuantizedNetwork)
    shown = np.load(folder / "input.npy")[0].reshape(network.input.size, -1).T[None, 1:] > 0
    ours = run_network(network, Raster(spikes={network.input.name: shown})).raster.spikes
    found: Result = first_three(network)
    for name, trace in (("layer1", "layer1"), ("layer2", "output")):
        theirs = np.load(folder / f"{trace}.npy")[0].reshape(ours[name].shape[2], -1).T[1:] > 0
        found[name] = {
            "bits": int(theirs.size),
            "spikes": int(theirs.sum()),
            "differ": int((ours[name][0] != theirs).sum()),
        }
    return found


def oxford(shared: Path) -> Result:
    """lava-dl's regression network against SLAYER's raster, two timesteps later: one a layer."""
    folder = shared / "models/netx/oxford"
    network = read_netx(folder / "network.net").network
    assert isinstance(network, QuantizedNetwork)
    events, truth = np.load(folder / "input.npy"), np.load(folder / "ground_truth.npy")
    shown, theirs = (np.zeros((2000, 200), bool) for _ in range(2))
    shown[np.rint(events[:, 2]).astype(int), events[:, 0].astype(int)] = True
    theirs[truth[:, 2].astype(int), truth[:, 0].astype(int)] = True
    found = first_three(network) | {"bits": int(theirs[2:].size), "spikes": int(theirs.sum())}
    for name, ties in (("strict", False), ("at_threshold", True)):
        ours = chain(network, shown, ties=ties)
        found[name] = {
            "spikes": int(ours.sum()),
            "differ": int((ours[:-2] != theirs[2:]).sum()),
        }
    return found


def chain(network: QuantizedNetwork, shown: BoolArray, *, ties: bool) -> BoolArray:
    """(timesteps, output) spikes of a chain of layers; with `ties`, v at the threshold spikes."""
    states = [[np.zeros(p.size, np.int64) for _ in range(2)] for p in network.populations]
    out = np.zeros((len(shown), network.populations[-1].size), bool)
    for t, fired in enumerate(shown):
        for state, one, edge in zip(states, network.populations, network.projections, strict=True):
            a = (edge.weights @ fired.astype(np.int64)) << edge.weight_exponent
            state[0] = arithmetic.next_u(state[0], a, one.decay_u)
            bias = arithmetic.bias_value(one.bias_mantissa, one.bias_exponent)
            state[1] = arithmetic.next_v(state[1], state[0], bias, one.decay_v)
            limit = one.threshold << arithmetic.ALIGN_BITS
            fired = state[1] >= limit if ties else state[1] > limit
            state[1] = np.where(fired, 0, state[1])
        out[t] = fired
    return out


def mnist(shared: Path) -> Result:
    """lava-dl's MNIST network, mapped, and verified on Lava."""
    network = read_netx(shared / "models/netx/mnist/trained_mnist_network.net").network
    assert isinstance(network, QuantizedNetwork)
    artifact = put(network)
    rng = np.random.default_rng(0)
    raster = Raster(spikes={network.input.name: rng.random((8, 32, network.input.size)) < 0.1})
    rasters = {
        name: get_backend(name).run(artifact, raster).raster.spikes
        for name in ("quantized", "simulator", "lava")
    }
    names = [p.name for p in network.populations]
    return first_three(network) | {
        "cores": len(artifact.cores),
        "chip": CHIP,
        "samples": raster.samples,
        "bits": sum(int(rasters["lava"][name].size) for name in names),
        "spikes": sum(int(rasters["lava"][name].sum()) for name in names),
        "differ": sum(
            int((rasters[other][name] != rasters["lava"][name]).sum())
            for other in ("quantized", "simulator")
            for name in names
        ),
    }


def slayer(shared: Path) -> Result:
    """SLAYER's integer network on N-MNIST, put together from its arrays."""
    with np.load(shared / "models/slayer_integer/nmnist_mlp_Trained.npz") as file:
        weights = [file[name].astype(np.int64) for name in ("fc1", "fc2")]
    names = ["input", "fc1", "fc2"]
    network = QuantizedNetwork(
        input=Input(name="input", size=weights[0].shape[1]),
        populations=tuple(
            QuantizedPopulation(
                name=name,
                size=len(rows),
                decay_u=1023,  # iDecay 1024: the chip's register is one less
                decay_v=128,
                threshold=np.full(len(rows), 80),
                bias_mantissa=np.zeros(len(rows), np.int64),
                bias_exponent=0,
                unit=np.ones(len(rows)),
            )
            for name, rows in zip(names[1:], weights, strict=True)
        ),
        projections=tuple(
            QuantizedProjection(
                source=source,
                target=target,
                weights=csr_array(rows),
                delay=1,
                weight_exponent=0,
                weight_bits=8,
            )
            for source, target, rows in zip(names, names[1:], weights, strict=False)
        ),
        output="fc2",
    )
    spikes, labels = nmnist(shared, 1000)
    artifact = put(network)
    ran = get_backend("simulator").run(artifact, Raster(spikes={"input": spikes}))
    return first_three(network) | {
        "samples": len(labels),
        "right_deployed": right(ran.raster.spikes["fc2"], labels),
        "right_recorded": 91,
        "cores": len(artifact.cores),
        "chip": CHIP,
    }


def recurrent(shared: Path, name: str) -> Result:
    """A state dict of the tinyRSNN models: read, and why no module of norse can hold it.

    Its neurons as their makers give them (fmi-basel/neural-decoding-RSNN, challenge/custom/lif.py;
    conf/model/tinyRSNN.yaml, conf/data/data-default.yaml): 96 inputs, 64 neurons with a loop, two
    readouts.
    """
    state, _ = read_state(shared / "models" / name)
    taus = {key: np.log1p(np.exp(state[key].double().numpy())) for key in _TAUS}
    loss_u, loss_v = (1 - np.exp(-_STEP / (taus[key] * tau)) for key, tau in _TAUS.items())
    kinds = len(np.unique(np.stack([loss_u, loss_v]), axis=1).T)
    weights = [state[f"con{place}.op.weight"].double().numpy() for place in (1, 2)]
    rng = np.random.default_rng(0)
    shown = rng.random((8, 500, weights[0].shape[1])) < _RATE * _STEP
    theirs, ours = (tiny_rsnn(shown, weights, loss_u, loss_v, deaf=deaf) for deaf in (True, False))
    return {
        "state": sum(int(np.count_nonzero(one)) for one in weights),
        "decays": kinds,
        "neurons": len(loss_u),
        "bits": int(theirs.size),
        "spikes": int(theirs.sum()),
        "differ": int((theirs != ours).sum()),
    }


_STEP, _RATE = 4e-3, 20  # seconds of a timestep; spikes per second of an input
_TAUS = {"group2.syn_param": 10e-3, "group2.mem_param": 20e-3}  # parameter -> seconds


def tiny_rsnn(
    shown: BoolArray,
    weights: list[NDArray[np.float64]],
    loss_u: NDArray[np.float64],
    loss_v: NDArray[np.float64],
    *,
    deaf: bool,
) -> BoolArray:
    """(samples, timesteps, neurons) spikes; `deaf`: v stays 0 in the timestep after a spike.

    That is its makers' reset, which takes the arriving current along; the chip's does not.
    """
    samples, timesteps, _ = shown.shape
    u, v = (np.zeros((samples, len(loss_u))) for _ in range(2))
    out = np.zeros((samples, timesteps, len(loss_u)), bool)
    for t in range(timesteps):
        last = out[:, t - 1] if t else np.zeros_like(out[:, 0])
        v = (
            ((1 - loss_v) * v + loss_v * u) * ~last
            if deaf
            else (1 - loss_v) * v * ~last + loss_v * u
        )
        out[:, t] = v > 1
        u = (1 - loss_u) * u + shown[:, t] @ weights[0].T + out[:, t] @ weights[1].T
    return out


def cases(shared: Path) -> dict[str, Callable[[], Result]]:
    """Every network of the manifest, and what is measured on it."""
    listed = json.loads((shared / "models/MANIFEST.json").read_text())
    found: dict[str, Callable[[], Result]] = {}
    special = {
        "netx/tiny/tiny.net": tiny,
        "netx/mnist/trained_mnist_network.net": mnist,
        "netx/oxford/network.net": oxford,
        "slayer_integer/nmnist_mlp_Trained.npz": slayer,
    }
    for name in [entry["file"] for entry in listed]:
        if name in NIR_OPTIONS:
            found[name] = lambda name=name: nir_case(shared, name)  # type: ignore[misc]
        elif name in special:
            found[name] = lambda one=special[name]: one(shared)  # type: ignore[misc]
        elif name.endswith(".pth"):
            found[name] = lambda name=name: recurrent(shared, name)  # type: ignore[misc]
    return found


def nir_case(shared: Path, name: str) -> Result:
    """What a NIR file holds, and for the one with recorded accuracies how close ours is."""
    found = nir_file(shared, name)
    return found | (convolutional(shared, name) if name.endswith("cnn_sinabs.nir") else {})


@click.command()
@click.argument("shared", type=click.Path(path_type=Path, exists=True))
@click.option("--only", default="", help="Measure only files whose name contains this.")
def main(shared: Path, only: str) -> None:
    """Measure every file, and write the results and the page."""
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"files": {}}
    for name, measure in cases(shared).items():
        if only not in name:
            continue
        click.echo(name, err=True)
        try:
            results["files"][name] = measure()
        except InputError as problem:
            results["files"][name] = {"refused": str(problem).splitlines()[0]}
    results["python"] = platform.python_version()
    results["packages"] = {name: importlib.metadata.version(name) for name in PACKAGES}
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    TABLE.write_text(document(results))


if __name__ == "__main__":
    main()
