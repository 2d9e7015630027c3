"""Lava's bit-accurate CPU simulator, core by core: every block is a Lava process of its own."""

from __future__ import annotations

from collections.abc import Collection

from toolchain.artifact import Artifact
from toolchain.backends import Watch, ignore, lava
from toolchain.errors import BackendError
from toolchain.raster import Raster, Recording

_MOST_CORES = 16  # 64 cores were 198 operating-system processes and 98 ms a timestep


def why_unavailable() -> str | None:
    """None where lava-nc is installed, else the command that installs it."""
    return lava.why_unavailable()


def run(
    artifact: Artifact,
    stimulus: Raster,
    *,
    states: bool | Collection[str] = False,
    watch: Watch = ignore,
) -> Recording:
    """Run an artifact on Lava, one process for each block of each core.

    Raises BackendError for more than 16 cores, and as `lava.run` does.
    """
    if len(artifact.cores) > _MOST_CORES:
        raise BackendError(
            f"core by core Lava runs at most {_MOST_CORES} cores, the artifact uses"
            f" {len(artifact.cores)}; use --backend lava, which runs layer by layer"
        )
    return lava.run_worker(artifact, stimulus, states=states, watch=watch, by="cores")
