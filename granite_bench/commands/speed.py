"""granite-bench speed: documents a second and milliseconds a query, under a named protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from granite_bench.commands.help import Command, under
from granite_bench.commands.options import Names, Numbers, mirror_option, trust_option
from granite_bench.console import print_rows
from granite_bench.devices import DTYPES

if TYPE_CHECKING:
    from granite_bench.speed.session import Session


def _each_once(
    ctx: click.Context, param: click.Parameter, values: Sequence[Sequence[Any]]
) -> tuple[Any, ...]:
    """The values of an option that takes several, and may be repeated."""
    return tuple(dict.fromkeys(value for part in values for value in part))


@click.command(
    cls=Command,
    examples=(
        "granite-bench speed --model quickstart/all-MiniLM-L6-v2",
        "granite-bench speed --model intfloat/e5-small-v2 --model intfloat/e5-base-v2 \\\n"
        "    --protocol queries",
        "granite-bench speed --model untrained:granite-embedding-97m-multilingual-r2 \\\n"
        "    --dtype float32,bfloat16 --padding --no-padding",
        "granite-bench speed --model path/to/model --protocol file:corpus.jsonl \\\n"
        "    --token-budget 1024,4096",
    ),
)
@under(
    "What to measure",
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="MODEL",
        help="An id, a folder, or untrained:GEOMETRY; several take turns.",
    ),
    click.option(
        "--protocol",
        metavar="PROTOCOL",
        default="chunks-512",
        show_default=True,
        help="A name (--list shows them), suite:TASK or file:PATH.",
    ),
    click.option(
        "--protocols",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Look the name up in this file, which is as suites/speed.yaml.",
    ),
    click.option("--list", "only_list", is_flag=True, help="List the protocols, and stop."),
    click.option(
        "--documents",
        "n_documents",
        type=click.IntRange(min=1),
        help="Documents, or texts of a fixed length.  [default: the protocol's, by device]",
    ),
    click.option(
        "--repeats", type=click.IntRange(min=1), help="Turns.  [default: the protocol's, 3 or more]"
    ),
)
@under(
    "Settings; of several values, every combination takes its turn",
    click.option(
        "--device", metavar="DEVICE", help="cpu, cuda:0.  [default: the first GPU, else the CPU]"
    ),
    click.option(
        "--dtype",
        "dtypes",
        type=Names("type", DTYPES),
        multiple=True,
        callback=_each_once,
        help="Load the weights as this type.  [default: as mteb loads them]",
    ),
    click.option(
        "--max-length",
        "max_lengths",
        type=Numbers("tokens"),
        multiple=True,
        callback=_each_once,
        help="Cut texts to so many tokens.  [default: the model's own maximum]",
    ),
    click.option(
        "--batch-size",
        "batch_sizes",
        type=Numbers("texts"),
        multiple=True,
        callback=_each_once,
        help="Texts per batch.  [default: the protocol's]",
    ),
    click.option(
        "--token-budget",
        "token_budgets",
        type=Numbers("tokens"),
        multiple=True,
        callback=_each_once,
        help="Batches of so many padded tokens instead, as run makes them.",
    ),
    click.option("--padding", is_flag=True, help="Pad the texts of a batch."),
    click.option(
        "--no-padding",
        is_flag=True,
        help="Read them end to end where the model allows it; with --padding, compare the two.  "
        "[default: on a GPU in half precision]",
    ),
    click.option(
        "--compile",
        is_flag=True,
        help="torch.compile the layers of a model that runs without padding.",
    ),
    click.option(
        "--no-compile", is_flag=True, help="Do not; with --compile, compare the two.  [default]"
    ),
    trust_option,
)
@under(
    "Folders",
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path("results"),
        show_default=True,
        help="Put records into this results folder.",
    ),
    mirror_option,
)
def speed(
    models: Sequence[str],
    protocol: str,
    protocols: Path | None,
    only_list: bool,
    mirror: Path | None,
    trusted: tuple[str, ...],
    out: Path,
    device: str | None,
    n_documents: int | None,
    repeats: int | None,
    **options: Any,
) -> None:
    """
    Measure speed: models and settings in turns.

    Under a protocol with a name, which the record has.
    Settings that are given several values, such as --batch-size 32,128 or --batch-size 32
    --batch-size 128, are compared: every combination takes its turn.
    """
    from granite_bench.devices import best_device, device_faults
    from granite_bench.errors import BadInput, Fault
    from granite_bench.offline.mirror import mirror_folder
    from granite_bench.speed.protocol import find_protocol
    from granite_bench.speed.session import measure_speed
    from granite_bench.speed.settings import vary

    if only_list:
        _list_protocols(protocols)
        return
    if not models:
        raise click.UsageError("Missing option '--model'.")
    if options["batch_sizes"] and options["token_budgets"]:
        raise click.UsageError("--batch-size and --token-budget are two ways to make batches")
    faults = device_faults(device)
    if faults:
        raise BadInput(faults)
    # A flag and its opposite are the two values of one setting.
    options["paddings"] = _flags(options.pop("padding"), options.pop("no_padding"))
    options["compiles"] = _flags(options.pop("compile"), options.pop("no_compile"))
    given = {name: values for name, values in options.items() if values}
    settings = vary(device or best_device(), **given)
    found = find_protocol(protocol, protocols)
    if n_documents is not None:
        if found.kind == "queries":
            raise BadInput(Fault("--documents", f"{protocol} encodes no documents"))
        found = found.changed(n_documents=n_documents)
    session = measure_speed(
        models,
        found,
        settings,
        out=out,
        repeats=repeats,
        mirror=mirror_folder(mirror),
        trusted=trusted,
        say=lambda line: click.echo(line, err=True),
    )
    _print(session)


def _list_protocols(protocols: Path | None) -> None:
    from granite_bench.speed.protocol import load_protocols

    known = [each for each in load_protocols(protocols).values() if each.kind != "documents"]
    print_rows(("protocol", "measures"), [(each.name, each.title) for each in known])
    click.echo("and suite:TASK, the documents of a task; file:PATH, your own in chunks")


def _flags(on: bool, off: bool) -> tuple[bool, ...]:
    return (True,) * on + (False,) * off


_HEADS = {
    "documents_per_second": "docs/s",
    "chunks_per_second": "texts/s",
    "tokens_per_second": "tokens/s",
    "padded_tokens_per_second": "padded tokens/s",
    "model_chunks_per_second": "texts/s, tokenised before",
}


def _print(session: Session) -> None:
    from granite_bench.results.speed_comparison import Turns

    records, paths = session.records, session.paths
    if session.measurements[0].latencies:
        _print_latencies(session)
    else:
        _print_speeds(session)
    if records[0]["comparison"] is not None:
        for sentence in Turns.model_validate(records[0]["comparison"]).sentences:
            click.echo(sentence)
    for measured, record in zip(session.measurements, records, strict=True):
        for warning in record["warnings"]:
            click.echo(f"{measured.subject.label}: {warning}", err=True)
    for path in paths:
        click.echo(f"record: {path}")


def _print_speeds(session: Session) -> None:
    shown = [name for name in _HEADS if any(each["summary"][name] for each in session.records)]
    rows = [
        (
            measured.subject.label,
            *(_speed(record["summary"][name]) for name in shown),
            _share(record["summary"]["share_of_peak"]),
            _spread(record["summary"]["chunks_per_second"]),
        )
        for measured, record in zip(session.measurements, session.records, strict=True)
    ]
    heads = [_HEADS[name] for name in shown]
    print_rows(("model", *heads, "of peak", "spread"), rows)


def _print_latencies(session: Session) -> None:
    rows = []
    for measured, record in zip(session.measurements, session.records, strict=True):
        latency = record["latency"]
        for what, name in (("encode", "encode_ms"), ("encode + search", "encode_and_search_ms")):
            figures = [f"{latency[name][rank]:.1f}" for rank in ("p50", "p90", "p95", "p99")]
            rows.append((measured.subject.label, what, *figures))
    print_rows(("model", "a query, ms", "p50", "p90", "p95", "p99"), rows)


def _speed(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return "-"
    return f"{figure['median']:,.0f}" if figure["median"] >= 100 else f"{figure['median']:,.2f}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _spread(figure: Mapping[str, float]) -> str:
    """How far the passes are apart, as a share of their median."""
    return f"{(figure['most'] - figure['least']) / figure['median']:.1%}"
