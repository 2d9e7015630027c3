"""Whatever happens to Lava, there is one clear error, in time, and no process is left behind."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from tests.strategies import neurons, place, rows, synapses
from toolchain.artifact import Artifact
from toolchain.backends import get_backend, lava, lava_async, lava_cores, lava_files
from toolchain.errors import BackendError, InputError
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork
from toolchain.raster import Raster

TINY = find_profile("tiny")
ROOT = Path(__file__).parents[2]
STIMULUS = Raster(spikes={"input": np.ones((1, 2, 1), bool)})
PIDS = "SNN_DEPLOY_TEST_PIDS"


LONG = Raster(spikes={"input": np.ones((1, 1000, 1), bool)})


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


def shared_memory(pids: list[int]) -> set[Path]:
    """The segments of shared memory that processes have mapped."""
    maps = [Path(f"/proc/{pid}/maps").read_text() for pid in filter(alive, pids)]
    return {Path(found) for text in maps for found in re.findall(r"/dev/shm/psm_\w+", text)}


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


@pytest.mark.parametrize(
    "name", ["lava", pytest.param("lava-async", marks=pytest.mark.slow), "lava-cores"]
)
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


@pytest.mark.parametrize(
    "name", ["waiting", pytest.param("slow", marks=pytest.mark.lava)], ids=["at rest", "in Lava"]
)
def test_a_killed_parent_takes_its_worker_and_the_workers_children_along(
    name: str, tmp_path: Path
) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        lava.WORKER_VARIABLE: f"tests.backends.workers.{name}",
        PIDS: str(tmp_path / "pids"),
        "TMPDIR": str(tmp_path),  # what a killed parent cannot remove is pytest's to remove
    }
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.backends.workers.parent"], env=environment
    )
    pids = pids_in(tmp_path / "pids", within=60)
    assert all(map(alive, pids))
    segments = shared_memory(pids)
    assert bool(segments) == (name == "slow")

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    assert gone_within(5, pids)
    assert not any(segment.exists() for segment in segments)


@pytest.mark.lava
@pytest.mark.parametrize(
    ("victim", "message"),
    [
        (0, r"its worker was ended by signal 9"),
        (1, r"ChildProcessError: a process of Lava's was ended by signal 9; .* memory runs out"),
    ],
    ids=["the worker", "one of Lava's processes"],
)
def test_lava_killed_in_mid_run_is_one_error_and_leaves_nothing(
    victim: int,
    message: str,
    worker: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    worker("slow")
    monkeypatch.setenv(PIDS, str(tmp_path / "pids"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    pids: list[int] = []
    segments: set[Path] = set()

    def kill(what: str, done: int, of: int) -> None:
        if (tmp_path / "pids").exists() and not pids:
            pids.extend(pids_in(tmp_path / "pids", within=0))
            segments.update(shared_memory(pids))
            os.kill(pids[victim], signal.SIGKILL)

    with pytest.raises(BackendError, match=rf"^Lava failed: {message}$") as caught:
        lava.run(relay(), LONG, watch=kill)

    assert caught.value.exit_code == 4
    assert len(pids) > 5
    assert segments
    assert gone_within(5, pids)
    assert not any(segment.exists() for segment in segments)
    assert not list((tmp_path / "empty").iterdir())


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


@pytest.mark.parametrize("module", [lava, lava_async, lava_cores])
def test_a_stimulus_that_does_not_belong_is_refused_before_lava_starts(
    module: object, worker: Callable[[str], None]
) -> None:
    worker("nowhere")

    with pytest.raises(
        InputError, match=r"the stimulus is 2 neurons wide, the input 'input' has 1"
    ):
        module.run(relay(), Raster(spikes={"input": np.ones((1, 2, 2), bool)}))  # type: ignore[attr-defined]


@pytest.mark.lava
@pytest.mark.slow
def test_fifty_runs_leave_as_much_behind_as_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No file, process or shared memory; this process may grow by 8 MiB, a tenth of a run's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    artifact = relay()

    def run() -> None:
        lava.run(artifact, STIMULUS, states=True)

    run()
    before = (len(list(Path("/proc/self/fd").iterdir())), children(), resident())
    segments = set(Path("/dev/shm").glob("psm_*"))
    for _ in range(50):
        run()

    assert len(list(Path("/proc/self/fd").iterdir())) == before[0]
    assert children() == before[1]
    assert resident() < before[2] + 8 * 2**20
    assert not list(tmp_path.iterdir())
    assert gone_within_a_minute(set(Path("/dev/shm").glob("psm_*")) - segments)


def children() -> str:
    return "".join(file.read_text() for file in Path("/proc/self/task").glob("*/children"))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def gone_within_a_minute(segments: set[Path]) -> bool:
    """Other tests run Lava as well; what is theirs goes away."""
    until = time.monotonic() + 60
    while any(segment.exists() for segment in segments) and time.monotonic() < until:
        time.sleep(0.5)
    return not any(segment.exists() for segment in segments)


@pytest.mark.parametrize("resource", ["disk", "memory"])
def test_a_recording_that_has_no_room_is_refused_before_lava_starts(
    resource: str, worker: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker("nowhere")
    if resource == "disk":
        full = type("Usage", (), {"free": 17})
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    else:
        monkeypatch.setattr(lava_files, "available_bytes", lambda: 33)
    needed, held = {"disk": (2 * (1 + 9), 17), "memory": (2 * 17, 33)}[resource]

    with pytest.raises(
        InputError,
        match=rf"^what Lava records: needs {needed} bytes of {resource}.*, held {held}, over by"
        rf" {needed - held}; take fewer samples, or record the states of fewer populations$",
    ):
        lava.run(relay(), STIMULUS, states=True)


@pytest.mark.parametrize("name", ["lava", "lava_async", "lava_cores"])
def test_states_of_a_population_that_is_not_there_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"no population 'aa' to record; did you mean 'a'\?"):
        import_module(f"toolchain.backends.{name}").run(relay(), STIMULUS, states=["aa"])


@pytest.mark.lava
def test_states_are_recorded_of_those_populations_that_were_chosen() -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 1), neurons("b/c", 2)),
        projections=(
            synapses("input", "a", rows([[50]])),
            synapses("a", "b/c", rows([[50], [60]])),
        ),
        output="a",
    )
    artifact = place(network, TINY)
    whole = get_backend("quantized").run(artifact, STIMULUS, states=True)

    found = lava.run(artifact, STIMULUS, states=["b/c"])

    assert set(found.raster.spikes) == {"a", "b/c"}
    for mine, theirs in ((found.u, whole.u), (found.v, whole.v)):
        assert mine is not None
        assert theirs is not None
        assert set(mine) == {"b/c"}
        assert mine["b/c"].dtype == np.int64
        np.testing.assert_array_equal(mine["b/c"], theirs["b/c"])


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
