"""Laws of the report: what is there is shown, what is absent is said, and nothing else leaks in."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.report.mapped import SIZES, mapped, random_raster
from toolchain.artifact import Artifact, write_artifact
from toolchain.errors import FileError, InputError
from toolchain.files import to_json, write_bytes, write_json
from toolchain.raster import write_raster
from toolchain.report.collect import Report, collect
from toolchain.report.curves import draw_curves, spread
from toolchain.report.html import to_html
from toolchain.report.record import Epoch, LayerEpoch, Run
from toolchain.report.svg import clip
from toolchain.report.text import to_text
from toolchain.report.words import percent
from toolchain.verify.verdict import judge

PARTS = {
    "run": "No training run here",
    "artifact": "No artifact here",
    "verify.json": "No verdict here",
    "recorded.npz": "No recorded spikes here",
    "stimulus.npz": "No stimulus here",
}


def _epoch(number: int) -> dict[str, object]:
    layers = [
        {"name": n, "density": 0.5 / number, "pq_index": 0.1 * number, "drop": 3, "grow": number}
        for n in SIZES
    ]
    shares = {"train": 0.5 + number / 100, "validation": 0.4 + number / 100}
    return {"epoch": number, "loss": 1.0, "accuracy": shares, "density": 0.3, "layers": layers}


def _write_run(folder: Path, epochs: int, *, finished: bool) -> None:
    lines = [json.dumps(_epoch(n)) + "\n" for n in range(1, epochs + 1)]
    write_bytes(folder / "metrics.jsonl", "".join(lines).encode())
    write_json(folder / "config.json", {"training": {"epochs": 9}})
    layers = [
        {"name": n, "source": "input", "neurons": k, "synapses": 40, "density": 0.25}
        for n, k in SIZES.items()
    ]
    summary = {
        "schema": "snn-deploy.run",
        "accuracy": {"validation": 0.9, "test": 0.875},
        "density": 0.25,
        "unrolled_connectivity": 0.25,
        "seconds": 1.5,
        "run": "/home/somebody/secret",
        "epochs": epochs,
        "best_epoch": epochs,
        "method": "two-stage",
        "layers": layers,
    }
    if finished:
        write_json(folder / "summary.json", summary)


def _write_verdict(folder: Path, artifact: Artifact, *, wrong: tuple[int, int, int] | None) -> None:
    expected, actual = random_raster(SIZES), random_raster(SIZES)
    if wrong is not None:
        actual.spikes["output"][wrong] ^= True
    verdict = judge(artifact, {"reference": expected, "lava": actual}, trained=expected)
    write_json(folder / "verify.json", verdict.to_json())
    write_raster(folder / "recorded.npz", actual)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo's folder, nothing missing, everything equal."""
    folder = tmp_path_factory.mktemp("demo")
    artifact = mapped()
    _write_run(folder / "run", 5, finished=True)
    write_artifact(artifact, folder / "artifact")
    write_raster(folder / "stimulus.npz", random_raster({"input": 8}))
    _write_verdict(folder, artifact, wrong=None)
    write_json(folder / "summary.json", {"schema": "snn-deploy.demo", "seconds": {"train": 1.25}})
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def _text(report: Report, width: int = 80) -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(*to_text(report), sep="\n")
    return captured.get()


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def test_a_whole_folder_has_every_part(whole: Path) -> None:
    report = collect(whole)

    assert report.run is not None
    assert report.run.finished
    assert report.verdict is not None
    assert report.verdict.equal
    assert None not in (report.artifact, report.stimulus, report.recorded, report.seconds)


def test_json_is_json_without_nan_and_without_a_path(whole: Path) -> None:
    table = collect(whole).to_json()
    text = json.dumps(table, allow_nan=False, sort_keys=True)

    assert json.loads(text) == json.loads(to_json(table))
    assert table["schema"] == "snn-deploy.report"
    assert table["mapping"]["cores"]["used"] == len(table["cores"]) > 1
    assert table["chip"]["name"] == "tiny"
    assert table["verdict"]["equal"] is True
    assert len(table["run"]["history"]) == 5
    assert "secret" not in text


def test_html_refers_to_nothing_outside_and_runs_nothing(whole: Path) -> None:
    page = to_html(collect(whole))

    assert not re.findall(r"https?:|@import|<script|<link|\ssrc=|\shref=(?!.#)|url\((?!#)", page)
    assert "secret" not in page


def test_every_id_of_a_page_is_there_once_and_every_reference_is_to_one(whole: Path) -> None:
    page = to_html(collect(whole))
    ids = re.findall(r'\sid="([^"]*)"', page)

    assert len(ids) == len(set(ids)) > 0
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', page)) <= set(ids)


def test_html_has_no_style_sheet_but_its_own(whole: Path) -> None:
    assert to_html(collect(whole)).count("<style") == 1


def test_html_escapes_a_hostile_name_everywhere(whole: Path) -> None:
    page = to_html(collect(whole))

    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_html_is_the_same_bytes_twice(whole: Path, copy: Path) -> None:
    assert to_html(collect(whole)) == to_html(collect(copy))


def test_html_draws_every_picture_and_names_every_invented_fact(whole: Path) -> None:
    page = to_html(collect(whole))

    for label in ("Accuracy over", "PQ index", "Chip 0: 2 of 16 cores", "Spikes of sample 0"):
        assert f'aria-label="{label}' in page
    assert "core.compartments" in page
    assert "neuron.arithmetic" not in page  # published


def test_text_says_cores_used_lower_bound_and_verdict(whole: Path) -> None:
    text = _squeezed(_text(collect(whole)))

    assert "2 cores used, lower bound 2, tiny has 16" in text
    assert "Equal: reference and lava gave the same spikes" in text


def test_text_shows_markup_in_a_name_as_it_stands(whole: Path) -> None:
    assert "[bold]" in _text(collect(whole))


def test_text_fits_a_terminal_and_needs_no_more_than_ascii_of_us(whole: Path) -> None:
    lines = _text(collect(whole)).splitlines()

    assert max(map(len, lines)) <= 80
    assert set("".join(lines)) - {"\u2500"} <= set(map(chr, range(32, 127)))


def test_text_in_a_pipe_keeps_every_sentence_whole(copy: Path) -> None:
    (copy / "stimulus.npz").unlink()
    console = Console(width=80, color_system=None, highlight=False, soft_wrap=True)
    with console.capture() as captured:
        console.print(*to_text(collect(copy)), sep="\n")
    lines = captured.get().splitlines()

    assert any(line.endswith("compared, none differs.") for line in lines)
    assert any(line.endswith("the raster is drawn without its input.") for line in lines)


@pytest.mark.parametrize("part", PARTS)
def test_an_absent_part_is_none_and_named(copy: Path, part: str) -> None:
    path = copy / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    report = collect(copy)

    for shown in (_squeezed(_text(report)), to_html(report)):
        assert PARTS[part] in shown
        assert sum(sentence in shown for sentence in PARTS.values()) == 1
    json.dumps(report.to_json(), allow_nan=False)


@pytest.mark.parametrize("part", PARTS)
def test_a_single_part_is_enough(copy: Path, part: str) -> None:
    for path in copy.iterdir():
        if path.name != part:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    report = collect(copy)

    assert _text(report)
    assert to_html(report)


@pytest.mark.parametrize("part", ["run", "artifact"])
def test_the_folder_of_a_part_itself_is_recognised(whole: Path, part: str) -> None:
    table = collect(whole / part).to_json()

    assert table["run" if part == "run" else "mapping"] is not None


@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_an_unfinished_run_is_called_unfinished(tmp_path: Path, epochs: int) -> None:
    _write_run(tmp_path, epochs, finished=False)
    report = collect(tmp_path)

    assert f"unfinished: {epochs} of 9 epochs" in _squeezed(_text(report))
    assert "is unfinished" in to_html(report)
    assert report.to_json()["run"]["finished"] is False


def test_a_mismatch_is_told_drawn_and_ringed(copy: Path) -> None:
    report = collect(copy)
    assert report.artifact is not None
    _write_verdict(copy, report.artifact, wrong=(2, 3, 1))
    report = collect(copy)

    for shown in (_squeezed(_text(report)), _squeezed(to_html(report))):
        assert "Not equal" in shown
        assert "sample 2, timestep 3, population" in shown
    assert 'aria-label="Spikes of sample 2"' in to_html(report)
    assert 'class="ring"' in to_html(report)


def test_a_verdict_on_another_artifact_is_never_called_equal(copy: Path) -> None:
    verdict = json.loads((copy / "verify.json").read_bytes())
    write_json(copy / "verify.json", verdict | {"fingerprint": "0" * 64})
    report = collect(copy)

    for shown in (_squeezed(_text(report)), to_html(report)):
        assert "another artifact" in shown
        assert "gave the same spikes" not in shown


@pytest.mark.parametrize("make", [lambda p: p / "none", lambda p: p], ids=["missing", "empty"])
def test_nothing_to_report_on_is_refused(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(FileError, match=r"no such folder|nothing to report on; expected"):
        collect(make(tmp_path))


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("run/metrics.jsonl", b'{"epoch": 1}\n', r"metrics\.jsonl, line 1: key 'accuracy'"),
        ("run/metrics.jsonl", b"{\n", r"metrics\.jsonl, line 1: is not JSON"),
        ("run/metrics.jsonl", b"[]\n", r"metrics\.jsonl, line 1"),
        ("run/summary.json", b'{"schema": "snn-deploy.run"}', r"summary\.json: key 'accuracy'"),
        ("verify.json", b'{"schema": "snn-deploy.verdict"}', "key 'fingerprint' is missing"),
        ("verify.json", b'{"schema": "else"}', "key 'schema' must be"),
        ("verify.json", b"{", "is not JSON"),
        ("recorded.npz", b"PK", "is not an .npz file"),
        ("artifact/artifact.json", b"{}", "was altered"),
    ],
)
def test_a_damaged_part_is_named(copy: Path, file: str, content: bytes, words: str) -> None:
    (copy / file).write_bytes(content)
    with pytest.raises(InputError, match=words):
        collect(copy)


def test_a_recording_of_another_network_is_not_drawn(copy: Path) -> None:
    write_raster(copy / "recorded.npz", random_raster({"stranger": 5}))
    report = collect(copy)

    assert "Spikes of sample" not in to_html(report)
    assert "recorded.npz is of another network" in _squeezed(_text(report))


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100.0 %"), (0.9999, "99.9 %"), (0.0, "0.0 %"), (1e-6, "<0.1 %"), (0.5, "50.0 %")],
)
def test_a_percentage_is_never_rounded_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text


NAMES = ("a$b$\\frac{", "_^{}%#", "\N{CJK UNIFIED IDEOGRAPH-5C64}", "a\x00\n\ud800b", " ")


def _history(names: tuple[str, ...], epochs: int) -> Run:
    layers = tuple(LayerEpoch(name=n, density=1.0, pq_index=0.1) for n in names)
    accuracy = {"train": 0.5, "validation": 1.0}
    history = [
        Epoch(epoch=n + 1, accuracy=accuracy, density=1.0, layers=layers) for n in range(epochs)
    ]
    return Run(summary=None, planned_epochs=None, history=tuple(history))


@pytest.mark.parametrize(("epochs", "pictures"), [(0, 0), (1, 4), (2, 4), (300, 4)])
def test_a_run_of_any_length_is_drawn_from_its_first_epoch_on(epochs: int, pictures: int) -> None:
    assert len(draw_curves(_history(("hidden",), epochs))) == pictures


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_layer_is_drawn_as_it_stands_and_a_sign_for_what_is_none(name: str) -> None:
    shown = re.sub(r"[\x00\n\ud800]", "\N{REPLACEMENT CHARACTER}", name)

    for picture in draw_curves(_history((name,), 2))[1:3]:
        words = [element.text or "" for element in ElementTree.fromstring(picture).iter("text")]
        assert shown in words


def test_a_picture_is_the_same_whatever_matplotlib_is_set_to_and_leaves_it_so() -> None:
    run = _history(("hidden", "output"), 5)
    plain = draw_curves(run)
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert draw_curves(run) == plain
        assert dict(matplotlib.rcParams) == before
    assert all("<text" in picture for picture in plain)


def test_amounts_that_find_no_room_are_shortened() -> None:
    layers = (LayerEpoch(name="a", density=1.0, grow=1_234_567, drop=12_345_678),)
    epoch = Epoch(epoch=1, accuracy={}, density=1.0, layers=layers)
    run = Run(summary=None, planned_epochs=None, history=(epoch,))
    words = [e.text for e in ElementTree.fromstring(draw_curves(run)[-1]).iter("text")]

    assert {"+1,234,567", "\N{MINUS SIGN}12.3 M", "5 M", "0"} <= set(words)


def test_labels_are_spread_apart_in_their_order() -> None:
    assert spread([10.5, 50, 10], 14, (0, 90)) == pytest.approx([17.25, 50, 3.25])


@given(st.lists(st.floats(-50, 150), max_size=30), st.floats(1, 30))
def test_labels_keep_their_order_and_to_their_room(wanted: list[float], gap: float) -> None:
    placed = spread(wanted, gap, (0, 100))
    order = sorted(range(len(wanted)), key=lambda n: wanted[n])
    room = min(gap, 100 / max(len(wanted), 1))

    assert all(-1e-6 <= place <= 100 + 1e-6 for place in placed)
    assert all(placed[b] - placed[a] >= room - 1e-6 for a, b in pairwise(order))


def test_a_cut_name_shows_its_cut() -> None:
    assert clip("hidden1", 7) == "hidden1"
    assert clip("hidden12", 7) == "hidden\N{HORIZONTAL ELLIPSIS}"
