"""The templates of the pages."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def page_template(name: str) -> Template:
    """The template of this name; a value that it is not given is an error, not a gap."""
    environment = Environment(
        loader=PackageLoader("granite_bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
