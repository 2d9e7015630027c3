"""Downloads: whole and right, or refused in one sentence. Nothing here leaves this machine."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.train.data.test_idx import idx
from toolchain.errors import ConfigError, InputError
from toolchain.train.config import TrainConfig
from toolchain.train.config_data import DataConfig
from toolchain.train.data import cifar10, load
from toolchain.train.data import idx as idx_module
from toolchain.train.data.download import fetch

pytest.importorskip("pooch", reason="needs pooch, which comes with snn-deploy[train]")
CLOSED = "http://127.0.0.1:9/"  # the discard port: nobody answers


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path):
    """A folder and the address under which this machine serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_file_arrives_whole(served, tmp_path):
    folder, address = served
    (folder / "a.bin").write_bytes(b"content")
    known = hashlib.sha256(b"content").hexdigest()
    fetch(f"{address}a.bin", f"sha256:{known}", tmp_path / "new" / "a.bin")
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"content"


def test_another_file_than_is_known_is_refused_and_not_kept(served, tmp_path):
    folder, address = served
    (folder / "a.bin").write_bytes(b"altered")
    with pytest.raises(InputError, match=r"a\.bin: what came is not the file that is known"):
        fetch(f"{address}a.bin", "md5:" + "0" * 32, tmp_path / "new" / "a.bin")
    assert not list((tmp_path / "new").glob("*"))


@pytest.mark.parametrize("there", [False, True])
def test_no_network_or_no_such_file_is_one_sentence(served, tmp_path, there):
    address = served[1] if there else CLOSED
    with pytest.raises(InputError, match=r"a\.bin: cannot be downloaded \(\w+\); fetch it where"):
        fetch(f"{address}a.bin", "md5:" + "0" * 32, tmp_path / "a.bin")


def test_only_what_is_missing_is_fetched(served, tmp_path, monkeypatch):
    folder, address = served
    rng = np.random.default_rng(0)
    sums = []
    for part in idx_module._PARTS:
        array = rng.integers(0, 256, (20, 3, 4)) if "images" in part else np.arange(20) % 5
        content = gzip.compress(idx(array))
        (folder / f"{part}-ubyte.gz").write_bytes(content)
        sums.append(hashlib.md5(content).hexdigest())
    monkeypatch.setitem(idx_module._OFFICIAL, "mnist", (address, tuple(sums)))
    config = DataConfig(name="mnist", folder=tmp_path / "mnist", download=True)
    first = load(config)
    assert first.shape == (1, 3, 4)
    for file in folder.iterdir():
        file.unlink()
    assert np.array_equal(load(config).train.values, first.train.values)


def test_cifar10_is_fetched_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "_ADDRESS", f"{CLOSED}cifar-10-python.tar.gz")
    config = DataConfig(name="cifar10", folder=tmp_path, download=True)
    with pytest.raises(InputError, match=r"cifar-10-python\.tar\.gz: cannot be downloaded"):
        load(config)


def test_what_has_no_address_cannot_be_fetched():
    from toolchain.files import fit

    table = {"data": {"name": "ecg", "folder": "here", "download": True}}
    with pytest.raises(ConfigError, match=r"download = True: name = 'ecg' cannot be downloaded"):
        fit(TrainConfig, table, Path("config.toml"))
