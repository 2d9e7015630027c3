"""A worker that starts a child, says who both are, and never makes progress."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
Path(os.environ["SNN_DEPLOY_TEST_PIDS"]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(600)
