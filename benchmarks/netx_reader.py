"""Our layer files in lava-dl's own reader, run by Lava: the same spikes, or how many differ.

    python benchmarks/netx_reader.py CHECKOUT      of https://github.com/lava-nc/lava-dl

lava-dl is not installed for this: its reader (src/lava/lib/dl/netx) is imported from the checkout
beside lava-nc, with an empty stand-in for its training library, which the reader asks for one kind
of neuron that is not here. Results join benchmarks/results/interchange.json.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import lava
import numpy as np
from interchange_page import RESULTS, TABLE, document
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.backends.lava_shim import import_lava
from toolchain.backends.quantized import run_network
from toolchain.interchange.netx_out import write_netx
from toolchain.network import (
    Input,
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
)
from toolchain.raster import Raster

SIZES, TIMESTEPS, SEEDS = (8, 12, 6), 40, 3
LATE = 2  # timesteps by which Lava's output is later than a local clock: one for each layer
KINDS = ("dense", "dense_rec", "bias", "delay")


def network(kind: str, seed: int) -> QuantizedNetwork:
    """Two layers of one kind, with random integers."""
    rng = np.random.default_rng(seed)
    names = ("input", "p1", "p2")
    populations, projections = [], []
    for place in (1, 2):
        size, before = SIZES[place], SIZES[place - 1]
        populations.append(
            QuantizedPopulation(
                name=names[place],
                size=size,
                decay_u=int(rng.integers(500, 4096)),
                decay_v=int(rng.integers(100, 2000)),
                threshold=np.full(size, int(rng.integers(100, 300))),
                bias_mantissa=rng.integers(-20, 60, size) * (kind == "bias"),
                bias_exponent=6,
                unit=np.ones(size),
            )
        )
        weights = matrix(rng, size, before, 127)
        late = np.arange(size) % 3 * (kind == "delay" and place == 1)
        for steps in np.unique(late).tolist():
            rows = csr_array(weights.multiply((late == steps)[:, None]))
            rows.eliminate_zeros()
            projections.append(projection(names[place - 1], names[place], rows, 1 + steps))
        if kind == "dense_rec" and place == 1:
            projections.append(projection("p1", "p1", matrix(rng, size, size, 30), 1))
    return QuantizedNetwork(
        input=Input(name="input", size=SIZES[0]),
        populations=tuple(populations),
        projections=tuple(projections),
        output="p2",
    )


def matrix(rng: np.random.Generator, size: int, before: int, most: int) -> csr_array:
    """Even weights, six in ten of them there."""
    weights = rng.integers(-most, most, (size, before)) * 2 * (rng.random((size, before)) < 0.6)
    return csr_array(weights)


def projection(source: str, target: str, rows: csr_array, delay: int) -> QuantizedProjection:
    """A projection of 8-bit weights."""
    return QuantizedProjection(
        source=source, target=target, weights=rows, delay=delay, weight_exponent=0, weight_bits=8
    )


def reader(checkout: Path) -> Any:
    """lava-dl's reader, out of its checkout."""
    import_lava()
    lava.__path__.append(str(checkout / "src" / "lava"))
    for name in ("lava.lib.dl.slayer", "lava.lib.dl.slayer.neuron", "lava.lib.dl.slayer.neuron.rf"):
        sys.modules[name] = ModuleType(name)
    sys.modules["lava.lib.dl.slayer.neuron.rf"].neuron_params = None  # type: ignore[attr-defined]
    return importlib.import_module("lava.lib.dl.netx.hdf5")


def theirs(hdf5: Any, file: Path, stimulus: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(timesteps, output) spikes of a file in lava-dl's reader, on Lava; from the first output."""
    configs = importlib.import_module("lava.magma.core.run_configs")
    conditions = importlib.import_module("lava.magma.core.run_conditions")
    io = importlib.import_module("lava.proc.io")
    steps = len(stimulus)
    # As our losses say: with resets staggered by layer, so that no bias acts before a clock starts.
    made = hdf5.Network(net_config=str(file), reset_interval=64, reset_offset=1)
    source = io.source.RingBuffer(data=stimulus.T.astype(int))
    sink = io.sink.RingBuffer(shape=made.out.shape, buffer=steps + LATE)
    source.s_out.connect(made.inp)
    made.out.connect(sink.a_in)
    made.run(
        condition=conditions.RunSteps(num_steps=steps + LATE),
        run_cfg=configs.Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=True),
    )
    out = sink.data.get().T[LATE:] > 0
    made.stop()
    return out


@click.command()
@click.argument("checkout", type=click.Path(path_type=Path, exists=True))
def main(checkout: Path) -> None:
    """Compare, and write results and page."""
    warnings.simplefilter("ignore")
    hdf5 = reader(checkout)
    found: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        counts = {"networks": SEEDS, "bits": 0, "spikes": 0, "differ": 0}
        for seed in range(SEEDS):
            made = network(kind, seed)
            shown = np.random.default_rng(seed).random((TIMESTEPS, SIZES[0])) < 0.5
            ours = run_network(made, Raster(spikes={"input": shown[None]})).raster.spikes["p2"][0]
            with tempfile.TemporaryDirectory() as folder:
                write_netx(made, Path(folder, "a.net"))
                other = theirs(hdf5, Path(folder, "a.net"), shown)
            counts["bits"] += ours.size
            counts["spikes"] += int(ours.sum())
            counts["differ"] += int((ours != other).sum())
        click.echo(f"{kind}: {counts}", err=True)
        found[kind] = counts
    results = json.loads(RESULTS.read_text())
    results["lava_dl_reader"] = found
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    TABLE.write_text(document(results))


if __name__ == "__main__":
    main()
