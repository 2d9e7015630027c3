"""A contract holds only where every clause does, and only where something was compared."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verify.chip import ARTIFACT, flipped, random_raster, raster
from toolchain.errors import ConfigError
from toolchain.raster import Raster
from toolchain.verify.compare import compare
from toolchain.verify.contract import Clause, Contract, Settlement, read_contract, settle
from toolchain.verify.junit import to_junit
from toolchain.verify.measure import measure

BACKENDS = ["quantized", "reference", "simulator"]


def contract(text: str, folder: Path) -> Contract:
    file = folder / "c.toml"
    file.write_text(text)
    return read_contract(file, BACKENDS)


def decided(right: int, of: int) -> Raster:
    """Samples labelled 0, of which so many are decided as 0 and the others as 1."""
    spikes = [(sample, 0, "answer", int(sample >= right)) for sample in range(of)]
    return raster(of, 2, spikes, labels=[0] * of)


def settled(promised: Contract, trained: Raster, deployed: Raster) -> Settlement:
    link = compare(deployed, deployed, ARTIFACT, against="quantized", backend="reference")
    tau = (
        promised.measured.van_rossum.tau
        if promised.measured and promised.measured.van_rossum
        else None
    )
    found = measure(trained, deployed, "answer", tau=tau)
    return settle(promised, "f" * 64, [link], found, deployed.samples)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[exact]\nchian = []", r"\[exact\] key 'chain' is missing; .*did you mean 'chain'"),
        ("[meesured]\n", "unknown key 'meesured'; did you mean 'measured'"),
        ("samples = 3", "promises nothing"),
        ("[measured]\nconfidence = 0.9", "promises nothing"),
        ('[exact]\nchain = ["quantized"]', r"\[exact\] chain"),
        ('[exact]\nchain = ["quantized", "refrence"]', "no side 'refrence'; did you mean 'refer"),
        ('[exact]\nchain = ["reference", "trained"]', "'trained' can only stand first"),
        ('[exact]\nchain = ["reference", "reference"]', "a side against itself proves nothing"),
        ("[measured]\naccuracy_margin_points = 0.0", "accuracy_margin_points = 0.0"),
        ("[measured]\ndecisions_at_least = 98", "decisions_at_least = 98"),
        ('samples = "all"\n[measured]\nspikes_at_least = 1.0', "samples = 'all'"),
    ],
)  # fmt: skip
def test_a_wrong_contract_is_named_with_its_key(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        contract(text, tmp_path)


@pytest.mark.parametrize(
    ("trained", "deployed", "of", "sides", "holds"),
    [
        (190, 190, 200, "both", True),
        (9, 9, 10, "both", False),  # the same decisions, and too few samples to prove it
        (190, 184, 200, "both", False),
        (184, 190, 200, "both", False),  # better, and still not the network that was trained
        (184, 190, 200, "drop", True),
        (190, 184, 200, "drop", False),
    ],
)
def test_a_margin_holds_where_the_whole_interval_lies_within(
    trained: int, deployed: int, of: int, sides: str, holds: bool, tmp_path: Path
) -> None:
    promised = contract(f'[measured]\naccuracy_margin_points = 2.5\nsides = "{sides}"', tmp_path)

    found = settled(promised, decided(trained, of), decided(deployed, of))
    assert found.holds is holds


@given(margin=st.floats(0.1, 50), lost=st.integers(0, 20))
@settings(max_examples=25)
def test_a_wider_margin_never_breaks_what_a_narrower_one_kept(margin: float, lost: int) -> None:
    rasters = decided(180, 200), decided(180 - lost, 200)
    kept = [
        settled(
            Contract.model_validate({"measured": {"accuracy_margin_points": points}}), *rasters
        ).holds
        for points in (margin, 2 * margin)
    ]

    assert kept[1] or not kept[0]


def test_what_is_measured_holds_by_the_end_of_its_interval(tmp_path: Path) -> None:
    one = random_raster(6, 4, rate=0.5, seed=3)
    two = flipped(one, [(0, 1, (2, 4)), (3, 2, (2, 1))])
    found = measure(one, two, "answer", tau=2.0)
    assert found.van_rossum is not None
    for text, holds in (
        (f"spikes_at_least = {found.spikes.low}", True),
        (f"spikes_at_least = {found.spikes.value}", False),
        (f"van_rossum = {{ tau = 2.0, at_most = {found.van_rossum.high} }}", True),
        (f"van_rossum = {{ tau = 2.0, at_most = {found.van_rossum.value} }}", False),
    ):
        assert settled(contract(f"[measured]\n{text}", tmp_path), one, two).holds is holds, text


def test_silence_another_artifact_and_a_wrong_bit_break_it(tmp_path: Path) -> None:
    silent = raster(4, 3)
    measured = contract("[measured]\nspikes_at_least = 0.0", tmp_path)
    pinned = contract(f'fingerprint = "{"e" * 64}"\n[measured]\nspikes_at_least = 0.0', tmp_path)
    spiking = random_raster(4, 3, rate=0.5, seed=1)
    wrong = compare(spiking, flipped(spiking, [(0, 0, (0, 0))]), ARTIFACT, against="a", backend="b")

    assert settled(measured, spiking, spiking).holds
    assert not settled(measured, silent, silent).holds
    assert not settled(pinned, spiking, spiking).holds
    assert not settle(measured, "", [wrong], measure(spiking, spiking, "answer"), 4).holds
    assert not Settlement(fingerprint="", samples=0, clauses=()).holds


def test_junit_has_the_shape_that_ci_reads() -> None:
    kept = Clause(name="a == b", needed="every bit", found="equal", holds=True)
    broken = Clause(name="<&\x00>", needed="x", found='"y"', holds=False)
    root = ElementTree.fromstring(to_junit("c.toml", [kept, broken], ("BackendError", "gone")))

    assert root.tag == "testsuites"
    (suite,) = root
    counts = {"tests": "3", "failures": "1", "errors": "1", "skipped": "0"}
    assert dict(root.attrib) == counts
    assert dict(suite.attrib) == counts | {"name": "c.toml"}
    assert [case.tag for case in suite] == ["testcase"] * 3
    assert [[inner.tag for inner in case] for case in suite] == [[], ["failure"], ["error"]]
    assert all(set(case.attrib) == {"classname", "name"} for case in suite)
    assert {case.attrib["name"] for case in suite} == {
        "a == b",
        "<&\N{REPLACEMENT CHARACTER}>",
        "run",
    }
    assert suite[1][0].attrib == {"type": "broken", "message": 'needed x; found "y"'}


def test_junit_of_nothing_is_a_failure() -> None:
    root = ElementTree.fromstring(to_junit("verify", []))

    assert (root.attrib["tests"], root.attrib["failures"]) == ("1", "1")


def test_the_clauses_of_a_settlement_are_its_json(tmp_path: Path) -> None:
    one = random_raster(4, 3, rate=0.5, seed=1)
    answer = settled(contract("[measured]\nspikes_at_least = 0.0", tmp_path), one, one).to_json()

    assert answer["schema"] == "snn-deploy.settlement"
    assert answer["holds"] is True
    assert [clause["name"] for clause in answer["clauses"]] == [
        "quantized == reference", "something was measured", "spikes",
    ]  # fmt: skip
    assert np.all([clause["holds"] for clause in answer["clauses"]])
