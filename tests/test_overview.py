"""The overview: suites as columns, each the suite's own average where it is complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from results_tree import write_record, write_result

from granite_bench.cli import cli
from granite_bench.errors import BadInput
from granite_bench.report.layout import headline, lay_out
from granite_bench.report.printed_table import HOLE
from granite_bench.report.suite_page import suite_page
from granite_bench.suite.overview import Overview, is_overview, load_overview
from granite_bench.suite.shipped import overview_names, panel_names, suite_names, suites_folder
from granite_bench.suite.suite import Suite, load_suite
from granite_bench.tables.overview import make_overview
from granite_bench.tables.table import Options, Row, Table

ENGLISH, RARB = load_suite("english-retrieval"), load_suite("rar-b")
PAIR = {
    "version": 1,
    "name": "pair",
    "title": "Pair",
    "description": "Two suites.",
    "suites": [ENGLISH.name, RARB.name],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def write_suite(root: Path, model: str, suite: Suite, value: float, **options: Any) -> None:
    """Every task of a suite, whole, with the same score everywhere."""
    for task in suite.tasks[options.pop("start", 0) :]:
        scores = {
            split: {subset: {task.metric: value} for subset in task.subsets}
            for split in task.splits
        }
        write_result(root, model, task.name, scores, **options)


def overview_of(root: Path, **options: Any) -> Table:
    """The overview of two suites."""
    return make_overview(Overview.model_validate(PAIR), [root], Options(**options))


def row_of(table: Table, model: str) -> Row:
    """The one row of a model."""
    (row,) = [row for row in table.rows if row.model == model]
    return row


def test_the_columns_are_the_suites_averages_and_the_average_is_over_suites(root: Path) -> None:
    """0.4 and 0.8 make 0.6, though the suites differ in their numbers of tasks."""
    write_suite(root, "org/a", ENGLISH, 0.4)
    write_suite(root, "org/a", RARB, 0.8)
    row = row_of(overview_of(root), "org/a")
    assert len(ENGLISH.tasks) != len(RARB.tasks)
    assert {name: cell.value for name, cell in row.cells.items()} == {
        ENGLISH.title: pytest.approx(0.4),
        RARB.title: pytest.approx(0.8),
    }
    assert (row.average, row.rank) == (pytest.approx(0.6), 1)


def test_an_incomplete_suite_has_no_value_and_counts_its_tasks(root: Path) -> None:
    """One of two suites is complete, so there is no average and no rank."""
    write_suite(root, "org/a", ENGLISH, 0.4)
    write_suite(root, "org/a", RARB, 0.8, start=2)
    row = row_of(overview_of(root), "org/a")
    cell = row.cells[RARB.title]
    n_tasks = len(RARB.tasks)
    assert (cell.value, cell.n_there, cell.n_expected) == (None, n_tasks - 2, n_tasks)
    assert list(cell.missing) == [task.name for task in RARB.tasks[:2]]
    assert (row.n_complete, row.n_tasks, row.average, row.rank) == (1, 2, None, None)


def test_a_suite_without_any_result_is_a_hole(root: Path) -> None:
    """And names all its tasks as missing."""
    write_suite(root, "org/a", ENGLISH, 0.4)
    table = overview_of(root)
    page = lay_out(table)
    assert page.rows[0][page.heads.index(RARB.title)].text == HOLE
    assert list(row_of(table, "org/a").cells[RARB.title].missing) == [t.name for t in RARB.tasks]


def test_the_page_of_an_overview_counts_suites(root: Path) -> None:
    """The head says Suites, and under each suite stands how many tasks it has."""
    write_suite(root, "org/a", ENGLISH, 0.4)
    write_suite(root, "org/a", RARB, 0.8, start=2)
    page = lay_out(overview_of(root))
    texts = dict(zip(page.heads, (cell.text for cell in page.rows[0]), strict=True))
    heads = dict(zip(page.heads, page.subheads, strict=True))
    assert (texts["Suites"], texts["Average"], texts[ENGLISH.title]) == ("1/2", HOLE, "40.00")
    assert texts[RARB.title] == f"({len(RARB.tasks) - 2}/{len(RARB.tasks)})"
    assert heads[ENGLISH.title] == f"mean of {len(ENGLISH.tasks)}"
    assert "The average is the mean over the suites." in page.notes[0]


def test_a_partial_overview_marks_the_incomplete_suite_and_the_average(root: Path) -> None:
    """(0.4 + 0.8) / 2, starred, without a rank."""
    write_suite(root, "org/a", ENGLISH, 0.4)
    write_suite(root, "org/a", RARB, 0.8, start=2)
    page = lay_out(overview_of(root, partial=True))
    texts = dict(zip(page.heads, (cell.text for cell in page.rows[0]), strict=True))
    assert (texts["Rank"], texts["Average"]) == (HOLE, "60.00*")
    assert (texts[ENGLISH.title], texts[RARB.title]) == ("40.00", "80.00*")


def test_rows_of_an_overview_are_ranked_by_the_mean_over_suites(root: Path) -> None:
    """0.6 before 0.5; the best and the second of each suite are marked."""
    for model, (first, second) in {"org/a": (0.4, 0.8), "org/b": (0.5, 0.5)}.items():
        write_suite(root, model, ENGLISH, first)
        write_suite(root, model, RARB, second)
    table = overview_of(root)
    page = lay_out(table)
    assert [(row.model, row.rank) for row in table.rows] == [("org/a", 1), ("org/b", 2)]
    assert [row[page.heads.index(ENGLISH.title)].place for row in page.rows] == [2, 1]
    assert headline(table) == "org/a leads with 60.00 over 2 suites, 10.00 ahead of org/b."


def test_a_model_of_the_second_suite_alone_is_not_called_without_results(root: Path) -> None:
    """It was asked for, and the first suite has nothing of it."""
    write_suite(root, "org/a", RARB, 0.8)
    table = overview_of(root, models=["org/a"])
    assert row_of(table, "org/a").revision == "rev-1"
    assert not [note for note in lay_out(table).notes if note.startswith("No results of")]


def test_results_of_other_revisions_are_named_in_an_overview(root: Path) -> None:
    """As in the table of a suite."""
    write_suite(root, "org/a", ENGLISH, 0.4, revision="abc")
    write_suite(root, "org/a", RARB, 0.8, revision="external")
    row = row_of(overview_of(root), "org/a")
    assert row.revision in ("abc", "external")
    others = {"abc": "external", "external": "abc"}
    assert set(row.other_revisions.values()) == {others[row.revision]}


def test_a_choice_among_results_is_explained_in_an_overview(root: Path) -> None:
    """Which counted and why is in the provenance of every table."""
    write_suite(root, "org/a", ENGLISH, 0.4, revision="old", date=1)
    write_suite(root, "org/a", ENGLISH, 0.5, revision="new", date=2)
    row = row_of(overview_of(root), "org/a")
    assert row.reasons[ENGLISH.tasks[0].name] == "the newest of 2 results"


def test_the_report_of_an_overview_reproduces_task_by_task(root: Path) -> None:
    """`run` takes a suite; an overview is none."""
    import re

    write_suite(root, "org/a", ENGLISH, 0.4)
    commands = re.findall(r"granite-bench run (.*?) --model", suite_page(overview_of(root)))
    assert set(commands) == {f"--task {task.name}" for task in ENGLISH.tasks}


def test_suites_of_one_title_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The title is the head of a column: the second suite would take the first one's place."""
    same = RARB.model_copy(update={"title": ENGLISH.title})
    monkeypatch.setattr(
        "granite_bench.tables.overview.load_suite",
        {ENGLISH.name: ENGLISH, RARB.name: same}.__getitem__,
    )
    with pytest.raises(BadInput, match=f"{ENGLISH.name} and {RARB.name} have the same title"):
        overview_of(root)


# --- columns at a length ----------------------------------------------------------------------


def at_lengths(root: Path, english: int | None = 1024, rarb: int | None = 8192) -> Table:
    """The overview of two suites, each at its length."""
    columns = [
        {"suite": ENGLISH.name, "max_length": english},
        {"suite": RARB.name, "max_length": rarb},
    ]
    return make_overview(Overview.model_validate({**PAIR, "suites": columns}), [root], Options())


def write_at(
    root: Path, model: str, suite: Suite, value: float, own: Any = None, **settings: Any
) -> None:
    """A suite with the same score everywhere, by a model whose metadata name its own maximum."""
    write_suite(root, model, suite, value, settings=settings or None)
    for path in (root / model.replace("/", "__")).rglob("model_meta.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "max_tokens": own}))


def values_of(table: Table) -> dict[str, list[float | None]]:
    """Row -> its columns."""
    return {
        row.model: [None if c.value is None else round(c.value, 6) for c in row.cells.values()]
        for row in table.rows
    }


def test_the_length_of_a_column_is_not_part_of_a_rows_name(root: Path) -> None:
    """One model at 1024 tokens in one column and 8192 in the other is one row."""
    write_at(root, "org/a", ENGLISH, 0.4, own=32768, max_length=1024)
    write_at(root, "org/a", RARB, 0.8, own=32768, max_length=8192)
    table = at_lengths(root)
    assert values_of(table) == {"org/a": [0.4, 0.8]}
    assert table.rows[0].settings == {}


def test_a_dimension_is_a_row_of_its_own_at_the_columns_length(root: Path) -> None:
    """What is left of the settings stands in the name."""
    for dim in (256, 128):
        write_at(root, "org/a", ENGLISH, dim / 512, own=32768, embed_dim=dim, max_length=1024)
        write_at(root, "org/a", RARB, dim / 512, own=32768, embed_dim=dim, max_length=8192)
    assert values_of(at_lengths(root)) == {
        "org/a (embed_dim=256)": [0.5, 0.5],
        "org/a (embed_dim=128)": [0.25, 0.25],
    }


def test_a_result_at_another_length_fills_no_column(root: Path) -> None:
    """512 tokens are another protocol; so is the model's own 8192 where 1024 is asked for."""
    write_at(root, "org/short", ENGLISH, 0.4, own=8192, max_length=512)
    write_at(root, "org/own", ENGLISH, 0.4, own=8192)
    write_at(root, "org/own", RARB, 0.8, own=8192)
    assert values_of(at_lengths(root)) == {"org/own": [None, 0.8]}


def test_a_model_whose_own_maximum_is_shorter_counts_as_it_is(root: Path) -> None:
    """Its texts are cut to 512 tokens at any longer setting."""
    write_at(root, "org/short", ENGLISH, 0.4, own=512)
    write_at(root, "org/short", RARB, 0.8, own=512)
    assert values_of(at_lengths(root)) == {"org/short": [0.4, 0.8]}


def test_what_a_record_says_of_the_length_decides(root: Path) -> None:
    """Metadata say 8192, and the model was loaded with 512."""
    write_at(root, "org/a", ENGLISH, 0.4, own=8192)
    for task in ENGLISH.tasks:
        write_record(root / "org__a" / "rev-1" / f"{task.name}.json")  # at 512 tokens
    assert values_of(at_lengths(root)) == {"org/a": [0.4, None]}


def test_what_mteb_knows_of_the_length_decides_last(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Public results have neither a record nor a maximum beside them."""
    import granite_bench.tables.overview
    from granite_bench.tables.model_facts import ModelFacts

    known = {"org/short": 512}
    monkeypatch.setattr(
        granite_bench.tables.overview,
        "facts_of",
        lambda name, _: ModelFacts(max_length=known.get(name)),
    )
    for model in ("org/short", "org/unknown"):
        write_at(root, model, ENGLISH, 0.4)
        write_at(root, model, ENGLISH, 0.3, embed_dim=256)
    assert values_of(at_lengths(root)) == {
        "org/short": [0.4, None],
        "org/short (embed_dim=256)": [0.3, None],
    }


def test_a_column_without_a_length_takes_results_as_they_are(root: Path) -> None:
    """There a length stands in the row's name, as in every other table."""
    write_at(root, "org/a", ENGLISH, 0.4, own=8192, max_length=1024)
    write_at(root, "org/a", RARB, 0.8, own=8192, max_length=1024)
    assert values_of(at_lengths(root, rarb=None)) == {
        "org/a": [0.4, None],
        "org/a (max_length=1024)": [None, 0.8],
    }


def test_the_page_says_at_which_length_a_column_is(root: Path) -> None:
    """In the head and under the table."""
    write_at(root, "org/a", ENGLISH, 0.4, own=512)
    page = lay_out(at_lengths(root))
    heads = dict(zip(page.heads, page.subheads, strict=True))
    assert heads[RARB.title] == f"mean of {len(RARB.tasks)} at 8,192 tokens"
    assert any(note.startswith(f"{ENGLISH.title}: only results with") for note in page.notes)


def test_the_command_to_reproduce_a_result_at_a_length_has_it(root: Path) -> None:
    """Though the row's name has not."""
    import re

    write_at(root, "org/a", ENGLISH, 0.4, own=8192, max_length=1024, embed_dim=256)
    page = suite_page(at_lengths(root))
    (first, *_) = re.findall(r"granite-bench run --task [^<]*", page)
    assert first.endswith("--model org/a --dims 256 --max-length 1024")


def test_broken_records_are_all_named_where_lengths_are_looked_up(root: Path) -> None:
    """A length may stand in the record, so records are read first."""
    write_at(root, "org/a", ENGLISH, 0.4)
    for task in ENGLISH.tasks[:2]:
        write_record(root / "org__a" / "rev-1" / f"{task.name}.json", version=99)
    with pytest.raises(BadInput) as caught:
        at_lengths(root)
    assert len(caught.value.faults) == 2


# --- the file ---------------------------------------------------------------------------------


def write_overview(tmp_path: Path, **changes: Any) -> Path:
    """An overview of the user's own."""
    import yaml

    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**PAIR, **changes}))
    return path


def test_the_overview_of_the_post_has_its_five_suites() -> None:
    """Multilingual retrieval, code, English retrieval, LongEmbed and RaR-b, in its order."""
    assert [column.suite for column in load_overview("overview").suites] == [
        "multilingual-retrieval",
        "code",
        "english-retrieval",
        "longembed",
        "rar-b",
    ]


def test_the_matryoshka_overview_is_the_published_protocol() -> None:
    """The post: 1024 tokens for English and multilingual retrieval, 8192 for code."""
    overview = load_overview("matryoshka")
    assert {column.suite: column.max_length for column in overview.suites} == {
        "english-retrieval": 1024,
        "multilingual-retrieval": 1024,
        "code": 8192,
    }
    assert (overview.dims, overview.precisions) == ((768, 512, 384, 256, 128), ())
    assert overview.panel in panel_names()


def test_suites_and_overviews_are_told_apart_without_reading_yaml() -> None:
    """The quick look at the text agrees with the content of every shipped file."""
    import yaml

    for path in suites_folder().glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        assert (path.stem in overview_names()) == ("suites" in content)
        assert (path.stem in suite_names()) == ("tasks" in content)


def test_an_overview_of_ones_own_is_a_file_with_suites(root: Path, tmp_path: Path) -> None:
    """`table own.yaml` knows it by its content."""
    write_suite(root, "org/a", ENGLISH, 0.4)
    write_suite(root, "org/a", RARB, 0.8)
    path = write_overview(tmp_path)
    done = CliRunner().invoke(
        cli, ["table", str(path), "--results", str(root), "--format", "csv"], catch_exceptions=False
    )
    head, row = done.output.splitlines()
    assert head.endswith(f"Suites,Average,{ENGLISH.title},{RARB.title}")
    assert row.startswith("1,org/a,")
    assert ",2/2,0.6" in row


def test_a_file_of_a_suite_is_no_overview(tmp_path: Path) -> None:
    """It has tasks."""
    path = tmp_path / "suite.yaml"
    path.write_text("version: 1\nname: x\ntitle: x\ndescription: x\ntasks: [SciFact]\n")
    assert not is_overview(str(path))
    assert is_overview(str(write_overview(tmp_path)))


def test_an_unknown_suite_in_an_overview_is_named_with_its_place(tmp_path: Path) -> None:
    """All of them at once."""
    path = write_overview(tmp_path, suites=["nanoo", ENGLISH.name, "lungembed"])
    with pytest.raises(BadInput) as caught:
        load_overview(str(path))
    assert [(fault.where, fault.what) for fault in caught.value.faults] == [
        (f"{path}: suites[0]", "unknown suite 'nanoo'"),
        (f"{path}: suites[2]", "unknown suite 'lungembed'"),
    ]


def test_an_unknown_suite_in_an_overview_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """As everywhere else."""
    path = write_overview(tmp_path, suites=["lungembed"])
    with pytest.raises(BadInput, match="did you mean 'longembed'"):
        load_overview(str(path))


def test_a_suite_that_is_listed_twice_is_a_fault(tmp_path: Path) -> None:
    """Both would be one column, and the head would count two."""
    path = write_overview(tmp_path, suites=[ENGLISH.name, ENGLISH.name])
    with pytest.raises(BadInput, match="twice"):
        load_overview(str(path))


@pytest.mark.parametrize(
    ("changes", "place", "what"),
    [
        ({"dims": [768, "256"]}, "dims[1]", "valid integer"),
        ({"dims": [768, 0]}, "dims[1]", "greater than 0"),
        ({"dims": [True]}, "dims[0]", "valid integer"),
        ({"dims": [256, 256]}, "dims", "listed twice: 256"),
        ({"precisions": ["int4"]}, "precisions[0]", "'int8'"),
        ({"precisions": ["int8", "int8"]}, "precisions", "listed twice: int8"),
        ({"panel": "english-r1"}, "panel", "unknown panel 'english-r1'"),
        ({"suites": [{"suite": "code", "max_length": 0}]}, "suites[0].max_length", "greater"),
        ({"suites": [{"suite": "code", "max_length": "8k"}]}, "suites[0].max_length", "integer"),
        ({"suites": [{"suite": "cod"}]}, "suites[0].suite", "unknown suite 'cod'"),
        ({"suites": [{"suite": "code"}, "code"]}, "suites[1]", "listed twice"),
        ({"suites": [{"max_length": 512}]}, "suites[0].suite", "is missing"),
        ({"suites": [3]}, "suites[0]", "a name, or a mapping"),
        ({"suites": []}, "suites", "at least 1"),
        ({"suites": "code"}, "suites", "tuple"),
    ],
)
def test_a_fault_of_an_overview_is_named_with_its_place(
    changes: dict[str, Any], place: str, what: str, tmp_path: Path
) -> None:
    """Where, and what is wrong."""
    path = write_overview(tmp_path, **changes)
    with pytest.raises(BadInput) as caught:
        load_overview(str(path))
    (fault,) = caught.value.faults
    assert fault.where == f"{path}: {place}"
    assert what in fault.what


def test_all_faults_of_an_overview_are_named_at_once(tmp_path: Path) -> None:
    """Those of its keys and those of its names."""
    path = write_overview(tmp_path, dims=["x"], suites=["cod", {"suite": "code", "lenght": 1}])
    with pytest.raises(BadInput) as caught:
        load_overview(str(path))
    assert {fault.where.removeprefix(f"{path}: ") for fault in caught.value.faults} == {
        "dims[0]",
        "suites[0]",
        "suites[1].lenght",
    }


def test_an_unknown_key_of_a_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """The keys are those of a column, not those of the overview."""
    path = write_overview(tmp_path, suites=[{"suite": "code", "max_lenght": 512}])
    with pytest.raises(BadInput, match="did you mean 'max_length'"):
        load_overview(str(path))


def test_an_overview_is_no_suite_and_says_so() -> None:
    """`load_suite` of it would otherwise suggest the name that was given."""
    with pytest.raises(BadInput, match="'matryoshka' is an overview of suites, not a suite"):
        load_suite("matryoshka")
    with pytest.raises(BadInput, match="'code' is a suite, not an overview"):
        load_overview("code")


def test_suites_lists_overviews_and_shows_their_columns() -> None:
    """With lengths and dimensions."""
    listed = CliRunner().invoke(cli, ["suites"], catch_exceptions=False).output
    assert "matryoshka" in listed
    shown = CliRunner().invoke(cli, ["suites", "show", "matryoshka"], catch_exceptions=False).output
    assert "dimensions: 768, 512, 384, 256, 128" in shown
    assert [line.split() for line in shown.splitlines() if line.startswith("code ")] == [
        ["code", "12", "tasks", "8192"]
    ]


def test_an_overview_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    """As a suite is."""
    with pytest.raises(BadInput, match="format 2 is not known to this release"):
        load_overview(str(write_overview(tmp_path, version=2)))


def test_an_unknown_key_of_an_overview_is_named_with_the_known_ones(tmp_path: Path) -> None:
    """And a missing one too."""
    path = write_overview(tmp_path, titel="x")
    with pytest.raises(BadInput, match="did you mean 'title'"):
        load_overview(str(path))


def test_a_misspelt_overview_is_answered_with_the_right_name(root: Path) -> None:
    """`table` takes suites and overviews, so both are suggested."""
    root.mkdir()
    with pytest.raises(BadInput, match="did you mean 'overview'"):
        CliRunner().invoke(
            cli, ["table", "overveiw", "--results", str(root)], catch_exceptions=False
        )


@pytest.mark.parametrize("option", [["--common"], ["--by", "language"]])
def test_an_overview_has_no_groups_and_no_common_tasks(option: list[str], root: Path) -> None:
    """Its columns are its suites; exit code 2 with the reason."""
    root.mkdir()
    done = CliRunner().invoke(cli, ["table", "overview", "--results", str(root), *option])
    assert done.exit_code == 2
    assert "leave --by and --common" in done.output
