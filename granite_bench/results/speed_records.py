"""
results/speed/ -> SpeedRecord: the reading side of *granite-bench speed*, free of torch and mteb.

    results/speed/<model>/<protocol>/<date>-<6 hex>.json    one measurement

Two figures may be compared, or stand in one column, only under the same Conditions (of
speed_columns). A model that was measured several times under them has one figure there: see
latest().
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from granite_bench.errors import BadInput, Fault
from granite_bench.files.json_file import parse_object, read_json_text
from granite_bench.files.local import is_file
from granite_bench.files.validation import faults_of
from granite_bench.results.speed_columns import Conditions, device_label
from granite_bench.results.speed_comparison import Turns
from granite_bench.results.tree import results_root

SPEED_FORMAT = 2
"""Format 1 had no ratios of what took turns, and texts went without the model's prompt."""

SPEED = "speed"
"""The folder of the records, beside the folders of models."""

FIXED_LENGTHS = "lengths"
TASK = "task"
"""Kinds of corpora: texts of one length; the documents of a task as they are."""

SPOILING = ("throttled", "shared", "noisy")
"""What warnings start with that spoil a figure; others say what there is to know of it."""

_MEND = "remove it, and measure again with granite-bench speed"


@dataclass(frozen=True)
class Spread:
    """A figure of several passes: their median, and what it lies between."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Latency:
    """
    Milliseconds of single queries, one at a time.

    Attributes:
        p50_ms, p95_ms: from a query's text to its embedding.
        search_p50_ms, search_p95_ms: from its text to its ranking; None where not measured.
        n_documents_searched: what the ranking is over.
    """

    n_queries: int
    p50_ms: float
    p95_ms: float
    search_p50_ms: float | None
    search_p95_ms: float | None
    n_documents_searched: int | None


@dataclass(frozen=True)
class SpeedRecord:
    """
    One measurement of one model.

    Attributes:
        path: the JSON file.
        date: when it was made.
        revision, content_sha256: which weights; None for a model without files.
        untrained: random weights of a model's shape, whose quality nobody has.
        corpus: its kind; *task*, *lengths* and others.
        settings: device, dtype, backend, batches, max_length and so on, as measured.
        n_passes: how many the figures are the median of; 0 for latencies.
        throughput: unit ("docs/s", "chunks/s", "texts/s") -> figure, tokenisation included;
            empty for latencies. The documents of a task are not cut into chunks.
        latency: of single queries; None for other protocols.
        turns: with what it was compared; None for a measurement alone.
        warnings: what a reader must know; some of it spoils the figure.
        content: all that the file says.
    """

    path: Path
    date: datetime
    conditions: Conditions
    model: str
    revision: str | None
    content_sha256: str | None
    untrained: bool
    corpus: str
    settings: Mapping[str, Any]
    n_passes: int
    throughput: Mapping[str, Spread]
    latency: Latency | None
    turns: Turns | None
    warnings: Sequence[str]
    content: Mapping[str, Any]

    @property
    def spoilt(self) -> bool:
        """Whether the measurement was throttled, shared or noisy."""
        return any(warning.startswith(SPOILING) for warning in self.warnings)

    def is_of(
        self, model: str, revision: str, settings: Mapping[str, Any], max_length: int | None
    ) -> bool:
        """
        Whether this is the speed of a row of results.

        The dimension and precision that vectors are kept in change nothing of the time that a
        model takes, and a protocol that makes the texts itself says at which length. What does
        change it must agree: the dtype, where the row names one, and the maximum length where
        the texts are the documents of a task. An exported file and a server have speeds of their
        own, which *granite-bench speed* does not measure.

        Args:
            model: the row's name without its settings; a mark of the checkpoint may follow.
            revision: the row's; empty for a row without results.
            settings: what makes the row a variant of the model.
            max_length: tokens that its texts are cut to; None where nobody knows.
        """
        if self.untrained or settings.keys() & _COMPUTED_ELSEWHERE:
            return False
        if settings.get("dtype", self.conditions.dtype) != self.conditions.dtype:
            return False
        own = self.settings.get("max_length")
        if self.corpus == TASK and None not in (own, max_length) and own != max_length:
            return False
        if self.model.startswith("local/") and revision:  # folders of one name, but not one content
            return self.revision == revision and self.model == _without_mark(model, revision)
        return self.model == model


_COMPUTED_ELSEWHERE = {"backend", "endpoint"}
"""Settings of a variant that torch does not compute."""


def _without_mark(model: str, revision: str) -> str:
    return model.removesuffix(f" @{revision[:7]}")


def read_speed_records(folder: Path) -> list[SpeedRecord]:
    """
    Every speed record below a results folder, sorted by path; none where nothing was measured.

    Args:
        folder: a results folder, or the folder above one that is called results.

    Raises:
        BadInput: files are broken, or of a newer format (all of them named).
    """
    faults: list[Fault] = []
    records: list[SpeedRecord] = []
    for path in sorted(filter(is_file, (results_root(folder) / SPEED).glob("*/*/*.json"))):
        try:
            records.append(_read(path))
        except BadInput as error:
            faults += error.faults
    if faults:
        raise BadInput(faults)
    return records


def latest(records: Iterable[SpeedRecord]) -> list[SpeedRecord]:
    """
    One record per model and conditions: the last that nothing spoilt, else the last; of those that
    took turns, the first named. Of the documents of a task, there is one per maximum length.

    Local folders of one name and different content are different models, as in a table.
    """
    chosen: dict[tuple[Any, ...], SpeedRecord] = {}
    for record in sorted(records, key=_merit):
        checkpoint = record.revision if record.model.startswith("local/") else None
        length = record.settings.get("max_length") if record.corpus == TASK else None
        chosen[record.conditions, record.model, record.untrained, checkpoint, length] = record
    return sorted(chosen.values(), key=lambda r: (r.conditions, r.model, r.date, str(r.path)))


def _merit(record: SpeedRecord) -> tuple[bool, datetime, int, str]:
    position = 0 if record.turns is None else record.turns.position
    return not record.spoilt, record.date, -position, str(record.path)


# --- a file -----------------------------------------------------------------------------------


class _Part(BaseModel):
    """Keys that are not read here may stand in a record; those that are must be right."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


_Positive = Annotated[float, Field(gt=0)]
_Name = Annotated[str, Field(min_length=1)]


class _Protocol(_Part):
    name: _Name
    identity: _Name
    settings: dict[str, Any]


class _Corpus(_Part):
    kind: _Name


class _Model(_Part):
    name: _Name
    revision: str | None
    content_sha256: str | None
    untrained: bool


class _Settings(_Part):
    dtype: _Name
    max_length: int | None
    threads: int | None = None


class _Hardware(_Part):
    cpu: str
    cores: int | None
    device_name: str | None = None


class _Spread(_Part):
    median: _Positive
    least: _Positive
    most: _Positive

    @model_validator(mode="after")
    def _in_order(self) -> _Spread:
        if not self.least <= self.median <= self.most:
            raise PydanticCustomError("order", "must have least <= median <= most")
        return self


class _Percentiles(_Part):
    p50: _Positive
    p95: _Positive


class _Latency(_Part):
    n_queries: int
    encode_ms: _Percentiles
    encode_and_search_ms: _Percentiles | None
    n_documents_searched: int | None


class _Summary(_Part):
    documents_per_second: _Spread | None
    chunks_per_second: _Spread


class _Record(_Part):
    date: AwareDatetime
    protocol: _Protocol
    corpus: _Corpus
    model: _Model
    settings: _Settings
    hardware: _Hardware
    passes: list[dict[str, Any]]
    summary: _Summary | None
    latency: _Latency | None
    comparison: Turns | None
    warnings: list[str]

    @model_validator(mode="after")
    def _measured(self) -> _Record:
        if self.summary is None and self.latency is None:
            raise PydanticCustomError("empty", "must have a summary, or a latency")
        return self


def _read(path: Path) -> SpeedRecord:
    text = read_json_text(path, _MEND)
    content = parse_object(text, path, _MEND)
    found = content.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        what = "is no speed record: it has no 'format'"
        raise BadInput(Fault(str(path), what, "move it out of the speed folder"))
    if found > SPEED_FORMAT:
        what = f"is of format {found}, written by a newer granite-bench (this one reads "
        hint = "update granite-bench, or use another results folder; nothing was changed"
        raise BadInput(Fault(str(path), f"{what}{SPEED_FORMAT})", hint))
    try:
        # As JSON: in strict mode a text is no date, and a list is no tuple.
        return _record(path, _Record.model_validate_json(text), content)
    except ValidationError as error:
        raise BadInput(faults_of(error, path, _MEND)) from None


def _record(path: Path, parts: _Record, content: Mapping[str, Any]) -> SpeedRecord:
    return SpeedRecord(
        path=path,
        date=parts.date,
        conditions=Conditions(
            parts.protocol.name,
            parts.protocol.identity,
            device_label(content["hardware"], parts.settings.threads),
            parts.settings.dtype,
            tuple((name, str(value)) for name, value in sorted(parts.protocol.settings.items())),
        ),
        model=parts.model.name,
        revision=parts.model.revision,
        content_sha256=parts.model.content_sha256,
        untrained=parts.model.untrained,
        corpus=parts.corpus.kind,
        settings=content["settings"],
        n_passes=len(parts.passes),
        throughput=_throughput(parts),
        latency=_latency(parts.latency),
        turns=parts.comparison,
        warnings=tuple(parts.warnings),
        content=content,
    )


def _throughput(parts: _Record) -> dict[str, Spread]:
    if parts.latency is not None or parts.summary is None:
        return {}
    documents, chunks = parts.summary.documents_per_second, parts.summary.chunks_per_second
    if parts.corpus.kind == FIXED_LENGTHS or documents is None:
        named = {"texts/s": chunks}
    elif parts.corpus.kind == TASK:
        named = {"docs/s": documents}
    else:
        named = {"docs/s": documents, "chunks/s": chunks}
    return {unit: Spread(each.median, each.least, each.most) for unit, each in named.items()}


def _latency(found: _Latency | None) -> Latency | None:
    if found is None:
        return None
    searched = found.encode_and_search_ms
    return Latency(
        n_queries=found.n_queries,
        p50_ms=found.encode_ms.p50,
        p95_ms=found.encode_ms.p95,
        search_p50_ms=searched.p50 if searched else None,
        search_p95_ms=searched.p95 if searched else None,
        n_documents_searched=found.n_documents_searched,
    )
