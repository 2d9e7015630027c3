"""Lava's bit-accurate CPU simulator by its asynchronous protocol: no process waits for a phase.

Every Lava process runs ahead as far as its in-ports let it; a spike still arrives at the timestep
it was sent for, so the bits are those of the synchronous protocol, which stays the reference.
"""

from __future__ import annotations

from collections.abc import Collection

from toolchain.artifact import Artifact
from toolchain.backends import Watch, ignore, lava
from toolchain.raster import Raster, Recording


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
    """Run an artifact as `lava.run` does, and raise what it raises."""
    return lava.run_worker(artifact, stimulus, states=states, watch=watch, protocol="asynchronous")
