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
    warnings: Sequence[str] = (),
    date: str = "2026-11-21T08:00:00+00:00",
) -> dict[str, Any]:
    """
    What a speed record holds: 30 documents, three passes.

    Args:
        chunks, docs: medians, per second; chunks of None writes no summary.
        identity: of the protocol; version 1 of its name when None.
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
        "format": 1,
        "date": date,
        "protocol": {
            "name": protocol,
            "version": 1,
            "identity": identity or f"{protocol}/1:ab12cd34ef56",
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
            "threads": 4,
        },
        "hardware": dict(hardware),
        "packages": {},
        "passes": [] if summary is None else [one_pass] * 3,
        "summary": summary,
        "latency": None if latency is None else dict(latency),
        "comparison": None,
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
