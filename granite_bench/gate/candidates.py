"""The models that a check judges: which they are, and their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from granite_bench.errors import BadInput, Fault
from granite_bench.gate.baseline import Baseline
from granite_bench.gate.request import Request, namesakes
from granite_bench.gate.revisions import ModelRevision, find_revision, revisions_in
from granite_bench.offline.mirror import NO_REVISION
from granite_bench.results.tree import read_results
from granite_bench.suite.suite import Suite
from granite_bench.tables.scores import task_names
from granite_bench.tables.variant_settings import FIRST_STAGE, name_without

if TYPE_CHECKING:
    from granite_bench.models import ModelSource
    from granite_bench.runner.preparation import PreparedRun


@dataclass(frozen=True)
class Candidate:
    """
    A model that is judged.

    Attributes:
        argument: what names it on the command line; empty where that takes several options.
        causes: task -> why it failed just now.
        source: how it is loaded; None where nothing is run.
    """

    found: ModelRevision
    argument: str
    causes: Mapping[str, str] = field(default_factory=dict)
    source: ModelSource | None = None


def models_to_run(request: Request, suite: Suite, baseline: Baseline) -> Sequence[str]:
    """
    What to run: what is named, else what the baseline has; none is the suite's own.

    Raises:
        BadInput: the baseline has local folders, which nothing can find (all of them named).
    """
    if not request.takes_all_of(baseline) or suite.first_stages:
        return request.models
    settings_of = {name: baseline.settings_of(name) for name in baseline.names}
    names = dict.fromkeys(
        name_without(name, settings, settings)
        for name, settings in settings_of.items()
        if FIRST_STAGE not in settings
    )
    local = [name for name in names if name.startswith("local/")]
    if local:
        raise BadInput(
            [
                Fault(str(request.baseline), f"has {name}, a folder", "give it with --model")
                for name in local
            ]
        )
    return list(names)


def candidates_there(request: Request, suite: Suite, baseline: Baseline) -> list[Candidate]:
    """
    Candidates from results that are there.

    Raises:
        BadInput: there are none of what is named, or of several revisions; all faults named.
    """
    found = revisions_in(request.results, suite)
    named = request.models
    if not named and request.takes_all_of(baseline):
        named = baseline.names
    elif not named:
        named = list(dict.fromkeys(each.model for each in found))
    candidates = []
    faults: list[Fault] = []
    known = {each.model for each in found}
    for name in dict.fromkeys(named):
        if name not in known and name in baseline.names:
            nothing = ModelRevision(name, "", baseline.settings_of(name), {})
            candidates.append(Candidate(nothing, name))
            continue
        try:
            candidates.append(Candidate(find_revision(name, found, str(request.results)), name))
        except BadInput as error:
            faults += error.faults
    if not candidates and not faults:
        problem = f"has no results of suite {suite.name}"
        faults.append(Fault(str(request.results), problem, "leave --no-run out to make them"))
    faults += namesakes([each.found.model for each in candidates])
    if faults:
        raise BadInput(faults)
    return candidates


def candidates_of_run(
    prepared: PreparedRun, suite: Suite, say: Callable[[str], None]
) -> list[Candidate]:
    """Candidates after a run; of each, results of the model as it is now and no others."""
    outcomes = [] if prepared.nothing_to_do else prepared.start(say=say)
    tasks = sorted(task_names(suite))
    stored = {result.path: result for result in read_results(prepared.store.root, tasks)}
    candidates = []
    for source in prepared.plan.sources:
        causes = {
            each.task: each.cause
            for each in outcomes
            if each.model == source.name and each.status == "failed"
        }
        paths = [prepared.store.path(source.meta, task) for task in tasks]
        results = {
            stored[path].task: stored[path]
            for path in paths
            # What is there of a task that failed is of before.
            if path in stored and stored[path].task not in causes
        }
        found = ModelRevision(source.name, source.revision or NO_REVISION, source.settings, results)
        argument = "" if source.reranking is not None else source.argument
        candidates.append(Candidate(found, argument, causes, source))
    return candidates
