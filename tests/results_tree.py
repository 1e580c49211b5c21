"""
Results trees in mteb's layout, made by hand, for tests of the reading side.

    write_result(root, "org/a", "TaskA", {"test": {"default": 0.5}})

writes what mteb.ResultCache and granite-bench leave, as far as a table or a report reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from granite_bench.files import json_file
from granite_bench.results.tree import record_path
from granite_bench.suite.suite import Suite
from granite_bench.tables.table import Table, make_table

Scores = Mapping[str, Mapping[str, Any]]
"""split -> subset -> the value of ndcg_at_10, or a mapping of metrics."""

CPU = {"cpu": "Test CPU", "cores": 4, "memory_gib": 8.0, "device_name": None}
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
        name = "__".join(f"{key}_{value}" for key, value in settings.items()).replace("/", "_")
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


def write_old_result(
    root: Path,
    model: str,
    task: str,
    splits: Mapping[str, Mapping[str, Any]],
    *,
    revision: str = "rev-1",
) -> Path:
    """A result as mteb wrote it before 1.11: splits at the top, no scores, no model_meta.json."""
    folder = root / model.replace("/", "__") / revision
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "dataset_revision": "data-1",
        "mteb_dataset_name": task,
        "mteb_version": "1.2.0",
        **{split: {**scores, "evaluation_time": 1.5} for split, scores in splits.items()},
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


def write_awkward_tree(root: Path) -> None:
    """
    Everything at once that public trees hold, for a suite of SciFact, TaskB and TaskC[en, de].

    See AWKWARD for the rows that a table over it has.
    """

    def both(value: float) -> Scores:
        return {"test": {"en": value, "de": value}}

    def one(value: Any) -> Scores:
        return {"test": {"default": value}}

    # Two revisions, and external for what neither has; the newer one has least of the suite.
    write_result(root, "org/many", "SciFact", one(0.5), revision="old", date=1)
    write_result(root, "org/many", "TaskB", one(0.25), revision="old", date=1)
    write_result(root, "org/many", "SciFact", one(0.99), revision="new", date=2)
    write_result(root, "org/many", "TaskB", one(0.99), revision="external", date=3)
    write_result(root, "org/many", "TaskC", both(0.75), revision="external", date=3)
    # mteb's oldest form, without model_meta.json, and other files of the same folder without it.
    write_old_result(root, "org/old", "SciFact", {"test": {"ndcg_at_10": 0.25}})
    write_result(root, "org/old", "TaskB", one(0.5), meta=False)
    write_result(root, "org/old", "TaskC", both(0.75), meta=False)
    # A variant beside its model, and an experiment's folder without metadata.
    for task, scores in (("SciFact", one(0.75)), ("TaskB", one(0.75)), ("TaskC", both(0.75))):
        write_result(root, "org/wide", task, scores)
        write_result(root, "org/wide", task, scores, settings={"embed_dim": 512})
    write_result(root, "org/wide", "TaskB", one(0.1), settings={"seed": 1}, meta=False)
    # Results of another revision of the data, by an older mteb, with a split nobody asks for.
    path = write_result(root, "org/dated", "SciFact", {**one(0.125), "train": {"default": 0.9}})
    content = {**json.loads(path.read_text()), "dataset_revision": "data-0", "mteb_version": "1.14"}
    path.write_text(json.dumps(content))
    write_result(root, "org/dated", "TaskB", one(0.125))
    write_result(root, "org/dated", "TaskC", both(0.125))
    # Holes: a subset is missing, a score is NaN, one is in points, one has no such metric.
    write_result(root, "org/subset", "SciFact", one(0.5))
    write_result(root, "org/subset", "TaskB", one(0.5))
    write_result(root, "org/subset", "TaskC", {"test": {"en": 0.5}})
    write_result(root, "org/refused", "SciFact", one(float("nan")))
    write_result(root, "org/refused", "TaskB", one(50.0))
    write_result(root, "org/refused", "TaskC", {"test": {"en": 0.5, "de": {"accuracy": 0.5}}})
    # What is no result: settings, records, other tasks, even broken ones, and stray folders.
    folder = root / "org__wide" / "rev-1"
    (folder / "run_settings.jsonl").write_text("{}\n")
    (folder / "TaskX.json").write_text("{broken")
    (root / "README.md").write_text("results\n")
    (root / "org__empty" / "rev-1").mkdir(parents=True)


AWKWARD: Sequence[tuple[str, str, int, float | None, int | None]] = (
    # model, revision, complete tasks of 3, average, rank
    ("org/wide", "rev-1", 3, 0.75, 1),
    ("org/wide (embed_dim=512)", "rev-1", 3, 0.75, 1),
    ("org/many", "old", 3, 0.5, 3),
    ("org/old", "rev-1", 3, 0.5, 3),
    ("org/dated", "rev-1", 3, 0.125, 5),
    ("org/refused", "rev-1", 0, None, None),
    ("org/subset", "rev-1", 2, None, None),
    ("org/wide (seed_1)", "rev-1", 1, None, None),
)
"""The table over write_awkward_tree, by hand."""


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The JSON files that are read from here on, in order."""
    opened: list[Path] = []
    read: Callable[[Path, int], bytes] = json_file.read_at_most

    def note(path: Path, n_bytes: int) -> bytes:
        opened.append(path)
        return read(path, n_bytes)

    monkeypatch.setattr(json_file, "read_at_most", note)
    return opened
