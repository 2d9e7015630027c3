"""Laws of the page: well formed, whole or said why not, and never what nobody measured."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.mapped import HOSTILE, SIZES, mapped, random_raster
from toolchain.artifact import Artifact, write_artifact
from toolchain.backends import quantized
from toolchain.errors import FileError, InputError
from toolchain.files import write_bytes, write_json
from toolchain.raster import Raster, Recording
from toolchain.report.collect import collect
from toolchain.report.html import to_html
from toolchain.report.memory import draw_memory
from toolchain.report.record import Window
from toolchain.report.sides import draw_sides
from toolchain.report.spans import draw_spans
from toolchain.report.story import tell
from toolchain.verify.verdict import judge

CHROMIUM = shutil.which("chromium")
_VOID = {"meta", "br", "img", "hr", "input", "link"}


class _Balance(HTMLParser):
    """Fails where a tag is closed that was not opened last."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h2", "h3"):
            self.headings.append(data)


def _parsed(page: str) -> _Balance:
    parser = _Balance()
    parser.feed(page)
    parser.close()
    return parser


def _write(folder: Path, artifact: Artifact, flips: int) -> dict[str, Any]:
    """An artifact and a verdict whose judged side has so many bits turned over."""
    stimulus = random_raster({"input": 8})
    right = quantized.run(artifact, stimulus, states=True).raster
    wrong = {name: bits.copy() for name, bits in right.spikes.items()}
    for t in range(flips):
        wrong["output"][1, t, t % 3] ^= True
    real = {name: np.roll(bits, 1, axis=1) for name, bits in right.spikes.items()}

    def probe(side: str, some: Raster, population: str) -> Recording:
        return quantized.run(artifact, some, states=[population])

    verdict = judge(
        artifact,
        {"quantized": right, "board": Raster(spikes=wrong)},
        trained=Raster(spikes=real),
        stimulus=stimulus,
        probe=probe,
    ).to_json()
    write_json(folder / "verify.json", verdict)
    return verdict


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return mapped()


@pytest.fixture
def folder(tmp_path: Path, artifact: Artifact) -> Path:
    write_artifact(artifact, tmp_path / "artifact")
    return tmp_path


@pytest.mark.parametrize("flips", [0, 3])
def test_the_page_is_well_formed_and_has_every_section(
    folder: Path, artifact: Artifact, flips: int
) -> None:
    _write(folder, artifact, flips)
    page = to_html(collect(folder))
    headings = _parsed(page).headings

    assert "The chain of verdicts" in headings
    assert ("Where they part" if flips else "Side by side") in headings
    for name in ("Weights", "States", "What the synaptic memory holds", "Core by core"):
        assert name in headings
    assert not re.findall(r"https?:|@import|<script|<link|\ssrc=|url\((?!#)", page)


def test_sides_are_told_apart_by_shape_and_counted(folder: Path, artifact: Artifact) -> None:
    verdict = _write(folder, artifact, 3)
    page = to_html(collect(folder))
    (broken, _) = verdict["windows"]
    signs = "".join(row for pane in broken["populations"] for row in pane["rows"])

    for sign, words in (("=", "both"), ("-", "only quantized"), ("+", "only board")):
        assert f"{words} ({signs.count(sign):,})" in page
    assert signs.count("-") + signs.count("+") == 3
    picture = draw_sides(Window.model_validate(broken)).svg
    for sign, look in (("-", "lost"), ("+", "extra")):
        assert picture.count(f'class="{look}"') == signs.count(sign) + 1  # and one in the legend
    assert f"first difference: timestep {broken['cursor']}" in page
    for look in ("lost", "extra", "both", "cursor"):
        assert f'class="{look}"' in page


def test_every_arrow_has_its_contract_and_the_measured_one_is_never_equal(
    folder: Path, artifact: Artifact
) -> None:
    _write(folder, artifact, 3)
    page = to_html(collect(folder))
    arrows = re.findall(r'<li class="arrow (\w+)">([\w ]+)<', page)

    assert arrows == [("broken", "chip contract"), ("measured", "float contract")]
    assert "NOT EQUAL" in page
    assert "<b>measured</b>" in page


def test_divergence_over_time_has_a_strip_for_each_layer(folder: Path, artifact: Artifact) -> None:
    _write(folder, artifact, 3)
    page = to_html(collect(folder))

    assert "3 differ; most 1, at 0; earliest at 0" in page
    assert "none differs" in page  # the layer before it


def test_an_equal_chain_says_that_nothing_diverges(folder: Path, artifact: Artifact) -> None:
    _write(folder, artifact, 0)
    page = to_html(collect(folder))

    assert "no bit of any exact arrow differs" in page
    assert "NOT EQUAL" not in page


def test_a_verdict_of_an_older_version_says_what_it_lacks(folder: Path, artifact: Artifact) -> None:
    verdict = _write(folder, artifact, 3)
    for key in ("windows", "states", "diagnosis", "measured"):
        del verdict[key]
    for link in verdict["chain"]:
        del link["mismatches_per_timestep"]
    write_json(folder / "verify.json", verdict)
    page = " ".join(to_html(collect(folder)).split())

    for sentence in (
        "holds no spikes of both sides",
        "does not say in which timesteps",
        "holds no diagnosis",
        "No u and v were counted here",
    ):
        assert sentence in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w["populations"][0].update(rows=["?"]), "of the signs"),
        (lambda w: w["populations"][0]["neurons"].append(7), "one row for each neuron"),
        (lambda w: w.pop("sample"), "sample"),
    ],
)
def test_a_damaged_window_is_refused(
    folder: Path, artifact: Artifact, change: Any, words: str
) -> None:
    verdict = _write(folder, artifact, 1)
    change(verdict["windows"][0])
    write_json(folder / "verify.json", verdict)
    with pytest.raises(InputError, match=words):
        collect(folder)


def test_the_same_input_is_the_same_bytes(folder: Path, artifact: Artifact) -> None:
    _write(folder, artifact, 3)

    assert to_html(collect(folder)) == to_html(collect(folder))


def _lint(fingerprint: str | None) -> dict[str, Any]:
    finding = {
        "kind": "silent",
        "weight": "note",
        "population": HOSTILE,
        "neurons": [[0, 2]],
        "count": 2,
        "of": 20,
        "number": 0.0,
        "text": "it never spiked <b>",
        "mend": "show more",
    }
    return {
        "schema": "snn-deploy.lint",
        "schema_version": 1,
        "fingerprint": fingerprint,
        "findings": [finding],
        "margins": {
            "samples": 3,
            "share_at_one": 0.25,
            "populations": {
                HOSTILE: {"decisions": 8, "share_at_one": 0.25, "spiking": [1, 2], "silent": [1, 4]}
            },
        },
    }


def test_lint_is_shown_and_escaped(folder: Path, artifact: Artifact, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.json"
    write_json(file, _lint(artifact.fingerprint))
    page = to_html(collect(folder, lint=file))

    assert "0 errors, 0 warnings, 1 note" in page
    assert "it never spiked &lt;b&gt;" in page
    assert "one bit would change 25.000% of 8 decisions" in page
    assert "<script" not in page


def test_lint_of_another_artifact_is_said_and_not_shown(folder: Path) -> None:
    write_json(folder / "lint.json", _lint("0" * 64))
    page = to_html(collect(folder))

    assert "lint.json is about another artifact" in page
    assert "it never spiked" not in page


@pytest.mark.parametrize("which", ["lint", "verdict"])
def test_a_file_that_was_asked_for_must_be_there(folder: Path, which: str) -> None:
    with pytest.raises(FileError, match="no such file"):
        collect(folder, **{which: folder / "none.json"})


def test_a_run_that_is_being_written_is_said_and_shown(tmp_path: Path) -> None:
    layers = [{"name": n, "density": 0.5, "pq_index": 0.1} for n in SIZES]
    line = {"epoch": 1, "accuracy": {"train": 0.5}, "density": 0.3, "layers": layers}
    whole = json.dumps(line).encode() + b"\n"
    write_bytes(tmp_path / "metrics.jsonl", whole + whole[:20])
    write_json(tmp_path / "config.json", {"training": {"epochs": 4}})
    report = collect(tmp_path)
    page = to_html(report)

    assert "unfinished: 1 of 4 epochs and half a line of the next" in page
    assert "PQ index" in page
    assert "Nothing was compared yet" in page
    assert tell(report) == ""  # no word of what did not happen


def test_a_run_before_its_first_epoch_is_one(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"training": {"epochs": 4}})

    assert "unfinished: 0 of 4 epochs" in to_html(collect(tmp_path))


def test_memory_adds_up(artifact: Artifact) -> None:
    drawn = draw_memory(artifact)
    assert drawn is not None
    words = sum(core.needed.synapse_words for core in artifact.cores)

    assert drawn.written == words * artifact.profile.synapse.word_bits
    assert sum(bits for _, _, bits, _ in drawn.rows) == drawn.written
    assert sum(share for *_, share in drawn.rows) == pytest.approx(1)
    bars = re.findall(r'x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn.svg)
    assert len(bars) > 2 * len(artifact.cores)
    assert all(float(x) + float(width) <= 440 for x, width in bars)


def _work(energy: list[tuple[str, list[float]]]) -> dict[str, Any]:
    rows = [{"source": source, "total": total} for source, total in energy]
    return {"estimate": {"energy_pj": rows, "time_ns": [], "static_pj": None}}


@pytest.mark.parametrize("total", [[0.0, 0.0], [5.0, 5.0], [1.0, 1e9], [1000.0, 1000.0]])
def test_a_range_of_any_width_is_drawn_inside(total: list[float]) -> None:
    (panel,) = draw_spans(_work([("someone", total), ("<else>", [2.0, 3.0])]))
    places = [float(x) for x in re.findall(r'<rect x="([\d.]+)"', panel)]

    assert "&lt;else&gt;" in panel
    assert all(0 <= x <= 440 for x in places)
    assert len(places) == 2


def test_no_published_figures_no_picture() -> None:
    assert draw_spans(_work([])) == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [500, 1400])
def test_a_browser_shows_it_without_cutting_it_off(
    folder: Path, artifact: Artifact, tmp_path: Path, width: int
) -> None:
    _write(folder, artifact, 3)
    page = to_html(collect(folder))
    script = "<script>document.title = document.documentElement.scrollWidth</script></body>"
    write_bytes(tmp_path / "page.html", page.replace("</body>", script).encode())
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--hide-scrollbars", f"--user-data-dir={tmp_path / 'user'}"),
            *(f"--window-size={width},900", "--dump-dom", f"file://{tmp_path / 'page.html'}"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    title = re.search(r"<title>(\d+)</title>", done.stdout)

    assert title is not None
    assert int(title[1]) <= width
