"""Arguments and options that several commands take, each worded once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from toolchain.backends import BACKENDS

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
PATH: click.Path[Path] = click.Path(path_type=Path)


def path_argument(name: str, metavar: str, **given: Any) -> Decorator:
    """An argument that is a file or a folder."""
    return click.argument(name, metavar=metavar, type=PATH, **given)


def path_option(*names: str, **given: Any) -> Decorator:
    """An option that is a file or a folder."""
    return click.option(*names, type=PATH, **given)


def backend_option(
    name: str, default: str, text: str | None, known: Iterable[str] = BACKENDS
) -> Decorator:
    """An option that names one of some backends."""
    kind = click.Choice(list(known))
    return click.option(name, type=kind, default=default, show_default=True, help=text)


def judged_option(default: str) -> Decorator:
    """The backend that is held against another."""
    return backend_option("--backend", default, "The backend that is judged.")


artifact_argument = path_argument("artifact", "ART")
_STIMULUS = "An .npz: bool (samples, timesteps, neurons) under the input's name, and labels."
stimulus_option = path_option("--stimulus", required=True, help=_STIMULUS)
stimulus_if_any_option = path_option("--stimulus", help=_STIMULUS)
samples_option = click.option(
    "--samples", type=click.IntRange(min=1), help="Use the first so many samples only."
)
against_option = backend_option("--against", "reference", "The backend that says what is expected.")
network_out_option = path_option("--out", required=True, help="The network's folder.")
