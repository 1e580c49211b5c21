"""What one split and subset of one task took: the run, and the time and cost of each part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from granite_bench.engine.backends.pairs import PairsCost
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.sparsity import Sparsity

LATENCY_QUERIES = 32
"""Single queries timed per task, after LATENCY_WARM_UP that are not counted."""

LATENCY_WARM_UP = 3


@dataclass
class Observation:
    """
    What one split and subset of one task took.

    Attributes:
        run: what was found, before mteb leaves out a query's own document where a task says so.
        docs, queries: the cost of encoding; None where the model searches by itself.
        pairs: the cost of scoring pairs; None where the model is no reranker.
        sparsity: of queries and documents; None where their vectors are dense.
        index_seconds: until the corpus was ready (encoding included).
        search_seconds: queries to run (encoding of the queries included).
        rank_seconds: of these, query vectors to run; 0 where not known.
        query_seconds: one query at a time, encode and search, or score its candidates; empty
            where not measured.
        prompts: role -> the prompt in force; empty where the model searches by itself.
    """

    split: str
    subset: str
    n_docs: int
    n_queries: int = 0
    run: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    docs: EncodingCost | None = None
    queries: EncodingCost | None = None
    pairs: PairsCost | None = None
    sparsity: Sparsity | None = None
    index_seconds: float = 0.0
    search_seconds: float = 0.0
    rank_seconds: float = 0.0
    query_seconds: list[float] = field(default_factory=list)
    prompts: dict[str, str] = field(default_factory=dict)
