"""One call of `granite-bench speed`: models and settings under one protocol, measured and kept."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from granite_bench.errors import BadInput, Fault, GraniteBenchError, TaskError
from granite_bench.speed.protocol import Protocol
from granite_bench.speed.record import describe, require_writable, save
from granite_bench.speed.settings import Settings, labels
from granite_bench.speed.subject import Subject, load_subject
from granite_bench.speed.turns import Measurement, Say, measure_in_turns
from granite_bench.speed.workload import Workload, documents_of, workload_for


@dataclass(frozen=True)
class Session:
    """
    What was measured together.

    Attributes:
        measurements, records, paths: of each model and setting, in the same order; a record is
            what the file at its path says.
    """

    measurements: Sequence[Measurement]
    records: Sequence[dict[str, Any]]
    paths: Sequence[Path]


def measure_speed(
    models: Sequence[str],
    protocol: Protocol,
    settings: Sequence[Settings],
    *,
    out: Path,
    repeats: int | None = None,
    mirror: Path | None = None,
    trusted: Sequence[str] = (),
    say: Say = lambda line: None,
) -> Session:
    """
    Measure every model under every setting; all take turns in this process.

    Args:
        models: ids, folders, or untrained: with a geometry.
        settings: see settings.vary; all on one device.
        repeats: turns; None is the protocol's number.
        out: the results folder that records go to.
        trusted: "name@revision" of models whose own code may run.

    Raises:
        BadInput: models, settings or documents with faults (all that are found).
        StorageError: *out* cannot be written, which is found out before anything is measured.
    """
    _require_sense(protocol, settings, repeats)
    if repeats:
        protocol = protocol.changed(repeats=repeats)
    prepared = _prepare(
        list(dict.fromkeys(models)), protocol, settings, mirror, tuple(trusted), say
    )
    require_writable(out)
    measured = measure_in_turns(prepared, repeats=protocol.repeats, say=say)
    date = datetime.datetime.now(datetime.UTC)
    records = [describe(each, date=date, turns=measured) for each in measured]
    return Session(measured, records, [save(record, out) for record in records])


def _require_sense(protocol: Protocol, settings: Sequence[Settings], repeats: int | None) -> None:
    """Raises BadInput for what would change nothing, or measure nothing."""
    faults = []
    if protocol.kind == "queries":
        if any(each.batch_size or each.token_budget for each in settings):
            faults.append(Fault("--batch-size", "queries are encoded one at a time"))
        most = (protocol.n_queries or 0) // 2
        if repeats and repeats > most:
            problem = f"{repeats:,} turns are too many for {protocol.n_queries:,} queries"
            faults.append(Fault("--repeats", problem, f"{most:,} at most"))
    if faults:
        raise BadInput(faults)


def _prepare(
    models: Sequence[str],
    protocol: Protocol,
    settings: Sequence[Settings],
    mirror: Path | None,
    trusted: tuple[str, ...],
    say: Say,
) -> list[tuple[Subject, Workload]]:
    """Every model under every setting, with its texts; a model is loaded once for all batches."""
    documents = documents_of(protocol, settings[0].device, mirror)
    loaded: dict[tuple[str, Settings], Subject] = {}
    prepared: list[tuple[Subject, Workload]] = []
    faults: list[Fault] = []
    for name in models:
        for label, each in zip(labels(name, settings), settings, strict=True):
            key = name, each.as_loaded
            try:
                if key not in loaded:
                    say(f"loading {label}")
                    loaded[key] = load_subject(
                        name, each, label=label, mirror=mirror, trusted=trusted
                    )
                subject = replace(loaded[key], label=label, settings=each)
                prepared.append((subject, workload_for(subject, protocol, documents, mirror)))
            except BadInput as error:
                faults += [fault for fault in error.faults if fault not in faults]
            except GraniteBenchError:
                raise
            except Exception as error:  # whatever a model's own code raises
                raise TaskError(f"loading {label}: {type(error).__name__}: {error}") from error
    if faults:
        raise BadInput(faults)
    return prepared
