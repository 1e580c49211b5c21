"""The Python API: what the command line does, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granite_bench.errors import BadInput, Fault
from granite_bench.mirror import mirror_folder
from granite_bench.results import read_results
from granite_bench.suite import load_suite

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
        from granite_bench.runner import run_plan

        self.store.check_writable()
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
    max_length: int | None = None,
    token_budget: int | None = None,
) -> PreparedRun:
    """
    Check everything that a run needs and plan it; arguments as for run().

    Raises:
        BadInput: all that is wrong with the arguments and the files they name.
    """
    # Imported here: the reading side stays free of mteb, and --help quick.
    from granite_bench.engine.vectors import default_folder
    from granite_bench.models import find_model
    from granite_bench.plan import make_plan
    from granite_bench.runner import EngineOptions
    from granite_bench.store import ResultStore
    from granite_bench.tasks import find_task, known_task_names, restrict, suite_task

    mirrored = mirror_folder(mirror)
    faults: list[Fault] = []
    found_tasks = []
    found_models = []
    if suite is not None:
        declared = load_suite(suite, known_tasks=known_task_names())
        chosen = [task for task in declared.tasks if not tasks or task.name in tasks]
        base = Path(suite).parent if suite.endswith((".yaml", ".yml")) else Path()
        found_tasks = _each(
            lambda entry: suite_task(entry, base=base, mirror=mirrored), chosen, faults
        )
        models = models or declared.models
        max_length = max_length or declared.max_length
        outside = [name for name in tasks if name not in {task.name for task in declared.tasks}]
        faults += [
            Fault(
                "--task",
                f"suite {declared.name} has no task '{name}'",
                f"granite-bench suites show {declared.name}",
            )
            for name in outside
        ]
    else:
        found_tasks = _each(lambda name: find_task(name, mirror=mirrored), tasks, faults)
        if not tasks:
            faults.append(Fault("", "nothing to run", "name a suite or give --task"))
    found_tasks = _each_once(found_tasks, faults)
    faults += _device_faults(device)
    if subsets:
        found_tasks = _with_subsets(found_tasks, subsets, faults, restrict)
    if not models:
        faults.append(
            Fault("", "no model is named", "give --model, such as --model intfloat/e5-small-v2")
        )
    found_models = _each(
        lambda name: find_model(name, mirror=mirrored, max_length=max_length, dtype=dtype),
        dict.fromkeys(models),
        faults,
    )
    if faults:
        raise BadInput(faults)
    store = ResultStore(Path(results))
    folder = default_folder() if vectors == DEFAULT_VECTORS else vectors
    options = EngineOptions(device, token_budget, None if folder is None else Path(folder))
    return PreparedRun(make_plan(found_models, found_tasks, store), found_tasks, store, options)


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
        max_length: tokens per text; None is each model's own.
        token_budget: padded tokens per batch; None chooses by device.

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


def _device_faults(device: str | None) -> list[Fault]:
    if device is None:
        return []
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        return [Fault("--device", f"unknown device '{device}'", "such as cpu, cuda:0 or mps")]
    n_devices = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind in n_devices and (torch.device(device).index or 0) >= n_devices[kind]:
        what = f"'{device}': torch finds {n_devices[kind]} such devices on this machine"
        return [Fault("--device", what, "leave it out to use the best there is")]
    return []


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
