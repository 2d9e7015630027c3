"""Profiles: every number with its source, and every mistake in a file named."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from toolchain.errors import ConfigError, FileError, InputError
from toolchain.hardware import (
    PRESETS,
    PROFILE_FOLDERS,
    TABLES,
    Chips,
    Core,
    CoreResources,
    EnergyPreset,
    HardwareProfile,
    Mesh,
    Neuron,
    Power,
    Synapse,
    TimePreset,
    find_profile,
    profile_names,
    read_profile,
)

SHIPPED = ("loihi1", "loihi2", "tiny")


def text_of(name: str) -> str:
    file = next(f / f"{name}.toml" for f in PROFILE_FOLDERS if (f / f"{name}.toml").is_file())
    return file.read_text()


def edited(folder: Path, old: str, new: str) -> Path:
    """The profile of `tiny` with one piece of text exchanged."""
    text = text_of("tiny")
    assert text.count(old) == 1, old
    (folder / "mine.toml").write_text(text.replace(old, new))
    return folder / "mine.toml"


def test_the_shipped_profiles_are_those_that_are_listed() -> None:
    assert set(SHIPPED) <= set(profile_names())
    assert profile_names() == sorted(profile_names())


@pytest.mark.parametrize("name", profile_names())
def test_every_number_of_a_profile_has_a_source_that_is_explained(name: str) -> None:
    profile = find_profile(name)

    tables = {name: part for name in TABLES if (part := getattr(profile, name)) is not None}
    tables |= {
        f"{k}.{source}": part for k in PRESETS for source, part in getattr(profile, k).items()
    }
    held = {f"{name}.{key}" for name, part in tables.items() for key in type(part).model_fields}
    assert held == set(profile.facts)
    assert {fact.source for fact in profile.facts.values()} <= set(profile.sources)
    assert all(profile.sources.values())
    assert profile.name == name


@pytest.mark.parametrize("name", profile_names())
def test_what_nobody_says_is_marked_as_unknown_and_nothing_else(name: str) -> None:
    for key, fact in find_profile(name).facts.items():
        assert (fact.source == "nobody") == (fact.status == "unknown"), key


def test_the_published_numbers_of_loihi_are_these() -> None:
    core = find_profile("loihi1").core

    assert (core.compartments, core.in_axons, core.out_axons) == (1024, 4096, 4096)
    assert core.synapse_words == 16384 - 4
    assert find_profile("loihi1").cores == 128
    assert find_profile("loihi2").core.synapse_words == 16_000


def test_a_core_says_what_it_holds_in_the_form_of_what_is_needed() -> None:
    core = find_profile("tiny").core

    held = core.resources()

    for field in fields(CoreResources):
        assert getattr(held, field.name) == getattr(core, field.name)
    assert held.shortfalls(held) == []


def test_a_shortfall_names_every_resource_that_does_not_suffice() -> None:
    zero = dict.fromkeys((field.name for field in fields(CoreResources)), 0)
    held = CoreResources(**(zero | {"compartments": 4, "in_axons": 4}))
    needed = CoreResources(**(zero | {"compartments": 5, "in_axons": 4, "out_axons": 1}))

    assert needed.shortfalls(held) == [("compartments", 5, 4), ("out_axons", 1, 0)]


def test_cores_are_numbered_chip_by_chip() -> None:
    profile = find_profile("tiny")
    two = profile.model_copy(update={"chips": profile.chips.model_copy(update={"chips": 2})})

    assert two.cores == 32
    assert [two.chip_of(core) for core in (0, 15, 16, 31)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (
            "\ncompartments = {",
            "\ncompartmens = {",
            r"mine\.toml: .*\[core\] unknown key 'compartmens'; did you mean 'compartments'\?",
        ),
        ("\ncompartments = {", "\ncompartmens = {", r"\[core\] key 'compartments' is missing"),
        ("[core]", "[cores]", r"unknown key 'cores'; did you mean 'core'\?"),
        (
            'compartments = { value = 16, status = "invented", source = "us" }',
            "compartments = 16",
            r"\[core\] compartments = 16: every number of a chip carries its source; write",
        ),
        (
            'compartments = { value = 16, status = "invented", source = "us" }',
            'compartments = { value = 16, status = "invented" }',
            r"mine\.toml: \[core\] compartments: key 'source' is missing",
        ),
        (
            'compartments = { value = 16, status = "invented", source = "us" }',
            'compartments = { value = 16, status = "invented", source = "nxft" }',
            r"core\.compartments: source 'nxft' is not in \[sources\]; did you mean 'nxtf'\?",
        ),
        (
            'compartments = { value = 16, status = "invented", source = "us" }',
            'compartments = { value = 16, status = "guessed", source = "us" }',
            r"\[core\] compartments: status = 'guessed': input should be 'published'",
        ),
        (
            'compartments = { value = 16, status = "invented", source = "us" }',
            'compartments = { value = 16, status = "invented", source = "us", page = 3 }',
            r"\[core\] compartments: unknown key 'page'; known are note, source, status, value",
        ),
        (
            "compartments = { value = 16,",
            "compartments = { value = -16,",
            r"\[core\] compartments = -16: input should be greater than or equal to 1",
        ),
        (
            "compartments = { value = 16,",
            "compartments = { value = 0,",
            r"\[core\] compartments = 0: input should be greater than or equal to 1",
        ),
        (
            "compartments = { value = 16,",
            'compartments = { value = "16",',
            r"\[core\] compartments = '16': input should be a valid integer",
        ),
        (
            "compartments = { value = 16,",
            "compartments = { value = 16.5,",
            r"\[core\] compartments = 16\.5: input should be a valid integer",
        ),
        (
            "compartments = { value = 16,",
            "compartments = { value = true,",
            r"\[core\] compartments: .*value.*True",
        ),
        (
            "compartments = { value = 16,",
            "compartments = { value = 2_000,",
            r"core\.compartments = 2000 exceeds the reach of synapse\.index_bits_max = 10",
        ),
        (
            "index_bits_min = { value = 6,",
            "index_bits_min = { value = 11,",
            r"index_bits_min exceeds index_bits_max",
        ),
        (
            "skip_bits_min = { value = 2,",
            "skip_bits_min = { value = 6,",
            r"skip_bits_min exceeds skip_bits_max",
        ),
        (
            "accumulator_bits = { value = 13,",
            "accumulator_bits = { value = 5,",
            r"delay_max = 63 needs 6 bits of delay, more than accumulator_bits = 5",
        ),
        (
            'word_bits = { value = 64, status = "published", source = "nxtf" }\n'
            "words_per_axon = { value = 256,",
            'word_bits = { value = 16, status = "published", source = "nxtf" }\n'
            "words_per_axon = { value = 1,",
            r"not even one synapse fits a core: .* are 24 bits together, and 1 words of .* = 16",
        ),
        (
            "out_axon_cost_remote = { value = 2,",
            "out_axon_cost_remote = { value = 257,",
            r"core\.out_axon_cost_remote = 257 exceeds core\.out_axons = 256: no spike could leave",
        ),
        (
            "words_per_axon = { value = 256,",
            "words_per_axon = { value = -1,",
            r"\[synapse\] words_per_axon = -1: input should be greater than or equal to 1",
        ),
        (
            "threshold_max = { value = 131_071,",
            "threshold_max = { value = 131_072,",
            r"\[neuron\] threshold_max = 131072: input should be less than or equal to 131071",
        ),
        (
            'encoding = { value = "nxtf",',
            'encoding = { value = "nxft",',
            r"\[synapse\] encoding = 'nxft': input should be 'nxtf', 'nengo' or 'loihi2-netx'",
        ),
        (
            "tile_columns = { value = 4,",
            "tile_columns = { value = 3,",
            r"chips\.columns = 4 is no multiple of mesh\.tile_columns = 3: a mesh has whole rows",
        ),
        (
            "cores_per_tile = { value = 1,",
            "cores_per_tile = { value = 5,",
            r"chips\.cores_per_chip = 16 is no multiple of mesh\.cores_per_tile = 5",
        ),
        (
            "chip_columns = { value = 1,",
            "chip_columns = { value = 2,",
            r"chips\.chips = 1 is no multiple of mesh\.chip_columns = 2",
        ),
        (
            "chip_crossing_hops = { value = 4,",
            "chip_crossing_hops = { value = -1,",
            r"\[mesh\] chip_crossing_hops = -1: input should be greater than or equal to 0",
        ),
        ("[mesh]\n", "[mash]\n", r"unknown key 'mash'; did you mean 'mesh'"),
        (
            "[sources]\n",
            "[energy]\nsome = 3\n[sources]\n",
            r"\[energy\.some\] must be a table, is 3",
        ),
        (
            "[sources]\n",
            "[power]\nstatic_mw_per_chip = 3.0\n[sources]\n",
            r"\[power\] static_mw_per_chip = 3\.0: every number of a chip carries its source",
        ),
        (
            "[sources]\n",
            '[time.x]\nsync_ns = { value = 3, status = "invented", source = "us" }\n[sources]\n',
            r"\[time\.x\] unknown key 'sync_ns'; (did you mean|known are) .*sync_",
        ),
        ('name = "tiny"\n', "", r"mine\.toml: key 'name' is missing"),
        (
            'name = "tiny"\n',
            'name = "tiny"\nnmae = 1\n',
            r"unknown key 'nmae'; did you mean 'name'",
        ),
        ('name = "tiny"\n', "name = 5\n", r"name = 5: input should be a valid string"),
        ('name = "tiny"\n', 'name = "tiny"\nchips = 3\n', r"mine\.toml: is not TOML: "),
        (
            "[sources]\n",
            "[sources]\nbad = 3\n",
            r"\[sources\] bad = 3: input should be a valid string",
        ),
    ],
)
def test_a_mistake_in_a_profile_names_file_table_and_key(
    old: str, new: str, match: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=match):
        read_profile(edited(tmp_path, old, new))


def test_a_section_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "x"\ncore = 3\n')

    with pytest.raises(ConfigError, match=r"mine\.toml: \[core\] must be a table, is 3"):
        read_profile(tmp_path / "mine.toml")


def test_an_unknown_chip_gets_the_nearest_known_one() -> None:
    with pytest.raises(InputError, match=r"no chip 'lohi1'; did you mean 'loihi1'\?"):
        find_profile("lohi1")


def test_a_profile_of_ones_own_is_read_by_its_path(tmp_path: Path) -> None:
    file = edited(tmp_path, 'name = "tiny"', 'name = "mine"')

    assert find_profile(str(file)).name == "mine"
    with pytest.raises(FileError, match=r"gone\.toml: no such file"):
        find_profile(str(tmp_path / "gone.toml"))


def test_a_profile_is_frozen() -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match="Instance is frozen"):
        find_profile("tiny").core.compartments = 3  # type: ignore[misc]


def test_every_key_of_a_core_is_documented_by_its_type() -> None:
    extra = set(Core.model_fields) - {field.name for field in fields(CoreResources)}

    assert extra == {"out_axon_cost_remote", "out_axons_per_neuron"}


def test_the_page_for_chip_makers_names_every_key_that_a_file_may_have() -> None:
    text = (PROFILE_FOLDERS[-1] / "README.md").read_text()
    models = [Chips, Core, Neuron, Synapse, Mesh, EnergyPreset, TimePreset, Power]
    keys = {key for model in models for key in model.model_fields}
    keys |= {key for key in HardwareProfile.model_fields if key != "facts"}

    families = {"synapse_sparse_ns", "synapse_dense_ns", "neuron_idle_ns", "neuron_active_ns"}
    families |= {"neuron_spike_ns"}  # one row: the same as energies
    missing = {key for key in keys - families if f"`{key}`" not in text and f"[{key}" not in text}
    assert not missing
