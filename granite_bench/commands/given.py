"""The options of a command line as they were given, for a like command."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource


def given_options(ctx: click.Context) -> dict[str, list[str]]:
    """Each option on the command line, by its parameter's name: the words that give it again."""
    return {
        option.name: _words(option, ctx.params[option.name])
        for option in ctx.command.params
        if isinstance(option, click.Option)
        and option.name in ctx.params
        and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    }


def _words(option: click.Option, value: Any) -> list[str]:
    name = max(option.opts, key=len)
    if option.is_flag:
        return [name if value or not option.secondary_opts else max(option.secondary_opts, key=len)]
    if option.multiple:
        return [word for each in value for word in (name, str(each))]
    return [name, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
