"""
Results with rows per query, made by hand: what a run leaves, as far as a comparison reads it.

    write_queries(root, "org/a", "TaskA", [0.5, 1.0, 0.0])
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from results_tree import evaluation, write_record, write_result

from granite_bench.results.tree import record_path

Values = Sequence[float] | Mapping[str, Sequence[float]]
"""nDCG@10 of each query of the subset "default", or by subset."""

N_TOP = 3


def write_queries(
    root: Path,
    model: str,
    task: str,
    values: Values,
    *,
    ids: Sequence[str] = (),
    split: str = "test",
    revision: str = "rev-1",
    settings: Mapping[str, Any] | None = None,
    dataset_revision: str = "data-1",
    mteb_version: str = "2.26.24",
    max_length: int | None = 512,
    content: str = "content",
    date: float | None = None,
    top: Mapping[str, Sequence[str]] | None = None,
    **of_evaluation: Any,
) -> Path:
    """
    One result with its record and rows per query.

    Args:
        ids: of the queries, the same in each subset; q0, q1, ... when empty.
        content: what the record says the data are.
        top: query -> its best documents; d0, d1, d2 where it is not named.
        of_evaluation: changes to the record's entry of each subset.
    """
    by_subset = values if isinstance(values, Mapping) else {"default": values}
    scores = {subset: round(sum(row) / len(row), 5) for subset, row in by_subset.items()}
    path = write_result(
        root, model, task, {split: scores}, revision=revision, settings=settings, date=date
    )
    stored = json.loads(path.read_text())
    stored |= {"dataset_revision": dataset_revision, "mteb_version": mteb_version}
    path.write_text(json.dumps(stored))
    write_record(
        path,
        [
            evaluation(
                split=split,
                subset=subset,
                n_queries=len(row),
                **{"content_sha256": content, **of_evaluation},
            )
            for subset, row in by_subset.items()
        ],
    )
    record = json.loads(record_path(path).read_text())
    record["runs"][0]["settings"]["max_length"] = max_length
    record_path(path).write_text(json.dumps(record))
    rows = [
        {
            "split": split,
            "subset": subset,
            "query_id": query,
            "ndcg_at_10": float(value),
            "top_docs": list((top or {}).get(query, [f"d{place}" for place in range(N_TOP)])),
            "top_scores": [1.0 - place / 10 for place in range(N_TOP)],
        }
        for subset, row in by_subset.items()
        for query, value in zip(ids or [f"q{n}" for n in range(len(row))], row, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), record_path(path).with_suffix(".parquet"))
    return path
