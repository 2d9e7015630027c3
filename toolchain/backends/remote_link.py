"""One connection to a worker: started, asked, timed and ended, whatever the other side does."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from toolchain.artifact import FOLDER_FILES, Artifact
from toolchain.backends.remote_hosts import Host
from toolchain.backends.remote_wire import (
    PROTOCOL,
    Inlet,
    WireError,
    pack_message,
    pack_spikes,
    packed_bytes,
    printable,
    text_of,
    unpack_spikes,
)
from toolchain.errors import BackendError
from toolchain.files import read_bytes, sha256

BoolArray = NDArray[np.bool_]
_GRACE_S = 2.0
_POLL_S = 0.02
_PIPE = 2**16


def _shown(text: str) -> str:
    if printable(text) != text:
        raise ValueError("holds what cannot be printed, or is too long")
    return text


Plain = Annotated[str, AfterValidator(_shown)]


class TryFailedError(Exception):
    """A try that failed, and may go well the next time; with `final` it will not on this host."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason, final)
        self.reason = reason
        self.final = final


class _TimeUpError(Exception):
    pass


class Ran(BaseModel):
    """What really ran on a host: what its worker said, and which artifact it held."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    host: str  # as this machine calls it
    hostname: Plain  # as it calls itself
    backend: Plain  # one of snn-deploy's, or "adapter FILE.py"
    adapter_sha256: Plain | None
    versions: dict[Plain, Plain] = Field(max_length=32)
    fingerprint: str  # of the artifact, as the host counted it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """What all hosts are asked: the artifact, and the folder that holds it."""

    artifact: Artifact
    folder: Path
    sha256: Mapping[str, str]  # of its files
    connect_s: float
    timeout_s: float


def make_job(artifact: Artifact, folder: Path, *, connect_s: float, timeout_s: float) -> Job:
    """The job of an artifact that was written to a folder."""
    digests = {name: sha256(read_bytes(folder / name)) for name in FOLDER_FILES}
    return Job(
        artifact=artifact,
        folder=folder,
        sha256=digests,
        connect_s=connect_s,
        timeout_s=timeout_s,
    )


class Link:
    """A worker of a host, started; after `open` it is ready for chunks. Whoever made it closes it.

    Raises TryFailedError where the connection breaks, takes too long or is refused, and
    BackendError where the worker is not what it must be: another protocol, or another artifact.
    """

    def __init__(self, host: Host, job: Job) -> None:
        self.host = host
        self.job = job
        self.sent: list[str] = []  # the artifact's files that this connection carried
        self.broken = False  # nobody listens any more
        self.busy = False  # an answer is owed
        self._until = 0.0
        self._inlet = Inlet(self._read)
        self._heard: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close
        self._ran: Ran | None = None
        self._process = self._start()

    @property
    def ran(self) -> Ran:
        """What runs there, once it is open."""
        assert self._ran is not None
        return self._ran

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(
                self.host.words,
                stdin=subprocess.PIPE,  # closes when this process ends, and the worker with it
                stdout=subprocess.PIPE,
                stderr=self._heard,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as problem:
            self._heard.close()
            reason = f"'{self.host.words[0]}' cannot be started ({problem.strerror})"
            raise TryFailedError(reason, final=True) from problem
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        return process

    def open(self) -> None:
        """The greeting, and the artifact where the host does not have it yet."""
        greeting = self._guarded("connecting", self.job.connect_s, self._inlet.greeting)
        if greeting.get("protocol") != PROTOCOL:
            raise BackendError(
                f"host '{self.host.name}' speaks protocol {greeting.get('protocol')!r}, this"
                f" snn-deploy speaks {PROTOCOL}; install the same version on both"
            )
        ours = {"host": self.host.name, "fingerprint": self.job.artifact.fingerprint}
        said = {key: greeting.get(key) for key in set(Ran.model_fields) - set(ours)}
        try:
            ran = Ran.model_validate(said | ours)
        except ValidationError as problem:
            raise TryFailedError("its greeting is no worker's", final=True) from problem
        if greeting.get("unavailable") is not None:
            raise TryFailedError(f"is not ready: {text_of(greeting, 'unavailable')}", final=True)
        self._hand_over()
        self._ran = ran

    def _hand_over(self) -> None:
        fingerprint = self.job.artifact.fingerprint
        limit = self.job.timeout_s
        asked = pack_message(
            "artifact",
            fingerprint=fingerprint,
            files=dict(self.job.sha256),
            timeout_s=max(1, round(limit)),
        )
        lacks, _ = self._asked("asking for the artifact", asked, "lacks", 0)
        names = lacks.get("names")
        if not isinstance(names, list) or not set(names) <= set(FOLDER_FILES):
            raise TryFailedError("asked for files that no artifact has", final=True)
        for name in names:
            payload = read_bytes(self.job.folder / name)
            message = pack_message("file", payload, name=name)
            self._guarded(f"sending {name}", limit, self._send, message)
            self.sent.append(name)
        ready, _ = self._asked("reading the artifact", b"", "ready", 0)
        self._check_fingerprint(ready)

    def run(self, index: int, spikes: BoolArray) -> dict[str, BoolArray]:
        """Run one chunk (samples, timesteps, neurons); population -> spikes.

        Raises TryFailedError and BackendError as the class says.
        """
        shape = spikes.shape
        payload = pack_spikes(spikes)
        sizes = {p.name: p.size for p in self.job.artifact.network.populations}
        most = sum(packed_bytes((*shape[:2], size)) for size in sizes.values())
        asked = pack_message("chunk", payload, index=index, samples=shape[0], timesteps=shape[1])
        header, found = self._asked("running", asked, "result", most)
        self._check_fingerprint(header)
        if header.get("index") != index or header.get("stimulus_sha256") != sha256(payload):
            raise BackendError(
                f"host '{self.host.name}' answered another chunk than it was asked; nothing of the"
                " answer was kept"
            )
        try:
            return _unpacked(header.get("populations"), found, sizes, shape[:2])
        except WireError as problem:
            raise TryFailedError(str(problem)) from problem

    def _check_fingerprint(self, header: Mapping[str, Any]) -> None:
        wanted, found = self.job.artifact.fingerprint, header.get("fingerprint")
        if found != wanted:
            raise BackendError(
                f"host '{self.host.name}' ran another artifact: its fingerprint is"
                f" {printable(found, 64)}, {wanted} was sent; nothing of its answer was kept."
                " Install the same snn-deploy on both, and empty its cache"
            )

    def _asked(
        self, doing: str, message: bytes, kind: str, most: int
    ) -> tuple[dict[str, Any], bytes]:
        """Send a message and take the answer, which must be of this kind."""
        header, payload = self._guarded(doing, self.job.timeout_s, self._exchange, message, most)
        if header["kind"] == kind:
            return header, payload
        if header["kind"] == "failed":
            raise TryFailedError(text_of(header, "message"))
        if header["kind"] == "refused":
            raise TryFailedError(f"refused: {text_of(header, 'message')}", final=True)
        raise TryFailedError(
            f"sent '{printable(header['kind'], 40)}' where '{kind}' was due", final=True
        )

    def _exchange(self, message: bytes, most: int) -> tuple[dict[str, Any], bytes]:
        self._send(message)
        answer = self._inlet.message(most)
        if answer is None:
            raise WireError("the connection was cut")
        return answer

    def _guarded(self, doing: str, limit: float, action: Any, *given: Any) -> Any:
        """Do something within a time limit; every way to fail becomes one TryFailedError."""
        self._until = time.monotonic() + limit
        self.busy = True
        try:
            found = action(*given)
            self.busy = False
            return found
        except _TimeUpError:
            reason = f"no answer within {limit:g} s ({doing})"
        except BrokenPipeError:
            reason = "the connection was cut"
        except WireError as problem:
            reason = str(problem)
        self.broken = True
        raise TryFailedError(reason + self._last_words())

    def _read(self, most: int) -> bytes:
        stream = self._process.stdout
        assert stream is not None
        ready, _, _ = select.select([stream], [], [], max(0.0, self._until - time.monotonic()))
        if not ready:
            raise _TimeUpError
        return os.read(stream.fileno(), most)

    def _send(self, data: bytes) -> None:
        stream = self._process.stdin
        assert stream is not None
        view = memoryview(data)
        while view:
            _, ready, _ = select.select([], [stream], [], max(0.0, self._until - time.monotonic()))
            if not ready:
                raise _TimeUpError
            view = view[os.write(stream.fileno(), view[:_PIPE]) :]

    def _last_words(self) -> str:
        """The last line that ssh or the worker wrote to standard error."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)  # what ends now says why
        self._heard.seek(0)
        lines = self._heard.read()[-2000:].decode(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        return f" ({printable(said[-1])})" if said else ""

    def close(self) -> None:
        """End the worker: by a word, then by the end of its input, then by force."""
        if self._heard.closed:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            if not self.broken:
                os.write(self._process.stdin.fileno(), pack_message("end"))
            self._process.stdin.close()
        self._end_session()
        self._process.stdout.close()
        self._heard.close()

    def kill(self) -> None:
        """Make every wait for an answer end now; `close` does the rest, by whoever waited."""
        self.broken = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGTERM)

    def _end_session(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        for sent in (signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + _GRACE_S
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, sent)  # the session is the worker's own
                while time.monotonic() < until:
                    self._process.poll()
                    os.killpg(self._process.pid, 0)
                    time.sleep(_POLL_S)
        self._process.wait()


def _unpacked(
    names: object, payload: bytes, sizes: Mapping[str, int], shape: tuple[int, ...]
) -> dict[str, BoolArray]:
    if not isinstance(names, list) or [name for name in sizes if name in names] != names:
        raise WireError("its result names other populations than the network has")
    found, at = {}, 0
    for name in names:
        whole = (*shape, sizes[name])
        found[name] = unpack_spikes(payload[at : at + packed_bytes(whole)], whole)
        at += packed_bytes(whole)
    if at != len(payload):
        raise WireError(f"its result is {len(payload)} bytes long, {at} were due")
    return found
