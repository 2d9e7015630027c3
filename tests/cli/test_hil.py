"""hil, replay and worker as a person types them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.backends.remotes import ROOT
from tests.cli.conftest import Shell
from toolchain.backends import remote_hosts
from toolchain.raster import read_raster, write_raster

EXAMPLE = ROOT / "examples" / "board_adapter.py"


@pytest.fixture(autouse=True)
def tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Workers find this tree, keep nothing outside the test."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(remote_hosts.HOSTS_VARIABLE, raising=False)


def test_the_example_adapter_runs_is_recorded_and_is_judged_again(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    rec = tmp_path / "rec"
    command = ["hil", artifact, "--stimulus", stimulus, "--host", "local:", "--adapter", EXAMPLE]
    command += ["--out", rec, "--against", "quantized", "--chunk", "2"]

    code, out, _ = shell(*command, "--json")
    answer = json.loads(out)

    assert (code, answer["equal"], answer["samples"], answer["mismatches"]) == (0, True, 5, 0)
    assert answer["agreement"] == {"decisions": 1.0, "spikes": 1.0}
    assert 0 <= answer["accuracy"]["deployed"] <= 1
    assert answer["chunks"] == {"all": 3, "run": 3, "failed": 0}
    assert answer["samples_per_second"] > 0
    (ran,) = answer["ran"]
    assert (ran["host"], ran["backend"]) == ("local", "adapter board_adapter.py")
    assert (ran["fingerprint"], ran["chunks"]) == (answer["fingerprint"], [0, 1, 2])
    assert ran["versions"]["firmware"] == "simulated"
    assert len(ran["adapter_sha256"]) == 64

    code, out, _ = shell(*command)  # all is kept: nothing is started, nothing is run
    assert code == 0
    assert "equal: every bit of every population that was shown" in out
    assert "0 run now, 3 kept from before, 0 tries failed" in out
    assert f"snn-deploy replay {rec}" in out

    code, out, _ = shell("replay", rec, "--against", "quantized", "--json")
    again = json.loads(out)
    assert code == 0
    assert again["ran"] == answer["ran"]
    assert {key: again[key] for key in ("accuracy", "agreement", "spikes_compared")} == {
        key: answer[key] for key in ("accuracy", "agreement", "spikes_compared")
    }
    code, out, _ = shell("inspect", rec, "--json")
    assert (code, json.loads(out)["kind"], json.loads(out)["kept"]) == (0, "a recording", 3)
    assert "adapter board_adapter.py" in shell("inspect", rec)[1]
    (rec / "recording.json").unlink()
    (rec / "chunks" / "00002.json").unlink()
    assert "an unfinished recording" in shell("inspect", rec)[1]
    code, _, err = shell("replay", rec)
    assert code == 2
    assert "is unfinished, 2 of 3 chunks are kept" in err
    assert shell(*command)[0] == 0  # the chunk that is missing, and the end

    exported = tmp_path / "board.npz"
    code, out, _ = shell("replay", rec, "--against", "quantized", "--out", exported)
    assert code == 0
    assert "adapter board_adapter.py" in out
    assert int(read_raster(exported).spikes["layer1"].sum()) > 0
    assert read_raster(exported).labels is not None


def test_a_worker_is_tried_by_hand(shell: Shell, tmp_path: Path) -> None:
    code, out, _ = shell("worker", "--adapter", EXAMPLE, "--check")
    assert code == 0
    assert out.startswith("adapter board_adapter.py (firmware simulated, numpy ")
    assert out.endswith("): ready\n")

    off = tmp_path / "off.py"
    off.write_text("run = print\ndef why_unavailable():\n    return 'switch it on'\n")
    code, out, _ = shell("worker", "--adapter", off, "--check")
    assert code == 4
    assert out.endswith("): switch it on\n")


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("def run(a, s): return s\n", "has no function 'why_unavailable'; an adapter needs run"),
        ("import nowhere\n", "bad.py:1: ModuleNotFoundError: No module named 'nowhere'"),
        ("def run(:\n", "bad.py:1: SyntaxError: "),
        ("run = print\ndef why_unavailable(): return 3\n", "must return None or a sentence, not 3"),
        (
            "run = print\ndef why_unavailable(): return None\ndef versions(): return 3\n",
            "versions() must return a dict",
        ),
    ],
)
def test_an_adapter_that_cannot_be_used_says_where(
    source: str, match: str, shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(source)

    code, _, err = shell("worker", "--adapter", tmp_path / "bad.py", "--check")

    assert code == 2
    assert match in err


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ([], "no host is named; give --hosts hosts.toml"),
        (["--host", "local:"], "say what runs the artifact on the hosts: --adapter FILE.py"),
        (["--host", "local:", "--on", "simulator", "--tries", "0"], "tries = 0"),
        (["--hosts", "h.toml", "--on", "simulator"], "on cannot be given beside --hosts"),
        (["--hosts", "nowhere.toml"], "nowhere.toml: no such file"),
    ],
)
def test_hosts_that_cannot_be_understood_are_refused_before_anything_runs(
    options: list[str], match: str, shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    rec = tmp_path / "rec"

    code, _, err = shell("hil", artifact, "--stimulus", stimulus, "--out", rec, *options)

    assert code == 2
    assert match in err
    assert not rec.exists()


def test_an_adapter_that_is_missing_on_the_host_is_named(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    options = ["--host", "local:", "--adapter", "/nowhere/board.py", "--out", tmp_path / "rec"]

    code, _, err = shell("hil", artifact, "--stimulus", stimulus, *options)

    assert code == 4
    assert "no host is left: 'local' is not ready: /nowhere/board.py: no such file" in err


@pytest.mark.slow
def test_wrong_spikes_of_a_board_are_findings_and_named(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    liar = tmp_path / "liar.py"
    liar.write_text(
        "from toolchain.backends import quantized\n"
        "def why_unavailable():\n    return None\n"
        "def run(artifact, stimulus):\n"
        "    spikes = dict(quantized.run(artifact, stimulus).raster.spikes)\n"
        "    spikes['layer1'][0, 3, 7] ^= True\n"
        "    return spikes\n"
    )
    options = ["--host", "local:", "--adapter", liar, "--out", tmp_path / "rec"]

    code, out, _ = shell("hil", artifact, "--stimulus", stimulus, *options, "--json")

    assert code == 1, out
    first = json.loads(out)["first_mismatch"]
    assert [first[key] for key in ("sample", "timestep", "population", "neuron")] == [
        0,
        3,
        "layer1",
        7,
    ]
    assert shell("replay", tmp_path / "rec", "--against", "quantized")[0] == 1


def test_run_and_verify_go_to_hosts_and_say_what_ran(
    shell: Shell, artifact: Path, stimulus: Path, tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts.toml"
    hosts.write_text('[host.here]\nlocal = true\nbackend = "quantized"\n')
    raster = read_raster(stimulus)
    write_raster(tmp_path / "two.npz", raster.first(2))
    options = [artifact, "--stimulus", tmp_path / "two.npz", "--backend", "remote"]

    code, _, err = shell("run", *options, "--out", tmp_path / "r.npz")
    assert code == 4
    assert "backend 'remote' is unavailable: no host is named" in err

    code, out, _ = shell("run", *options, "--hosts", hosts, "--out", tmp_path / "r.npz", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["ran"][0]["host"] == "here"
    assert answer["ran"][0]["backend"] == "quantized"
    assert answer["lost"] == {}

    code, out, err = shell("verify", *options, "--hosts", hosts, "--json")
    verdict = json.loads(out)
    assert code == 0, (verdict, err)
    assert verdict["ran"][0]["host"] == "here"
    assert verdict["backend"] == "remote"
    assert verdict["equal"]
