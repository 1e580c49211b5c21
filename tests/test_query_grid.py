"""Queries by the scores of two models: which are counted, in which square, and how they changed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from queries_tree import write_queries
from results_tree import suite_of, write_result

from granite_bench.comparison.candidates import find_candidates
from granite_bench.comparison.side_by_side import SideBySide, put_side_by_side
from granite_bench.report.comparison import report_of
from granite_bench.report.comparison_page import comparison_page
from granite_bench.report.query_grid import (
    N_STEPS,
    QueryGrid,
    QueryScoresOfBoth,
    counts_of,
    query_grid,
    rows_of,
    scores_of_both,
)
from granite_bench.suite.suite import Suite

EVIL = "<img src=x onerror=alert(1)>"
SUITE = suite_of("A", "B")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two tasks of two models; each has a query that the other lacks."""
    root = tmp_path / "results"
    write_queries(root, "org/one", "A", [0.0, 0.0, 0.3, 1.0, 0.2], ids=["a", "b", "c", "d", "e"])
    write_queries(root, f"org/{EVIL}", "A", [0.0, 0.05, 0.4, 0.5], ids=["a", "b", "c", "d"])
    write_queries(root, "org/one", "B", [0.5, 0.5, 0.25], ids=["a", "b", "x"])
    write_queries(root, f"org/{EVIL}", "B", [0.9, 0.5, 1.0, 0.2], ids=["0", "a", "b", "x"])
    return root


def side(root: Path, suite: Suite = SUITE) -> SideBySide:
    """The two models, the second against the first, whatever queries they have."""
    candidates = find_candidates(["org/one", f"org/{EVIL}"], suite, [root])
    return put_side_by_side(candidates, allowed=["queries"])


def scores(root: Path, suite: Suite = SUITE) -> QueryScoresOfBoth | None:
    """Of the pair."""
    return scores_of_both(side(root, suite).pairs[0].comparison, suite)


def grid(one: list[float], other: list[float]) -> QueryGrid:
    """The picture of these scores."""
    both = QueryScoresOfBoth(["ndcg_at_10"], np.array(one), np.array(other))
    return query_grid(both, reference="org/one", model="org/two", basis="Data: X.", ident="q")


def changed(found: QueryGrid) -> dict[str, tuple[str, str]]:
    """Change -> queries and share, as printed; without the rows of none."""
    rows = {row[0].text: (row[1].text, row[2].text) for row in found.rows}
    return {change: texts for change, texts in rows.items() if texts[0] != "0"}


def test_queries_that_both_have_count_once_each(root: Path) -> None:
    """Of all tasks, in pairs; one that only one of the two has is left out."""
    found = scores(root)
    assert found is not None
    pairs = sorted(zip(found.one.tolist(), found.other.tolist(), strict=True))
    assert pairs == [
        (0.0, 0.0), (0.0, 0.05), (0.25, 0.2), (0.3, 0.4), (0.5, 0.5), (0.5, 1.0), (1.0, 0.5),
    ]  # fmt: skip
    assert found.metrics == ["ndcg_at_10"]


def test_the_parts_of_an_aggregate_are_counted(tmp_path: Path) -> None:
    """It has no queries of its own."""
    suite = suite_of({"name": "Whole", "parts": ["P", "Q"]})
    root = tmp_path / "results"
    for model in ("org/one", f"org/{EVIL}"):
        for part in ("P", "Q"):
            write_queries(root, model, part, [0.5, 0.25])
    found = scores(root, suite)
    assert found is not None
    assert len(found.one) == 4


def test_without_scores_per_query_there_is_no_picture(tmp_path: Path) -> None:
    """As of public results."""
    for model in ("org/one", f"org/{EVIL}"):
        write_result(tmp_path / "results", model, "A", {"test": {"default": 0.5}})
    suite = suite_of("A")
    assert scores(tmp_path / "results", suite) is None
    assert "Query by query" not in comparison_page(report_of(side(tmp_path / "results", suite)))


def test_squares_are_tenths_of_both_scores() -> None:
    """0.3 begins the fourth, also where it was stored a little less; 1 is in the last."""
    counts = counts_of(np.array([0.0, 0.299999999, 0.3, 1.0]), np.array([0.09, 0.3, 0.3, 0.95]))
    assert counts.shape == (N_STEPS, N_STEPS)
    assert {(x, y): counts[x, y] for x, y in zip(*np.nonzero(counts), strict=True)} == {
        (0, 0): 1,
        (3, 3): 2,
        (9, 9): 1,
    }


def test_changes_are_banded_by_their_size() -> None:
    """Half of the scale and a tenth of it belong to the larger band; rounding errors are level."""
    changes = np.array([1.0, 0.5, 0.6 - 0.5, 0.09, 1e-12, 0.0, -0.01, -0.1, -0.49, -0.5])
    assert [(text, n) for _, text, n in rows_of(changes)] == [
        ("better by 50 to 100", 2),
        ("better by 10 to 50", 1),
        ("better by less than 10", 1),
        ("level", 2),
        ("worse by less than 10", 1),
        ("worse by 10 to 50", 2),
        ("worse by 50 to 100", 1),
    ]


def test_the_table_has_every_query_with_its_share() -> None:
    """Three of four are level."""
    found = grid([0.5, 0.5, 0.0, 0.25], [0.5, 0.5, 0.0, 1.0])
    assert changed(found) == {"better by 50 to 100": ("1", "25.0"), "level": ("3", "75.0")}
    assert "Of 4 queries org/two is better on 1, level on 3 and worse on 0." in found.svg


def test_the_caption_says_metric_queries_and_data() -> None:
    """And what a square is."""
    caption = grid([0.5, 0.5], [0.5, 1.0]).caption
    assert caption.startswith("nDCG@10 of 2 queries")
    assert caption.endswith("Data: X.")


def test_better_is_above_the_diagonal_and_has_its_own_colour() -> None:
    """And so has worse; level has neither."""
    better, worse, level = (
        set(re.findall(r"--series-\d", grid([one], [other]).svg))
        for one, other in ((0.2, 0.8), (0.8, 0.2), (0.2, 0.2))
    )
    assert (better, worse, level) == ({"--series-1"}, {"--series-2"}, set())


def test_a_square_for_more_queries_is_larger() -> None:
    """By the logarithm: the legend has the sizes of one, of ten, and of the most."""
    found = grid([0.5] * 20 + [0.0], [0.5] * 20 + [1.0])
    assert [entry.text for entry in found.sizes] == ["1 query", "10 queries", "20 queries"]
    sides = [
        float(re.findall(r'width="([\d.]+)" height=', entry.swatch)[1]) for entry in found.sizes
    ]
    assert sides == sorted(sides)
    assert sides[-1] == 26
    assert [entry.text for entry in grid([0.5], [0.5]).sizes] == ["1 query"]


def test_the_page_has_a_picture_for_each_pair(root: Path) -> None:
    """With a text for those who do not see it; hostile names are text; the same bytes again."""
    page = comparison_page(report_of(side(root)))
    assert page.count('id="queries-1-title"') == 1
    assert "better by less than 10" in page
    assert EVIL not in page
    assert page == comparison_page(report_of(side(root)))
