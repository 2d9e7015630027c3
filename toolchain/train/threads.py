"""Compiled loops on as many threads as torch uses; what they compute does not depend on how many.

numba's own thread pools are not used: one of them aborts when two threads of Python enter it, the
other after a fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import torch


def in_parts(size: int, task: Callable[[int, int], None], *, least: int) -> None:
    """Do `task(start, stop)` for parts of range(size), each of at least `least` where it can be.

    The task must release the GIL, and no two parts may write to the same place.
    """
    parts = max(1, min(torch.get_num_threads(), size // least))
    first, *rest = pairwise(size * part // parts for part in range(parts + 1))
    others = []
    if rest:
        pool = _pool(os.getpid(), len(rest))
        others = [pool.submit(task, start, stop) for start, stop in rest]
    task(*first)
    for other in others:
        other.result()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """The process's own threads: those of a parent do not survive a fork."""
    assert process == os.getpid()
    return ThreadPoolExecutor(threads, thread_name_prefix="snn-deploy")
