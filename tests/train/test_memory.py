"""What a training step frees, the next one has."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FAULTS = """
import resource
import torch
from toolchain.train.memory import keep_freed_memory

def touched():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(8 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

assert keep_freed_memory()
touched()
print(touched())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to keep memory")
def test_arrays_of_one_step_take_the_pages_of_the_step_before():
    done = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, check=True)
    assert int(done.stdout) < 20 * (32 << 20) // 4096 // 10
