"""hosts.toml and the options that stand for it: what they mean, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from toolchain.backends.remote_hosts import Hosts, name_hosts, read_hosts
from toolchain.errors import ConfigError, InputError

BOARD = '[host.lab]\nssh = "me@lab"\nadapter = "~/my board.py"\n'


def read(folder: Path, text: str) -> Hosts:
    (folder / "hosts.toml").write_text(text)
    return read_hosts(folder / "hosts.toml")


def test_a_host_is_the_words_that_start_its_worker(tmp_path: Path) -> None:
    text = "timeout_s = 5.0\nconnect_s = 7\n" + BOARD
    text += 'python = "~/env/bin/python"\nport = 2222\nssh_options = ["ConnectTimeout=1"]\n'

    hosts = read(tmp_path, text)

    (host,) = hosts.hosts
    words = list(host.words)
    assert (hosts.timeout_s, hosts.connect_s, hosts.tries, hosts.chunk_samples) == (5.0, 7.0, 3, 32)
    assert words[:4] == ["ssh", "-T", "-o", "ConnectTimeout=1"]
    assert words[words.index("-p") + 1] == "2222"
    assert words[-3:-1] == ["--", "me@lab"]
    assert words[-1] == "~/env/bin/python -m toolchain worker --adapter ~/'my board.py'"


def test_a_local_host_runs_this_python(tmp_path: Path) -> None:
    (host,) = read(tmp_path, '[host.here]\nlocal = true\nbackend = "simulator"\n').hosts

    assert host.words == (sys.executable, "-m", "toolchain", "worker", "--backend", "simulator")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"hosts.toml: key 'host' is missing"),
        ("chunk_sample = 3\n" + BOARD, r"unknown key 'chunk_sample'; did you mean 'chunk_samples'"),
        (BOARD + "adaptor = 1\n", r"\[host.lab\] unknown key 'adaptor'; did you mean 'adapter'"),
        ("tries = 0\n" + BOARD, r"tries = 0: input should be greater than or equal to 1"),
        ("[host.a]\nadapter = 'x.py'\n", r"needs ssh = 'user@host', or local = true, and not both"),
        ("[host.a]\nssh = 'b'\n", r"needs adapter = 'FILE.py', or backend = 'NAME', and not both"),
        (BOARD + "backend = 'lava'\n", r"needs adapter = 'FILE.py', or backend = 'NAME', and not"),
        (
            "[host.a]\nssh = '-oProxyCommand=reboot'\nadapter = 'x'\n",
            r"'-oProxyCommand=reboot' is no destination such as user@host",
        ),
        (
            "[host.a]\nlocal = true\nport = 1\nadapter = 'x'\n",
            r"port, ssh_config and ssh_options mean nothing where local = true",
        ),
        ("[host.'a b']\nlocal = true\nadapter = 'x'\n", r"'a b' is no name of a host"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=match):
        read(tmp_path, text)


def test_hosts_named_by_options() -> None:
    given = {"tries": 5, "timeout_s": None, "python": None}

    hosts = name_hosts(
        ["local:", "local:", "me@lab:2222", "me@lab"], adapter="b.py", backend=None, given=given
    )

    names = [host.name for host in hosts.hosts]
    assert names == ["local-1", "local-2", "me@lab:2222", "me@lab"]
    assert hosts.tries == 5
    words = hosts.hosts[2].words
    assert words[words.index("-p") + 1] == "2222"
    assert words[-2:] == ("me@lab", "python3 -m toolchain worker --adapter b.py")


def test_what_runs_on_the_hosts_must_be_said() -> None:
    with pytest.raises(InputError, match=r"say what runs .*: --adapter FILE.py .* --on simulator"):
        name_hosts(["local:"], adapter=None, backend=None, given={})
