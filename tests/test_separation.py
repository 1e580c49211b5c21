"""Which neighbours in a ranking can be told apart, and how a table says so."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from results_tree import evaluation, suite_of, write_record, write_result

from granite_bench.cli import cli
from granite_bench.comparison.separation import Separation, separations_of
from granite_bench.errors import BadInput
from granite_bench.report.layout import headline, lay_out
from granite_bench.report.printed_table import PrintedTable
from granite_bench.report.suite_page import suite_page
from granite_bench.report.text import as_csv, as_json, as_latex, as_markdown
from granite_bench.results.tree import record_path
from granite_bench.tables.table import Options, Table, make_table

BEST = [0.9, 0.8, 0.7, 0.6, 0.9, 0.8, 0.7, 0.6]
CLOSE = [0.8, 0.9, 0.6, 0.7, 0.8, 0.9, 0.6, 0.5]
"""Four queries up a tenth, four down: p is near 1."""
WORSE = [score - 0.5 for score in CLOSE]
"""All eight queries half a point down: p is exactly 2 of 2^8 signs."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def write(
    root: Path,
    model: str,
    scores: Sequence[float],
    *,
    task: str = "TaskA",
    rows: bool = True,
    max_length: int | None = None,
) -> Path:
    """A result with the mean of *scores*, and its rows per query."""
    mean = round(sum(scores) / len(scores), 5)
    settings = None if max_length is None else {"max_length": max_length}
    path = write_result(root, model, task, {"test": {"default": mean}}, settings=settings)
    write_record(path, [evaluation()])
    if max_length is not None:
        record = record_path(path)
        content = json.loads(record.read_text())
        content["runs"][0]["settings"]["max_length"] = max_length
        record.write_text(json.dumps(content))
    if rows:
        entries = [
            {"split": "test", "subset": "default", "query_id": f"q{n}", "ndcg_at_10": score}
            for n, score in enumerate(scores)
        ]
        pq.write_table(pa.Table.from_pylist(entries), record_path(path).with_suffix(".parquet"))
    return path


def table_of(root: Path, *tasks: str, **options: bool) -> Table:
    """The table of these tasks, or of TaskA."""
    return make_table(suite_of(*(tasks or ("TaskA",))), [root], Options(**options))


@pytest.fixture
def three(root: Path) -> Table:
    """The second is as good as the first but for chance; the third is worse."""
    write(root, "org/best", BEST)
    write(root, "org/close", CLOSE)
    write(root, "org/worse", WORSE)
    return table_of(root)


def printed_table(table: Table) -> PrintedTable:
    """The page with the marks."""
    return lay_out(table, separations_of(table))


def ranks(page: PrintedTable) -> dict[str, str]:
    """model -> what is printed as its rank."""
    return {row[1].text: row[0].text for row in page.rows}


def test_a_row_is_held_against_the_ranked_row_above(three: Table) -> None:
    """Eight differences of one sign are 2 of 256 worlds; the mark is where p is 0.05 or more."""
    close, worse = separations_of(three)
    assert (close.above, close.model) == ("org/best", "org/close")
    assert close.p is not None
    assert close.p > 0.5
    assert close.inseparable
    assert (worse.above, worse.model, worse.p) == ("org/close", "org/worse", 2 / 256)
    assert not worse.inseparable


@pytest.mark.parametrize(("p", "inseparable"), [(0.05, True), (0.0499, False), (None, False)])
def test_inseparable_is_a_p_of_alpha_or_more(p: float | None, inseparable: bool) -> None:
    """What was not tested is not called so."""
    assert Separation("org/a", "org/b", p).inseparable is inseparable


def test_the_rank_is_marked_and_the_note_says_by_what(three: Table) -> None:
    """The sign stands in the text, and sorting goes by the rank."""
    page = printed_table(three)
    assert ranks(page) == {"org/best": "1", "org/close": "2 ≈", "org/worse": "3"}
    assert [row[0].value for row in page.rows] == [1, 2, 3]
    assert page.rows[1][0].note == "cannot be told from org/best"
    assert page.notes[0].startswith("≈ behind a rank: its average cannot be told")
    assert "paired randomisation test" in page.notes[0]
    assert "0.05" in page.notes[0]


def test_every_format_has_the_mark_or_the_p_value(three: Table) -> None:
    """CSV has numbers: the p value beside the rank."""
    page = printed_table(three)
    assert "| 2 ≈ | org/close |" in as_markdown(page)
    assert r"2 $\approx$ & org/close" in as_latex(page)
    assert "2 ≈" in suite_page(three, separations_of(three))
    rows = json.loads(as_json(page))["rows"]
    assert rows[1]["Rank"]["note"] == "cannot be told from org/best"
    (of_csv,) = [row for row in csv.DictReader(io.StringIO(as_csv(page))) if row["Rank"] == "3"]
    assert float(of_csv["p"]) == 2 / 256


def test_a_table_that_was_not_asked_has_no_marks(three: Table) -> None:
    """No test, no note, no column."""
    page = lay_out(three)
    assert ranks(page)["org/close"] == "2"
    assert "p" not in page.heads
    assert not any("≈" in note for note in page.notes)


def test_the_headline_does_not_sell_noise_as_a_lead(three: Table) -> None:
    """org/best leads org/close by 2.5 points that chance may have brought."""
    said = headline(three, separations_of(three))
    assert re.search(r"2\.50 ahead of org/close, which is no difference beyond noise \(p 0\.", said)
    assert headline(three).endswith("2.50 ahead of org/close.")


def test_a_lead_beyond_noise_is_a_lead(root: Path) -> None:
    """All queries half a point: the sentence is as without the test."""
    write(root, "org/close", CLOSE)
    write(root, "org/worse", WORSE)
    table = table_of(root)
    assert headline(table, separations_of(table)) == headline(table)


def test_a_pair_without_scores_per_query_is_not_tested_and_said_so(root: Path) -> None:
    """Results of other programs have none."""
    write(root, "org/best", BEST)
    write(root, "org/bare", CLOSE, rows=False)
    table = table_of(root)
    (found,) = separations_of(table)
    assert found.p is None
    assert found.why_not == "no scores per query of org/bare for TaskA test"
    page = printed_table(table)
    assert ranks(page) == {"org/best": "1", "org/bare": "2"}
    assert f"Not tested: org/best and org/bare below it: {found.why_not}." in page.notes


def test_a_pair_of_other_queries_is_not_tested(root: Path) -> None:
    """Seven of eight queries are shared: the averages are over different ones."""
    write(root, "org/best", BEST)
    write(root, "org/short", WORSE[:7])
    (found,) = separations_of(table_of(root))
    assert found.p is None
    assert "of 8 queries, 1 are only in the first" in found.why_not


def test_a_pair_that_is_not_like_for_like_is_not_tested(root: Path) -> None:
    """Texts cut to 128 tokens by choice."""
    write(root, "org/best", BEST)
    write(root, "org/best", CLOSE, max_length=128)
    (found,) = separations_of(table_of(root))
    assert found.p is None
    assert "texts cut to 512 and 128 tokens" in found.why_not


def test_rows_without_a_rank_take_no_part(root: Path) -> None:
    """With --partial a hole has an average and no rank; the rows around it are neighbours."""
    for task in ("TaskA", "TaskB"):
        write(root, "org/best", BEST, task=task)
        write(root, "org/worse", WORSE, task=task)
    write(root, "org/hole", CLOSE)
    table = table_of(root, "TaskA", "TaskB", partial=True)
    assert [(each.above, each.model) for each in separations_of(table)] == [
        ("org/best", "org/worse")
    ]
    assert ranks(printed_table(table))["org/hole"] == "–"


def test_common_tasks_are_what_is_tested(root: Path) -> None:
    """TaskB, which org/close lacks, would tell the two apart."""
    write(root, "org/best", BEST)
    write(root, "org/best", BEST, task="TaskB")
    write(root, "org/close", CLOSE)
    (found,) = separations_of(table_of(root, "TaskA", "TaskB", common=True))
    assert found.inseparable


def test_broken_rows_per_query_are_named_all_at_once(root: Path) -> None:
    """A table without marks does not read them; one with marks does not guess."""
    for model in ("org/a", "org/b"):
        path = write(root, model, BEST)
        record_path(path).with_suffix(".parquet").write_bytes(b"no Parquet")
    with pytest.raises(BadInput, match=r"(?s)org__a.*org__b"):
        separations_of(table_of(root))


# --- the command ------------------------------------------------------------------------------

SUITE = """\
version: 1
name: small
title: Small suite
description: For a test.
tasks: [TaskA]
"""


@pytest.fixture
def suite_file(tmp_path: Path) -> str:
    """The suite as a user has it."""
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    return str(path)


@pytest.mark.usefixtures("three")
def test_table_and_report_take_the_option(root: Path, suite_file: str, tmp_path: Path) -> None:
    """Both show the same mark."""
    options = [suite_file, "--results", str(root), "--inseparable"]
    done = CliRunner().invoke(cli, ["table", *options])
    assert done.exit_code == 0
    assert "2 ≈" in done.output
    out = tmp_path / "page.html"
    assert CliRunner().invoke(cli, ["report", *options, "--out", str(out)]).exit_code == 0
    assert "2 ≈" in out.read_text()


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["beir", "--speed"], "--speed has no ranks"),
        (["overview"], "for one suite"),
        (["rerank-top-20"], "a suite of rerankers has no ranks"),
    ],
)
def test_what_has_no_ranks_of_one_suite_refuses_the_option(
    arguments: list[str], says: str, root: Path
) -> None:
    """Instead of leaving it without effect."""
    command = ["table", *arguments, "--results", str(root), "--inseparable"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 2
    assert says in done.output
