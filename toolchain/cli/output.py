"""How commands answer: a table or one JSON object on stdout, progress on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from toolchain.cli.compiling import Compilations
from toolchain.cli.interrupts import raise_lost
from toolchain.errors import Violation
from toolchain.files import to_json

Watch = Callable[..., None]  # (what is being done, done, of how many, a remark)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Answer with one JSON object and nothing else."
)
chip_option = click.option(
    "--chip",
    required=True,
    metavar="NAME|FILE.toml",
    help="A chip of 'snn-deploy chips list', or a profile file of your own.",
)


def say(text: str = "") -> None:
    """A line of the answer."""
    click.echo(text)


def say_json(value: Any) -> None:
    """The answer as one JSON object."""
    click.echo(to_json(value), nl=False)


def show(*renderables: Any) -> None:
    """Tables and texts of rich on stdout."""
    console = Console(
        file=sys.stdout, highlight=False, markup=False, soft_wrap=not sys.stdout.isatty()
    )
    for renderable in renderables:
        console.print(renderable)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> Table:
    """A plain table; a column whose cells are numbers stands to the right."""
    made = Table(title=title or None, box=None, pad_edge=False, title_justify="left")
    for position, name in enumerate(columns):
        numeric = all(isinstance(row[position], int | float) for row in rows)
        made.add_column(name, justify="right" if numeric and rows else "left")
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def cell(value: Any) -> str:
    """A table's cell: integers with their digits grouped."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def share(value: float) -> str:
    """A share as percent."""
    return f"{value:.2%}"


def violations_json(violations: Sequence[Violation]) -> list[dict[str, Any]]:
    """Violations as JSON."""
    return [
        {
            "where": violation.where,
            "layers": list(violation.layers),
            "core": violation.core,
            "resource": violation.resource,
            "needed": float(violation.needed),
            "held": float(violation.held),
            "over_by": float(violation.over_by),
            "mend": violation.mend,
        }
        for violation in violations
    ]


_SECONDS_BETWEEN_LINES = 3.0


class Watcher:
    """Progress on stderr: bars on a terminal, elsewhere a plain line every few seconds.

    Use as a context manager and give it as `watch` to whatever works long.
    """

    def __init__(self) -> None:
        self.bars = sys.stderr.isatty() and not os.environ.get("CI")
        self.progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            disable=not self.bars,
        )
        self.tasks: dict[str, Any] = {}
        self.told = time.monotonic()  # when the last line was written
        self.compilations = Compilations(self._say)

    def __enter__(self) -> Watcher:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.compilations.close()
        self.progress.stop()

    def __call__(self, what: str, done: int, of: int, text: str = "") -> None:
        """Something is done so far; `of` is 0 where nobody knows how much there is."""
        raise_lost()
        self.compilations.listen()
        if self.bars:
            self._move_bar(what, done, of, text)
        else:
            self._tell(what, done, of, text)

    def _move_bar(self, what: str, done: int, of: int, text: str) -> None:
        if what not in self.tasks or (self.progress.tasks[self.tasks[what]].finished and done < of):
            self.tasks[what] = self.progress.add_task(what, total=of or None, text="")
        self.progress.update(self.tasks[what], completed=done, total=of or None, text=text)

    def _tell(self, what: str, done: int, of: int, text: str) -> None:
        if time.monotonic() - self.told > _SECONDS_BETWEEN_LINES:
            self.told = time.monotonic()
            at = f"{done}/{of}" if of else f"{done}"
            self._say(f"[{at}] {what}{'  ' + text if text else ''}")

    def _say(self, line: str) -> None:
        """A line on stderr, above the bars where there are any."""
        if self.bars:
            self.progress.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)


def exit_with(code: int) -> None:
    """End the command with an exit code, after its answer was given."""
    if code:
        raise click.exceptions.Exit(code)
