"""What a million documents cost: the time of a device at its price, or what a server billed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from granite_bench.tables.table import Row


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


class Money:
    """
    What a million documents cost: a device's time, or a server's bill.

    Args:
        price_per_device_hour: None where nobody gave one: then bills alone are known.
        is_of_runs: whether speeds are of the suite's own documents, as bills are. Costs by the
            speed of other documents leave bills out: a column holds the cost of one kind.
    """

    def __init__(self, price_per_device_hour: float | None, *, is_of_runs: bool) -> None:
        self._price = price_per_device_hour
        self._bills_count = price_per_device_hour is None or is_of_runs

    def per_million_docs(self, row: Row, docs_per_s: float | None) -> float | None:
        """In the currency of the price; None where it, or a bill, is not known."""
        if is_served(row):
            return bill_per_million_docs(row) if self._bills_count else None
        if self._price is None or docs_per_s is None:
            return None
        return self._price / 3600 / docs_per_s * 1e6

    def notes(self, costs: Sequence[tuple[Row, float | None]], label: str) -> list[str]:
        """
        What the costs are of, and which were left out.

        Args:
            costs: each row, and what per_million_docs says of it.
            label: the conditions of the speeds, in words.
        """
        notes = []
        has_cost = [row for row, cost in costs if cost is not None]
        if not all(map(is_served, has_cost)):
            notes.append(
                f"Cost of a million documents: {self._price:g} per device-hour, at the documents "
                f"per second of {label}."
            )
        if any(map(is_served, has_cost)):
            notes.append(
                "Cost of a million documents on a server: its bill for the suite's documents; of "
                "what was paid for documents and queries together, their share of the characters."
            )
        left_out = [
            row.model
            for row, _ in costs
            if is_served(row) and bill_per_million_docs(row) is not None
        ]
        if left_out and not self._bills_count:
            notes.append(
                f"No cost of {', '.join(left_out)}: the server's bill is for the suite's "
                f"documents, and those of {label} are others. With --protocol suite-run/1, both "
                "are for the suite's."
            )
        return notes
