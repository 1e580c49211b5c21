"""What servers billed for documents, as the records of a row's runs have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from granite_bench.table import Row


def runs_of(row: Row) -> list[Mapping[str, Any]]:
    """What the records of a row's results say of each run."""
    return [run for result in row.results.values() for run in result.record.get("runs", ())]


def is_served(row: Row) -> bool:
    """Whether a server computed, whose hours nobody here knows."""
    return any(run["hardware"].get("device") == "remote" for run in runs_of(row))


def bill_per_million_docs(row: Row) -> float | None:
    """
    What a server billed for a million documents; None where no run was given a price.

    The bill of a run is for its documents, its queries, and the queries that were sent again one
    at a time for their latency. It is shared among them by their estimated tokens, which are
    characters divided by a constant (engine.tokens.estimated): what the server counted is known of
    all requests together alone.

    Returns:
        In the currency of the price, over the documents that were sent.
    """
    cost, n_docs = 0.0, 0
    for run in runs_of(row):
        paid = (run.get("usage") or {}).get("cost")
        n_sent, of_docs, of_queries = _sent(run["evaluations"])
        if paid is not None and of_docs:
            cost += paid * of_docs / (of_docs + of_queries)
            n_docs += n_sent
    return cost / n_docs * 1e6 if n_docs else None


def _sent(entries: Iterable[Mapping[str, Any]]) -> tuple[int, float, float]:
    """Documents that were sent, and the estimated tokens of documents and of queries."""
    n_docs, of_docs, of_queries = 0, 0.0, 0.0
    for entry in entries:
        docs, queries = entry.get("docs"), entry.get("queries")
        if docs:
            n_docs += docs["n_encoded"]
            of_docs += docs.get("n_tokens_encoded", 0)
        if queries and queries["n_encoded"]:
            sent_again = len(entry["query_seconds"]) / queries["n_encoded"]
            of_queries += queries.get("n_tokens_encoded", 0) * (1 + sent_again)
    return n_docs, of_docs, of_queries
