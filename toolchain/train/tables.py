"""What the tables of a training configuration share: strictness, and kinds of numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(strict=True, ge=1)]
Width = Annotated[int, Field(strict=True, ge=1, le=65_536)]
Share = Annotated[float, Field(gt=0, le=1)]


class Table(BaseModel):
    """A table of a configuration: frozen, every key known, every number finite."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )
