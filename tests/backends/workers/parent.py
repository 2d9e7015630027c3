"""A process that runs Lava on a worker that hangs, and waits to be killed.

SNN_DEPLOY_TEST_PIDS names the file in which the pids of worker and grandchild are left.
"""

from __future__ import annotations

import numpy as np

from tests.backends.test_lava import relay
from toolchain.backends import lava
from toolchain.raster import Raster

lava.run(relay(), Raster(spikes={"input": np.ones((1, 2, 1), bool)}))
