"""A page as text: for a terminal, as Markdown, as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from granite_bench.report.layout import Page

# Control characters in a model's or a task's name must not reach a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def print_page(page: Page, title: str, console: Console) -> None:
    """Print a page; a narrow terminal folds the heads, a pipe gets plain text."""
    grid = RichTable(
        title=Text(_plain(title), style="bold"), title_justify="left", header_style="bold"
    )
    for head, subhead, numeric in zip(page.heads, page.subheads, page.numeric, strict=True):
        label = Text(f"{_plain(head)}\n{_plain(subhead)}" if subhead else _plain(head))
        # A score never breaks over two lines; names may.
        grid.add_column(
            label,
            justify="right" if numeric else "left",
            overflow="fold",
            min_width=6 if numeric else 12,
        )
    for row in page.rows:
        grid.add_row(*(Text(_plain(c.text), style="bold" if c.best else "") for c in row))
    console.print(grid)
    for note in page.notes:
        console.print(Text(_plain(note)), style="dim", highlight=False)


def as_markdown(page: Page) -> str:
    """A GitHub-flavoured table; the best of a column is bold."""
    lines = [
        _markdown_row(
            _escaped(f"{h} ({s})" if s else h)
            for h, s in zip(page.heads, page.subheads, strict=True)
        ),
        _markdown_row("---:" if numeric else ":---" for numeric in page.numeric),
    ]
    for row in page.rows:
        texts = [_escaped(cell.text) for cell in row]
        lines.append(
            _markdown_row(f"**{t}**" if c.best else t for t, c in zip(texts, row, strict=True))
        )
    notes = "".join(f"\n{_escaped(note)}\n" for note in page.notes)
    return "\n".join(lines) + "\n" + notes


def as_csv(page: Page) -> str:
    """Comma-separated, unrounded: fractions for scores, empty for holes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(page.heads)
    for row in page.rows:
        writer.writerow(
            cell.text if head in ("Model", "Tasks") else "" if cell.value is None else cell.value
            for head, cell in zip(page.heads, row, strict=True)
        )
    return out.getvalue()


def _markdown_row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _escaped(text: str) -> str:
    return re.sub(r"([|*_`<>\\\[\]])", r"\\\1", _plain(text))


def _plain(text: str) -> str:
    return _CONTROL.sub("�", text)
