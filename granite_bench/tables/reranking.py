"""
What rerankers make of a first stage: its score, theirs, and what its candidates allow.

Every figure is over the same queries, from the rows that a reranked result has per query. Nothing
is averaged over holes: a column without all of its evaluations has no figures.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from granite_bench.errors import BadInput, Fault
from granite_bench.files.parquet_file import column_names, read_rows
from granite_bench.results.speed_columns import Speed, speeds_of
from granite_bench.results.tree import Result
from granite_bench.stats.bootstrap import (
    BootstrapMean,
    ConfidenceInterval,
    bootstrap_mean,
    weighted_mean,
)
from granite_bench.tables.scores import Evaluation
from granite_bench.tables.table import Row, Table
from granite_bench.tables.variant_settings import FIRST_STAGE, QUERY_TOKENS, TOP_K, name_without
from granite_bench.tables.weights import Weights, average_weights, column_weights

if TYPE_CHECKING:
    import pyarrow as pa

N_RESAMPLES = 2_000
"""Of the bootstrap: the ends of an interval vary by a thirtieth of its width or so from seed to
seed, and a whole BEIR has 53,000 queries to draw from for every reranker."""

MEASURE = "ndcg_at_10"
"""What the rows per query have of the first stage and of the ceiling."""

_FIRST, _CEILING, _RECALL = "first_stage_ndcg_at_10", "ceiling_ndcg_at_10", "candidate_recall"
_COLUMNS = (MEASURE, _FIRST, _CEILING, _RECALL)


@dataclass(frozen=True)
class _Part:
    """
    What the rows of one evaluation say.

    Attributes:
        means: column -> its mean over queries, rounded as mteb rounds it, so that a result's own
            score is this one.
        gain: reranked less first stage; None for a single query.
    """

    means: Mapping[str, float]
    gain: BootstrapMean | None
    n_queries: int


@dataclass(frozen=True)
class Figures:
    """
    One reranker over one column: a task, a group of them, or the average.

    Attributes:
        first_stage, reranked: nDCG@10 of the two orders, fractions.
        ceiling: nDCG@10 of the best order of the same candidates.
        recall: of the relevant documents, the share among the candidates.
        gain: reranked less first stage, with its interval over queries; None for a single query.
        n_queries: that all of it is over.
        speeds: what the records of its results say.
    """

    first_stage: float
    reranked: float
    ceiling: float
    recall: float
    gain: ConfidenceInterval | None
    n_queries: int
    speeds: Sequence[Speed]

    @property
    def share_of_ceiling(self) -> float | None:
        """The gain as a share of the largest that the candidates allow; None if that is none."""
        possible = self.ceiling - self.first_stage
        return (self.reranked - self.first_stage) / possible if possible > 0 else None


@dataclass(frozen=True)
class Reranked:
    """
    A reranker behind a first stage.

    Attributes:
        name: of the reranker, with settings that are not of the first stage.
        row: of the table.
        columns: column of the table -> figures; None where an evaluation is missing.
        average: over the suite by its rule; None unless every evaluation is there.
        missing: labels of the evaluations that are not there.
    """

    name: str
    row: Row
    columns: Mapping[str, Figures | None]
    average: Figures | None
    missing: Sequence[str]


@dataclass(frozen=True)
class Block:
    """
    A first stage and what reorders its best documents.

    Attributes:
        first_stage: its model's name (and variant), or that of a run's file.
        top_k: documents per query that are reordered; None where results do not say.
        query_tokens: that queries are cut to; None where they are whole.
        row: the first stage's own, where the table has it.
        rerankers: in the table's order, the best average first; none where none has run.
        differing: labels of evaluations of which rerankers got different candidates.
    """

    first_stage: str
    top_k: int | None
    query_tokens: int | None
    row: Row | None
    rerankers: Sequence[Reranked]
    differing: Sequence[str]

    def first_figures(self, column: str | None) -> Figures | None:
        """Of a reranker that has the column (None: the average); what is not its own is alike."""
        found = (
            each.average if column is None else each.columns[column] for each in self.rerankers
        )
        return next((figures for figures in found if figures is not None), None)


def blocks_of(table: Table) -> list[Block]:
    """
    A block for each first stage: those of the suite that have results, then others that rows of
    the table are behind.

    Raises:
        BadInput: rows per query that cannot be read, all of them named.
    """
    if table.is_overview:
        return []
    behind: dict[tuple[str, int | None, int | None], list[Row]] = {}
    for row in table.rows:
        if FIRST_STAGE in row.settings and row.results:
            settings = row.settings
            key = str(settings[FIRST_STAGE]), settings.get(TOP_K), settings.get(QUERY_TOKENS)
            behind.setdefault(key, []).append(row)
    suite, with_results = table.suite, {row.model for row in table.rows if row.results}
    for name in suite.first_stages:
        if name in with_results and name not in {first_stage for first_stage, _, _ in behind}:
            behind[name, suite.top_k, suite.query_tokens] = []
    order = {name: place for place, name in enumerate(suite.first_stages)}
    keys = sorted(
        behind, key=lambda key: (order.get(key[0], len(order)), key[0], key[1] or 0, key[2] or 0)
    )
    shares: dict[str | None, Weights] = {None: average_weights(suite)}
    for column, weights in column_weights(suite, table.by).items():
        shares[column] = weights
    faults: list[Fault] = []
    blocks = [
        _block(key, behind[key], {row.model: row for row in table.rows}, shares, faults)
        for key in keys
    ]
    if faults:
        raise BadInput(dict.fromkeys(faults))
    return blocks


def _block(
    key: tuple[str, int | None, int | None],
    rows: Sequence[Row],
    by_name: Mapping[str, Row],
    shares: Mapping[str | None, Weights],
    faults: list[Fault],
) -> Block:
    first_stage, top_k, query_tokens = key
    rerankers = [_reranked(row, shares, faults) for row in rows]  # as sorted as the table's rows
    return Block(
        first_stage,
        top_k,
        query_tokens,
        by_name.get(first_stage),
        rerankers,
        _differing(rows, shares[None]),
    )


def _reranked(row: Row, shares: Mapping[str | None, Weights], faults: list[Fault]) -> Reranked:
    found: dict[Evaluation, _Part] = {}
    read: dict[Path, pa.Table | None] = {}
    for evaluation in {each for weights in shares.values() for each in weights}:
        result = row.results.get(evaluation.task)
        if result is None:
            continue
        if result.path not in read:
            read[result.path] = _read(result, faults)
        part = _part(read[result.path], evaluation)
        if part is not None:
            found[evaluation] = part
    figures = {column: _figures(weights, found, row.results) for column, weights in shares.items()}
    return Reranked(
        name=name_without(row.model, row.settings, (FIRST_STAGE, TOP_K, QUERY_TOKENS)),
        row=row,
        columns={column: each for column, each in figures.items() if column is not None},
        average=figures[None],
        missing=[each.label for each in shares[None] if each not in found],
    )


def _read(result: Result, faults: list[Fault]) -> pa.Table | None:
    """The rows of a result; None where there are none, or not of a reranked one."""
    import pyarrow as pa

    path = result.queries_path
    if not path.exists():
        return None
    mend = "move it and the task's result away and run again"
    places = [("split", pa.string()), ("subset", pa.string())]
    schema = pa.schema([*places, *((column, pa.float64()) for column in _COLUMNS)])
    try:
        if not set(_COLUMNS) <= set(column_names(path, mend)):
            return None
        return read_rows(path, mend, schema=schema)
    except BadInput as error:
        faults += error.faults
        return None


def _part(table: pa.Table | None, evaluation: Evaluation) -> _Part | None:
    """One evaluation of a result's rows; None without any."""
    import pyarrow.compute as pc

    if table is None:
        return None
    split, subset = evaluation.split, evaluation.subset
    here = table.filter(pc.and_(pc.equal(table["split"], split), pc.equal(table["subset"], subset)))
    values = {name: here[name].to_numpy().astype(np.float64) for name in _COLUMNS}
    if not here.num_rows or not all(np.isfinite(each).all() for each in values.values()):
        return None
    gain = None
    if here.num_rows > 1:
        # By its name: each evaluation draws other places, and every reranker the same.
        seed = zlib.crc32(evaluation.label.encode())
        differences = values[MEASURE] - values[_FIRST]
        gain = bootstrap_mean(differences, n_resamples=N_RESAMPLES, seed=seed)
    means = {name: round(float(each.mean()), 5) for name, each in values.items()}
    return _Part(means, gain, here.num_rows)


def _figures(
    weights: Weights, found: Mapping[Evaluation, _Part], results: Mapping[str, Result]
) -> Figures | None:
    """Over the evaluations of a column; None unless all of them are there."""
    if not all(evaluation in found for evaluation in weights):
        return None
    parts = [found[evaluation] for evaluation in weights]
    gains = [part.gain for part in parts if part.gain is not None]
    gain = None
    if len(gains) == len(parts):
        gain = weighted_mean(gains, list(weights.values())).interval()
    means = {
        name: sum(
            weight * part.means[name] for weight, part in zip(weights.values(), parts, strict=True)
        )
        for name in _COLUMNS
    }
    return Figures(
        first_stage=means[_FIRST],
        reranked=means[MEASURE],
        ceiling=means[_CEILING],
        recall=means[_RECALL],
        gain=gain,
        n_queries=sum(part.n_queries for part in parts),
        speeds=speeds_of(results[task] for task in sorted({each.task for each in weights})),
    )


def _differing(rows: Sequence[Row], weights: Weights) -> list[str]:
    """Evaluations of which the records of rows name candidates that are not the same."""
    seen: dict[Evaluation, set[str]] = {}
    for row in rows:
        for evaluation in weights:
            entries = _entries(row.results.get(evaluation.task))
            hashes = (
                entry.get("candidates_sha256")
                for entry in entries
                if (entry["split"], entry["subset"]) == (evaluation.split, evaluation.subset)
            )
            seen.setdefault(evaluation, set()).update(filter(None, hashes))
    return [evaluation.label for evaluation, hashes in seen.items() if len(hashes) > 1]


def _entries(result: Result | None) -> Iterable[Mapping[str, Any]]:
    runs = result.record.get("runs", ()) if result is not None else ()
    return (entry for run in runs for entry in run["evaluations"])
