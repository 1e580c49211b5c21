"""
TREC's run and qrels files, which trec_eval, ir_measures and pyterrier read.

    run      query Q0 document rank score tag
    qrels    query 0 document relevance

trec_eval ignores the rank: it orders by score, compared as float32, and equal scores by document
id, descending. A ranking of ours has that order, so the ranks agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from granite_bench.errors import BadInput, Fault, shortened
from granite_bench.files.text_lines import lines_of
from granite_bench.results.store import RANKING_SCHEMA

_N_COLUMNS = 6
_TOO_LARGE = float(2**128 - 2**103)
"""The smallest number that float32 rounds to infinity."""


def run_file_name(task: str, split: str, subset: str) -> str:
    """What the run of one part of a task is called in a folder of runs."""
    return f"{_part_name(task, split, subset)}.trec"


def qrels_file_name(task: str, split: str, subset: str) -> str:
    """What the judgements of one part of a task are called."""
    return f"{_part_name(task, split, subset)}.qrels"


def _part_name(task: str, split: str, subset: str) -> str:
    return f"{task}.{split}.{subset}".replace("/", "_")


def trec_run(rankings: pa.Table, *, tag: str, where: str) -> Iterator[str]:
    """
    The lines of a run file, each with its line break.

    Args:
        rankings: rows of one split and subset, of store.RANKING_SCHEMA.
        tag: the system's name; spaces become underscores.
        where: what the rankings are of, for faults.

    Raises:
        BadInput: an id that the format cannot hold; before the first line.
    """
    documents = pc.unique(rankings["doc_ids"].combine_chunks().flatten()).to_pylist()
    _check_ids(where, {"query": rankings["query_id"].to_pylist(), "document": documents})
    named = "_".join(tag.split())
    return _run_lines(rankings, named)


def _run_lines(rankings: pa.Table, tag: str) -> Iterator[str]:
    for row in rankings.select(["query_id", "doc_ids", "scores"]).to_pylist():
        for rank, (document, score) in enumerate(
            zip(row["doc_ids"], row["scores"], strict=True), start=1
        ):
            # Nine digits tell any two float32 apart, so ties and order survive the text.
            yield f"{row['query_id']} Q0 {document} {rank} {score:.9g} {tag}\n"


def trec_qrels(qrels: Mapping[str, Mapping[str, int]], *, where: str) -> Iterator[str]:
    """
    The lines of a qrels file, each with its line break.

    Args:
        qrels: query id -> document id -> relevance.
        where: what they are of, for faults.

    Raises:
        BadInput: an id that the format cannot hold; before the first line.
    """
    documents = dict.fromkeys(document for judged in qrels.values() for document in judged)
    _check_ids(where, {"query": qrels, "document": documents})
    return (
        f"{query} 0 {document} {relevance}\n"
        for query, judged in qrels.items()
        for document, relevance in judged.items()
    )


def _check_ids(where: str, ids: Mapping[str, Iterable[str]]) -> None:
    """TREC's columns are separated by white space, so that no id may be empty or have some."""
    faults = [
        Fault(where, f"{kind} id {each!r} {_problem(each)}", "the data need other ids for TREC")
        for kind, of_kind in ids.items()
        for each in of_kind
        if each.split() != [each]
    ]
    if faults:
        raise BadInput(shortened(faults, where))


def _problem(identifier: str) -> str:
    return "has white space in it" if identifier.strip() else "is empty"


def read_trec_run(path: Path, *, split: str = "test", subset: str = "default") -> pa.Table:
    """
    A run file of any system, plain or gzipped.

    The ranks in it are ignored, as trec_eval ignores them; what was a tie in float32 is one.

    Args:
        path: UTF-8, six columns a line, separated by white space.
        split, subset: where the queries are from; the file does not say.

    Returns:
        Rows of store.RANKING_SCHEMA, queries in the order of their first lines.

    Raises:
        BadInput: everything that is wrong with the file, with its lines.
    """
    queries: dict[str, int] = {}
    rows: list[int] = []
    documents: list[str] = []
    scores: list[float] = []
    line_of: dict[tuple[int, str], int] = {}
    faults: list[Fault] = []
    cut_short: list[Fault] = []
    for number, line in lines_of(path, cut_short):
        where = f"{path}:{number}"
        columns = line.split()
        if len(columns) != _N_COLUMNS:
            right = "query Q0 document rank score tag"
            faults.append(Fault(where, f"has {len(columns)} columns, not {_N_COLUMNS}", right))
            continue
        try:
            query, document = columns[0].decode(), columns[2].decode()
        except UnicodeDecodeError as error:
            faults.append(Fault(where, f"is not UTF-8: {error.reason}", "save the file as UTF-8"))
            continue
        score = _score(columns[4])
        if score is None:
            shown = columns[4].decode(errors="replace")
            faults.append(Fault(where, f"score '{shown}' is no finite float32"))
            continue
        row = queries.setdefault(query, len(queries))
        first = line_of.setdefault((row, document), number)
        if first != number:
            what = f"document '{document}' of query '{query}' is ranked twice"
            faults.append(Fault(where, what, f"line {first} has it too; keep one of the two"))
            continue
        rows.append(row)
        documents.append(document)
        scores.append(score)
    if cut_short:  # then the last line may be none, and the first fault after another
        raise BadInput(cut_short)
    if not rows and not faults:
        faults.append(Fault(str(path), "has no lines", "is it the run file?"))
    if faults:
        raise BadInput(shortened(faults, str(path)))
    return _rankings(list(queries), rows, documents, scores, split, subset)


def _score(text: bytes) -> float | None:
    """A number that stays finite as float32, in which scores are compared."""
    try:
        score = float(text)
    except ValueError:
        return None
    return score if abs(score) < _TOO_LARGE else None


def _rankings(
    queries: list[str],
    rows: list[int],
    documents: list[str],
    scores: list[float],
    split: str,
    subset: str,
) -> pa.Table:
    """Entries in any order -> a row per query, in trec_eval's order."""
    entries = pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "score": pa.array(np.array(scores, dtype=np.float32)),
            "document": pa.array(documents, pa.string()),
        }
    ).sort_by([("row", "ascending"), ("score", "descending"), ("document", "descending")])
    counts = np.bincount(rows, minlength=len(queries))
    starts = pa.array(np.append(0, counts.cumsum()), pa.int32())

    def by_query(column: str) -> pa.ListArray:
        return pa.ListArray.from_arrays(starts, entries[column].combine_chunks())

    return pa.table(
        {
            "split": pa.array([split] * len(queries), pa.string()),
            "subset": pa.array([subset] * len(queries), pa.string()),
            "query_id": pa.array(queries, pa.string()),
            "doc_ids": by_query("document"),
            "scores": by_query("score"),
        },
        schema=RANKING_SCHEMA,
    )
