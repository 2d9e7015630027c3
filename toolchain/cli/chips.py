"""chips: which chips are known, their numbers, and where each number comes from."""

from __future__ import annotations

from typing import Any

import click

from toolchain.cli.output import cell, json_option, say, say_json, show, table
from toolchain.hardware import HardwareProfile, find_profile, profile_names

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
    """List the chips that come with snn-deploy."""
    profiles = [find_profile(name) for name in profile_names()]
    if as_json:
        say_json(
            {"chips": [{"name": p.name, "title": p.title, "cores": p.cores} for p in profiles]}
        )
        return
    rows = [(p.name, p.cores, p.core.compartments, p.core.synapse_words, p.title) for p in profiles]
    show(table(["name", "cores", "neurons/core", "synapse words/core", "title"], rows))


@chips_command.command("show")
@click.argument("chip", metavar="NAME|FILE.toml")
@json_option
def show_command(chip: str, as_json: bool) -> None:
    """Show every number of a chip with its status and its source."""
    profile = find_profile(chip)
    if as_json:
        say_json(profile.model_dump())
        return
    say(f"{profile.name}: {profile.title}\n\n{profile.description.strip()}\n")
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
    """Show the numbers in which two chips differ."""
    a, b = find_profile(first), find_profile(second)
    rows = differences(a, b)
    if as_json:
        say_json(
            {"first": a.name, "second": b.name, "differ": {name: [x, y] for name, x, y in rows}}
        )
    elif rows:
        show(table(["number", a.name, b.name], [(n, cell(x), cell(y)) for n, x, y in rows]))
    else:
        say(f"{a.name} and {b.name} have the same numbers")


def differences(a: HardwareProfile, b: HardwareProfile) -> list[tuple[str, Any, Any]]:
    """(number, value of a, value of b) where they differ."""
    return [
        (name, fact.value, b.facts[name].value)
        for name, fact in a.facts.items()
        if fact.value != b.facts[name].value
    ]
