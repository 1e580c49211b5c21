"""
Speed records, made by hand, for tests of the reading side.

    write_speed(root, "org/a", chunks=1500.0)

writes what granite-bench speed leaves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results_tree import CPU

LATENCY = {
    "n_queries": 200,
    "encode_ms": {"p50": 4.0, "p90": 5.0, "p95": 6.0, "p99": 9.0},
    "encode_and_search_ms": {"p50": 14.0, "p90": 15.0, "p95": 16.0, "p99": 19.0},
    "n_documents_searched": 10_000,
}


def spread(median: float) -> dict[str, float]:
    """A figure and what it lies between: 2 percent to either side."""
    return {"median": median, "least": 0.98 * median, "most": 1.02 * median}


def turns_content(position: int, label: str, **others: tuple[float, float, float]) -> Any:
    """
    What a record says of the turns that it was measured in: three of them, in texts per second.

    Args:
        others: label, with _ for /, -> ratio, and the ends of its interval.
    """
    ratios = [
        {
            "position": place + (place >= position),
            "label": other.replace("_", "/"),
            "model": other.replace("_", "/"),
            "revision": "rev-1",
            "settings": {"dtype": "float32"},
            "unit": "texts",
            "ratio": {
                "value": value, "low": low, "high": high, "confidence": 0.95, "n_pairs": 3,
            },
        }
        for place, (other, (value, low, high)) in enumerate(others.items())
    ]  # fmt: skip
    return {"id": "0123456789ab", "position": position, "label": label, "ratios": ratios}


def speed_content(
    model: str,
    *,
    chunks: float | None = 1000.0,
    docs: float | None = 100.0,
    latency: Mapping[str, Any] | None = None,
    protocol: str = "chunks-512",
    identity: str | None = None,
    corpus: str = "synthetic",
    n_chunks: int = 300,
    dtype: str = "float32",
    hardware: Mapping[str, Any] = CPU,
    revision: str | None = "rev-1",
    untrained: bool = False,
    max_length: int | None = 512,
    threads: int = 4,
    comparison: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
    date: str = "2026-11-21T08:00:00+00:00",
) -> dict[str, Any]:
    """
    What a speed record holds: 30 documents, three passes.

    Args:
        chunks, docs: medians, per second; chunks of None writes no summary.
        identity: of the protocol; version 2 of its name when None.
        comparison: see turns_content; None for a model alone.
    """
    summary = None
    if chunks is not None:
        summary = {
            "documents_per_second": None if docs is None else spread(docs),
            "chunks_per_second": spread(chunks),
            "tokens_per_second": spread(400 * chunks),
            "share_of_peak": None,
        }
    one_pass = {"seconds": 0.3, "n_documents": 30, "n_chunks": n_chunks, "n_tokens": 400 * n_chunks}
    return {
        "format": 2,
        "date": date,
        "protocol": {
            "name": protocol,
            "version": 2,
            "identity": identity or f"{protocol}/2:ab12cd34ef56",
            "settings": {},
        },
        "corpus": {"kind": corpus, "name": corpus, "n_documents": 30, "n_chunks": n_chunks},
        "model": {
            "name": model,
            "revision": revision,
            "content_sha256": None,
            "untrained": untrained,
            "n_parameters": 1000,
        },
        "settings": {
            "device": "cpu",
            "dtype": dtype,
            "backend": "padded",
            "attention": "sdpa",
            "batches": "up to 128 texts",
            "max_length": max_length,
            "prompt": "",
            "threads": threads,
        },
        "hardware": dict(hardware),
        "packages": {},
        "passes": [] if summary is None else [one_pass] * 3,
        "summary": summary,
        "latency": None if latency is None else dict(latency),
        "comparison": None if comparison is None else dict(comparison),
        "warnings": list(warnings),
    }


def write_speed(
    root: Path, model: str, *, name: str = "20261121T080000Z-ab12cd.json", **of: Any
) -> Path:
    """
    A speed record below a results root.

    Args:
        name: of the file.
        of: see speed_content.
    """
    content = speed_content(model, **of)
    folder = root / "speed" / model.replace("/", "__") / content["protocol"]["name"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(content))
    return path
