"""A board that is not as it should be; SNN_DEPLOY_TEST_ODD says how."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from toolchain.artifact import Artifact
from toolchain.backends import quantized
from toolchain.raster import Raster

HOW = os.environ["SNN_DEPLOY_TEST_ODD"]


def why_unavailable() -> str | None:
    return "its cable is not plugged in" if HOW == "unplugged" else None


def run(artifact: Artifact, stimulus: Raster) -> object:
    if HOW == "hanging":
        sleep = "import time; time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", sleep])
        Path(os.environ["SNN_DEPLOY_TEST_PIDS"]).write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)
    if HOW == "locking":
        ctypes.PyDLL(None).sleep(60)  # a call of C's that keeps Python's lock
    if HOW == "slow":
        time.sleep(20)
    if HOW == "raising":
        raise OSError("the bus is busy")
    spikes = dict(quantized.run(artifact, stimulus).raster.spikes)
    if HOW == "flipping":
        spikes["a"][0, 0, 0] ^= True
    if HOW == "shy":
        del spikes["a"]
    if HOW == "wide":
        spikes["b"] = np.zeros((1, 1, 1), bool)
    return 5 if HOW == "nonsense" else spikes
