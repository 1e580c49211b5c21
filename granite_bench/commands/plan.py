"""granite-bench plan: what a run would take, on paper: hours, gigabytes and the bottleneck."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from granite_bench.commands.given import given_options
from granite_bench.commands.help import Command, under
from granite_bench.commands.options import format_option
from granite_bench.commands.run_options import prepare_run, run_options, subset_option
from granite_bench.console import count_text, print_rows
from granite_bench.files.local import size_text

if TYPE_CHECKING:
    from granite_bench.forecast.estimate import Estimate
    from granite_bench.forecast.forecast import Forecast


_FORECAST = "What to forecast"


@click.command(
    cls=Command,
    examples=(
        "granite-bench plan quickstart",
        "granite-bench plan multilingual-retrieval --panel multilingual-r2 --kind h100 --gpus 8",
        "granite-bench plan --task MIRACLRetrieval --model intfloat/e5-base-v2 --kind a100 \\\n"
        "    --dtype bfloat16 --format json",
    ),
)
@click.argument("suite", required=False)
@under(
    _FORECAST,
    click.option(
        "--kind",
        metavar="KIND",
        help="The kind of GPU to run on, such as h100.  [default: this machine's device]",
    ),
    click.option(
        "--gpus",
        "n_devices",
        type=click.IntRange(min=1),
        help="How many of them; of a CPU, machines.  [default: those of --devices, or 1]",
    ),
    click.option(
        "--workers",
        "n_workers",
        type=click.IntRange(min=1),
        help="Processes that encode; more than GPUs share them.  [default: those of --devices, or "
        "one per GPU]",
    ),
    click.option(
        "--store-mb-per-second",
        type=click.FloatRange(min=0, min_open=True),
        default=500.0,
        show_default=True,
        help="What the vector store takes from all workers together.",
    ),
    click.option(
        "--from-scratch", is_flag=True, help="Count everything, also what is there already."
    ),
    format_option(("terminal", "json")),
)
@run_options
@subset_option
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    suite: str | None,
    kind: str | None,
    n_devices: int | None,
    n_workers: int | None,
    store_mb_per_second: float,
    from_scratch: bool,
    form: str,
    **options: Any,
) -> None:
    """
    Forecast a run: hours, gigabytes, bottleneck.

    Give it the options of the run. Nothing is loaded, downloaded or run. Speeds are those of
    granite-bench speed where there are any in --results, else of earlier runs, else arithmetic.
    What is assumed is printed with the forecast.
    """
    from granite_bench.forecast.devices import find_kind, this_device
    from granite_bench.forecast.forecast import forecast_of

    device = find_kind(kind) if kind is not None else None
    results: Path = options["results"]
    with tempfile.TemporaryDirectory() as nothing_there:
        if from_scratch:
            options["results"] = Path(nothing_there)
        prepared = prepare_run(suite, **options)
    if prepared.nothing_to_do and form == "terminal":
        click.echo("nothing to do: every result is there   (--from-scratch counts everything)")
        return
    devices: Sequence[str] = options["devices"] or ()
    forecast = forecast_of(
        prepared.plan,
        device=device or this_device(next(iter(devices), options["device"])),
        n_devices=n_devices or len(set(devices)) or 1,
        n_workers=n_workers or len(devices) or None,
        results=results,
        stored=prepared.options.vectors is not None,
        store_bytes_per_second=store_mb_per_second * 1e6,
        token_budget=prepared.options.token_budget,
    )
    if form == "json":
        click.echo(json.dumps(_content(forecast), indent=1))
        return
    _print(forecast, n_done=len(prepared.plan.jobs) - len(prepared.plan.to_run))
    if forecast.models:
        click.echo(f"next: {_run_of(ctx, suite)}")


def _print(forecast: Forecast, *, n_done: int) -> None:
    from granite_bench.forecast.forecast import duration_text, hours_text, unknown_texts
    from granite_bench.tables.variant_settings import name_without

    held = "GPU-hours" if forecast.device.is_gpu else "machine-hours"
    share = forecast.n_devices / forecast.n_workers
    # Settings would make the column wide; they stay where only they tell two rows apart.
    short = [name_without(each.name, each.settings, each.settings) for each in forecast.models]
    names = [
        bare if short.count(bare) == 1 else each.name
        for bare, each in zip(short, forecast.models, strict=True)
    ]
    rows = [
        (
            name,
            each.tasks[0] if len(each.tasks) == 1 else f"{len(each.tasks)} tasks",
            count_text(each.n_docs),
            count_text(each.n_queries),
            f"{each.n_tokens.likely / 1e6:,.1f}",
            duration_text(each.seconds),
            hours_text(each.held_seconds.times(share)),
            size_text(each.vector_bytes) if each.vector_bytes else "-",
        )
        for name, each in zip(names, forecast.models, strict=True)
    ]
    if rows:
        print_rows(("model", "task", "docs", "queries", "M tokens", "time", held, "vectors"), rows)
    for line in _settings_lines(forecast, short):
        _say(line)
    for line in unknown_texts(forecast.unknown):
        _say(f"unknown: {line}")
    if n_done:
        click.echo(f"{n_done} {'job is' if n_done == 1 else 'jobs are'} done, and not counted")
    if not rows:
        click.echo("nothing of this can be forecast")
        return
    without = f", without {_jobs(len(forecast.unknown))} unknown" if forecast.unknown else ""
    workers = "1 worker" if forecast.n_workers == 1 else f"{forecast.n_workers} workers"
    click.echo()
    _say(
        f"total{without}: {duration_text(forecast.seconds)} on {workers}, "
        f"{forecast.n_devices} x {forecast.device.label}; "
        f"{hours_text(forecast.device_seconds)} held, workers busy {forecast.busy_share:.0%}"
    )
    _say(f"bottleneck: {forecast.likely.bottleneck}")
    for line in _size_lines(forecast):
        _say(line)
    click.echo("\nassumed and known:")
    for line in forecast.assumptions:
        _say(line, indent="  ")


def _say(line: str, *, indent: str = "") -> None:
    click.echo(click.wrap_text(line, 100, initial_indent=indent, subsequent_indent=f"{indent}  "))


def _settings_lines(forecast: Forecast, names: Sequence[str]) -> list[str]:
    """What makes the rows differ from the published models."""
    from granite_bench.results.tree import settings_text

    each = [settings_text(model.settings) for model in forecast.models]
    if len(set(each)) == 1 and each[0]:
        return [f"all with {each[0]}"]
    return [f"{name} with {text}" for name, text in zip(names, each, strict=True) if text]


def _size_lines(forecast: Forecast) -> list[str]:
    sizes = forecast.sizes
    parts = [f"{size_text(sizes.vectors)} of vectors on the disk"]
    if sizes.weights:
        parts.append(f"{size_text(round(sizes.weights))} of weights to download")
    if sizes.data:
        parts.append(f"{size_text(round(sizes.data))} of texts to download, before compression")
    lines = ["sizes: " + ", ".join(parts)]
    memory = f"memory: {size_text(round(sizes.driver))} in the driver for the largest task"
    if sizes.worker is not None:
        memory += (
            f", {size_text(round(sizes.worker))} on a device for the largest model and a batch"
        )
    lines.append(memory)
    kind = forecast.device.kind
    if kind is not None and sizes.worker is not None and sizes.worker > kind.memory_gb * 1e9:
        lines.append(
            f"that is more than the {kind.memory_gb:,.0f} GB of {kind.label}; "
            "a smaller --token-budget takes less"
        )
    return lines


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _run_of(ctx: click.Context, suite: str | None) -> str:
    """The command of the run that was forecast."""
    only_here = {
        str(param.name)
        for param in ctx.command.params
        if getattr(param, "heading", "") == _FORECAST
    }
    words = ["granite-bench", "run", *([] if suite is None else [suite])]
    for name, given in given_options(ctx).items():
        if name not in only_here:
            words += given
    return shlex.join(words)


def _content(forecast: Forecast) -> dict[str, Any]:
    """The forecast as JSON; three values are low, likely, high."""
    return {
        "device": forecast.device.label,
        "n_devices": forecast.n_devices,
        "n_workers": forecast.n_workers,
        "seconds": _three(forecast.seconds),
        "device_seconds": _three(forecast.device_seconds),
        "busy_share": forecast.busy_share,
        "stages": forecast.likely.stages,
        "bottleneck": forecast.likely.bottleneck,
        "models": [
            {
                "model": each.name,
                "tasks": list(each.tasks),
                "n_docs": each.n_docs,
                "n_queries": each.n_queries,
                "n_tokens": _three(each.n_tokens),
                "tokens_per_second": _three(each.rate.tokens_per_second),
                "speed_basis": each.rate.basis,
                "speed_source": each.rate.source,
                "seconds": _three(each.seconds),
                "vector_bytes": each.vector_bytes,
            }
            for each in forecast.models
        ],
        "unknown": [asdict(each) for each in forecast.unknown],
        "bytes": asdict(forecast.sizes),
        "assumptions": list(forecast.assumptions),
    }


def _three(estimate: Estimate) -> list[float]:
    return list(astuple(estimate))
