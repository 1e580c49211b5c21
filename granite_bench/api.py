"""The Python API: what the command line does, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from granite_bench.devices import device_faults
from granite_bench.errors import BadInput, Fault
from granite_bench.mirror import mirror_folder
from granite_bench.results import read_results
from granite_bench.suite import is_overview, load_overview, load_suite

if TYPE_CHECKING:
    import pandas as pd

    from granite_bench.plan import Plan
    from granite_bench.runner import EngineOptions, Outcome
    from granite_bench.store import ResultStore

DEFAULT_RESULTS = Path("results")
DEFAULT_VECTORS = "default"


@dataclass(frozen=True)
class PreparedRun:
    """A run that is planned and checked, and has not started."""

    plan: Plan
    tasks: Sequence[Any]
    store: ResultStore
    options: EngineOptions

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
        from granite_bench.disk_space import require_room_for_vectors
        from granite_bench.runner import run_plan

        self.store.check_writable()
        if self.options.vectors is not None:
            require_room_for_vectors(self.plan, self.options.vectors)
        return run_plan(self.plan, self.tasks, self.store, self.options, say)


def prepare(
    suite: str | None = None,
    *,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    subsets: Sequence[str] = (),
    results: str | Path = DEFAULT_RESULTS,
    mirror: str | Path | None = None,
    vectors: str | Path | None = DEFAULT_VECTORS,
    device: str | None = None,
    dtype: str | None = None,
    max_length: int | Sequence[int] | None = None,
    dims: Sequence[int] | Literal["listed"] = (),
    precisions: Sequence[str] = (),
    token_budget: int | None = None,
    padding: bool | None = None,
) -> PreparedRun:
    """
    Check everything that a run needs and plan it; arguments as for run().

    Raises:
        BadInput: all that is wrong with the arguments and the files they name.
    """
    # Imported here: the reading side stays free of mteb, and --help quick.
    from granite_bench.engine.vectors import default_folder
    from granite_bench.models import find_variants
    from granite_bench.plan import Plan, make_plan
    from granite_bench.runner import EngineOptions
    from granite_bench.store import ResultStore

    mirrored = mirror_folder(mirror)
    faults: list[Fault] = []
    asked = _asked(suite, tasks, subsets, mirrored, faults)
    faults += device_faults(device)
    models = models or asked.models
    if not models:
        faults.append(
            Fault("", "no model is named", "give --model, such as --model intfloat/e5-small-v2")
        )
    lengths = _as_tuple(max_length)
    store = ResultStore(Path(results))
    jobs: dict[tuple[str, str], Any] = {}
    for part in asked.parts:
        find = partial(
            find_variants,
            mirror=mirrored,
            dtype=dtype,
            max_lengths=lengths or _as_tuple(part.max_length),
            dims=dims or asked.dims,
            precisions=tuple(precisions) or asked.precisions,
        )
        variants = _each(find, dict.fromkeys(models), faults)
        part.sources += [source for of_model in variants for source in of_model]
    faults = list(dict.fromkeys(faults))
    if faults:
        raise BadInput(faults)
    for part in asked.parts:
        for job in make_plan(part.sources, part.tasks, store).jobs:
            jobs.setdefault((job.source.name, job.task.metadata.name), job)
    folder = default_folder() if vectors == DEFAULT_VECTORS else vectors
    kept_in = None if folder is None else Path(folder)
    options = EngineOptions(device, token_budget, kept_in, padding)
    every_task = {task.metadata.name: task for part in asked.parts for task in part.tasks}
    return PreparedRun(Plan(list(jobs.values())), list(every_task.values()), store, options)


@dataclass
class _Part:
    """Tasks that are run with the same models, at the same length of texts."""

    tasks: Sequence[Any]
    max_length: int | None = None
    sources: list[Any] = field(default_factory=list)


@dataclass
class _Asked:
    """What a suite, an overview or a list of tasks asks for."""

    parts: list[_Part]
    models: Sequence[str] = ()
    dims: Sequence[int] = ()
    precisions: Sequence[str] = ()


def _asked(
    suite: str | None,
    tasks: Sequence[str],
    subsets: Sequence[str],
    mirror: Path | None,
    faults: list[Fault],
) -> _Asked:
    from granite_bench.tasks import find_task, known_task_names, suite_task

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
    return _Asked(parts, whole.models, whole.dims, whole.precisions)


def _as_tuple(length: int | Sequence[int] | None) -> tuple[int, ...]:
    if length is None:
        return ()
    return (length,) if isinstance(length, int) else tuple(length)


def run(
    suite: str | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> list[Outcome]:
    """
    Evaluate models and store the results; what is there already is not run again.

    Args:
        suite: a suite's name or YAML file; None runs *tasks* on their own.
        say: told one line per event, such as print.
        models: ids or folders (see granite_bench.models); the suite's own when left out.
        tasks: mteb's names, built-in names or BEIR-layout folders; with a suite, those of its
            tasks to run.
        subsets: mteb's names; tasks without any of them are left out.
        results: the folder to write to.
        mirror: where `org/name` data sets and models lie on disk.
        vectors: the folder of the vector store; None keeps no vectors.
        device, dtype: torch's names; None is what sentence-transformers chooses.
        max_length: tokens per text, or several for a sweep; None is each model's own.
        dims: dimensions to search with besides each model's own, from the same vectors; "listed"
            are those that mteb's metadata lists.
        precisions: float32, float16, int8, binary: to search with, from the same vectors.
        token_budget: padded tokens per batch; None chooses by device.
        padding: False reads texts end to end where the model allows it; None does so on a GPU in
            half precision.

    Returns:
        One Outcome per model and task; a failed one has its cause.

    Raises:
        BadInput: all that is wrong with the arguments and the files they name.
    """
    return prepare(suite, **options).start(say)


def load_results(
    folder: str | Path = DEFAULT_RESULTS, *, tasks: Sequence[str] | None = None
) -> pd.DataFrame:
    """
    Stored results as a tidy table: one row per model, task, split, subset and metric.

    Args:
        folder: a results folder.
        tasks: read these only; None reads all.

    Returns:
        Columns model, revision, task, split, subset, metric, value (a fraction for most
        metrics), dataset_revision, mteb_version, path.

    Raises:
        BadInput: no such folder, or broken files (all of them named).
    """
    import pandas as pd

    rows = [
        (
            result.model,
            result.revision,
            result.task,
            split,
            subset,
            metric,
            float(value),
            result.dataset_revision,
            result.mteb_version,
            str(result.path),
        )
        for result in read_results(Path(folder), tasks)
        for split, by_subset in result.scores.items()
        for subset, scores in by_subset.items()
        for metric, value in scores.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    columns = [
        "model",
        "revision",
        "task",
        "split",
        "subset",
        "metric",
        "value",
        "dataset_revision",
        "mteb_version",
        "path",
    ]
    return pd.DataFrame(rows, columns=columns)


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
    from granite_bench.tasks import restrict

    once = _each_once(tasks, faults)
    return _with_subsets(once, subsets, faults, restrict) if subsets else once


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


def _with_subsets(
    tasks: Sequence[Any], subsets: Sequence[str], faults: list[Fault], restrict: Callable[..., Any]
) -> list[Any]:
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
