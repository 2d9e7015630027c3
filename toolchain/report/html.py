"""A Report as one HTML file that needs nothing else: no network, no script, no font."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from toolchain.hardware import PRESETS
from toolchain.report.collect import Report, assumptions
from toolchain.report.curves import draw_curves
from toolchain.report.heat import draw_panels
from toolchain.report.integers import draw_states, draw_weights
from toolchain.report.margins import draw_margins
from toolchain.report.memory import draw_memory
from toolchain.report.mesh import LETTERS, draw_meshes
from toolchain.report.parting import draw_parting
from toolchain.report.sides import draw_sides
from toolchain.report.spans import draw_spans
from toolchain.report.spikes import draw_spikes
from toolchain.report.story import (
    chains,
    failed,
    finding_heading,
    lint_counts,
    moment_rows,
    tell,
)
from toolchain.report.words import (
    BUDGETS,
    RESOURCES,
    absences,
    encoding_sentence,
    fills,
    holdings,
    is_old_lint,
    is_stale,
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
    estimate_rows,
    estimate_sentence,
    neurobench_rows,
    traffic_rows,
)


def to_html(report: Report) -> str:
    """The report as HTML; the same report gives the same bytes."""
    artifact, run, work = report.artifact, report.run, report.work
    return _template().render(
        report=report,
        title=title(report),
        word=verdict_word(report),
        sentence=verdict_sentence(report),
        good=report.verdict is not None and report.verdict.equal and not is_stale(report),
        figures=key_figures(report),
        layers=layer_rows(report),
        encoding=encoding_sentence(report),
        curves=[] if run is None else draw_curves(run),
        meshes=[] if artifact is None else draw_meshes(artifact),
        heat=_heat(report),
        traffic=[] if work is None else traffic_rows(work),
        estimates=[] if work is None else estimate_rows(work),
        estimated="" if work is None else estimate_sentence(work),
        spans=[] if work is None else draw_spans(work),
        sources=_sources(report),
        neurobench=[] if work is None else neurobench_rows(work),
        story=tell(report),
        margins=_margins(report),
        weights=None if artifact is None else draw_weights(artifact),
        memory=None if artifact is None else draw_memory(artifact),
        **_judged(report),
        spikes=draw_spikes(report),
        resource_rows=[] if artifact is None else resource_rows(artifact),
        assumptions=[] if artifact is None else assumptions(artifact.profile),
        absences=absences(report),
    )


def _judged(report: Report) -> dict[str, Any]:
    """What a verdict shows; a verdict about another artifact shows nothing but that."""
    verdict = None if is_stale(report) else report.verdict
    if verdict is None:
        return {"verdict": None, "states": None, "windows": [], "parting": None, "chains": []}
    own = report.artifact
    order = [] if own is None else [p.name for p in own.network.populations]
    broken = failed(verdict)
    return {
        "verdict": verdict,
        "chains": chains(verdict),
        "parting": None if broken is None else draw_parting(broken, order),
        "windows": [draw_sides(window) for window in verdict.windows],
        "states": None if verdict.states is None else draw_states(verdict.states, own),
    }


def _margins(report: Report) -> list[Markup]:
    """How near threshold decisions were, where lint was given a stimulus."""
    seen = None if report.lint is None else report.lint.margins
    drawn = {} if seen is None else {n: one for n, one in seen.populations.items() if one.spiking}
    return draw_margins({"populations": {n: one.model_dump() for n, one in drawn.items()}})


def _sources(report: Report) -> list[tuple[str, str]]:
    """The publications that the estimates' figures come from."""
    if report.artifact is None or report.work is None:
        return []
    if not estimate_rows(report.work):
        return []
    profile = report.artifact.profile
    used = {fact.source for key, fact in profile.facts.items() if key.split(".")[0] in PRESETS}
    return [(name, profile.sources.get(name, "")) for name in sorted(used)]


def _heat(report: Report) -> list[Markup]:
    """The mesh, once for each resource and for what it carries."""
    if report.artifact is None:
        return []
    samples = 1 if report.work is None else report.work["traffic"]["samples"]
    return draw_panels(report.artifact, report.loads, samples)


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {
        "BUDGETS": BUDGETS,
        "LETTERS": LETTERS,
        "RESOURCES": RESOURCES,
        "fills": fills,
        "holdings": holdings,
        "failed": failed,
        "finding_heading": finding_heading,
        "is_old_lint": is_old_lint,
        "lint_counts": lint_counts,
        "mismatch_sentence": mismatch_sentence,
        "moment_rows": moment_rows,
        "percent": percent,
    }
    source = resources.files("toolchain.report").joinpath("report.html.j2").read_text("utf-8")
    return environment.from_string(source)
