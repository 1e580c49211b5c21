"""The command line: one group, a verb per command; granite_bench.commands has the verbs."""

from __future__ import annotations

import click

from granite_bench import __version__
from granite_bench.commands.audit import audit
from granite_bench.commands.cache import cache
from granite_bench.commands.check import check
from granite_bench.commands.compare import compare
from granite_bench.commands.encode import encode
from granite_bench.commands.export import export
from granite_bench.commands.export_run import export_run
from granite_bench.commands.fetch import fetch
from granite_bench.commands.group import Commands
from granite_bench.commands.names import models, panels, suites, tasks
from granite_bench.commands.parity import parity
from granite_bench.commands.plan import plan
from granite_bench.commands.report import report
from granite_bench.commands.run import run
from granite_bench.commands.speed import speed
from granite_bench.commands.table import table

_EXIT_CODES = (
    "Exit codes: 0 fine, 1 the gate failed, 2 bad input, 3 some task failed or is incomplete, "
    "4 a bug of ours, 130 interrupted."
)


@click.group(
    cls=Commands,
    epilog=_EXIT_CODES,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
    examples=(
        "granite-bench run quickstart",
        "granite-bench table quickstart",
        "granite-bench report quickstart",
        "granite-bench run --help",
    ),
)
@click.version_option(__version__, prog_name="granite-bench")
def cli() -> None:
    """Evaluate and compare text embedding models, with numbers that can be audited."""


cli.add_section("Measure", (run, speed, plan, encode))
cli.add_section("Read, compare and judge results", (table, report, compare, check, audit))
cli.add_section("Files of other programs", (export, parity, export_run))
cli.add_section("Find names", (suites, panels, tasks, models))
cli.add_section("Data and vectors on the disk", (fetch, cache))
