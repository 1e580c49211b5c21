"""A panel: a set of models that tables compare."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from granite_bench.errors import Fault, near_or_all
from granite_bench.files.yaml_file import load_document
from granite_bench.suite.document import Document
from granite_bench.suite.shipped import find_panel, panel_names


class Panel(Document):
    """A set of models that tables compare."""

    models: tuple[str, ...] = Field(min_length=1)


def load_panel(name: str) -> Panel:
    """
    Read a panel by name, or from a path that ends in .yaml or .yml.

    Raises:
        BadInput: no such panel, or a file with faults (all of them named).
    """
    return load_document(Panel, find_panel(name), {})


def unknown_panel(panel: str | None, path: Path) -> list[Fault]:
    """What is wrong with the panel that a document at *path* names; None names none."""
    if panel is None or panel.endswith((".yaml", ".yml")) or panel in panel_names():
        return []
    hint = near_or_all(panel, panel_names())
    return [Fault(f"{path}: panel", f"unknown panel '{panel}'", hint)]
