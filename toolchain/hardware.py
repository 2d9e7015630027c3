"""What a chip holds: one TOML file per chip, every number with its source.

In a profile file each number stands as `{ value, status, source, note }`. The types here are the
numbers alone; `HardwareProfile.facts` keeps what is known about each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toolchain.errors import ConfigError, InputError, did_you_mean
from toolchain.files import fit, read_toml

Count = Annotated[int, Field(ge=1, le=2**30)]
Bits = Annotated[int, Field(ge=1, le=64)]
Status = Literal["published", "inferred", "unknown", "invented"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Fact(_Table):
    """Where a number of a profile comes from.

    published: the maker says so. inferred: others derived it. unknown: nobody says; `value` is an
    assumption. invented: the chip does not exist.
    """

    value: int | float | str
    status: Status
    source: str  # a key of the profile's [sources]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreResources:
    """Quantities of a core's resources: one type for what is needed and what is held."""

    compartments: int  # neurons
    in_axons: int  # entries that receive the spikes of one source
    out_axons: int  # entries that send one neuron's spikes to one core
    synapse_words: int  # words of synaptic memory
    threshold_profiles: int  # different thresholds
    decay_profiles: int  # different (decay_u, decay_v)
    synapse_formats: int  # different ways of writing lists: kind, index, weight, exponent, delay
    memory_words: int  # compartments, in-axons, out-axons and synapse words together

    def shortfalls(self, held: CoreResources) -> list[tuple[str, int, int]]:
        """(resource, needed, held) of every resource that does not suffice."""
        pairs = (
            (field.name, getattr(self, field.name), getattr(held, field.name))
            for field in fields(self)
        )
        return [(name, needed, has) for name, needed, has in pairs if needed > has]


class Chips(_Table):
    """How many cores there are, and where."""

    chips: Count
    cores_per_chip: Count
    columns: Count  # of the mesh of cores on a chip


class Core(_Table):
    """What one core holds; see `CoreResources` for the meanings."""

    compartments: Count
    in_axons: Count
    out_axons: Count
    out_axon_cost_remote: Count  # out-axon entries for a destination on another chip
    synapse_words: Count
    threshold_profiles: Count
    decay_profiles: Count
    synapse_formats: Count
    memory_words: Count
    out_axons_per_neuron: Count  # entries of one neuron

    def resources(self) -> CoreResources:
        """What is held, in the form that needs are counted in."""
        return CoreResources(
            **{field.name: getattr(self, field.name) for field in fields(CoreResources)}
        )


class Neuron(_Table):
    """Which integer arithmetic the neurons follow, and how wide its registers are."""

    arithmetic: Literal["lava-lif"]
    decay_u_max: Annotated[int, Field(ge=0, le=4095)]
    decay_v_max: Annotated[int, Field(ge=0, le=4096)]
    threshold_max: Annotated[int, Field(ge=1, le=2**17 - 1)]
    bias_mantissa_max: Annotated[int, Field(ge=1, le=2**12 - 1)]
    bias_exponent_max: Annotated[int, Field(ge=0, le=7)]


class Synapse(_Table):
    """What one synapse can be, and the constants of the formula that costs a list of them."""

    encoding: Literal["nxtf", "nengo", "loihi2-netx"]
    weight_bits: Annotated[int, Field(ge=2, le=8)]
    weight_exponent_max: Annotated[int, Field(ge=0, le=7)]
    delay_max: Annotated[int, Field(ge=1, le=63)]  # timesteps from spike to current
    word_bits: Bits
    words_per_axon: Count
    synapses_per_entry: Count
    header_bits: Annotated[int, Field(ge=0, le=64)]
    marker_bits: Annotated[int, Field(ge=0, le=64)]
    index_bits_min: Annotated[int, Field(ge=1, le=30)]
    index_bits_max: Annotated[int, Field(ge=1, le=30)]
    skip_bits_min: Annotated[int, Field(ge=1, le=30)]
    skip_bits_max: Annotated[int, Field(ge=1, le=30)]
    delay_bits_min: Annotated[int, Field(ge=1, le=6)]
    accumulator_bits: Bits  # compartments x 2^delay bits share 2^this slots

    @model_validator(mode="after")
    def _ordered(self) -> Synapse:
        if self.index_bits_min > self.index_bits_max:
            raise ValueError("index_bits_min exceeds index_bits_max")
        if self.skip_bits_min > self.skip_bits_max:
            raise ValueError("skip_bits_min exceeds skip_bits_max")
        return self


class HardwareProfile(_Table):
    """The numbers of one chip type."""

    name: str
    title: str
    description: str
    chips: Chips
    core: Core
    neuron: Neuron
    synapse: Synapse
    facts: Mapping[str, Fact] = Field(repr=False)  # "core.compartments" -> its source
    sources: Mapping[str, str] = Field(repr=False)

    @model_validator(mode="after")
    def _indexable(self) -> HardwareProfile:
        if self.core.compartments > 2**self.synapse.index_bits_max:
            raise ValueError(
                f"core.compartments = {self.core.compartments} exceeds the reach of"
                f" synapse.index_bits_max = {self.synapse.index_bits_max}"
            )
        return self

    @property
    def cores(self) -> int:
        """Cores on all chips together."""
        return self.chips.chips * self.chips.cores_per_chip

    def chip_of(self, core: int) -> int:
        """The chip on which a core lies; cores are numbered chip by chip."""
        return core // self.chips.cores_per_chip


_TABLES = ("chips", "core", "neuron", "synapse")
_HERE = Path(__file__).parent
PROFILE_FOLDERS = (_HERE / "hw_profiles", _HERE.parent / "hw_profiles")  # wheel, source tree


def read_profile(path: Path) -> HardwareProfile:
    """Read a profile file.

    Raises ConfigError naming file, table and key for an unknown, missing or impossible value, and
    for a number whose source is not among [sources].
    """
    table = read_toml(path)
    facts = {
        f"{name}.{key}": _fact(value, f"{path}: [{name}] {key}")
        for name in _TABLES
        for key, value in _section(table, name, path).items()
    }
    sources = _section(table, "sources", path)
    for key, fact in facts.items():
        if fact.source not in sources:
            raise ConfigError(
                f"{path}: {key}: source '{fact.source}' is not in [sources];"
                f" {did_you_mean(fact.source, sources)}"
            )
    plain = {name: _values(facts, name) for name in _TABLES}
    rest = {key: value for key, value in table.items() if key not in plain}
    return fit(HardwareProfile, rest | plain | {"facts": facts}, path)


def _section(table: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    section = table.get(name, {})
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: [{name}] must be a table, is {section!r}")
    return section


def _fact(value: Any, where: str) -> Fact:
    if not isinstance(value, dict):
        raise ConfigError(
            f"{where} = {value!r}: every number of a chip carries its source; write"
            f' {{ value = {value!r}, status = "published", source = "..." }}'
        )
    return fit(Fact, value, where)


def _values(facts: Mapping[str, Fact], table: str) -> dict[str, Any]:
    prefix = f"{table}."
    return {
        key.removeprefix(prefix): fact.value
        for key, fact in facts.items()
        if key.startswith(prefix)
    }


def profile_names() -> list[str]:
    """Names of the profiles that come with snn-deploy."""
    return sorted({path.stem for folder in PROFILE_FOLDERS for path in folder.glob("*.toml")})


def find_profile(name_or_file: str) -> HardwareProfile:
    """The profile of a chip's name, or of a file where the argument ends in .toml.

    Raises InputError with the nearest known name.
    """
    if name_or_file.endswith(".toml"):
        return read_profile(Path(name_or_file))
    for folder in PROFILE_FOLDERS:
        if (folder / f"{name_or_file}.toml").is_file():
            return read_profile(folder / f"{name_or_file}.toml")
    raise InputError(
        f"no chip '{name_or_file}'; {did_you_mean(name_or_file, profile_names())}"
        " A profile of your own is given as a path that ends in .toml."
    )
