"""Several processes that train one network: `torchrun --nproc-per-node N -m toolchain train ...`.

Each process learns from its share of every batch; gradients are averaged, so that all of them take
the same step and rewire alike. Their masks are compared, bit for bit, after every epoch.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from toolchain.errors import ConfigError, InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The processes that train together, and which of them this one is."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes the run's files; one of them does."""
        return self.rank == 0

    def share(self, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        """The part of a batch that this process learns from."""
        return batch[self.rank :: self.size]

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Put the mean over all processes into each tensor."""
        if self.size == 1:
            return
        for tensor in tensors:
            distributed.all_reduce(tensor)
            tensor /= self.size

    def total(self, *values: float) -> list[float]:
        """Sums over all processes."""
        if self.size == 1:
            return list(values)
        held = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(held)
        return [float(value) for value in held]

    def any(self, here: bool) -> bool:
        """Whether it holds in any process."""
        return self.total(float(here))[0] > 0

    def assert_equal(self, tensors: Iterable[Tensor], what: str) -> None:
        """Stop unless every process holds the same bits."""
        if self.size == 1:
            return
        mine = hashlib.sha256(b"".join(_bytes(tensor) for tensor in tensors)).digest()
        held = torch.frombuffer(bytearray(mine), dtype=torch.uint8)
        every = [torch.zeros_like(held) for _ in range(self.size)]
        distributed.all_gather(every, held)
        assert all(torch.equal(other, held) for other in every), f"{what} differ between processes"

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            distributed.barrier()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()


@contextlib.contextmanager
def joined(device: str) -> Iterator[World]:
    """The world that torchrun started, by its environment variables; else this process alone.

    Raises ConfigError where there is no such device, InputError where processes cannot share it.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "[training] device = 'cuda': torch sees no CUDA GPU on this machine; choose 'cpu'"
        )
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield World()
        return
    if device != "cpu" and not distributed.is_nccl_available():
        raise InputError(f"device = '{device}' under torchrun needs NCCL, which torch lacks here")
    if device != "cpu":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))  # each process its own GPU
    # gloo beside nccl: counts and hashes are compared on the host
    distributed.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl")
    try:
        yield World(rank=distributed.get_rank(), size=size)
    finally:
        distributed.destroy_process_group()
