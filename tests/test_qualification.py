"""Which models qualify, and what excludes the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from results_tree import CPU, evaluation, suite_of, write_record, write_result

from granite_bench.comparison.costs import Cost
from granite_bench.comparison.qualification import reasons_against
from granite_bench.comparison.requirements import read_requirements
from granite_bench.tables.table import Options, Row, Table, make_table

SUITE = suite_of(
    {"name": "TaskA", "group": "Short", "subsets": ["en", "de"]},
    {"name": "TaskB", "group": "Short", "subsets": ["de"]},
    {"name": "Sum", "group": "Long", "parts": ["SumX", "SumY"]},
    groups=[{"by": "type", "from": "group"}],
)
COST = Cost(
    "org/a",
    n_parameters=118_000_000,
    dimension=384,
    bytes_per_million_docs=1.536e9,
    throughput={"docs/s": 1500.0},
)


def metrics(ndcg: float) -> dict[str, float]:
    """nDCG@10, and a recall a quarter above it."""
    return {"ndcg_at_10": ndcg, "recall_at_100": ndcg + 0.25}


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """org/a is complete, org/hole lacks TaskB and the German part of TaskA."""
    root = tmp_path / "results"
    write_result(root, "org/a", "TaskA", {"test": {"en": metrics(0.5), "de": metrics(0.3)}})
    write_result(root, "org/a", "TaskB", {"test": {"de": metrics(0.6)}})
    write_result(root, "org/a", "SumX", {"test": {"default": metrics(0.1)}})
    write_result(root, "org/a", "SumY", {"test": {"default": metrics(0.4)}})
    write_result(root, "org/hole", "TaskA", {"test": {"en": metrics(0.9)}})
    return make_table(SUITE, [root], source="suite.yaml")


def row_of(table: Table, model: str) -> Row:
    """The row of a model."""
    return next(row for row in table.rows if row.model == model)


def reasons(
    table: Table, *texts: str, model: str = "org/a", cost: Cost = COST, protocol: str = ""
) -> list[str]:
    """What excludes a model."""
    requirements = read_requirements(texts, SUITE, table.rows)
    row = row_of(table, model)
    return reasons_against(requirements, row, cost, table=table, protocol=protocol)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        # By hand: TaskA (0.5 + 0.3) / 2; German 0.3, 0.6; Short 0.4, 0.6; Sum (0.1 + 0.4) / 2.
        ("[TaskA]", 0.4),
        ("[TaskB]", 0.6),
        ("[Sum]", 0.25),
        ("[Short]", 0.5),
        ("[Long]", 0.25),
        ("[de]", 0.45),
        ("[en]", 0.5),
        # (0.4 + 0.6 + 0.25) / 3
        ("", 1.25 / 3),
    ],
)
def test_a_score_is_of_a_task_a_group_a_subset_or_the_average(
    column: str, value: float, table: Table
) -> None:
    """A thousandth below it holds, a thousandth above it does not."""
    assert reasons(table, f"nDCG@10{column}>={value - 0.001}") == []
    assert len(reasons(table, f"nDCG@10{column}>={value + 0.001}")) == 1


def test_a_score_may_be_by_another_metric_than_the_suites(table: Table) -> None:
    """Recall of TaskB is 0.85, of German (0.55 + 0.85) / 2."""
    assert reasons(table, "Recall@100[TaskB]>=0.85", "Recall@100[de]>=0.7") == []
    assert reasons(table, "Recall@100[de]>=0.71") == [
        "Recall@100[de] is 0.7, and Recall@100[de]>=0.71 is required"
    ]


def test_every_requirement_that_is_not_met_is_named(table: Table) -> None:
    """With what was found, and what was asked for."""
    assert reasons(table, "max_params=100M docs_per_s>=2000 dim<=384 average>0.5") == [
        "params is 118,000,000, and max_params=100M is required",
        "docs_per_s is 1500, and docs_per_s>=2000 is required",
        "average is 0.416667, and average>0.5 is required",
    ]


def test_a_score_that_is_not_complete_meets_nothing(table: Table) -> None:
    """Half of TaskA is there, and looks good; the rest is named with the command."""
    (reason,) = reasons(table, "nDCG@10[TaskA]>=0.1", model="org/hole")
    assert reason == (
        "nDCG@10[TaskA] is unknown, and nDCG@10[TaskA]>=0.1 is required: there are no results of "
        "TaskA[de] test; granite-bench run suite.yaml --model org/hole"
    )
    (reason,) = reasons(table, "average>=0.1", model="org/hole")
    assert "no results of TaskA[de] test, TaskB[de] test, SumX and 1 more" in reason
    assert reasons(table, "nDCG@10[en]>=0.9", model="org/hole") == []


def test_an_average_over_holes_meets_nothing(tmp_path: Path) -> None:
    """A partial table has one, and it is not the suite's."""
    root = tmp_path / "results"
    suite = suite_of("TaskA", "TaskB")
    write_result(root, "org/a", "TaskA", {"test": {"default": 0.9}})
    table = make_table(suite, [root], Options(partial=True))
    assert table.rows[0].average == 0.9
    requirements = read_requirements(["average>=0.1"], suite, table.rows)
    (reason,) = reasons_against(requirements, table.rows[0], COST, table=table)
    assert reason.startswith("average is unknown")


def test_a_metric_that_results_lack_is_no_reason_to_run_again(tmp_path: Path) -> None:
    """TaskB was scored without recall; a run would not change that."""
    root = tmp_path / "results"
    suite = suite_of("TaskA", "TaskB")
    write_result(root, "org/a", "TaskA", {"test": {"default": metrics(0.5)}})
    write_result(root, "org/a", "TaskB", {"test": {"default": 0.5}})
    table = make_table(suite, [root])
    requirements = read_requirements(["Recall@100[TaskB]>=0.1"], suite, table.rows)
    (reason,) = reasons_against(requirements, table.rows[0], COST, table=table)
    assert reason.endswith("required: the results have no recall_at_100 of TaskB test")


@pytest.mark.parametrize(
    ("text", "protocol", "says"),
    [
        ("docs_per_s>=1", "", "granite-bench speed --model org/a measures it"),
        (
            "docs_per_s>=1",
            "suite:SciFact",
            "granite-bench speed --model org/a --protocol suite:SciFact measures it",
        ),
        # The others' figures are of their runs: a record of one alone is no column.
        ("docs_per_s>=1", "suite-run/1", "--model org/a measures it; all models need the same"),
        ("query_p95<9", "", "--model org/a --protocol queries measures it"),
        ("memory<9GB", "", "granite-bench speed --model org/a measures it, of a model alone"),
        ("cost<9", "", "granite-bench speed --model org/a measures documents per second"),
        ("params<9M", "", "neither mteb's metadata nor its own say"),
    ],
)
def test_an_unknown_figure_excludes_and_says_what_would_give_it(
    text: str, protocol: str, says: str, table: Table
) -> None:
    """Nobody knows that it holds."""
    cost = Cost("org/a", dimension=384, bytes_per_million_docs=1.536e9)
    (reason,) = reasons(table, text, cost=cost, protocol=protocol)
    assert " is unknown, and " in reason
    assert reason.endswith(says)


def test_a_cost_without_a_price_asks_for_the_price(table: Table) -> None:
    """The documents per second are there."""
    (reason,) = reasons(table, "cost<9")
    assert "--price-per-device-hour" in reason


def test_what_speed_does_not_measure_gets_no_command_of_it(table: Table) -> None:
    """A model without embeddings, such as BM25."""
    (reason,) = reasons(table, "memory<9GB", cost=replace(COST, bytes_per_million_docs=None))
    assert "granite-bench speed --model" not in reason
    assert "embedding models in torch" in reason


def test_a_server_without_a_bill_asks_for_the_price_of_its_tokens(tmp_path: Path) -> None:
    """Its hours are nobody's to price."""
    root = tmp_path / "results"
    suite = suite_of("TaskA")
    path = write_result(root, "endpoint/s", "TaskA", {"test": {"default": 0.5}})
    write_record(path, [evaluation()], hardware={**CPU, "device": "remote"})
    table = make_table(suite, [root])
    requirements = read_requirements(["cost<9"], suite, table.rows)
    (reason,) = reasons_against(requirements, table.rows[0], COST, table=table)
    assert "--price-per-million-tokens" in reason
