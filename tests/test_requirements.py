"""Expressions of --require: what they mean, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest
from results_tree import suite_of, write_result

from granite_bench.comparison.requirements import Requirement, read_requirements
from granite_bench.errors import BadInput
from granite_bench.suite.suite import Suite
from granite_bench.tables.table import Row, make_table

SUITE = suite_of(
    {"name": "TaskA", "group": "Retrieval", "subsets": ["en", "de"]},
    {"name": "TaskB", "group": "Long documents", "splits": ["256", "512"]},
    groups=[{"by": "type", "from": "group"}, {"by": "length", "from": "split"}],
)
MIXED = suite_of("TaskA", {"name": "TaskB", "metric": "accuracy"})


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """A model whose results have three metrics."""
    root = tmp_path / "results"
    metrics = {"ndcg_at_10": 0.5, "recall_at_100": 0.75, "cosine_spearman": -0.25}
    write_result(root, "org/a", "TaskA", {"test": {"en": metrics, "de": metrics}})
    return list(make_table(SUITE, [root]).rows)


def read(rows: list[Row], *texts: str, suite: Suite = SUITE) -> list[Requirement]:
    """The requirements of these texts."""
    return read_requirements(texts, suite, rows)


def said(rows: list[Row], *texts: str, suite: Suite = SUITE) -> str:
    """What is wrong with texts."""
    with pytest.raises(BadInput) as caught:
        read(rows, *texts, suite=suite)
    assert all(fault.where == "--require" for fault in caught.value.faults)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "quantity", "column", "op", "value"),
    [
        ("docs_per_s>=2000", "docs_per_s", "", ">=", 2000),
        ("docs/s > 1.5K", "docs_per_s", "", ">", 1500),
        ("max_params=100M", "params", "", "<=", 100e6),
        ("MIN_DIM=384", "dim", "", ">=", 384),
        ("active_params<0.3B", "active_params", "", "<", 0.3e9),
        # max_length is a quantity of its own, and not a bound of one called length.
        ("max_length=512", "max_length", "", "=", 512),
        ("min_max_length=8k", "max_length", "", ">=", 8000),
        ("storage<=2GB", "bytes_per_million_docs", "", "<=", 2e9),
        ("memory<=2GiB", "memory_bytes", "", "<=", 2 * 2**30),
        ("query_p95<20ms", "query_p95_ms", "", "<", 20),
        ("cost<=.5", "cost_per_million_docs", "", "<=", 0.5),
        ("average>=55%", "average", "", ">=", 0.55),
        ("nDCG@10>=0.55", "ndcg_at_10", "", ">=", 0.55),
        ("ndcg_at_10[de]>=0.55", "ndcg_at_10", "de", ">=", 0.55),
        ("RECALL@100[taska]>=5e-1", "recall_at_100", "TaskA", ">=", 0.5),
        ("nDCG@10[Long documents]>=0.5", "ndcg_at_10", "Long documents", ">=", 0.5),
        ("nDCG@10[256]>=0.5", "ndcg_at_10", "256", ">=", 0.5),
        ("max_nDCG@10[en]=0.9", "ndcg_at_10", "en", "<=", 0.9),
        ("Spearman[TaskA]>-0.5", "cosine_spearman", "TaskA", ">", -0.5),
    ],
)
def test_an_expression_is_a_quantity_a_comparison_and_a_value(
    text: str, quantity: str, column: str, op: str, value: float, rows: list[Row]
) -> None:
    """As papers, pages and mteb write them."""
    (found,) = read(rows, text)
    assert (found.quantity, found.column, found.op) == (quantity, column, op)
    assert found.value == pytest.approx(value)


@pytest.mark.parametrize(
    "texts",
    [
        ("dim<=384", "docs_per_s>=2000", "nDCG@10[de]>=0.5"),
        ("dim<=384, docs_per_s>=2000,nDCG@10[de]>=0.5",),
        ("dim <= 384 docs_per_s >= 2000", "nDCG@10[de]>=0.5"),
    ],
)
def test_several_may_stand_in_one_text(texts: tuple[str, ...], rows: list[Row]) -> None:
    """With commas or spaces between them."""
    found = read(rows, *texts)
    assert [each.quantity for each in found] == ["dim", "docs_per_s", "ndcg_at_10"]


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("paramz<=100M", "unknown quantity 'paramz'", "did you mean 'params'"),
        ("speed>3", "unknown quantity 'speed'", "there are: params, active_params"),
        ("nDCG@11[de]>0.5", "unknown quantity 'nDCG@11'", "ndcg_at_10"),
        ("nDCG@10[dee]>0.5", "no task, group or subset 'dee'", "did you mean 'de'"),
        ("nDCG@10[zh]>0.5", "no task, group or subset 'zh'", "there are: TaskA, TaskB, Retrieval"),
        ("nDCG@10>55", "no score is 55", "write 0.55, or 55%"),
        ("nDCG@10>250", "no score is 250", "fractions here, from 0 to 1"),
        ("average[de]>0.5", "average has no columns", "ndcg_at_10[de]"),
        ("params[de]<3", "params has no columns", "write params alone"),
        ("Recall@100>0.5", "without a column", "Recall@100[TaskA]"),
        ("max_params>=3M", "max_params is a most already", "max_params=3M, or params<=3M"),
        ("min_dim<3", "min_dim is a least already", "min_dim=3, or dim>=3"),
        ("docs_per_s=20", "no two speeds are exactly equal", "docs_per_s>=20"),
        ("nDCG@10=0.5", "no two scores are exactly equal", "nDCG@10>=0.5"),
        ("params<=many", "'many' is no number", "2000, 1.5 or 100M"),
        ("params<=3X", "no unit 'X'", "K, M, G, B, T"),
        # A B is a byte to some and a billion to others.
        ("storage<=3B", "no unit 'B'", "GB"),
        ("params<=3GB", "no unit 'GB'", "K, M, G, B, T"),
        ("dim>=50%", "no unit '%'", "none"),
        ("dim>=-1", "never below 0", "positive"),
        ("dim>=nan", "'nan' is no number", "write a number"),
        ("docs_per_s", "'docs_per_s' is no requirement", "QUANTITY>=VALUE"),
        ("dim>=2,000", "'000' is no requirement", "numbers without"),
        ("", "'' is no requirement", "QUANTITY>=VALUE"),
        (">=3", "'>=3' is no requirement", "QUANTITY>=VALUE"),
    ],
)
def test_a_fault_says_what_would_be_right(text: str, what: str, hint: str, rows: list[Row]) -> None:
    """What is wrong, then what to type."""
    message = said(rows, text)
    assert what in message
    assert hint in message


def test_all_faults_of_all_expressions_are_named_at_once(rows: list[Row]) -> None:
    """Two in the first text, one in the second; what is right between them is no fault."""
    message = said(rows, "paramz<3, dim>=384, nDCG@10>55", "docs_per_s=20")
    assert [line.split(":")[1] for line in message.splitlines() if "--require" in line] == [
        " paramz<3",
        " nDCG@10>55",
        " docs_per_s=20",
    ]


def test_a_suite_of_several_metrics_has_an_average_of_none(rows: list[Row]) -> None:
    """nDCG@10 is not what its average is in; the average has a name of its own."""
    assert "measures by accuracy" in said(rows, "nDCG@10>=0.5", suite=MIXED)
    assert read(rows, "average>=0.5", suite=MIXED)[0].quantity == "average"


@pytest.mark.parametrize(
    ("text", "found", "holds"),
    [
        ("dim>=384", 384, True),
        ("dim>384", 384, False),
        ("dim<=384", 384, True),
        ("dim<384", 384, False),
        ("dim=384", 384, True),
        ("dim=384", 385, False),
        ("dim>=384", 383, False),
        # 0.1 + 0.2 is 0.30000000000000004: above 0.3 by rounding alone.
        ("average<=0.3", 0.1 + 0.2, True),
        ("average>0.3", 0.1 + 0.2, False),
    ],
)
def test_a_requirement_holds_or_not(text: str, found: float, holds: bool, rows: list[Row]) -> None:
    """At the bound, and beside it."""
    assert read(rows, text)[0].holds(found) is holds
