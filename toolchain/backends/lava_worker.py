"""The worker that runs an artifact on Lava: files in, files out, in a process of its own.

    python -m toolchain.backends.lava_worker FOLDER

FOLDER holds `artifact/`, `stimulus.npz` and `request.json`; the worker writes `progress`, and at
the end `s.npz` (and `u.npz`, `v.npz`) and `done`, or `error`. It ends itself, and every process
that Lava started, when its standard input closes: the parent is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.artifact import Artifact, read_artifact
from toolchain.backends.lava_shim import import_lava
from toolchain.files import read_json, write_bytes, write_npz
from toolchain.raster import Raster, check_stimulus, read_raster

_SAMPLES_PER_RUN = (
    100  # bounds the memory of one Lava network's traces; a start costs half a second
)


def main() -> None:
    """Run the request of the folder that the command line names."""
    folder = Path(sys.argv[1])
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        work(folder)
    except BaseException:
        write_bytes(folder / "error", traceback.format_exc().encode())
        _end_group()


def work(folder: Path) -> None:
    """Run all samples, some at a time, and write what was recorded."""
    import_lava()
    from toolchain.backends.lava_network import LavaNetwork

    request = read_json(folder / "request.json")
    artifact = read_artifact(folder / "artifact")
    stimulus = read_raster(folder / "stimulus.npz")
    states = ("s", "u", "v") if request["states"] else ("s",)
    parts = []
    for start in range(0, stimulus.samples, _SAMPLES_PER_RUN):
        _report(folder, start, stimulus.samples)
        some = stimulus.between(start, min(start + _SAMPLES_PER_RUN, stimulus.samples))
        network = LavaNetwork(artifact, _rows(artifact, some), by=request["by"], states=states)
        parts.append(_watched(network, folder))
    _report(folder, stimulus.samples, stimulus.samples)
    _write(folder, parts, states)


def _rows(artifact: Artifact, stimulus: Raster) -> Any:
    origin = artifact.network.input
    return check_stimulus(stimulus, origin.name, origin.size)


def _watched(network: Any, folder: Path) -> dict[str, dict[str, Any]]:
    """Run a network while a thread looks for exceptions, which would otherwise hang Lava."""
    over = threading.Event()
    watcher = threading.Thread(target=_watch_actors, args=(network, folder, over), daemon=True)
    watcher.start()
    try:
        recorded: dict[str, dict[str, Any]] = network.run(folder)
        return recorded
    finally:
        over.set()
        watcher.join()


def _watch_actors(network: Any, folder: Path, over: threading.Event) -> None:
    """Leave an actor's exception as `error` and end all.

    It looks once more when the run is over: Lava's own error says only that there was one.
    """
    last_look = False
    while not last_look:
        last_look = over.wait(0.5)
        for actor in network.actors():
            if actor.exception:
                _, text = actor.exception
                write_bytes(folder / "error", str(text).encode())
                _end_group()


def _report(folder: Path, done: int, of: int) -> None:
    write_bytes(folder / "progress", f"{done} {of}".encode())


def _write(folder: Path, parts: list[dict[str, dict[str, Any]]], states: tuple[str, ...]) -> None:
    for state in states:
        names = parts[0][state]
        arrays: dict[str, Any] = {
            name: np.concatenate([part[state][name] for part in parts]) for name in names
        }
        write_npz(folder / f"{state}.npz", arrays)
    write_bytes(folder / "done", b"")


def _die_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        time.sleep(0)
    _end_group()


def _end_group() -> None:
    """End this process and all that Lava started; the parent put them in a group of their own.

    Not by SIGKILL: Python's resource tracker outlives SIGTERM and cleans up the shared memory.
    """
    os.killpg(os.getpgid(0), signal.SIGTERM)


if __name__ == "__main__":
    main()
