"""FILE.snn-deploy.json beside a file: what the file's own format cannot carry.

Written by an export, or by hand: every key but the schema's may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from toolchain.errors import FileError, InputError
from toolchain.files import fit, read_bytes, read_json, sha256, write_json

SCHEMA = "snn-deploy.side-car"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PopulationFacts(_Strict):
    """A population's numbers to the last bit; NIR's time constants would round them."""

    name: str
    decay_u: float
    decay_v: float
    threshold: float
    bias: float | list[float]  # one for all, or one for each neuron


class ProjectionFacts(_Strict):
    """Which node holds a projection's weights, its delay, and its synapses of weight 0."""

    source: str
    target: str
    node: str
    delay: int
    zeros: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = []  # (target, source)


class NetworkFacts(_Strict):
    """A whole network but for its weights, which stand in the file."""

    input: str
    output: str
    populations: list[PopulationFacts]
    projections: list[ProjectionFacts]
    encoding: dict[str, Any] | None = None


class SideCar(_Strict):
    """What stands in a side-car."""

    schema_: Literal["snn-deploy.side-car"] = Field(alias="schema")
    schema_version: Literal[1]
    sha256: str | None = None  # of the file it stands beside
    dt: float | None = None  # seconds per timestep
    reset: str | None = None  # zero | subtract
    scheme: str | None = None  # euler | exponential
    readout: str | None = None  # drop, or a threshold
    network: NetworkFacts | None = None


def beside(file: Path) -> Path:
    """Where a file's side-car lies."""
    return file.with_name(f"{file.name}.snn-deploy.json")


def read_side_car(file: Path) -> SideCar | None:
    """A file's side-car, where it has one; FileError where it belongs to another file."""
    path = beside(file)
    if not path.is_file():
        return None
    facts = fit(SideCar, read_json(path, schema=SCHEMA), path)
    if facts.sha256 is not None and facts.sha256 != sha256(read_bytes(file)):
        raise FileError(
            f"{path}: belongs to another {file.name}, or that was changed since; remove the"
            " side-car, and give what it says as options"
        )
    return facts


def write_side_car(file: Path, facts: Mapping[str, Any]) -> Path:
    """Write a file's side-car, with the file's hash; returns its path."""
    head = {"schema": SCHEMA, "schema_version": 1, "sha256": sha256(read_bytes(file))}
    write_json(beside(file), head | dict(facts))
    return beside(file)


def settled(file: Path, name: str, given: Any, facts: SideCar | None) -> Any:
    """What an option is: as given, or as the side-car says; InputError where they differ."""
    stated = None if facts is None else getattr(facts, name)
    if given is not None and stated is not None and given != stated:
        raise InputError(
            f"--{name} {given} contradicts {beside(file).name}, which says {stated}; leave the"
            " option out, or remove the side-car"
        )
    return given if given is not None else stated
