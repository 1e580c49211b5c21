"""granite-bench check: did a change make anything worse than a policy allows?"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from granite_bench.commands.compare import KINDS
from granite_bench.commands.given import given_options
from granite_bench.commands.help import Command, under
from granite_bench.commands.run_options import prepare_run, run_options
from granite_bench.console import as_far_as_read
from granite_bench.errors import BadInput, Fault

if TYPE_CHECKING:
    from granite_bench.gate.verdicts import Check


def _show_policy(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from granite_bench.gate.policy import DEFAULT_POLICY

    click.echo(DEFAULT_POLICY, nl=False)
    ctx.exit()


@click.command(
    cls=Command,
    epilog="Exit codes: 0 passed, 1 something got worse, 2 bad input or not like for like, "
    "3 something is missing or failed to run.",
    examples=(
        "granite-bench check --suite quickstart --baseline baseline.json --update-baseline",
        "granite-bench check --suite quickstart --baseline baseline.json --junit check.xml",
        "granite-bench check --suite quickstart --baseline results --dims 128 \\\n"
        "    --model quickstart/all-MiniLM-L6-v2 --baseline-model quickstart/all-MiniLM-L6-v2",
        "granite-bench check --suite quickstart --baseline baseline.json --update-baseline \\\n"
        "    --accept 'half the dimensions, a quarter of the cost'",
    ),
)
@under(
    "What to judge, and by what",
    click.option("--suite", required=True, metavar="SUITE", help="A suite's name or its file."),
    click.option(
        "--baseline",
        required=True,
        type=click.Path(path_type=Path),
        help="A results folder, or the file that --update-baseline writes.",
    ),
    click.option(
        "--policy",
        type=click.Path(path_type=Path),
        help="What may get worse, and by how much (YAML).  [default: see --show-policy]",
    ),
    click.option(
        "--show-policy",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_policy,
        help="Print the default policy, and stop.",
    ),
    click.option(
        "--baseline-model",
        metavar="NAME",
        help="Hold all candidates against this model of the baseline, such as variants against the "
        "full model.  [default: the one of the same name]",
    ),
    click.option(
        "--speed-against",
        metavar="MODEL",
        help="The id or folder to load the baseline's model from, where a policy judges speed.",
    ),
    click.option("--no-run", is_flag=True, help="Run nothing: judge the results that are there."),
    click.option(
        "--allow",
        "allowed",
        multiple=True,
        type=click.Choice(KINDS),
        help="Judge results all the same that are not like for like in this; may be repeated.",
    ),
)
@under(
    "The next baseline",
    click.option(
        "--update-baseline",
        "update",
        is_flag=True,
        help="Write what was measured to the baseline's file, if the check passed.",
    ),
    click.option(
        "--accept",
        "accepted",
        metavar="REASON",
        help="Update the baseline though something got worse; the reason is kept in its history.",
    ),
)
@under(
    "Files for other programs",
    click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML to this file."),
    click.option(
        "--json", "as_json", type=click.Path(path_type=Path), help="Write JSON to this file."
    ),
    click.option(
        "--summary",
        type=click.Path(path_type=Path),
        help="Write Markdown to this file.  [default: GitHub's step summary, in a workflow]",
    ),
    click.option("--no-annotations", is_flag=True, help="No annotations in a GitHub workflow."),
)
@run_options
@click.pass_context
def check(
    ctx: click.Context,
    /,
    suite: str,
    junit: Path | None,
    as_json: Path | None,
    summary: Path | None,
    no_annotations: bool,
    no_run: bool,
    **options: Any,
) -> None:
    """
    Judge a change: nothing may be worse than a policy allows.

    What is missing is run; every task, part and the average is compared with the baseline.
    """
    outputs = _Outputs(suite, junit, as_json, summary, not no_annotations)
    # Whatever ends this process, nobody reads the files of an earlier check for its own.
    outputs.begin()
    try:
        found = _check(ctx, suite, no_run=no_run, **options)
    except BadInput as error:
        outputs.refuse(error.faults)
        raise
    outputs.write(found)
    sys.exit(found.exit_code)


def _check(
    ctx: click.Context,
    suite: str,
    *,
    baseline: Path,
    policy: Path | None,
    baseline_model: str | None,
    speed_against: str | None,
    no_run: bool,
    allowed: Collection[str],
    update: bool,
    accepted: str | None,
    **options: Any,
) -> Check:
    from granite_bench.gate.checking import check as run_check
    from granite_bench.gate.request import Request

    request = Request(
        suite=suite,
        baseline=baseline,
        policy=policy,
        models=options["models"],
        others_named=any(options[name] for name in ("panel", "rerankers", "first_stages")),
        tasks=options["tasks"],
        results=options["results"],
        baseline_model=baseline_model,
        speed_against=speed_against,
        allowed=allowed,
        update=update,
        accepted=accepted,
        conditions=options,
    )
    if no_run and options["panel"]:
        raise click.UsageError("--panel is for a run; name models with --model beside --no-run")

    def run(models: Sequence[str]) -> Any:
        return prepare_run(suite, **{**options, "models": tuple(models)})

    return run_check(
        request,
        _Reproduction(ctx),
        None if no_run else run,
        say=lambda line: click.echo(line, err=True),
    )


_LOG_WIDTH = 120
"""Columns that GitHub shows of a log."""


@dataclass(frozen=True)
class _Outputs:
    """Where a check goes, beside the terminal."""

    suite: str
    junit: Path | None
    json: Path | None
    summary: Path | None
    annotate: bool

    def write(self, check: Check) -> None:
        """The check, to all that was asked for."""
        from granite_bench.files.local import write_atomically
        from granite_bench.report.gate import as_json, print_check, step_summary
        from granite_bench.report.github import check_annotations
        from granite_bench.report.junit import as_junit
        from granite_bench.report.text import terminal

        # A reader that goes away changes neither the files nor the verdict.
        with as_far_as_read():
            print_check(check, terminal(_LOG_WIDTH))
        if self.junit is not None:
            write_atomically(self.junit, as_junit(check))
        if self.json is not None:
            write_atomically(self.json, as_json(check).encode())
        if self.summary is not None:
            write_atomically(self.summary, step_summary(check).encode())
        else:
            self._append_step_summary(step_summary(check))
        self._annotate(check_annotations(check))

    def begin(self) -> None:
        """Put files that say that the check did not finish in the place of earlier ones."""
        from granite_bench.report.gate import UNFINISHED

        self._write_refusal([Fault("granite-bench check", "did not finish")], UNFINISHED)

    def refuse(self, faults: Sequence[Fault]) -> None:
        """What kept the check from judging anything."""
        from granite_bench.report.gate import REFUSED, refusal_summary
        from granite_bench.report.github import refusal_annotations

        self._write_refusal(faults, REFUSED)
        if self.summary is None:
            self._append_step_summary(refusal_summary(self.suite, faults))
        self._annotate(refusal_annotations(faults))

    def _write_refusal(self, faults: Sequence[Fault], status: str) -> None:
        from granite_bench.files.local import write_atomically
        from granite_bench.report.gate import refusal_as_json, refusal_summary
        from granite_bench.report.junit import refusal_as_junit

        contents = (
            (self.junit, refusal_as_junit(self.suite, faults, status)),
            (self.json, refusal_as_json(self.suite, faults, status).encode()),
            (self.summary, refusal_summary(self.suite, faults, status).encode()),
        )
        for path, content in contents:
            if path is not None:
                write_atomically(path, content)

    def _append_step_summary(self, text: str) -> None:
        """What other steps wrote stays."""
        if named := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(named).open("a", encoding="utf-8") as file:
                file.write(text)

    def _annotate(self, lines: Iterable[str]) -> None:
        """For the log of a GitHub workflow, which makes them annotations."""
        if self.annotate and os.environ.get("GITHUB_ACTIONS") == "true":
            with as_far_as_read():
                for line in lines:
                    click.echo(line)


_NOT_AGAIN = {"update", "accepted", "junit", "as_json", "summary", "no_annotations", "tasks"}
"""Options that a verdict does not depend on, and the task, which is that of the verdict."""


class _Reproduction:
    """The options of a command line, for the command that comes to a verdict again."""

    def __init__(self, ctx: click.Context) -> None:
        self._given = given_options(ctx)

    def __call__(self, model: str, settings: Mapping[str, Any], task: str, *, run: bool) -> str:
        """See checking.Reproduce."""
        from granite_bench.tables.run_command import RUN_OPTIONS
        from granite_bench.tables.variant_settings import name_without

        without = {*_NOT_AGAIN, *(("models", "panel") if model else ())}
        missing = run and "no_run" in self._given
        if missing:
            without.add("no_run")
            model = name_without(model, settings, settings)
        words = ["granite-bench", "check"]
        for name, given in self._given.items():
            if name not in without:
                words += given
        words += ["--model", model] if model else []
        for name, value in sorted(settings.items()) if run else ():
            if name in RUN_OPTIONS and RUN_OPTIONS[name] not in words:
                words += [RUN_OPTIONS[name], str(value)]
        words += ["--task", task] if task else []
        return shlex.join(words)
