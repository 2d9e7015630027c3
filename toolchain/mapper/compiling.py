"""How the mapper's loops are compiled: once for each installation, and not more than is used.

What Python needs to call a function, and C, can take longer to compile than the function does:
arguments of dozens of arrays are unpacked one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """A loop that Python calls."""
    return _kept(function, no_cfunc_wrapper=True)


def inner(function: Callable[..., Any]) -> Any:
    """A loop that other loops alone call."""
    return _kept(function, no_cfunc_wrapper=True, no_cpython_wrapper=True)


def _kept(function: Callable[..., Any], **options: Any) -> Any:
    """Kept on disk; where no folder for that can be written, for this process."""
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba's "cannot cache function: no locator available"
        return numba.njit(**options)(function)
