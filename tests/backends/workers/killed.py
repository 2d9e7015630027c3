"""A worker that makes some progress and is then killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

Path(sys.argv[1], "progress").write_text("0 1")
os.kill(os.getpid(), signal.SIGKILL)
