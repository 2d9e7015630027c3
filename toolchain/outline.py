"""Chips whose budgets are known and whose neurons are not: enough to count, not to map.

An outline is a profile whose `[neuron] arithmetic` is "unknown". A network can be counted against
it; what a core would compute cannot be held to the bit, so nothing is ever written for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from toolchain.errors import ConfigError, InputError, did_you_mean
from toolchain.files import fit, read_toml
from toolchain.hardware import (
    PROFILE_FOLDERS,
    Count,
    Fact,
    HardwareProfile,
    is_outline,
    plain_numbers,
    profile_names,
    read_profile,
)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class OutlineChips(_Table):
    """How many cores there are."""

    chips: Count
    cores_per_chip: Count


class OutlineCore(_Table):
    """What one core holds; a key that is left out is not known, or no limit there."""

    compartments: Count  # neurons
    in_axons: Count | None = None  # different sources that reach the core
    synapses: Count | None = None
    fan_in: Count | None = None  # synapses onto one neuron
    fan_out: Count | None = None  # synapses from one neuron


class OutlineNeuron(_Table):
    """Nothing can be said of the arithmetic."""

    arithmetic: Literal["unknown"]


class OutlineSynapse(_Table):
    """What one synapse can be."""

    weight_bits: Annotated[int, Field(ge=1, le=64)]


class Outline(_Table):
    """The counts of one chip type, and what is missing to map onto it."""

    name: str
    title: str
    description: str
    missing: Annotated[list[str], Field(min_length=1)]  # each a sentence part
    chips: OutlineChips
    core: OutlineCore
    neuron: OutlineNeuron
    synapse: OutlineSynapse
    facts: Mapping[str, Fact] = Field(repr=False)
    sources: Mapping[str, str] = Field(repr=False)

    @property
    def cores(self) -> int:
        """Cores on all chips together."""
        return self.chips.chips * self.chips.cores_per_chip


def read_outline(path: Path) -> Outline:
    """Read an outline's file; raises ConfigError naming file, table and key."""
    table: Mapping[str, Any] = read_toml(path)
    for name in ("mesh", "power", "energy", "time"):
        if name in table:
            raise ConfigError(
                f"{path}: [{name}] has no use while [neuron] arithmetic is 'unknown': nothing is"
                " placed or estimated for a chip that is only counted; leave it out"
            )
    return fit(Outline, plain_numbers(table, path), path)


def outline_names() -> list[str]:
    """Names of the outlines that come with snn-deploy."""
    return sorted({path.stem for folder in _folders() for path in folder.glob("*.toml")})


def find_chip(name_or_file: str) -> HardwareProfile | Outline:
    """The profile or the outline of a chip's name, or of a file where it ends in .toml.

    Raises InputError with the nearest known name.
    """
    file = chip_file(name_or_file)
    return read_outline(file) if is_outline(read_toml(file)) else read_profile(file)


def chip_file(name_or_file: str) -> Path:
    """The file of a chip; raises InputError with the nearest known name."""
    if name_or_file.endswith(".toml"):
        return Path(name_or_file)
    for folder in (*PROFILE_FOLDERS, *_folders()):
        if (folder / f"{name_or_file}.toml").is_file():
            return folder / f"{name_or_file}.toml"
    known = [*profile_names(), *outline_names()]
    raise InputError(
        f"no chip '{name_or_file}'; {did_you_mean(name_or_file, known)}"
        " A profile of your own is given as a path that ends in .toml."
    )


def _folders() -> list[Path]:
    return [folder / "outlines" for folder in PROFILE_FOLDERS]
