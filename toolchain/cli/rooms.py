"""Rooms whose libraries may be missing: each is imported when it is needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from toolchain.errors import InputError


def train_room(module: str) -> Any:
    """A module of the train room; InputError with the command that installs what it needs."""
    return _optional(f"toolchain.train.{module}", "training needs", "train")


def interchange_room(module: str = "") -> Any:
    """The interchange room, or a module of it; InputError with the command that installs it."""
    name = f"toolchain.interchange.{module}".rstrip(".")
    return _optional(name, "other tools' files need", "interchange")


def _optional(name: str, who: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("toolchain"):
            raise
        raise InputError(
            f"{who} {missing.name}, which is not installed; run:"
            f" python -m pip install 'snn-deploy[{extra}]'"
        ) from missing
