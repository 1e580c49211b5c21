"""
Texts of a known number of tokens: documents cut into overlapping chunks, and fixed lengths.

A number of tokens is what the model reads: those of the text, of the prompt that a model has put
before it, and the special ones. So models with a prompt and without read as much of each text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from granite_bench.errors import BadInput, Fault
from granite_bench.speed.prose import VOCABULARY, words

WORD_SPECIAL_TOKENS = 2
"""Around a text whose tokens are its words, as [CLS] and [SEP] are around BERT's."""

_BLOCK_CHARACTERS = 4_000_000
"""So much text is tokenised in one call: enough for every core, little enough for the memory."""


def chunk_borders(n_tokens: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """
    Where a text of *n_tokens* is cut: first token, and the one behind the last, of each chunk.

    Each chunk begins size - overlap tokens behind the one before, and the first that reaches the
    end of the text is the last. A text without tokens has no chunks.

    Raises:
        ValueError: not 0 <= overlap < size.
    """
    if not 0 <= overlap < size:
        raise ValueError(f"chunks of {size} tokens cannot overlap by {overlap}")
    if n_tokens == 0:
        return []
    stride = size - overlap
    n_chunks = 1 + max(0, -(-(n_tokens - size) // stride))
    return [(i * stride, min(i * stride + size, n_tokens)) for i in range(n_chunks)]


def tokens_around(tokenizer: Any, prompt: str = "") -> int:
    """
    How many tokens a text has besides its own: the special ones and the prompt's.

    Args:
        tokenizer: as for chunks_of_each.
        prompt: that is put before the text.
    """
    if tokenizer is None:
        return WORD_SPECIAL_TOKENS + len(f"{prompt}word".split()) - 1
    # Counted with a word behind it: many tokenizers put the space at the end of a prompt there.
    return min(_counts([f"{prompt}{word}" for word in VOCABULARY], tokenizer)) - 1


def chunks_of_each(
    documents: Iterable[str],
    tokenizer: Any,
    n_tokens: int = 512,
    overlap: int = 100,
    *,
    prompt: str = "",
) -> Iterator[list[str]]:
    """
    Each document as overlapping pieces of text, cut at the borders of tokens.

    Special tokens and the prompt count: of 512 tokens, 510 are the text's with BERT's [CLS] and
    [SEP], and with an overlap of 100 each chunk begins 410 tokens behind the one before. A chunk
    is the text from its first token to its last as it stands in the document. Where a border lies
    inside a word, the pieces there may be others when the chunk is tokenised by itself, and a few
    tokens more or less; a model that reads no more than 512 leaves those beyond out.

    Args:
        tokenizer: transformers' fast tokenizer; its truncation and padding are switched off, and
            transformers sets them anew on each call of its own. None: see word_chunks_of.
        prompt: that the model has put before each chunk; it is no part of what is returned.

    Yields:
        The chunks of one document after the other; a few megabytes are tokenised at a time, on
        all cores.

    Raises:
        ValueError: the overlap leaves a chunk no tokens of its own.
    """
    n_around = tokens_around(tokenizer, prompt)
    if tokenizer is None:
        for document in documents:
            yield word_chunks_of(document, n_tokens, overlap, n_around)
        return
    rust = _rust(tokenizer)
    size = n_tokens - n_around
    for block in _blocks(documents):
        encodings = rust.encode_batch(block, add_special_tokens=False)
        for document, encoding in zip(block, encodings, strict=True):
            chunks = [
                document[encoding.token_to_chars(first)[0] : encoding.token_to_chars(end - 1)[1]]
                for first, end in chunk_borders(len(encoding), size, overlap)
            ]
            yield [chunk for chunk in chunks if chunk]


def word_chunks_of(
    document: str,
    n_tokens: int = 512,
    overlap: int = 100,
    n_around: int = WORD_SPECIAL_TOKENS,
) -> list[str]:
    """The chunks of one document, where each run of characters without whitespace is a token."""
    spans = [match.span() for match in re.finditer(r"\S+", document)]
    borders = chunk_borders(len(spans), n_tokens - n_around, overlap)
    return [document[spans[first][0] : spans[end - 1][1]] for first, end in borders]


def fixed_length_texts(
    n_texts: int, n_tokens: int, tokenizer: Any, seed: int = 0, *, prompt: str = ""
) -> list[str]:
    """
    Texts of exactly *n_tokens* tokens each, special tokens and the prompt's included.

    They are made of words that are one token each for this tokenizer; models with different
    tokenizers read texts of one length, not the same texts.

    Args:
        tokenizer: as for chunks_of_each; with None, a word is a token, and WORD_SPECIAL_TOKENS are
            around the text.
        prompt: that the model has put before each text; it is no part of what is returned.

    Raises:
        ValueError: *n_tokens* leaves no room for a word.
        BadInput: the tokenizer makes no such texts of the words.
    """
    n_around, vocabulary = tokens_around(tokenizer, prompt), list(VOCABULARY)
    if tokenizer is not None:
        # At the beginning of a text and behind a space: many tokenizers tell the two apart.
        pairs = _counts([f"{prompt}{word} {word}" for word in vocabulary], tokenizer)
        of_one_token = zip(vocabulary, pairs, strict=True)
        vocabulary = [word for word, n_of_pair in of_one_token if n_of_pair == 2 + n_around]
    if n_tokens <= n_around:
        raise ValueError(f"{n_tokens} tokens are no more than the special ones and the prompt's")
    fault = Fault(
        "",
        f"this tokenizer makes no texts of exactly {n_tokens} tokens",
        "measure this model with chunks, or documents as they are",
    )
    if not vocabulary:
        raise BadInput(fault)
    keys = [f"fixed:{seed}:{number}" for number in range(n_texts)]
    texts = [" ".join(words(key, n_tokens - n_around, vocabulary)) for key in keys]
    prompted = (f"{prompt}{text}" for text in texts)
    if tokenizer is not None and set(_counts(prompted, tokenizer)) - {n_tokens}:
        raise BadInput(fault)
    return texts


def _rust(tokenizer: Any) -> Any:
    """The Rust tokenizer behind transformers', without truncation and padding."""
    rust = tokenizer.backend_tokenizer
    rust.no_truncation()
    rust.no_padding()
    return rust


def _counts(texts: Iterable[str], tokenizer: Any) -> list[int]:
    """Tokens of each text, special ones included."""
    rust = _rust(tokenizer)
    return [len(encoding) for block in _blocks(texts) for encoding in rust.encode_batch_fast(block)]


def _blocks(documents: Iterable[str]) -> Iterator[list[str]]:
    """Lists of documents of about _BLOCK_CHARACTERS in all."""
    block: list[str] = []
    n_characters = 0
    for document in documents:
        block.append(document)
        n_characters += len(document)
        if n_characters >= _BLOCK_CHARACTERS:
            yield block
            block, n_characters = [], 0
    if block:
        yield block
