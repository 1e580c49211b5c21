"""Suites, overviews and panels that come with the package, and a name -> its file."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from granite_bench.errors import BadInput, Fault, near_or_all
from granite_bench.files.local import is_file


@cache
def suites_folder() -> Path:
    """The folder of the suites that come with the package (in the wheel, or in a checkout)."""
    package = Path(__file__).parent.parent
    inside_wheel = package / "suites"
    return inside_wheel if inside_wheel.is_dir() else package.parent / "suites"


# Reading the shipped files as YAML takes a tenth of a second, and a name is wanted at once.
_OVERVIEW = re.compile(r"^suites:", re.MULTILINE)

SPEED_PROTOCOLS = "speed.yaml"
"""The file beside the suites that is none (see speed.protocol)."""


@cache
def _shipped() -> Mapping[str, bool]:
    """Name of every file that comes with the package, sorted -> whether it is an overview."""
    paths = sorted(p for p in suites_folder().glob("*.yaml") if p.name != SPEED_PROTOCOLS)
    return {path.stem: bool(_OVERVIEW.search(path.read_text(encoding="utf-8"))) for path in paths}


def suite_names() -> list[str]:
    """Names of the suites that come with the package, sorted."""
    return [name for name, overview in _shipped().items() if not overview]


def overview_names() -> list[str]:
    """Names of the overviews that come with the package, sorted."""
    return [name for name, overview in _shipped().items() if overview]


def panel_names() -> list[str]:
    """Names of the panels that come with the package, sorted."""
    return sorted(path.stem for path in (suites_folder() / "panels").glob("*.yaml"))


def find_suite(name: str, kind: Literal["suite", "overview"]) -> Path:
    """The file of a suite or an overview, which is not of the other kind."""
    path = _own_file(name, kind)
    if path is not None:
        return path
    names, others = suite_names(), overview_names()
    what = "an overview of suites, not a suite"
    if kind == "overview":
        names, others, what = others, names, "a suite, not an overview of suites"
    if name in others:
        hint = f"granite-bench suites show {name}"
        raise BadInput(Fault("", f"'{name}' is {what}", hint))
    return _shipped_file(name, kind, names, [*names, *others])


def _own_file(name: str, kind: str) -> Path | None:
    """The user's own file; None for the name of one that comes with the package."""
    if not name.endswith((".yaml", ".yml")) and os.sep not in name:
        return None
    if not is_file(Path(name)):
        raise BadInput(Fault(name, f"no such {kind} file"))
    return Path(name)


def _shipped_file(name: str, kind: str, names: Collection[str], near: Collection[str]) -> Path:
    if name not in names:
        hint = near_or_all(name, near)
        command = "panels" if kind == "panel" else "suites"
        what = f"unknown {kind} '{name}'"
        raise BadInput(Fault("", what, f"{hint}   (granite-bench {command})"))
    return suites_folder() / ("panels" if kind == "panel" else "") / f"{name}.yaml"


def find_panel(name: str) -> Path:
    """The file of a panel."""
    known = panel_names()
    return _own_file(name, "panel") or _shipped_file(name, "panel", known, known)
