"""
A baseline as one JSON file that a person can review.

    {"format": 1, "suite": its name,
     "models": {name: {revision, settings, average, evaluations, history}},
     "queries": {sha256: packed ids},
     "scores": {name: {evaluation: packed scores per query}}}

An evaluation stands on one line, with all that must agree for a fair comparison, and so does an
entry of the history; what a person cannot read, the scores per query, comes last. They are packed
as they are, so that a comparison with the file gives the figures of one with the results.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from granite_bench.comparison.measured import (
    ROUNDING,
    Measured,
    Measurement,
    Provenance,
    QueryScores,
)
from granite_bench.errors import BadInput, Fault, shortened
from granite_bench.files.json_file import parse_object, read_json_text
from granite_bench.files.validation import faults_of
from granite_bench.gate.suite_scores import average_score, missing_of
from granite_bench.stats.bootstrap import Floats
from granite_bench.suite.suite import Suite
from granite_bench.tables.scores import Evaluation

FORMAT_VERSION = 1

_LARGEST = 64 * 2**20
"""Bytes of unpacked ids or scores: of eight million queries; a short text may unpack to more."""

_MEND = "take the file as it was committed, or make it again with --update-baseline"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


_Score = Annotated[float, Field(ge=-1, le=1)]


class HistoryEntry(_Strict):
    """
    What a baseline was from one update to the next.

    Attributes:
        date: of the update, in ISO 8601.
        revision: of the model.
        granite_bench, mteb: what measured; the commit too, in a checkout.
        accepted: why a drop was accepted; from such an entry on "best" means anew.
        average: of the suite by its rule then, a fraction; None for one over holes.
        scores: label of an evaluation -> metric -> score, a fraction.
    """

    date: str
    revision: str
    granite_bench: str
    mteb: str | None
    accepted: str | None
    average: _Score | None
    scores: Mapping[str, Mapping[str, _Score]]


class _StoredEvaluation(_Strict):
    task: str
    split: str
    subset: str
    metric: str
    score: _Score
    n_queries: Annotated[int, Field(ge=1)] | None
    dataset_revision: str
    data_sha256: str | None
    mteb_version: str | None
    max_length: int | None
    n_truncated: int | None
    prompts: Mapping[str, str | None] | None
    candidates_sha256: str | None

    @property
    def evaluation(self) -> Evaluation:
        return Evaluation(self.task, self.split, self.subset, self.metric)

    @property
    def provenance(self) -> Provenance:
        return Provenance(
            self.dataset_revision, self.data_sha256, self.mteb_version, self.max_length,
            self.n_truncated, self.prompts, self.candidates_sha256,
        )  # fmt: skip


class _StoredModel(_Strict):
    revision: str
    settings: Mapping[str, Any]
    average: _Score | None
    evaluations: Annotated[list[_StoredEvaluation], Field(min_length=1)]
    history: Annotated[list[HistoryEntry], Field(min_length=1)]


class _Packed(_Strict):
    queries: str
    sha256: str
    packed: str


class _Document(_Strict):
    format: int
    suite: str
    models: Annotated[Mapping[str, _StoredModel], Field(min_length=1)]
    queries: Mapping[str, str]
    scores: Mapping[str, Mapping[str, _Packed]]


@dataclass(frozen=True)
class StoredModel:
    """
    One model of a baseline's file.

    Attributes:
        measured: as from results.
        history: the oldest entry first.
    """

    measured: Measured
    history: Sequence[HistoryEntry]


def read_baseline_file(path: Path, suite: Suite) -> dict[str, StoredModel]:
    """
    The models of a baseline's file, by name.

    Args:
        suite: that it must be of; what it says decides what is missing.

    Raises:
        BadInput: it is broken, of a newer format or of another suite, or its scores per query do
            not belong to its figures (all faults named).
    """
    document = _document(path, suite)
    faults: list[Fault] = []
    unpacked = _Unpacked(document, path, faults)
    found = {}
    for name, model in document.models.items():
        faults += [
            Fault(f"{path}: models.{name}", f"has {_key(evaluation)} {n} times", _MEND)
            for evaluation, n in Counter(each.evaluation for each in model.evaluations).items()
            if n > 1
        ]
        evaluations = {
            each.evaluation: Measurement(each.score, each.provenance, unpacked.of(name, each))
            for each in model.evaluations
        }
        missing = [label for task in suite.tasks for label in missing_of(task, evaluations)]
        measured = Measured(name, model.revision, model.settings, evaluations, missing)
        found[name] = StoredModel(measured, model.history)
    faults += unpacked.strangers()
    if faults:
        raise BadInput(shortened(faults, str(path)))
    return found


def as_text(suite: Suite, models: Mapping[str, StoredModel]) -> str:
    """The file; the same models make the same text."""
    queries: dict[str, str] = {}
    scores: dict[str, dict[str, Any]] = {}
    blocks = []
    for name, model in sorted(models.items()):
        stored = model.measured
        ordered = sorted(stored.evaluations.items(), key=lambda each: _place(each[0]))
        lines = [_line(_figures(evaluation, found)) for evaluation, found in ordered]
        entries = [_line(entry.model_dump()) for entry in model.history]
        blocks.append(
            f"  {_line(name)}: {{\n"
            f'   "revision": {_line(stored.revision)},\n'
            f'   "settings": {_line(dict(stored.settings))},\n'
            f'   "average": {_line(average_score(suite, values_of(stored)))},\n'
            f'   "evaluations": [\n{_indented(lines)}\n   ],\n'
            f'   "history": [\n{_indented(entries)}\n   ]\n'
            "  }"
        )
        for evaluation, found in ordered:
            if found.queries is not None:
                ids = json.dumps(list(found.queries.ids), ensure_ascii=False).encode()
                values = found.queries.values.astype("<f8").tobytes()
                queries[_sha256(ids)] = _packed(ids)
                scores.setdefault(name, {})[_key(evaluation)] = {
                    "queries": _sha256(ids),
                    "sha256": _sha256(values),
                    "packed": _packed(values),
                }
    packed_ids = [f"  {_line(sha)}: {_line(text)}" for sha, text in sorted(queries.items())]
    packed_scores = [
        f"  {_line(name)}: {{\n"
        + ",\n".join(f"   {_line(key)}: {_line(each)}" for key, each in of_model.items())
        + "\n  }"
        for name, of_model in scores.items()
    ]
    return (
        f'{{\n "format": {FORMAT_VERSION},\n "suite": {_line(suite.name)},\n'
        f' "models": {_object(blocks)},\n "queries": {_object(packed_ids)},\n'
        f' "scores": {_object(packed_scores)}\n}}\n'
    )


def values_of(measured: Measured) -> dict[Evaluation, float]:
    """The scores alone."""
    return {evaluation: found.value for evaluation, found in measured.evaluations.items()}


def _document(path: Path, suite: Suite) -> _Document:
    repeated: dict[str, None] = {}

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                repeated[key] = None
            found[key] = value
        return found

    raw = parse_object(read_json_text(path, _MEND), path, _MEND, pairs_hook=members)
    if repeated:
        faults = [Fault(str(path), f"key '{key}' stands there twice", _MEND) for key in repeated]
        raise BadInput(shortened(faults, str(path)))
    if not isinstance(raw.get("format"), int):
        problem = "has no format version: it is no baseline of granite-bench"
        raise BadInput(Fault(str(path), problem, _MEND))
    if raw["format"] != FORMAT_VERSION:
        problem = f"is of format {raw['format']}, and this release reads {FORMAT_VERSION}"
        raise BadInput(Fault(str(path), problem, "update granite-bench; nothing was changed"))
    try:
        document = _Document.model_validate(raw)
    except ValidationError as error:
        raise BadInput(shortened(faults_of(error, path, _MEND), str(path))) from None
    if document.suite != suite.name:
        problem = f"is a baseline of suite {document.suite}, not of {suite.name}"
        hint = "give the suite or the baseline that belongs to the other"
        raise BadInput(Fault(str(path), problem, hint))
    return document


class _Unpacked:
    """The scores per query of a document, each checked against the figure that it belongs to."""

    def __init__(self, document: _Document, path: Path, faults: list[Fault]) -> None:
        self._scores, self._packed_ids = document.scores, document.queries
        self._path, self._faults = path, faults
        self._ids: dict[str, list[str] | None] = {}
        self._used: set[tuple[str, str]] = set()

    def of(self, model: str, evaluation: _StoredEvaluation) -> QueryScores | None:
        """None where the file has none, or they are refused."""
        key = _key(evaluation.evaluation)
        self._used.add((model, key))
        packed = self._scores.get(model, {}).get(key)
        if packed is None and evaluation.n_queries is None:
            return None
        where = f"scores.{model}.{key}"
        if packed is None:
            self._refuse(where, f"is missing, and there are {evaluation.n_queries:,} queries")
            return None
        ids, content = self._ids_of(packed.queries), _content(packed.packed)
        if content is None or _sha256(content) != packed.sha256:
            self._refuse(where, "is damaged: its SHA-256 is another one")
            return None
        if ids is None:
            return None
        if evaluation.n_queries != len(ids) or len(content) != 8 * len(ids):
            what = f"has {len(content) // 8:,} scores of {len(ids):,} queries"
            self._refuse(where, f"{what}, not of {evaluation.n_queries or 0:,}")
            return None
        values: Floats = np.frombuffer(content, dtype="<f8").astype(np.float64)
        if not abs(float(values.mean()) - evaluation.score) <= 2 * ROUNDING:
            what = f"has a mean of {values.mean():.5f}, and the score is {evaluation.score:.5f}"
            self._refuse(where, what)
            return None
        return QueryScores(ids, values)

    def strangers(self) -> list[Fault]:
        """Scores per query that belong to no figure."""
        return [
            Fault(f"{self._path}: scores.{model}.{key}", "belongs to no evaluation", _MEND)
            for model, of_model in self._scores.items()
            for key in of_model
            if (model, key) not in self._used
        ]

    def _ids_of(self, sha256: str) -> list[str] | None:
        if sha256 not in self._ids:
            content = _content(self._packed_ids.get(sha256, ""))
            if content is None or _sha256(content) != sha256:
                self._refuse(f"queries.{sha256}", "is missing or damaged")
                self._ids[sha256] = None
            else:
                self._ids[sha256] = _ids(content)
                if self._ids[sha256] is None:
                    self._refuse(f"queries.{sha256}", "is no list of different ids")
        return self._ids[sha256]

    def _refuse(self, where: str, what: str) -> None:
        self._faults.append(Fault(f"{self._path}: {where}", what, _MEND))


def _ids(content: bytes) -> list[str] | None:
    """None where they are no ids."""
    try:
        ids = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        return None
    return ids if len(set(ids)) == len(ids) else None


def _figures(evaluation: Evaluation, found: Measurement) -> dict[str, Any]:
    n_queries = None if found.queries is None else len(found.queries.ids)
    return {
        **asdict(evaluation),
        "score": found.value,
        "n_queries": n_queries,
        **asdict(found.provenance),
    }


def _place(evaluation: Evaluation) -> tuple[str, ...]:
    return evaluation.task, evaluation.split, evaluation.subset, evaluation.metric


def _key(evaluation: Evaluation) -> str:
    return f"{evaluation.label} {evaluation.metric}"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _indented(lines: Sequence[str]) -> str:
    return ",\n".join(f"    {line}" for line in lines)


def _object(members: Sequence[str]) -> str:
    return "{\n" + ",\n".join(members) + "\n }" if members else "{}"


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


def _content(packed: str) -> bytes | None:
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(base64.b64decode(packed, validate=True), _LARGEST)
    except (ValueError, zlib.error):
        return None
    return content if unpacking.eof else None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
