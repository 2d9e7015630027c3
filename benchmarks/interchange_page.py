"""docs/interchange-results.md, from benchmarks/results/interchange.json alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "interchange.json"
TABLE = HERE.parent / "docs" / "interchange-results.md"
Result = dict[str, Any]


def document(results: Result) -> str:
    """The page, from the results alone."""
    files: dict[str, Result] = results["files"]
    rows = [
        "| file | verdict | what it is | recorded by its makers | ours |",
        "|---|---|---|---|---|",
    ]
    rows += [
        "| " + " | ".join([f"`{name}`", *cells(name, found)]) + " |"
        for name, found in sorted(files.items())
    ]
    repaired = [
        f"- `{name}`: {note}"
        for name, found in sorted(files.items())
        for note in found.get("notes", [])
    ]
    versions = ", ".join(f"{name} {number}" for name, number in results["packages"].items())
    measured = f"Measured with Python {results['python']}: {versions}."
    heading = "## What was repaired, chosen or changed"
    ours = read_by_others(results.get("lava_dl_reader", {}))
    lines = [INTRODUCTION, *rows, "", ENDING, "", *ours, heading, "", *repaired, "", measured, ""]
    return "\n".join(lines)


def read_by_others(found: dict[str, dict[str, int]]) -> list[str]:
    """What lava-dl's own reader makes of our layer files (`benchmarks/netx_reader.py`)."""
    if not found:
        return []
    head = ["## Ours in lava-dl's own reader", "", READER]
    rows = ["| layers | networks | bits compared | spikes | differ |", "|---|---|---|---|---|"]
    rows += [
        f"| {kind} | {one['networks']} | {one['bits']:,} | {one['spikes']:,} | {one['differ']} |"
        for kind, one in sorted(found.items())
    ]
    return [*head, *rows, ""]


def cells(name: str, found: Result) -> list[str]:
    """Verdict, content, what was recorded, and what we find."""
    if "refused" in found:
        return ["refused", found["refused"], "", ""]
    if "state" in found:
        return ["refused", *state_cells(found)]
    made = f"{found['neurons']:,} neurons, {found['synapses']:,} synapses"
    if "dt" in found:
        made += f"; dt {found['dt']:g} s"
        return ["read", made, *nir_cells(found)]
    return ["read", made, *integer_cells(name, found)]


def cores(found: Result) -> str:
    """How many cores of which chip."""
    return f"{found['cores']} core{'s' if found['cores'] > 1 else ''} of {found['chip']}"


def state_cells(found: Result) -> list[str]:
    """Why the numbers of a state dict have no network on a chip."""
    return [
        f"read: {found['neurons']} recurrent neurons, {found['state']:,} synapses; no form: a spike"
        f" makes its neuron deaf for a timestep, {found['decays']} pairs of decays, and the answer"
        " is two potentials",
        "",
        f"without the deaf timestep {found['differ']:,} of {found['bits']:,} bits differ on random"
        f" input ({found['spikes']:,} spikes)",
    ]


def nir_cells(found: Result) -> list[str]:
    """What was recorded and found for a NIR file: accuracies, or its neurons' parameters."""
    if "right_float" not in found:
        decays = "; ".join(f"`{n}` {u:g}, {v:g}, {t:g}" for n, u, v, t in found["decays"])
        return ["", f"decay_u, decay_v, threshold: {decays}"]
    recorded = ", ".join(f"{name} {value:.2%}" for name, value in found["recorded"].items())
    of = found["samples"]
    return [
        f"{recorded} (all 10,000 samples)",
        f"{found['right_float']} of {of} in real numbers, {found['right_deployed']} of {of} on"
        f" {cores(found)} ({found['timesteps']} timesteps of"
        f" {found['microseconds'] / 1000:g} ms)",
    ]


def integer_cells(name: str, found: Result) -> list[str]:
    """What was recorded and found for a network of integers."""
    if "layer1" in found:
        return [
            "spikes of both layers, 15 timesteps",
            "; ".join(
                f"{layer}: {found[layer]['differ']} of {found[layer]['bits']:,} bits differ"
                f" ({found[layer]['spikes']:,} spikes)"
                for layer in ("layer1", "layer2")
            ),
        ]
    if "strict" in found:
        return [
            f"SLAYER's raster, {found['spikes']:,} spikes",
            f"{found['at_threshold']['differ']} of {found['bits']:,} bits differ where v at the"
            f" threshold spikes, as in the recording; {found['strict']['differ']:,} where it does"
            " not, as on the chip and in Lava",
        ]
    if "right_recorded" in found:
        of = found["samples"]
        return [
            f"{found['right_recorded']} of {of}",
            f"{found['right_deployed']} of {of}, on {cores(found)}",
        ]
    return [
        "",
        f"on {cores(found)}; {found['differ']} of {found['bits']:,} bits"
        f" differ between Lava, the simulator and the integers ({found['samples']} random samples,"
        f" {found['spikes']:,} spikes)",
    ]


INTRODUCTION = """# Networks of others, read

Written by `benchmarks/interchange.py` from `benchmarks/results/interchange.json`: every network of
a collection that others trained, what became of it, and, where its makers recorded what it does,
how close ours is. [interchange.md](interchange.md) says how files are read. NIR files were read
with `--reset zero`.
"""
READER = """Random networks written by `export netx`, read by lava-dl's reader (commit d825ac5) with
`reset_offset=1` and run by Lava; its output is two timesteps late, one for each layer.
"""
ENDING = """Files without a recording beside them show their neurons' parameters. The Oxford raster
was recorded with `v >= threshold`; today's SLAYER, Lava and the chip ask for `v > threshold`. So
ours is equal to it under the rule it was made by, and the deployed network is not.

`import torch` reads the state dicts under `torch/` for any module that has their keys. But no
module of norse has their neurons: in their makers' equations the timestep after a spike is lost,
current and all, which neither norse nor the chip does. The way out is to train again with
`LIFRecurrentCell`, an output that spikes, and these weights as its start."""
