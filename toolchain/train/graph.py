"""A module's forward as a graph, by torch.fx: calls of torch's and norse's modules, and code."""

from __future__ import annotations

import sys
import traceback
from types import FrameType
from typing import Any

import torch
from torch import fx, nn

from toolchain.errors import UnsupportedError


def graph_of(module: nn.Module, name: str) -> fx.Graph:
    """The graph of `module(spikes)`, modules under "module."; node.meta["line"] is the user's line.

    Raises UnsupportedError with the place where the forward cannot be followed; `name` is what the
    message calls the module.
    """
    try:
        return _Tracer().trace(_Whole(module))
    except Exception as problem:
        raise UnsupportedError(
            f"{name}: its forward cannot be followed{_place(problem)} ({type(problem).__name__}:"
            f" {problem}); let it take spikes, every state None, and neither loop over time nor"
            " branch on values"
        ) from problem


class _Whole(nn.Module):
    """Calls a module with the input alone, so that its other arguments take their defaults."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, spikes: torch.Tensor) -> Any:
        return self.module(spikes)


class _Tracer(fx.Tracer):
    """Follows everything but the modules of torch and norse, and remembers lines."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _is_leaf(m)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["line"] = _line()
        return node


def _is_leaf(module: nn.Module) -> bool:
    ours = type(module).__module__.startswith(("torch.nn.", "norse.torch.module."))
    return ours and not isinstance(module, nn.Sequential)


def _line() -> str:
    """Where the user's code stands while it is followed."""
    frame = sys._getframe()
    while frame.f_back is not None and not _is_users(frame):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_users(frame: FrameType) -> bool:
    return not str(frame.f_globals.get("__name__")).startswith(("torch.", "norse.", "toolchain."))


def _place(problem: Exception) -> str:
    """Where the user's code failed while it was followed; nothing where it did not."""
    frames = [at for at in traceback.walk_tb(problem.__traceback__) if _is_users(at[0])]
    return f" at {frames[-1][0].f_code.co_filename}:{frames[-1][1]}" if frames else ""
