"""How exactly products are computed.

float32    every factor a float32
bfloat16   weights and gradients rounded to bfloat16 (8 bits of mantissa) where they enter a
           product; spikes and counts up to 256 are exact in it; products add up in float32

The rounded factors are the same on every machine. Where it has units for them (AMX or AVX512-BF16
on a CPU, tensor cores, of whose TF32 every bfloat16 is one), they do the work; elsewhere rounding
costs a little and gains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]


def rounded(factor: Tensor, precision: Precision) -> Tensor:
    """The factor as it enters a product, in float32."""
    return factor.bfloat16().float() if precision == "bfloat16" else factor


def has_bfloat16_units(device: str) -> bool:
    """Whether products of bfloat16 are faster there than those of float32."""
    if device == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    return device == "cuda"


@contextmanager
def units(precision: Precision, device: str) -> Iterator[None]:
    """Let torch use the units for bfloat16, for factors that are `rounded`."""
    if precision == "float32" or not has_bfloat16_units(device):
        yield
        return
    backends: Any = torch.backends
    if device == "cpu":
        places, fast = (backends.mkldnn.matmul, backends.mkldnn.conv), "bf16"
    else:
        places, fast = (backends.cuda.matmul, backends.cudnn.conv), "tf32"
    before = [place.fp32_precision for place in places]
    for place in places:
        place.fp32_precision = fast
    try:
        yield
    finally:
        for place, old in zip(places, before, strict=True):
            place.fp32_precision = old
