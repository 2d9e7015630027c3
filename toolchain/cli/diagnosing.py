"""How a verdict reads: the chain arrow by arrow and, where it breaks, where and why."""

from __future__ import annotations

from textwrap import fill
from typing import Any

from rich.table import Table
from rich.text import Text

from toolchain.cli.output import say, share, show, table
from toolchain.verify.causes import UNKNOWN
from toolchain.verify.diagnose import Diagnosis, Finding
from toolchain.verify.divergence import Divergence, Moment
from toolchain.verify.verdict import Verdict


def show_verdict(verdict: Verdict) -> None:
    """The verdict as a person reads it."""
    show(_chain(verdict))
    if verdict.equal:
        say("\nequal: every bit of every population")
    else:
        say(f"\nNOT EQUAL: {verdict.reason}")
    if verdict.diagnosis is not None:
        show_diagnosis(verdict.diagnosis)
    for name, value in sorted(verdict.accuracy.items(), reverse=True):
        say(f"accuracy {name:<9} {share(value)}")
    if not verdict.accuracy:
        say("accuracy is not known: the stimulus has no labels")
    measured = verdict.measured
    if measured is not None:
        ends = f"{measured.against} and {measured.backend}"
        say(f"decisions that {ends} share  {share(measured.decisions)}")
        say(f"spikes that {ends} share  {share(measured.spikes)}")


def _chain(verdict: Verdict) -> Table:
    """One row for each arrow; bits: samples x timesteps x neurons of all populations."""
    counts = ("samples", "bits", "spikes", "mismatches")
    made = table(["expected", "judged", "contract", *counts, ""], [])
    for number in range(3, 7):
        made.columns[number].justify = "right"
    measured = verdict.measured
    if measured is not None:
        ends = (measured.against, measured.backend, measured.contract)
        made.add_row(*ends, f"{measured.samples:,}", "-", "-", "-", "measured")
    for link in verdict.chain:
        made.add_row(
            link.against,
            link.backend,
            link.contract,
            f"{link.samples:,}",
            f"{link.neuron_steps_compared:,}",
            f"{link.spikes_compared:,}",
            f"{link.mismatches:,}",
            _good("equal") if link.equal else _bad("NOT EQUAL"),
        )
    return made


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """Where, by how much and why, from the first bit that differs to its cause."""
    say(f"\nFirst difference, {_place(diagnosis.first)}")
    show(_moments(diagnosis))
    for side, moment in _sides(diagnosis):
        if moment.note:
            say(f"no u and v of {side}: {moment.note}")
    say(
        f"\nEach population of {diagnosis.side}, as it ran (free-running) and computed again from"
        " the spikes\nthat it received (teacher-forced): bits that differ"
    )
    rows = [
        (layer.population, layer.free_running, layer.teacher_forced, layer.word)
        for layer in diagnosis.layers
    ]
    show(table(["population", "free-running", "teacher-forced", ""], rows))
    for finding in diagnosis.findings:
        _show_finding(finding)
    for note in diagnosis.notes:
        say(f"note: {note}")
    say()


def _place(first: Divergence) -> str:
    return (
        f"sample {first.sample}, timestep {first.timestep}, population '{first.population}',"
        f" neuron {first.neuron} on core {first.core}"
    )


def _sides(diagnosis: Diagnosis) -> list[tuple[str, Moment]]:
    first = diagnosis.first
    return [(diagnosis.against, first.expected), (diagnosis.backend, first.actual)]


def _moments(diagnosis: Diagnosis) -> Table:
    first = diagnosis.first
    (expected, left), (judged, right) = _sides(diagnosis)
    rows = [
        ("weights of the sources that spiked", left.arrived, right.arrived),
        ("input sum, as u shows it", left.input_sum, right.input_sum),
        ("u", left.u, right.u),
        ("bias", first.bias, first.bias),
        ("v before its reset", left.v_before_reset, right.v_before_reset),
        ("threshold", first.threshold, first.threshold),
        ("spike", "yes" if left.spike else "no", "yes" if right.spike else "no"),
        ("v after it", left.v, right.v),
    ]
    made = table(["", expected, judged, " "], [])
    for number in (1, 2):
        made.columns[number].justify = "right"
    for name, one, other in rows:
        apart = None not in (one, other) and one != other
        made.add_row(name, _cell(one), _cell(other), _bad("differs") if apart else "")
    return made


def _show_finding(finding: Finding) -> None:
    known = finding.certain or finding.cause == UNKNOWN
    say(f"\n{'Cause' if known else 'Most likely cause'} in '{finding.population}': {finding.cause}")
    _item("evidence", finding.evidence)
    _item("next", finding.move)
    for other in finding.others:
        _item("fits, too", other)


def _item(name: str, text: str) -> None:
    say(fill(text, 92, initial_indent=f"  {name:<11}", subsequent_indent=" " * 13))


def _cell(value: object) -> Any:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else value


def _good(text: str) -> Text:
    return Text(text, style="green")


def _bad(text: str) -> Text:
    return Text(text, style="bold red")
