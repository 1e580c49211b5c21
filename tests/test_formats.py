"""What a table says in every format: partial and common averages, LaTeX, JSON, sortable HTML."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from results_tree import suite_of, table_of, write_record, write_result
from rich.console import Console
from test_report import Page as HtmlPage
from test_report import sha256_of

from granite_bench.cli import cli
from granite_bench.commands.options import TABLE_FORMATS
from granite_bench.errors import BadInput
from granite_bench.report.frame import SCRIPT
from granite_bench.report.layout import lay_out
from granite_bench.report.printed_table import HOLE, PrintedTable
from granite_bench.report.suite_page import suite_page
from granite_bench.report.text import as_csv, as_json, as_latex, as_markdown, print_table
from granite_bench.tables.table import Options, Table, make_table

TWO = {"name": "TaskA", "subsets": ["en", "de"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def write_scores(root: Path, model: str, *values: float | None) -> None:
    """Results of TaskA, TaskB and so on; None is no result."""
    for letter, value in zip("ABCDEF", values, strict=False):
        if value is not None:
            write_result(root, model, f"Task{letter}", {"test": {"default": value}})


def made(root: Path, *tasks: Any, **options: Any) -> Table:
    """The table of these tasks with these options."""
    return make_table(suite_of(*tasks), [root], Options(**options))


def cells(page: PrintedTable, model: str) -> dict[str, Any]:
    """Head -> cell of one row."""
    (row,) = [row for row in page.rows if row[1].text == model]
    return dict(zip(page.heads, row, strict=True))


def as_terminal(page: PrintedTable) -> str:
    """What a pipe gets."""
    out = io.StringIO()
    print_table(page, Console(file=out, width=240))
    return out.getvalue()


# --- --partial --------------------------------------------------------------------------------


@pytest.fixture
def partial(root: Path) -> Table:
    """org/hole has one subset of TaskA and no TaskB; org/whole has both tasks."""
    write_result(root, "org/whole", "TaskA", {"test": {"en": 0.5, "de": 0.7}})
    write_result(root, "org/whole", "TaskB", {"test": {"default": 0.4}})
    write_result(root, "org/hole", "TaskA", {"test": {"en": 0.9}})
    write_result(root, "org/hole", "TaskB", {"test": {"default": 0.75}})
    write_result(root, "org/half", "TaskA", {"test": {"en": 0.8}})
    return made(root, TWO, "TaskB", partial=True)


def test_a_partial_row_has_a_marked_average_over_what_is_there_and_no_rank(partial: Table) -> None:
    """(0.9 + 0.75) / 2 and 0.8, behind the complete row though both are higher."""
    page = lay_out(partial)
    assert [row[1].text for row in page.rows] == ["org/whole", "org/hole", "org/half"]
    averages = {row[1].text: cells(page, row[1].text)["Average"] for row in page.rows}
    assert {model: cell.text for model, cell in averages.items()} == {
        "org/whole": "50.00",
        "org/hole": "82.50*",
        "org/half": "80.00*",
    }
    assert [cell.place for cell in averages.values()] == [1, 0, 0]
    assert [row.rank for row in partial.rows] == [1, None, None]


def test_a_partial_score_is_marked_and_is_never_the_best(partial: Table) -> None:
    """90 over one of two subsets does not beat 60 over both; a whole score of the row counts."""
    page = lay_out(partial)
    hole = cells(page, "org/hole")
    assert (hole["TaskA"].text, hole["TaskA"].place) == ("90.00*", 0)
    assert cells(page, "org/whole")["TaskA"].place == 1
    assert (hole["TaskB"].text, hole["TaskB"].place) == ("75.00", 1)
    assert cells(page, "org/half")["TaskB"].text == HOLE


def test_under_a_partial_table_stands_what_the_star_means(partial: Table) -> None:
    """With what is missing."""
    (note,) = [note for note in lay_out(partial).notes if note.startswith("org/hole")]
    assert note == (
        "org/hole: 1 of 2 are complete, so * marks what is not over all, and it has no rank; "
        "missing: TaskA[de] test."
    )


STARRED: dict[str, Callable[[PrintedTable], str]] = {
    "terminal": as_terminal,
    "md": lambda page: as_markdown(page).replace("\\", "").replace("**", ""),
    "latex": as_latex,
}


@pytest.mark.parametrize("form", STARRED)
def test_partial_values_have_a_star_in_text(form: str, partial: Table) -> None:
    """Average and task of the row; the complete score beside them has none."""
    text = STARRED[form](lay_out(partial))
    (line,) = [line for line in text.splitlines() if "org/hole" in line and "82.50" in line]
    assert "82.50*" in line
    assert "90.00*" in line
    assert "75.00*" not in line


def test_partial_values_have_a_star_in_csv(partial: Table) -> None:
    """So that no program takes them for numbers without being told."""
    rows = {row["Model"]: row for row in csv.DictReader(io.StringIO(as_csv(lay_out(partial))))}
    hole = rows["org/hole"]
    assert (hole["Average"], hole["TaskA"], hole["TaskB"]) == ("0.825*", "0.9*", "0.75")
    assert rows["org/whole"]["TaskA"] == "0.6"


def test_partial_values_are_marked_in_json(partial: Table) -> None:
    """The number stays a number."""
    rows = {row["Model"]["value"]: row for row in json.loads(as_json(lay_out(partial)))["rows"]}
    hole = rows["org/hole"]
    assert (hole["Average"]["value"], hole["Average"]["partial"]) == (pytest.approx(0.825), True)
    assert (hole["TaskA"]["value"], hole["TaskA"]["partial"]) == (0.9, True)
    assert (hole["TaskB"]["value"], hole["TaskB"]["partial"]) == (0.75, False)


def test_partial_values_are_marked_in_html(partial: Table) -> None:
    """By a star, and by a class; neither best nor second."""
    page = HtmlPage(suite_page(partial))
    (hole,) = [row for row in page.scores if row[1]["text"] == "org/hole"]
    average = hole[[head["text"] for head in page.tables[0][0]].index("Averagemean")]
    assert average["text"] == "82.50*"
    assert average["class"].split() == ["partial"]


def test_without_partial_nothing_is_starred(root: Path, partial: Table) -> None:
    """The same results, and no average over holes in any format."""
    page = lay_out(made(root, TWO, "TaskB"))
    assert cells(page, "org/hole")["Average"].text == HOLE
    for write in (as_terminal, as_csv, as_json, as_latex):
        assert "82.5" not in write(page)
        assert "0.825" not in write(page)


# --- --common ---------------------------------------------------------------------------------


@pytest.fixture
def common(root: Path) -> Table:
    """TaskA and TaskC are there for both models; a third one has nothing."""
    write_scores(root, "org/a", 0.2, 0.9, 0.4)
    write_scores(root, "org/b", 0.5, None, 0.6)
    return made(
        root,
        "TaskA",
        "TaskB",
        "TaskC",
        common=True,
        models=["org/a", "org/b", "org/none"],
    )


def test_common_averages_are_over_the_tasks_that_every_model_has(common: Table) -> None:
    """(0.5 + 0.6) / 2 before (0.2 + 0.4) / 2; without --common org/b would have no average."""
    assert [(row.model, row.average, row.rank) for row in common.rows[:2]] == [
        ("org/b", pytest.approx(0.55), 1),
        ("org/a", pytest.approx(0.3), 2),
    ]


def test_the_head_of_a_common_average_says_of_how_many_tasks(common: Table) -> None:
    """In the head, and under the table; TaskB has no column."""
    page = lay_out(common)
    assert dict(zip(page.heads, page.subheads, strict=True))["Average"] == "mean of 2 of 3"
    assert [head for head in page.heads if head.startswith("Task")] == ["Tasks", "TaskA", "TaskC"]
    assert any(note.startswith("Over the 2 of 3 tasks that every model") for note in page.notes)


@pytest.mark.parametrize("write", [as_terminal, as_markdown, as_latex, as_json])
def test_every_format_with_subheads_says_of_how_many_tasks(
    write: Callable[[PrintedTable], str], common: Table
) -> None:
    """A common average is no suite average, and must not be taken for one."""
    assert "mean of 2 of 3" in write(lay_out(common))


def test_a_model_without_results_narrows_nothing(common: Table) -> None:
    """Or one misspelt name would leave no task."""
    (row,) = [row for row in common.rows if row.model == "org/none"]
    assert (row.n_complete, row.n_tasks, row.average) == (0, 2, None)


def test_a_model_that_is_not_shown_narrows_nothing(root: Path) -> None:
    """org/b lacks TaskB, and is not asked for."""
    write_scores(root, "org/a", 0.2, 0.9)
    write_scores(root, "org/b", 0.5)
    table = made(root, "TaskA", "TaskB", common=True, models=["org/a"])
    assert list(table.columns) == ["TaskA", "TaskB"]


def test_a_half_done_task_is_not_common(root: Path) -> None:
    """One of two subsets is not the task."""
    write_result(root, "org/a", "TaskA", {"test": {"en": 0.9}})
    write_scores(root, "org/a", None, 0.5)
    assert list(made(root, TWO, "TaskB", common=True).columns) == ["TaskB"]


def test_without_a_common_task_common_is_an_error(root: Path) -> None:
    """With what to do about it."""
    write_scores(root, "org/a", 0.2, None)
    write_scores(root, "org/b", None, 0.5)
    with pytest.raises(BadInput) as caught:
        made(root, "TaskA", "TaskB", common=True)
    (fault,) = caught.value.faults
    assert (fault.where, fault.what) == ("--common", "no task is complete for every model")
    assert "--model or --panel" in str(caught.value)


def test_common_groups_are_over_common_tasks(root: Path) -> None:
    """German without TaskB, which org/b lacks: 0.2, and not 0.55."""
    write_scores(root, "org/a", 0.2, 0.9)
    write_scores(root, "org/b", 0.5)
    suite = suite_of(
        {"name": "TaskA", "group": "German"},
        {"name": "TaskB", "group": "German"},
        groups=[{"by": "language", "from": "group"}],
    )
    table = make_table(suite, [root], Options(by="language", common=True))
    assert {row.model: row.cells["German"].value for row in table.rows} == {
        "org/a": 0.2,
        "org/b": 0.5,
    }


# --- best, second and ranks with ties ---------------------------------------------------------


def test_ties_share_the_first_place_and_the_next_score_is_second(root: Path) -> None:
    """Two at 50.00 are both bold; 40.00 is underlined; the ranks are 1, 1, 3, 4."""
    for model, value in {"a": 0.5, "b": 0.50004, "c": 0.4, "d": 0.3}.items():
        write_scores(root, f"org/{model}", value)
    page = lay_out(made(root, "TaskA"))
    assert [row[0].text for row in page.rows] == ["1", "1", "3", "4"]
    for head in ("Average", "TaskA"):
        assert {row[1].text: cells(page, row[1].text)[head].place for row in page.rows} == {
            "org/a": 1,
            "org/b": 1,
            "org/c": 2,
            "org/d": 0,
        }


@pytest.mark.parametrize("value", [0.00065, 0.40845, 0.51235, 0.62745, 0.70125, 0.81005])
def test_the_best_score_is_marked_however_its_last_digit_is_rounded(
    value: float, root: Path
) -> None:
    """Scores of five decimals that end in 5, as mteb rounds them."""
    write_scores(root, "org/a", value)
    assert cells(lay_out(made(root, "TaskA")), "org/a")["TaskA"].place == 1


def test_a_second_of_an_incomplete_row_is_not_underlined(root: Path) -> None:
    """No bold and no underline for incomplete rows, and they take no place from others."""
    write_scores(root, "org/a", 0.5, 0.5)
    write_scores(root, "org/b", 0.3, 0.3)
    write_scores(root, "org/hole", 0.4)
    page = lay_out(made(root, "TaskA", "TaskB"))
    places = {row[1].text: cells(page, row[1].text)["TaskA"].place for row in page.rows}
    assert places == {"org/a": 1, "org/b": 2, "org/hole": 0}


# --- refused scores ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"), [(float("nan"), "NaN"), (55.0, "55"), (-0.25, "-0.25"), (1.5, "1.5")]
)
def test_an_impossible_score_is_refused_and_named(value: float, shown: str, root: Path) -> None:
    """In the cell and under the table: a negative nDCG is as impossible as one of 55."""
    write_scores(root, "org/a", value)
    page = lay_out(made(root, "TaskA"))
    cell = cells(page, "org/a")["TaskA"]
    assert cell.text == HOLE
    assert f"refused: TaskA test: ndcg_at_10 {shown}" in cell.note
    assert f"org/a: refused as impossible: TaskA test: ndcg_at_10 {shown}." in page.notes


@pytest.mark.parametrize("metric", ["cosine_spearman", "cosine_pearson", "spearman"])
def test_a_correlation_may_be_negative_but_not_below_minus_one(metric: str, root: Path) -> None:
    """-0.25 and -1 are scores, -1.5 is none."""
    task = {"name": "TaskA", "metric": metric}
    found = {}
    for value in (-0.25, -1.0, -1.5):
        write_result(root, "org/a", "TaskA", {"test": {"default": {metric: value}}})
        found[value] = made(root, task).rows[0].average
    assert found == {-0.25: -0.25, -1.0: -1.0, -1.5: None}


# --- LaTeX ------------------------------------------------------------------------------------


def latex_of(root: Path, *tasks: Any, **options: Any) -> str:
    """The table as LaTeX."""
    return as_latex(lay_out(made(root, *tasks, **options)))


def test_latex_is_a_booktabs_table_with_best_bold_and_second_underlined(root: Path) -> None:
    """Worked by hand, line by line."""
    write_scores(root, "org/a", 0.51234)
    write_scores(root, "org/b", 0.4)
    write_scores(root, "org/c", 0.3)
    lines = latex_of(root, "TaskA").splitlines()
    assert lines[:10] == [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{rlrrr}",
        r"\toprule",
        r"Rank & Model & Tasks & Average & TaskA \\",
        r" &  & n/N & mean & nDCG@10 \\",
        r"\midrule",
        r"1 & org/a & 1/1 & \textbf{51.23} & \textbf{51.23} \\",
        r"2 & org/b & 1/1 & \underline{40.00} & \underline{40.00} \\",
        r"3 & org/c & 1/1 & 30.00 & 30.00 \\",
        r"\bottomrule",
    ]
    assert lines[10] == r"\end{tabular}"
    assert all(line.startswith("% ") for line in lines[11:])


def test_latex_holes_are_en_dashes(root: Path) -> None:
    """In any input encoding."""
    write_scores(root, "org/a", 0.5)
    assert "-- & org/a & 1/2 & -- & 50.00 & --" in latex_of(root, "TaskA", "TaskB")


ESCAPES = {
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def write_named(root: Path, name: str) -> None:
    """A result of a model whose name no folder could have."""
    path = write_result(root, "org/x", "TaskA", {"test": {"default": 0.5}})
    (path.parent / "model_meta.json").write_text(json.dumps({"name": name}))


@pytest.mark.parametrize("character", ESCAPES)
def test_a_character_that_latex_reads_is_escaped(character: str, root: Path) -> None:
    """In the names of models, tasks and notes."""
    write_named(root, f"a{character}b")
    text = latex_of(root, {"name": "TaskA"}, f"T{character}U")
    assert f"-- & a{ESCAPES[character]}b & 1/2" in text
    assert f" & T{ESCAPES[character]}U \\\\" in text


def test_a_line_break_in_a_models_name_ends_no_row(root: Path) -> None:
    """A suite refuses one in the name of a task."""
    write_named(root, "a\nb")
    assert " & a\N{REPLACEMENT CHARACTER}b & 1/1" in latex_of(root, "TaskA")


def test_latex_has_balanced_braces_and_equal_columns_whatever_the_names(root: Path) -> None:
    r"""Without escaped characters: as many & in every line, and each { has its }."""
    write_named(root, "".join(ESCAPES))
    write_scores(root, "org/b", 0.9)
    text = latex_of(root, "TaskA", "".join(ESCAPES))
    table = "".join(line for line in text.splitlines(keepends=True) if line[0] != "%")
    bare = re.sub(r"\\[&%$#_{}\\]", "", table)
    assert bare.count("{") == bare.count("}")
    rows = [line for line in bare.splitlines() if "&" in line]
    assert len(rows) == 4
    assert {line.count("&") for line in rows} == {5}
    assert not re.search(r"[%$#_^~<>]", bare)


LATEX = shutil.which("pdflatex") or shutil.which("latex") or shutil.which("tectonic")


@pytest.mark.skipif(LATEX is None, reason="no LaTeX on this machine")
def test_latex_compiles(root: Path, tmp_path: Path) -> None:
    """With every character that LaTeX reads in a name."""
    write_named(root, "".join(ESCAPES))
    document = tmp_path / "table.tex"
    document.write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
        f"{latex_of(root, 'TaskA')}\\end{{document}}\n"
    )
    command = [str(LATEX), document.name]
    if not str(LATEX).endswith("tectonic"):
        command.insert(1, "-interaction=nonstopmode")
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout


# --- JSON -------------------------------------------------------------------------------------


def test_json_holds_everything_that_is_on_the_page(root: Path) -> None:
    """Title, heads with units, each row's values and notes, and the sentences under the table."""
    write_scores(root, "org/a", 0.51234, 0.5)
    write_scores(root, "org/b", 0.4)
    page = lay_out(made(root, "TaskA", "TaskB"))
    content = json.loads(as_json(page))
    assert content["title"] == page.title
    assert content["units"] == dict(zip(page.heads, page.subheads, strict=True))
    assert content["notes"] == list(page.notes)
    for row, cells_ in zip(content["rows"], page.rows, strict=True):
        assert list(row) == list(page.heads)
        for head, cell in zip(page.heads, cells_, strict=True):
            if head in ("Model", "Tasks"):
                assert row[head] == {"value": cell.text, "note": cell.note}
            else:
                assert row[head] == {
                    "value": cell.value,
                    "partial": cell.partial,
                    "note": cell.note,
                }


def test_json_says_of_which_revision_a_row_is(root: Path) -> None:
    """As the model's note does on the page."""
    write_scores(root, "org/a", 0.5)
    page = lay_out(made(root, "TaskA"))
    assert page.rows[0][1].note == "revision rev-1"
    row = json.loads(as_json(page))["rows"][0]
    del row["TaskA"]  # its note has the result's revision
    assert "revision rev-1" in json.dumps(row)


def test_json_scores_are_unrounded_fractions_and_holes_are_null(root: Path) -> None:
    """A program computes with them."""
    write_scores(root, "org/a", 0.512345678)
    row = json.loads(as_json(lay_out(made(root, "TaskA", "TaskB"))))["rows"][0]
    assert row["TaskA"]["value"] == 0.512345678
    assert (row["TaskB"]["value"], row["Average"]["value"], row["Rank"]["value"]) == (None,) * 3


def test_json_has_no_nan(root: Path) -> None:
    """A parser that knows the standard alone reads it."""

    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    write_scores(root, "org/a", float("nan"), float("inf"))
    text = as_json(lay_out(made(root, "TaskA", "TaskB", partial=True)))
    json.loads(text, parse_constant=refuse)


# --- HTML that sorts --------------------------------------------------------------------------


@pytest.fixture
def sortable(root: Path) -> str:
    """Three models whose order by TaskB differs from that by rank; one has a hole."""
    for model, values in {"a": (0.9, 0.095), "b": (0.5, 0.2), "c": (0.1, 0.1)}.items():
        write_scores(root, f"org/{model}", *values)
    write_scores(root, "org/hole", 0.3)
    return suite_page(table_of(root, "TaskA", "TaskB"))


CHROMIUM = shutil.which("chromium")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


def browse(page: str, folder: Path, clicks: str = "") -> HtmlPage:
    """What a browser makes of a page, after a script of the test has run, if any."""
    if clicks:
        page = page.replace("script-src ", f"script-src 'sha256-{sha256_of(clicks)}' ", 1)
        page = page.replace("</body>", f"<script>{clicks}</script></body>")
    report = folder / "report.html"
    report.write_text(page, encoding="utf-8")
    quiet = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync"
    )
    done = subprocess.run(
        [
            str(CHROMIUM),
            *quiet.split(),
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom",
            report.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return HtmlPage(done.stdout)


@needs_browser
def test_a_browser_runs_the_one_script_that_the_policy_allows(
    sortable: str, tmp_path: Path
) -> None:
    """It made a button of each head of the scores, and of no other; the texts are the same."""
    page = browse(sortable, tmp_path)
    heads = [head["text"] for head in HtmlPage(sortable).tables[0][0]]
    assert sum(tag == "button" for tag, _ in page.elements) == len(heads)
    assert [head["text"] for head in page.tables[0][0]] == heads


@needs_browser
def test_a_browser_runs_no_other_script(sortable: str, tmp_path: Path) -> None:
    """The same script with one more space is refused by the policy."""
    page = browse(sortable.replace(SCRIPT, SCRIPT + " "), tmp_path)
    assert not [tag for tag, _ in page.elements if tag == "button"]


@needs_browser
@pytest.mark.parametrize(
    ("column", "n_clicks", "order", "says"),
    [
        ("TaskB", 1, ["org/b", "org/c", "org/a", "org/hole"], "descending"),
        ("TaskB", 2, ["org/a", "org/c", "org/b", "org/hole"], "ascending"),
        ("Model", 1, ["org/a", "org/b", "org/c", "org/hole"], "ascending"),
        ("Model", 2, ["org/hole", "org/c", "org/b", "org/a"], "descending"),
        ("Rank", 2, ["org/a", "org/b", "org/c", "org/hole"], "ascending"),
    ],
)
def test_a_click_on_a_head_sorts_the_rows_with_holes_last(
    column: str, n_clicks: int, order: list[str], says: str, sortable: str, tmp_path: Path
) -> None:
    """By value: 9.50 is below 10.00, though "9" is above "1"; aria-sort says which way."""
    click = (
        '[...document.querySelectorAll("thead button")]'
        f'.find((button) => button.textContent.startsWith("{column}")).click();'
    )
    page = browse(sortable, tmp_path, click * n_clicks)
    assert [row[1]["text"] for row in page.scores] == order
    sorted_by = {
        head["aria-sort"]: head["text"] for head in page.tables[0][0] if "aria-sort" in head
    }
    assert list(sorted_by) == [says]
    assert sorted_by[says].startswith(column)


# --- the command line -------------------------------------------------------------------------


@pytest.mark.parametrize("form", TABLE_FORMATS)
def test_table_prints_every_format(form: str, root: Path) -> None:
    """The model, and its score in the format's own form."""
    path = write_result(root, "org/a", "SciFact", {"test": {"default": 0.51234}})
    write_record(path)
    done = CliRunner().invoke(
        cli,
        ["table", "nano", "--results", str(root), "--format", form, "--model", "org/a"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    assert "org/a" in done.output


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--partial"], "51.23*"),
        (["--common"], "mean of 1 of "),
        (["--facts"], "Parameters"),
        (["--partial", "--own-first"], "51.23*"),
    ],
)
def test_the_options_reach_the_table(flags: list[str], says: str, root: Path) -> None:
    """In Markdown."""
    write_result(root, "org/a", "SciFact", {"test": {"default": 0.51234}})
    command = ["table", "beir", "--results", str(root), "--format", "md", *flags]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert says in done.output.replace("\\", "")
