"""A recording: what a board answered, chunk by chunk, and all that is needed to judge it again.

REC/request.json      which artifact, which stimulus, in which chunks
REC/artifact/         the artifact;  REC/stimulus.npz  the stimulus with its labels
REC/chunks/00000.npz  the spikes of the first chunk, and 00000.json, written after it: who ran it
REC/recording.json    written last: the SHA-256 of every chunk; the same bytes whoever ran it
REC/ran.json          which host, backend and versions ran which chunks

Spikes lie there as bits, eight neurons in a byte (np.packbits along the last axis): deflating a
byte for each spike took most of a recording's time.

A chunk whose .json lies there is kept: it is never sent again. An interrupted recording goes on
where it stopped, and ends in the same `recording.json` and chunks as one that was not.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from toolchain.artifact import Artifact, read_artifact, write_artifact
from toolchain.backends.remote_link import Ran
from toolchain.errors import BackendError, FileError, InputError
from toolchain.files import Array, read_bytes, read_json, read_npz, sha256, write_json, write_npz
from toolchain.network import QuantizedNetwork
from toolchain.raster import Raster

BoolArray = NDArray[np.bool_]
REQUEST, CHUNK, RECORDING, RAN = (
    f"snn-deploy.{name}" for name in ("recording-request", "chunk", "recording", "ran")
)
_VERSION = 1
_LABELS = "labels"  # no population is called so (network.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is recorded: samples of one stimulus on one artifact, so many in each chunk."""

    fingerprint: str  # of the artifact
    stimulus_sha256: str  # of the stimulus's file
    samples: int
    timesteps: int
    chunk_samples: int

    @property
    def chunks(self) -> int:
        """Number of chunks; the last one may be shorter."""
        return -(-self.samples // self.chunk_samples)

    def bounds(self, index: int) -> tuple[int, int]:
        """First sample of a chunk, and the one after its last."""
        start = index * self.chunk_samples
        return start, min(start + self.chunk_samples, self.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A chunk that is kept."""

    index: int
    populations: tuple[str, ...]  # that the board shows, in the network's order
    sha256: str  # of its .npz
    ran: Ran


class Recorder:
    """A recording that is being written; `keep` may be called by several threads."""

    def __init__(self, folder: Path, plan: Plan, network: QuantizedNetwork) -> None:
        self.folder = folder
        self.plan = plan
        self.sizes = _sizes(network)
        self.kept = {chunk.index: chunk for chunk in kept_chunks(folder, plan)}
        self._lock = threading.Lock()
        self._first = next(((c.ran.backend, c.populations) for c in self.kept.values()), None)

    def keep(self, index: int, spikes: Mapping[str, BoolArray], ran: Ran) -> None:
        """Write a chunk's spikes, and then that they are there.

        Raises FileError where the disk is full, BackendError where another backend, or one that
        shows other populations, ran the chunks before.
        """
        self._agree(tuple(spikes), ran)
        file = _npz(self.folder, index)
        with self._room():
            write_bits(file, Raster(spikes=spikes))
            digest = sha256(read_bytes(file))
            write_json(
                file.with_suffix(".json"),
                {
                    "schema": CHUNK,
                    "schema_version": _VERSION,
                    "index": index,
                    "populations": list(spikes),
                    "sha256": digest,
                    "ran": ran.model_dump(),
                },
            )
        names = tuple(spikes)
        self.kept[index] = Chunk(index=index, populations=names, sha256=digest, ran=ran)

    def _agree(self, populations: tuple[str, ...], ran: Ran) -> None:
        """Refuse a chunk that another backend ran than those before, or that shows others."""
        mine = (ran.backend, populations)
        with self._lock:
            first = self._first = self._first or mine
        if first != mine:
            raise BackendError(
                f"host '{ran.host}' runs '{mine[0]}' and shows {', '.join(mine[1])}; the chunks"
                f" before were run by '{first[0]}' and show {', '.join(first[1])}. A recording is"
                " of one backend: choose another --out, or the same adapter on all hosts"
            )

    def spikes(self, index: int) -> Raster:
        """The spikes of a kept chunk."""
        return read_bits(_npz(self.folder, index), self.sizes)

    def finish(self) -> None:
        """Write who ran what, and last of all that the recording is whole."""
        assert len(self.kept) == self.plan.chunks
        chunks = [self.kept[index] for index in range(self.plan.chunks)]
        with self._room():
            write_json(self.folder / "ran.json", _ran(chunks))
            write_json(self.folder / "recording.json", _summary(self.plan, chunks))

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except FileError as problem:
            if getattr(problem.__cause__, "errno", None) not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise FileError(
                f"{self.folder}: the disk is full; {len(self.kept)} of {self.plan.chunks} chunks"
                " are kept. Make room and run the same command again: it goes on from there"
            ) from problem


@contextlib.contextmanager
def begin(
    folder: Path, artifact: Artifact, stimulus: Raster, chunk_samples: int
) -> Iterator[Recorder]:
    """Begin a recording, or go on with the one that is there; nobody else may meanwhile.

    Raises FileError where the folder holds something else, or a recording of something else.
    """
    if folder.is_file() or (folder.is_dir() and _holds_something_else(folder)):
        raise FileError(f"{folder}: is there already and is no recording; choose another --out")
    with _locked(folder):
        plan = _plan(folder, artifact, stimulus, chunk_samples)
        yield Recorder(folder, plan, artifact.network)


def _holds_something_else(folder: Path) -> bool:
    held = {path.name for path in folder.iterdir()} - {
        ".lock",
        "artifact",
        "stimulus.npz",
        ".stimulus.npz",
    }
    return bool(held) and "request.json" not in held


def _plan(folder: Path, artifact: Artifact, stimulus: Raster, chunk_samples: int) -> Plan:
    """The plan of a recording, which the one that is there must equal."""
    request, origin = folder / "request.json", artifact.network.input.name
    shown = Raster(spikes={origin: stimulus.spikes[origin]}, labels=stimulus.labels)
    write_bits(folder / ".stimulus.npz", shown)
    plan = Plan(
        fingerprint=artifact.fingerprint,
        stimulus_sha256=sha256(read_bytes(folder / ".stimulus.npz")),
        samples=stimulus.samples,
        timesteps=stimulus.timesteps,
        chunk_samples=chunk_samples,
    )
    if request.exists():
        (folder / ".stimulus.npz").unlink()
        held = read_plan(folder)
        differs = [key for key, value in asdict(plan).items() if value != getattr(held, key)]
        if differs:
            raise FileError(
                f"{folder}: holds a recording of something else ({', '.join(differs)} differ);"
                " choose another --out, or give what it was begun with"
            )
        return plan
    write_artifact(artifact, folder / "artifact")
    (folder / ".stimulus.npz").replace(folder / "stimulus.npz")
    write_json(request, {"schema": REQUEST, "schema_version": _VERSION} | asdict(plan))
    return plan


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as problem:
        raise FileError(f"{folder}: cannot be written ({problem.strerror})") from problem
    with os.fdopen(handle):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise InputError(
                f"{folder}: is being written by another process; wait for its end, or choose"
                " another --out"
            ) from problem
        yield


def read_plan(folder: Path) -> Plan:
    """The plan of a recording; raises FileError where the folder holds none."""
    if not (folder / "request.json").is_file():
        raise FileError(
            f"{folder}: is no recording (it has no request.json); make one with 'snn-deploy hil'"
        )
    values = read_json(folder / "request.json", schema=REQUEST)
    try:
        plan = Plan(**{key: values[key] for key in Plan.__dataclass_fields__})
        whole = min(plan.samples, plan.timesteps, plan.chunk_samples) >= 1
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise FileError(f"{folder}/request.json: lacks a number; it was altered")
    return plan


def kept_chunks(folder: Path, plan: Plan) -> Iterator[Chunk]:
    """Every chunk that is kept whole; one that was altered is as if it were not there."""
    for index in range(plan.chunks):
        file = _npz(folder, index).with_suffix(".json")
        if file.is_file():
            chunk = _read_chunk(file, plan)
            if _digest(file.with_suffix(".npz")) == chunk.sha256:
                yield chunk


def _read_chunk(file: Path, plan: Plan) -> Chunk:
    values = read_json(file, schema=CHUNK)
    try:
        ran = Ran.model_validate(values["ran"])
        chunk = Chunk(
            index=int(file.stem),
            populations=tuple(values["populations"]),
            sha256=values["sha256"],
            ran=ran,
        )
    except (KeyError, TypeError, ValidationError) as problem:
        raise FileError(f"{file}: does not say who ran it; delete it, it is run again") from problem
    if ran.fingerprint != plan.fingerprint:
        raise FileError(f"{file}: is of another artifact; delete it, it is run again")
    return chunk


def _digest(file: Path) -> str | None:
    return sha256(read_bytes(file)) if file.is_file() else None


def _npz(folder: Path, index: int) -> Path:
    return folder / "chunks" / f"{index:05d}.npz"


def write_bits(file: Path, raster: Raster) -> None:
    """Write spikes as bits, and labels where they are known; the same raster, the same bytes."""
    bits: dict[str, Array] = {
        name: np.packbits(spikes, axis=2) for name, spikes in raster.spikes.items()
    }
    write_npz(file, bits | ({} if raster.labels is None else {_LABELS: raster.labels}))


def read_bits(file: Path, sizes: Mapping[str, int]) -> Raster:
    """Read what `write_bits` wrote; `sizes`: name -> neurons.

    Raises FileError where it is something else.
    """
    arrays = read_npz(file)
    labels = arrays.pop(_LABELS, None)
    for name, bits in arrays.items():
        width = -(-sizes.get(name, -1) // 8)
        if bits.dtype != np.uint8 or bits.ndim != 3 or bits.shape[2] != width:
            raise FileError(f"{file}: '{name}' holds no spikes of this artifact, as bits")
    spikes = {
        name: np.unpackbits(bits, axis=2, count=sizes[name]).astype(np.bool_)
        for name, bits in arrays.items()
    }
    return Raster(spikes=spikes, labels=labels)


def _sizes(network: QuantizedNetwork) -> dict[str, int]:
    """Neurons of the input and of every population."""
    populations = {population.name: population.size for population in network.populations}
    return {network.input.name: network.input.size} | populations


def _summary(plan: Plan, chunks: list[Chunk]) -> dict[str, Any]:
    return {
        "schema": RECORDING,
        "schema_version": _VERSION,
        "backend": chunks[0].ran.backend,
        "populations": list(chunks[0].populations),
        **asdict(plan),
        "chunks": [
            {
                "file": f"chunks/{chunk.index:05d}.npz",
                "samples": list(plan.bounds(chunk.index)),
                "sha256": chunk.sha256,
            }
            for chunk in chunks
        ],
    }


def _ran(chunks: list[Chunk]) -> dict[str, Any]:
    return {"schema": RAN, "schema_version": _VERSION, "ran": who_ran(chunks)}


def who_ran(chunks: list[Chunk]) -> list[dict[str, Any]]:
    """Each host with what it said of itself, and the chunks that it ran."""
    found: list[dict[str, Any]] = []
    for chunk in chunks:
        said = chunk.ran.model_dump()
        row = next((row for row in found if said.items() <= row.items()), None)
        if row is None:
            found.append(row := said | {"chunks": []})
        row["chunks"].append(chunk.index)
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recorded:
    """A whole recording, checked: every byte is the one that was recorded."""

    folder: Path
    plan: Plan
    artifact: Artifact
    stimulus: Raster
    chunks: tuple[Chunk, ...]

    @property
    def backend(self) -> str:
        """What ran."""
        return self.chunks[0].ran.backend

    def parts(self) -> Iterator[tuple[int, Raster]]:
        """(first sample, spikes) of each chunk, in order."""
        for chunk in self.chunks:
            spikes = read_bits(_npz(self.folder, chunk.index), _sizes(self.artifact.network))
            yield self.plan.bounds(chunk.index)[0], spikes


def read_recording(folder: Path) -> Recorded:
    """Read a recording and check all that it holds.

    Raises FileError where it is none, is unfinished, or a byte of it has changed.
    """
    plan = read_plan(folder)
    if not (folder / "recording.json").is_file():
        kept = len(list((folder / "chunks").glob("*.json")))
        raise FileError(
            f"{folder}: is unfinished, {kept} of {plan.chunks} chunks are kept; finish it with the"
            " 'snn-deploy hil' that began it"
        )
    summary = read_json(folder / "recording.json", schema=RECORDING)
    chunks = tuple(
        _read_chunk(_npz(folder, index).with_suffix(".json"), plan) for index in range(plan.chunks)
    )
    if summary != _summary(plan, list(chunks)):
        raise FileError(f"{folder}/recording.json: is not what its chunks say; it was altered")
    for chunk in chunks:
        if _digest(_npz(folder, chunk.index)) != chunk.sha256:
            raise FileError(f"{_npz(folder, chunk.index)}: was altered after it was recorded")
    artifact = read_artifact(folder / "artifact")
    if artifact.fingerprint != plan.fingerprint:
        raise FileError(f"{folder}/artifact: is not the artifact that was recorded")
    if _digest(folder / "stimulus.npz") != plan.stimulus_sha256:
        raise FileError(f"{folder}/stimulus.npz: is not the stimulus that was recorded")
    return Recorded(
        folder=folder,
        plan=plan,
        artifact=artifact,
        stimulus=read_bits(folder / "stimulus.npz", _sizes(artifact.network)),
        chunks=chunks,
    )
