"""What a run is asked for -> a checked plan: names become models, all faults are said at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from mteb.abstasks import AbsTask

from granite_bench.arguments import choice_faults, list_faults, number_faults
from granite_bench.cluster.options import ClusterOptions, cluster_faults
from granite_bench.cluster.run import cluster
from granite_bench.devices import BACKENDS, DTYPES, PRECISIONS, BackendName, device_faults
from granite_bench.engine.form_loading import EndpointOptions, EngineOptions
from granite_bench.engine.vectors.vector_store import default_folder
from granite_bench.errors import BadInput, Fault, gathered
from granite_bench.files.local import Place
from granite_bench.files.urls import parse_place
from granite_bench.forecast.on_workers import forecast_lines
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
from granite_bench.offline.mirror import mirror_folder
from granite_bench.planning.disk_space import require_room_for_vectors
from granite_bench.planning.option_faults import depth_faults, loading_faults, unheeded_faults
from granite_bench.planning.plan import Job, Plan, all_parts, make_plan
from granite_bench.planning.run_spec import Part, RunSpec, read_spec
from granite_bench.rankings.first_stage import read_run
from granite_bench.results.store import ResultStore
from granite_bench.runner.execution import Outcome, run_plan
from granite_bench.suite.panel import load_panel

FIRST_STAGE_DEPTH = 100
"""Documents per query that a first stage keeps: enough for other rerankers with a larger top k."""


@dataclass(frozen=True)
class PreparedRun:
    """A run that is planned and checked, and has not started."""

    plan: Plan
    tasks: Sequence[AbsTask]
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
    panel: str | None = None,
    first_stages: Sequence[str] = (),
    rerankers: Sequence[str] = (),
    top_k: int | None = None,
    query_tokens: int | None = None,
    tasks: Sequence[str] = (),
    subsets: Sequence[str] = (),
    results: str | Path = "results",
    mirror: str | Path | None = None,
    vectors: str | Place | Literal[True] | None = True,
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
    faults = list_faults(
        {
            "models": models, "first_stages": first_stages, "rerankers": rerankers, "tasks": tasks,
            "subsets": subsets, "devices": devices, "trusted": trusted, "precisions": precisions,
        }
    )  # fmt: skip
    faults += number_faults(
        {
            "top_k": top_k, "query_tokens": query_tokens, "max_length": max_length,
            "dims": () if dims == "listed" else dims, "token_budget": token_budget,
            "concurrency": concurrency,
        }
    )  # fmt: skip
    faults += number_faults({"ranking_depth": ranking_depth}, least=0)
    faults += choice_faults(
        {
            "dtype": (dtype, DTYPES),
            "backend": (backend, BACKENDS),
            "precisions": (precisions, PRECISIONS),
        }
    )
    if faults:
        raise BadInput(faults)
    mirrored = mirror_folder(mirror)
    spec = read_spec(suite, tasks, subsets, mirror=mirrored, faults=faults)
    panels = gathered([] if panel is None else [panel], load_panel, faults)
    named = (*models, *(model for each in panels for model in each.models))
    spec = spec.with_models(named, first_stages, rerankers)
    faults += device_faults(device)
    for each in dict.fromkeys(devices):
        faults += device_faults(each, "--devices")
    faults += cluster_faults(ray, devices, device, endpoint)
    loading = Loading(
        dtype, backend, backend_file, prompt_query, prompt_document,
        endpoint.rstrip("/") if endpoint else endpoint, tuple(trusted),
    )  # fmt: skip
    faults += loading_faults(loading, api_key_variable)
    faults += unheeded_faults(spec, loading, max_length, dims, precisions)
    if panel is None and not (spec.models or spec.first_stages or spec.rerankers):
        faults.append(
            Fault("", "no model is named", "give --model, such as --model intfloat/e5-small-v2")
        )
    if endpoint is not None and query_tokens is not None:
        problem = "cuts by the reranker's tokenizer, which a server keeps to itself"
        faults.append(Fault("--query-tokens", problem, "leave it out with --endpoint"))
    spec = replace(
        spec,
        max_lengths=(max_length,) if isinstance(max_length, int) else tuple(max_length or ()),
        dims=dims or spec.dims,
        precisions=tuple(precisions) or spec.precisions,
        top_k=top_k or spec.top_k,
        # A server keeps its tokenizer to itself, so queries go to it whole.
        query_tokens=None if endpoint else query_tokens or spec.query_tokens,
    )
    faults += depth_faults(spec.top_k, ranking_depth)
    folder = default_folder() if vectors is True else vectors
    kept_in = gathered([] if folder is None else [folder], parse_place, faults)
    parts = [_found(part, spec, loading, mirrored, faults) for part in spec.parts]
    faults += _namesakes(parts)
    if faults:
        raise BadInput(dict.fromkeys(faults))
    _refuse_one_run_for_several(parts)
    store = ResultStore(Path(results))
    serving = EndpointOptions(api_key_variable, concurrency, price_per_million_tokens)
    return PreparedRun(
        _planned(parts, store, ranking_depth, max(spec.top_k, ranking_depth)),
        list({task.metadata.name: task for part in parts for task in part.tasks}.values()),
        store,
        EngineOptions(device, token_budget, next(iter(kept_in), None), padding, compile, serving),
        ClusterOptions(ray, devices, gpus_per_worker) if ray or devices else None,
    )


@dataclass(frozen=True)
class _Found:
    """The tasks of a part of a run, and the models that were found for them."""

    tasks: Sequence[AbsTask]
    first_stages: Sequence[ModelSource]
    sources: Sequence[ModelSource]
    rerankers: Sequence[ModelSource]


def _found(
    part: Part,
    spec: RunSpec,
    loading: Loading,
    mirror: Path | None,
    faults: list[Fault],
) -> _Found:
    """The models of one part of a run, in all their variants."""
    lengths = spec.max_lengths or (() if part.max_length is None else (part.max_length,))
    if lengths and loading.endpoint is not None:
        problem = f"a server cuts texts by its own rule, not to {lengths[0]:,} tokens"
        faults.append(Fault("--endpoint", problem, "leave the maximum length out for it"))
    firsts = _first_stages(spec.first_stages, loading, lengths, mirror, faults)
    behind = [Reranking(first, spec.top_k, spec.query_tokens) for first in firsts]
    find = partial(
        find_variants,
        mirror=mirror,
        loading=loading,
        max_lengths=lengths,
        dims=spec.dims,
        precisions=spec.precisions,
    )
    variants = gathered(dict.fromkeys(spec.models), find, faults)
    return _Found(
        part.tasks,
        [each for each in firsts if isinstance(each, ModelSource)],
        [source for of_model in variants for source in of_model],
        _rerankers(spec.rerankers, behind, loading, mirror, faults),
    )


def _planned(
    parts: Sequence[_Found], store: ResultStore, ranking_depth: int, reranked_depth: int
) -> Plan:
    """
    The jobs of all parts, each once.

    Args:
        ranking_depth: documents per query that were asked to be kept.
        reranked_depth: that rerankers need, and keep.
    """
    jobs: dict[tuple[str, str], Job] = {}
    for part in parts:
        # The first stages first: the rerankers wait for their rankings.
        for sources, kept in (
            (part.first_stages, max(FIRST_STAGE_DEPTH, reranked_depth)),
            (part.sources, ranking_depth),
            (part.rerankers, reranked_depth),
        ):
            waiting = {key for key, job in jobs.items() if not job.done}
            plan = make_plan(sources, part.tasks, store, ranking_depth=kept, waiting=waiting)
            for job in plan.jobs:
                jobs.setdefault((job.source.name, job.task_name), job)
    return Plan(list(jobs.values()))


def _namesakes(parts: Sequence[_Found]) -> list[Fault]:
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


def _refuse_one_run_for_several(parts: Sequence[_Found]) -> None:
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

    return gathered(dict.fromkeys(names), find, faults)


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

    return [each for found in gathered(dict.fromkeys(names), find, faults) for each in found]
