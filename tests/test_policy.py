"""policy.yaml: what a rule means, what is taken from the default, and every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from results_tree import suite_of

import granite_bench.gate.policy
from granite_bench.errors import BadInput
from granite_bench.gate.policy import DEFAULT_POLICY, Allowance, Policy, default_policy, load_policy

SUITE = suite_of("SciFact", "NFCorpus", {"name": "Cats", "metric": "accuracy"})


def _load(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return load_policy(path, SUITE)


def _faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        _load(tmp_path, text)
    return [str(fault) for fault in caught.value.faults]


def test_the_policy_of_the_documentation_is_valid(tmp_path: Path) -> None:
    """The YAML in the module's docstring reads, and its rules are those that it says."""
    text = str(granite_bench.gate.policy.__doc__).split("\n\n")[1]
    policy = _load(tmp_path, "\n".join(line[4:] for line in text.splitlines()))
    assert policy.average is not None
    assert policy.average.max_drop == Allowance(0.005)
    assert policy.average.significant is False
    assert policy.speed is not None
    assert policy.speed.min_ratio == 0.9


def test_a_rule_of_a_task_takes_from_the_default_what_it_does_not_say(tmp_path: Path) -> None:
    """max_drop is the task's own, the other two are the default's; other tasks have the default."""
    policy = _load(
        tmp_path,
        "version: 1\nname: x\n"
        "default: {max_drop: 0.01, significant: false, max_drop_since_best: 0.02}\n"
        "tasks: {SciFact: {ndcg_at_10: {max_drop: 2%}}}\n",
    )
    rule, other = policy.rule_of(SUITE.tasks[0]), policy.rule_of(SUITE.tasks[1])
    assert rule is not None
    assert other is not None
    assert rule.max_drop == Allowance(0.02, relative=True)
    assert (rule.significant, rule.max_drop_since_best) == (False, Allowance(0.02))
    assert other.max_drop == Allowance(0.01)


def test_a_percentage_is_of_the_score_and_a_number_is_taken_from_it() -> None:
    """Of a score of 0.5, 2% is one point and 0.02 is two."""
    assert Allowance(0.02, relative=True).of(0.5) == pytest.approx(0.01)
    assert Allowance(0.02).of(0.5) == 0.02


def test_a_share_of_a_score_below_zero_is_no_gain_that_is_asked_for() -> None:
    """A correlation of -0.5 may fall by 2% of 0.5."""
    assert Allowance(0.02, relative=True).of(-0.5) == pytest.approx(0.01)


def test_tasks_without_a_rule_are_not_judged(tmp_path: Path) -> None:
    """Without a default, only the tasks that are named have rules."""
    policy = _load(
        tmp_path, "version: 1\nname: x\ntasks: {SciFact: {ndcg_at_10: {max_drop: 0.01}}}\n"
    )
    assert [policy.rule_of(task) is not None for task in SUITE.tasks] == [True, False, False]


def test_rules_by_another_metric_make_a_suite_of_their_tasks_by_it(tmp_path: Path) -> None:
    """Two tasks by recall are one such suite; a rule by the suite's own metric makes none."""
    policy = _load(
        tmp_path,
        "version: 1\nname: x\ndefault: {max_drop: 0.01}\ntasks:\n"
        "  SciFact: {ndcg_at_10: {max_drop: 0.02}, recall_at_100: {}}\n"
        "  NFCorpus: {recall_at_100: {max_drop: 0}}\n",
    )
    first, *others = policy.suites(SUITE)
    assert first is SUITE
    assert [[(task.name, task.metric) for task in each.tasks] for each in others] == [
        [("SciFact", "recall_at_100"), ("NFCorpus", "recall_at_100")]
    ]


def test_all_faults_of_a_policy_are_named_at_once(tmp_path: Path) -> None:
    """Unknown keys, tasks and metrics with suggestions, values out of range, and a repeated key."""
    faults = _faults(
        tmp_path,
        "version: 1\nname: x\nalpha: 1.5\n"
        "default: {max_drop: 1.5, signifcant: true}\n"
        "average: {significant: yes please}\n"
        "tasks:\n"
        "  SciFacts: {ndcg_at_10: {max_drop: 0.01}}\n"
        "  NFCorpus: {nDCG@10: {max_drop: -0.01}}\n"
        "speed: {min_ratio: 0}\n"
        "name: y\n",
    )
    together = "\n".join(faults)
    for part in (
        "alpha: input should be less than 1",
        "default.max_drop: is a fraction below 1 (0.01 is one point)",
        "default.signifcant: unknown key\n  did you mean 'significant'?",
        "average.max_drop: is missing",
        "average.significant: ",
        "suite small has no task 'SciFacts'\n  did you mean 'SciFact'",
        "unknown metric 'nDCG@10'\n  did you mean 'ndcg_at_10'",
        "NFCorpus.nDCG@10.max_drop: is a fraction below 1",
        "speed.min_ratio: input should be greater than 0",
        "key 'name' stands here twice",
    ):
        assert part in together
    assert len(faults) == 10


@pytest.mark.parametrize(
    "value", ["1", "1.0", "2", "-0.1", "101%", "-1%", "x%", "five", "true", ".nan", "[1]"]
)
@pytest.mark.parametrize("key", ["max_drop", "max_drop_since_best"])
def test_an_allowance_outside_of_its_range_is_a_fault(tmp_path: Path, key: str, value: str) -> None:
    """A fraction below 1, since who writes 1 means a point, or a percentage up to all."""
    other = "" if key == "max_drop" else "max_drop: 0, "
    (fault,) = _faults(tmp_path, f"version: 1\nname: x\ndefault: {{{other}{key}: {value}}}\n")
    assert f"default.{key}: is a fraction below 1" in fault


def test_a_share_may_be_all_of_a_score(tmp_path: Path) -> None:
    """100% is no slip of the pen."""
    policy = _load(tmp_path, "version: 1\nname: x\ndefault: {max_drop: 100%}\n")
    assert policy.default is not None
    assert policy.default.max_drop == Allowance(1.0, relative=True)


@pytest.mark.parametrize("value", ["1e-2", "'0.01'"])
def test_a_number_that_yaml_takes_for_text_is_a_fault_with_the_number(
    tmp_path: Path, value: str
) -> None:
    """YAML 1.1 wants a point in 1.0e-2."""
    (fault,) = _faults(tmp_path, f"version: 1\nname: x\ndefault: {{max_drop: {value}}}\n")
    assert "default.max_drop: is text to YAML: write 0.01" in fault


def test_a_policy_that_judges_nothing_is_a_fault(tmp_path: Path) -> None:
    """It would pass whatever happens."""
    (fault,) = _faults(tmp_path, "version: 1\nname: x\n")
    assert "judges nothing" in fault


def test_a_rule_without_an_allowance_of_its_own_or_of_a_default_is_a_fault(tmp_path: Path) -> None:
    """There would be nothing to hold the drop against; a task without any rule is one too."""
    text = "version: 1\nname: x\ntasks: {SciFact: {ndcg_at_10: {significant: true}}, NFCorpus: {}}"
    faults = "\n".join(_faults(tmp_path, text))
    assert "tasks.SciFact.ndcg_at_10.max_drop: is missing" in faults
    assert "tasks.NFCorpus: has no rule" in faults


def test_a_policy_of_a_newer_format_says_so(tmp_path: Path) -> None:
    """Its rules may mean something else."""
    (fault,) = _faults(tmp_path, "version: 2\nname: x\ndefault: {max_drop: 0.01}\n")
    assert "format 2 is not known to this release" in fault
    assert "update granite-bench" in fault


def test_the_default_policy_judges_tasks_parts_and_the_average() -> None:
    """What is printed is what is used."""
    policy = default_policy()
    assert policy == Policy.model_validate(yaml.safe_load(DEFAULT_POLICY))
    assert None not in (policy.default, policy.parts, policy.average)
    assert policy.speed is None
