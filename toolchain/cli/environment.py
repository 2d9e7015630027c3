"""backends and doctor: what is ready, and the one command that mends what is not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import click

from toolchain import __version__
from toolchain.backends import BACKENDS, get_backend
from toolchain.cli.output import exit_with, json_option, say, say_json, show, table
from toolchain.errors import BackendError

_NEEDED = ("click", "numba", "numpy", "pydantic", "rich", "safetensors", "scipy")
_OPTIONAL = {
    "torch": "to train: python -m pip install 'snn-deploy[train]'",
    "norse": "to train: python -m pip install 'snn-deploy[train]'",
    "scikit-learn": "to train on digits: python -m pip install 'snn-deploy[train]'",
    "pooch": "to download data sets: python -m pip install 'snn-deploy[train]'",
    "h5py": "to read and write NIR and netx: python -m pip install 'snn-deploy[interchange]'",
    "onnx": "to read and write ONNX: python -m pip install 'snn-deploy[interchange]'",
}


@click.command("backends")
@json_option
def backends_command(as_json: bool) -> None:
    """List what an artifact can run on, and whether it is ready."""
    states, remarks = backend_states(), backend_remarks()
    if as_json:
        say_json(
            {
                "backends": {
                    name: {"ready": not why, "reason": why, "remark": remarks.get(name, "")}
                    for name, why in states.items()
                }
            }
        )
        return
    rows = [
        (name, why or f"ready{', but ' * (name in remarks)}{remarks.get(name, '')}", BACKENDS[name])
        for name, why in states.items()
    ]
    show(table(["backend", "state", "what it is"], rows))


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> None:
    """Say whether everything is installed, and print the command that mends what is not.

    Exit code 0: all is ready; 1: something is missing.
    """
    findings = examine()
    missing = [finding for finding in findings if finding[2]]
    if as_json:
        answer = {
            "ready": not missing,
            "snn-deploy": __version__,
            "python": platform.python_version(),
        }
        say_json(answer | {"checks": {n: {"found": f, "mend": m} for n, f, m in findings}})
    else:
        say(
            f"snn-deploy {__version__}, Python {platform.python_version()},"
            f" {os.cpu_count()} processors\n"
        )
        show(table(["what", "found", "mend"], findings))
        say("\nall is ready" if not missing else f"\n{len(missing)} to mend")
    exit_with(1 if missing else 0)


def backend_states() -> dict[str, str]:
    """Backend -> why it is not ready; empty where it is."""
    states = {}
    for name in BACKENDS:
        try:
            get_backend(name)
            states[name] = ""
        except BackendError as problem:
            states[name] = str(problem)
    return states


def backend_remarks() -> dict[str, str]:
    """Backend -> what makes it slower than it could be, and the mend; where there is something."""
    remark = import_module("toolchain.backends.simulator").remark()
    return {} if remark is None else {"simulator": remark}


def examine() -> list[tuple[str, str, str]]:
    """(what, what was found, the mend or nothing) of everything that the toolchain needs."""
    supported = (3, 11) <= sys.version_info[:2] <= (3, 12)
    findings = [
        ("python", platform.python_version(), "" if supported else "use Python 3.11 or 3.12")
    ]
    needed = dict.fromkeys(_NEEDED, "python -m pip install snn-deploy")
    findings += [_package(name, mend) for name, mend in (needed | _OPTIONAL).items()]
    findings.append(_simulator())
    findings.append(_lava())
    findings.append(_writable(Path.cwd()))
    return findings


def _package(name: str, mend: str) -> tuple[str, str, str]:
    try:
        return name, importlib.metadata.version(name), ""
    except importlib.metadata.PackageNotFoundError:
        return name, "missing", mend


def _simulator() -> tuple[str, str, str]:
    remark = backend_remarks().get("simulator", "")
    return "simulator", "slow" if remark else "compiled", remark


def _lava() -> tuple[str, str, str]:
    reason = import_module("toolchain.backends.lava").why_unavailable()
    return "lava-nc", "ready (0.10.0 through a shim)" if not reason else "not ready", reason or ""


def _writable(folder: Path) -> tuple[str, str, str]:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return "this folder", "can be written", ""
    except OSError:
        return "this folder", "cannot be written", "choose another folder for --out"
