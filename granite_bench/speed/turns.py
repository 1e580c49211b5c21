"""Models that take turns: A B A B, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from granite_bench.results.speed_comparison import Ratio
from granite_bench.speed.measure import (
    WARM_UP_QUERIES,
    Latency,
    Pass,
    WarmUp,
    matrix_product_peak,
    measure_latency,
    run_pass,
    warm_up,
)
from granite_bench.speed.ratio import paired_ratio
from granite_bench.speed.subject import Subject
from granite_bench.speed.workload import Workload

Say = Callable[[str], None]


@dataclass
class Measurement:
    """
    One model under one protocol.

    Attributes:
        passes: one per turn; none for the protocol of queries.
        latencies: one per turn; none for other protocols.
        peak_flops: of a plain matrix product on the same device in the same dtype, operations a
            second, the best of before and after.
        turns_id: shared by the models that took turns; None for a model alone.
        position: in each turn, from 0.
    """

    subject: Subject
    workload: Workload
    warm_up: WarmUp | None = None
    passes: list[Pass] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    peak_flops: float = 0.0
    turns_id: str | None = None
    position: int = 0


def measure_in_turns(
    subjects: Sequence[tuple[Subject, Workload]], *, repeats: int, say: Say
) -> list[Measurement]:
    """
    Measure all of them, *repeats* turns, after each was warmed up.

    Args:
        subjects: models with what they encode under one protocol.
        say: told one line per step.
    """
    together = uuid.uuid4().hex[:12] if len(subjects) > 1 else None
    found = [
        Measurement(subject, workload, turns_id=together, position=position)
        for position, (subject, workload) in enumerate(subjects)
    ]
    _measure_peaks(found)
    for each in found:
        if each.workload.protocol.kind == "queries":
            continue
        say(f"warming up {each.subject.label}")
        each.warm_up = warm_up(each.subject, each.workload)
    for turn in range(repeats):
        for each in found:
            _take_turn(each, turn, repeats)
            say(f"turn {turn + 1} of {repeats}: {each.subject.label}: {_said(each)}")
    _measure_peaks(found)
    return found


def ratio_of(one: Measurement, other: Measurement) -> tuple[Ratio, str]:
    """The speed of one to that of another, turn by turn, in the unit (see common_unit) a second."""
    unit = common_unit(one, other)
    return paired_ratio(_speeds(one, unit), _speeds(other, unit)), unit


def common_unit(one: Measurement, other: Measurement) -> str:
    """
    What both do alike: queries; texts, where they have the same ones; documents, where both were
    cut from documents; else tokens, since the texts differ.
    """
    if one.latencies:
        return "queries"
    if one.workload.texts == other.workload.texts:
        return "texts"
    if None not in (one.workload.n_documents, other.workload.n_documents):
        return "documents"
    return "tokens"


def _speeds(measured: Measurement, unit: str) -> list[float]:
    if unit == "queries":
        return [1000 / each.encode_and_search_ms()["p50"] for each in measured.latencies]
    return [
        {"texts": each.n_texts, "documents": each.n_documents or 0, "tokens": each.n_tokens}[unit]
        / each.seconds
        for each in measured.passes
    ]


def _take_turn(each: Measurement, turn: int, repeats: int) -> None:
    workload = each.workload
    if workload.protocol.kind != "queries":
        each.passes.append(run_pass(each.subject, workload))
        return
    # Each turn has queries of its own, and some to warm up with before them.
    own = workload.texts[turn::repeats]
    queries = [*workload.texts[:WARM_UP_QUERIES], *own]
    each.latencies.append(measure_latency(each.subject, workload, queries))


def _measure_peaks(measured: Sequence[Measurement]) -> None:
    peaks: dict[tuple[str, str], float] = {}
    for each in measured:
        backend = each.subject.backend
        key = backend.device, backend.dtype
        if key not in peaks:
            peaks[key] = matrix_product_peak(*key)
        each.peak_flops = max(each.peak_flops, peaks[key])


def _said(each: Measurement) -> str:
    if each.latencies:
        return f"{each.latencies[-1].encode_and_search_ms()['p50']:.1f} ms a query"
    last = each.passes[-1]
    unit, count = ("documents", last.n_documents) if last.n_documents else ("texts", last.n_texts)
    return f"{count / last.seconds:,.2f} {unit}/s"
