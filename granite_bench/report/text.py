"""A table as text: for a terminal, as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from granite_bench.errors import plain
from granite_bench.report.columns import PARTIAL
from granite_bench.report.printed_table import PrintedCell, PrintedTable

_WIDTH = 240
"""Columns of what is no terminal: 80 would fold a table that a file has room for."""


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        """As click does: rich would exit with 1, and that means that the gate failed."""
        raise BrokenPipeError


def terminal(width: int = _WIDTH) -> Console:
    """Where a command prints; a pipe has no width of its own, and takes *width*."""
    return _Terminal(width=None if sys.stdout.isatty() else width)


def as_printed(print_to: Callable[[Console], None]) -> str:
    """What a terminal would show, without colours."""
    out = io.StringIO()
    print_to(Console(file=out, width=_WIDTH, color_system=None))
    return out.getvalue()


def print_grid(
    console: Console,
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: Collection[str],
) -> None:
    """Print a table of texts, an empty line before it; *numeric* are heads of numbers."""
    grid = RichTable(title=Text(title, style="bold"), title_justify="left", header_style="bold")
    for head in heads:
        grid.add_column(head, justify="right" if head in numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(plain(text)) for text in row))
    console.print()
    console.print(grid)


def print_table(table: PrintedTable, console: Console) -> None:
    """Print a table; a narrow terminal folds the heads, a pipe gets plain text."""
    grid = RichTable(
        title=Text(plain(table.title), style="bold"), title_justify="left", header_style="bold"
    )
    for head, subhead, numeric in zip(table.heads, table.subheads, table.numeric, strict=True):
        label = Text(f"{plain(head)}\n{plain(subhead)}" if subhead else plain(head))
        # A score never breaks over two lines; names may.
        grid.add_column(
            label,
            justify="right" if numeric else "left",
            overflow="fold",
            min_width=6 if numeric else 12,
        )
    for row in table.rows:
        grid.add_row(
            *(Text(plain(c.text), style={1: "bold", 2: "underline"}.get(c.place, "")) for c in row)
        )
    console.print(grid)
    for note in table.notes:
        console.print(Text(plain(note)), style="dim", highlight=False)


def as_markdown(table: PrintedTable) -> str:
    """A GitHub-flavoured table; the best of a column is bold."""
    lines = [
        markdown_row(
            markdown_text(f"{h} ({s})" if s else h)
            for h, s in zip(table.heads, table.subheads, strict=True)
        ),
        markdown_row("---:" if numeric else ":---" for numeric in table.numeric),
    ]
    for row in table.rows:
        texts = [markdown_text(cell.text) for cell in row]
        lines.append(
            markdown_row(f"**{t}**" if c.place == 1 else t for t, c in zip(texts, row, strict=True))
        )
    notes = "".join(f"\n{markdown_text(note)}\n" for note in table.notes)
    return "\n".join(lines) + "\n" + notes


def as_csv(table: PrintedTable) -> str:
    """Comma-separated, unrounded: fractions for scores, empty for holes, partial values starred."""
    rows = (
        [
            _csv_value(cell, is_name=head in _NAMES or not numeric)
            for head, numeric, cell in zip(table.heads, table.numeric, row, strict=True)
        ]
        for row in table.rows
    )
    return csv_text(table.heads, rows)


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[str | float | None]]) -> str:
    """Comma-separated values with *heads* above them: numbers unrounded, empty for None."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(
        [plain(value) if isinstance(value, str) else value for value in row] for row in rows
    )
    return out.getvalue()


def as_json(table: PrintedTable) -> str:
    """Everything that is on the table; scores are fractions, *partial* marks what has holes."""
    rows = [
        {
            head: {"value": cell.text, "note": cell.note}
            if head in _NAMES or not numeric
            else {"value": cell.value, "partial": cell.partial, "note": cell.note}
            for head, numeric, cell in zip(table.heads, table.numeric, row, strict=True)
        }
        for row in table.rows
    ]
    units = dict(zip(table.heads, table.subheads, strict=True))
    content = {"title": table.title, "units": units, "rows": rows, "notes": list(table.notes)}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_latex(table: PrintedTable) -> str:
    """A booktabs table; the best of a column is bold, the second underlined."""
    kinds = "".join("r" if numeric else "l" for numeric in table.numeric)
    heads = [_latex(head) for head in table.heads]
    subheads = [_latex(subhead) for subhead in table.subheads]
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{kinds}}}",
        "\\toprule",
        " & ".join(heads) + " \\\\",
        " & ".join(subheads) + " \\\\",
        "\\midrule",
        *(" & ".join(map(_latex_cell, row)) + " \\\\" for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}",
        *(f"% {plain(note)}" for note in table.notes),
    ]
    return "\n".join(lines) + "\n"


_NAMES = ("Tasks", "Suites")
"""Columns of numbers whose text is the value; that of a column of text always is."""


def _csv_value(cell: PrintedCell, *, is_name: bool) -> str | float | None:
    if is_name:
        return cell.text
    return f"{cell.value!r}{PARTIAL}" if cell.partial and cell.value is not None else cell.value


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
        "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "–": "--", "<": r"\textless{}", ">": r"\textgreater{}",
        "≈": r"$\approx$", "−": "$-$", "→": r"$\to$", "▲": r"$\uparrow$", "▼": r"$\downarrow$",
    }
)  # fmt: skip


def _latex(text: str) -> str:
    return plain(text).translate(_LATEX)


def _latex_cell(cell: PrintedCell) -> str:
    text = _latex(cell.text)
    return {1: f"\\textbf{{{text}}}", 2: f"\\underline{{{text}}}"}.get(cell.place, text)


def markdown_row(texts: Iterable[str]) -> str:
    """A row of a table; the texts are Markdown already."""
    return f"| {' | '.join(texts)} |"


def markdown_text(text: str) -> str:
    """A text as Markdown shows it, on one line: nothing in it is markup."""
    return re.sub(r"([|*_`<>&$~\\\[\]])", r"\\\1", plain(text))
