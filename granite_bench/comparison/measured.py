"""
What one model's results say of a suite: every evaluation with its score, how it was made, and its
score query by query.

Two of these are what a comparison compares, and a gate: one may come from a results folder, the
other from a baseline's file. Reads results alone: no mteb, no torch.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from granite_bench.errors import BadInput, Fault, gathered
from granite_bench.files.parquet_file import column_names, read_rows
from granite_bench.results.tree import Result
from granite_bench.stats.bootstrap import Floats
from granite_bench.suite.suite import Suite, SuiteTask
from granite_bench.tables.scores import Evaluation, evaluations_of, score_of, task_cell
from granite_bench.tables.table import Row
from granite_bench.tables.variant_settings import length_of

if TYPE_CHECKING:
    import pyarrow as pa

ROUNDING = 1e-5
"""mteb rounds a score to five decimals, some versions of it the scores of each query before."""


@dataclass(frozen=True)
class QueryScores:
    """
    One metric of every query of an evaluation.

    Attributes:
        ids: of the queries, sorted.
        values: float64 (n_queries,), fractions, in the same order.
    """

    ids: Sequence[str]
    values: Floats


@dataclass(frozen=True)
class Provenance:
    """
    How a score came about, as far as another one must agree; None where nothing says.

    Attributes:
        dataset_revision: of the data set, as mteb has it.
        data_sha256: of the texts and judgements that were read.
        mteb_version: that scored.
        max_length: tokens that texts were cut to.
        n_truncated: documents and queries that were cut.
        prompts: role (*document*, *query*) -> what was put before the texts.
        candidates_sha256: of what a reranker got.
    """

    dataset_revision: str = ""
    data_sha256: str | None = None
    mteb_version: str | None = None
    max_length: int | None = None
    n_truncated: int | None = None
    prompts: Mapping[str, str | None] | None = None
    candidates_sha256: str | None = None


@dataclass(frozen=True)
class Measurement:
    """
    The score of one evaluation.

    Attributes:
        value: the metric as mteb stored it, a fraction.
        provenance: how it came about.
        queries: the same metric of each query; None where a result has none, or not this metric.
    """

    value: float
    provenance: Provenance
    queries: QueryScores | None


@dataclass(frozen=True)
class Measured:
    """
    A model over a suite.

    Attributes:
        model: its name; a variant has its settings behind it in parentheses.
        revision: the one that most of its results are of.
        settings: what makes it a variant.
        evaluations: what is there; of an aggregate (CQADupstack) its own score and its parts'.
        missing: labels of the suite's evaluations that are not there.
    """

    model: str
    revision: str
    settings: Mapping[str, Any]
    evaluations: Mapping[Evaluation, Measurement]
    missing: Sequence[str]


def measured_of(
    model: str,
    revision: str,
    settings: Mapping[str, Any],
    results: Mapping[str, Result],
    suite: Suite,
) -> Measured:
    """
    What results say.

    Args:
        model, revision, settings: of the row.
        results: task, or part of one -> the result that counts (see table.Row).

    Raises:
        BadInput: rows per query that cannot be read, or are not those of their result; all named.
    """
    evaluations: dict[Evaluation, Measurement] = {}
    missing: list[str] = []
    faults: list[Fault] = []
    for task in suite.tasks:
        missing += task_cell(task, results).missing
        for name in (task.name, *task.parts):
            result = results.get(name)
            if result is None:
                continue
            rows = _Rows(result)
            for evaluation in evaluations_of(task, name):
                score, _ = score_of(evaluation, result)
                if score is None:
                    continue
                try:
                    queries = rows.scores(evaluation, score)
                except BadInput as error:
                    faults += error.faults
                    continue
                evaluations[evaluation] = Measurement(
                    score, _provenance(result, evaluation), queries
                )
        evaluations = {**_means_of_parts(task, evaluations), **evaluations}
    if faults:
        raise BadInput(dict.fromkeys(faults))
    return Measured(model, revision, settings, evaluations, missing)


def measured_rows(rows: Iterable[Row], suite: Suite) -> list[Measured]:
    """
    What the results of rows of the suite's table say, in their order.

    Raises:
        BadInput: as measured_of; the faults of all rows.
    """
    faults: list[Fault] = []

    def measured(row: Row) -> Measured:
        return measured_of(row.model, row.revision, row.settings, row.results, suite)

    found = gathered(rows, measured, faults)
    if faults:
        raise BadInput(dict.fromkeys(faults))
    return found


def _means_of_parts(
    task: SuiteTask, evaluations: Mapping[Evaluation, Measurement]
) -> dict[Evaluation, Measurement]:
    """What an aggregate scores where all of its parts are there, as its own result would say."""
    found = {}
    for own in evaluations_of(task, task.name) if task.parts else ():
        parts = [evaluations.get(replace(own, task=part)) for part in task.parts]
        known = [part for part in parts if part is not None]
        if len(known) == len(parts):
            value = statistics.fmean(part.value for part in known)
            found[own] = Measurement(
                value, _provenance_of_parts([part.provenance for part in known]), None
            )
    return found


def _provenance_of_parts(parts: Sequence[Provenance]) -> Provenance:
    """Parts are data sets of their own: a mean of them has no revision, content or candidates."""
    cut = [part.n_truncated for part in parts]
    return replace(
        parts[0],
        dataset_revision="",
        data_sha256=None,
        n_truncated=None if None in cut else sum(each or 0 for each in cut),
        candidates_sha256=None,
    )


class _Rows:
    """The rows per query of one result, read once, where they are wanted."""

    def __init__(self, result: Result) -> None:
        self._result, self._path = result, result.queries_path
        self._table: pa.Table | None = None

    def scores(self, evaluation: Evaluation, score: float) -> QueryScores | None:
        """
        The scores of an evaluation's queries; None where there are no rows of it.

        Raises:
            BadInput: the file is broken, lacks queries that were run, or its rows are not those
                that have this mean.
        """
        import pyarrow.compute as pc

        if not self._path.exists():
            return None
        table = self._table = _read(self._path) if self._table is None else self._table
        here = table.filter(
            pc.and_(
                pc.equal(table["split"], evaluation.split),
                pc.equal(table["subset"], evaluation.subset),
            )
        ).sort_by("query_id")
        values = self._metric(evaluation, here)
        if not here.num_rows or values is None:
            return None
        n_queries = _entry(self._result, evaluation)[1].get("n_queries", 0)
        if here.num_rows < n_queries:
            problem = (
                f"has {here.num_rows:,} queries of {evaluation.label}, and {n_queries:,} were run"
            )
            raise BadInput(Fault(str(self._path), problem, _MEND))
        if not abs(float(values.mean()) - score) <= 2 * ROUNDING:
            problem = (
                f"the {here.num_rows:,} queries of {evaluation.label} have a mean "
                f"{evaluation.metric} of {values.mean():.5f}, and the result says {score:.5f}"
            )
            raise BadInput(Fault(str(self._path), problem, _MEND))
        ids = here["query_id"].to_pylist()
        if len(set(ids)) < len(ids):
            problem = f"has queries of {evaluation.label} twice"
            raise BadInput(Fault(str(self._path), problem, _MEND))
        return QueryScores(ids, values)

    def _metric(self, evaluation: Evaluation, here: pa.Table) -> Floats | None:
        """The metric of an evaluation's rows; None where they do not tell it."""
        try:
            values = _metric(evaluation.metric, here)
        except (ValueError, TypeError):
            problem = f"has no numbers of {evaluation.metric}"
            raise BadInput(Fault(str(self._path), problem, _MEND)) from None
        lacking = [] if values is None else np.flatnonzero(~np.isfinite(values)).tolist()
        if not lacking or values is None:
            return values
        # Rows of an earlier release, in one file with later ones, lack what it did not store.
        if len(lacking) == len(values):
            return None
        first = here["query_id"][lacking[0]].as_py()
        problem = (
            f"has no {evaluation.metric} of {len(lacking):,} of {len(values):,} queries of "
            f"{evaluation.label} (first: query '{first}')"
        )
        raise BadInput(Fault(str(self._path), problem, _MEND))


_IDS = ("split", "subset", "query_id")
_MEND = "move it and the task's result away and run the task again"


def _read(path: Path) -> pa.Table:
    names = column_names(path, _MEND)
    wanted = [name for name in names if name not in ("top_docs", "top_scores")]
    table = read_rows(path, _MEND, columns=wanted)
    no_text = [name for name in _IDS if name not in names or not _is_text(table[name].type)]
    if no_text:
        problem = f"has no column {', '.join(no_text)} of text"
        raise BadInput(Fault(str(path), problem, _MEND))
    return table


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _ranks(rows: pa.Table) -> Floats:
    """Of the first relevant document, from 1; infinite where none was found."""
    ranks: Floats = rows["first_relevant_rank"].to_numpy().astype(np.float64)
    return np.where(np.isnan(ranks), np.inf, ranks)


_BY_RANK: Mapping[str, Callable[[Floats, int], Floats]] = {
    "mrr": lambda ranks, k: np.where(ranks <= k, 1 / ranks, 0.0),
    "hit_rate": lambda ranks, k: (ranks <= k).astype(np.float64),
}
"""Metrics that the rank of the first relevant document tells."""


def _metric(name: str, rows: pa.Table) -> Floats | None:
    """mteb's metric of this name, query by query, NaN for a null; None where no column tells it."""
    if name in rows.column_names:
        values: Floats = rows[name].to_numpy().astype(np.float64)
        return values
    by_rank = re.fullmatch(r"(mrr|hit_rate)_at_(\d+)", name)
    if by_rank and "first_relevant_rank" in rows.column_names:
        return _BY_RANK[by_rank[1]](_ranks(rows), int(by_rank[2]))
    return None


def _provenance(result: Result, evaluation: Evaluation) -> Provenance:
    """What the result says of itself, and its record of this evaluation."""
    # mteb writes the word where it knows no revision.
    revision = "" if result.dataset_revision == "None" else result.dataset_revision
    of_result = Provenance(
        revision, None, result.mteb_version, length_of(result.settings, [result])
    )
    run, entry = _entry(result, evaluation)
    if not entry:
        return of_result
    costs = [entry[role] for role in ("docs", "queries") if entry.get(role)]
    return replace(
        of_result,
        data_sha256=entry.get("content_sha256"),
        # A model that searches by itself has no maximum, whatever metadata say.
        max_length=run["settings"].get("max_length"),
        n_truncated=sum(cost["n_truncated"] for cost in costs) if costs else None,
        prompts=entry.get("prompts"),
        candidates_sha256=entry.get("candidates_sha256"),
    )


def _entry(result: Result, evaluation: Evaluation) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The run that made an evaluation, and what its record says of it; empty where none says."""
    place = evaluation.split, evaluation.subset
    for run in result.record.get("runs", ()):
        for entry in run["evaluations"]:
            if (entry["split"], entry["subset"]) == place:
                return run, entry
    return {}, {}
