"""The index of a folder of pages: made from the pages, by kind, and never in anybody's way."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from audit_desk import Desk
from queries_tree import write_queries
from results_tree import suite_of
from test_parity_report import PARITY

from granite_bench.__main__ import main
from granite_bench.audit import summarize
from granite_bench.commands.audit import audit_command
from granite_bench.comparison.candidates import find_candidates
from granite_bench.comparison.side_by_side import put_side_by_side
from granite_bench.errors import BadInput
from granite_bench.report.audit import audit_page
from granite_bench.report.comparison import report_of
from granite_bench.report.comparison_page import comparison_page
from granite_bench.report.index import KINDS, Entry, entries_of, index_page, write_index, write_page
from granite_bench.report.parity import parity_page
from granite_bench.report.suite_page import suite_page
from granite_bench.suite.overview import Overview
from granite_bench.tables.overview import make_overview
from granite_bench.tables.table import make_table

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where reports are written to by default."""
    folder = tmp_path / "reports"
    folder.mkdir()
    return folder


def page(kind: str, title: str, finding: str = "") -> str:
    """A page as far as the index reads it."""
    return (
        f'<!doctype html><meta name="granite-bench:kind" content="{kind}">'
        f'<meta name="description" content="{finding}"><title>{title} · granite-bench</title>'
    )


def links(folder: Path) -> list[str]:
    """The files that the index of a folder links, in its order."""
    index = (folder / "index.html").read_text(encoding="utf-8")
    return [unquote(unescape(link)) for link in re.findall(r'<li><a href="([^"]*)"', index)]


def test_every_kind_of_page_says_what_it_is_and_what_was_found(tmp_path: Path) -> None:
    """A suite, an overview, a comparison, an audit, backends; the card is in test_model_card."""
    root = tmp_path / "results"
    for model, value in (("org/a", 0.5), ("org/b", 0.25)):
        write_queries(root, model, "TaskA", [value] * 4)
    suite = suite_of("TaskA")
    side = put_side_by_side(find_candidates(["org/a", "org/b"], suite, [root]))
    named = {"version": 1, "name": "all", "title": "All", "description": "", "suites": ["rar-b"]}
    desk = Desk(tmp_path)
    desk.prints("One", "50.0")
    made = {
        "suite": suite_page(make_table(suite, [root])),
        "overview": suite_page(make_overview(Overview.model_validate(named), [root])),
        "comparison": comparison_page(report_of(side)),
        "audit": audit_page(summarize(desk.cells())),
        "parity": parity_page(PARITY),
    }
    for kind, text in made.items():
        (tmp_path / f"{kind}.html").write_text(text, encoding="utf-8")
    found = {entry.kind: entry for entry in entries_of(tmp_path)}
    assert found.keys() == made.keys()
    assert found["suite"].title == "Small suite"
    assert found["suite"].finding == "org/a leads with 50.00 on TaskA, 25.00 ahead of org/b."
    assert found["comparison"].finding.startswith("No difference between org/b and org/a")
    assert all(entry.finding for entry in found.values())


def test_pages_stand_by_kind_then_by_title(folder: Path) -> None:
    """Overviews before suites before models; the index itself is not in it."""
    for name, kind, title in (
        ("1", "model", "M"), ("2", "suite", "b"), ("3", "suite", "A"), ("4", "overview", "Z"),
    ):  # fmt: skip
        (folder / f"{name}.html").write_text(page(kind, title, f"Found {name}."))
    write_index(folder)
    write_index(folder)
    assert links(folder) == ["4.html", "3.html", "2.html", "1.html"]
    index = (folder / "index.html").read_text()
    assert re.findall(r"<h2[^>]*>([^<]+)</h2>", index) == ["Overviews", "Suites", "Models"]
    assert "<p>Found 3.</p>" in index


def test_a_page_that_goes_is_in_the_index_no_more(folder: Path) -> None:
    """It is made from what is there."""
    for name in ("a", "b"):
        write_page(folder / f"{name}.html", page("suite", name))
    (folder / "a.html").unlink()
    write_page(folder / "c.html", page("suite", "c"))
    assert links(folder) == ["b.html", "c.html"]


def test_the_same_pages_make_the_same_index(folder: Path, tmp_path: Path) -> None:
    """Whatever the order in which they were written, and when."""
    other = tmp_path / "other" / "reports"
    for place, names in ((folder, "abc"), (other, "cab")):
        for name in names:
            write_page(place / f"{name}.html", page("suite", name))
    assert (folder / "index.html").read_bytes() == (other / "index.html").read_bytes()


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (b"", "x.html"),
        (b"\x00\xff\xfe<title", "x.html"),
        (b"<title>Never closed", "Never closed"),
        (b"<![if <!DOCTYPE [<title>", "x.html"),
        (b"<title>  Of\n two lines </title><title>another</title>", "Of two lines"),
        (b"<body><title>in the body</title>", "x.html"),
        (b'<meta name="granite-bench:kind" content="zzz"><title>T</title>', "T"),
        (b'<meta name=description content="not ours"><title>T</title>', "T"),
    ],
)
def test_a_page_that_is_not_ours_stands_under_other_pages(
    content: bytes, title: str, folder: Path
) -> None:
    """Broken or not; by its title, else by its file's name, and without a finding."""
    (folder / "x.html").write_bytes(content)
    assert entries_of(folder) == [Entry("x.html", "", title, "")]
    assert KINDS[""] in index_page(entries_of(folder))


def test_what_is_no_page_is_left_out(folder: Path) -> None:
    """Folders, hidden files, other files."""
    (folder / "sub.html").mkdir()
    (folder / ".hidden.html").write_text(page("suite", "hidden"))
    (folder / "a.md").write_text("# a\n")
    (folder / "gone.html").symlink_to(folder / "nowhere.html")
    assert entries_of(folder) == []
    assert "There are no pages here yet." in index_page([])


@pytest.mark.parametrize(
    "name", ["javascript:alert(1).html", 'a"b.html', "#a?b%41.html", f"{EVIL}.html", "ש.html"]
)
def test_whatever_a_file_is_called_its_link_leads_to_it(name: str, folder: Path) -> None:
    """And no name breaks out of its link, or is the address of something else."""
    (folder / name).write_text(page("suite", "T"))
    write_index(folder)
    assert links(folder) == [name]
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'href="(?!#)[^"]*[:?<]', index)


def test_hostile_titles_and_findings_are_text(folder: Path) -> None:
    """As they are written, escaped."""
    evil = EVIL.replace("<", "&lt;").replace(">", "&gt;")
    (folder / "a.html").write_text(page("suite", evil, evil))
    (entry,) = entries_of(folder)
    assert (entry.title, entry.finding) == (EVIL, EVIL)
    assert EVIL not in index_page([entry])


def test_somebody_elses_index_is_left_alone(folder: Path) -> None:
    """A page is written beside it; asked for the index, we say why there is none."""
    (folder / "index.html").write_text("<title>My own</title>")
    write_page(folder / "a.html", page("suite", "a"))
    assert (folder / "index.html").read_text() == "<title>My own</title>"
    with pytest.raises(BadInput, match="not an index that granite-bench made"):
        write_index(folder)
    assert main(["report", "--index", str(folder)]) == 2


def test_other_folders_get_no_index_unless_they_have_one(tmp_path: Path) -> None:
    """A page that is put anywhere else brings no second file along."""
    write_page(tmp_path / "a.html", page("suite", "a"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    write_index(tmp_path)
    write_page(tmp_path / "b.html", page("suite", "b"))
    assert links(tmp_path) == ["a.html", "b.html"]


def test_report_makes_the_index_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of reports/, or of a folder that is named; one that is not there is named in the error."""
    (folder / "a.html").write_text(page("suite", "a"))
    monkeypatch.chdir(folder.parent)
    assert main(["report", "--index"]) == 0
    assert capsys.readouterr().out == "report: reports/index.html\n"
    assert links(folder) == ["a.html"]
    assert main(["report", "--index", "elsewhere"]) == 2
    assert "elsewhere: is no folder" in capsys.readouterr().err


def test_audit_updates_the_index(folder: Path, tmp_path: Path) -> None:
    """With its page; its CSV is no page."""
    desk = Desk(tmp_path)
    desk.raw("org/a", "One", 0.5)
    desk.prints("One", "50.0")
    desk.cells()
    printed, results = [tmp_path / "table.csv"], [desk.results]
    audit_command(printed, results, folder / "audit.csv", "csv")
    assert not (folder / "index.html").exists()
    audit_command(printed, results, folder / "audit.html", "html")
    assert links(folder) == ["audit.html"]
