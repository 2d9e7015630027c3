"""A group of commands that imports a command when it is called, and not to list it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """Commands from a table: name -> ("module.function" of toolchain.cli, what it does)."""

    def __init__(
        self, *args: Any, table: Mapping[str, tuple[str, str]], what: str = "command", **given: Any
    ) -> None:
        super().__init__(*args, **given)
        self.table = table
        self.what = what  # the word for one of them

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported now."""
        if cmd_name not in self.table:
            return None
        module, _, function = self.table[cmd_name][0].rpartition(".")
        command: click.Command = getattr(import_module(f"toolchain.cli.{module}"), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, which suggests only commands that are imported already."""
        if args and args[0] not in self.table and not args[0].startswith("-"):
            from toolchain.errors import did_you_mean

            ctx.fail(f"no {self.what} '{args[0]}'; {did_you_mean(args[0], self.table)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands from the table, without importing them."""
        with formatter.section(f"{self.what.capitalize()}s"):
            formatter.write_dl([(name, text) for name, (_, text) in self.table.items()])
