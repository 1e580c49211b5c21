"""The heat map: which groupings have one, what stands in a cell, and which colour it has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from results_tree import suite_of, write_result

from granite_bench.report.heat_map import N_STEPS, HeatMap, heat_maps
from granite_bench.report.printed_table import HOLE
from granite_bench.report.suite_page import suite_page
from granite_bench.suite.suite import Suite
from granite_bench.tables.table import Options, make_table

LANGUAGES = ("de", "en", "hi")
SUITE = suite_of(
    {"name": "T", "subsets": list(LANGUAGES)}, groups=[{"by": "language", "from": "subset"}]
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """org/a is best in two languages of three; Hindi is the hardest."""
    root = tmp_path / "results"
    write(root, "org/a", 0.5, 0.8, 0.1)
    write(root, "org/b", 0.45, 0.6, 0.2)
    return root


def write(root: Path, model: str, *values: float) -> None:
    """A score for each language, in their order."""
    scores = dict(zip(LANGUAGES, values, strict=False))
    write_result(root, model, "T", {"test": scores})


def maps(root: Path, suite: Suite = SUITE, **options: Any) -> list[HeatMap]:
    """Of the results in *root*."""
    return heat_maps(make_table(suite, [root], Options(**options)))


def steps(found: HeatMap) -> dict[str, list[int | None]]:
    """model -> the step of each of its cells."""
    return {model: [cell.step for cell in cells] for model, cells in found.rows}


@pytest.mark.parametrize("by", ["task", "language"])
def test_a_grouping_has_a_map_whatever_the_columns_of_the_table_are(by: str, root: Path) -> None:
    """By task too: there the languages are nowhere else."""
    (found,) = maps(root, by=by)
    assert (found.by, list(found.groups)) == ("language", list(LANGUAGES))
    assert [(model, [cell.text for cell in cells]) for model, cells in found.rows] == [
        ("org/a", ["50.00", "80.00", "10.00"]),
        ("org/b", ["45.00", "60.00", "20.00"]),
    ]


def test_colours_are_sevenths_of_the_range(root: Path) -> None:
    """10 to 80 in steps of 10: 45 is in the fourth, 50 begins the fifth; 80 is in the last."""
    (found,) = maps(root)
    assert steps(found) == {"org/a": [4, 6, 0], "org/b": [3, 5, 1]}
    assert found.legend[0] == "10.0 to 20.0"
    assert found.legend[-1] == "70.0 to 80.0"
    assert len(found.legend) == N_STEPS


def test_equal_scores_have_one_colour(tmp_path: Path) -> None:
    """No range to divide by."""
    for model in ("org/a", "org/b"):
        write(tmp_path / "results", model, 0.5, 0.5, 0.5)
    (found,) = maps(tmp_path / "results")
    assert steps(found) == {"org/a": [0] * 3, "org/b": [0] * 3}


def test_a_hole_has_no_colour(root: Path) -> None:
    """Nor a number; and the finding does not compare means over different models."""
    write(root, "org/c", 0.9, 0.9)
    (found,) = maps(root)
    cells = dict(found.rows)["org/c"]
    assert (cells[2].text, cells[2].step) == (HOLE, None)
    assert found.finding == "org/c has the highest score in 2 of 3."


def test_the_finding_names_the_leader_and_the_hardest_group(root: Path) -> None:
    """Hindi is 15 on average, English 70."""
    (found,) = maps(root)
    assert found.finding == (
        "org/a has the highest score in 2 of 3. The lowest on average is hi (15.00), the highest "
        "en (70.00)."
    )


def test_two_groups_or_one_model_make_no_map(root: Path, tmp_path: Path) -> None:
    """A table shows as much."""
    two = suite_of(
        {"name": "T", "subsets": ["de", "en"]}, groups=[{"by": "language", "from": "subset"}]
    )
    assert maps(root, two) == []
    write(tmp_path / "one" / "results", "org/a", 0.5, 0.8, 0.1)
    assert maps(tmp_path / "one" / "results") == []


def test_lengths_are_no_map(tmp_path: Path) -> None:
    """They have an order, and so a curve."""
    lengths = ["test_256", "test_512", "test_1024"]
    suite = suite_of({"name": "T", "splits": lengths}, groups=[{"by": "length", "from": "split"}])
    for model in ("org/a", "org/b"):
        scores = {split: {"default": 0.5} for split in lengths}
        write_result(tmp_path / "results", model, "T", scores)
    assert maps(tmp_path / "results", suite) == []


def test_the_page_has_the_map_and_its_style_only_with_one(root: Path) -> None:
    """A cell has the class of its step; without a map nothing of it is in the page."""
    page = suite_page(make_table(SUITE, [root]))
    assert '<td class="h6">80.00</td>' in page
    assert re.findall(r"<h2[^>]*>([^<]+)</h2>", page)[1] == "Heat map by language"
    assert "--heat-0" in page
    plain = suite_page(make_table(suite_of({"name": "T", "subsets": list(LANGUAGES)}), [root]))
    assert "--heat-0" not in plain
