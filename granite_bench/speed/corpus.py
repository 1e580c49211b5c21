"""
What is encoded when speed is measured: synthetic documents and queries, or a user's own file.

The synthetic documents have the lengths of the corpus that the Granite Embedding R2 paper was
timed on: 23,000 technical documents of 10 to 475,001 characters, 6,393 in the mean (1,873 BERT
tokens). Nothing else is known of it, so the lengths between those are log-normal, the one such
distribution with that mean and that maximum.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import overload

from granite_bench.errors import BadInput, Fault, shortened
from granite_bench.files.local import is_file, is_folder
from granite_bench.files.text_lines import has_surrogate, json_lines, lines_of
from granite_bench.speed.prose import VOCABULARY, draws, prose, words

PUBLISHED_DOCUMENTS = 23_000
SHORTEST_DOCUMENT, LONGEST_DOCUMENT = 10, 475_001
"""Characters."""

LOG_MEAN, LOG_DEVIATION = 7.9915191, 1.2424993
"""Solved so that the mid-quantiles (i + 1/2) / 23,000 of this log-normal distribution have a mean
of 6,393 characters and end at 475,001. The median is 2,956."""

DOCUMENT_FILES = (".jsonl", ".jsonl.gz", ".txt")

_OPENINGS = (
    "how do I",
    "what is the",
    "why does the",
    "where is the",
    "which",
    "is there a",
    "when should the",
    "how many",
)
_SHORTEST_QUERY, _LONGEST_QUERY = 5, 20


class SyntheticDocuments(Sequence[str]):
    """
    A corpus whose lengths in characters are distributed as the published one's.

    With 23,000 documents the shortest has 10 characters, the longest 475,001, and the mean is
    6,393. A smaller corpus has the quantiles of the same distribution, without the two extremes:
    its median stays, its mean falls a little with the tail (200 documents: mean 6,290, longest
    96,689; 64: 6,156 and 59,595). A larger one repeats the maximum.

    The texts are the same on every machine (see speed.prose); ordinary English WordPiece (BERT
    uncased) makes a token of 3.4 characters of them. They are made when they are asked for, and
    may be gone through again and again.

    Args:
        n_documents: 1 or more.
        seed: another seed is another order of the lengths and other texts.

    Raises:
        ValueError: no documents.
    """

    def __init__(self, n_documents: int, seed: int = 0) -> None:
        if n_documents < 1:
            raise ValueError(f"{n_documents} documents are no corpus")
        self.n_documents = n_documents
        self.seed = seed

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Characters of each document, in its place."""
        ordered = document_lengths(self.n_documents)
        keys = (f"{self.seed}:{place}".encode() for place in range(self.n_documents))
        hashes = [hashlib.sha256(key).digest() for key in keys]
        shuffled = sorted(range(self.n_documents), key=hashes.__getitem__)
        return tuple(ordered[place] for place in shuffled)

    def __len__(self) -> int:
        return self.n_documents

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        places = range(self.n_documents)[place]
        if isinstance(places, int):
            return _text(f"{self.seed}:{places}", self.lengths[places])
        return [self[each] for each in places]


def document_lengths(n_documents: int) -> list[int]:
    """Characters of each document of a synthetic corpus, ascending."""
    normal = NormalDist()
    lengths = [
        round(math.exp(LOG_MEAN + LOG_DEVIATION * normal.inv_cdf((place + 0.5) / n_documents)))
        for place in range(n_documents)
    ]
    if n_documents >= PUBLISHED_DOCUMENTS:
        lengths[0], lengths[-1] = SHORTEST_DOCUMENT, LONGEST_DOCUMENT
    return [min(max(each, SHORTEST_DOCUMENT), LONGEST_DOCUMENT) for each in lengths]


def _text(key: str, n_characters: int) -> str:
    blocks, n_made = [], 0
    for block in prose(key):
        blocks.append(block)
        n_made += len(block)
        if n_made >= n_characters:
            break
    text = "".join(blocks)[:n_characters]
    # A space at the end would be stripped, and the text shorter than it is said to be.
    return text[:-1] + "." if text[-1].isspace() else text


def query_texts(n_queries: int, seed: int = 0) -> list[str]:
    """Questions of 5 to 20 words, the same on every machine."""
    span = _LONGEST_QUERY - _SHORTEST_QUERY + 1
    texts = []
    for number in range(n_queries):
        key = f"query:{seed}:{number}"
        first, second = draws(key, 2)
        opening = _OPENINGS[first % len(_OPENINGS)].split()
        n_words = _SHORTEST_QUERY + second % span
        # Not from the table of the prose: short questions would be the same too often.
        rest = words(f"{key}:words", n_words - len(opening), VOCABULARY)
        texts.append(" ".join([*opening, *rest]) + "?")
    return texts


def corpus_sha256(documents: Iterable[str]) -> str:
    """SHA-256 over the texts in their order, each as UTF-8 behind its length (8 bytes)."""
    digest = hashlib.sha256()
    for document in documents:
        content = document.encode()
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()


def check_documents_path(path: str | Path) -> Path:
    """
    The path of a file that read_documents may read; its content is not looked at.

    Raises:
        BadInput: there is no such file, or its name does not end in one of DOCUMENT_FILES.
    """
    path = Path(path)
    hint = f"a file of documents ends in {', '.join(DOCUMENT_FILES)}"
    if is_folder(path):
        inside = path / "corpus.jsonl"
        hint = f"give {inside}" if inside.is_file() else hint
        raise BadInput(Fault(str(path), "is a folder", hint))
    if not is_file(path):
        raise BadInput(Fault(str(path), "no such file"))
    if not path.name.endswith(DOCUMENT_FILES):
        raise BadInput(Fault(str(path), "is not known to hold documents", hint))
    return path


def read_documents(path: str | Path) -> list[str]:
    """
    The documents of a user's own file, in its order.

    Args:
        path: .jsonl or .jsonl.gz with "text" and optionally "title" on each line (other keys,
            such as BEIR's "_id", are not read), or .txt with a document on each line; UTF-8.
            Title and text are joined as engine.texts does. Empty lines are no documents.

    Raises:
        BadInput: no such file, or one with faults (all of them named, up to
            errors.MOST_FAULTS_SHOWN), or without any text.
    """
    path = check_documents_path(path)
    read = _plain_documents if path.name.endswith(".txt") else _json_documents
    faults: list[Fault] = []
    documents = list(read(path, faults))
    if not faults and not any(documents):
        faults.append(Fault(str(path), "has no text"))
    if faults:
        raise BadInput(shortened(faults, str(path)))
    return documents


def _plain_documents(path: Path, faults: list[Fault]) -> Iterator[str]:
    for number, line in lines_of(path, faults):
        try:
            yield line.decode().strip()
        except UnicodeDecodeError as error:
            faults.append(Fault(f"{path}:{number}", f"not valid UTF-8: {error}"))


def _json_documents(path: Path, faults: list[Fault]) -> Iterator[str]:
    for number, row in json_lines(path, faults):
        title, text = row.get("title"), row.get("text")
        document = f"{title} {text}".strip() if title else f"{text}".strip()
        problems = []
        if not isinstance(text, str):
            problems.append('"text" must be a string')
        if title is not None and not isinstance(title, str):
            problems.append('"title" must be a string')
        if has_surrogate(document):
            problems.append("has half of a surrogate pair, which is no character")
        faults += [Fault(f"{path}:{number}", problem) for problem in problems]
        yield document
