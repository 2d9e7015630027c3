"""One sitting of a run: its folder, its clock, and a torch that repeats itself to the bit."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from toolchain.files import write_bytes
from toolchain.train.checkpoint import Checkpoint, Record, write_checkpoint
from toolchain.train.loop import Watch
from toolchain.train.memory import keep_freed_memory
from toolchain.train.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A run that was told to stop before its end; `--resume` goes on to the same bytes."""

    run: str
    epoch: int  # in hand
    batches: int  # of it, done
    epochs: int  # of the whole run

    def as_table(self) -> dict[str, Any]:
        """What `snn-deploy train --json` says."""
        return {"finished": False, **asdict(self)}


class OutOfTimeError(Exception):
    """The session's minutes are over, and its checkpoint is written."""


@contextlib.contextmanager
def repeatable(threads: int) -> Iterator[None]:
    """torch such that equal runs give equal bits; afterwards as it was."""
    memory = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    filled = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is repeatable with it only
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_num_threads(threads)
    keep_freed_memory()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_num_threads(before[1])
        memory.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Session:
    """One sitting of a run."""

    out: Path  # the run's folder, or the one of a phase in it
    started: float
    minutes: float | None
    watch: Watch
    world: World
    run: Path | None = None  # the run's folder, in a phase that has its own
    before: list[Record] = field(default_factory=list)  # epochs of the phases before

    def over(self) -> bool:
        """Whether its minutes are up."""
        late = self.minutes is not None and time.monotonic() - self.started > 60 * self.minutes
        return self.world.any(late)

    def save(self, state: Checkpoint) -> None:
        """Write the checkpoint."""
        if self.world.writes:
            write_checkpoint(self.out / "checkpoint.safetensors", state)

    def save_metrics(self, history: list[Record]) -> None:
        """Write a line for each epoch, those of the phases before among them."""
        if self.world.writes:
            every = [*self.before, *history]
            lines = [json.dumps(r, sort_keys=True, allow_nan=False) + "\n" for r in every]
            write_bytes((self.run or self.out) / "metrics.jsonl", "".join(lines).encode())
