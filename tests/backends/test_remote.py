"""A host that hangs, lies, is slow or is down is named in time; what came back is kept."""

from __future__ import annotations

import errno
import importlib
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.remotes import ADAPTERS, deployed, environment, evidence, local, odd_host, shown
from tests.backends.test_lava import gone_within, pids_in
from tests.strategies import Case, cases, cramped, place
from toolchain import files
from toolchain.artifact import FOLDER_FILES, Artifact, write_artifact
from toolchain.backends import get_backend, quantized, remote, remote_crew, remote_worker
from toolchain.backends.remote import On, record
from toolchain.backends.remote_adapter import own_backend
from toolchain.backends.remote_hosts import HOSTS_VARIABLE, Host, Hosts
from toolchain.backends.remote_link import Job, Link, Ran, TryFailedError, make_job
from toolchain.backends.remote_recording import read_recording
from toolchain.backends.remote_wire import (
    Inlet,
    WireError,
    pack_message,
    pack_spikes,
    packed_bytes,
    printable,
    unpack_spikes,
    write_all,
)
from toolchain.backends.remote_worker import serve
from toolchain.errors import BackendError, FileError, InputError
from toolchain.hardware import find_profile
from toolchain.raster import Raster

BoolArray = np.typing.NDArray[np.bool_]
LIMIT_S = 3.0  # of what is meant to take too long


@pytest.fixture(autouse=True)
def tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote_worker, "_GRACE_S", 0.0)  # of workers within this process


# --- what passes over the wire


@given(
    shape=st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 9)),
    seed=st.integers(0, 99),
)
def test_spikes_survive_the_wire(shape: tuple[int, ...], seed: int) -> None:
    spikes = np.random.default_rng(seed).random(shape) < 0.5
    payload = pack_spikes(spikes)

    assert len(payload) == packed_bytes(shape)
    np.testing.assert_array_equal(unpack_spikes(payload, shape), spikes)


def inlet(data: bytes, step: int = 7) -> Inlet:
    """Messages of some bytes that arrive a few at a time."""
    waiting = [data[at : at + step] for at in range(0, len(data), step)]
    return Inlet(lambda most: waiting.pop(0) if waiting else b"")


@given(st.lists(st.binary(max_size=40), max_size=4), st.integers(1, 50))
def test_messages_arrive_as_they_were_sent_however_they_are_cut(
    payloads: list[bytes], step: int
) -> None:
    whole = b"".join(pack_message("chunk", payload, n=n) for n, payload in enumerate(payloads))
    stream = inlet(whole, step)

    found = [stream.message(40) for _ in payloads]

    assert [payload for _, payload in filter(None, found)] == payloads
    assert stream.message(40) is None


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"Segmentation fault\n", r"no message came, but: Segmentation fault"),
        (b"[1]\n", r"no message came, but: \[1\]"),
        (b'{"kind": "x", "bytes": -1}\n', r"a message of -1 bytes came, at most 9 were due"),
        (b'{"kind": "x", "bytes": 10}\n', r"a message of 10 bytes came, at most 9 were due"),
        (b'{"kind": "x", "bytes": true}\n', r"a message of True bytes came"),
        (b'{"kind": "x", "bytes": 2}\na', r"the connection ended after 1 of 2 bytes"),
        (b'{"kind": "x", "bytes": 1, "sha256": ""}\na', r"bytes were altered on the way"),
        (b'{"kind"', r'the connection ended within a message: \{"kind"'),
        (b"a" * 70_000, r"first line is longer than 65536 bytes"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, match: str) -> None:
    with pytest.raises(WireError, match=match):
        inlet(data, 1000).message(9)


def test_text_from_elsewhere_cannot_move_a_cursor() -> None:
    assert printable("a\x1b[2Jb\r\nc") == "a?[2Jb\nc"


# --- a worker, without a process


class Session:
    """A worker in a thread of this process, and the other end of its two pipes."""

    def __init__(self, cache: Path, backend: str = "quantized") -> None:
        given, self.send_to = os.pipe()
        self.read_from, taken = os.pipe()
        self.left: queue.Queue[bool] = queue.Queue()
        runner = own_backend(backend)
        arguments = (given, taken, runner, cache, lambda: self.left.put(True))
        self.thread = threading.Thread(target=serve, args=arguments)
        self.thread.start()
        self.handles = (given, taken, self.send_to, self.read_from)
        self.inlet = Inlet(lambda most: os.read(self.read_from, most))
        assert self.inlet.greeting()["backend"] == backend

    def ask(
        self, kind: str, payload: bytes = b"", **fields: object
    ) -> tuple[dict[str, Any], bytes]:
        write_all(self.send_to, pack_message(kind, payload, **fields))
        answer = self.inlet.message()
        assert answer is not None
        return answer

    def hand_over(self, job: Job) -> list[str]:
        """Give it an artifact; the files that it asked for."""
        asked, _ = self.ask(
            "artifact",
            fingerprint=job.artifact.fingerprint,
            files=dict(job.sha256),
            timeout_s=60,
        )
        lacked: list[str] = asked["names"]
        for name in lacked:
            payload = (job.folder / name).read_bytes()
            write_all(self.send_to, pack_message("file", payload, name=name))
        ready = self.inlet.message()
        assert ready is not None
        assert ready[0]["fingerprint"] == job.artifact.fingerprint, ready
        return lacked

    def end(self) -> None:
        write_all(self.send_to, pack_message("end"))
        os.close(self.send_to)
        self.thread.join(10)
        self.left.get(timeout=10)
        for handle in set(self.handles) - {self.send_to}:
            os.close(handle)


def job_of(artifact: Artifact, folder: Path) -> Job:
    write_artifact(artifact, folder)
    return make_job(artifact, folder, connect_s=60, timeout_s=60)


def test_an_artifact_is_sent_once_and_mended_where_it_was_altered(tmp_path: Path) -> None:
    job = job_of(deployed(), tmp_path / "art")
    cache = tmp_path / "cache"
    sent = []
    for accident in ("none", "none", "altered"):
        if accident == "altered":
            (cache / job.artifact.fingerprint / "profile.json").write_text("{}")
        session = Session(cache)
        sent.append(session.hand_over(job))
        session.end()

    assert sent == [list(FOLDER_FILES), [], list(FOLDER_FILES)]


def test_a_transfer_that_was_cut_goes_on_with_the_files_that_are_missing(tmp_path: Path) -> None:
    job = job_of(deployed(), tmp_path / "art")
    part = tmp_path / "cache" / f"{job.artifact.fingerprint}.part"
    part.mkdir(parents=True)
    (part / "profile.json").write_bytes((job.folder / "profile.json").read_bytes())
    (part / "artifact.json").write_text("cut short")
    session = Session(tmp_path / "cache")

    assert session.hand_over(job) == [name for name in FOLDER_FILES if name != "profile.json"]
    session.end()


@pytest.mark.parametrize(
    ("message", "match"),
    [
        ({"kind": "chunk"}, "a 'chunk' message came, artifact was due"),
        ({"fingerprint": "../../home"}, "fingerprint must be 64 hexadecimal digits"),
        ({"files": {"../manifest.json": ""}}, "an artifact's files must be artifact.json"),
        ({"fingerprint": "0" * 64}, "the artifact's fingerprint is [0-9a-f]{64}, not 0{64}"),
        ({"timeout_s": -1}, "has timeout_s = -1"),
    ],
)
def test_a_worker_refuses_what_would_leave_its_folder_or_is_not_what_it_says(
    message: dict[str, Any], match: str, tmp_path: Path
) -> None:
    job = job_of(deployed(), tmp_path / "art")
    asked = {
        "kind": "artifact",
        "fingerprint": job.artifact.fingerprint,
        "files": dict(job.sha256),
        "timeout_s": 60,
    } | message
    session = Session(tmp_path / "cache")
    answer, _ = session.ask(**asked)
    if answer["kind"] == "lacks":
        for name in answer["names"]:
            payload = (job.folder / name).read_bytes()
            write_all(session.send_to, pack_message("file", payload, name=name))
        answer, _ = session.inlet.message() or ({}, b"")

    assert answer["kind"] == "refused"
    with pytest.raises(BackendError, match=match):
        raise BackendError(answer["message"])
    session.end()
    assert {path.suffix for path in (tmp_path / "cache").glob("*")} <= {".lock"}


@settings(max_examples=8)
@given(case=cases(most_samples=3))
def test_what_comes_back_is_what_the_backend_there_gives(
    tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    folder = tmp_path_factory.mktemp("wire")
    artifact = place(case.network, cramped(find_profile("tiny")))
    session = Session(folder / "cache", "reference")
    session.hand_over(job_of(artifact, folder / "art"))
    spikes = case.stimulus.spikes["input"]

    header, payload = session.ask(
        "chunk",
        pack_spikes(spikes),
        index=0,
        samples=len(spikes),
        timesteps=spikes.shape[1],
    )
    session.end()

    expected = quantized.run(artifact, case.stimulus).raster.spikes
    assert header["populations"] == list(expected)
    assert payload == b"".join(pack_spikes(array) for array in expected.values())


# --- the desk that hands out chunks, without a process


class Tame:
    """A link to a host that is this process, with the accidents of a test."""

    accident: Callable[[str, int], None] = staticmethod(lambda host, index: None)
    lock = threading.Lock()
    opened: list[str] = []  # noqa: RUF012  # emptied by the fixture
    asked: list[int] = []  # noqa: RUF012

    def __init__(self, host: Host, job: Job) -> None:
        self.host, self.job = host, job
        self.broken = self.busy = False
        backend = "quantized" if "other" not in host.name else "reference"
        self.ran = Ran(
            host=host.name,
            hostname="here",
            backend=backend,
            adapter_sha256=None,
            versions={},
            fingerprint=job.artifact.fingerprint,
        )

    def open(self) -> None:
        Tame.opened.append(self.host.name)
        Tame.accident(self.host.name, -1)

    def run(self, index: int, spikes: BoolArray) -> dict[str, BoolArray]:
        with Tame.lock:
            Tame.asked.append(index)
        self.broken = True
        Tame.accident(self.host.name, index)
        self.broken = False
        return dict(
            quantized.run(self.job.artifact, Raster(spikes={"input": spikes})).raster.spikes
        )

    def kill(self) -> None:
        self.broken = True

    def close(self) -> None:
        pass


@pytest.fixture
def tame(monkeypatch: pytest.MonkeyPatch) -> type[Tame]:
    monkeypatch.setattr(remote, "Link", Tame)
    monkeypatch.setattr(remote, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(Tame, "accident", lambda host, index: None)
    Tame.opened.clear()
    Tame.asked.clear()
    return Tame


def named(*names: str, tries: int = 3, chunk_samples: int = 2) -> Hosts:
    return Hosts(
        hosts=tuple(Host(name=name, words=()) for name in names),
        chunk_samples=chunk_samples,
        timeout_s=60,
        connect_s=60,
        tries=tries,
    )


def failing(times: dict[tuple[str, int], int], *, final: bool = False) -> Callable[..., None]:
    """An accident that happens so many times for a host and a chunk; -1 is its opening."""
    left = dict(times)

    def accident(host: str, index: int) -> None:
        if left.get((host, index), 0) > 0:
            left[host, index] -= 1
            raise TryFailedError("fell silent", final=final)

    return accident


def test_a_chunk_is_tried_again_and_the_others_only_once(
    tame: type[Tame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tame, "accident", failing({("a", 1): 2, ("a", 3): 1, ("a", -1): 1}))
    starts: list[int] = []
    heard: list[str] = []

    summary = record(
        named("a"),
        deployed(),
        shown(9),
        tmp_path / "rec",
        seen=lambda start, raster: starts.append(start),
        tell=heard.append,
    )

    assert tame.asked == [0, 1, 1, 1, 2, 3, 3, 4]
    assert starts == [0, 2, 4, 6, 8]
    assert (summary.run, summary.samples, summary.failed) == (5, 9, 4)
    assert heard[1] == "host 'a', samples 2:4: fell silent; trying again"


def test_a_chunk_that_fails_too_often_ends_the_run_and_what_came_before_is_kept(
    tame: type[Tame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tame, "accident", failing({("a", 3): 3}))
    with pytest.raises(
        BackendError,
        match=r"host 'a', samples 6:8: fell silent; tried 3 times. 3 of 5 chunks are kept",
    ) as caught:
        record(named("a"), deployed(), shown(9), tmp_path / "rec")
    assert caught.value.exit_code == 4
    with pytest.raises(FileError, match=r"is unfinished, 3 of 5 chunks are kept"):
        read_recording(tmp_path / "rec")

    tame.asked.clear()
    seen: list[int] = []
    record(
        named("a"),
        deployed(),
        shown(9),
        tmp_path / "rec",
        seen=lambda start, raster: seen.append(start),
    )
    record(named("a"), deployed(), shown(9), tmp_path / "whole")

    assert tame.asked == [3, 4, 0, 1, 2, 3, 4]
    assert seen == [0, 2, 4, 6, 8]
    assert evidence(tmp_path / "rec") == evidence(tmp_path / "whole")


def test_a_host_that_is_not_ready_is_given_up_at_once(
    tame: type[Tame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tame, "accident", failing({("a", -1): 9}, final=True))

    with pytest.raises(
        BackendError, match=r"no host is left: 'a' fell silent. 0 of 5 chunks are kept"
    ):
        record(named("a"), deployed(), shown(9), tmp_path / "rec")

    assert tame.opened == ["a"]


def test_hosts_side_by_side_give_the_same_bytes_and_one_that_is_lost_is_named(
    tame: type[Tame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record(named("a"), deployed(), shown(24), tmp_path / "one")
    monkeypatch.setattr(tame, "accident", failing({("c", -1): 9}, final=True))
    heard: list[str] = []
    listens: set[str] = set()

    def look(start: int, raster: Raster) -> None:
        sockets = importlib.import_module("psutil").Process().net_connections("inet")
        listens.update(socket.laddr.ip for socket in sockets)

    summary = record(
        named("a", "b", "c"),
        deployed(),
        shown(24),
        tmp_path / "three",
        seen=look,
        tell=heard.append,
    )

    assert listens <= {"127.0.0.1"}

    assert evidence(tmp_path / "one") == evidence(tmp_path / "three")
    assert {chunk.ran.host for chunk in summary.chunks} == {"a", "b"}
    assert summary.lost == {"c": "fell silent"}
    assert heard == ["host 'c' is given up: fell silent"]


def test_several_hosts_need_dask_and_one_does_not(
    tame: type[Tame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(remote_crew.importlib.util, "find_spec", lambda name: None)

    record(named("a"), deployed(), shown(2), tmp_path / "one")
    with pytest.raises(
        BackendError, match=r"2 hosts side by side need dask: .*'snn-deploy\[fleet\]'; or name one"
    ):
        record(named("a", "b"), deployed(), shown(2), tmp_path / "two")


def test_a_recording_is_of_one_backend(tame: type[Tame], tmp_path: Path) -> None:
    assert tame.opened == []
    with pytest.raises(
        BackendError, match=r"host '(a|other)' runs '\w+' and shows a, b; the chunks before were"
    ):
        record(named("a", "other"), deployed(), shown(8), tmp_path / "rec")


def test_a_full_disk_is_one_error_and_loses_nothing(
    tame: type[Tame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert tame.opened == []
    real = os.replace

    def replace(source: str, target: Path) -> None:
        if Path(target).name == "00002.npz":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    with monkeypatch.context() as full:
        full.setattr(files.os, "replace", replace)
        with pytest.raises(
            FileError, match=r"rec: the disk is full; 2 of 5 chunks are kept. Make room and run"
        ):
            record(named("a"), deployed(), shown(9), tmp_path / "rec")
    record(named("a"), deployed(), shown(9), tmp_path / "rec")

    assert tame.asked == [0, 1, 2, 2, 3, 4]
    assert read_recording(tmp_path / "rec").plan.chunks == 5


def test_an_empty_stimulus_is_refused_before_anything_is_written(
    tame: type[Tame], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"the stimulus is empty"):
        record(named("a"), deployed(), shown(0), tmp_path / "rec")

    assert tame.opened == []
    assert not (tmp_path / "rec").exists()


def test_two_cannot_write_one_recording(tame: type[Tame], tmp_path: Path) -> None:
    assert tame.opened == []

    def again(start: int, raster: Raster) -> None:
        record(named("a"), deployed(), shown(4), tmp_path / "rec")

    with pytest.raises(InputError, match=r"rec: is being written by another process; wait"):
        record(named("a"), deployed(), shown(4), tmp_path / "rec", seen=again)


def test_a_recording_of_something_else_is_left_alone(tame: type[Tame], tmp_path: Path) -> None:
    assert tame.opened == []
    record(named("a"), deployed(), shown(4), tmp_path / "rec")
    before = evidence(tmp_path / "rec")

    with pytest.raises(FileError, match=r"something else \(stimulus_sha256, samples differ\)"):
        record(named("a"), deployed(), shown(5), tmp_path / "rec")
    with pytest.raises(FileError, match=r"something else \(chunk_samples differ\)"):
        record(named("a", chunk_samples=3), deployed(), shown(4), tmp_path / "rec")
    with pytest.raises(FileError, match=r"is there already and is no recording"):
        record(named("a"), deployed(), shown(4), tmp_path)

    assert evidence(tmp_path / "rec") == before


@pytest.mark.parametrize(
    ("file", "match"),
    [
        ("chunks/00001.npz", r"00001.npz: was altered after it was recorded"),
        ("stimulus.npz", r"stimulus.npz: is not the stimulus that was recorded"),
        ("artifact/profile.json", r"profile.json: was altered"),
    ],
)
def test_a_recording_with_an_altered_byte_is_refused(
    file: str, match: str, tame: type[Tame], tmp_path: Path
) -> None:
    assert tame.opened == []
    record(named("a"), deployed(), shown(4), tmp_path / "rec")
    path = tmp_path / "rec" / file
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(FileError, match=match):
        read_recording(tmp_path / "rec")


def test_an_altered_chunk_is_run_again(tame: type[Tame], tmp_path: Path) -> None:
    record(named("a"), deployed(), shown(6), tmp_path / "rec")
    before = evidence(tmp_path / "rec")
    (tmp_path / "rec" / "chunks" / "00001.npz").write_bytes(b"")
    tame.asked.clear()

    record(named("a"), deployed(), shown(6), tmp_path / "rec")

    assert tame.asked == [1]
    assert evidence(tmp_path / "rec") == before


def test_the_backend_gives_what_the_cores_give_and_refuses_states(
    tame: type[Tame], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tame.opened == []
    stimulus = shown(5)

    found = On(hosts=named("a", "b")).run(deployed(), stimulus).raster

    for name, spikes in quantized.run(deployed(), stimulus).raster.spikes.items():
        np.testing.assert_array_equal(found.spikes[name], spikes)
    assert found.labels is stimulus.labels
    monkeypatch.setattr(tame, "accident", failing({("a", 1): 3}))
    with pytest.raises(BackendError, match=r"tried 3 times. Nothing was kept; 'snn-deploy hil'"):
        On(hosts=named("a")).run(deployed(), stimulus)
    with pytest.raises(InputError, match=r"remote records spikes only; trace u and v on"):
        On(hosts=named("a")).run(deployed(), stimulus, states=True)


def test_without_hosts_the_backend_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HOSTS_VARIABLE, raising=False)

    with pytest.raises(
        BackendError, match=r"'remote' is unavailable: no host is named; give --hosts hosts.toml"
    ):
        get_backend("remote")


# --- hosts that are not as they should be, each a process


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("mute", r"no worker answered: Welcome to this host! \(python3: command not found\)"),
        ("lying", r"host 'here' ran another artifact: its fingerprint is 0{64}, [0-9a-f]{64} was"),
    ],
)
def test_a_worker_that_does_not_keep_to_the_protocol_is_named(
    how: str, match: str, tmp_path: Path
) -> None:
    hosts = local(tmp_path, command=odd_host(how), backend="simulator")

    with pytest.raises(BackendError, match=match) as caught:
        record(hosts, deployed(), shown(2), tmp_path / "rec")

    assert caught.value.exit_code == 4
    assert list((tmp_path / "rec").glob("chunks/*")) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("newer", r"host 'here' speaks protocol 2, this snn-deploy speaks 1"),
        ("flooding", r"a message of 10000000 bytes came, at most 10 were due"),
        ("elsewhere", r"host 'here' answered another chunk than it was asked; nothing"),
        ("cutting", r"the connection ended after 0 of 1 bytes"),
        ("painted", r"its greeting is no worker's"),
        ("grasping", r"asked for files that no artifact has"),
        ("disorderly", r"names other populations than the network has"),
        ("altering", r"bytes were altered on the way"),
        ("fair", r"1 bytes are no spikes of shape"),
    ],
)
def test_a_worker_that_says_what_it_should_not_is_named(
    how: str, match: str, tmp_path: Path
) -> None:
    test_a_worker_that_does_not_keep_to_the_protocol_is_named(how, match, tmp_path)


def test_a_host_that_is_down_is_named(tmp_path: Path) -> None:
    hosts = local(tmp_path, command=("/nowhere/python3",), backend="simulator")

    with pytest.raises(
        BackendError, match=r"'here' '/nowhere/python3' cannot be started \(No such file"
    ):
        record(hosts, deployed(), shown(2), tmp_path / "rec")


def odd_board(how: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Hosts:
    monkeypatch.setenv("SNN_DEPLOY_TEST_ODD", how)
    monkeypatch.setenv("SNN_DEPLOY_TEST_PIDS", str(folder / "pids"))
    return local(folder, adapter=str(ADAPTERS / "odd_board.py"), **given)


@pytest.mark.parametrize("how", ["hanging", pytest.param("slow", marks=pytest.mark.slow)])
def test_a_board_that_takes_too_long_is_named_in_time_and_ended_with_what_it_started(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = odd_board(how, tmp_path, monkeypatch, timeout_s=LIMIT_S)
    began = time.monotonic()

    with pytest.raises(
        BackendError, match=r"host 'here', samples 0:2: no answer within 3 s \(running\)"
    ):
        record(hosts, deployed(), shown(4), tmp_path / "rec")

    assert time.monotonic() - began < LIMIT_S + 30  # Python's start on the host among it
    if how == "hanging":
        assert gone_within(5, pids_in(tmp_path / "pids", within=0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("unplugged", r"'here' is not ready: its cable is not plugged in"),
        ("raising", r"samples 0:2: odd_board.py:36: OSError: the bus is busy; tried 1 times"),
        ("nonsense", r"odd_board.py: run\(\) must return a Raster, not int"),
        (
            "wide",
            r"returned bool of shape \(1, 1, 1\) for 'b', needed is bool of shape \(2, 20, 1\)",
        ),
    ],
)
def test_a_board_that_fails_says_why(
    how: str, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackendError, match=match):
        record(odd_board(how, tmp_path, monkeypatch), deployed(), shown(2), tmp_path / "rec")


@pytest.mark.slow
def test_a_driver_that_lets_no_other_thread_run_is_ended_on_its_own_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host,) = odd_board("locking", tmp_path, monkeypatch).hosts
    write_artifact(deployed(), tmp_path / "art")
    link = Link(host, make_job(deployed(), tmp_path / "art", connect_s=60, timeout_s=LIMIT_S))
    try:
        link.open()
        with pytest.raises(TryFailedError, match=r"no answer within 3 s"):
            link.run(0, shown(2).spikes["input"])
        link._process.wait(LIMIT_S + 10)  # nobody ended it from here
    finally:
        link.close()


@pytest.mark.slow
def test_a_board_may_show_the_output_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = record(
        odd_board("shy", tmp_path, monkeypatch), deployed(), shown(3), tmp_path / "rec"
    )

    assert [chunk.populations for chunk in summary.chunks] == [("b",), ("b",)]


def test_an_interrupt_ends_the_worker_and_keeps_what_came_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = odd_board("hanging", tmp_path, monkeypatch)

    def interrupt(*given: object, **more: object) -> None:
        pids_in(tmp_path / "pids", within=30)
        raise KeyboardInterrupt

    monkeypatch.setattr(remote, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        record(hosts, deployed(), shown(4), tmp_path / "rec")

    assert gone_within(5, pids_in(tmp_path / "pids", within=0))
