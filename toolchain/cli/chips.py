"""chips: which chips are known, their numbers, and where each number comes from."""

from __future__ import annotations

from typing import Any

import click

from toolchain.cli.output import cell, json_option, say, say_json, show, table
from toolchain.hardware import HardwareProfile, profile_names
from toolchain.outline import Outline, chip_file, find_chip, outline_names

_MARKS = {
    "published": "",
    "inferred": "inferred",
    "unknown": "UNKNOWN, assumed",
    "invented": "invented",
}


@click.group("chips")
def chips_command() -> None:
    """List, show and compare the chips that are known.

    A chip is a TOML file in which every number carries its source, and says whether it is
    published, inferred by others, unknown (then assumed) or invented.
    """


@chips_command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the chips that come with snn-deploy.

    Onto most a network can be mapped and verified; the others are known by their counts alone, so
    that `check` can only count.
    """
    chips = [find_chip(name) for name in [*profile_names(), *outline_names()]]
    if as_json:
        say_json({"chips": [_listed(chip) for chip in chips]})
        return
    rows = [
        (
            chip.name,
            f"{chip.chips.chips:,} x {chip.chips.cores_per_chip:,}",
            chip.core.compartments,
            "counting" if isinstance(chip, Outline) else "mapping",
            chip.title,
        )
        for chip in chips
    ]
    show(table(["name", "chips x cores", "neurons/core", "good for", "title"], rows))


def _listed(chip: HardwareProfile | Outline) -> dict[str, Any]:
    counted = isinstance(chip, Outline)
    return {"name": chip.name, "title": chip.title, "cores": chip.cores, "counted_only": counted}


@chips_command.command("show")
@click.argument("chip", metavar="NAME|FILE.toml")
@click.option("--toml", is_flag=True, help="The file itself: what to begin one of your own with.")
@json_option
def show_command(chip: str, toml: bool, as_json: bool) -> None:
    """Show every number of a chip with its status and its source."""
    profile = find_chip(chip)
    if toml:
        say(chip_file(chip).read_text(encoding="utf-8").rstrip())
        return
    if as_json:
        say_json(profile.model_dump())
        return
    say(f"{profile.name}: {profile.title}\n\n{profile.description.strip()}\n")
    if isinstance(profile, Outline):
        say("A network can only be counted against this chip. To map onto it is missing:")
        for line in profile.missing:
            say(f"  - {line}")
        say()
    rows = [
        (name, cell(fact.value), _MARKS[fact.status], fact.source, fact.note)
        for name, fact in profile.facts.items()
    ]
    show(table(["number", "value", "", "source", "note"], rows))
    say()
    show(table(["source", "is"], list(profile.sources.items())))


@chips_command.command("diff")
@click.argument("first", metavar="NAME|FILE.toml")
@click.argument("second", metavar="NAME|FILE.toml")
@json_option
def diff_command(first: str, second: str, as_json: bool) -> None:
    """Show the numbers in which two chips differ; "-" where only one of them has it."""
    a, b = find_chip(first), find_chip(second)
    rows = differences(a, b)
    if as_json:
        say_json(
            {"first": a.name, "second": b.name, "differ": {name: [x, y] for name, x, y in rows}}
        )
    elif rows:
        show(table(["number", a.name, b.name], [(n, _cell(x), _cell(y)) for n, x, y in rows]))
    else:
        say(f"{a.name} and {b.name} have the same numbers")


def _cell(value: Any) -> str:
    return "-" if value is None else cell(value)


def differences(
    a: HardwareProfile | Outline, b: HardwareProfile | Outline
) -> list[tuple[str, Any, Any]]:
    """(number, value of a, value of b) where they differ; None where one does not have it."""
    names = dict.fromkeys([*a.facts, *b.facts])
    pairs = [(name, _value(a, name), _value(b, name)) for name in names]
    return [(name, x, y) for name, x, y in pairs if x != y]


def _value(chip: HardwareProfile | Outline, name: str) -> Any:
    fact = chip.facts.get(name)
    return None if fact is None else fact.value
