"""What one model measured over a suite: scores, how they were made, scores query by query."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from queries_tree import write_queries
from results_tree import suite_of, write_result

from granite_bench.comparison.measured import Measured, measured_of
from granite_bench.errors import BadInput
from granite_bench.results.tree import Result, read_results, record_path
from granite_bench.suite.suite import Suite
from granite_bench.tables.scores import Evaluation


def measured(root: Path, suite: Suite) -> Measured:
    """What the only model in *root* measured."""
    results = {result.task: result for result in read_results(root)}
    first: Result = next(iter(results.values()))
    return measured_of(first.model, first.revision, first.settings, results, suite)


def of(task: str, subset: str = "default", metric: str = "ndcg_at_10") -> Evaluation:
    """An evaluation of the split "test"."""
    return Evaluation(task, "test", subset, metric)


def rewrite(path: Path, change: Any) -> None:
    """Put other rows per query beside a result."""
    rows = record_path(path).with_suffix(".parquet")
    pq.write_table(change(pq.read_table(rows)), rows)


def test_scores_of_queries_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    """Whatever order the rows are in."""
    write_queries(tmp_path / "results", "org/a", "T", [0.25, 0.75], ids=["q2", "q1"])
    found = measured(tmp_path / "results", suite_of("T")).evaluations[of("T")]
    assert found.value == 0.5
    assert found.queries is not None
    assert list(found.queries.ids) == ["q1", "q2"]
    assert found.queries.values.tolist() == [0.75, 0.25]


def test_each_subset_has_its_own_queries(tmp_path: Path) -> None:
    """Two languages of two queries."""
    root = tmp_path / "results"
    write_queries(root, "org/a", "T", {"de": [0.0, 1.0], "en": [1.0, 1.0]})
    found = measured(root, suite_of({"name": "T", "subsets": ["de", "en"]})).evaluations
    assert [found[of("T", subset)].value for subset in ("de", "en")] == [0.5, 1.0]
    values = [found[of("T", subset)].queries for subset in ("de", "en")]
    assert [each.values.tolist() for each in values if each] == [[0.0, 1.0], [1.0, 1.0]]


def test_results_without_rows_have_scores_alone(tmp_path: Path) -> None:
    """As those that other programs made."""
    write_result(tmp_path / "results", "org/a", "T", {"test": {"default": 0.5}})
    found = measured(tmp_path / "results", suite_of("T")).evaluations[of("T")]
    assert (found.value, found.queries) == (0.5, None)
    assert found.provenance.dataset_revision == "data-1"


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    """A subset of one task, and all of another."""
    root = tmp_path / "results"
    write_queries(root, "org/a", "T", {"de": [0.5, 0.5]})
    found = measured(root, suite_of({"name": "T", "subsets": ["de", "en"]}, "U"))
    assert set(found.evaluations) == {of("T", "de")}
    assert list(found.missing) == ["T[en] test", "U test"]


def test_an_aggregate_has_the_mean_of_its_parts(tmp_path: Path) -> None:
    """CQADupstack without a result of its own; its parts have their queries."""
    root = tmp_path / "results"
    write_queries(root, "org/a", "P", [0.0, 0.5])
    write_queries(root, "org/a", "R", [0.75, 0.75])
    found = measured(root, suite_of({"name": "Whole", "parts": ["P", "R"]}))
    assert found.evaluations[of("Whole")].value == 0.5
    assert found.evaluations[of("Whole")].queries is None
    assert found.evaluations[of("P")].queries is not None
    assert list(found.missing) == []


def test_the_mean_of_parts_has_no_data_of_its_own(tmp_path: Path) -> None:
    """Its parts are data sets with revisions of their own; what was cut of all is its sum."""
    root = tmp_path / "results"
    write_queries(root, "org/a", "P", [0.0, 0.5], dataset_revision="rev-P", content="p")
    write_queries(root, "org/a", "R", [0.75, 0.75], dataset_revision="rev-R", content="r")
    made = measured(root, suite_of({"name": "Whole", "parts": ["P", "R"]})).evaluations[of("Whole")]
    assert (made.provenance.dataset_revision, made.provenance.data_sha256) == ("", None)
    assert made.provenance.n_truncated == 25 + 25


def test_a_revision_that_mteb_does_not_know_is_none(tmp_path: Path) -> None:
    """Public results of before have the word None there."""
    write_queries(tmp_path / "results", "org/a", "T", [0.5, 0.5], dataset_revision="None")
    found = measured(tmp_path / "results", suite_of("T")).evaluations[of("T")]
    assert found.provenance.dataset_revision == ""


def test_an_aggregate_that_lacks_a_part_has_no_score(tmp_path: Path) -> None:
    """Nothing is averaged over holes."""
    write_queries(tmp_path / "results", "org/a", "P", [0.0, 0.5])
    found = measured(tmp_path / "results", suite_of({"name": "Whole", "parts": ["P", "R"]}))
    assert of("Whole") not in found.evaluations
    assert list(found.missing) == ["R"]


def test_the_record_says_how_a_score_was_made(tmp_path: Path) -> None:
    """Data, length, what was cut of documents and queries, prompts."""
    write_queries(
        tmp_path / "results", "org/a", "T", [1.0, 1.0], max_length=128, content="abc",
        queries={"n_unique": 2, "n_encoded": 2, "n_truncated": 1, "encode_seconds": 1.0},
    )  # fmt: skip
    made = measured(tmp_path / "results", suite_of("T")).evaluations[of("T")].provenance
    assert (made.data_sha256, made.max_length, made.mteb_version) == ("abc", 128, "2.26.24")
    assert made.n_truncated == 25 + 1
    assert made.prompts == {"query": "query: ", "document": ""}


def test_rows_of_another_result_are_refused(tmp_path: Path) -> None:
    """Their mean is not the score; both are named."""
    path = write_queries(tmp_path / "results", "org/a", "T", [0.5, 1.0])
    stored = json.loads(path.read_text())
    stored["scores"]["test"][0]["ndcg_at_10"] = 0.7
    path.write_text(json.dumps(stored))
    with pytest.raises(BadInput, match=r"mean ndcg_at_10 of 0.75000, and the result says 0.70000"):
        measured(tmp_path / "results", suite_of("T"))


def test_a_difference_beyond_rounding_is_a_fault(tmp_path: Path) -> None:
    """A ten-thousandth of a score, which a table would hide."""
    path = write_queries(tmp_path / "results", "org/a", "T", [0.5, 1.0])
    stored = json.loads(path.read_text())
    stored["scores"]["test"][0]["ndcg_at_10"] = 0.7501
    path.write_text(json.dumps(stored))
    with pytest.raises(BadInput):
        measured(tmp_path / "results", suite_of("T"))


@pytest.mark.parametrize("off", [0.00001, -0.00001])
def test_rounding_of_a_score_is_no_fault(tmp_path: Path, off: float) -> None:
    """mteb rounds to five decimals."""
    path = write_queries(tmp_path / "results", "org/a", "T", [0.5, 1.0])
    stored = json.loads(path.read_text())
    stored["scores"]["test"][0]["ndcg_at_10"] = 0.75 + off
    path.write_text(json.dumps(stored))
    assert measured(tmp_path / "results", suite_of("T")).evaluations[of("T")].queries is not None


def test_a_query_twice_is_refused(tmp_path: Path) -> None:
    """It could be paired with either."""
    write_queries(tmp_path / "results", "org/a", "T", [0.5, 0.5], ids=["q", "q"])
    with pytest.raises(BadInput, match="queries of T test twice"):
        measured(tmp_path / "results", suite_of("T"))


def test_all_broken_files_are_named_at_once(tmp_path: Path) -> None:
    """One is no Parquet, one lacks its ids."""
    root = tmp_path / "results"
    first = write_queries(root, "org/a", "T", [0.5, 0.5])
    second = write_queries(root, "org/a", "U", [0.5, 0.5])
    record_path(first).with_suffix(".parquet").write_bytes(b"nothing")
    rewrite(second, lambda rows: rows.drop_columns(["query_id"]))
    with pytest.raises(BadInput) as error:
        measured(root, suite_of("T", "U"))
    assert [fault.what.split(":")[0] for fault in error.value.faults] == [
        "is no Parquet file",
        "has no column query_id of text",
    ]


def _with_scores(values: list[Any]) -> Any:
    return lambda rows: rows.set_column(3, "ndcg_at_10", pa.array(values))


def test_a_metric_that_rows_lack_leaves_the_score(tmp_path: Path) -> None:
    """Rows of an earlier release, with nulls where it stored nothing."""
    path = write_queries(tmp_path / "results", "org/a", "T", [0.5, 0.5])
    rewrite(path, lambda rows: _with_scores([None, None])(rows).cast(rows.schema))
    found = measured(tmp_path / "results", suite_of("T")).evaluations[of("T")]
    assert (found.value, found.queries) == (0.5, None)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_metric_that_some_rows_lack_is_refused(tmp_path: Path, value: float | None) -> None:
    """No release wrote that; the first query without it is named."""
    path = write_queries(tmp_path / "results", "org/a", "T", [0.5, 0.5])
    rewrite(path, _with_scores([0.5, value]))
    with pytest.raises(BadInput, match=r"ndcg_at_10 of 1 of 2 queries of T test .*'q1'") as caught:
        measured(tmp_path / "results", suite_of("T"))
    assert caught.value.faults[0].where.endswith("T.parquet")


def test_rows_that_lack_queries_which_were_run_are_refused(tmp_path: Path) -> None:
    """The record has 4 and the rows 3, whose mean is the same."""
    path = write_queries(tmp_path / "results", "org/a", "T", [0.5] * 4)
    rewrite(path, lambda rows: rows.slice(1))
    with pytest.raises(BadInput, match="has 3 queries of T test, and 4 were run"):
        measured(tmp_path / "results", suite_of("T"))


def test_a_record_that_does_not_count_queries_leaves_the_rows_as_they_are(tmp_path: Path) -> None:
    """Those of earlier releases."""
    path = write_queries(tmp_path / "results", "org/a", "T", [0.5, 0.5])
    record = json.loads(record_path(path).read_text())
    del record["runs"][0]["evaluations"][0]["n_queries"]
    record_path(path).write_text(json.dumps(record))
    assert measured(tmp_path / "results", suite_of("T")).evaluations[of("T")].queries is not None


@pytest.mark.parametrize(
    ("column", "name", "values", "said"),
    [
        (0, "split", [1, 2], "has no column split of text"),
        (3, "ndcg_at_10", ["high", "low"], "has no numbers of ndcg_at_10"),
    ],
)
def test_rows_of_other_types_are_refused(
    tmp_path: Path, column: int, name: str, values: list[Any], said: str
) -> None:
    """A split of numbers, a metric of words."""
    path = write_queries(tmp_path / "results", "org/a", "T", [0.5, 0.5])
    rewrite(path, lambda rows: rows.set_column(column, name, pa.array(values)))
    with pytest.raises(BadInput, match=said):
        measured(tmp_path / "results", suite_of("T"))


@pytest.mark.parametrize(
    ("metric", "expected"), [("mrr_at_10", [1.0, 0.0, 0.0]), ("hit_rate_at_20", [1.0, 1.0, 0.0])]
)
def test_the_rank_of_the_first_relevant_document_tells_some_metrics(
    tmp_path: Path, metric: str, expected: list[float]
) -> None:
    """Ranks 1 and 20, and nothing found: reciprocal rank within 10, and hits within 20."""
    mean = float(np.mean(expected))
    path = write_queries(tmp_path / "results", "org/a", "T", [0.5, 0.5, 0.5])
    stored = json.loads(path.read_text())
    stored["scores"]["test"][0][metric] = round(mean, 5)
    path.write_text(json.dumps(stored))
    ranks = pa.array([1, 20, None], pa.int32())
    rewrite(path, lambda rows: rows.append_column("first_relevant_rank", ranks))
    suite = suite_of("T", metric=metric)
    found = measured(tmp_path / "results", suite).evaluations[of("T", metric=metric)]
    assert found.queries is not None
    assert found.queries.values.tolist() == expected
