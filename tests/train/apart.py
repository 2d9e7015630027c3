"""Programs that train in processes of their own, which are killed or work together.

A process is split off from one that has imported torch and has not used it, so that only the first
waits for that.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import socket
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_APART = multiprocessing.get_context("forkserver")
_APART.set_forkserver_preload(["toolchain.train.run", "toolchain.train.predict"])


def killed(config_file: Path, out: Path, what: str, count: int) -> None:
    """Train until the process kills itself before its n-th "rename", or in its n-th "report"."""
    process = _APART.Process(target=_kill_itself, args=(config_file, out, what, count))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, process.exitcode


def _kill_itself(config_file: Path, out: Path, what: str, count: int) -> None:
    from toolchain.train.config import read_config
    from toolchain.train.run import train

    left = {"rename": 0, "report": 0} | {what: count}

    def passed(what: str) -> None:
        left[what] -= 1
        if left[what] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    rename = os.replace
    os.replace = lambda *names: (passed("rename"), rename(*names))  # type: ignore[assignment]
    train(read_config(config_file), out, resume=True, watch=lambda *_: passed("report"))


def together(config: Path, out: Path, how: str = "") -> tuple[list[int], list[str]]:
    """Exit codes and outputs of two processes that train one network over gloo.

    Their environment is what `torchrun` gives its processes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    every, told = [], [out.with_name(f"{out.name}.{rank}.txt") for rank in range(2)]
    for rank, file in enumerate(told):
        environment = {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        process = _APART.Process(target=_one_of_two, args=(environment, file, config, out, how))
        process.start()
        every.append(process)
    return [_ended(process) for process in every], [file.read_text() for file in told]


def _ended(process: ForkServerProcess) -> int:
    process.join(300)
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def _one_of_two(environment: dict[str, str], told: Path, config: Path, out: Path, how: str) -> None:
    file = os.open(told, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ |= environment
    import torch

    torch.set_num_threads(1)
    program(config, out, how)


def program(config: Path, out: Path, how: str) -> None:
    """Train and say what each process holds; rank 1 rewires another way if it is to "stray"."""
    from toolchain.train import phase, run, world
    from toolchain.train.config import read_config
    from toolchain.train.model import trained

    if how == "stray":
        rewire_all = phase.rewire_all

        def strayed(learner, course, config, *, at):  # type: ignore[no-untyped-def]
            rank = world.distributed.get_rank()
            seed = config.training.model_copy(update={"seed": config.training.seed + rank})
            return rewire_all(learner, course, config.model_copy(update={"training": seed}), at=at)

        phase.rewire_all = strayed
    record = phase._rewire

    def telling(record_, state, setting, moved, history):  # type: ignore[no-untyped-def]
        record(record_, state, setting, moved, history)
        digest = hashlib.sha256()
        for part in trained(state.learner.model):
            digest.update(part.mask.numpy().tobytes() + part.weight.detach().numpy().tobytes())
        line = f"held {record_['epoch']} {setting.world.rank} {digest.hexdigest()}\n"
        os.write(1, line.encode())  # at once: the other process writes, too

    phase._rewire = telling
    run.train(read_config(config), out)


if __name__ == "__main__":
    import sys

    program(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
