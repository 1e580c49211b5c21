"""Which of several results counts: each clause of the rule, with the reason that it leaves."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from results_tree import suite_of, write_result

from granite_bench.results.tree import read_results
from granite_bench.tables.selection import Selection, select
from granite_bench.tables.table import Options, Row, make_table

TWO = {"name": "TaskA", "subsets": ["en", "de"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def half(value: float = 0.5) -> dict[str, dict[str, float]]:
    """A whole result of a task with one split and subset."""
    return {"test": {"default": value}}


def chosen(*folders: Path, tasks: tuple[object, ...] = ("TaskA",), own_first: bool = False) -> Row:
    """The row of org/a in the table over these folders."""
    options = Options(own_first=own_first)
    (row,) = make_table(suite_of(*tasks), folders, options).rows  # type: ignore[arg-type]
    return row


def test_the_most_complete_result_wins_over_a_newer_one(root: Path) -> None:
    """Two subsets of old before one of new, which scored higher."""
    write_result(root, "org/a", "TaskA", {"test": {"en": 0.2, "de": 0.4}}, revision="old", date=1)
    write_result(root, "org/a", "TaskA", {"test": {"en": 0.9}}, revision="new", date=2)
    row = chosen(root, tasks=(TWO,))
    assert (row.revision, row.average) == ("old", pytest.approx(0.3))
    assert row.reasons == {"TaskA": "the most complete of 2 results"}


def test_subsets_outside_the_suite_make_no_result_more_complete(root: Path) -> None:
    """Three subsets, one of them wanted, are fewer than the two that are wanted."""
    write_result(root, "org/a", "TaskA", {"test": {"en": 0.9, "fr": 0.9, "it": 0.9}}, revision="x")
    write_result(root, "org/a", "TaskA", {"test": {"en": 0.2, "de": 0.4}}, revision="y")
    assert chosen(root, tasks=(TWO,)).revision == "y"


@pytest.mark.parametrize("value", [math.nan, 55.0])
def test_a_refused_score_makes_no_result_complete(value: float, root: Path) -> None:
    """A newer NaN, or a newer score in points, does not hide the older score that is right."""
    write_result(root, "org/a", "TaskA", half(0.4), revision="right", date=1)
    write_result(root, "org/a", "TaskA", half(value), revision="wrong", date=2)
    assert chosen(root).cells["TaskA"].value == 0.4


def test_measured_wins_over_reported_by_others(root: Path) -> None:
    """Though what the folder external holds is newer."""
    write_result(root, "org/a", "TaskA", half(0.9), revision="external", date=2)
    write_result(root, "org/a", "TaskA", half(0.2), revision="abc", date=1)
    row = chosen(root)
    assert (row.revision, row.average) == ("abc", 0.2)
    assert row.reasons == {"TaskA": "measured, not reported by others of 2 results"}


def test_a_more_complete_external_result_wins_over_a_measured_one(root: Path) -> None:
    """Completeness stands before the origin."""
    write_result(root, "org/a", "TaskA", {"test": {"en": 0.2, "de": 0.4}}, revision="external")
    write_result(root, "org/a", "TaskA", {"test": {"en": 0.9}}, revision="abc")
    row = chosen(root, tasks=(TWO,))
    assert (row.revision, row.average) == ("external", pytest.approx(0.3))


def test_external_results_fill_the_row_where_nothing_was_measured(root: Path) -> None:
    """And the row names them, task by task."""
    for task in ("TaskA", "TaskB"):
        write_result(root, "org/a", task, half(0.2), revision="abc")
    write_result(root, "org/a", "TaskC", half(0.8), revision="external")
    row = chosen(root, tasks=("TaskA", "TaskB", "TaskC"))
    assert (row.revision, row.average) == ("abc", pytest.approx(0.4))
    assert row.other_revisions == {"TaskC": "external"}


def test_the_revision_with_most_of_the_suite_wins_over_a_newer_one(root: Path) -> None:
    """So that a row is of one revision where it can be."""
    for task in ("TaskA", "TaskB"):
        write_result(root, "org/a", task, half(0.2), revision="whole", date=1)
    write_result(root, "org/a", "TaskA", half(0.9), revision="new", date=2)
    row = chosen(root, tasks=("TaskA", "TaskB"))
    assert (row.revision, row.average) == ("whole", pytest.approx(0.2))
    assert row.reasons == {"TaskA": "of the revision with most of the suite of 2 results"}
    assert row.other_revisions == {}


def test_tasks_outside_the_suite_give_a_revision_no_weight(root: Path) -> None:
    """TaskX and TaskY are in no column."""
    for task in ("TaskA", "TaskX", "TaskY"):
        write_result(root, "org/a", task, half(0.2), revision="wide", date=1)
    write_result(root, "org/a", "TaskA", half(0.9), revision="new", date=2)
    assert chosen(root).revision == "new"


def test_two_revisions_with_half_of_the_suite_each_make_a_row_that_says_so(root: Path) -> None:
    """Each task has one result, so nothing was chosen; the minority is named."""
    for task in ("TaskA", "TaskB"):
        write_result(root, "org/a", task, half(0.2), revision="one")
    write_result(root, "org/a", "TaskC", half(0.5), revision="two")
    row = chosen(root, tasks=("TaskA", "TaskB", "TaskC"))
    assert (row.n_complete, row.average) == (3, pytest.approx(0.3))
    assert (row.revision, row.other_revisions, row.reasons) == ("one", {"TaskC": "two"}, {})


def test_the_newest_of_equally_complete_revisions_wins(root: Path) -> None:
    """Whatever their names; here the newest has the first name."""
    for revision, date in {"a": 2.0, "b": 1.0}.items():
        write_result(root, "org/a", "TaskA", half(date / 10), revision=revision, date=date)
    row = chosen(root)
    assert (row.revision, row.reasons) == ("a", {"TaskA": "the newest of 2 results"})


def test_a_result_with_a_date_wins_over_one_without(root: Path) -> None:
    """Older releases of mteb write none."""
    write_result(root, "org/a", "TaskA", half(), revision="a", date=None)
    write_result(root, "org/a", "TaskA", half(), revision="b", date=1.0)
    assert chosen(root).revision == "b"


def test_of_equal_results_the_one_of_the_folder_named_first_wins(tmp_path: Path) -> None:
    """In either order of the folders."""
    one, two = tmp_path / "one/results", tmp_path / "two/results"
    write_result(one, "org/a", "TaskA", half(0.2))
    write_result(two, "org/a", "TaskA", half(0.9))
    first = chosen(one, two)
    assert (first.average, chosen(two, one).average) == (0.2, 0.9)
    assert first.reasons == {"TaskA": "of the folder named first of 2 results"}


def test_own_results_do_not_win_unless_asked(tmp_path: Path) -> None:
    """One subset of one's own against both in the public tree."""
    mine, theirs = tmp_path / "mine/results", tmp_path / "theirs/results"
    write_result(mine, "org/a", "TaskA", {"test": {"en": 0.9}})
    write_result(theirs, "org/a", "TaskA", {"test": {"en": 0.2, "de": 0.4}})
    row = chosen(mine, theirs, tasks=(TWO,))
    assert (row.average, row.reasons["TaskA"]) == (
        pytest.approx(0.3),
        "the most complete of 2 results",
    )


def test_own_first_puts_the_first_folder_before_a_more_complete_result(tmp_path: Path) -> None:
    """The row is then incomplete, and its reason says why."""
    mine, theirs = tmp_path / "mine/results", tmp_path / "theirs/results"
    write_result(mine, "org/a", "TaskA", {"test": {"en": 0.9}})
    write_result(theirs, "org/a", "TaskA", {"test": {"en": 0.2, "de": 0.4}})
    row = chosen(mine, theirs, tasks=(TWO,), own_first=True)
    assert (row.average, row.cells["TaskA"].value) == (None, 0.9)
    assert row.reasons == {"TaskA": "one's own of 2 results"}


def test_own_first_still_takes_other_tasks_from_the_other_folder(tmp_path: Path) -> None:
    """(0.2 + 0.4) / 2."""
    mine, theirs = tmp_path / "mine/results", tmp_path / "theirs/results"
    write_result(mine, "org/a", "TaskA", half(0.2), date=1)
    write_result(theirs, "org/a", "TaskA", half(0.9), date=2)
    write_result(theirs, "org/a", "TaskB", half(0.4), date=2)
    row = chosen(mine, theirs, tasks=("TaskA", "TaskB"), own_first=True)
    assert row.average == pytest.approx(0.3)


def test_a_variant_is_a_model_of_its_own(root: Path) -> None:
    """(embed_dim=512) neither fills nor replaces results of the model itself."""
    write_result(root, "org/a", "TaskA", half(0.5), date=1)
    write_result(root, "org/a", "TaskA", half(0.4), settings={"embed_dim": 512}, date=2)
    write_result(root, "org/a", "TaskB", half(0.4), settings={"embed_dim": 512}, date=2)
    selections = select(suite_of("TaskA", "TaskB"), [read_results(root)])
    assert {model: sorted(each.results) for model, each in selections.items()} == {
        "org/a": ["TaskA"],
        "org/a (embed_dim=512)": ["TaskA", "TaskB"],
    }


def test_a_task_without_a_choice_has_no_reason(root: Path) -> None:
    """There is nothing to explain."""
    write_result(root, "org/a", "TaskA", half())
    selection: Selection = select(suite_of("TaskA"), [read_results(root)])["org/a"]
    assert (list(selection.results), selection.reasons) == (["TaskA"], {})


def test_the_reason_stands_in_the_provenance_of_the_cell(root: Path) -> None:
    """And the rule under the table."""
    from granite_bench.report.layout import lay_out
    from granite_bench.tables.selection import RULE

    write_result(root, "org/a", "TaskA", half(0.4), revision="old", date=1)
    write_result(root, "org/a", "TaskA", half(0.5), revision="new", date=2)
    page = lay_out(make_table(suite_of("TaskA"), [root]))
    note = page.rows[0][page.heads.index("TaskA")].note
    assert note == "TaskA, revision new, data data-1, mteb 2.26.24 (the newest of 2 results)"
    assert RULE in page.notes


def test_checkpoints_of_one_name_are_rows_of_their_own(root: Path) -> None:
    """run calls A/final and B/final both local/final; their content is their revision."""
    write_result(root, "local/final", "TaskA", half(0.5), revision="aaaaaaaaaa")
    write_result(root, "local/final", "TaskA", half(0.6), revision="bbbbbbbbbb")
    table = make_table(suite_of("TaskA"), [root], Options(models=["local/final"]))
    assert [row.model for row in table.rows] == ["local/final @bbbbbbb", "local/final @aaaaaaa"]
