"""An adapter: how a board runs an artifact, in a Python file of the user's on the board's host.

    run(artifact, stimulus) -> Raster      the spikes of the populations that the board can show,
                                           the output among them; or {name: bool array}
    why_unavailable() -> str | None        None: ready; else one sentence that says the mend
    versions() -> dict[str, str]           may be left out: firmware, driver, ...

`artifact` and `stimulus` are `toolchain.artifact.Artifact` and `toolchain.raster.Raster`.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain import __version__
from toolchain.artifact import Artifact
from toolchain.backends import get_backend
from toolchain.errors import BackendError, InputError
from toolchain.files import read_bytes, sha256
from toolchain.raster import Raster

BoolArray = NDArray[np.bool_]
ADAPTER = "adapter"
_MOST_VERSIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """What runs artifacts on this machine, and what it says of itself."""

    backend: str  # a backend of snn-deploy's, or "adapter FILE.py"
    sha256: str | None  # of the adapter's file
    versions: Mapping[str, str]
    unavailable: str | None
    run: Callable[[Artifact, Raster], Mapping[str, BoolArray]]


def own_backend(name: str) -> Runner:
    """A backend of snn-deploy's own; one that is not ready says why.

    Raises InputError for an unknown one, and for `remote`, which would only ask further.
    """
    if name == "remote":
        raise InputError("a worker cannot run 'remote'; name what runs on its own machine")
    try:
        backend = get_backend(name)
    except BackendError as problem:
        return _runner(name, None, _unready, unavailable=str(problem))
    return _runner(name, None, lambda a, s: backend.run(a, s).raster.spikes)


def adapter(file: Path) -> Runner:
    """The adapter in a file, which is executed.

    Raises FileError where it cannot be read, InputError with the line where it fails.
    """
    source = read_bytes(file)
    names = _executed(file, source)
    for name in ("run", "why_unavailable"):
        if not callable(names.get(name)):
            raise InputError(f"{file}: has no function '{name}'; an adapter needs run and"
                             " why_unavailable (docs/hardware-in-the-loop.md)")  # fmt: skip
    reason = _blamed(file, names["why_unavailable"])
    if not (reason is None or isinstance(reason, str)):
        raise InputError(f"{file}: why_unavailable() must return None or a sentence, not {reason}")
    own = _blamed(file, names["versions"]) if callable(names.get("versions")) else {}
    return _runner(
        f"{ADAPTER} {file.name}",
        sha256(source),
        lambda a, s: _spikes(file, _blamed(file, names["run"], a, s)),
        unavailable=reason,
        versions=_own_versions(file, own),
    )


def _runner(
    backend: str,
    digest: str | None,
    run: Callable[[Artifact, Raster], Mapping[str, BoolArray]],
    *,
    unavailable: str | None = None,
    versions: Mapping[str, str] | None = None,
) -> Runner:
    return Runner(
        backend=backend,
        sha256=digest,
        versions=_versions(backend) | dict(versions or {}),
        unavailable=unavailable,
        run=run,
    )


def _unready(artifact: Artifact, stimulus: Raster) -> Mapping[str, BoolArray]:
    raise AssertionError("a backend that is not ready is not asked to run")


def _versions(backend: str) -> dict[str, str]:
    found = {
        "snn-deploy": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    if backend.startswith("lava"):
        with contextlib.suppress(PackageNotFoundError):
            found["lava-nc"] = version("lava-nc")
    return found


def _own_versions(file: Path, own: object) -> dict[str, str]:
    if not isinstance(own, dict) or len(own) > _MOST_VERSIONS:
        raise InputError(f"{file}: versions() must return a dict of at most {_MOST_VERSIONS} texts")
    return {str(key): str(value) for key, value in own.items()}


def _executed(file: Path, source: bytes) -> dict[str, Any]:
    """The names that a file defines; its neighbours can be imported, as by a script."""
    module = ModuleType(f"_adapter_{file.stem}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look their own up there
    sys.path.insert(0, str(file.parent.resolve()))
    _blamed(file, lambda: exec(compile(source, str(file), "exec"), module.__dict__))
    return module.__dict__


def _blamed(file: Path, function: Callable[..., Any], *given: object) -> Any:
    """Call a function of the user's; its error becomes one line with the place in their file."""
    try:
        return function(*given)
    except (Exception, SystemExit) as problem:
        places = [
            at for at in traceback.extract_tb(problem.__traceback__) if at.filename == str(file)
        ]
        line = problem.lineno if isinstance(problem, SyntaxError) else None
        line = places[-1].lineno if places else line
        message = f"{file.name}:{line}: {type(problem).__name__}: {problem}"
        raise InputError(message) from problem


def _spikes(file: Path, returned: object) -> Mapping[str, BoolArray]:
    spikes = returned.spikes if isinstance(returned, Raster) else returned
    if not isinstance(spikes, Mapping):
        raise InputError(f"{file.name}: run() must return a Raster, not {type(returned).__name__}")
    return spikes


def check_spikes(
    spikes: Mapping[str, BoolArray], artifact: Artifact, samples: int, timesteps: int
) -> tuple[str, ...]:
    """The populations that were shown, in the network's order.

    Raises InputError for a population that the network lacks, a shape or dtype that is not bool
    (samples, timesteps, neurons), or a missing output.
    """
    network = artifact.network
    known = {population.name: population.size for population in network.populations}
    for name, array in spikes.items():
        if name not in known:
            raise InputError(f"run() returned '{name}', the network has {', '.join(known)}")
        shape = (samples, timesteps, known[name])
        if not isinstance(array, np.ndarray) or array.dtype != np.bool_ or array.shape != shape:
            held = f"{getattr(array, 'dtype', type(array).__name__)}"
            raise InputError(
                f"run() returned {held} of shape {getattr(array, 'shape', None)} for '{name}',"
                f" needed is bool of shape {shape}"
            )
    if network.output not in spikes:
        raise InputError(f"run() did not return the output '{network.output}'")
    return tuple(name for name in known if name in spikes)


def cache_folder(named: str | None) -> Path:
    """Where artifacts are kept: the folder that is named, or the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(named or f"{home}/snn-deploy").expanduser()
