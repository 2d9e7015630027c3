"""A Report as one HTML file that needs nothing else: no network, no script, no font."""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from toolchain.report.collect import Report, assumptions
from toolchain.report.curves import draw_curves
from toolchain.report.heat import draw_panels
from toolchain.report.mesh import LETTERS, draw_meshes
from toolchain.report.spikes import draw_spikes
from toolchain.report.words import (
    BUDGETS,
    RESOURCES,
    absences,
    encoding_sentence,
    fills,
    holdings,
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
    artifact, run = report.artifact, report.run
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
        traffic=[] if report.work is None else traffic_rows(report.work),
        estimates=[] if report.work is None else estimate_rows(report.work),
        estimated="" if report.work is None else estimate_sentence(report.work),
        neurobench=[] if report.work is None else neurobench_rows(report.work),
        spikes=draw_spikes(report),
        resource_rows=[] if artifact is None else resource_rows(artifact),
        assumptions=[] if artifact is None else assumptions(artifact.profile),
        absences=absences(report),
    )


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
        "mismatch_sentence": mismatch_sentence,
        "percent": percent,
    }
    source = resources.files("toolchain.report").joinpath("report.html.j2").read_text("utf-8")
    return environment.from_string(source)
