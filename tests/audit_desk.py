"""A folder with results and one published CSV, and the audit of the two: for tests of the audit."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results_tree import write_result

from granite_bench.audit import AuditedCell, audit
from granite_bench.tables.model_facts import ModelFacts

HEAD = ("source", "table", "model", "column", "value", "unit", "note")
A, B, C = "org/a", "org/b", "org/c"
COLUMNS = """
version: 1
columns:
  Average: {tasks: [One, Two, Three], metric: ndcg_at_10}
  Average of two: {tasks: [One, Two], metric: ndcg_at_10}
  Gap: {mean: [Average]}
  params: {fact: parameters}
families: [[Average, Average of two]]
related: [[One, OneHard], [Two, TwoHard]]
predecessors: {org/a: org/b}
"""


class Desk:
    """A folder with results and one published CSV, and the audit of the two."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results"
        self.rows: list[tuple[str, ...]] = []
        (folder / "table.yaml").write_text(COLUMNS, encoding="utf-8")

    def raw(self, model: str, task: str, scores: Any, **options: Any) -> None:
        """A result; a bare number is nDCG@10 on test."""
        if not isinstance(scores, Mapping):
            scores = {"test": {"default": scores}}
        write_result(self.results, model, task, scores, **options)

    def prints(
        self,
        column: str,
        value: str,
        model: str = A,
        *,
        unit: str = "ndcg_at_10",
        table: str = "T1",
        source: str = "paper",
    ) -> None:
        """A printed cell."""
        self.rows.append((source, table, model, column, value, unit, ""))

    def cells(self, facts: Mapping[str, ModelFacts] | None = None) -> list[AuditedCell]:
        """The audit."""
        path = self.folder / "table.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([HEAD, *self.rows])
        self.results.mkdir(exist_ok=True)
        known = facts or {}
        return audit(
            [path], [self.results], facts=lambda model, meta: known.get(model, ModelFacts())
        )

    def cell(self) -> AuditedCell:
        """The audit of the only cell."""
        (cell,) = self.cells()
        return cell

    def causes(self) -> list[str]:
        """The causes, cell by cell."""
        return [cell.cause for cell in self.cells()]
