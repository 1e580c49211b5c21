"""
What makes a variant of a model: the dimension and precision of its embeddings, the length of texts,
and what a reranker reordered.

mteb keeps them as experiment_kwargs, and a row's name has them in parentheses; the names of the
settings stand here alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from granite_bench.results.tree import Result, settings_text

DIM = "embed_dim"
PRECISION = "output_dtypes"
MAX_LENGTH = "max_length"
FIRST_STAGE = "first_stage"
TOP_K = "top_k"
QUERY_TOKENS = "query_tokens"

FULL_PRECISION = "float32"
BYTES_PER_VALUE: Mapping[str, float] = {"float32": 4, "float16": 2, "int8": 1, "binary": 1 / 8}


def name_without(model: str, settings: Mapping[str, Any], dropped: Collection[str]) -> str:
    """
    The name of a row without some of its settings.

    Args:
        model: the row's name; with settings, "name (key=value, ...)", and perhaps a mark of the
            checkpoint behind it.
        dropped: the settings to leave out.
    """
    whole = f" ({settings_text(settings)})" if settings else ""
    name, found, mark = model.rpartition(whole) if whole else (model, "", "")
    if not found:
        return model
    kept = {key: value for key, value in settings.items() if key not in dropped}
    return f"{name} ({settings_text(kept)}){mark}" if kept else f"{name}{mark}"


def precision_of(settings: Mapping[str, Any]) -> str:
    """What the values of the embeddings are kept in."""
    named = settings.get(PRECISION) or FULL_PRECISION
    return "+".join(map(str, named)) if isinstance(named, list | tuple) else str(named)


def bytes_per_million(dim: int, precision: str) -> float | None:
    """Bytes that a million embeddings take, without an index; None for an unknown precision."""
    per_value = BYTES_PER_VALUE.get(precision)
    return None if per_value is None else dim * per_value * 1e6


def dimension_of(settings: Mapping[str, Any], sources: Iterable[Result]) -> int | None:
    """The dimension of a row's embeddings: its setting, or what its metadata say."""
    named = [settings.get(DIM), *(source.meta.get(DIM) for source in sources)]
    return next((dim for each in named if (dim := whole_number(each)) is not None), None)


def length_of(settings: Mapping[str, Any], sources: Iterable[Result]) -> int | None:
    """
    The tokens that a row's texts are cut to; None where neither records nor metadata say.

    A record has what the model really did; metadata may name a longer maximum.
    """
    if (named := whole_number(settings.get(MAX_LENGTH))) is not None:
        return named
    from_meta = None
    for source in sources:
        lengths = [
            length
            for run in source.record.get("runs", ())
            if (length := whole_number(run["settings"].get(MAX_LENGTH))) is not None
        ]
        if lengths:
            return max(lengths)
        from_meta = from_meta or whole_number(source.meta.get("max_tokens"))
    return from_meta


def truncated_share(sources: Iterable[Result]) -> float | None:
    """The share of the documents (a fraction) that were cut; None without records of it."""
    costs = [
        entry["docs"]
        for source in sources
        for run in source.record.get("runs", ())
        for entry in run["evaluations"]
        if entry.get("docs")
    ]
    n_docs = sum(cost["n_unique"] for cost in costs)
    return sum(cost["n_truncated"] for cost in costs) / n_docs if n_docs else None


def whole_number(value: Any, *, least: int = 1) -> int | None:
    """
    A number of dimensions, tokens or parameters as somebody's file has it.

    Of several the largest; None for what is no number, less than *least*, or beyond 64 bits.
    """
    if isinstance(value, list | tuple):
        value = max((each for each in value if isinstance(each, int | float)), default=None)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if least <= value < 2**63 else None
