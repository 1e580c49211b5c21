"""How help is laid out: options under headings where there are many, examples at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

Decorator = Callable[[Any], Any]


class Command(click.Command):
    """
    A command whose help ends with examples.

    Args:
        examples: command lines that work as they stand.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, those that stand under() a heading by heading, in their order."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections.setdefault(getattr(param, "heading", ""), []).append(record)
        if not any(sections):
            super().format_options(ctx, formatter)
            return
        rest = sections.pop("", [])
        for heading, records in [*sections.items(), ("Other options", rest)]:
            with formatter.section(heading):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The epilog, and behind it the examples, each as it is typed."""
        super().format_epilog(ctx, formatter)
        if not self.examples:
            return
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write("".join(f"  {line}\n" for line in example.splitlines()))


def together(*options: Decorator) -> Decorator:
    """Options of a command, in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def under(heading: str, *options: Decorator) -> Decorator:
    """Options of a command, in this order, under a heading of its help."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
            # Where click keeps the options of a function until it makes a command of it.
            command.__click_params__[-1].heading = heading
        return command

    return decorate
