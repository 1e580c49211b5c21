"""What is to be run: a suite, an overview or tasks by name, and what options put instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from mteb.abstasks import AbsTask

from granite_bench.errors import Fault, did_you_mean, gathered
from granite_bench.suite.overview import is_overview, load_overview
from granite_bench.suite.suite import Suite, load_suite
from granite_bench.tasks import find_task, known_task_names, restrict, suite_task

DEFAULT_TOP_K = 20


@dataclass(frozen=True)
class Part:
    """
    Tasks that are run with the same models, at the same length of texts.

    Attributes:
        max_length: tokens per text; None is each model's own maximum.
    """

    tasks: Sequence[AbsTask]
    max_length: int | None = None


@dataclass(frozen=True)
class RunSpec:
    """
    What is to be run, in the words of a suite: models are still names.

    Attributes:
        parts: one for each suite of an overview, else one.
        models, first_stages, rerankers: ids, folders, or runs in TREC's format.
        top_k: documents per query to rerank.
        query_tokens: of a reranker, that queries are cut to; None leaves them whole.
        max_lengths: tokens per text, instead of that of each part; several are a sweep.
        dims, precisions: to search with besides all dimensions in float32.
    """

    parts: Sequence[Part]
    models: Sequence[str] = ()
    first_stages: Sequence[str] = ()
    rerankers: Sequence[str] = ()
    top_k: int = DEFAULT_TOP_K
    query_tokens: int | None = None
    max_lengths: Sequence[int] = ()
    dims: Sequence[int] | Literal["listed"] = ()
    precisions: Sequence[str] = ()

    def with_models(
        self, models: Sequence[str], first_stages: Sequence[str], rerankers: Sequence[str]
    ) -> RunSpec:
        """The same with what was named instead; of reranking, one may be left to the suite."""
        if first_stages or rerankers:
            return replace(
                self,
                models=models,
                first_stages=first_stages or self.first_stages,
                rerankers=rerankers or self.rerankers,
            )
        return replace(self, models=models, first_stages=(), rerankers=()) if models else self


def read_spec(
    suite: str | None,
    tasks: Sequence[str],
    subsets: Sequence[str],
    *,
    mirror: Path | None,
    faults: list[Fault],
) -> RunSpec:
    """
    What a suite asks for, or *tasks* by themselves.

    Args:
        suite: the name or file of a suite or overview; None for the tasks alone.
        tasks: of the suite, those to run; all where none is named.
        subsets: mteb's names; tasks without any of them are left out.
        mirror: where data sets lie as org/name.
        faults: gets what is wrong with names of tasks and subsets.

    Raises:
        BadInput: no such suite, or a file with faults.
    """
    if suite is None:
        if not tasks:
            faults.append(Fault("", "nothing to run", "name a suite or give --task"))
        found = gathered(tasks, lambda name: find_task(name, mirror=mirror), faults)
        return RunSpec([Part(_once_with_subsets(found, subsets, faults))])
    overview = load_overview(suite) if is_overview(suite) else None
    columns = [(each.suite, each.max_length) for each in overview.suites] if overview else []
    known = known_task_names()
    suites = [
        (load_suite(source, known_tasks=known), source, length)
        for source, length in columns or [(suite, None)]
    ]
    name = (overview or suites[0][0]).name
    inside = {task.name for each, _, _ in suites for task in each.tasks}
    show = f"granite-bench suites show {name}"
    faults += [
        Fault("--task", f"suite {name} has no task '{task}'", did_you_mean(task, inside) or show)
        for task in tasks
        if task not in inside
    ]
    parts = [
        Part(_tasks_of(each, source, tasks, mirror, faults), length or each.max_length)
        for each, source, length in suites
    ]
    chosen = _once_with_subsets([task for part in parts for task in part.tasks], subsets, faults)
    if subsets:
        parts = [_only(chosen, part) for part in parts]
    if overview is not None:
        return RunSpec(parts, overview.models, dims=overview.dims, precisions=overview.precisions)
    one = suites[0][0]
    return RunSpec(
        parts,
        one.models,
        one.first_stages,
        one.rerankers,
        one.top_k or DEFAULT_TOP_K,
        one.query_tokens,
        dims=one.dims,
        precisions=one.precisions,
    )


def _tasks_of(
    suite: Suite, source: str, wanted: Sequence[str], mirror: Path | None, faults: list[Fault]
) -> list[AbsTask]:
    """The tasks of a suite; of its name or file *source*, from which relative paths start."""
    base = Path(source).parent if source.endswith((".yaml", ".yml")) else Path()
    entries = [task for task in suite.tasks if not wanted or task.name in wanted]
    return gathered(entries, partial(suite_task, base=base, mirror=mirror), faults)


def _only(chosen: Sequence[AbsTask], part: Part) -> Part:
    names = {task.metadata.name for task in part.tasks}
    return replace(part, tasks=[task for task in chosen if task.metadata.name in names])


def _once_with_subsets(
    tasks: Sequence[AbsTask], subsets: Sequence[str], faults: list[Fault]
) -> list[AbsTask]:
    """Each task once, with the subsets asked for; tasks without any of them are left out."""
    once = _each_once(tasks, faults)
    if not subsets:
        return once
    there = {subset for task in once for subset in task.hf_subsets}
    for subset in subsets:
        if subset not in there and once:
            shown = ", ".join(sorted(there)[:20])
            hint = did_you_mean(subset, there) or f"there are: {shown}"
            faults.append(Fault("--subset", f"no task has a subset '{subset}'", hint))
    own = [(task, [each for each in subsets if each in task.hf_subsets]) for task in once]
    return [restrict(task, subsets=each) for task, each in own if each]


def _each_once(tasks: Iterable[AbsTask], faults: list[Fault]) -> list[AbsTask]:
    """Each task once; results go by name, so two data sets of one name are a fault."""
    by_name: dict[str, AbsTask] = {}
    for task in tasks:
        name, path = task.metadata.name, task.metadata.dataset["path"]
        other = by_name.setdefault(name, task).metadata.dataset["path"]
        if other != path:
            what = f"two tasks are called '{name}': {other} and {path}"
            faults.append(Fault("--task", what, "rename one of the folders"))
    return list(by_name.values())
