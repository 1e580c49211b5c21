"""Everything that public results trees hold, in one tree, and the table over it."""

from __future__ import annotations

from pathlib import Path

import pytest
from results_tree import AWKWARD, suite_of, write_awkward_tree

from granite_bench.report.layout import lay_out
from granite_bench.report.suite_page import suite_page
from granite_bench.report.text import as_csv, as_json, as_latex, as_markdown
from granite_bench.tables.table import Table, make_table

TASKS = ("SciFact", "TaskB", {"name": "TaskC", "subsets": ["en", "de"]})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The tree."""
    (tmp_path / "results").mkdir()
    write_awkward_tree(tmp_path / "results")
    return tmp_path / "results"


def table_of(root: Path) -> Table:
    """The table over it."""
    return make_table(suite_of(*TASKS), [root])


def test_the_table_over_an_awkward_tree_is_right(root: Path) -> None:
    """Every row with its revision, what is complete, its average and its rank, by hand."""
    rows = table_of(root).rows
    assert [(r.model, r.revision, r.n_complete, r.average, r.rank) for r in rows] == list(AWKWARD)


def test_a_second_look_at_an_awkward_tree_gives_the_same_table(root: Path) -> None:
    """From the index, old forms and refused scores included."""
    assert suite_page(table_of(root)) == suite_page(table_of(root))


def test_the_notes_under_an_awkward_table_name_every_oddity(root: Path) -> None:
    """What is missing, what is refused, what is of another revision."""
    notes = lay_out(table_of(root)).notes
    assert "org/many: not of revision old: TaskC (external)." in notes
    assert (
        "org/refused: refused as impossible: SciFact test: ndcg_at_10 NaN, "
        "TaskB test: ndcg_at_10 50."
    ) in notes
    assert (
        "org/subset: 2 of 3 are complete, so it has no average and no rank; "
        "missing: TaskC[de] test."
    ) in notes


def test_provenance_over_an_awkward_tree_names_data_and_mteb_of_each_result(root: Path) -> None:
    """And which of three results of org/many counts, and why."""
    page = lay_out(table_of(root))
    notes = {row[1].text: row[page.heads.index("SciFact")].note for row in page.rows}
    assert notes["org/dated"] == "SciFact, revision rev-1, data data-0, mteb 1.14"
    assert notes["org/many"] == (
        "SciFact, revision old, data data-1, mteb 2.26.24 "
        "(of the revision with most of the suite of 2 results)"
    )


@pytest.mark.parametrize("write", [as_csv, as_json, as_latex, as_markdown])
def test_no_format_has_an_average_for_an_incomplete_row(write: object, root: Path) -> None:
    """The incomplete rows stand below the others, and their scores are on no average."""
    page = lay_out(table_of(root))
    assert callable(write)
    assert all(model in write(page).replace("\\", "") for model, *_ in AWKWARD)
    averages = [row[page.heads.index("Average")] for row in page.rows]
    assert [cell.value for cell in averages] == [average for *_, average, _ in AWKWARD]
    assert [cell.partial for cell in averages] == [False] * 5 + [True] * 3
