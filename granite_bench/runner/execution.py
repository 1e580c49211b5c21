"""
The conductor: plan -> engine -> mteb -> store.

Each (model, task) stands alone: a failure is noted and the next one runs, a result is written
as it finishes, and what was encoded stays in the vector store whatever happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.results import TaskResult

from granite_bench.cluster.run import Cluster
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.endpoint.client import Usage
from granite_bench.engine.form_loading import EngineOptions, free_memory, load_form, usage_of
from granite_bench.engine.forms import Form
from granite_bench.engine.observed_search import ObservedSearch
from granite_bench.engine.reranker import Reranker
from granite_bench.engine.scoring import needs_dictionaries
from granite_bench.engine.variants import Variant
from granite_bench.errors import GraniteBenchError, TaskError, cause_of
from granite_bench.models import ModelSource
from granite_bench.planning.plan import Job, Plan, all_parts, by_task
from granite_bench.rankings.ranking import rows_of
from granite_bench.results.store import ResultStore
from granite_bench.runner.encoding_ahead import requests_of
from granite_bench.runner.run_record import added_up, describe_run, observed
from granite_bench.runner.task_scores import Draws, batches, candidates_for, evaluate
from granite_bench.tasks import Evaluation, is_downloaded
from granite_bench.tasks.loaded import data_of

Say = Callable[[str], None]


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
        n_scored: pairs of a query and a document scored in this run.
        repaired_shards: vector shards that were broken and encoded again.
    """

    model: str
    task: str
    status: str
    main_score: float | None = None
    cause: str = ""
    seconds: float = 0.0
    n_encoded: int = 0
    n_scored: int = 0
    repaired_shards: Sequence[str] = ()


def run_plan(
    plan: Plan,
    tasks: Sequence[AbsTask],
    store: ResultStore,
    options: EngineOptions,
    say: Say = lambda line: None,
    workers: Cluster | None = None,
) -> list[Outcome]:
    """
    Run every job of *plan* that is not done.

    Args:
        plan: from make_plan, for the same *tasks* and *store*.
        tasks: what was asked for; an aggregate among them gets its own result once all its
            parts have theirs.
        say: told one line per event.
        workers: encode and search instead of this process.

    Returns:
        One Outcome per job, in the plan's order. Never raises for a job that fails.
    """
    outcomes: list[Outcome] = []
    for jobs in plan.by_loaded_model:
        outcomes += _run_model(jobs, store, options, say, workers)
        for source in Plan(jobs).sources:
            for task in tasks:
                if isinstance(task, AbsTaskAggregate):
                    outcomes += _run_aggregate(source, task, store, say)
    return outcomes


def _run_model(
    jobs: Sequence[Job],
    store: ResultStore,
    options: EngineOptions,
    say: Say,
    workers: Cluster | None,
) -> list[Outcome]:
    """All jobs of the variants that one loaded model serves."""
    source = jobs[0].source
    load_seconds = 0.0
    outcomes = {
        id(job): Outcome(job.source.name, job.task_name, "done", _main_score(store, job))
        for job in jobs
        if job.done
    }
    waiting = [job for job in jobs if not job.done]
    if waiting:
        say(f"loading {source.name if len(Plan(jobs).sources) == 1 else source.meta.name}")
        started = time.perf_counter()
        try:
            form = (workers.load_form if workers else load_form)(source, options)
        except Exception as error:  # noqa: BLE001 (whatever it is, other models go on)
            cause = _cause(error, f"loading {source.name}", on_disk=source.on_disk)
            say(f"FAILED to load {source.name}: {cause}")
            return [outcomes.get(id(job)) or _failed(job, cause) for job in jobs]
        load_seconds = time.perf_counter() - started
        if workers is not None:
            _encode_ahead(workers, form, waiting, store, say)
        for of_task in by_task(waiting).values():
            first = of_task[0]
            more = f" and {len(of_task) - 1} variants of it" if len(of_task) > 1 else ""
            say(f"running {first.source.name}{more} on {first.task_name} ({first.reason})")
            latency = workers is None  # theirs would be that of the network
            for job, outcome in _run_task(of_task, form, store, options, load_seconds, latency):
                load_seconds = 0.0  # counted with the first result alone
                say(_line(outcome, job))
                outcomes[id(job)] = outcome
        del form
        free_memory()
    return [outcomes[id(job)] for job in jobs]


def _encode_ahead(
    workers: Cluster, form: Form, jobs: Sequence[Job], store: ResultStore, say: Say
) -> None:
    """Encode what all tasks will ask for, so that no worker waits while another task is scored."""
    try:
        workers.encode_ahead(form, requests_of(form, jobs, store, say))
    except Exception as error:  # noqa: BLE001 (each task asks for what it lacks, and then says so)
        say(f"encoding ahead stopped: {_cause(error, 'encoding ahead', on_disk=True)}")


def _failed(job: Job, cause: str) -> Outcome:
    return Outcome(job.source.name, job.task_name, "failed", cause=cause)


def _with_usage(failure: Exception, usages: Sequence[Usage]) -> Exception:
    """What a server was paid for is said also where nothing came of it."""
    spent = added_up(usages, None)
    if not spent.get("n_requests") or not isinstance(failure, GraniteBenchError):
        return failure
    return TaskError(
        f"{failure}\n  {spent['n_requests']} requests and {spent['n_tokens']:,} tokens went into "
        "it; what was answered is kept"
    )


@dataclass
class _Progress:
    """What has been evaluated of a job so far, and what its task draws samples with."""

    draws: Draws
    seconds: float = 0.0
    result: TaskResult | None = None
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    queries: list[pa.Table] = field(default_factory=list)
    rankings: list[pa.Table] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    failure: Exception | None = None


def _run_task(
    jobs: Sequence[Job],
    form: Form,
    store: ResultStore,
    options: EngineOptions,
    load_seconds: float,
    measure_latency: bool,
) -> Iterator[tuple[Job, Outcome]]:
    """Variants of one model on one task: part by part, each variant, from the same vectors."""
    task = jobs[0].task
    wanted = [each for job in jobs for each in job.missing]
    missing = [each for each in all_parts(task) if each in wanted]
    progress = {id(job): _Progress(Draws.of(task)) for job in jobs}
    started = time.perf_counter()
    data_seconds = 0.0
    try:
        with data_of(task, missing):
            data_seconds = time.perf_counter() - started
            form.measure_latency = measure_latency
            for part in batches(task, missing):
                for job in jobs:
                    own = [each for each in part if each in job.missing]
                    if own and progress[id(job)].failure is None:
                        _evaluate_part(job, own, form, store, progress[id(job)])
    except Exception as error:  # noqa: BLE001 (the data could not be loaded)
        for job in jobs:
            progress[id(job)].failure = error
    for job in jobs:
        done = progress[id(job)]
        seconds = {"total": done.seconds + data_seconds, "model_load": load_seconds}
        try:
            if done.failure is not None:
                raise _with_usage(done.failure, done.usages)
            seconds |= {"data_load": data_seconds}
            yield job, _saved(job, done, form, store, options, seconds)
            load_seconds = data_seconds = 0.0
        except Exception as error:  # noqa: BLE001 (whatever it is, other tasks go on)
            yield job, _failed(job, _cause(error, str(job), on_disk=is_downloaded(task)))


def _evaluate_part(
    job: Job,
    part: Sequence[Evaluation],
    form: Form,
    store: ResultStore,
    progress: _Progress,
) -> None:
    """Evaluate one part for one variant; a failure is noted, so that the other variants go on."""
    started = time.perf_counter()
    earlier = usage_of(form)
    try:
        _become(form, job)
        form.observations.clear()
        candidates = candidates_for(job, part, store)
        evaluated = evaluate(form, job, part, candidates, progress.draws)
        progress.result = evaluated if progress.result is None else progress.result.merge(evaluated)
        described, rows = observed(form.observations, job.task, part, candidates)
        progress.evaluations += described
        progress.queries += rows
        if job.ranking_depth:
            progress.rankings += [
                rows_of(each.run, split=each.split, subset=each.subset, depth=job.ranking_depth)
                for each in form.observations
            ]
    except Exception as error:  # noqa: BLE001 (whatever it is, other variants go on)
        progress.failure = error
    usage = usage_of(form)
    if usage is not None and earlier is not None:
        progress.usages.append(usage.since(earlier))
    progress.seconds += time.perf_counter() - started


def _become(form: Form, job: Job) -> None:
    """Make the form the variant that *job* asks for."""
    source = job.source
    form.mteb_model_meta = source.described(form.model)
    if not isinstance(form, ObservedSearch):
        form.as_arrays = not needs_dictionaries(job.task)
    if isinstance(form, DenseRetriever):
        form.variant = Variant(source.dim, source.precision)
    elif source.changes_vectors:
        raise TaskError(
            "this model searches by itself, without vectors that --dims or --precision could "
            "change\n  leave them out for it"
        )


def _saved(
    job: Job,
    done: _Progress,
    form: Form,
    store: ResultStore,
    options: EngineOptions,
    seconds: Mapping[str, float],
) -> Outcome:
    if done.result is None:
        raise ValueError(f"{job.task_name} has nothing to evaluate")
    _become(form, job)
    repaired: list[str] = []
    if isinstance(form, DenseRetriever | Reranker):
        repaired = list(form.encoder.repaired_shards)
        form.encoder.repaired_shards.clear()
    run = describe_run(
        job.source,
        job.task,
        form,
        date=done.result.date,
        seconds=seconds,
        repaired_shards=repaired,
        ranking_depth=job.ranking_depth,
        usage=added_up(done.usages, options.endpoint.price_per_million_tokens),
        evaluations=done.evaluations,
    )
    saved = store.save(
        form.mteb_model_meta,
        done.result,
        run=run,
        queries=pa.concat_tables(done.queries) if done.queries else None,
        ranking=pa.concat_tables(done.rankings) if done.rankings else None,
        keep=job.keep,
    )
    costs = [cost for e in done.evaluations for cost in (e["docs"], e["queries"]) if cost]
    n_scored = sum(e["pairs"]["n_scored"] for e in done.evaluations if "pairs" in e)
    return Outcome(
        job.source.name, job.task_name, "ran", saved.main_score, seconds=seconds["total"],
        n_encoded=sum(cost["n_encoded"] for cost in costs), n_scored=n_scored,
        repaired_shards=repaired,
    )  # fmt: skip


def _main_score(store: ResultStore, job: Job) -> float | None:
    result = store.load(job.source.meta, job.task_name)
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
    if outcome.status == "failed":
        return f"FAILED {outcome.model} on {outcome.task}: {outcome.cause}"
    score = f"{outcome.main_score:.4f}" if outcome.main_score is not None else "-"
    computed = f"{outcome.n_encoded} texts encoded"
    if job.source.meta.is_cross_encoder:
        computed = f"{outcome.n_scored} pairs scored"
    line = (
        f"finished {outcome.model} on {outcome.task}: {job.task.metadata.main_score} {score}, "
        f"{computed}, {outcome.seconds:.1f} s"
    )
    for shard in outcome.repaired_shards:
        line += f"\n  vector shard {shard} was broken; its texts were encoded again"
    return line


def _cause(error: Exception, what: str, *, on_disk: bool) -> str:
    """Why something failed, for the summary."""
    cause = cause_of(error, what)
    # What hub and datasets raise for: not there.
    if on_disk or isinstance(error, GraniteBenchError) or not isinstance(error, OSError):
        return cause
    return (
        f"{cause}\n  it is not on this machine; where there is internet, granite-bench fetch "
        "fills a folder that --mirror reads"
    )
