"""Pages as a reader has them: in a real browser, by mouse and by keyboard, small and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import Open, assert_accessible, expect
from large_tables import large_table, model_names, task_names
from report_pages import EVIL, PAGES, write_pages

from granite_bench.report.suite_page import suite_page


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every page, as a file."""
    folder = tmp_path_factory.mktemp("pages")
    write_pages(folder)
    return folder


def shown_models(page: Any) -> list[str]:
    """The names in the first table, as far as they are visible."""
    rows = page.locator("#scores-table tbody tr:visible th")
    return [text.strip() for text in rows.all_inner_texts()]


def head(page: Any, name: str) -> Any:
    """The head of a column of the scores."""
    heads = page.locator("#scores-table thead th")
    return heads.filter(has_text=name).first


# --- every page -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in PAGES if name != "large"])
@pytest.mark.parametrize("width", [360, 1200])
def test_axe_finds_nothing(name: str, width: int, visit: Open) -> None:
    """Contrast, names, roles, landmarks, heads of tables: no violation of any impact."""
    assert_accessible(visit(name, width=width))


@pytest.mark.parametrize("name", [name for name in PAGES if name != "large"])
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


@pytest.mark.parametrize("name", ["suite", "parity"])
def test_the_first_key_leads_past_the_head_of_the_page(name: str, visit: Open) -> None:
    """A link that only the keyboard sees."""
    page = visit(name)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


@pytest.mark.parametrize("name", ["suite", "audit"])
def test_dark_is_dark(name: str, visit: Open) -> None:
    """The paper and the ink change places."""
    look = (
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )

    def brightness(colour: str) -> int:
        return sum(int(part) for part in colour.strip("rgb()").split(","))

    for scheme, paper_is_brighter in (("light", True), ("dark", False)):
        paper, ink = map(brightness, visit(name, color_scheme=scheme).evaluate(look))
        assert (paper > ink) is paper_is_brighter


def test_nothing_glides_for_those_who_ask_for_less_motion(visit: Open) -> None:
    """A link jumps instead."""
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert visit("suite", reduced_motion="reduce").evaluate(behaviour) == "auto"
    assert visit("suite", reduced_motion="no-preference").evaluate(behaviour) == "smooth"


@pytest.mark.parametrize("name", ["suite", "large", "overview", "audit", "parity"])
def test_on_paper_no_table_is_cut_off(name: str, visit: Open) -> None:
    """Landscape A4 between its margins; what is too wide goes on in the next line."""
    page = visit(name, width=1030)
    page.emulate_media(media="print")
    cut = page.evaluate(
        "[...document.querySelectorAll('th, td')]"
        ".filter((cell) => cell.getBoundingClientRect().right > innerWidth)"
        ".map((cell) => cell.textContent)"
    )
    assert cut == []


def test_without_its_script_a_page_is_whole(visit: Open) -> None:
    """Every row is there, and nothing that would do nothing."""
    page = visit("suite", java_script_enabled=False)
    assert page.locator("#scores-table tbody tr").count() == 12
    assert not page.locator(".tools").first.is_visible()
    assert page.locator("thead button").count() == 0
    page.locator("#scores-table td a").first.click()
    assert page.locator("details.sources[open]").count() == 1


# --- sorting and filtering --------------------------------------------------------------------


def test_the_order_that_a_table_starts_in_is_said(visit: Open) -> None:
    """By rank, the first at the top."""
    page = visit("suite")
    sorted_by = page.locator("#scores-table [aria-sort]")
    assert [sorted_by.inner_text().strip()] == ["Rank"]
    assert sorted_by.get_attribute("aria-sort") == "ascending"


def test_a_click_sorts_and_says_so(visit: Open) -> None:
    """The best of Passkey comes first, then last; holes stay last; one head has aria-sort."""
    page = visit("suite")
    passkey = head(page, "Passkey")
    passkey.get_by_role("button").click()
    models = shown_models(page)
    assert (models[0].partition(" (")[0], models[-1]) == ("org/model-8", "org/hole")
    assert passkey.get_attribute("aria-sort") == "descending"
    assert page.locator("#scores-table [aria-sort]").count() == 1
    assert page.locator("#said").inner_text() == "Sorted by Passkey, nDCG@1, descending."
    passkey.get_by_role("button").click()
    assert (shown_models(page)[0], shown_models(page)[-1]) == ("org/model-0", "org/hole")
    assert passkey.get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_key_sorts(key: str, visit: Open) -> None:
    """A head is a button; names begin with A."""
    page = visit("suite")
    head(page, "Model").get_by_role("button").focus()
    page.keyboard.press(key)
    assert shown_models(page)[:3] == ["org/hole", "org/model-0", "org/model-1"]
    assert head(page, "Model").get_attribute("aria-sort") == "ascending"


def test_words_filter_models(visit: Open) -> None:
    """All of the words, in any order; the count is said; Escape brings all back."""
    page = visit("large")
    box = page.get_by_label("Models")
    box.fill("MULTILINGUAL model-1")
    expected = {name for name in model_names(30) if "model-1" in name}
    assert set(shown_models(page)) == expected
    assert page.locator("#scores-table-rows").inner_text() == f"{len(expected)} of 30"
    box.press("Escape")
    assert len(shown_models(page)) == 30
    assert page.locator("#scores-table-rows").inner_text() == "all 30"


def test_words_filter_tasks(visit: Open) -> None:
    """Heads and cells of the others are hidden; ranks, models and averages stay."""
    page = visit("large")
    page.get_by_label("Tasks").fill("legal")
    expected = [name for name in task_names(18) if name.startswith("Legal")]
    heads = page.locator("#scores-table thead th:visible").all_inner_texts()
    assert [text.split("\n")[0] for text in heads] == [
        "Rank", "Model", "Tasks", "Average", *expected,
        "docs/s", "query p50", "query p95",
    ]  # fmt: skip
    first = page.locator("#scores-table tbody tr").first
    assert first.locator("th:visible, td:visible").count() == len(heads)
    assert page.locator("#scores-table-columns").inner_text() == f"{len(expected)} of 18"


def test_sorting_keeps_a_filter(visit: Open) -> None:
    """What is hidden stays hidden."""
    page = visit("large")
    page.get_by_label("Models").fill("model-2m")
    head(page, "Average").get_by_role("button").click()
    assert len(shown_models(page)) == 1


def test_the_heat_map_sorts_and_filters_by_itself(visit: Open) -> None:
    """Its order is its own; the table of scores stays as it is."""
    page = visit("suite")
    before = shown_models(page)
    map_ = page.locator("table.heat")
    map_.locator("thead th", has_text="zh").get_by_role("button").click()
    map_.locator("thead th", has_text="zh").get_by_role("button").click()
    first = map_.locator("tbody tr").first.locator("th")
    assert first.inner_text() == "org/model-0"
    assert shown_models(page) == before


def test_audited_cells_are_found_by_model(visit: Open) -> None:
    """A filter looks at the table's, the model's and the column's name."""
    page = visit("audit")
    page.locator("#cells + details summary").click()
    page.locator("input[aria-controls=cells-table]").fill("without-results")
    assert page.locator("#cells-table tbody tr:visible").count() == 1


# --- the keyboard -----------------------------------------------------------------------------


def test_tab_goes_through_the_page_in_order(visit: Open) -> None:
    """The skip link, the filters, the box that scrolls, the heads, then the first row's links."""
    page = visit("large")
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("(({ localName, className }) => localName + '.' + className)"
                          "(document.activeElement)")
        )  # fmt: skip
    assert reached == ["a.skip", "input.", "input.", "div.scroll", "button.", "button."]


def test_the_arrows_scroll_a_table(visit: Open) -> None:
    """Its box has the focus."""
    page = visit("large", width=700)
    box = page.locator("#scores + .tools + .scroll")
    box.focus()
    page.keyboard.press("ArrowRight")
    scrolled = (
        "(box) => box.scrollLeft > 0 || new Promise((done) => { box.onscroll = () => done(true); })"
    )
    assert box.evaluate(scrolled)


def test_head_and_names_stay_in_view(visit: Open) -> None:
    """When a table is scrolled both ways."""
    page = visit("large", width=700, height=600)
    page.locator("#scores + .tools + .scroll").evaluate("(box) => box.scrollTo(400, 300)")
    box = page.locator("#scores + .tools + .scroll").bounding_box()
    name = head(page, "Model").bounding_box()
    assert (name["x"], name["y"]) == (pytest.approx(box["x"] + 1), pytest.approx(box["y"] + 1))
    of_row = page.locator("#scores-table tbody th").nth(9).bounding_box()
    assert of_row["x"] == pytest.approx(box["x"] + 1)


@pytest.mark.parametrize("how", ["click", "key"])
def test_a_score_opens_where_it_comes_from(how: str, visit: Open) -> None:
    """The closed section opens, and the keyboard is at the row; again after it was closed."""
    page = visit("suite", reduced_motion="reduce")
    link = page.locator("#scores-table tbody tr").first.locator("td a").last
    for _ in range(2):
        if how == "click":
            link.click()
        else:
            link.press("Enter")
        expect(page.locator("th:focus")).to_have_text("Passkey")
        assert page.evaluate("document.activeElement.closest('details').open")
        assert page.locator("th:focus").is_visible()
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = false")


def test_an_address_with_an_anchor_opens_at_it(visit: Open) -> None:
    """A link to one score that somebody was sent."""
    page = visit("suite")
    page.locator("#scores-table td a").last.click()
    page.reload()
    assert page.locator("details.sources[open]").count() == 1


def test_numbers_open_and_close_by_a_key(visit: Open) -> None:
    """Beside a picture they are open; on a telephone they are closed until asked for."""
    page = visit("suite")
    summary = page.locator("details.numbers summary").first
    assert page.locator("details.numbers table").first.is_visible()
    summary.press("Enter")
    assert not page.locator("details.numbers table").first.is_visible()
    small = visit("suite", width=360)
    assert not small.locator("details.numbers table").first.is_visible()
    small.locator("details.numbers summary").first.press("Space")
    assert small.locator("details.numbers table").first.is_visible()


def test_numbers_are_on_paper_also_where_they_are_closed(visit: Open) -> None:
    """They open before a page is printed, and close again."""
    page = visit("suite", width=360)
    opened = "document.querySelectorAll('details.numbers[open]').length"
    assert page.evaluate(opened) == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(opened) == page.locator("details.numbers").count() > 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(opened) == 0


def test_every_picture_has_a_text_and_its_numbers(visit: Open) -> None:
    """A name and a description for those who do not see it, a table, and what it is of."""
    page = visit("suite")
    pictures = page.locator("div.picture")
    assert pictures.count() == 3  # speed, context length, dimension
    for picture in pictures.all():
        image = picture.get_by_role("img")
        assert image.evaluate("(svg) => svg.querySelector('title').textContent.length") > 10
        assert image.evaluate("(svg) => svg.querySelector('desc').textContent.length") > 10
        assert picture.locator("details.numbers tbody tr").count() > 1
        assert "Data: Small suite" in picture.locator("figcaption").inner_text()


# --- hostile, and large -----------------------------------------------------------------------


def test_hostile_names_are_text(visit: Open) -> None:
    """As they are written, and nothing of them is an element, a handler or an address."""
    page = visit("hostile")
    assert set(shown_models(page)) == {name.strip() for name in EVIL}
    assert page.locator("img, script:not(:last-child), [onerror], [onclick]").count() == 0
    assert page.locator("a:not([href^='#'])").count() == 0
    for link in page.locator("#scores-table tbody tr").first.locator("a").all():
        link.press("Enter")
        expect(page.locator("details :focus")).to_be_visible()


def test_hostile_names_sort_and_filter(visit: Open) -> None:
    """A name is looked for as it is; it is no pattern and no selector."""
    page = visit("hostile")
    head(page, "Model").get_by_role("button").click()
    page.get_by_label("Models").fill("<img src=x onerror")
    assert shown_models(page) == [EVIL[0]]
    page.get_by_label("Tasks").fill("__proto__")
    assert page.locator("#scores-table-columns").inner_text() == "1 of 8"


def test_a_hundred_models_over_130_tasks_stay_usable(folder: Path, visit: Open) -> None:
    """It can be read at once and used within seconds; sorting and filtering do not stall."""
    (folder / "hundred.html").write_text(suite_page(large_table(100, 130)), encoding="utf-8")
    page = visit("hundred")
    timing = page.evaluate(
        "({ interactive: performance.getEntriesByType('navigation')[0].domInteractive,"
        " paint: performance.getEntriesByType('paint')[0].startTime })"
    )
    assert timing["paint"] < 5_000
    assert timing["interactive"] < 15_000
    spent = page.evaluate(
        "(() => { const start = performance.now();"
        " document.querySelectorAll('#scores-table thead button')[5].click();"
        " document.body.offsetHeight;"
        " return performance.now() - start; })()"
    )
    assert spent < 5_000
    page.get_by_label("Models").fill("model-99m")
    assert len(shown_models(page)) == 1
