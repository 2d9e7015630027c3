"""[data] and [encoding]: where samples come from, and how they become spikes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from toolchain.train.tables import Count, Table


class DataConfig(Table):
    """Where samples come from, and which of them are used."""

    name: Literal["digits", "idx"]
    # Of the IDX files; relative to the configuration's folder. Checked even where it is left out.
    folder: Annotated[Path | None, Field(strict=False)] = None
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1  # share of the training samples
    train_samples: Count | None = None  # at most so many, validation among them; default: all
    test_samples: Count | None = None

    @field_validator("folder")
    @classmethod
    def _folder_of_idx(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        name = info.data.get("name")
        if name == "idx" and folder is None:
            raise ValueError("name = 'idx' needs the folder that holds the IDX files")
        if name == "digits" and folder is not None:
            raise ValueError("name = 'digits' has no folder; remove it, or choose name = 'idx'")
        return folder


class EncodingConfig(Table):
    """How pixels become spikes."""

    kind: Literal["rate"] = "rate"
    timesteps: Annotated[int, Field(ge=1, le=4096)] = 16
