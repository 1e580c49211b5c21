"""Texts to vectors through the store, with a fake backend that counts and with the real model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from datasets import Dataset
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.instruct_wrapper import InstructSentenceTransformerModel
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from mteb.types import PromptType
from torch.utils.data import DataLoader

from granite_bench.engine import encoder as encoder_module
from granite_bench.engine.backend import (
    Instruction,
    SentenceTransformersBackend,
    has_backend,
)
from granite_bench.engine.encoder import Encoder, EncodingCost
from granite_bench.errors import NonFiniteVectors, StorageError

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
        self.attention: str | None = None
        self.batches: list[list[str]] = []
        self.fails_after: int | None = None
        self.bad: dict[str, float] = {}

    @property
    def encoded(self) -> list[str]:
        """Every text that was encoded, in that order."""
        return [text for batch in self.batches for text in batch]

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """None at all."""
        return PLAIN

    def count_tokens(self, texts: Sequence[str], instruction: Instruction) -> npt.NDArray[np.int32]:
        """Words."""
        return np.array([len(text.split()) for text in texts], dtype=np.int32)

    def encode(self, texts: Sequence[str], instruction: Instruction) -> npt.NDArray[np.float32]:
        """One row per text."""
        if self.fails_after is not None and len(self.batches) == self.fails_after:
            raise RuntimeError("out of memory")
        self.batches.append(list(texts))
        rows = [vector_of(text, max(map(len, texts))) for text in texts]
        for row, text in zip(rows, texts, strict=True):
            row[-1] = self.bad.get(text, row[-1])
        return np.array(rows)


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
    vectors, rows = encoder.encode(texts, instruction, cost, label="texts")
    return vectors[rows], cost


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
    vectors, rows = encoder.encode(TEXTS, PLAIN, cost, label="texts")
    assert vectors[:, 1:].tolist() == [vector_of(text, 0)[1:].tolist() for text in UNIQUE]
    assert rows.tolist() == [0, 1, 2, 3, 1, 4, 5, 3]


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


def test_without_a_store_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_below: Callable[[], list[str]]
) -> None:
    """Each call encodes everything again, and no file is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path))
    encoder = encoder_over(FakeBackend(), None)
    encode(encoder, TEXTS)
    _, cost = encode(encoder, TEXTS)
    assert cost.n_encoded == 6
    assert files_below() == []


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
        "max_length",
        "prompt",
        "role",
    ],
)
def test_what_changes_a_vector_is_encoded_again(tmp_path: Path, change: str) -> None:
    """The store holds the texts, but under another model, precision, length or instruction."""
    encode(encoder_over(FakeBackend(), tmp_path), UNIQUE)
    backend, identity, instruction = FakeBackend(), {}, PLAIN
    match change:
        case "model" | "revision" | "loaded":
            identity = {change: "other"}
        case "backend":
            backend.name = "other"
        case "dtype":
            backend.dtype = "bfloat16"
        case "max_length":
            backend.max_length = 100
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
    """Cut to 2 words, any three texts are 6 tokens."""
    backend = FakeBackend()
    backend.max_length = 2
    encode(encoder_over(backend, tmp_path, token_budget=6), UNIQUE)
    assert [len(batch) for batch in backend.batches] == [3, 3]


def test_truncated_texts_and_tokens_are_counted(tmp_path: Path) -> None:
    """Words 5, 2, 3, 1, 4, 3 at most 3: two are cut, and 3 + 2 + 3 + 1 + 3 + 3 tokens are read."""
    backend = FakeBackend()
    backend.max_length = 3
    _, cost = encode(encoder_over(backend, tmp_path), TEXTS)
    assert cost.n_truncated == 2
    assert cost.n_tokens_encoded == 15


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
    encoder.encode(["a b", "c"], PLAIN, cost, label="texts")
    encoder.encode(["c", "d e f"], PLAIN, cost, label="texts")
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
    with pytest.raises(RuntimeError, match="out of memory"):
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
    with pytest.raises(RuntimeError, match="out of memory"):
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
    with pytest.raises(RuntimeError, match="out of memory"):
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
    assert backend.count_tokens(texts, plain).tolist() == [4, 402]
    assert backend.count_tokens(texts, prompted).tolist() == [6, 404]


def test_the_backend_knows_the_model(minilm: Any) -> None:
    """all-MiniLM-L6-v2: 256 tokens, float32 weights, on the CPU."""
    backend = SentenceTransformersBackend(minilm)
    assert isinstance(backend, SentenceTransformersBackend)
    assert (backend.max_length, backend.dtype, backend.device) == (256, "float32", "cpu")


@pytest.mark.parametrize(
    ("role", "method"), [("query", "encode_query"), ("document", "encode_document"), (None, "")]
)
def test_roles_go_through_the_methods_that_sentence_transformers_has_for_them(
    minilm: Any, monkeypatch: pytest.MonkeyPatch, role: str | None, method: str
) -> None:
    """A model with two towers takes another one in each; mteb calls the same ones."""
    called = []

    def spy(name: str) -> Callable[..., Any]:
        plain = getattr(minilm.model, name)
        return lambda *args, **kwargs: called.append(name) or plain(*args, **kwargs)

    for name in ("encode_query", "encode_document"):
        monkeypatch.setattr(minilm.model, name, spy(name))
    SentenceTransformersBackend(minilm).encode(SHORT, Instruction(role, ""))
    assert called == ([method] if method else [])


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
        backend.encode(SHORT, instruction), by_mteb(prompted, SHORT, task(name), prompt_type)
    )


@OWN_PROMPTS
def test_a_prompt_changes_the_vectors(prompted: Any) -> None:
    """So that the comparison with mteb's wrapper can fail: without one they are far apart."""
    backend = SentenceTransformersBackend(prompted)
    metadata = task()
    query = backend.encode(SHORT, backend.instruction(metadata, PromptType.query))
    document = backend.encode(SHORT, backend.instruction(metadata, PromptType.document))
    plain = backend.encode(SHORT, backend.instruction(metadata, None))
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
    assert_same_vectors(backend.encode(SHORT, instruction), by_mteb(minilm, SHORT, task(), role))


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
        backend.encode(SHORT, instruction), by_mteb(wrapper, SHORT, task(), PromptType.document)
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
        backend.encode(SHORT, instruction),
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
        backend.encode(SHORT, instruction),
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
        backend.encode(SHORT, instruction),
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
