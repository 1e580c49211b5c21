"""One model over several suites, laid out for every format: what a model card says of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from granite_bench.comparison.candidates import Candidate, find_candidates
from granite_bench.errors import BadInput, Fault, gathered
from granite_bench.printed import metric_name, points, score_text, some
from granite_bench.report.curves import KINDS, lay_out_curves
from granite_bench.report.model_speeds import lay_out_speeds
from granite_bench.report.printed_table import HOLE, PrintedCell, PrintedTable, printed_table
from granite_bench.report.sources import ModelSources, sources_of
from granite_bench.suite.suite import Suite, load_suite
from granite_bench.tables.scores import Cell, Evaluation, group_cells
from granite_bench.tables.table import Row, Table
from granite_bench.tables.variant_settings import name_without
from granite_bench.tables.weights import column_weights

_LONGEST_FILE_NAME = 120
_OTHERS = (
    "Best other: the highest score of another model's. Each other model stands once: complete "
    "before incomplete, then with the same settings, else as it is, else its best variant."
)


@dataclass(frozen=True)
class ScoreLine:
    """
    One row of a table of scores.

    Attributes:
        name: a task, a group of them, or "Average".
        metric: mteb's name of it; empty where several are averaged.
        cell: the model's.
        n_queries: behind it; None where not all of it has a record.
        best_other: the highest complete score of another model; None where there is none.
        other: whose that is.
        against: the score of the model that it is compared with; None without one.
    """

    name: str
    metric: str
    cell: Cell
    n_queries: int | None
    best_other: float | None
    other: str
    against: float | None

    @property
    def score(self) -> float | None:
        """The model's, a fraction; None where it is not complete."""
        return self.cell.value if self.cell.complete else None

    @property
    def change(self) -> float | None:
        """The score less that of the model that it is compared with."""
        if self.score is None or self.against is None:
            return None
        return self.score - self.against


@dataclass(frozen=True)
class Breakdown:
    """
    The scores of one suite by one thing.

    Attributes:
        by: *task*, or a grouping of the suite.
        lines: in the suite's order, its average first where these are what it is over.
    """

    by: str
    lines: Sequence[ScoreLine]
    table: PrintedTable


@dataclass(frozen=True)
class SuiteCard:
    """
    What there is of the model on one suite.

    Attributes:
        candidate: its row, and the table that it stands in.
        own: the same table with the rows of the model and its variants alone.
        finding: average and rank, in a sentence.
        breakdowns: by task, then by each grouping.
        curves: what it loses with fewer dimensions and shorter texts, where variants are there.
        sources: where the scores come from.
        provenance: the same as a table.
    """

    candidate: Candidate
    own: Table
    finding: str
    breakdowns: Sequence[Breakdown]
    curves: Sequence[PrintedTable]
    sources: ModelSources
    provenance: PrintedTable

    @property
    def suite(self) -> Suite:
        """What was measured."""
        return self.candidate.table.suite


@dataclass(frozen=True)
class ModelCard:
    """
    The evaluation section of a model's card.

    Attributes:
        model: the row's name.
        against: the name of the model that it is compared with; empty without one.
        suites: in the order in which they were named.
        speeds: of the model, as far as they were measured; None where nothing was.
    """

    model: str
    against: str
    suites: Sequence[SuiteCard]
    speeds: PrintedTable | None

    @property
    def title(self) -> str:
        """What it is."""
        return f"{self.model}: evaluation"

    @property
    def findings(self) -> list[str]:
        """A sentence for each suite."""
        return [each.finding for each in self.suites]


def card_of(
    model: str, sources: Sequence[str], folders: Sequence[Path], *, against: str | None = None
) -> ModelCard:
    """
    The card of a model; the same results make the same card.

    Args:
        model, against: as candidates takes names.
        sources: suites, by name or file.
        folders: results folders.

    Raises:
        BadInput: no such suite, or one without results of the model, or of *against* (all of
            them named), or broken results.
    """
    names = [model, *([against] if against is not None else [])]
    faults: list[Fault] = []

    def candidates_of(source: str) -> list[Candidate]:
        return find_candidates(names, load_suite(source), folders, source=source)

    found = gathered(sources, candidates_of, faults)
    if faults:
        raise BadInput(dict.fromkeys(faults))
    suites = [_suite_card(candidates, number) for number, candidates in enumerate(found, start=1)]
    return ModelCard(
        model=found[0][0].name,
        against=found[0][1].name if against is not None else "",
        suites=suites,
        speeds=lay_out_speeds({each.suite.title: each.candidate.row for each in suites}),
    )


def file_name(card: ModelCard) -> str:
    """The name of its page; names that could not be told apart by it have a digest behind them."""
    plain = card.model.replace("/", "__")
    name = re.sub(r"[^\w.=+-]+", "-", plain).strip("-")[:_LONGEST_FILE_NAME]
    if name != plain:
        name = f"{name}-{hashlib.sha256(card.model.encode()).hexdigest()[:6]}"
    return f"card-{name}.html"


# --- one suite --------------------------------------------------------------------------------


def _suite_card(candidates: Sequence[Candidate], number: int) -> SuiteCard:
    candidate, *against = candidates
    table, row = candidate.table, candidate.row
    own = replace(table, rows=[each for each in table.rows if _base(each) == _base(row)])
    others = _others(table, row)
    sources = sources_of(replace(table, rows=[row]), prefix=f"suite-{number}-")[0]
    return SuiteCard(
        candidate=candidate,
        own=own,
        finding=_finding(candidate, others, against),
        breakdowns=[
            _breakdown(candidate, others, against, by)
            for by in ("task", *(grouping.by for grouping in table.suite.groups))
        ],
        curves=[each for kind in KINDS if (each := lay_out_curves(own, kind)).rows],
        sources=replace(sources, model=table.suite.title),
        provenance=_provenance(sources, table.suite),
    )


def _base(row: Row) -> str:
    """The model that a row is of, or a variant of."""
    return name_without(row.model, row.settings, row.settings)


def _others(table: Table, row: Row) -> list[Row]:
    """One row for each other model with results, in the order of the table."""
    by_model: dict[str, list[Row]] = {}
    for each in table.rows:
        if each.results and _base(each) != _base(row):
            by_model.setdefault(_base(each), []).append(each)

    def merit(each: Row) -> tuple[bool, bool, bool]:
        return each.complete, dict(each.settings) == dict(row.settings), not each.settings

    return [max(group, key=merit) for group in by_model.values()]  # of equals the best, as sorted


def _finding(candidate: Candidate, others: Sequence[Row], against: Sequence[Candidate]) -> str:
    row, suite = candidate.row, candidate.table.suite
    n_tasks = len(suite.tasks)
    if row.average is None:
        return (
            f"{suite.title}: {row.n_complete} of {n_tasks} tasks are complete, so "
            f"{candidate.name} has no average and no rank."
        )
    average = _printed(row.average)
    rivals = [each.average for each in others if each.complete and each.average is not None]
    rank = 1 + sum(_printed(each) > average for each in rivals)
    over = f"over {n_tasks} tasks" if n_tasks > 1 else f"on {suite.tasks[0].name}"
    place = f", rank {rank} of {len(rivals) + 1} models" if rivals else ""
    difference = ""
    if against and against[0].row.average is not None:
        change = row.average - against[0].row.average
        difference = f", {points(change)} points against {against[0].name}"
    return f"{suite.title}: {score_text(row.average)} {over}{place}{difference}."


def _printed(average: float) -> float:
    """What looks equal is equal, as for ranks."""
    return round(average * 100, 2)


def _breakdown(
    candidate: Candidate, others: Sequence[Row], against: Sequence[Candidate], by: str
) -> Breakdown:
    suite, row = candidate.table.suite, candidate.row
    cells = _cells(suite, row, by)
    of_others = {each.model: _cells(suite, each, by) for each in others}
    compared = _cells(suite, against[0].row, by) if against else {}
    evaluations = column_weights(suite, by)
    lines = []
    is_averaged = by == (suite.groups[0].by if suite.average == "groups" else "task")
    if is_averaged and len(cells) > 1:
        average = Cell(row.average, row.n_complete, row.n_tasks)
        best, other = _best({each.model: each.average for each in others if each.complete})
        level = against[0].row.average if against else None
        every = [each for weights in evaluations.values() for each in weights]
        lines.append(ScoreLine("Average", "", average, _n_queries(row, every), best, other, level))
    for name, cell in cells.items():
        metrics = {each.metric for each in evaluations[name]}
        best, other = _best({model: _whole(each[name]) for model, each in of_others.items()})
        lines.append(
            ScoreLine(
                name=name,
                metric=metrics.pop() if len(metrics) == 1 else "",
                cell=cell,
                n_queries=_n_queries(row, list(evaluations[name])),
                best_other=best,
                other=other,
                against=_whole(compared[name]) if compared else None,
            )
        )
    title = f"{suite.title}: {candidate.name} by {by}"
    return Breakdown(by, lines, _table(title, by, lines, against[0].name if against else ""))


def _cells(suite: Suite, row: Row, by: str) -> Mapping[str, Cell]:
    return row.cells if by == "task" else group_cells(suite, by, row.results)


def _whole(cell: Cell) -> float | None:
    return cell.value if cell.complete else None


def _best(scores: Mapping[str, float | None]) -> tuple[float | None, str]:
    """The highest score, and whose it is."""
    there = {model: score for model, score in scores.items() if score is not None}
    if not there:
        return None, ""
    model = max(there, key=lambda each: there[each])
    return there[model], model


def _n_queries(row: Row, evaluations: Sequence[Evaluation]) -> int | None:
    total = 0
    for each in dict.fromkeys(evaluations):
        result = row.results.get(each.task)
        counts = [
            entry.get("n_queries")
            for run in (result.record.get("runs", ()) if result else ())
            for entry in run["evaluations"]
            if (entry["split"], entry["subset"]) == (each.split, each.subset)
        ]
        if not counts or counts[-1] is None:
            return None
        total += counts[-1]
    return total


# --- tables -----------------------------------------------------------------------------------


def _table(title: str, by: str, lines: Sequence[ScoreLine], against: str) -> PrintedTable:
    """A column that would say nothing, or the same in each row, is left out."""
    metrics = {line.metric for line in lines if line.name != "Average"}
    measure = metric_name(next(iter(metrics))) if len(metrics) == 1 else ""
    has_queries = any(line.n_queries is not None for line in lines)
    has_others = any(line.other not in ("", against) for line in lines)
    heads = [(by.capitalize(), "")]
    heads += [("Metric", "")] if len(metrics) > 1 else []
    heads += [("Score", measure)]
    heads += [("Queries", "")] if has_queries else []
    heads += [("Against", measure), ("Difference", "points")] if against else []
    heads += [("Best other", measure), ("Model", "")] if has_others else []
    rows = []
    for line in lines:
        cells = [PrintedCell(line.name)]
        cells += [PrintedCell(metric_name(line.metric) or "mean")] if len(metrics) > 1 else []
        cells += [_score(line)]
        cells += [_count(line.n_queries)] if has_queries else []
        cells += [_fraction(line.against), _difference(line.change)] if against else []
        cells += [_fraction(line.best_other), PrintedCell(line.other or HOLE)] if has_others else []
        rows.append(cells)
    notes = []
    if by == "task":  # once for all tables of a suite
        notes = ["Scores are times 100."]
        if against:
            notes.append(f"Against: {against}. granite-bench compare tests differences.")
        notes += [_OTHERS] if has_others else []
    texts, scores = (by.capitalize(), "Metric", "Model"), ("Score", "Against", "Best other")
    return printed_table(title, heads, rows, notes, texts=texts, scores=scores)


def _score(line: ScoreLine) -> PrintedCell:
    if line.score is None:
        text = f"({line.cell.n_there}/{line.cell.n_expected})" if line.cell.n_there else HOLE
        missing = some(line.cell.missing)
        return PrintedCell(text, f"missing: {missing}" if missing else "not complete", partial=True)
    return PrintedCell(score_text(line.score), value=line.score)


def _fraction(value: float | None) -> PrintedCell:
    return PrintedCell(HOLE) if value is None else PrintedCell(score_text(value), value=value)


def _difference(change: float | None) -> PrintedCell:
    return PrintedCell(HOLE) if change is None else PrintedCell(points(change), value=change)


def _count(number: int | None) -> PrintedCell:
    if number is None:
        return PrintedCell(HOLE, "no record says how many")
    return PrintedCell(f"{number:,}", value=number)


def _provenance(sources: ModelSources, suite: Suite) -> PrintedTable:
    rows = [
        [PrintedCell(text) for text in (task, *texts)]
        for column in sources.columns
        for task, texts in column.rows
    ]
    heads = ["Task", *sources.heads]
    return printed_table(
        f"{suite.title}: where each score comes from",
        [(head, "") for head in heads],
        rows,
        [f"{name}: {text}" for name, text in sources.facts.items()],
        texts=heads,
    )
