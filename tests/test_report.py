"""A table on a page: what stands in it in every format, and that nothing in it is executed."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from large_tables import large_table
from results_tree import CPU, GPU, evaluation, suite_of, table_of, write_record, write_result
from rich.console import Console

from granite_bench.report import sources
from granite_bench.report.frame import SCRIPT, breakable
from granite_bench.report.layout import headline, lay_out
from granite_bench.report.printed_table import HOLE
from granite_bench.report.sources import sources_of
from granite_bench.report.suite_page import suite_page
from granite_bench.report.text import as_csv, as_markdown, print_table
from granite_bench.tables.run_command import reproduce
from granite_bench.tables.table import Options, Table, make_table

EVIL = "<img src=x onerror=alert(1)>"
TASKS = ("TaskA", "TaskB")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def write_scores(root: Path, model: str, *values: float, **options: Any) -> list[Path]:
    """Results of TaskA, TaskB and so on."""
    return [
        write_result(root, model, task, {"test": {"default": value}}, **options)
        for task, value in zip(TASKS, values, strict=False)
    ]


@pytest.fixture
def table(root: Path) -> Table:
    """org/good leads, org/bad follows, org/hole lacks TaskB; org/good has a record."""
    for path in write_scores(root, "org/good", 0.51234, 0.8, revision="abc"):
        write_record(path)
    write_scores(root, "org/bad", 0.6, 0.4)
    write_scores(root, "org/hole", 0.9)
    return table_of(root, *TASKS)


# --- the page ---------------------------------------------------------------------------------


def test_scores_are_times_100_with_two_decimals(table: Table) -> None:
    """0.51234 and 0.8, whose mean is 0.65617."""
    texts = [cell.text for cell in lay_out(table).rows[0]]
    assert texts[:6] == ["1", "org/good", "2/2", "65.62", "51.23", "80.00"]


def test_an_incomplete_row_shows_n_of_N_and_holes(table: Table) -> None:
    """No rank, no average, and TaskB is a hole."""
    texts = [cell.text for cell in lay_out(table).rows[2]]
    assert texts[:6] == [HOLE, "org/hole", "1/2", HOLE, "90.00", HOLE]


def test_a_half_done_task_shows_how_much_is_there_and_no_score(root: Path) -> None:
    """A mean over one language of two would be taken for the task's score."""
    write_result(root, "org/a", "TaskA", {"test": {"en": 0.9}})
    page = lay_out(table_of(root, {"name": "TaskA", "subsets": ["en", "de"]}))
    cell = page.rows[0][4]
    assert (cell.text, cell.value, cell.place, cell.partial) == ("(1/2)", None, 0, True)
    assert cell.note.startswith("missing 1 of 2: TaskA[de] test")


def test_what_is_missing_stands_under_the_table(table: Table) -> None:
    """With the reason that there is no rank."""
    (note,) = [note for note in lay_out(table).notes if "org/hole" in note]
    assert note == (
        "org/hole: 1 of 2 are complete, so it has no average and no rank; missing: TaskB test."
    )


def test_models_that_lack_the_same_share_a_note(root: Path) -> None:
    """Variants of a model often do; a third that lacks something else has its own."""
    for model, task in (("org/a", "TaskA"), ("org/b", "TaskA"), ("org/c", "TaskB")):
        write_result(root, model, task, {"test": {"default": 0.5}})
    notes = [note for note in lay_out(table_of(root, "TaskA", "TaskB")).notes if "missing" in note]
    assert notes == [
        "org/a, org/b: 1 of 2 are complete, so they have no average and no rank; "
        "missing: TaskB test.",
        "org/c: 1 of 2 are complete, so it has no average and no rank; missing: TaskA test.",
    ]


def test_the_best_and_the_second_of_complete_rows_are_marked(table: Table) -> None:
    """TaskA's 90 is org/hole's, which is incomplete: no bold, and it pushes nobody down."""
    assert placed(table) == {
        ("org/good", "Average"): 1,
        ("org/good", "TaskA"): 2,
        ("org/good", "TaskB"): 1,
        ("org/bad", "Average"): 2,
        ("org/bad", "TaskA"): 1,
        ("org/bad", "TaskB"): 2,
    }


def placed(table: Table) -> dict[tuple[str, str], int]:
    """(model, column) -> place, of what is marked."""
    page = lay_out(table)
    return {
        (row[1].text, head): cell.place
        for row in page.rows
        for head, cell in zip(page.heads, row, strict=True)
        if cell.place
    }


def test_two_devices_have_columns_of_their_own(root: Path) -> None:
    """A figure of one never stands under the head of the other; what is not measured is a hole."""
    for model, hardware in {"org/a": CPU, "org/b": GPU}.items():
        (path,) = write_scores(root, model, 0.5)
        write_record(path, [evaluation()], hardware=hardware)
    page = lay_out(table_of(root, "TaskA"))
    heads = [head for head in page.heads if head.startswith("docs/s")]
    assert heads == ["docs/s [1]", "docs/s [2]"]
    shown = {row[1].text: [row[page.heads.index(head)].text for head in heads] for row in page.rows}
    assert shown == {"org/a": ["50.0", HOLE], "org/b": [HOLE, "50.0"]}
    assert any("[1] Speed (suite-run/1) on Test CPU, 4 cores" in note for note in page.notes)


def test_the_headline_names_the_leader_and_its_lead(table: Table) -> None:
    """65.617 - 50 = 15.617."""
    assert headline(table) == "org/good leads with 65.62 over 2 tasks, 15.62 ahead of org/bad."


def test_without_a_complete_model_the_headline_says_so(root: Path) -> None:
    """There is no leader among holes."""
    write_scores(root, "org/hole", 0.9)
    assert headline(table_of(root, *TASKS)).startswith("No model is complete over 2 tasks")


def reproduced(table: Table) -> str:
    """The command of the first row's only result."""
    row = table.rows[0]
    (result,) = row.cells["TaskA"].sources
    return reproduce(table, row, result)


def test_the_command_to_reproduce_a_row_is_safe_to_paste(root: Path) -> None:
    """A model's name is quoted for the shell."""
    write_scores(root, "org/$(reboot)", 0.5)
    table = table_of(root, "TaskA")
    assert reproduced(table) == "granite-bench run small --task TaskA --model 'org/$(reboot)'"


def test_the_command_to_reproduce_a_variant_has_its_settings(root: Path) -> None:
    """Otherwise it computes the model as it is, which is another row."""
    settings = {"dtype": "bfloat16", "embed_dim": 256, "max_length": 512, "output_dtypes": "int8"}
    write_scores(root, "org/a", 0.5, settings=settings)
    table = table_of(root, "TaskA")
    command = reproduced(table)
    assert command.startswith("granite-bench run small --task TaskA --model org/a ")
    assert "--dtype bfloat16" in command
    assert "--max-length 512" in command
    assert "--dims 256" in command
    assert "--precision int8" in command


def test_a_variant_that_run_cannot_make_has_no_command(root: Path) -> None:
    """An option that does not exist would be an error, and leaving it out another row."""
    write_scores(root, "org/a", 0.5, settings={"seed": 128})
    assert reproduced(table_of(root, "TaskA")).startswith("made by another program: seed")


# --- Markdown ---------------------------------------------------------------------------------


def test_markdown_is_a_github_table_with_the_best_in_bold(root: Path) -> None:
    """Text to the left, numbers to the right."""
    write_scores(root, "org/good", 0.51234)
    write_scores(root, "org/bad", 0.4)
    lines = as_markdown(lay_out(table_of(root, "TaskA"))).splitlines()
    assert lines[:4] == [
        "| Rank | Model | Tasks (n/N) | Average (mean) | TaskA (nDCG@10) |",
        "| ---: | :--- | ---: | ---: | ---: |",
        "| 1 | org/good | 1/1 | **51.23** | **51.23** |",
        "| 2 | org/bad | 1/1 | 40.00 | 40.00 |",
    ]


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("**a**", r"\*\*a\*\*"),
        ("[a](javascript:b)", r"\[a\](javascript:b)"),
        (EVIL, r"\<img src=x onerror=alert(1)\>"),
        ("a\nb", "a\N{REPLACEMENT CHARACTER}b"),
        ("`a` \\ b_c", r"\`a\` \\ b\_c"),
    ],
)
def test_a_models_name_is_no_markdown(name: str, escaped: str, root: Path) -> None:
    """A pipe would shift the columns, a line break would end the table."""
    write_named(root, name)
    lines = as_markdown(lay_out(table_of(root, "TaskA"))).splitlines()
    assert f"| 1 | {escaped} | 1/1 |" in lines[2]


def test_a_tasks_name_is_no_markdown(root: Path) -> None:
    """A suite of the user's own may call its task anything."""
    write_scores(root, "org/a", 0.5)
    heads = as_markdown(lay_out(table_of(root, {"name": "Task|*A*"}))).splitlines()[0]
    assert r"| Task\|\*A\* (nDCG@10) |" in heads


def write_named(root: Path, name: str) -> Path:
    """A result of a model whose name no folder could have; model_meta.json says it."""
    path = write_result(root, "org/a", "TaskA", {"test": {"default": 0.5}})
    (path.parent / "model_meta.json").write_text(json.dumps({"name": name, "revision": "rev-1"}))
    return path


# --- CSV --------------------------------------------------------------------------------------


def test_csv_has_fractions_and_empty_fields_for_holes(table: Table) -> None:
    """Unrounded, so that nobody computes with two decimals."""
    rows = list(csv.DictReader(io.StringIO(as_csv(lay_out(table)))))
    good, _, hole = rows
    assert (good["Rank"], good["Model"], good["Tasks"]) == ("1", "org/good", "2/2")
    assert float(good["Average"]) == pytest.approx(0.65617, abs=1e-12)
    assert float(good["TaskA"]) == 0.51234
    assert (hole["Rank"], hole["Average"], hole["TaskA"], hole["TaskB"]) == ("", "", "0.9", "")


def test_csv_of_a_half_done_task_is_empty(root: Path) -> None:
    """Not (1/2), which a spreadsheet takes for a date."""
    write_result(root, "org/a", "TaskA", {"test": {"en": 0.9}})
    text = as_csv(lay_out(table_of(root, {"name": "TaskA", "subsets": ["en", "de"]})))
    assert next(csv.DictReader(io.StringIO(text)))["TaskA"] == ""


def test_csv_quotes_commas_and_quotes_in_names(root: Path) -> None:
    """A variant's name has commas."""
    write_named(root, 'a "b", c')
    text = as_csv(lay_out(table_of(root, "TaskA")))
    assert next(csv.DictReader(io.StringIO(text)))["Model"] == 'a "b", c'


# --- terminal ---------------------------------------------------------------------------------


def printed(table: Table, **options: Any) -> str:
    """What print_table sends to a terminal."""
    out = io.StringIO()
    console = Console(file=out, width=options.pop("width", 200), **options)
    print_table(lay_out(table), console)
    return out.getvalue()


@pytest.mark.parametrize("control", ["\x1b[2J", "\x1b]0;owned\x07", "\r", "\x9b31m", "\x7f"])
def test_no_control_character_of_a_name_reaches_the_terminal(control: str, root: Path) -> None:
    """It could clear the screen or overwrite the line above."""
    write_named(root, f"org/{control}a")
    text = printed(table_of(root, "TaskA"))
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text) == []
    assert "org/\N{REPLACEMENT CHARACTER}" in text


def test_no_control_character_of_a_suites_title_reaches_the_terminal(root: Path) -> None:
    r"""YAML allows "\e" in a quoted title."""
    write_scores(root, "org/a", 0.5)
    text = printed(table_of(root, "TaskA", title="Small\x1b[2J suite"))
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text) == []


def test_brackets_in_a_name_are_no_markup(root: Path) -> None:
    """rich would take [red] for a colour, and swallow it."""
    write_named(root, "org/[red]a[/red]")
    assert "org/[red]a[/red]" in printed(table_of(root, "TaskA"))


def test_a_pipe_gets_no_escape_codes(table: Table) -> None:
    """The best is bold on a terminal, and plain in a file."""
    assert "\x1b[1m" in printed(table, force_terminal=True, color_system="standard")
    assert "\x1b" not in printed(table)


def test_a_narrow_terminal_loses_no_digit(table: Table) -> None:
    """80 columns fold names and heads; nothing is cut off, and no number is broken."""
    text = printed(table, width=80)
    assert "…" not in text
    assert all(score in text for score in ("65.62", "51.23", "80.00"))


# --- HTML -------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the rows of each table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, Mapping[str, str | None]]] = []
        self.tables: list[list[list[dict[str, Any]]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element opens."""
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append({"tag": tag, "text": "", **dict(attrs)})

    def handle_endtag(self, tag: str) -> None:
        """An element closes, and with it what was left open in it."""
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Text, which is read unless it is style or script."""
        if {"style", "script"} & set(self._open):
            return
        self.text += data
        if {"th", "td"} & set(self._open):
            self.tables[-1][-1][-1]["text"] += data

    @property
    def scores(self) -> list[list[dict[str, Any]]]:
        """The rows of the first table, without its heads."""
        return self.tables[0][1:]


def page_of(table: Table) -> Page:
    """The report, parsed."""
    return Page(suite_page(table))


def test_html_has_one_row_per_model(table: Table) -> None:
    """In the order of the table, with the texts of the page."""
    shown = [[cell["text"].strip() for cell in row] for row in page_of(table).scores]
    assert shown == [[cell.text for cell in row] for row in lay_out(table).rows]


def test_html_heads_have_a_scope(table: Table) -> None:
    """So that a screen reader names model and task with each score."""
    for rows in page_of(table).tables:
        assert {head.get("scope") for head in rows[0]} == {"col"}
        assert [[c.get("scope") for c in row if c["tag"] == "th"] for row in rows[1:]] == (
            [["row"]] * (len(rows) - 1)
        )


def test_html_scores_lead_to_where_they_come_from(table: Table) -> None:
    """Every score of org/good links to the row of its result, its average to all of them."""
    text = suite_page(table)
    row = text[text.index("<tbody>") : text.index("</tr>", text.index("<tbody>"))]
    of_model, average, *scores = re.findall(r'href="#([^"]+)"', row)
    assert of_model == average
    for anchor, task in zip(scores, TASKS, strict=True):
        found = text[text.index(f'<tbody id="{anchor}">') :]
        assert f'<th scope="row">{task}</th><td>data-1</td>' in found[: found.index("</tbody>")]
    section = text[text.index(f'id="{of_model}"') : text.index("</dl>")]
    for said in ("abc", "2.26.24", "max length 512", "sentence-transformers 5.2.0", "Test CPU"):
        assert f"{said}" in section


def test_what_results_differ_in_is_said_of_each(root: Path) -> None:
    """Two versions of mteb: a column; one revision of the model: said once."""
    old, _ = write_scores(root, "org/a", 0.5, 0.6)
    old.write_text(old.read_text().replace("2.26.24", "1.2.0"))
    (of_model,) = sources_of(table_of(root, *TASKS))
    assert of_model.facts["Revision"] == "rev-1"
    assert "mteb" not in of_model.facts
    said = [
        dict(zip(of_model.heads, texts, strict=True))["mteb"]
        for column in of_model.columns
        for _, texts in column.rows
    ]
    assert said == ["1.2.0", "2.26.24"]


def test_what_is_missing_stands_where_scores_come_from(table: Table) -> None:
    """With the command that computes it; complete rows have neither."""
    good, _, hole = sources_of(table)
    assert (good.missing, good.finish) == ("", "")
    assert hole.missing == "TaskB test"
    assert hole.finish == "granite-bench run small --model org/hole"


def test_anchors_stay_when_models_and_tasks_are_added(root: Path, table: Table) -> None:
    """A link into a report that was committed leads to the same score in the next one."""
    before = {each.model: (each.anchor, each.links["TaskA"]) for each in sources_of(table)}
    write_scores(root, "org/another", 0.1, 0.1)
    after = {
        each.model: (each.anchor, each.links["TaskA"])
        for each in sources_of(table_of(root, "TaskZ", *TASKS))
    }
    assert {model: after[model] for model in before} == before


def test_names_whose_digests_begin_alike_have_anchors_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one digit, seventeen names must share one; more digits are taken until none do."""
    monkeypatch.setattr(sources, "_SHORTEST_DIGEST", 1)
    names = [f"org/{n}" for n in range(17)]
    assert len(set(sources.short_digests(names).values())) == 17


def test_html_of_an_incomplete_row_has_no_average_and_no_rank(table: Table) -> None:
    """n/N instead, and the reason in the title."""
    hole = page_of(table).scores[2]
    assert [cell["text"].strip() for cell in hole[:4]] == [HOLE, "org/hole", "1/2", HOLE]
    assert hole[3]["title"] == "no average over an incomplete suite"
    assert hole[5]["title"] == "missing 1 of 1: TaskB test"


def test_html_marks_the_best_not_by_colour_alone(table: Table) -> None:
    """A triangle and weight; the legend says so."""
    text = suite_page(table)
    page = Page(text)
    marked = {
        (row[1]["text"], column, kind)
        for row in page.scores
        for column, cell in enumerate(row)
        for kind in ("best", "second")
        if kind in (cell.get("class") or "").split()
    }
    assert marked == {
        ("org/good", 3, "best"),
        ("org/good", 4, "second"),
        ("org/good", 5, "best"),
        ("org/bad", 3, "second"),
        ("org/bad", 4, "best"),
        ("org/bad", 5, "second"),
    }
    assert re.search(r"\.best::before \{[^}]*content: \"▲", text)
    assert re.search(r"\.best \{[^}]*font-weight: 700", text)
    assert re.search(r"\.second::before \{[^}]*content: \"△", text)
    assert "▲ marks the highest score of a column, △ the second" in page.text


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("org/all-MiniLM-L6-v2", "org/<wbr>all-<wbr>MiniLM-<wbr>L6-<wbr>v2"),
        ("PasskeyByLength", "PasskeyBy<wbr>Length"),
        ("docs/s", "docs/s"),
        ("T test_256 (embed_dim=64)", "T test_256 (embed_dim=64)"),
    ],
)
def test_names_go_on_in_the_next_line_where_a_word_of_them_begins(name: str, broken: str) -> None:
    """Not within a unit, a split or a setting."""
    assert str(breakable(name)) == broken


def test_html_names_every_result_and_its_command(table: Table) -> None:
    """A table for each model: two results of org/good, two of org/bad, one of org/hole."""
    text = suite_page(table)
    models = re.findall(r"<summary>(.*?) <small>(\d) result", text)
    assert models == [("org/<wbr>good", "2"), ("org/<wbr>bad", "2"), ("org/<wbr>hole", "1")]
    good, bad, hole = (
        [[cell["text"] for cell in row] for row in rows[1:]] for rows in Page(text).tables[1:]
    )
    assert [len(rows) for rows in (good, bad, hole)] == [2, 2, 1]
    assert good[0][:3] == ["TaskA", "data-1", "25.0% of documents"]
    assert good[0][-1] == "granite-bench run small --task TaskA --model org/good"


@pytest.mark.parametrize("place", ["model", "task", "title", "description", "subset", "record"])
def test_html_from_outside_is_text(place: str, root: Path) -> None:
    """Nothing that a name or a setting says becomes an element, in cells or in titles."""
    evil = f'">{EVIL}'
    path = write_named(root, evil if place == "model" else "org/a")
    write_record(path, [evaluation(prompts={evil: evil})] if place == "record" else None)
    tasks: list[Any] = ["TaskA"]
    if place == "task":
        tasks.append(evil)
    if place == "subset":
        tasks.append({"name": "TaskB", "subsets": [evil]})
    changes = {place: evil} if place in ("title", "description") else {}
    page = page_of(table_of(root, *tasks, **changes))
    assert "img" not in {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name == "onerror"]
    assert EVIL in page.text or place == "subset"


def test_html_of_an_evil_model_shows_its_name(root: Path) -> None:
    """As it is, to be found and removed."""
    write_named(root, EVIL)
    assert page_of(table_of(root, "TaskA")).scores[0][1]["text"] == EVIL


def test_html_forbids_everything_but_its_own_style_and_script(table: Table) -> None:
    """The content-security policy stands before anything else that could load or run."""
    elements = page_of(table).elements
    policy = next(a for tag, a in elements if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in (policy["content"] or "").split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{sha256_of(SCRIPT)}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    before = [tag for tag, _ in elements[: elements.index(("meta", policy))]]
    assert before == ["html", "head", "meta", "meta"]


def sha256_of(script: str) -> str:
    """As a content-security policy names it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def test_the_one_script_of_a_report_is_the_one_that_its_policy_names(table: Table) -> None:
    """Byte for byte, white space included, or a browser refuses it."""
    text = suite_page(table)
    (script,) = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert [attributes for tag, attributes in Page(text).elements if tag == "script"] == [{}]
    assert f"script-src 'sha256-{sha256_of(script)}';" in text


def test_html_loads_nothing(table: Table) -> None:
    """No address of elsewhere in an attribute, in the style or in the script."""
    text = suite_page(table)
    elements = Page(text).elements
    assert not {tag for tag, _ in elements} & {"link", "img", "iframe", "object", "base"}
    loading = {"src", "srcset", "href", "data", "action", "poster", "background"}
    loaded = [a[name] for _, a in elements for name in loading & set(a)]
    assert loaded
    assert [each for each in loaded if not (each or "").startswith("#")] == []
    assert not re.search(r"https?://|url\(|@import", text)


def test_the_same_results_make_the_same_bytes(root: Path, table: Table) -> None:
    """No date of today, no order by chance."""
    again = table_of(root, *TASKS)
    assert suite_page(again).encode() == suite_page(table).encode()


def test_results_in_another_place_make_the_same_bytes(root: Path, table: Table) -> None:
    """No path of a machine gets into a report."""
    elsewhere = root.parent / "elsewhere" / "results"
    shutil.copytree(root, elsewhere)
    assert suite_page(table_of(elsewhere, *TASKS)) == suite_page(table)


def test_html_by_group_says_so(root: Path) -> None:
    """The heading names the grouping; the columns are the groups."""
    write_scores(root, "org/a", 0.5)
    suite = suite_of(
        {"name": "TaskA", "group": "German"}, groups=[{"by": "language", "from": "group"}]
    )
    page = page_of(make_table(suite, [root], Options(by="language")))
    assert "Scores by language" in page.text
    assert "German" in [head["text"] for head in page.tables[0][0]]


def test_html_without_results_says_how_to_get_some(root: Path) -> None:
    """Instead of an empty table."""
    root.mkdir()
    assert "granite-bench run small" in page_of(table_of(root, "TaskA")).text


def test_thirty_models_over_eighteen_tasks_weigh_less_than_a_megabyte() -> None:
    """With a record behind every score; and the bytes are the same again."""
    page = suite_page(large_table(30, 18))
    assert page.count("granite-bench run small --task") == 30 * 18
    assert len(page.encode()) < 1_000_000
    assert suite_page(large_table(30, 18)) == page


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_shows_the_table_and_runs_nothing(root: Path, tmp_path: Path) -> None:
    """What it makes of the file: every model in the first table, and no image element."""
    write_named(root, EVIL)
    write_scores(root, "org/b", 0.4)
    report = tmp_path / "report.html"
    report.write_text(suite_page(table_of(root, "TaskA")), encoding="utf-8")
    quiet = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync"
    )
    done = subprocess.run(
        [
            str(CHROMIUM),
            *quiet.split(),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            report.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    page = Page(done.stdout)
    assert [row[1]["text"] for row in page.scores] == [EVIL, "org/b"]
    assert "img" not in {tag for tag, _ in page.elements}
