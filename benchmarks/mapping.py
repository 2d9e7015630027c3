"""Cores used beside the fewest possible, the simple packer, and nengo-loihi's automatic split.

    python benchmarks/mapping.py                        all but the three largest networks
    python benchmarks/mapping.py --only mlp-0.1         one of them
    python benchmarks/mapping.py --nengo /path/to/venv  with nengo-loihi of that environment
    python benchmarks/mapping.py --trained WORK         what sparse_training.py left there

Every case runs in a process of its own. Weights are drawn and masks are random, but for `digits`
and what --trained brings. Results go to benchmarks/results/mapping.json; docs/mapping-results.md is
written from that file alone.
"""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy.sparse import coo_array, csr_array, random_array

from toolchain import codec
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper.assemble import assemble
from toolchain.mapper.pack import PACKERS
from toolchain.mapper.pipeline import pack
from toolchain.mapper.quantize import quantize
from toolchain.network import (
    Input,
    Network,
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
)

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "mapping.json"
TABLE = HERE.parent / "docs" / "mapping-results.md"
DENSITIES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
CONVS = {  # channels, or "half": the next convolution takes every second place
    "vggsnn/2": (0.02, (32, 64, "half", 128, 128, "half", 256, 256, "half", 256, 256)),
    "6conv2fc/4": (0.02, (64, 64, 64, "half", 64, 64, 64)),
    "resnet19/4": (0.02, (32,) * 7 + ("half",) + (64,) * 6 + ("half",) + (128,) * 4),
    "vggsnn": (0.01, (64, 128, "half", 256, 256, "half", 512, 512, "half", 512, 512)),
    "6conv2fc": (0.005, (256, 256, 256, "half", 256, 256, 256)),
    "resnet19": (0.005, (128,) * 7 + ("half",) + (256,) * 6 + ("half",) + (512,) * 4),
}
COMPARED = ("akin", "sequential")
LIMIT_S = {"akin": 3000, "sequential": 60}  # of one network, drawing it among it
WHOLE = ("vggsnn", "6conv2fc", "resnet19")  # measured only where asked for
TAILS = {"vggsnn": (10,), "6conv2fc": (2048, 10), "resnet19": (256, 10)}
TAILS |= {"vggsnn/2": (10,), "6conv2fc/4": (512, 10), "resnet19/4": (64, 10)}
TRAINED = {  # runs that benchmarks/sparse_training.py leaves in its --work
    "mnist-mlp": "mnist-mlp-long-gmp-0.1-2",
    "mnist-conv": "mnist-conv-gmp-0.1-1",
    "mnist-conv-two-stage": "mnist-conv-two-stage-0.1-1",
    "mnist-conv-wide": "mnist-conv-wide-gmp-0.1-1",
    "mnist-conv-dense": "mnist-conv-dense-0.1-1",
}
CASES = (
    *(f"mlp-{density:g}" for density in DENSITIES),
    "recurrent",
    "digits",
    "wide",
    "deep",
    *CONVS,
    *TRAINED,
)


@click.command()
@click.option("--only", multiple=True, type=click.Choice(CASES), help="These networks alone.")
@click.option("--nengo", type=click.Path(path_type=Path), help="Environment with nengo-loihi.")
@click.option("--trained", type=click.Path(path_type=Path), help="Trained networks, from there.")
@click.option("--one", type=click.Choice(CASES), hidden=True)
@click.option("--packer", type=click.Choice(list(PACKERS)), hidden=True)
def main(
    only: tuple[str, ...],
    nengo: Path | None,
    trained: Path | None,
    one: str | None,
    packer: str | None,
) -> None:
    """Map every network with every packer and write results and table."""
    if one:
        print(json.dumps(measure(one, str(packer), trained)))
        return
    held = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"cases": {}, "nengo": {}}
    held["cases"] = {case: held["cases"][case] for case in CASES if case in held["cases"]}
    drawn = [case for case in CASES if case not in (*WHOLE, *TRAINED)]
    for case in only or (TRAINED if trained else drawn):
        held["cases"][case] = {name: in_own_process(case, name, trained) for name in COMPARED}
        print(case, held["cases"][case], flush=True)
        write(held)
    if nengo:
        held["nengo"] |= {c: split_by_nengo(nengo, c) for c in only or drawn if "mlp" in c}
        write(held)


def write(held: dict[str, Any]) -> None:
    """Results and the page made of them."""
    held["machine"] = f"Python {platform.python_version()}, numpy {np.__version__}"
    RESULTS.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n")
    TABLE.write_text(document(held))


def in_own_process(case: str, packer: str, trained: Path | None) -> dict[str, Any]:
    """The measures of a case, packed in a fresh process."""
    command = [sys.executable, __file__, "--one", case, "--packer", packer]
    command += ["--trained", str(trained)] if trained else []
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=LIMIT_S[packer]
        )
    except subprocess.TimeoutExpired:
        return {"error": f"ended after {LIMIT_S[packer]} s"}
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(case: str, packer: str, trained: Path | None) -> dict[str, Any]:
    """Cores, bound, seconds and memory of one network and packer, compiled code already loaded."""
    profile = find_profile("tiny" if case == "digits" else "loihi1")
    if case in CONVS or case == "deep":
        profile = many_chips(profile)
    pack(mlp((20, 30, 10), 0.5), profile, packer)  # what is compiled is loaded before the clock
    network = learned(trained / TRAINED[case], profile) if trained else draw(case)
    start, busy = time.perf_counter(), time.process_time()
    packed, bounds = pack(network, profile, packer)
    image = assemble(network, packed, bounds, dropped=0, trained="")
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return {
        "neurons": sum(p.size for p in network.populations),
        "synapses": network.synapses,
        "cores": len(image.cores),
        "bound": bounds.cores,
        "binding": [part.name for part in bounds.parts if part.cores == bounds.cores],
        "seconds": round(seconds, 1),
        "processor_seconds": round(busy, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "fill": {
            name: round(
                sum(getattr(n, name) for n in packed.needs)
                / (len(packed.needs) * getattr(profile.core, name)),
                3,
            )
            for name in ("compartments", "in_axons", "out_axons", "synapse_words")
        },
    }


def many_chips(profile: HardwareProfile) -> HardwareProfile:
    """The same chip, 32 times."""
    return profile.model_copy(update={"chips": profile.chips.model_copy(update={"chips": 32})})


def draw(case: str) -> QuantizedNetwork:
    """The network of a case; the same in every process."""
    if case in CONVS:
        return conv(*CONVS[case], TAILS[case])
    if case == "recurrent":
        return recurrent()
    if case == "digits":
        return example()
    if case == "wide":
        return mlp((2048, 4096, 4096, 10), 0.04)
    if case == "deep":
        return mlp((784, *[1024] * 39, 10), 0.5)
    return mlp((784, 1024, 1024, 10), float(case.partition("-")[2]))


def neurons(name: str, size: int) -> QuantizedPopulation:
    """A population whose dynamics do not matter here."""
    return QuantizedPopulation(
        name=name,
        size=size,
        decay_u=1023,
        decay_v=128,
        threshold=np.full(size, 100),
        bias_mantissa=np.zeros(size, np.int64),
        bias_exponent=0,
        unit=np.ones(size),
    )


def synapses(
    source: str, target: str, mask: csr_array, rng: np.random.Generator
) -> QuantizedProjection:
    """8-bit weights on a mask."""
    mask.sort_indices()
    weights = rng.integers(1, 128, mask.nnz) * 2
    return QuantizedProjection(
        source=source,
        target=target,
        weights=csr_array((weights, mask.indices, mask.indptr), shape=mask.shape),
        delay=1,
        weight_exponent=0,
        weight_bits=8,
    )


def chain(masks: list[csr_array], rng: np.random.Generator) -> QuantizedNetwork:
    """Layers one after the other."""
    names = ["input", *(f"layer{number}" for number in range(1, len(masks) + 1))]
    return QuantizedNetwork(
        input=Input(name="input", size=masks[0].shape[1]),
        populations=tuple(
            neurons(name, mask.shape[0]) for name, mask in zip(names[1:], masks, strict=True)
        ),
        projections=tuple(
            synapses(*ends, mask, rng) for ends, mask in zip(pairwise(names), masks, strict=True)
        ),
        output=names[-1],
    )


def random_mask(targets: int, sources: int, density: float, rng: np.random.Generator) -> csr_array:
    """Every synapse exists with this probability, or all of them."""
    if density == 1:
        return csr_array(np.ones((targets, sources), np.int8))
    return csr_array(random_array((targets, sources), density=density, rng=rng, format="csr"))


def mlp(sizes: tuple[int, ...], density: float) -> QuantizedNetwork:
    """Fully connected layers with random masks."""
    rng = np.random.default_rng(1)
    masks = [random_mask(after, before, density, rng) for before, after in pairwise(sizes)]
    return chain(masks, rng)


def recurrent() -> QuantizedNetwork:
    """700-512-20 with a loop, at 20 %."""
    rng = np.random.default_rng(1)
    masks = [random_mask(*shape, 0.2, rng) for shape in ((512, 700), (512, 512), (20, 512))]
    ends = (("input", "hidden"), ("hidden", "hidden"), ("hidden", "output"))
    return QuantizedNetwork(
        input=Input(name="input", size=700),
        populations=(neurons("hidden", 512), neurons("output", 20)),
        projections=tuple(
            synapses(*pair, mask, rng) for pair, mask in zip(ends, masks, strict=True)
        ),
        output="output",
    )


def conv(
    density: float, channels: tuple[int | str, ...], tail: tuple[int, ...]
) -> QuantizedNetwork:
    """3 x 3 convolutions of 32 x 32 pixels, unrolled: a kernel's mask is that of every place."""
    rng = np.random.default_rng(1)
    masks, seen, extent, stride = [], 3, 32, 1
    for item in channels:
        if item == "half":
            stride = 2
            continue
        mask = unrolled(seen, extent, int(item), stride, density if seen > 3 else 0.3, rng)
        masks.append(mask)
        seen, extent, stride = int(item), extent // stride, 1
    for size in tail:
        masks.append(random_mask(size, masks[-1].shape[0], min(1.0, density), rng))
    return chain(masks, rng)


def unrolled(
    seen: int, extent: int, made: int, stride: int, density: float, rng: np.random.Generator
) -> csr_array:
    """(made * out * out, seen * extent * extent) of a kernel with this share of its weights."""
    out = extent // stride
    kernel = np.argwhere(rng.random((made, seen, 3, 3)) < density)
    y, x = np.meshgrid(np.arange(out), np.arange(out), indexing="ij")
    to, of, down, across = (column[:, None, None] for column in kernel.T)
    row, column = y * stride + down - 1, x * stride + across - 1
    inside = (row >= 0) & (row < extent) & (column >= 0) & (column < extent)
    target = ((to * out + y) * out + x)[inside]
    source = ((of * extent + row) * extent + column)[inside]
    shape = (made * out * out, seen * extent * extent)
    return coo_array((np.ones(len(target), np.int8), (target, source)), shape=shape).tocsr()


def example() -> QuantizedNetwork:
    """examples/digits.toml, trained."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        config = HERE.parent / "examples" / "digits.toml"
        command = [sys.executable, "-m", "toolchain", "train", str(config), "--out", str(run)]
        subprocess.run(command, check=True, capture_output=True)
        return learned(run, find_profile("tiny"))


def learned(run: Path, profile: HardwareProfile) -> QuantizedNetwork:
    """The network of a training, on a chip's integers."""
    return quantize(codec.read(Network, run, "network"), profile).network


NENGO = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.builder import Model
from nengo_loihi.builder.split_blocks import split_model
files = sys.argv[1:]
model = Model()
blocks = []
for file in files:
    weights = np.load(file)
    block = LoihiBlock(weights.shape[1])
    block.compartment.configure_lif()
    synapse = Synapse(weights.shape[0])
    synapse.set_weights(weights)
    block.add_synapse(synapse)
    if blocks:
        axon = Axon(weights.shape[0])
        axon.target = synapse
        axon.set_compartment_axon_map(np.arange(weights.shape[0]))
        blocks[-1].add_axon(axon)
    model.add_block(block)
    blocks.append(block)
split_model(model)
print(json.dumps(len(model.blocks)))
"""


def split_by_nengo(environment: Path, case: str) -> dict[str, Any]:
    """Cores after nengo-loihi's split of the same masks as full matrices, one block per core."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, edge in enumerate(draw(case).projections):
            files.append(f"{folder}/{number}.npy")
            np.save(files[-1], edge.weights.toarray().T.astype(float))
        command = [str(environment / "bin" / "python"), "-c", NENGO, *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return {"cores": int(done.stdout.strip().splitlines()[-1])}


COLUMNS = (
    "network", "neurons", "synapses", "cores", "lower bound", "binding", "gap", "sequential",
    "nengo-loihi", "seconds", "of processor", "peak MiB",
)  # fmt: skip


def document(results: dict[str, Any]) -> str:
    """The table and what it shows."""
    rows = [_row(case, results) for case in CASES if case in results["cases"]]
    found = [case["akin"] for case in results["cases"].values() if "cores" in case["akin"]]
    used, least = (sum(case[key] for case in found) for key in ("cores", "bound"))
    late = [
        name
        for name, case in results["cases"].items()
        if "cores" in case["akin"]
        and case["akin"]["cores"] > max(case["akin"]["bound"] + 1, 1.05 * case["akin"]["bound"])
    ]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"""# Mapping, measured

Written by `benchmarks/mapping.py` from `benchmarks/results/mapping.json`. Each network is packed,
counted and assembled in a process of its own; seconds and peak memory are of the whole process but
for drawing the network and compiling. Chip: loihi1; the convolutional networks and `deep` on
32 of them, `digits` on tiny. Masks are random but for `digits` (trained, examples/digits.toml) and
those that `benchmarks/sparse_training.py` trained on MNIST: {_among(TRAINED)}.
Random masks of a convolution repeat at every place, as kernels do, and "half" takes every second
place where the published networks pool. Densities: vggsnn {CONVS["vggsnn"][0]:.1%}, 6conv2fc
{CONVS["6conv2fc"][0]:.1%}, resnet19 {CONVS["resnet19"][0]:.1%}, their first layers 30%; recurrent
20%, wide (2048-4096-4096-10) 4%, deep (784, 39 times 1024, 10) 50%. The MLPs are 784-1024-1024-10.

*nengo-loihi* is its own automatic split of the same masks as full matrices, one block per core; its
split of sparse matrices raises an error. See [how packing works](mapping.md).

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}
{lines}

All together: {used:,} cores, at least {least:,} by the bound, {used / least - 1:.1%} above it.
Aimed at: at most one core or 5% above the bound on each network, and 5% over the sum. Missed on:
{", ".join(sorted(late)) or "none"}. A bound is what no packing can beat; what a packing could reach
lies between the bound and the cores used. Not measured yet:
{", ".join(case for case in CASES if case not in results["cases"]) or "none"}.

{results["machine"]}.
"""


def _among(trained: dict[str, str]) -> str:
    return ", ".join(f"{case} ({run})" for case, run in trained.items())


def _row(case: str, results: dict[str, Any]) -> list[str]:
    mine, simple = (results["cases"][case][name] for name in ("akin", "sequential"))
    if "error" in mine:
        return [case, "", "", mine["error"], *[""] * (len(COLUMNS) - 4)]
    nengo = results["nengo"].get(case, {})
    return [
        case,
        f"{mine['neurons']:,}",
        f"{mine['synapses']:,}",
        f"{mine['cores']:,}",
        f"{mine['bound']:,}",
        ", ".join(mine["binding"]),
        f"{mine['cores'] - mine['bound']:,} ({mine['cores'] / mine['bound'] - 1:.0%})",
        f"{simple['cores']:,}" if "cores" in simple else simple["error"],
        str(nengo.get("cores", nengo.get("error", ""))),
        f"{mine['seconds']}",
        f"{mine.get('processor_seconds', '')}",
        f"{mine['peak_mib']:,}",
    ]


if __name__ == "__main__":
    main()
