"""Whether two models' results are like for like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from granite_bench.comparison.likeness import KINDS, Unlike, unlike
from granite_bench.comparison.measured import Measured, Measurement, Provenance, QueryScores
from granite_bench.tables.scores import Evaluation

E = Evaluation("T", "test", "default", "ndcg_at_10")
MADE = Provenance(
    dataset_revision="r1",
    data_sha256="a" * 64,
    mteb_version="2.26.24",
    max_length=512,
    n_truncated=10,
    prompts={"query": "query: ", "document": ""},
)


def model(
    name: str = "org/a",
    settings: Mapping[str, Any] | None = None,
    ids: Sequence[str] = ("q1", "q2"),
    evaluation: Evaluation = E,
    **made: Any,
) -> Measured:
    """A model with one evaluation; *made* is what differs from MADE."""
    queries = QueryScores(list(ids), np.zeros(len(ids)))
    measurement = Measurement(0.0, replace(MADE, **made), queries)
    return Measured(name, "rev", settings or {}, {evaluation: measurement}, [])


def found(one: Measured, other: Measured) -> list[tuple[str, str]]:
    """Kind and words of every difference."""
    return [(each.kind, each.what) for each in unlike(one, other, [E])]


def test_a_model_is_like_itself() -> None:
    """Nothing differs."""
    assert found(model(), model()) == []


def test_another_revision_of_the_data_is_another_test() -> None:
    """Both revisions are named."""
    other = model("org/b", dataset_revision="r2", data_sha256=None)
    assert found(model(), other) == [("dataset", "data set revision r1 and r2")]


def test_the_same_content_is_the_same_data_whatever_its_revision() -> None:
    """A mirror, say, that was tagged anew."""
    assert found(model(), model("org/b", dataset_revision="r2")) == []


def test_another_content_is_another_test_whatever_its_revision() -> None:
    """A folder of texts that was changed and not renamed."""
    [(kind, what)] = found(model(), model("org/b", data_sha256="b" * 64))
    assert kind == "dataset"
    assert what == "texts or judgements differ (SHA-256 aaaaaaaaaaaa and bbbbbbbbbbbb)"


def test_what_nobody_recorded_is_no_difference() -> None:
    """Results that others made have a revision, and little else."""
    bare = replace(model("org/b"), evaluations={E: Measurement(0.0, Provenance("r1"), None)})
    assert found(model(), bare) == []


@pytest.mark.parametrize(("version", "kinds"), [("2.0.0", []), ("1.14.0", ["mteb"])])
def test_another_major_release_of_mteb_is_a_difference(version: str, kinds: list[str]) -> None:
    """And a minor one is none."""
    assert [kind for kind, _ in found(model(), model("org/b", mteb_version=version))] == kinds


def test_two_models_may_have_their_own_maximum_lengths() -> None:
    """What a model is, differs."""
    assert found(model(), model("org/b", max_length=256)) == []


def test_a_length_that_somebody_chose_is_a_difference() -> None:
    """The number of texts that were cut is the shorter one's."""
    other = model("org/b (max_length=256)", {"max_length": 256}, max_length=256, n_truncated=40)
    what = "texts cut to 512 and 256 tokens, which cut 40 of them in one of the two"
    assert found(model(), other) == [("max_length", what)]
    assert found(other, model())[0][0] == "max_length"


def test_a_length_that_cut_nothing_is_no_difference() -> None:
    """The shorter one read every text whole."""
    other = model("org/a (max_length=256)", {"max_length": 256}, max_length=256, n_truncated=0)
    assert found(model(), other) == []


def test_one_model_at_two_lengths_is_a_difference_without_a_setting() -> None:
    """A checkpoint whose configuration was changed."""
    assert [kind for kind, _ in found(model(), model(max_length=256))] == ["max_length"]


def test_two_models_may_have_their_own_prompts() -> None:
    """What their cards ask for."""
    assert found(model(), model("org/b", prompts={"query": "search: ", "document": ""})) == []


def test_a_prompt_that_somebody_chose_is_a_difference() -> None:
    """Both are quoted; no prompt and an empty one are the same."""
    settings = {"prompt_query": "q: "}
    other = model("org/b (prompt_query=q: )", settings, prompts={"query": "q: ", "document": None})
    assert found(model(), other) == [("prompts", "prompts differ: query 'query: ' and 'q: '")]


def test_rerankers_behind_other_candidates_are_a_difference() -> None:
    """Where both say what they got."""
    one, other = (model(name, candidates_sha256=name) for name in ("a", "b"))
    assert [kind for kind, _ in found(one, other)] == ["candidates"]
    assert found(one, model("b")) == []


def test_queries_that_one_alone_has_are_counted() -> None:
    """Of three, one is only in each."""
    what = "of 3 queries, 1 are only in the first and 1 only in the second"
    assert found(model(), model("org/b", ids=["q2", "q3"])) == [("queries", what)]


def test_evaluations_that_differ_alike_are_said_once() -> None:
    """Three are named, and how many more there are."""
    evaluations = [Evaluation(f"T{number}", "test", "default", "ndcg_at_10") for number in range(5)]
    one, other = (
        replace(
            model(revision),
            evaluations={
                each: Measurement(0.0, Provenance(dataset_revision=revision), None)
                for each in evaluations
            },
        )
        for revision in ("r1", "r2")
    )
    [difference] = unlike(one, other, evaluations)
    said = "T0 test, T1 test, T2 test and 2 more: data set revision r1 and r2"
    assert str(difference) == said


def test_an_evaluation_is_named_once_whatever_metrics_it_is_scored_by() -> None:
    """Two metrics of one task are one place where the data differ."""
    by_recall = replace(E, metric="recall_at_100")
    one, other = (
        replace(
            model(),
            evaluations={
                each: Measurement(0.0, Provenance(revision), None) for each in (E, by_recall)
            },
        )
        for revision in ("r1", "r2")
    )
    [difference] = unlike(one, other, [E, by_recall])
    assert difference.labels == ("T test",)


def test_what_one_lacks_is_not_compared() -> None:
    """That is missing, and no difference."""
    other = model("org/b", evaluation=replace(E, task="U"), dataset_revision="r2")
    assert unlike(model(), other, [E, replace(E, task="U")]) == []


def test_every_kind_that_is_found_is_described() -> None:
    """Those of the rules, and queries."""
    other = model(
        "org/a", ids=["q9"], dataset_revision="r2", data_sha256="b" * 64, mteb_version="1.0",
        max_length=64, prompts={}, candidates_sha256="b",
    )  # fmt: skip
    differences: list[Unlike] = unlike(model(candidates_sha256="a"), other, [E])
    assert {each.kind for each in differences} == set(KINDS)
