"""Rerankers on a page: blocks, gains, and the section of the report."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from reranking_tree import Query, write_reranked
from results_tree import suite_of, write_result

from granite_bench.__main__ import main
from granite_bench.report.printed_table import PrintedTable
from granite_bench.report.reranking import lay_out_blocks, lay_out_gains
from granite_bench.report.suite_page import suite_page
from granite_bench.report.text import as_csv, as_latex, as_markdown
from granite_bench.suite.suite import Suite
from granite_bench.tables.table import Options, Table, make_table

SUITE_FILE = """
version: 1
name: small
title: Small reranking
description: For a test.
average: groups
groups: [{by: data, from: group}]
first_stages: [org/m]
rerankers: [org/r]
top_k: 20
query_tokens: 64
tasks: [{name: A, group: one}, {name: B, group: two}]
"""


def rows_at(first: float, reranked: float, ceiling: float = 1.0) -> list[Query]:
    """Four queries of these scores; recall is 0.9."""
    return [(first, reranked, ceiling, 0.9)] * 4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """
    Two tasks, a first stage with results of its own, and three rerankers behind it.

    org/good gains 10 points, org/bad loses 10 on each task, org/half has task A alone.
    """
    root = tmp_path / "results"
    for task, score in (("A", 0.4), ("B", 0.6)):
        write_result(root, "org/m", task, {"test": {"default": score}})
        write_reranked(root, "org/good", "org/m", task, rows_at(score, score + 0.1, 0.8))
        write_reranked(root, "org/bad", "org/m", task, rows_at(score, score - 0.1, 0.8))
    write_reranked(root, "org/half", "org/m", "A", rows_at(0.4, 0.7, 0.8))
    return root


SUITE = suite_of("A", "B", first_stages=["org/m"], rerankers=["org/good", "org/never"], top_k=20)


def table_of(root: Path, suite: Suite = SUITE, **options: object) -> Table:
    """The table of the suite."""
    return make_table(suite, [root], Options(**options))  # type: ignore[arg-type]


def texts(page: PrintedTable) -> list[dict[str, str]]:
    """A dictionary of head -> text for every row."""
    return [dict(zip(page.heads, (cell.text for cell in row), strict=True)) for row in page.rows]


def test_a_block_is_the_first_stage_its_rerankers_and_the_ceiling(root: Path) -> None:
    """As on the model card, and beside it what the rerankers gain, in points."""
    page = lay_out_blocks(table_of(root))
    shown = [
        tuple(row[head] for head in ("First stage", "Model", "Tasks", "Average", "A", "B", "Gain"))
        for row in texts(page)
    ]
    assert shown == [
        ("org/m", "org/m", "2/2", "50.00", "40.00", "60.00", "–"),
        ("org/m", "org/good", "2/2", "60.00", "50.00", "70.00", "+10.00"),
        ("org/m", "org/bad", "2/2", "40.00", "30.00", "50.00", "−10.00"),
        ("org/m", "org/half", "1/2", "–", "70.00", "–", "–"),
        ("org/m", "ceiling: the best order", "–", "80.00", "80.00", "80.00", "–"),
    ]


def test_the_best_of_a_block_is_marked_and_may_be_the_first_stage(root: Path) -> None:
    """The ceiling competes with nobody, nor does an incomplete reranker."""
    write_result(root, "org/other", "A", {"test": {"default": 0.9}})
    write_result(root, "org/other", "B", {"test": {"default": 0.9}})
    page = lay_out_blocks(table_of(root))
    column = list(page.heads).index("A")
    assert [row[column].place for row in page.rows] == [2, 1, 0, 0, 0]
    worse = lay_out_blocks(table_of(root, models=["org/m", "org/bad"]))
    assert [row[column].place for row in worse.rows] == [1, 2, 0]


def test_a_first_stage_without_results_is_shown_by_its_rerankers(root: Path) -> None:
    """A run of somebody else's has no result of its own; the rows per query have its score."""
    page = lay_out_blocks(table_of(root, models=["org/good"]))
    first = page.rows[0]
    assert [cell.text for cell in first[:4]] == ["org/m", "org/m", "–", "50.00"]
    assert first[3].note == "by its rerankers' records"


def test_every_gain_stands_beside_what_was_possible(root: Path) -> None:
    """A row for each reranker and task, and one for the average."""
    page = lay_out_gains(table_of(root, models=["org/m", "org/good"]))
    heads = ("Reranker", "Task", "First stage score", "Reranked", "Gain", "Ceiling", "Recall")
    assert [tuple(row[head] for head in heads) for row in texts(page)] == [
        ("org/good", "A", "40.00", "50.00", "+10.00", "80.00", "90.00"),
        ("org/good", "B", "60.00", "70.00", "+10.00", "80.00", "90.00"),
        ("org/good", "Average", "50.00", "60.00", "+10.00", "80.00", "90.00"),
    ]
    (row, *_) = texts(page)
    assert (row["Queries"], row["pairs/s"], row["query p50"]) == ("4", "20.0", "200")


def test_the_notes_say_what_was_cut_and_what_is_missing(root: Path) -> None:
    """What the candidates hold, who has not run, and who has no average."""
    notes = "\n".join(lay_out_blocks(table_of(root)).notes)
    assert "Reranked: the top 20, queries cut to 64 tokens." in notes
    assert "org/m: 90.0% of the relevant documents are among the candidates" in notes
    assert "org/m: not run yet: org/never." in notes
    assert "org/half behind org/m: no gain over all, since it has no rows per query of: B test" in (
        notes
    )


def test_different_candidates_are_noted(root: Path) -> None:
    """Two rerankers of one first stage should have had the same documents."""
    write_reranked(root, "org/late", "org/m", "A", rows_at(0.5, 0.6), candidates="others")
    notes = "\n".join(lay_out_blocks(table_of(root)).notes)
    assert "org/m: not all rerankers got the same candidates of A test" in notes


def test_blocks_that_differ_in_what_is_handed_on_say_so(root: Path) -> None:
    """The top 20 and the top 100 of one model are two blocks with two titles."""
    for task in ("A", "B"):
        write_reranked(root, "org/good", "org/m", task, rows_at(0.5, 0.6), top_k=100)
    page = lay_out_blocks(table_of(root))
    assert {row["First stage"] for row in texts(page)} == {
        "org/m, the top 20, queries cut to 64 tokens",
        "org/m, the top 100, queries cut to 64 tokens",
    }


def test_speeds_on_different_devices_have_columns_of_their_own(root: Path) -> None:
    """A GPU's pairs per second are not comparable with a CPU's."""
    gpu = {"cpu": "Test CPU", "cores": 4, "device_name": "Test GPU"}
    for task in ("A", "B"):
        write_reranked(root, "org/gpu", "org/m", task, rows_at(0.5, 0.6), hardware=gpu)
    page = lay_out_blocks(table_of(root, models=["org/good", "org/gpu"]))
    assert [head for head in page.heads if head.startswith("pairs/s")] == [
        "pairs/s [1]",
        "pairs/s [2]",
    ]
    notes = "\n".join(page.notes)
    assert "[1] Speed (suite-run/1) on Test CPU, 4 cores" in notes
    assert "[2] Speed (suite-run/1) on Test GPU" in notes


def test_csv_has_fractions_and_the_other_formats_the_same_rows(root: Path) -> None:
    """One layout for every format."""
    page = lay_out_gains(table_of(root, models=["org/good"]))
    (first, *_) = csv.DictReader(io.StringIO(as_csv(page)))
    assert float(first["Gain"]) == pytest.approx(0.1)
    assert (first["Reranked"], first["Ceiling"]) == ("0.5", "0.8")
    assert as_markdown(page).count("org/good") == as_latex(page).count("org/good") == 3


def test_a_suite_of_rerankers_is_shown_in_blocks_by_its_groups(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`table` has the card's shape without being told; --gains has every gain."""
    file = tmp_path / "small.yaml"
    file.write_text(SUITE_FILE)
    command = ["table", str(file), "--results", str(root), "--format", "json"]
    assert main(command) == 0
    (first, *_) = json.loads(capsys.readouterr().out)["rows"]
    assert {"First stage", "one", "two", "Gain"} <= set(first)
    assert main([*command, "--gains", "--by", "task"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["Task"]["value"] for row in rows} == {"A", "B", "Average"}


def test_a_suite_of_rerankers_without_results_says_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty table with its next step, not a fault."""
    (tmp_path / "results").mkdir()
    file = tmp_path / "small.yaml"
    file.write_text(SUITE_FILE)
    assert main(["table", str(file), "--results", str(tmp_path / "results")]) == 0
    assert f"No reranked results yet. Run: granite-bench run {file}" in capsys.readouterr().out


def test_the_report_has_a_section_with_a_drawing_for_each_first_stage(root: Path) -> None:
    """What the best reranker makes of it, in a sentence; the same results, the same bytes."""
    write_reranked(root, "org/good", "org/n", "A", rows_at(0.2, 0.3))
    table = table_of(root)
    page = suite_page(table)
    assert page == suite_page(table)
    assert 'id="reranking-1-title"' in page
    assert 'id="reranking-2-title"' in page
    assert (
        "org/good changes org/m by +10.00 points (95% interval +10.00 to +10.00); "
        "33% of what its candidates allow."
    ) in page
    assert "No reranker is complete behind org/n yet." in page
    assert page.index('id="reranking"') < page.index('id="scores"')


def test_a_drawing_has_every_task_and_reranker(root: Path) -> None:
    """A line each, named; a marker for every reranker with the task."""
    page = suite_page(table_of(root))
    drawing = page[page.index('aria-labelledby="reranking-1-title') :]
    drawing = drawing[: drawing.index("</svg>")]
    names = re.findall(r"<text[^>]*>([^<]+)</text>", drawing)
    assert {"A", "B"} <= set(names)
    assert drawing.count("var(--series-") >= 5  # good and bad on both, half on A


def test_reranked_results_show_in_a_suite_of_any_kind(root: Path) -> None:
    """A suite that names no rerankers has the section too, below its scores."""
    page = suite_page(table_of(root, suite_of("A", "B")))
    assert page.index('id="reranking"') > page.index('id="scores"')


def test_a_report_without_rerankers_has_no_such_section(root: Path) -> None:
    """Nothing is said where there is nothing to say."""
    assert 'id="reranking"' not in suite_page(table_of(root, suite_of("A"), models=["org/m"]))


def test_the_report_says_how_to_run_a_reranker_again(root: Path) -> None:
    """With its first stage and what of it is handed on."""
    page = suite_page(table_of(root))
    assert (
        "granite-bench run small --task A --reranker org/good --first-stage org/m "
        "--query-tokens 64 --top-k 20"
    ) in page


def test_names_from_outside_are_escaped_in_the_section(tmp_path: Path) -> None:
    """A model's name is text, whatever is in it."""
    root = tmp_path / "results"
    for task in ("A", "B"):
        write_reranked(root, "org/<b>bold", "org/<i>m", task, rows_at(0.2, 0.3))
    page = suite_page(table_of(root))
    assert "<b>bold" not in page
    assert "<i>m" not in page
    assert "&lt;b&gt;bold" in page
