"""
The queries on which two models differ most, with what each of them found.

Scores are those of the comparison; the best documents stand in the rows per query. Both are read
as they were stored: no mteb, no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from granite_bench.comparison.measured import Measured
from granite_bench.comparison.task_texts import Wanted
from granite_bench.errors import BadInput, Fault
from granite_bench.files.parquet_file import column_names, read_rows
from granite_bench.results.tree import Result
from granite_bench.stats.significance import TIE
from granite_bench.tables.scores import Evaluation

_MEND = "move it and the task's result away and run the task again"


@dataclass(frozen=True)
class Hit:
    """
    A document that a model found.

    Attributes:
        score: the model's own; scores of two models are not to be compared.
    """

    doc: str
    score: float


@dataclass(frozen=True)
class ChangedQuery:
    """
    One query on which two models differ.

    Attributes:
        query: its id.
        one, other: the scores of the two by the evaluation's metric, fractions.
        hits_of_one, hits_of_other: what each ranks highest, ten at most, the best first; empty
            where the rows do not say.
    """

    evaluation: Evaluation
    query: str
    one: float
    other: float
    hits_of_one: Sequence[Hit] = ()
    hits_of_other: Sequence[Hit] = ()

    @property
    def change(self) -> float:
        """The second less the first."""
        return self.other - self.one


def changed_queries(
    one: Measured,
    other: Measured,
    results_of_one: Mapping[str, Result],
    results_of_other: Mapping[str, Result],
    n: int,
) -> list[ChangedQuery]:
    """
    The largest gains and the largest losses, half of *n* each as far as there are any.

    Of differences that are equally large, evaluations take turns, so that one language of twelve
    is not all that is seen.

    Args:
        one, other: as they were compared.
        results_of_one, results_of_other: task -> result; see table.Row.
        n: 0 or more; ties are never among them.

    Returns:
        Gains, the largest first, then losses, the largest first.
    """
    changed = _in_turns(_changed(one, other))
    gains = [each for each in changed if each.change > 0]
    losses = [each for each in changed if each.change < 0]
    n_losses = min(len(losses), max(n // 2, n - len(gains)))
    chosen = [*gains[: n - n_losses], *losses[:n_losses]]
    found_by_one = _hits(results_of_one, chosen)
    found_by_other = _hits(results_of_other, chosen)
    return [
        ChangedQuery(
            each.evaluation,
            each.query,
            each.one,
            each.other,
            found_by_one.get((each.evaluation, each.query), ()),
            found_by_other.get((each.evaluation, each.query), ()),
        )
        for each in chosen
    ]


def wanted_texts(
    pairs: Iterable[tuple[Measured, Sequence[ChangedQuery]]],
) -> list[Wanted]:
    """
    The ids whose texts the queries of several pairs need, each evaluation once.

    Args:
        pairs: one of the two that were compared, and what changed.
    """
    queries: dict[Evaluation, set[str]] = {}
    docs: dict[Evaluation, set[str]] = {}
    revisions: dict[Evaluation, str] = {}
    for measured, changed in pairs:
        for each in changed:
            queries.setdefault(each.evaluation, set()).add(each.query)
            hits = {hit.doc for hit in (*each.hits_of_one, *each.hits_of_other)}
            docs.setdefault(each.evaluation, set()).update(hits)
            made = measured.evaluations[each.evaluation].provenance
            revisions[each.evaluation] = made.dataset_revision
    return [
        Wanted(each, revisions[each], frozenset(queries[each]), frozenset(docs[each]))
        for each in queries
    ]


def _changed(one: Measured, other: Measured) -> list[ChangedQuery]:
    found = []
    for evaluation, first in one.evaluations.items():
        second = other.evaluations.get(evaluation)
        if second is None or first.queries is None or second.queries is None:
            continue
        scores = dict(zip(second.queries.ids, second.queries.values.tolist(), strict=True))
        for query, score in zip(first.queries.ids, first.queries.values.tolist(), strict=True):
            if query in scores and abs(scores[query] - score) > TIE:
                found.append(ChangedQuery(evaluation, query, score, scores[query]))
    return found


def _in_turns(changed: Iterable[ChangedQuery]) -> list[ChangedQuery]:
    """The largest change first; evaluations in turn where changes are equal."""
    counted: dict[tuple[Evaluation, float], int] = {}
    keyed = []
    for number, each in enumerate(changed):
        size = round(each.change, 9)
        turn = counted[each.evaluation, size] = counted.get((each.evaluation, size), 0) + 1
        keyed.append((-abs(size), turn, number, each))
    keyed.sort(key=lambda key: key[:3])
    return [each for *_, each in keyed]


def _hits(
    results: Mapping[str, Result], changed: Sequence[ChangedQuery]
) -> dict[tuple[Evaluation, str], list[Hit]]:
    """The best documents of these queries, from the rows of each result."""
    import pyarrow as pa

    found: dict[tuple[Evaluation, str], list[Hit]] = {}
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("split", "subset", "query_id")),
            ("top_docs", pa.list_(pa.string())),
            ("top_scores", pa.list_(pa.float32())),
        ]
    )
    for task in dict.fromkeys(each.evaluation.task for each in changed):
        path = results[task].queries_path
        if not set(schema.names) <= set(column_names(path, _MEND)):
            continue
        wanted = {
            (each.evaluation.split, each.evaluation.subset, each.query): each.evaluation
            for each in changed
            if each.evaluation.task == task
        }
        queries = sorted({query for _, _, query in wanted})
        rows = read_rows(path, _MEND, schema=schema, filters=[("query_id", "in", queries)])
        for row in rows.to_pylist():
            evaluation = wanted.get((row["split"], row["subset"], row["query_id"]))
            if evaluation is not None and row["top_docs"] is not None:
                docs, scores = row["top_docs"], row["top_scores"] or []
                if len(docs) != len(scores) or None in (*docs, *scores):
                    raise BadInput(Fault(str(path), "not every document has a score", _MEND))
                pairs = zip(docs, scores, strict=True)
                found[evaluation, row["query_id"]] = [Hit(doc, score) for doc, score in pairs]
    return found
