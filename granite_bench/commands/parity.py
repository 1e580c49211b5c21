"""granite-bench parity: a model's exported files against the model in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from granite_bench.commands.help import Command
from granite_bench.commands.options import (
    mirror_option,
    out_option,
    tasks_option,
    trust_option,
    vectors_option,
)
from granite_bench.devices import BACKENDS


@click.command(
    cls=Command,
    examples=(
        "granite-bench parity quickstart/all-MiniLM-L6-v2 quickstart",
        "granite-bench parity path/to/model --task path/to/beir-folder --html parity.html",
        "granite-bench parity path/to/model --task NFCorpus --backend-file onnx/model_qint8.onnx",
    ),
)
@click.argument("model")
@click.argument("suite", required=False)
@tasks_option
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice([each for each in BACKENDS if each != "torch"]),
    help="Take the files of this one; may be repeated.  [default: every exported file]",
)
@click.option(
    "--backend-file",
    "files",
    multiple=True,
    help="Take this file, such as onnx/model_qint8.onnx; may be repeated.",
)
@mirror_option
@out_option
@vectors_option
@trust_option
@click.option("--html", type=click.Path(path_type=Path), help="Write the report here as a page.")
@click.option("--json", type=click.Path(path_type=Path), help="Write its figures here.")
def parity(
    model: str, backends: Any, files: Any, html: Path | None, json: Path | None, **options: Any
) -> None:
    """
    Compare exported files with the model in torch.

    Their vectors, nDCG@10, speed and size, on the tasks of SUITE or those given with --task. What
    is missing is run, on the CPU, with all dimensions and float32 vectors.
    """
    from granite_bench.files.local import write_atomically
    from granite_bench.offline.mirror import mirror_folder
    from granite_bench.parity import compare_backends, exported_variants
    from granite_bench.report.index import write_page
    from granite_bench.report.parity import as_json, parity_page, print_parity
    from granite_bench.report.text import terminal
    from granite_bench.results.tree import settings_text
    from granite_bench.runner.preparation import prepare
    from granite_bench.suite.overview import is_overview

    if options["suite"] is not None and is_overview(options["suite"]):
        raise click.UsageError("name one suite; an overview has several")
    given = {name: value for name, value in options.items() if value is not None}
    prepared = prepare(models=[model], device="cpu", **given)
    reference, *others = prepared.plan.sources
    if others:
        left = ", ".join(settings_text(each.settings) for each in others)
        click.echo(f"only with all dimensions in float32; left out: {left}", err=True)
    mirror = mirror_folder(options["mirror"])
    candidates = exported_variants(reference, model, mirror=mirror, backends=backends, files=files)
    prepared.store.check_writable()
    found = compare_backends(
        reference,
        candidates,
        prepared.tasks,
        prepared.store,
        prepared.options,
        say=lambda line: click.echo(line, err=True),
    )
    print_parity(found, terminal())
    if html is not None:
        write_page(html, parity_page(found))
        click.echo(f"report: {html}")
    if json is not None:
        write_atomically(json, as_json(found).encode())
        click.echo(f"report: {json}")
