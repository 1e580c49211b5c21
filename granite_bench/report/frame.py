"""
The frame of every page: one HTML file, no network, no script from elsewhere, opens from disk.

Everything from outside (names of models and tasks, settings) is escaped by jinja2, and the
page's own content-security policy forbids anything but its own style and its one script.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

SCRIPT = files("granite_bench.report").joinpath("templates/page.js").read_text(encoding="utf-8")
"""Sorts, filters, opens what a link leads to; without it the page is whole."""


def render(name: str, **values: Any) -> str:
    """
    A page.

    Args:
        name: of its template, which extends page.html.j2.
        values: what the template shows; one that it lacks is an error, not a gap.

    Returns:
        Text that UTF-8 can hold: half a surrogate pair, of a path that is no UTF-8, is a "?".
    """
    template = _environment().get_template(name)
    page = template.render(**values, script=Markup(SCRIPT), script_hash=script_hash(SCRIPT))
    return page.encode(errors="replace").decode()


def script_hash(script: str) -> str:
    """The hash by which a content-security policy allows one inline script and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("granite_bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    return environment


_BREAKS = re.compile(r"(?<=[A-Za-z])(?=[A-Z][a-z]{2})|(?<=[-/])(?=\w\w)")  # not within docs/s


def breakable(name: str) -> Markup:
    """A long name that may go on in the next line where a word of it begins."""
    return Markup("<wbr>").join(escape(part) for part in _BREAKS.split(name))
