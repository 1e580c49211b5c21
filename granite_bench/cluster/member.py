"""One worker as the driver knows it: where it is, what it loaded, what it did, why it is idle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from granite_bench.cluster.session import Seat
from granite_bench.cluster.worker import Facts, ShardDone
from granite_bench.provenance import package_versions


@dataclass(eq=False)
class Member:
    """
    A seat, and the worker that has it.

    Attributes:
        keeper: what tells the worker, and the vectors that it keeps, from any other ever.
        placed: Ray's reference of a call that is done as soon as there is room for it.
        loading: Ray's reference of its load call; None once it is ready.
        facts: of the model that it has loaded; None: no model, and no calls.
        n_failures: in a row; last_failure is the last of them.
        why_idle: it cannot load this model.
        why_excluded: it gets no calls any more.
    """

    seat: Seat
    actor: Any = None
    keeper: int = -1
    placed: Any = None
    loading: Any = None
    facts: Facts | None = None
    n_under_way: int = 0
    n_failures: int = 0
    last_failure: str = ""
    why_idle: str = ""
    why_excluded: str = ""
    n_texts: int = 0
    n_tokens: int = 0
    busy_seconds: float = 0.0
    n_deaths: int = 0

    @property
    def ready(self) -> bool:
        """Whether it takes calls."""
        return self.facts is not None

    def begin(self) -> None:
        """Another model is to be loaded."""
        self.n_texts, self.n_tokens, self.busy_seconds, self.n_deaths = 0, 0, 0.0, 0
        self.facts, self.why_idle = None, ""

    def count(self, done: ShardDone) -> None:
        """Add what a shard took."""
        self.n_texts += done.cost.n_encoded
        self.n_tokens += done.cost.n_tokens_encoded
        self.busy_seconds += done.cost.encode_seconds + done.cost.store_seconds

    def described(self) -> dict[str, Any]:
        """For the record: what it did since the model was loaded."""
        per_second = self.n_texts / self.busy_seconds if self.busy_seconds else None
        return {
            "name": self.seat.name,
            "device": self.facts.backend.get("device") if self.facts else None,
            "n_texts": self.n_texts,
            "n_tokens": self.n_tokens,
            "busy_seconds": self.busy_seconds,
            "texts_per_second": per_second,
            "n_deaths": self.n_deaths,
            "excluded": self.why_excluded or self.why_idle or None,
        }


def other_versions(versions: Mapping[str, str]) -> str:
    """The packages, and their versions there and here, that would mix two kinds of vectors."""
    here = package_versions()
    return ", ".join(
        f"{name} {versions.get(name, 'missing')} (here {version})"
        for name, version in here.items()
        if versions.get(name) != version
    )


def other_vectors(facts: Facts, first: Facts) -> str:
    """What makes a worker's vectors others than those of the first that loaded the model."""
    pairs = {
        "its kind": (facts.kind, first.kind),
        "its identity": (facts.identity, first.identity),
        **{
            name: (facts.backend.get(name), first.backend.get(name))
            for name in ("name", "dtype", "max_length")
        },
    }
    return ", ".join(
        f"{name} {own} (elsewhere {other})" for name, (own, other) in pairs.items() if own != other
    )


def said_by(error: Exception) -> str:
    """The first line that says something: Ray's own begin with where it happened."""
    cause = getattr(error, "cause", None)
    if cause is not None:
        error = cause
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
