"""Backends: each runs an artifact on a stimulus, and all give the same spikes.

A backend is a module with two functions:

    run(artifact, stimulus, *, states=False, watch=ignore) -> Recording
    why_unavailable() -> str | None        None: ready; else one sentence that says the mend

and, where it is ready but could be faster, a third:

    remark() -> str | None                 None: all is there; else one sentence that says the mend
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from typing import Protocol, cast

from toolchain.artifact import Artifact
from toolchain.errors import BackendError, InputError, did_you_mean
from toolchain.raster import Raster, Recording

Watch = Callable[[str, int, int], None]  # (what is being done, done, of how many)

BACKENDS = {
    "quantized": "the quantized network itself, without cores: what the cores must reproduce",
    "reference": "the packed cores, spike by spike: slow, and the definition of an artifact",
    "simulator": "the packed cores, compiled and parallel over samples: fast",
    "lava": "Lava's bit-accurate CPU simulator, layer by layer",
    "lava-async": "the same by its asynchronous protocol: often faster; lava judges",
    "lava-cores": "Lava's bit-accurate CPU simulator, core by core, up to 16 cores",
    "remote": "boards on other machines, through ssh (docs/hardware-in-the-loop.md)",
}
_MODULES = {name: f"toolchain.backends.{name.replace('-', '_')}" for name in BACKENDS}


def ignore(what: str, done: int, of: int) -> None:
    """Watch nothing."""


class Backend(Protocol):
    """What a backend module offers."""

    def run(
        self,
        artifact: Artifact,
        stimulus: Raster,
        *,
        states: bool | Collection[str] = False,
        watch: Watch = ignore,
    ) -> Recording:
        """Run every sample from a state of zero; record u and v of all populations, or of `states`.

        Raises InputError for a name that is no population's.
        """

    def why_unavailable(self) -> str | None:
        """None where the backend is ready, else a sentence that says what to do."""


def get_backend(name: str) -> Backend:
    """The backend of this name; raises InputError for an unknown one, BackendError if unready."""
    if name not in _MODULES:
        raise InputError(f"no backend '{name}'; {did_you_mean(name, BACKENDS)}")
    backend = cast(Backend, import_module(_MODULES[name]))
    reason = backend.why_unavailable()
    if reason is not None:
        raise BackendError(f"backend '{name}' is unavailable: {reason}")
    return backend
