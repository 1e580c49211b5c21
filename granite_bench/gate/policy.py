"""
policy.yaml -> Policy: how much a change may lose, and when a loss is one.

    version: 1
    name: release
    alpha: 0.05
    default: {max_drop: 0.01, significant: true, max_drop_since_best: 0.02}
    average: {max_drop: 0.005, significant: false, max_drop_since_best: 0.01}
    parts: {max_drop: 0.03, significant: true}
    tasks:
      SciFact:
        ndcg_at_10: {max_drop: 2%}
        recall_at_100: {max_drop: 0.01}
    speed: {min_ratio: 0.9, protocol: chunks-512, significant: true}

*default* is the rule of every task, by the suite's metric; *tasks* has those of single tasks and
metrics, and takes from *default* what it does not say. *average* is of the suite, *parts* of every
split and subset of tasks that have several. What a policy has no rule for is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    field_validator,
)
from pydantic_core import PydanticCustomError

from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.files.yaml_file import read_document
from granite_bench.suite.suite import Suite, SuiteTask

FORMAT_VERSION = 1

DEFAULT_POLICY = """\
# The policy of a check that is given none; a start for one of your own.
version: 1
name: default
# The level of the tests: two-sided, with Holm's correction over tasks, and over parts.
alpha: 0.05
# Every task: a drop of more than 1 point fails where it is beyond noise. What is lost bit by bit,
# each time within the allowance, fails once it is 3 points below the best since the last drop
# that somebody accepted.
default: {max_drop: 0.01, significant: true, max_drop_since_best: 0.03}
# The suite's average: noise is smaller there, so half a point fails, tested or not.
average: {max_drop: 0.005, significant: false, max_drop_since_best: 0.01}
# Every split and subset: a language that collapses may not hide in the mean of many.
parts: {max_drop: 0.03, significant: true}
"""


@dataclass(frozen=True)
class Allowance:
    """
    How much less a score may be.

    Attributes:
        amount: a fraction, 0..1: of the score where it is relative, else what is taken from it,
            and then below 1.
        relative: whether it is written with a percent sign.
    """

    amount: float
    relative: bool = False

    def of(self, score: float) -> float:
        """The drop that is allowed from *score*, a fraction; correlations may be below 0."""
        return self.amount * abs(score) if self.relative else self.amount


def _allowance(value: Any) -> Allowance:
    if isinstance(value, Allowance):
        return value
    relative = isinstance(value, str) and value.endswith("%")
    amount = _fraction(value)
    # A bare 1 would be 100 points, which nobody means: no drop would ever fail.
    if amount is None or not (0 <= amount <= 1 if relative else 0 <= amount < 1):
        raise PydanticCustomError(
            "allowance",
            "is a fraction below 1 (0.01 is one point), or a share of the baseline's score up to "
            "100%, such as 2%",
        )
    if isinstance(value, str) and not relative:
        # As in 1e-2, which YAML takes for a number with a point alone.
        raise PydanticCustomError(
            "allowance_as_text", "is text to YAML: write {amount}", {"amount": f"{amount:g}"}
        )
    return Allowance(amount, relative)


def _fraction(value: Any) -> float | None:
    """A number, or a text that is one, perhaps in percent."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        if isinstance(value, str) and value.endswith("%"):
            return float(value.removesuffix("%")) / 100
        return float(value)
    except (ValueError, OverflowError):
        return None


_Allowance = Annotated[Allowance, BeforeValidator(_allowance)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Rule(_Strict):
    """
    What one column may lose.

    Attributes:
        max_drop: from the baseline's score.
        significant: whether a larger drop fails only where it is beyond noise (the corrected p
            value is below the policy's alpha). Where there are no scores per query nothing can be
            tested, and then it fails.
        max_drop_since_best: from the best score in the baseline's history, since the last drop
            that was accepted. The history has no scores per query, so this is never tested.
    """

    max_drop: _Allowance
    significant: StrictBool = True
    max_drop_since_best: _Allowance | None = None


class TaskRule(_Strict):
    """A Rule of one task and metric; what is None is the policy's default."""

    max_drop: _Allowance | None = None
    significant: StrictBool | None = None
    max_drop_since_best: _Allowance | None = None


class SpeedRule(_Strict):
    """
    What a model may lose in speed, measured in turns with the baseline's model on one machine.

    Attributes:
        min_ratio: of the candidate's speed to the baseline's.
        protocol: what both encode (granite-bench speed --list).
        significant: whether a lower ratio fails only where its whole interval is below min_ratio.
    """

    min_ratio: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
    protocol: str = "chunks-512"
    significant: StrictBool = True


class Policy(_Strict):
    """
    What a gate lets pass.

    Attributes:
        alpha: the level of the tests.
        default, average, parts, tasks, speed: see above; None is not judged.
    """

    version: StrictInt
    name: str = Field(pattern=r"\S")
    alpha: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.05
    default: Rule | None = None
    average: Rule | None = None
    parts: Rule | None = None
    tasks: Mapping[str, Mapping[str, TaskRule]] = {}
    speed: SpeedRule | None = None

    @field_validator("version")
    @classmethod
    def _known_version(cls, version: int) -> int:
        if version != FORMAT_VERSION:
            newer = "; update granite-bench" if version > FORMAT_VERSION else ""
            raise PydanticCustomError(
                "version",
                f"format {version} is not known to this release, which reads {FORMAT_VERSION}"
                f"{newer}",
            )
        return version

    def rule_of(self, task: SuiteTask) -> Rule | None:
        """
        The rule of a task by its metric; None where it is not judged.

        Args:
            task: of one of the *suites* below, which have a metric each.
        """
        own = self.tasks.get(task.name, {}).get(task.metric)
        if own is None:
            return self.default
        inherited = {} if self.default is None else dict(self.default)
        said = {key: value for key, value in dict(own).items() if value is not None}
        return Rule.model_validate({**inherited, **said})

    def suites(self, suite: Suite) -> list[Suite]:
        """The suite, and for every other metric that has rules, their tasks as a suite by it."""
        others: dict[str, list[SuiteTask]] = {}
        for task in suite.tasks:
            for metric in self.tasks.get(task.name, {}):
                if metric != task.metric:
                    by_it = task.model_copy(update={"metric": metric})
                    others.setdefault(metric, []).append(by_it)
        return [
            suite,
            *(
                suite.model_copy(
                    update={"tasks": tuple(t), "metric": m, "average": "tasks", "groups": ()}
                )
                for m, t in others.items()
            ),
        ]


_PARTS: Mapping[str, type[BaseModel]] = {
    "default": Rule,
    "average": Rule,
    "parts": Rule,
    "tasks": TaskRule,
    "speed": SpeedRule,
}


def default_policy() -> Policy:
    """The policy of DEFAULT_POLICY."""
    return Policy.model_validate(yaml.safe_load(DEFAULT_POLICY))


def load_policy(path: Path, suite: Suite) -> Policy:
    """
    Read a policy.

    Args:
        suite: whose tasks its rules name.

    Raises:
        BadInput: it cannot be read, or has faults (all of them named).
    """
    policy, raw, faults = read_document(Policy, path, _PARTS)
    tasks = raw.get("tasks")
    by_name = {task.name: task for task in suite.tasks}
    for name, rules in tasks.items() if isinstance(tasks, Mapping) else ():
        where = f"{path}: tasks.{name}"
        if name not in by_name:
            hint = did_you_mean(str(name), by_name) or f"it has: {', '.join(by_name)}"
            faults.append(Fault(where, f"suite {suite.name} has no task '{name}'", hint))
            continue
        metrics = rules if isinstance(rules, Mapping) else {}
        faults += [
            Fault(where, f"unknown metric '{metric}'", _metric_hint(str(metric)))
            for metric in metrics
            if metric != by_name[name].metric and metric not in _METRICS
        ]
        if isinstance(rules, Mapping) and not rules:
            faults.append(Fault(where, "has no rule", "such as ndcg_at_10: {max_drop: 0.01}"))
    if policy is not None:
        faults += _without_allowance(policy, path)
        if not any((policy.default, policy.average, policy.parts, policy.tasks, policy.speed)):
            hint = "give default, average, parts, tasks or speed"
            faults.append(Fault(str(path), "judges nothing", hint))
    if faults or policy is None:
        raise BadInput(dict.fromkeys(faults))
    return policy


def _without_allowance(policy: Policy, path: Path) -> list[Fault]:
    if policy.default is not None:
        return []
    return [
        Fault(f"{path}: tasks.{task}.{metric}.max_drop", "is missing", "there is no default either")
        for task, rules in policy.tasks.items()
        for metric, rule in rules.items()
        if rule.max_drop is None
    ]


_CUTS = (1, 3, 5, 10, 20, 100, 1000)
_METRICS: Sequence[str] = (
    *(
        f"{name}_at_{cut}"
        for name in ("ndcg", "recall", "mrr", "map", "precision", "hit_rate")
        for cut in _CUTS
    ),
    "main_score", "accuracy", "f1", "f1_weighted", "ap", "ap_weighted", "precision", "recall",
    "map", "mrr", "max_ap", "max_f1", "max_accuracy", "max_precision", "max_recall", "cosine_ap",
    "cosine_f1", "cosine_accuracy", "cosine_spearman", "cosine_pearson", "spearman", "pearson",
    "euclidean_spearman", "manhattan_spearman", "v_measure", "v_measure_std", "nmi", "ami", "lrap",
    "p-MRR", "robustness_at_10", "paired_accuracy", "kendalltau",
)  # fmt: skip
"""What mteb calls the metrics of its task types."""


def _metric_hint(metric: str) -> str:
    spelled = re.sub(r"@\s*", "_at_", metric.strip())
    return did_you_mean(spelled, _METRICS) or "mteb's word is meant, such as ndcg_at_10"
