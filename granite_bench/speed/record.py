"""What a measurement of speed leaves behind: one JSON file, read again by speed_records."""

from __future__ import annotations

import datetime
import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from granite_bench.files.local import as_one_name, write_atomically
from granite_bench.provenance import code_revision, hardware, package_versions
from granite_bench.results.speed_comparison import SpeedComparison, Turns
from granite_bench.results.speed_records import SPEED, SPEED_FORMAT
from granite_bench.results.tree import results_root
from granite_bench.speed.counters import warnings
from granite_bench.speed.measure import Pass, percentiles_ms
from granite_bench.speed.turns import Measurement, ratio_of

NOISY = 0.1
"""Passes that differ by more than this share of their median make a measurement noisy."""


def describe(
    measured: Measurement, *, date: datetime.datetime, turns: Sequence[Measurement] = ()
) -> dict[str, Any]:
    """
    The record of one model's measurement, JSON-serialisable (read by speed_records).

    Args:
        turns: all that took turns, this one among them; none for a model alone.
    """
    subject, backend = measured.subject, measured.subject.backend
    workload, protocol = measured.workload, measured.workload.protocol
    return {
        "format": SPEED_FORMAT,
        "date": date.isoformat(timespec="seconds"),
        "protocol": {
            "name": protocol.name,
            "version": protocol.version,
            "identity": protocol.identity,
            "settings": protocol.settings(),
        },
        "corpus": asdict(workload.corpus),
        "model": {
            "name": subject.name,
            "revision": subject.revision,
            "content_sha256": subject.content_sha256,
            "untrained": subject.is_untrained,
            "n_parameters": subject.n_parameters,
            "geometry": None if subject.geometry is None else asdict(subject.geometry),
        },
        "settings": _settings(measured),
        "hardware": hardware(backend.device),
        "packages": package_versions(),
        "code_revision": code_revision(),
        "model_load_seconds": subject.load_seconds,
        "warm_up": None if measured.warm_up is None else asdict(measured.warm_up),
        "passes": [_pass(each) for each in measured.passes],
        "summary": _summary(measured) if measured.passes else None,
        "latency": _latency(measured),
        "comparison": _comparison(measured, turns),
        "warnings": _warnings(measured),
    }


def require_writable(out: Path) -> None:
    """
    Find out before minutes of measuring whether records can be written below *out*.

    Raises:
        StorageError: the place cannot be written.
    """
    probe = results_root(out) / SPEED / ".writable"
    write_atomically(probe, b"")
    probe.unlink(missing_ok=True)


def save(record: Mapping[str, Any], out: Path) -> Path:
    """
    Write a record below *out*, where table and report look for it.

    Raises:
        StorageError: the place cannot be written.
    """
    content = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False).encode()
    model, protocol = str(record["model"]["name"]), str(record["protocol"]["name"])
    moment = datetime.datetime.fromisoformat(record["date"]).strftime("%Y%m%dT%H%M%SZ")
    name = f"{moment}-{hashlib.sha256(content).hexdigest()[:6]}.json"
    folder = results_root(out) / SPEED / as_one_name(model)
    path = folder / as_one_name(protocol).replace(":", "_") / name
    write_atomically(path, content)
    return path


def _settings(measured: Measurement) -> dict[str, Any]:
    """As they were in force."""
    subject, backend = measured.subject, measured.subject.backend
    return {
        "device": backend.device,
        "dtype": backend.dtype,
        "backend": backend.name,
        "attention": backend.attention,
        "padding": backend.pads,
        "batches": _batches(measured),
        "max_length": backend.max_length,
        "tokenizer": "the model's own" if subject.tokenizer else "none: a word is a token",
        "prompt": measured.workload.instruction.prompt,
        "threads": torch.get_num_threads(),
    }


def _comparison(measured: Measurement, turns: Sequence[Measurement]) -> dict[str, Any] | None:
    if measured.turns_id is None:
        return None
    return Turns(
        id=measured.turns_id,
        position=measured.position,
        label=measured.subject.label,
        ratios=[_compared(measured, each) for each in turns if each is not measured],
    ).model_dump()


def _compared(one: Measurement, other: Measurement) -> SpeedComparison:
    ratio, unit = ratio_of(one, other)
    return SpeedComparison(
        position=other.position,
        label=other.subject.label,
        model=other.subject.name,
        revision=other.subject.revision,
        settings=_settings(other),
        unit=unit,
        ratio=ratio,
    )


def _pass(each: Pass) -> dict[str, Any]:
    return {
        "seconds": each.seconds,
        "model_seconds": each.model_seconds,
        "n_documents": each.n_documents,
        "n_chunks": each.n_texts,
        "n_tokens": each.n_tokens,
        "n_tokens_padded": each.n_tokens_padded,
        "budget_cuts": each.budget_cuts,
        "counters": each.counters.as_dict(),
    }


def _summary(measured: Measurement) -> dict[str, Any]:
    passes = measured.passes
    speeds: dict[str, Callable[[Pass], float | None]] = {
        "documents_per_second": lambda p: p.n_documents and p.n_documents / p.seconds,
        "chunks_per_second": lambda p: p.n_texts / p.seconds,
        "tokens_per_second": lambda p: p.n_tokens / p.seconds,
        "padded_tokens_per_second": lambda p: p.n_tokens_padded / p.seconds,
        "model_chunks_per_second": lambda p: p.model_seconds and p.n_texts / p.model_seconds,
    }
    summary: dict[str, Any] = {
        name: _spread([value for each in passes if (value := of(each)) is not None])
        for name, of in speeds.items()
    }
    flops = passes[0].flops
    achieved = None if flops is None else flops / statistics.median(p.seconds for p in passes)
    summary["achieved_tflops"] = None if achieved is None else achieved / 1e12
    summary["peak_tflops"] = measured.peak_flops / 1e12
    summary["share_of_peak"] = None if achieved is None else achieved / measured.peak_flops
    summary["joules_per_1000_documents"] = _joules_per(1000, passes, lambda p: p.n_documents)
    summary["joules_per_million_tokens"] = _joules_per(10**6, passes, lambda p: p.n_tokens)
    for name in ("allocator_bytes_peak", "memory_bytes_peak", "resident_bytes_peak"):
        peaks = [peak for p in passes if (peak := getattr(p.counters, name)) is not None]
        # Of models that took turns, all are in memory at once.
        summary[name] = max(peaks, default=None) if measured.turns_id is None else None
    return summary


def _joules_per(
    unit: int, passes: Sequence[Pass], count: Callable[[Pass], int | None]
) -> float | None:
    """Median over the passes; None where one was not measured, or there is nothing to count."""
    each = [
        unit * one.counters.energy_joules / n
        for one in passes
        if one.counters.energy_joules is not None and (n := count(one))
    ]
    return statistics.median(each) if len(each) == len(passes) else None


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def _latency(measured: Measurement) -> dict[str, Any] | None:
    """The queries of all turns together, and of each."""
    turns = measured.latencies
    if not turns:
        return None
    encode = [seconds for turn in turns for seconds in turn.encode_seconds]
    both = [seconds for turn in turns for seconds in turn.both_seconds]
    return {
        "n_queries": len(encode),
        "encode_ms": percentiles_ms(encode),
        "encode_and_search_ms": percentiles_ms(both),
        "n_documents_searched": turns[0].n_documents_searched,
        "turns": [
            {
                "encode_ms": each.encode_ms(),
                "encode_and_search_ms": each.encode_and_search_ms(),
                "counters": each.counters.as_dict(),
            }
            for each in turns
        ],
    }


def _batches(measured: Measurement) -> str:
    protocol = measured.workload.protocol
    if protocol.kind == "queries":
        return "1 text"
    limits = []
    if protocol.batch_size is not None:
        limits.append(f"{protocol.batch_size} texts")
    if protocol.token_budget is not None:
        limits.append(f"{protocol.token_budget} padded tokens")
    return f"up to {' and '.join(limits)}, longest first"


def _warnings(measured: Measurement) -> list[str]:
    found = list(measured.workload.remarks)
    # Of each kind the first: every pass words it with figures of its own, which are in the record.
    kinds: dict[str, str] = {}
    counters = [each.counters for each in measured.passes]
    counters += [each.counters for each in measured.latencies]
    for counted in counters:
        for text in warnings(counted):
            kinds.setdefault(text.partition(":")[0], text)
    found += kinds.values()
    times = [each.seconds for each in measured.passes]
    times += [each.encode_and_search_ms()["p50"] for each in measured.latencies]
    spread = (max(times) - min(times)) / statistics.median(times)
    if spread > NOISY:
        what = "passes' seconds" if measured.passes else "turns' median latencies"
        found.append(
            f"noisy: {len(times)} {what} differ by {spread:.0%} of their median, "
            f"more than {NOISY:.0%}"
        )
    if len(times) == 1:
        found.append("one turn: how far others would be apart is not known")
    if any(each.budget_cuts for each in measured.passes):
        found.append("noisy: the memory was too small for the batches, and they were cut")
    if measured.warm_up is not None and not measured.warm_up.is_steady:
        found.append(f"noisy: not steady after {measured.warm_up.n_passes} passes to warm up")
    return found
