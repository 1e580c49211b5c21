"""Texts of a known number of tokens: how documents are cut, and texts of one length."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from granite_bench.errors import BadInput
from granite_bench.speed import chunks as chunks_module
from granite_bench.speed.chunks import (
    chunk_borders,
    chunks_of_each,
    fixed_length_texts,
    tokens_around,
    word_chunks_of,
)
from granite_bench.speed.corpus import SyntheticDocuments


@pytest.fixture
def bert(minilm: Any) -> Any:
    """The tokenizer of all-MiniLM-L6-v2, which is BERT's (uncased)."""
    return minilm.model.tokenizer


def chunks_of(document: str, *arguments: Any, **options: Any) -> list[str]:
    """Of one document."""
    return next(chunks_of_each([document], *arguments, **options))


def _counts(texts: list[str], tokenizer: Any) -> list[int]:
    return [len(ids) for ids in tokenizer(texts, truncation=False, verbose=False)["input_ids"]]


@pytest.mark.parametrize(
    ("n_tokens", "size", "overlap", "borders"),
    [
        (0, 10, 4, []),
        (1, 10, 4, [(0, 1)]),
        (10, 10, 4, [(0, 10)]),
        (11, 10, 4, [(0, 10), (6, 11)]),
        (16, 10, 4, [(0, 10), (6, 16)]),
        (17, 10, 4, [(0, 10), (6, 16), (12, 17)]),
        (6, 3, 0, [(0, 3), (3, 6)]),
        (4, 3, 2, [(0, 3), (1, 4)]),
        (510, 510, 100, [(0, 510)]),
        (511, 510, 100, [(0, 510), (410, 511)]),
        (920, 510, 100, [(0, 510), (410, 920)]),
        (921, 510, 100, [(0, 510), (410, 920), (820, 921)]),
    ],
)
def test_borders_worked_by_hand(
    n_tokens: int, size: int, overlap: int, borders: list[tuple[int, int]]
) -> None:
    """The last chunk is the first that reaches the end, so none only repeats the overlap."""
    assert chunk_borders(n_tokens, size, overlap) == borders


@pytest.mark.parametrize("size", [1, 2, 5, 13])
def test_borders_cover_every_token_and_overlap_exactly(size: int) -> None:
    """For every overlap, and texts of up to 60 tokens."""
    for overlap in range(size):
        for n_tokens in range(1, 60):
            borders = chunk_borders(n_tokens, size, overlap)
            assert borders[0][0] == 0
            assert borders[-1][1] == n_tokens
            assert all(end - first == size for first, end in borders[:-1])
            assert all(0 < end - first <= size for first, end in borders)
            pairs = list(pairwise(borders))
            assert all(end - first == overlap for (_, end), (first, _) in pairs)
            assert all(end < later for (_, end), (_, later) in pairs)


@pytest.mark.parametrize(("size", "overlap"), [(10, 10), (10, -1), (0, 0)])
def test_an_overlap_that_leaves_no_way_forward_is_refused(size: int, overlap: int) -> None:
    """The cutting would never end."""
    with pytest.raises(ValueError, match="cannot overlap"):
        chunk_borders(5, size, overlap)


def test_a_chunk_is_the_text_from_its_first_token_to_its_last(bert: Any) -> None:
    """Five tokens are [CLS], three words and [SEP]; what lies between words stays as it is."""
    text = "  One two\n three four, five  six seven "
    assert chunks_of(text, bert, n_tokens=5, overlap=1) == [
        "One two\n three",
        "three four,",
        ", five  six",
        "six seven",
    ]


def test_a_border_may_lie_inside_a_word(bert: Any) -> None:
    """BERT reads "unaffable" as una ##ffa ##ble."""
    assert bert.tokenize("unaffable") == ["una", "##ffa", "##ble"]
    assert chunks_of("unaffable", bert, n_tokens=4, overlap=1) == ["unaffa", "ffable"]


def test_borders_are_in_characters_not_bytes(bert: Any) -> None:
    """Umlauts, a dash and Chinese before the border: BERT makes one token of each word here."""
    text = "Für – 東 京 zu"
    assert bert.tokenize(text) == ["fur", "–", "東", "京", "zu"]
    assert chunks_of(text, bert, n_tokens=4, overlap=0) == ["Für –", "東 京", "zu"]


def test_a_character_of_several_tokens_is_never_torn() -> None:
    """Byte-level tokenizers make four tokens of an emoji; both chunks at a border have it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    rust = Tokenizer(models.BPE({each: i for i, each in enumerate(alphabet)}, []))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = SimpleNamespace(backend_tokenizer=rust)
    assert chunks_of("ab😀cd", tokenizer, n_tokens=4, overlap=0) == ["ab😀", "😀cd"]


def test_a_text_without_tokens_has_no_chunks(bert: Any) -> None:
    """A document that is only whitespace, or empty, is nothing to encode."""
    assert list(chunks_of_each(["", " \n", "a"], bert)) == [[], [], ["a"]]
    assert list(chunks_of_each(["", " \n", "a"], None)) == [[], [], ["a"]]


def test_chunks_of_512_tokens_overlap_by_100_and_cover_the_document(bert: Any) -> None:
    """Of the text 510 tokens; so a document of n has 1 + ceil((n - 510) / 410) chunks."""
    document = max(SyntheticDocuments(40), key=len)
    n_tokens = _counts([document], bert)[0] - 2
    chunks = chunks_of(document, bert)
    assert len(chunks) == 1 - (-(n_tokens - 510) // 410)
    end = 0
    for place, chunk in enumerate(chunks):
        start = document.index(chunk, max(0, end - 1000))
        if place == 0:
            assert start == 0
        else:
            # Tokenised by itself, the overlap may begin and end with other pieces.
            assert _counts([document[start:end]], bert)[0] - 2 == pytest.approx(100, abs=3)
        end = start + len(chunk)
    assert end == len(document)


def test_a_chunk_tokenised_by_itself_has_at_most_a_few_tokens_more(bert: Any) -> None:
    """Only where a border lies inside a word; seen: one more, in one of 400 chunks."""
    chunks = [chunk for each in chunks_of_each(SyntheticDocuments(60), bert) for chunk in each]
    counts = _counts(chunks, bert)
    assert len(chunks) > 200
    assert max(counts) <= 514
    assert sum(count > 512 for count in counts) < 0.02 * len(chunks)
    assert counts.count(512) > 0.5 * len(chunks)


def test_documents_are_cut_alike_one_by_one_and_together(
    bert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks of a few documents, in their order, empty ones included."""
    monkeypatch.setattr(chunks_module, "_BLOCK_CHARACTERS", 10_000)
    documents = [*SyntheticDocuments(12), "", "the end"]
    together = list(chunks_of_each(iter(documents), bert, 64, 10))
    assert together == [chunks_of(document, bert, 64, 10) for document in documents]


def test_a_tokenizer_that_truncates_is_cut_with_all_the_same(bert: Any) -> None:
    """transformers leaves truncation and padding switched on after a call of its own."""
    text = "word " * 40
    bert(["a", text], truncation=True, max_length=8, padding="max_length")
    assert len(chunks_of(text, bert, n_tokens=12, overlap=0)) == 4
    bert(["a", text], truncation=True, max_length=8, padding="max_length")
    assert _counts(fixed_length_texts(2, 20, bert), bert) == [20, 20]


def test_without_a_tokenizer_words_are_tokens() -> None:
    """Five tokens are three words and two special ones; whitespace of any kind parts words."""
    text = " a b\n\nc d\te\u00a0f g "
    assert word_chunks_of(text, n_tokens=5, overlap=1) == ["a b\n\nc", "c d\te", "e\u00a0f g"]
    assert word_chunks_of(text, n_tokens=5, overlap=1, n_around=0) == [
        "a b\n\nc d\te",
        "e\u00a0f g",
    ]
    assert chunks_of(text, None, 5, 1) == word_chunks_of(text, 5, 1)


@pytest.mark.parametrize("n_tokens", [3, 128, 8192])
def test_texts_of_fixed_length_have_exactly_that_many_tokens(bert: Any, n_tokens: int) -> None:
    """Special tokens included, as the model reads them."""
    texts = fixed_length_texts(5, n_tokens, bert)
    assert _counts(texts, bert) == [n_tokens] * 5
    assert [len(text.split()) for text in texts] == [n_tokens - 2] * 5


def test_a_prompt_counts_among_the_tokens(bert: Any) -> None:
    """
    "passage: " is "passage" and ":" to BERT: with two special tokens, four stand around a text.

    Of two that stand around words, the prompt has its last word together with the text's first.
    """
    assert tokens_around(bert) == 2
    assert tokens_around(bert, "passage: ") == 4
    assert (tokens_around(None, "a b "), tokens_around(None, "a b")) == (4, 3)
    texts = fixed_length_texts(3, 64, bert, prompt="passage: ")
    assert _counts([f"passage: {text}" for text in texts], bert) == [64] * 3
    document = max(SyntheticDocuments(12), key=len)
    plain, prompted = (
        chunks_of(document, bert, 64, 0),
        chunks_of(document, bert, 64, 0, prompt="passage: "),
    )
    assert len(prompted) > len(plain)
    assert np.median(_counts([f"passage: {chunk}" for chunk in prompted], bert)) == 64


def test_texts_of_fixed_length_are_different_and_the_same_each_time(bert: Any) -> None:
    """Deterministic, and another seed makes others."""
    texts = fixed_length_texts(20, 64, bert)
    assert len(set(texts)) == 20
    assert fixed_length_texts(20, 64, bert) == texts
    assert not set(fixed_length_texts(20, 64, bert, seed=1)) & set(texts)


def test_without_a_tokenizer_a_fixed_length_is_of_words() -> None:
    """Two special tokens are around them."""
    assert [len(text.split()) for text in fixed_length_texts(3, 128, None)] == [126] * 3


@pytest.mark.parametrize("tokenizer", ["bert", None])
def test_a_fixed_length_without_room_for_a_word_is_refused(
    tokenizer: str | None, request: pytest.FixtureRequest
) -> None:
    """Two tokens are [CLS] and [SEP]."""
    found = request.getfixturevalue(tokenizer) if tokenizer else None
    with pytest.raises(ValueError, match="no more than the special ones"):
        fixed_length_texts(1, 2, found)


def test_a_tokenizer_without_words_of_one_token_is_a_fault() -> None:
    """A tokenizer of characters, for one."""
    rust = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    with pytest.raises(BadInput, match="no texts of exactly 16 tokens"):
        fixed_length_texts(1, 16, SimpleNamespace(backend_tokenizer=rust))


def test_a_tokenizer_that_counts_otherwise_in_a_longer_text_is_a_fault() -> None:
    """The texts are tokenised at the end; here four words in a row become one."""
    rust = Tokenizer(models.WordLevel({"[UNK]": 0, "[SEP]": 1}, unk_token="[UNK]"))
    rust.normalizer = normalizers.Replace(Regex(r"(\w+ ){3}\w+"), "x")
    rust.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    rust.post_processor = TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 1)])
    tokenizer = SimpleNamespace(backend_tokenizer=rust)
    assert len(fixed_length_texts(1, 3, tokenizer)[0].split()) == 2
    with pytest.raises(BadInput, match="no texts of exactly 16 tokens"):
        fixed_length_texts(1, 16, tokenizer)
