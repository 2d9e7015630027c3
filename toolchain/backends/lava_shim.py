"""The one place that makes lava-nc 0.10.0 importable on Python 3.11 and later.

Lava's compiler declares dataclass fields whose defaults are instances of another dataclass. Python
3.11 refuses such a default unless its class is hashable, so while that one module is imported every
dataclass becomes so. Nothing else of Lava is touched; docs/decisions/0004 has the evidence.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any


def import_lava() -> None:
    """Import the module of Lava that needs help; the others then import as they are."""
    plain = dataclasses.dataclass

    def hashable(cls: Any = None, /, **options: Any) -> Any:
        return plain(cls, **({"unsafe_hash": True} | options))

    dataclasses.dataclass = hashable
    try:
        importlib.import_module("lava.magma.compiler.var_model")
    finally:
        dataclasses.dataclass = plain
