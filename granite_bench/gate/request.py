"""What a check is asked for; its faults are found before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.gate.baseline import Baseline, FileBaseline, FolderBaseline, open_baseline
from granite_bench.gate.policy import Policy, default_policy, load_policy
from granite_bench.suite.suite import Suite


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

    def takes_all_of(self, baseline: Baseline) -> bool:
        """Whether the models of the baseline are judged, since none are named."""
        return (
            bool(baseline.names)
            and not self.models
            and not self.others_named
            and self.baseline_model is None
        )


def open_request(request: Request, suite: Suite) -> tuple[Policy, FolderBaseline | FileBaseline]:
    """
    The policy and the baseline of a request.

    Raises:
        BadInput: faults of either, or of what is asked for; all of them named.
    """
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
    faults += namesakes([f"local/{folder.name}" for folder in folders])
    if policy.speed is not None:
        from granite_bench.speed.protocol import find_protocol

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


def namesakes(names: Sequence[str]) -> list[Fault]:
    """Two models of one name would be one candidate, and one of them would not be judged."""
    return [
        Fault("--model", f"{n} models are called {name}", "judge them one at a time")
        for name, n in Counter(names).items()
        if n > 1
    ]
