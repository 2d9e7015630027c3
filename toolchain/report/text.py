"""A Report for a terminal of 80 columns: ASCII, and nothing said by colour alone.

Sentences stand outside tables and paddings: where no terminal wraps them, they stay whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from toolchain.artifact import Artifact, Core
from toolchain.report.collect import Report
from toolchain.report.record import Verdict
from toolchain.report.story import tell
from toolchain.report.words import (
    BUDGETS,
    absences,
    count,
    encoding_sentence,
    fills,
    holdings,
    key_figures,
    layer_rows,
    mismatch_sentence,
    percent,
    resource_rows,
    title,
    verdict_sentence,
    verdict_word,
)
from toolchain.report.work import (
    HEADINGS,
    Work,
    estimate_rows,
    estimate_sentence,
    traffic_rows,
)

_SHOWN = 24  # cores; more than that are summed up
_BAR = 5  # characters
_WIDTH = 80


def to_text(report: Report) -> list[RenderableType]:
    """The report as renderables, one below the other; print them with a rich Console."""
    parts: list[RenderableType] = [_head(report), _figures(report)]
    if layer_rows(report):
        parts.append(_layers(report))
    if (sentence := encoding_sentence(report)) is not None:
        parts += [Text(sentence), Text()]
    if report.artifact is not None:
        parts += [_cores(report.artifact), _resources(report.artifact)]
    if report.work is not None:
        parts += _work(report.work)
    if report.verdict is not None:
        parts.append(_verdict(report.verdict))
    parts += [Text(f"- {line}") for line in absences(report)]
    return parts


def _head(report: Report) -> RenderableType:
    style = "bold green" if verdict_word(report) == "Equal" else "bold red"
    style = "bold" if report.verdict is None else style
    sentence = Text.assemble((verdict_word(report), style), ": ", verdict_sentence(report))
    story = tell(report).replace("\N{NO-BREAK SPACE}", " ")
    return Group(Text(title(report), style="bold"), sentence, *([Text(story)] if story else []))


def _figures(report: Report) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_column()
    for figure in key_figures(report):
        grid.add_row(Text(figure.name), Text(figure.value, style="bold"), Text(figure.note))
    return Padding(grid, (1, 0))


def _table(name: str, left: Sequence[str], right: Sequence[str]) -> Table:
    """An empty table; columns of words stand left, those of numbers right."""
    table = Table(
        title=Text(name, style="bold"), title_justify="left", box=SIMPLE_HEAD, width=_WIDTH
    )
    for heading in left:
        table.add_column(heading, overflow="fold", ratio=1)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _add(table: Table, *cells: str) -> None:
    table.add_row(*[Text(cell) for cell in cells])  # Text: a name is never read as markup


def _layers(report: Report) -> Table:
    headings = ("neurons", "synapses", "density", "spikes/step", "cores")
    table = _table("Layers", ("layer", "from"), headings)
    for row in layer_rows(report):
        rate = "-" if row.spike_rate is None else f"{row.spike_rate:.3f}"
        cores = "-" if row.cores is None else f"{row.cores:,}"
        numbers = (f"{row.neurons:,}", f"{row.synapses:,}", percent(row.density), rate, cores)
        _add(table, row.name, row.source, *numbers)
    return table


def _cores(artifact: Artifact) -> Table:
    name = (
        f"{count(len(artifact.cores), 'core')} used, lower bound {artifact.image.lower_bound},"
        f" {artifact.profile.name} has {artifact.profile.cores:,}"
    )
    headings = ("compartm.", "in-axons", "out-axons", "syn. words")
    table = _table(name, (), ("core",))
    table.add_column("holds", overflow="fold", ratio=1)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for core in artifact.cores[:_SHOWN]:
        _add(table, str(core.number), _holds(core), *_bars(core, artifact))
    left = len(artifact.cores) - _SHOWN
    if left > 0:
        _add(table, "", f"and {count(left, 'core')} more (--json and --html list all)", *[""] * 4)
    return table


def _holds(core: Core) -> str:
    return ", ".join(f"{name} {neurons}" for name, neurons in holdings(core))


def _bars(core: Core, artifact: Artifact) -> list[str]:
    shares = fills(core, artifact)
    return [f"{percent(shares[key], 0).replace(' ', '')} {_bar(shares[key])}" for key in BUDGETS]


def _bar(share: float) -> str:
    filled = max(round(share * _BAR), 1 if share else 0)
    return "#" * filled + "." * (_BAR - filled)


def _resources(artifact: Artifact) -> Table:
    headings = ("used", "available", "share", "fullest core")
    table = _table("Resources of the cores in use", ("resource",), headings)
    for row in resource_rows(artifact):
        fullest = f"{percent(row.fullest, 0)} (core {row.fullest_core})"
        share = percent(row.share)
        _add(table, row.name, f"{row.used:,}", f"{row.available:,}", share, fullest)
    return table


def _work(work: Work) -> list[RenderableType]:
    lines = [Text(f"{name}: {sentence}.") for name, sentence in traffic_rows(work)]
    parts: list[RenderableType] = [*lines, Text(), Text(estimate_sentence(work))]
    if estimate_rows(work):
        table = _table("Estimate, not measured", HEADINGS, ())
        for row in estimate_rows(work):
            _add(table, *row)
        parts.append(table)
    return [*parts, Text()]


def _verdict(verdict: Verdict) -> RenderableType:
    headings = ("samples", "neuron-steps", "spikes", "differ", "equal")
    table = _table("Compared, bit by bit", ("against", "backend"), headings)
    for link in verdict.chain:
        amounts = (link.samples, link.neuron_steps_compared, link.spikes_compared, link.mismatches)
        numbers = [f"{amount:,}" for amount in amounts]
        _add(table, link.against, link.backend, *numbers, "yes" if link.equal else "NO")
    return Group(table, *[Text(line) for line in _measured(verdict)])


def _measured(verdict: Verdict) -> list[str]:
    """What was measured beside the comparison, and where it first failed."""
    lines = []
    if verdict.first_mismatch is not None:
        lines.append(f"First mismatch: {mismatch_sentence(verdict.first_mismatch)}.")
    if verdict.agreement:
        shares = ", ".join(f"{k} {percent(v)}" for k, v in sorted(verdict.agreement.items()))
        lines.append(f"Agreement of trained and deployed (measured): {shares}.")
    return lines
