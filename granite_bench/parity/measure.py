"""Vectors and speed of two forms of one model: cosines text by text, and seconds turn by turn."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.types import PromptType

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.texts import DocumentTexts, query_texts
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.exported.cosines import row_cosines
from granite_bench.parity.figures import Drift
from granite_bench.results.speed_comparison import Ratio
from granite_bench.speed.ratio import paired_ratio

SPEED_TEXTS = 16
"""Documents of the first task that are encoded in turns, evenly spread over it."""

SPEED_TURNS = 5


def _parts(task: AbsTaskRetrieval) -> Iterator[Any]:
    data: Any = task.dataset
    for split in task.eval_splits:
        for subset in task.hf_subsets:
            yield data[subset][split]


def sample_of(task: AbsTaskRetrieval) -> list[str]:
    """SPEED_TEXTS different documents of a task at most, evenly spread over its first corpus."""
    texts = [text for block in DocumentTexts(next(_parts(task))["corpus"]) for text in block]
    # The engine encodes a text once, so a copy would count as encoded when it was not.
    once = list(dict.fromkeys(texts))
    return once[:: max(1, len(once) // SPEED_TEXTS)][:SPEED_TEXTS]


def cosines_of(
    task: AbsTaskRetrieval, one: DenseRetriever, other: DenseRetriever
) -> Iterator[npt.NDArray[np.float32]]:
    """Of every different text of a task, documents and queries apart; float32 (n_texts,)."""
    for data in _parts(task):
        texts: list[tuple[PromptType, Iterable[Sequence[str]]]] = [
            (PromptType.document, DocumentTexts(data["corpus"])),
            (PromptType.query, [query_texts(data["queries"])]),
        ]
        for role, blocks in texts:
            vectors = []
            for form in (one, other):
                instruction = form.encoder.backend.instruction(task.metadata, role)
                cost = EncodingCost()
                vectors.append(
                    form.encoder.encode(blocks, instruction, cost, label="texts").array()
                )
            yield row_cosines(*vectors)


def drift_of(cosines: npt.NDArray[np.float32]) -> Drift:
    """The figures of some cosines."""
    low, p1, p5, p50 = (float(each) for each in np.percentile(cosines, [0, 1, 5, 50]))
    return Drift(len(cosines), low, p1, p5, p50, float(cosines.mean(dtype=np.float64)))


def speed_ratio(one: DenseRetriever, other: DenseRetriever, texts: Sequence[str]) -> Ratio:
    """How many times as fast the *other* encodes these texts, from turns after a warm-up."""
    speeds: tuple[list[float], list[float]] = ([], [])
    for turn in range(SPEED_TURNS + 1):
        for form, seen in zip((other, one), speeds, strict=True):
            # Without a store, so that every turn encodes.
            encoder = Encoder[Any](
                form.encoder.backend, {}, store_folder=None, token_budget=form.encoder.token_budget
            )
            started = time.perf_counter()
            encoder.encode([texts], Instruction(None, ""), EncodingCost(), label="texts")
            if turn:
                seen.append(len(texts) / (time.perf_counter() - started))
    return paired_ratio(*speeds)
