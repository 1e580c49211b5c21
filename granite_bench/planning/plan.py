"""
What a run will do, found out before anything is loaded: what is there, what is missing and why.

A result is done when it has every split and subset that is asked for and came from the same data.
What it was made with (model, revision, variant) is its address, so that cannot differ.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mteb.abstasks import AbsTask
from mteb.abstasks.retrieval import AbsTaskRetrieval

from granite_bench.errors import BadInput, Fault
from granite_bench.models import ModelSource, Reranking
from granite_bench.offline.mirror import content_hash
from granite_bench.rankings.first_stage import find_candidates
from granite_bench.results.store import ResultStore
from granite_bench.tasks import Evaluation, is_downloaded, parts_of, sizes
from granite_bench.tasks.beir import BeirFolderTask


@dataclass
class Job:
    """
    One model on one task.

    Attributes:
        missing: the evaluations to run; empty when the result is done.
        reason: why they are missing, for people.
        keep: whether the stored result stays and the missing part is added to it.
        ranking_depth: documents per query that the run keeps on disk; 0 keeps no ranking.
        n_docs, n_queries: of the missing part, where known without a download.
        downloads: hub repositories that are not on this machine.
    """

    source: ModelSource
    task: AbsTask
    missing: list[Evaluation]
    reason: str
    keep: bool = True
    ranking_depth: int = 0
    n_docs: int | None = None
    n_queries: int | None = None
    downloads: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether nothing is left to run."""
        return not self.missing

    @property
    def task_name(self) -> str:
        """mteb's name of the task, or that of its folder."""
        return self.task.metadata.name

    def __str__(self) -> str:
        return f"{self.source.name} on {self.task_name}"


@dataclass(frozen=True)
class Plan:
    """All jobs of a run, in order: model by model, each loaded once."""

    jobs: Sequence[Job]

    @property
    def sources(self) -> list[ModelSource]:
        """The models, each variant once, in order."""
        return list({job.source.name: job.source for job in self.jobs}.values())

    @property
    def by_loaded_model(self) -> list[list[Job]]:
        """The jobs of each model that is loaded; its variants share one."""
        groups: dict[Any, list[Job]] = {}
        for job in self.jobs:
            groups.setdefault(job.source.loaded_as, []).append(job)
        return list(groups.values())

    @property
    def to_run(self) -> list[Job]:
        """The jobs that are not done."""
        return [job for job in self.jobs if not job.done]

    @property
    def downloads(self) -> list[str]:
        """Hub repositories that the run will download, each once."""
        return sorted({repo for job in self.to_run for repo in job.downloads})


def by_task(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """The jobs of each task together, so that its data are loaded and its texts encoded once."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.task_name, []).append(job)
    return groups


def make_plan(
    sources: Sequence[ModelSource],
    tasks: Sequence[AbsTask],
    store: ResultStore,
    *,
    ranking_depth: int = 0,
    waiting: Collection[tuple[str, str]] = (),
) -> Plan:
    """
    Compare what is asked for with what the store holds.

    Args:
        sources: a first stage before the rerankers behind it.
        tasks: aggregates stand for their parts.
        store: where results go.
        ranking_depth: documents per query to keep on disk; a result without them is not done.
        waiting: names of models and tasks that will run before; a reranker behind them is not
            done.

    Raises:
        BadInput: the folder of a data set or a stored record is broken or of a newer format.
    """
    by_name = {part.metadata.name: part for task in tasks for part in parts_of(task)}
    parts = [_Data(part) for part in by_name.values()]
    jobs: list[Job] = []
    for source in sources:
        jobs += [_job(source, part, store, ranking_depth, waiting) for part in parts]
    return Plan(jobs)


def data_source(task: AbsTask) -> dict[str, Any]:
    """
    Where a task's data come from.

    Returns:
        dataset (the hub's name of it, or the path of a BEIR-layout folder), revision, and for
        data in a mirror the folder and the hash of its content.
    """
    folder = Path(task.metadata.dataset["path"])
    # The revision of a BEIR-layout folder is its content; other files in it do not matter.
    in_folder = folder.is_dir() and not isinstance(task, BeirFolderTask)
    return {
        # The class knows the hub's name also where the instance reads from a mirror.
        "dataset": type(task).metadata.dataset["path"],
        "revision": task.metadata.revision,
        "folder": str(folder) if in_folder else None,
        "content_sha256": content_hash(folder) if in_folder else None,
    }


class _Data:
    """What the jobs of one task share; looked up once, and only where a job needs it."""

    def __init__(self, task: AbsTask) -> None:
        self.task = task

    @cached_property
    def source(self) -> dict[str, Any]:
        return data_source(self.task)

    @cached_property
    def sizes(self) -> Mapping[Evaluation, tuple[int, int]]:
        return sizes(self.task)

    @cached_property
    def on_disk(self) -> bool:
        return is_downloaded(self.task)


def _job(
    source: ModelSource,
    data: _Data,
    store: ResultStore,
    ranking_depth: int,
    waiting: Collection[tuple[str, str]],
) -> Job:
    if not isinstance(data.task, AbsTaskRetrieval):
        ranking_depth = 0  # nothing is ranked
    job = _compared(source, data, store, ranking_depth)
    first_stage = source.reranking.first_stage.name if source.reranking is not None else ""
    if job.done and (first_stage, data.task.metadata.name) in waiting:
        job = Job(source, data.task, all_parts(data.task), "its first stage runs first")
    job.ranking_depth = ranking_depth
    return job if job.done else _to_run(job, data)


def _compared(source: ModelSource, data: _Data, store: ResultStore, ranking_depth: int) -> Job:
    task, name = data.task, data.task.metadata.name
    wanted = all_parts(task)
    # First of all: a record of a newer format must stop the run, whatever else is there.
    record = store.load_record(source.meta, name)
    store.refuse_other_settings(source.meta)
    result = store.load(source.meta, name)
    if result is None:
        return Job(source, task, wanted, "no result yet")
    _refuse_another_folder(task, record, store.path(source.meta, name))
    if result.dataset_revision != task.metadata.revision:
        was, now = result.dataset_revision[:12], task.metadata.revision[:12]
        why = f"data changed: revision {was}, now {now}"
        return Job(source, task, wanted, why, keep=False)
    for run in record.get("runs", ()):
        stored = run.get("data", {}).get("content_sha256")
        if stored and data.source["content_sha256"] not in (None, stored):
            return Job(source, task, wanted, "the data's files changed", keep=False)
        of_model = run.get("model", {}).get("content_sha256")
        if source.folder is not None and of_model not in (None, source.content_sha256):
            return Job(source, task, wanted, "the model's files changed", keep=False)
        exported = run.get("model", {}).get("exported_sha256")
        if source.exported is not None and exported not in (None, source.exported.sha256):
            return Job(source, task, wanted, "the exported file changed", keep=False)
    there = {
        (split, entry["hf_subset"]) for split, entries in result.scores.items() for entry in entries
    }
    missing = [evaluation for evaluation in wanted if evaluation not in there]
    if not missing and source.reranking is not None:
        changed = _with_other_candidates(record, source.reranking, name, wanted, store)
        if changed:
            return Job(source, task, changed, "the first stage's ranking changed")
    if not missing and ranking_depth:
        kept = _kept_rankings(record, ranking_depth) & store.ranked_parts(source.meta, name)
        unkept = [evaluation for evaluation in wanted if evaluation not in kept]
        if unkept:
            return Job(source, task, unkept, "its ranking is not kept")
    if not missing:
        return Job(source, task, [], "done")
    labels = [subset if subset != "default" else split for split, subset in missing]
    shown = ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
    return Job(source, task, missing, f"missing: {shown}")


def all_parts(task: AbsTask) -> list[Evaluation]:
    """Every split and subset of a task."""
    return [(split, subset) for split in task.eval_splits for subset in task.hf_subsets]


def _kept_rankings(record: Mapping[str, Any], depth: int) -> set[Evaluation]:
    """The parts of a result whose ranking is on disk, to this depth at least."""
    return {
        (entry["split"], entry["subset"])
        for run in record.get("runs", ())
        if run.get("ranking_depth", 0) >= depth
        for entry in run["evaluations"]
    }


def _with_other_candidates(
    record: Mapping[str, Any],
    reranking: Reranking,
    task: str,
    wanted: Sequence[Evaluation],
    store: ResultStore,
) -> list[Evaluation]:
    """The parts whose candidates are not those that were scored."""
    scored = {
        (entry["split"], entry["subset"]): entry.get("candidates_sha256")
        for run in record.get("runs", ())
        for entry in run["evaluations"]
    }
    changed = []
    for part in wanted:
        now = find_candidates(store, reranking, task, part)
        if now is None or now.sha256 != scored.get(part):
            changed.append(part)
    return changed


def _refuse_another_folder(task: AbsTask, record: Mapping[str, Any], path: Path) -> None:
    """Results go by the task's name; two folders of one name must not replace each other's."""
    if not isinstance(task, BeirFolderTask):
        return
    folder = task.metadata.dataset["path"]
    for run in record.get("runs", ()):
        other = run.get("data", {})
        if other.get("dataset") != folder and other.get("revision") != task.metadata.revision:
            what = (
                f"holds results of another folder called {task.metadata.name}: {other['dataset']}"
            )
            hint = "rename the folder, or write elsewhere with --out; nothing was changed"
            raise BadInput(Fault(str(path), what, hint))


def _to_run(job: Job, data: _Data) -> Job:
    """The job with its size and its downloads."""
    if not data.on_disk:
        job.downloads.append(f"{job.task.metadata.dataset['path']} (data)")
    if not job.source.on_disk:
        job.downloads.append(f"{job.source.meta.name} (model)")
    known = [data.sizes[evaluation] for evaluation in job.missing if evaluation in data.sizes]
    if len(known) == len(job.missing):
        job.n_docs = sum(docs for docs, _ in known)
        job.n_queries = sum(queries for _, queries in known)
    return job
