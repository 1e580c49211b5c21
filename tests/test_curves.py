"""Curves: what a model loses with fewer dimensions or shorter texts, as data, text and figures."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from results_tree import evaluation, suite_of, table_of, write_record, write_result

from granite_bench.cli import cli
from granite_bench.report.curves import lay_out_curves
from granite_bench.report.figures import (
    MARKERS,
    N_COLOURS,
    Line,
    draw,
    leaves_out_zero,
    score_limits,
)
from granite_bench.report.suite_page import suite_page
from granite_bench.report.text import as_csv, as_json, as_latex, as_markdown
from granite_bench.suite.overview import Overview
from granite_bench.suite.suite import load_suite
from granite_bench.tables.curves import (
    DimensionCurves,
    DimensionPoint,
    LengthCurve,
    SuiteCurves,
    curves_of,
)
from granite_bench.tables.overview import make_overview
from granite_bench.tables.table import Options, Table, make_table
from granite_bench.tables.variant_settings import bytes_per_million, length_of, name_without

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def write(
    root: Path,
    value: float | None,
    *,
    model: str = "org/a",
    tasks: tuple[str, ...] = ("TaskA", "TaskB"),
    native: Any = 768,
    own: int | None = None,
    cut: tuple[int, int] | None = None,
    name: str | None = None,
    **settings: Any,
) -> None:
    """
    A model, or a variant of it, with the same score in both tasks.

    Args:
        value: None writes TaskA alone.
        native, own: dimension and maximum length in the metadata.
        cut: documents that were truncated, of how many.
        name: what the metadata call the model; the folder's name when None.
    """
    for task in tasks[: 1 if value is None else None]:
        score = {"test": {"default": 0.5 if value is None else value}}
        path = write_result(root, model, task, score, settings=settings or None)
        meta = {
            "name": name or model,
            "revision": "rev-1",
            "experiment_kwargs": settings or None,
            "embed_dim": settings.get("embed_dim", native),
            "max_tokens": own,
        }
        (path.parent / "model_meta.json").write_text(json.dumps(meta))
        if cut is not None:
            docs = {"n_unique": cut[1], "n_encoded": 0, "n_truncated": cut[0], "encode_seconds": 0}
            record = write_record(path, [evaluation(docs=docs)])
            content = json.loads(record.read_text())
            content["runs"][0]["settings"]["max_length"] = settings.get("max_length", own)
            record.write_text(json.dumps(content))


def small(root: Path, **changes: Any) -> Table:
    """The table of two tasks."""
    return table_of(root, "TaskA", "TaskB", **changes)


def curves(root: Path) -> SuiteCurves:
    """The curves of two tasks."""
    (found,) = curves_of(small(root))
    return found


def dimension_curve(root: Path) -> DimensionCurves:
    """Those of the only model."""
    (found,) = curves(root).dimensions
    return found


def length_curve(root: Path) -> LengthCurve:
    """That of the only model."""
    (found,) = curves(root).lengths
    return found


# --- dimensions -------------------------------------------------------------------------------


def test_a_point_says_what_is_lost_against_the_native_one(root: Path) -> None:
    """0.50 to 0.48: 2 points, 4 percent; 768 values of 4 bytes, a million times: 3072 MB."""
    write(root, 0.50)
    write(root, 0.48, embed_dim=256)
    curve = dimension_curve(root)
    assert (curve.model, curve.no_loss) == ("org/a", "")
    assert curve.points == [
        DimensionPoint(768, "float32", 0.50, 2, 2, 3072e6, 0.0, 0.0, native=True),
        DimensionPoint(256, "float32", 0.48, 2, 2, 1024e6, pytest.approx(2.0), pytest.approx(0.04)),
    ]


@pytest.mark.parametrize(
    ("precision", "size"), [("float32", 1024), ("float16", 512), ("int8", 256), ("binary", 32)]
)
def test_a_dimension_takes_as_many_bytes_as_its_precision(precision: str, size: int) -> None:
    """256 values of 4, 2, 1 and 1/8 bytes, a million times, in MB."""
    assert bytes_per_million(256, precision) == size * 1e6


def test_a_precision_of_another_program_has_no_size(root: Path) -> None:
    """Better none than a wrong one."""
    write(root, 0.5)
    write(root, 0.4, output_dtypes="int4")
    assert [point.bytes_per_million for point in dimension_curve(root).points] == [3072e6, None]


def test_each_precision_is_a_line_of_its_own(root: Path) -> None:
    """A precision without a dimension stands at the model's own."""
    write(root, 0.50)
    write(root, 0.48, embed_dim=256)
    write(root, 0.49, output_dtypes="int8")
    write(root, 0.40, embed_dim=256, output_dtypes="int8")
    curve = dimension_curve(root)
    assert [(p.precision, p.dim) for p in curve.points] == [
        ("float32", 768),
        ("float32", 256),
        ("int8", 768),
        ("int8", 256),
    ]
    assert [(p.dim, p.score) for p in curve.at("int8")] == [(256, 0.40), (768, 0.49)]


def test_a_gain_is_a_negative_loss(root: Path) -> None:
    """0.50 to 0.51 happens, and must not look like a loss."""
    write(root, 0.50)
    write(root, 0.51, embed_dim=256)
    assert dimension_curve(root).points[1].loss_points == pytest.approx(-1.0)


def test_an_incomplete_row_is_a_point_without_a_score(root: Path) -> None:
    """It has TaskA alone; the other two make the curve."""
    write(root, 0.50)
    write(root, 0.48, embed_dim=256)
    write(root, None, embed_dim=128)
    point = dimension_curve(root).points[-1]
    assert (point.dim, point.score, point.n_complete, point.n_tasks) == (128, None, 1, 2)
    assert point.loss_points is None


def test_a_partial_table_gives_an_incomplete_row_no_score_in_its_curve(root: Path) -> None:
    """An average over other tasks would bend the line."""
    write(root, 0.50)
    write(root, 0.48, embed_dim=256)
    write(root, None, embed_dim=128)
    suite = suite_of("TaskA", "TaskB")
    (found,) = curves_of(make_table(suite, [root], Options(partial=True)))
    assert found.dimensions[0].points[-1].score is None


def test_one_complete_point_is_no_curve(root: Path) -> None:
    """There is nothing to compare it with."""
    write(root, 0.50)
    write(root, None, embed_dim=256)
    write(root, 0.6, model="org/b")
    assert curves_of(small(root)) == []


@pytest.mark.parametrize(
    ("native", "value", "reason"),
    [
        (None, 0.5, "the metadata beside its results name no dimension"),
        (768, None, "only 1 of 2 tasks are complete of the model as it is"),
    ],
)
def test_without_a_native_score_there_is_no_loss(
    native: int | None, value: float | None, reason: str, root: Path
) -> None:
    """And the reason is said."""
    write(root, value, native=native)
    write(root, 0.48, embed_dim=256)
    write(root, 0.46, embed_dim=128)
    curve = dimension_curve(root)
    assert curve.no_loss == reason
    assert {point.loss_points for point in curve.points} == {None}


def test_a_model_that_only_ran_cut_has_no_loss(root: Path) -> None:
    """Its best dimension is not what the others are a loss of."""
    write(root, 0.48, embed_dim=256)
    write(root, 0.46, embed_dim=128)
    assert dimension_curve(root).no_loss == "there is no result of the model as it is"


def test_the_models_own_dimension_in_int8_is_not_what_others_are_a_loss_of(root: Path) -> None:
    """The loss is against full precision."""
    write(root, 0.49, output_dtypes="int8")
    write(root, 0.40, embed_dim=256, output_dtypes="int8")
    curve = dimension_curve(root)
    assert {point.native for point in curve.points} == {False}
    assert curve.no_loss == "there is no result of the model as it is"


def test_the_largest_of_several_dimensions_is_the_native_one(root: Path) -> None:
    """mteb's metadata list the dimensions of a Matryoshka model."""
    write(root, 0.50, native=[128, 768, 256])
    write(root, 0.48, embed_dim=256)
    assert dimension_curve(root).points[0].dim == 768


def test_the_native_dimension_as_a_setting_adds_no_second_point(root: Path) -> None:
    """Another program may name it; the model as it is counts."""
    write(root, 0.50)
    write(root, 0.10, embed_dim=768)
    write(root, 0.48, embed_dim=256)
    assert [(p.dim, p.score) for p in dimension_curve(root).points] == [(768, 0.50), (256, 0.48)]


def test_another_length_is_another_curve(root: Path) -> None:
    """At 512 tokens the native point is that of 512 tokens."""
    write(root, 0.50)
    write(root, 0.48, embed_dim=256)
    write(root, 0.40, max_length=512)
    write(root, 0.39, max_length=512, embed_dim=256)
    found = {curve.model: curve for curve in curves(root).dimensions}
    assert set(found) == {"org/a", "org/a (max_length=512)"}
    assert found["org/a (max_length=512)"].points[1].loss_points == pytest.approx(1.0)


# --- lengths ----------------------------------------------------------------------------------


def test_a_length_has_its_score_and_the_share_of_cut_documents(root: Path) -> None:
    """62 of 100 at 512 tokens in each of two tasks, 3 of 100 at the model's own 8192."""
    write(root, 0.40, max_length=512, cut=(62, 100))
    write(root, 0.46, own=8192, cut=(3, 100))
    curve = length_curve(root)
    assert [(p.max_length, p.score, p.truncated, p.own) for p in curve.points] == [
        (512, 0.40, 0.62, False),
        (8192, 0.46, 0.03, True),
    ]


def test_the_share_of_cut_documents_is_over_all_tasks(root: Path) -> None:
    """10 of 100 and 90 of 300 are 100 of 400, not the mean of 10 and 30 percent."""
    write(root, 0.40, max_length=512, tasks=("TaskA",), cut=(10, 100))
    write(root, 0.40, max_length=512, tasks=("TaskB",), cut=(90, 300))
    write(root, 0.46, own=8192)
    assert length_curve(root).points[0].truncated == 0.25


def test_without_records_the_share_of_cut_documents_is_unknown(root: Path) -> None:
    """Results of other programs have none."""
    write(root, 0.40, max_length=512)
    write(root, 0.46, own=8192)
    assert [point.truncated for point in length_curve(root).points] == [None, None]


def test_a_model_of_unknown_maximum_is_left_out_of_its_length_curve(root: Path) -> None:
    """There is no place on the axis for it."""
    write(root, 0.40, max_length=512)
    write(root, 0.44, max_length=2048)
    write(root, 0.46)
    assert [point.max_length for point in length_curve(root).points] == [512, 2048]


def test_what_a_record_says_of_the_length_counts_before_the_metadata(root: Path) -> None:
    """all-MiniLM-L6-v2 reads 256 tokens, whatever a table of models says."""
    write(root, 0.46, own=256, cut=(0, 1))
    source = small(root).rows[0].cells["TaskA"].sources[0]
    path = source.path.parent / "model_meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "max_tokens": 512}))
    (row,) = small(root).rows
    assert length_of({}, row.cells["TaskA"].sources) == 256


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        ("org/a", {}, "org/a"),
        ("org/a (embed_dim=256)", {"embed_dim": 256}, "org/a"),
        ("org/a (dtype=x, embed_dim=256)", {"embed_dim": 256, "dtype": "x"}, "org/a (dtype=x)"),
        ("local/a (b) (embed_dim=256) @1234567", {"embed_dim": 256}, "local/a (b) @1234567"),
        ("org/a (seed_1)", {"embed_dim": 1}, "org/a (seed_1)"),
    ],
)
def test_a_name_loses_the_settings_that_its_curve_is_about(
    model: str, settings: Mapping[str, Any], expected: str
) -> None:
    """And nothing else, be it a checkpoint's mark or parentheses of its own."""
    assert name_without(model, settings, ("embed_dim",)) == expected


# --- overviews --------------------------------------------------------------------------------

ENGLISH, RARB = load_suite("english-retrieval"), load_suite("rar-b")


def overview_table(root: Path) -> Table:
    """Two suites, of which one is at 1024 tokens."""
    content = {
        "version": 1,
        "name": "pair",
        "title": "Pair",
        "description": "Two suites.",
        "suites": [{"suite": ENGLISH.name, "max_length": 1024}, RARB.name],
    }
    return make_overview(Overview.model_validate(content), [root])


def test_an_overview_has_curves_per_suite(root: Path) -> None:
    """A suite without any is left out."""
    names = tuple(task.name for task in ENGLISH.tasks)
    write(root, 0.50, tasks=names, max_length=1024)
    write(root, 0.48, tasks=names, max_length=1024, embed_dim=256)
    (found,) = curves_of(overview_table(root))
    assert (found.title, found.max_length, found.n_tasks) == (ENGLISH.title, 1024, 10)
    (curve,) = found.dimensions
    assert curve.model == "org/a"
    assert [point.loss_points for point in curve.points] == [0.0, pytest.approx(2.0)]


# --- as text ----------------------------------------------------------------------------------


@pytest.fixture
def table(root: Path) -> Table:
    """Three dimensions, one of them incomplete, and two lengths."""
    write(root, 0.50, own=8192, cut=(3, 100))
    write(root, 0.48, embed_dim=256)
    write(root, None, embed_dim=128)
    write(root, 0.40, max_length=512, cut=(62, 100))
    return small(root)


def test_curves_are_printed_with_loss_and_size(table: Table) -> None:
    """Points and percent of the native score, and megabytes."""
    page = lay_out_curves(table, "dimension")
    assert list(page.heads) == [
        "Model",
        "Precision",
        "Dimension",
        "Score",
        "Loss",
        "Relative loss",
        "MB per million docs",
    ]
    assert [[cell.text for cell in row] for row in page.rows] == [
        ["org/a", "float32", "768", "50.00", "0.00", "0.00", "3,072"],
        ["org/a", "float32", "256", "48.00", "2.00", "4.00", "1,024"],
        ["org/a", "float32", "128", "(1/2)", "–", "–", "512"],
    ]


def test_lengths_are_printed_with_the_share_of_cut_documents(table: Table) -> None:
    """In percent."""
    page = lay_out_curves(table, "length")
    assert [[cell.text for cell in row] for row in page.rows] == [
        ["org/a", "512", "40.00", "62.0"],
        ["org/a", "8,192", "50.00", "3.0"],
    ]


def test_curves_in_csv_are_fractions(table: Table) -> None:
    """As scores are; a hole is empty, and names are not taken for numbers."""
    rows = list(csv.DictReader(io.StringIO(as_csv(lay_out_curves(table, "dimension")))))
    assert (rows[1]["Model"], rows[1]["Precision"], rows[1]["Dimension"]) == (
        "org/a",
        "float32",
        "256",
    )
    assert float(rows[1]["Loss"]) == pytest.approx(0.02)
    assert float(rows[1]["Relative loss"]) == pytest.approx(0.04)
    assert (rows[2]["Score"], rows[2]["Loss"]) == ("", "")


@pytest.mark.parametrize("form", [as_markdown, as_json, as_latex])
def test_curves_have_every_text_format(form: Any, table: Table) -> None:
    """They are laid out as every other page is."""
    assert "float32" in form(lay_out_curves(table, "dimension"))


def test_the_option_prints_curves_instead_of_scores(root: Path, table: Table) -> None:
    """`table SUITE --curves length`, in any format."""
    suite = root.parent / "small.yaml"
    suite.write_text(
        "version: 1\nname: small\ntitle: Small\ndescription: x\ntasks: [TaskA, TaskB]\n"
    )
    command = ["table", str(suite), "--results", str(root), "--curves", "length"]
    done = CliRunner().invoke(cli, [*command, "--format", "csv"], catch_exceptions=False)
    assert done.output.splitlines()[:2] == [
        "Model,Max length,Score,Truncated",
        "org/a,512,0.4,0.62",
    ]


def test_without_curves_the_command_to_get_some_is_named(root: Path) -> None:
    """Instead of an empty table."""
    write(root, 0.5)
    (note,) = lay_out_curves(small(root), "dimension").notes
    assert "granite-bench run small --model MODEL --dims 256,128" in note


def test_a_curve_without_a_loss_says_why_under_the_table(root: Path) -> None:
    """With the model's name."""
    write(root, 0.48, embed_dim=256)
    write(root, 0.46, embed_dim=128)
    notes = lay_out_curves(small(root), "dimension").notes
    assert "org/a has no loss: there is no result of the model as it is." in notes


# --- figures ----------------------------------------------------------------------------------


def svg_of(page: str) -> list[ET.Element]:
    """The drawings of a page, parsed as XML."""
    drawings = re.findall(r'<svg class="curve".*?</svg>', page, flags=re.S)
    return [ET.fromstring(each.replace("xlink:href", "href")) for each in drawings]


def drawing(*lines: Line, ident: str = "d-1") -> str:
    """A figure of these lines."""
    labels = {"title": "A title", "description": "A text", "x_label": "x", "y_label": "y"}
    return str(draw(lines, ident=ident, **labels))


def texts(svg: str) -> list[str]:
    """What is written in a drawing, without its title and description."""
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg)


def test_the_page_has_a_figure_per_kind_of_curve(table: Table) -> None:
    """By dimension and by length, after the scores."""
    page = suite_page(table)
    assert len(svg_of(page)) == 2
    heads = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert heads == [
        "Scores",
        "Scores by dimension",
        "Scores by length",
        "Where each score comes from",
    ]


def test_a_page_without_curves_has_no_figure(root: Path) -> None:
    """And nothing of their style."""
    write(root, 0.5)
    page = suite_page(small(root))
    assert "<svg" not in page
    assert "--series-1" not in page


def test_a_figure_says_what_it_shows_to_a_screen_reader(table: Table) -> None:
    """role=img with a title and a description."""
    drawn = svg_of(suite_page(table))[0]
    title, description = drawn.find("title"), drawn.find("desc")
    assert title is not None
    assert description is not None
    assert drawn.get("role") == "img"
    assert drawn.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text == "Small suite: nDCG@10 by dimension of the embeddings"
    assert "from 48.00 to 50.00" in (description.text or "")


def test_the_ticks_are_the_dimensions_that_there_are() -> None:
    """Not powers of two."""
    svg = drawing(Line(0, 0, [(128, 40.0), (384, 45.0), (768, 46.0)]))
    assert texts(svg)[:3] == ["128", "384", "768"]


def test_ticks_that_would_touch_leave_the_smaller_one_out() -> None:
    """The largest stays."""
    svg = drawing(Line(0, 0, [(128, 40.0), (1000, 45.0), (1024, 46.0), (32768, 47.0)]))
    assert "1,024" in texts(svg)
    assert "1,000" not in texts(svg)


def test_storage_stands_above_the_dimensions(root: Path) -> None:
    """Of a million documents: 384 dimensions of 4 bytes each are 1.536 GB, 128 are 0.512."""
    write(root, 0.5, native=384)
    write(root, 0.4, embed_dim=128)
    written = texts(suite_page(small(root)))
    assert {"128", "384", "0.51", "1.5", "GB per million docs in float32"} <= set(written)


def test_lengths_have_no_storage_above_them(table: Table) -> None:
    """They change nothing of it."""
    _, by_length = svg_of(suite_page(table))
    assert "GB per million docs in float32" not in [each.text for each in by_length.iter("text")]


def test_a_small_difference_does_not_look_like_a_cliff() -> None:
    """0.02 points: the axis spans a point at least."""
    labels = [float(t) for t in texts(drawing(Line(0, 0, [(128, 50.00), (256, 50.02)])))[3:-1]]
    assert max(labels) - min(labels) >= 0.5


@pytest.mark.parametrize(
    ("scores", "start"),
    [
        ([4.0, 100.0], 0.0),  # a margin below 4 would reach below 0
        ([50.0, 60.0], 50.0 - 0.12 * 10),
        ([-10.0, 40.0], -10.0 - 0.12 * 50),
    ],
)
def test_an_axis_of_scores_starts_below_zero_only_for_a_score_that_is(
    scores: list[float], start: float
) -> None:
    """The margin is 12 % of the span."""
    assert score_limits(scores)[0] == pytest.approx(start)
    assert leaves_out_zero(scores) is (start > 0)


@pytest.mark.parametrize(("low", "said"), [(0.04, False), (0.5, True)])
def test_a_caption_says_where_the_axis_does_not_start_at_zero(
    low: float, said: bool, root: Path
) -> None:
    """From 4 to 60 it does, from 50 to 60 it does not."""
    write(root, 0.6, native=256)
    write(root, low, embed_dim=128)
    assert ("The upright axis does not start at 0." in suite_page(small(root))) is said


def test_figures_take_the_colours_of_the_page() -> None:
    """Ink and series are CSS variables, so that they change with light and dark."""
    svg = drawing(Line(0, 0, [(1, 1.0), (2, 2.0)]), Line(9, 1, [(1, 2.0), (2, 3.0)]))
    assert "var(--series-1)" in svg
    assert "var(--series-2)" in svg
    assert not re.search("#[0-9a-f]{6}", svg)


def test_fifty_six_models_all_look_different() -> None:
    """Colour and marker together; eight colours alone would repeat."""
    looks = {(look % N_COLOURS, look % len(MARKERS)) for look in range(56)}
    assert len(looks) == 56


def test_the_ids_of_two_figures_differ() -> None:
    """They stand in one page."""
    line = Line(0, 0, [(1, 1.0), (2, 2.0)])
    one, other = (
        set(re.findall(r'id="([^"]+)"', drawing(line, ident=ident))) for ident in ("d-1", "d-2")
    )
    assert one
    assert not one & other


def test_every_reference_in_a_figure_leads_somewhere() -> None:
    """Ids that nothing refers to are taken out, and no others."""
    svg = drawing(Line(0, 0, [(1, 1.0), (2, 2.0)]))
    assert set(re.findall(r'xlink:href="#([^"]+)"', svg)) == set(
        re.findall(r'<path id="([^"]+)"', svg)
    )


def test_the_truncated_share_stands_beside_each_point(table: Table) -> None:
    """As far as there is room."""
    assert {"62% cut", "3% cut"} <= set(texts(suite_page(table)))


def test_notes_without_room_are_left_to_the_table() -> None:
    """Ten lines on top of each other: one note each would be unreadable."""
    lines = [
        Line(n, 0, [(512, 40 + n / 20), (8192, 41 + n / 20)], ["9% cut"] * 2) for n in range(10)
    ]
    assert 0 < texts(drawing(*lines)).count("9% cut") < 10


def test_a_page_with_figures_loads_nothing_from_elsewhere(table: Table) -> None:
    """No address, no font, no clip path by URL, no style of the drawing's own."""
    page = suite_page(table)
    assert not re.search(r"https?://|url\(|@import|font-family", page[page.index("<body") :])
    assert page.count("<style") == 1


def test_a_page_with_figures_has_the_same_bytes_again(root: Path, table: Table) -> None:
    """No date, no id by chance."""
    assert suite_page(small(root)) == suite_page(table)


def test_no_name_in_a_figures_section_is_executed(root: Path) -> None:
    """Of a model or of a suite, in the legend, the table and the drawing's title."""
    write(root, 0.50, name=EVIL)
    write(root, 0.48, name=EVIL, embed_dim=256)
    page = suite_page(small(root, title=EVIL))
    assert EVIL not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 5


def test_a_model_looks_the_same_in_every_figure(root: Path) -> None:
    """org/b leads both by length and by dimension; neither takes the other's colour."""
    write(root, 0.50)
    write(root, 0.65, model="org/b", embed_dim=256)
    write(root, 0.48, embed_dim=256)
    write(root, 0.60, model="org/b", max_length=512)
    write(root, 0.70, model="org/b", own=8192)
    write(root, 0.45, max_length=512)
    write(root, 0.46, max_length=2048)
    page = suite_page(small(root))
    swatches = re.findall(
        r'stroke="(var[^"]+)"[^/]*/><polygon[^/]*/></svg><span>(org/\w)</span>', page
    )
    by_model = {
        model: {colour for colour, name in swatches if name == model} for _, model in swatches
    }
    assert {model: len(colours) for model, colours in by_model.items()} == {"org/a": 1, "org/b": 1}
    assert by_model["org/a"] != by_model["org/b"]


def test_precisions_are_told_apart_in_the_legend(root: Path) -> None:
    """By dashes; a page of full precision alone does without."""
    write(root, 0.50)
    write(root, 0.48, embed_dim=256)
    assert "<span>float32</span>" not in suite_page(small(root))
    write(root, 0.47, output_dtypes="int8")
    assert "<span>float32</span>" in suite_page(small(root))
    assert "<span>int8</span>" in suite_page(small(root))


def test_matplotlib_is_imported_only_when_something_is_drawn() -> None:
    """It takes most of a second, and a table has no figure."""
    code = "import sys, granite_bench.report.suite_page, granite_bench.report.curves; "
    code += "print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
