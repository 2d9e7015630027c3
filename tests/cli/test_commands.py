"""Each command answers as its help says: text or one JSON object, and the right exit code."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Shell, chain
from toolchain import codec
from toolchain.backends import memory, simulator_ways
from toolchain.cli.main import COMMANDS
from toolchain.hardware import profile_names
from toolchain.outline import outline_names


def digests(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, shell: Shell) -> None:
    code, out, _ = shell(command, "--help")

    assert code == 0
    assert out.startswith(f"Usage: snn-deploy {command}")
    assert len(out) > 200


def test_help_imports_no_command() -> None:
    program = "import sys; sys.argv = ['snn-deploy', '--help']\n"
    program += "from toolchain.cli.main import run; assert run(['--help']) == 0\n"
    program += "print([m for m in ('torch', 'numba', 'numpy', 'scipy') if m in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_mapping_twice_gives_the_same_bytes(shell: Shell, network: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert shell("map", network, "--chip", "tiny", "--out", tmp_path / name)[0] == 0

    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_mapping_again_replaces_an_artifact(shell: Shell, artifact: Path, network: Path) -> None:
    before = digests(artifact)

    assert (
        shell("map", network, "--chip", "tiny", "--packer", "sequential", "--out", artifact)[0] == 0
    )
    assert shell("map", network, "--chip", "tiny", "--out", artifact)[0] == 0

    assert digests(artifact) == before
    assert sorted(path.name for path in artifact.parent.iterdir()) == ["art", "net"]


def test_map_answers_with_the_keys_that_others_rely_on(
    shell: Shell, network: Path, tmp_path: Path
) -> None:
    code, out, _ = shell("map", network, "--chip", "tiny", "--out", tmp_path / "a", "--json")

    answer = json.loads(out)
    assert code == 0
    assert answer["cores"]["used"] >= answer["cores"]["lower_bound"] >= 1
    assert set(answer["cores"]["per_layer"]) == {"layer1", "layer2"}
    assert answer["utilization"]["compartments"] == {"used": 30, "available": 32}
    assert answer["synapses"]["stored"] > 0
    assert len(answer["fingerprint"]) == 64


def test_check_says_that_a_network_fits_and_writes_nothing(shell: Shell, network: Path) -> None:
    before = sorted(network.parent.rglob("*"))

    code, out, _ = shell("check", network, "--chip", "loihi1")

    assert code == 0
    assert "fits loihi1" in out
    assert sorted(network.parent.rglob("*")) == before


def test_check_lists_every_violation(shell: Shell, tmp_path: Path) -> None:
    codec.write(chain(300, 290, 10, density=1.0), tmp_path, "network")

    code, out, _ = shell("check", tmp_path, "--chip", "tiny", "--no-mend", "--json")

    answer = json.loads(out)
    assert code == 1
    assert not answer["fits"]
    assert {v["resource"] for v in answer["violations"]} >= {"in axons", "synapse words"}
    named = {v["where"].split("'")[1] for v in answer["violations"] if v["resource"] != "cores"}
    assert named == {"layer1", "layer2"}
    assert all(v["over_by"] == v["needed"] - v["held"] > 0 for v in answer["violations"])
    assert all(v["where"] in answer["error"]["message"] for v in answer["violations"])


def test_a_network_that_does_not_fit_leaves_no_artifact(shell: Shell, tmp_path: Path) -> None:
    codec.write(chain(300, 290, 10, density=1.0), tmp_path / "net", "network")

    assert shell("map", tmp_path / "net", "--chip", "tiny", "--out", tmp_path / "art")[0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize("backend", ["quantized", "reference", "simulator"])
def test_run_records_what_every_backend_agrees_on(
    backend: str, shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"{backend}.npz"
    code, text, _ = shell(
        "run", artifact, "--stimulus", stimulus, "--backend", backend, "--out", out, "--json"
    )
    shell(
        "run",
        artifact,
        "--stimulus",
        stimulus,
        "--backend",
        "reference",
        "--out",
        tmp_path / "r.npz",
    )

    answer = json.loads(text)
    assert code == 0
    assert answer["samples"] == 5
    assert answer["timesteps"] == 12
    assert sum(answer["spikes"].values()) > 0
    assert out.read_bytes() == (tmp_path / "r.npz").read_bytes()


def test_verify_says_equal(shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path) -> None:
    code, out, _ = shell(
        "verify", artifact, "--stimulus", stimulus, "--backend", "simulator",
        "--out", tmp_path / "v.json", "--json",
    )  # fmt: skip

    answer = json.loads(out)
    assert code == 0
    assert answer["equal"] is True
    assert answer["mismatches"] == 0
    assert answer["first_mismatch"] is None
    assert answer["neuron_steps_compared"] == 5 * 12 * 30
    assert answer["spikes_compared"] > 0
    assert [link["backend"] for link in answer["chain"]] == ["reference", "simulator"]
    assert 0 <= answer["accuracy"]["deployed"] <= 1
    assert json.loads((tmp_path / "v.json").read_text()) == answer


@pytest.mark.lava
def test_verify_on_lava_says_equal(shell: Shell, artifact: Path, stimulus: Path) -> None:
    code, out, _ = shell("verify", artifact, "--stimulus", stimulus, "--samples", 3)

    assert code == 0
    assert "equal: every bit of every population" in out


def test_verify_of_silence_fails(shell: Shell, artifact: Path, tmp_path: Path) -> None:
    import numpy as np

    from toolchain.raster import Raster, write_raster

    write_raster(tmp_path / "q.npz", Raster(spikes={"input": np.zeros((2, 5, 20), bool)}))

    code, out, _ = shell(
        "verify", artifact, "--stimulus", tmp_path / "q.npz", "--backend", "simulator"
    )

    assert code == 1
    assert "nothing was compared" in out


@pytest.mark.parametrize("name", profile_names())
def test_chips_show_marks_what_is_not_published(name: str, shell: Shell) -> None:
    code, out, _ = shell("chips", "show", name)
    facts = json.loads(shell("chips", "show", name, "--json")[1])["facts"]

    statuses = {fact["status"] for fact in facts.values()}
    assert code == 0
    assert all(fact["source"] for fact in facts.values())
    assert ("inferred" in out) == ("inferred" in statuses)
    assert ("UNKNOWN" in out) == ("unknown" in statuses)
    assert "source" in out


def test_chips_list_and_diff(shell: Shell) -> None:
    names = [chip["name"] for chip in json.loads(shell("chips", "list", "--json")[1])["chips"]]
    differ = json.loads(shell("chips", "diff", "loihi1", "loihi2", "--json")[1])["differ"]

    assert names == [*profile_names(), *outline_names()]
    assert differ["core.compartments"] == [1024, 4095]
    assert "same numbers" in shell("chips", "diff", "tiny", "tiny")[1]


def test_inspect_knows_what_snn_deploy_writes(
    shell: Shell, artifact: Path, network: Path, stimulus: Path
) -> None:
    kinds = {
        path: json.loads(shell("inspect", path, "--json")[1])["kind"]
        for path in (artifact, network, stimulus)
    }

    assert list(kinds.values()) == ["an artifact", "a network", "a raster"]


def test_backends_and_doctor_answer(shell: Shell) -> None:
    backends = json.loads(shell("backends", "--json")[1])["backends"]
    code, out, _ = shell("doctor", "--json")

    doctor = json.loads(out)
    assert {"reference", "simulator", "lava"} <= set(backends)
    assert code == (0 if doctor["ready"] else 1)
    assert doctor["ready"] == all(not check["mend"] for check in doctor["checks"].values())


def test_run_writes_traces_and_counts_beside_the_raster(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    out, counts = tmp_path / "r.npz", tmp_path / "counts.npz"
    line = ("run", artifact, "--stimulus", stimulus, "--out", out, "--json")
    plain = json.loads(shell(*line)[1])
    assert (plain["trace"], plain["counts"]) == (None, None)
    assert not (tmp_path / "r.trace.npz").exists()
    before = out.read_bytes()

    code, text, _ = shell(*line, "--trace", "layer1", "--counts", counts)

    assert code == 0
    assert json.loads(text)["trace"] == str(tmp_path / "r.trace.npz")
    assert out.read_bytes() == before
    with np.load(out) as spikes, np.load(counts) as found, np.load(tmp_path / "r.trace.npz") as t:
        assert set(t.files) == {"u.layer1", "v.layer1"}
        assert t["u.layer1"].shape == spikes["layer1"].shape
        assert t["v.layer1"].dtype == np.int32
        assert set(found.files) == {"input", "layer1", "layer2"}
        np.testing.assert_array_equal(found["layer1"], spikes["layer1"].sum(axis=(0, 1)))
    assert json.loads(shell("inspect", counts, "--json")[1])["kind"] == "spike counts"
    traces = json.loads(shell("inspect", tmp_path / "r.trace.npz", "--json")[1])
    assert traces["kind"] == "traces of u and v"
    assert [row["array"] for row in traces["arrays"]] == ["u.layer1", "v.layer1"]


def test_a_trace_that_cannot_be_is_refused_before_anything_is_written(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ("run", artifact, "--stimulus", stimulus, "--out", tmp_path / "r.npz")

    code, _, err = shell(*line, "--trace", "layer9")
    assert code == 2
    assert "no population 'layer9' to record; did you mean 'layer" in err

    monkeypatch.setattr(memory, "available_bytes", lambda: 2000)
    code, _, err = shell(*line, "--trace", "layer1")
    assert code == 2
    assert "u and v of layer1 and all spikes of 5 samples need" in err
    assert "or trace fewer populations" in err
    assert not (tmp_path / "r.npz").exists()


def test_backends_and_doctor_say_what_makes_the_simulator_slow(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator_ways, "compiled", lambda: None)

    assert "numba is missing" in shell("backends")[1]
    states = json.loads(shell("backends", "--json")[1])["backends"]
    assert states["simulator"]["ready"]
    assert "numba is missing" in states["simulator"]["remark"]
    assert (
        "numba is missing"
        in json.loads(shell("doctor", "--json")[1])["checks"]["simulator"]["mend"]
    )


def test_inspect_says_whether_u_may_wrap(shell: Shell, artifact: Path) -> None:
    rows = json.loads(shell("inspect", artifact, "--json")[1])["populations"]

    assert [row["population"] for row in rows] == ["layer1", "layer2"]
    assert {row["u"] for row in rows} == {"never wraps"}  # the quantizer proved it
    assert all(0 < row["arrives at most"] < 2**15 for row in rows)
