"""Why printed values differ: every cause, and when it is not claimed; numbers worked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from audit_desk import COLUMNS, A, B, C, Desk

from granite_bench.tables.model_facts import ModelFacts


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty one."""
    return Desk(tmp_path)


# Causes: slips of printing


def test_two_cells_of_a_row_that_changed_places_are_named(desk: Desk) -> None:
    """SciFact-like 65.85 and SCIDOCS-like 17.72; 65.847 was rounded twice on the way."""
    desk.raw(A, "One", 0.65847)
    desk.raw(A, "Two", 0.17721)
    desk.raw(A, "Three", 0.4)
    desk.prints("One", "17.7")
    desk.prints("Two", "65.9")
    desk.prints("Three", "40.0")
    assert desk.causes() == [
        "exchanged with Two in this row (65.9 there)",
        "exchanged with One in this row (17.7 there)",
        "",
    ]


def test_two_models_of_a_column_that_changed_places_are_named(desk: Desk) -> None:
    """50.0 belongs to a, and 40.0 to b."""
    desk.raw(A, "One", 0.5)
    desk.raw(B, "One", 0.4)
    desk.prints("One", "40.0", A)
    desk.prints("One", "50.0", B)
    assert desk.causes()[0] == "exchanged with org/b in this column (50.0 there)"


def test_an_exchange_with_a_row_without_results_needs_another_tables_word(desk: Desk) -> None:
    """b has no results; only a second table that prints 40.0 for it gives the exchange away."""
    desk.raw(A, "One", 0.5)
    desk.prints("One", "40.0", A)
    desk.prints("One", "50.0", B)
    assert "exchanged" not in desk.causes()[0]
    desk.prints("One", "40.0", B, table="T2")
    assert desk.causes()[0].startswith(
        "exchanged with the row of org/b (50.0 there; T2 prints 40.0 for it)"
    )


def test_a_value_copied_from_the_next_row_is_named(desk: Desk) -> None:
    """a has 60 and is printed with b's 40.2."""
    desk.raw(A, "One", 0.6)
    desk.raw(B, "One", 0.402)
    desk.raw(C, "One", 0.8)
    for model, value in ((A, "40.2"), (B, "40.2"), (C, "80.0")):
        desk.prints("One", value, model)
    assert desk.causes() == ["the value of the row of org/b", "", ""]


def test_a_value_copied_from_the_next_column_is_named(desk: Desk) -> None:
    """Two is printed with One's 40.2."""
    desk.raw(A, "One", 0.402)
    desk.raw(A, "Two", 0.7)
    desk.prints("One", "40.2")
    desk.prints("Two", "40.2")
    assert desk.causes() == ["", "the value of One, beside it"]


def test_a_near_value_of_a_neighbour_is_no_copy(desk: Desk) -> None:
    """0.3 points off, neighbouring rows are often as near."""
    desk.raw(A, "One", 0.405)
    desk.raw(B, "One", 0.402)
    for model in (A, B):
        desk.prints("One", "40.2", model)
    assert desk.causes() == ["", ""]


@pytest.mark.parametrize(
    ("printed", "cause"), [("0.653", "a fraction, not points"), ("6530", "100 times too large")]
)
def test_points_against_fractions_are_named(desk: Desk, printed: str, cause: str) -> None:
    """65.3 points."""
    desk.raw(A, "One", 0.653)
    desk.prints("One", printed)
    assert desk.cell().cause == cause


def test_a_value_that_was_rounded_twice_is_named(desk: Desk) -> None:
    """32.449 rounds to 32.4, and by way of 32.45 to 32.5."""
    desk.raw(A, "One", 0.32449)
    desk.prints("One", "32.5")
    assert desk.cell().cause == "rounded twice: 32.449 -> 32.45 -> 32.5"


def test_cutting_off_is_named_when_it_explains_a_row(desk: Desk) -> None:
    """26.26 and 30.97 as 26.2 and 30.9; 41.62 agrees either way."""
    for task, score, value in (
        ("One", 0.2626, "26.2"),
        ("Two", 0.3097, "30.9"),
        ("Three", 0.4162, "41.6"),
    ):
        desk.raw(A, task, score)
        desk.prints(task, value)
    cut = "cut off, not rounded (as in 2 cells of this table)"
    assert desk.causes() == [cut, cut, ""]


def test_cutting_off_is_refuted_by_a_cell_that_was_rounded_up(desk: Desk) -> None:
    """The third cell, 41.67, is printed 41.7."""
    for task, score, value in (
        ("One", 0.2626, "26.2"),
        ("Two", 0.3097, "30.9"),
        ("Three", 0.4167, "41.7"),
    ):
        desk.raw(A, task, score)
        desk.prints(task, value)
    assert desk.causes() == ["", "", ""]


def test_a_slip_of_a_digit_is_named_in_a_row_that_is_otherwise_right(desk: Desk) -> None:
    """57.5 for 51.5."""
    desk.raw(A, "Three", 0.5152)
    desk.prints("Three", "57.5")
    for task in ("One", "Two", "Four"):
        desk.raw(A, task, 0.3)
        desk.prints(task, "30.0")
    assert desk.causes()[0] == "a slip of the digits of 51.5"


def test_a_size_from_the_models_name_is_named(desk: Desk) -> None:
    """model-300m has 307.6 million parameters."""
    desk.prints("params", "300", "org/model-300m", unit="params_m")
    (cell,) = desk.cells({"org/model-300m": ModelFacts(n_parameters=307_581_696)})
    assert cell.cause == "the size in the model's name, 300M"


def test_a_difference_of_printed_values_is_named(desk: Desk) -> None:
    """50.04 - 47.46 = 2.58; of the printed values 50.0 - 47.5 = 2.5."""
    desk.raw(A, "One", 0.5004)
    desk.raw(B, "One", 0.4746)
    desk.prints("One", "50.0", A, unit="main_score")
    desk.prints("One", "47.5", B, unit="main_score")
    desk.prints("One, gain over R1", "+2.5", unit="points", table="text")
    assert desk.causes()[-1] == "the difference of the printed 50.0 and 47.5"


# Causes: another quantity


def test_one_split_alone_is_named(desk: Desk) -> None:
    """MLQA-like: validation 71.19, test 49.89, mean 60.54."""
    desk.raw(A, "One", {"validation": {"default": 0.7119}, "test": {"default": 0.4989}})
    desk.prints("One", "49.9")
    assert desk.cell().cause == "the split test alone (49.89)"


def test_one_subset_alone_is_named(desk: Desk) -> None:
    """English 62.31 of a mean of 46.155."""
    desk.raw(A, "One", {"test": {"en": 0.6231, "de": 0.3}})
    desk.prints("One", "62.3")
    assert desk.cell().cause == "the subset en alone (62.31)"


def test_monolingual_pairs_alone_are_named(desk: Desk) -> None:
    """(80 + 70) / 2 of a mean of 55."""
    pairs = {"eng-eng": 0.8, "deu-deu": 0.7, "eng-deu": 0.4, "deu-eng": 0.3}
    desk.raw(A, "One", {"test": pairs})
    desk.prints("One", "75.0")
    assert desk.cell().cause == "the monolingual pairs alone (75.00)"


def test_one_split_within_an_average_is_named(desk: Desk) -> None:
    """(60 + 40 + 30) / 3 = 43.33; with One's test split of 45 alone, 38.33."""
    desk.raw(A, "One", {"validation": {"default": 0.75}, "test": {"default": 0.45}})
    desk.raw(A, "Two", 0.4)
    desk.raw(A, "Three", 0.3)
    desk.prints("Average", "38.3", unit="mean")
    assert desk.cell().cause == "One: the split test alone (38.33)"


def test_another_metric_is_named(desk: Desk) -> None:
    """MRR@10 in the place of nDCG@10."""
    desk.raw(A, "One", {"test": {"default": {"ndcg_at_10": 0.6, "mrr_at_10": 0.5234}}})
    desk.prints("One", "52.3")
    assert desk.cell().cause == "mrr_at_10 (52.34)"


def test_a_metric_that_explains_a_column_moves_up(desk: Desk) -> None:
    """Recall@10 explains both models, and says so."""
    for model, ndcg, recall, value in ((A, 0.6, 0.7123, "71.2"), (B, 0.5, 0.6345, "63.5")):
        desk.raw(model, "One", {"test": {"default": {"ndcg_at_10": ndcg, "recall_at_10": recall}}})
        desk.prints("One", value, model)
    assert desk.causes() == [
        "recall_at_10 (71.23) (as in 2 cells of this table)",
        "recall_at_10 (63.45) (as in 2 cells of this table)",
    ]


def test_a_metric_that_fits_one_of_many_is_not_claimed(desk: Desk) -> None:
    """Ten cut-offs within a point of each other: one fits by chance."""
    names = ("ndcg_at_1", "ndcg_at_3", "ndcg_at_5", "ndcg_at_20", "ndcg_at_100", "map_at_10")
    near = {name: 0.6 + 0.002 * step for step, name in enumerate(names)}
    desk.raw(A, "One", {"test": {"default": {"ndcg_at_10": 0.602, **near}}})
    desk.prints("One", "60.6")
    assert desk.cell().cause == ""


def test_another_revision_is_named(desk: Desk) -> None:
    """The older revision has what is printed."""
    desk.raw(A, "One", 0.6, revision="new", date=2.0)
    desk.raw(A, "One", 0.5512, revision="old", date=1.0)
    desk.prints("One", "55.1")
    assert desk.cell().cause == "another revision: old (55.12)"


def test_a_reported_result_is_named(desk: Desk) -> None:
    """What others reported is what is printed."""
    desk.raw(A, "One", 0.6)
    desk.raw(A, "One", 0.5512, revision="external")
    desk.prints("One", "55.1")
    assert desk.cell().cause == "another revision: reported by others (external) (55.12)"


def test_a_variant_is_named(desk: Desk) -> None:
    """At a maximum length of 512 the model scores what is printed."""
    desk.raw(A, "One", 0.6)
    desk.raw(A, "One", 0.5512, settings={"max_length": 512})
    desk.prints("One", "55.1")
    assert desk.cell().cause == "run with max_length=512 (55.12)"


def test_a_suite_of_a_similar_name_is_named(desk: Desk) -> None:
    """The average of two tasks under the name of the average of three: 35, not 45."""
    for task, score in (("One", 0.3), ("Two", 0.4), ("Three", 0.65)):
        desk.raw(A, task, score)
    desk.prints("Average", "35.0", unit="mean")
    assert desk.cell().cause.split("; ")[0] == "the Average of two (35.00)"


def test_a_related_task_in_an_average_is_named(desk: Desk) -> None:
    """(30 + 40 + 60) / 3 = 43.33; with OneHard's 50 in the place of 30, 50.0."""
    for task, score in (("One", 0.3), ("Two", 0.4), ("Three", 0.6), ("OneHard", 0.5)):
        desk.raw(A, task, score)
    desk.prints("Average", "50.0", unit="mean")
    assert desk.cell().cause == "OneHard in place of One (50.00)"


def test_a_task_left_out_is_named_when_it_explains_several_rows(desk: Desk) -> None:
    """Without Three: 35.0 and 28.0 where all three give 45.0 and 42.0."""
    for model, scores in ((A, (0.3, 0.4, 0.65)), (B, (0.2, 0.36, 0.7))):
        for task, score in zip(("Alpha", "Beta", "Gamma"), scores, strict=True):
            desk.raw(model, task, score)
    text = (
        "version: 1\ncolumns:\n  Three tasks: {tasks: [Alpha, Beta, Gamma], metric: ndcg_at_10}\n"
    )
    (desk.folder / "table.yaml").write_text(text, encoding="utf-8")
    desk.prints("Three tasks", "35.0", A, unit="mean")
    desk.prints("Three tasks", "28.0", B, unit="mean")
    assert desk.causes() == [
        "without Gamma (35.00) (as in 2 cells of this table)",
        "without Gamma (28.00) (as in 2 cells of this table)",
    ]
    desk.rows.pop()
    assert desk.causes() == [""]


def test_another_models_row_is_named_when_it_explains_several_cells(desk: Desk) -> None:
    """The row of a has the values of c, which the table does not have."""
    for model, scores in ((A, (0.3, 0.4)), (C, (0.5512, 0.6634)), (B, (0.1, 0.9))):
        desk.raw(model, "One", scores[0])
        desk.raw(model, "Two", scores[1])
    desk.prints("One", "55.1")
    desk.prints("Two", "66.3")
    assert desk.causes() == ["the value of org/c (as in 2 cells of this table)"] * 2


def test_another_average_of_the_quoted_paper_is_named(desk: Desk) -> None:
    """A summary of the paper gives the Average of two the name Average."""
    for task, score in (("One", 0.3), ("Two", 0.4), ("Three", 0.6), ("Four", 0.9)):
        desk.raw(A, task, score)
    text = COLUMNS.replace(
        "families:", "  All: {tasks: [One, Four], metric: ndcg_at_10}\nfamilies:"
    )
    (desk.folder / "table.yaml").write_text(text, encoding="utf-8")
    desk.prints("All", "60.0", unit="mean")
    desk.prints("Average", "60.0", unit="mean", source="summary of paper", table="text")
    assert desk.causes() == ["", "'All' of T1 under another name"]


def test_an_aggregates_own_result_that_lacks_a_part_is_found_out(desk: Desk) -> None:
    """CQADupstack's own result is the mean of 11 forums; the paper printed the mean of 12."""
    forums = (
        "Android English Gaming Gis Mathematica Physics Programmers Stats Tex Unix Webmasters "
        "Wordpress"
    ).split()
    for number, forum in enumerate(forums):
        score = 0.9 if forum == "Android" else 0.3 + number / 100
        desk.raw(A, f"CQADupstack{forum}Retrieval", score)
    # 0.31 to 0.41 have the mean 0.36; with Android's 0.9 it is (11 * 0.36 + 0.9) / 12 = 0.405.
    desk.raw(A, "CQADupstackRetrieval", 0.36)
    desk.prints("CQADupstackRetrieval", "40.5")
    cell = desk.cell()
    assert cell.verdict == "differs"
    assert cell.cause == (
        "CQADupstackRetrieval as the mean of its 12 parts (40.50); "
        "its own result lacks CQADupstackAndroidRetrieval"
    )
