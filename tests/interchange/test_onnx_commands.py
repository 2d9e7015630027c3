"""The whole way of somebody's network of Relus: import, map, verify, export, onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge

from tests.cli.conftest import Shell, shell
from tests.interchange.onnx_graphs import Written
from toolchain.artifact import read_artifact
from toolchain.files import write_npz
from toolchain.raster import read_raster

__all__ = ["shell"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for scikit-learn's digits: random features, then least squares."""
    folder = tmp_path_factory.mktemp("digits")
    images, labels = load_digits(return_X_y=True)
    values = images.astype(np.uint8)
    g = Written(shape=("n", 64), seed=6)
    hidden, shift = g.rng.normal(0, 0.25, (64, 200)), g.rng.normal(-0.3, 0.2, 200)
    seen = np.maximum(values[:1300] / 16 @ hidden + shift, 0)
    fitted = Ridge(3.0).fit(seen, np.eye(10)[labels[:1300]] * 2 - 1)
    g.add("MatMul", g.constant(hidden))
    g.add("Add", g.constant(shift))
    g.add("Relu")
    g.add("Gemm", g.constant(fitted.coef_), g.constant(fitted.intercept_), transB=1)
    g.save(folder)
    write_npz(folder / "calibrate.npz", {"values": values[:300], "labels": labels[:300]})
    write_npz(folder / "test.npz", {"values": values[1300:], "labels": labels[1300:]})
    return folder


def test_a_network_of_relus_goes_the_whole_way(digits: Path, shell: Shell) -> None:
    code, out, _ = shell(
        "import", "onnx", digits / "net.onnx", "--calibrate", digits / "calibrate.npz",
        "--timesteps", 32, "--range", 0, 16, "--out", digits / "network", "--json",
    )  # fmt: skip
    imported = json.loads(out)
    assert code == 0
    assert [row["neurons"] for row in imported["layers"]] == [200, 10]
    assert imported["accuracy"]["trained"] > 0.95
    assert imported["accuracy"]["spiking"] > imported["accuracy"]["trained"] - 0.05

    assert shell("map", digits / "network", "--chip", "loihi1", "--out", digits / "art")[0] == 0
    stimulus = digits / "stimulus.npz"
    assert shell("encode", digits / "art", digits / "test.npz", "--out", stimulus)[0] == 0
    raster = ("--backend", "quantized", "--out", digits / "raster.npz", "--json")
    code, out, _ = shell("run", digits / "art", "--stimulus", stimulus, *raster)
    assert json.loads(out)["accuracy"] > 0.85

    code, out, _ = shell("export", "onnx", digits / "art", digits / "art.onnx", "--json")
    assert json.loads(out)["files"] == [str(digits / "art.onnx")]
    session = onnxruntime.InferenceSession(
        str(digits / "art.onnx"), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    spikes = read_raster(stimulus).spikes["input"]
    found = dict(zip(names, session.run(names, {"raster/input": spikes}), strict=True))
    recorded = read_raster(digits / "raster.npz").spikes
    artifact = read_artifact(digits / "art")
    for population in artifact.network.populations:
        np.testing.assert_array_equal(found[f"raster/{population.name}"], recorded[population.name])
    assert len({*found["decision"].tolist()}) == 10

    properties = {p.key: p.value for p in onnx.load(str(digits / "art.onnx")).metadata_props}
    assert properties["fingerprint"] == artifact.fingerprint
    assert properties["profile"] == "loihi1"
    assert json.loads(properties["encoding"])["timesteps"] == 32
    code, out, _ = shell("inspect", digits / "art.onnx")
    assert artifact.fingerprint in out


def test_what_import_tells_reads_well(digits: Path, shell: Shell) -> None:
    code, out, _ = shell(
        "import", "onnx", digits / "net.onnx", "--calibrate", digits / "calibrate.npz",
        "--timesteps", 8, "--range", 0, 16, "--out", digits / "short",
    )  # fmt: skip

    assert code == 0
    assert "decided alike on the calibration data" in out
    assert "accuracy trained" in out
    for form, complaint in (("scan", "which a trained network does not have yet"), ("float", "")):
        code, _, err = shell(
            "export", "onnx", digits / "short", digits / f"{form}.onnx", "--form", form
        )
        assert (code, complaint in err) == (2 if complaint else 0, True)
    code, _, err = shell("export", "onnx", digits / "short", digits / "x.txt", "--form", "float")
    assert code == 2
    assert "name must end in .onnx" in err


def test_a_mean_that_is_no_number_is_refused(digits: Path, shell: Shell) -> None:
    code, _, err = shell(
        "import", "onnx", digits / "net.onnx", "--calibrate", digits / "calibrate.npz",
        "--timesteps", 8, "--mean", "half", "--out", digits / "none",
    )  # fmt: skip

    assert code == 2
    assert "--mean must be numbers with commas between, is 'half'" in err
    assert not (digits / "none").exists()


def test_the_forms_of_the_command_are_those_of_the_room() -> None:
    from toolchain.cli.interchange_onnx import _FORMS
    from toolchain.interchange.onnx_format import FORMS

    assert set(_FORMS) == set(FORMS)
