"""Which exported files of a model are compared with it, and the comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mteb.abstasks import AbsTask
from mteb.abstasks.retrieval import AbsTaskRetrieval

from granite_bench.devices import BACKENDS, BackendName
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.form_loading import EngineOptions, load_form
from granite_bench.errors import BadInput, Fault, TaskError
from granite_bench.exported import exported_transformer, find_all
from granite_bench.models import ModelSource, find_model
from granite_bench.parity.figures import Candidate, Parity
from granite_bench.parity.measure import cosines_of, drift_of, sample_of, speed_ratio
from granite_bench.parity.quality import overall_of, quality_of, scores_of
from granite_bench.planning.plan import all_parts, make_plan
from granite_bench.provenance import hardware, package_versions
from granite_bench.results.store import ResultStore
from granite_bench.runner.execution import run_plan
from granite_bench.tasks.loaded import data_of

Say = Callable[[str], None]


def exported_variants(
    reference: ModelSource,
    name: str,
    *,
    mirror: Path | None = None,
    backends: Sequence[BackendName] = (),
    files: Sequence[str] = (),
) -> list[ModelSource]:
    """
    The exported models to compare with *reference*.

    Args:
        reference: the model in torch.
        name, mirror: with which it was found.
        backends: take their files; with no *files*, all that there are.
        files: names in the model's folder.

    Raises:
        BadInput: the model has no such file.
    """
    known = [
        file
        for backend in backends or [each for each in BACKENDS if each != "torch"]
        for file in find_all(reference.export_folders, backend)
    ]
    wanted = list(files) or [file.name for file in known]
    by_name = {file.name: file for file in known}
    there = f"there are: {', '.join(by_name)}" if by_name else ""
    make = f"make one with: granite-bench export {name} --backend {(*backends, 'onnx')[0]}"
    faults = [
        Fault(f"model {name}", f"has no exported file {each}", there or make)
        for each in wanted
        if each not in by_name
    ]
    if not wanted:
        faults.append(Fault(f"model {name}", "has no exported file", make))
    if faults:
        raise BadInput(faults)
    return [
        find_model(
            name,
            mirror=mirror,
            max_length=reference.max_length,
            loading=replace(reference.loading, backend=by_name[each].backend, backend_file=each),
        )
        for each in dict.fromkeys(wanted)
    ]


def compare_backends(
    reference: ModelSource,
    candidates: Sequence[ModelSource],
    tasks: Sequence[AbsTask],
    store: ResultStore,
    options: EngineOptions,
    say: Say = lambda line: None,
) -> Parity:
    """
    Run what is missing, then compare each candidate with the reference.

    Args:
        reference: the model in torch.
        candidates: see exported_variants; at least one.
        tasks: retrieval tasks; at least one.
        store, options: as for run_plan; the device is the CPU.
        say: told one line per step.

    Raises:
        BadInput: a task is no retrieval task, or the model is none that our engine drives.
        TaskError: a run failed; what finished is kept.
    """
    plan = make_plan([reference, *candidates], tasks, store)
    parts = list({job.task.metadata.name: job.task for job in plan.jobs}.values())
    retrieval = _only_retrieval(parts)
    failed = [each for each in run_plan(plan, tasks, store, options, say) if each.cause]
    if failed:
        causes = "\n".join(f"{each.model} on {each.task}: {each.cause}" for each in failed)
        raise TaskError(f"nothing was compared, as runs failed:\n{causes}")
    in_torch = _loaded(reference, options)
    compared = []
    for source in candidates:
        say(f"comparing {source.name}")
        compared.append(_compared(reference, source, in_torch, retrieval, store, options, say))
    weights = list(_transformer(in_torch).parameters())
    return Parity(
        model=reference.meta.name or "",
        revision=reference.meta.revision,
        dtype=in_torch.encoder.backend.dtype,
        n_bytes=sum(each.numel() * each.element_size() for each in weights),
        n_threads=torch.get_num_threads(),
        candidates=compared,
        hardware=hardware("cpu"),
        packages=package_versions(),
    )


def _only_retrieval(tasks: Sequence[AbsTask]) -> list[AbsTaskRetrieval]:
    others = [task for task in tasks if not isinstance(task, AbsTaskRetrieval)]
    if others:
        hint = "name the others with --task"
        raise BadInput(
            Fault(f"task {task.metadata.name}", "is no retrieval task", hint) for task in others
        )
    return [task for task in tasks if isinstance(task, AbsTaskRetrieval)]


def _loaded(source: ModelSource, options: EngineOptions) -> DenseRetriever:
    form = load_form(source, options)
    if not isinstance(form, DenseRetriever):
        problem = "is not an encoder that our engine drives; its backends cannot be compared"
        raise BadInput(Fault(f"model {source.meta.name}", problem))
    return form


def _transformer(form: DenseRetriever) -> Any:
    model: Any = form.model
    return model.model


def _compared(
    reference: ModelSource,
    source: ModelSource,
    in_torch: DenseRetriever,
    tasks: Sequence[AbsTaskRetrieval],
    store: ResultStore,
    options: EngineOptions,
    say: Say,
) -> Candidate:
    exported = _loaded(source, options)
    transformer = exported_transformer(_transformer(exported))
    if transformer is None:
        raise ValueError(f"{source.name} runs no exported file")
    cosines: list[npt.NDArray[np.float32]] = []
    sample: list[str] = []
    for task in tasks:
        with data_of(task, all_parts(task)):
            sample = sample or sample_of(task)
            cosines += cosines_of(task, in_torch, exported)
    strata = [scores_of(task, store, reference, source) for task in tasks]
    speed = speed_ratio(in_torch, exported, sample)
    say(f"{source.name}: {speed.value:.2f} times as fast as torch")
    file = transformer.file
    return Candidate(
        backend=file.backend,
        name=file.name,
        sha256=file.sha256,
        weights_dtype=transformer.weights_dtype,
        n_bytes=file.n_bytes,
        drift=drift_of(np.concatenate(cosines)),
        quality=[quality_of(task, each) for task, each in zip(tasks, strata, strict=True)],
        overall=overall_of(strata),
        speed=speed,
    )
