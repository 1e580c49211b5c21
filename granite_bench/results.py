"""
results/ -> Result: the reading side of the store, free of mteb and torch.

The layout is mteb's ResultCache, with our records in a folder beside each result:

    results/<model>/<revision>/<Task>.json            mteb's result; what a leaderboard takes
    results/<model>/<revision>/model_meta.json        mteb's metadata of the model
    results/<model>/<revision>/run_settings.jsonl     mteb's own settings
    results/<model>/<revision>/records/<Task>.json    how the result came about (RunRecord)
    results/<model>/<revision>/records/<Task>.parquet one row per query
    results/<model>/<revision>/experiments/<variant>/ the same again, for a variant of the model
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from granite_bench.errors import BadInput, Fault

RECORD_VERSION = 1
RECORDS = "records"
_RUN_KEYS = {"date", "evaluations", "hardware", "packages", "settings", "speed_protocol"}
EXPERIMENTS = "experiments"


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
        revision: the model's.
        task: mteb's name of the task.
        dataset_revision, mteb_version: as mteb wrote them.
        scores: split -> subset -> metric -> value, a fraction for most metrics.
        date: seconds since 1970 when mteb finished; 0 where the file has none.
        path: the JSON file.
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


def read_record(path: Path) -> dict[str, Any]:
    """
    A record, or an empty dictionary when there is none.

    Raises:
        BadInput: it is broken, or of a format newer than this release reads.
    """
    if not path.exists():
        return {}
    record = _read_json(path)
    found = record.get("version")
    if not isinstance(found, int):
        raise BadInput(Fault(str(path), "has no format version", "is it a granite-bench record?"))
    if found > RECORD_VERSION:
        raise BadInput(
            Fault(
                str(path),
                f"is of format {found}, newer than this release reads ({RECORD_VERSION})",
                "update granite-bench, or use another results folder; nothing was changed",
            )
        )
    runs = record.get("runs")
    whole = isinstance(runs, list) and all(
        isinstance(run, dict) and run.keys() >= _RUN_KEYS for run in runs
    )
    if not whole:
        keys = ", ".join(sorted(_RUN_KEYS))
        raise BadInput(Fault(str(path), "is broken", f"it needs 'runs', each with {keys}"))
    return record


def read_results(folder: Path, tasks: Collection[str] | None = None) -> list[Result]:
    """
    Every result below *folder*, sorted by path.

    Args:
        folder: a results folder, or the folder above one that is called results.
        tasks: read these tasks only; None reads all.

    Raises:
        BadInput: there is no such folder, or files are broken (all of them named).
    """
    root = results_root(folder)
    if not root.is_dir():
        raise BadInput(
            Fault(
                str(root), "no such results folder", "granite-bench run writes one; see --results"
            )
        )
    results: list[Result] = []
    faults: list[Fault] = []
    for path in _result_paths(root, tasks):
        try:
            results.append(_read_result(path))
        except BadInput as error:
            faults += error.faults
    if faults:
        raise BadInput(faults)
    return results


def _result_paths(root: Path, tasks: Collection[str] | None) -> Iterator[Path]:
    revisions = sorted(path for path in root.glob("*/*") if path.is_dir())
    for revision in revisions:
        variants = sorted((revision / EXPERIMENTS).glob("*"))
        for folder in (revision, *variants):
            if tasks is None:
                yield from sorted(
                    path for path in folder.glob("*.json") if path.name != "model_meta.json"
                )
            else:
                yield from (
                    path for task in sorted(tasks) if (path := folder / f"{task}.json").is_file()
                )


def _read_result(path: Path) -> Result:
    content = _read_json(path)
    try:
        scores = {
            split: {entry["hf_subset"]: entry for entry in entries}
            for split, entries in content["scores"].items()
        }
        task = content["task_name"]
    except (KeyError, TypeError, AttributeError):
        raise BadInput(
            Fault(
                str(path),
                "is no mteb result: 'task_name' and 'scores' by split are expected",
                "results of mteb before 1.11 have another form; mteb can convert them",
            )
        ) from None
    in_variant = path.parent.parent.name == EXPERIMENTS
    revision_folder = path.parent.parent.parent if in_variant else path.parent
    meta = _read_meta(path.parent)
    name = meta.get("name") or revision_folder.parent.name.replace("__", "/")
    if in_variant:
        name += f" ({_variant(meta.get('experiment_kwargs'), path.parent.name)})"
    return Result(
        model=name,
        revision=meta.get("revision") or revision_folder.name,
        task=task,
        dataset_revision=content.get("dataset_revision") or "",
        mteb_version=content.get("mteb_version"),
        scores=scores,
        date=content.get("date") or 0.0,
        path=path,
        settings=meta.get("experiment_kwargs") or {} if in_variant else {},
    )


def _variant(settings: Mapping[str, Any] | None, folder: str) -> str:
    if not settings:
        return folder
    return ", ".join(f"{key}={value}" for key, value in sorted(settings.items()))


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / "model_meta.json"
    return _read_json(path) if path.exists() else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(
            Fault(str(path), f"cannot be read as JSON: {error}", "remove it and run the task again")
        ) from None
    if not isinstance(content, dict):
        raise BadInput(Fault(str(path), "must be a JSON object"))
    return content
