"""[sparsity]: how many synapses exist, and how they move while the network learns."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from toolchain.train.tables import Count, Share, Table


class SparsityConfig(Table):
    """How many synapses exist, and how they move while the network learns."""

    method: Literal["two-stage", "esl", "dense"] = "two-stage"
    start: Literal["erdos-renyi"] = "erdos-renyi"  # how synapses are shared out over the layers
    start_density: Share = 0.5  # two-stage: existing / possible synapses at first
    density: Share = 0.1  # at the end; for esl from first to last; dense: not used
    scope: Literal["layer", "neuron"] = "layer"  # what one PQ index is taken over
    p: Annotated[float, Field(ge=0.01, le=100)] = 0.5  # PQ index, 0 < p < q
    q: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    alpha: Annotated[float, Field(ge=0)] = 0.001  # retain bound: share that may get lost
    gamma: Annotated[float, Field(gt=0, le=1000)] = 1.0  # scales the share that is rewired
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.9  # bounds it
    regrow_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0  # rho: regrown / dropped
    drop_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3  # esl: share rewired at first
    drop: Literal["magnitude"] = "magnitude"
    grow: Literal["momentum", "random", "gradient"] = "momentum"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9  # of the gradients that choose growth
    every_epochs: Count = 1  # epochs between two rewirings
    stop_epoch: Count | None = None  # no rewiring after it; default: three quarters of the epochs

    @field_validator("density")
    @classmethod
    def _falls(cls, density: float, info: ValidationInfo) -> float:
        start = info.data.get("start_density", 1.0)
        if info.data.get("method") == "two-stage" and density > start:
            raise ValueError(
                f"the two-stage method only lowers the density, and start_density is {start:g};"
                " lower density or raise start_density"
            )
        return density

    @field_validator("q")
    @classmethod
    def _above_p(cls, q: float, info: ValidationInfo) -> float:
        p = info.data.get("p", 0.0)
        if p >= q:
            raise ValueError(f"must exceed p, which is {p:g}; the PQ index needs p < q")
        return q
