"""The real worker, whose work is to start a child and wait; it is there to be orphaned."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from toolchain.backends import lava_worker


def work(folder: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ["SNN_DEPLOY_TEST_PIDS"]).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)


lava_worker.work = work

if __name__ == "__main__":
    lava_worker.main()
