"""What the built-in tasks share: rows made on the spot, in the form that mteb reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval

Texts = Mapping[str, str]
"""id -> text."""

Qrels = Mapping[str, Mapping[str, int]]
"""query id -> document id -> relevance."""


class OfflineRetrievalTask(AbsTaskRetrieval):
    """A retrieval task that makes its own data; no download, no data set on the hub."""

    def make_split(self, subset: str, split: str) -> tuple[Texts, Texts, Qrels]:
        """Documents, queries and judgements of one subset and split; always the same ones."""
        raise NotImplementedError

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Make the data of the subsets and splits that are evaluated."""
        if self.data_loaded:
            return
        self.dataset = {}
        for subset in self.hf_subsets:
            self.dataset[subset] = {}
            for split in self.eval_splits:
                docs, queries, qrels = self.make_split(subset, split)
                self.dataset[subset][split] = {
                    "corpus": _dataset(docs),
                    "queries": _dataset(queries),
                    "relevant_docs": {query: dict(judged) for query, judged in qrels.items()},
                    "top_ranked": None,
                }
        self.data_loaded = True


def _dataset(texts: Texts) -> Dataset:
    return Dataset.from_dict({"id": list(texts), "text": list(texts.values())})
