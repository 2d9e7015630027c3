"""An adapter for a board: what 'snn-deploy hil' runs on the machine that the board hangs on.

    snn-deploy worker --adapter board_adapter.py --check
    snn-deploy hil ART --stimulus S.npz --host user@board --adapter board_adapter.py --out REC

`Board` stands for your board's API. Here it is the simulator, so that the example runs anywhere;
put your own calls in the place of its three methods, and leave the rest as it is.
"""

from __future__ import annotations

from toolchain.artifact import Artifact
from toolchain.backends import simulator
from toolchain.raster import Raster


class Board:
    """The calls that a board's API offers."""

    def __init__(self) -> None:
        self.artifact: Artifact | None = None

    def load(self, artifact: Artifact) -> None:
        """Write every core's tables to the board: `artifact.cores` holds them as integers."""
        self.artifact = artifact

    def play(self, stimulus: Raster) -> Raster:
        """Reset the state, show each sample, and read who spiked at which timestep."""
        assert self.artifact is not None
        return simulator.run(self.artifact, stimulus).raster

    def firmware(self) -> str:
        """What the board says that it runs."""
        return "simulated"


BOARD = Board()


def why_unavailable() -> str | None:
    """None where the board answers; else one sentence that says the mend."""
    return None


def versions() -> dict[str, str]:
    """What stands in every result beside the versions of snn-deploy and Python."""
    return {"firmware": BOARD.firmware()}


def run(artifact: Artifact, stimulus: Raster) -> Raster:
    """The spikes of the populations that the board can show, the output's among them."""
    if BOARD.artifact is not artifact:  # the same object from chunk to chunk: load it once
        BOARD.load(artifact)
    return BOARD.play(stimulus)
