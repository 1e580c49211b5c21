"""
Behind a first stage: a retrieval task whose documents to rank are the best of an earlier run.

This is what mteb's convert_to_reranking makes of a task, from the rankings that our store keeps.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from mteb.abstasks import AbsTask
from mteb.abstasks.retrieval import AbsTaskRetrieval

from granite_bench.errors import TaskError
from granite_bench.models import ModelSource, Reranking, RunFile
from granite_bench.rankings.ranking import Candidates, candidates_of, rows_of_part
from granite_bench.rankings.trec import read_trec_run, run_file_name
from granite_bench.results.store import ResultStore, read_ranking
from granite_bench.results.tree import ranking_path
from granite_bench.tasks import Evaluation


def find_candidates(
    store: ResultStore, reranking: Reranking, task: str, part: Evaluation
) -> Candidates | None:
    """
    What the first stage found in one part of a task; None where it has not run.

    Raises:
        BadInput: the stored ranking or the run's file is broken.
    """
    rows = _rows(store, reranking.first_stage, task, part)
    return None if rows is None else candidates_of(rows, top_k=reranking.top_k)


def _rows(
    store: ResultStore, first_stage: ModelSource | RunFile, task: str, part: Evaluation
) -> pa.Table | None:
    """The first stage's ranking of one part; None where there is none."""
    split, subset = part
    if isinstance(first_stage, ModelSource):
        path = ranking_path(store.path(first_stage.meta, task))
        if not path.exists():
            return None
        return rows_of_part(_read_once(read_ranking, path), split=split, subset=subset)
    file = first_stage.file_of(run_file_name(task, split, subset))
    return None if file is None else read_run(file)


def read_run(path: Path) -> pa.Table:
    """
    The rows of a run's file, which is of one part of a task; read once for all rerankers.

    Raises:
        BadInput: see trec.read_trec_run.
    """
    return _read_once(read_trec_run, path)


def _read_once(read: Callable[[Path], pa.Table], path: Path) -> pa.Table:
    file = path.stat()
    return _read(read, path, (file.st_size, file.st_mtime_ns))


@functools.lru_cache(maxsize=8)
def _read(read: Callable[[Path], pa.Table], path: Path, stamp: tuple[int, int]) -> pa.Table:
    """A file's content; *stamp* tells another."""
    return read(path)


@contextlib.contextmanager
def reranking_of(
    task: AbsTask, reranking: Reranking | None, candidates: Mapping[Evaluation, Candidates]
) -> Iterator[None]:
    """
    The task with the candidates as what there is to rank, and as it was afterwards.

    Args:
        task: its data are loaded.
        reranking: None leaves the task as it is: its own candidates are ranked.
        candidates: of each part that is evaluated.

    Raises:
        TaskError: the task is not a retrieval task, or has nothing to rerank.
    """
    if not isinstance(task, AbsTaskRetrieval):
        raise TaskError("a reranker scores a query with documents, and this task has none")
    if reranking is None:
        parts = [part for subset in task.dataset.values() for part in subset.values()]
        if not all(part["top_ranked"] for part in parts):
            raise TaskError(
                "this task brings no candidates to rerank\n  name what finds them: --first-stage"
            )
        yield
        return
    data = {part: task.dataset[part[1]][part[0]] for part in candidates}
    own = {part: each["top_ranked"] for part, each in data.items()}
    depth, earlier = task._top_k, task._previous_results_model_meta
    try:
        for part, each in data.items():
            by_query = candidates[part].by_query
            each["top_ranked"] = {query: list(docs) for query, docs in by_query.items()}
        task._top_k = reranking.top_k
        task._previous_results_model_meta = _as_mteb_names_it(reranking.first_stage)
        yield
    finally:
        for part, each in data.items():
            each["top_ranked"] = own[part]
        task._top_k, task._previous_results_model_meta = depth, earlier


def require_candidates(
    store: ResultStore, reranking: Reranking, task: str, parts: Sequence[Evaluation]
) -> dict[Evaluation, Candidates]:
    """
    The candidates of each part.

    Raises:
        TaskError: the first stage's ranking of a part is missing.
    """
    found = {part: find_candidates(store, reranking, task, part) for part in parts}
    missing = [f"{split} {subset}" for (split, subset), each in found.items() if each is None]
    if missing:
        raise TaskError(
            f"the first stage {reranking.first_stage.name} has no ranking of "
            f"{', '.join(missing[:5])}\n  mend the first stage's run, and run again"
        )
    return {part: each for part, each in found.items() if each is not None}


def describe(reranking: Reranking) -> dict[str, Any]:
    """What the record of a reranked run says of its first stage."""
    first = reranking.first_stage
    return {
        "name": first.name,
        "argument": first.argument,
        "settings": dict(first.settings),
        "revision": first.revision,
        "top_k": reranking.top_k,
        "query_tokens": reranking.query_tokens,
    }


def _as_mteb_names_it(first_stage: ModelSource | RunFile) -> dict[str, Any]:
    """As mteb's prediction files do: by the model's name without its settings."""
    name = first_stage.name if isinstance(first_stage, RunFile) else first_stage.meta.name
    return {"model_name": name, "revision": first_stage.revision}
