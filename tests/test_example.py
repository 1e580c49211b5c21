"""The example of results/ and reports/ that lies in the repository: one run, whole, readable."""

from __future__ import annotations

from pathlib import Path

from granite_bench.printed import score_text
from granite_bench.suite.suite import load_suite
from granite_bench.tables.table import Table, check_records, make_table

ROOT = Path(__file__).parents[1]


def example() -> Table:
    """As granite-bench table quickstart --results results/example makes it."""
    return make_table(load_suite("quickstart"), [ROOT / "results" / "example"])


def test_the_example_is_whole() -> None:
    """Two models, every task of the suite, and records that this release reads."""
    rows = example().rows
    assert len(rows) == 2
    assert all(row.complete for row in rows)
    sources = [source for row in rows for cell in row.cells.values() for source in cell.sources]
    check_records(sources)
    assert all(source.record["runs"] and source.queries_path.is_file() for source in sources)


def test_the_page_shows_the_scores_of_the_example() -> None:
    """Neither is made anew without the other."""
    page = (ROOT / "reports" / "quickstart.html").read_text(encoding="utf-8")
    for row in example().rows:
        assert row.average is not None
        for value in (row.average, *(cell.value for cell in row.cells.values())):
            assert value is not None
            assert f">{score_text(value)}" in page


def test_the_example_names_no_folder_of_a_person() -> None:
    """What is committed can be read by anybody."""
    for path in (ROOT / "results" / "example").rglob("*.json*"):
        text = path.read_text(encoding="utf-8")
        assert not any(home in text for home in ("/home/", "/root/", "/Users/", "/tmp/")), path
