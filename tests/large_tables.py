"""
Tables of any size, made in memory: what a page of many models and tasks looks and weighs like.

    large_table(30, 18)

has every score, and behind each a record as granite-bench run writes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results_tree import GPU, evaluation, suite_of

from granite_bench.results.speed_columns import speeds_of
from granite_bench.results.tree import Result
from granite_bench.tables.scores import Cell
from granite_bench.tables.table import Options, Row, Table

_WORDS = ("Legal", "Code", "News", "Argument", "Multilingual", "Science", "Dialogue", "Financial")


def digest(*parts: object) -> str:
    """Forty hexadecimal digits, as revisions have."""
    return hashlib.sha1(repr(parts).encode()).hexdigest()


def model_names(n_models: int) -> list[str]:
    """As long as names on the hub are."""
    return [f"some-organisation/embedding-model-{n}m-multilingual" for n in range(n_models)]


def task_names(n_tasks: int) -> list[str]:
    """As long as mteb's are."""
    return [f"{_WORDS[n % len(_WORDS)]}Question{n}Retrieval" for n in range(n_tasks)]


def large_table(
    n_models: int,
    n_tasks: int,
    *,
    models: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
) -> Table:
    """
    A complete table: the scores are spread as digests are.

    Args:
        models, tasks: names; made up when left out.
    """
    models, tasks = models or model_names(n_models), tasks or task_names(n_tasks)
    suite = suite_of(*tasks, title=f"{n_models} models over {n_tasks} tasks")
    rows = [_row(model, tasks) for model in models]
    rows.sort(key=lambda row: -(row.average or 0))
    for rank, row in enumerate(rows, start=1):
        row.rank = rank
    columns = dict.fromkeys(tasks, "ndcg_at_10")
    return Table(suite, "small", Options(), columns, rows, n_tasks)


def _row(model: str, tasks: Sequence[str]) -> Row:
    scores = {task: int(digest(model, task)[:6], 16) / 16**6 for task in tasks}
    results = {task: _result(model, task, score) for task, score in scores.items()}
    return Row(
        model=model,
        revision=digest(model),
        cells={task: Cell(scores[task], 1, 1, sources=[results[task]]) for task in tasks},
        n_complete=len(tasks),
        n_tasks=len(tasks),
        results=results,
        average=sum(scores.values()) / len(scores),
        speeds=speeds_of(results.values()),
    )


def _result(model: str, task: str, score: float) -> Result:
    result = Result(
        model=model,
        revision=digest(model),
        task=task,
        dataset_revision=digest(task),
        mteb_version="2.26.24",
        scores={"test": {"default": {"ndcg_at_10": score}}},
        date=0.0,
        path=Path("results") / digest(model, task) / f"{task}.json",
    )
    vars(result)["record"] = _record(model, task)  # instead of a file
    return result


def _record(model: str, task: str) -> dict[str, Any]:
    n_docs = int(digest(task)[:5], 16)
    docs = {
        "n_unique": n_docs,
        "n_encoded": n_docs,
        "n_truncated": n_docs // 7,
        "encode_seconds": n_docs / 900,
    }
    settings = {
        "engine": "granite-bench exact search",
        "dtype": "bfloat16",
        "max_length": 512,
        "attention": "sdpa",
        "batches": "up to 16384 padded tokens, longest first",
    }
    measured = evaluation(n_docs=n_docs, docs=docs, index_seconds=n_docs / 890)
    return {
        "version": 1,
        "task": task,
        "runs": [
            {
                "date": f"2026-11-{1 + n_docs % 28:02}T08:00:00+00:00",
                "settings": settings,
                "packages": {},
                "hardware": GPU,
                "speed_protocol": "suite-run/1",
                "evaluations": [measured],
            }
        ],
    }
