"""
A candidate's speed to that of the baseline's model, both loaded here and measured in turns.

Speeds of another day or machine are never held against each other. Dimension and precision of
embeddings change no speed of encoding, so variants of one loaded model are measured once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from granite_bench.errors import BadInput, GraniteBenchError
from granite_bench.results.speed_comparison import Ratio
from granite_bench.speed.protocol import Protocol
from granite_bench.speed.settings import Settings
from granite_bench.speed.subject import load_subject
from granite_bench.speed.turns import measure_in_turns, ratio_of
from granite_bench.speed.workload import documents_of, workload_for

_OF_OTHERS = ("backend", "backend_file", "endpoint", "first_stage")
"""Settings of models that granite-bench speed does not measure: exported, served, reranking."""


@dataclass(frozen=True)
class Side:
    """
    One of the two models that are measured in turns.

    Attributes:
        name: what the model is called in results.
        argument: what it is loaded by: an id, or a folder.
        revision: that it must have; None where it is whatever is loaded.
        settings: of the variant.
    """

    name: str
    argument: str
    revision: str | None
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class SharedOptions:
    """
    What both sides run under.

    Attributes:
        device: torch's name.
        padding, compile: as for engine.backend.SentenceTransformersBackend.
        mirror: where `org/name` models lie on disk.
        trusted: "name@revision" of models whose own code may run.
    """

    protocol: Protocol
    device: str
    padding: bool | None
    compile: bool
    mirror: Path | None
    trusted: tuple[str, ...]


def speed_ratio(
    candidate: Side,
    baseline: Side,
    options: SharedOptions,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Ratio, str] | str:
    """
    Measure both in turns; the same model twice is measured all the same.

    Returns:
        The candidate's speed to the baseline's, and what was counted per second; or why that
        cannot be measured.
    """
    sides = (("the candidate", candidate), ("the baseline", baseline))
    for _, side in sides:
        other = [name for name in _OF_OTHERS if name in side.settings]
        if other:
            return f"{side.name} has {other[0]}, which granite-bench speed does not measure"
    try:
        prepared = []
        documents = documents_of(options.protocol, options.device, options.mirror)
        for role, side in sides:
            label = f"{role} {side.name}"
            say(f"loading {label}")
            subject = load_subject(
                side.argument,
                _settings(side, options),
                label=label,
                mirror=options.mirror,
                trusted=options.trusted,
            )
            if side.revision is not None and subject.revision != side.revision:
                return (
                    f"{side.argument} is revision {str(subject.revision)[:12]} here, and {role} is "
                    f"{side.revision[:12]}; name its folder with --speed-against"
                )
            workload = workload_for(subject, options.protocol, documents, options.mirror)
            prepared.append((subject, workload))
        measured = measure_in_turns(prepared, repeats=options.protocol.repeats, say=say)
    except GraniteBenchError as error:
        faults = error.faults if isinstance(error, BadInput) else ()
        return "; ".join(f"{fault.where}: {fault.what}" for fault in faults) or str(error)
    except Exception as error:  # noqa: BLE001 (whatever a model's own code raises)
        return f"{type(error).__name__}: {error}"
    return ratio_of(measured[0], measured[1])


def _settings(side: Side, options: SharedOptions) -> Settings:
    return Settings(
        options.device,
        dtype=side.settings.get("dtype"),
        max_length=side.settings.get("max_length"),
        padding=options.padding,
        compile=options.compile,
    )
