"""[training]: how the weights are learned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from toolchain.train.tables import Count, Table


class TrainingConfig(Table):
    """How the weights are learned: AdamW, learning rate falling to 0 as a cosine."""

    epochs: Annotated[int, Field(strict=True, ge=0)] = 20  # 0: with [exact] only
    batch_size: Count = 32  # of all processes together, under torchrun
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.005
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0  # AdamW's, on weights only
    # Gradients go past the neurons' reset, not through it. Through it, as in norse, they explode
    # where v lies well below 0 for many timesteps; docs/methods.md, "Training that falls apart".
    detach_reset: bool = False
    # Gradients are scaled down to this norm, all together, where theirs is larger (Pascanu et al.
    # 2013, arXiv 1211.5063). Default: never.
    clip_norm: Annotated[float, Field(ge=1e-6, le=1e6)] | None = None
    loss: Literal["cross-entropy", "mean-square", "tet"] = "cross-entropy"
    # Of products, all else is float32. bfloat16 pays where a processor has units for it: AMX, GPUs.
    precision: Literal["float32", "bfloat16"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    threads: Annotated[int, Field(ge=1, le=256)] = (
        1  # of torch; more pay off for wide layers only. They decide last bits, too
    )
    checkpoint_batches: Count | None = None  # a checkpoint inside an epoch, too, every so many
