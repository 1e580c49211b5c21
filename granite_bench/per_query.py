"""Per-query scores of a run, by trec_eval's measures and order; what paired statistics need."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pytrec_eval

from granite_bench.store import QUERY_SCHEMA

TOP_DOCS = 10


def query_rows(
    qrels: Mapping[str, Mapping[str, int]],
    run: Mapping[str, Mapping[str, float]],
    *,
    split: str,
    subset: str,
) -> pa.Table:
    """
    One row per query of *run* that has judgements, as store.QUERY_SCHEMA describes it.

    Args:
        qrels: query id -> document id -> relevance; above 0 is relevant.
        run: query id -> document id -> score.
        split, subset: where the queries are from.
    """
    evaluator = pytrec_eval.RelevanceEvaluator(
        {query: dict(judged) for query, judged in qrels.items()}, {"ndcg_cut.10", "recall.100"}
    )
    measured = evaluator.evaluate({query: dict(scores) for query, scores in run.items()})
    rows = []
    for query, measures in measured.items():
        ranked = sorted(run[query].items(), key=lambda hit: (hit[1], hit[0]), reverse=True)
        rank = next(
            (n for n, (doc, _) in enumerate(ranked, start=1) if qrels[query].get(doc, 0) > 0), None
        )
        rows.append(
            {
                "split": split,
                "subset": subset,
                "query_id": query,
                "ndcg_at_10": measures["ndcg_cut_10"],
                "recall_at_100": measures["recall_100"],
                "reciprocal_rank_at_10": 1 / rank if rank is not None and rank <= 10 else 0.0,
                "first_relevant_rank": rank,
                "top_docs": [doc for doc, _ in ranked[:TOP_DOCS]],
                "top_scores": [score for _, score in ranked[:TOP_DOCS]],
            }
        )
    return pa.Table.from_pylist(rows, schema=QUERY_SCHEMA)
