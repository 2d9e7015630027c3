"""The worker on a board's host: artifact and stimulus come in as messages, spikes go out.

    snn-deploy worker --adapter FILE.py        what `remote` starts through ssh

It keeps artifacts by their fingerprint in a folder, runs one chunk after the other, and ends
itself with all that it started when its input closes: whoever asked is gone. `remote_wire` says
what a message is.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import os
import queue
import re
import shutil
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.artifact import FOLDER_FILES, Artifact, read_artifact
from toolchain.backends.remote_adapter import Runner, check_spikes
from toolchain.backends.remote_wire import (
    GREETING,
    MOST_PAYLOAD,
    PROTOCOL,
    Inlet,
    WireError,
    count_of,
    pack_message,
    pack_spikes,
    printable,
    text_of,
    unpack_spikes,
    write_all,
)
from toolchain.errors import FileError, SnnDeployError
from toolchain.files import read_bytes, sha256, write_bytes
from toolchain.raster import Raster

_IDLE_S = 600.0  # without a message: whoever asked is gone, and its connection did not say so
_GRACE_S = 1.0
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_MOST_SAMPLES = 10**6

_ENDING = threading.Event()

Message = tuple[dict[str, Any], bytes]


@dataclass(slots=True, kw_only=True, eq=False)
class _Desk:
    """What a worker has in hand: where messages come from and go, and what it runs."""

    inbox: queue.Queue[Message | WireError | None]
    write: Callable[[bytes], None]
    runner: Runner
    cache: Path
    patience_s: float = _IDLE_S

    def due(self, *kinds: str) -> Message | None:
        """The next message, which must be of one of these kinds; None where all was said."""
        try:
            found = self.inbox.get(timeout=max(_IDLE_S, 4 * self.patience_s))
        except queue.Empty:
            return None
        if isinstance(found, WireError):
            raise found
        if found is None or found[0]["kind"] == "end":
            return None
        if found[0]["kind"] not in kinds:
            raise WireError(f"a '{found[0]['kind']}' message came, {' or '.join(kinds)} was due")
        return found


def serve(
    input_handle: int, output_handle: int, runner: Runner, cache: Path, gone: Callable[[], None]
) -> None:
    """Answer messages from one file descriptor on another until `end`; `gone` where input ends."""
    desk = _Desk(
        inbox=queue.Queue(maxsize=2),
        write=lambda data: write_all(output_handle, data),
        runner=runner,
        cache=cache,
    )
    reader = threading.Thread(target=_read, args=(input_handle, desk, gone), daemon=True)
    desk.write(_greeting(runner))
    reader.start()
    if runner.unavailable is not None:
        return
    try:
        artifact = _fetch(desk)
        while artifact is not None and (message := desk.due("chunk")) is not None:
            _answer(desk, artifact, *message)
    except (SnnDeployError, WireError) as problem:
        desk.write(pack_message("refused", message=printable(problem)))


def _read(handle: int, desk: _Desk, gone: Callable[[], None]) -> None:
    """Put every message into the inbox; an input that ends without `end` is a cut connection."""
    inlet = Inlet(lambda most: os.read(handle, most))
    try:
        while (message := inlet.message(MOST_PAYLOAD)) is not None:
            desk.inbox.put(message)
            if message[0]["kind"] == "end":
                break
    except WireError as problem:
        desk.inbox.put(problem)
        return
    if message is not None:
        time.sleep(_GRACE_S)  # it ends by itself, unless it hangs
    gone()


def _greeting(runner: Runner) -> bytes:
    return pack_message(
        GREETING,
        protocol=PROTOCOL,
        hostname=printable(socket.gethostname(), 64),
        backend=printable(runner.backend, 100),
        adapter_sha256=runner.sha256,
        versions={printable(k, 40): printable(v, 80) for k, v in runner.versions.items()},
        unavailable=None if runner.unavailable is None else printable(runner.unavailable),
    )


def _fetch(desk: _Desk) -> Artifact | None:
    """The artifact that is asked for: the one that is kept here, or file by file as it comes."""
    asked = desk.due("artifact")
    if asked is None:
        return None
    header, _ = asked
    fingerprint, files = text_of(header, "fingerprint"), header.get("files")
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise WireError("an artifact's fingerprint must be 64 hexadecimal digits")
    if not isinstance(files, dict) or set(files) != set(FOLDER_FILES):
        raise WireError(f"an artifact's files must be {', '.join(FOLDER_FILES)}")
    desk.patience_s = count_of(header, "timeout_s", 10**6)
    with _locked(desk.cache, fingerprint):
        if (kept := _kept(desk.cache, fingerprint)) is not None:
            desk.write(pack_message("lacks", names=[]))
        elif not _receive(desk, desk.cache / f"{fingerprint}.part", files):
            return None
        else:
            kept = _complete(desk.cache, fingerprint)
    desk.write(pack_message("ready", fingerprint=kept.fingerprint))
    return kept


@contextlib.contextmanager
def _locked(cache: Path, fingerprint: str) -> Iterator[None]:
    """One worker of a host receives an artifact; its brothers wait and then have it."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        handle = os.open(cache / f"{fingerprint}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as problem:
        raise FileError(f"{cache}: cannot be written ({problem.strerror})") from problem
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _kept(cache: Path, fingerprint: str) -> Artifact | None:
    """The artifact that is kept under this fingerprint; one that was altered is thrown away."""
    folder = cache / fingerprint
    if not folder.is_dir():
        return None
    try:
        artifact = read_artifact(folder)
    except FileError:
        artifact = None
    if artifact is None or artifact.fingerprint != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return artifact


def _receive(desk: _Desk, part: Path, files: dict[str, Any]) -> bool:
    """Ask for the files that are not here yet; False where the sender went away.

    What has arrived whole stays, so that a connection that was cut does not begin again.
    """
    lacks = [name for name in FOLDER_FILES if not _is_whole(part / name, files[name])]
    desk.write(pack_message("lacks", names=lacks))
    for name in lacks:
        message = desk.due("file")
        if message is None:
            return False
        header, payload = message
        if header.get("name") != name or header["sha256"] != files[name]:
            raise WireError(f"file '{printable(header.get('name'))}' came, '{name}' was due")
        write_bytes(part / name, payload)
    return True


def _is_whole(file: Path, digest: object) -> bool:
    return file.is_file() and sha256(read_bytes(file)) == digest


def _complete(cache: Path, fingerprint: str) -> Artifact:
    """Check what was received and give it its name."""
    part = cache / f"{fingerprint}.part"
    try:
        artifact = read_artifact(part)
    except FileError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    if artifact.fingerprint != fingerprint:
        shutil.rmtree(part, ignore_errors=True)
        raise WireError(f"the artifact's fingerprint is {artifact.fingerprint}, not {fingerprint}")
    part.rename(cache / fingerprint)
    return artifact


def _answer(desk: _Desk, artifact: Artifact, header: dict[str, Any], payload: bytes) -> None:
    """Run one chunk; what goes wrong in it is its answer, and the next may go well."""
    index = count_of(header, "index", _MOST_SAMPLES)
    samples = count_of(header, "samples", _MOST_SAMPLES)
    timesteps = count_of(header, "timesteps", _MOST_SAMPLES)
    origin = artifact.network.input
    shown = unpack_spikes(payload, (samples, timesteps, origin.size))
    began = time.monotonic()
    # a board's driver may hang in a call that lets no other thread run; this one does not ask
    faulthandler.dump_traceback_later(desk.patience_s + 5, exit=True, file=2)
    try:
        spikes = desk.runner.run(artifact, Raster(spikes={origin.name: shown}))
        names = check_spikes(spikes, artifact, samples, timesteps)
    except Exception as problem:
        traceback.print_exc()
        kind = "" if isinstance(problem, SnnDeployError) else f"{type(problem).__name__}: "
        message = printable(f"{kind}{problem}")
        desk.write(pack_message("failed", index=index, message=message))
        return
    finally:
        faulthandler.cancel_dump_traceback_later()
    desk.write(
        pack_message(
            "result",
            b"".join(pack_spikes(np.ascontiguousarray(spikes[name])) for name in names),
            index=index,
            fingerprint=artifact.fingerprint,
            stimulus_sha256=sha256(payload),
            populations=list(names),
            seconds=time.monotonic() - began,
        )
    )


def work(make: Callable[[], Runner], cache: Path) -> None:
    """Serve standard input and output in a process group of its own, until the input closes.

    What the adapter prints goes to standard error; an adapter that cannot be loaded is a greeting
    that says why.
    """
    with contextlib.suppress(PermissionError):  # it leads its session already
        os.setsid()
    signal.signal(signal.SIGTERM, _on_term)
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        runner = make()
    except SnnDeployError as problem:
        runner = _broken(str(problem))
    serve(0, output, runner, cache, end_group)


def _broken(reason: str) -> Runner:
    return Runner(backend="none", sha256=None, versions={}, unavailable=reason, run=lambda a, s: {})


def end_group() -> None:
    """End this process and all of its group: the other side has gone."""
    _ENDING.set()
    os.killpg(0, signal.SIGTERM)
    time.sleep(_GRACE_S)
    os.killpg(0, signal.SIGKILL)


def _on_term(number: int, frame: object) -> None:
    """SIGTERM ends the group; the one that `end_group` sends is for the others in it."""
    if not _ENDING.is_set():
        end_group()
