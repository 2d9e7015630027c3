"""The real worker, with a Lava process model that raises in the middle of a run."""

from __future__ import annotations

from typing import Any

from toolchain.backends import lava_worker
from toolchain.backends.lava_shim import import_lava

import_lava()

from toolchain.backends import lava_models  # noqa: E402  # Lava needs its shim first


def raising(self: Any, spike_vector: Any) -> None:
    raise ValueError("a planted fault in a neuron")


lava_models.TracedLif.reset_voltage = raising  # type: ignore[method-assign]

if __name__ == "__main__":
    lava_worker.main()
