"""
Results of rerankers, made by hand: what a run leaves behind a first stage, as far as it is read.

    write_reranked(root, "org/reranker", "org/model", "TaskA", [(0.5, 0.75, 1.0, 1.0), ...])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from results_tree import CPU, evaluation, write_record, write_result

from granite_bench.results.tree import record_path

Query = tuple[float, float, float, float]
"""nDCG@10 of the first stage, of the reranker, of the best order; recall of the candidates."""


def write_reranked(
    root: Path,
    reranker: str,
    first_stage: str,
    task: str,
    queries: Sequence[Query] | Mapping[str, Sequence[Query]],
    *,
    split: str = "test",
    candidates: str = "same",
    top_k: int = 20,
    query_tokens: int | None = 64,
    pairs: Mapping[str, Any] | None = None,
    hardware: Mapping[str, Any] = CPU,
) -> Path:
    """
    One reranked result with its rows per query and its record.

    Args:
        queries: of the subset "default", or by subset.
        candidates: their hash in the record.
        pairs: changes to what scoring the pairs took: 40 pairs in 2 seconds.
    """
    by_subset = queries if isinstance(queries, Mapping) else {"default": queries}
    settings: dict[str, Any] = {"first_stage": first_stage, "top_k": top_k}
    if query_tokens is not None:
        settings["query_tokens"] = query_tokens
    scores = {
        subset: round(sum(query[1] for query in rows) / len(rows), 5)
        for subset, rows in by_subset.items()
    }
    path = write_result(root, reranker, task, {split: scores}, settings=settings)
    cost = {"n_pairs": 40, "n_unique": 40, "n_scored": 40, "score_seconds": 2.0, **(pairs or {})}
    write_record(
        path,
        [
            evaluation(
                split=split,
                subset=subset,
                docs=None,
                pairs=cost,
                prompts={},
                n_queries=len(rows),
                query_seconds=[0.1, 0.2, 0.3],
                candidates_sha256=candidates,
            )
            for subset, rows in by_subset.items()
        ],
        hardware=hardware,
    )
    entries = [
        {
            "split": split,
            "subset": subset,
            "query_id": f"q{number}",
            "ndcg_at_10": reranked,
            "first_stage_ndcg_at_10": first,
            "ceiling_ndcg_at_10": ceiling,
            "candidate_recall": recall,
        }
        for subset, rows in by_subset.items()
        for number, (first, reranked, ceiling, recall) in enumerate(rows)
    ]
    pq.write_table(pa.Table.from_pylist(entries), record_path(path).with_suffix(".parquet"))
    return path
