"""A comparison on a page and in every other format: escaped, complete, the same every time."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from queries_tree import write_queries
from results_tree import suite_of, write_result
from speed_tree import turns_content, write_speed

from granite_bench.comparison.candidates import find_candidates
from granite_bench.comparison.side_by_side import put_side_by_side
from granite_bench.comparison.task_texts import Texts
from granite_bench.report.changed_queries import beginning
from granite_bench.report.comparison import BETTER, WORSE, ComparisonReport, report_of
from granite_bench.report.comparison_formats import (
    as_csv,
    as_json,
    as_latex,
    as_markdown,
    as_text,
)
from granite_bench.report.comparison_page import comparison_page
from granite_bench.report.forest import ForestLine, draw_forest
from granite_bench.report.printed_table import PrintedTable

EVIL = "<img src=x onerror=alert(1)>"
TASKS = ({"name": "A", "group": "x"}, {"name": "B", "group": "x"}, {"name": "C", "group": "y"})
SUITE = suite_of(*TASKS, groups=[{"by": "kind", "from": "group"}])

ONE = [0.0, 0.25, 0.5, 0.5, 0.0, 0.25, 0.5, 0.5, 0.1, 0.2]
GAIN = {"A": 0.4, "B": -0.0, "C": -0.3}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A reference, a model that is better on A, level on B and worse on C, and an evil name."""
    root = tmp_path / "results"
    for task, gain in GAIN.items():
        base = [value + 0.3 for value in ONE]
        write_queries(root, "org/one", task, base)
        write_queries(root, "org/two", task, [value + gain for value in base])
        write_queries(root, f"org/{EVIL}", task, base, top={"q0": [EVIL]})
    return root


def report(root: Path, *names: str, n_changed: int = 4) -> ComparisonReport:
    """The comparison of the reference with these, or with the second model."""
    candidates = find_candidates(["org/one", *(names or ["org/two"])], SUITE, [root])
    return report_of(put_side_by_side(candidates, n_changed=n_changed))


def page(found: ComparisonReport, name: str) -> PrintedTable:
    """One of its tables."""
    return next(section.table for section in found.sections if section.name == name)


def texts(of: PrintedTable) -> list[dict[str, str]]:
    """A dictionary of head -> text for every row."""
    return [dict(zip(of.heads, (cell.text for cell in row), strict=True)) for row in of.rows]


def test_what_is_beyond_noise_is_marked_by_a_sign(root: Path) -> None:
    """Not by a colour: better, level and worse."""
    shown = {row["Task"]: row["Difference"] for row in texts(page(report(root), "tasks"))}
    assert shown == {"A": f"+40.00 {BETTER}", "B": "+0.00", "C": f"−30.00 {WORSE}"}


def test_every_breakdown_of_the_suite_has_a_table(root: Path) -> None:
    """Overall, by task, by each grouping, costs; parts only where tasks have several."""
    names = [section.name for section in report(root).sections]
    assert names[:3] == ["overall", "tasks", "by-kind"]
    assert "parts" not in names


def test_a_grouping_that_shows_the_parts_stands_for_them(tmp_path: Path) -> None:
    """One task in two languages, by language: the parts would be the same table again."""
    suite = suite_of(
        {"name": "T", "subsets": ["de", "en"]}, groups=[{"by": "language", "from": "subset"}]
    )
    for model, shift in (("org/one", 0.0), ("org/two", 0.2)):
        write_queries(
            tmp_path / "results", model, "T", {"de": [shift] * 4, "en": [0.5 + shift] * 4}
        )
    candidates = find_candidates(["org/one", "org/two"], suite, [tmp_path / "results"])
    names = [section.name for section in report_of(put_side_by_side(candidates)).sections]
    assert "by-language" in names
    assert "parts" not in names
    assert "tasks" not in names


def test_parts_of_several_tasks_have_a_table(tmp_path: Path) -> None:
    """Two tasks in two languages, grouped by nothing."""
    tasks = [{"name": name, "subsets": ["de", "en"]} for name in ("T", "U")]
    for model in ("org/one", "org/two"):
        for task in ("T", "U"):
            write_queries(tmp_path / "results", model, task, {"de": [0.5] * 4, "en": [0.75] * 4})
    candidates = find_candidates(["org/one", "org/two"], suite_of(*tasks), [tmp_path / "results"])
    found = report_of(put_side_by_side(candidates))
    assert len(page(found, "parts").rows) == 4


def test_models_of_which_nothing_is_known_have_no_table_of_costs(tmp_path: Path) -> None:
    """As where others reported the scores, of models that mteb does not know."""
    for model in ("org/one", "org/two"):
        scores = {"test": {"default": 0.5}}
        write_result(tmp_path / "results", model, "A", scores, meta=False)
    candidates = find_candidates(["org/one", "org/two"], suite_of("A"), [tmp_path / "results"])
    found = report_of(put_side_by_side(candidates))
    assert [section.name for section in found.sections] == ["overall"]


def test_several_models_have_rows_of_their_own(root: Path) -> None:
    """A row for each task and model, and each is named."""
    rows = texts(page(report(root, "org/two", f"org/{EVIL}"), "tasks"))
    assert [(row["Task"], row["Model"]) for row in rows[:2]] == [
        ("A", "org/two"),
        ("A", f"org/{EVIL}"),
    ]


def test_queries_stand_beside_both_rankings(root: Path) -> None:
    """A row for each rank, the query beside the first."""
    changed = report(root).tables[-1]
    first, second = texts(changed)[:2]
    assert (first["Query"], first["Difference"], first["Documents"]) == ("q0", "+40.00", "d0")
    assert (second["Query"], second["Rank"], second["Documents"]) == ("", "2", "d1")


def test_texts_and_judgements_are_shown_where_they_are_there(root: Path) -> None:
    """The beginning of a text, and a tick that is no colour."""
    candidates = find_candidates(["org/one", "org/two"], SUITE, [root])
    side = put_side_by_side(candidates, n_changed=1)
    query = side.pairs[0].changed[0]
    known = Texts({query.query: "what floats"}, {"d1": "Pumice " * 99}, {query.query: {"d1"}})  # type: ignore[dict-item]
    found = report_of(side, {query.evaluation: known})
    rows = texts(found.tables[-1])
    assert rows[0]["Query"] == f"{query.query}: what floats"
    assert rows[1]["Documents"].startswith("✓ d1: Pumice Pumice")
    assert rows[1]["Documents"].endswith("…")
    assert "✓" not in rows[0]["Documents"]
    html = comparison_page(found)
    assert "judged relevant" in html
    assert "what floats" in html


def test_a_hostile_name_is_text(root: Path) -> None:
    """A model, a document; in the drawing too."""
    found = report(root, f"org/{EVIL}", "org/two")
    html = comparison_page(found)
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html.replace("<wbr>", "")
    assert "<img" not in as_markdown(found).replace("\\<img", "")


def test_hostile_texts_of_queries_are_text(root: Path) -> None:
    """And so are documents; control characters do not reach a terminal."""
    candidates = find_candidates(["org/one", "org/two"], SUITE, [root])
    side = put_side_by_side(candidates, n_changed=1)
    query = side.pairs[0].changed[0]
    known = Texts({query.query: EVIL + "\x1b[31m"}, {"d0": EVIL}, {})
    found = report_of(side, {query.evaluation: known})
    assert "<img" not in comparison_page(found)
    assert "\x1b" not in as_text(found)


def test_the_page_needs_nothing_from_elsewhere(root: Path) -> None:
    """Its policy forbids it, and there is no address in it."""
    html = comparison_page(report(root))
    assert "default-src 'none'" in html
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", html)


def test_the_same_results_make_the_same_page(root: Path) -> None:
    """Byte by byte, drawing included."""
    assert comparison_page(report(root)) == comparison_page(report(root))


def test_the_drawing_has_words_and_its_table(root: Path) -> None:
    """A title and a description for those who do not see it."""
    html = comparison_page(report(root))
    assert '<title id="forest-0-title">org/two against org/one</title>' in html
    assert "Better on 1 and worse on 1 of 3. The table that follows has every value." in html


def test_the_drawing_tells_significance_by_shape() -> None:
    """Better, worse and noise have markers of three shapes, whatever their colours."""

    def shapes(value: float, *, significant: bool) -> frozenset[str]:
        line = ForestLine("n", value, value - 0.5, value + 0.5, significant)
        svg = str(draw_forest([line], ident="f", title="t", description="d", x_label="x"))
        return frozenset(re.findall(r'<path id="[^"]*" d="([^"]*)"', svg))

    better, worse = shapes(3.0, significant=True), shapes(-3.0, significant=True)
    assert len({better, worse, shapes(3.0, significant=False)}) == 3


def test_csv_has_every_difference_unrounded(root: Path) -> None:
    """A row for each model, table and column, with fractions."""
    rows = list(csv.DictReader(io.StringIO(as_csv(report(root)))))
    assert [(row["table"], row["column"]) for row in rows] == [
        ("overall", "average"), ("tasks", "A"), ("tasks", "B"), ("tasks", "C"),
        ("by-kind", "x"), ("by-kind", "y"),
    ]  # fmt: skip
    assert float(rows[1]["difference"]) == pytest.approx(0.4)
    assert (rows[1]["wins"], rows[1]["ties"], rows[1]["n_queries"]) == ("10", "0", "10")
    assert rows[0]["reference"] == "org/one"


def test_json_has_everything(root: Path) -> None:
    """With a version; the figures are those of the tables."""
    content = json.loads(as_json(report(root)))
    [pair] = content["comparisons"]
    assert content["version"] == 1
    assert set(pair["groups"]) == {"kind"}
    assert [each["significant"] for each in pair["tasks"]] == [True, False, True]
    assert pair["over_units"] is None
    assert len(pair["changed_queries"]) == 4
    assert content["pareto"]["by"] == ["average", "docs_per_s"]
    assert content["costs"]["throughput_under"]


def test_the_interval_of_tasks_like_these_needs_five_of_them(tmp_path: Path) -> None:
    """Of three the page says so; of five there is one, around the mean gain of 0.05."""
    root, names = tmp_path / "results", "ABCDE"
    for place, task in enumerate(names):
        write_queries(root, "org/one", task, ONE)
        write_queries(root, "org/two", task, [value + place / 10 - 0.15 for value in ONE])

    def overall(n_tasks: int) -> tuple[dict[str, str], PrintedTable]:
        suite = suite_of(*names[:n_tasks])
        sides = find_candidates(["org/one", "org/two"], suite, [root])
        found = page(report_of(put_side_by_side(sides)), "overall")
        return dict(zip(found.subheads, (cell.text for cell in found.rows[1]), strict=False)), found

    cells, found = overall(5)
    low, high = cells["tasks like these"].split(" to ")
    assert (low[0], high[0]) == ("−", "+")
    assert any("expanded percentile" in note for note in found.notes)
    cells, found = overall(3)
    assert "tasks like these" not in cells
    assert any("needs 5" in note for note in found.notes)


def test_results_of_several_revisions_are_said(root: Path) -> None:
    """A table may mix them; the difference is then of no one checkpoint."""
    write_queries(root, "org/two", "D", [0.5] * 10)
    write_queries(root, "org/two", "A", [0.5] * 10, revision="rev-2")
    (root / "org__two" / "rev-1" / "A.json").unlink()
    [warning] = report(root).warnings
    assert "org/two is of several revisions: rev-1, but A of rev-2" in warning
    assert report(root, "org/one").warnings == []


def test_models_that_took_turns_have_the_ratio_of_their_speeds(root: Path) -> None:
    """With its interval, to the reference; elsewhere there is no such column."""
    assert "Speed ratio" not in page(report(root), "costs").heads
    one = turns_content(0, "org/one", org_two=(0.5, 0.4, 0.6))
    two = turns_content(1, "org/two", org_one=(2.0, 1.8, 2.2))
    write_speed(root, "org/one", comparison=one)
    write_speed(root, "org/two", comparison=two)
    ratios = [row["Speed ratio"] for row in texts(page(report(root), "costs"))]
    assert ratios == ["–", "2.00 (1.80 to 2.20)"]


def test_markdown_and_latex_have_every_table(root: Path) -> None:
    """Each under its title; a terminal too."""
    found = report(root)
    for title in ("overall", "by task", "by kind", "what each costs"):
        assert f"## Small suite: {title}" in as_markdown(found)
        assert f"% Small suite: {title}" in as_latex(found)
        assert f"Small suite: {title}" in as_text(found)
    assert as_latex(found).count("\\begin{tabular}") == len(found.sections)


def test_the_beginning_of_a_text_ends_at_a_word() -> None:
    """On one line; a text without spaces is cut all the same."""
    assert beginning("a\n b") == "a b"
    assert beginning("word " * 100).endswith("word …")
    assert len(beginning("x" * 1000)) == 202
