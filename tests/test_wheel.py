"""The wheel is whole: built from the tree, it works in an environment that has nothing else."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from toolchain.hardware import profile_names
from toolchain.outline import outline_names

ROOT = Path(__file__).parents[1]


def every_chip() -> list[str]:
    return [*profile_names(), *outline_names()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("snn_deploy-*.whl"))


def test_the_wheel_holds_what_is_not_python(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {f"toolchain/hw_profiles/{name}.toml" for name in profile_names()} <= names
    assert {f"toolchain/hw_profiles/outlines/{name}.toml" for name in outline_names()} <= names
    assert "toolchain/cli/digits.toml" in names
    assert "toolchain/report/report.html.j2" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]


@pytest.mark.slow
def test_an_empty_environment_lists_the_chips(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-compile"]
    subprocess.run(
        [*install, "--constraint", str(ROOT / "constraints.txt"), str(wheel)], check=True
    )

    command = [str(tmp_path / "env" / "bin" / "snn-deploy"), "chips", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)

    assert [chip["name"] for chip in json.loads(done.stdout)["chips"]] == every_chip()
