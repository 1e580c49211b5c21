"""granite-bench export-run: rankings and judgements as TREC files, for trec_eval and others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from granite_bench.commands.options import mirror_option, results_option
from granite_bench.errors import BadInput, Fault

if TYPE_CHECKING:
    import pyarrow as pa

    from granite_bench.results import Result

QRELS = "qrels"
"""The folder of the judgements, beside those of the models."""


@click.command(
    "export-run",
    epilog="\b\nExamples:\n"
    "  granite-bench run --task SciFact --model intfloat/e5-small-v2 --keep-ranking 1000\n"
    "  granite-bench export-run --task SciFact --out runs\n"
    "  trec_eval -c -m ndcg_cut.10 runs/qrels/SciFact.test.default.qrels "
    "runs/MODEL/REVISION/SciFact.test.default.trec",
)
@results_option
@click.option(
    "--model", "models", multiple=True, help="Of this model; may be repeated. Default: all."
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    help="Of this task, or of this BEIR-layout folder; may be repeated. Default: all.",
)
@mirror_option
@click.option("--no-qrels", is_flag=True, help="Write no judgements.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder."
)
def export_run(
    results: Sequence[Path],
    models: Sequence[str],
    tasks: Sequence[str],
    mirror: Path | None,
    no_qrels: bool,
    out: Path,
) -> None:
    """
    Write rankings that runs kept as TREC runs, and the judgements of their tasks as qrels.

    A file for each task, split and subset, below a folder for each model. What mteb does not
    score, such as the document that is the query itself in ArguAna, is left out, so that
    trec_eval -c gives the scores of the results.
    """
    from granite_bench.mirror import mirror_folder
    from granite_bench.tasks.beir import is_beir_folder

    folders = {Path(task).resolve().name: task for task in tasks if is_beir_folder(task)}
    names = [task for task in tasks if task not in folders.values()]
    found = _with_rankings(results, models, [*names, *folders])
    mirrored = mirror_folder(mirror)
    faults: list[Fault] = []
    written: list[Path] = []
    judged: set[Path] = set()
    for root, result in found:
        try:
            task = _task_of(result, folders.get(result.task), mirrored)
            folder = out / result.path.parent.relative_to(root)
            written += _write_runs(result, task, folder)
            if not no_qrels:
                judged |= set(_write_qrels(result, task, out / QRELS, judged))
        except BadInput as error:
            faults += error.faults
    click.echo(f"{len(written)} runs and {len(judged)} qrels files in {out}")
    if faults:
        raise BadInput(dict.fromkeys(faults))


def _with_rankings(
    folders: Sequence[Path], models: Sequence[str], tasks: Sequence[str]
) -> list[tuple[Path, Result]]:
    """The results asked for whose ranking was kept, each with the root of its folder."""
    from granite_bench.results import ranking_path, read_results, results_root

    asked = [
        (results_root(folder), result)
        for folder in folders
        for result in read_results(folder, tasks or None)
        if not models or any(_is_of(result.model, model) for model in models)
    ]
    kept = [(root, result) for root, result in asked if ranking_path(result.path).is_file()]
    if not kept:
        what = "no results of these models and tasks"
        if asked:
            what = f"none of {len(asked)} results has its ranking"
        hint = "keep it with: granite-bench run --keep-ranking 1000 ..."
        raise BadInput(Fault(", ".join(map(str, folders)), what, hint))
    return kept


def _is_of(name: str, model: str) -> bool:
    """Whether a result's model is the one named: itself, or a variant of it."""
    return name == model or name.startswith(f"{model} (")


def _task_of(result: Result, folder: str | None, mirror: Path | None) -> Any:
    """
    The task of a result, as it was evaluated.

    Args:
        folder: the task's BEIR-layout folder, where it was named; otherwise the record's.

    Raises:
        BadInput: there is no such task here, or its data are not those of the result.
    """
    from granite_bench.tasks import find_task
    from granite_bench.tasks.beir import is_beir_folder

    runs = result.record.get("runs", ())
    dataset = str(runs[-1].get("data", {}).get("dataset", "")) if runs else ""
    named = folder or (dataset if is_beir_folder(dataset) else result.task)
    task = find_task(named, mirror=mirror)
    if task.metadata.revision != result.dataset_revision:
        problem = (
            f"is of data of revision {result.dataset_revision}, and those here are of "
            f"{task.metadata.revision}"
        )
        raise BadInput(Fault(str(result.path), problem, "run the task again"))
    return task


def _parts(result: Result) -> Iterator[tuple[str, str, pa.Table]]:
    """The ranking of a result, split by split and subset by subset."""
    import pyarrow.compute as pc

    from granite_bench.results import ranking_path
    from granite_bench.store import read_ranking

    table = read_ranking(ranking_path(result.path))
    pairs = zip(table["split"].to_pylist(), table["subset"].to_pylist(), strict=True)
    for split, subset in dict.fromkeys(pairs):
        here = pc.and_(pc.equal(table["split"], split), pc.equal(table["subset"], subset))
        yield split, subset, table.filter(here)


def _write_runs(result: Result, task: Any, folder: Path) -> list[Path]:
    from granite_bench.trec import run_file_name, trec_run

    written = []
    for split, subset, table in _parts(result):
        scored = _scored(table, task)
        lines = trec_run(scored, tag=result.model, where=f"{result.model} / {result.task}")
        written.append(_write(folder / run_file_name(result.task, split, subset), lines))
    return written


def _write_qrels(result: Result, task: Any, folder: Path, there: set[Path]) -> list[Path]:
    """The judgements of all parts of a result that are not written yet."""
    from granite_bench.tasks import restrict
    from granite_bench.trec import qrels_file_name, trec_qrels

    parts = {
        (split, subset): path
        for split, subset, _ in _parts(result)
        if (path := folder / qrels_file_name(result.task, split, subset)) not in there
    }
    if not parts:
        return []
    splits, subsets = zip(*parts, strict=True)
    task = restrict(task, subsets=subsets, splits=splits)
    try:
        task.load_data()
    except OSError as error:  # what the hub's client raises is one, too
        problem = f"its data cannot be loaded: {str(error).splitlines()[0]}"
        hint = "--no-qrels writes the runs alone; granite-bench fetch gets the data"
        raise BadInput(Fault(result.task, problem, hint)) from None
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    written = []
    for (split, subset), path in parts.items():
        qrels = task.dataset[subset][split]["relevant_docs"]
        written.append(_write(path, trec_qrels(qrels, where=result.task)))
    return written


def _write(path: Path, lines: Iterable[str]) -> Path:
    from granite_bench.files import write_atomically

    write_atomically(path, "".join(lines).encode())
    return path


def _scored(table: pa.Table, task: Any) -> pa.Table:
    """What mteb scores of a ranking: without the query itself, or the first, where it says so."""
    import pyarrow as pa

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
