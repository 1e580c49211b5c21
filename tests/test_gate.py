"""Verdicts: what fails, what passes, what is incomplete, and what is not judged at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from gate_tree import lowered, measured, write_measured
from queries_tree import Values
from results_tree import suite_of, write_result

from granite_bench.errors import BadInput
from granite_bench.gate.baseline_file import HistoryEntry, StoredModel
from granite_bench.gate.judgement import BaselinePair, Judgement, judge
from granite_bench.gate.policy import Policy, SpeedRule
from granite_bench.gate.speed_verdicts import speed_verdict
from granite_bench.gate.verdicts import Status, Verdict
from granite_bench.results.speed_comparison import Ratio
from granite_bench.suite.suite import Suite

HALF = [0.5] * 100
"""A hundred queries with 0.5 each, so that drops can be worked out by hand."""

PASSED, FAILED, INCOMPLETE = Status.PASSED, Status.FAILED, Status.INCOMPLETE


def _policy(**rules: Any) -> Policy:
    return Policy.model_validate({"version": 1, "name": "test", **rules})


def _command(candidate: str, task: str, /, *, missing: bool = False) -> str:
    return f"again {candidate} {task} {missing}"


def _judge(
    tmp_path: Path,
    before: Mapping[str, Values],
    after: Mapping[str, Values],
    policy: Policy,
    *,
    suite: Suite | None = None,
    history: Sequence[HistoryEntry] = (),
    causes: Mapping[str, str] | None = None,
    before_options: Mapping[str, Any] | None = None,
    after_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Judgement:
    """One model before and after, from trees of results."""
    suite = suite or suite_of(*before)
    for root, results, written in (
        (tmp_path / "before", before, before_options),
        (tmp_path / "after", after, after_options),
    ):
        for task, queries in results.items():
            write_measured(root, "org/a", task, queries, **(written or {}))
    pair = BaselinePair(
        measured(tmp_path / "after", "org/a", suite, policy),
        StoredModel(measured(tmp_path / "before", "org/a", suite, policy), history),
        causes or {},
    )
    return judge([pair], suite, policy, _command, **options)


def _statuses(judged: Judgement) -> dict[str, Status]:
    return {each.column: each.status for each in judged.verdicts}


def _only(judged: Judgement) -> Verdict:
    (verdict,) = judged.verdicts
    return verdict


def _entry(score: float, accepted: str | None = None) -> HistoryEntry:
    return HistoryEntry(
        date="2026-03-01T00:00:00+00:00", revision="0123456789abcdef", granite_bench="0",
        mteb=None, accepted=accepted, average=None,
        scores={"TaskA test": {"ndcg_at_10": score}},
    )  # fmt: skip


# Drops


def test_a_clear_drop_beyond_the_allowance_fails_with_all_figures_in_a_sentence(
    tmp_path: Path,
) -> None:
    """10 of 100 queries lose 0.25: the mean falls by 0.025. By hand: p is 2 of 2^10 signs."""
    policy = _policy(default={"max_drop": 0.02})
    verdict = _only(
        _judge(tmp_path, {"TaskA": HALF}, {"TaskA": lowered(HALF, by=0.25, of=10)}, policy)
    )
    assert verdict.status is FAILED
    assert verdict.sentence.startswith(
        "nDCG@10 of TaskA fell by 2.50 points, from 50.00 to 47.50 (95% interval −"
    )
    assert verdict.sentence.endswith(
        "p 0.002), and the policy allows 2.00; 90 of 100 queries are level, 0 better, 10 worse"
    )
    assert verdict.difference is not None
    assert verdict.difference.p == pytest.approx(2 / 2**10)
    assert (verdict.command, verdict.rule) == (
        "again org/a TaskA False", "−2.00, more if not significant"
    )  # fmt: skip


def test_a_large_drop_within_noise_passes_where_the_rule_asks_for_significance(
    tmp_path: Path,
) -> None:
    """3 queries of 100 lose everything: 1.5 points, and p is 2 / 2^3 = 0.25."""
    after = {"TaskA": lowered(HALF, by=0.5, of=3)}
    tested = _only(
        _judge(tmp_path / "a", {"TaskA": HALF}, after, _policy(default={"max_drop": 0.01}))
    )
    assert tested.status is PASSED
    assert "more than the 1.00 that the policy allows, but not beyond noise" in tested.sentence
    strict = _policy(default={"max_drop": 0.01, "significant": False})
    untested = _only(_judge(tmp_path / "b", {"TaskA": HALF}, after, strict))
    assert untested.status is FAILED


def test_the_level_of_the_test_is_the_policys(tmp_path: Path) -> None:
    """p is 2 / 2^6 = 0.031: significant at 0.05, and not at 0.01."""
    before, after = {"TaskA": HALF}, {"TaskA": lowered(HALF, by=0.5, of=6)}
    rule = {"max_drop": 0.01}
    for alpha, status in ((0.05, FAILED), (0.01, PASSED)):
        policy = _policy(default=rule, alpha=alpha)
        assert _only(_judge(tmp_path / str(alpha), before, after, policy)).status is status


def test_a_p_value_at_the_level_is_not_significant(tmp_path: Path) -> None:
    """One of 6 queries gains what 5 lose: 14 of 64 worlds, 0.21875, which is exact."""
    before, after = {"TaskA": [0.5] * 6}, {"TaskA": [0.25] * 5 + [0.75]}
    for alpha, status in ((14 / 64, PASSED), (15 / 64, FAILED)):
        policy = _policy(default={"max_drop": 0.01}, alpha=alpha)
        assert _only(_judge(tmp_path / str(alpha), before, after, policy)).status is status


def test_the_test_is_corrected_for_the_tasks_beside_it(tmp_path: Path) -> None:
    """p is 0.031 on one of two tasks; Holm makes it 0.0625 before the other's 1."""
    before = {"TaskA": HALF, "TaskB": HALF}
    after = {"TaskA": lowered(HALF, by=0.5, of=6), "TaskB": HALF}
    judged = _judge(tmp_path, before, after, _policy(default={"max_drop": 0.01}))
    assert _statuses(judged) == {"TaskA": PASSED, "TaskB": PASSED}
    assert "p 0.062 after Holm's correction" in judged.verdicts[0].sentence


def test_one_task_by_itself_comes_out_as_among_all(tmp_path: Path) -> None:
    """The correction is over what both have, not over what is asked for."""
    before = {"TaskA": HALF, "TaskB": HALF}
    after = {"TaskA": lowered(HALF, by=0.5, of=6), "TaskB": HALF}
    policy = _policy(default={"max_drop": 0.01}, average={"max_drop": 0.5})
    whole = _judge(tmp_path / "whole", before, after, policy)
    part = _judge(tmp_path / "part", before, after, policy, tasks=("TaskA",))
    assert _statuses(whole) == {"TaskA": PASSED, "TaskB": PASSED, "average": PASSED}
    assert _only(part) == whole.verdicts[0]


@pytest.mark.parametrize(
    ("allowed", "status"), [("6%", PASSED), ("4%", FAILED), (0.026, PASSED), (0.024, FAILED)]
)
def test_an_allowance_is_absolute_or_a_share_of_the_baselines_score(
    tmp_path: Path, allowed: Any, status: Status
) -> None:
    """0.025 is 5% of 0.5."""
    policy = _policy(default={"max_drop": allowed})
    after = {"TaskA": lowered(HALF, by=0.25, of=10)}
    assert _only(_judge(tmp_path, {"TaskA": HALF}, after, policy)).status is status


@pytest.mark.parametrize(("by", "status"), [(0.0, PASSED), (0.001, PASSED), (0.003, FAILED)])
def test_where_no_drop_is_allowed_only_rounding_passes(
    tmp_path: Path, by: float, status: Status
) -> None:
    """One query of 100 loses 0.001, which is the fifth decimal of the mean, or 0.003."""
    policy = _policy(default={"max_drop": 0, "significant": False})
    after = {"TaskA": lowered(HALF, by=by, of=1)}
    assert _only(_judge(tmp_path, {"TaskA": HALF}, after, policy)).status is status


def test_a_drop_that_cannot_be_tested_counts_and_says_so(tmp_path: Path) -> None:
    """Without rows per query on one side nobody can tell it from noise."""
    after = {"TaskA": lowered(HALF, by=0.5, of=3)}
    judged = _judge(
        tmp_path, {"TaskA": HALF}, after, _policy(default={"max_drop": 0.01}),
        before_options={"rows": False},
    )  # fmt: skip
    assert _only(judged).status is FAILED
    assert "without scores per query on both sides" in _only(judged).sentence
    assert any("nothing can be tested: TaskA of org/a" in note for note in judged.notes)


@pytest.mark.parametrize(("n", "status"), [(1, FAILED), (5, FAILED), (6, PASSED)])
def test_a_drop_that_no_test_could_show_on_so_few_queries_counts(
    tmp_path: Path, n: int, status: Status
) -> None:
    """
    All of 5 queries on one side are p 2 / 2^5 = 0.0625, of 6 they are 0.031.

    With 6 the test could have found a drop and did not: one gains, p 2 x 7 / 2^6.
    """
    after = [*lowered([0.5] * n, by=0.2, of=n - 1)[: n - 1], 0.3 if n < 6 else 0.55]
    policy = _policy(default={"max_drop": 0.01})
    verdict = _only(_judge(tmp_path, {"TaskA": [0.5] * n}, {"TaskA": after}, policy))
    assert verdict.status is status
    queries = "1 query" if n == 1 else f"{n} queries"
    said = f"the policy allows 1.00; {queries} could never show a drop as significant, so it counts"
    assert (said in verdict.sentence) is (status is FAILED)


def test_what_a_test_could_show_is_by_its_correction(tmp_path: Path) -> None:
    """All of 8 queries are p 0.008, of which 10 parts beside one another make 0.08."""
    for n_parts, status in ((2, PASSED), (10, FAILED)):
        names = [f"l{number}" for number in range(n_parts)]
        suite = suite_of({"name": "TaskA", "subsets": names})
        before = {"TaskA": {name: [0.5] * 8 for name in names}}
        after = {"TaskA": {**before["TaskA"], "l0": [0.2] * 5 + [0.5] * 3}}
        judged = _judge(
            tmp_path / str(n_parts), before, after, _policy(parts={"max_drop": 0.03}), suite=suite
        )
        assert judged.verdicts[0].status is status


def test_a_score_below_zero_may_stay_as_it_is(tmp_path: Path) -> None:
    """A correlation of -0.2 against itself, at an allowance in percent."""
    suite = suite_of("TaskS", metric="cosine_spearman")
    for root in ("before", "after"):
        write_result(
            tmp_path / root / "results", "org/a", "TaskS",
            {"test": {"default": {"cosine_spearman": -0.2}}},
        )  # fmt: skip
    policy = _policy(default={"max_drop": "2%", "significant": False})
    assert _only(_judge(tmp_path, {}, {}, policy, suite=suite)).status is PASSED


def test_the_same_scores_pass_and_say_that_they_are_the_same(tmp_path: Path) -> None:
    """No change is neither a drop nor an improvement."""
    judged = _judge(tmp_path, {"TaskA": HALF}, {"TaskA": HALF}, _policy(default={"max_drop": 0}))
    verdict = _only(judged)
    assert (verdict.status, verdict.improved) == (PASSED, False)
    assert verdict.sentence == "nDCG@10 of TaskA is 50.00, as in the baseline"


def test_an_improvement_is_one_only_beyond_noise(tmp_path: Path) -> None:
    """10 queries that gain are p 0.002; 3 are p 0.25."""
    policy = _policy(default={"max_drop": 0.01})
    for n, improved in ((10, True), (3, False)):
        after = {"TaskA": lowered(HALF, by=-0.25, of=n)}
        verdict = _only(_judge(tmp_path / str(n), {"TaskA": HALF}, after, policy))
        assert (verdict.status, verdict.improved) == (PASSED, improved)
        assert "nDCG@10 of TaskA rose by" in verdict.sentence


def test_another_metric_of_a_task_is_judged_beside_the_suites(tmp_path: Path) -> None:
    """nDCG@10 stays, recall@100 loses: two verdicts, one of them failed."""
    policy = _policy(
        default={"max_drop": 0.01}, tasks={"TaskA": {"recall_at_100": {"max_drop": 0.02}}}
    )
    judged = _judge(
        tmp_path, {"TaskA": HALF}, {"TaskA": HALF}, policy,
        before_options={"recalls": HALF},
        after_options={"recalls": lowered(HALF, by=0.25, of=10)},
    )  # fmt: skip
    assert [(each.metric, each.status) for each in judged.verdicts] == [
        ("ndcg_at_10", PASSED),
        ("recall_at_100", FAILED),
    ]


def test_a_part_that_collapses_fails_though_its_task_passes(tmp_path: Path) -> None:
    """One language of ten loses 4 points: 0.4 of the task's."""
    suite = suite_of({"name": "TaskA", "subsets": [f"l{n}" for n in range(10)]})
    before = {"TaskA": {f"l{n}": HALF for n in range(10)}}
    after = {"TaskA": {**before["TaskA"], "l3": lowered(HALF, by=0.25, of=16)}}
    policy = _policy(default={"max_drop": 0.01}, parts={"max_drop": 0.03})
    judged = _judge(tmp_path, before, after, policy, suite=suite)
    failed = [each.column for each in judged.verdicts if each.status is FAILED]
    assert failed == ["TaskA[l3] test"]
    assert len(judged.verdicts) == 11


def test_the_average_has_a_rule_of_its_own(tmp_path: Path) -> None:
    """Each of two tasks loses 1 point, which is allowed; the average may lose half of one."""
    before = {"TaskA": HALF, "TaskB": HALF}
    after = {name: lowered(HALF, by=0.1, of=10) for name in before}
    policy = _policy(default={"max_drop": 0.02}, average={"max_drop": 0.005})
    judged = _judge(tmp_path, before, after, policy)
    assert _statuses(judged) == {"TaskA": PASSED, "TaskB": PASSED, "average": FAILED}
    assert judged.verdicts[-1].sentence.startswith("the average nDCG@10 fell by 1.00 points")


def test_what_a_policy_does_not_judge_is_named(tmp_path: Path) -> None:
    """So that nobody takes it for passed."""
    before = {"TaskA": HALF, "TaskB": HALF}
    policy = _policy(tasks={"TaskB": {"ndcg_at_10": {"max_drop": 0.01}}})
    judged = _judge(tmp_path, before, before, policy)
    assert _only(judged).column == "TaskB"
    assert "policy test does not judge: TaskA, the average, parts of tasks" in judged.notes


# Since the best


@pytest.mark.parametrize(("best", "status"), [(0.51, PASSED), (0.5199, PASSED), (0.53, FAILED)])
def test_a_drop_since_the_best_fails_though_the_drop_from_the_baseline_does_not(
    tmp_path: Path, best: float, status: Status
) -> None:
    """0.49 after 0.5: one point from the baseline, and 2, 2.99 or 4 from the best."""
    policy = _policy(default={"max_drop": 0.02, "max_drop_since_best": 0.03})
    judged = _judge(
        tmp_path, {"TaskA": HALF}, {"TaskA": lowered(HALF, by=0.1, of=10)}, policy,
        history=[_entry(best), _entry(0.5)],
    )  # fmt: skip
    verdict = _only(judged)
    assert (verdict.status, verdict.best) == (status, best)
    if status is FAILED:
        assert (
            "within the 2.00 that the policy allows; it is 4.00 points below its best, 53.00 "
            "(2026-03-01, revision 0123456789ab), and the policy allows 3.00 since then"
        ) in verdict.sentence


@pytest.mark.parametrize(("score", "status"), [(0.545, PASSED), (0.535, FAILED)])
def test_an_allowance_since_the_best_is_a_share_of_the_best(
    tmp_path: Path, score: float, status: Status
) -> None:
    """10% of 0.6 is 6 points: 0.54 may be left, whatever the baseline's 0.5 is."""
    policy = _policy(default={"max_drop": 0.02, "max_drop_since_best": "10%"})
    judged = _judge(
        tmp_path, {"TaskA": HALF}, {"TaskA": [score] * 100}, policy,
        history=[_entry(0.6), _entry(0.5)],
    )  # fmt: skip
    assert _only(judged).status is status


def test_without_a_rule_for_it_the_best_is_shown_and_not_judged(tmp_path: Path) -> None:
    """A rule of max_drop alone."""
    policy = _policy(default={"max_drop": 0.02})
    judged = _judge(
        tmp_path, {"TaskA": HALF}, {"TaskA": HALF}, policy, history=[_entry(0.9), _entry(0.5)]
    )
    assert (_only(judged).status, _only(judged).best) == (PASSED, 0.9)


# Holes


def test_a_task_that_the_candidate_lacks_is_incomplete(tmp_path: Path) -> None:
    """And with it the average; the command runs it."""
    before = {"TaskA": HALF, "TaskB": HALF}
    policy = _policy(default={"max_drop": 0.01}, average={"max_drop": 0.01})
    judged = _judge(tmp_path, before, {"TaskA": HALF}, policy)
    assert _statuses(judged) == {"TaskA": PASSED, "TaskB": INCOMPLETE, "average": INCOMPLETE}
    assert (judged.candidate_incomplete, judged.baseline_incomplete) == (True, False)
    verdict = judged.verdicts[1]
    assert verdict.command == "again org/a TaskB True"
    assert verdict.sentence == ("nDCG@10 of TaskB cannot be judged: the candidate does not have it")


def test_a_task_that_the_baseline_lacks_is_incomplete_on_its_side(tmp_path: Path) -> None:
    """It is said whose hole it is."""
    suite = suite_of("TaskA", "TaskB")
    policy = _policy(default={"max_drop": 0.01})
    after = {"TaskA": lowered(HALF, by=0.5, of=50), "TaskB": HALF}
    judged = _judge(tmp_path, {"TaskA": HALF}, after, policy, suite=suite)
    assert _statuses(judged) == {"TaskA": FAILED, "TaskB": INCOMPLETE}
    assert judged.verdicts[1].command == "again org/a TaskB False"  # a run would not mend it
    assert (judged.candidate_incomplete, judged.baseline_incomplete) == (False, True)


def test_a_missing_subset_is_named(tmp_path: Path) -> None:
    """The rest of the task is not judged in its stead."""
    suite = suite_of({"name": "TaskA", "subsets": ["en", "de"]})
    judged = _judge(
        tmp_path, {"TaskA": {"en": HALF, "de": HALF}}, {"TaskA": {"en": HALF}},
        _policy(default={"max_drop": 0.01}, parts={"max_drop": 0.01}), suite=suite,
    )  # fmt: skip
    assert _only(judged).sentence.endswith("the candidate lacks TaskA[de] test (1 of 2)")


def test_a_part_that_is_missing_never_passes_where_parts_alone_are_judged(tmp_path: Path) -> None:
    """Whichever side lacks it, and of a model that the baseline does not have yet."""
    suite = suite_of({"name": "TaskA", "subsets": ["en", "de"]}, "TaskB")
    whole = {"TaskA": {"en": HALF, "de": HALF}, "TaskB": HALF}
    hole = {"TaskA": {"en": HALF}, "TaskB": HALF}
    policy = _policy(parts={"max_drop": 0.01})
    for name, before, after in (("now", whole, hole), ("before", hole, whole)):
        judged = _judge(tmp_path / name, before, after, policy, suite=suite)
        assert _statuses(judged) == {"parts of TaskA": INCOMPLETE}
        assert (judged.candidate_incomplete, judged.baseline_incomplete) == (
            name == "now", name == "before",
        )  # fmt: skip
        assert "lacks TaskA[de] test (1 of 2)" in _only(judged).sentence
    pair = BaselinePair(measured(tmp_path / "now" / "after", "org/a", suite), None)
    assert _statuses(judge([pair], suite, policy, _command)) == {"parts of TaskA": INCOMPLETE}


def test_a_mean_without_its_parts_is_judged_as_a_mean_alone(tmp_path: Path) -> None:
    """Both sides have the whole, whose data have no revision of their own; one has no parts."""
    suite = suite_of({"name": "Both", "parts": ["PartA", "PartB"]})
    before = {"Both": HALF}
    after = {"PartA": HALF, "PartB": HALF}
    policy = _policy(default={"max_drop": 0.02}, parts={"max_drop": 0.04})
    judged = _judge(
        tmp_path, before, after, policy, suite=suite, after_options={"dataset_revision": "part-1"}
    )
    assert _statuses(judged) == {"Both": PASSED, "parts of Both": INCOMPLETE}
    assert judged.verdicts[1].sentence == (
        "the parts of Both cannot be judged: the baseline has their mean alone"
    )
    assert judged.baseline_incomplete


def test_what_is_not_compared_need_not_be_alike(tmp_path: Path) -> None:
    """Parts are compared where both have them; an own score of one side, of before, is not."""
    suite = suite_of({"name": "Both", "parts": ["PartA", "PartB"]})
    parts = {"PartA": HALF, "PartB": HALF}
    write_measured(tmp_path / "before", "org/a", "Both", HALF, dataset_revision="1.0")
    judged = _judge(tmp_path, parts, parts, _policy(default={"max_drop": 0.02}), suite=suite)
    assert _statuses(judged) == {"Both": PASSED}
    assert list(judged.unlike) == []


def test_an_aggregate_is_judged_by_its_parts(tmp_path: Path) -> None:
    """A mean of two, of which one falls by 5 points; and a part that is missing is named."""
    suite = suite_of({"name": "Both", "parts": ["PartA", "PartB"]})
    before = {"PartA": HALF, "PartB": HALF}
    after = {"PartA": HALF, "PartB": lowered(HALF, by=0.5, of=10)}
    policy = _policy(default={"max_drop": 0.02}, parts={"max_drop": 0.04})
    judged = _judge(tmp_path / "a", before, after, policy, suite=suite)
    assert _statuses(judged) == {"Both": FAILED, "PartA test": PASSED, "PartB test": FAILED}
    assert "from 50.00 to 47.50" in judged.verdicts[0].sentence
    judged = _judge(tmp_path / "b", before, {"PartA": HALF}, policy, suite=suite)
    assert _only(judged).sentence.endswith("the candidate lacks PartB test (1 of 2)")


def test_a_task_that_failed_to_run_is_incomplete_with_its_cause(tmp_path: Path) -> None:
    """Whatever result of it there is from before."""
    judged = _judge(
        tmp_path, {"TaskA": HALF}, {"TaskA": HALF}, _policy(default={"max_drop": 0.01}),
        causes={"TaskA": "out of\n  memory"},
    )  # fmt: skip
    assert _only(judged).status is INCOMPLETE
    assert _only(judged).sentence == "running TaskA failed: out of memory"


def test_a_metric_that_a_result_lacks_is_incomplete(tmp_path: Path) -> None:
    """A rule by a metric that nobody measured does not pass."""
    policy = _policy(tasks={"TaskA": {"recall_at_100": {"max_drop": 0.01}}})
    judged = _judge(tmp_path, {"TaskA": HALF}, {"TaskA": HALF}, policy)
    assert (_only(judged).metric, _only(judged).status) == ("recall_at_100", INCOMPLETE)


def test_a_model_that_the_baseline_does_not_have_yet_passes_and_says_so(tmp_path: Path) -> None:
    """That is how a baseline begins; a hole of the candidate is one all the same."""
    suite, policy = suite_of("TaskA", "TaskB"), _policy(default={"max_drop": 0.01})
    write_measured(tmp_path, "org/a", "TaskA", HALF)
    pair = BaselinePair(measured(tmp_path, "org/a", suite), None)
    judged = judge([pair], suite, policy, _command)
    assert _statuses(judged) == {"TaskA": PASSED, "TaskB": INCOMPLETE}
    assert "the baseline does not have the model yet" in judged.verdicts[0].sentence
    assert [each.score for each in judged.verdicts] == [0.5, None]
    assert judged.candidate_incomplete


# Not like for like


def test_results_of_other_data_are_refused_whatever_fell(tmp_path: Path) -> None:
    """Every difference is named, with the option that judges all the same."""
    before = {"TaskA": HALF, "TaskB": HALF}
    after = {name: lowered(HALF, by=0.5, of=50) for name in before}
    options = {"after_options": {"dataset_revision": "data-2"}}
    policy = _policy(default={"max_drop": 0.01})
    with pytest.raises(BadInput) as caught:
        _judge(tmp_path, before, after, policy, **options)
    assert "TaskA test, TaskB test: data set revision data-1 and data-2" in str(caught.value)
    assert "--allow dataset" in str(caught.value)
    for allowed in ("dataset", "all"):
        judged = _judge(tmp_path / allowed, before, after, policy, allowed=[allowed], **options)
        assert list(judged.unlike) == ["org/a"]
        assert any(note.startswith("allowed, though not like for like") for note in judged.notes)
        assert set(_statuses(judged).values()) == {FAILED}


def test_queries_that_one_side_lacks_are_refused(tmp_path: Path) -> None:
    """Even where those that are left have the same mean."""
    with pytest.raises(BadInput, match="of 100 queries, 1 are only in the first"):
        _judge(tmp_path, {"TaskA": HALF}, {"TaskA": HALF[1:]}, _policy(default={"max_drop": 0.5}))


def test_a_task_by_itself_is_refused_for_itself_alone(tmp_path: Path) -> None:
    """Other data of another task do not matter to it."""
    before = {"TaskA": HALF, "TaskB": HALF}
    write_measured(tmp_path / "after", "org/a", "TaskB", HALF, dataset_revision="data-2")
    policy = _policy(default={"max_drop": 0.01})
    suite = suite_of(*before)
    judged = _judge(tmp_path, before, {"TaskA": HALF}, policy, suite=suite, tasks=("TaskA",))
    assert _statuses(judged) == {"TaskA": PASSED}


# Speed


def _ratio(value: float, low: float, high: float) -> Ratio:
    return Ratio(value=value, low=low, high=high, confidence=0.95, n_pairs=3)


def _one_turn(value: float) -> Ratio:
    return Ratio(value=value, low=None, high=None, confidence=0.95, n_pairs=1)


@pytest.mark.parametrize(
    ("ratio", "status", "improved"),
    [
        (_ratio(0.80, 0.75, 0.85), FAILED, False),
        (_ratio(0.85, 0.70, 0.95), PASSED, False),
        (_ratio(0.95, 0.93, 0.97), PASSED, False),
        (_ratio(1.20, 1.10, 1.30), PASSED, True),
        (_ratio(1.20, 0.90, 1.60), PASSED, False),
        (_one_turn(0.85), FAILED, False),
        (_one_turn(0.90), PASSED, False),
    ],
    ids=[
        "clearly slower",
        "not clearly",
        "within the allowance",
        "faster",
        "not clearly faster",
        "one turn",
        "just what is asked for",
    ],
)
def test_a_speed_fails_where_it_is_clearly_below_the_policys_ratio(
    ratio: Ratio, status: Status, improved: bool
) -> None:
    """The ratio asked for is 0.9; clear is an interval that is wholly below it."""
    rule = SpeedRule(min_ratio=0.9)
    verdict = speed_verdict("org/a", "org/b", (ratio, "tokens"), rule, "again")
    assert (verdict.status, verdict.improved, verdict.ratio) == (status, improved, ratio)
    assert (verdict.column, verdict.metric) == ("speed", "tokens/s")


def test_a_ratio_need_not_be_clear_where_the_rule_does_not_ask_for_it() -> None:
    """0.85 of 0.70 to 0.95 is below 0.9."""
    rule = SpeedRule(min_ratio=0.9, significant=False)
    found = _ratio(0.85, 0.70, 0.95), "texts"
    assert speed_verdict("a", "b", found, rule, "again").status is FAILED


def test_a_speed_that_cannot_be_measured_is_incomplete() -> None:
    """It never passes, and says why."""
    verdict = speed_verdict("a", "b", "no such folder", SpeedRule(min_ratio=0.9), "again")
    assert verdict.status is INCOMPLETE
    assert verdict.sentence == "the speed cannot be judged: no such folder"
