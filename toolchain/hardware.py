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

from toolchain.errors import ConfigError, InputError, UnsupportedError, did_you_mean
from toolchain.files import fit, read_toml

Count = Annotated[int, Field(ge=1, le=2**30)]
Amount = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
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


class Mesh(_Table):
    """How cores stand in tiles, tiles on a chip, and chips on a board.

    Cores are numbered chip by chip, tile by tile, row by row; a router per tile joins the mesh.
    """

    cores_per_tile: Count
    tile_columns: Count  # of the mesh of tiles on a chip
    chip_columns: Count  # of the mesh of chips
    chip_crossing_hops: Annotated[int, Field(ge=0, le=2**20)]  # a step to the next chip, beyond 1


class EnergyPreset(_Table):
    """Energy per event in pJ, all of one source; `mapper/estimate.py` has the formula."""

    synapse_sparse_pj: Amount  # one stored synapse visited by a spike
    synapse_dense_pj: Amount
    neuron_idle_pj: Amount  # one neuron for one timestep without input
    neuron_active_pj: Amount  # ... that is updated
    neuron_spike_pj: Amount  # added where it spikes
    message_pj: Amount  # one spike sent to one core
    same_tile_pj: Amount  # its way within a tile
    hop_x_pj: Amount  # its way to the next tile east or west
    hop_y_pj: Amount


class TimePreset(_Table):
    """Time per event in ns, all of one source; `mapper/estimate.py` has the formula."""

    synapse_sparse_ns: Amount
    synapse_dense_ns: Amount
    neuron_idle_ns: Amount
    neuron_active_ns: Amount
    neuron_spike_ns: Amount
    message_out_ns: Amount
    message_in_ns: Amount
    sync_tile_ns: Amount  # the barrier that ends a timestep, where one tile is used
    sync_chip_ns: Amount  # ... where a whole chip is
    sync_board_ns: Amount  # ... where several chips are


class Power(_Table):
    """Power that is drawn whatever the network does."""

    static_mw_per_chip: Amount


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

    @model_validator(mode="after")
    def _delays_are_held(self) -> Synapse:
        bits = (self.delay_max - 1).bit_length()
        if bits > self.accumulator_bits:
            raise ValueError(
                f"delay_max = {self.delay_max} needs {bits} bits of delay, more than"
                f" accumulator_bits = {self.accumulator_bits}: no compartment could have it"
            )
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
    mesh: Mesh
    energy: Mapping[str, EnergyPreset] = Field(default={})  # by source; none: nobody published one
    time: Mapping[str, TimePreset] = Field(default={})
    power: Power | None = None
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

    @model_validator(mode="after")
    def _not_too_small(self) -> HardwareProfile:
        core, synapse = self.core, self.synapse
        least = synapse.weight_bits + synapse.header_bits + synapse.marker_bits
        words = min(core.synapse_words, synapse.words_per_axon)
        if words * synapse.word_bits < least:
            raise ValueError(
                "not even one synapse fits a core: weight_bits, header_bits and marker_bits are"
                f" {least} bits together, and {words} words of word_bits = {synapse.word_bits} are"
                " what synapse_words or words_per_axon allow"
            )
        if core.out_axon_cost_remote > core.out_axons:
            raise ValueError(
                f"core.out_axon_cost_remote = {core.out_axon_cost_remote} exceeds core.out_axons ="
                f" {core.out_axons}: no spike could leave its chip"
            )
        return self

    @model_validator(mode="after")
    def _whole_rows(self) -> HardwareProfile:
        chips, mesh = self.chips, self.mesh
        width = chips.columns // mesh.tile_columns
        for name, whole, part in (
            ("chips.cores_per_chip", chips.cores_per_chip, "mesh.cores_per_tile"),
            ("chips.columns", chips.columns, "mesh.tile_columns"),
            ("mesh.cores_per_tile", mesh.cores_per_tile, "chips.columns / mesh.tile_columns"),
            (
                "the tiles of a chip",
                chips.cores_per_chip // mesh.cores_per_tile,
                "mesh.tile_columns",
            ),
            ("chips.chips", chips.chips, "mesh.chip_columns"),
        ):
            parts = {
                "mesh.cores_per_tile": mesh.cores_per_tile,
                "mesh.tile_columns": mesh.tile_columns,
            }
            parts |= {
                "mesh.chip_columns": mesh.chip_columns,
                "chips.columns / mesh.tile_columns": width,
            }
            if not parts[part] or whole % parts[part]:
                raise ValueError(
                    f"{name} = {whole} is no multiple of {part} = {parts[part]}: a mesh has whole"
                    " rows of whole tiles"
                )
        return self

    @property
    def cores(self) -> int:
        """Cores on all chips together."""
        return self.chips.chips * self.chips.cores_per_chip

    def chip_of(self, core: int) -> int:
        """The chip on which a core lies; cores are numbered chip by chip."""
        return core // self.chips.cores_per_chip


TABLES = ("chips", "core", "neuron", "synapse", "mesh", "power")
PRESETS = ("energy", "time")  # tables of tables, one per source
_HERE = Path(__file__).parent
PROFILE_FOLDERS = (_HERE / "hw_profiles", _HERE.parent / "hw_profiles")  # wheel, source tree


def read_profile(path: Path) -> HardwareProfile:
    """Read a profile file.

    Raises ConfigError naming file, table and key for an unknown, missing or impossible value, and
    for a number whose source is not among [sources]; UnsupportedError for a chip whose neurons are
    not known well enough to map onto (`outline`).
    """
    table = read_toml(path)
    if is_outline(table):
        raise _only_counted(path)
    return fit(HardwareProfile, plain_numbers(table, path), path)


def is_outline(table: Mapping[str, Any]) -> bool:
    """Whether a profile's table says that its neurons' arithmetic is unknown (`outline`)."""
    neuron = table.get("neuron")
    arithmetic = neuron.get("arithmetic") if isinstance(neuron, dict) else None
    return isinstance(arithmetic, dict) and arithmetic.get("value") == "unknown"


def _only_counted(path: Path) -> UnsupportedError:
    return UnsupportedError(
        f"{path.stem}: this chip can only be counted: the arithmetic of its neurons is not held"
        " here to the bit; 'snn-deploy check' says what would fit, and 'snn-deploy chips show' what"
        " is missing"
    )


def plain_numbers(table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A profile's table with plain numbers, and `facts`: what stood beside each of them."""
    tables = _tables(table, path)
    facts = {
        f"{name}.{key}": _fact(value, f"{path}: [{name}] {key}")
        for name, section in tables.items()
        for key, value in section.items()
    }
    sources = _section(table, "sources", path)
    for key, fact in facts.items():
        if fact.source not in sources:
            raise ConfigError(
                f"{path}: {key}: source '{fact.source}' is not in [sources];"
                f" {did_you_mean(fact.source, sources)}"
            )
    rest = {key: value for key, value in table.items() if key not in (*TABLES, *PRESETS)}
    plain: dict[str, Any] = {}
    for name in tables:
        kind, _, preset = name.partition(".")
        if preset:
            plain.setdefault(kind, {})[preset] = _values(facts, name)
        else:
            plain[name] = _values(facts, name)
    return rest | plain | {"facts": facts}


def _tables(table: Mapping[str, Any], path: Path) -> dict[str, Mapping[str, Any]]:
    """Every table of numbers that is there, by its name in the file."""
    found = {name: _section(table, name, path) for name in TABLES if name in table}
    for kind in PRESETS:
        presets = _section(table, kind, path)
        found |= {f"{kind}.{name}": _section(presets, name, path, within=kind) for name in presets}
    return found


def _section(
    table: Mapping[str, Any], name: str, path: Path, *, within: str = ""
) -> Mapping[str, Any]:
    section = table.get(name, {})
    if not isinstance(section, dict):
        where = f"{within}.{name}" if within else name
        raise ConfigError(f"{path}: [{where}] must be a table, is {section!r}")
    return section


def _fact(value: Any, where: str) -> Fact:
    if not isinstance(value, dict):
        raise ConfigError(
            f"{where} = {value!r}: every number of a chip carries its source; write"
            f' {{ value = {value!r}, status = "published", source = "..." }}'
        )
    return fit(Fact, value, where)


def _values(facts: Mapping[str, Fact], table: str) -> dict[str, Any]:
    return {
        key.rpartition(".")[2]: fact.value
        for key, fact in facts.items()
        if key.rpartition(".")[0] == table
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
        if (folder / "outlines" / f"{name_or_file}.toml").is_file():
            raise _only_counted(Path(name_or_file))
    raise InputError(
        f"no chip '{name_or_file}'; {did_you_mean(name_or_file, profile_names())}"
        " A profile of your own is given as a path that ends in .toml."
    )
