"""The worker that runs an artifact on Lava: files in, files out, in a process of its own.

    python -m toolchain.backends.lava_worker FOLDER

FOLDER holds what `lava_files` lists; the worker fills it, writes `progress` as it goes, and at the
end `done`, or `error`. It ends itself, and every process that Lava started, when its standard input
closes: the parent is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from toolchain.artifact import read_artifact
from toolchain.backends.lava_files import Request, read_request, steps_done
from toolchain.backends.lava_shim import import_lava
from toolchain.files import write_bytes

_LOOK_S = 0.25


def main() -> None:
    """Run the request of the folder that the command line names."""
    folder = Path(sys.argv[1])
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        work(folder)
    except BaseException:
        write_bytes(folder / "error", traceback.format_exc().encode())
        _end_group()


def work(folder: Path) -> None:
    """Run all samples; what is recorded lies in the folder's files when this returns."""
    import_lava()
    from toolchain.backends.lava_actors import hear_actors_together
    from toolchain.backends.lava_network import LavaNetwork

    hear_actors_together()
    request = read_request(folder)
    network = LavaNetwork(read_artifact(folder / "artifact"), folder, request)
    _report(folder, 0, request)
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(network, folder, over), daemon=True)
    watcher.start()
    try:
        network.run()
    finally:
        over.set()
        watcher.join()
    _report(folder, steps_done(folder), request)
    write_bytes(folder / "done", b"")


def _watch(network: Any, folder: Path, over: threading.Event) -> None:
    """Report progress; leave as `error` what became of an actor, and end all.

    An actor that raised or was killed would hang Lava for ever. The last look is when the run is
    over: Lava's own error says only that there was one.
    """
    last_look = False
    while not last_look:
        last_look = over.wait(_LOOK_S)
        trouble = next(filter(None, map(_exception, network.actors())), None)
        if trouble is None and not last_look:
            trouble = next(filter(None, map(_death, network.pids())), None)
        if trouble is not None:
            write_bytes(folder / "error", trouble.encode())
            _end_group()
        if not last_look:
            _report(folder, steps_done(folder), network.request)


def _exception(actor: Any) -> str | None:
    return str(actor.exception[1]) if actor.exception else None


def _death(pid: int) -> str | None:
    """What to say of a child that a signal ended; it stays to be waited for by Lava."""
    try:
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # Lava has waited for it
        return None
    if end is None or end.si_code == os.CLD_EXITED:
        return None
    return (
        f"ChildProcessError: a process of Lava's was ended by signal {end.si_status};"
        " the system ends processes so when memory runs out"
    )


def _report(folder: Path, steps: int, request: Request) -> None:
    samples = min(steps // request.timesteps, request.samples)
    write_bytes(folder / "progress", f"{samples} {request.samples} {steps}".encode())


def _die_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        time.sleep(0)
    _end_group()


def _end_group() -> None:
    """End this process and all that Lava started; the parent put them in a group of their own.

    Not by SIGKILL: Python's resource tracker outlives SIGTERM and cleans up the shared memory.
    """
    os.killpg(os.getpgid(0), signal.SIGTERM)


if __name__ == "__main__":
    main()
