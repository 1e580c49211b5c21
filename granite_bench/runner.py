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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mteb
import pyarrow as pa
from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.results import TaskResult

from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.endpoint.backend import EndpointModel
from granite_bench.engine.endpoint.client import Endpoint, Usage
from granite_bench.engine.endpoint.reranker import EndpointCrossEncoder
from granite_bench.engine.forms import Form, form_of
from granite_bench.engine.observed_search import ObservedSearch
from granite_bench.engine.reranker import Reranker, RerankerOfMteb
from granite_bench.engine.scoring import needs_dictionaries, scored_over_arrays
from granite_bench.engine.variants import Variant
from granite_bench.errors import GraniteBenchError, TaskError
from granite_bench.first_stage import require_candidates, reranking_of
from granite_bench.models import ModelSource
from granite_bench.plan import Job, Plan, all_parts
from granite_bench.ranking import Candidates, rows_of
from granite_bench.run_record import added_up, describe_run, observed
from granite_bench.store import ResultStore
from granite_bench.tasks import Evaluation, is_downloaded

logger = logging.getLogger(__name__)

TOKEN_BUDGET_CPU = 2048
TOKEN_BUDGET_GPU = 131_072
"""Padded tokens per batch. A CPU's caches overflow beyond a few thousand; a GPU wants many."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class EndpointOptions:
    """
    How to talk to a server.

    Attributes:
        key_variable: the environment variable that holds the key; None is OPENAI_API_KEY.
        concurrency: requests at a time; None is the client's choice.
        price_per_million_tokens: what the server charges; None where nobody said.
    """

    key_variable: str | None = None
    concurrency: int | None = None
    price_per_million_tokens: float | None = None


@dataclass(frozen=True)
class EngineOptions:
    """
    How to encode; nothing here is meant to change a score.

    Attributes:
        device: torch's name, None lets sentence-transformers choose.
        token_budget: padded tokens per batch; None chooses by device.
        vectors: the folder of the vector store; None keeps no vectors.
        padding: False leaves it out where the model allows it; None chooses by device.
        compile: torch.compile for the layers of a model that reads texts without padding.
        endpoint: how to talk to a server, for models that one computes.
    """

    device: str | None = None
    token_budget: int | None = None
    vectors: Path | None = None
    padding: bool | None = None
    compile: bool = False
    endpoint: EndpointOptions = EndpointOptions()


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
    for jobs in plan.by_loaded_model:
        outcomes += _run_model(jobs, store, options, say)
        for source in Plan(jobs).sources:
            for task in tasks:
                if isinstance(task, AbsTaskAggregate):
                    outcomes += _run_aggregate(source, task, store, say)
    return outcomes


def _run_model(
    jobs: Sequence[Job], store: ResultStore, options: EngineOptions, say: Say
) -> list[Outcome]:
    """All jobs of the variants that one loaded model serves."""
    source = jobs[0].source
    load_seconds = 0.0
    outcomes = {
        id(job): Outcome(job.source.name, _name(job), "done", _main_score(store, job))
        for job in jobs
        if job.done
    }
    waiting = [job for job in jobs if not job.done]
    if waiting:
        say(f"loading {source.name if len(Plan(jobs).sources) == 1 else source.meta.name}")
        started = time.perf_counter()
        try:
            form = load_form(source, options)
        except Exception as error:  # noqa: BLE001 (whatever it is, other models go on)
            cause = _cause(error, f"loading {source.name}", on_disk=source.on_disk)
            say(f"FAILED to load {source.name}: {cause}")
            return [outcomes.get(id(job)) or _failed(job, cause) for job in jobs]
        load_seconds = time.perf_counter() - started
        for of_task in _by_task(waiting):
            first = of_task[0]
            more = f" and {len(of_task) - 1} variants of it" if len(of_task) > 1 else ""
            say(f"running {first.source.name}{more} on {_name(first)} ({first.reason})")
            for job, outcome in _run_task(of_task, form, store, options, load_seconds):
                load_seconds = 0.0  # counted with the first result alone
                say(_line(outcome, job))
                outcomes[id(job)] = outcome
        del form
        _free_memory()
    return [outcomes[id(job)] for job in jobs]


def _by_task(jobs: Sequence[Job]) -> list[list[Job]]:
    """The variants of each task together: its data are loaded and its texts encoded once."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(_name(job), []).append(job)
    return list(groups.values())


def _name(job: Job) -> str:
    return job.task.metadata.name


def _failed(job: Job, cause: str) -> Outcome:
    return Outcome(job.source.name, _name(job), "failed", cause=cause)


def load_form(source: ModelSource, options: EngineOptions) -> Form:
    """
    Load a model, or find the server that computes it, in the form in which it is evaluated.

    Raises:
        BadInput, TaskError: see ModelSource.load, form_of and Endpoint.
    """
    if source.loading.endpoint is not None:
        return _served(source, source.loading.endpoint, options)
    model = source.load(options.device)
    device = str(getattr(getattr(model, "model", None), "device", options.device or "cpu"))
    budget = options.token_budget or (TOKEN_BUDGET_CPU if device == "cpu" else TOKEN_BUDGET_GPU)
    return form_of(
        model,
        encoder_options={"store_folder": options.vectors, "token_budget": budget},
        padding=options.padding,
        compile=options.compile,
        prompts=source.loading.prompts,
        query_tokens=source.reranking.query_tokens if source.reranking else None,
        content_sha256=source.content_sha256 if source.folder is not None else None,
        own_code=source.runs_own_code,
    )


def _served(source: ModelSource, url: str, options: EngineOptions) -> Form:
    """A model, or a reranker, that a server computes."""
    server = Endpoint(
        url,
        key_variable=options.endpoint.key_variable,
        concurrency=options.endpoint.concurrency,
    )
    served = EndpointCrossEncoder if source.meta.is_cross_encoder else EndpointModel
    return form_of(
        served(source.meta, server, name=source.served_name),
        encoder_options={"store_folder": options.vectors},
        prompts=source.loading.prompts,
    )


def _usage(form: Form) -> Usage | None:
    """What requests to a server took so far; None where the model is on this machine."""
    if isinstance(form, ObservedSearch | RerankerOfMteb):
        return None
    endpoint = getattr(form.encoder.backend, "endpoint", None)
    return endpoint.usage if isinstance(endpoint, Endpoint) else None


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
    """What has been evaluated of a job so far."""

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
) -> Iterator[tuple[Job, Outcome]]:
    """Variants of one model on one task: part by part, each variant, from the same vectors."""
    task = jobs[0].task
    wanted = [each for job in jobs for each in job.missing]
    missing = [each for each in all_parts(task) if each in wanted]
    progress = {id(job): _Progress() for job in jobs}
    started = time.perf_counter()
    data_seconds = 0.0
    try:
        with data_of(task, missing):
            data_seconds = time.perf_counter() - started
            form.measure_latency = True
            for part in _batches(task, missing):
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
            what, on_disk = f"{job.source.name} on {_name(job)}", is_downloaded(task)
            yield job, _failed(job, _cause(error, what, on_disk=on_disk))


def _evaluate_part(
    job: Job,
    part: Sequence[Evaluation],
    form: Form,
    store: ResultStore,
    progress: _Progress,
) -> None:
    """Evaluate one part for one variant; a failure is noted, so that the other variants go on."""
    started = time.perf_counter()
    earlier = _usage(form)
    try:
        _become(form, job)
        form.observations.clear()
        candidates = _candidates(job, part, store)
        evaluated = _evaluate(form, job, part, candidates)
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
    usage = _usage(form)
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
        raise ValueError(f"{_name(job)} has nothing to evaluate")
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
        job.source.name, _name(job), "ran", saved.main_score, seconds=seconds["total"],
        n_encoded=sum(cost["n_encoded"] for cost in costs), n_scored=n_scored,
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


def _candidates(
    job: Job, part: Sequence[Evaluation], store: ResultStore
) -> dict[Evaluation, Candidates]:
    """What a reranker reorders; nothing where the model searches, or the task has its own."""
    reranking = job.source.reranking
    return {} if reranking is None else require_candidates(store, reranking, _name(job), part)


def _evaluate(
    form: Form,
    job: Job,
    part: Sequence[Evaluation],
    candidates: Mapping[Evaluation, Candidates],
) -> TaskResult:
    """mteb's own scores of one part of a task."""
    task = job.task
    model: Any = form
    if isinstance(form, ObservedSearch) and not isinstance(task, AbsTaskRetrieval):
        model = form.model
    reranked: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if job.source.meta.is_cross_encoder:
        reranked = reranking_of(task, job.source.reranking, candidates)
    with _narrowed(task, part), reranked, scored_over_arrays():
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
def data_of(task: AbsTask, part: Sequence[Evaluation]) -> Iterator[None]:
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
