"""What each evaluation weighs, beside the scores that it stands for."""

from __future__ import annotations

from pathlib import Path

import pytest
from results_tree import suite_of, write_result

from granite_bench.results.tree import read_results
from granite_bench.suite.shipped import suite_names
from granite_bench.suite.suite import Suite, load_suite
from granite_bench.tables.scores import group_cells, suite_average, task_cell
from granite_bench.tables.weights import average_weights, column_weights

SUITES = {
    "tasks": suite_of(
        {"name": "A", "subsets": ["en", "de"], "splits": ["dev", "test"]},
        {"name": "B", "parts": ["B1", "B2", "B3"]},
        "C",
        groups=[{"by": "language", "from": "subset"}],
    ),
    "groups": suite_of(
        {"name": "A", "subsets": ["en", "de"], "group": "one"},
        {"name": "B", "parts": ["B1", "B2"], "group": "two"},
        {"name": "C", "group": "two"},
        groups=[{"by": "kind", "from": "group"}],
        average="groups",
    ),
}


@pytest.mark.parametrize("kind", SUITES)
def test_weighted_scores_are_the_suites_averages(tmp_path: Path, kind: str) -> None:
    """The rules of scores.py over a tree of different values; columns and the average."""
    suite = SUITES[kind]
    weights = average_weights(suite)
    for number, evaluation in enumerate(weights):
        scores = {
            each.split: {
                other.subset: (place * place % 7) / 7
                for place, other in enumerate(weights)
                if other.task == evaluation.task and other.split == each.split
            }
            for each in weights
            if each.task == evaluation.task
        }
        write_result(tmp_path / "results", "org/a", evaluation.task, scores, date=number)
    results = {result.task: result for result in read_results(tmp_path / "results")}

    def weighted(of: object) -> float:
        return sum(
            weight * (results[e.task].scores[e.split][e.subset]["ndcg_at_10"] or 0.0)
            for e, weight in of.items()
        )

    cells = {task.name: task_cell(task, results) for task in suite.tasks}
    assert weighted(weights) == pytest.approx(suite_average(suite, cells, results))
    for name, of_column in column_weights(suite, "task").items():
        assert weighted(of_column) == pytest.approx(cells[name].value)
    if kind == "groups":
        groups = group_cells(suite, "kind", results)
        for name, of_column in column_weights(suite, "kind").items():
            assert weighted(of_column) == pytest.approx(groups[name].value)


def test_cqadupstack_weighs_as_much_as_any_other_task() -> None:
    """Twelve forums of a task among 15: each is a twelfth of a fifteenth of BEIR."""
    suite = load_suite("beir")
    weights = {evaluation.task: weight for evaluation, weight in average_weights(suite).items()}
    assert weights["SciFact"] == pytest.approx(1 / 15)
    assert weights["CQADupstackTexRetrieval"] == pytest.approx(1 / 15 / 12)
    assert "CQADupstackRetrieval" not in weights


@pytest.mark.parametrize("name", suite_names())
def test_the_weights_of_every_shipped_suite_sum_to_one(name: str) -> None:
    """The average, and every column of every grouping."""
    suite: Suite = load_suite(name)
    assert sum(average_weights(suite).values()) == pytest.approx(1)
    for by in ("task", *(grouping.by for grouping in suite.groups)):
        for weights in column_weights(suite, by).values():
            assert sum(weights.values()) == pytest.approx(1)


def test_a_group_of_subsets_is_the_mean_over_its_tasks() -> None:
    """A has two splits of English, C one; each task is half of the group."""
    suite = suite_of(
        {"name": "A", "subsets": ["en", "de"], "splits": ["dev", "test"]},
        {"name": "C", "subsets": ["en"]},
        groups=[{"by": "language", "from": "subset"}],
    )
    english = column_weights(suite, "language")["en"]
    assert {(e.task, e.split): weight for e, weight in english.items()} == {
        ("A", "dev"): 0.25,
        ("A", "test"): 0.25,
        ("C", "test"): 0.5,
    }
