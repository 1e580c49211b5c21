"""What models cost and gain, as tables: of a comparison's models side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from granite_bench.comparison.costs import Cost
from granite_bench.comparison.side_by_side import FIGURES, SideBySide, Standing
from granite_bench.files.local import size_text
from granite_bench.printed import score_text, speed_text
from granite_bench.report.printed_table import HOLE, PrintedCell, PrintedTable, printed_table


@dataclass(frozen=True)
class _Figure:
    """A column: its head, the unit under it, and what it is of a model."""

    head: str
    unit: str
    of: Callable[[Cost], float | None]
    text: Callable[[float], str]


def _millions(value: float) -> str:
    return f"{value / 1e6:,.1f}" if value else "0"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _money(value: float) -> str:
    return f"{value:,.2f}" if value >= 0.1 else f"{value:.3g}"


def _size(value: float) -> str:
    return size_text(round(value))


_FIGURES = (
    _Figure("Parameters", "M", lambda cost: cost.n_parameters, _millions),
    _Figure("Active", "M", lambda cost: cost.n_active_parameters, _millions),
    _Figure("Dimension", "", lambda cost: cost.dimension, _whole),
    _Figure("Max length", "tokens", lambda cost: cost.max_length, _whole),
    _Figure("Storage", "of 1 M docs", lambda cost: cost.bytes_per_million_docs, _size),
    _Figure("Query p50", "ms", lambda cost: cost.query_p50_ms, speed_text),
    _Figure("Query p95", "ms", lambda cost: cost.query_p95_ms, speed_text),
    _Figure("Memory", "peak", lambda cost: cost.memory_bytes, _size),
    _Figure("Cost", "of 1 M docs", lambda cost: cost.cost_per_million_docs, _money),
)


def lay_out_costs(side: SideBySide) -> PrintedTable | None:
    """A row for each model; what nobody knows of any of them has no column. None without any."""
    costs = side.costs
    units = dict.fromkeys(unit for cost in costs.rows for unit in cost.throughput)
    figures = [*_FIGURES[:5], *map(_throughput, units), *_FIGURES[5:]]
    figures = [each for each in figures if any(each.of(cost) is not None for cost in costs.rows)]
    ratios = [cost.ratio_to(costs.rows[0]) for cost in costs.rows]
    has_precision = len({cost.precision for cost in costs.rows if cost.precision}) > 1
    heads = [("Model", ""), *([("Precision", "")] if has_precision else [])]
    heads += [(each.head, each.unit) for each in figures]
    heads += [("Speed ratio", "to the reference, in turns")] if any(ratios) else []
    notes = _notes(side)
    if len(heads) == 1 and not notes:
        return None
    rows = []
    for candidate, cost, ratio in zip(side.candidates, costs.rows, ratios, strict=True):
        row = [PrintedCell(candidate.name)]
        row += [PrintedCell(cost.precision or HOLE)] if has_precision else []
        row += [_cell(each, cost) for each in figures]
        if any(ratios):
            text = HOLE
            if ratio is not None:
                text = f"{ratio.value:.2f}"
                if ratio.low is not None and ratio.high is not None:
                    text += f" ({ratio.low:.2f} to {ratio.high:.2f})"
            row.append(PrintedCell(text, value=ratio.value if ratio else None))
        rows.append(row)
    return printed_table(
        f"{side.suite.title}: what each costs",
        heads,
        rows,
        notes,
        texts=("Model", "Precision"),
    )


def _throughput(unit: str) -> _Figure:
    return _Figure(unit, "1/s", lambda cost: cost.throughput.get(unit), speed_text)


def _cell(figure: _Figure, cost: Cost) -> PrintedCell:
    value = figure.of(cost)
    if value is None:
        return PrintedCell(HOLE, "not known")
    return PrintedCell(figure.text(value), value=value)


def _notes(side: SideBySide) -> list[str]:
    costs = side.costs
    notes = []
    if costs.throughput_under:
        notes.append(f"Documents per second and memory: {costs.throughput_under}.")
    if costs.latency_under:
        notes.append(f"Query p50 and p95: {costs.latency_under}.")
    return [*notes, *costs.notes]


def lay_out_standings(side: SideBySide) -> PrintedTable | None:
    """Who is beaten by whom, by all figures that every model has; None where that is the score."""
    if len(side.counted) < 2 or sum(each.on_front is not None for each in side.standings) < 2:
        return None
    heads = [("Model", "")]
    heads += [(_HEADS[name], _UNITS[name]) for name in FIGURES]
    heads += [("On the front", ""), ("Beaten by", "")]
    counted = " and ".join(
        [", ".join(FIGURES[name][0] for name in side.counted[:-1]), FIGURES[side.counted[-1]][0]]
    )
    notes = [
        f"By {counted}. On the front: no other model is at least as good by all of them, and "
        "better by one."
    ]
    left_out = [FIGURES[name][0] for name in FIGURES if name not in side.counted]
    if left_out:
        notes.append(f"Not counted, since it is not known of every model: {', '.join(left_out)}.")
    return printed_table(
        f"{side.suite.title}: quality and costs together",
        heads,
        [_standing(each) for each in side.standings],
        notes,
        texts=("Model", "On the front", "Beaten by"),
        scores=("Score",),
    )


_HEADS = {
    "average": "Score",
    "docs_per_s": "docs/s",
    "bytes_per_million_docs": "Storage",
    "n_parameters": "Parameters",
}
_UNITS = {
    "average": "mean",
    "docs_per_s": "1/s",
    "bytes_per_million_docs": "of 1 M docs",
    "n_parameters": "M",
}
_TEXTS: dict[str, Callable[[float], str]] = {
    "average": score_text,
    "docs_per_s": speed_text,
    "bytes_per_million_docs": _size,
    "n_parameters": _millions,
}


def _standing(each: Standing) -> list[PrintedCell]:
    cells = [PrintedCell(each.name)]
    for name in FIGURES:
        value = each.values[name]
        text = HOLE if value is None else _TEXTS[name](value)
        cells.append(PrintedCell(text, value=value))
    membership = {True: "yes", False: "no", None: HOLE}[each.on_front]
    return [*cells, PrintedCell(membership), PrintedCell(each.beaten_by or HOLE)]
