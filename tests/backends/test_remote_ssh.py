"""Through a real ssh server: cut, killed or side by side, the recording has the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.backends.remotes import ADAPTERS, deployed, environment, evidence, shown
from tests.backends.test_lava import gone_within
from toolchain.backends import quantized
from toolchain.backends.remote import record
from toolchain.backends.remote_hosts import Hosts, name_hosts, read_hosts
from toolchain.backends.remote_recording import read_recording
from toolchain.errors import BackendError

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh client here")
START_S = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    """The folder of a server of its own: `config` for ssh, and `log` of its board."""
    folder = tmp_path / "server"
    folder.mkdir()
    script = Path(__file__).with_name("ssh_server.py")
    process = subprocess.Popen([sys.executable, str(script), str(folder)], env=environment(folder))
    try:
        until = time.monotonic() + START_S
        while not (folder / "config").exists():
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < until, "the server never listened"
            time.sleep(0.05)
        yield folder
    finally:
        process.kill()
        process.wait()


def hosts(folder: Path, boards: int, *, chunk_samples: int) -> Hosts:
    """So many workers behind the server, as a hosts.toml names them."""
    lines = [f"chunk_samples = {chunk_samples}", "timeout_s = 60", "connect_s = 60", "tries = 4"]
    for number in range(boards):
        lines += [
            f"[host.board{number}]",
            'ssh = "board"',
            f"ssh_config = {json.dumps(str(folder / 'config'))}",
            f"python = {json.dumps(sys.executable)}",
            f"adapter = {json.dumps(str(ADAPTERS / 'logging_board.py'))}",
            f"cache = {json.dumps(str(folder / 'cache'))}",
        ]
    (folder / "hosts.toml").write_text("\n".join(lines))
    return read_hosts(folder / "hosts.toml")


def plan(folder: Path, **accidents: list[int]) -> None:
    """Which runs of the board, from 1, meet with what; nothing is remembered from before."""
    (folder / "plan.json").write_text(json.dumps(accidents))
    (folder / "log").unlink(missing_ok=True)


def log(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "log").read_text().splitlines()]


def check_log(folder: Path, chunks: int, accidents: int) -> None:
    """Every chunk was done once, only those that met with an accident were begun twice."""
    lines = log(folder)
    begun = Counter(chunk for word, chunk, _ in lines if word == "start")
    done = Counter(chunk for word, chunk, _ in lines if word == "done")
    assert list(done.values()) == [1] * chunks
    assert sum(begun.values()) == chunks + accidents
    assert sum(1 for times in begun.values() if times > 1) == accidents
    assert gone_within(10, [int(pid) for *_, pid in lines])


def test_a_connection_that_is_cut_and_a_worker_that_is_killed_change_no_byte(
    server: Path, tmp_path: Path
) -> None:
    artifact, stimulus = deployed(), shown(10)
    plan(server, cut=[2], kill=[4])
    heard: list[str] = []

    where = hosts(server, 1, chunk_samples=2)
    summary = record(where, artifact, stimulus, tmp_path / "rec", tell=heard.append)

    check_log(server, chunks=5, accidents=2)
    assert (summary.run, summary.failed, summary.lost) == (5, 2, {})
    assert len(heard) == 2
    expected = quantized.run(artifact, stimulus).raster
    held = read_recording(tmp_path / "rec")
    for start, part in held.parts():
        for name, spikes in part.spikes.items():
            np.testing.assert_array_equal(spikes, expected.spikes[name][start : start + 2])
    assert held.chunks[0].ran.backend == "adapter logging_board.py"
    assert held.chunks[0].ran.hostname == os.uname().nodename


def test_a_host_that_is_down_is_named_with_ssh_s_own_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    hosts = name_hosts(
        [f"nobody@127.0.0.1:{port}"], adapter="board.py", backend=None, given={"tries": 1}
    )

    with pytest.raises(BackendError, match=r"no worker answered \(ssh: .*Connection refused\)"):
        record(hosts, deployed(), shown(2), tmp_path / "rec")


@pytest.mark.slow
def test_a_host_with_another_key_is_refused(server: Path, tmp_path: Path) -> None:
    known = (server / "known_hosts").read_text().split()
    other = (server / "id.pub").read_text().split()[1]
    (server / "known_hosts").write_text(" ".join([*known[:2], other]) + "\n")
    where = replace(hosts(server, 1, chunk_samples=2), tries=1)

    with pytest.raises(BackendError, match=r"no worker answered \(Host key verification failed"):
        record(where, deployed(), shown(2), tmp_path / "rec")


@pytest.mark.slow
def test_a_thousand_samples_cut_twice_killed_once_or_by_four_give_the_same_bytes(
    server: Path, tmp_path: Path
) -> None:
    artifact, stimulus = deployed(), shown(1000)
    plan(server)
    record(hosts(server, 1, chunk_samples=25), artifact, stimulus, tmp_path / "calm")
    check_log(server, chunks=40, accidents=0)

    plan(server, cut=[7, 19], kill=[31])
    record(hosts(server, 1, chunk_samples=25), artifact, stimulus, tmp_path / "rough")
    check_log(server, chunks=40, accidents=3)

    for boards in (2, 4):
        plan(server)
        folder = tmp_path / f"by-{boards}"
        summary = record(hosts(server, boards, chunk_samples=25), artifact, stimulus, folder)
        check_log(server, chunks=40, accidents=0)
        assert len({chunk.ran.host for chunk in summary.chunks}) == boards

    calm = evidence(tmp_path / "calm")
    assert all(evidence(tmp_path / name) == calm for name in ("rough", "by-2", "by-4"))
    expected = quantized.run(artifact, stimulus).raster
    for start, part in read_recording(tmp_path / "rough").parts():
        for name, spikes in part.spikes.items():
            stop = start + len(spikes)
            np.testing.assert_array_equal(spikes, expected.spikes[name][start:stop])
