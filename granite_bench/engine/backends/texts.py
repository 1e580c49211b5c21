"""
The document template: what text of a corpus row or a query row the model reads.

These are mteb's rules (its retrieval dataloader), restated because mteb applies them through a
dataset map that costs more per document than a small model's forward pass on a GPU. A test
holds them against mteb's own function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from datasets import Dataset

DOCUMENT_TEMPLATE = "{title} {text}, stripped; {text} alone where the title is empty"


TEXTS_PER_BLOCK = 8192


class DocumentTexts:
    """
    The text of every document: title and text joined by a space, then stripped.

    Iterating yields blocks of strings in the order of the corpus, so that a corpus need not fit
    in memory; it may be iterated again.

    Args:
        corpus: columns *text* and optionally *title* (a string or None).
    """

    def __init__(self, corpus: Dataset) -> None:
        names = [name for name in ("title", "text") if name in corpus.column_names]
        self._columns = corpus.select_columns(names).with_format("arrow")

    def __iter__(self) -> Iterator[list[str]]:
        for block in self._columns.iter(batch_size=TEXTS_PER_BLOCK):
            texts: list[str] = block["text"].to_pylist()
            if "title" in block.column_names:
                titles = block["title"].to_pylist()
                texts = [
                    f"{title} {text}" if title else text
                    for title, text in zip(titles, texts, strict=True)
                ]
            yield [text.strip() for text in texts]


def document_ids(corpus: Dataset) -> pa.ChunkedArray:
    """The ids of a corpus, as Arrow has them: a fifth of the memory of Python's strings."""
    return corpus.select_columns(["id"]).with_format("arrow")[:]["id"]


def query_texts(queries: Dataset) -> list[str]:
    """
    The text of every query: an instruction follows it, a conversation is flattened.

    Args:
        queries: column *text* (a string, or a list of turns) and optionally *instruction*.

    Returns:
        One string per row, in the order of the queries.
    """
    texts = list(queries["text"])
    if texts and isinstance(texts[0], list):
        return list(_flattened(queries))
    if "instruction" not in queries.column_names:
        return texts
    return [
        text if instruction is None else f"{text} {instruction}"
        for text, instruction in zip(texts, queries["instruction"], strict=True)
    ]


def _flattened(queries: Dataset) -> Iterator[str]:
    for row in queries:
        turns: list[str | Mapping[str, Any]] = row["text"]
        text = "; ".join(
            turn if isinstance(turn, str) else f"{turn['role']}: {turn['content']}"
            for turn in turns
        )
        # mteb puts the instruction behind a plain query, but in front of a conversation.
        yield f"{row['instruction']} {text}" if "instruction" in row else text
