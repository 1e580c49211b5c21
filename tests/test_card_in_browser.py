"""The pages of one model and of a comparison, and the index of a folder, in a real browser."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import Open, assert_accessible, expect
from queries_tree import write_queries
from report_pages import EVIL
from results_tree import suite_of
from speed_tree import write_speed

from granite_bench.comparison.candidates import find_candidates
from granite_bench.comparison.side_by_side import put_side_by_side
from granite_bench.report.comparison import report_of
from granite_bench.report.comparison_page import comparison_page
from granite_bench.report.index import write_index, write_page
from granite_bench.report.model_card import card_of
from granite_bench.report.model_card_page import card_page

LANGUAGES = ("ar", "de", "en", "hi", "zh", "th", "tr", "vi")
PAGES = ("card", "card-hostile", "comparison", "comparison-hostile", "index")
SUITES = {
    "by-language": """
version: 1
name: by-language
title: By language
description: One task in eight languages.
average: groups
groups:
  - {by: language, from: subset}
tasks:
  - {name: Languages, subsets: [ar, de, en, hi, zh, th, tr, vi]}
""",
    "plain": """
version: 1
name: plain
title: Plain
description: Three tasks.
tasks: [One, Two, Three]
""",
}


def _write_results(root: Path, models: tuple[str, ...]) -> None:
    for number, model in enumerate(models):
        base = [0.1 * number, 0.3, 0.5, 0.63, 1.0, 0.0]
        for settings in (None, {"embed_dim": 64}, {"embed_dim": 128}):
            by_language = dict.fromkeys(LANGUAGES, base)
            write_queries(root, model, "Languages", by_language, settings=settings)
        for task in ("One", "Two", "Three"):
            write_queries(root, model, task, base[::-1])
        write_speed(root, model, chunks=4000.0 - 400 * number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every page, as a file, and the index of them."""
    made = tmp_path_factory.mktemp("made")
    folder = made / "reports"
    for name, text in SUITES.items():
        (made / f"{name}.yaml").write_text(text)
    sources = [str(made / f"{name}.yaml") for name in SUITES]
    evil = (*(name for name in EVIL if len(name) < 100), "org/" + "long" * 50)
    for name, models in {"": ("org/one", "org/two", "org/three"), "-hostile": evil}.items():
        root = made / f"of{name}" / "results"
        _write_results(root, models)
        card = card_of(models[0], sources, [root], against=models[1])
        write_page(folder / f"card{name}.html", card_page(card))
        suite = suite_of("One", "Two", "Three", title=models[-1] if name else "Three tasks")
        few = (*models[:2], models[-1])
        side = put_side_by_side(find_candidates(few, suite, [root]), n_changed=1)
        write_page(folder / f"comparison{name}.html", comparison_page(report_of(side)))
    for number, title in enumerate(EVIL):
        (folder / f"{number}#?{title[:20].replace('/', '|')}.html").write_text(
            f"<title>{title}</title>", encoding="utf-8"
        )
    write_index(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "width"),
    [*((name, 360) for name in PAGES), *((name, 1200) for name in ("card", "comparison"))],
)
def test_axe_finds_nothing(name: str, width: int, visit: Open) -> None:
    """Contrast, names, roles, landmarks, heads of tables: no violation of any impact."""
    assert_accessible(visit(name, width=width))


@pytest.mark.parametrize("name", ["card", "comparison", "index"])
def test_axe_finds_nothing_in_the_dark(name: str, visit: Open) -> None:
    """Nothing but colours is another there."""
    assert_accessible(visit(name, color_scheme="dark"), runOnly=["color-contrast"])


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [360, 2000])
def test_no_page_scrolls_sideways_or_shifts(name: str, width: int, visit: Open) -> None:
    """Tables scroll in their boxes; nothing moves while a page loads."""
    page = visit(name, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.shifts") < 0.01


@pytest.mark.parametrize("name", PAGES)
def test_names_from_outside_are_text(name: str, visit: Open) -> None:
    """Nothing of them is an element, a handler or an address."""
    page = visit(name)
    assert page.locator("img, script:not(:last-child), [onerror], [onclick]").count() == 0
    if name != "index":
        assert page.locator("a:not([href^='#'])").count() == 0


@pytest.mark.parametrize("name", PAGES[:-1])
def test_ids_are_unique(name: str, visit: Open) -> None:
    """Of tables, drawings and sources, also where a page has several suites."""
    ids = visit(name).evaluate("[...document.querySelectorAll('[id]')].map(({ id }) => id)")
    assert len(ids) == len(set(ids)) > 10


def test_a_score_of_a_card_opens_where_it_comes_from(visit: Open) -> None:
    """In the suite that it is of."""
    page = visit("card", reduced_motion="reduce")
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = false")
    page.locator("#suite-2-by-1 td a").last.press("Enter")
    expect(page.locator("th:focus")).to_have_text("Three")
    section = page.locator("details.sources[open] summary")
    assert section.inner_text().startswith("Plain")


def test_tables_of_a_card_and_of_a_comparison_sort_by_themselves(visit: Open) -> None:
    """By a click on a head; the other tables stay as they are."""
    for name, table in (("card", "#suite-2-by-1"), ("comparison", "#tasks-table")):
        page = visit(name)
        head = page.locator(f"{table} thead th").first
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert page.locator("[aria-sort]").count() == 1
        names = page.locator(f"{table} tbody th").all_inner_texts()
        assert names == sorted(names)


@pytest.mark.parametrize(("name", "n_pictures"), [("card", 1), ("comparison", 2)])
def test_pictures_have_a_text_and_their_numbers(
    name: str,
    n_pictures: int,
    visit: Open,
) -> None:
    """The curve of a model, and the queries of each pair."""
    pictures = visit(name).locator("div.picture")
    assert pictures.count() == n_pictures
    for picture in pictures.all():
        image = picture.get_by_role("img")
        assert image.evaluate("(svg) => svg.querySelector('title').textContent.length") > 10
        assert image.evaluate("(svg) => svg.querySelector('desc').textContent.length") > 10
        assert picture.locator("details.numbers tbody tr").count() > 1
        assert "Data: " in picture.locator("figcaption").inner_text()


def test_links_of_the_index_lead_to_its_pages(folder: Path, visit: Open) -> None:
    """Every file of the folder, whatever it is called."""
    page = visit("index")
    links = page.locator("main a")
    named = {unquote(link.get_attribute("href") or "") for link in links.all()}
    assert named == {path.name for path in folder.glob("*.html")} - {"index.html"}
    for link in (links.first, links.last):
        address = link.evaluate("(a) => a.href")
        link.click()
        expect(page).to_have_url(address)
        page.go_back()
