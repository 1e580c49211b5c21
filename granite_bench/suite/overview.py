"""An overview: suites side by side, a table whose columns are the averages of suites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, StrictInt, model_validator

from granite_bench.errors import BadInput, Fault, did_you_mean
from granite_bench.files.yaml_file import read_document, read_yaml
from granite_bench.suite.document import Dims, Document, Precisions, Strict
from granite_bench.suite.panel import unknown_panel
from granite_bench.suite.shipped import find_suite, overview_names, suite_names


class OverviewSuite(Strict):
    """One suite of an overview, and the length that its column is about."""

    suite: str
    max_length: StrictInt | None = Field(default=None, gt=0)
    """Tokens per text; None is the suite's own setting, and takes results as they are."""


class Overview(Document):
    """
    Suites side by side: a table whose columns are the averages of suites.

    Attributes:
        dims, precisions, panel, models: as those of a Suite; they are for all of the suites.
    """

    description: str
    suites: tuple[OverviewSuite, ...] = Field(min_length=1)
    dims: Dims = ()
    precisions: Precisions = ()
    panel: str | None = None
    models: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, raw: Any) -> Any:
        """A suite may be written as its bare name."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("suites"), list):
            return raw
        suites = [{"suite": each} if isinstance(each, str) else each for each in raw["suites"]]
        return {**raw, "suites": suites}


def is_overview(name: str) -> bool:
    """Whether a name, or the content of a YAML file, is of an overview and not of a suite."""
    if not name.endswith((".yaml", ".yml")):
        return name in overview_names()
    try:
        raw, _ = read_yaml(Path(name))
    except BadInput:
        return False
    return "suites" in raw


def load_overview(name: str) -> Overview:
    """
    Read an overview by name, or from a path that ends in .yaml or .yml.

    Raises:
        BadInput: no such overview, or a file with faults (all of them named).
    """
    path = find_suite(name, "overview")
    overview, raw, faults = read_document(Overview, path, {"suites": OverviewSuite})
    faults += _faulty_suites(raw, path)
    faults += unknown_panel(overview.panel if overview else None, path)
    if faults or overview is None:
        raise BadInput(faults)
    return overview


def _faulty_suites(raw: Any, path: Path) -> list[Fault]:
    """Suites of an overview that there are not, or that stand there twice."""
    suites, known = raw.get("suites"), suite_names()
    faults = []
    seen: set[str] = set()
    for position, each in enumerate(suites if isinstance(suites, list) else []):
        name = each.get("suite") if isinstance(each, dict) else each
        where = f"{path}: suites[{position}]" + (".suite" if isinstance(each, dict) else "")
        if not isinstance(name, str):
            continue
        if name not in known:
            faults.append(Fault(where, f"unknown suite '{name}'", did_you_mean(name, known)))
        elif name in seen:
            faults.append(Fault(where, f"suite '{name}' is listed twice", "keep one of the two"))
        seen.add(name)
    return faults
