"""A process that runs Lava on a worker that hangs or takes long, and waits to be killed.

SNN_DEPLOY_TEST_PIDS names the file in which the pids of worker and grandchild are left.
"""

from __future__ import annotations

from tests.backends.test_lava import LONG, relay
from toolchain.backends import lava

lava.run(relay(), LONG)
