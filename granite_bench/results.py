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

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

from granite_bench.errors import BadInput, Fault
from granite_bench.results_index import ResultIndex, default_index

RECORD_VERSION = 1
RECORDS = "records"
_RUN_KEYS = {"date", "evaluations", "hardware", "packages", "settings", "speed_protocol"}
_EVALUATION_TYPES: Mapping[str, Any] = {
    "split": str, "subset": str, "n_docs": int, "n_queries": int, "query_seconds": list,
    "prompts": (dict, NoneType), "index_seconds": (int, float),
}  # fmt: skip
EXPERIMENTS = "experiments"
META_NAME = "model_meta.json"

_META_KEYS = (
    "name", "revision", "experiment_kwargs", "n_parameters", "n_embedding_parameters",
    "n_active_parameters_override", "embed_dim", "max_tokens",
)  # fmt: skip


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
    if not isinstance(runs, list) or not all(map(_is_run, runs)):
        keys = ", ".join(sorted(_RUN_KEYS))
        hint = f"it needs 'runs', each with {keys}; each evaluation has its split and subset"
        raise BadInput(Fault(str(path), "is broken", hint))
    return record


def _is_run(run: Any) -> bool:
    return (
        isinstance(run, dict)
        and run.keys() >= _RUN_KEYS
        and _has_types(run, {"settings": dict, "hardware": dict, "evaluations": list})
        and _has_types(run, {"model": dict, "usage": (dict, NoneType)})
        and all(map(_is_evaluation, run["evaluations"]))
    )


def _is_evaluation(entry: Any) -> bool:
    if not isinstance(entry, dict) or not {"split", "subset"} <= entry.keys():
        return False
    costs = [entry[role] for role in ("docs", "queries") if entry.get(role)]
    return _has_types(entry, _EVALUATION_TYPES) and all(
        isinstance(cost, dict) and isinstance(cost.get("n_truncated"), int) for cost in costs
    )


def _has_types(content: Mapping[str, Any], types: Mapping[str, Any]) -> bool:
    """Of the keys that are there."""
    return all(isinstance(content[key], kind) for key, kind in types.items() if key in content)


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
    if not root.is_dir():
        hint = "granite-bench run writes one; see --results"
        raise BadInput(Fault(str(root), "no such results folder", hint))
    paths = list(_result_paths(root, tasks))
    folders = dict.fromkeys(path.parent for path in paths)
    metas = [path for each in folders if (path := each / META_NAME).is_file()]
    faults: list[Fault] = []
    meta_of: dict[Path, Mapping[str, Any]] = {}
    results: list[Result] = []
    for path, content in (index or default_index()).contents([*metas, *paths], _content):
        if isinstance(content, BadInput):
            faults += content.faults
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
    revisions = sorted(path for path in root.glob("*/*") if path.is_dir())
    for revision in revisions:
        variants = sorted((revision / EXPERIMENTS).glob("*"))
        for folder in (revision, *variants):
            if tasks is None:
                yield from sorted(path for path in folder.glob("*.json") if path.name != META_NAME)
            else:
                yield from (
                    path for task in sorted(tasks) if (path := folder / f"{task}.json").is_file()
                )


def _result(path: Path, content: Mapping[str, Any], meta: Mapping[str, Any]) -> Result:
    in_variant = path.parent.parent.name == EXPERIMENTS
    revision_folder = path.parent.parent.parent if in_variant else path.parent
    name = meta.get("name") or revision_folder.parent.name.replace("__", "/")
    settings = meta.get("experiment_kwargs") or {}
    if in_variant:
        name += f" ({_variant(settings, path.parent.name)})"
    return Result(
        model=name,
        revision=revision_folder.name,
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


def _variant(settings: Mapping[str, Any], folder: str) -> str:
    if not settings:
        return folder
    return settings_text(settings)


def _content(path: Path) -> dict[str, Any]:
    """What the index keeps of a file; raises BadInput when it is broken."""
    content = _read_json(path)
    if path.name == META_NAME:
        return {key: content.get(key) for key in _META_KEYS}
    return _scores(path, content)


def _scores(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    if "scores" not in content and "mteb_dataset_name" in content:
        content = _converted(path)
    try:
        scores = {
            split: {entry["hf_subset"]: _numbers(entry) for entry in entries}
            for split, entries in content["scores"].items()
        }
        task = content["task_name"]
    except (KeyError, TypeError, AttributeError):
        what = "is no mteb result: 'task_name' and 'scores' by split are expected"
        raise BadInput(Fault(str(path), what, "move it out of the results folder")) from None
    date = content.get("date")
    return {
        "task": task,
        "dataset_revision": content.get("dataset_revision") or "",
        "mteb_version": content.get("mteb_version"),
        "scores": scores,
        "date": date if isinstance(date, int | float) else 0.0,
    }


def _converted(path: Path) -> Mapping[str, Any]:
    """A result in the form that mteb had before 1.11, as mteb itself converts it."""
    from mteb.results import TaskResult

    try:
        content: dict[str, Any] = TaskResult.from_disk(path).to_dict()
    except Exception as error:  # noqa: BLE001 (mteb's converter raises whatever it meets)
        what = f"mteb cannot convert this old result: {type(error).__name__}: {error}"
        raise BadInput(Fault(str(path), what, "move it out of the results folder")) from None
    return {**content, "date": None}


def _numbers(entry: Mapping[str, Any]) -> dict[str, float | None]:
    """
    An entry's scores, without mteb's nAUC; NaN as None, since JSON has no other word for it.

    mteb 1 nested the scores of pair classification: {"max": {"ap": ...}} is max_ap.
    """
    flat: dict[str, float | None] = {}
    for key, value in entry.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}_{name}": each for name, each in _numbers(value).items()}
        elif isinstance(value, int | float) and not key.startswith("nauc_"):
            flat[key] = float(value) if math.isfinite(value) else None
    return flat


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(
            Fault(str(path), f"cannot be read as JSON: {error}", "remove it and run the task again")
        ) from None
    if not isinstance(content, dict):
        raise BadInput(Fault(str(path), "must be a JSON object"))
    return content
