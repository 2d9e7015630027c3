"""The verifier verified: faults planted on purpose, and whether `verify` finds and names each one.

    python benchmarks/planted_faults.py                    measure, and write results and table
    python benchmarks/planted_faults.py --page             write the table from the results alone

Every fault is planted in several random networks, and judged twice: with the states of the faulty
side, as a simulator gives them, and by its spikes alone, as most hardware does. A fault that
changes no spike cannot be found by spikes: it is drawn again, with another network.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import planted_cores as c
import planted_machines as m
from planted_machines import SAMPLES, TIMESTEPS, Planted, Site
from planted_networks import SHAPES, place

from toolchain.artifact import Artifact
from toolchain.backends import quantized
from toolchain.files import write_bytes, write_json
from toolchain.raster import Raster, Recording
from toolchain.verify.verdict import Verdict, judge

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "planted_faults.json"
PAGE = HERE.parent / "docs" / "why-spikes-differ.md"
BEGIN, END = "<!-- planted faults: begin -->\n", "<!-- planted faults: end -->"
SEEDS = 2  # networks of each shape
_DRAWS = 20  # of one fault, until a spike differs
_DIFFERENT = 1000  # added to the seed of a network that is drawn again


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A fault: what it does, and which cause must be named."""

    cause: str
    plant: Callable[[Site], Planted]
    shapes: tuple[str, ...] = ("layers", "kernels", "loop")  # networks it is planted in


PLANTS: dict[str, Plant] = {
    "a synapse is lost": Plant(cause="lost synapse", plant=m.lost_synapse),
    "a whole projection is lost": Plant(cause="lost synapse", plant=m.lost_projection),
    "a synapse is too many": Plant(
        cause="extra synapse", plant=m.extra_synapse, shapes=("layers", "loop")
    ),
    "a weight has the wrong sign": Plant(cause="altered weight", plant=m.altered_weight),
    "a bit of a weight is turned over": Plant(cause="altered weight", plant=m.flipped_bit),
    "a core holds another weight": Plant(
        cause="altered weight", plant=c.core_weight, shapes=("layers", "loop")
    ),
    "weights are cut to 6 bits": Plant(cause="altered weight", plant=m.truncated_weights),
    "a weight exponent is one too high": Plant(cause="altered weight", plant=m.wrong_exponent),
    "kernels are transposed": Plant(
        cause="permuted kernel", plant=m.transposed_kernels, shapes=("kernels",)
    ),
    "kernels are turned around": Plant(
        cause="permuted kernel", plant=m.turned_kernels, shapes=("kernels",)
    ),
    "a matrix is transposed": Plant(
        cause="permuted kernel", plant=m.transposed_matrix, shapes=("layers", "loop")
    ),
    "channels come last": Plant(
        cause="permuted kernel", plant=m.channels_last, shapes=("kernels",)
    ),
    "two neurons are exchanged": Plant(
        cause="permuted kernel", plant=m.exchanged_neurons, shapes=("layers", "kernels")
    ),
    "a core's synapses are in another order": Plant(
        cause="permuted kernel", plant=c.core_target, shapes=("layers", "loop")
    ),
    "a route between two cores is lost": Plant(
        cause="dropped at a core's border", plant=c.lost_route, shapes=("layers", "loop")
    ),
    "one spike is lost between two cores": Plant(
        cause="dropped at a core's border", plant=c.lost_packet, shapes=("layers", "loop")
    ),
    "a delay is 1 too long": Plant(cause="shifted delay", plant=m.late_delay),
    "a delay is 2 too long": Plant(cause="shifted delay", plant=m.early_delay),
    "the input is 1 timestep late": Plant(cause="input encoding", plant=m.late_input),
    "the input is inverted": Plant(cause="input encoding", plant=m.inverted_input),
    "the input is in reversed order": Plant(cause="input encoding", plant=m.reversed_input),
    "the input is transposed": Plant(cause="input encoding", plant=m.transposed_input),
    "decay_u is 1 too high": Plant(cause="decay of u", plant=m.decay_u_up, shapes=("fine",)),
    "decay_u is 1 too low": Plant(cause="decay of u", plant=m.decay_u_twice, shapes=("fine",)),
    "decay_v is 1 too high": Plant(cause="decay of v", plant=m.decay_v_up, shapes=("fine",)),
    "decay_v is 1 too low": Plant(cause="decay of v", plant=m.decay_v_down, shapes=("fine",)),
    "decays round down": Plant(cause="rounding", plant=m.rounded_down, shapes=("fine",)),
    "a threshold is reached, not passed": Plant(
        cause="threshold tie", plant=m.tie, shapes=("even",)
    ),
    "all thresholds are 9 too high": Plant(cause="threshold", plant=m.all_thresholds),
    "one threshold is halved": Plant(cause="threshold", plant=m.one_threshold),
    "the bias is missing": Plant(cause="bias", plant=m.no_bias),
    "the bias has another exponent": Plant(cause="bias", plant=m.wrong_bias_exponent),
    "v is reset by subtraction": Plant(cause="reset", plant=m.soft_reset),
    "v is not reset": Plant(cause="reset", plant=m.no_reset),
    "u saturates": Plant(cause="wrap or clip", plant=m.clipped_u, shapes=("storm",)),
    "v wraps": Plant(cause="wrap or clip", plant=m.wrapped_v, shapes=("storm",)),
    "samples are not reset": Plant(cause="state carried over", plant=m.carried_over),
    "a recorded bit is turned over": Plant(cause="recording", plant=m.turned_record),
}


@cache
def placed(shape: str, seed: int) -> tuple[Artifact, Raster, Raster]:
    """A random network on small cores, a stimulus for it, and what it spikes."""
    rng = np.random.default_rng([seed, list(SHAPES).index(shape)])
    network = SHAPES[shape](rng)
    samples = 40 if shape == "fine" else SAMPLES
    rate = 0.6 if shape == "storm" else 0.35
    spikes = rng.random((samples, TIMESTEPS, network.input.size)) < rate
    stimulus = Raster(spikes={network.input.name: spikes})
    artifact = place(network)
    return artifact, stimulus, quantized.run(artifact, stimulus).raster


def judged(name: str, shape: str, seed: int, *, states: bool) -> Verdict | None:
    """The verdict on a machine with a fault; None where the fault changes no spike anywhere."""
    for draw in range(_DRAWS):
        artifact, stimulus, right = placed(shape, seed + _DIFFERENT * draw)
        rng = np.random.default_rng([seed, list(SHAPES).index(shape), draw])
        where = Site(artifact=artifact, hidden="second", rng=rng)
        planted = PLANTS[name].plant(where)
        machine, held = planted if isinstance(planted, tuple) else (planted, artifact)
        wrong = machine(stimulus).raster
        if any((right.spikes[n] != wrong.spikes[n]).any() for n in right.spikes):
            break
    else:
        return None

    def probe(side: str, some: Raster, population: str) -> Recording:
        faulty = side != "quantized"
        return machine(some) if faulty else quantized.run(artifact, some, states=[population])

    recorded = {"quantized": right, "faulty": wrong}
    return judge(held, recorded, stimulus=stimulus, probe=probe if states else None)


def measure(seeds: int, faults: Sequence[str], known: dict[str, Any]) -> dict[str, Any]:
    """Faults in every shape of network that they are for, with states and by spikes alone."""
    rows = []
    for name, plant in PLANTS.items():
        if name not in faults:
            rows += [row for row in known["rows"] if row["fault"] == name]
            continue
        row: dict[str, Any] = {"fault": name, "cause": plant.cause}
        for states in (True, False):
            found = [
                judged(name, shape, seed, states=states)
                for shape in plant.shapes
                for seed in range(seeds)
            ]
            row["states" if states else "spikes"] = _counts(found, plant.cause)
        rows.append(row)
        print(json.dumps(row), flush=True)
    return {
        "schema": "snn-deploy.planted-faults",
        "schema_version": 1,
        "samples": SAMPLES,
        "timesteps": TIMESTEPS,
        "rows": rows,
    }


def _counts(found: list[Verdict | None], cause: str) -> dict[str, Any]:
    """Of how many planted faults were found, named right, named as fitting too, or unknown."""
    verdicts = [verdict for verdict in found if verdict is not None]
    diagnoses = [verdict.diagnosis for verdict in verdicts if verdict.diagnosis is not None]
    others = [d for d in diagnoses if d.cause not in (cause, "unknown")]
    named = [d.findings[0].others for d in others if d.findings]
    return {
        "planted": len(verdicts),
        "silent": len(found) - len(verdicts),
        "found": sum(not verdict.equal for verdict in verdicts),
        "right": sum(d.cause == cause for d in diagnoses),
        "fits_too": sum(any(o.startswith(cause + ":") for o in fits) for fits in named),
        "unknown": sum(d.cause == "unknown" for d in diagnoses),
        "certain_and_wrong": sum(d.findings[0].certain for d in others if d.findings),
    }


def table(results: dict[str, Any]) -> str:
    """The table of the page, with its sums."""
    rows = results["rows"]
    sides = ("states", "spikes")
    total = {
        side: {key: sum(row[side][key] for row in rows) for key in rows[0][side]} for side in sides
    }
    always = {
        side: sum(row[side]["right"] == row[side]["planted"] for row in rows) for side in sides
    }
    wrong = sum(total[side]["certain_and_wrong"] for side in sides)
    shown, heard = total["states"], total["spikes"]
    lines = [
        f"{len(rows)} faults, each planted in several networks, {shown['planted']} times in all."
        f" Found: {shown['found']} with u and v, {heard['found']} by spikes alone. The cause named"
        f" first is right: {shown['right']} and {heard['right']} times; in every network for"
        f" {always['states']} and {always['spikes']} of the {len(rows)} faults. A wrong cause that"
        f" was called certain: {wrong} times. *Fits, too*: the right cause stood second or later.",
        "",
        "| fault | cause to be named | found | right, with states | right, spikes alone"
        " | fits, too | unknown |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        states, spikes = row["states"], row["spikes"]
        both = {key: states[key] + spikes[key] for key in states}
        lines.append(
            f"| {row['fault']} | {row['cause']} | {both['found']} of {both['planted']}"
            f" | {states['right']} of {states['planted']}"
            f" | {spikes['right']} of {spikes['planted']}"
            f" | {both['fits_too']} | {both['unknown']} |"
        )
    return "\n".join(lines) + "\n"


def document(page: str, results: dict[str, Any]) -> str:
    """The page with the table of these results in its place."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + table(results) + END + rest.split(END)[1]


def main() -> None:
    """Measure, or only write the table again."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--page", action="store_true")
    options.add_argument("--seeds", type=int, default=SEEDS)
    options.add_argument("--fault", action="append", choices=list(PLANTS), help="only this one")
    given = options.parse_args()
    if not given.page:
        known = json.loads(RESULTS.read_text()) if given.fault else {"rows": []}
        write_json(RESULTS, measure(given.seeds, given.fault or list(PLANTS), known))
    results = json.loads(RESULTS.read_text())
    if PAGE.exists():
        write_bytes(PAGE, document(PAGE.read_text(), results).encode())


if __name__ == "__main__":
    main()
