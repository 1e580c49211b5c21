"""Scores from a run's arrays are mteb's scores of its dictionaries, to the last digit."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Iterator
from itertools import product
from math import log2
from types import SimpleNamespace
from typing import Any

import mteb
import mteb.mocks.mock_tasks as mocks
import numpy as np
import pytest
from mteb._evaluators import retrieval_metrics
from mteb._evaluators.retrieval_evaluator import RetrievalEvaluator
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.models import ModelMeta
from mteb.types import RetrievalEvaluationResult

from granite_bench.engine import scoring
from granite_bench.engine.scoring import (
    needs_dictionaries,
    retrieval_scores,
    scored_over_arrays,
)
from granite_bench.engine.search.run import Documents, Run

Qrels = dict[str, dict[str, int]]
Random = np.random.Generator

THEIRS = RetrievalEvaluator.evaluate
CUTOFFS = [1, 3, 5, 10, 20, 100, 1000]


def run_of(rankings: dict[str, dict[str, float]], ids: list[str]) -> Run:
    """The rankings in trec_eval's order, over a corpus of *ids*."""
    number = {doc_id: place for place, doc_id in enumerate(ids)}
    depth = max(map(len, rankings.values()), default=0)
    docs = np.full((len(rankings), depth), -1, dtype=np.int32)
    scores = np.full((len(rankings), depth), np.nan, dtype=np.float32)  # undefined: see Run
    for row, ranking in enumerate(rankings.values()):
        ranked = sorted(ranking.items(), key=lambda hit: (hit[1], hit[0]), reverse=True)
        docs[row, : len(ranked)] = [number[doc_id] for doc_id, _ in ranked]
        scores[row, : len(ranked)] = [score for _, score in ranked]
    return Run(list(rankings), Documents(ids), docs, scores)


def mteb_scores(
    run: Run, qrels: Qrels, k_values: list[int], **options: bool
) -> RetrievalEvaluationResult:
    """mteb's own, of dictionaries."""
    return THEIRS(None, qrels, dict(run), k_values, **options)  # type: ignore[arg-type]


def assert_equal(ours: RetrievalEvaluationResult, theirs: RetrievalEvaluationResult) -> None:
    """Every field, every name in its order, every number to the last digit; NaN is NaN."""
    assert list(ours.all_scores) == list(theirs.all_scores)
    for query_id, measures in theirs.all_scores.items():
        assert list(ours.all_scores[query_id]) == list(measures)
        assert ours.all_scores[query_id] == measures, query_id
    for field in RetrievalEvaluationResult._fields[1:]:
        expected = getattr(theirs, field)
        assert list(getattr(ours, field)) == list(expected)
        for name, value in getattr(ours, field).items():
            assert value == expected[name] or (math.isnan(value) and math.isnan(expected[name])), (
                f"{name}: {value} is not {expected[name]}"
            )


SCORES = {
    "tied": lambda random, count: random.integers(0, 3, count) / 4,
    "constant": lambda random, count: np.full(count, 0.1),
    "cosine": lambda random, count: random.uniform(-1, 1, count),
    "whole numbers": lambda random, count: random.integers(-40, 40, count),
    "huge": lambda random, count: random.normal(size=count) * 1e30,
    "tiny": lambda random, count: random.integers(-3, 3, count) * 1e-42,
    "close": lambda random, count: 1 + random.integers(0, 4, count) * 2.0**-23,
}

IDS = {
    "numbers": lambda count: [str(number) for number in range(count)],
    "prefixes": lambda count: ["d" * (number % 7 + 1) + str(number) for number in range(count)],
    "scripts": lambda count: [f"{'aéßЖ茶🍵~Z'[number % 8]}-{number}" for number in range(count)],
    "queries": lambda count: [f"q{number}" for number in range(count)],
}


def any_case(random: Random, scores: str, ids: str) -> tuple[Run, Qrels]:
    """A small run and its judgements; what a case has is thrown anew each time."""
    n_docs = int(random.choice([1, 2, 7, 40, 150]))
    n_queries = int(random.choice([1, 2, 3, 9, 30]))
    corpus = IDS[ids](n_docs)
    corpus = [corpus[place] for place in random.permutation(n_docs)]
    depth = int(random.integers(1, n_docs + 1))
    rankings, qrels = {}, {}
    for query_id in (f"q{number}" for number in range(n_queries)):
        length = depth if random.random() < 0.5 else int(random.integers(0, depth + 1))
        found = random.choice(n_docs, length, replace=False)
        values = np.asarray(SCORES[scores](random, length), dtype=np.float32).tolist()
        rankings[query_id] = {corpus[d]: v for d, v in zip(found, values, strict=True)}
        known = [*corpus, "elsewhere", "nowhere"]
        judged = random.choice(len(known), int(random.integers(1, len(known) + 1)), replace=False)
        lowest, highest = random.choice([(0, 1), (-1, 2), (0, 4), (1, 2), (0, 30)])
        qrels[query_id] = {known[doc]: int(random.integers(lowest, highest)) for doc in judged[:30]}
        # A query all of whose judgements are negative makes trec_eval read stray memory.
        qrels[query_id]["judged"] = int(random.integers(0, 2))
    qrels["not asked"] = {corpus[0]: 1}
    return run_of(rankings, corpus), qrels


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("scores", SCORES)
def test_scores_are_mtebs_scores(scores: str, ids: str) -> None:
    """Grades, ties, short and empty rankings, documents outside the corpus; 12 cases each."""
    random = np.random.default_rng([list(SCORES).index(scores), list(IDS).index(ids)])
    for ignore, skip, _ in product((False, True), (False, True), range(3)):
        run, qrels = any_case(random, scores, ids)
        options = {"ignore_identical_ids": ignore, "skip_first_result": skip}
        k_values = [CUTOFFS, [10], [1, 2, 3, 7], [20, 1, 5]][int(random.integers(4))]
        ours = retrieval_scores(run, qrels, k_values, **options)
        assert_equal(ours, mteb_scores(run, qrels, k_values, **options))


@pytest.mark.parametrize("depth", [999, 1000])
def test_long_rankings_have_mtebs_scores(depth: int) -> None:
    """Many scores per query: NumPy adds them in pairs, and so the same pairs must be added."""
    random = np.random.default_rng(depth)
    n_docs = 3000
    ids = [f"d{number}" for number in range(n_docs)]
    docs = np.stack([random.choice(n_docs, depth, replace=False) for _ in range(120)])
    scores = -np.sort(-random.normal(0.4, 0.1, docs.shape).astype(np.float32), axis=1)
    run = Run([f"q{row}" for row in range(120)], Documents(ids), docs.astype(np.int32), scores)
    qrels = {
        query_id: {ids[doc]: int(random.integers(0, 4)) for doc in random.choice(n_docs, 200)}
        for query_id in run
    }
    assert_equal(retrieval_scores(run, qrels, CUTOFFS), mteb_scores(run, qrels, CUTOFFS))


def test_more_queries_than_a_block_have_mtebs_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Confidences are computed a block of queries at a time."""
    monkeypatch.setattr(scoring, "QUERIES_PER_BLOCK", 4)
    random = np.random.default_rng(5)
    for _ in range(10):
        run, qrels = any_case(random, "cosine", "queries")
        options = {"ignore_identical_ids": True, "skip_first_result": True}
        ours = retrieval_scores(run, qrels, [1, 10], **options)
        assert_equal(ours, mteb_scores(run, qrels, [1, 10], **options))


def test_a_case_worked_by_hand() -> None:
    """
    Ranks: 1 c (grade 1), 2 x, 3 a (grade 3), 4 z (negative); b (grade 2) is in no corpus.

    Three are relevant. nDCG: grades over log2(rank + 1), against 3, 2, 1 at ranks 1, 2, 3.
    """
    run = run_of({"q": {"x": 0.8, "a": 0.5, "c": 0.9, "z": 0.5 / 2}}, ["a", "c", "x", "z", "y"])
    qrels = {"q": {"a": 3, "b": 2, "c": 1, "z": -1, "y": 0}}
    scores = retrieval_scores(run, qrels, [1, 3, 10])
    [measures] = scores.all_scores.values()
    best = 3 + 2 / log2(3) + 1 / 2
    expected = {
        "P_1": 1, "P_3": 2 / 3, "P_10": 2 / 10,
        "recall_1": 1 / 3, "recall_3": 2 / 3, "recall_10": 2 / 3,
        "ndcg_cut_1": 1 / 3, "ndcg_cut_3": (1 + 3 / 2) / best, "ndcg_cut_10": (1 + 3 / 2) / best,
        "map_cut_1": 1 / 3, "map_cut_3": (1 + 2 / 3) / 3, "map_cut_10": (1 + 2 / 3) / 3,
        "success_1": 1, "success_3": 1, "success_10": 1,
    }  # fmt: skip
    assert measures == pytest.approx(expected, abs=1e-15)
    assert scores.mrr == {"MRR@1": 1, "MRR@3": 1, "MRR@10": 1}
    assert scores.ndcg["NDCG@10"] == round((1 + 3 / 2) / best, 5)
    assert scores.hit_rate == {"HitRate@1": 1, "HitRate@3": 1, "HitRate@10": 1}


def test_a_case_with_documents_taken_away_is_worked_by_hand() -> None:
    """
    The ranking is self, d2, d10, d1 by tied scores: ids descend, d2 before d10 before d1.

    Without itself and without the first, d2, the relevant d1 is second of two: MRR 1/2, and
    nDCG 1 / log2(3) over 1 + 1 / log2(3), for itself counts among the two relevant ones.
    """
    run = run_of(
        {"self": {"self": 1.0, "d1": 0.5, "d2": 0.5, "d10": 0.5}}, ["d1", "d2", "d10", "self"]
    )
    qrels = {"self": {"d1": 1, "self": 1}}
    options = {"ignore_identical_ids": True, "skip_first_result": True}
    scores = retrieval_scores(run, qrels, [1, 2], **options)
    assert scores.mrr == {"MRR@1": 0, "MRR@2": 1 / 2}
    assert scores.recall == {"Recall@1": 0, "Recall@2": 1 / 2}
    assert scores.precision == {"P@1": 0, "P@2": 1 / 2}
    [measures] = scores.all_scores.values()
    assert measures["ndcg_cut_2"] == pytest.approx(1 / log2(3) / (1 + 1 / log2(3)))
    assert_equal(scores, mteb_scores(run, qrels, [1, 2], **options))
    assert list(run["self"]) == ["self", "d2", "d10", "d1"]  # and the run is as it was


def test_a_query_with_negative_judgements_alone_scores_zero() -> None:
    """trec_eval's answer depends on the query before it, or the process ends."""
    run = run_of({"q": {"a": 1.0}}, ["a"])
    scores = retrieval_scores(run, {"q": {"a": -1}}, [1])
    assert set(scores.all_scores["q"].values()) == {0.0}


@pytest.mark.parametrize(
    ("rankings", "qrels", "k_values"),
    [
        ({}, {"q": {"a": 1}}, [1]),
        ({"q": {"a": 1.0}, "other": {"a": 1.0}}, {"q": {"a": 1}}, [1]),
        ({"q": {"a": 1.0}, "other": {"a": 1.0}}, {"q": {"a": 1}, "other": {}}, [1]),
        ({"q": {"a": 1.0}}, {"q": {"a": 0.5}}, [1]),
        ({"q": {"a": 1.0}}, {"q": {"a": 1}}, []),
    ],
    ids=["no query", "not judged", "empty judgements", "half a grade", "no cut-off"],
)
def test_what_mteb_refuses_is_refused_as_mteb_does(
    rankings: dict[str, dict[str, float]], qrels: Any, k_values: list[int]
) -> None:
    """The same exception."""
    run = run_of(rankings, ["a"])
    with pytest.raises(Exception) as theirs:  # noqa: PT011 (which one is what is asked)
        mteb_scores(run, qrels, k_values)
    with pytest.raises(theirs.type):
        retrieval_scores(run, qrels, k_values)


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinite_scores_have_mtebs_scores(value: float) -> None:
    """They are left to mteb."""
    run = run_of({"q": {"a": value, "b": 0.5}, "r": {"a": 1.0}}, ["a", "b"])
    qrels = {"q": {"a": 1}, "r": {"b": 1}}
    with np.errstate(invalid="ignore"):
        assert_equal(retrieval_scores(run, qrels, [1, 3]), mteb_scores(run, qrels, [1, 3]))


class Shelf:
    """A search model of no learning: scores are the lengths of texts, modulo a few."""

    mteb_model_meta = ModelMeta.create_empty({"name": "tests/shelf", "revision": "1"})

    def __init__(self, *, arrays: bool) -> None:
        self.arrays = arrays

    def index(self, corpus: Any, **kwargs: Any) -> None:
        """Keep the corpus."""
        self.ids, self.texts = list(corpus["id"]), list(corpus["text"])

    def search(self, queries: Any, *, top_k: int, top_ranked: Any = None, **kwargs: Any) -> Any:
        """Rank all of it, or the candidates."""
        rankings = {}
        for query_id in queries["id"]:
            candidates = self.ids if top_ranked is None else top_ranked[query_id]
            lengths = {d: len(t) for d, t in zip(self.ids, self.texts, strict=True)}
            rankings[query_id] = {
                doc_id: float((lengths[doc_id] + len(query_id)) % 3) for doc_id in candidates
            }
        run = run_of(rankings, self.ids)
        return run if self.arrays else dict(run)


def task_scores(name: str, *, arrays: bool) -> Any:
    """What mteb.evaluate writes of a mock task."""
    task = getattr(mocks, name)()
    result = mteb.evaluate(
        Shelf(arrays=arrays), task, cache=None, co2_tracker=False, show_progress_bar=False
    )
    return result.task_results[0].scores


@pytest.mark.parametrize(
    "name", ["MockRetrievalTask", "MockMultilingualRetrievalTask", "MockRerankingTask"]
)
def test_mteb_evaluate_gives_the_same_result_over_arrays(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way through mteb, splits and subsets and all; dictionaries pass as before."""
    calls = []

    def counted(*args: Any, **kwargs: Any) -> RetrievalEvaluationResult:
        calls.append(args)
        return retrieval_scores(*args, **kwargs)

    monkeypatch.setattr(scoring, "retrieval_scores", counted)
    expected = task_scores(name, arrays=False)
    with scored_over_arrays():
        calls.clear()  # the comparison with this mteb
        assert repr(task_scores(name, arrays=False)) == repr(expected)
        assert not calls
        assert repr(task_scores(name, arrays=True)) == repr(expected)
    assert calls


@pytest.fixture(autouse=True)
def mteb_as_it_was() -> Iterator[None]:
    """No test leaves anything in mteb's place."""
    scoring.mteb_is_as_known.cache_clear()
    yield
    scoring.mteb_is_as_known.cache_clear()
    assert RetrievalEvaluator.evaluate is THEIRS


def test_mtebs_function_returns_after_an_exception_and_after_the_outermost_block() -> None:
    """Nested blocks are one."""
    with pytest.raises(ZeroDivisionError), scored_over_arrays():
        raise ZeroDivisionError
    assert RetrievalEvaluator.evaluate is THEIRS
    with scored_over_arrays():
        ours = RetrievalEvaluator.evaluate
        assert ours is not THEIRS
        with scored_over_arrays():
            assert RetrievalEvaluator.evaluate is ours
        assert RetrievalEvaluator.evaluate is ours
    assert RetrievalEvaluator.evaluate is THEIRS


def test_this_mteb_is_as_known() -> None:
    """
    Fails when an upgrade changes names, parameters or meaning; nothing else would be noticed.

    If it fails: runs are scored by mteb's own code until engine/scoring.py is brought up to date.
    """
    parameters = list(inspect.signature(RetrievalEvaluator.evaluate).parameters)
    assert parameters == list(scoring.SIGNATURE)
    assert list(inspect.signature(AbsTaskRetrieval.task_specific_scores).parameters) == [
        "self", "scores", "qrels", "results", "hf_split", "hf_subset",
    ]  # fmt: skip
    assert list(inspect.signature(retrieval_metrics.parse_metrics_from_scores).parameters) == [
        "scores", "k_values",
    ]  # fmt: skip
    assert scoring._difference_to_mteb() == ""


def test_the_small_case_of_the_comparison_is_worth_comparing() -> None:
    """It has what scores depend on: no nAUC in it is NaN, no measure is the same everywhere."""
    run, qrels = scoring._small_case()
    result = mteb_scores(run, qrels, [1, 3, 10])
    assert not any(math.isnan(value) for value in result.naucs.values())
    assert min(map(len, run.values())) == 0
    assert any(query_id in ranking for query_id, ranking in run.items())
    assert any(len(set(ranking.values())) < len(ranking) for ranking in run.values())


def other_mrr(qrels: Any, results: Any, k_values: Any) -> dict[str, list[float]]:
    """As a later mteb might define it."""
    return {f"MRR@{k}": [0.5] * len(results) for k in k_values}


def other_evaluate(self: Any, qrels: Any, results: Any, k_values: Any, cap: int = 0) -> None:
    """As a later mteb might have it."""


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (retrieval_metrics, "mrr", other_mrr),
        (retrieval_metrics, "parse_metrics_from_scores", None),
        (RetrievalEvaluator, "evaluate", other_evaluate),
    ],
)
def test_another_mteb_is_left_alone(
    place: Any,
    name: str,
    value: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is replaced, dictionaries are asked for, and the log says so once."""
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(place, name, value)
        theirs = RetrievalEvaluator.evaluate
        for _ in range(2):
            with scored_over_arrays():
                assert RetrievalEvaluator.evaluate is theirs
        assert needs_dictionaries(mocks.MockRetrievalTask())
    [record] = caplog.records
    assert "scored by its own" in record.message


def test_tasks_with_scoring_of_their_own_get_dictionaries() -> None:
    """They may read and change them; and so get all that are not retrieval tasks."""
    assert not needs_dictionaries(mocks.MockRetrievalTask())
    assert not needs_dictionaries(mocks.MockRerankingTask())
    assert needs_dictionaries(mocks.MockSTSTask())
    assert needs_dictionaries(mteb.get_task("NevIR"))
    assert needs_dictionaries(mteb.get_task("Core17InstructionRetrieval"))
    task = mocks.MockRetrievalTask()
    task.task_specific_scores = lambda *args, **kwargs: {}  # type: ignore[method-assign]
    assert needs_dictionaries(task)
    assert needs_dictionaries(SimpleNamespace())
