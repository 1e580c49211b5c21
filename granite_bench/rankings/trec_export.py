"""Rankings that runs kept, and the judgements of their tasks -> files in TREC's formats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from mteb.abstasks.retrieval import AbsTaskRetrieval

from granite_bench.errors import BadInput, Fault, did_you_mean, first_line
from granite_bench.files.local import write_atomically
from granite_bench.rankings.ranking import rows_of_part
from granite_bench.rankings.trec import qrels_file_name, run_file_name, trec_qrels, trec_run
from granite_bench.results.store import read_ranking
from granite_bench.results.tree import Result, ranking_path, read_results, results_root
from granite_bench.tasks import find_task
from granite_bench.tasks.beir import is_beir_folder
from granite_bench.tasks.loaded import data_of

QRELS = "qrels"
"""The folder of the judgements, beside those of the models."""


@dataclass
class Exported:
    """
    What was written.

    Attributes:
        runs, qrels: files, one for each split and subset.
        faults: of results that could not be exported; the others were.
    """

    runs: list[Path] = field(default_factory=list)
    qrels: set[Path] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)


def export_rankings(
    folders: Sequence[Path],
    out: Path,
    *,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    mirror: Path | None = None,
    with_qrels: bool = True,
) -> Exported:
    """
    Write every ranking that was kept, but for what mteb does not score of it.

    Args:
        folders: of results.
        out: gets a folder for each model and revision, as results have them, and QRELS.
        models: of these, with all their variants; none named means all.
        tasks: of these; of a BEIR-layout folder that was moved, where it is now.
        mirror: where data sets lie as org/name.
        with_qrels: whether judgements are written, for which tasks are loaded.

    Raises:
        BadInput: no ranking was kept of what is named, or results cannot be read.
        StorageError: a file cannot be written.
    """
    moved = {Path(task).resolve().name: task for task in tasks if is_beir_folder(task)}
    names = [task for task in tasks if task not in moved.values()]
    exported = Exported()
    for root, result in _with_rankings(folders, models, [*names, *moved]):
        try:
            task = _task_of(result, moved.get(result.task), mirror)
            exported.runs += _write_runs(result, task, out / result.path.parent.relative_to(root))
            if with_qrels:
                exported.qrels |= set(_write_qrels(result, task, out / QRELS, exported.qrels))
        except BadInput as error:
            exported.faults += error.faults
    return exported


def _with_rankings(
    folders: Sequence[Path], models: Sequence[str], tasks: Sequence[str]
) -> list[tuple[Path, Result]]:
    """The results asked for whose ranking was kept, each with the root of its folder."""
    there = [
        (results_root(folder), result)
        for folder in folders
        for result in read_results(folder, tasks or None)
    ]
    asked = [
        (root, result)
        for root, result in there
        if not models or any(_is_of(result.model, model) for model in models)
    ]
    kept = [(root, result) for root, result in asked if ranking_path(result.path).is_file()]
    if not kept:
        where = ", ".join(map(str, folders))
        hint = "keep it with: granite-bench run --keep-ranking 1000 ..."
        if asked:
            raise BadInput(Fault(where, f"none of {len(asked)} results has its ranking", hint))
        known = {result.model for _, result in there}
        hint = next(filter(None, (did_you_mean(model, known) for model in models)), hint)
        raise BadInput(Fault(where, "no results of these models and tasks", hint))
    return kept


def _is_of(name: str, model: str) -> bool:
    """Whether a result's model is the one named: itself, or a variant of it."""
    return name == model or name.startswith(f"{model} (")


def _task_of(result: Result, folder: str | None, mirror: Path | None) -> AbsTaskRetrieval:
    """
    The task of a result, as it was evaluated.

    Args:
        folder: the task's BEIR-layout folder, where it was named; otherwise the record's.

    Raises:
        BadInput: there is no such task here, or its data are not those of the result.
    """
    runs = result.record.get("runs", ())
    dataset = str(runs[-1].get("data", {}).get("dataset", "")) if runs else ""
    named = folder or (dataset if is_beir_folder(dataset) else result.task)
    task = find_task(named, mirror=mirror)
    if not isinstance(task, AbsTaskRetrieval):
        raise BadInput(
            Fault(str(result.path), f"{task.metadata.name} is a task that ranks nothing")
        )
    if task.metadata.revision != result.dataset_revision:
        problem = (
            f"is of data of revision {result.dataset_revision}, and those here are of "
            f"{task.metadata.revision}"
        )
        raise BadInput(Fault(str(result.path), problem, "run the task again"))
    return task


def _parts(result: Result) -> Iterator[tuple[str, str, pa.Table]]:
    """The ranking of a result, split by split and subset by subset."""
    table = read_ranking(ranking_path(result.path))
    pairs = zip(table["split"].to_pylist(), table["subset"].to_pylist(), strict=True)
    for split, subset in dict.fromkeys(pairs):
        yield split, subset, rows_of_part(table, split=split, subset=subset)


def _write_runs(result: Result, task: AbsTaskRetrieval, folder: Path) -> list[Path]:
    written = []
    for split, subset, table in _parts(result):
        scored = _scored(table, task)
        lines = trec_run(scored, tag=result.model, where=f"{result.model} / {result.task}")
        written.append(_write(folder / run_file_name(result.task, split, subset), lines))
    return written


def _write_qrels(
    result: Result, task: AbsTaskRetrieval, folder: Path, there: set[Path]
) -> list[Path]:
    """The judgements of all parts of a result that are not written yet."""
    parts = {
        (split, subset): path
        for split, subset, _ in _parts(result)
        if (path := folder / qrels_file_name(result.task, split, subset)) not in there
    }
    if not parts:
        return []
    try:
        with data_of(task, list(parts)):
            judged = {
                path: task.dataset[subset][split]["relevant_docs"]
                for (split, subset), path in parts.items()
            }
    except OSError as error:  # what the hub's client raises is one, too
        problem = f"its data cannot be loaded: {first_line(error)}"
        hint = "--no-qrels writes the runs alone; granite-bench fetch gets the data"
        raise BadInput(Fault(result.task, problem, hint)) from None
    return [_write(path, trec_qrels(qrels, where=result.task)) for path, qrels in judged.items()]


def _write(path: Path, lines: Iterable[str]) -> Path:
    write_atomically(path, "".join(lines).encode())
    return path


def _scored(table: pa.Table, task: AbsTaskRetrieval) -> pa.Table:
    """What mteb scores of a ranking: without the query itself, or the first, where it says so."""
    if not (task.ignore_identical_ids or task.skip_first_result):
        return table
    documents, scores = [], []
    for row in table.to_pylist():
        kept = [
            (document, score)
            for document, score in zip(row["doc_ids"], row["scores"], strict=True)
            if not (task.ignore_identical_ids and document == row["query_id"])
        ][int(task.skip_first_result) :]
        documents.append([document for document, _ in kept])
        scores.append([score for _, score in kept])
    changed = {
        "doc_ids": pa.array(documents, pa.list_(pa.string())),
        "scores": pa.array(scores, pa.list_(pa.float32())),
    }
    columns = {name: changed.get(name, table[name]) for name in table.column_names}
    return pa.table(columns, schema=table.schema)
