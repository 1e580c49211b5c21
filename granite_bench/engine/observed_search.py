"""
A model that searches by itself, observed: BM25, or mteb's own search over a model that our engine
does not drive.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from datasets import Dataset
from mteb.models import ModelMeta, SearchEncoderWrapper, SearchProtocol
from mteb.types import PromptType

from granite_bench.engine.observation import LATENCY_QUERIES, LATENCY_WARM_UP, Observation


class ObservedSearch:
    """A model that searches by itself, timed, its runs kept; what it returns is untouched."""

    def __init__(self, model: SearchProtocol, meta: ModelMeta) -> None:
        self.mteb_model_meta = meta
        self.observations: list[Observation] = []
        self.measure_latency = False
        self.model = model
        if isinstance(model, SearchEncoderWrapper):
            model.model = _TimedEncoder(model.model, self)

    def index(self, corpus: Dataset, *, hf_split: str, hf_subset: str, **kwargs: Any) -> None:
        """Let the model index the corpus (mteb's SearchProtocol)."""
        seen = Observation(hf_split, hf_subset, n_docs=len(corpus))
        started = time.perf_counter()
        with _quiet_unless_watched():
            self.model.index(corpus, hf_split=hf_split, hf_subset=hf_subset, **kwargs)
        seen.index_seconds = time.perf_counter() - started
        self.observations.append(seen)

    def search(self, queries: Dataset, **kwargs: Any) -> Mapping[str, Mapping[str, float]]:
        """Let the model search (mteb's SearchProtocol)."""
        seen = self.observations[-1]
        seen.n_queries = len(queries)
        started = time.perf_counter()
        with _quiet_unless_watched():
            seen.run = self.model.search(queries, **kwargs)
        seen.search_seconds += time.perf_counter() - started
        # mteb's own search forgets the corpus after each search; BM25 keeps its index.
        if self.measure_latency and not isinstance(self.model, SearchEncoderWrapper):
            seen.query_seconds = self._latencies(queries, kwargs)
            self.measure_latency = False
        return seen.run

    def _latencies(self, queries: Dataset, kwargs: Mapping[str, Any]) -> list[float]:
        seconds = []
        for position in range(min(len(queries), LATENCY_WARM_UP + LATENCY_QUERIES)):
            query = queries.select([position])
            started = time.perf_counter()
            with _quiet_unless_watched():
                self.model.search(query, **kwargs)
            seconds.append(time.perf_counter() - started)
        return seconds[LATENCY_WARM_UP:]


class _TimedEncoder:
    """
    A model under mteb's own search, which encodes the corpus while it searches: the time that
    documents took is moved from searching to indexing, where it belongs.
    """

    def __init__(self, model: Any, observed: ObservedSearch) -> None:
        self._model = model
        self._observed = observed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, *args: Any, prompt_type: PromptType | None = None, **kwargs: Any) -> Any:
        started = time.perf_counter()
        vectors = self._model.encode(*args, prompt_type=prompt_type, **kwargs)
        if prompt_type == PromptType.document and self._observed.observations:
            seconds = time.perf_counter() - started
            self._observed.observations[-1].index_seconds += seconds
            self._observed.observations[-1].search_seconds -= seconds
        return vectors


@contextlib.contextmanager
def _quiet_unless_watched() -> Iterator[None]:
    """bm25s draws a progress bar per subset, also into logs; keep it to terminals."""
    if sys.stderr.isatty():
        yield
    else:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
