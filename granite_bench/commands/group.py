"""A group of commands that answers a misspelt one with the nearest."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from granite_bench.errors import did_you_mean


class Commands(click.Group):
    """A group that suggests the nearest command for a misspelt one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of that name; raises click.UsageError with the nearest name."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            hint = did_you_mean(args[0], known) or f"there are: {', '.join(known)}"
            ctx.fail(f"unknown command '{args[0]}'\n  {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that closes its end of the pipe is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader (head, less) went away, which is no fault; click would exit with 1, and
            # that means that the gate failed. What is still buffered has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None
