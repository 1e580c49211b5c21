"""
What stands in the files of a results tree (see results), checked: who reads it relies on it.

A tree may come from anybody. What a file must have and lacks, or has as another type, is a fault;
what it need not have, such as mteb's version, is unknown where it makes no sense.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from granite_bench.errors import BadInput, Fault
from granite_bench.files.json_file import read_object
from granite_bench.files.local import is_file
from granite_bench.files.validation import faults_of

RECORD_VERSION = 1

_MEND = "remove it and run the task again"
_MOVE = "move it out of the results folder"
_LAST_DATE = 253402300800
"""Seconds from 1970 to the year 10000, which no calendar of Python has."""


class _Part(BaseModel):
    """Keys that nobody reads may stand there; those that are read must be right."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


# --- results ----------------------------------------------------------------------------------


def read_scores(path: Path) -> dict[str, Any]:
    """
    A result: task, dataset_revision, mteb_version, date, and the scores that tables and audits
    read, as results.Result has them. JSON-serialisable.

    Raises:
        BadInput: it is broken, or no result of mteb.
    """
    content: Mapping[str, Any] = read_object(path, _MEND)
    if "scores" not in content and "mteb_dataset_name" in content:
        content = _converted(path)
    try:
        scores = {
            split: {_name(entry["hf_subset"]): _numbers(entry) for entry in entries}
            for split, entries in content["scores"].items()
        }
        task = _name(content["task_name"])
    except (KeyError, TypeError, AttributeError):
        what = "is no mteb result: 'task_name' and 'scores' by split are expected"
        raise BadInput(Fault(str(path), what, _MOVE)) from None
    return {
        "task": task,
        "dataset_revision": _text(content.get("dataset_revision")) or "",
        "mteb_version": _text(content.get("mteb_version")),
        "scores": scores,
        "date": _date(content.get("date")),
    }


def _converted(path: Path) -> Mapping[str, Any]:
    """A result in the form that mteb had before 1.11, as mteb itself converts it."""
    from mteb.results import TaskResult

    try:
        content: dict[str, Any] = TaskResult.from_disk(path).to_dict()
    except Exception as error:  # noqa: BLE001 (mteb's converter raises whatever it meets)
        what = f"mteb cannot convert this old result: {type(error).__name__}: {error}"
        raise BadInput(Fault(str(path), what, _MOVE)) from None
    return {**content, "date": None}


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _date(value: Any) -> float:
    """Seconds since 1970; 0 where the file tells none."""
    return float(value) if isinstance(value, int | float) and 0 < value < _LAST_DATE else 0.0


def _numbers(entry: Mapping[str, Any]) -> dict[str, float | None]:
    """
    An entry's scores, without mteb's nAUC; NaN as None, since JSON has no other word for it.

    mteb 1 nested the scores of pair classification: {"max": {"ap": ...}} is max_ap.
    """
    return {
        name: _finite(value)
        for name, value in _named(entry)
        if type(value) in (int, float) and not name.startswith("nauc_")
    }


def _named(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in entry.items():
        if isinstance(value, dict):
            yield from ((f"{key}_{name}", each) for name, each in value.items())
        else:
            yield key, value


def _finite(number: float) -> float | None:
    try:
        value = float(number)
    except OverflowError:  # JSON has integers of any size
        return None
    return value if math.isfinite(value) else None


_Count = Annotated[int, Field(ge=0, le=2**53)]  # what a float can hold, too
_Seconds = Annotated[float, Field(ge=0)]
_Length = Annotated[float, Field(gt=0, allow_inf_nan=True)]  # not NaN, which is not above 0


# --- metadata of models -----------------------------------------------------------------------


class _Meta(_Part):
    name: str | None = None
    revision: str | None = None
    experiment_kwargs: dict[str, Any] | None = None
    n_parameters: Annotated[float, Field(ge=0)] | None = None
    n_embedding_parameters: Annotated[float, Field(ge=0)] | None = None
    n_active_parameters_override: Annotated[float, Field(ge=0)] | None = None
    embed_dim: _Count | Annotated[list[_Count], Field(min_length=1)] | None = None
    max_tokens: _Length | None = None


def read_meta(path: Path) -> dict[str, Any]:
    """
    What mteb's metadata say of the model that tables show; None for what they do not.

    Raises:
        BadInput: the file is broken.
    """
    content = read_object(path, _MEND)
    _check(_Meta, content, path)
    return {key: content.get(key) for key in _Meta.model_fields}


# --- records ----------------------------------------------------------------------------------


class _Cost(_Part):
    n_unique: _Count
    n_encoded: _Count
    n_truncated: _Count
    n_tokens_encoded: _Count = 0
    encode_seconds: _Seconds


class _Pairs(_Part):
    n_scored: _Count
    n_tokens: _Count = 0
    score_seconds: _Seconds


class _Sparsity(_Part):
    doc_active_dims: Annotated[float, Field(ge=0)]


class _Evaluation(_Part):
    split: str
    subset: str
    n_docs: _Count
    n_queries: _Count = 0
    prompts: dict[str, str | None]
    docs: _Cost | None
    queries: _Cost | None
    index_seconds: _Seconds
    search_seconds: _Seconds
    query_seconds: list[_Seconds]
    pairs: _Pairs | None = None
    sparsity: _Sparsity | None = None
    content_sha256: str | None = None
    candidates_sha256: str | None = None


class _Settings(_Part):
    engine: str | None = None
    backend: str | None = None
    dtype: str | None = None
    max_length: _Length | None = None


class _Hardware(_Part):
    cpu: str
    cores: _Count | None
    device_name: str | None = None


class _Model(_Part):
    folder: str | None = None


class _FirstStage(_Part):
    settings: dict[str, Any] = {}


class _Usage(_Part):
    cost: Annotated[float, Field(ge=0)] | None = None


class _Run(_Part):
    date: str | None
    settings: _Settings
    packages: dict[str, str]
    hardware: _Hardware
    speed_protocol: str
    evaluations: list[_Evaluation]
    model: _Model = _Model()
    data: dict[str, Any] = {}
    first_stage: _FirstStage = _FirstStage()
    ranking_depth: _Count = 0
    seconds: dict[str, _Seconds] = {}
    usage: _Usage | None = None


class _Record(_Part):
    runs: list[_Run]


def read_record(path: Path) -> dict[str, Any]:
    """
    A record, or an empty dictionary when there is none.

    Raises:
        BadInput: it is broken (all faults named), or of a format newer than this release reads.
    """
    if not is_file(path):
        return {}
    record = read_object(path, _MEND)
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
    _check(_Record, record, path)
    return record


def _check(model: type[BaseModel], content: Mapping[str, Any], path: Path) -> None:
    try:
        model.model_validate(content)
    except ValidationError as error:
        raise BadInput(faults_of(error, path, _MEND)) from None
