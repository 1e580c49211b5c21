"""
A ranked run as arrays, and a mapping of dictionaries for whoever wants one.

2,000 queries with 1,000 documents each are two arrays of 8 MB, or two million entries of
dictionaries that take longer to make than the search. mteb's code reads the mapping; ours reads
the arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


class Documents:
    """
    The documents of a corpus: their ids, and which text each of them has.

    Args:
        ids: n_docs different ids, in the order of the corpus.
        texts: int (n_docs,), the number of each document's text, from 0 on without holes; copies
            of a text share one. None: every document has a text of its own.
    """

    def __init__(
        self, ids: Sequence[str] | pa.ChunkedArray, texts: npt.NDArray[np.integer] | None = None
    ) -> None:
        column = ids if isinstance(ids, pa.ChunkedArray) else pa.chunked_array([pa.array(ids)])
        self.ids: pa.LargeStringArray = pa.concat_arrays(
            column.cast(pa.large_string()).chunks or [pa.array([], pa.large_string())]
        )
        self.texts = np.arange(len(self.ids)) if texts is None else texts
        self.n_texts = int(self.texts.max()) + 1 if len(self.texts) else 0

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def by_rank(self) -> npt.NDArray[np.int32]:
        """The documents by id, descending; int32 (n_docs,)."""
        order = pc.sort_indices(self.ids, sort_keys=[("", "descending")])
        by_rank: npt.NDArray[np.int32] = order.to_numpy().astype(np.int32)
        return by_rank

    @cached_property
    def ranks(self) -> npt.NDArray[np.uint32]:
        """
        The place of each document by id, descending; uint32 (n_docs,).

        Among documents of equal score the lower rank comes first, as trec_eval orders them.
        """
        ranks = np.empty(len(self), dtype=np.uint32)
        ranks[self.by_rank] = np.arange(len(self), dtype=np.uint32)
        return ranks

    @cached_property
    def text_ranks(self) -> npt.NDArray[np.uint32]:
        """The lowest rank among the documents of each text; uint32 (n_texts,)."""
        ranks = np.empty(self.n_texts, dtype=np.uint32)
        # From the highest rank to the lowest, so that the lowest is written last and stays.
        ranks[self.texts[self.by_rank[::-1]]] = np.arange(len(self), dtype=np.uint32)[::-1]
        return ranks

    @cached_property
    def by_text(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """
        The documents of each text: (docs, starts).

        docs[starts[t]:starts[t + 1]] are the documents of text t, the lowest rank first.
        """
        docs = np.lexsort((self.ranks, self.texts))
        starts = np.searchsorted(self.texts[docs], np.arange(self.n_texts + 1))
        return docs, starts


class Run(Mapping[str, dict[str, float]]):
    """
    For every query its best documents.

    Args:
        query_ids: n_queries different ids.
        documents: the corpus.
        docs: int32 (n_queries, depth), document numbers, best first, equal scores by descending
            id; -1 where a query has fewer.
        scores: float32 (n_queries, depth); undefined where *docs* is -1. float64 only for
            dictionaries whose scores float32 cannot hold.

    As a mapping: query id -> document id -> score, best first.
    """

    def __init__(
        self,
        query_ids: Sequence[str],
        documents: Documents,
        docs: npt.NDArray[np.int32],
        scores: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    ) -> None:
        self.query_ids = query_ids
        self.documents = documents
        self.docs = docs
        self.scores = scores
        self._row_of = {query_id: row for row, query_id in enumerate(query_ids)}

    @classmethod
    def from_dicts(cls, run: Mapping[str, Mapping[str, float]]) -> Run:
        """
        The same ranking as arrays.

        Args:
            run: query id -> document id -> finite score, in any order.

        Returns:
            Run: its documents are those that *run* names.
        """
        ids = [doc_id for ranking in run.values() for doc_id in ranking]
        encoded = pa.array(ids, pa.large_string()).dictionary_encode()
        documents = Documents(pa.chunked_array([encoded.dictionary]))
        lengths = np.array([len(ranking) for ranking in run.values()], dtype=np.intp)
        present = np.arange(lengths.max(initial=0)) < lengths[:, None]
        docs = np.full(present.shape, -1, dtype=np.int32)
        docs[present] = encoded.indices.to_numpy()
        scores = np.full(present.shape, -np.inf)
        scores[present] = [score for ranking in run.values() for score in ranking.values()]
        return cls(list(run), documents, docs, scores)._ranked().rounded(only_exact=True)

    def rounded(self, *, only_exact: bool = False) -> Run:
        """The run with float32 scores, which may tie where float64 ones did not."""
        if self.scores.dtype == np.float32:
            return self
        scores: npt.NDArray[np.float32] = self.scores.astype(np.float32)
        if np.array_equal(scores, self.scores):
            return Run(self.query_ids, self.documents, self.docs, scores)
        if only_exact:
            return self
        return Run(self.query_ids, self.documents, self.docs, scores)._ranked()

    def _ranked(self) -> Run:
        """The rows in their order; scores where there is no document are minus infinity."""
        ranks = np.append(self.documents.ranks, np.uint32(np.iinfo(np.uint32).max))[self.docs]
        better, worse = self.scores[:, :-1], self.scores[:, 1:]
        if np.all((better > worse) | (better == worse) & (ranks[:, :-1] <= ranks[:, 1:])):
            return self  # as most models hand it over
        order = np.lexsort((ranks, -self.scores), axis=-1)
        return Run(
            self.query_ids,
            self.documents,
            np.take_along_axis(self.docs, order, axis=1),
            self.scores[np.arange(len(order))[:, None], order],
        )

    def __getitem__(self, query_id: str) -> dict[str, float]:
        row = self._row_of[query_id]
        n_found = int((self.docs[row] >= 0).sum())
        ids = self.documents.ids.take(pa.array(self.docs[row, :n_found])).to_pylist()
        return dict(zip(ids, self.scores[row, :n_found].tolist(), strict=True))

    def __iter__(self) -> Iterator[str]:
        return iter(self.query_ids)

    def __len__(self) -> int:
        return len(self.query_ids)
