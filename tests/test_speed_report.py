"""Speed beside quality: columns of their own, and the models that no other beats."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from results_tree import GPU, suite_of, table_of, write_record, write_result
from speed_tree import LATENCY, write_speed

from granite_bench.errors import BadInput
from granite_bench.report.figures import Box, touch
from granite_bench.report.layout import lay_out
from granite_bench.report.printed_table import HOLE, PrintedTable
from granite_bench.report.scatter import (
    Placement,
    Point,
    broken,
    draw_points,
    front_line,
    log_ticks,
    place_labels,
    x_limits,
)
from granite_bench.report.speed import lay_out_speed, pictures_of
from granite_bench.report.suite_page import suite_page
from granite_bench.report.text import as_csv, as_json, as_latex, as_markdown
from granite_bench.suite.overview import Overview
from granite_bench.suite.suite import load_suite
from granite_bench.tables.overview import make_overview
from granite_bench.tables.table import Options, Table, make_table

EVIL = "<img src=x onerror=alert(1)>"
ON_GPU: dict[str, Any] = {"hardware": GPU, "dtype": "bfloat16"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the model folders go."""
    return tmp_path / "results"


def write(
    root: Path,
    model: str,
    score: float | None,
    chunks: float | None = None,
    *,
    settings: dict[str, Any] | None = None,
    **of: Any,
) -> None:
    """
    A model with the same score in both tasks, and its speed.

    Args:
        score: None writes TaskA alone.
        chunks: a second; None writes no speed record.
    """
    for task in ("TaskA", "TaskB")[: 1 if score is None else None]:
        value = {"test": {"default": 0.5 if score is None else score}}
        write_result(root, model, task, value, settings=settings)
    if chunks is not None:
        write_speed(root, model, chunks=chunks, docs=chunks / 10, **of)


def small(root: Path, **changes: Any) -> Table:
    """The table of two tasks."""
    return table_of(root, "TaskA", "TaskB", **changes)


def column(page: PrintedTable, head: str) -> dict[str, str]:
    """model -> what is printed under a head."""
    place, name = page.heads.index(head), page.heads.index("Model")
    return {row[name].text: row[place].text for row in page.rows}


def speed_heads(page: PrintedTable) -> list[tuple[str, str]]:
    """Heads with what stands under them, behind the tasks."""
    start = page.heads.index("TaskB") + 1
    return list(zip(page.heads[start:], page.subheads[start:], strict=True))


# --- columns ----------------------------------------------------------------------------------


def test_a_chunk_protocol_has_documents_and_chunks_a_second(root: Path) -> None:
    """The head names the protocol and the device, what is under it the unit and the dtype."""
    write(root, "org/a", 0.5, 1500.0)
    write(root, "org/b", 0.4)
    page = lay_out(small(root))
    assert speed_heads(page) == [
        ("docs/s, chunks-512, Test, 4 cores", "1/s, float32"),
        ("chunks/s, chunks-512, Test, 4 cores", "1/s, float32"),
    ]
    assert column(page, "docs/s, chunks-512, Test, 4 cores") == {"org/a": "150", "org/b": HOLE}
    assert column(page, "chunks/s, chunks-512, Test, 4 cores") == {"org/a": "1,500", "org/b": HOLE}


@pytest.mark.parametrize(
    ("of", "heads"),
    [
        (
            {"protocol": "fixed-512", "corpus": "lengths", "docs": None},
            [("texts/s, fixed-512, Test GPU", "1/s, float32")],
        ),
        (
            {"protocol": "suite:SciFact", "corpus": "task"},
            [("docs/s, suite:SciFact, Test GPU", "1/s, float32")],
        ),
        (
            {"protocol": "queries", "chunks": None, "latency": LATENCY},
            [
                ("query p50, queries, Test GPU", "ms, float32"),
                ("query p95, queries, Test GPU", "ms, float32"),
            ],
        ),
    ],
)
def test_each_protocol_has_the_figures_that_it_measures(
    of: dict[str, Any], heads: list[tuple[str, str]], root: Path
) -> None:
    """Texts of a fixed length, whole documents, single queries."""
    write(root, "org/a", 0.5)
    write_speed(root, "org/a", hardware=GPU, **of)
    assert speed_heads(lay_out(small(root))) == heads


def test_a_latency_is_to_encode_and_its_note_has_the_search(root: Path) -> None:
    """p50 of 4 ms to encode, 14 with the search of 10,000 documents."""
    write(root, "org/a", 0.5)
    write_speed(root, "org/a", protocol="queries", chunks=None, latency=LATENCY)
    page = lay_out(small(root))
    p50, p95 = page.rows[0][-2:]
    assert (p50.text, p95.text) == ("4.00", "6.00")
    assert p50.note.startswith("14.0 with the search of 10,000 documents; 200 queries; queries on ")
    assert p95.note.startswith("16.0 with the search of ")
    assert "passes" not in p50.note
    assert "one query at a time, from its text to its embedding" in page.notes[-1]


def test_what_one_of_two_records_lacks_is_a_hole(root: Path) -> None:
    """Under the same conditions one has no documents per second, and the other no latency."""
    write(root, "org/a", 0.5, 1000.0)
    write(root, "org/b", 0.4)
    write_speed(root, "org/b", docs=None, latency=LATENCY)
    page = lay_out(small(root))
    where = "chunks-512, Test, 4 cores"
    assert column(page, f"docs/s, {where}") == {"org/a": "100", "org/b": HOLE}
    assert column(page, f"query p50, {where}") == {"org/a": HOLE, "org/b": "4.00"}


def test_a_note_says_how_a_speed_was_measured(root: Path) -> None:
    """What it lies between, the device in full, the settings, the revision and the day."""
    write(root, "org/a", 0.5, 1000.0)
    assert lay_out(small(root)).rows[0][-1].note == (
        "980 to 1,020; chunks-512 on Test CPU, 4 cores in float32, 3 passes, backend padded, "
        "attention sdpa, batches up to 128 texts, max length 512, revision rev-1, 2026-11-21"
    )


@pytest.mark.parametrize(
    "other",
    [{"identity": "chunks-512/3:cd34"}, {"hardware": GPU}, {"dtype": "bfloat16"}],
    ids=["protocol", "device", "dtype"],
)
def test_figures_under_other_conditions_never_share_a_column(
    other: dict[str, Any], root: Path
) -> None:
    """Each group has a number of its own, and each model one figure."""
    write(root, "org/a", 0.5, 1000.0)
    write(root, "org/b", 0.4, 2000.0, **other)
    page = lay_out(small(root))
    heads = [head for head, _ in speed_heads(page) if head.startswith("chunks/s")]
    assert len(set(page.heads)) == len(page.heads)
    assert [head[-3:] for head in heads] == ["[1]", "[2]"]
    assert sorted(tuple(column(page, head).values()) for head in heads) == [
        ("1,000", HOLE), (HOLE, "2,000"),
    ]  # fmt: skip


def test_settings_that_differ_stand_in_the_head(root: Path) -> None:
    """A model that reads 256 tokens has chunks of 256: another protocol, of the same name."""
    for model, n_tokens in (("org/a", 512), ("org/b", 256)):
        write(root, model, 0.5)
        path = write_speed(root, model, identity=f"chunks-512/1:{n_tokens}", hardware=GPU)
        content = json.loads(path.read_text())
        content["protocol"]["settings"] = {"chunk_tokens": n_tokens, "batch_size": 128}
        path.write_text(json.dumps(content))
    heads = [head for head, _ in speed_heads(lay_out(small(root)))]
    assert heads[1] == "chunks/s, chunks-512 (chunk_tokens 256), Test GPU [1]"
    assert heads[3] == "chunks/s, chunks-512 (chunk_tokens 512), Test GPU [2]"


def test_columns_of_the_runs_stay_beside_those_of_speed_records(root: Path) -> None:
    """Numbered through, and explained under the table."""
    write_record(write_result(root, "org/a", "TaskA", {"test": {"default": 0.5}}))
    write_result(root, "org/a", "TaskB", {"test": {"default": 0.5}})
    write_speed(root, "org/a")
    page = lay_out(small(root))
    assert [head for head, _ in speed_heads(page)] == [
        "docs/s [1]",
        "query p50 [1]",
        "query p95 [1]",
        "docs/s, chunks-512, Test, 4 cores [2]",
        "chunks/s, chunks-512, Test, 4 cores [2]",
    ]
    notes = [note for note in page.notes if "Speed" in note]
    assert notes[0].startswith("[1] Speed (suite-run/1) on Test CPU, 4 cores: ")
    assert notes[1] == (
        "[2] Speed by granite-bench speed under chunks-512/2:ab12cd34ef56 on Test CPU, 4 cores in "
        "float32: the median of the passes, tokenisation included."
    )


def test_without_speed_records_there_is_no_such_column(root: Path) -> None:
    """Nor a note; and other models' records show none."""
    write(root, "org/a", 0.5)
    write_speed(root, "org/z")
    write_speed(root, "org/a", untrained=True)
    page = lay_out(small(root))
    assert speed_heads(page) == []
    assert not any("granite-bench speed" in note for note in page.notes)


def test_a_spoilt_figure_is_marked_and_says_why(root: Path) -> None:
    """In its cell, and under the table."""
    write(root, "org/a", 0.5, 1000.0, warnings=["throttled: power cap", "noisy: 20%"])
    page = lay_out(small(root))
    cell = page.rows[0][-1]
    assert (cell.text, cell.value, cell.partial) == ("1,000†", 1000.0, True)
    assert cell.note.startswith("throttled: power cap; noisy: 20%; 980 to 1,020; ")
    assert (
        "† org/a, chunks-512 on Test CPU, 4 cores in float32: throttled: power cap; noisy: 20%."
    ) in page.notes


def test_a_remark_is_told_and_spoils_nothing(root: Path) -> None:
    """The figure counts as a whole one."""
    write(root, "org/a", 0.5, 1000.0, warnings=["3 copies among the texts are left out"])
    cell = lay_out(small(root)).rows[0][-1]
    assert (cell.text, cell.partial) == ("1,000†", False)


def test_variants_share_the_speed_of_their_model(root: Path) -> None:
    """Of fewer dimensions; not of another dtype."""
    write(root, "org/a", 0.5, 1000.0)
    write(root, "org/a", 0.4, settings={"embed_dim": 128})
    write(root, "org/a", 0.3, settings={"dtype": "float16"})
    assert column(lay_out(small(root)), "chunks/s, chunks-512, Test, 4 cores") == {
        "org/a": "1,000",
        "org/a (embed_dim=128)": "1,000",
        "org/a (dtype=float16)": HOLE,
    }


def test_speed_records_of_every_folder_count(root: Path, tmp_path: Path) -> None:
    """The last one of all folders."""
    write(root, "org/a", 0.5, 1000.0)
    other = tmp_path / "more" / "results"
    other.mkdir(parents=True)
    write_speed(other, "org/a", chunks=2000.0, date="2026-11-22T08:00:00+00:00")
    table = make_table(suite_of("TaskA", "TaskB"), (folder for folder in (root, other)))
    assert lay_out(table).rows[0][-1].text == "2,000"


def test_a_broken_speed_record_stops_the_table(root: Path) -> None:
    """It is named, not left out."""
    write(root, "org/a", 0.5)
    write_speed(root, "org/a").write_text("{")
    with pytest.raises(BadInput, match="cannot be read as JSON"):
        small(root)


@pytest.fixture
def overview(root: Path) -> Table:
    """Two suites; org/a is better, org/b faster."""
    for suite in ("miracl", "mintaka"):
        for task in load_suite(suite).tasks:
            for model, value in (("org/a", 0.5), ("org/b", 0.4)):
                metrics = {subset: {task.metric: value} for subset in task.subsets}
                scores = dict.fromkeys(task.splits, metrics)
                write_result(root, model, task.name, scores)
    for model, chunks in (("org/a", 1000.0), ("org/b", 2000.0)):
        write_speed(root, model, chunks=chunks, **ON_GPU)
    content = {
        "version": 1, "name": "two", "title": "Two", "description": "For a test.",
        "suites": [{"suite": "miracl"}, {"suite": "mintaka"}],
    }  # fmt: skip
    return make_overview(Overview.model_validate(content), [root])


def test_an_overview_has_the_columns_and_the_picture(overview: Table) -> None:
    """Its average is over suites."""
    page = lay_out(overview)
    assert column(page, "chunks/s, chunks-512, Test GPU") == {"org/a": "1,000", "org/b": "2,000"}
    (picture,) = pictures_of(overview)
    assert [(each.model, each.on_front) for each in picture.points] == [
        ("org/a", True), ("org/b", True),
    ]  # fmt: skip
    assert "Mean score over 2 suites, against chunks/s." in suite_page(overview)


@pytest.fixture
def measured(root: Path) -> Table:
    """
    Five models on a GPU: org/best, org/mid and org/fast are on the front; org/mid beats org/slow;
    org/hole is not complete. org/mid was throttled.
    """
    write(root, "org/best", 0.60, 1000.0, **ON_GPU)
    write(root, "org/mid", 0.50, 2000.0, **ON_GPU, warnings=["throttled: power cap"])
    write(root, "org/fast", 0.40, 4000.0, **ON_GPU)
    write(root, "org/slow", 0.45, 500.0, **ON_GPU)
    write(root, "org/hole", None, 9000.0, **ON_GPU)
    return small(root)


@pytest.mark.parametrize("write_page", [as_csv, as_json, as_markdown, as_latex])
def test_every_format_has_the_speed_columns(write_page: Any, measured: Table) -> None:
    """And marks the spoilt figure, as each format marks what is not whole."""
    text = write_page(lay_out(measured))
    assert "chunks/s, chunks-512, Test GPU" in text
    spoilt = {as_csv: "2000.0*", as_json: '"partial": true'}.get(write_page, "2,000†")
    assert spoilt in text


# --- the front --------------------------------------------------------------------------------


def test_a_picture_has_the_complete_models_of_one_conditions(measured: Table) -> None:
    """The best first; org/hole is left out and named."""
    (picture,) = pictures_of(measured)
    assert (picture.unit, picture.where) == ("chunks/s", "chunks-512 on Test GPU in bfloat16")
    assert [(each.model, each.speed.median, each.on_front) for each in picture.points] == [
        ("org/best", 1000.0, True),
        ("org/mid", 2000.0, True),
        ("org/slow", 500.0, False),
        ("org/fast", 4000.0, True),
    ]
    assert picture.left_out == ["org/hole"]


def test_an_incomplete_model_is_left_out_of_a_partial_tables_picture(root: Path) -> None:
    """Its average is over other tasks than those of the others."""
    write(root, "org/a", 0.5, 1000.0)
    write(root, "org/b", 0.4, 2000.0)
    write(root, "org/hole", None, 9000.0)
    table = make_table(suite_of("TaskA", "TaskB"), [root], Options(partial=True))
    (picture,) = pictures_of(table)
    assert [each.model for each in picture.points] == ["org/a", "org/b"]
    assert picture.left_out == ["org/hole"]


def test_one_model_makes_no_picture(root: Path) -> None:
    """There is nothing to compare it with under the same conditions."""
    write(root, "org/a", 0.5, 1000.0)
    write(root, "org/b", 0.4, 2000.0, dtype="bfloat16")
    write(root, "org/hole", None, 9000.0)
    assert pictures_of(small(root)) == []


def test_queries_make_no_picture(root: Path) -> None:
    """Less is better there, and it is no throughput."""
    for model in ("org/a", "org/b"):
        write(root, model, 0.5)
        write_speed(root, model, protocol="queries", chunks=None, latency=LATENCY)
    assert pictures_of(small(root)) == []


def test_each_conditions_have_a_picture_of_their_own(root: Path) -> None:
    """On a CPU org/a is beaten, on a GPU it is not."""
    write(root, "org/a", 0.4, 10.0, name="1.json")
    write(root, "org/b", 0.5, 20.0, name="1.json")
    write_speed(root, "org/a", name="2.json", chunks=4000.0, **ON_GPU)
    write_speed(root, "org/b", name="2.json", chunks=3000.0, **ON_GPU)
    fronts = {
        picture.conditions.device: [s.model for s in picture.points if s.on_front]
        for picture in pictures_of(small(root))
    }
    assert fronts == {"Test CPU, 4 cores": ["org/b"], "Test GPU": ["org/b", "org/a"]}


def test_scores_that_look_the_same_are_the_same(root: Path) -> None:
    """50.001 and 50.004 are printed as 50.00: the slower one is beaten."""
    write(root, "org/a", 0.50004, 1000.0)
    write(root, "org/b", 0.50001, 2000.0)
    (picture,) = pictures_of(small(root))
    assert [each.model for each in picture.points if each.on_front] == ["org/b"]


def test_a_model_stands_once_whatever_its_dimensions(root: Path) -> None:
    """As it is, though fewer dimensions scored more; without that, the best of its variants."""
    write(root, "org/a", 0.50, 1000.0)
    write(root, "org/a", 0.60, settings={"embed_dim": 128})
    write(root, "org/b", 0.40, 2000.0, settings={"embed_dim": 64})
    write(root, "org/b", 0.45, settings={"embed_dim": 128})
    write(root, "org/b", 0.35, settings={"embed_dim": 32, "output_dtypes": "int8"})
    table = small(root)
    (picture,) = pictures_of(table)
    assert [each.model for each in picture.points] == ["org/a", "org/b (embed_dim=128)"]
    assert picture.has_variants
    assert any("of such variants" in note for note in lay_out_speed(table).notes)


def test_lengths_stand_beside_each_other(root: Path) -> None:
    """Texts cut shorter are another model; the protocol's own texts take as long."""
    write(root, "org/a", 0.50, 1000.0)
    write(root, "org/a", 0.40, settings={"max_length": 512})
    (picture,) = pictures_of(small(root))
    assert [(each.model, each.on_front) for each in picture.points] == [
        ("org/a", True), ("org/a (max_length=512)", False),
    ]  # fmt: skip
    assert not picture.has_variants


# --- as a table -------------------------------------------------------------------------------


def test_the_picture_is_a_table_in_csv(measured: Table) -> None:
    """Scores are fractions; the spoilt speed has a star."""
    rows = list(csv.DictReader(io.StringIO(as_csv(lay_out_speed(measured)))))
    assert rows[1] == {
        "Protocol": "chunks-512", "Device": "Test GPU", "Dtype": "bfloat16", "Model": "org/mid",
        "Score": "0.5", "Speed": "2000.0*", "Unit": "chunks/s", "Least": "1960.0",
        "Most": "2040.0", "On the front": "yes",
    }  # fmt: skip
    assert [row["On the front"] for row in rows] == ["yes", "yes", "no", "yes"]


@pytest.mark.parametrize("write_page", [as_json, as_markdown, as_latex])
def test_the_picture_is_a_table_in_every_format(write_page: Any, measured: Table) -> None:
    """With the unit, the mark, and what it means."""
    text = write_page(lay_out_speed(measured))
    for said in ("org/slow", "chunks/s", "throttled: power cap", "org/hole"):
        assert said in text


def test_the_notes_name_what_is_left_out_and_what_is_marked(measured: Table) -> None:
    """And say what the front is."""
    assert list(lay_out_speed(measured).notes) == [
        "Scores are times 100.",
        "On the front: no other model is at least as good and at least as fast, and better or "
        "faster.",
        "† org/mid, chunks-512 on Test GPU in bfloat16: throttled: power cap.",
        "Left out, since their average is not complete: org/hole.",
    ]


def test_without_a_picture_the_command_to_get_one_is_named(root: Path) -> None:
    """Instead of an empty table."""
    write(root, "org/a", 0.5)
    page = lay_out_speed(small(root))
    assert page.rows == []
    (note,) = page.notes
    assert "granite-bench speed --model MODEL --model ANOTHER" in note


# --- the drawing ------------------------------------------------------------------------------


def drawings(page: str) -> list[ET.Element]:
    """The drawings of a page, parsed as XML."""
    found = re.findall(r'<svg class="curve".*?</svg>', page, flags=re.S)
    return [ET.fromstring(each.replace("xlink:href", "href")) for each in found]


def written(drawing: ET.Element) -> list[str]:
    """What is written in a drawing, without its title and description."""
    return [text.text or "" for text in drawing.iter("text")]


def test_the_page_has_a_picture_per_conditions(root: Path, measured: Table) -> None:
    """After the scores, before where they come from."""
    page = suite_page(measured)
    assert len(drawings(page)) == 1
    heads = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert heads == ["Scores", "Quality against speed", "Where each score comes from"]
    assert re.findall(r"<h3>([^<]+)</h3>", page) == ["chunks-512 on Test GPU in bfloat16"]


def test_a_page_without_a_picture_has_nothing_of_it(root: Path) -> None:
    """Neither a drawing nor its colours."""
    write(root, "org/a", 0.5, 1000.0)
    page = suite_page(small(root))
    assert "<svg" not in page
    assert "--series-1" not in page
    assert "Quality against speed" not in page


def test_the_finding_names_the_front(measured: Table) -> None:
    """Each with its score and its speed."""
    assert (
        "3 of 4 models are on the front: best (60.00 at 1,000 chunks/s), mid (50.00 at 2,000 "
        "chunks/s) and fast (40.00 at 4,000 chunks/s)."
    ) in suite_page(measured)


def test_a_model_that_beats_all_is_found_so(root: Path) -> None:
    """The best and the fastest in one."""
    write(root, "org/a", 0.5, 2000.0)
    write(root, "org/b", 0.4, 1000.0)
    finding = "a (50.00 at 2,000 chunks/s) is both the best and the fastest of 2 models."
    assert finding in suite_page(small(root))


def test_owners_stand_in_labels_where_names_alone_would_be_the_same(root: Path) -> None:
    """Two models called base."""
    write(root, "one/base", 0.5, 1000.0)
    write(root, "two/base", 0.4, 2000.0)
    (drawing,) = drawings(suite_page(small(root)))
    assert {"one/base", "two/base"} <= set(written(drawing))


def test_a_screen_reader_hears_the_finding(measured: Table) -> None:
    """A title, a description, and where every value is."""
    (drawing,) = drawings(suite_page(measured))
    title, description = drawing.find("title"), drawing.find("desc")
    assert title is not None
    assert description is not None
    assert drawing.get("role") == "img"
    assert drawing.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text == (
        "Small suite: nDCG@10 against chunks/s, chunks-512 on Test GPU in bfloat16"
    )
    assert (description.text or "").startswith("3 of 4 models are on the front: ")
    assert (description.text or "").endswith("The table that follows has every value.")


def test_every_point_has_its_label(measured: Table) -> None:
    """Four points with room; the throttled one is marked, the incomplete one is not there."""
    (drawing,) = drawings(suite_page(measured))
    assert {"best", "mid†", "fast", "slow"} <= set(written(drawing))
    assert "hole" not in written(drawing)


def test_the_front_has_its_labels_in_a_crowd() -> None:
    """Sixteen beaten models in a heap have not all of theirs."""
    front = [(100.0, 50.0, "the-best-model-of-all"), (400.0, 49.5, "the-fastest-model-of-all")]
    heap = [(100.0 + 5 * n, 49.45 - n % 4 / 10, f"beaten-model-number-{n}") for n in range(16)]
    points = [
        Point(number, (x, y, label) in front, x, 0.99 * x, 1.01 * x, y, label)
        for number, (x, y, label) in enumerate([*heap, *front])
    ]
    words = {"title": "A title", "description": "A text", "x_label": "x", "y_label": "y"}
    said = re.findall(r"<text[^>]*>([^<]+)</text>", draw_points(points, ident="s-1", **words))
    assert {"the-best-", "the-fastest-"} <= set(said)
    assert 0 < sum(text.startswith("beaten-") for text in said) < 16


def test_points_off_the_front_are_hollow(measured: Table) -> None:
    """In the drawing and in the table: colour alone tells nothing."""
    page = suite_page(measured)
    assert page.count('fill="none" stroke="var(--series-') == 1
    assert page.count("fill: var(--paper)") == 1


def test_the_colours_are_those_of_the_page(measured: Table) -> None:
    """So that they change with light and dark."""
    (drawing,) = re.findall(r'<svg class="curve".*?</svg>', suite_page(measured), flags=re.S)
    assert not re.search("#[0-9a-f]{6}", drawing)
    assert {f"var(--series-{n})" for n in (1, 2, 3, 4)} <= set(re.findall(r"var\([^)]+\)", drawing))


def test_a_model_looks_as_it_does_in_the_curves(root: Path) -> None:
    """org/b has a curve and comes first there; org/a has the next look."""
    write(root, "org/a", 0.6, 1000.0)
    write(root, "org/b", 0.5, 2000.0)
    for dim in (64, 128):
        write(root, "org/b", 0.4, settings={"embed_dim": dim})
        folder = root / "org__b" / "rev-1" / "experiments" / f"embed_dim_{dim}"
        meta = {"name": "org/b", "experiment_kwargs": {"embed_dim": dim}}
        (folder / "model_meta.json").write_text(json.dumps(meta))
    page = suite_page(small(root))
    dots = re.findall(r'fill="var\(--series-(\d)\)"/></svg><span>(org/\w)</span>', page)
    looks = {model: {number for number, name in dots if name == model} for _, model in dots}
    assert looks == {"org/b": {"1"}, "org/a": {"2"}}


def test_no_name_is_executed(root: Path) -> None:
    """Of a model or a protocol, in heads, labels, tables and notes."""
    write(root, "org/a", 0.5)
    path = write_speed(root, "org/a", warnings=[EVIL])
    write(root, EVIL, 0.4)
    other = write_speed(root, "org/b")
    for record, name in ((path, "org/a"), (other, EVIL.replace("/", "__"))):
        content = json.loads(record.read_text())
        content["model"]["name"] = name
        content["protocol"]["name"] = EVIL
        content["hardware"]["cpu"] = EVIL
        record.write_text(json.dumps(content))
    page = suite_page(small(root, title=EVIL))
    assert len(drawings(page)) == 1
    assert "<img" not in page


def test_a_page_with_a_picture_loads_nothing_from_elsewhere(measured: Table) -> None:
    """No address, no font, no clip path by URL, no style of the drawing's own."""
    page = suite_page(measured)
    assert not re.search(r"https?://|url\(|@import|font-family", page[page.index("<body") :])
    assert page.count("<style") == 1


def test_a_page_with_a_picture_has_the_same_bytes_again(root: Path, measured: Table) -> None:
    """No date, no id by chance."""
    assert suite_page(small(root)) == suite_page(measured)


def test_matplotlib_is_imported_only_when_something_is_drawn() -> None:
    """It takes most of a second, and a table has no picture."""
    code = "import sys, granite_bench.report.speed; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- ticks, lines and labels ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (5, 20_000, [10, 100, 1000, 10_000]),
        (20, 400, [30, 100, 300]),
        (90, 600, [100, 200, 500]),
        (2400, 3700, [2500, 3000, 3500]),
        (0.9, 1.6, [1.0, 1.2, 1.4, 1.6]),
        (0.02, 0.6, [0.03, 0.1, 0.3]),
    ],
)
def test_ticks_are_round_and_three_at_least(low: float, high: float, ticks: list[float]) -> None:
    """Tens; ones and threes; ones, twos and fives; else equal steps."""
    assert log_ticks(low, high) == pytest.approx(ticks)


def test_a_small_difference_of_speed_does_not_look_like_a_gulf() -> None:
    """1 percent of difference: the points take a small part of the axis."""
    left, right = x_limits([(1000.0, 1000.0), (1010.0, 1010.0)], room=0.2)
    assert right / left > 1.5


def test_the_right_end_of_the_axis_has_room_for_a_label() -> None:
    """A fifth of the axis, which is logarithmic: 10 to 1000 take 70 percent of it."""
    left, right = x_limits([(10.0, 10.0), (1000.0, 1000.0)], room=0.2)
    assert left == pytest.approx(10 / 100 ** (0.1 / 0.7))
    assert right == pytest.approx(1000 * 100 ** (0.2 / 0.7))


def test_the_line_steps_down_along_the_front() -> None:
    """From the left edge at the best's height to the bottom below the fastest."""
    assert front_line([(3, 1), (1, 5), (2, 2)], left=0.5, bottom=0) == [
        (0.5, 5), (1, 5), (1, 2), (2, 2), (2, 1), (3, 1), (3, 0),
    ]  # fmt: skip


def test_the_line_passes_equal_points_once() -> None:
    """Two models of the same speed and score."""
    assert front_line([(1, 5), (1, 5)], left=0.5, bottom=0) == [(0.5, 5), (1, 5), (1, 0)]


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("multilingual-e5", ("multilingual-e5",)),
        ("granite-embedding-97m-multilingual-r2", ("granite-embedding-", "97m-multilingual-r2")),
        ("model-l (max_length=512)", ("model-l", "(max_length=512)")),
        ("abcdefghijklmnopqrstuvwxyz", ("abcdefghijklmnopqrstuvwxyz",)),
    ],
)
def test_a_long_label_is_broken_in_two(label: str, lines: tuple[str, ...]) -> None:
    """Before its settings, or at the sign nearest to its middle, if there is one."""
    assert broken(label) == lines


FRAME: Box = (0.0, 0.0, 400.0, 300.0)


def boxes_of(placed: Sequence[Placement | None]) -> list[list[Box]]:
    """What each label takes up."""
    return [each.boxes for each in placed if each is not None]


def test_a_label_stands_to_the_right_of_its_point_if_it_can() -> None:
    """At its height."""
    (placed,) = place_labels(["label"], [(200.0, 150.0)], [], FRAME)
    assert placed is not None
    assert (placed.side, placed.leader) == (1, ())
    assert placed.box[0] == pytest.approx(209)
    assert (placed.box[1] + placed.box[3]) / 2 == pytest.approx(150)


def test_a_label_at_the_right_edge_stands_on_the_left() -> None:
    """Inside of the frame."""
    (placed,) = place_labels(["label"], [(395.0, 150.0)], [], FRAME)
    assert placed is not None
    assert placed.side == -1


def test_labels_touch_nothing() -> None:
    """Thirty points in a heap: those that are placed keep clear of each other and of all points."""
    places = [(60.0 + 37 * n % 280, 40.0 + 53 * n % 220) for n in range(30)]
    taken = [(x - 6.5, y - 6.5, x + 6.5, y + 6.5) for x, y in places]
    labels = [f"some-embedding-model-{n}" for n in range(30)]
    placed = place_labels(labels, places, taken, FRAME)
    boxes = boxes_of(placed)
    assert len(boxes) > 5
    for one, other in combinations(boxes, 2):
        assert not any(touch(a, b) for a in one for b in other)
    for each in boxes:
        assert not any(touch(box, point) for box in each for point in taken)
        assert min(min(box) for box in each) >= 0
        assert max(right for _, _, right, _ in each) <= 400
        assert max(top for _, _, _, top in each) <= 300


def test_a_label_without_room_is_left_out() -> None:
    """A frame that is too small for any."""
    assert place_labels(["label"], [(5.0, 5.0)], [], (0.0, 0.0, 10.0, 10.0)) == [None]


def test_a_label_farther_off_has_a_line_to_its_point() -> None:
    """On three sides all is taken, and straight above there is room for the line alone."""
    taken = [
        (150.0, 120.0, 195.0, 170.0),
        (205.0, 120.0, 250.0, 170.0),
        (150.0, 120.0, 250.0, 141.0),
    ]
    (placed,) = place_labels(["label"], [(200.0, 150.0)], taken, FRAME)
    assert placed is not None
    assert [pytest.approx(end) for end in placed.leader] == [(200.0, 158.0), (200.0, 173.0)]
    assert placed.box[1] == pytest.approx(173)


def test_a_label_makes_room_for_another() -> None:
    """The first stands where the second could, and goes below instead: above and left is taken."""
    taken = [(0.0, 162.0, 400.0, 300.0), (0.0, 0.0, 95.0, 300.0)]
    places = [(100.0, 150.0), (100.0, 155.0)]
    (alone,) = place_labels(["label"], places[:1], taken, FRAME)
    first, second = place_labels(["label", "label"], places, taken, FRAME)
    assert alone is not None
    assert first is not None
    assert second is not None
    assert (alone.box[1] + alone.box[3]) / 2 == pytest.approx(150)
    assert first.box[3] == pytest.approx(143)
    assert (second.box[1] + second.box[3]) / 2 == pytest.approx(155)
