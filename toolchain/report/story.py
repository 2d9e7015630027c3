"""A Report as a story: what happened in words, the chain of verdicts, and why it broke."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolchain.report.collect import Report
from toolchain.report.record import Diagnosis, Finding, Link, Lint, Moment, Verdict
from toolchain.report.words import count, is_old_lint, is_stale, percent
from toolchain.report.work import span

_CONTRACTS = {"deploy": "deploy contract", "chip": "chip contract", "float": "float contract"}
_UNKNOWN = "unknown"  # the cause where nothing explains every bit
_WEIGHTS = ("error", "warning", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """One arrow of the chain, as it is drawn."""

    against: str
    backend: str
    contract: str
    sign: str  # equal, unequal, or nearly: told apart without colour
    verdict: str
    detail: str
    look: str  # css class


def tell(report: Report) -> str:
    """What happened, in a few sentences; only what is known."""
    parts = (_trained(report), _mapped(report), _verified(report), _worked(report), _linted(report))
    return _whole(" ".join(part for part in parts if part))


def _trained(report: Report) -> str:
    run = report.run
    if run is None or run.summary is None:
        return ""
    ended, test = run.summary, run.summary.accuracy.get("test")
    right = "" if test is None else f" and classifies {percent(test)} of the test set correctly"
    return (
        f"The network was trained for {count(ended.epochs, 'epoch')} by the method"
        f" '{ended.method}'; it keeps {percent(ended.density)} of its possible synapses{right}."
    )


def _mapped(report: Report) -> str:
    artifact = report.artifact
    if artifact is None:
        return ""
    whose = "Its" if _trained(report) else "The network's"
    stored = sum(len(core.synapse_weight) for core in artifact.cores)
    used, bound = len(artifact.cores), artifact.image.lower_bound
    least = "the fewest possible" if used == bound else f"any packing needs at least {bound:,}"
    return (
        f"{whose} {count(stored, 'synapse')} are packed into {count(used, 'core')} of"
        f" {artifact.profile.title}, {least}."
    )


def _verified(report: Report) -> str:
    verdict = report.verdict
    if verdict is None or is_stale(report):
        return ""
    said = []
    if verdict.equal:
        said.append("Every exact arrow of the chain is equal, bit for bit.")
    elif verdict.diagnosis is not None:
        broken = verdict.diagnosis
        said.append(f"{_cause(broken)} between {broken.against} and {broken.backend}.")
    if verdict.measured is not None:
        shares = verdict.measured
        said.append(
            f"Measured beside it, {shares.against} and {shares.backend} decide"
            f" {percent(shares.decisions)} of the samples alike."
        )
    return " ".join(said)


def _cause(broken: Diagnosis) -> str:
    if broken.cause == _UNKNOWN or not broken.findings:
        return "No known cause explains what differs"
    certain = broken.findings[0].certain
    place = f"in '{broken.findings[0].population}'"
    return f"The {'' if certain else 'likeliest '}cause is {broken.cause} {place}"


def _worked(report: Report) -> str:
    energy = [] if report.work is None else report.work["estimate"]["energy_pj"]
    time = [] if report.work is None else report.work["estimate"]["time_ns"]
    if not energy or not time or report.work is None:
        return ""
    if report.work["estimate"]["activity"] != "measured":
        return ""
    ends = [
        (min(one["total"][0] for one in made), max(one["total"][1] for one in made))
        for made in (energy, time)
    ]
    return (
        f"From published figures an inference is estimated at {span(ends[0], 'pJ')} and"
        f" {span(ends[1], 'ns')}, static power apart; nothing was measured on a chip."
    )


def _linted(report: Report) -> str:
    if report.lint is None or is_old_lint(report):
        return ""
    return f"Lint has {lint_counts(report.lint)}."


def lint_counts(lint: Lint) -> str:
    """How many findings of each weight."""
    found = [(sum(f.weight == w for f in lint.findings), w) for w in _WEIGHTS]
    return ", ".join(count(number, weight) for number, weight in found)


def chains(verdict: Verdict) -> list[list[Arrow]]:
    """The chain; what was measured stands before it, or by itself where it spans it."""
    exact = [_exact(link) for link in verdict.chain]
    measured = verdict.measured
    if measured is None:
        return [exact]
    arrow = Arrow(
        against=measured.against,
        backend=measured.backend,
        contract=_CONTRACTS["float"],
        sign="\N{ALMOST EQUAL TO}",
        verdict="measured",
        detail=_whole(
            f"{percent(measured.decisions)} of decisions, {percent(measured.spikes)} of spikes"
        ),
        look="measured",
    )
    if verdict.chain and measured.backend == verdict.chain[0].against:
        return [[arrow, *exact]]
    return [exact, [arrow]]


def _whole(words: str) -> str:
    """A number is not parted from its percent sign."""
    return words.replace(" %", "\N{NO-BREAK SPACE}%")


def _exact(link: Link) -> Arrow:
    silent = not link.equal and link.mismatches == 0
    detail = f"{link.mismatches:,} of {link.neuron_steps_compared:,} bits differ"
    if link.equal:
        detail = f"{link.neuron_steps_compared:,} bits, all alike"
    return Arrow(
        against=link.against,
        backend=link.backend,
        contract=_CONTRACTS.get(link.contract or "", "exact"),
        sign="=" if link.equal else "?" if silent else "\N{NOT EQUAL TO}",
        verdict="equal" if link.equal else "nothing compared" if silent else "NOT EQUAL",
        detail="no spike on either side" if silent else detail,
        look="equal" if link.equal else "broken",
    )


def failed(verdict: Verdict) -> Link | None:
    """The first arrow that has a bit that differs."""
    return next((link for link in verdict.chain if link.mismatches), None)


def moment_rows(broken: Diagnosis) -> Iterator[tuple[str, str, str, bool]]:
    """(what, on the expected side, on the judged side, whether they differ)."""
    first = broken.first
    left, right = first.expected, first.actual
    yield _row("weights of the sources that spiked", left.arrived, right.arrived)
    yield _row("input sum, as u shows it", left.input_sum, right.input_sum)
    yield _row("u", left.u, right.u)
    yield _row("bias", first.bias, first.bias)
    yield _row("v before its reset", left.v_before_reset, right.v_before_reset)
    yield _row("threshold", first.threshold, first.threshold)
    yield "spike", _said(left), _said(right), left.spike != right.spike
    yield _row("v after it", left.v, right.v)


def _said(moment: Moment) -> str:
    return "yes" if moment.spike else "no"


def _row(name: str, left: int | None, right: int | None) -> tuple[str, str, str, bool]:
    shown = ["\N{EN DASH}" if value is None else f"{value:,}" for value in (left, right)]
    return name, shown[0], shown[1], None not in (left, right) and left != right


def finding_heading(finding: Finding) -> str:
    """How sure the cause is, and what it is."""
    known = finding.certain or finding.cause == _UNKNOWN
    word = "Cause" if known else "Most likely cause"
    return f"{word} in '{finding.population}': {finding.cause}"
