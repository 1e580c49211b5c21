"""The queries that changed most, as they stand on a page: both models' best documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from granite_bench.comparison.changed_queries import ChangedQuery, Hit
from granite_bench.comparison.task_texts import Texts
from granite_bench.printed import metric_name, points, score_text
from granite_bench.report.printed_table import HOLE, PrintedCell, PrintedTable, printed_table
from granite_bench.tables.scores import Evaluation

N_HITS = 5
"""Documents of each model that are shown; in a table, N_HITS_IN_A_ROW."""

N_HITS_IN_A_ROW = 3
RELEVANT = "✓"
_MOST_CHARACTERS = 200


@dataclass(frozen=True)
class HitView:
    """
    A document in a ranking, as it is shown.

    Attributes:
        relevant: by the judgements; None where they were not read.
        text: the beginning of it; empty where it was not read.
    """

    doc: str
    relevant: bool | None
    text: str

    def __str__(self) -> str:
        mark = f"{RELEVANT} " if self.relevant else ""
        return f"{mark}{self.doc}{': ' if self.text else ''}{self.text}"


@dataclass(frozen=True)
class QueryView:
    """
    A query and what both models found, as it is shown.

    Attributes:
        changed: its scores.
        text: of the query; empty where it was not read.
        n_relevant: documents that are judged relevant; None where that was not read.
        hits_of_one, hits_of_other: N_HITS at most.
    """

    changed: ChangedQuery
    text: str
    n_relevant: int | None
    hits_of_one: Sequence[HitView]
    hits_of_other: Sequence[HitView]

    @property
    def where(self) -> str:
        """The evaluation that it is of."""
        return self.changed.evaluation.label

    @property
    def scores(self) -> str:
        """Both scores and the difference, in a few words."""
        each = self.changed
        metric = metric_name(each.evaluation.metric)
        return f"{metric} {score_text(each.one)} → {score_text(each.other)} ({points(each.change)})"


def views_of(changed: Iterable[ChangedQuery], texts: Mapping[Evaluation, Texts]) -> list[QueryView]:
    """The queries with their texts, where there are any."""
    return [_view(each, texts.get(each.evaluation)) for each in changed]


def _view(each: ChangedQuery, texts: Texts | None) -> QueryView:
    relevant = None if texts is None else texts.relevant.get(each.query, frozenset())

    def shown(hits: Sequence[Hit]) -> list[HitView]:
        return [
            HitView(
                hit.doc,
                None if relevant is None else hit.doc in relevant,
                "" if texts is None else beginning(texts.docs.get(hit.doc, "")),
            )
            for hit in hits[:N_HITS]
        ]

    return QueryView(
        each,
        "" if texts is None else beginning(texts.queries.get(each.query, "")),
        None if relevant is None else len(relevant),
        shown(each.hits_of_one),
        shown(each.hits_of_other),
    )


def beginning(text: str) -> str:
    """The first 200 characters or so, on one line."""
    line = " ".join(text.split())
    if len(line) <= _MOST_CHARACTERS:
        return line
    return f"{line[:_MOST_CHARACTERS].rpartition(' ')[0] or line[:_MOST_CHARACTERS]} …"


def lay_out_changed(
    reference: str, model: str, queries: Sequence[QueryView], notes: Sequence[str] = ()
) -> PrintedTable:
    """One pair's queries: a row for each rank, the query beside the first."""
    heads = [
        ("Query", ""), ("Task", ""), ("Reference", "score"), ("Score", ""),
        ("Difference", "points"), ("Rank", ""), ("Documents of the reference", ""),
        ("Documents", ""),
    ]  # fmt: skip
    rows = []
    for each in queries:
        query = each.changed
        named = f"{query.query}{': ' if each.text else ''}{each.text}"
        first = [
            PrintedCell(named),
            PrintedCell(each.where),
            PrintedCell(score_text(query.one), value=query.one),
            PrintedCell(score_text(query.other), value=query.other),
            PrintedCell(points(query.change), value=query.change),
        ]
        n_ranks = min(max(len(each.hits_of_one), len(each.hits_of_other), 1), N_HITS_IN_A_ROW)
        for rank in range(n_ranks):
            documents = [
                PrintedCell(str(hits[rank]) if rank < len(hits) else HOLE)
                for hits in (each.hits_of_one, each.hits_of_other)
            ]
            query_cells = first if rank == 0 else [PrintedCell("")] * len(first)
            rows.append([*query_cells, PrintedCell(str(rank + 1), value=rank + 1), *documents])
    judged = any(each.n_relevant is not None for each in queries)
    marked = [f"{RELEVANT} marks documents that are judged relevant."] if judged else []
    return printed_table(
        f"Queries that changed most: {model} against {reference}",
        heads,
        rows,
        ["Gains first, the largest on top, then losses.", *marked, *notes],
        texts=("Query", "Task", "Documents of the reference", "Documents"),
        scores=("Reference", "Score"),
    )
