"""import, export and inspect of other tools' files, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Shell
from tests.interchange.graphs import chain, lif, linear, write
from toolchain import codec
from toolchain.network import Network


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write(tmp_path / "a.nir", *chain(linear(np.eye(2)), lif(2, r=np.full(2, 20.0))))


def test_a_nir_file_comes_in_is_checked_goes_out_and_comes_in_again(
    shell: Shell, graph: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "network"
    code, out, _ = shell("import", "nir", str(graph), "--out", str(folder), "--dt", "1e-3",
                         "--reset", "zero", "--json")  # fmt: skip
    first = json.loads(out)
    assert code == 0
    assert (first["neurons"], first["synapses"]) == (2, 2)
    assert shell("check", str(folder), "--chip", "tiny")[0] == 0

    code, out, _ = shell("export", "nir", str(folder), str(tmp_path / "b.nir"), "--json")
    assert code == 0
    assert any("timestep" in loss for loss in json.loads(out)["losses"])

    code, out, _ = shell("import", "nir", str(tmp_path / "b.nir"), "--out", str(tmp_path / "again"))
    assert code == 0
    assert "by its side-car" in out
    again = codec.read(Network, tmp_path / "again", "network")
    assert codec.fingerprint(again) == first["fingerprint"]


def test_a_network_goes_out_as_a_layer_file_and_comes_in_as_integers(
    shell: Shell, graph: Path, tmp_path: Path
) -> None:
    folder, file = tmp_path / "network", tmp_path / "a.net"
    shell("import", "nir", str(graph), "--out", str(folder), "--dt", "1e-3", "--reset", "zero")

    code, _, problem = shell("export", "netx", str(folder), str(file))
    assert code == 2
    assert "say whose integers: --chip NAME" in problem
    assert shell("export", "netx", str(folder), str(file), "--chip", "tiny")[0] == 0
    assert shell("import", "netx", str(file), "--out", str(tmp_path / "integers"))[0] == 0
    assert shell("map", tmp_path / "integers", "--chip", "tiny", "--out", tmp_path / "art")[0] == 0
    code, out, _ = shell("inspect", tmp_path / "integers", "--json")
    assert json.loads(out)["kind"] == "a network of integers"
    assert shell("export", "netx", tmp_path / "art", tmp_path / "b.net")[0] == 0
    assert (tmp_path / "b.net").read_bytes() == file.read_bytes()


def test_a_network_and_integers_do_not_share_a_folder(
    shell: Shell, graph: Path, tmp_path: Path
) -> None:
    folder, file = tmp_path / "network", tmp_path / "a.net"
    shell("import", "nir", str(graph), "--out", str(folder), "--dt", "1e-3", "--reset", "zero")
    shell("export", "netx", str(folder), str(file), "--chip", "tiny")

    code, _, problem = shell("import", "netx", str(file), "--out", str(folder))

    assert code == 2
    assert "holds another network, network.json" in problem


def test_integers_are_no_nir(shell: Shell, graph: Path, tmp_path: Path) -> None:
    folder, file = tmp_path / "network", tmp_path / "a.net"
    shell("import", "nir", str(graph), "--out", str(folder), "--dt", "1e-3", "--reset", "zero")
    shell("export", "netx", str(folder), str(file), "--chip", "tiny")
    shell("import", "netx", str(file), "--out", str(tmp_path / "integers"))

    code, _, problem = shell("export", "nir", tmp_path / "integers", tmp_path / "b.nir")

    assert code == 2
    assert "NIR has no words for a chip's integers" in problem


def test_what_is_missing_is_asked_for(shell: Shell, graph: Path, tmp_path: Path) -> None:
    code, _, problem = shell("import", "nir", str(graph), "--out", str(tmp_path / "n"))

    assert code == 2
    assert "--dt SECONDS" in problem
    assert not (tmp_path / "n").exists()


def test_inspect_says_what_a_file_holds_and_what_has_no_form(
    shell: Shell, graph: Path, tmp_path: Path
) -> None:
    code, out, _ = shell("inspect", str(graph), "--json")
    told = json.loads(out)
    assert code == 0
    assert told["refused"] == "nothing"
    assert [node["density"] for node in told["nodes"] if node["node"] == "n0"] == ["50.00%"]

    odd = write(tmp_path / "odd.nir", *chain({"type": "Cochlea"}, lif(2)))
    code, out, _ = shell("inspect", str(odd))
    assert code == 0
    assert "a primitive 'Cochlea' has no form on the chip" in out


def test_formats_are_listed(shell: Shell) -> None:
    code, out, _ = shell("import", "--help")

    assert code == 0
    assert "nir" in out
    assert "netx" in out


def test_a_torch_module_and_its_state_become_a_network_that_spikes_alike(
    shell: Shell, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text(
        "import norse.torch as norse\nfrom torch import nn\n"
        "def build():\n"
        "    return norse.SequentialState(nn.Linear(6, 4, bias=False), norse.LIF())\n"
    )
    torch.save({"0.weight": torch.full((4, 6), 2.0)}, tmp_path / "a.pth")
    torch.save({"0.weigth": torch.ones(3)}, tmp_path / "b.pth")
    call = ("import", "torch", f"{tmp_path / 'mine.py'}:build", "--example", "6",
            "--out", tmp_path / "network")  # fmt: skip

    code, out, _ = shell(*call, "--state", tmp_path / "a.pth", "--json")

    told = json.loads(out)
    assert code == 0
    assert told["example"]["spikes"] > 0
    assert told["example"]["differ"] == 0
    assert shell("check", tmp_path / "network", "--chip", "tiny")[0] == 0
    code, out, _ = shell(*call)
    assert "are those that build() gave it; --state reads others" in out
    code, _, problem = shell(*call, "--state", tmp_path / "b.pth")
    assert code == 2
    assert "missing from the file: '0.weight'" in problem
    assert "not in the module: '0.weigth'" in problem
    code, _, problem = shell("import", "torch", "mine.py", "--example", "6", "--out", tmp_path)
    assert code == 2
    assert "must be FILE.py:FUNCTION" in problem


def test_an_unknown_format_is_answered_with_the_nearest(shell: Shell) -> None:
    code, _, problem = shell("import", "onx")
    assert code == 2
    assert "no format 'onx'; did you mean 'onnx'?" in problem
    assert shell("export", "torch")[0] == 2
