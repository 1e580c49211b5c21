"""
Results of models with rows per query, made by hand, for tests of baselines and of the gate.

    write_measured(root, "org/a", "TaskA", [0.5, 0.75, 1.0])
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from results_tree import evaluation, write_record, write_result

from granite_bench.comparison.measured import Measured
from granite_bench.gate.policy import Policy
from granite_bench.gate.revisions import find_revision, revisions_in
from granite_bench.results import record_path, results_root
from granite_bench.suite import Suite

Queries = Sequence[float] | Mapping[str, Sequence[float]]
"""nDCG@10 of each query, of the subset "default" or by subset."""


def write_measured(
    root: Path,
    model: str,
    task: str,
    queries: Queries,
    *,
    rows: bool = True,
    recalls: Sequence[float] | None = None,
    dataset_revision: str = "data-1",
    **options: Any,
) -> Path:
    """
    One result with its record and its rows per query; the result's path.

    Args:
        root: the results folder, or the one above it.
        rows: whether there are rows per query.
        recalls: recall@100 of the same queries, of the subset "default" alone.
        options: for write_result.
    """
    by_subset = queries if isinstance(queries, Mapping) else {"default": queries}
    scores: dict[str, Any] = {
        subset: {"ndcg_at_10": round(float(np.mean(values)), 5)}
        for subset, values in by_subset.items()
    }
    if recalls is not None:
        scores["default"]["recall_at_100"] = round(float(np.mean(recalls)), 5)
    path = write_result(results_root(root), model, task, {"test": scores}, **options)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "dataset_revision": dataset_revision}))
    entries_of_record = [
        evaluation(subset=subset, n_queries=len(values)) for subset, values in by_subset.items()
    ]
    write_record(path, entries_of_record)
    if rows:
        entries = [
            {"split": "test", "subset": subset, "query_id": f"q{number:04}", "ndcg_at_10": value}
            for subset, values in by_subset.items()
            for number, value in enumerate(values)
        ]
        for number, recall in enumerate(recalls or ()):
            entries[number]["recall_at_100"] = recall
        pq.write_table(pa.Table.from_pylist(entries), record_path(path).with_suffix(".parquet"))
    return path


def lowered(queries: Sequence[float], *, by: float, of: int) -> list[float]:
    """The first *of* scores lower by *by*, the others as they are."""
    return [value - by if place < of else value for place, value in enumerate(queries)]


def measured(root: Path, model: str, suite: Suite, policy: Policy | None = None) -> Measured:
    """What the tree says of a model, by the metrics of a policy too."""
    suites = [suite] if policy is None else policy.suites(suite)
    return find_revision(model, revisions_in(root, suite), str(root)).measured(suites)
