"""What the documents quote is what was measured."""

import importlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("end_to_end", ROOT / "benchmarks/end_to_end.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_benchmarks_is_written_from_its_results(benchmark: ModuleType) -> None:
    results = json.loads(benchmark.RESULTS.read_text())

    assert benchmark.TABLE.read_text() == benchmark.document(results)


def test_the_table_of_methods_is_written_from_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    methods = importlib.import_module("sparse_training")
    results = json.loads(methods.RESULTS.read_text())

    assert methods.TABLE.read_text() == methods.document(results)
    assert {case["key"][1] for case in results["cases"]} == set(methods.METHODS)


def test_the_page_of_onnx_conversion_is_written_from_its_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    conversion = importlib.import_module("onnx_conversion")
    results = json.loads(conversion.RESULTS.read_text())

    assert conversion.TABLE.read_text() == conversion.document(results)
    assert results["training"]["accuracy"] >= 0.98
    for case in results["cases"]:
        assert case["lava"]["equal"]
        assert case["onnxruntime"]["differ"] == 0


def test_the_table_of_networks_of_others_is_written_from_its_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    others = importlib.import_module("interchange_page")
    results = json.loads(others.RESULTS.read_text())

    assert others.TABLE.read_text() == others.document(results)
    files = results["files"]
    found = files["nir/cnn_nmnist/cnn_sinabs.nir"]
    assert found["right_float"] >= 97
    assert files["netx/oxford/network.net"]["at_threshold"]["differ"] == 0


def test_the_table_of_bit_widths_is_written_from_its_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    widths = importlib.import_module("quantization")
    results = json.loads(widths.RESULTS.read_text())

    assert widths.TABLE.read_text() == widths.document(results)
    assert {case["key"][2] for case in results["cases"]} == {"float", *widths.WAYS}


def test_the_table_of_mappings_is_written_from_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    mapping = importlib.import_module("mapping")

    assert mapping.TABLE.read_text() == mapping.document(json.loads(mapping.RESULTS.read_text()))


def test_the_table_of_placers_is_written_from_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    placement = importlib.import_module("placement")
    results = json.loads(placement.RESULTS.read_text())

    assert placement.TABLE.read_text() == placement.document(results)
    assert {case["placer"] for case in results["cases"]} == set(placement.PLACERS)
    assert {case["network"] for case in results["cases"]} == set(placement.NETWORKS)
    for case in results["cases"]:
        if case["placer"] == "force":
            assert case["hops"] <= 0.7 * case["hops_in_order"], case["network"]


def test_the_page_of_proofs_is_written_from_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    proofs = importlib.import_module("verification")
    results = json.loads(proofs.RESULTS.read_text())

    assert proofs.PAGE.read_text() == proofs.document(results)
    assert (set(results["cases"]), set(results["large"])) == (set(proofs.CASES), set(proofs.LARGE))
    for case in (*results["cases"].values(), *results["large"].values()):
        assert case["lava"]["chain"][-1]["backend"] == "lava"
        assert all(link["equal"] and link["spikes_compared"] for link in case["lava"]["chain"])
        assert min(case.get("rates", {"": 1.0}).values()) > 0.01


def test_the_readme_quotes_only_figures_of_that_table() -> None:
    readme = (ROOT / "README.md").read_text()
    measured = readme[readme.index("## Measured") : readme.index("Every figure")]
    table = (ROOT / "docs" / "benchmarks.md").read_text()

    figures = re.findall(r"\d[\d,]*\.\d+%|\d{1,3}(?:,\d{3})+", measured)

    assert len(figures) > 15
    assert [figure for figure in figures if figure not in table] == []
