"""
Results trees in mteb's layout, made by hand, for tests of the reading side.

    write_result(root, "org/a", "TaskA", {"test": {"default": 0.5}})

writes what mteb.ResultCache and granite-bench leave, as far as a table or a report reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from granite_bench.results import record_path
from granite_bench.suite import Suite
from granite_bench.table import Table, make_table

Scores = Mapping[str, Mapping[str, Any]]
"""split -> subset -> the value of ndcg_at_10, or a mapping of metrics."""

CPU = {"cpu": "Test CPU", "cores": 4, "memory_gb": 8.0, "device_name": None}
GPU = {**CPU, "device_name": "Test GPU"}


def write_result(
    root: Path,
    model: str,
    task: str,
    scores: Scores,
    *,
    revision: str = "rev-1",
    settings: Mapping[str, Any] | None = None,
    date: float | None = None,
    meta: bool = True,
) -> Path:
    """
    One result of a model, and the model's metadata beside it.

    Args:
        root: the folder that holds the model folders.
        settings: of a variant, which goes to experiments/; None is the model as it is.
        meta: whether there is a model_meta.json.
    """
    folder = root / model.replace("/", "__") / revision
    if settings is not None:
        name = "__".join(f"{key}_{value}" for key, value in settings.items())
        folder = folder / "experiments" / name
    folder.mkdir(parents=True, exist_ok=True)
    if meta:
        known = {"name": model, "revision": revision, "experiment_kwargs": settings}
        (folder / "model_meta.json").write_text(json.dumps(known))
    content = {
        "dataset_revision": "data-1",
        "task_name": task,
        "mteb_version": "2.26.24",
        "evaluation_time": 1.0,
        "date": date,
        "scores": {
            split: [_entry(subset, value) for subset, value in subsets.items()]
            for split, subsets in scores.items()
        },
    }
    path = folder / f"{task}.json"
    path.write_text(json.dumps(content))
    return path


def _entry(subset: str, value: Any) -> dict[str, Any]:
    metrics = value if isinstance(value, Mapping) else {"ndcg_at_10": value, "main_score": value}
    return {**metrics, "hf_subset": subset, "languages": ["eng-Latn"]}


def evaluation(**changes: Any) -> dict[str, Any]:
    """What a record says of one split and subset: 100 documents encoded in 2 seconds."""
    docs = {"n_unique": 100, "n_encoded": 100, "n_truncated": 25, "encode_seconds": 2.0}
    return {
        "split": "test",
        "subset": "default",
        "n_docs": 100,
        "n_queries": 2,
        "prompts": {"query": "query: ", "document": ""},
        "docs": docs,
        "queries": None,
        "index_seconds": 2.5,
        "search_seconds": 0.5,
        "query_seconds": [0.010, 0.010],
        **changes,
    }


def write_record(
    result: Path,
    evaluations: Sequence[Mapping[str, Any]] | None = None,
    *,
    hardware: Mapping[str, Any] = CPU,
    protocol: str = "suite-run/1",
    version: Any = 1,
) -> Path:
    """The record of a result: one run on one machine."""
    run = {
        "date": "2026-11-21T08:00:00+00:00",
        "settings": {"engine": "granite-bench exact search", "dtype": "float32", "max_length": 512},
        "packages": {"sentence-transformers": "5.2.0"},
        "hardware": dict(hardware),
        "speed_protocol": protocol,
        "evaluations": [dict(entry) for entry in evaluations or [evaluation()]],
    }
    path = record_path(result)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"version": version, "task": result.stem, "runs": [run]}))
    return path


def suite_of(*tasks: str | Mapping[str, Any], **changes: Any) -> Suite:
    """A suite of these tasks."""
    content = {
        "version": 1,
        "name": "small",
        "title": "Small suite",
        "description": "For a test.",
        "tasks": list(tasks),
        **changes,
    }
    return Suite.model_validate(content)


def table_of(root: Path, *tasks: str | Mapping[str, Any], **changes: Any) -> Table:
    """The table of these tasks from the results in *root*."""
    return make_table(suite_of(*tasks, **changes), [root])
