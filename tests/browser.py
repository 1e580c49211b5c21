"""What tests of pages in a real browser share; conftest.py has the fixtures that open one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Open = Callable[..., Any]
"""Opens a page by its name; its size, and options of a browser's context, may be given."""

SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


def expect(found: Any) -> Any:
    """Playwright's assertions, which wait until they hold."""
    from playwright.sync_api import expect

    return expect(found)


def assert_accessible(page: Any, **options: Any) -> None:
    """axe finds no violation of any impact, and something that it could look at."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options=options or None)
    assert found.response["passes"]
    assert found.generate_report() == "Found 0 accessibility violations:\n"
