"""
results/ -> Result: the reading side of the store, free of mteb and torch.

The layout is mteb's ResultCache, with our records in a folder beside each result:

    results/<model>/<revision>/<Task>.json            mteb's result; what a leaderboard takes
    results/<model>/<revision>/model_meta.json        mteb's metadata of the model
    results/<model>/<revision>/run_settings.jsonl     mteb's own settings
    results/<model>/<revision>/records/<Task>.json    how the result came about (RunRecord)
    results/<model>/<revision>/records/<Task>.parquet one row per query
    results/<model>/<revision>/records/<Task>.ranking.parquet  its best documents, where kept
    results/<model>/<revision>/experiments/<variant>/ the same again, for a variant of the model
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from granite_bench.errors import BadInput, Fault, plain
from granite_bench.files.local import is_file, is_folder, refuse_url
from granite_bench.results.index import ResultIndex, default_index
from granite_bench.results.result_files import read_meta, read_record, read_scores

RECORDS = "records"
EXPERIMENTS = "experiments"
META_NAME = "model_meta.json"


def results_root(folder: Path) -> Path:
    """
    The folder that holds the model folders.

    mteb.ResultCache(X) reads X/results, so a folder that is called results is the root itself
    (and its parent is X), and any other folder is X.
    """
    return folder if folder.name == "results" else folder / "results"


@dataclass(frozen=True)
class Result:
    """
    One model's result of one task.

    Attributes:
        model: the model's name; a variant has its settings behind it in parentheses.
        settings: what makes a variant, such as max_length; empty for the model itself.
        revision: the folder's name; *external* for scores that others reported.
        task: mteb's name of the task.
        dataset_revision, mteb_version: as mteb wrote them.
        scores: split -> subset -> metric -> value, a fraction for most metrics.
        date: seconds since 1970 when mteb finished; 0 where the file has none.
        path: the JSON file.
        meta: what model_meta.json says of the model (parameters, dimension, maximum length).
    """

    model: str
    revision: str
    task: str
    dataset_revision: str
    mteb_version: str | None
    scores: Mapping[str, Mapping[str, Mapping[str, Any]]]
    date: float
    path: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """
        How the result came about; empty for results that another program wrote.

        Raises:
            BadInput: the record is broken, or of a newer format.
        """
        return read_record(record_path(self.path))

    @property
    def queries_path(self) -> Path:
        """The per-query records; the file is there for retrieval results of our own."""
        return record_path(self.path).with_suffix(".parquet")


def record_path(result: Path) -> Path:
    """Where the record of the result at this path is."""
    return result.parent / RECORDS / result.name


def ranking_path(result: Path) -> Path:
    """Where the best documents of every query are, of the result at this path, if they are kept."""
    return record_path(result).with_suffix(".ranking.parquet")


def read_results(
    folder: Path, tasks: Collection[str] | None = None, *, index: ResultIndex | None = None
) -> list[Result]:
    """
    Every result below *folder*, sorted by path; only the files of *tasks* are opened.

    Args:
        folder: a results folder, or the folder above one that is called results.
        tasks: read these tasks only; None reads all.
        index: where contents are kept between calls; the default one when None.

    Raises:
        BadInput: there is no such folder, or files are broken (all of them named).
    """
    root = results_root(folder)
    refuse_url(root)
    if not is_folder(root):
        hint = "granite-bench run writes one; see --results"
        raise BadInput(Fault(str(root), "no such results folder", hint))
    paths = list(_result_paths(root, tasks))
    folders = dict.fromkeys(path.parent for path in paths)
    metas = [path for each in folders if is_file(path := each / META_NAME)]
    faults: list[Fault] = []
    meta_of: dict[Path, Mapping[str, Any]] = {}
    results: list[Result] = []
    for path, content in (index or default_index()).contents([*metas, *paths], _read):
        if isinstance(content, BadInput):
            faults += content.faults
        elif isinstance(content, OSError):  # since the folder was listed
            faults.append(Fault(str(path), f"cannot be read: {content.strerror or content}"))
        elif isinstance(content, Exception):
            raise content
        elif path.name == META_NAME:
            meta_of[path.parent] = content
        else:
            results.append(_result(path, content, meta_of.get(path.parent, {})))
    if faults:
        raise BadInput(faults)
    return results


def _result_paths(root: Path, tasks: Collection[str] | None) -> Iterator[Path]:
    """
    The files that hold results. Other things of such a name are none: folders, named pipes, links
    to what is not there, as in a tree of git-annex whose content was not fetched.
    """
    revisions = sorted(path for path in root.glob("*/*") if is_folder(path))
    for revision in revisions:
        variants = sorted((revision / EXPERIMENTS).glob("*"))
        for folder in (revision, *variants):
            if tasks is None:
                paths = sorted(path for path in folder.glob("*.json") if path.name != META_NAME)
            else:
                paths = [folder / f"{task}.json" for task in sorted(tasks)]
            yield from filter(is_file, paths)


def _result(path: Path, content: Mapping[str, Any], meta: Mapping[str, Any]) -> Result:
    in_variant = path.parent.parent.name == EXPERIMENTS
    revision_folder = path.parent.parent.parent if in_variant else path.parent
    name = meta.get("name") or plain(revision_folder.parent.name).replace("__", "/")
    settings = meta.get("experiment_kwargs") or {}
    if in_variant:
        name += f" ({settings_text(settings) or plain(path.parent.name)})"
    return Result(
        model=name,
        revision=plain(revision_folder.name),
        task=content["task"],
        dataset_revision=content["dataset_revision"],
        mteb_version=content["mteb_version"],
        scores=content["scores"],
        date=content["date"],
        path=path,
        settings=settings if in_variant else {},
        meta=meta,
    )


def settings_text(settings: Mapping[str, Any]) -> str:
    """The settings of a variant as they stand behind its name, in parentheses."""
    return ", ".join(f"{key}={value}" for key, value in sorted(settings.items()))


def _read(path: Path) -> dict[str, Any]:
    """What the index keeps of a file."""
    return read_meta(path) if path.name == META_NAME else read_scores(path)
