"""
What a job makes a model read: texts, characters and tokens, from what is on this machine.

Built-in tasks, BEIR-layout folders and small tasks of a mirror are read; of other tasks mteb's
descriptive statistics have the number, the mean and the longest of their texts. A task of which
neither is known has no Reading, and the reason why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mteb.abstasks import AbsTask
from mteb.abstasks.retrieval import AbsTaskRetrieval

from granite_bench.engine.backends.texts import DocumentTexts, query_texts
from granite_bench.errors import BadInput
from granite_bench.forecast.estimate import NOTHING, Estimate
from granite_bench.forecast.languages import Basis
from granite_bench.forecast.reader import Reader
from granite_bench.planning.plan import all_parts
from granite_bench.tasks import Evaluation, sizes
from granite_bench.tasks.beir import BeirFolderTask
from granite_bench.tasks.loaded import data_of
from granite_bench.tasks.offline import OfflineRetrievalTask

READ_AT_MOST = 50_000
"""Texts of a task in a mirror that are read for a forecast; of larger ones, statistics do."""

SAMPLE = 256
"""Texts of each kind that are tokenised."""


@dataclass(frozen=True)
class Load:
    """
    Texts of one kind.

    Attributes:
        n_texts: all of them.
        n_different: those that are encoded.
        n_characters: of the different ones.
        n_tokens: of the different ones, as the model reads them.
    """

    n_texts: int = 0
    n_different: int = 0
    n_characters: int = 0
    n_tokens: Estimate = NOTHING

    def __add__(self, other: Load) -> Load:
        return Load(
            self.n_texts + other.n_texts,
            self.n_different + other.n_different,
            self.n_characters + other.n_characters,
            self.n_tokens + other.n_tokens,
        )

    @property
    def tokens_per_text(self) -> float:
        """The likely mean; 0 without texts."""
        return self.n_tokens.likely / self.n_different if self.n_different else 0.0


@dataclass(frozen=True)
class PartReading:
    """
    One split and subset.

    Attributes:
        docs: the documents, or the texts of a task that ranks none.
        queries: of a task that ranks.
        ranks: whether documents are ranked.
        n_candidates: pairs of a query and a document that the task brings to be ranked; None
            where all documents are searched.
    """

    docs: Load
    queries: Load
    ranks: bool
    n_candidates: int | None = None


@dataclass(frozen=True)
class Reading:
    """
    What a model reads of a task.

    Attributes:
        parts: split and subset -> its texts; what an earlier one has is not counted again.
        basis: how tokens were counted.
    """

    parts: Mapping[Evaluation, PartReading]
    basis: Sequence[Basis]


@dataclass(frozen=True)
class _Texts:
    """
    Texts that were read.

    Attributes:
        keys: int64 (n,), a hash of each.
        lengths: int64 (n,), characters.
        sample: some of them, evenly spread.
    """

    keys: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    sample: Sequence[str]


class TaskTexts:
    """What is known of one task's texts; read once, whatever the number of models."""

    def __init__(self, task: AbsTask) -> None:
        self.task = task

    def reading(
        self, parts: Sequence[Evaluation], reader: Reader, *, stored: bool
    ) -> Reading | str:
        """
        What the model of *reader* reads for these parts; or why nobody knows.

        Args:
            stored: whether vectors are kept, so that a text of several parts is encoded once.
        """
        if self._read is not None:
            return self._counted(parts, reader, self._read, stored=stored)
        return self._estimated(parts, reader)

    @cached_property
    def _read(self) -> Mapping[Evaluation, tuple[_Texts, _Texts]] | None:
        """Documents and queries of every part; None where they are not read."""
        task = self.task
        if not isinstance(task, AbsTaskRetrieval):
            return None
        if not isinstance(task, OfflineRetrievalTask | BeirFolderTask):
            in_folder = Path(task.metadata.dataset["path"]).is_dir()
            n_texts = sum(map(sum, sizes(task).values()))
            if not in_folder or not 0 < n_texts <= READ_AT_MOST:
                return None
        parts = all_parts(task)
        found = {}
        try:
            with data_of(task, parts):
                for split, subset in parts:
                    data: Any = task.dataset[subset][split]
                    docs = _texts(text for block in DocumentTexts(data["corpus"]) for text in block)
                    found[split, subset] = docs, _texts(query_texts(data["queries"]))
        except BadInput:
            raise
        except Exception:  # noqa: BLE001 (whatever a data set raises, its run will say; see below)
            return None  # statistics may know
        return found

    def _counted(
        self,
        parts: Sequence[Evaluation],
        reader: Reader,
        read: Mapping[Evaluation, tuple[_Texts, _Texts]],
        *,
        stored: bool,
    ) -> Reading:
        seen: list[set[int]] = [set(), set()]  # documents and queries have prompts of their own
        found, basis = {}, []
        for part in parts:
            loads = []
            for role, texts in enumerate(read[part]):
                counted = reader.characters_per_token(texts.sample, self._languages(part))
                basis.append(counted if counted.texts else Basis(0.0))
                before = seen[role] if stored else set()
                ratio = counted.characters_per_token
                loads.append(_counted_load(texts, ratio, reader, before))
            found[part] = PartReading(loads[0], loads[1], ranks=True)
        return Reading(found, list(dict.fromkeys(basis)))

    def _estimated(self, parts: Sequence[Evaluation], reader: Reader) -> Reading | str:
        """From mteb's statistics."""
        statistics = self._statistics
        if any(part not in statistics for part in parts):
            return "mteb has no statistics of its texts, and they are not on this machine"
        found, basis = {}, []
        ranks = isinstance(self.task, AbsTaskRetrieval)
        for part in parts:
            counted = reader.characters_per_token((), self._languages(part))
            basis.append(counted)
            docs, queries = (
                sum((_load(each, counted.characters_per_token, reader) for each in kind), Load())
                for kind in statistics[part][:2]
            )
            found[part] = PartReading(docs, queries, ranks, statistics[part][2])
        return Reading(found, list(dict.fromkeys(basis)))

    @cached_property
    def _statistics(self) -> Mapping[Evaluation, tuple[list[Any], list[Any], int | None]]:
        """mteb's numbers of the documents (or texts), queries and candidates of each part."""
        described: Mapping[str, Any] = self.task.metadata.descriptive_stats or {}
        found = {}
        for split, numbers in described.items():
            subsets = numbers.get("hf_subset_descriptive_stats") or {"default": numbers}
            for subset, each in subsets.items():
                queries = each.get("queries_text_statistics")
                names = (
                    ["documents_text_statistics"]
                    if queries
                    else [
                        name
                        for name in each
                        if name.endswith("_statistics")
                        and "total_text_length" in (each[name] or {})
                    ]
                )
                docs = [each[name] for name in names if each.get(name)]
                if docs:
                    candidates = (each.get("top_ranked_statistics") or {}).get("num_top_ranked")
                    found[split, subset] = docs, [queries] if queries else [], candidates
        return found

    def _languages(self, part: Evaluation) -> list[str]:
        languages: Any = self.task.metadata.eval_langs
        if isinstance(languages, Mapping):
            languages = languages.get(part[1], [])
        return list(languages)


def _texts(texts: Iterable[str]) -> _Texts:
    every = list(texts)
    step = max(1, len(every) // SAMPLE)
    return _Texts(
        np.array([hash(text) for text in every], dtype=np.int64),
        np.array([len(text) for text in every], dtype=np.int64),
        every[::step][:SAMPLE],
    )


def _counted_load(texts: _Texts, ratio: float, reader: Reader, before: set[int]) -> Load:
    """Texts that were read, without those *before*, which these are added to."""
    new = []
    for place, key in enumerate(texts.keys.tolist()):
        if key not in before:
            before.add(key)
            new.append(place)
    lengths = texts.lengths[new]
    n_tokens = float(reader.read_tokens(lengths / ratio).sum())
    return Load(len(texts.keys), len(new), int(lengths.sum()), Estimate.exactly(n_tokens))


def _load(numbers: Mapping[str, float], ratio: float, reader: Reader) -> Load:
    """Texts of which mteb knows the number, the mean and the longest."""
    mean = numbers["average_text_length"] or 1.0
    n_texts = round(numbers["total_text_length"] / mean)
    n_different = int(numbers.get("unique_texts") or n_texts)
    tokens = reader.mean_tokens(mean / ratio, numbers.get("max_text_length", mean) / ratio)
    return Load(n_texts, n_different, round(n_different * mean), tokens.times(n_different))
