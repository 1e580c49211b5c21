"""nDCG@10 of two models, query by query, from what the runner stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from mteb.abstasks import AbsTask

from granite_bench.errors import TaskError
from granite_bench.files.parquet_file import read_rows
from granite_bench.models import ModelSource
from granite_bench.parity.figures import Quality
from granite_bench.results.store import QUERY_SCHEMA, ResultStore
from granite_bench.results.tree import record_path
from granite_bench.stats.bootstrap import ConfidenceInterval, stratified_bootstrap_interval

_SCORES = pa.schema(
    [QUERY_SCHEMA.field(name) for name in ("split", "subset", "query_id", "ndcg_at_10")]
)


@dataclass(frozen=True)
class Stratum:
    """nDCG@10 of the same queries of one split and subset; float64 (n_queries,)."""

    torch: npt.NDArray[np.float64]
    exported: npt.NDArray[np.float64]

    @property
    def differences(self) -> npt.NDArray[np.float64]:
        """Of the exported model less torch, query by query."""
        return self.exported - self.torch


def scores_of(
    task: AbsTask, store: ResultStore, reference: ModelSource, source: ModelSource
) -> list[Stratum]:
    """
    The stored scores of both models, by split and subset.

    Raises:
        TaskError: they are of different queries.
    """
    tables = []
    for each in (reference, source):
        path = record_path(store.path(each.meta, task.metadata.name)).with_suffix(".parquet")
        rows = read_rows(path, "move it and its result away and run again", schema=_SCORES)
        tables.append(rows.sort_by([(name, "ascending") for name in rows.column_names[:3]]))
    strata = []
    for split in task.eval_splits:
        for subset in task.hf_subsets:
            wanted = (pc.field("split") == split) & (pc.field("subset") == subset)
            one, other = (table.filter(wanted) for table in tables)
            if not one["query_id"].equals(other["query_id"]):
                raise TaskError(
                    f"{task.metadata.name}: the stored results are of other queries\n"
                    "  move them away and run again"
                )
            scores = (each["ndcg_at_10"].to_numpy() for each in (one, other))
            strata.append(Stratum(*scores))
    return strata


def quality_of(task: AbsTask, strata: Sequence[Stratum]) -> Quality:
    """The figures of one task."""
    return Quality(
        task=task.metadata.name,
        torch=float(np.mean([each.torch.mean() for each in strata])),
        exported=float(np.mean([each.exported.mean() for each in strata])),
        difference=overall_of([strata]),
        n_queries=sum(len(each.torch) for each in strata),
        n_changed=int(sum((each.differences != 0).sum() for each in strata)),
    )


def overall_of(of_tasks: Sequence[Sequence[Stratum]]) -> ConfidenceInterval | None:
    """Every task counts once, and within it every split and subset; None where one has 1 query."""
    differences = [each.differences for strata in of_tasks for each in strata]
    if any(len(each) < 2 for each in differences):
        return None
    weights = [1 / len(of_tasks) / len(strata) for strata in of_tasks for _ in strata]
    return stratified_bootstrap_interval(differences, weights)
