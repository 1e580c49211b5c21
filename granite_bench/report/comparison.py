"""Models side by side, laid out: what was found, in sentences, and tables for every format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from granite_bench.comparison.differences import (
    ALPHA,
    N_PERMUTATIONS,
    N_RESAMPLES,
    Comparison,
    Difference,
)
from granite_bench.comparison.likeness import KINDS
from granite_bench.comparison.side_by_side import Pair, SideBySide
from granite_bench.comparison.task_texts import Texts
from granite_bench.printed import (
    interval_text,
    metric_name,
    p_text,
    points,
    score_text,
    signed,
    some,
)
from granite_bench.report.changed_queries import QueryView, lay_out_changed, views_of
from granite_bench.report.columns import HOLE, PageCell
from granite_bench.report.costs import lay_out_costs, lay_out_standings
from granite_bench.report.layout import Page
from granite_bench.run_command import finish
from granite_bench.scores import Cell, Evaluation
from granite_bench.stats import LEAST_UNITS, ConfidenceInterval

BETTER, WORSE = "▲", "▼"
"""Behind a difference that is beyond noise."""

_CONFIDENCE = f"{1 - ALPHA:.0%} interval"
_TESTS = (
    f"Differences are in points (scores times 100), with their {_CONFIDENCE} (paired bootstrap "
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
    page: Page
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
    def pages(self) -> list[Page]:
        """Every table, those of the queries that changed most at the end."""
        changed = [lay_out_changed(*each, self.notes) for each in self.changed]
        return [*(section.page for section in self.sections), *changed]


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
        warnings=[*_missing(side), *_of_several_revisions(side), *_not_alike(side)],
        findings=[_finding(pair, reference) for pair in side.pairs] or [_nobody(side)],
        sections=list(_sections(side)),
        changed=[(reference, name, queries) for name, queries in views.items() if queries],
        notes=notes,
    )


# --- what was found, in sentences -------------------------------------------------------------


def _finding(pair: Pair, reference: str) -> str:
    found, name = pair.comparison.average, pair.candidate.name
    if found is None:
        return f"{name} and {reference}: no average, since not all of the suite is there for both."
    size = f"{points(found.change)} points"
    if found.p is None or found.tally is None:
        if all(
            each.value == pair.comparison.other.evaluations[evaluation].value
            for evaluation, each in pair.comparison.one.evaluations.items()
            if evaluation in pair.comparison.other.evaluations
        ):
            return f"{name} has the same scores as {reference} ({_scores(found)})."
        return (
            f"{name} scores {size} against {reference} ({_scores(found)}), and nothing tells "
            f"whether that is noise: {_why_untested(pair.comparison)}."
        )
    if not found.tally.wins + found.tally.losses:
        return f"{name} has the same score as {reference} for each of {found.n_queries:,} queries."
    sure = f"p {p_text(found.p)}"
    if found.interval is not None:
        sure = f"{_CONFIDENCE} {interval_text(found.interval)}, {sure}"
    if not found.is_significant:
        shown = f"; {points(found.detectable)[1:]} would have shown" if found.detectable else ""
        return f"No difference between {name} and {reference} beyond noise: {size} ({sure}{shown})."
    verdict = "better" if found.change > 0 else "worse"
    return f"{name} is {verdict} than {reference}: {size} ({sure}){_by_columns(pair.comparison)}."


def _by_columns(comparison: Comparison) -> str:
    """On how much of what it is better and worse, where that is several things."""
    choices = {"tasks": comparison.tasks}
    choices |= {f"groups by {by}": columns for by, columns in comparison.groups.items()}
    for what, columns in choices.items():
        if len(columns) > 1:
            significant = [each for each in columns if each.is_significant]
            n_better = sum(each.change > 0 for each in significant)
            n_worse = len(significant) - n_better
            return (
                f"; with Holm's correction better on {n_better} and worse on {n_worse} of "
                f"{len(columns)} {what}"
            )
    return ""


def _scores(found: Difference) -> str:
    return f"{score_text(found.one)} to {score_text(found.other)}"


def _why_untested(comparison: Comparison) -> str:
    lacking = [
        evaluation.label
        for evaluation, first in comparison.one.evaluations.items()
        if (second := comparison.other.evaluations.get(evaluation)) is not None
        and (first.queries is None or second.queries is None)
    ]
    return (
        f"no scores per query of {some(lacking)} on both sides; granite-bench run leaves them of "
        "retrieval tasks"
    )


def _nobody(side: SideBySide) -> str:
    return f"No model qualifies to be compared with {side.reference.name}."


def _missing(side: SideBySide) -> list[str]:
    """Who lacks what of the suite, and the command that makes it."""
    return [
        f"{each.name} is incomplete ({each.row.n_complete} of {each.row.n_tasks} tasks), so it has "
        f"no average; missing: {some(_lacking(each.row.cells))}. To make it: "
        f"{finish(each.table, each.row)}"
        for each in side.candidates
        if not each.row.complete
    ]


def _of_several_revisions(side: SideBySide) -> list[str]:
    """Whose results are of several checkpoints, which a table may mix."""
    return [
        f"{each.name} is of several revisions: {each.row.revision}, but "
        + some(sorted(f"{task} of {revision}" for task, revision in others.items()))
        + "; MODEL@REVISION takes one alone"
        for each in side.candidates
        if (others := each.row.other_revisions)
    ]


def _lacking(cells: Mapping[str, Cell]) -> list[str]:
    return sorted({name for cell in cells.values() for name in cell.missing})


def _not_alike(side: SideBySide) -> list[str]:
    return [
        f"Not like for like ({KINDS[found.kind]}): {pair.candidate.name} and "
        f"{side.reference.name}: {found}. It was allowed (--allow {found.kind})."
        for pair in side.pairs
        for found in pair.comparison.unlike
    ]


# --- tables -----------------------------------------------------------------------------------


def _sections(side: SideBySide) -> Iterable[Section]:
    yield _overall(side)
    if len(side.suite.tasks) > 1:
        yield _breakdown(side, "tasks", "By task", "Task", lambda each: each.tasks)
    for grouping in side.suite.groups:
        yield _breakdown(
            side,
            f"by-{grouping.by}",
            f"By {grouping.by}",
            grouping.by.capitalize(),
            lambda each, by=grouping.by: each.groups[by],  # type: ignore[misc]
        )
    if any(_parts(pair.comparison) for pair in side.pairs):
        yield _breakdown(side, "parts", "By part of a task", "Part", _parts)
    yield Section("costs", "What each costs", lay_out_costs(side), {})
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
    (_CONFIDENCE, "these queries"),
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
        heads.insert(4, (_CONFIDENCE, f"{units} like these"))
    row = side.reference.row
    holes = [PageCell(HOLE)] * (len(heads) - 2)
    rows = [[PageCell(side.reference.name, row.revision), _score(row.average), *holes]]
    for pair in side.pairs:
        found = pair.comparison.average
        cells = _of_difference(found)
        effect = None if found is None else found.effect_size
        cells.append(PageCell(HOLE) if effect is None else _number(effect, signed(effect)))
        if has_units:
            cells.insert(2, _interval(pair.comparison.over_units))
        name = PageCell(pair.candidate.name, pair.candidate.row.revision)
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
    page = _page(f"{side.suite.title}: overall", heads, rows, n_texts=1, notes=notes)
    averages = {p.candidate.name: [p.comparison.average] for p in side.pairs}
    differences = {
        name: [each for each in of_pair if each is not None] for name, of_pair in averages.items()
    }
    return Section("overall", "Overall", page, differences)


def _breakdown(
    side: SideBySide,
    name: str,
    title: str,
    what: str,
    columns_of: Callable[[Comparison], Sequence[Difference]],
) -> Section:
    """A row for each column and model, the columns in the suite's order."""
    found = {pair.candidate.name: columns_of(pair.comparison) for pair in side.pairs}
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
                    cells = [PageCell(column)]
                    cells += [PageCell(metric_name(each.metric))] if mixed else []
                    cells += [PageCell(model)] if several else []
                    cells += [_score(each.one), _score(each.other), *_of_difference(each)]
                    rows.append(cells)
    notes = [
        f"{BETTER} better, {WORSE} worse: p below {ALPHA:g}. p is corrected by Holm for all rows "
        + ("of a model." if several else "of this table.")
    ]
    whole = {name: len(of_pair) for name, of_pair in found.items()}
    if len(set(whole.values())) > 1:
        notes.append("What one of the two lacks has no row.")
    n_texts = 1 + mixed + several
    page = _page(f"{side.suite.title}: {title[0].lower()}{title[1:]}", heads, rows, n_texts, notes)
    return Section(name, title, page, found)


def _requirements(side: SideBySide) -> Page:
    shown = [each.name for each in side.candidates]
    names = dict.fromkeys([*shown, *side.excluded])
    rows = []
    for name in names:
        reasons = side.excluded.get(name, ())
        rows.append(
            [
                PageCell(name),
                PageCell("no" if reasons else "yes"),
                PageCell("; ".join(reasons) or HOLE),
            ]
        )
    required = ", ".join(each.text for each in side.requirements)
    notes = [f"Required: {required}. What does not qualify is not compared."]
    if side.reference.name in side.excluded:
        notes.append(f"{side.reference.name} does not qualify, and stays as the reference.")
    heads = [("Model", ""), ("Qualifies", ""), ("Why not", "")]
    return _page(f"{side.suite.title}: requirements", heads, rows, n_texts=3, notes=notes)


# --- cells ------------------------------------------------------------------------------------


def _page(
    title: str,
    heads: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[PageCell]],
    n_texts: int,
    notes: Sequence[str],
) -> Page:
    """A table whose first *n_texts* columns are texts, and the others numbers."""
    return Page(
        title=title,
        heads=[head for head, _ in heads],
        subheads=[under for _, under in heads],
        numeric=[place >= n_texts for place in range(len(heads))],
        scores=[head in ("Score", "Reference") for head, _ in heads],
        rows=rows,
        notes=notes,
    )


def _of_difference(found: Difference | None) -> list[PageCell]:
    """The cells under _OF_A_DIFFERENCE."""
    if found is None:
        return [PageCell(HOLE, "not complete on both sides", partial=True)] * len(_OF_A_DIFFERENCE)
    mark = ""
    if found.is_significant:
        mark = f" {BETTER if found.change > 0 else WORSE}"
    change = _number(found.change, f"{points(found.change)}{mark}")
    if found.p_holm is None or found.tally is None:
        hole = PageCell(HOLE, "no scores per query on both sides", partial=True)
        return [change, *[hole] * (len(_OF_A_DIFFERENCE) - 1)]
    tally = found.tally
    counts = f"{tally.wins:,} / {tally.ties:,} / {tally.losses:,}"
    detectable = found.detectable
    return [
        change,
        _interval(found.interval),
        _number(found.p_holm, p_text(found.p_holm)),
        _number(tally.wins - tally.losses, counts),
        PageCell(HOLE) if detectable is None else _number(detectable, score_text(detectable)),
        _number(found.n_queries, f"{found.n_queries:,}"),
    ]


def _interval(found: ConfidenceInterval | None) -> PageCell:
    if found is None:
        return PageCell(HOLE, "nothing to resample", partial=True)
    return _number(found.mean, interval_text(found))


def _number(value: float, text: str) -> PageCell:
    return PageCell(text, value=value)


def _score(value: float | None) -> PageCell:
    if value is None:
        return PageCell(HOLE, "no average over an incomplete suite", partial=True)
    return PageCell(score_text(value), value=value)


def _measure(side: SideBySide) -> str:
    """What all tasks are measured by, where it is one thing."""
    metrics: Collection[str] = {task.metric for task in side.suite.tasks}
    return metric_name(next(iter(metrics))) if len(metrics) == 1 else ""
