"""Placers side by side on the connectivity of convolutional networks: hops, links, seconds.

    python benchmarks/placement.py            all networks, some minutes

The networks are drawn, not trained: kernels with a random share of their taps, unrolled onto
32 x 32 images, and random firing rates. Layers are cut into equal runs that keep to the budgets of
a 32-chip board, and each placer gives these cores their numbers. Results go to
benchmarks/results/placement.json; docs/placement.md is written from that file alone.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, eye_array

from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper import encodings
from toolchain.mapper.placement import PLACERS
from toolchain.mapper.routing import route
from toolchain.mapper.traffic import Traffic
from toolchain.mesh import Loads

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "placement.json"
TABLE = HERE.parent / "docs" / "placement.md"
CHIP = "loihi1-nahuku32"
TIMESTEPS = 32
SEED = 0
IntArray = NDArray[np.int64]
Shape = tuple[int, int, int]  # channels, height, width

COLUMNS = (
    "network", "neurons", "synapses", "cores", "placer", "spike-hops per sample",
    "against in-order", "links crossed", "longest way", "busiest link", "seconds",
)  # fmt: skip
HEAD = f"""# Placement

Written by `benchmarks/placement.py` from `benchmarks/results/placement.json`. Where packed cores
stand on the mesh decides how far spikes travel. Each network is drawn with the receptive fields of
the one it is named after, on 32 x 32 images, at the share of channels and of kernel taps that the
table says, with random firing rates over {TIMESTEPS} timesteps. Each layer is cut into equal runs,
place by place on the image, nearly the fewest that keep to compartments, in-axons, out-axons (all
to other chips) and synapse words of `{CHIP}`; each placer numbers the same cores. *in-order* leaves
them layer by layer, row by row of the image.

A spike-hop is one message over one link between tiles; a step to the next chip counts as many more
as the profile says (`chip_crossing_hops`, an assumption). *Links crossed* leaves that surcharge
out. A message is one spike to one core, however many synapses it has there.

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}"""


class Maker:
    """A network that grows by convolutions with a random share of their taps."""

    def __init__(self, density: float) -> None:
        self.density, self.rng = density, np.random.default_rng(SEED)
        self.shapes: dict[str, Shape] = {"input": (3, 32, 32)}
        self.edges: list[tuple[str, str, csr_array, int]] = []

    def conv(
        self,
        source: str,
        name: str,
        channels: int,
        *,
        stride: int = 1,
        pool: int = 1,
        taps: int = 3,
        delay: int = 1,
    ) -> str:
        """Synapses of a convolution, behind a pool where `pool` is more than 1."""
        shape = self.shapes[source]
        rows, self.shapes[name] = unrolled(
            shape, channels, stride, pool, taps, self.density, self.rng
        )
        self.edges.append((source, name, rows, delay))
        return name

    def skip(self, source: str, name: str, delay: int) -> None:
        """A shortcut of one synapse per neuron."""
        size = int(np.prod(self.shapes[source]))
        self.edges.append((source, name, csr_array(2 * eye_array(size, dtype=np.int64)), delay))

    def dense(self, source: str, name: str, size: int) -> str:
        """Random synapses of a fully connected layer."""
        before = int(np.prod(self.shapes[source]))
        count = self.rng.binomial(before * size, self.density)
        at = np.unique(self.rng.integers(0, before * size, count))
        where = (at // before, at % before)
        data = np.full(len(at), 2, np.int64)
        self.edges.append((source, name, csr_array((data, where), shape=(size, before)), 1))
        self.shapes[name] = (size, 1, 1)
        return name


def unrolled(
    shape: Shape,
    channels: int,
    stride: int,
    pool: int,
    taps: int,
    density: float,
    rng: np.random.Generator,
) -> tuple[csr_array, Shape]:
    """(target, source) synapses of a convolution that keeps the image's size, and its shape."""
    depth, height, width = shape
    high, wide = height // pool // stride, width // pool // stride
    kept = np.argwhere(rng.random((channels, depth, taps, taps)) < density)
    y, x = (part.reshape(-1) for part in np.indices((high, wide)))
    parts = []
    for target, source, down, across in kept:
        row, column = y * stride + down - taps // 2, x * stride + across - taps // 2
        inside = (row >= 0) & (column >= 0) & (row < height // pool) & (column < width // pool)
        to = target * high * wide + (y * wide + x)[inside]
        for part in range(pool * pool):
            at = (row * pool + part // pool) * width + column * pool + part % pool
            parts.append((to, source * height * width + at[inside]))
    to, come = (np.concatenate(column) for column in zip(*parts, strict=True))
    size = (channels * high * wide, depth * height * width)
    rows = coo_array((np.full(len(to), 2, np.int64), (to, come)), shape=size).tocsr()
    rows.sum_duplicates()
    return rows, (channels, high, wide)


def vggsnn(share: float, density: float) -> Maker:
    """VGGSNN: eight convolutions, pooled after every second; classes."""
    maker, seen, pool = Maker(density), "input", 1
    for number, step in enumerate((64, 128, 256, 256, 512, 512, 512, 512), 1):
        seen = maker.conv(seen, f"conv{number}", int(step * share), pool=pool)
        pool = 1 if number % 2 else 2
    maker.dense(seen, "output", 10)
    return maker


def six_conv_two_fc(share: float, density: float) -> Maker:
    """6Conv2FC: 256 channels six times, pooled after the third; FC 2048, classes."""
    maker, seen = Maker(density), "input"
    for number in range(1, 7):
        pool = 2 if number == 4 else 1
        seen = maker.conv(seen, f"conv{number}", int(256 * share), pool=pool)
    seen = maker.dense(seen, "fc1", int(2048 * share))
    maker.dense(seen, "output", 10)
    return maker


def resnet19(share: float, density: float) -> Maker:
    """ResNet19: a convolution, blocks 128 x 3, 256 x 3, 512 x 2 with shortcuts; FC, classes."""
    maker = Maker(density)
    seen = maker.conv("input", "conv1", int(128 * share))
    for number, step in enumerate((128, 128, 128, 256, 256, 256, 512, 512), 1):
        channels = int(step * share)
        grows = maker.shapes[seen][0] != channels
        first = maker.conv(seen, f"block{number}a", channels, stride=2 if grows else 1)
        last = maker.conv(first, f"block{number}b", channels)
        if grows:
            maker.conv(seen, last, channels, stride=2, taps=1, delay=2)
        else:
            maker.skip(seen, last, delay=2)
        seen = last
    seen = maker.dense(seen, "fc1", int(256 * share))
    maker.dense(seen, "output", 10)
    return maker


NETWORKS: dict[str, tuple[Callable[[float, float], Maker], float, float]] = {
    "VGGSNN": (vggsnn, 0.25, 0.05),
    "6Conv2FC": (six_conv_two_fc, 0.125, 0.05),
    "ResNet19": (resnet19, 0.125, 0.1),
}


def traffic_of(maker: Maker, profile: HardwareProfile) -> Traffic:
    """The messages between the cores that a network is cut into, at random firing rates."""
    names = [name for name in maker.shapes if name != "input"]
    parts = {
        name: -(-int(np.prod(maker.shapes[name])) // profile.core.compartments) for name in names
    }
    while over := {name for name in names if not _legal(maker, parts, name, profile)}:
        print(f"  {sum(parts.values())} cores exceed a budget", flush=True)
        parts = {name: -(-k * 3 // 2) if name in over else k for name, k in parts.items()}
        if sum(parts.values()) > profile.cores:
            raise SystemExit(f"needs more than {profile.cores} cores")
    homes, cores = _homes(maker, parts), sum(parts.values())
    rng, total = np.random.default_rng(SEED), csr_array((cores, cores), dtype=np.int64)
    for name in names:
        spikes = rng.binomial(TIMESTEPS, rng.beta(1, 9, len(homes[name])))
        neuron, to = _reached(maker, homes, name, cores)
        where = (homes[name][neuron], to)
        total = total + csr_array((spikes[neuron], where), shape=(cores, cores))
    nothing = np.zeros(cores, np.int64)
    between = csr_array(total)
    between.sort_indices()
    return Traffic(between=between, from_input=nothing, synapse_events=nothing, spikes=nothing)


def _homes(maker: Maker, parts: dict[str, int]) -> dict[str, IntArray]:
    """The core of each neuron: equal runs, place by place on the image, all channels together."""
    homes, first = {}, 0
    for name, count in parts.items():
        channels, high, wide = maker.shapes[name]
        size = channels * high * wide
        order = np.arange(size).reshape(channels, high * wide).T.reshape(-1)
        homes[name] = np.empty(size, np.int64)
        homes[name][order] = first + np.arange(size) * count // size
        first += count
    return homes


def _reached(
    maker: Maker, homes: dict[str, IntArray], source: str, cores: int
) -> tuple[IntArray, IntArray]:
    """(neuron, core) of every core that a neuron reaches, each once."""
    keys = [
        np.unique(
            rows.indices.astype(np.int64) * cores + np.repeat(homes[to], np.diff(rows.indptr))
        )
        for start, to, rows, _ in maker.edges
        if start == source
    ]
    neuron, core = np.divmod(np.unique(np.concatenate([np.zeros(0, np.int64), *keys])), cores)
    return neuron, core


def _legal(maker: Maker, parts: dict[str, int], name: str, profile: HardwareProfile) -> bool:
    """Whether every core of a layer keeps to its in-axons, synapse words and out-axons."""
    homes, cores = _homes(maker, parts), sum(parts.values())
    axons, words, out = (np.zeros(cores, np.int64) for _ in range(3))
    for _, to, rows, delay in maker.edges:
        if to == name:
            keys = rows.indices.astype(np.int64) * cores + np.repeat(
                homes[to], np.diff(rows.indptr)
            )
            pairs, counts = np.unique(keys, return_counts=True)
            axons += np.bincount(pairs % cores, minlength=cores)
            size = encodings.words(counts, profile.synapse, compartments=1024, delay=delay)
            words += np.bincount(pairs % cores, size, cores).astype(np.int64)
    neuron, _ = _reached(maker, homes, name, cores)
    out += np.bincount(homes[name][neuron], minlength=cores) * profile.core.out_axon_cost_remote
    held = profile.core
    return bool(
        axons.max() <= held.in_axons
        and words.max() <= held.synapse_words
        and out.max() <= held.out_axons
    )


@click.command()
def main() -> None:
    """Draw every network, cut it into cores, and place these by every placer."""
    profile = find_profile(CHIP)
    results: dict[str, Any] = {"environment": environment(), "cases": []}
    for name, (build, share, density) in NETWORKS.items():
        maker = build(share, density)
        started = time.monotonic()
        sent = traffic_of(maker, profile)
        print(f"{name}: {sent.between.shape[0]} cores in {time.monotonic() - started:.0f} s")
        for placer in ("in-order", *(p for p in PLACERS if p != "in-order")):
            started = time.monotonic()
            numbers = PLACERS[placer](profile, sent.between)
            seconds = time.monotonic() - started
            loads = route(profile, sent, numbers)
            print(f"  {placer}: {loads.hops:,} of {loads.hops_in_order:,} in {seconds:.1f} s")
            results["cases"].append(
                {
                    "network": name,
                    "channels": share,
                    "density": density,
                    "neurons": sum(
                        int(np.prod(s)) for n, s in maker.shapes.items() if n != "input"
                    ),
                    "synapses": sum(rows.nnz for _, _, rows, _ in maker.edges),
                    "cores": sent.between.shape[0],
                    "messages": int(sent.between.sum()),
                    "placer": placer,
                    "hops": loads.hops,
                    "links": sum(int(part.sum()) for part in links_of(loads)),
                    "hops_in_order": loads.hops_in_order,
                    "longest": loads.longest,
                    "busiest_link": loads.busiest_link,
                    "seconds": round(seconds, 2),
                }
            )
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    TABLE.write_text(document(results))


def links_of(loads: Loads) -> tuple[IntArray, ...]:
    """Messages on every link, in all directions."""
    return loads.east, loads.west, loads.south, loads.north


def environment() -> dict[str, Any]:
    """Where it ran."""
    return {"python": platform.python_version(), "processors": os.cpu_count()}


def document(results: dict[str, Any]) -> str:
    """docs/placement.md."""
    lines = [HEAD, *(row(case) for case in results["cases"])]
    best = [case for case in results["cases"] if case["placer"] == "force"]
    saved = ", ".join(f"{1 - c['hops'] / c['hops_in_order']:.0%} on {c['network']}" for c in best)
    where = results["environment"]
    return "\n".join(
        [
            *lines,
            "",
            f"*force*, the default of `map`, saves {saved}.",
            "",
            f"Measured with Python {where['python']} on {where['processors']} shared processors;"
            " seconds are of placing alone.",
            "",
        ]
    )


def row(case: dict[str, Any]) -> str:
    """One line of the table."""
    against = case["hops"] / case["hops_in_order"] - 1
    name = (
        f"{case['network']}, {case['channels']:.3g} of the channels, {case['density']:.0%} of taps"
    )
    cells = [
        name,
        f"{case['neurons']:,}",
        f"{case['synapses']:,}",
        f"{case['cores']:,}",
        case["placer"],
        f"{case['hops']:,}",
        "" if case["placer"] == "in-order" else f"{against:+.1%}",
        f"{case['links']:,}",
        str(case["longest"]),
        f"{case['busiest_link']:,}",
        f"{case['seconds']:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
