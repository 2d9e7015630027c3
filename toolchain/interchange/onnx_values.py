"""What flows through an ONNX graph while it is read, and what operators ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedError
from toolchain.interchange.affine import Affine

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rectified:
    """max(value, 0), or at most `cap`: what becomes a population."""

    value: Affine
    cap: float = inf


Value = Affine | Array | None  # None: an input that is left out


def per_number(constant: Array, value: Affine) -> NDArray[np.float64]:
    """A constant as one number for each of a value's, by ONNX's rules of broadcasting."""
    full = (1, *value.shape)
    try:
        spread = np.broadcast_to(constant, full)
    except ValueError as problem:
        raise UnsupportedError(
            f"meets a constant of shape {constant.shape}, which does not spread over {full}"
        ) from problem
    return spread.ravel().astype(np.float64)


def affine_of(value: Value) -> Affine:
    """A value that depends on the sample."""
    if not isinstance(value, Affine):
        raise UnsupportedError("works on a constant where a value of the sample should be")
    return value


def array_of(value: Value) -> Array:
    """A value that does not depend on the sample."""
    if not isinstance(value, np.ndarray):
        raise UnsupportedError("needs a constant where a value of the sample comes, or nothing")
    return value
