"""[network]: layers and neurons, in norse's words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from toolchain.train.tables import Table, Width


class NetworkConfig(Table):
    """A chain of fully connected layers of norse neurons; parameters in norse's words.

    The surrogate gradient is norse's "super", 1 / (1 + |v - v_th|)^2. norse 1.1.0 ignores that
    function's alpha, so there is no key for it: v_th sets its width relative to the threshold.
    """

    neuron: Literal["lif", "lifbox"] = "lif"
    hidden: Annotated[tuple[Width, ...], Field(strict=False)] = (128,)  # neurons of each layer
    dt: Annotated[float, Field(gt=0)] = 0.001  # seconds per timestep
    tau_mem_inv: Annotated[float, Field(gt=0)] = 200.0  # 1/s; dt * tau_mem_inv <= 1
    tau_syn_inv: Annotated[float, Field(gt=0)] = 500.0  # 1/s; dt * tau_syn_inv <= 1; not lifbox
    v_th: Annotated[float, Field(gt=0)] = 1.0  # threshold; v_reset and the start are 0
    bias: bool = True  # train each neuron's v_leak; else it is 0

    @field_validator("tau_mem_inv", "tau_syn_inv")
    @classmethod
    def _at_most_all(cls, rate: float, info: ValidationInfo) -> float:
        dt = info.data.get("dt", 0.0)
        if rate * dt > 1:
            raise ValueError(
                f"dt * {info.field_name} is the share lost per timestep and must be at most 1, is"
                f" {rate * dt:g}; lower one of them"
            )
        return rate
