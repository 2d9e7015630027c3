"""Placers side by side on convolutional networks as they are packed: hops, links, seconds.

    python benchmarks/placement.py            all networks, some minutes

The networks are those of benchmarks/mapping.py, packed onto a board of 32 chips; firing rates are
random. Each placer gives the same packed cores their numbers. Results go to
benchmarks/results/placement.json; docs/placement.md is written from that file alone.
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from mapping import CONVS, draw
from numpy.typing import NDArray

from toolchain.activity import Activity, neurons
from toolchain.artifact import Image
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper.assemble import assemble
from toolchain.mapper.numbering import number_cores
from toolchain.mapper.pipeline import pack
from toolchain.mapper.placement import PLACERS
from toolchain.mapper.routing import route
from toolchain.mapper.traffic import reach, traffic
from toolchain.mesh import Loads
from toolchain.network import QuantizedNetwork

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "placement.json"
TABLE = HERE.parent / "docs" / "placement.md"
CHIP = "loihi1-nahuku32"
NETWORKS = ("vggsnn/2", "6conv2fc/4", "resnet19/4")
TIMESTEPS = 32
SEED = 0
IntArray = NDArray[np.int64]

COLUMNS = (
    "network", "neurons", "synapses", "cores", "placer", "spike-hops per sample",
    "against in-order", "links crossed", "longest way", "busiest link", "seconds",
)  # fmt: skip
HEAD = f"""# Placement

Written by `benchmarks/placement.py` from `benchmarks/results/placement.json`. Where packed cores
stand on the mesh decides how far spikes travel. The convolutional networks of
[mapping-results.md](mapping-results.md), masks random and without shortcuts, are packed by `akin`
onto `{CHIP}`; every neuron spikes at a random rate, a tenth in the mean, over {TIMESTEPS}
timesteps. Each placer numbers the same cores. *in-order* leaves them in the order of packing: chip
by chip, there population by population, and neighbours in the image mostly one after the other.

A spike-hop is one message over one link between tiles; a step to the next chip counts as many more
as the profile says (`chip_crossing_hops`, an assumption). *Links crossed* leaves that surcharge
out. A message is one spike to one core, however many synapses it has there.

An out-axon to another chip takes two entries. Where a placer would overfill a core by that, cores
change places only within their chips, and whole chips with each other: marked +.

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}"""


@click.command()
def main() -> None:
    """Pack every network, and place its cores by every placer."""
    profile = find_profile(CHIP)
    results: dict[str, Any] = {"environment": environment(), "cases": []}
    for name in NETWORKS:
        network = draw(name)
        started = time.monotonic()
        packed, bounds = pack(network, profile, "akin")
        image = assemble(network, packed, bounds, dropped=0, trained="")
        print(f"{name}: {len(image.cores)} cores in {time.monotonic() - started:.0f} s")
        for placer in ("in-order", *(p for p in PLACERS if p != "in-order")):
            case = {"network": name, "density": CONVS[name][0]}
            results["cases"].append(case | placed(profile, image, placer))
            print(f"  {results['cases'][-1]}", flush=True)
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    TABLE.write_text(document(results))


def placed(profile: HardwareProfile, image: Image, placer: str) -> dict[str, Any]:
    """What the cores of a network cost where a placer puts them."""
    activity = rates(image.network)
    started = time.monotonic()
    numbered = number_cores(profile, image, activity, placer)
    seconds = time.monotonic() - started
    sent = traffic(reach(image), activity)
    loads = route(profile, sent, np.array([core.number for core in numbered.image.cores]))
    return {
        "neurons": sum(p.size for p in image.network.populations),
        "synapses": image.network.synapses,
        "cores": len(image.cores),
        "messages": int(sent.between.sum()),
        "placer": placer,
        "within_chips": numbered.remark is not None,
        "hops": loads.hops,
        "links": sum(int(part.sum()) for part in links_of(loads)),
        "hops_in_order": loads.hops_in_order,
        "longest": loads.longest,
        "busiest_link": loads.busiest_link,
        "seconds": round(seconds, 2),
    }


def rates(network: QuantizedNetwork) -> Activity:
    """Spikes of every neuron, each at a rate of its own."""
    rng = np.random.default_rng(SEED)
    spikes = rng.binomial(TIMESTEPS, rng.beta(1, 9, neurons(network)))
    return Activity(samples=1, timesteps=TIMESTEPS, spikes=spikes, stimulus="random rates")


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
            " seconds are of placing alone, counting messages and out-axons among it.",
            "",
        ]
    )


def row(case: dict[str, Any]) -> str:
    """One line of the table."""
    against = case["hops"] / case["hops_in_order"] - 1
    cells = [
        case["network"],
        f"{case['neurons']:,}",
        f"{case['synapses']:,}",
        f"{case['cores']:,}",
        case["placer"] + " +" * case["within_chips"],
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
