"""
A page as one HTML file: no network, no script from elsewhere, opens from disk.

Everything from outside (names of models and tasks, settings) is escaped by jinja2, and the
page's own content-security policy forbids anything but its own style and its one script.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from granite_bench.curves import curves_of
from granite_bench.report.columns import is_overview
from granite_bench.report.curves import figures, looks_of
from granite_bench.report.layout import headline, lay_out, reproduce
from granite_bench.report.pages import page_template
from granite_bench.report.reranking_figures import reranking_figures
from granite_bench.report.speed import speed_figures
from granite_bench.results import Result
from granite_bench.speed_columns import device_label
from granite_bench.table import Table


@dataclass(frozen=True)
class Detail:
    """Where one score comes from: a row of the details table."""

    model: str
    task: str
    model_revision: str
    data_revision: str
    mteb_version: str
    settings: str
    prompts: str
    truncated: str
    hardware: str
    date: str
    command: str


_SETTINGS = {
    "engine": "",
    "dtype": "dtype",
    "max_length": "max length",
    "attention": "attention",
    "batches": "batches of",
}


def suite_page(table: Table) -> str:
    """
    The report of one suite; the same results make the same bytes.

    Args:
        table: by task, or by one of the suite's groupings.
    """
    template = page_template("suite.html.j2")
    return template.render(
        table=table,
        page=lay_out(table),
        headline=headline(table),
        details=_details(table),
        overview=is_overview(table),
        figures=figures(table),
        speed_figures=speed_figures(table),
        reranking_figures=reranking_figures(table, looks_of(curves_of(table))),
        script=Markup(SORT_SCRIPT),
        script_hash=script_hash(SORT_SCRIPT),
    )


def script_hash(script: str) -> str:
    """The hash by which a content-security policy allows one inline script and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


SORT_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const [m, n] = [Number(x), Number(y)];
        const sign = Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y) : m - n;
        return down ? -sign : sign;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    });
  });
}
"""
"""Sorts a table by a column's values, holes last; without it the page is whole, and unsorted."""


def _details(table: Table) -> list[Detail]:
    details = []
    for row in table.rows:
        sources = {source.path: source for cell in row.cells.values() for source in cell.sources}
        for source in sources.values():
            details.append(_detail(source, reproduce(table, row, source)))
    return details


def _detail(result: Result, command: str) -> Detail:
    runs = result.record.get("runs", ())
    run = runs[-1] if runs else {}
    settings, machine = run.get("settings", {}), run.get("hardware", {})
    evaluations = [entry for each in runs for entry in each["evaluations"]]
    return Detail(
        model=result.model,
        task=result.task,
        model_revision=result.revision,
        data_revision=result.dataset_revision,
        mteb_version=result.mteb_version or "?",
        settings=", ".join(
            f"{name} {settings[key]}" for key, name in _SETTINGS.items() if settings.get(key)
        ),
        prompts=_prompts(evaluations),
        truncated=_truncated(evaluations),
        hardware=f"{device_label(machine)}, {machine.get('memory_gib')} GiB" if machine else "",
        date=(run.get("date") or "")[:10],
        command=command,
    )


def _prompts(evaluations: list[dict[str, Any]]) -> str:
    seen: dict[str, None] = {}
    for entry in evaluations:
        for role, prompt in entry["prompts"].items():
            seen[f"{role}: {repr(prompt) if prompt else 'none'}"] = None
    return "; ".join(seen)


def _truncated(evaluations: list[dict[str, Any]]) -> str:
    costs = [entry["docs"] for entry in evaluations if entry["docs"]]
    n_docs = sum(cost["n_unique"] for cost in costs)
    n_truncated = sum(cost["n_truncated"] for cost in costs)
    return f"{n_truncated / n_docs:.1%} of documents" if n_docs else ""
