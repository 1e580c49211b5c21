"""
The conductor: plan -> engine -> mteb -> store.

Each (model, task) stands alone: a failure is noted and the next one runs, a result is written
as it finishes, and what was encoded stays in the vector store whatever happens.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mteb
import pyarrow as pa
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.results import TaskResult

from granite_bench.engine.retriever import (
    DenseRetriever,
    ObservedSearch,
    retriever_for,
)
from granite_bench.errors import GraniteBenchError
from granite_bench.models import ModelSource
from granite_bench.plan import Job, Plan
from granite_bench.run_record import describe_run, observed
from granite_bench.store import ResultStore
from granite_bench.tasks import Evaluation, is_downloaded

logger = logging.getLogger(__name__)

TOKEN_BUDGET_CPU = 4096
TOKEN_BUDGET_GPU = 131_072
"""Padded tokens per batch. A CPU's caches overflow beyond a few thousand; a GPU wants many."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class EngineOptions:
    """
    How to encode; nothing here is meant to change a score.

    Attributes:
        device: torch's name, None lets sentence-transformers choose.
        token_budget: padded tokens per batch; None chooses by device.
        vectors: the folder of the vector store; None keeps no vectors.
    """

    device: str | None = None
    token_budget: int | None = None
    vectors: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """
    What became of one job.

    Attributes:
        status: *done* before, *ran*, or *failed*.
        main_score: the mean over splits and subsets, a fraction; None when it failed.
        cause: why it failed.
        seconds: of this run.
        n_encoded: texts encoded in this run.
        repaired_shards: vector shards that were broken and encoded again.
    """

    model: str
    task: str
    status: str
    main_score: float | None = None
    cause: str = ""
    seconds: float = 0.0
    n_encoded: int = 0
    repaired_shards: Sequence[str] = ()


def run_plan(
    plan: Plan,
    tasks: Sequence[AbsTask],
    store: ResultStore,
    options: EngineOptions,
    say: Say = lambda line: None,
) -> list[Outcome]:
    """
    Run every job of *plan* that is not done.

    Args:
        plan: from make_plan, for the same *tasks* and *store*.
        tasks: what was asked for; an aggregate among them gets its own result once all its
            parts have theirs.
        say: told one line per event.

    Returns:
        One Outcome per job, in the plan's order. Never raises for a job that fails.
    """
    outcomes: list[Outcome] = []
    for source in plan.sources:
        jobs = [job for job in plan.jobs if job.source is source]
        outcomes += _run_model(source, jobs, store, options, say)
        for task in tasks:
            if isinstance(task, AbsTaskAggregate):
                outcomes += _run_aggregate(source, task, store, say)
    return outcomes


def _run_model(
    source: ModelSource, jobs: Sequence[Job], store: ResultStore, options: EngineOptions, say: Say
) -> list[Outcome]:
    retriever: DenseRetriever | ObservedSearch | None = None
    load_seconds, load_failure = 0.0, ""
    if not all(job.done for job in jobs):
        say(f"loading {source.name}")
        started = time.perf_counter()
        try:
            retriever = _load(source, options)
        except Exception as error:  # noqa: BLE001 (whatever it is, other models go on)
            load_failure = _cause(error, f"loading {source.name}", on_disk=source.on_disk)
            say(f"FAILED to load {source.name}: {load_failure}")
        load_seconds = time.perf_counter() - started
    outcomes = []
    for job in jobs:
        name = job.task.metadata.name
        if job.done:
            outcomes.append(Outcome(source.name, name, "done", _main_score(store, job)))
        elif retriever is None:
            outcomes.append(Outcome(source.name, name, "failed", cause=load_failure))
        else:
            say(f"running {source.name} on {name} ({job.reason})")
            try:
                outcome = _run_job(job, retriever, store, load_seconds)
                load_seconds = 0.0  # counted with the first task alone
                say(_line(outcome, job))
            except Exception as error:  # noqa: BLE001 (whatever it is, other tasks go on)
                on_disk = is_downloaded(job.task)
                cause = _cause(error, f"{source.name} on {name}", on_disk=on_disk)
                outcome = Outcome(source.name, name, "failed", cause=cause)
                say(f"FAILED {source.name} on {name}: {cause}")
            outcomes.append(outcome)
    del retriever
    _free_memory()
    return outcomes


def _load(source: ModelSource, options: EngineOptions) -> DenseRetriever | ObservedSearch:
    model = source.load(options.device)
    device = str(getattr(getattr(model, "model", None), "device", options.device or "cpu"))
    budget = options.token_budget or (TOKEN_BUDGET_CPU if device == "cpu" else TOKEN_BUDGET_GPU)
    return retriever_for(
        model,
        encoder_options={"store_folder": options.vectors, "token_budget": budget},
        content_sha256=source.content_sha256 if source.folder is not None else None,
    )


def _run_job(
    job: Job,
    retriever: DenseRetriever | ObservedSearch,
    store: ResultStore,
    load_seconds: float,
) -> Outcome:
    started = time.perf_counter()
    task, name = job.task, job.task.metadata.name
    result: TaskResult | None = None
    evaluations: list[dict[str, Any]] = []
    tables: list[pa.Table] = []
    if isinstance(retriever, DenseRetriever):
        retriever.encoder.repaired_shards.clear()
    loading = time.perf_counter()
    with _loaded(task, job.missing):
        loaded = time.perf_counter()
        retriever.measure_latency = True
        for part in _batches(task, job.missing):
            retriever.observations.clear()
            evaluated = _evaluate(retriever, task, part)
            result = evaluated if result is None else result.merge(evaluated)
            described, rows = observed(retriever.observations, task, part)
            evaluations += described
            tables += rows
    if result is None:
        raise ValueError(f"{name} has nothing to evaluate")
    repaired = []
    if isinstance(retriever, DenseRetriever):
        repaired = list(retriever.encoder.repaired_shards)
    seconds = time.perf_counter() - started
    run = describe_run(
        job.source,
        task,
        retriever,
        date=result.date,
        seconds={"total": seconds, "model_load": load_seconds, "data_load": loaded - loading},
        repaired_shards=repaired,
        evaluations=evaluations,
    )
    saved = store.save(
        retriever.mteb_model_meta,
        result,
        run=run,
        queries=pa.concat_tables(tables) if tables else None,
        keep=job.keep,
    )
    n_encoded = sum(
        cost["n_encoded"] for e in evaluations for cost in (e["docs"], e["queries"]) if cost
    )
    return Outcome(
        job.source.name, name, "ran", saved.main_score, seconds=seconds, n_encoded=n_encoded,
        repaired_shards=repaired,
    )  # fmt: skip


def _batches(task: AbsTask, missing: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """
    What is evaluated in one call of mteb.

    A retrieval subset at a time, so that only one run is in memory; other types (bitext mining
    looks at all subsets together) a split at a time.
    """
    if isinstance(task, AbsTaskRetrieval):
        return [[evaluation] for evaluation in missing]
    splits = dict.fromkeys(split for split, _ in missing)
    return [[(s, subset) for s, subset in missing if s == split] for split in splits]


def _evaluate(
    retriever: DenseRetriever | ObservedSearch, task: AbsTask, part: Sequence[Evaluation]
) -> TaskResult:
    """mteb's own scores of one part of a task."""
    model: Any = retriever
    if isinstance(retriever, ObservedSearch) and not isinstance(task, AbsTaskRetrieval):
        model = retriever.model
    with _narrowed(task, part):
        results = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    return results.task_results[0]


@contextlib.contextmanager
def _narrowed(task: AbsTask, part: Sequence[Evaluation]) -> Iterator[None]:
    """The task with the splits and subsets of *part* alone."""
    subsets, splits = task.hf_subsets, list(task.eval_splits)
    task.hf_subsets = [subset for subset in subsets if subset in {subset for _, subset in part}]
    task.filter_eval_splits([split for split in splits if split in {split for split, _ in part}])
    try:
        yield
    finally:
        task.hf_subsets = subsets
        task.filter_eval_splits(splits)


@contextlib.contextmanager
def _loaded(task: AbsTask, part: Sequence[Evaluation]) -> Iterator[None]:
    """The task with the data of *part* in memory, and without any afterwards."""
    try:
        with _narrowed(task, part):
            task.load_data()
        if isinstance(task, AbsTaskRetrieval):
            task.convert_v1_dataset_format_to_v2(num_proc=None)
        yield
    finally:
        # Not unload_data: that also forgets that the data lie in a mirror.
        task.dataset, task.data_loaded = None, False


def _main_score(store: ResultStore, job: Job) -> float | None:
    result = store.load(job.source.meta, job.task.metadata.name)
    return result.main_score if result else None


def _run_aggregate(
    source: ModelSource, task: AbsTaskAggregate, store: ResultStore, say: Say
) -> list[Outcome]:
    """An aggregate's own result, made by mteb from its parts; nothing while parts are missing."""
    name = task.metadata.name
    try:
        parts = [store.load(source.meta, part.metadata.name) for part in task.metadata.tasks]
        results = [part for part in parts if part is not None]
        if len(results) < len(parts):
            return []
        saved = store.save(source.meta, task.combine_task_results(results), keep=False)
    except Exception as error:  # noqa: BLE001 (whatever it is, other models go on)
        cause = _cause(error, f"{source.name} on {name}", on_disk=True)
        say(f"FAILED {source.name} on {name}: {cause}")
        return [Outcome(source.name, name, "failed", cause=cause)]
    return [Outcome(source.name, name, "ran", saved.main_score)]


def _line(outcome: Outcome, job: Job) -> str:
    score = f"{outcome.main_score:.4f}" if outcome.main_score is not None else "-"
    line = (
        f"finished {outcome.model} on {outcome.task}: {job.task.metadata.main_score} {score}, "
        f"{outcome.n_encoded} texts encoded, {outcome.seconds:.1f} s"
    )
    for shard in outcome.repaired_shards:
        line += f"\n  vector shard {shard} was broken; its texts were encoded again"
    return line


def _cause(error: Exception, what: str, *, on_disk: bool) -> str:
    """Why something failed, for the summary; what we did not raise goes to the log whole."""
    if isinstance(error, GraniteBenchError):
        return str(error)
    logger.error("%s failed", what, exc_info=error)
    text = str(error).strip().splitlines()
    cause = f"{type(error).__name__}: {text[0] if text else 'no message'}"
    if on_disk or not isinstance(error, OSError):  # what hub and datasets raise for: not there
        return cause
    return (
        f"{cause}\n  it is not on this machine; where there is internet, granite-bench fetch "
        "fills a folder that --mirror reads"
    )


def _free_memory() -> None:
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
