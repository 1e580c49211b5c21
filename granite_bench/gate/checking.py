"""A check: run what is missing, hold it against the baseline, write an update."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from granite_bench.errors import BadInput, Fault
from granite_bench.gate.baseline import Baseline, FileBaseline, FolderBaseline
from granite_bench.gate.baseline_file import StoredModel
from granite_bench.gate.baseline_update import with_update
from granite_bench.gate.candidates import (
    Candidate,
    candidates_of_run,
    candidates_there,
    models_to_run,
)
from granite_bench.gate.judgement import BaselinePair, Command, judge
from granite_bench.gate.policy import Policy, SpeedRule
from granite_bench.gate.request import Request, open_request
from granite_bench.gate.sentences import AVERAGE
from granite_bench.gate.speed_verdicts import speed_to, speed_verdict
from granite_bench.gate.verdicts import Check, Status, Verdict
from granite_bench.results.tree import results_root
from granite_bench.suite.suite import Suite, load_suite
from granite_bench.tables.variant_settings import FIRST_STAGE, name_without

if TYPE_CHECKING:
    from granite_bench.runner.preparation import PreparedRun

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
    policy, baseline = open_request(request, suite)
    seconds = 0.0
    if run is None:
        candidates = candidates_there(request, suite, baseline)
        stored = _against(request, baseline, [e.found.model for e in candidates], suite, policy)
    else:
        prepared = run(models_to_run(request, suite, baseline))
        names = [source.name for source in prepared.plan.sources]
        stored = _against(request, baseline, names, suite, policy)
        started = time.perf_counter()
        candidates = candidates_of_run(prepared, suite, say)
        seconds = time.perf_counter() - started
    suites = policy.suites(suite)
    of_name = {each.found.model: each for each in candidates}
    pairs = [
        BaselinePair(each.found.measured(suites), stored[name], each.causes)
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
    if not request.takes_all_of(baseline):
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


def _own_files(request: Request, baseline: Baseline, pairs: Sequence[BaselinePair]) -> list[str]:
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
    candidates: Sequence[Candidate],
    stored: Mapping[str, StoredModel | None],
    baseline: Baseline,
    command: Command,
    say: Say,
) -> list[Verdict]:
    """A verdict for each model that is loaded; its variants share one."""
    loaded: dict[Any, Candidate] = {}
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
