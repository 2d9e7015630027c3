"""check where a network does not fit: every limit that it breaks, and what was tried to mend it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from toolchain.cli.output import Watcher, say, say_json, show, table, violations_json
from toolchain.cli.quantizing import Asked
from toolchain.errors import DoesNotFitError, Violation, number
from toolchain.hardware import find_profile, profile_names
from toolchain.mapper.mends import Found, Mend, Wish, find_mends
from toolchain.mapper.pack import PACKERS

no_mend_option = click.option(
    "--no-mend", is_flag=True, help="Where it does not fit, do not try what would mend it."
)


def refuse(
    path: Path, chip: str, asked: Asked, wish: Wish, lacking: DoesNotFitError, *,
    mend: bool, as_json: bool,
) -> NoReturn:  # fmt: skip
    """Answer with every violation and the mends found, and end with exit code 1."""
    found = None
    if mend:
        others = [find_profile(name) for name in profile_names() if name != chip]
        with Watcher() as watch:
            found = find_mends(wish, lacking.violations, others, watch=watch)
    mends = [] if found is None else [_to_json(path, chip, asked, one) for one in found.mends]
    if as_json:
        say_json(_answer(lacking, found, mends))
    else:
        say(f"{path} does not fit {chip}: it breaks {_count(lacking.violations)}.\n")
        show_violations(lacking.violations)
        if found is not None:
            _show_mends(found, mends)
    raise click.exceptions.Exit(lacking.exit_code)


def _count(violations: Sequence[Violation]) -> str:
    return f"{len(violations)} limit{'s' if len(violations) != 1 else ''}"


def _answer(
    lacking: DoesNotFitError, found: Found | None, mends: list[dict[str, Any]]
) -> dict[str, Any]:
    error = {"kind": "DoesNotFitError", "message": str(lacking), "exit_code": lacking.exit_code}
    answer = {
        "error": error,
        "fits": False,
        "violations": violations_json(lacking.violations),
        "mends": mends,
    }
    if found is None:
        return answer
    return answer | {"mends_failed": list(found.failed), "mends_ended_early": found.ended_early}


def show_violations(violations: Sequence[Violation]) -> None:
    """A row for each limit that is broken, and under the table what to do in general."""
    rows = [
        (
            violation.where,
            ", ".join(violation.layers) or "-",
            "-" if violation.core is None else str(violation.core),
            violation.resource,
            number(violation.needed),
            number(violation.held),
            number(violation.over_by),
        )
        for violation in violations
    ]
    show(table(["where", "layer", "core", "resource", "needed", "held", "over by"], rows))
    for move in dict.fromkeys(violation.mend for violation in violations):
        say(f"  - {move}")


def _show_mends(found: Found, mends: Sequence[dict[str, Any]]) -> None:
    for place, mend in enumerate(mends):
        say(f"\n{'cheapest mend' if place == 0 else 'or'}: {mend['says']}")
        for command in mend["commands"]:
            say(f"    {command}")
    if found.failed:
        say(f"\nBy itself, none of these makes it fit: {', '.join(found.failed)}.")
    if found.ended_early:
        say("\nThe search ended early: the network is so large that not all could be tried.")


def _to_json(path: Path, chip: str, asked: Asked, mend: Mend) -> dict[str, Any]:
    return {
        "kind": mend.kind,
        "says": _sentence(mend),
        "commands": _commands(path, chip, asked, mend),
        "cores": mend.cores,
        "given_up": round(mend.given_up, 6),
        "packer": mend.wish.packer,
        "weight_bits": mend.wish.weight_bits,
        "layers": list(mend.layers),
        "percent": mend.percent,
        "removed": mend.removed,
        "chip": mend.wish.profile.name,
        "chips": mend.wish.profile.chips.chips,
    }


def _sentence(mend: Mend) -> str:
    """What changes, and how many cores it takes then."""
    chips = mend.wish.profile.chips
    onto = " and ".join(f"'{layer}'" for layer in mend.layers)
    what = {
        "packer": f"pack by '{mend.wish.packer}'",
        "weight-bits": f"weights of {mend.wish.weight_bits} bits",
        "prune": f"prune {mend.percent} % of the synapses onto {onto} ({mend.removed:,}, the"
        " weakest)",
        "chip": f"take '{mend.wish.profile.name}', {mend.wish.profile.cores:,} cores",
        "chips": f"take {chips.chips:,} such chips: in a copy of the profile, chips ="
        f" {chips.chips}",
    }[mend.kind]
    return f"{what}; mapped so, it takes {mend.cores:,} of {mend.wish.profile.cores:,} cores"


def _commands(path: Path, chip: str, asked: Asked, mend: Mend) -> list[str]:
    """What to type to have it."""
    onto = mend.wish.profile.name if mend.kind == "chip" else chip
    options = ["--chip", onto]
    if mend.wish.packer != next(iter(PACKERS)):
        options += ["--packer", mend.wish.packer]
    if mend.wish.weight_bits is not None:
        options += ["--weight-bits", str(mend.wish.weight_bits)]
    if mend.wish.calibration is not None:
        options += ["--calibrate", mend.wish.calibration.source]
    if asked.thresholds is not None:
        options += ["--thresholds", str(asked.thresholds)]
    if mend.kind == "chips":
        copied = _line(["chips", "show", chip, "--toml"]) + " > board.toml"
        options[1] = "./board.toml"
        return [copied, _line(["map", str(path), *options, "--out", "ART"])]
    if mend.kind == "prune":
        layers = [part for layer in mend.layers for part in ("--layer", layer)]
        pruned = ["prune", str(path), *layers, "--percent", str(mend.percent), "--out", "NET"]
        return [_line(pruned), _line(["map", "NET", *options, "--out", "ART"])]
    return [_line(["map", str(path), *options, "--out", "ART"])]


def _line(words: Sequence[str]) -> str:
    return shlex.join(["snn-deploy", *words])
