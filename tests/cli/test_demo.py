"""The demo shows what it promises: the figures of its summary, and the same artifact twice."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Shell

pytest.importorskip("torch", reason="the demo trains, and training needs torch")
pytest.importorskip("sklearn", reason="the digits come with scikit-learn")

CONTRACT = Path(__file__).parents[2] / "examples" / "contract.toml"


@pytest.mark.lava
def test_the_demo_shows_the_whole_way(shell: Shell, tmp_path: Path) -> None:
    code, out, _ = shell("demo", "--out", tmp_path / "demo", "--json")

    summary = json.loads(out)
    assert code == 0
    assert json.loads((tmp_path / "demo" / "summary.json").read_text()) == summary
    assert summary["accuracy"]["trained"] >= 0.95
    assert summary["density"] <= 0.20
    assert abs(summary["accuracy"]["trained"] - summary["accuracy"]["deployed"]) <= 0.01
    verdict, cores = summary["verify"], summary["map"]["cores"]
    assert verdict["backend"] == "lava"
    assert verdict["equal"] is True
    assert verdict["mismatches"] == 0
    assert verdict["samples"] >= 300
    assert [link["backend"] for link in verdict["chain"]] == ["reference", "simulator", "lava"]
    assert cores["used"] >= cores["lower_bound"] >= 1
    left = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"run", "artifact", "stimulus.npz", "summary.json", "report.html"} <= left
    assert shell("report", tmp_path / "demo")[0] == 0
    keeps_the_example_contract(shell, tmp_path)


def keeps_the_example_contract(shell: Shell, folder: Path) -> None:
    """examples/contract.toml, beside a folder demo."""
    (folder / "examples").mkdir()
    (folder / "examples" / "contract.toml").write_text(CONTRACT.read_text())

    given = ("--contract", folder / "examples" / "contract.toml", "--samples", 150)
    code, out, _ = shell("verify", *given, "--json")
    answer = json.loads(out)
    assert code == 0, out
    assert answer["holds"] is True
    assert len(answer["clauses"]) == 9


@pytest.mark.slow
@pytest.mark.lava
def test_the_demo_twice_gives_the_same_artifact(shell: Shell, tmp_path: Path) -> None:
    kept = []
    for _ in range(2):
        assert shell("demo", "--out", tmp_path / "demo", "--json")[0] == 0
        files = sorted((tmp_path / "demo" / "artifact").iterdir())
        kept.append({file.name: file.read_bytes() for file in files})

    assert kept[0] == kept[1]
