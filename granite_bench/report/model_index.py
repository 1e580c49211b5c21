"""A model's card as the hub's metadata: model-index, which the hub shows beside a model."""

from __future__ import annotations

from collections.abc import Mapping

from huggingface_hub import EvalResult, ModelCardData

from granite_bench.printed import metric_name
from granite_bench.report.model_card import ModelCard, SuiteCard
from granite_bench.results.tree import Result
from granite_bench.tables.scores import Evaluation, evaluations_in, score_of
from granite_bench.tables.task_facts import TaskFacts, task_facts

HUB_TYPES: Mapping[str, str] = {
    "BitextMining": "translation",
    "Classification": "text-classification",
    "Clustering": "text-classification",
    "InstructionReranking": "text-ranking",
    "InstructionRetrieval": "text-retrieval",
    "MultilabelClassification": "text-classification",
    "PairClassification": "text-classification",
    "Reranking": "text-ranking",
    "Retrieval": "text-retrieval",
    "STS": "sentence-similarity",
    "Summarization": "summarization",
}
"""mteb's type of a task -> the hub's name of it, as mteb itself writes it into model cards."""

_OURS = TaskFacts("Retrieval", "")
"""The tasks that mteb does not have: BEIR-layout folders and those that come with the package."""

_SOURCE_NAME, _SOURCE_URL = "MTEB", "https://github.com/embeddings-benchmark/mteb/"


def model_index(card: ModelCard) -> str:
    """
    The metadata as YAML, for between the "---" lines at the head of a model's README.md.

    One result for each split and subset that has a score; scores are fractions, as mteb has them.
    """
    found = {
        evaluation: _result(evaluation, result)
        for each in card.suites
        for evaluation, result in _evaluations(each)
    }
    results = [each for each in found.values() if each is not None]
    return f"{ModelCardData(model_name=card.model, eval_results=results).to_yaml()}\n"


def _evaluations(card: SuiteCard) -> list[tuple[Evaluation, Result]]:
    """What the suite asks for and the model has; an aggregate has its own, or its parts'."""
    results = card.candidate.row.results
    return [
        (evaluation, results[evaluation.task])
        for evaluation in evaluations_in(card.suite)
        if evaluation.task in results
    ]


def _result(evaluation: Evaluation, result: Result) -> EvalResult | None:
    score, _ = score_of(evaluation, result)
    if score is None:
        return None
    known = task_facts(evaluation.task)
    facts = known or _OURS
    return EvalResult(
        task_type=HUB_TYPES.get(facts.type, facts.type),
        task_name=facts.type,
        dataset_type=facts.dataset or evaluation.task,
        dataset_name=f"{evaluation.task} ({evaluation.subset})",
        dataset_config=evaluation.subset,
        dataset_split=evaluation.split,
        dataset_revision=result.dataset_revision or None,
        metric_type=evaluation.metric,
        metric_name=metric_name(evaluation.metric),
        metric_value=score,
        source_name=_SOURCE_NAME if known else None,
        source_url=_SOURCE_URL if known else None,
    )
