"""Texts to vectors through the store, with a fake backend that counts and with the real model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from datasets import Dataset
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.instruct_wrapper import InstructSentenceTransformerModel
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from mteb.types import PromptType
from safetensors import safe_open
from torch.utils.data import DataLoader

from granite_bench.engine.backends import dense_backend
from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend, has_backend
from granite_bench.engine.backends.tokens import FastTokenizer, Tokens, counted
from granite_bench.engine.encoding import encoder as encoder_module
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.vectors.vectors import StoredVectors
from granite_bench.errors import NonFiniteVectors, StorageError, TaskError

PLAIN = Instruction(None, "")
TEXTS = ["a b c d e", "a b", "c d e", "f", "a b", "g h i j", "k l m", "f"]
UNIQUE = ["a b c d e", "a b", "c d e", "f", "g h i j", "k l m"]


class FakeBackend:
    """
    A model whose tokens are words and whose vectors come from the text's hash.

    The first value of a vector is the length of the batch's longest text: like a real model's
    last bits, it tells in which batch the text was.
    """

    def __init__(self) -> None:
        self.name = "fake"
        self.max_length: int | None = None
        self.dtype = "float32"
        self.device = "cpu"
        self.pads = True
        self.attention: str | None = None
        self.similarity_name: str | None = "cosine"
        self.batches: list[list[str]] = []
        self.fails_after: int | None = None
        self.failure: BaseException = RuntimeError("the device is gone")
        self.memory: int | None = None
        self.shortage: Exception = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.too_large: list[int] = []
        self.n_released = 0
        self.bad: dict[str, float] = {}

    @property
    def encoded(self) -> list[str]:
        """Every text that was encoded, in that order."""
        return [text for batch in self.batches for text in batch]

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """None at all."""
        return PLAIN

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """Words."""
        counts = np.array([len(text.split()) for text in texts], dtype=np.int32)
        return counted(texts, counts, self.max_length)

    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        """One row per text; *failure* after so many batches, *shortage* above so many tokens."""
        if self.fails_after is not None and len(self.batches) == self.fails_after:
            raise self.failure
        n_tokens = int(tokens.lengths[rows].max()) * len(rows)
        if self.memory is not None and n_tokens > self.memory:
            self.too_large.append(n_tokens)
            raise self.shortage
        texts = [tokens.texts[row] for row in rows]
        self.batches.append(texts)
        vectors = [vector_of(text, max(map(len, texts))) for text in texts]
        for vector, text in zip(vectors, texts, strict=True):
            vector[-1] = self.bad.get(text, vector[-1])
        return np.array(vectors)

    def knows_tokens(self, instruction: Instruction) -> bool:
        """Words are words."""
        return True

    def release_memory(self) -> None:
        """Counted."""
        self.n_released += 1


def vector_of(text: str, longest: int) -> npt.NDArray[np.float32]:
    """What FakeBackend makes of a text."""
    digest = hashlib.sha256(text.encode()).digest()
    return np.array([longest, *digest[:7]], dtype=np.float32)


def encoder_over(
    backend: Any, store: Path | None, *, token_budget: int = 4, **identity: str
) -> Encoder:
    """An Encoder with the identity of the tests' one model."""
    named = {"model": "org/model", "revision": "1", **identity}
    return Encoder(backend, named, store_folder=store, token_budget=token_budget)


def encode(
    encoder: Encoder, texts: Sequence[str], instruction: Instruction = PLAIN
) -> tuple[npt.NDArray[np.float32], EncodingCost]:
    """The vectors and what they cost."""
    cost = EncodingCost()
    return encoder.encode([texts], instruction, cost, label="texts").array(), cost


def shards_below(folder: Path) -> list[Path]:
    """The shards of every configuration."""
    return sorted(folder.rglob("*.safetensors"))


def small_shards(monkeypatch: pytest.MonkeyPatch, texts: int) -> None:
    """So few texts per shard that a handful of texts fills several."""
    monkeypatch.setattr(encoder_module, "TEXTS_PER_SHARD", texts)


# Twelve texts, all of different length, for shards of four: three of them.
TWELVE = [" ".join("abcdefghijkl"[:words]) for words in (3, 12, 7, 1, 9, 5, 11, 2, 8, 6, 10, 4)]
LONGEST_FIRST = sorted(TWELVE, key=len, reverse=True)


@pytest.mark.parametrize("stored", [True, False])
def test_vectors_come_in_the_order_of_the_texts(tmp_path: Path, stored: bool) -> None:
    """Whatever order they were encoded in; the hash part of each vector says whose it is."""
    vectors, _ = encode(encoder_over(FakeBackend(), tmp_path if stored else None), TEXTS)
    assert vectors.dtype == np.float32
    expected = np.array([vector_of(text, 0) for text in TEXTS])
    assert vectors[:, 1:].tolist() == expected[:, 1:].tolist()


@pytest.mark.parametrize("stored", [True, False])
def test_equal_texts_are_encoded_once(tmp_path: Path, stored: bool) -> None:
    """Eight texts, six of them different."""
    backend = FakeBackend()
    _, cost = encode(encoder_over(backend, tmp_path if stored else None), TEXTS)
    assert sorted(backend.encoded) == sorted(UNIQUE)
    assert (cost.n_texts, cost.n_unique, cost.n_encoded) == (8, 6, 6)


def test_different_texts_come_once_with_the_place_of_each_text(tmp_path: Path) -> None:
    """In the order of first occurrence: "a b" is the second different text, "f" the fourth."""
    encoder, cost = encoder_over(FakeBackend(), tmp_path), EncodingCost()
    encoded = encoder.encode([TEXTS], PLAIN, cost, label="texts")
    vectors = encoded.vectors.gather(np.arange(encoded.vectors.n_vectors))
    assert vectors[:, 1:].tolist() == [vector_of(text, 0)[1:].tolist() for text in UNIQUE]
    assert encoded.rows.tolist() == [0, 1, 2, 3, 1, 4, 5, 3]


@pytest.mark.parametrize("stored", [True, False])
def test_blocks_of_texts_are_one_list(tmp_path: Path, stored: bool) -> None:
    """A corpus comes in blocks, an empty one among them: same batches, vectors and rows."""
    blocks = [TEXTS[:3], [], TEXTS[3:4], TEXTS[4:]]
    one, many, cost = FakeBackend(), FakeBackend(), EncodingCost()
    whole, _ = encode(encoder_over(one, None), TEXTS)
    encoder = encoder_over(many, tmp_path if stored else None)
    encoded = encoder.encode(blocks, PLAIN, cost, label="texts")
    assert many.batches == one.batches
    assert encoded.array().tobytes() == whole.tobytes()
    assert (cost.n_texts, cost.n_unique) == (8, 6)


def test_a_second_call_encodes_nothing(tmp_path: Path) -> None:
    """By another Encoder, as in the next run: the same vectors, all from the store."""
    first, _ = encode(encoder_over(FakeBackend(), tmp_path), TEXTS)
    backend = FakeBackend()
    second, cost = encode(encoder_over(backend, tmp_path), TEXTS)
    assert backend.batches == []
    assert (cost.n_texts, cost.n_unique, cost.n_encoded) == (8, 6, 0)
    assert cost.encode_seconds == 0
    assert second.tobytes() == first.tobytes()


def test_only_new_texts_are_encoded(tmp_path: Path) -> None:
    """Another task shares some texts, in another order."""
    encode(encoder_over(FakeBackend(), tmp_path), TEXTS)
    backend = FakeBackend()
    vectors, cost = encode(encoder_over(backend, tmp_path), ["new", "c d e", "a b", "newer"])
    assert sorted(backend.encoded) == ["new", "newer"]
    assert (cost.n_unique, cost.n_encoded) == (4, 2)
    expected = [vector_of(text, 0)[1:].tolist() for text in ["new", "c d e", "a b", "newer"]]
    assert vectors[:, 1:].tolist() == expected


def test_without_a_store_no_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_below: Callable[[], list[str]]
) -> None:
    """Neither here nor where vectors are kept by default; the next run encodes all again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path))
    encode(encoder_over(FakeBackend(), None), TEXTS)
    _, cost = encode(encoder_over(FakeBackend(), None), TEXTS)
    assert cost.n_encoded == 6
    assert files_below() == []


def test_without_a_store_the_last_answer_is_remembered() -> None:
    """Another variant of the same corpus: nothing is encoded, and the counts are the task's."""
    backend = FakeBackend()
    backend.max_length = 3
    encoder = encoder_over(backend, None)
    first, _ = encode(encoder, TEXTS)
    backend.batches.clear()
    again, cost = encode(encoder, TEXTS)
    assert backend.batches == []
    assert again.tobytes() == first.tobytes()
    assert (cost.n_texts, cost.n_unique, cost.n_encoded, cost.n_truncated) == (8, 6, 0, 2)
    assert (cost.n_tokens_encoded, cost.n_tokens_padded, cost.encode_seconds) == (0, 0, 0)


@pytest.mark.parametrize(
    "other",
    [TEXTS[:-1], [*TEXTS, "new"], TEXTS[::-1], [*TEXTS[:-1], "new"]],
    ids=["shorter", "longer", "another order", "another text"],
)
def test_without_a_store_another_list_is_encoded(other: list[str]) -> None:
    """Only the very same list is the last answer's; the vectors are those of the new one."""
    backend = FakeBackend()
    encoder = encoder_over(backend, None)
    encode(encoder, TEXTS)
    vectors, cost = encode(encoder, other)
    assert cost.n_encoded == len(set(other))
    assert vectors[:, 1:].tolist() == [vector_of(text, 0)[1:].tolist() for text in other]


def test_without_a_store_only_the_last_list_is_remembered() -> None:
    """One corpus goes before the next one comes; a third call with the first encodes it again."""
    encoder = encoder_over(FakeBackend(), None)
    costs = [encode(encoder, texts)[1] for texts in (TEXTS, ["new"], TEXTS)]
    assert [cost.n_encoded for cost in costs] == [6, 1, 6]


def test_the_last_answer_of_another_instruction_stays() -> None:
    """Corpus and queries are asked for by turns, once per variant."""
    encoder, query, document = encoder_over(FakeBackend(), None), Instruction("query", ""), PLAIN
    calls = [(TEXTS, document), (["f"], query), (TEXTS, document), (["f"], query)]
    costs = [encode(encoder, texts, instruction)[1] for texts, instruction in calls]
    assert [cost.n_encoded for cost in costs] == [6, 1, 0, 0]


def test_answers_for_earlier_instructions_are_let_go() -> None:
    """
    A model whose prompts name the task has new ones for each: ten corpora must not stay in
    memory, one gigabyte each.
    """
    encoder = encoder_over(FakeBackend(), None)
    for number in range(10):
        encode(encoder, TEXTS, Instruction("document", f"task {number}: "))
    _, cost = encode(encoder, TEXTS, Instruction("document", "task 0: "))
    assert cost.n_encoded == 6


def test_after_a_failure_nothing_is_remembered_as_an_answer() -> None:
    """The same list again is encoded again, whole."""
    backend = FakeBackend()
    backend.fails_after = 2
    encoder = encoder_over(backend, None)
    with pytest.raises(RuntimeError, match="the device is gone"):
        encode(encoder, TEXTS)
    backend.fails_after = None
    vectors, cost = encode(encoder, TEXTS)
    assert cost.n_encoded == 6
    assert vectors[:, 1:].tolist() == [vector_of(text, 0)[1:].tolist() for text in TEXTS]


@pytest.mark.parametrize("stored", [True, False])
def test_no_texts_make_no_vectors(tmp_path: Path, stored: bool) -> None:
    """And need no backend."""
    backend = FakeBackend()
    vectors, cost = encode(encoder_over(backend, tmp_path if stored else None), [])
    assert vectors.shape[0] == 0
    assert vectors.dtype == np.float32
    assert backend.batches == []
    assert cost.n_texts == 0


@pytest.mark.parametrize(
    "change",
    [
        "model",
        "revision",
        "loaded",
        "backend",
        "dtype",
        "prompt",
        "role",
    ],
)
def test_what_changes_a_vector_is_encoded_again(tmp_path: Path, change: str) -> None:
    """The store holds the texts, but under another model, precision or instruction."""
    encode(encoder_over(FakeBackend(), tmp_path), UNIQUE)
    backend, identity, instruction = FakeBackend(), {}, PLAIN
    match change:
        case "model" | "revision" | "loaded":
            identity = {change: "other"}
        case "backend":
            backend.name = "other"
        case "dtype":
            backend.dtype = "bfloat16"
        case "prompt":
            instruction = Instruction(None, "query: ")
        case "role":
            instruction = Instruction("query", "")
    _, cost = encode(encoder_over(backend, tmp_path, **identity), UNIQUE, instruction)
    assert cost.n_encoded == len(UNIQUE)


def test_another_token_budget_or_device_uses_the_same_vectors(tmp_path: Path) -> None:
    """They change the last bits at most: a run moved to a GPU goes on where it stopped."""
    encode(encoder_over(FakeBackend(), tmp_path), UNIQUE)
    backend = FakeBackend()
    backend.device, backend.attention = "cuda:0", "flash_attention_2"
    _, cost = encode(encoder_over(backend, tmp_path, token_budget=999), UNIQUE)
    assert cost.n_encoded == 0


def test_one_encoder_keeps_instructions_apart(tmp_path: Path) -> None:
    """Queries and documents of one run, the same text among them."""
    encoder = encoder_over(FakeBackend(), tmp_path)
    _, queries = encode(encoder, ["a b"], Instruction("query", "query: "))
    _, documents = encode(encoder, ["a b"], Instruction("document", "passage: "))
    _, again = encode(encoder, ["a b"], Instruction("query", "query: "))
    assert [cost.n_encoded for cost in (queries, documents, again)] == [1, 1, 0]


def test_batches_keep_to_the_token_budget(tmp_path: Path) -> None:
    """Words 5, 4, 3, 3, 2, 1 under a budget of 6: padded, two texts of 3 fit, and 2 with 1."""
    backend = FakeBackend()
    encode(encoder_over(backend, tmp_path, token_budget=6), UNIQUE)
    assert backend.batches == [["a b c d e"], ["g h i j"], ["c d e", "k l m"], ["a b", "f"]]


def test_long_texts_count_as_what_the_model_reads_of_them(tmp_path: Path) -> None:
    """Cut to 2 words, any three texts are 6 tokens; "a b" and "f" are whole, and apart."""
    backend = FakeBackend()
    backend.max_length = 2
    encode(encoder_over(backend, tmp_path, token_budget=6), UNIQUE)
    assert sorted(map(len, backend.batches)) == [1, 2, 3]
    assert ["a b", "f"] in backend.batches


def test_truncated_texts_and_tokens_are_counted(tmp_path: Path) -> None:
    """Words 5, 2, 3, 1, 4, 3 at most 3: two are cut, and 3 + 2 + 3 + 1 + 3 + 3 tokens are read."""
    backend = FakeBackend()
    backend.max_length = 3
    _, cost = encode(encoder_over(backend, tmp_path), TEXTS)
    assert cost.n_truncated == 2
    assert cost.n_tokens_encoded == 15


def test_tokens_are_counted_with_the_padding_of_their_batches(tmp_path: Path) -> None:
    """Batches of words 5, 4, 3 3 and 2 1 (budget 6): 5 + 4 + 6 + 2 x 2 tokens for 18 words."""
    _, cost = encode(encoder_over(FakeBackend(), tmp_path, token_budget=6), UNIQUE)
    assert (cost.n_tokens_encoded, cost.n_tokens_padded) == (18, 19)


def test_truncated_texts_are_counted_when_they_come_from_the_store(tmp_path: Path) -> None:
    """They belong to the task, not to the run; the tokens encoded belong to the run."""
    for _ in range(2):
        backend = FakeBackend()
        backend.max_length = 3
        _, cost = encode(encoder_over(backend, tmp_path), TEXTS)
    assert (cost.n_truncated, cost.n_tokens_encoded) == (2, 0)


def test_nothing_is_truncated_without_a_maximum_length(tmp_path: Path) -> None:
    """All 18 words of the six texts are read."""
    _, cost = encode(encoder_over(FakeBackend(), tmp_path), TEXTS)
    assert (cost.n_truncated, cost.n_tokens_encoded) == (0, 18)


def test_costs_add_up_over_calls(tmp_path: Path) -> None:
    """One EncodingCost for two calls; a text of both is encoded by the first alone."""
    encoder, cost = encoder_over(FakeBackend(), tmp_path), EncodingCost()
    encoder.encode([["a b", "c"]], PLAIN, cost, label="texts")
    encoder.encode([["c", "d e f"]], PLAIN, cost, label="texts")
    assert (cost.n_texts, cost.n_unique, cost.n_encoded, cost.n_tokens_encoded) == (4, 4, 3, 6)


def test_a_shard_has_at_most_its_number_of_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve texts in shards of five: five, five and two, each in batches of its own."""
    small_shards(monkeypatch, 5)
    backend = FakeBackend()
    encode(encoder_over(backend, tmp_path, token_budget=1000), TWELVE)
    assert backend.batches == [LONGEST_FIRST[:5], LONGEST_FIRST[5:10], LONGEST_FIRST[10:]]
    assert len(shards_below(tmp_path)) == 3


def test_a_shard_has_at_most_its_number_of_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lengths 30, 9, 9, 4, 3, 2, 1 at 20 characters: the 30 alone, 9 + 9, then the rest."""
    monkeypatch.setattr(encoder_module, "CHARACTERS_PER_SHARD", 20)
    texts = ["a" * 4, "b" * 30, "c" * 9, "d" * 3, "e" * 9, "f" * 2, "g"]
    backend = FakeBackend()
    encode(encoder_over(backend, tmp_path, token_budget=1000), texts)
    lengths = [[len(text) for text in batch] for batch in backend.batches]
    assert lengths == [[30], [9, 9], [4, 3, 2, 1]]
    assert len(shards_below(tmp_path)) == 3


def test_a_shard_may_be_exactly_full_of_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 + 10 are 20, so the limit of 20 is not passed."""
    monkeypatch.setattr(encoder_module, "CHARACTERS_PER_SHARD", 20)
    encode(encoder_over(FakeBackend(), tmp_path), ["a" * 10, "b" * 10])
    assert len(shards_below(tmp_path)) == 1


def test_a_crash_costs_one_shard_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three shards are done when the model fails; the next call encodes the third."""
    small_shards(monkeypatch, 4)
    backend = FakeBackend()
    # A budget of 24 words: batches of 2 and 2, then of 3 and 1, then of 4.
    backend.fails_after = 4
    with pytest.raises(RuntimeError, match="the device is gone"):
        encode(encoder_over(backend, tmp_path, token_budget=24), TWELVE)
    assert sorted(backend.encoded) == sorted(LONGEST_FIRST[:8])

    resumed = FakeBackend()
    _, cost = encode(encoder_over(resumed, tmp_path, token_budget=24), TWELVE)
    assert sorted(resumed.encoded) == sorted(LONGEST_FIRST[8:])
    assert cost.n_encoded == 4


def test_a_crash_inside_a_shard_loses_only_that_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second shard's first batch is done and lost; its four texts are encoded again."""
    small_shards(monkeypatch, 4)
    backend = FakeBackend()
    backend.fails_after = 3
    with pytest.raises(RuntimeError, match="the device is gone"):
        encode(encoder_over(backend, tmp_path, token_budget=24), TWELVE)
    assert len(shards_below(tmp_path)) == 1

    resumed = FakeBackend()
    encode(encoder_over(resumed, tmp_path, token_budget=24), TWELVE)
    assert sorted(resumed.encoded) == sorted(LONGEST_FIRST[4:])


@pytest.mark.parametrize("fails_after", range(5))
def test_vectors_after_a_crash_are_those_of_a_run_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_after: int
) -> None:
    """To the last bit: the same texts meet in the same five batches (see FakeBackend)."""
    small_shards(monkeypatch, 4)
    whole, _ = encode(encoder_over(FakeBackend(), None, token_budget=24), TWELVE)
    backend = FakeBackend()
    backend.fails_after = fails_after
    with pytest.raises(RuntimeError, match="the device is gone"):
        encode(encoder_over(backend, tmp_path, token_budget=24), TWELVE)
    resumed, _ = encode(encoder_over(FakeBackend(), tmp_path, token_budget=24), TWELVE)
    assert resumed.tobytes() == whole.tobytes()


def test_a_stored_text_changes_no_batch_of_another_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards are cut from all texts; the middle one has a text that another task encoded."""
    small_shards(monkeypatch, 4)
    encode(encoder_over(FakeBackend(), tmp_path, token_budget=24), [LONGEST_FIRST[5]])
    alone, shared = FakeBackend(), FakeBackend()
    encode(encoder_over(alone, None, token_budget=24), TWELVE)
    encode(encoder_over(shared, tmp_path, token_budget=24), TWELVE)
    others = set(LONGEST_FIRST[:4] + LONGEST_FIRST[8:])
    assert [batch for batch in shared.batches if others.issuperset(batch)] == [
        batch for batch in alone.batches if others.issuperset(batch)
    ]
    assert LONGEST_FIRST[5] not in shared.encoded


def test_a_broken_shard_is_encoded_again_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same vectors, one shard's work, and its name for the record, once."""
    small_shards(monkeypatch, 4)
    before, _ = encode(encoder_over(FakeBackend(), tmp_path), TWELVE)
    shard = shards_below(tmp_path)[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    encoder = encoder_over(FakeBackend(), tmp_path)
    after, cost = encode(encoder, TWELVE)
    assert cost.n_encoded == 4
    assert after.tobytes() == before.tobytes()
    encode(encoder, TWELVE)
    assert encoder.repaired_shards == [shard.name]


@pytest.mark.parametrize("number", range(3))
def test_a_shard_with_a_changed_vector_is_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Found by its checksum once it is in the index: the new one has its name, not its place."""
    small_shards(monkeypatch, 4)
    before, _ = encode(encoder_over(FakeBackend(), tmp_path, token_budget=24), TWELVE)
    shard = shards_below(tmp_path)[number]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    encoder = encoder_over(FakeBackend(), tmp_path, token_budget=24)
    after, cost = encode(encoder, TWELVE)
    assert (cost.n_encoded, encoder.repaired_shards) == (4, [shard.name])
    assert after.tobytes() == before.tobytes()


def test_a_full_disk_stops_the_run_and_keeps_what_was_written(
    tmp_path: Path, full_disk: Callable[[], None]
) -> None:
    """StorageError, and the texts of earlier calls are still in the store."""
    encode(encoder_over(FakeBackend(), tmp_path), UNIQUE)
    full_disk()
    with pytest.raises(StorageError, match="No space left"):
        encode(encoder_over(FakeBackend(), tmp_path), ["new"])
    _, cost = encode(encoder_over(FakeBackend(), tmp_path), UNIQUE)
    assert cost.n_encoded == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_names_every_text_that_has_it(
    tmp_path: Path, value: float
) -> None:
    """Positions in the list that was given, duplicates included."""
    backend = FakeBackend()
    backend.bad = {"a b": value, "k l m": value}
    with pytest.raises(NonFiniteVectors, match="3 of 8 embeddings") as caught:
        encode(encoder_over(backend, tmp_path), TEXTS)
    assert caught.value.rows == [1, 4, 6]
    assert caught.value.n_texts == 8


def test_a_shard_with_a_bad_vector_is_not_written_but_earlier_ones_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three shards is bad; a mended model needs to encode it and the third."""
    small_shards(monkeypatch, 4)
    backend = FakeBackend()
    backend.bad = {LONGEST_FIRST[5]: float("nan")}
    with pytest.raises(NonFiniteVectors):
        encode(encoder_over(backend, tmp_path), TWELVE)
    assert len(shards_below(tmp_path)) == 1
    mended = FakeBackend()
    vectors, _ = encode(encoder_over(mended, tmp_path), TWELVE)
    assert sorted(mended.encoded) == sorted(LONGEST_FIRST[4:])
    assert np.isfinite(vectors).all()


# Memory: a batch that is too large for it.


def test_after_running_out_of_memory_all_vectors_are_right_and_in_place() -> None:
    """12 texts of 1 to 12 words, a budget of 48 and memory for 13: every text is there, once."""
    backend = FakeBackend()
    backend.memory = 13
    vectors, cost = encode(encoder_over(backend, None, token_budget=48), TWELVE)
    assert sorted(backend.encoded) == sorted(TWELVE)
    assert vectors[:, 1:].tolist() == [vector_of(text, 0)[1:].tolist() for text in TWELVE]
    assert (cost.n_encoded, cost.n_tokens_encoded) == (12, 78)


def test_a_batch_that_is_too_large_is_halved_until_it_fits() -> None:
    """
    Four texts of 12, 11, 10, 9 words, budget 48, memory 13: 4 x 12 is too much, so the budget
    is 24; 2 x 12 is too much, so it is 12, and each text is alone.
    """
    backend = FakeBackend()
    backend.memory = 13
    encoder = encoder_over(backend, None, token_budget=48)
    encode(encoder, LONGEST_FIRST[:4])
    assert backend.too_large == [48, 24]
    assert encoder.budget_cuts == [48, 24]
    assert encoder.token_budget == 12
    assert backend.batches == [[text] for text in LONGEST_FIRST[:4]]


def test_a_batch_far_below_the_budget_is_halved_itself() -> None:
    """Half the budget of 1000 would be the same batch of 48 again, and again."""
    backend = FakeBackend()
    backend.memory = 24
    encoder = encoder_over(backend, None, token_budget=1000)
    encode(encoder, LONGEST_FIRST[:4])
    assert (backend.too_large, encoder.token_budget) == ([48], 24)
    assert encoder.budget_cuts == [1000]


def test_batches_before_the_one_that_did_not_fit_are_not_encoded_again() -> None:
    """Batches of 2, 2 and 8 texts, the third too large: the first four texts are done once."""
    texts = [*LONGEST_FIRST[:4], *(f"{letter} b" for letter in "abcdefgh")]
    backend = FakeBackend()
    encode(encoder_over(backend, None, token_budget=24), texts)
    assert [len(batch) for batch in backend.batches] == [2, 2, 8]

    class Fuller(FakeBackend):
        """Its memory shrinks, as when something else on the device takes it."""

        def encode(self, tokens: Tokens, *args: Any) -> npt.NDArray[np.float32]:
            self.memory = 24 if len(self.batches) < 2 else 8
            return super().encode(tokens, *args)

    backend = Fuller()
    vectors, _ = encode(encoder_over(backend, None, token_budget=24), texts)
    assert [len(batch) for batch in backend.batches] == [2, 2, 4, 4]
    assert vectors[:, 1:].tolist() == [vector_of(text, 0)[1:].tolist() for text in texts]


def test_the_lower_budget_stays_for_later_calls() -> None:
    """What was too much once is not tried again, for other texts and instructions neither."""
    backend = FakeBackend()
    backend.memory = 13
    encoder = encoder_over(backend, None, token_budget=48)
    encode(encoder, LONGEST_FIRST[:4])
    backend.too_large.clear()
    encode(encoder, [f"{text} more" for text in TWELVE], Instruction("query", ""))
    assert (backend.too_large, encoder.token_budget) == ([], 12)


def test_memory_is_released_before_a_batch_is_tried_again() -> None:
    """Once for each that did not fit."""
    backend = FakeBackend()
    backend.memory = 13
    encode(encoder_over(backend, None, token_budget=48), LONGEST_FIRST[:4])
    assert backend.n_released == 2


def test_what_the_failed_batch_had_allocated_is_gone_when_memory_is_released() -> None:
    """An exception holds the frames it came through, and they the tensors of the model."""

    class Activations:
        """Stands for tensors that a forward pass holds."""

    class Forward(FakeBackend):
        """Keeps a weak reference to what the last batch allocated."""

        allocated: Callable[[], object | None] = staticmethod(lambda: None)
        left: list[object | None]

        def encode(self, tokens: Tokens, *args: Any) -> npt.NDArray[np.float32]:
            activations = Activations()
            self.allocated = weakref.ref(activations)
            self.shortage = MemoryError()  # a new one: the last holds its frames as well
            return super().encode(tokens, *args)

        def release_memory(self) -> None:
            self.left.append(self.allocated())

    backend = Forward()
    backend.memory, backend.left = 13, []
    encode(encoder_over(backend, None, token_budget=48), LONGEST_FIRST[:4])
    assert backend.left == [None, None]


@pytest.mark.parametrize(
    "shortage",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        torch.OutOfMemoryError("Allocation on device"),
        MemoryError(),
    ],
    ids=["GPU", "CPU on Linux", "CPU on Windows", "cuBLAS", "torch's class", "MemoryError"],
)
def test_every_kind_of_too_little_memory_halves_the_budget(shortage: Exception) -> None:
    """torch raises a class of its own for GPUs and a plain RuntimeError for CPUs."""
    backend = FakeBackend()
    backend.memory, backend.shortage = 24, shortage
    encoder = encoder_over(backend, None, token_budget=48)
    vectors, _ = encode(encoder, LONGEST_FIRST[:4])
    assert encoder.budget_cuts == [48]
    assert len(vectors) == 4


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        ValueError("out of memory of the oldest inhabitant"),
        KeyError("a"),
    ],
)
def test_other_errors_of_the_model_pass_through(failure: Exception) -> None:
    """Raised once, by the first batch; nothing is released, no budget is cut."""
    backend = FakeBackend()
    backend.fails_after, backend.failure = 0, failure
    encoder = encoder_over(backend, None, token_budget=48)
    with pytest.raises(type(failure)) as caught:
        encode(encoder, TWELVE)
    assert caught.value is failure
    assert (encoder.budget_cuts, backend.n_released, encoder.token_budget) == ([], 0, 48)


def test_a_single_text_that_does_not_fit_is_an_error_that_says_what_to_do() -> None:
    """12 words where 11 fit: its length, the device, and the next step."""
    backend = FakeBackend()
    backend.memory, backend.device = 11, "cuda:0"
    with pytest.raises(TaskError) as caught:
        encode(encoder_over(backend, None, token_budget=12), TWELVE)
    assert str(caught.value) == (
        "one text of 12 tokens does not fit the memory of cuda:0\n"
        "  try --max-length, or --dtype bfloat16"
    )
    assert caught.value.__cause__ is backend.shortage
    assert backend.n_released == 1


def test_halving_is_the_same_with_a_store(tmp_path: Path) -> None:
    """What is stored is what was encoded in the smaller batches."""
    backend = FakeBackend()
    backend.memory = 13
    first, _ = encode(encoder_over(backend, tmp_path, token_budget=48), TWELVE)
    again, cost = encode(encoder_over(FakeBackend(), tmp_path, token_budget=48), TWELVE)
    assert cost.n_encoded == 0
    assert again.tobytes() == first.tobytes()


# Maximum lengths: one store for what is read whole, one per length for what is cut.


def configurations(folder: Path) -> dict[int | None, int]:
    """truncated_to -> number of texts, over all configurations of the store."""
    n_texts: dict[int | None, int] = {}
    for path in folder.glob("*/configuration.json"):
        length = json.loads(path.read_bytes())["truncated_to"]
        for shard in path.parent.glob("*.safetensors"):
            with safe_open(shard, framework="numpy") as content:
                n_texts[length] = n_texts.get(length, 0) + len(content.get_tensor("token_counts"))
    return n_texts


def at_length(
    store: Path, max_length: int | None, texts: Sequence[str] = TWELVE
) -> tuple[FakeBackend, npt.NDArray[np.float32], EncodingCost]:
    """A run of its own under a maximum length."""
    backend = FakeBackend()
    backend.max_length = max_length
    vectors, cost = encode(encoder_over(backend, store, token_budget=24), texts)
    return backend, vectors, cost


def test_texts_that_are_read_whole_lie_in_a_store_without_a_length(tmp_path: Path) -> None:
    """1 to 12 words: 8 fit, a text of exactly 8 words among them, and 4 are cut."""
    at_length(tmp_path, 8)
    assert configurations(tmp_path) == {None: 8, 8: 4}


def test_a_greater_length_encodes_only_what_was_cut(tmp_path: Path) -> None:
    """512 then 2048 in small: 4 then 8 words, then all; counts are of the texts, each time."""
    _, _, first = at_length(tmp_path, 4)
    assert (first.n_encoded, first.n_truncated, first.n_tokens_encoded) == (12, 8, 10 + 8 * 4)
    longer, _, second = at_length(tmp_path, 8)
    assert sorted(longer.encoded) == sorted(t for t in TWELVE if len(t.split()) > 4)
    assert (second.n_encoded, second.n_truncated) == (8, 4)
    assert second.n_tokens_encoded == 5 + 6 + 7 + 8 + 4 * 8
    whole, _, third = at_length(tmp_path, None)
    assert sorted(whole.encoded) == sorted(t for t in TWELVE if len(t.split()) > 8)
    assert (third.n_encoded, third.n_truncated) == (4, 0)
    assert configurations(tmp_path) == {None: 12, 4: 8, 8: 4}


def test_a_smaller_length_encodes_only_what_is_longer(tmp_path: Path) -> None:
    """12 words read whole, then 8: the four that are longer, although the store has them whole."""
    at_length(tmp_path, 12)
    shorter, _, cost = at_length(tmp_path, 8)
    assert sorted(shorter.encoded) == sorted(t for t in TWELVE if len(t.split()) > 8)
    assert (cost.n_unique, cost.n_encoded, cost.n_truncated) == (12, 4, 4)


@pytest.mark.parametrize("lengths", [(4, 8, 4), (8, 4, 8), (4, None, 4), (None, 4, None)])
def test_going_back_to_a_length_encodes_nothing(
    tmp_path: Path, lengths: tuple[int | None, ...]
) -> None:
    """And gives the vectors of that length, to the last bit."""
    (_, first, _), _, (backend, last, cost) = [at_length(tmp_path, n) for n in lengths]
    assert (backend.batches, cost.n_encoded) == ([], 0)
    assert cost.n_truncated == sum(len(text.split()) > (lengths[0] or 99) for text in TWELVE)
    assert last.tobytes() == first.tobytes()


def test_a_truncated_text_never_has_the_vector_of_another_length(tmp_path: Path) -> None:
    """The vectors here say under which length they were made."""

    class Told(FakeBackend):
        """The second value is what the model read of the text."""

        def encode(
            self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
        ) -> npt.NDArray[np.float32]:
            vectors = super().encode(tokens, rows, instruction)
            vectors[:, 1] = tokens.lengths[rows]
            return vectors

    for max_length in (4, 8, 2, None, 8, 4):
        backend = Told()
        backend.max_length = max_length
        vectors, _ = encode(encoder_over(backend, tmp_path), TWELVE)
        assert vectors[:, 1].tolist() == [
            min(len(text.split()), max_length or 99) for text in TWELVE
        ]


def test_one_shard_of_whole_and_truncated_texts_is_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with batches of its own: 12 to 9 words are cut to 8, 8 to 1 are whole; 24 a batch."""
    backend, _, _ = at_length(tmp_path, 8)
    assert len(shards_below(tmp_path)) == 2
    kinds = [{len(text.split()) > 8 for text in batch} for batch in backend.batches]
    assert kinds == [{False}] * 3 + [{True}] * 2


@pytest.mark.parametrize("crash_after", range(5))
def test_vectors_after_a_crash_between_whole_and_truncated_texts_are_the_same(
    tmp_path: Path, crash_after: int
) -> None:
    """
    Five batches, three of whole texts and two of truncated ones. After the third, the file of
    the whole ones is there and the other is not; the vectors of the next run are the same.
    """
    undisturbed, whole, _ = at_length(tmp_path / "undisturbed", 8)
    assert len(undisturbed.batches) == 5
    backend = FakeBackend()
    backend.max_length, backend.fails_after = 8, crash_after
    with pytest.raises(RuntimeError, match="the device is gone"):
        encode(encoder_over(backend, tmp_path / "crashed", token_budget=24), TWELVE)
    left = {None: 8} if crash_after >= 3 else {}
    assert configurations(tmp_path / "crashed") == left
    resumed, vectors, _ = at_length(tmp_path / "crashed", 8)
    assert resumed.batches == undisturbed.batches[3 if crash_after >= 3 else 0 :]
    assert vectors.tobytes() == whole.tobytes()


def test_both_files_of_a_crashed_run_are_those_of_one_without(tmp_path: Path) -> None:
    """Byte by byte, under the same names."""
    at_length(tmp_path / "undisturbed", 8)
    backend = FakeBackend()
    backend.max_length, backend.fails_after = 8, 3
    with pytest.raises(RuntimeError, match="the device is gone"):
        encode(encoder_over(backend, tmp_path / "crashed", token_budget=24), TWELVE)
    at_length(tmp_path / "crashed", 8)
    contents = [
        {str(path.relative_to(folder)): path.read_bytes() for path in shards_below(folder)}
        for folder in (tmp_path / "undisturbed", tmp_path / "crashed")
    ]
    assert len(contents[0]) == 2
    assert contents[1] == contents[0]


# Windows: texts are sorted by length within one, and only one is in memory.


@pytest.fixture(params=["texts", "characters"])
def small_windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Windows of five texts of TWELVE, or of some 40 characters."""
    if request.param == "texts":
        monkeypatch.setattr(encoder_module, "TEXTS_PER_WINDOW", 5)
    else:
        monkeypatch.setattr(encoder_module, "CHARACTERS_PER_WINDOW", 40)
    return str(request.param)


@pytest.mark.parametrize("stored", [True, False])
def test_vectors_of_several_windows_come_in_the_order_of_the_texts(
    tmp_path: Path, small_windows: str, stored: bool
) -> None:
    """As they do from one."""
    backend = FakeBackend()
    vectors, cost = encode(encoder_over(backend, tmp_path if stored else None), TWELVE)
    assert vectors[:, 1:].tolist() == [vector_of(text, 0)[1:].tolist() for text in TWELVE]
    assert (sorted(backend.encoded), cost.n_encoded) == (sorted(TWELVE), 12)


def test_texts_are_sorted_by_length_within_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five, five and two of TWELVE, each longest first; blocks of four end elsewhere."""
    monkeypatch.setattr(encoder_module, "TEXTS_PER_WINDOW", 5)
    backend = FakeBackend()
    encoder = encoder_over(backend, None, token_budget=1000)
    blocks = [TWELVE[:4], TWELVE[4:8], TWELVE[8:]]
    encoder.encode(blocks, PLAIN, EncodingCost(), label="texts")
    windows = [TWELVE[:5], TWELVE[5:10], TWELVE[10:]]
    assert backend.batches == [sorted(window, key=len, reverse=True) for window in windows]


def test_a_window_has_at_most_its_number_of_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 + 30 would pass 20, so each is alone; 9 + 3 + 8 are exactly 20; then 2 and 1."""
    monkeypatch.setattr(encoder_module, "CHARACTERS_PER_WINDOW", 20)
    texts = ["a" * 4, "b" * 30, "c" * 9, "d" * 3, "e" * 8, "f" * 2, "g"]
    backend = FakeBackend()
    encode(encoder_over(backend, None, token_budget=1000), texts)
    assert [[len(t) for t in batch] for batch in backend.batches] == [[4], [30], [9, 8, 3], [2, 1]]


@pytest.mark.parametrize("stored", [True, False])
def test_copies_in_different_windows_are_encoded_once(
    tmp_path: Path, small_windows: str, stored: bool
) -> None:
    """TWELVE three times, in another order each time."""
    texts = TWELVE + TWELVE[::-1] + LONGEST_FIRST
    backend = FakeBackend()
    vectors, cost = encode(encoder_over(backend, tmp_path if stored else None), texts)
    assert sorted(backend.encoded) == sorted(TWELVE)
    assert (cost.n_texts, cost.n_unique, cost.n_encoded) == (36, 12, 12)
    assert vectors[:, 1:].tolist() == [vector_of(text, 0)[1:].tolist() for text in texts]


@pytest.mark.parametrize("fails_after", range(1, 8))
def test_vectors_of_several_windows_after_a_crash_are_those_of_a_run_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_windows: str, fails_after: int
) -> None:
    """Windows are cut from all different texts, found or not, so batches stay as they were."""
    small_shards(monkeypatch, 2)
    undisturbed = FakeBackend()
    whole, _ = encode(encoder_over(undisturbed, None, token_budget=12), TWELVE + TWELVE[:3])
    backend = FakeBackend()
    backend.fails_after = fails_after
    with pytest.raises(RuntimeError, match="the device is gone"):
        encode(encoder_over(backend, tmp_path, token_budget=12), TWELVE + TWELVE[:3])
    n_kept = sum(configurations(tmp_path).values())
    resumed = FakeBackend()
    vectors, cost = encode(encoder_over(resumed, tmp_path, token_budget=12), TWELVE + TWELVE[:3])
    assert cost.n_encoded == 12 - n_kept
    assert resumed.batches == undisturbed.batches[-len(resumed.batches) :]
    assert vectors.tobytes() == whole.tobytes()


# Corpora that stay on the disk.


def test_vectors_above_the_resident_size_stay_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes by gather and by blocks, of texts in two stores and several shards."""
    small_shards(monkeypatch, 4)
    monkeypatch.setattr("granite_bench.engine.encoding.batch_encoder.RESIDENT_BYTES", 0)
    backend = FakeBackend()
    backend.max_length = 8
    encoder, cost = encoder_over(backend, tmp_path, token_budget=24), EncodingCost()
    encoded = encoder.encode([TEXTS, TWELVE], PLAIN, cost, label="texts")
    assert isinstance(encoded.vectors, StoredVectors)
    reference = FakeBackend()
    reference.max_length = 8
    in_memory, _ = encode(encoder_over(reference, None, token_budget=24), TEXTS + TWELVE)
    assert encoded.array().tobytes() == in_memory.tobytes()
    by_blocks = np.full((encoded.vectors.n_vectors, encoded.vectors.dim), np.nan, np.float32)
    for positions, block in encoded.vectors.blocks(3):
        by_blocks[positions] = block
    assert by_blocks[encoded.rows].tobytes() == in_memory.tobytes()


def test_vectors_of_the_resident_size_are_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six vectors of 8 float32 are 192 bytes: at 192 in memory, at 191 on the disk."""
    for size, kept in ((192, False), (191, True)):
        monkeypatch.setattr("granite_bench.engine.encoding.batch_encoder.RESIDENT_BYTES", size)
        encoder = encoder_over(FakeBackend(), tmp_path)
        encoded = encoder.encode([UNIQUE], PLAIN, EncodingCost(), label="texts")
        assert isinstance(encoded.vectors, StoredVectors) is kept


# The tokenizer, ahead of the model.


class Recorded(FakeBackend):
    """Writes down who tokenises and encodes what, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str]] = []
        self.threads: dict[str, set[int]] = {"tokenize": set(), "encode": set()}
        self.tokenized = {text: threading.Event() for text in TWELVE}
        self.waits_for: dict[str, str] = {}

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """Say so for each text."""
        self.threads["tokenize"].add(threading.get_ident())
        tokens = super().tokenize(texts, instruction)
        self.events.append(("tokenize", texts[0]))
        for text in texts:
            self.tokenized[text].set()
        return tokens

    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        """Go on only when the text that this one waits for is tokenised."""
        self.threads["encode"].add(threading.get_ident())
        text = tokens.texts[rows[0]]
        if text in self.waits_for:
            assert self.tokenized[self.waits_for[text]].wait(10), "not tokenised meanwhile"
        self.events.append(("encode", text))
        return super().encode(tokens, rows, instruction)


def test_tokenisation_runs_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """One, which is not the caller's; the model stays in the caller's."""
    small_shards(monkeypatch, 4)
    backend = Recorded()
    encode(encoder_over(backend, None, token_budget=1000), TWELVE)
    assert backend.threads["encode"] == {threading.get_ident()}
    assert len(backend.threads["tokenize"]) == 1
    assert threading.get_ident() not in backend.threads["tokenize"]


def test_the_next_shard_is_tokenised_while_the_model_has_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each shard's encode waits here until the next one is tokenised; it would wait for ever."""
    small_shards(monkeypatch, 4)
    backend = Recorded()
    first, second, third = LONGEST_FIRST[0], LONGEST_FIRST[4], LONGEST_FIRST[8]
    backend.waits_for = {first: second, second: third}
    encode(encoder_over(backend, None, token_budget=1000), TWELVE)
    assert [text for kind, text in backend.events if kind == "encode"] == [first, second, third]


def test_no_more_than_one_shard_is_tokenised_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corpus is not in memory as tokens: the third waits until the first is encoded."""
    small_shards(monkeypatch, 4)
    backend = Recorded()
    encode(encoder_over(backend, None, token_budget=1000), TWELVE)
    first, third = LONGEST_FIRST[0], LONGEST_FIRST[8]
    assert backend.events.index(("encode", first)) < backend.events.index(("tokenize", third))


@pytest.mark.parametrize("number", range(3))
def test_an_exception_of_the_tokenizer_reaches_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Itself, whichever shard it was; those before it are kept."""
    small_shards(monkeypatch, 4)
    failure = UnicodeError("no such character")

    class Failing(FakeBackend):
        """Cannot tokenise one shard."""

        def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
            if LONGEST_FIRST[4 * number] in texts:
                raise failure
            return super().tokenize(texts, instruction)

    with pytest.raises(UnicodeError) as caught:
        encode(encoder_over(Failing(), tmp_path), TWELVE)
    assert caught.value is failure
    assert len(shards_below(tmp_path)) == number
    _, cost = encode(encoder_over(FakeBackend(), tmp_path), TWELVE)
    assert cost.n_encoded == 12 - 4 * number


def test_an_interrupt_leaves_finished_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the second of three shards: the first is stored, and the rest is done next."""
    small_shards(monkeypatch, 4)
    backend = FakeBackend()
    backend.fails_after, backend.failure = 3, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        encode(encoder_over(backend, tmp_path, token_budget=24), TWELVE)
    resumed = FakeBackend()
    vectors, _ = encode(encoder_over(resumed, tmp_path, token_budget=24), TWELVE)
    assert sorted(resumed.encoded) == sorted(LONGEST_FIRST[4:])
    whole, _ = encode(encoder_over(FakeBackend(), None, token_budget=24), TWELVE)
    assert vectors.tobytes() == whole.tobytes()


def test_encoding_leaves_no_thread_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after the last shard, and not after a failure."""
    small_shards(monkeypatch, 4)
    before = threading.active_count()
    encode(encoder_over(FakeBackend(), None), TWELVE)
    backend = FakeBackend()
    backend.fails_after = 1
    with contextlib.suppress(RuntimeError):
        encode(encoder_over(backend, None), TWELVE)
    assert threading.active_count() == before


@pytest.mark.parametrize("n_found", [0, 1, 5])
def test_texts_that_can_be_read_only_once_are_an_error(tmp_path: Path, n_found: int) -> None:
    """Read for their keys, they are gone when the model asks: no text may get another's vector."""
    encode(encoder_over(FakeBackend(), tmp_path), UNIQUE[:n_found])
    encoder = encoder_over(FakeBackend(), tmp_path)
    with pytest.raises(ValueError, match="read again"):
        encoder.encode(iter([TEXTS]), PLAIN, EncodingCost(), label="texts")


def test_encoding_for_time_alone_keeps_and_looks_up_nothing(tmp_path: Path) -> None:
    """The text is in the store, and is encoded all the same."""
    encoder = encoder_over(FakeBackend(), tmp_path)
    encode(encoder, ["a b"])
    before = shards_below(tmp_path)
    backend = FakeBackend()
    encoder.backend = backend
    encoder.encode_uncached(["a b", "new"], PLAIN)
    assert backend.batches == [["a b", "new"]]
    assert shards_below(tmp_path) == before


# The real model.

SENTENCES = [
    "Granite is a coarse-grained igneous rock.",
    "",
    "Wie alt ist dieser Stein?",
    "花崗岩は深成岩である。",
    " leading and trailing spaces ",
    "rock " * 400,
    "Granite is a coarse-grained igneous rock.",
    "A much longer sentence, which holds a good many more words than any of the others do.",
]

SHORT = SENTENCES[:3]

SCIFACT_PROMPT = "Given a scientific claim, retrieve evidence: "


def task(name: str = "TinyRetrieval", **metadata: Any) -> TaskMetadata:
    """The metadata of a retrieval task."""
    return TaskMetadata(
        name=name,
        description="made up here",
        dataset={"path": "tests/tiny", "revision": "1"},
        type="Retrieval",
        category="t2t",
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
        **metadata,
    )


def by_mteb(
    model: Any, texts: Sequence[str], metadata: TaskMetadata, prompt_type: PromptType | None
) -> npt.NDArray[np.float32]:
    """What mteb's own wrapper makes of the texts."""
    loader: Any = DataLoader(Dataset.from_dict({"text": list(texts)}), batch_size=32)
    return np.asarray(
        model.encode(
            loader,
            task_metadata=metadata,
            hf_split="test",
            hf_subset="default",
            prompt_type=prompt_type,
            batch_size=32,
            show_progress_bar=False,
        )
    )


def vectors_of(
    backend: SentenceTransformersBackend, texts: Sequence[str], instruction: Instruction
) -> npt.NDArray[np.float32]:
    """What the backend makes of the texts in one batch."""
    return backend.encode(backend.tokenize(texts, instruction), np.arange(len(texts)), instruction)


def assert_same_vectors(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> None:
    """Equal but for what other batches change: 1e-5 in any value, 1e-6 in the cosine."""
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)
    wide, other = ours.astype(np.float64), theirs.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1) * np.linalg.norm(other, axis=1)
    cosines = (wide * other).sum(axis=1) / lengths
    assert cosines.min() > 1 - 1e-6


@pytest.mark.parametrize("token_budget", [64, 4096])
def test_vectors_are_those_of_sentence_transformers(
    minilm: Any, tmp_path: Path, token_budget: int
) -> None:
    """Against SentenceTransformer.encode, for short, long, empty, repeated and foreign texts."""
    encoder = encoder_over(SentenceTransformersBackend(minilm), tmp_path, token_budget=token_budget)
    ours, cost = encode(encoder, SENTENCES)
    assert_same_vectors(ours, minilm.model.encode(SENTENCES, show_progress_bar=False))
    assert (cost.n_unique, cost.n_truncated) == (7, 1)


def test_tokens_are_counted_with_the_prompt_and_before_truncation(minilm: Any) -> None:
    """[CLS] granite rock [SEP] are 4; "query : " adds 2; 400 rocks are 402."""
    backend = SentenceTransformersBackend(minilm)
    plain, prompted = Instruction("query", ""), Instruction("query", "query: ")
    texts = ["granite rock", "rock " * 400]
    assert backend.tokenize(texts, plain).counts.tolist() == [4, 402]
    assert backend.tokenize(texts, prompted).counts.tolist() == [6, 404]
    assert backend.tokenize(texts, prompted).lengths.tolist() == [6, 256]


def test_the_backend_knows_the_model(minilm: Any) -> None:
    """all-MiniLM-L6-v2: 256 tokens, float32 weights, on the CPU."""
    backend = SentenceTransformersBackend(minilm)
    assert isinstance(backend, SentenceTransformersBackend)
    assert (backend.max_length, backend.dtype, backend.device) == (256, "float32", "cpu")


@pytest.mark.parametrize(
    ("role", "method"), [("query", "encode_query"), ("document", "encode_document"), (None, "")]
)
def test_roles_of_a_model_with_inputs_of_its_own_go_through_sentence_transformers_methods(
    minilm: Any, monkeypatch: pytest.MonkeyPatch, role: str | None, method: str
) -> None:
    """Where the probes disagree, what mteb calls is called, and makes its own inputs."""
    called = []

    def spy(name: str) -> Callable[..., Any]:
        plain = getattr(minilm.model, name)
        return lambda *args, **kwargs: called.append(name) or plain(*args, **kwargs)

    for name in ("encode_query", "encode_document"):
        monkeypatch.setattr(minilm.model, name, spy(name))
    preprocess = minilm.model.preprocess
    # Not the ids of the text any more, as with a chat template.
    monkeypatch.setattr(
        minilm.model,
        "preprocess",
        lambda texts, **kwargs: preprocess([f"{text} extra" for text in texts], **kwargs),
    )
    backend, instruction = SentenceTransformersBackend(minilm), Instruction(role, "")
    tokens = backend.tokenize(SHORT, instruction)
    assert tokens.ids is None
    vectors = backend.encode(tokens, np.arange(len(SHORT)), instruction)
    assert called == ([method] if method else [])
    expected = minilm.model.encode(SHORT, show_progress_bar=False)  # through preprocess as well
    assert_same_vectors(vectors, expected)


@pytest.mark.parametrize("role", ["query", "document", None])
def test_token_ids_are_given_to_the_model_with_the_role(
    minilm: Any, monkeypatch: pytest.MonkeyPatch, role: str | None
) -> None:
    """Without encode, encode_query or encode_document; modules are told what those tell them."""
    texts = [*SHORT, "rock " * 400]
    expected = getattr(minilm.model, f"encode_{role}" if role else "encode")(
        texts, show_progress_bar=False
    )
    for name in ("encode", "encode_query", "encode_document"):
        monkeypatch.setattr(minilm.model, name, None)
    told: list[str | None] = []
    forward = minilm.model.forward

    def spy(features: Any, **kwargs: Any) -> Any:
        told.append(kwargs.get("task"))
        return forward(features, **kwargs)

    monkeypatch.setattr(minilm.model, "forward", spy)
    backend, instruction = SentenceTransformersBackend(minilm), Instruction(role, "")
    assert backend.tokenize(texts, instruction).ids is not None
    assert_same_vectors(vectors_of(backend, texts, instruction), expected)
    assert told == [role]


def test_a_batch_is_some_of_the_tokenised_texts_in_any_order(minilm: Any) -> None:
    """Rows 6, 0, 3 of a shard are the vectors of those texts."""
    backend = SentenceTransformersBackend(minilm)
    tokens = backend.tokenize(SENTENCES, PLAIN)
    vectors = backend.encode(tokens, np.array([6, 0, 3]), PLAIN)
    texts = [SENTENCES[row] for row in (6, 0, 3)]
    assert_same_vectors(vectors, minilm.model.encode(texts, show_progress_bar=False))


def test_a_prompt_that_changes_the_ids_otherwise_falls_back_for_itself_alone(
    minilm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probes are compared for each instruction: one may be a chat template, another none."""
    preprocess = minilm.model.preprocess

    def templated(texts: Any, prompt: str | None = None, **kwargs: Any) -> Any:
        """A prompt goes behind the text."""
        return preprocess([f"{text} {prompt or ''}" for text in texts], **kwargs)

    monkeypatch.setattr(minilm.model, "preprocess", templated)
    backend = SentenceTransformersBackend(minilm)
    assert backend.tokenize(SHORT, Instruction(None, "")).ids is not None
    assert backend.tokenize(SHORT, Instruction(None, "find: ")).ids is None


@pytest.mark.parametrize("dim", [1, 100, 384])
def test_a_models_own_truncated_dimension_is_kept(
    minilm: Any, monkeypatch: pytest.MonkeyPatch, dim: int
) -> None:
    """truncate_dim of sentence-transformers, on ids as by its encode."""
    monkeypatch.setattr(minilm.model, "truncate_dim", dim)
    vectors = vectors_of(SentenceTransformersBackend(minilm), SHORT, PLAIN)
    assert vectors.shape == (3, dim)
    assert_same_vectors(vectors, minilm.model.encode(SHORT, show_progress_bar=False))


def test_a_model_in_training_mode_is_put_into_evaluation_mode(minilm: Any) -> None:
    """Dropout would change the vectors; encode does the same."""
    expected = minilm.model.encode(SHORT, show_progress_bar=False)
    minilm.model.train()
    vectors = vectors_of(SentenceTransformersBackend(minilm), SHORT, PLAIN)
    assert not minilm.model.training
    assert_same_vectors(vectors, expected)


def test_counting_tokens_ahead_does_not_disturb_a_model_that_tokenises_by_itself(
    minilm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    One tokenizer in two threads: counting switches truncation off while the model, at work on
    the last shard, needs it on. Long texts then reach the model whole, or Rust says "Already
    borrowed".
    """
    small_shards(monkeypatch, 8)
    preprocess = minilm.model.preprocess
    monkeypatch.setattr(
        minilm.model,
        "preprocess",
        lambda texts, **kwargs: preprocess([f"{text} extra" for text in texts], **kwargs),
    )
    used: dict[int, set[int]] = {}
    tokenizer_class = type(minilm.model.tokenizer)
    plain = tokenizer_class._encode_plus

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        used.setdefault(id(self._tokenizer), set()).add(threading.get_ident())
        return plain(self, *args, **kwargs)

    backend = SentenceTransformersBackend(minilm)
    monkeypatch.setattr(tokenizer_class, "_encode_plus", spy)
    texts = [f"{number} is a number" for number in range(32)]
    backend.tokenize(["once"], PLAIN)  # probes are over
    used.clear()
    encode(encoder_over(backend, None, token_budget=64), texts)
    assert set(map(len, used.values())) == {1}, "one tokenizer was used by two threads"


def test_two_threads_that_ask_make_the_inputs_of_a_prompt_once(
    minilm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made with the model's own tokenizer, from probes that take a while."""
    made = []

    def slow(*arguments: Any) -> None:
        made.append(arguments)
        time.sleep(0.05)

    monkeypatch.setattr(dense_backend, "inputs_of_texts", slow)
    backend = SentenceTransformersBackend(minilm)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(backend.knows_tokens, [PLAIN] * 4)) == [False] * 4
    assert len(made) == 1


@pytest.mark.parametrize("by_itself", [True, False])
def test_a_backend_tokenises_for_one_thread_at_a_time(
    minilm: Any, monkeypatch: pytest.MonkeyPatch, by_itself: bool
) -> None:
    """A worker has several calls at once, and one tokenizer: "Already borrowed", says Rust else."""
    backend = SentenceTransformersBackend(minilm)
    if by_itself:
        monkeypatch.setattr(dense_backend, "inputs_of_texts", lambda *arguments: None)
    assert backend.knows_tokens(PLAIN) is not by_itself
    busy = threading.Lock()
    where = (dense_backend, "counted_by") if by_itself else (FastTokenizer, "tokenize")
    plain = getattr(*where)

    def alone(*arguments: Any) -> Tokens:
        assert busy.acquire(blocking=False)
        try:
            time.sleep(0.01)
            found: Tokens = plain(*arguments)
        finally:
            busy.release()
        return found

    monkeypatch.setattr(*where, alone)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(backend.tokenize, [SHORT] * 4, [PLAIN] * 4))
    assert {tokens.counts.tobytes() for tokens in found} == {found[0].counts.tobytes()}


def test_a_tokenizer_without_a_maximum_length_truncates_nothing(
    minilm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers gives such a one 10**30 tokens, more than any array could count."""
    monkeypatch.setattr(minilm.model, "max_seq_length", int(1e30))
    backend = SentenceTransformersBackend(minilm)
    assert backend.max_length is None
    expected = minilm.model.encode(SHORT, show_progress_bar=False)
    assert_same_vectors(vectors_of(backend, SHORT, PLAIN), expected)


@pytest.mark.parametrize("max_length", [16, 64])
def test_a_text_that_a_chat_template_makes_too_long_is_not_taken_for_one_read_whole(
    minilm: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, max_length: int
) -> None:
    """
    Where the model tokenises by itself, our count may be below what it reads: 14 words are 16
    tokens, and 26 with the template's ten. At another maximum length the vector is another one.
    """
    template = "one two three four five six seven eight nine ten"
    preprocess = minilm.model.preprocess
    monkeypatch.setattr(
        minilm.model,
        "preprocess",
        lambda texts, **kwargs: preprocess([f"{template} {text}" for text in texts], **kwargs),
    )
    texts = ["rock " * 14]
    by_length = {}
    for length in (16, max_length):
        monkeypatch.setattr(minilm.model, "max_seq_length", length)
        backend = SentenceTransformersBackend(minilm)
        assert backend.tokenize(texts, PLAIN).ids is None
        by_length[length], _ = encode(encoder_over(backend, tmp_path), texts)
    expected = minilm.model.encode(texts, show_progress_bar=False)
    assert_same_vectors(by_length[max_length], expected)


@pytest.fixture
def prompted(minilm: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """mteb's wrapper with prompts by role, by task and by task and role."""
    # The wrapper writes its prompts into the model, which other tests share.
    monkeypatch.setattr(minilm.model, "prompts", dict(minilm.model.prompts))
    prompts = {
        "query": "query: ",
        "document": "passage: ",
        "SciFact-query": SCIFACT_PROMPT,
        "NFCorpus": "nutrition: ",
        "STS": "same meaning: ",
    }
    return SentenceTransformerEncoderWrapper(minilm.model, model_prompts=prompts)


# mteb warns that prompts are replaced, and calls two functions by their old names.
OWN_PROMPTS = pytest.mark.filterwarnings(
    "ignore:Model prompts specified",
    "ignore:The fill_missing parameter",
    "ignore:The `get_sentence_embedding_dimension` method",
)

PROMPTED_CASES = [
    pytest.param("TinyRetrieval", PromptType.query, "query: ", id="query"),
    pytest.param("TinyRetrieval", PromptType.document, "passage: ", id="document"),
    pytest.param("TinyRetrieval", None, "", id="neither"),
    pytest.param("SciFact", PromptType.query, SCIFACT_PROMPT, id="a task's query"),
    pytest.param("SciFact", PromptType.document, "passage: ", id="that task's document"),
    pytest.param("NFCorpus", PromptType.query, "nutrition: ", id="a task"),
    pytest.param("NFCorpus", PromptType.document, "nutrition: ", id="that task, a document"),
    pytest.param("NFCorpus", None, "nutrition: ", id="that task, neither"),
]


@OWN_PROMPTS
@pytest.mark.parametrize(("name", "prompt_type", "prompt"), PROMPTED_CASES)
def test_prompts_are_those_of_mtebs_wrapper(
    prompted: Any, name: str, prompt_type: PromptType | None, prompt: str
) -> None:
    """The prompt in words, and the same vectors as mteb's own encode."""
    backend = SentenceTransformersBackend(prompted)
    instruction = backend.instruction(task(name), prompt_type)
    assert isinstance(backend, SentenceTransformersBackend)
    assert instruction.prompt == prompt
    assert_same_vectors(
        vectors_of(backend, SHORT, instruction), by_mteb(prompted, SHORT, task(name), prompt_type)
    )


@OWN_PROMPTS
def test_a_prompt_changes_the_vectors(prompted: Any) -> None:
    """So that the comparison with mteb's wrapper can fail: without one they are far apart."""
    backend = SentenceTransformersBackend(prompted)
    metadata = task()
    query = vectors_of(backend, SHORT, backend.instruction(metadata, PromptType.query))
    document = vectors_of(backend, SHORT, backend.instruction(metadata, PromptType.document))
    plain = vectors_of(backend, SHORT, backend.instruction(metadata, None))
    for one, other in ((query, document), (query, plain), (document, plain)):
        assert np.abs(one - other).max() > 0.01


def test_a_model_without_prompts_has_an_empty_one(minilm: Any) -> None:
    """all-MiniLM-L6-v2 was trained without; mteb adds none."""
    backend = SentenceTransformersBackend(minilm)
    for prompt_type in (PromptType.query, PromptType.document, None):
        assert backend.instruction(task(), prompt_type).prompt == ""


@pytest.mark.parametrize("role", [None, PromptType.query, PromptType.document])
def test_a_models_default_prompt_is_used_where_sentence_transformers_uses_it(
    minilm: Any, monkeypatch: pytest.MonkeyPatch, role: PromptType | None
) -> None:
    """For texts with no role; encode_query and encode_document have prompts of their own."""
    prompts = {"query": "", "document": "", "all": "represent this: "}
    monkeypatch.setattr(minilm.model, "prompts", prompts)
    monkeypatch.setattr(minilm.model, "default_prompt_name", "all")
    backend = SentenceTransformersBackend(minilm)
    instruction = backend.instruction(task(), role)
    assert instruction.prompt == ("represent this: " if role is None else "")
    assert_same_vectors(
        vectors_of(backend, SHORT, instruction), by_mteb(minilm, SHORT, task(), role)
    )


@OWN_PROMPTS
@pytest.mark.filterwarnings(
    "ignore:Task name .* is not valid", "ignore:Some prompts are not", "ignore:SentenceTransformers"
)
@pytest.mark.parametrize(
    ("prompts", "default", "prompt"),
    [
        ({"query": "query: ", "passage": "passage: "}, None, "passage: "),
        ({"query": "query: ", "corpus": "passage: "}, None, "passage: "),
        ({"query": "query: ", "all": "represent this: "}, "all", "represent this: "),
    ],
    ids=["passage", "corpus", "default"],
)
def test_documents_get_the_prompt_that_sentence_transformers_falls_back_to(
    minilm: Any,
    monkeypatch: pytest.MonkeyPatch,
    prompts: dict[str, str],
    default: str | None,
    prompt: str,
) -> None:
    """encode_document looks for document, passage and corpus, then for the default prompt."""
    monkeypatch.setattr(minilm.model, "prompts", dict(minilm.model.prompts))
    monkeypatch.setattr(minilm.model, "default_prompt_name", default)
    wrapper = SentenceTransformerEncoderWrapper(minilm.model, model_prompts=prompts)
    backend = SentenceTransformersBackend(wrapper)
    instruction = backend.instruction(task(), PromptType.document)
    assert_same_vectors(
        vectors_of(backend, SHORT, instruction),
        by_mteb(wrapper, SHORT, task(), PromptType.document),
    )
    assert instruction.prompt == prompt


@pytest.fixture(scope="module")
def model_folder(minilm: Any) -> str:
    """Where the package keeps the real model."""
    from granite_bench.models import find_model

    return str(find_model("quickstart/all-MiniLM-L6-v2").folder)


@pytest.fixture(scope="module", params=[True, False], ids=["to passages", "not to passages"])
def instructed(request: pytest.FixtureRequest, model_folder: str) -> Any:
    """mteb's wrapper of instruction-tuned models, around the real model."""
    return InstructSentenceTransformerModel(
        model_name=model_folder,
        revision=None,
        device="cpu",
        instruction_template="Instruct: {instruction}\nQuery: ",
        apply_instruction_to_passages=request.param,
    )


@pytest.mark.parametrize("prompt_type", [PromptType.query, PromptType.document, None])
def test_instructions_are_those_of_mtebs_wrapper(
    instructed: Any, prompt_type: PromptType | None
) -> None:
    """The task's instruction in the model's template, or none for passages, as the model says."""
    metadata = task(prompt="Find the fact")
    backend = SentenceTransformersBackend(instructed)
    instruction = backend.instruction(metadata, prompt_type)
    plain = prompt_type == PromptType.document and not instructed.apply_instruction_to_passages
    assert isinstance(backend, SentenceTransformersBackend)
    assert instruction.prompt == ("" if plain else "Instruct: Find the fact\nQuery: ")
    assert_same_vectors(
        vectors_of(backend, SHORT, instruction),
        by_mteb(instructed, SHORT, metadata, prompt_type),
    )


@pytest.mark.filterwarnings("ignore:Prompt type 'document' not found")
@pytest.mark.parametrize("prompt_type", [PromptType.query, PromptType.document])
def test_an_instruction_for_queries_alone_is_not_put_before_passages(
    instructed: Any, prompt_type: PromptType
) -> None:
    """A task may instruct one role only."""
    metadata = task(prompt={"query": "Find the fact"})
    backend = SentenceTransformersBackend(instructed)
    instruction = backend.instruction(metadata, prompt_type)
    expected = "Instruct: Find the fact\nQuery: " if prompt_type == PromptType.query else ""
    assert instruction.prompt == expected
    assert_same_vectors(
        vectors_of(backend, SHORT, instruction),
        by_mteb(instructed, SHORT, metadata, prompt_type),
    )


@pytest.mark.filterwarnings("ignore:Prompt type 'document' not found")
def test_an_empty_instruction_is_not_replaced_by_the_default_prompt(
    instructed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mteb passes it on, and sentence-transformers takes its default for a missing prompt only."""
    if not instructed.apply_instruction_to_passages:
        monkeypatch.setattr(instructed, "apply_instruction_to_passages", True)
    monkeypatch.setattr(instructed.model, "prompts", {"all": "represent this: "})
    monkeypatch.setattr(instructed.model, "default_prompt_name", "all")
    metadata = task(prompt={"query": "Find the fact"})
    backend = SentenceTransformersBackend(instructed)
    instruction = backend.instruction(metadata, PromptType.document)
    assert_same_vectors(
        vectors_of(backend, SHORT, instruction),
        by_mteb(instructed, SHORT, metadata, PromptType.document),
    )


# Models with an encode of their own.


def test_a_model_that_is_no_sentence_transformers_wrapper_has_no_backend(
    fixed_encoder: Callable[..., Any],
) -> None:
    """Its encode may want more than the texts; mteb's own search runs it."""
    assert not has_backend(fixed_encoder({"a": [1, 2]}))


@OWN_PROMPTS
def test_a_subclass_of_mtebs_wrapper_has_no_backend(minilm: Any) -> None:
    """It may prepare its inputs in its own way."""

    class Own(SentenceTransformerEncoderWrapper):
        """Changes nothing, but could."""

    assert has_backend(minilm)
    assert not has_backend(Own(minilm.model))


@pytest.mark.parametrize("stored", [True, False])
def test_batches_of_a_given_size_are_whole_where_nothing_is_stored(
    tmp_path: Path, stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards of 4 texts cut batches of 3 in two; without a store, a shard waits for them."""
    small_shards(monkeypatch, 4)
    backend = FakeBackend()
    encoder = Encoder(
        backend, {}, store_folder=tmp_path if stored else None, token_budget=10**6, batch_size=3
    )
    encoder.encode([TWELVE], PLAIN, EncodingCost(), label="")
    sizes = [len(batch) for batch in backend.batches]
    assert sizes == ([3, 1, 3, 1, 3, 1] if stored else [3, 3, 3, 3])


def test_a_model_that_does_not_pad_counts_no_padding(tmp_path: Path) -> None:
    """Words of 1 to 12 in batches of any shape: 78 tokens, whatever is beside them."""
    backend, cost = FakeBackend(), EncodingCost()
    backend.pads = False
    encoder = encoder_over(backend, tmp_path, token_budget=24)
    encoder.encode([TWELVE], PLAIN, cost, label="")
    assert cost.n_tokens_padded == cost.n_tokens_encoded == 78
