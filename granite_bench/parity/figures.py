"""What a comparison of backends found, as plain records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from granite_bench.devices import BackendName
from granite_bench.results.speed_comparison import Ratio
from granite_bench.stats.bootstrap import ConfidenceInterval


@dataclass(frozen=True)
class Drift:
    """
    How far the vectors of an exported model are from torch's: cosines, in [-1, 1], of every text.

    Attributes:
        n_texts: different texts, documents and queries.
        least, p1, p5, p50, mean: of the cosines; 1% of the texts are below p1.
    """

    n_texts: int
    least: float
    p1: float
    p5: float
    p50: float
    mean: float


@dataclass(frozen=True)
class Quality:
    """
    nDCG@10 on one task, in [0, 1]: the mean over splits and subsets of the mean over queries.

    Attributes:
        difference: of the exported model less torch, query by query; None where a split or subset
            has a single query, which says nothing of how queries vary.
        n_queries, n_changed: queries, and those with another nDCG@10.
    """

    task: str
    torch: float
    exported: float
    difference: ConfidenceInterval | None
    n_queries: int
    n_changed: int


@dataclass(frozen=True)
class Candidate:
    """
    One exported file against torch.

    Attributes:
        name: of the file in the model's folder.
        weights_dtype: the type of most of its weights.
        n_bytes: of the file with its weights.
        overall: of the differences of nDCG@10, the mean over tasks; None where that of a task is.
        speed: texts a second, to torch's.
    """

    backend: BackendName
    name: str
    sha256: str
    weights_dtype: str
    n_bytes: int
    drift: Drift
    quality: Sequence[Quality]
    overall: ConfidenceInterval | None
    speed: Ratio


@dataclass(frozen=True)
class Parity:
    """
    A model in torch, and every exported file of it that was asked for.

    Attributes:
        dtype, n_bytes: of the weights in torch.
        n_threads: that each backend computes with.
        hardware, packages: as in a record (see provenance).
    """

    model: str
    revision: str | None
    dtype: str
    n_bytes: int
    n_threads: int
    candidates: Sequence[Candidate]
    hardware: dict[str, Any]
    packages: dict[str, str]
