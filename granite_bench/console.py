"""What the command line prints and logs: aligned columns, and a log file per run."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from granite_bench.errors import without_passwords
from granite_bench.files.local import cache_folder


def print_rows(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns, aligned; numbers to the right."""
    texts = [[str(value) for value in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(heads))]
    right = [
        bool(rows) and all(_is_number(row[column]) for row in texts[1:])
        for column in range(len(heads))
    ]
    for row in texts:
        cells = [
            t.rjust(w) if r else t.ljust(w) for t, w, r in zip(row, widths, right, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


@contextmanager
def as_far_as_read() -> Iterator[None]:
    """What is printed, until its reader (head, less) closes the pipe, which is no fault."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def count_text(number: float | None) -> str:
    """A number with thousands separated; - for none."""
    return "-" if number is None else f"{number:,.0f}"


def _is_number(text: str) -> bool:
    return text in ("", "-") or text.replace(",", "").replace(".", "").isdigit()


def log_path() -> Path:
    """Where this process logs."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    return cache_folder() / "logs" / name


class _WithoutPasswords(logging.Formatter):
    """Libraries repeat the addresses that they were given."""

    def format(self, record: logging.LogRecord) -> str:
        """As logging does, with tracebacks."""
        return without_passwords(super().format(record))


def log_to_file() -> None:
    """Warnings of libraries go to a file; ours also to the terminal."""
    logging.captureWarnings(True)
    try:
        path = log_path()
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: nobody has a home here
        return
    to_file = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace", delay=True)
    to_file.setFormatter(_WithoutPasswords("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(to_file)
    root.setLevel(logging.WARNING)
