"""A group of commands, listed in sections, that answers a misspelt one with the nearest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from granite_bench.commands.help import Command
from granite_bench.console import as_far_as_read
from granite_bench.errors import near_or_all


class Commands(Command, click.Group):
    """A group that suggests the nearest command for a misspelt one."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections: dict[str, list[str]] = {}

    def add_section(self, heading: str, commands: Sequence[click.Command]) -> None:
        """Add commands that the help lists together, in this order."""
        for command in commands:
            self.add_command(command)
        self._sections[heading] = [str(command.name) for command in commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A line for each command, section by section where there are any."""
        if not self._sections:
            super().format_commands(ctx, formatter)
            return
        width = max(map(len, self.commands))  # one column, through all sections
        for heading, names in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        (name.ljust(width), self.commands[name].get_short_help_str(limit=100))
                        for name in names
                    ]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of that name; raises click.UsageError with the nearest name."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            hint = near_or_all(args[0], known)
            ctx.fail(f"unknown command '{args[0]}'\n  {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that closes its end of the pipe is no error."""
        # click would exit with 1, and that means that the gate failed.
        with as_far_as_read():
            return super().invoke(ctx)
        return None
