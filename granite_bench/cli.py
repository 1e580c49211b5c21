"""The command line: a verb is one call of the API; errors become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from granite_bench import __version__
from granite_bench.console import print_rows
from granite_bench.errors import BadInput, ExitCode, did_you_mean

FORMATS = ("terminal", "md", "html", "latex", "csv", "json")

_EXIT_CODES = (
    "Exit codes: 0 fine, 2 bad input, 3 some task failed or is incomplete, 4 a bug of ours, "
    "130 interrupted."
)


class _Commands(click.Group):
    """A group that suggests the nearest command for a misspelt one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            hint = did_you_mean(args[0], known) or f"there are: {', '.join(known)}"
            ctx.fail(f"unknown command '{args[0]}'\n  {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader (head, less) went away, which is no fault; click would exit with 1, and
            # that means that the gate failed. What is still buffered has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None


@click.group(cls=_Commands, epilog=_EXIT_CODES, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="granite-bench")
def cli() -> None:
    """Evaluate and compare text embedding models, with numbers that can be audited."""


_table_options = [
    click.option(
        "--results",
        "results",
        multiple=True,
        type=click.Path(path_type=Path),
        default=(Path("results"),),
        show_default="results",
        help="A results folder, or a clone of mteb's public results; may be repeated.",
    ),
    click.option(
        "--model", "models", multiple=True, help="Show this model; may be repeated. Default: all."
    ),
    click.option("--panel", help="Show the models of this panel (see panels)."),
    click.option(
        "--by",
        default="task",
        show_default=True,
        help="Columns: task, or a grouping of the suite such as language, type or length.",
    ),
    click.option(
        "--partial", is_flag=True, help="Average incomplete rows too, marked with * everywhere."
    ),
    click.option(
        "--common", is_flag=True, help="Only the tasks that every model with results has."
    ),
    click.option(
        "--own-first",
        is_flag=True,
        help="Results of the first folder win, even if less complete.",
    ),
    click.option(
        "--facts", is_flag=True, help="Parameters, dimension, maximum length, zero-shot share."
    ),
]


def _for_tables(command: Any) -> Any:
    """The options that choose and shape a table."""
    for option in reversed(_table_options):
        command = option(command)
    return command


_mirror_option = click.option(
    "--mirror",
    type=click.Path(path_type=Path),
    help="A folder with data sets and models as org/name.  [env: GRANITE_BENCH_MIRROR]",
)


@cli.command(
    epilog="\b\nExamples:\n"
    "  granite-bench run quickstart\n"
    "  granite-bench run english-retrieval --model ibm-granite/granite-embedding-english-r2\n"
    "  granite-bench run --task XQuADRetrieval --subset en --model intfloat/e5-small-v2\n"
    "  granite-bench run --task path/to/beir-folder --model path/to/model"
)
@click.argument("suite", required=False)
@click.option("--model", "models", multiple=True, help="An id or a folder; may be repeated.")
@click.option("--panel", help="Run the models of this panel (see panels).")
@click.option(
    "--task", "tasks", multiple=True, help="A task's name or a BEIR-layout folder; may be repeated."
)
@click.option(
    "--subset",
    "subsets",
    multiple=True,
    help="A subset as mteb names it, such as en; may be repeated.",
)
@_mirror_option
@click.option(
    "--out",
    "results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Where results go.",
)
@click.option(
    "--vectors",
    type=click.Path(path_type=Path),
    help="Where vectors are kept.  [default: ~/.cache/granite-bench/vectors]",
)
@click.option("--no-vectors", is_flag=True, help="Keep no vectors: nothing to resume from.")
@click.option("--device", help="cpu, cuda:0, mps.  [default: the best there is]")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Load the weights as this type.  [default: as mteb loads them]",
)
@click.option(
    "--max-length",
    type=click.IntRange(min=1),
    help="Cut texts to this many tokens.  [default: the model's own maximum]",
)
@click.option(
    "--token-budget",
    type=click.IntRange(min=1),
    help="Padded tokens per batch.  [default: by device]",
)
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
def run(
    panel: str | None, vectors: Path | None, no_vectors: bool, dry_run: bool, **options: Any
) -> None:
    """Evaluate models on SUITE, or on the tasks given with --task."""
    from granite_bench.api import DEFAULT_VECTORS, prepare
    from granite_bench.suite import load_panel

    if panel is not None:
        options["models"] = (*options["models"], *load_panel(panel).models)
    suite = options["suite"]
    prepared = prepare(vectors=None if no_vectors else vectors or DEFAULT_VECTORS, **options)
    _print_plan(prepared.plan)
    if dry_run or not prepared.plan.to_run:
        click.echo("nothing was run" if dry_run else "nothing to do: every result is there")
        return
    outcomes = prepared.start(say=lambda line: click.echo(line, err=True))
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    n_ran = sum(outcome.status == "ran" for outcome in outcomes)
    n_done = sum(outcome.status == "done" for outcome in outcomes)
    click.echo(
        f"{n_ran} finished, {n_done} were there, {len(failed)} failed; "
        f"results in {prepared.store.root}"
    )
    for outcome in failed:
        click.echo(f"failed: {outcome.model} on {outcome.task}: {outcome.cause}", err=True)
    if suite is not None:
        click.echo(f"next: granite-bench table {suite} --results {options['results']}")
    if failed:
        sys.exit(ExitCode.INCOMPLETE)


@cli.command(
    epilog="\b\nExamples:\n"
    "  granite-bench table quickstart\n"
    "  granite-bench table miracl --by language --format md"
)
@click.argument("suite")
@_for_tables
@click.option("--format", "form", type=click.Choice(FORMATS), default="terminal", show_default=True)
def table(suite: str, form: str, **options: Any) -> None:
    """Print the table of SUITE, or of an overview: models by tasks, averages, speed."""
    from granite_bench.report.layout import lay_out

    made = _make_table(suite, **options)
    page = lay_out(made)
    if form == "terminal":
        from rich.console import Console

        from granite_bench.report.text import print_page

        # A pipe has no width; 80 columns would fold a table that a file has room for.
        print_page(page, Console(width=None if sys.stdout.isatty() else 240))
    elif form == "html":
        from granite_bench.report.html import suite_page

        click.echo(suite_page(made), nl=False)
    else:
        from granite_bench.report.text import as_csv, as_json, as_latex, as_markdown

        write = {"md": as_markdown, "latex": as_latex, "csv": as_csv, "json": as_json}[form]
        click.echo(write(page), nl=False)


@cli.command(epilog="\b\nExample:\n  granite-bench report quickstart")
@click.argument("suite")
@_for_tables
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file.  [default: reports/SUITE.html]"
)
def report(suite: str, out: Path | None, **options: Any) -> None:
    """Write the report of SUITE as one HTML file."""
    from granite_bench.files import write_atomically
    from granite_bench.report.html import suite_page

    made = _make_table(suite, **options)
    path = out or Path("reports") / f"{made.suite.name}.html"
    write_atomically(path, suite_page(made).encode())
    click.echo(f"report: {path}")


@cli.command(
    epilog="\b\nExamples:\n"
    "  granite-bench audit paper_table_2.csv --results mteb-results\n"
    "  granite-bench audit published/*.csv --results mteb-results --format html --out audit.html"
)
@click.argument(
    "published",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="PUBLISHED.csv...",
)
@click.option(
    "--results",
    multiple=True,
    type=click.Path(path_type=Path),
    default=(Path("results"),),
    show_default="results",
    help="A results folder, or a clone of mteb's public results; may be repeated.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "html", "csv"]),
    default="terminal",
    show_default=True,
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file.  [default: standard output]"
)
def audit(published: Sequence[Path], results: Sequence[Path], form: str, out: Path | None) -> None:
    """
    Compare printed figures with raw results, cell by cell.

    PUBLISHED.csv has the columns source, table, model, column, value, unit, note; a YAML file of
    the same name beside it may say what its columns are.
    """
    from granite_bench.report.audit import audit_command

    audit_command(published, results, out, form)


@cli.group(cls=_Commands, invoke_without_command=True)
@click.pass_context
def suites(ctx: click.Context) -> None:
    """List the suites; `suites show NAME` shows one."""
    if ctx.invoked_subcommand is None:
        from granite_bench.suite import load_suite, suite_names

        rows = [(s.name, len(s.tasks), s.title) for s in map(load_suite, suite_names())]
        print_rows(("suite", "tasks", "title"), rows)


@suites.command()
@click.argument("name")
def show(name: str) -> None:
    """Show the tasks of a suite and how they are averaged."""
    from granite_bench.suite import load_suite

    suite = load_suite(name)
    click.echo(f"{suite.name}: {suite.title}\n{suite.description.strip()}")
    length = suite.max_length or "each model's own"
    click.echo(f"average over {suite.average}; max length: {length}; panel: {suite.panel or '-'}")
    if suite.groups:
        click.echo(f"groupings: {', '.join(grouping.by for grouping in suite.groups)}")
    rows = [
        (
            task.name,
            task.metric,
            _shortened(task.splits),
            _shortened(task.subsets),
            task.group or "",
            f"mean of {len(task.parts)}" if task.parts else "",
        )
        for task in suite.tasks
    ]
    print_rows(("task", "metric", "splits", "subsets", "group", ""), rows)


@cli.command()
def panels() -> None:
    """List the panels: sets of models that tables compare."""
    from granite_bench.suite import load_panel, panel_names

    for panel in map(load_panel, panel_names()):
        click.echo(f"{panel.name}: {panel.title}")
        click.echo("".join(f"  {model}\n" for model in panel.models), nl=False)


@cli.command()
@click.option("--search", "pattern", default="", help="Part of a name, type or description.")
def tasks(pattern: str) -> None:
    """List tasks: the built-in ones and mteb's text tasks."""
    from granite_bench.tasks import search_tasks

    found = search_tasks(pattern)
    rows = [
        (
            t.metadata.name,
            t.metadata.type,
            t.metadata.main_score,
            len(t.hf_subsets),
            ", ".join(t.eval_splits[:3]),
        )
        for t in found
    ]
    _print_found(("task", "type", "main score", "subsets", "splits"), rows, "task", pattern)


@cli.command()
@click.option("--search", "pattern", default="", help="Part of an id.")
def models(pattern: str) -> None:
    """List models that mteb knows, with parameters, dimension and maximum length."""
    from granite_bench.models import search_models

    rows = [
        (
            m.name,
            "/".join(m.model_type),
            _count(m.n_parameters),
            _dimension(m.embed_dim),
            _count(m.max_tokens),
        )
        for m in search_models(pattern)
    ]
    _print_found(("model", "type", "parameters", "dimension", "max length"), rows, "model", pattern)


@cli.command(
    epilog="\b\nExamples:\n"
    "  granite-bench fetch nano --to mirror --dry-run\n"
    "  granite-bench fetch nano --to mirror --model ibm-granite/granite-embedding-english-r2\n"
    "  granite-bench fetch --to mirror --verify"
)
@click.argument("suite", required=False)
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, help="The mirror.")
@click.option("--task", "task_names", multiple=True, help="A task of mteb; may be repeated.")
@click.option("--model", "model_names", multiple=True, help="A model of mteb; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Show what would be fetched, with sizes, and stop.")
@click.option("--verify", is_flag=True, help="Compare what is there with the manifest.")
def fetch(
    suite: str | None,
    folder: Path,
    task_names: Sequence[str],
    model_names: Sequence[str],
    dry_run: bool,
    verify: bool,
) -> None:
    """Fill an offline mirror with the data sets of SUITE, and with models."""
    if verify:
        from granite_bench.mirror import read_manifest
        from granite_bench.mirror import verify as verify_mirror

        faults = verify_mirror(folder)
        if faults:
            raise BadInput(faults)
        click.echo(
            f"{folder}: {len(read_manifest(folder).repos)} repositories, every file as fetched"
        )
        return
    if not (suite or task_names or model_names):
        raise click.UsageError("nothing to fetch: name a suite, or give --task or --model")
    from granite_bench.fetch import fetch as fetch_all
    from granite_bench.fetch_plan import COLUMNS, describe, plan_fetch
    from granite_bench.models import find_model
    from granite_bench.suite import load_suite
    from granite_bench.tasks import BUILT_IN, find_task, known_task_names

    entries = load_suite(suite, known_tasks=known_task_names()).tasks if suite else ()
    names = [*(entry.name for entry in entries if not entry.path), *task_names]
    wanted = [find_task(name) for name in names if name not in BUILT_IN]
    plan = plan_fetch(wanted, [find_model(name).meta for name in model_names], folder)
    print_rows(COLUMNS, describe(plan))
    for remark in plan.remarks():
        click.echo(remark)
    if dry_run:
        return
    from tqdm import tqdm

    with tqdm(total=plan.n_bytes, unit="B", unit_scale=True, disable=None) as bar:

        def advance(repo: str, path: str, n_bytes: int) -> None:
            bar.set_description(repo)
            bar.update(n_bytes)

        fetch_all(plan, folder, advance)
    click.echo(
        f"{folder}: {len(plan.repos)} repositories are there; use them with --mirror {folder}"
    )


def _make_table(
    name: str, *, results: Sequence[Path], models: Sequence[str], panel: str | None, **options: Any
) -> Any:
    from granite_bench.suite import is_overview, load_overview, load_panel, load_suite
    from granite_bench.table import Options, make_overview, make_table

    shown = [*models, *(load_panel(panel).models if panel else ())]
    if is_overview(name):
        if options["by"] != "task" or options["common"]:
            raise click.UsageError("an overview has its suites as columns; leave --by and --common")
        chosen = Options(models=shown or None, **{**options, "facts": True})
        return make_overview(load_overview(name), results, chosen)
    return make_table(
        load_suite(name), results, Options(models=shown or None, **options), source=name
    )


def _print_plan(plan: Any) -> None:
    rows = [
        (
            job.source.name,
            job.task.metadata.name,
            job.reason,
            _count(job.n_docs),
            _count(job.n_queries),
        )
        for job in plan.jobs
    ]
    print_rows(("model", "task", "plan", "docs", "queries"), rows)
    if plan.downloads:
        click.echo(f"to download ({len(plan.downloads)}; sizes: granite-bench fetch --dry-run):")
        for repo in plan.downloads:
            click.echo(f"  {repo}")


def _print_found(
    heads: Sequence[str], rows: Sequence[Sequence[Any]], kind: str, pattern: str
) -> None:
    if not rows:
        click.echo(f"no {kind} contains '{pattern}'", err=True)
        sys.exit(ExitCode.BAD_INPUT)
    print_rows(heads, rows)
    click.echo(f"{len(rows)} {kind}s", err=True)


def _count(number: float | None) -> str:
    return "-" if number is None else f"{number:,.0f}"


def _dimension(dimension: Any) -> str:
    return (
        "-"
        if dimension is None
        else str(max(dimension) if isinstance(dimension, list) else dimension)
    )


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
