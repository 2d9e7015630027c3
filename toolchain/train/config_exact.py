"""[exact]: the last epochs, in the chip's own integers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from toolchain.train.tables import Count, Table


class ExactConfig(Table):
    """Training in which the network spikes exactly as it will on a chip.

    Follows the epochs of [training], from the best of them, or takes up another run's. Masks stay
    as they are, norms are folded and fixed, dropout is off, the learning rate falls anew to 0 as a
    cosine.
    """

    chip: str  # name of a profile, or a profile file; its registers are what is rounded to
    weight_bits: Annotated[int, Field(ge=2, le=8)] | None = None  # None: as many as the chip holds
    epochs: Count = 3
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.001
    run: Path | None = Field(default=None, strict=False)  # starts from its best epoch, in place
    # of epochs of its own; relative to the configuration's folder
    samples: Count = 256  # of the training samples, at most: what the scales are chosen on
    thresholds: Count = 1  # different ones in a population, and so many scales
