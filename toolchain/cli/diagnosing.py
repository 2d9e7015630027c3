"""How a verdict reads: the chain arrow by arrow and, where it breaks, where and why."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from toolchain.cli.output import say, share, show, table
from toolchain.verify.diagnose import Diagnosis, Finding
from toolchain.verify.divergence import Divergence, Moment
from toolchain.verify.verdict import Verdict

_WORDS = {  # a side of the chain, as a person calls it
    "float": "float model",
    "trained": "trained, on integers",
    "quantized": "quantized network",
    "reference": "packed cores, reference",
    "simulator": "packed cores, simulator",
    "lava": "Lava",
}


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
    for name, value in verdict.agreement.items():
        say(f"{name} that trained and deployed share  {share(value)}")


def _chain(verdict: Verdict) -> Table:
    columns = ["expected", "judged", "contract", "samples", "neuron-steps", "spikes", "mismatches"]
    rows: list[tuple[Any, ...]] = [
        (
            _word(link.against),
            _word(link.backend),
            link.contract,
            link.samples,
            link.neuron_steps_compared,
            link.spikes_compared,
            link.mismatches,
            _good("equal") if link.equal else _bad("NOT EQUAL"),
        )
        for link in verdict.chain
    ]
    made = table([*columns, ""], [])
    for number in range(3, 7):
        made.columns[number].justify = "right"
    measured = verdict.measured
    if measured is not None:
        same, shared = share(measured.decisions), share(measured.spikes)
        says = f"measured: {same} of decisions, {shared} of spikes"
        ends = (_word(measured.against), _word(measured.backend), measured.contract)
        made.add_row(*ends, f"{measured.samples:,}", "-", "-", "-", says)
    for row in rows:
        made.add_row(*(_cell(value) for value in row))
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
    say(f"\nCause in '{finding.population}': {finding.cause}")
    say(f"  evidence   {finding.evidence}")
    say(f"  next       {finding.move}")
    for other in finding.others:
        say(f"  fits, too  {other}")


def _word(side: str) -> str:
    return _WORDS.get(side, side)


def _cell(value: object) -> Any:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else value


def _good(text: str) -> Text:
    return Text(text, style="green")


def _bad(text: str) -> Text:
    return Text(text, style="bold red")
