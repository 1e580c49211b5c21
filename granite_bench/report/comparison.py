"""Models side by side, laid out: what was found, in sentences, and tables for every format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from granite_bench.comparison.differences import (
    ALPHA,
    N_PERMUTATIONS,
    N_RESAMPLES,
    Comparison,
    Difference,
)
from granite_bench.comparison.side_by_side import SideBySide
from granite_bench.comparison.task_texts import Texts
from granite_bench.printed import (
    interval_text,
    metric_name,
    p_text,
    points,
    score_text,
    signed,
)
from granite_bench.report.changed_queries import QueryView, lay_out_changed, views_of
from granite_bench.report.comparison_findings import CONFIDENCE, findings_of, warnings_of
from granite_bench.report.costs import lay_out_costs, lay_out_standings
from granite_bench.report.printed_table import HOLE, PrintedCell, PrintedTable, printed_table
from granite_bench.stats.bootstrap import LEAST_UNITS, ConfidenceInterval
from granite_bench.tables.scores import Evaluation, common_metric

BETTER, WORSE = "▲", "▼"
"""Behind a difference that is beyond noise."""

_TESTS = (
    f"Differences are in points (scores times 100), with their {CONFIDENCE} (paired bootstrap "
    f"over queries, {N_RESAMPLES:,} samples); p is of the two-sided paired randomisation test "
    f"({N_PERMUTATIONS:,} permutations or more). Detectable: the smallest true difference that "
    "these queries would show as significant, by itself and uncorrected, with a probability of 80%."
)


@dataclass(frozen=True)
class Section:
    """
    One table of a comparison.

    Attributes:
        name: short, for a file or an anchor; unique in the comparison.
        heading: what stands over it on a page of its own.
        differences: what the table is of, for each pair; empty for a table of something else.
    """

    name: str
    heading: str
    table: PrintedTable
    differences: Mapping[str, Sequence[Difference]]


@dataclass(frozen=True)
class ComparisonReport:
    """
    A comparison as every format shows it.

    Attributes:
        warnings: what a reader must know before the figures: what is not like for like, or missing.
        findings: a sentence for each pair.
        sections: the tables, in order.
        changed: for each pair that has any: the reference, the model, and the queries.
        notes: what there is to know of the texts of queries.
    """

    side: SideBySide
    warnings: Sequence[str]
    findings: Sequence[str]
    sections: Sequence[Section]
    changed: Sequence[tuple[str, str, Sequence[QueryView]]]
    notes: Sequence[str]

    @property
    def title(self) -> str:
        """What was compared on what."""
        return f"{self.side.suite.title}: models compared"

    @property
    def tables(self) -> list[PrintedTable]:
        """Every table, those of the queries that changed most at the end."""
        changed = [lay_out_changed(*each, self.notes) for each in self.changed]
        return [*(section.table for section in self.sections), *changed]


def report_of(
    side: SideBySide,
    texts: Mapping[Evaluation, Texts] | None = None,
    notes: Sequence[str] = (),
) -> ComparisonReport:
    """
    Lay out a comparison; the same results make the same report.

    Args:
        texts: evaluation -> what stands behind its ids, where it was read.
        notes: what could not be read, in sentences.
    """
    reference = side.reference.name
    views = {pair.candidate.name: views_of(pair.changed, texts or {}) for pair in side.pairs}
    return ComparisonReport(
        side,
        warnings=warnings_of(side),
        findings=findings_of(side),
        sections=list(_sections(side)),
        changed=[(reference, name, queries) for name, queries in views.items() if queries],
        notes=notes,
    )


# --- tables -----------------------------------------------------------------------------------


def _sections(side: SideBySide) -> Iterable[Section]:
    found = {pair.candidate.name: pair.comparison for pair in side.pairs}
    yield _overall(side)
    if len(side.suite.tasks) > 1:
        by_task = {model: each.tasks for model, each in found.items()}
        yield _breakdown(side, "tasks", "By task", "Task", by_task)
    for by in (grouping.by for grouping in side.suite.groups):
        by_group = {model: each.groups[by] for model, each in found.items()}
        yield _breakdown(side, f"by-{by}", f"By {by}", by.capitalize(), by_group)
    parts = {model: _parts(each) for model, each in found.items()}
    if any(parts.values()):
        yield _breakdown(side, "parts", "By part of a task", "Part", parts)
    costs = lay_out_costs(side)
    if costs is not None:
        yield Section("costs", "What each costs", costs, {})
    standings = lay_out_standings(side)
    if standings is not None:
        yield Section("pareto", "Quality and costs together", standings, {})
    if side.requirements:
        yield Section("requirements", "Requirements", _requirements(side), {})


def _parts(comparison: Comparison) -> Sequence[Difference]:
    """Of tasks, unless a grouping shows the same figures."""
    for columns in comparison.groups.values():
        if sorted((c.one, c.other) for c in columns) == sorted(
            (c.one, c.other) for c in comparison.parts
        ):
            return ()
    return comparison.parts


_OF_A_DIFFERENCE = (
    ("Difference", "points"),
    (CONFIDENCE, "these queries"),
    ("p", ""),
    ("Better / level / worse", "queries"),
    ("Detectable", "points"),
    ("Queries", ""),
)


def _overall(side: SideBySide) -> Section:
    has_units = any(pair.comparison.over_units for pair in side.pairs)
    units = "tasks" if side.suite.average == "tasks" else "groups"
    heads = [("Model", ""), ("Score", _measure(side)), *_OF_A_DIFFERENCE, ("Effect", "Cohen's d")]
    if has_units:
        heads.insert(4, (CONFIDENCE, f"{units} like these"))
    row = side.reference.row
    holes = [PrintedCell(HOLE)] * (len(heads) - 2)
    rows = [[PrintedCell(side.reference.name, row.revision), _score(row.average), *holes]]
    for pair in side.pairs:
        found = pair.comparison.average
        cells = _of_difference(found)
        effect = None if found is None else found.effect_size
        cells.append(PrintedCell(HOLE) if effect is None else _number(effect, signed(effect)))
        if has_units:
            cells.insert(2, _interval(pair.comparison.over_units))
        name = PrintedCell(pair.candidate.name, pair.candidate.row.revision)
        rows.append([name, _score(pair.candidate.row.average), *cells])
    notes = [f"The reference is {side.reference.name}.", _TESTS]
    if has_units:
        notes.append(
            f"{units.capitalize()} like these: {units} are resampled too, for what to expect on "
            "others of their kind (expanded percentile interval)."
        )
    elif side.pairs:
        notes.append(
            f"What to expect on other {units} of their kind needs {LEAST_UNITS} with scores per "
            "query at least; the interval is about these queries alone."
        )
    title = f"{side.suite.title}: overall"
    table = printed_table(title, heads, rows, notes, texts=("Model",), scores=("Score",))
    averages = {p.candidate.name: [p.comparison.average] for p in side.pairs}
    differences = {
        name: [each for each in of_pair if each is not None] for name, of_pair in averages.items()
    }
    return Section("overall", "Overall", table, differences)


def _breakdown(
    side: SideBySide,
    name: str,
    title: str,
    what: str,
    found: Mapping[str, Sequence[Difference]],
) -> Section:
    """A row for each column and model, the columns in the suite's order."""
    several = len(found) > 1
    metrics = {each.metric for of_pair in found.values() for each in of_pair}
    mixed = len(metrics) > 1
    heads = [(what, "")]
    heads += [("Metric", "")] if mixed else []
    heads += [("Model", "")] if several else []
    heads += [("Reference", _measure(side)), ("Score", _measure(side)), *_OF_A_DIFFERENCE]
    rows = []
    for column in dict.fromkeys(each.column for of_pair in found.values() for each in of_pair):
        for model, of_pair in found.items():
            for each in of_pair:
                if each.column == column:
                    cells = [PrintedCell(column)]
                    cells += [PrintedCell(metric_name(each.metric))] if mixed else []
                    cells += [PrintedCell(model)] if several else []
                    cells += [_score(each.one), _score(each.other), *_of_difference(each)]
                    rows.append(cells)
    notes = [
        f"{BETTER} better, {WORSE} worse: p below {ALPHA:g}. p is corrected by Holm for all rows "
        + ("of a model." if several else "of this table.")
    ]
    whole = {name: len(of_pair) for name, of_pair in found.items()}
    if len(set(whole.values())) > 1:
        notes.append("What one of the two lacks has no row.")
    table = printed_table(
        f"{side.suite.title}: {title[0].lower()}{title[1:]}",
        heads,
        rows,
        notes,
        texts=(what, "Metric", "Model"),
        scores=("Reference", "Score"),
    )
    return Section(name, title, table, found)


def _requirements(side: SideBySide) -> PrintedTable:
    shown = [each.name for each in side.candidates]
    names = dict.fromkeys([*shown, *side.excluded])
    rows = []
    for name in names:
        reasons = side.excluded.get(name, ())
        rows.append(
            [
                PrintedCell(name),
                PrintedCell("no" if reasons else "yes"),
                PrintedCell("; ".join(reasons) or HOLE),
            ]
        )
    required = ", ".join(each.text for each in side.requirements)
    notes = [f"Required: {required}. What does not qualify is not compared."]
    if side.reference.name in side.excluded:
        notes.append(f"{side.reference.name} does not qualify, and stays as the reference.")
    heads = ("Model", "Qualifies", "Why not")
    title = f"{side.suite.title}: requirements"
    return printed_table(title, [(head, "") for head in heads], rows, notes, texts=heads)


# --- cells ------------------------------------------------------------------------------------


def _of_difference(found: Difference | None) -> list[PrintedCell]:
    """The cells under _OF_A_DIFFERENCE."""
    if found is None:
        return [PrintedCell(HOLE, "not complete on both sides", partial=True)] * len(
            _OF_A_DIFFERENCE
        )
    mark = ""
    if found.is_significant:
        mark = f" {BETTER if found.change > 0 else WORSE}"
    change = _number(found.change, f"{points(found.change)}{mark}")
    if found.p_holm is None or found.tally is None:
        hole = PrintedCell(HOLE, "no scores per query on both sides", partial=True)
        return [change, *[hole] * (len(_OF_A_DIFFERENCE) - 1)]
    tally = found.tally
    counts = f"{tally.wins:,} / {tally.ties:,} / {tally.losses:,}"
    detectable = found.detectable
    return [
        change,
        _interval(found.interval),
        _number(found.p_holm, p_text(found.p_holm)),
        _number(tally.wins - tally.losses, counts),
        PrintedCell(HOLE) if detectable is None else _number(detectable, score_text(detectable)),
        _number(found.n_queries, f"{found.n_queries:,}"),
    ]


def _interval(found: ConfidenceInterval | None) -> PrintedCell:
    if found is None:
        return PrintedCell(HOLE, "nothing to resample", partial=True)
    return _number(found.mean, interval_text(found))


def _number(value: float, text: str) -> PrintedCell:
    return PrintedCell(text, value=value)


def _score(value: float | None) -> PrintedCell:
    if value is None:
        return PrintedCell(HOLE, "no average over an incomplete suite", partial=True)
    return PrintedCell(score_text(value), value=value)


def _measure(side: SideBySide) -> str:
    """What all tasks are measured by, where it is one thing."""
    return metric_name(common_metric(side.suite))
