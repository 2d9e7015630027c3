"""docs/simulator.md, written from benchmarks/results/simulator.json alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolchain.backends import simulator_ways

LAVA, NENGO = 200, 500  # times the simulator's speed: what was aimed at
TARGET = 1e9  # synaptic operations per second of one processor

HEAD = f"""# The simulator

`--backend simulator` runs an artifact's packed cores on whole test sets. Matrices are put together
again from the cores; populations that a loop ties together form a stage, and stages run one after
another, each over its whole time axis, a few samples at a time, on all processors. Every number is
an integer, and every way below gives the same bits as the reference (`tests/laws/`).

## The ways of delivering spikes

- `rows` adds whole rows of half weights (even numbers of 9 bits halve into 8), 128 targets at a
  time in vector registers: 16-bit sums of at most 255 rows, then 32 bits. Needs numba.
- `lists` adds the synapses of compressed rows one by one. Needs numba.
- `matrix` multiplies all spikes of all timesteps by all half weights, int8 x int8 -> int32, in
  torch's integer unit.
- `numpy`: compressed rows through scipy, neurons timestep by timestep. Needs nothing more.

`SNN_DEPLOY_SIMULATOR` asks for one of them; unset, a rule takes the cheapest, projection by
projection and block by block. `SNN_DEPLOY_THREADS` sets the threads. Neither changes a bit.

## The rule

It knows how many spikes there are, and these nanoseconds: {simulator_ways.ROW_BLOCK:g} to add 128
weights of a spike, {simulator_ways.FLUSH_BLOCK:g} to hand over 128 sums,
{simulator_ways.LIST:g} to find a spike's synapses and {simulator_ways.SYNAPSE:g} to add one,
{simulator_ways.PRODUCT:g} for one product of the matrix unit and {simulator_ways.CALL:,.0f} to ask
it. It never looks at a clock. torch is imported only where the first block of samples says that
this saves more than the import takes; its product is tried once on the largest sums that can occur,
and not used if it saturates.

Projections within a loop go timestep by timestep, by rows or by lists.

## Memory and range

Samples go through in blocks of at most 16, so that counts (`simulator.spike_counts`) and chunks
(`simulator.recordings`) of any number of samples take bounded memory. A recording that would not
fit into the memory at hand is refused before it starts. Sums of arriving weights must stay below
2^17, where int32 is proved to hold every state; an artifact's, below 2^15, are checked when it is
read.

Compiled code is kept beside the installed modules, or, where that folder cannot be written, in the
user's cache folder; `NUMBA_CACHE_DIR` chooses another. Where none can be written, every process
compiles anew, some five seconds. There is no numba thread pool: threads are Python's, the loops
release its lock, and a wheel's first run is like any other.

# Measured

Written by `benchmarks/simulator.py` from `benchmarks/results/simulator.json`."""


def document(results: dict[str, Any]) -> str:
    """docs/simulator.md."""
    parts = [
        HEAD,
        side_text(results["side_by_side"]),
        sweep_text(results["sweep"]),
        ways_text(results["ways"]),
        scaling_text(results["scaling"]),
        start_text(results["start_up"]),
        place_text(results["environment"]),
    ]
    return "\n\n".join(parts) + "\n"


def rows_text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


LABELS = {
    "lava": "Lava, synchronous batch",
    "lava-async": "Lava, asynchronous batch",
    "lava, fresh": "Lava, a fresh network and process per sample",
    "norse": "norse in torch, batch of 100, float32",
    "nengo-loihi": "nengo-loihi's emulator",
}


def side_text(found: dict[str, Any]) -> str:
    """Everything on one network."""
    one = found["ways"]["simulator, 1 thread"]
    best = min(way["seconds"] for name, way in found["ways"].items() if "simulator" in name)
    rows = [
        [
            LABELS.get(name, name),
            f"{1e3 * way['seconds']:,.3g}",
            f"{1e3 * way['least']:,.3g} to {1e3 * way['most']:,.3g}",
            f"{1 / way['seconds']:,.1f}",
            f"{way['seconds'] / best:,.1f}",
            f"{1e3 * way['processor_seconds']:,.3g}",
            f"{way['processor_seconds'] / one['processor_seconds']:,.1f}",
        ]
        for name, way in found["ways"].items()
    ]
    shares = ", ".join(f"{value:.1%}" for value in found["rates"].values())
    lines = [
        f"## Side by side: {found['case']['name']}",
        "",
        f"One network, one stimulus, medians of {found['turns']} turns. Shares"
        f" that spike at a timestep, input first: {shares}. A run of"
        f" {found['case']['samples']} samples, compiling the artifact among it; Lava per sample of"
        " a longer batch beyond a shorter one,"
        " so that its start-up is not among it.",
        "",
        rows_text(
            [
                *("", "ms per sample", "spread", "samples per second", "times the simulator"),
                *("processor ms", "times the simulator, 1 thread"),
            ],
            rows,
        ),
        "",
        f"{found['operations_per_sample']:,.0f} synaptic operations per sample;"
        f" {found['operations_per_processor_second']:.3g} per second of one processor"
        f" (target: {TARGET:.0e}). Targets of time were {LAVA} times less than Lava's synchronous"
        f" batch and {NENGO} times less than nengo-loihi's emulator. Where other work runs, Lava's"
        " many processes get more of the processors than one does: then processor time compares"
        " better than time, though Lava's processes also spend some of it on each other.",
        *(f"Left out: {name}, {reason}." for name, reason in found["left_out"].items()),
    ]
    return "\n".join(lines)


def sweep_text(found: dict[str, list[dict[str, Any]]]) -> str:
    """Time against events."""
    head = (
        "## Time is proportional to events\n\nProcessor milliseconds per sample of one thread, one"
        " quantity moved at a time from 784-1024-1024-10, 10 % dense, 32 steps, 13 % input rate."
    )
    tables = []
    for what, points in found.items():
        rows = []
        for point in points:
            value = {
                "rate": f"{point['rate']:.0%}",
                "density": f"{point['density']:.0%}",
                "width": str(point["sizes"][1]),
                "steps": str(point["steps"]),
            }[what]
            per = point["processor_seconds"] / point["samples"]
            each = point["processor_seconds"] / max(point["operations"], 1)
            rows.append(
                [
                    value,
                    f"{point['operations'] / point['samples']:,.0f}",
                    f"{point['neuron_steps'] / point['samples']:,.0f}",
                    f"{1e3 * per:.3f}",
                    f"{1e9 * each:.2f}" if point["operations"] else "",
                ]
            )
        columns = [f"input {what}" if what == "rate" else what, "operations", "neuron-steps", "ms"]
        tables.append(rows_text([*columns, "ns per operation"], rows))
    return "\n\n".join([head, *tables])


def ways_text(found: list[dict[str, Any]]) -> str:
    """Every way, and what the rule takes."""
    rows = []
    for point in found:
        seconds = point["seconds_per_sample"]
        best = min(seconds, key=lambda way: seconds[way])
        rows.append(
            [
                f"{point['density']:.0%}",
                f"{point['rate']:.0%}",
                *(f"{1e3 * seconds[way]:.3f}" for way in ("rows", "lists", "matrix")),
                point["taken"],
                "" if best == point["taken"] else f"{seconds[point['taken']] / seconds[best]:.1f}",
            ]
        )
    columns = ["density", "rate", "rows ms", "lists ms", "matrix ms", "taken", "times the best"]
    head = "## Every way, 1024 onto 1024, 32 steps\n\nProcessor milliseconds per sample."
    return f"{head}\n\n{rows_text(columns, rows)}"


def scaling_text(found: dict[str, Any]) -> str:
    """Threads."""
    return (
        f"## Threads\n\n{found['threads']} threads are {found['simulator']:.2f} times as fast as"
        f" one; for a loop that only computes, on the same machine in the same turns,"
        f" {found['loop']:.2f} times."
    )


def start_text(found: dict[str, dict[str, float]]) -> str:
    """Whole processes."""
    idle = found["python -c pass"]
    rows = [
        [
            f"`{what}`",
            f"{took['seconds']:.2f}",
            f"{took['least']:.2f}",
            f"{took['processor_seconds']:.2f}",
            f"{took['seconds'] / idle['seconds']:.1f}",
        ]
        for what, took in found.items()
    ]
    columns = ["process", "seconds", "least", "processor seconds", "times `python -c pass`"]
    return (
        "## Start-up\n\nMedians; `run` is of a small artifact, its compiled code in the cache.\n\n"
        + rows_text(columns, rows)
    )


def place_text(place: dict[str, Any]) -> str:
    """Where it was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in place["packages"].items())
    loads = [value for pair in place["load"].values() for value in pair]
    return (
        f"Measured on {place['processors']} processors ({place['processor']};"
        f" {', '.join(place['flags'])}) with Python {place['python']}, {versions}."
        f" Other work ran on them: load averages of {min(loads):.1f} to {max(loads):.1f} while this"
        " was measured. What is given in processor seconds suffers less from that than what is"
        " given in seconds."
    )
