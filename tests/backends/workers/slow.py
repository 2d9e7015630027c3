"""The real worker, with a Lava that takes its time: there is a run to be killed in the middle of.

SNN_DEPLOY_TEST_PIDS names the file in which every process of the worker's session is left, once
Lava has done its first timestep.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from toolchain.backends import lava_worker
from toolchain.backends.lava_shim import import_lava

import_lava()

from toolchain.backends import lava_models  # noqa: E402  # Lava needs its shim first

fast = lava_models.TracedLif.reset_voltage


def session() -> list[int]:
    """Every process of this session, those that Python started for Lava among them."""
    mine = os.getsid(0)
    return [
        int(entry.name) for entry in Path("/proc").glob("[0-9]*") if sid(int(entry.name)) == mine
    ]


def sid(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def slow(self: Any, spike_vector: Any) -> None:
    fast(self, spike_vector)
    if self.time_step == 1:
        file = Path(os.environ["SNN_DEPLOY_TEST_PIDS"])
        # the worker, then this actor, then all others
        pids = [os.getpgid(0), os.getpid(), *session()]
        file.with_suffix(".new").write_text(" ".join(map(str, dict.fromkeys(pids))))
        file.with_suffix(".new").rename(file)
    time.sleep(0.02)


lava_models.TracedLif.reset_voltage = slow  # type: ignore[method-assign]

if __name__ == "__main__":
    lava_worker.main()
