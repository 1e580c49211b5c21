"""
The models of a comparison, as they are named on the command line -> rows of a table.

    [FOLDER::]MODEL[@REVISION][@SETTING=VALUE,...]

MODEL is a row's whole name, as tables print it, or the name of a model, whose variant is then told
by its settings, or a local folder. FOLDER is a results folder that alone is read for it: the same
model before and after a change are two candidates. REVISION may be the beginning of one.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granite_bench.errors import BadInput, Fault, did_you_mean, gathered
from granite_bench.offline.mirror import model_hash
from granite_bench.printed import some
from granite_bench.results.tree import read_results
from granite_bench.suite.suite import Suite
from granite_bench.tables.scores import task_names
from granite_bench.tables.table import Options, Row, Table, make_table
from granite_bench.tables.variant_settings import DIM, MAX_LENGTH, PRECISION, name_without

SHORT_SETTINGS: Mapping[str, str] = {"dim": DIM, "precision": PRECISION, "length": MAX_LENGTH}
"""What may be typed for a setting of a variant."""

_MOST_NAMED = 12
"""Rows that an error lists."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """
    One model of a comparison.

    Attributes:
        name: what it is called; no two candidates of a comparison have the same.
        row: its results.
        table: that the row is of.
    """

    name: str
    row: Row
    table: Table


def find_candidates(
    names: Sequence[str], suite: Suite, folders: Sequence[Path], *, source: str = ""
) -> list[Candidate]:
    """
    The rows of models, in the order in which they are named; one may be named twice.

    Args:
        names: see above.
        folders: results folders, for names without a folder of their own.
        source: where the suite was read from; its name when empty.

    Raises:
        BadInput: names without results of the suite, or of several rows (all of them named), or
            broken results.
    """
    tables = _Tables(suite, folders, source)
    faults: list[Fault] = []
    found = gathered(names, lambda name: _find(_parsed(name), tables), faults)
    if faults:
        raise BadInput(dict.fromkeys(faults))
    seen: Counter[str] = Counter()
    candidates = []
    for name, row, table in found:
        seen[name] += 1
        again = f" [{seen[name]}]" if seen[name] > 1 else ""
        candidates.append(Candidate(f"{name}{again}", row, table))
    return candidates


@dataclass(frozen=True)
class _Asked:
    """A name, taken apart; *whole* is all of it but the folder."""

    text: str
    folder: str
    whole: str
    model: str
    revision: str
    settings: Mapping[str, str]


class _Tables:
    """The tables of a suite from one folder or all, of one revision or all, each made once."""

    def __init__(self, suite: Suite, folders: Sequence[Path], source: str) -> None:
        self._suite, self._folders, self._source = suite, folders, source
        self._made: dict[tuple[str, str], Table] = {}

    def table(self, folder: str, revision: str = "") -> Table:
        """Every model with results there."""
        key = folder, revision
        if key not in self._made:
            folders = [Path(folder)] if folder else self._folders
            options = Options(facts=True, revision=revision)
            self._made[key] = make_table(self._suite, folders, options, source=self._source)
        return self._made[key]

    def revisions(self, folder: str, model: str) -> list[str]:
        """Of all results of a model's tasks, those that do not count too."""
        folders = [Path(folder)] if folder else self._folders
        return sorted(
            {
                result.revision
                for each in folders
                for result in read_results(each, task_names(self._suite))
                if name_without(result.model, result.settings, result.settings) == model
            }
        )

    def where(self, folder: str) -> str:
        """The folders that are read, in words."""
        return folder or ", ".join(map(str, self._folders))


def _parsed(text: str) -> _Asked:
    folder, separator, whole = text.rpartition("::")
    if separator and not folder:
        raise BadInput(Fault(text, "names no folder before '::'", "write FOLDER::MODEL, or MODEL"))
    model, *marks = whole.split("@")
    revision = ""
    settings: dict[str, str] = {}
    for mark in marks:
        if "=" not in mark:
            revision = mark.strip()
            continue
        for setting in mark.split(","):
            key, _, value = setting.partition("=")
            settings[SHORT_SETTINGS.get(key.strip(), key.strip())] = value.strip()
    return _Asked(text, folder, whole, model.strip(), revision, settings)


def _find(asked: _Asked, tables: _Tables) -> tuple[str, Row, Table]:
    table = tables.table(asked.folder)
    folder = f"{asked.folder}::" if asked.folder else ""
    local = f"local/{Path(asked.whole).resolve().name}" if Path(asked.whole).is_dir() else ""
    for name in (asked.whole, local):
        for row in table.rows:
            if name and row.model == name:
                return f"{folder}{row.model}", row, table
    chosen = tables.table(asked.folder, asked.revision) if asked.revision else table
    rows = [
        row
        for row in chosen.rows
        if _plain(row) in (asked.model, local) and _texts(row.settings) == asked.settings
    ]
    if local and len(rows) > 1:
        content = model_hash(Path(asked.whole))  # of which a revision is the beginning
        rows = [row for row in rows if content.startswith(row.revision)] or rows
    if len(rows) != 1:
        raise BadInput(_fault(asked, local or asked.model, rows, table, tables))
    revision = f" @{rows[0].revision[:7]}" if asked.revision else ""
    return f"{folder}{rows[0].model}{revision}", rows[0], chosen


def _plain(row: Row) -> str:
    """The name of its model: without settings, and without the mark of a checkpoint."""
    name = name_without(row.model, row.settings, row.settings)
    return name.removesuffix(f" @{row.revision[:7]}")


def _texts(settings: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value).strip()
        for key, value in settings.items()
    }


def _fault(asked: _Asked, model: str, rows: Sequence[Row], table: Table, tables: _Tables) -> Fault:
    """Why a name is of no row, or of several, and what there is instead."""
    if rows:
        hint = f"name one of them: {_listed(row.model for row in rows)}"
        return Fault(asked.text, f"names {len(rows)} rows", hint)
    where = tables.where(asked.folder)
    what = f"no results of suite {table.suite.name} in {where}"
    of_model = [row for row in table.rows if _plain(row) == model]
    if of_model and asked.revision:
        revisions = tables.revisions(asked.folder, model)
        what += f" of a revision that begins with '{asked.revision}'"
        return Fault(asked.text, what, f"there are: {', '.join(revisions)}")
    if of_model:
        what = f"no such variant of {model} has {what.removeprefix('no ')}"
        return Fault(asked.text, what, f"there are: {_listed(row.model for row in of_model)}")
    known = [row.model for row in table.rows]
    run = shlex.join(["granite-bench", "run", table.source, "--model", asked.model])
    near = did_you_mean(asked.whole, known) or f"there are: {_listed(known) or 'none'}"
    return Fault(asked.text, what, f"{near}\n  to make them: {run}")


def _listed(names: Iterable[str]) -> str:
    return some([f"'{name}'" for name in names], _MOST_NAMED)
