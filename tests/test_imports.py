"""Who may import whom, read off the syntax trees: rooms know the hall and never each other."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import toolchain

PACKAGE = Path(toolchain.__file__).parent
ROOMS = {"train", "mapper", "backends", "verify", "report", "interchange"}
HALL_MAY = {"numpy", "scipy", "pydantic", "pydantic_core", "safetensors"}
HOMES = {  # the only places that know these
    "torch": ("train/", "backends/simulator_ways.py"),  # imported where it pays: decision 0015
    "norse": "train/",
    "sklearn": "train/",
    "pooch": "train/data/",
    "tonic": "train/data/",
    "lava": "backends/lava_",
    "distributed": "backends/remote_crew.py",
    "h5py": "interchange/",
    "onnx": "interchange/",
    "numba": ("backends/simulator_", "mapper/", "train/", "cli/compiling.py"),
    "llvmlite": ("backends/simulator_", "train/"),
}
ENTRANCE = "__main__.py"  # python -m toolchain
NEVER = {"torchvision", "pickle", "tqdm", "nir", "nirtorch", "snntorch", "onnxruntime"}


def imported(source: str, module: str) -> Iterator[str]:
    """Dotted names that a module imports, wherever in it, by statement or by a literal call."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = ".".join(module.split(".")[: -node.level]) if node.level else ""
            name = ".".join(part for part in (parent, node.module) if part)
            yield from (f"{name}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and calls_import(node):
            yield str(node.args[0].value)  # type: ignore[attr-defined]


def calls_import(node: ast.Call) -> bool:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    literal = bool(node.args) and isinstance(node.args[0], ast.Constant)
    return name in {"import_module", "__import__"} and literal


def complaints(file: str, source: str) -> list[str]:
    """What is wrong with the imports of a file, given by its path below the package."""
    room = file.split("/")[0] if "/" in file or file == ENTRANCE else ""
    module = "toolchain." + file.removesuffix(".py").replace("/", ".")
    found = []
    for name in imported(source, module):
        top, _, rest = name.partition(".")
        if top == "toolchain":
            found += _about_a_neighbour(room, rest)
        elif top in NEVER or not file.startswith(HOMES.get(top, "")):
            found.append(f"{file}: {top} is not known here")
        elif room == "" and top not in HALL_MAY | sys.stdlib_module_names:
            found.append(f"{file}: the hall imports {top}")
    return found


def _about_a_neighbour(room: str, target: str) -> list[str]:
    other = target.split(".")[0]
    if room in {"cli", ENTRANCE} or other not in ROOMS | {"cli"} or other == room:
        return []
    return [f"{room or 'the hall'} imports {other}"]


def files() -> list[str]:
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", files())
def test_a_module_imports_only_what_its_room_may(file: str) -> None:
    assert complaints(file, (PACKAGE / file).read_text()) == []


def test_every_folder_of_the_package_is_a_room_that_the_rules_know() -> None:
    assert {file.split("/")[0] for file in files() if "/" in file} <= ROOMS | {"cli"}


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("raster.py", "from toolchain.mapper import place", "the hall imports mapper"),
        ("raster.py", "import toolchain.backends.lava", "the hall imports backends"),
        ("raster.py", "def f():\n    from toolchain import train", "the hall imports train"),
        ("raster.py", "import pandas", "the hall imports pandas"),
        ("raster.py", "import click", "the hall imports click"),
        ("mapper/place.py", "from toolchain.backends import BACKENDS", "mapper imports backends"),
        ("mapper/place.py", "from ..verify import x", "mapper imports verify"),
        ("verify/core.py", "from .. import report", "verify imports report"),
        ("report/text.py", "from toolchain.cli.main import main", "report imports cli"),
        ("backends/lava.py", "import torch", "torch is not known here"),
        ("cli/main.py", "import torch", "torch is not known here"),
        ("cli/main.py", "from sklearn import datasets", "sklearn is not known here"),
        ("verify/core.py", "import numba", "numba is not known here"),
        ("backends/lava.py", "from lava.proc import lif", "lava is not known here"),
        ("verify/core.py", "import_module('norse.torch')", "norse is not known here"),
        ("cli/main.py", "import h5py", "h5py is not known here"),
        ("interchange/nir.py", "import torch", "torch is not known here"),
        ("interchange/nir.py", "from toolchain.mapper import place", "interchange imports mapper"),
        ("train/data.py", "import torchvision", "torchvision is not known here"),
        ("files.py", "import pickle", "pickle is not known here"),
    ],
)
def test_a_planted_import_is_found(file: str, source: str, complaint: str) -> None:
    (found,) = complaints(file, source)

    assert found.endswith(complaint)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("mapper/place.py", "from toolchain.mapper.legality import violations"),
        ("mapper/place.py", "from toolchain import arithmetic"),
        ("mapper/place.py", "from .legality import violations"),
        ("cli/main.py", "from toolchain.train import loop\nfrom toolchain.mapper import place"),
        ("train/loop.py", "import torch\nimport norse.torch\nfrom sklearn import datasets"),
        ("backends/lava_network.py", "from lava.proc.lif.process import LIFReset"),
        ("backends/simulator_loops.py", "import numba\nfrom numba import prange"),
        ("backends/simulator_ways.py", "def way():\n    import torch"),
        ("files.py", "import json, os\nimport safetensors\nfrom pydantic_core import ErrorDetails"),
    ],
)
def test_an_import_that_is_allowed_is_left_alone(file: str, source: str) -> None:
    assert complaints(file, source) == []
