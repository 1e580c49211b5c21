"""
The conductor of a check: run what is missing, hold it against the baseline, write an update.

What can be wrong with the input is found out before anything runs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.gate.baseline import Baseline, FileBaseline, FolderBaseline, open_baseline
from granite_bench.gate.baseline_file import StoredModel
from granite_bench.gate.baseline_update import with_update
from granite_bench.gate.judgement import Command, Pair, judge
from granite_bench.gate.policy import Policy, SpeedRule, default_policy, load_policy
from granite_bench.gate.revisions import ModelRevision, find_revision, revisions_in, task_names
from granite_bench.gate.sentences import AVERAGE
from granite_bench.gate.speed_verdicts import speed_to, speed_verdict
from granite_bench.gate.verdicts import Check, Status, Verdict
from granite_bench.mirror import NO_REVISION
from granite_bench.results import read_results, results_root
from granite_bench.suite import Suite, load_suite
from granite_bench.variant_settings import FIRST_STAGE, name_without

if TYPE_CHECKING:
    from granite_bench.models import ModelSource
    from granite_bench.preparation import PreparedRun

Say = Callable[[str], None]


class Reproduce(Protocol):
    """The command line of a check again, for one of its verdicts."""

    def __call__(self, model: str, settings: Mapping[str, Any], task: str, *, run: bool) -> str:
        """
        Args:
            model: what --model is given; empty leaves the options as they are.
            settings: of the variant.
            task: that is judged; empty for all.
            run: whether something is missing, and must be run.
        """


@dataclass(frozen=True)
class Request:
    """
    What a check is asked for.

    Attributes:
        suite: a name, or a path to a suite's file.
        baseline: a results folder or a baseline's file.
        policy: a file; None is policy.DEFAULT_POLICY.
        models: ids and folders; none are the baseline's, or the suite's where it has none.
        others_named: whether rerankers, first stages or a panel are asked for.
        tasks: of the suite, to judge alone.
        results: where the candidates' results are.
        baseline_model: that all candidates are held against; None is the one of the same name.
        speed_against: what the baseline's model is loaded by for its speed.
        allowed: kinds of differences that are judged all the same.
        update: whether to write the baseline's file.
        accepted: why a drop is accepted.
        conditions: options of a run that speed is measured under as well: device, padding,
            compile, mirror, trusted.
    """

    suite: str
    baseline: Path
    policy: Path | None = None
    models: Sequence[str] = ()
    others_named: bool = False
    tasks: Sequence[str] = ()
    results: Path = Path("results")
    baseline_model: str | None = None
    speed_against: str | None = None
    allowed: Collection[str] = ()
    update: bool = False
    accepted: str | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Candidate:
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


def check(
    request: Request,
    reproduce: Reproduce,
    run: Callable[[Sequence[str]], PreparedRun] | None,
    say: Say = lambda line: None,
) -> Check:
    """
    Judge candidates, and update the baseline where that is asked for and nothing stands against it.

    Args:
        run: models -> a run of the suite's tasks, prepared; None judges what is there.
        say: told one line per event.

    Raises:
        BadInput: what is asked for is wrong, or results are not like for like (all faults named).
    """
    suite = load_suite(request.suite)
    policy, baseline = _opened(request, suite)
    seconds = 0.0
    if run is None:
        candidates = _there(request, suite, baseline)
        stored = _against(request, baseline, [e.found.model for e in candidates], suite, policy)
    else:
        prepared = run(_models(request, suite, baseline))
        names = [source.name for source in prepared.plan.sources]
        stored = _against(request, baseline, names, suite, policy)
        started = time.perf_counter()
        candidates = _run(prepared, suite, say)
        seconds = time.perf_counter() - started
    suites = policy.suites(suite)
    of_name = {each.found.model: each for each in candidates}
    pairs = [
        Pair(each.found.measured(suites), stored[name], each.causes)
        for name, each in of_name.items()
    ]

    def command(name: str, task: str, /, *, missing: bool = False) -> str:
        candidate = of_name[name]
        return reproduce(candidate.argument, candidate.found.settings, task, run=missing)

    judged = judge(pairs, suite, policy, command, tasks=request.tasks, allowed=request.allowed)
    notes = [*judged.notes, *_own_files(request, baseline, pairs)]
    verdicts = [*judged.verdicts, *_left_out(request, baseline, of_name, reproduce)]
    if policy.speed is not None and not request.tasks:
        verdicts += _speeds(request, policy.speed, candidates, stored, baseline, command, say)
    found = Check(
        suite.name,
        str(request.baseline),
        policy.name,
        verdicts,
        notes,
        judged.baseline_incomplete,
        seconds,
        first_baseline=not baseline.names,
    )
    if isinstance(baseline, FileBaseline) and request.update:
        measured = [pair.candidate for pair in pairs]
        return with_update(found, judged, baseline, suite, measured, request.accepted, command)
    return found


def _opened(request: Request, suite: Suite) -> tuple[Policy, FolderBaseline | FileBaseline]:
    """Policy and baseline; raises BadInput with the faults of both and of the options."""
    from granite_bench.speed.protocol import find_protocol

    faults: list[Fault] = []
    policy, baseline = default_policy(), None
    try:
        policy = load_policy(request.policy, suite) if request.policy is not None else policy
    except BadInput as error:
        faults += error.faults
    try:
        baseline = open_baseline(request.baseline, suite, make=request.update)
    except BadInput as error:
        faults += error.faults
    names = [task.name for task in suite.tasks]
    for task in request.tasks:
        if task not in names:
            hint = did_you_mean(task, names) or f"it has: {', '.join(names)}"
            faults.append(Fault("--task", f"suite {suite.name} has no task '{task}'", hint))
    faults += _update_faults(request, baseline)
    folders = {Path(each).resolve() for each in request.models if Path(each).is_dir()}
    faults += _namesakes([f"local/{folder.name}" for folder in folders])
    if policy.speed is not None:
        try:
            find_protocol(policy.speed.protocol)
        except BadInput as error:
            where = f"{request.policy}: speed.protocol"
            faults += [replace(each, where=where) for each in error.faults]
    if faults or baseline is None:
        raise BadInput(faults)
    return policy, baseline


def _update_faults(request: Request, baseline: FolderBaseline | FileBaseline | None) -> list[Fault]:
    if not request.update:
        if request.accepted is None:
            return []
        return [Fault("--accept", "is for an update", "give --update-baseline with it")]
    faults = []
    option = "--update-baseline"
    if isinstance(baseline, FolderBaseline):
        hint = "copy results there, or name a file that is to be made"
        faults.append(Fault(option, f"{request.baseline} is a results folder", hint))
    if request.tasks:
        faults.append(Fault(option, "is for whole suites, and --task is given", "leave it out"))
    if request.baseline_model is not None:
        problem = "writes a model under its own name, and --baseline-model is given"
        faults.append(Fault(option, problem, "leave one of the two out"))
    if request.accepted is not None and not request.accepted.strip():
        faults.append(Fault("--accept", "needs a reason", "say why the drop is right"))
    return faults


def _models(request: Request, suite: Suite, baseline: Baseline) -> Sequence[str]:
    """What to run: what is named, else what the baseline has; none is the suite's own."""
    if not _takes_the_baselines(baseline, request) or suite.first_stages:
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


def _namesakes(names: Sequence[str]) -> list[Fault]:
    """Two models of one name would be one candidate, and one of them would not be judged."""
    return [
        Fault("--model", f"{n} models are called {name}", "judge them one at a time")
        for name, n in Counter(names).items()
        if n > 1
    ]


def _takes_the_baselines(baseline: Baseline, request: Request) -> bool:
    """Whether the models of the baseline are judged, since none are named."""
    return (
        bool(baseline.names)
        and not request.models
        and not request.others_named
        and request.baseline_model is None
    )


def _there(request: Request, suite: Suite, baseline: Baseline) -> list[_Candidate]:
    """Candidates from results that are there."""
    found = revisions_in(request.results, suite)
    named = request.models
    if not named and _takes_the_baselines(baseline, request):
        named = baseline.names
    elif not named:
        named = list(dict.fromkeys(each.model for each in found))
    candidates = []
    faults: list[Fault] = []
    known = {each.model for each in found}
    for name in dict.fromkeys(named):
        if name not in known and name in baseline.names:
            nothing = ModelRevision(name, "", baseline.settings_of(name), {})
            candidates.append(_Candidate(nothing, name))
            continue
        try:
            candidates.append(_Candidate(find_revision(name, found, str(request.results)), name))
        except BadInput as error:
            faults += error.faults
    if not candidates and not faults:
        problem = f"has no results of suite {suite.name}"
        faults.append(Fault(str(request.results), problem, "leave --no-run out to make them"))
    faults += _namesakes([each.found.model for each in candidates])
    if faults:
        raise BadInput(faults)
    return candidates


def _run(prepared: PreparedRun, suite: Suite, say: Say) -> list[_Candidate]:
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
        candidates.append(_Candidate(found, argument, causes, source))
    return candidates


def _against(
    request: Request,
    baseline: Baseline,
    names: Sequence[str],
    suite: Suite,
    policy: Policy,
) -> dict[str, StoredModel | None]:
    """Candidate -> the baseline's model; None for one that an update would add."""
    suites = policy.suites(suite)
    if request.baseline_model is not None:
        return dict.fromkeys(names, baseline.find(request.baseline_model, suites))
    found: dict[str, StoredModel | None] = {}
    faults: list[Fault] = []
    for name in names:
        if name not in baseline.names and request.update:
            found[name] = None
            continue
        try:
            found[name] = baseline.find(name, suites)
        except BadInput as error:
            faults += error.faults
            if baseline.names and name not in baseline.names:
                hint = "hold it against one of them with --baseline-model NAME"
                faults[-1] = replace(faults[-1], hint=f"{faults[-1].hint}; {hint}")
    if faults:
        raise BadInput(faults)
    return found


def _left_out(
    request: Request,
    baseline: Baseline,
    candidates: Collection[str],
    reproduce: Reproduce,
) -> list[Verdict]:
    """Models of the baseline that nobody named and nothing was run of."""
    if not _takes_the_baselines(baseline, request):
        return []
    verdicts = []
    for name in baseline.names:
        if name in candidates:
            continue
        settings = baseline.settings_of(name)
        reranks = FIRST_STAGE in settings
        plain = "" if reranks else name_without(name, settings, settings)
        command = reproduce(plain, {} if reranks else settings, "", run=True)
        sentence = f"the baseline has {name}, and nothing was run of it"
        rule = "every model of the baseline is judged"
        verdicts.append(
            Verdict(name, name, AVERAGE, "", Status.INCOMPLETE, rule, sentence, command)
        )
    return verdicts


def _own_files(request: Request, baseline: Baseline, pairs: Sequence[Pair]) -> list[str]:
    """That a folder is held against itself."""
    if not isinstance(baseline, FolderBaseline):
        return []
    folders = {results_root(each).resolve() for each in (request.results, baseline.path)}
    same = [
        pair.against
        for pair in pairs
        if pair.baseline is not None
        and (pair.candidate.model, pair.candidate.revision)
        == (pair.baseline.measured.model, pair.baseline.measured.revision)
    ]
    if len(folders) > 1 or not same:
        return []
    what = "the baseline's results are the candidate's own files, so nothing can fail"
    return [f"{', '.join(same)}: {what}"]


def _speeds(
    request: Request,
    rule: SpeedRule,
    candidates: Sequence[_Candidate],
    stored: Mapping[str, StoredModel | None],
    baseline: Baseline,
    command: Command,
    say: Say,
) -> list[Verdict]:
    """A verdict for each model that is loaded; its variants share one."""
    loaded: dict[Any, _Candidate] = {}
    for each in candidates:
        key = each.found.model if each.source is None else each.source.loaded_as
        loaded.setdefault(key, each)
    verdicts = []
    for each in loaded.values():
        name, against = each.found.model, stored[each.found.model]
        if against is None:
            continue
        measured = against.measured
        folder = baseline.folder_of(request.baseline_model or measured.model)
        argument = request.speed_against or folder
        found = speed_to(each.source, measured, argument, rule, request.conditions, say)
        again = command(name, "", missing=each.source is None)
        verdicts.append(speed_verdict(name, measured.model, found, rule, again))
    return verdicts
