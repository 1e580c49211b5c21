"""Per-query scores of a run, by trec_eval's measures and order; what paired statistics need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from granite_bench.engine.measures import (
    NOT_FOUND,
    find_judged,
    first_relevant_ranks,
    ndcg,
    ranked_places,
    recall,
)
from granite_bench.engine.search.run import Run
from granite_bench.results.store import QUERY_SCHEMA, RERANKED_QUERY_SCHEMA

TOP_DOCS = 10


def query_rows(
    qrels: Mapping[str, Mapping[str, int]],
    run: Mapping[str, Mapping[str, float]],
    *,
    split: str,
    subset: str,
    ignore_identical_ids: bool = False,
    skip_first_result: bool = False,
) -> pa.Table:
    """
    One row per query of *run* that has judgements, as store.QUERY_SCHEMA describes it.

    Args:
        qrels: query id -> document id -> relevance; above 0 is relevant.
        run: query id -> document id -> score; fastest as a Run.
        split, subset: where the queries are from.
        ignore_identical_ids, skip_first_result: the task's. What mteb does not score then is
            not in the rows either.
    """
    if not isinstance(run, Run):
        if skip_first_result:  # of equal scores mteb skips what the model named first
            run = _without_firsts(run, ignore_identical_ids=ignore_identical_ids)
            skip_first_result = False
        run = Run.from_dicts(run)
    options = {"ignore_identical_ids": ignore_identical_ids, "skip_first_result": skip_first_result}
    judged = find_judged(run, qrels, **options)
    # float64 scores may differ where trec_eval, which compares float32, sees a tie: its measures
    # go by its order, the first relevant rank by the order of the scores, as in mteb's MRR.
    single = run.rounded()
    by_trec = judged if single is run else find_judged(single, qrels, **options)
    first = first_relevant_ranks(judged)
    found = first != NOT_FOUND

    top = ranked_places(run, judged, depth=TOP_DOCS + 2)  # one each for the two options
    top &= top.cumsum(axis=1) <= TOP_DOCS
    starts = pa.array(np.append(0, top.sum(axis=1).cumsum()), pa.int32())
    depth = top.shape[1]
    docs = run.documents.ids.take(pa.array(run.docs[:, :depth][top])).cast(pa.string())
    scores = pa.array(run.scores[:, :depth][top].astype(np.float32))

    table = pa.table(
        {
            "split": pa.array([split] * len(run), pa.string()),
            "subset": pa.array([subset] * len(run), pa.string()),
            "query_id": pa.array(run.query_ids, pa.string()),
            **{f"ndcg_at_{k}": ndcg(by_trec, k) for k in (1, 10)},
            **{f"recall_at_{k}": recall(by_trec, k) for k in (5, 10, 100)},
            "reciprocal_rank_at_10": np.where(first <= 10, 1 / first, 0.0),
            "first_relevant_rank": pa.array(np.where(found, first, 0), pa.int32(), mask=~found),
            "top_docs": pa.ListArray.from_arrays(starts, docs),
            "top_scores": pa.ListArray.from_arrays(starts, scores),
        },
        schema=QUERY_SCHEMA,
    )
    is_judged = [bool(qrels.get(query_id)) for query_id in run.query_ids]
    return table.filter(pa.array(is_judged, pa.bool_()))


def _without_firsts(
    run: Mapping[str, Mapping[str, float]], *, ignore_identical_ids: bool
) -> dict[str, dict[str, float]]:
    """The rankings without their first document, that of the query's own id not counted."""
    rest = {}
    for query, ranking in run.items():
        hits = [hit for hit in ranking.items() if not (ignore_identical_ids and hit[0] == query)]
        rest[query] = dict(sorted(hits, key=lambda hit: hit[1], reverse=True)[1:])
    return rest


def with_candidate_columns(
    rows: pa.Table,
    qrels: Mapping[str, Mapping[str, int]],
    candidates: Mapping[str, Sequence[str]],
    *,
    ignore_identical_ids: bool = False,
    skip_first_result: bool = False,
) -> pa.Table:
    """
    The rows of a reranked part, with what its candidates allow (store.RERANKED_QUERY_SCHEMA).

    Args:
        rows: from query_rows.
        qrels: as for query_rows.
        candidates: query id -> document ids, the first stage's best first; a query without any
            scores 0.
        ignore_identical_ids, skip_first_result: the task's.
    """
    queries = rows["query_id"].to_pylist()
    listed = {query: candidates.get(query, ()) for query in queries}
    in_order = {
        query: {doc: float(-place) for place, doc in enumerate(docs)}
        for query, docs in listed.items()
    }
    ideal = {
        query: {doc: float(qrels[query].get(doc, 0)) for doc in docs}
        for query, docs in listed.items()
    }
    options = {"ignore_identical_ids": ignore_identical_ids}
    first = find_judged(
        Run.from_dicts(in_order), qrels, skip_first_result=skip_first_result, **options
    )
    # Whatever the best order is, it has no first document to be left out.
    best = find_judged(Run.from_dicts(ideal), qrels, **options)
    columns = {
        "first_stage_ndcg_at_10": ndcg(first, 10),
        "ceiling_ndcg_at_10": ndcg(best, 10),
        "candidate_recall": recall(best, max(map(len, listed.values()), default=1) or 1),
    }
    for name, values in columns.items():
        rows = rows.append_column(name, pa.array(values, pa.float64()))
    return rows.cast(RERANKED_QUERY_SCHEMA)
