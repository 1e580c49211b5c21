"""What a run is asked for -> a checked plan: names become models and tasks, all faults at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from granite_bench.cluster.options import ClusterOptions, cluster_faults
from granite_bench.cluster.run import cluster
from granite_bench.devices import BackendName, device_faults
from granite_bench.disk_space import require_room_for_vectors
from granite_bench.engine.endpoint.address import endpoint_faults
from granite_bench.engine.vector_store import default_folder
from granite_bench.errors import BadInput, Fault
from granite_bench.files import Place
from granite_bench.first_stage import read_run
from granite_bench.forecast.of_workers import forecast_lines
from granite_bench.form_loading import EndpointOptions, EngineOptions
from granite_bench.mirror import mirror_folder
from granite_bench.models import (
    Loading,
    ModelSource,
    Reranking,
    RunFile,
    find_model,
    find_reranker,
    find_variants,
    is_run,
)
from granite_bench.plan import Plan, all_parts, make_plan
from granite_bench.runner import Outcome, run_plan
from granite_bench.store import ResultStore
from granite_bench.suite import is_overview, load_overview, load_suite
from granite_bench.tasks import find_task, known_task_names, restrict, suite_task
from granite_bench.urls import parse_place

DEFAULT_RESULTS = Path("results")
DEFAULT_VECTORS = "default"

DEFAULT_TOP_K = 20
MOST_RANKED = 1000
"""mteb's largest cut-off: no search goes deeper."""

FIRST_STAGE_DEPTH = 100
"""Documents per query that a first stage keeps: enough for other rerankers with a larger top k."""


@dataclass(frozen=True)
class PreparedRun:
    """A run that is planned and checked, and has not started."""

    plan: Plan
    tasks: Sequence[Any]
    store: ResultStore
    options: EngineOptions
    workers: ClusterOptions | None = None

    @property
    def nothing_to_do(self) -> bool:
        """Whether every result is there, those of aggregates (CQADupstack) included."""
        aggregates = [task for task in self.tasks if task.is_aggregate]
        return not self.plan.to_run and all(
            self.store.load(source.meta, task.metadata.name) is not None
            for source in self.plan.sources
            for task in aggregates
        )

    def start(self, say: Callable[[str], None] = lambda line: None) -> list[Outcome]:
        """Run what is missing; *say* is told one line per event."""
        self.store.check_writable()
        if self.options.vectors is not None:
            require_room_for_vectors(self.plan, self.options.vectors)
        if self.workers is None:
            return run_plan(self.plan, self.tasks, self.store, self.options, say)
        with cluster(self.workers, say) as workers:
            for line in forecast_lines(
                self.plan, workers.seats,
                gpus_per_worker=self.workers.gpus_per_worker,
                results=self.store.root,
                stored=self.options.vectors is not None,
                token_budget=self.options.token_budget,
            ):  # fmt: skip
                say(line)
            return run_plan(self.plan, self.tasks, self.store, self.options, say, workers)


def prepare(
    suite: str | None = None,
    *,
    models: Sequence[str] = (),
    first_stages: Sequence[str] = (),
    rerankers: Sequence[str] = (),
    top_k: int | None = None,
    query_tokens: int | None = None,
    tasks: Sequence[str] = (),
    subsets: Sequence[str] = (),
    results: str | Path = DEFAULT_RESULTS,
    mirror: str | Path | None = None,
    vectors: str | Place | None = DEFAULT_VECTORS,
    device: str | None = None,
    devices: Sequence[str] = (),
    ray: str | None = None,
    gpus_per_worker: float = 1.0,
    dtype: str | None = None,
    backend: BackendName = "torch",
    backend_file: str | None = None,
    prompt_query: str | None = None,
    prompt_document: str | None = None,
    trusted: Sequence[str] = (),
    endpoint: str | None = None,
    api_key_variable: str | None = None,
    concurrency: int | None = None,
    price_per_million_tokens: float | None = None,
    max_length: int | Sequence[int] | None = None,
    dims: Sequence[int] | Literal["listed"] = (),
    precisions: Sequence[str] = (),
    token_budget: int | None = None,
    padding: bool | None = None,
    compile: bool = False,
    ranking_depth: int = 0,
) -> PreparedRun:
    """
    Check everything that a run needs and plan it; arguments as for api.run().

    Raises:
        BadInput: all that is wrong with the arguments and the files they name.
    """
    mirrored = mirror_folder(mirror)
    faults: list[Fault] = []
    asked = _asked(suite, tasks, subsets, mirrored, faults)
    faults += device_faults(device)
    faults += [
        fault for each in dict.fromkeys(devices) for fault in device_faults(each, "--devices")
    ]
    faults += cluster_faults(ray, devices, device, endpoint)
    loading = Loading(
        dtype, backend, backend_file, prompt_query, prompt_document,
        endpoint.rstrip("/") if endpoint else endpoint, tuple(trusted),
    )  # fmt: skip
    faults += _loading_faults(loading, api_key_variable)
    if first_stages or rerankers:
        asked = replace(
            asked,
            models=models,
            first_stages=first_stages or asked.first_stages,
            rerankers=rerankers or asked.rerankers,
        )
    elif models:
        asked = replace(asked, models=models, first_stages=(), rerankers=())
    faults += _without_effect(asked, loading, max_length, dims, precisions)
    if not (asked.models or asked.first_stages or asked.rerankers):
        faults.append(
            Fault("", "no model is named", "give --model, such as --model intfloat/e5-small-v2")
        )
    if endpoint is not None and query_tokens is not None:
        problem = "cuts by the reranker's tokenizer, which a server keeps to itself"
        faults.append(Fault("--query-tokens", problem, "leave it out with --endpoint"))
    store = ResultStore(Path(results))
    top_k = top_k or asked.top_k or DEFAULT_TOP_K
    # A server keeps its tokenizer to itself, so queries go to it whole.
    cut_to = None if endpoint else query_tokens or asked.query_tokens
    reranked_depth = max(top_k, ranking_depth)
    faults += _depth_faults(top_k, ranking_depth)
    folder = default_folder() if vectors == DEFAULT_VECTORS else vectors
    kept_in = next(iter(_each(parse_place, [] if folder is None else [folder], faults)), None)
    jobs: dict[tuple[str, str], Any] = {}
    for part in asked.parts:
        lengths = _as_tuple(max_length) or _as_tuple(part.max_length)
        if lengths and endpoint is not None:
            problem = f"a server cuts texts by its own rule, not to {lengths[0]:,} tokens"
            faults.append(Fault("--endpoint", problem, "leave the maximum length out for it"))
        firsts = _first_stages(asked.first_stages, loading, lengths, mirrored, faults)
        part.first_stages = [each for each in firsts if isinstance(each, ModelSource)]
        behind = [Reranking(first, top_k, cut_to) for first in firsts]
        part.rerankers = _rerankers(asked.rerankers, behind, loading, mirrored, faults)
        find = partial(
            find_variants,
            mirror=mirrored,
            loading=loading,
            max_lengths=lengths,
            dims=dims or asked.dims,
            precisions=tuple(precisions) or asked.precisions,
        )
        variants = _each(find, dict.fromkeys(asked.models), faults)
        part.sources = [source for of_model in variants for source in of_model]
    faults += _namesakes(asked.parts)
    faults = list(dict.fromkeys(faults))
    if faults:
        raise BadInput(faults)
    _refuse_one_run_for_several(asked.parts)
    for part in asked.parts:
        # The first stages first: the rerankers wait for their rankings.
        for sources, kept in (
            (part.first_stages, max(FIRST_STAGE_DEPTH, reranked_depth)),
            (part.sources, ranking_depth),
            (part.rerankers, reranked_depth),
        ):
            waiting = {key for key, job in jobs.items() if not job.done}
            plan = make_plan(sources, part.tasks, store, ranking_depth=kept, waiting=waiting)
            for job in plan.jobs:
                jobs.setdefault((job.source.name, job.task.metadata.name), job)
    serving = EndpointOptions(api_key_variable, concurrency, price_per_million_tokens)
    options = EngineOptions(device, token_budget, kept_in, padding, compile, serving)
    every_task = {task.metadata.name: task for part in asked.parts for task in part.tasks}
    workers = ClusterOptions(ray, devices, gpus_per_worker) if ray or devices else None
    plan = Plan(list(jobs.values()))
    return PreparedRun(plan, list(every_task.values()), store, options, workers)


def _namesakes(parts: Sequence[_Part]) -> list[Fault]:
    """Results go by the model's name and content, jobs and rows by its name alone."""
    folders: dict[str, Path] = {}
    faults = []
    for part in parts:
        for source in (*part.first_stages, *part.sources, *part.rerankers):
            if source.folder is None:
                continue
            other = folders.setdefault(source.name, source.folder)
            if other.resolve() != source.folder.resolve():
                what = f"two models are called '{source.name}': {other} and {source.folder}"
                faults.append(Fault("--model", what, "rename one of the folders, or run one alone"))
    return faults


def _loading_faults(loading: Loading, api_key_variable: str | None) -> list[Fault]:
    faults = []
    if loading.dtype is not None and loading.backend != "torch":
        hint = "leave it out; granite-bench export writes other types"
        faults.append(Fault("--dtype", "is of weights, and an exported file has its own", hint))
    if loading.backend_file is not None and loading.backend == "torch":
        hint = "say whose file it is: --backend onnx or --backend openvino"
        faults.append(Fault("--backend-file", "is for an exported model", hint))
    if loading.endpoint is not None:
        faults += endpoint_faults(loading.endpoint, api_key_variable)
        of_weights = {"--dtype": loading.dtype, "--backend-file": loading.backend_file}
        of_weights["--backend"] = None if loading.backend == "torch" else loading.backend
        faults += [
            Fault(option, "is the server's choice, and --endpoint is given", "leave it out")
            for option, value in of_weights.items()
            if value is not None
        ]
    for trusted in loading.trusted:
        name, _, revision = trusted.rpartition("@")
        if not name or not revision:
            problem = f"'{trusted}' names no revision, and code may change with each"
            hint = "give name@revision; a run without it prints the one to give"
            faults.append(Fault("--trust-remote-code", problem, hint))
    return faults


def _without_effect(
    asked: _Asked,
    loading: Loading,
    max_length: int | Sequence[int] | None,
    dims: Sequence[int] | str,
    precisions: Sequence[str],
) -> list[Fault]:
    """Options that nothing of what is asked for would heed."""
    if asked.models or not asked.rerankers:
        return []
    given: dict[str, Any] = {"--dims": dims, "--precision": precisions}
    hint = "they are for models that are given with --model; leave them out"
    if not asked.first_stages:
        given |= {
            "--max-length": max_length,
            "--backend": loading.backend if loading.backend != "torch" else None,
            "--prompt-query": loading.prompt_query,
            "--prompt-doc": loading.prompt_document,
        }
        hint = "they are for embedding models; leave them out"
    named = [option for option, value in given.items() if value not in (None, ())]
    return [Fault(option, "changes nothing of a reranker", hint) for option in named]


def _depth_faults(top_k: int, ranking_depth: int) -> list[Fault]:
    depths = {"--top-k": top_k, "--keep-ranking": ranking_depth}
    problem = f"mteb ranks {MOST_RANKED:,} documents per query"
    hint = f"give {MOST_RANKED} or fewer"
    return [Fault(name, problem, hint) for name, depth in depths.items() if depth > MOST_RANKED]


def _refuse_one_run_for_several(parts: Sequence[_Part]) -> None:
    """Raises BadInput for a single run's file where several rankings are reranked."""
    n_evaluations = sum(len(all_parts(task)) for part in parts for task in part.tasks)
    files = {
        source.reranking.first_stage.path
        for part in parts
        for source in part.rerankers
        if source.reranking is not None
        and isinstance(source.reranking.first_stage, RunFile)
        and source.reranking.first_stage.path.is_file()
    }
    if files and n_evaluations > 1:
        problem = f"is one run, and {n_evaluations} parts of tasks are to be reranked"
        hint = "give a folder of runs, named as export-run names them, or one --task and --subset"
        raise BadInput([Fault(str(path), problem, hint) for path in sorted(files)])


def _first_stages(
    names: Sequence[str],
    loading: Loading,
    lengths: Sequence[int],
    mirror: Path | None,
    faults: list[Fault],
) -> list[ModelSource | RunFile]:
    """Models on this machine, or runs that others made."""
    if names and len(lengths) > 1:
        problem = "a first stage reads texts of one length"
        faults.append(Fault("--max-length", problem, "give one, or leave it to the model"))

    def find(name: str) -> ModelSource | RunFile:
        path = Path(name)
        if is_run(path):
            run = RunFile(path)
            for file in run.files:
                read_run(file)  # its faults are said before anything runs
            return run
        local = replace(loading, endpoint=None)
        length = lengths[0] if lengths else None
        return find_model(name, mirror=mirror, max_length=length, loading=local)

    return _each(find, dict.fromkeys(names), faults)


def _rerankers(
    names: Sequence[str],
    behind: Sequence[Reranking],
    loading: Loading,
    mirror: Path | None,
    faults: list[Fault],
) -> list[ModelSource]:
    """Every reranker behind every first stage; behind none, it ranks what the tasks bring."""
    own = Loading(loading.dtype, endpoint=loading.endpoint, trusted=loading.trusted)

    rerankings: Sequence[Reranking | None] = behind or [None]

    def find(name: str) -> list[ModelSource]:
        return [find_reranker(name, each, mirror=mirror, loading=own) for each in rerankings]

    return [each for found in _each(find, dict.fromkeys(names), faults) for each in found]


@dataclass
class _Part:
    """Tasks that are run with the same models, at the same length of texts."""

    tasks: Sequence[Any]
    max_length: int | None = None
    first_stages: list[ModelSource] = field(default_factory=list)
    sources: list[ModelSource] = field(default_factory=list)
    rerankers: list[ModelSource] = field(default_factory=list)


@dataclass
class _Asked:
    """What a suite, an overview or a list of tasks asks for."""

    parts: list[_Part]
    models: Sequence[str] = ()
    first_stages: Sequence[str] = ()
    rerankers: Sequence[str] = ()
    top_k: int | None = None
    query_tokens: int | None = None
    dims: Sequence[int] = ()
    precisions: Sequence[str] = ()


def _asked(
    suite: str | None,
    tasks: Sequence[str],
    subsets: Sequence[str],
    mirror: Path | None,
    faults: list[Fault],
) -> _Asked:
    if suite is None:
        if not tasks:
            faults.append(Fault("", "nothing to run", "name a suite or give --task"))
        found = _each(lambda name: find_task(name, mirror=mirror), tasks, faults)
        return _Asked([_Part(_chosen(found, subsets, faults))])
    overview = load_overview(suite) if is_overview(suite) else None
    entries = [(each.suite, each.max_length) for each in overview.suites] if overview else []
    known = known_task_names()
    loaded = [
        (load_suite(name, known_tasks=known), name, length)
        for name, length in entries or [(suite, None)]
    ]
    whole = overview or loaded[0][0]
    inside = {task.name for each, _, _ in loaded for task in each.tasks}
    faults += [
        Fault(
            "--task",
            f"suite {whole.name} has no task '{name}'",
            f"granite-bench suites show {whole.name}",
        )
        for name in tasks
        if name not in inside
    ]
    parts = []
    for each, name, length in loaded:
        entries_of = [task for task in each.tasks if not tasks or task.name in tasks]
        base = Path(name).parent if name.endswith((".yaml", ".yml")) else Path()
        found = _each(partial(suite_task, base=base, mirror=mirror), entries_of, faults)
        parts.append(_Part(found, length or each.max_length))
    chosen = _chosen([task for part in parts for task in part.tasks], subsets, faults)
    if subsets:
        for part in parts:
            names = {task.metadata.name for task in part.tasks}
            part.tasks = [task for task in chosen if task.metadata.name in names]
    if overview is not None:
        return _Asked(parts, overview.models, dims=overview.dims, precisions=overview.precisions)
    of = loaded[0][0]
    return _Asked(
        parts, of.models, of.first_stages, of.rerankers, of.top_k, of.query_tokens,
        of.dims, of.precisions,
    )  # fmt: skip


def _as_tuple(length: int | Sequence[int] | None) -> tuple[int, ...]:
    if length is None:
        return ()
    return (length,) if isinstance(length, int) else tuple(length)


def _each(find: Callable[[Any], Any], names: Any, faults: list[Fault]) -> list[Any]:
    """What is found; what is not, among the faults."""
    found = []
    for name in names:
        try:
            found.append(find(name))
        except BadInput as error:
            faults += error.faults
    return found


def _chosen(tasks: Sequence[Any], subsets: Sequence[str], faults: list[Fault]) -> list[Any]:
    """Each task once, with the subsets asked for."""
    once = _each_once(tasks, faults)
    return _with_subsets(once, subsets, faults) if subsets else once


def _each_once(tasks: Sequence[Any], faults: list[Fault]) -> list[Any]:
    """Each task once; results go by name, so two data sets of one name are a fault."""
    by_name: dict[str, Any] = {}
    for task in tasks:
        name, path = task.metadata.name, task.metadata.dataset["path"]
        other = by_name.setdefault(name, task).metadata.dataset["path"]
        if other != path:
            what = f"two tasks are called '{name}': {other} and {path}"
            faults.append(Fault("--task", what, "rename one of the folders"))
    return list(by_name.values())


def _with_subsets(tasks: Sequence[Any], subsets: Sequence[str], faults: list[Fault]) -> list[Any]:
    there = {subset for task in tasks for subset in task.hf_subsets}
    for subset in subsets:
        if subset not in there and tasks:
            shown = ", ".join(sorted(there)[:20])
            faults.append(
                Fault("--subset", f"no task has a subset '{subset}'", f"there are: {shown}")
            )
    kept = []
    for task in tasks:
        own = [subset for subset in subsets if subset in task.hf_subsets]
        if own:
            kept.append(restrict(task, subsets=own))
    return kept
