"""
The index of a folder of pages: what each page says of itself, grouped by what it is.

Made from the pages alone, so that the same folder makes the same bytes. A page of ours names its
kind and its finding in its head; any other HTML file stands under "Other pages" by its title.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

from granite_bench.errors import BadInput, Fault
from granite_bench.files.local import write_atomically
from granite_bench.report.frame import render

NAME = "index.html"
REPORTS = "reports"
"""A folder of this name gets an index with its first page."""

KINDS: Mapping[str, str] = {
    "overview": "Overviews",
    "suite": "Suites",
    "model": "Models",
    "comparison": "Comparisons",
    "audit": "Audits",
    "parity": "Backends",
    "": "Other pages",
}
"""What a page may be, in the order of the index -> the heading over pages of it."""

INDEX = "index"
"""The kind of the index itself, which is in no index."""

_OF_THE_TITLE = " · granite-bench"
_LONGEST_HEAD = 1 << 17  # bytes; that of a page of ours is a quarter of it


@dataclass(frozen=True)
class Entry:
    """
    One page of a folder.

    Attributes:
        link: relative to the folder.
        kind: a key of KINDS; empty for a page that is not ours.
        finding: empty where the page names none.
    """

    link: str
    kind: str
    title: str
    finding: str


def write_page(path: Path, page: str) -> None:
    """
    Write a page, and the index of its folder where that is one of reports.

    Raises:
        StorageError: one of the two cannot be written.
    """
    write_atomically(path, page.encode())
    index = path.parent / NAME
    is_ours = index.is_file() and _read(index).kind == INDEX
    if path.name != NAME and (is_ours or (not index.exists() and _is_of_reports(path.parent))):
        write_index(path.parent)


def write_index(folder: Path) -> Path:
    """
    Write the index of a folder.

    Returns:
        Its path.

    Raises:
        BadInput: no such folder, or its index.html is somebody else's.
        StorageError: it cannot be written.
    """
    path = folder / NAME
    if not folder.is_dir():
        raise BadInput(Fault(str(folder), "is no folder", "name the one that reports are in"))
    if path.is_file() and _read(path).kind != INDEX:
        hint = "it is left as it is; move it away, or put reports into another folder"
        raise BadInput(Fault(str(path), "is not an index that granite-bench made", hint))
    write_atomically(path, index_page(entries_of(folder)).encode())
    return path


def entries_of(folder: Path) -> list[Entry]:
    """The pages of a folder, by kind, then by title; not the index, nor folders in it."""
    paths = (
        path for path in folder.glob("*.html") if path.is_file() and not path.name.startswith(".")
    )
    found = [entry for entry in map(_read, paths) if entry.kind != INDEX]
    kinds = list(KINDS)
    found.sort(key=lambda each: (kinds.index(each.kind), each.title.lower(), each.link))
    return found


def index_page(entries: Sequence[Entry]) -> str:
    """The index; the same entries make the same bytes."""
    groups = {
        heading: [each for each in entries if each.kind == kind] for kind, heading in KINDS.items()
    }
    return render(
        "index.html.j2",
        groups={heading: each for heading, each in groups.items() if each},
        finding=_finding(len(entries)),
    )


def _is_of_reports(folder: Path) -> bool:
    return folder.resolve().name == REPORTS


def _finding(n_pages: int) -> str:
    if not n_pages:
        return "There are no pages here yet."
    return f"{n_pages} page{'s' if n_pages > 1 else ''} in this folder."


class _Head(HTMLParser):
    """What the head of a page says; of a broken one, what can be made out."""

    def __init__(self) -> None:
        super().__init__()
        self.metas: dict[str, str] = {}
        self.title = ""
        self._in_title = False
        self._is_over = False

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "body":
            self._is_over = True
        if self._is_over:
            return
        self._in_title = tag == "title" and not self.title
        named = dict(attrs)
        if tag == "meta" and named.get("name"):
            self.metas.setdefault(str(named["name"]), named.get("content") or "")

    def handle_endtag(self, tag: str) -> None:
        self._in_title = self._in_title and tag != "title"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data


def _read(path: Path) -> Entry:
    head = _Head()
    try:
        with path.open("rb") as file:
            head.feed(file.read(_LONGEST_HEAD).decode(errors="replace"))
        head.close()
    except (OSError, AssertionError):  # the parser asserts that some broken markup is not there
        pass
    name = os.fsencode(path.name)
    kind = head.metas.get("granite-bench:kind", "")
    kind = kind if kind in (*KINDS, INDEX) else ""
    return Entry(
        link=quote(name),
        kind=kind,
        title=" ".join(head.title.split()).removesuffix(_OF_THE_TITLE)
        or name.decode(errors="replace"),
        finding=head.metas.get("description", "") if kind else "",
    )
