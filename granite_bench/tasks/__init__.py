"""
Tasks by name or path: mteb's registry, the built-in offline tasks, and BEIR-layout folders.

Whatever the source, a task is an mteb AbsTask, so mteb's own code loads, evaluates and scores it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mteb
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.file_download import repo_folder_name
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.get_tasks import TASK_LIST
from mteb.get_tasks import get_task as mteb_get_task

from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.offline.mirror import locate
from granite_bench.suite.suite import SuiteTask
from granite_bench.tasks.beir import BeirFolderTask, beir_task, is_beir_folder
from granite_bench.tasks.offline import OfflineRetrievalTask
from granite_bench.tasks.parallel_facts import ParallelFactsRetrieval
from granite_bench.tasks.passkey import PasskeyByLengthRetrieval
from granite_bench.tasks.python_stdlib import PythonStdlibRetrieval

Evaluation = tuple[str, str]
"""(split, subset): the smallest part of a task that has a score of its own."""

BUILT_IN: dict[str, Callable[[], AbsTask]] = {
    task.metadata.name: task
    for task in (PythonStdlibRetrieval, PasskeyByLengthRetrieval, ParallelFactsRetrieval)
}


def known_task_names() -> set[str]:
    """Every name that find_task accepts: mteb's registry (text tasks and others) and ours."""
    # The classes, not mteb.get_tasks: making 1,600 tasks takes a second and warns 700 times.
    return {task.metadata.name for task in TASK_LIST} | set(BUILT_IN)


def find_task(name: str, *, mirror: Path | None = None) -> AbsTask:
    """
    A task by mteb's name, by the name of a built-in task, or by the path of a BEIR-layout folder.

    Args:
        name: a name, or a path to a folder that holds corpus.jsonl.
        mirror: where `org/name` data sets lie on disk; a task whose data set is there loads
            from it, all others from the Hugging Face hub or its cache.

    Raises:
        BadInput: no such task or folder, or a mirror with another revision of its data.
    """
    if is_beir_folder(name):
        return _own_folder(Path(name))
    if name in BUILT_IN:
        return BUILT_IN[name]()
    try:
        task: AbsTask = mteb_get_task(name)
    except KeyError:
        raise BadInput(_unknown(name)) from None
    if isinstance(task, AbsTaskAggregate):
        # mteb keeps the parts on the class; what is changed of them here must stay here.
        own = [copy.copy(part) for part in task.metadata.tasks]
        task.metadata = task.metadata.model_copy(update={"tasks": own})
    for part in parts_of(task):
        _load_from_mirror(part, mirror)
    return task


def suite_task(entry: SuiteTask, *, base: Path, mirror: Path | None = None) -> AbsTask:
    """
    The task that an entry of a suite names, restricted to its subsets and splits.

    Args:
        entry: one task of a suite.
        base: the folder that relative paths of BEIR-layout folders start from.
        mirror: as for find_task.
    """
    if entry.path:
        folder = base / entry.path
        task: AbsTask = _own_folder(folder, name=entry.name, language=entry.language)
    else:
        task = find_task(entry.name, mirror=mirror)
    if isinstance(task, AbsTaskAggregate):
        return task
    return restrict(task, subsets=entry.subsets, splits=entry.splits)


def restrict(
    task: AbsTask,
    *,
    subsets: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
) -> AbsTask:
    """
    The same task with only these subsets and splits, in the task's own order.

    Raises:
        BadInput: a subset or split that the task does not have.
    """
    faults = []
    name = task.metadata.name
    for kind, wanted, there in (
        ("subset", subsets, task.metadata.hf_subsets),
        ("split", splits, task.metadata.eval_splits),
    ):
        for value in wanted or ():
            if value not in there:
                hint = did_you_mean(value, there) or f"there are: {', '.join(there[:20])}"
                faults.append(Fault(name, f"unknown {kind} '{value}'", hint))
    if faults:
        raise BadInput(faults)
    if subsets is not None:
        task.hf_subsets = [subset for subset in task.metadata.hf_subsets if subset in subsets]
    if splits is not None:
        task = task.filter_eval_splits(
            [split for split in task.metadata.eval_splits if split in splits]
        )
    return task


def parts_of(task: AbsTask) -> list[AbsTask]:
    """The tasks that are run for *task*: itself, or the parts of an aggregate (CQADupstack)."""
    return list(task.metadata.tasks) if isinstance(task, AbsTaskAggregate) else [task]


def sizes(task: AbsTask) -> Mapping[Evaluation, tuple[int, int]]:
    """
    (documents, queries) of each split and subset that is known without a download.

    Data that are made or read here are loaded for it, so that what is wrong with a folder of
    the user's own shows before anything is encoded. Other tasks have mteb's statistics.

    Raises:
        BadInput: every fault of a BEIR-layout folder.
    """
    if isinstance(task, OfflineRetrievalTask | BeirFolderTask):
        task.load_data()
        counted = {
            (split, subset): (len(data["corpus"]), len(data["queries"]))
            for subset, splits in task.dataset.items()
            for split, data in splits.items()
        }
        task.dataset, task.data_loaded = {}, False
        return counted
    if not isinstance(task, AbsTaskRetrieval):
        return {}
    statistics: Mapping[str, Any] = task.metadata.descriptive_stats or {}
    return {
        (split, subset): (
            _n_texts(numbers["documents_text_statistics"]),
            _n_texts(numbers["queries_text_statistics"]),
        )
        for split, counted in statistics.items()
        for subset, numbers in counted.get(
            "hf_subset_descriptive_stats", {"default": counted}
        ).items()
        if numbers.get("documents_text_statistics") and numbers.get("queries_text_statistics")
    }


def _n_texts(statistics: Mapping[str, float]) -> int:
    """mteb counts characters and their average; older statistics have no number of texts."""
    return round(statistics["total_text_length"] / (statistics["average_text_length"] or 1))


def is_downloaded(task: AbsTask) -> bool:
    """Whether the task's data are on this machine: built in, a folder, or in the hub's cache."""
    dataset = task.metadata.dataset
    if task.metadata.name in BUILT_IN or Path(dataset["path"]).is_dir():
        return True
    repo = repo_folder_name(repo_id=dataset["path"], repo_type="dataset")
    return (Path(HF_HUB_CACHE) / repo / "snapshots" / dataset["revision"]).is_dir()


def search_tasks(pattern: str) -> list[AbsTask]:
    """Tasks whose name, description or type contains *pattern* (any case), sorted by name."""
    found = [
        task
        for task in _all_tasks()
        if pattern.lower()
        in f"{task.metadata.name} {task.metadata.type} {task.metadata.description}".lower()
    ]
    return sorted(found, key=lambda task: task.metadata.name.lower())


def _all_tasks() -> Iterable[AbsTask]:
    yield from (task() for task in BUILT_IN.values())
    yield from mteb.get_tasks(modalities=["text"], exclusive_modality_filter=True)


def _own_folder(path: Path, *, name: str | None = None, language: str | None = None) -> AbsTask:
    """A BEIR-layout folder, unless its results would pass for those of another task."""
    task = beir_task(path, name=name, language=language)
    if task.metadata.name in known_task_names() | {"model_meta"}:
        what = f"'{task.metadata.name}' is the name of another task, whose results it would replace"
        raise BadInput(Fault(str(path), what, "rename the folder, or its entry in the suite"))
    return task


def _load_from_mirror(task: AbsTask, mirror: Path | None) -> None:
    repo, revision = task.metadata.dataset["path"], task.metadata.dataset["revision"]
    folder = locate(mirror, repo, revision)
    if folder is not None:
        # An instance's own metadata shadows the class's, as mteb does for filtered tasks.
        dataset = {**task.metadata.dataset, "path": str(folder)}
        task.metadata = task.metadata.model_copy(update={"dataset": dataset})


def _unknown(name: str) -> Fault:
    if os.sep in name or Path(name).exists():
        problem = (
            "is no BEIR-layout folder: it has no corpus.jsonl"
            if Path(name).is_dir()
            else "no such folder"
        )
        return Fault(name, problem, "it needs corpus.jsonl, queries.jsonl and qrels/test.tsv")
    command = f"(granite-bench tasks --search {name[:4].lower()})"
    hint = f"{did_you_mean(name, known_task_names())}   {command}".strip()
    return Fault("", f"unknown task '{name}'", hint)
