"""A comparison for a terminal, as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from granite_bench.comparison.candidates import Candidate
from granite_bench.comparison.costs import Cost
from granite_bench.comparison.differences import Comparison, Difference
from granite_bench.comparison.side_by_side import ReferencePair
from granite_bench.errors import plain
from granite_bench.report.changed_queries import HitView, QueryView
from granite_bench.report.comparison import ComparisonReport
from granite_bench.report.text import as_latex as table_as_latex
from granite_bench.report.text import as_markdown as table_as_markdown
from granite_bench.report.text import as_printed, csv_text, markdown_text, print_table
from granite_bench.stats.bootstrap import ConfidenceInterval

VERSION = 1


def print_comparison(report: ComparisonReport, console: Console) -> None:
    """Print the findings, the warnings before them, and every table."""
    for line in report.warnings:
        console.print(Text(f"! {plain(line)}", style="bold yellow"), highlight=False)
    for line in report.findings:
        console.print(Text(plain(line), style="bold"), highlight=False)
    for table in report.tables:
        console.print()
        print_table(table, console)


def as_text(report: ComparisonReport) -> str:
    """What a terminal shows, without colours."""
    return as_printed(lambda console: print_comparison(report, console))


def as_markdown(report: ComparisonReport) -> str:
    """The findings as a list, and every table under a heading."""
    lines = [f"# {markdown_text(report.title)}", ""]
    lines += [f"> **{markdown_text(line)}**\n" for line in report.warnings]
    lines += [f"- {markdown_text(line)}" for line in report.findings]
    for table in report.tables:
        lines += ["", f"## {markdown_text(table.title)}", "", table_as_markdown(table).rstrip("\n")]
    return "\n".join(lines) + "\n"


def as_latex(report: ComparisonReport) -> str:
    """Every table but the queries', one after the other, its title in a comment before it."""
    printed = [section.table for section in report.sections]
    said = [f"% {plain(line)}" for line in [*report.warnings, *report.findings]]
    tables = [f"% {plain(table.title)}\n{table_as_latex(table)}" for table in printed]
    return "\n".join(["\n".join(said), *tables])


def as_csv(report: ComparisonReport) -> str:
    """
    Every difference of every table in one, unrounded: fractions, a row for each model and column.
    """
    rows = [
        _csv_row(report.side.reference.name, section.name, model, each)
        for section in report.sections
        for model, differences in section.differences.items()
        for each in differences
    ]
    return csv_text(_CSV_HEADS, rows)


_CSV_HEADS = (
    "reference", "model", "table", "column", "metric", "reference_score", "score", "difference",
    "low", "high", "p", "p_holm", "effect_size", "wins", "ties", "losses", "detectable",
    "n_queries",
)  # fmt: skip


def _csv_row(reference: str, table: str, model: str, found: Difference) -> list[str | float | None]:
    interval, tally = found.interval, found.tally
    return [
        reference,
        model,
        table,
        found.column,
        found.metric,
        found.one,
        found.other,
        found.change,
        interval.low if interval else None,
        interval.high if interval else None,
        found.p,
        found.p_holm,
        found.effect_size,
        tally.wins if tally else None,
        tally.ties if tally else None,
        tally.losses if tally else None,
        found.detectable,
        found.n_queries,
    ]


def as_json(report: ComparisonReport) -> str:
    """Everything, unrounded; scores and differences as fractions."""
    side = report.side
    content = {
        "version": VERSION,
        "suite": {"name": side.suite.name, "title": side.suite.title, "source": side.source},
        "complete": side.complete,
        "warnings": list(report.warnings),
        "findings": list(report.findings),
        "reference": _candidate(side.reference),
        "comparisons": [_pair(pair, views) for pair, views in _with_views(report)],
        "costs": {
            "throughput_under": side.costs.throughput_under,
            "latency_under": side.costs.latency_under,
            "notes": list(side.costs.notes),
            "models": [
                _cost(candidate, cost, side.costs.rows[0])
                for candidate, cost in zip(side.candidates, side.costs.rows, strict=True)
            ],
        },
        "pareto": {
            "by": list(side.counted),
            "models": [asdict(standing) for standing in side.standings],
        },
        "requirements": {
            "required": [each.text for each in side.requirements],
            "excluded": {name: list(reasons) for name, reasons in side.excluded.items()},
        },
        "notes": list(report.notes),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _with_views(report: ComparisonReport) -> list[tuple[ReferencePair, Sequence[QueryView]]]:
    views = {model: queries for _, model, queries in report.changed}
    return [(pair, views.get(pair.candidate.name, ())) for pair in report.side.pairs]


def _candidate(candidate: Candidate) -> dict[str, Any]:
    row = candidate.row
    return {
        "name": candidate.name,
        "model": row.model,
        "revision": row.revision,
        "settings": dict(row.settings),
        "average": row.average,
        "n_complete": row.n_complete,
        "n_tasks": row.n_tasks,
    }


def _pair(pair: ReferencePair, views: Sequence[QueryView]) -> dict[str, Any]:
    found: Comparison = pair.comparison
    return {
        **_candidate(pair.candidate),
        "missing": {"reference": list(found.one.missing), "model": list(found.other.missing)},
        "unlike": [
            {"kind": each.kind, "what": each.what, "evaluations": list(each.labels)}
            for each in found.unlike
        ],
        "difference": None if found.average is None else _difference(found.average),
        "over_units": _interval(found.over_units),
        "tasks": [_difference(each) for each in found.tasks],
        "groups": {
            by: [_difference(each) for each in differences]
            for by, differences in found.groups.items()
        },
        "parts": [_difference(each) for each in found.parts],
        "changed_queries": [_query(view) for view in views],
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "column": found.column,
        "metric": found.metric,
        "reference": found.one,
        "score": found.other,
        "difference": found.change,
        "interval": _interval(found.interval),
        "p": found.p,
        "p_holm": found.p_holm,
        "significant": None if found.p_holm is None else found.is_significant,
        "effect_size": found.effect_size,
        "tally": None if found.tally is None else asdict(found.tally),
        "detectable": found.detectable,
        "n_queries": found.n_queries,
    }


def _interval(found: ConfidenceInterval | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {"low": found.low, "high": found.high, "confidence": found.confidence}


def _query(view: QueryView) -> dict[str, Any]:
    each = view.changed
    return {
        **asdict(each.evaluation),
        "query": each.query,
        "text": view.text or None,
        "reference": each.one,
        "score": each.other,
        "difference": each.change,
        "n_relevant": view.n_relevant,
        "top_docs_of_reference": _hits(each.hits_of_one, view.hits_of_one),
        "top_docs": _hits(each.hits_of_other, view.hits_of_other),
    }


def _hits(hits: Sequence[Any], views: Sequence[HitView]) -> list[dict[str, Any]]:
    shown: Mapping[str, HitView] = {view.doc: view for view in views}
    return [
        {
            "doc": hit.doc,
            "score": hit.score,
            "relevant": shown[hit.doc].relevant if hit.doc in shown else None,
            "text": (shown[hit.doc].text or None) if hit.doc in shown else None,
        }
        for hit in hits
    ]


def _cost(candidate: Candidate, cost: Cost, reference: Cost) -> dict[str, Any]:
    ratio = cost.ratio_to(reference)
    return {
        "name": candidate.name,
        "n_parameters": cost.n_parameters,
        "n_active_parameters": cost.n_active_parameters,
        "dimension": cost.dimension,
        "precision": cost.precision,
        "max_length": cost.max_length,
        "bytes_per_million_docs": cost.bytes_per_million_docs,
        "throughput": dict(cost.throughput),
        "query_p50_ms": cost.query_p50_ms,
        "query_p95_ms": cost.query_p95_ms,
        "device_bytes_peak": cost.device_bytes_peak,
        "resident_bytes_peak": cost.resident_bytes_peak,
        "cost_per_million_docs": cost.cost_per_million_docs,
        "speed_ratio": None if ratio is None else ratio.model_dump(),
    }
