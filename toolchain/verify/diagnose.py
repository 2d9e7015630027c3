"""Why one side does not spike as the network says: which population is wrong, and what explains it.

Layer by layer: every population is computed again from the spikes that it really received, so a
wrong layer is told from one with a wrong input. For a wrong one, suspicions are tested until one
explains every bit. Where none does, the cause is unknown, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from toolchain.artifact import Artifact
from toolchain.errors import InputError
from toolchain.network import QuantizedNetwork, in_causal_order
from toolchain.raster import Raster, Recording
from toolchain.verify import suspects, suspects_events, suspects_order, suspects_synapses
from toolchain.verify.causes import CAUSES, UNKNOWN
from toolchain.verify.compare import Comparison
from toolchain.verify.cores import Difference, differences, on_border
from toolchain.verify.divergence import Divergence, States, divergence
from toolchain.verify.forced import IntArray, Record
from toolchain.verify.question import Question, Suspicion

Probe = Callable[[str, Raster, str], Recording]  # (side, stimulus, population) with its u and v

SUSPECTS: dict[str, Callable[[Question], Iterator[Suspicion]]] = {
    "recording": suspects_order.recorded,
    "threshold tie": suspects.ties,
    "decays": suspects.decays,
    "reset": suspects.resets,
    "limits and rounding": suspects.limits,
    "rounding": suspects.both_rounded,
    "bias": suspects.biases,
    "state carried over": suspects.carried,
    "input encoding": suspects.inputs,
    "delays": suspects.delays,
    "whole projections": suspects.projections,
    "kernels": suspects_order.kernels,
    "neurons exchanged": suspects_order.exchanged,
    "synapses and axons": suspects_synapses.synapses,
    "thresholds": suspects.thresholds,
    "single spikes": suspects_events.dropped,
}
_MOST_LAYERS = 3  # wrong ones that are explained; the others are counted
_MOST_TESTED = 12  # suspicions that are tested on all samples
_MOST_TOLD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One population: as it ran, and computed again from what it really received."""

    population: str
    free_running: int  # bits that differ between the two sides
    teacher_forced: int  # bits that contradict the network, given what this side received

    @property
    def word(self) -> str:
        """What that says of it."""
        if self.teacher_forced:
            return "wrong layer"
        return "wrong input" if self.free_running else "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What explains a wrong population."""

    population: str
    cause: str  # in causes.CAUSES
    evidence: str  # a sentence
    explained: int  # contradicting bits that it explains: all of them, or the cause is unknown
    of: int
    certain: bool  # whether nothing of another cause explains them all as well
    others: tuple[str, ...]  # what does, less simply
    tried: int  # suspicions that were tested

    @property
    def move(self) -> str:
        """What to look at next."""
        return CAUSES[self.cause]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Of the first arrow that failed: where, on which side, and why."""

    against: str
    backend: str
    side: str  # the one that does not do what the network says
    first: Divergence
    layers: tuple[Layer, ...]  # in causal order
    findings: tuple[Finding, ...]  # of the first wrong populations
    notes: tuple[str, ...]

    @property
    def cause(self) -> str:
        """The cause in the first wrong population."""
        return self.findings[0].cause if self.findings else UNKNOWN

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as JSON."""
        return asdict(self) | {
            "cause": self.cause,
            "layers": [asdict(layer) | {"word": layer.word} for layer in self.layers],
            "findings": [asdict(found) | {"move": found.move} for found in self.findings],
        }


def diagnose(
    artifact: Artifact,
    stimulus: Raster,
    arrow: Comparison,
    rasters: Mapping[str, Raster],
    *,
    network_is: str,
    probe: Probe | None = None,
) -> Diagnosis:
    """Diagnose an arrow that failed, all arrows before it being equal.

    `rasters`: side -> what it spiked. `network_is`: the side that runs the network itself; where it
    is the judged one, the other is diagnosed. `probe` runs a side again, with states.
    """
    side = arrow.against if arrow.backend == network_is else arrow.backend
    other = arrow.backend if side == arrow.against else arrow.against
    records = {n: _record(artifact, stimulus, rasters[n]) for n in (arrow.against, arrow.backend)}
    wrong = {p.name: records[side].wrong(p.name) for p in in_causal_order(artifact.network)}
    home, notes = homes(artifact), list[str]()
    held = _held(artifact, notes) if side == arrow.backend else []
    questions = [
        Question(record=records[side], expected=records[other], name=name, wrong=bits, home=home)
        for name, bits in wrong.items()
        if bits.any()
    ]
    look = _Look(probe, stimulus, rasters)
    if not questions:
        notes.append(f"every population of '{side}' does what the network says, given its input")
    if len(questions) > _MOST_LAYERS:
        notes.append(f"{len(questions) - _MOST_LAYERS} more populations are wrong by themselves")
    return Diagnosis(
        against=arrow.against,
        backend=arrow.backend,
        side=side,
        first=_first(arrow, records, look),
        layers=tuple(
            Layer(
                population=name,
                free_running=arrow.mismatches_per_population[name],
                teacher_forced=int(bits.sum()),
            )
            for name, bits in wrong.items()
        ),
        findings=tuple(
            _by_cores(question, held) or explain(_with_states(question, side, look))
            for question in questions[:_MOST_LAYERS]
        ),
        notes=tuple(notes),
    )


def _first(arrow: Comparison, records: Mapping[str, Record], look: _Look) -> Divergence:
    """The first bit that differs, with what both sides give when they run that sample again."""
    first = arrow.first_mismatch
    assert first is not None, "an arrow without a mismatch has no first one"
    expected, actual = (
        look(name, first.sample, first.population) for name in (arrow.against, arrow.backend)
    )
    sides = records[arrow.against], records[arrow.backend]
    return divergence(first, *sides, (expected, actual))


def homes(artifact: Artifact) -> dict[str, IntArray]:
    """Population -> (neurons,) number of the core where each one lives; the input's is -1."""
    network = artifact.network
    found = {p.name: np.full(p.size, -1, np.int64) for p in network.populations}
    for core in artifact.cores:
        for block in core.blocks:
            found[block.population][block.neurons] = core.number
    return found | {network.input.name: np.full(network.input.size, -1, np.int64)}


def explain(question: Question) -> Finding:
    """The simplest suspicion that explains every wrong bit of a population, or that none does."""
    tested = [
        (s, question.left_in_first(s)) for s in chain(*(f(question) for f in SUSPECTS.values()))
    ]
    of = int(question.wrong.sum())
    hopeful = sorted(
        (s for s, left in tested if left == 0 or s.cause == "recording"), key=lambda s: s.bits
    )
    fitting = [s for s in hopeful[:_MOST_TESTED] if s.cause == "recording" or question.explained(s)]
    if not fitting:
        return _unknown(question, tested, of)
    best = fitting[0]
    bits = _all_bits(of)
    return Finding(
        population=question.name,
        cause=best.cause,
        evidence=f"with {best.says}, {bits} of '{question.name}' that contradict the network"
        f" {'are' if of > 1 else 'is'} explained",
        explained=of,
        of=of,
        certain=all(s.cause == best.cause for s in fitting) and best.witnessed,
        others=tuple(f"{s.cause}: {s.says}" for s in fitting[1:_MOST_TOLD]),
        tried=len(tested),
    )


def _all_bits(count: int) -> str:
    return f"all {count:,} bits" if count > 1 else "the one bit"


def _unknown(question: Question, tested: list[tuple[Suspicion, int]], of: int) -> Finding:
    nearest, left = min(tested, key=lambda pair: pair[1])
    sample, whole = int(question.numbers[0]), question.in_first
    near = (
        f"; nearest, but not it: {nearest.says} ({nearest.cause}), which leaves {left:,} of"
        f" {whole:,} contradictions in sample {sample}"
        if 0 < left < whole
        else ""
    )
    return Finding(
        population=question.name,
        cause=UNKNOWN,
        evidence=f"none of {len(tested):,} suspicions explains all {of:,} bits of"
        f" '{question.name}' that contradict the network{near}",
        explained=0,
        of=of,
        certain=False,
        others=(),
        tried=len(tested),
    )


def _held(artifact: Artifact, notes: list[str]) -> list[Difference]:
    """Where the cores are not the network; a note where they cannot be read at all."""
    try:
        return differences(artifact.image)
    except InputError as problem:
        notes.append(f"the packed cores cannot be put together again: {problem}")
        return []


def _by_cores(question: Question, held: list[Difference]) -> Finding | None:
    """The difference of cores and network onto a population, where it explains all of it."""
    mine = [d for d in held if d.held.target == question.name]
    if not mine:
        return None
    network = _mended(question.record.network, mine)
    if replace(question.record, network=network).wrong(question.name).any():
        return None
    border = on_border(mine[0], question.home) if len(mine) == 1 else None
    where = "" if border is None else f"; no spike of theirs reaches core {border}"
    of = int(question.wrong.sum())
    return Finding(
        population=question.name,
        cause=mine[0].cause if border is None else "dropped at a core's border",
        evidence="; ".join(d.says() for d in mine) + where + f"; computed from the cores,"
        f" {_all_bits(of)} {'are' if of > 1 else 'is'} explained",
        explained=of,
        of=of,
        certain=True,
        others=(),
        tried=1,
    )


def _mended(network: QuantizedNetwork, held: list[Difference]) -> QuantizedNetwork:
    """The network with the projections that the cores hold."""
    by_number = {d.number: d.held for d in held}
    projections = enumerate(network.projections)
    return replace(network, projections=tuple(by_number.get(n, edge) for n, edge in projections))


def _record(artifact: Artifact, stimulus: Raster, raster: Raster) -> Record:
    name = artifact.network.input.name
    return Record(
        network=artifact.network, spikes=dict(raster.spikes) | {name: stimulus.spikes[name]}
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Runs one sample of a side again, for u and v of one population."""

    probe: Probe | None
    stimulus: Raster
    rasters: Mapping[str, Raster]

    def __call__(self, side: str, sample: int, name: str) -> States:
        """The states, or why there are none."""
        if self.probe is None:
            return States(note="only spikes are known of it")
        try:
            again = self.probe(side, self.stimulus.between(sample, sample + 1), name)
        except Exception as problem:  # whatever a board does then, the verdict must still be told
            return States(note=f"it gives no states ({type(problem).__name__}: {problem})")
        if again.u is None or again.v is None or name not in again.u or name not in again.v:
            return States(note="it gives spikes only, no states")
        known = self.rasters[side].spikes[name][sample]
        if not np.array_equal(again.raster.spikes[name][0], known):
            return States(
                note=f"sample {sample} by itself spikes otherwise than among the others: no states"
            )
        u, v = (np.asarray(held[name][0], np.int64) for held in (again.u, again.v))
        return States(u=u, v=v)


def _with_states(question: Question, side: str, look: _Look) -> Question:
    """The same question, with u and v of its first wrong sample where the side gives them."""
    sample = int(question.numbers[0])
    states = look(side, sample, question.name)
    if states.u is None or states.v is None:
        return question
    case = question.record.case(question.name, np.array([sample]))
    return replace(question, states=replace(case, u=states.u[None], v=states.v[None]))
