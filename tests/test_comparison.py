"""Two models over one suite: every difference worked by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from results_tree import suite_of

from granite_bench.comparison.differences import (
    ALPHA,
    N_PERMUTATIONS,
    Comparison,
    Difference,
    compare_scores,
)
from granite_bench.comparison.measured import Measured, Measurement, Provenance, QueryScores
from granite_bench.stats.significance import Tally
from granite_bench.suite.suite import Suite
from granite_bench.tables.scores import Evaluation

Scores = Mapping[Evaluation, Sequence[float] | float]
"""Of each query, or of the evaluation alone."""


def of(task: str, subset: str = "default", split: str = "test") -> Evaluation:
    """An evaluation."""
    return Evaluation(task, split, subset, "ndcg_at_10")


def model(
    scores: Scores, *, name: str = "org/a", ids: Mapping[Evaluation, Sequence[str]] | None = None
) -> Measured:
    """A model; ids of queries are by evaluation where they are not named."""
    measured = {}
    for evaluation, found in scores.items():
        if isinstance(found, float):
            measured[evaluation] = Measurement(found, Provenance(), None)
            continue
        named = (ids or {}).get(evaluation) or [
            f"{evaluation.subset}-{number}" for number in range(len(found))
        ]
        queries = QueryScores(list(named), np.array(found, dtype=np.float64))
        measured[evaluation] = Measurement(float(np.mean(found)), Provenance(), queries)
    return Measured(name, "rev", {}, measured, [])


def compared(one: Scores, other: Scores, suite: Suite, **ids: Any) -> Comparison:
    """The second less the first."""
    return compare_scores(model(one, **ids), model(other, name="org/b", **ids), suite)


def average(found: Comparison) -> Difference:
    """Of a comparison that has one."""
    assert found.average is not None
    return found.average


T, U = of("T"), of("U")


def test_the_difference_is_the_second_less_the_first() -> None:
    """0.5 to 0.75; of four queries two are better, one level, one worse."""
    one, other = {T: [0.0, 0.5, 1.0, 0.5]}, {T: [1.0, 1.0, 1.0, 0.0]}
    found = average(compared(one, other, suite_of("T")))
    assert (found.one, found.other, found.change) == (0.5, 0.75, 0.25)
    assert (found.tally, found.n_queries) == (Tally(2, 1, 1), 4)


def test_the_confidence_of_an_interval_is_one_less_the_level() -> None:
    """95%, and its ends are those."""
    found = average(compared({T: [0.0, 0.0, 0.0]}, {T: [0.0, 0.0, 1.0]}, suite_of("T")))
    assert found.interval is not None
    assert found.interval.confidence == pytest.approx(1 - ALPHA)
    # 8, 12, 6 and 1 of 27 samples have 0, 1, 2 and 3 ones: quantiles 0.025 and 0.975.
    assert (found.interval.low, found.interval.high) == pytest.approx((0.0, 1.0))


def test_small_samples_are_tested_exactly() -> None:
    """Five gains of the same size: 2 of 32 ways to flip their signs are as far from zero."""
    found = average(compared({T: [0.0] * 5}, {T: [0.5] * 5}, suite_of("T")))
    assert found.p == 2 / 32


def test_a_model_does_not_differ_from_itself() -> None:
    """No difference, an interval that is zero, p of 1, nothing significant, ties alone."""
    scores = {T: [0.0, 0.5, 1.0], U: [0.25, 0.5, 0.75]}
    found = compared(scores, scores, suite_of("T", "U"))
    for each in (average(found), *found.tasks):
        assert each.interval is not None
        assert (each.change, each.interval.low, each.interval.high, each.p) == (0, 0, 0, 1)
        assert not each.is_significant
        assert each.effect_size is None
    assert average(found).tally == Tally(0, 6, 0)


def test_turning_the_two_around_turns_every_sign_around() -> None:
    """Intervals mirror, p stays."""
    rng = np.random.default_rng(5)
    one, other = ({T: rng.random(50).tolist()} for _ in range(2))
    ahead, back = (average(compared(a, b, suite_of("T"))) for a, b in ((one, other), (other, one)))
    assert ahead.interval is not None
    assert back.interval is not None
    assert ahead.change == pytest.approx(-back.change)
    assert ahead.interval.low == pytest.approx(-back.interval.high)
    assert ahead.p == back.p


def test_the_same_results_give_the_same_figures() -> None:
    """Nothing depends on a clock or on what was compared before."""
    rng = np.random.default_rng(5)
    one, other = ({T: rng.random(50).tolist()} for _ in range(2))
    suite = suite_of("T")
    assert average(compared(one, other, suite)) == average(compared(one, other, suite))


def test_tasks_count_alike_however_many_queries_they_have() -> None:
    """0.5 on one query more, 0 on four others: the mean over tasks is 0.25, not 0.1."""
    one, other = {T: [0.0, 0.0], U: [0.5] * 8}, {T: [0.5, 0.5], U: [0.5] * 8}
    found = compared(one, other, suite_of("T", "U"))
    assert average(found).change == 0.25
    assert [each.change for each in found.tasks] == [0.5, 0.0]


def test_p_values_of_tasks_are_corrected_together() -> None:
    """2 / 64 of six gains becomes twice that beside another task, whose own p is 1."""
    one, other = {T: [0.0] * 6, U: [0.5] * 4}, {T: [0.5] * 6, U: [0.5] * 4}
    found = compared(one, other, suite_of("T", "U"))
    first, second = found.tasks
    assert (first.p, first.p_holm) == (2 / 64, 4 / 64)
    assert (second.p, second.p_holm) == (1, 1)
    assert first.p < ALPHA  # type: ignore[operator]
    assert not first.is_significant
    assert average(found).p_holm == average(found).p


def test_the_average_over_groups_is_the_mean_of_their_means() -> None:
    """Group x has two tasks with gains 0.2 and 0.4, group y one with 0.9: (0.3 + 0.9) / 2."""
    groups = {"average": "groups", "groups": [{"by": "kind", "from": "group"}]}
    tasks = [{"name": name, "group": group} for name, group in zip("ABC", "xxy", strict=True)]
    one = {of(name): [0.0, 0.0] for name in "ABC"}
    other = {of("A"): [0.2, 0.2], of("B"): [0.4, 0.4], of("C"): [0.9, 0.9]}
    found = compared(one, other, suite_of(*tasks, **groups))
    assert average(found).change == pytest.approx(0.6)
    assert [(each.column, round(each.change, 9)) for each in found.groups["kind"]] == [
        ("x", 0.3),
        ("y", 0.9),
    ]


def test_parts_of_a_task_stand_apart() -> None:
    """Two languages, one better and one worse, which the task's mean hides."""
    task = {"name": "T", "subsets": ["de", "en"]}
    de, en = of("T", "de"), of("T", "en")
    found = compared({de: [0.5] * 8, en: [0.5] * 8}, {de: [0.0] * 8, en: [1.0] * 8}, suite_of(task))
    assert average(found).change == 0
    assert [(each.column, each.change, each.is_significant) for each in found.parts] == [
        ("T[de] test", -0.5, True),
        ("T[en] test", 0.5, True),
    ]


def test_nothing_is_averaged_over_holes() -> None:
    """A task that one lacks has no row, and the suite no average."""
    found = compared({T: [0.5, 0.5], U: [0.5, 0.5]}, {T: [0.5, 1.0]}, suite_of("T", "U"))
    assert found.average is None
    assert found.over_units is None
    assert [each.column for each in found.tasks] == ["T"]


def test_without_rows_per_query_there_is_a_difference_and_no_test() -> None:
    """On either side."""
    for one, other in (({T: 0.5}, {T: [0.5, 1.0]}), ({T: [0.5, 0.5]}, {T: 0.75})):
        found = average(compared(one, other, suite_of("T")))
        assert found.change == 0.25
        assert (found.p, found.interval, found.tally, found.n_queries) == (None, None, None, 0)
        assert not found.is_significant


def test_one_task_without_rows_leaves_the_average_untested() -> None:
    """And the other task is tested."""
    one: Scores = {T: [0.0] * 8, U: 0.5}
    other: Scores = {T: [1.0] * 8, U: 0.5}
    found = compared(one, other, suite_of("T", "U"))
    assert average(found).p is None
    assert [each.p is None for each in found.tasks] == [False, True]
    assert found.tasks[0].p_holm == found.tasks[0].p


def test_a_single_query_is_tested_and_has_no_interval() -> None:
    """There is nothing to resample."""
    found = average(compared({T: [0.0]}, {T: [1.0]}, suite_of("T")))
    assert (found.p, found.tally) == (1.0, Tally(1, 0, 0))
    assert (found.interval, found.effect_size, found.detectable) == (None, None, None)


def test_queries_that_one_lacks_are_left_out_of_the_scores_too() -> None:
    """Over q1 and q2 alone: 0.5 to 0.75, whatever q0 and q3 are."""
    suite = suite_of("T")
    one = model({T: [1.0, 0.5, 0.5]}, ids={T: ["q0", "q1", "q2"]})
    other = model({T: [0.5, 1.0, 0.0]}, ids={T: ["q1", "q2", "q3"]})
    found = compare_scores(one, other, suite)
    assert (average(found).one, average(found).other) == (0.5, 0.75)
    assert average(found).n_queries == 2
    assert [each.kind for each in found.unlike] == ["queries"]


def test_queries_are_paired_by_their_ids_whatever_their_order() -> None:
    """By place, two of three queries would differ, by 1 and -1."""
    one = model({T: [0.0, 0.5, 1.0]}, ids={T: ["a", "b", "c"]})
    other = model({T: [1.0, 0.5, 0.0]}, ids={T: ["c", "b", "a"]})
    found = average(compare_scores(one, other, suite_of("T")))
    assert (found.tally, found.p) == (Tally(0, 3, 0), 1)


def test_without_a_common_query_nothing_is_tested() -> None:
    """The scores are still those of the results."""
    one = model({T: [0.0, 0.5]}, ids={T: ["a", "b"]})
    other = model({T: [0.5, 0.5]}, ids={T: ["c", "d"]})
    found = average(compare_scores(one, other, suite_of("T")))
    assert (found.one, found.other, found.p) == (0.25, 0.5, None)


WHOLE = {"name": "Whole", "parts": ["P", "R"]}


def test_an_aggregate_is_compared_by_the_queries_of_its_parts() -> None:
    """Its own result has none."""
    one: Scores = {of("P"): [0.0] * 4, of("R"): [0.5] * 4, of("Whole"): 0.25}
    other: Scores = {of("P"): [0.5] * 4, of("R"): [0.5] * 4, of("Whole"): 0.5}
    found = compared(one, other, suite_of(WHOLE))
    assert found.tasks[0].n_queries == 8
    assert average(found).change == 0.25
    assert [each.column for each in found.parts] == ["P test", "R test"]


@pytest.mark.parametrize("by_group", [False, True])
def test_an_aggregate_is_compared_by_its_own_score_where_a_part_is_missing(by_group: bool) -> None:
    """As the public results of a model have it; the suite's average then is there too."""
    one: Scores = {of("P"): [0.0] * 4, of("R"): [0.5] * 4, of("Whole"): 0.25, T: [0.5] * 4}
    other: Scores = {of("Whole"): 0.5, T: [0.5] * 4}
    groups: dict[str, Any] = {"average": "groups", "groups": [{"by": "kind", "from": "group"}]}
    tasks: list[dict[str, Any]] = [{**WHOLE, "group": "x"}, {"name": "T", "group": "y"}]
    found = compared(one, other, suite_of(*tasks, **(groups if by_group else {})))
    assert average(found).change == 0.125
    assert [each.change for each in found.tasks] == [0.25, 0.0]


def test_over_units_is_wider_where_tasks_disagree() -> None:
    """Five tasks with gains from -0.2 to 0.6: on these tasks sure, on others not."""
    names = "ABCDE"
    one = {of(name): [0.3] * 50 for name in names}
    gains = dict(zip(names, (-0.2, 0.0, 0.2, 0.4, 0.6), strict=True))
    other = {of(name): [0.3 + gain] * 50 for name, gain in gains.items()}
    found = compared(one, other, suite_of(*names))
    assert average(found).interval is not None
    assert average(found).interval.excludes_zero  # type: ignore[union-attr]
    assert found.over_units is not None
    assert found.over_units.low < 0.0 < 0.4 < found.over_units.high


def test_over_units_needs_five_units() -> None:
    """Of a few tasks, too little is known of others."""
    for names in ("A", "ABCD"):
        one, other = ({of(name): [score] * 4 for name in names} for score in (0.0, 0.5))
        assert compared(one, other, suite_of(*names)).over_units is None


def test_translations_of_a_query_are_drawn_together() -> None:
    """The same questions in two languages, with the same gains, tell what they tell in one."""
    rng = np.random.default_rng(1)
    gains = (rng.random(200) - 0.4).tolist()
    ids = {of("T", lang): [f"q{number}" for number in range(200)] for lang in ("de", "en")}
    both = suite_of({"name": "T", "subsets": ["de", "en"]})
    alone = suite_of({"name": "T", "subsets": ["de"]})
    of_two, of_one = (
        average(
            compared(
                {each: [0.0] * 200 for each in evaluations},
                dict.fromkeys(evaluations, gains),
                suite,
                ids=ids,
            )
        )
        for suite, evaluations in ((both, list(ids)), (alone, list(ids)[:1]))
    )
    assert of_two.interval is not None
    assert of_one.interval is not None
    assert of_two.interval.low == pytest.approx(of_one.interval.low)
    assert of_two.p == of_one.p
    assert of_two.detectable == pytest.approx(of_one.detectable)
    assert (of_two.n_queries, of_one.n_queries) == (400, 200)


def test_translations_of_a_query_weigh_what_they_weigh_together() -> None:
    """
    Three questions gain 0.1 in two of three languages, three others lose it in the third.

    As 2, 2, 2, -1, -1, -1 the sum is 3. With 6 or -6 of the first (1 world in 4) every world
    reaches it, with 2 or -2 half of them do: 1/4 + 3/4 x 1/2.
    """
    de, en, fr = (of("T", language) for language in ("de", "en", "fr"))
    ids = {de: ["a", "b", "c"], en: ["a", "b", "c"], fr: ["d", "e", "f"]}
    one: Scores = {de: [0.0] * 3, en: [0.0] * 3, fr: [0.1] * 3}
    other: Scores = {de: [0.1] * 3, en: [0.1] * 3, fr: [0.0] * 3}
    suite = suite_of({"name": "T", "subsets": ["de", "en", "fr"]})
    assert average(compared(one, other, suite, ids=ids)).p == 5 / 8


def test_other_queries_in_two_languages_are_drawn_apart() -> None:
    """Twice as many queries are surer, by about the square root of two."""
    rng = np.random.default_rng(1)
    de, en = of("T", "de"), of("T", "en")
    gains = {each: (rng.random(400) - 0.5).tolist() for each in (de, en)}
    zeros = {each: [0.0] * 400 for each in (de, en)}
    task = {"name": "T", "subsets": ["de", "en"]}
    whole = average(compared(zeros, gains, suite_of(task)))
    part = average(
        compared({de: zeros[de]}, {de: gains[de]}, suite_of({**task, "subsets": ["de"]}))
    )
    assert whole.interval is not None
    assert part.interval is not None
    ratio = (part.interval.high - part.interval.low) / (whole.interval.high - whole.interval.low)
    assert ratio == pytest.approx(2**0.5, rel=0.1)


def test_a_shift_of_every_query_is_as_sure_as_it_can_be() -> None:
    """Drawn worlds: the one seen alone is as far from zero."""
    found = average(compared({T: [0.2] * 100}, {T: [0.3] * 100}, suite_of("T")))
    assert found.p == pytest.approx(1 / (N_PERMUTATIONS + 1))
    assert found.is_significant
