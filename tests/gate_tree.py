"""
Results of models with rows per query, made by hand, for tests of baselines and of the gate.

    write_measured(root, "org/a", "TaskA", [0.5, 0.75, 1.0])
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from queries_tree import Values, write_queries

from granite_bench.comparison.measured import Measured
from granite_bench.gate.policy import Policy
from granite_bench.gate.revisions import find_revision, revisions_in
from granite_bench.results.tree import record_path, results_root
from granite_bench.suite.suite import Suite


def write_measured(
    root: Path,
    model: str,
    task: str,
    queries: Values,
    *,
    rows: bool = True,
    recalls: Sequence[float] | None = None,
    **options: Any,
) -> Path:
    """
    One result with its record and its rows per query; the result's path.

    What the data are, only the revision of the data set says.

    Args:
        root: the results folder, or the one above it.
        rows: whether there are rows per query.
        recalls: recall@100 of the same queries, of the subset "default" alone.
        options: for write_queries.
    """
    options["content_sha256"] = None
    path = write_queries(results_root(root), model, task, queries, **options)
    file = record_path(path).with_suffix(".parquet")
    if recalls is not None:
        content = json.loads(path.read_text())
        content["scores"]["test"][0]["recall_at_100"] = round(float(np.mean(recalls)), 5)
        path.write_text(json.dumps(content))
        with_recalls = pq.read_table(file).append_column("recall_at_100", pa.array(recalls))
        pq.write_table(with_recalls, file)
    if not rows:
        file.unlink()
    return path


def lowered(queries: Sequence[float], *, by: float, of: int) -> list[float]:
    """The first *of* scores lower by *by*, the others as they are."""
    return [value - by if place < of else value for place, value in enumerate(queries)]


def measured(root: Path, model: str, suite: Suite, policy: Policy | None = None) -> Measured:
    """What the tree says of a model, by the metrics of a policy too."""
    suites = [suite] if policy is None else policy.suites(suite)
    return find_revision(model, revisions_in(root, suite), str(root)).measured(suites)
