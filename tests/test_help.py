"""Help: every command has examples, and each of them is a command line that would run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

from granite_bench.__main__ import main
from granite_bench.cli import cli
from granite_bench.engine.form_loading import TOKEN_BUDGET_CPU, TOKEN_BUDGET_GPU
from granite_bench.speed.geometry_table import find_geometry
from granite_bench.suite.shipped import overview_names, panel_names, suite_names

# mteb warns about each of its beta tasks when its names are listed.
pytestmark = pytest.mark.filterwarnings("ignore:The task '.*' is currently in beta:UserWarning")


def every_command(
    command: click.Command = cli, name: str = "granite-bench"
) -> Iterator[tuple[str, click.Command]]:
    """Each command and group, with the words that call it."""
    yield name, command
    if isinstance(command, click.Group):
        for word, each in command.commands.items():
            yield from every_command(each, f"{name} {word}")


COMMANDS = dict(every_command())


def help_of(name: str) -> str:
    """What --help prints, in columns wide enough that nothing is folded."""
    settings = {**cli.context_settings, "terminal_width": 1000}
    return COMMANDS[name].get_help(click.Context(COMMANDS[name], info_name=name, **settings))


def examples_of(name: str) -> list[str]:
    """The command lines at the end of a command's help; those of several lines as one."""
    _, _, text = help_of(name).partition("\nExamples:\n")
    return [line.strip() for line in re.sub(r" \\\n\s*", " ", text).splitlines()]


EXAMPLES = [
    pytest.param(name, example, id=example) for name in COMMANDS for example in examples_of(name)
]


def parsed(words: list[str]) -> click.Context | None:
    """A command line as click reads it, with nothing run; None where it asks for a text alone."""
    context = click.Context(cli, info_name="granite-bench", **cli.context_settings)
    command: click.Command = cli
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        context = click.Context(found, info_name=name, parent=context)
        command = found
    try:
        return command.make_context(context.info_name, list(rest), parent=context.parent)
    except click.exceptions.Exit:
        return None


# Examples


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_with_two_to_four_examples(name: str) -> None:
    """At least one of them calls the command itself."""
    examples = examples_of(name)
    assert 2 <= len(examples) <= 4
    assert all(shlex.split(each)[0] == "granite-bench" for each in examples)
    assert any(each.startswith(name) for each in examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_of_an_example_is_wider_than_a_page(name: str) -> None:
    """So that none is folded where it could not be copied."""
    _, _, text = help_of(name).partition("\nExamples:\n")
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_every_example_is_taken_by_its_command(name: str, example: str) -> None:
    """Its options are there, and have values that they may have."""
    parsed(shlex.split(example))


def test_a_misspelt_option_of_an_example_would_be_seen() -> None:
    """Or the test above could pass over anything."""
    with pytest.raises(click.UsageError):
        parsed(["granite-bench", "run", "quickstart", "--modle", "x"])
    with pytest.raises(click.UsageError):
        parsed(["granite-bench", "cache", "prnue"])


@cache
def _known() -> Mapping[str, Collection[str]]:
    """Kind of name -> those that there are."""
    from granite_bench.models import search_models
    from granite_bench.suite.panel import load_panel
    from granite_bench.tasks import known_task_names

    models = {str(meta.name) for meta in search_models("")}
    models |= {model for name in panel_names() for model in load_panel(name).models}
    return {
        "suite": {*suite_names(), *overview_names()},
        "panel": panel_names(),
        "task": known_task_names(),
        "model": models,
    }


OF_KIND = {
    "suite": ("suite", "suites", "name"),
    "panel": ("panel",),
    "task": ("tasks", "task_names"),
    "model": (
        "model", "models", "model_names", "first_stages", "rerankers", "card", "against",
        "compared", "baseline_model", "speed_against",
    ),
}  # fmt: skip


def names_in(params: Mapping[str, Any], kind: str) -> Iterator[str]:
    """The names of a kind among the parameters, without folders before and variants behind."""
    for param in OF_KIND[kind]:
        value = params.get(param)
        for each in (value,) if isinstance(value, str) else value or ():
            name = each.rpartition("::")[2].split("@")[0]
            if name.startswith("untrained:"):
                find_geometry(name.removeprefix("untrained:"))  # raises where there is none
            else:
                yield name


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_every_example_names_suites_panels_tasks_and_models_that_there_are(
    name: str, example: str
) -> None:
    """Or a path that stands for the reader's own: path/to/..., and local/... for its result."""
    context = parsed(shlex.split(example))
    params = {} if context is None else context.params
    unknown = [
        each
        for kind in OF_KIND
        for each in names_in(params, kind)
        if each not in _known()[kind] and not each.startswith(("path/to/", "local/"))
    ]
    assert not unknown


# Options


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name: str) -> None:
    """And no command has more than fifteen of them without headings."""
    options = [each for each in COMMANDS[name].params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []
    if len(options) > 15:
        assert sum("heading" in vars(each) for each in options) >= len(options) - 3


def test_options_stand_under_headings_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of run, as its help prints them; what has none comes last."""
    assert main(["run", "--help"]) == 0
    heads = [line[:-1] for line in capsys.readouterr().out.splitlines() if line.endswith(":")]
    assert [head for head in heads if not head.startswith(" ")] == [
        "What to run",
        "How models read and search",
        "Reranking",
        "A server instead of this machine",
        "Device and batches",
        "Several devices, through Ray",
        "Folders",
        "Other options",
        "Examples",
    ]


def test_an_option_is_listed_once() -> None:
    """Under its heading, and not again among the others."""
    for name, command in COMMANDS.items():
        text, _, _ = help_of(name).partition("\nExamples:\n")
        lines = [line.split()[0].rstrip(",") for line in text.splitlines() if line.strip()]
        for option in command.params:
            if isinstance(option, click.Option):
                assert lines.count(option.opts[0]) <= 1, (name, option.opts)


def test_defaults_of_batches_are_those_of_the_engine() -> None:
    """The help says them by itself, as it must not import the engine."""
    said = f"{TOKEN_BUDGET_CPU:,} on a CPU, {TOKEN_BUDGET_GPU:,} on a GPU"
    assert said in help_of("granite-bench run")


# The list of commands


def test_every_command_is_listed_once_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    """In sections, each a sentence on one line of a window of 80 columns."""
    assert main(["--help"]) == 0
    listed = re.findall(r"^  ([a-z][a-z-]*) {2,}(\S.*)$", capsys.readouterr().out, re.MULTILINE)
    assert sorted(name for name, _ in listed) == sorted(cli.commands)
    assert [text for _, text in listed if not re.fullmatch(r"[^.]+[^.](\.|\?)", text)] == []


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_has_its_short_form(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For a group and for a command."""
    for words in ([], ["cache"], ["cache", "prune"]):
        assert main([*words, option]) == 0
        assert capsys.readouterr().out.startswith("Usage: granite-bench")


def test_help_is_there_at_once() -> None:
    """Under 0.3 s of CPU for the command with the most options; what reads files is not loaded."""
    heavy = {"pydantic", "yaml", "rich", "numpy", "pandas", "torch", "mteb"}
    code = (
        "import sys, time; from granite_bench.__main__ import main; main(['check', '--help']); "
        f"print(time.process_time(), *({heavy} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    seconds, *loaded = done.stdout.splitlines()[-1].split()
    assert loaded == []
    assert float(seconds) < 0.3
