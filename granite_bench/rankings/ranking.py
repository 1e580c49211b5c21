"""
A run kept on disk: for every query its best documents, as a first stage hands them on.

    rows_of(run, ...)          the rows to store, to a depth
    candidates_of(rows, ...)   what a reranker gets, with its hash
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from granite_bench.engine.search.run import Run
from granite_bench.results.store import RANKING_SCHEMA

MOST_RANKED = 1_000
"""Documents per query: mteb's largest cut-off, which no search goes beyond."""


def rows_of(
    run: Mapping[str, Mapping[str, float]], *, split: str, subset: str, depth: int
) -> pa.Table:
    """
    One row per query of *run*, of store.RANKING_SCHEMA.

    Args:
        run: query id -> document id -> score; fastest as a Run.
        depth: documents kept per query at most, 1 or more.
    """
    if not isinstance(run, Run):
        run = Run.from_dicts(run)
    run = run.rounded()
    docs, scores = run.docs[:, :depth], run.scores[:, :depth]
    there = docs >= 0
    starts = pa.array(np.append(0, there.sum(axis=1).cumsum()), pa.int32())
    ids = run.documents.ids.take(pa.array(docs[there])).cast(pa.string())
    return pa.table(
        {
            "split": pa.array([split] * len(run), pa.string()),
            "subset": pa.array([subset] * len(run), pa.string()),
            "query_id": pa.array(run.query_ids, pa.string()),
            "doc_ids": pa.ListArray.from_arrays(starts, ids),
            "scores": pa.ListArray.from_arrays(starts, pa.array(scores[there].astype(np.float32))),
        },
        schema=RANKING_SCHEMA,
    )


@dataclass(frozen=True)
class Candidates:
    """
    What a reranker is to reorder.

    Attributes:
        by_query: query id -> document ids, the first stage's best first.
        sha256: over these ids in their order; scores do not matter to a reranker.
    """

    by_query: Mapping[str, Sequence[str]]
    sha256: str


def rows_of_part(ranking: pa.Table, *, split: str, subset: str) -> pa.Table:
    """The rows of one part of a task."""
    return ranking.filter(
        pc.and_(pc.equal(ranking["split"], split), pc.equal(ranking["subset"], subset))
    )


def candidates_of(rows: pa.Table, *, top_k: int) -> Candidates | None:
    """
    The best *top_k* documents of every query of one part of a task; None where it has no rows.

    Args:
        rows: of store.RANKING_SCHEMA, of that part alone.
    """
    if rows.num_rows == 0:
        return None
    by_query = {
        query_id: doc_ids[:top_k]
        for query_id, doc_ids in zip(
            rows["query_id"].to_pylist(), rows["doc_ids"].to_pylist(), strict=True
        )
    }
    digest = hashlib.sha256()
    for query_id in sorted(by_query):
        digest.update("\0".join([query_id, *by_query[query_id], "\n"]).encode())
    return Candidates(by_query, digest.hexdigest())
