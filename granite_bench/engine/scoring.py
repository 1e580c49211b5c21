"""
mteb's retrieval scores from a run's arrays.

A shortcut, not a definition. What a score means is what mteb's RetrievalEvaluator makes of the
dictionaries; for 2,000 queries with 1,000 documents that takes two seconds in Python loops, twenty
times what the same arithmetic takes over arrays. The result is the same, to the last digit, and
mteb's own code still names, averages and rounds. The tests compare the two; and because a patch
release of mteb may change what a score means, each process compares them once on a small run
before the shortcut is taken. Whatever is not as known is left to mteb.

The only module that touches private names of mteb.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from granite_bench.engine.measures import (
    NOT_FOUND,
    Judged,
    find_judged,
    first_relevant_ranks,
    ranked_places,
    trec_measures,
)
from granite_bench.engine.search.run import Run

if TYPE_CHECKING:
    from mteb.types import RetrievalEvaluationResult

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

ABSTENTION_RATES = np.linspace(0, 1, 11)[:-1]
"""Shares of the queries left out along mteb's abstention curve."""

QUERIES_PER_BLOCK = 1_000
"""Confidences look at all scores of a run as float64: 8 MB per block at 1,000 documents."""


def retrieval_scores(
    run: Run,
    qrels: Mapping[str, Mapping[str, int]],
    k_values: Sequence[int],
    *,
    ignore_identical_ids: bool = False,
    skip_first_result: bool = False,
) -> RetrievalEvaluationResult:
    """
    What mteb's RetrievalEvaluator.evaluate returns for dict(run); *run* is not changed.

    Args:
        run: ordered as trec_eval orders. mteb's *skip_first_result* sorts by score alone and
            stable, which leaves the order as it is.
        qrels: query id -> document id -> grade, as mteb's task has them.
        k_values: the cut-offs.
        ignore_identical_ids, skip_first_result: the task's.

    Returns:
        The result of mteb's own evaluation where a query has no judgements, scores are not
        float32 or not finite, or a cut-off is not a positive integer or is there twice: mteb may
        raise then, and what it raises is its answer.
    """
    options = {"ignore_identical_ids": ignore_identical_ids, "skip_first_result": skip_first_result}
    if not _is_plain(run, qrels, k_values):
        return _scores_by_mteb(run, qrels, k_values, **options)
    from mteb._evaluators.retrieval_metrics import parse_metrics_from_scores
    from mteb.types import RetrievalEvaluationResult

    judged = find_judged(run, qrels, **options)
    measures = trec_measures(judged, sorted(k_values))
    rows = np.stack(list(measures.values()), axis=1).tolist()
    all_scores = {
        query_id: dict(zip(measures, values, strict=True))
        for query_id, values in zip(run.query_ids, rows, strict=True)
    }
    ndcg, map_, recall, precision, *per_query, hit_rate = parse_metrics_from_scores(
        all_scores, k_values
    )
    mrr = _reciprocal_ranks(judged, k_values)
    confidences = _confidences(run, judged)

    return RetrievalEvaluationResult(
        all_scores=all_scores,
        ndcg=ndcg,
        map=map_,
        recall=recall,
        precision=precision,
        naucs=_naucs(confidences, {name: group[name] for group in per_query for name in group}),
        mrr={name: sum(values) / len(values) for name, values in mrr.items()},
        naucs_mrr=_naucs(confidences, mrr),
        hit_rate=hit_rate,
    )


def needs_dictionaries(task: Any) -> bool:
    """
    Whether mteb must be handed dict(run) for *task*, and not the Run.

    So it is where the task has scoring of its own, which may read and change dictionaries; where
    it is no retrieval task; and where mteb is not as known.
    """
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    return not (
        isinstance(task, AbsTaskRetrieval)
        and all(
            name not in vars(task) and getattr(type(task), name) is getattr(AbsTaskRetrieval, name)
            for name in ("task_specific_scores", "_evaluate_subset")
        )
        and mteb_is_as_known()
    )


_lock = threading.Lock()
_depth = 0
_original: Callable[..., Any] | None = None


@contextlib.contextmanager
def scored_over_arrays() -> Iterator[None]:
    """
    While this is active, mteb scores every Run by retrieval_scores; dictionaries as ever.

    May be nested. Where mteb is not as known it does nothing: see needs_dictionaries.
    """
    global _depth, _original
    if not mteb_is_as_known():
        yield
        return
    from mteb._evaluators.retrieval_evaluator import RetrievalEvaluator

    with _lock:
        if _depth == 0:
            _original = RetrievalEvaluator.evaluate
            RetrievalEvaluator.evaluate = _evaluate_by(_original)  # type: ignore[method-assign]
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                RetrievalEvaluator.evaluate = _original  # type: ignore[method-assign, assignment]
                _original = None


def _evaluate_by(original: Callable[..., Any]) -> Callable[..., Any]:
    """RetrievalEvaluator.evaluate, with ours for a Run."""

    @functools.wraps(original)
    def evaluate(
        self: Any,
        qrels: Mapping[str, Mapping[str, int]],
        results: Mapping[str, Any],
        k_values: Sequence[int],
        ignore_identical_ids: bool = False,
        skip_first_result: bool = False,
    ) -> Any:
        options = {
            "ignore_identical_ids": ignore_identical_ids,
            "skip_first_result": skip_first_result,
        }
        if isinstance(results, Run):
            return retrieval_scores(results, qrels, k_values, **options)
        return original(self, qrels, results, k_values, **options)

    return evaluate


@functools.cache
def mteb_is_as_known() -> bool:
    """Whether mteb has the names that we use, and scores a small run as we do; says so if not."""
    try:
        cause = _difference_to_mteb()
    except Exception as error:  # noqa: BLE001 (whatever it is, mteb's own scoring remains)
        cause = f"{type(error).__name__}: {error}"
    if cause:
        logger.warning(
            "this mteb scores otherwise than 2.26 (%s): runs are scored by its own, slower code",
            cause,
        )
    return not cause


SIGNATURE = {
    "self": inspect.Parameter.empty,
    "qrels": inspect.Parameter.empty,
    "results": inspect.Parameter.empty,
    "k_values": inspect.Parameter.empty,
    "ignore_identical_ids": False,
    "skip_first_result": False,
}
"""RetrievalEvaluator.evaluate: parameter -> default."""


def _difference_to_mteb() -> str:
    """What is new in this mteb; empty when nothing is. A few milliseconds."""
    from mteb._evaluators.retrieval_evaluator import RetrievalEvaluator

    parameters = inspect.signature(RetrievalEvaluator.evaluate).parameters.values()
    if {parameter.name: parameter.default for parameter in parameters} != SIGNATURE:
        return "RetrievalEvaluator.evaluate has other parameters"
    run, qrels = _small_case()
    options = {"ignore_identical_ids": True, "skip_first_result": True}
    ours = retrieval_scores(run, qrels, [1, 3, 10], **options)
    theirs = _scores_by_mteb(run, qrels, [1, 3, 10], **options)
    differing = [f for f in theirs._fields if not _same(getattr(ours, f), getattr(theirs, f))]
    return f"other values of {', '.join(differing)}" if differing else ""


def _small_case() -> tuple[Run, dict[str, dict[str, int]]]:
    """Eight queries over 12 documents: grades, ties, short and empty rankings, own documents."""
    n_queries, n_docs = 8, 12
    ids = [f"d{number}" for number in range(n_docs - 2)] + ["q1", "q2"]
    query_ids = [f"q{number}" for number in range(n_queries)]
    dictionaries = {}
    for row, query_id in enumerate(query_ids):
        found = [(row * 5 + step * 7) % n_docs for step in range(max(0, n_docs - 2 * row))]
        dictionaries[query_id] = {ids[d]: (d * d + row) % 7 / 8 for d in found[: 12 - row]}
    qrels = {
        query_id: {ids[(row + 3 * step) % n_docs]: (step + row) % 4 for step in range(row % 3 + 1)}
        | {"elsewhere": row % 2, "rejected": -1}
        for row, query_id in enumerate(query_ids)
    }
    return Run.from_dicts(dictionaries), qrels


def _same(ours: Any, theirs: Any) -> bool:
    """Equal dictionaries of scores; NaN equals NaN, which an nAUC often is."""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[k], theirs[k]) for k in theirs)
    return bool(ours == theirs or (np.isnan(ours) and np.isnan(theirs)))


def _scores_by_mteb(
    run: Run, qrels: Mapping[str, Mapping[str, int]], k_values: Sequence[int], **options: bool
) -> RetrievalEvaluationResult:
    """mteb's own scores of dictionaries that are its to change."""
    from mteb._evaluators.retrieval_evaluator import RetrievalEvaluator

    evaluate: Callable[..., RetrievalEvaluationResult] = _original or RetrievalEvaluator.evaluate
    return evaluate(None, qrels, dict(run), k_values, **options)  # it has no use for itself


def _is_plain(run: Run, qrels: Mapping[str, Mapping[str, int]], k_values: Sequence[int]) -> bool:
    """Whether mteb scores this without raising, and without a NaN among the scores."""
    return (
        len(run) > 0
        and run.scores.dtype == np.float32
        and all(qrels.get(query_id) for query_id in run.query_ids)
        and all(type(k) is int and k > 0 for k in k_values)
        and len(set(k_values)) == len(k_values) > 0
        and bool(np.isfinite(np.where(run.docs >= 0, run.scores, 0)).all())
    )


def _reciprocal_ranks(judged: Judged, k_values: Sequence[int]) -> dict[str, list[float]]:
    """mteb's mrr: cut-off -> a score per query."""
    first = first_relevant_ranks(judged)
    reciprocal = np.where(first == NOT_FOUND, 0.0, 1.0 / first)
    return {f"MRR@{k}": np.where(first <= k, reciprocal, 0.0).tolist() for k in k_values}


def _confidences(run: Run, judged: Judged) -> dict[str, Floats]:
    """
    mteb's confidence_scores of every query: max, std and diff1, each (n_queries,).

    The standard deviation is NumPy's over float64, one query per row, so that it adds the
    scores in the order in which it adds a list of them.
    """
    best, spread, lead = (np.zeros(len(run)) for _ in range(3))
    for start in range(0, len(run), QUERIES_PER_BLOCK):
        kept = ranked_places(run, judged, slice(start, start + QUERIES_PER_BLOCK))
        lengths = kept.sum(axis=1)
        for length in np.unique(lengths[lengths > 0]):
            rows = np.flatnonzero(lengths == length)
            scores = run.scores[start + rows][kept[rows]].astype(np.float64).reshape(-1, length)
            best[start + rows] = scores[:, 0]
            spread[start + rows] = scores.std(axis=1)
            if length > 1:
                lead[start + rows] = scores[:, 0] - scores[:, 1]
    return {"max": best, "std": spread, "diff1": lead}


def _naucs(confidences: Mapping[str, Floats], metrics: Mapping[str, Any]) -> dict[str, float]:
    """
    mteb's evaluate_abstention: metric -> a score per query, to nAUC_metric_confidence.

    mteb's nauc sorts and validates anew for each of 105 pairs of metric and confidence, which
    takes as long as everything else here; the arithmetic below is the same, step by step.
    """
    ties = {name: _ties(confidence) for name, confidence in confidences.items()}
    naucs = {}
    for metric, scores in metrics.items():
        values = np.array(scores)
        oracle = _abstention_curve(values, *_ties(values))
        flat_area = oracle[0] * (ABSTENTION_RATES[-1] - ABSTENTION_RATES[0])
        oracle_area = np.trapezoid(oracle, ABSTENTION_RATES)
        for name, order_and_starts in ties.items():
            area = np.trapezoid(_abstention_curve(values, *order_and_starts), ABSTENTION_RATES)
            naucs[f"nAUC_{metric}_{name}"] = (
                np.nan if oracle_area == flat_area
                else (area - flat_area) / (oracle_area - flat_area)
            )  # fmt: skip
    return naucs


def _ties(keys: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The ascending order of *keys*, and where in it each group of equal keys starts."""
    order = np.argsort(keys, stable=True)
    ranked = keys[order]
    return order, np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])


def _abstention_curve(
    values: Floats, order: npt.NDArray[np.intp], starts: npt.NDArray[np.intp]
) -> Floats:
    """The mean of what remains when the first 0 %, 10 %, ... of *order* are left out."""
    sizes = np.diff(np.r_[starts, len(order)])
    ranked = np.repeat(np.add.reduceat(values[order], starts) / sizes, sizes)
    left_out = [min(round(rate * len(order)), len(order) - 1) for rate in ABSTENTION_RATES]
    return np.array([ranked[count:].mean() for count in left_out])
