"""The numbers of a table, worked by hand, taken from mteb, or compared with published tables."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from beir_folder import write_folder
from results_tree import (
    CPU,
    GPU,
    evaluation,
    suite_of,
    table_of,
    write_record,
    write_result,
)

from granite_bench.errors import BadInput
from granite_bench.results.tree import read_results
from granite_bench.suite.suite import load_suite
from granite_bench.tables.scores import Evaluation, score_of
from granite_bench.tables.table import Options, Row, Table, make_table

SHARED = Path(__file__).parents[2] / "shared"
needs_shared = pytest.mark.skipif(
    not (SHARED / "mteb-results").is_dir(),
    reason="the public results are not in the developers' folder shared/",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def row_of(table: Table, model: str = "org/a") -> Row:
    """The one row of a model."""
    (row,) = [row for row in table.rows if row.model == model]
    return row


def mteb_score(path: Path, **options: Any) -> float:
    """What mteb makes of the same file."""
    from mteb.results import TaskResult

    return float(TaskResult.from_disk(path).get_score(**options))


TWO_BY_TWO = {"name": "TaskA", "splits": ["dev", "test"], "subsets": ["en", "de"]}


def test_a_task_is_the_mean_over_its_splits_and_subsets_as_in_mteb(root: Path) -> None:
    """(0.1 + 0.2 + 0.3 + 0.8) / 4."""
    scores = {"dev": {"en": 0.1, "de": 0.2}, "test": {"en": 0.3, "de": 0.8}}
    path = write_result(root, "org/a", "TaskA", scores)
    cell = row_of(table_of(root, TWO_BY_TWO)).cells["TaskA"]
    assert cell.complete
    assert cell.value == pytest.approx(0.35)
    assert cell.value == pytest.approx(mteb_score(path))


def test_every_evaluation_counts_the_same_as_in_mteb(root: Path) -> None:
    """One mean over three, 0.3, and not the mean of the two splits' means, 0.375."""
    path = write_result(
        root, "org/a", "TaskA", {"dev": {"en": 0.1, "de": 0.2}, "test": {"en": 0.6}}
    )
    cell = row_of(table_of(root, TWO_BY_TWO)).cells["TaskA"]
    assert cell.value == pytest.approx(0.3)
    assert cell.value == pytest.approx(mteb_score(path))


def test_splits_and_subsets_outside_the_suite_do_not_count(root: Path) -> None:
    """A file may hold more than the suite asks for."""
    path = write_result(
        root, "org/a", "TaskA", {"train": {"en": 0.9}, "test": {"en": 0.3, "fr": 0.7}}
    )
    cell = row_of(table_of(root, {"name": "TaskA", "subsets": ["en"]})).cells["TaskA"]
    assert (cell.value, cell.n_expected) == (0.3, 1)
    assert mteb_score(path, splits=["test"]) == pytest.approx(0.5)


def test_the_suites_metric_counts_and_not_the_main_score(root: Path) -> None:
    """Tables print nDCG@10 of tasks whose main score in mteb is another one."""
    scores = {"test": {"default": {"main_score": 0.9, "ndcg_at_10": 0.4}}}
    write_result(root, "org/a", "TaskA", scores)
    assert row_of(table_of(root, "TaskA")).cells["TaskA"].value == 0.4


def test_mteb_1s_map_is_the_map_at_1000_of_mteb_2(root: Path) -> None:
    """Its reranking results have no other; where both are there, the suite's own name counts."""
    write_result(root, "org/a", "TaskA", {"test": {"default": {"map": 0.4}}})
    both = {"map": 0.4, "map_at_1000": 0.5}
    write_result(root, "org/b", "TaskA", {"test": {"default": both}})
    table = table_of(root, {"name": "TaskA", "metric": "map_at_1000"})
    assert {row.model: row.average for row in table.rows} == {"org/a": 0.4, "org/b": 0.5}


def test_an_incomplete_row_names_what_is_missing(root: Path) -> None:
    """One of TaskA's four evaluations, and all of TaskB."""
    write_result(root, "org/a", "TaskA", {"dev": {"en": 0.1, "de": 0.2}, "test": {"en": 0.6}})
    row = row_of(table_of(root, TWO_BY_TWO, "TaskB", "TaskC"))
    cell = row.cells["TaskA"]
    assert (cell.n_there, cell.n_expected, cell.complete) == (3, 4, False)
    assert list(cell.missing) == ["TaskA[de] test"]
    assert list(row.cells["TaskB"].missing) == ["TaskB test"]
    assert row.cells["TaskB"].value is None


def test_an_incomplete_row_has_no_average_and_no_rank(root: Path) -> None:
    """Even where what is there beats all others."""
    write_result(root, "org/a", "TaskA", {"test": {"default": 0.99}})
    for task in ("TaskA", "TaskB"):
        write_result(root, "org/b", task, {"test": {"default": 0.1}})
    table = table_of(root, "TaskA", "TaskB")
    row = row_of(table)
    assert (row.n_complete, row.n_tasks, row.average, row.rank) == (1, 2, None, None)
    assert [row.model for row in table.rows] == ["org/b", "org/a"]
    assert table.rows[0].rank == 1


def test_a_row_that_is_averaged_in_part_has_no_rank(root: Path) -> None:
    """Over what is there, 0.9; the complete row is the first of one."""
    write_result(root, "org/a", "TaskA", {"test": {"default": 0.9}})
    for task in ("TaskA", "TaskB"):
        write_result(root, "org/b", task, {"test": {"default": 0.1}})
    table = make_table(suite_of("TaskA", "TaskB"), [root], Options(partial=True))
    assert [(row.model, row.average, row.rank) for row in table.rows] == [
        ("org/b", 0.1, 1),
        ("org/a", 0.9, None),
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "0.5", 100.0])
def test_what_is_no_score_counts_as_missing(value: Any, root: Path) -> None:
    """NaN above all: a mean over it would be NaN, and no comparison would notice."""
    write_result(root, "org/a", "TaskA", {"test": {"default": value}})
    row = row_of(table_of(root, "TaskA"))
    assert (row.cells["TaskA"].n_there, row.average, row.rank) == (0, None, None)


@pytest.mark.parametrize("metric", ["cosine_spearman", "kendalltau", "p-MRR"])
def test_a_negative_score_is_one_where_the_metric_goes_from_minus_one(
    metric: str, root: Path
) -> None:
    """Correlations; and p-MRR, which is negative where an instruction makes ranks worse."""
    write_result(root, "org/a", "TaskA", {"test": {"default": {metric: -0.25}}})
    [result] = read_results(root, {"TaskA"})
    assert score_of(Evaluation("TaskA", "test", "default", metric), result) == (-0.25, "")


AGGREGATE = {"name": "CQADupstackRetrieval", "parts": ["PartA", "PartB"]}


def write_parts(root: Path, **scores: float) -> None:
    """Results of parts, for org/a."""
    for part, value in scores.items():
        write_result(root, "org/a", part, {"test": {"default": value}})


def test_an_aggregate_is_the_mean_of_its_parts(root: Path) -> None:
    """(0.2 + 0.6) / 2; the parts are the sources."""
    write_parts(root, PartA=0.2, PartB=0.6)
    cell = row_of(table_of(root, AGGREGATE)).cells["CQADupstackRetrieval"]
    assert (cell.value, cell.complete) == (pytest.approx(0.4), True)
    assert [source.task for source in cell.sources] == ["PartA", "PartB"]


def test_an_aggregates_own_result_wins_over_its_parts(root: Path) -> None:
    """mteb computed it from the same parts."""
    write_parts(root, PartA=0.2, PartB=0.6, CQADupstackRetrieval=0.41)
    cell = row_of(table_of(root, AGGREGATE)).cells["CQADupstackRetrieval"]
    assert (cell.value, cell.complete) == (0.41, True)


def test_an_aggregate_without_a_part_is_incomplete_and_names_it(root: Path) -> None:
    """One of two is there."""
    write_parts(root, PartA=0.2)
    row = row_of(table_of(root, AGGREGATE))
    cell = row.cells["CQADupstackRetrieval"]
    assert (cell.n_there, cell.n_expected, list(cell.missing)) == (1, 2, ["PartB"])
    assert row.average is None


def test_a_part_with_a_hole_does_not_count_in_its_aggregate(root: Path) -> None:
    """(0.2 + 0.4) / 2 of PartA alone: of PartB one of two subsets is there."""
    write_result(root, "org/a", "PartA", {"test": {"en": 0.2, "de": 0.4}})
    write_result(root, "org/a", "PartB", {"test": {"en": 0.9}})
    row = row_of(table_of(root, {**AGGREGATE, "subsets": ["en", "de"]}))
    cell = row.cells["CQADupstackRetrieval"]
    assert (cell.value, cell.n_there, list(cell.missing)) == (pytest.approx(0.3), 1, ["PartB"])


def test_an_aggregate_of_parts_counts_in_its_group(root: Path) -> None:
    """BEIR without MSMARCO, say: (0.4 from the parts + 0.8) / 2."""
    write_parts(root, PartA=0.2, PartB=0.6, TaskC=0.8)
    tasks = [{**AGGREGATE, "group": "rest"}, {"name": "TaskC", "group": "rest"}]
    suite = suite_of(*tasks, groups=[{"by": "selection", "from": "group"}])
    cell = row_of(make_table(suite, [root], Options(by="selection"))).cells["rest"]
    assert (cell.complete, cell.value) == (True, pytest.approx(0.6))


def test_an_aggregate_of_parts_counts_in_an_average_over_groups(root: Path) -> None:
    """The row is complete, so its average must have the aggregate in it: (0.4 + 0.8) / 2."""
    write_parts(root, PartA=0.2, PartB=0.6, TaskC=0.8)
    tasks = [{**AGGREGATE, "group": "one"}, {"name": "TaskC", "group": "two"}]
    row = row_of(table_of(root, *tasks, average="groups", groups=[{"by": "kind", "from": "group"}]))
    assert (row.n_complete, row.average) == (2, pytest.approx(0.6))


LANGUAGES = {
    "average": "groups",
    "groups": [{"by": "language", "from": "group"}],
}
GROUPED = [
    {"name": "TaskA", "group": "German"},
    {"name": "TaskB", "group": "German"},
    {"name": "TaskC", "group": "French"},
]


def test_the_average_over_groups_is_the_mean_of_their_means(root: Path) -> None:
    """((0.2 + 0.4) / 2 + 0.9) / 2 = 0.6, where the mean over tasks would be 0.5."""
    write_parts(root, TaskA=0.2, TaskB=0.4, TaskC=0.9)
    assert row_of(table_of(root, *GROUPED, **LANGUAGES)).average == pytest.approx(0.6)
    assert row_of(table_of(root, *GROUPED)).average == pytest.approx(0.5)


def test_columns_by_group_show_the_groups_means(root: Path) -> None:
    """In the suite's order; a group with a hole is incomplete."""
    write_parts(root, TaskA=0.2, TaskC=0.9)
    table = make_table(suite_of(*GROUPED, **LANGUAGES), [root], Options(by="language"))
    assert list(table.columns) == ["German", "French"]
    cells = row_of(table).cells
    assert (cells["French"].value, cells["French"].complete) == (0.9, True)
    assert list(cells["German"].missing) == ["TaskB test"]


def test_columns_by_language_collect_a_subset_over_splits_and_tasks(root: Path) -> None:
    """de: ((0.1 + 0.3) / 2 + 0.6) / 2 = 0.4; a task counts once, however many splits it has."""
    write_result(root, "org/a", "TaskA", {"dev": {"de": 0.1}, "test": {"de": 0.3}})
    write_result(root, "org/a", "TaskB", {"test": {"de": 0.6, "fr": 0.7}})
    suite = suite_of(
        {"name": "TaskA", "splits": ["dev", "test"], "subsets": ["de"]},
        {"name": "TaskB", "subsets": ["de", "fr"]},
        groups=[{"by": "language", "from": "subset"}],
    )
    cells = row_of(make_table(suite, [root], Options(by="language"))).cells
    assert {name: cell.value for name, cell in cells.items()} == {
        "de": pytest.approx(0.4),
        "fr": 0.7,
    }


def test_columns_by_length_are_the_splits(root: Path) -> None:
    """As LongEmbed's passkey has them."""
    splits = {"test_256": {"default": 0.9}, "test_512": {"default": 0.5}}
    write_result(root, "org/a", "TaskA", splits)
    suite = suite_of(
        {"name": "TaskA", "splits": list(splits)}, groups=[{"by": "length", "from": "split"}]
    )
    cells = row_of(make_table(suite, [root], Options(by="length"))).cells
    assert {name: cell.value for name, cell in cells.items()} == {"test_256": 0.9, "test_512": 0.5}


def test_an_unknown_grouping_is_answered_with_the_known_ones(root: Path) -> None:
    """And with the nearest one."""
    suite = suite_of(*GROUPED, **LANGUAGES)
    with pytest.raises(BadInput, match="did you mean 'language'"):
        make_table(suite, [root], Options(by="langauge"))


def test_equal_averages_share_a_rank_and_the_next_one_is_skipped(root: Path) -> None:
    """1, 1, 3."""
    for model, value in {"org/a": 0.5, "org/b": 0.5, "org/c": 0.4}.items():
        write_result(root, model, "TaskA", {"test": {"default": value}})
    table = table_of(root, "TaskA")
    assert [(row.model, row.rank) for row in table.rows] == [
        ("org/a", 1),
        ("org/b", 1),
        ("org/c", 3),
    ]


def test_averages_that_print_the_same_share_a_rank(root: Path) -> None:
    """50.001 and 50.004 are both 50.00 on the page; 49.99 is not."""
    for model, value in {"org/a": 0.50001, "org/b": 0.50004, "org/c": 0.4999}.items():
        write_result(root, model, "TaskA", {"test": {"default": value}})
    assert [row.rank for row in table_of(root, "TaskA").rows] == [1, 1, 3]


def test_an_average_of_zero_stands_before_rows_without_one(root: Path) -> None:
    """It is the last of the ranked, and no hole."""
    for task in ("TaskA", "TaskB"):
        write_result(root, "org/zero", task, {"test": {"default": 0.0}})
    write_result(root, "org/hole", "TaskA", {"test": {"default": 0.9}})
    table = table_of(root, "TaskA", "TaskB")
    assert [(row.model, row.rank) for row in table.rows] == [("org/zero", 1), ("org/hole", None)]


@pytest.mark.parametrize("partial", [False, True])
def test_the_best_of_a_column_is_the_best_complete_cell(partial: bool, root: Path) -> None:
    """A mean over half of the subsets is not the best of anything, nor in a partial table."""
    write_result(root, "org/a", "TaskA", {"dev": {"en": 0.9}})
    whole = {"en": 0.1, "de": 0.3}
    write_result(root, "org/b", "TaskA", {"dev": whole, "test": whole})
    table = make_table(suite_of(TWO_BY_TWO), [root], Options(partial=partial))
    assert table.counting("TaskA") == [pytest.approx(0.2)]


def test_a_model_that_is_asked_for_brings_its_variants_along(root: Path) -> None:
    """And no other model, though its name begins with the same letters."""
    half = {"test": {"default": 0.5}}
    write_result(root, "org/a", "TaskA", half)
    write_result(root, "org/a", "TaskA", half, settings={"max_length": 512})
    write_result(root, "org/a-large", "TaskA", half)
    table = make_table(suite_of("TaskA"), [root], Options(models=["org/a"]))
    assert [row.model for row in table.rows] == ["org/a", "org/a (max_length=512)"]


def test_a_model_without_results_is_an_empty_row(root: Path) -> None:
    """Asked for and not there is something to see."""
    write_result(root, "org/a", "TaskA", {"test": {"default": 0.5}})
    table = make_table(suite_of("TaskA", "TaskB"), [root], Options(models=["org/a", "org/none"]))
    row = row_of(table, "org/none")
    assert (row.n_complete, row.n_tasks, row.average, row.rank) == (0, 2, None, None)
    assert list(row.cells["TaskA"].missing) == ["TaskA test"]


def test_there_is_no_speed_without_a_record(root: Path) -> None:
    """mteb's evaluation_time holds loading and scoring too, and is no speed."""
    write_result(root, "org/a", "TaskA", {"test": {"default": 0.5}})
    table = table_of(root, "TaskA")
    assert table.devices == []
    assert row_of(table).speeds == []


def test_documents_per_second_are_over_all_evaluations_together(root: Path) -> None:
    """(100 + 50) documents in (2 + 3) seconds are 30 a second, not the mean of 50 and 16.7."""
    slow = {"n_unique": 50, "n_encoded": 50, "n_truncated": 0, "encode_seconds": 3.0}
    for task, entry in {"TaskA": evaluation(), "TaskB": evaluation(docs=slow)}.items():
        write_record(write_result(root, "org/a", task, {"test": {"default": 0.5}}), [entry])
    (speed,) = row_of(table_of(root, "TaskA", "TaskB")).speeds
    assert speed.docs_per_second == pytest.approx(30)


def test_documents_that_came_from_the_vector_store_make_no_speed(root: Path) -> None:
    """Nothing was encoded, so nothing was measured."""
    stored = {"n_unique": 100, "n_encoded": 0, "n_truncated": 0, "encode_seconds": 0.0}
    path = write_result(root, "org/a", "TaskA", {"test": {"default": 0.5}})
    write_record(path, [evaluation(docs=stored)])
    (speed,) = row_of(table_of(root, "TaskA")).speeds
    assert speed.docs_per_second is None


def test_indexing_is_the_encoding_of_a_model_that_searches_by_itself(root: Path) -> None:
    """BM25: 100 documents indexed in 2.5 seconds."""
    path = write_result(root, "org/a", "TaskA", {"test": {"default": 0.5}})
    write_record(path, [evaluation(docs=None)])
    (speed,) = row_of(table_of(root, "TaskA")).speeds
    assert speed.docs_per_second == pytest.approx(40)


def test_percentiles_are_over_all_queries(root: Path) -> None:
    """Of 0, 1, ... 20 ms the median is 10 ms, and a twentieth of the way from the end is 19 ms."""
    path = write_result(root, "org/a", "TaskA", {"test": {"default": 0.5}})
    seconds = [number / 1000 for number in range(20, -1, -1)]
    write_record(
        path, [evaluation(query_seconds=seconds[:7]), evaluation(query_seconds=seconds[7:])]
    )
    (speed,) = row_of(table_of(root, "TaskA")).speeds
    assert (speed.query_p50_ms, speed.query_p95_ms) == (pytest.approx(10), pytest.approx(19))


@pytest.mark.parametrize(
    "other", [{"hardware": GPU}, {"protocol": "stream/1"}, {"hardware": {**CPU, "cores": 64}}]
)
def test_two_devices_or_protocols_never_share_a_speed(other: dict[str, Any], root: Path) -> None:
    """One row with both, each with its own figures."""
    write_record(write_result(root, "org/a", "TaskA", {"test": {"default": 0.5}}))
    path = write_result(root, "org/a", "TaskB", {"test": {"default": 0.5}})
    fast = {"n_unique": 100, "n_encoded": 100, "n_truncated": 0, "encode_seconds": 0.1}
    write_record(path, [evaluation(docs=fast)], **other)
    table = table_of(root, "TaskA", "TaskB")
    assert len(table.devices) == 2
    assert sorted(speed.docs_per_second or 0 for speed in row_of(table).speeds) == [
        pytest.approx(50),
        pytest.approx(1000),
    ]


def test_a_folder_of_the_users_own_fills_the_column_of_its_suite(tmp_path: Path) -> None:
    """Run and table of one suite file, whose task is called otherwise than its folder."""
    import granite_bench

    docs, queries = {"d1": "granite is a rock"}, {"q1": "what is granite"}
    write_folder(tmp_path / "data", docs, queries, {"q1": {"d1": 1}})
    path = tmp_path / "own.yaml"
    path.write_text(
        "version: 1\nname: own\ntitle: Own\ndescription: Own.\n"
        "tasks: [{name: our-corpus, path: data}]\n"
    )
    results = tmp_path / "results"
    granite_bench.run(str(path), models=["mteb/baseline-bm25s"], results=results, vectors=None)
    row = row_of(make_table(load_suite(str(path)), [results]), "mteb/baseline-bm25s")
    assert (row.n_complete, row.average) == (1, 1.0)


def test_all_broken_records_are_named_at_once(root: Path) -> None:
    """As make_table promises: broken results, all of them named."""
    records = [
        write_record(write_result(root, "org/a", task, {"test": {"default": 0.5}}), version=2)
        for task in ("TaskA", "TaskB")
    ]
    with pytest.raises(BadInput) as caught:
        table_of(root, "TaskA", "TaskB")
    assert [fault.where for fault in caught.value.faults] == [str(path) for path in records]


# --- against the public results and the published tables -------------------------------------

MULTILINGUAL = "MTEB(Multilingual, v2) Retrieval average (18)"
ENGLISH = "MTEB(eng, v2) Retrieval average (10)"
BEIR = "BEIR average (15)"

# Printed figures that the public results do not give: (suite, model, printed) -> ours.
#
# 52.549 and 51.446 become the printed figures when they are rounded twice (52.55, 52.6); why
# the others differ is not known. The README's two multilingual figures are older than the post's,
# which prints 65.2 and 60.3 as we get them; and R1's 53.3 is 53.2 in R2's table, as we get it.
DISAGREE = {
    ("english-retrieval", "ibm-granite/granite-embedding-311m-multilingual-r2", "52.6"): 52.549,
    ("english-retrieval", "ibm-granite/granite-embedding-278m-multilingual", "51.5"): 51.446,
    ("english-retrieval", "intfloat/multilingual-e5-small", "46.5"): 46.434,
    ("beir", "intfloat/multilingual-e5-small", "46.6"): 46.697,
    ("beir", "BAAI/bge-base-en-v1.5", "53.3"): 53.225,
    (
        "multilingual-retrieval",
        "ibm-granite/granite-embedding-311m-multilingual-r2",
        "64.0",
    ): 65.208,
    ("multilingual-retrieval", "ibm-granite/granite-embedding-97m-multilingual-r2", "59.6"): 60.319,
}


def printed(file: str, column: str) -> dict[str, str]:
    """Model -> figure as it is printed, of one column of a published table."""
    with (SHARED / "published" / file).open(encoding="utf-8", newline="") as lines:
        return {
            row["model"]: row["value"] for row in csv.DictReader(lines) if row["column"] == column
        }


@needs_shared
@pytest.mark.parametrize(
    ("suite", "file", "column", "n_complete"),
    [
        ("multilingual-retrieval", "blog_main.csv", MULTILINGUAL, 7),
        ("multilingual-retrieval", "readme_multilingual.csv", MULTILINGUAL, 4),
        ("english-retrieval", "blog_main.csv", ENGLISH, 8),
        ("english-retrieval", "r2_t10_mteb_v2_retrieval.csv", ENGLISH, 9),
        ("beir", "r2_t09_beir.csv", BEIR, 9),
        ("beir", "r1_t02_beir.csv", BEIR, 10),
    ],
)
def test_averages_agree_with_the_published_table_to_the_printed_digit(
    suite: str, file: str, column: str, n_complete: int
) -> None:
    """Every complete row that the table prints; what does not agree is listed in DISAGREE."""
    figures = printed(file, column)
    table = make_table(load_suite(suite), [SHARED / "mteb-results"])
    complete = {
        row.model: row.average * 100
        for row in table.rows
        if row.average is not None and row.model in figures
    }
    assert len(complete) == n_complete
    for model, ours in complete.items():
        known = DISAGREE.get((suite, model, figures[model]))
        if known is None:
            n_decimals = len(figures[model].partition(".")[2])
            assert f"{ours:.{n_decimals}f}" == figures[model], model
        else:
            assert round(ours, 3) == known, model


@needs_shared
def test_an_incomplete_public_row_has_no_average() -> None:
    """multilingual-e5-small lacks 14 languages of one of 18 tasks; the post prints 50.9."""
    table = make_table(load_suite("multilingual-retrieval"), [SHARED / "mteb-results"])
    row = row_of(table, "intfloat/multilingual-e5-small")
    cell = row.cells["WikipediaRetrievalMultilingual"]
    assert (row.n_complete, row.average, row.rank) == (17, None, None)
    assert (cell.n_there, cell.n_expected) == (2, 16)


@needs_shared
@pytest.mark.parametrize("suite", ["english-retrieval", "multilingual-retrieval", "longembed"])
def test_tasks_of_public_results_score_as_mteb_scores_them(suite: str) -> None:
    """Every complete cell of every model, against TaskResult.get_score on the same file."""
    table = make_table(load_suite(suite), [SHARED / "mteb-results"])
    splits = {task.name: list(task.splits) for task in table.suite.tasks}
    compared = 0
    for row in table.rows:
        for task, cell in row.cells.items():
            if cell.complete:
                (source,) = cell.sources
                assert cell.value == pytest.approx(
                    mteb_score(source.path, splits=splits[task]), abs=1e-12
                ), source.path.name
                compared += 1
    assert compared > 90


@needs_shared
def test_mteb_english_takes_the_reranking_results_of_mteb_1() -> None:
    """mteb 1 calls the metric map, mteb 2 map_at_1000: published as 49.1 on average for R2."""
    table = make_table(load_suite("mteb-english"), [SHARED / "mteb-results"], Options(by="type"))
    row = row_of(table, "ibm-granite/granite-embedding-english-r2")
    cell = row.cells["Reranking"]
    assert cell.complete
    assert f"{(cell.value or 0) * 100:.1f}" == "49.1"


@needs_shared
def test_no_public_result_of_our_suites_is_broken() -> None:
    """The snapshot has none in the form of mteb before 1.11."""
    from granite_bench.results.tree import read_results

    results = read_results(SHARED / "mteb-results")
    files = [
        path for path in (SHARED / "mteb-results").rglob("*.json") if path.name != "model_meta.json"
    ]
    assert len(results) == len(files) > 1000
    assert all(json.loads(result.path.read_bytes())["task_name"] for result in results[:5])
