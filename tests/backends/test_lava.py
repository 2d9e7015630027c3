"""Whatever happens to Lava, there is one clear error, in time, and no process is left behind."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.strategies import neurons, place, rows, synapses
from toolchain.artifact import Artifact
from toolchain.backends import get_backend, lava, lava_cores
from toolchain.errors import BackendError, InputError
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork
from toolchain.raster import Raster

TINY = find_profile("tiny")
ROOT = Path(__file__).parents[2]
STIMULUS = Raster(spikes={"input": np.ones((1, 2, 1), bool)})
PIDS = "SNN_DEPLOY_TEST_PIDS"


def relay(size: int = 1) -> Artifact:
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", size),),
        projections=(synapses("input", "a", rows([[50]] * size)),),
        output="a",
    )
    roomy = TINY.chips.model_copy(update={"cores_per_chip": 64})
    return place(network, TINY.model_copy(update={"chips": roomy}))


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put another module in the place of the worker."""

    def choose(name: str) -> None:
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
        monkeypatch.setenv(lava.WORKER_VARIABLE, f"tests.backends.workers.{name}")

    return choose


def alive(pid: int) -> bool:
    """Whether a process still runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def gone_within(seconds: float, pids: list[int]) -> bool:
    until = time.monotonic() + seconds
    while any(map(alive, pids)):
        if time.monotonic() > until:
            for pid in filter(alive, pids):
                os.kill(pid, signal.SIGKILL)  # the law is broken; leave nothing behind all the same
            return False
        time.sleep(0.02)
    return True


def pids_in(file: Path, *, within: float) -> list[int]:
    until = time.monotonic() + within
    while not file.exists() or len(file.read_text().split()) < 2:
        assert time.monotonic() < until, "the worker never started"
        time.sleep(0.02)
    return [int(pid) for pid in file.read_text().split()]


@pytest.mark.parametrize("name", ["lava", "lava-cores"])
def test_a_missing_lava_names_the_command_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)

    with pytest.raises(
        BackendError,
        match=rf"backend '{name}' is unavailable: lava-nc is not installed; run: .*pip install"
        r" --no-deps --ignore-requires-python lava-nc==0\.10\.0",
    ) as caught:
        get_backend(name)
    assert caught.value.exit_code == 4


def test_another_version_of_lava_is_not_what_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.9.0")

    with pytest.raises(BackendError, match=r"lava-nc is 0\.9\.0, 0\.10\.0 is what was measured"):
        get_backend("lava")


def test_a_worker_that_hangs_is_ended_with_all_that_it_started(
    worker: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker("hanging")
    monkeypatch.setenv(lava.PATIENCE_VARIABLE, "3")
    monkeypatch.setenv(PIDS, str(tmp_path / "pids"))
    began = time.monotonic()

    with pytest.raises(BackendError, match=r"Lava made no progress for 3 s and was ended"):
        lava.run(relay(), STIMULUS)

    assert time.monotonic() - began < 10
    assert gone_within(5, pids_in(tmp_path / "pids", within=0))


def test_a_worker_that_is_killed_is_an_error_that_names_the_signal(
    worker: Callable[[str], None],
) -> None:
    worker("killed")

    with pytest.raises(BackendError, match=r"Lava failed: its worker was ended by signal 9"):
        lava.run(relay(), STIMULUS)


def test_a_worker_that_cannot_start_is_an_error_that_says_why(
    worker: Callable[[str], None],
) -> None:
    worker("nowhere")

    with pytest.raises(BackendError, match=r"Lava failed: "):
        lava.run(relay(), STIMULUS)


def test_an_interrupted_run_leaves_no_process(
    worker: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker("hanging")
    monkeypatch.setenv(PIDS, str(tmp_path / "pids"))

    def interrupt(file: Path) -> bytes:
        pids_in(tmp_path / "pids", within=30)
        raise KeyboardInterrupt

    monkeypatch.setattr(lava, "_content", interrupt)  # what it looks at while it waits
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        lava.run(relay(), STIMULUS)

    assert gone_within(5, pids_in(tmp_path / "pids", within=0))


def test_a_killed_parent_takes_its_worker_and_the_workers_children_along(tmp_path: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        lava.WORKER_VARIABLE: "tests.backends.workers.waiting",
        PIDS: str(tmp_path / "pids"),
        "TMPDIR": str(tmp_path),  # what a killed parent cannot remove is pytest's to remove
    }
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.backends.workers.parent"], env=environment
    )
    pids = pids_in(tmp_path / "pids", within=60)
    assert all(map(alive, pids))

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    assert gone_within(5, pids)


@pytest.mark.lava
def test_a_lava_process_that_raises_is_an_error_with_its_reason_and_no_hang(
    worker: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker("raising")
    monkeypatch.setenv(lava.PATIENCE_VARIABLE, "60")

    with pytest.raises(BackendError, match=r"Lava failed: ValueError: a planted fault in a neuron"):
        lava.run(relay(), STIMULUS)


@pytest.mark.parametrize("patience", ["soon", "", "0", "-1", "nan"])
def test_a_patience_that_is_no_number_is_refused(
    patience: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(lava.PATIENCE_VARIABLE, patience)

    with pytest.raises(InputError, match=r"SNN_DEPLOY_LAVA_TIMEOUT must be a positive number"):
        lava.run(relay(), STIMULUS)


def test_more_than_sixteen_cores_do_not_run_core_by_core() -> None:
    artifact = relay(size=16 * 17)
    assert len(artifact.cores) == 17

    with pytest.raises(
        BackendError, match=r"runs at most 16 cores, the artifact uses 17; use --backend lava"
    ):
        lava_cores.run(artifact, STIMULUS)


@pytest.mark.parametrize("module", [lava, lava_cores])
def test_a_stimulus_that_does_not_belong_is_refused_before_lava_starts(
    module: object, worker: Callable[[str], None]
) -> None:
    worker("nowhere")

    with pytest.raises(
        InputError, match=r"the stimulus is 2 neurons wide, the input 'input' has 1"
    ):
        module.run(relay(), Raster(spikes={"input": np.ones((1, 2, 2), bool)}))  # type: ignore[attr-defined]


@pytest.mark.lava
def test_progress_is_watched_and_labels_come_back() -> None:
    seen: list[tuple[str, int, int]] = []
    stimulus = Raster(spikes=STIMULUS.spikes, labels=np.array([0]))

    recording = lava.run(relay(), stimulus, watch=lambda *step: seen.append(step))

    assert seen
    assert {step[0] for step in seen} == {"run Lava"}
    assert recording.raster.labels is not None
    assert recording.raster.labels.tolist() == [0]
    assert recording.u is None
