"""Lava's bit-accurate CPU simulator, layer by layer, in a worker process.

Lava hangs for ever when one of its processes raises, and leaves processes behind when its parent is
killed; so it runs in a session of its own that is watched, and ended as a whole.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from toolchain.artifact import Artifact
from toolchain.backends import Watch, ignore
from toolchain.backends.lava_files import Request, check_room, read_recording, write_all
from toolchain.backends.memory import traced
from toolchain.errors import BackendError, InputError
from toolchain.raster import Raster, Recording, check_stimulus

PATIENCE_VARIABLE = "SNN_DEPLOY_LAVA_TIMEOUT"
WORKER_VARIABLE = "SNN_DEPLOY_LAVA_WORKER"
INSTALL = "python -m pip install --no-deps --ignore-requires-python lava-nc==0.10.0"
_PATIENCE_S = 300.0  # without a timestep, which takes milliseconds
_POLL_S = 0.05
_GRACE_S = 2.0


def why_unavailable() -> str | None:
    """None where lava-nc is installed, else the command that installs it."""
    try:
        version = importlib.metadata.version("lava-nc")
    except importlib.metadata.PackageNotFoundError:
        return f"lava-nc is not installed; run: {INSTALL}"
    if version != "0.10.0":
        return f"lava-nc is {version}, 0.10.0 is what was measured; run: {INSTALL}"
    return None


def run(
    artifact: Artifact,
    stimulus: Raster,
    *,
    states: bool | Collection[str] = False,
    watch: Watch = ignore,
) -> Recording:
    """Run an artifact on Lava, one process for each population, by its synchronous protocol.

    Raises InputError where what is to be recorded exceeds disk or memory, and BackendError where
    Lava fails, or makes no progress for SNN_DEPLOY_LAVA_TIMEOUT seconds (default 300); the worker
    and everything that it started is then gone.
    """
    return run_worker(artifact, stimulus, states=states, watch=watch)


def run_worker(
    artifact: Artifact,
    stimulus: Raster,
    *,
    states: bool | Collection[str],
    watch: Watch,
    by: str = "layers",
    protocol: str = "synchronous",
) -> Recording:
    """Hand artifact and stimulus to a worker as files, wait, and read what it recorded."""
    network = artifact.network
    check_stimulus(stimulus, network.input.name, network.input.size)
    names = tuple(population.name for population in network.populations)
    request = Request(
        by=by,
        protocol=protocol,
        samples=stimulus.samples,
        timesteps=stimulus.timesteps,
        populations=names,
        states=traced(network, states),
    )
    with tempfile.TemporaryDirectory(prefix="snn-deploy-lava-") as name:
        folder = Path(name)
        check_room(folder, network, request)
        write_all(folder, artifact, stimulus, request)
        _supervise(folder, watch)
        return read_recording(folder, stimulus, request)


def _supervise(folder: Path, watch: Watch) -> None:
    """Start the worker and wait for it; end its whole session whatever happens."""
    module = os.environ.get(WORKER_VARIABLE, "toolchain.backends.lava_worker")
    with (folder / "output").open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", module, str(folder)],
            stdin=subprocess.PIPE,  # closes when this process ends, and the worker with it
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
        )
        try:
            _wait(worker, folder, watch, _patience())
        finally:
            _end(worker)


def _patience() -> float:
    text = os.environ.get(PATIENCE_VARIABLE, str(_PATIENCE_S))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise InputError(f"{PATIENCE_VARIABLE} must be a positive number of seconds, is {text!r}")
    return seconds


def _wait(worker: subprocess.Popen[bytes], folder: Path, watch: Watch, patience: float) -> None:
    last, since = b"", time.monotonic()
    while worker.poll() is None:
        now = _content(folder / "progress")
        if now and now != last:
            last, since = now, time.monotonic()
            done, of = (int(part) for part in now.split()[:2])  # and the timestep, which moves on
            watch("run Lava", done, of)
        if time.monotonic() - since > patience:
            raise BackendError(
                f"Lava made no progress for {patience:g} s and was ended with all its processes;"
                f" nothing was recorded. Set {PATIENCE_VARIABLE} to wait longer"
            )
        time.sleep(_POLL_S)
    if not (folder / "done").exists():
        raise BackendError(f"Lava failed: {_reason(folder, worker.returncode)}")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _reason(folder: Path, code: int) -> str:
    """The exception that the worker left; the signal that ended it where it left none."""
    text = (_content(folder / "error") or _content(folder / "output")).decode(errors="replace")
    raised = re.findall(r"^\w[\w.]*(?:Error|Exception|Interrupt)\b.*$", text, re.MULTILINE)
    if raised:
        return str(raised[-1])
    return (
        f"its worker was ended by signal {-code}" if code < 0 else f"its worker exited with {code}"
    )


def _end(worker: subprocess.Popen[bytes]) -> None:
    """End the worker's session by SIGTERM, which leaves no shared memory behind, or by force."""
    assert worker.stdin is not None
    for sent, seconds in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, 0.0)):
        until = time.monotonic() + seconds
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, sent)  # the session is the worker's own
            while time.monotonic() < until:
                worker.poll()  # a worker that has ended must not be waited for
                os.killpg(worker.pid, 0)
                time.sleep(_POLL_S)
    worker.stdin.close()
    worker.wait()
