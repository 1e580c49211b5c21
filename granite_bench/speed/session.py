"""One call of `granite-bench speed`: models and settings under one protocol, measured and kept."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granite_bench.errors import BadInput, Fault, GraniteBenchError, TaskError
from granite_bench.speed.protocol import Protocol
from granite_bench.speed.record import describe, save
from granite_bench.speed.subject import Settings, Subject, load_subject
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
    *,
    device: str,
    out: Path,
    dtypes: Sequence[str | None] = (None,),
    max_length: int | None = None,
    batch_sizes: Sequence[int | None] = (None,),
    token_budgets: Sequence[int | None] = (None,),
    padding: bool | None = None,
    compile: bool = False,
    repeats: int | None = None,
    mirror: Path | None = None,
    say: Say = lambda line: None,
) -> Session:
    """
    Measure every model under every setting; all take turns in this process.

    Args:
        models: ids, folders, or untrained: with a geometry.
        dtypes, batch_sizes, token_budgets: each combination is measured; None is the model's
            or the protocol's own.
        padding, compile: as for SentenceTransformersBackend.
        repeats: turns; None is the protocol's number.
        out: the results folder that records go to.

    Raises:
        BadInput: models, settings or documents with faults (all that are found).
        StorageError: a record could not be written.
    """
    combinations = [
        (name, Settings(device, dtype, max_length, batch_size, token_budget, padding, compile))
        for name in dict.fromkeys(models)
        for dtype, batch_size, token_budget in itertools.product(dtypes, batch_sizes, token_budgets)
    ]
    varied = [
        name
        for name, values in (
            ("dtype", dtypes),
            ("batch_size", batch_sizes),
            ("token_budget", token_budgets),
        )
        if len(values) > 1
    ]
    _require_sense(protocol, repeats, padding, compile, device, batch_sizes, token_budgets)
    if repeats:
        protocol = protocol.changed(repeats=repeats)
    documents = documents_of(protocol, device, mirror)
    prepared: list[tuple[Subject, Workload]] = []
    faults: list[Fault] = []
    for name, settings in combinations:
        label = _label(name, settings, varied)
        say(f"loading {label}")
        try:
            subject = load_subject(name, settings, label=label, mirror=mirror)
            prepared.append((subject, workload_for(subject, protocol, documents)))
        except BadInput as error:
            faults += [fault for fault in error.faults if fault not in faults]
        except GraniteBenchError:
            raise
        except Exception as error:  # whatever a model's own code raises
            raise TaskError(f"loading {label}: {type(error).__name__}: {error}") from error
    if faults:
        raise BadInput(faults)
    measured = measure_in_turns(prepared, repeats=protocol.repeats, say=say)
    date = datetime.datetime.now(datetime.UTC)
    records = [describe(each, date=date) for each in measured]
    return Session(measured, records, [save(record, out) for record in records])


def _require_sense(
    protocol: Protocol,
    repeats: int | None,
    padding: bool | None,
    compile: bool,
    device: str,
    batch_sizes: Sequence[int | None],
    token_budgets: Sequence[int | None],
) -> None:
    """Raises BadInput for settings that would change nothing, or measure nothing."""
    faults = []
    if compile and (padding or (padding is None and device == "cpu")):
        faults.append(Fault("--compile", "compiles models without padding only", "--no-padding"))
    if protocol.kind == "queries":
        if batch_sizes != (None,) or token_budgets != (None,):
            faults.append(Fault("--batch-size", "queries are encoded one at a time"))
        most = (protocol.n_queries or 0) // 2
        if repeats and repeats > most:
            problem = f"{repeats:,} turns are too many for {protocol.n_queries:,} queries"
            faults.append(Fault("--repeats", problem, f"{most:,} at most"))
    if faults:
        raise BadInput(faults)


def _label(name: str, settings: Settings, varied: Sequence[str]) -> str:
    own = [f"{each.replace('_', ' ')} {getattr(settings, each)}" for each in varied]
    return f"{name} ({', '.join(own)})" if own else name
