"""What an importer gives and what an exporter gives, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolchain.network import Network, QuantizedNetwork


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Imported:
    """A network out of another tool's file.

    One of integers where the file holds the chip's integers: nothing is left to be rounded.
    """

    network: Network | QuantizedNetwork
    notes: tuple[str, ...] = ()  # what was repaired, chosen or changed, each a whole sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A network in another tool's file."""

    files: tuple[Path, ...]  # the file itself first
    losses: tuple[str, ...] = ()  # what a reader of the file alone cannot know, each a sentence
