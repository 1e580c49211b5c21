"""
The writing side of results/: mteb writes its own files, we put them in place whole.

A result appears with everything that belongs to it or not at all: the record and the per-query
rows first, mteb's JSON last, each through a temporary file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from mteb.cache import ResultCache
from mteb.models import ModelMeta
from mteb.results import TaskResult

from granite_bench.errors import BadInput, Fault, StorageError, first_line
from granite_bench.files.local import as_one_name, is_file, refuse_url, write_atomically
from granite_bench.files.parquet_file import column_names, read_rows
from granite_bench.results.result_files import RECORD_VERSION, read_meta, read_record
from granite_bench.results.tree import (
    EXPERIMENTS,
    META_NAME,
    ranking_path,
    record_path,
    results_root,
    settings_text,
)

_MEND = "nothing was changed; move it and the task's result away and run again"

logger = logging.getLogger(__name__)

QUERY_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("subset", pa.string()),
        ("query_id", pa.string()),
        ("ndcg_at_1", pa.float64()),
        ("ndcg_at_10", pa.float64()),
        ("recall_at_5", pa.float64()),
        ("recall_at_10", pa.float64()),
        ("recall_at_100", pa.float64()),
        ("reciprocal_rank_at_10", pa.float64()),
        ("first_relevant_rank", pa.int32()),
        ("top_docs", pa.list_(pa.string())),
        ("top_scores", pa.list_(pa.float32())),
    ]
)
"""One row per query: its scores, the rank of its first relevant document in the run (from 1,
null when none is in it), and its ten best documents in trec_eval's order. The measures are those
that suites score by: a comparison needs them query by query."""

RERANKED_QUERY_SCHEMA = pa.schema(
    [
        *QUERY_SCHEMA,
        ("first_stage_ndcg_at_10", pa.float64()),
        ("ceiling_ndcg_at_10", pa.float64()),
        ("candidate_recall", pa.float64()),
    ]
)
"""The rows of a reranked result, with what the candidates allow: nDCG@10 in the first stage's
order and in the best order there is, and the share of the relevant documents among them."""

RANKING_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("subset", pa.string()),
        ("query_id", pa.string()),
        ("doc_ids", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
    ]
)
"""One row per query: its documents, best first, equal scores by descending id."""


class ResultStore:
    """
    A results folder, for writing.

    Args:
        folder: see results.results_root; made when the first result is written.
    """

    def __init__(self, folder: Path) -> None:
        self.root = results_root(folder)

    def check_writable(self) -> None:
        """Raises BadInput when nothing can be written below the folder."""
        refuse_url(self.root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            problem = f"cannot be written: {error.strerror or error}"
            raise BadInput(
                Fault(str(self.root), problem, "choose another one with --out")
            ) from None

    def path(self, meta: ModelMeta, task: str) -> Path:
        """
        Where mteb keeps the result of this model (and variant) and task.

        Raises:
            BadInput: their names would lead out of the folder.
        """
        variant = (EXPERIMENTS, meta.experiment_name) if meta.experiment_name else ()
        revision = meta.revision or "no_revision_available"
        names = (meta.model_name_as_path(), revision, *variant, task)
        strange = [name for name in names if as_one_name(name) != name]
        if strange:
            what = f"'{strange[0]}' is no name of a file or folder in it"
            raise BadInput(Fault(str(self.root), what, "rename the model or the task"))
        return self.root.joinpath(*names[:-1], f"{task}.json")

    def load(self, meta: ModelMeta, task: str) -> TaskResult | None:
        """
        The stored result, or None.

        Raises:
            BadInput: the file is there, but is no mteb result.
        """
        path = self.path(meta, task)
        if not is_file(path):
            return None
        try:
            return TaskResult.from_disk(path)
        except Exception as error:  # noqa: BLE001 (mteb's reader raises whatever it meets)
            hint = "nothing was changed; move it away, and the task is run again"
            what = f"is no mteb result: {first_line(error)}"
            raise BadInput(Fault(str(path), what, hint)) from None

    def load_record(self, meta: ModelMeta, task: str) -> dict[str, Any]:
        """
        The stored record; empty when there is none.

        Raises:
            BadInput: as read_record, or the per-query rows beside it cannot be read.
        """
        path = record_path(self.path(meta, task))
        record = read_record(path)
        rows = path.with_suffix(".parquet")
        if rows.exists():
            column_names(rows, _MEND)
        return record

    def ranked_parts(self, meta: ModelMeta, task: str) -> set[tuple[str, str]]:
        """The splits and subsets whose rankings are on disk."""
        path = ranking_path(self.path(meta, task))
        if not path.exists():
            return set()
        columns = ["split", "subset"]
        pairs = read_ranking(path, columns=columns).group_by(columns).aggregate([])
        return set(zip(pairs["split"].to_pylist(), pairs["subset"].to_pylist(), strict=True))

    def refuse_other_settings(self, meta: ModelMeta) -> None:
        """
        Raises BadInput where the folder of a variant holds results of another variant.

        mteb's names of folders spell ":", "/", "?" and the like all the same, so two prompts, for
        one, can have the same folder.
        """
        path = self.path(meta, "_").with_name(META_NAME)
        if not meta.experiment_kwargs or not is_file(path):
            return
        try:
            stored = read_meta(path)["experiment_kwargs"] or {}
        except BadInput:
            return  # results of it are read, or refused, by themselves
        ours = json.loads(json.dumps(dict(meta.experiment_kwargs), default=str))
        if stored != ours:
            problem = (
                f"holds results of other settings ({settings_text(stored)}) that have the same "
                f"folder name as these ({settings_text(ours)})"
            )
            hint = "write to another results folder with --out; nothing was changed"
            raise BadInput(Fault(str(path.parent), problem, hint))

    def save(
        self,
        meta: ModelMeta,
        result: TaskResult,
        *,
        run: Mapping[str, Any] | None = None,
        queries: pa.Table | None = None,
        ranking: pa.Table | None = None,
        keep: bool = True,
    ) -> TaskResult:
        """
        Write a result and what belongs to it, added to what is there at that moment.

        Two runs may write the same result at once: the second waits, and adds to the first.

        Args:
            meta: the model; its name, revision and experiment_kwargs decide on the folder.
            result: the splits and subsets of this run.
            run: what happened in this run, with its *evaluations*; None writes no record.
            queries: this run's rows, of QUERY_SCHEMA or RERANKED_QUERY_SCHEMA.
            ranking: this run's best documents, of RANKING_SCHEMA; None where none are kept, and
                then those of an earlier run of the same parts go.
            keep: whether a stored result, its record and its rows stay for what this run did
                not evaluate; False when they are of other data.

        Returns:
            The result as it is stored now.

        Raises:
            StorageError: nothing of this result is there, or the earlier one still is.
            BadInput: what is stored is broken, or of a newer format.
        """
        target = self.path(meta, result.task_name)
        record = record_path(target)
        with _locked(target.parent):
            earlier = read_record(record).get("runs", [])
            stored = self.load(meta, result.task_name) if keep else None
            keep = stored is not None
            if stored is not None:
                result = stored.merge(result)
            for path, rows in (
                (record.with_suffix(".parquet"), queries),
                (ranking_path(target), ranking),
            ):
                if rows is not None:
                    write_atomically(path, _parquet(_merged_rows(path, rows, keep=keep)))
            if ranking is None and run is not None:
                _drop_rows(ranking_path(target), run["evaluations"], keep=keep)
            if run is not None:
                runs = _merged_runs(earlier if keep else [], run)
                content = {"version": RECORD_VERSION, "task": result.task_name, "runs": runs}
                write_atomically(record, json.dumps(content, indent=2, ensure_ascii=False).encode())
            for name, file in self._as_mteb_writes_it(meta, result, target).items():
                write_atomically(target.parent / name, file)
        return result

    def _as_mteb_writes_it(
        self,
        meta: ModelMeta,
        result: TaskResult,
        target: Path,
    ) -> dict[str, bytes]:
        """File name -> content, the result itself last."""
        try:
            with tempfile.TemporaryDirectory(prefix="granite-bench-") as folder:
                stage = ResultCache(folder)
                staged = stage.get_task_result_path(result.task_name, meta)
                staged.parent.mkdir(parents=True)
                # mteb merges its settings with those that are there.
                settings = target.parent / "run_settings.jsonl"
                if is_file(settings):
                    shutil.copy(settings, staged.parent)
                try:
                    stage.save_to_cache(result, meta)
                except (ValueError, LookupError, TypeError, AttributeError):
                    logger.warning("%s is broken, and was made anew", settings)
                    (staged.parent / settings.name).unlink()
                    stage.save_to_cache(result, meta)
                names = sorted(
                    (path.name for path in staged.parent.iterdir() if path.is_file()),
                    key=lambda name: name == staged.name,
                )
                return {name: (staged.parent / name).read_bytes() for name in names}
        except OSError as error:
            raise StorageError(
                f"{target}: cannot be prepared: {error.strerror or error}"
            ) from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time below *folder*; the lock goes with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _merged_runs(earlier: list[dict[str, Any]], run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Each split and subset once, under the run that evaluated it last."""
    replaced = {(entry["split"], entry["subset"]) for entry in run["evaluations"]}
    kept = []
    for old in earlier:
        left = [
            entry
            for entry in old["evaluations"]
            if (entry["split"], entry["subset"]) not in replaced
        ]
        if left:
            kept.append({**old, "evaluations": left})
    return [*kept, run]


def read_ranking(path: Path, *, columns: list[str] | None = None) -> pa.Table:
    """
    A kept ranking, of RANKING_SCHEMA; only these *columns* where some are named.

    Raises:
        BadInput: the file cannot be read, or holds something else.
    """
    hint = "nothing was changed; move it away, and the ranking is made again"
    rows = read_rows(path, hint, columns=columns, schema=RANKING_SCHEMA)
    lists = [each for each in rows.itercolumns() if pa.types.is_list(each.type)]
    if any(each.null_count for each in (*rows.itercolumns(), *map(pc.list_flatten, lists))):
        raise BadInput(Fault(str(path), "is no ranking: it has places without a value", hint))
    if len(lists) == 2 and not pc.list_value_length(lists[0]).equals(
        pc.list_value_length(lists[1])
    ):
        raise BadInput(Fault(str(path), "is no ranking: not every document has a score", hint))
    return rows


def _drop_rows(path: Path, evaluations: Sequence[Mapping[str, Any]], *, keep: bool) -> None:
    """Take the rows of these parts from a file, or remove it where nothing is left."""
    if not path.exists():
        return
    gone = [{"split": each["split"], "subset": each["subset"]} for each in evaluations]
    parts = pa.Table.from_pylist(gone, pa.schema([("split", pa.string()), ("subset", pa.string())]))
    left = _without_parts(read_ranking(path), parts) if keep else None
    if left is not None and left.num_rows:
        write_atomically(path, _parquet(left))
    else:
        path.unlink()


def _merged_rows(path: Path, new: pa.Table, *, keep: bool) -> pa.Table:
    if not keep or not path.exists():
        return new
    earlier = read_rows(path, _MEND, schema=new.schema)
    return pa.concat_tables([_without_parts(earlier, new), new])


def _without_parts(rows: pa.Table, parts: pa.Table) -> pa.Table:
    """The rows that are of no split and subset that *parts* has."""
    for split, subset in {
        (r["split"], r["subset"]) for r in parts.select(["split", "subset"]).to_pylist()
    }:
        same = pc.and_(pc.equal(rows["split"], split), pc.equal(rows["subset"], subset))
        rows = rows.filter(pc.invert(same))
    return rows


def _parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return bytes(sink.getvalue())
