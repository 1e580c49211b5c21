"""Rerankers: mteb's scores for the same pairs, each pair scored once, and what was in the way."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
import torch
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.models import CrossEncoderWrapper, ModelMeta, SearchProtocol
from sentence_transformers import CrossEncoder
from test_retriever import task_of
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from granite_bench.engine.backends.cross_encoder import CrossEncoderBackend
from granite_bench.engine.backends.pairs import cut_to_tokens, pair_of, pair_text
from granite_bench.engine.encoding import encoder as encoder_module
from granite_bench.engine.reranker import Reranker, RerankerOfMteb, is_reranker, reranker_for
from granite_bench.engine.scoring import scored_over_arrays
from granite_bench.engine.search.run import Run
from granite_bench.errors import TaskError

WORDS = "grey harbour Überseequartier 日本語 кириллица naïve 1 , froze İstanbul 👩‍👧 x²".split()
MAX_LENGTH = 64
IDENTITY = {"model": "test/reranker", "revision": "1"}


@pytest.fixture
def wrapper(reranker_folder: Path) -> CrossEncoderWrapper:
    """The cross-encoder as mteb loads it."""
    return loaded(reranker_folder)


def loaded(folder: Path, **kwargs: Any) -> CrossEncoderWrapper:
    """mteb's wrapper of a model folder, with a name."""
    wrapper = CrossEncoderWrapper(str(folder), device="cpu", **kwargs)
    wrapper.mteb_model_meta = ModelMeta.create_empty(
        overwrites={"name": "test/reranker", "revision": "1", "model_type": ["cross-encoder"]}
    )
    return wrapper


def reranker_of(model: Any, store: Path | None = None, **kwargs: Any) -> Any:
    """What evaluates *model*, with a store of scores or without one."""
    options = {"store_folder": store, "token_budget": 2048}
    return reranker_for(model, identity=IDENTITY, encoder_options=options, **kwargs)


def some_pairs(n_pairs: int, longest_query: int = 90, longest_document: int = 600) -> list[Any]:
    """The same pairs each time, most of them short, some of them empty."""
    rng = random.Random(0)

    def text(longest: int) -> str:
        return " ".join(rng.choices(WORDS, k=int(longest * rng.random() ** 3)))

    return [(text(longest_query), text(longest_document)) for _ in range(n_pairs)]


def scores_of(backend: CrossEncoderBackend, pairs: Sequence[tuple[str, str]]) -> Any:
    """The backend's scores, in batches of about 16."""
    instruction: Any = backend.instruction(None, None)  # type: ignore[arg-type]
    tokens = backend.tokenize([pair_text(*pair) for pair in pairs], instruction)
    rows = np.array_split(np.arange(len(pairs)), max(1, len(pairs) // 16))
    return np.concatenate([backend.encode(tokens, part, instruction) for part in rows])[:, 0]


def queries_of(texts: Sequence[str], **columns: Any) -> Dataset:
    """Queries q0, q1, ..."""
    ids = [f"q{number}" for number in range(len(texts))]
    return Dataset.from_dict({"id": ids, "text": list(texts), **columns})


def corpus_of(texts: Sequence[str]) -> Dataset:
    """Documents d0, d1, ...; every third has a title."""
    ids = [f"d{number}" for number in range(len(texts))]
    titles = ["A title" if number % 3 == 0 else "" for number in range(len(texts))]
    return Dataset.from_dict({"id": ids, "title": titles, "text": list(texts)})


def reranked(
    reranker: Any,
    queries: Dataset,
    corpus: Dataset,
    top_ranked: Mapping[str, Sequence[str]],
) -> Mapping[str, dict[str, float]]:
    """What the reranker makes of the candidates, called as mteb calls it."""
    metadata = task_of({"default": {}}).metadata
    where: Any = {"task_metadata": metadata, "hf_split": "test", "hf_subset": "default"}
    where |= {"encode_kwargs": {"batch_size": 32, "show_progress_bar": False}}
    reranker.index(corpus, **where)
    found: Mapping[str, dict[str, float]] = reranker.search(
        queries, top_k=2, top_ranked=top_ranked, **where
    )
    return found


# --- pairs to scores ------------------------------------------------------------------------------


@pytest.mark.parametrize(("max_length", "n_pairs"), [(64, 60), (33, 60), (4, 16)])
def test_scores_are_those_of_predict(
    wrapper: CrossEncoderWrapper, max_length: int, n_pairs: int
) -> None:
    """Empty, long on one side or both, of any script: the score that predict gives, to rounding."""
    wrapper.model.max_seq_length = max_length
    pairs = [("", ""), ("", "a"), ("a", ""), ('say "[x]"', 'a\\ "b"\n'), *some_pairs(n_pairs)]
    backend = CrossEncoderBackend(wrapper)
    assert backend.knows_tokens(backend.instruction(None, None))  # type: ignore[arg-type]
    expected = wrapper.model.predict(pairs)
    np.testing.assert_allclose(scores_of(backend, pairs), expected, rtol=0, atol=1e-6)
    assert expected.std() > 0.02  # so that a score of another pair would show


def test_long_texts_are_counted_as_truncated(wrapper: CrossEncoderWrapper) -> None:
    """Counts are the tokenizer's own, special tokens included, as far as they matter."""
    backend = CrossEncoderBackend(wrapper)
    pairs = some_pairs(100)
    tokens = backend.tokenize([pair_text(*p) for p in pairs], backend.instruction(None, None))  # type: ignore[arg-type]
    whole = wrapper.model.tokenizer(*zip(*pairs, strict=True), truncation=False, verbose=False)
    counts = [len(ids) for ids in whole["input_ids"]]
    assert tokens.lengths.tolist() == [min(count, MAX_LENGTH) for count in counts]
    assert (tokens.counts > MAX_LENGTH).tolist() == [count > MAX_LENGTH for count in counts]


def test_half_precision_scores_are_those_of_predict(reranker_folder: Path) -> None:
    """In bfloat16 too, with mteb's scoring head in float32: few scores tie."""
    wrapper = loaded(reranker_folder, model_kwargs={"dtype": torch.bfloat16})
    backend = CrossEncoderBackend(wrapper)
    assert backend.dtype == "bfloat16"
    pairs = some_pairs(48)
    # The same batches: in half precision, padding decides about the third digit.
    expected = np.concatenate([wrapper.model.predict(pairs[n : n + 16]) for n in (0, 16, 32)])
    np.testing.assert_allclose(scores_of(backend, pairs), expected, rtol=0, atol=1e-6)
    assert len(set(expected.tolist())) > 40


def test_pairs_of_a_roberta_have_two_separators_and_no_types(tmp_path: Path) -> None:
    """As bge-reranker's: <s> query </s></s> document </s>, from a byte-level tokenizer."""
    rust = byte_level_tokenizer()
    ids = {token: rust.token_to_id(token) for token in ("<s>", "</s>")}
    rust.post_processor = processors.RobertaProcessing(
        ("</s>", ids["</s>"]), ("<s>", ids["<s>"]), add_prefix_space=False
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=rust, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        cls_token="<s>", sep_token="</s>", model_max_length=40,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    config = RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, num_labels=1, max_position_embeddings=48, pad_token_id=0,
        initializer_range=0.4,
    )  # fmt: skip
    torch.manual_seed(0)
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    wrapper = loaded(tmp_path)
    backend = CrossEncoderBackend(wrapper)
    assert backend.knows_tokens(backend.instruction(None, None))  # type: ignore[arg-type]
    pairs = some_pairs(64, longest_document=90)
    np.testing.assert_allclose(
        scores_of(backend, pairs), wrapper.model.predict(pairs), rtol=0, atol=1e-6
    )


def test_a_model_with_a_prompt_is_left_to_predict(wrapper: CrossEncoderWrapper) -> None:
    """A prompt may go anywhere in a model's inputs, so sentence-transformers makes them."""
    wrapper.model.prompts, wrapper.model.default_prompt_name = {"web": "find: "}, "web"
    backend = CrossEncoderBackend(wrapper)
    instruction = backend.instruction(None, None)  # type: ignore[arg-type]
    assert not backend.knows_tokens(instruction)
    assert instruction.prompt == "find: "
    pairs = some_pairs(32)
    np.testing.assert_allclose(
        scores_of(backend, pairs), wrapper.model.predict(pairs), rtol=0, atol=1e-6
    )
    wrapper.model.default_prompt_name = None
    assert abs(scores_of(backend, pairs) - wrapper.model.predict(pairs)).max() < 1e-6


def test_a_model_with_several_labels_is_refused(wrapper: CrossEncoderWrapper) -> None:
    """A ranking needs one number a pair."""
    wrapper.model.model.config.num_labels = 3
    with pytest.raises(TaskError, match="gives 3 numbers for a pair"):
        reranker_of(wrapper)


def test_a_pair_as_a_text_is_read_back() -> None:
    """Quotes, brackets and lone surrogates included; pairs that join to the same text differ."""
    for pair in [("", ""), ('a", "b', "c]"), ("\ud800", "日本"), ("a", "b c")]:
        assert pair_of(pair_text(*pair)) == pair
    assert pair_text("a b", "c") != pair_text("a", "b c")


# --- cutting queries ------------------------------------------------------------------------------


def byte_level_tokenizer() -> Tokenizer:
    """A BPE tokenizer over bytes that knows four words."""
    rust = Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rust.train_from_iterator(["the grey harbour froze"] * 5, trainer)
    return rust


def test_a_query_is_cut_behind_its_last_token(wrapper: CrossEncoderWrapper) -> None:
    """The string ends where the token ends, in the text as it was written."""
    texts = ["The  Harbour froze, again", "Harbour froze", ""]
    # the / harbour / froze / , / again
    cut = cut_to_tokens(texts, 3, wrapper.model.tokenizer)
    assert cut == ["The  Harbour froze", "Harbour froze", ""]


def test_a_character_of_several_tokens_is_not_cut() -> None:
    """A byte-level tokenizer reads é as two tokens; one of them is no text."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_level_tokenizer())
    assert len(tokenizer("aé")["input_ids"]) == 3
    assert cut_to_tokens(["aéa"], 2, tokenizer) == ["a"]
    assert cut_to_tokens(["aéa"], 3, tokenizer) == ["aé"]


def test_tokens_without_offsets_are_decoded() -> None:
    """A tokenizer in Python does not say where a token ends."""

    class Slow:
        is_fast = False

        def __call__(self, texts: list[str], **kwargs: Any) -> dict[str, list[list[str]]]:
            assert not kwargs["return_offsets_mapping"]
            return {"input_ids": [text.split() for text in texts]}

        def decode(self, ids: list[str]) -> str:
            return " ".join(ids)

    assert cut_to_tokens(["a  b c", "a  b"], 2, Slow()) == ["a b", "a  b"]


def test_a_cut_query_has_the_score_of_its_beginning(wrapper: CrossEncoderWrapper) -> None:
    """With instructions behind the queries, which stay; the observation says how many were cut."""
    queries = queries_of(["one two three four", "one"], instruction=["carefully", "carefully"])
    reranker = reranker_of(wrapper, query_tokens=2)
    found = reranked(reranker, queries, corpus_of(["some text"]), {"q0": ["d0"], "q1": ["d0"]})
    pairs = [("one two carefully", "A title some text"), ("one carefully", "A title some text")]
    expected = wrapper.model.predict(pairs)
    assert found["q0"]["d0"] == pytest.approx(expected[0], abs=1e-6)
    assert found["q1"]["d0"] == pytest.approx(expected[1], abs=1e-6)
    cost = reranker.observations[0].pairs
    assert (cost.query_tokens, cost.n_queries_cut) == (2, 1)


# --- beside mteb ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory, fixed: Any) -> AbsTaskRetrieval:
    """30 queries with graded judgements, reranked from a first stage's top 8 of 60 documents."""
    pairs = some_pairs(60, longest_query=40, longest_document=200)
    queries = queries_of([f"{n} {query}" for n, (query, _) in enumerate(pairs[:30])])
    documents = [document for _, document in pairs]
    documents[7] = documents[8] = documents[9] = ""
    documents[11] = documents[12]
    judged = {
        f"q{n}": {f"d{(7 * n + 5 * grade) % 60}": grade for grade in (1, 2)} for n in range(30)
    }
    part = {"queries": queries, "corpus": corpus_of(documents), "relevant_docs": judged}
    task = task_of({"default": {**part, "top_ranked": None}})
    folder = tmp_path_factory.mktemp("predictions")
    mteb.evaluate(fixed, task, cache=None, co2_tracker=False, prediction_folder=folder)
    task.load_data()
    task.unload_data = lambda: None  # type: ignore[method-assign]
    return task.convert_to_reranking(folder, top_k=8)


@pytest.fixture(scope="module")
def fixed() -> Any:
    """A first stage that finds documents by a hash of their texts."""

    class ByHash:
        mteb_model_meta = ModelMeta.create_empty(overwrites={"name": "test/fixed", "revision": "1"})

        def encode(self, inputs: Any, **kwargs: Any) -> Any:
            texts = [text for batch in inputs for text in batch["text"]]
            seeds = [sum(text.encode()) for text in texts]
            return np.stack([np.random.default_rng(seed).normal(size=8) for seed in seeds])

        def similarity(self, left: Any, right: Any) -> Any:
            return torch.as_tensor(left) @ torch.as_tensor(right).T

        similarity_pairwise = similarity

    return ByHash()


def evaluated(model: Any, task: AbsTaskRetrieval, folder: Path) -> tuple[Any, Any]:
    """All of mteb's scores of the task, and its rankings."""
    done = mteb.evaluate(model, task, cache=None, co2_tracker=False, prediction_folder=folder)
    found = json.loads((folder / task.prediction_file_name).read_text())
    return done.task_results[0].scores["test"][0], found["default"]["test"]


def test_all_is_as_in_mteb(
    wrapper: CrossEncoderWrapper, task: AbsTaskRetrieval, tmp_path: Path
) -> None:
    """The same scores for the same pairs within 1e-6, and every metric of mteb's equal."""
    theirs, their_run = evaluated(wrapper, task, tmp_path / "theirs")
    ours, our_run = evaluated(reranker_of(wrapper), task, tmp_path / "ours")
    assert ours == theirs
    assert our_run.keys() == their_run.keys()
    for query_id, ranking in their_run.items():
        assert len(ranking) == 8
        assert our_run[query_id] == pytest.approx(ranking, abs=1e-6)
    assert 0 < theirs["ndcg_at_10"] < 1


def test_a_run_of_arrays_scores_the_same(
    wrapper: CrossEncoderWrapper, task: AbsTaskRetrieval, tmp_path: Path
) -> None:
    """Over arrays, our scoring gives mteb's metrics."""
    theirs, _ = evaluated(wrapper, task, tmp_path / "theirs")
    reranker = reranker_of(wrapper)
    reranker.as_arrays = True
    with scored_over_arrays():
        done = mteb.evaluate(reranker, task, cache=None, co2_tracker=False)
    assert isinstance(reranker.observations[0].run, Run)
    assert done.task_results[0].scores["test"][0] == theirs


def test_prefixes_are_those_of_mteb(
    reranker_folder: Path, task: AbsTaskRetrieval, tmp_path: Path
) -> None:
    """Before the query and before the document, and both are in the observation."""
    wrapper = loaded(reranker_folder, query_prefix="query: ", passage_prefix="document: ")
    _, theirs = evaluated(wrapper, task, tmp_path / "theirs")
    reranker = reranker_of(wrapper)
    _, ours = evaluated(reranker, task, tmp_path / "ours")
    for query_id, ranking in theirs.items():
        assert ours[query_id] == pytest.approx(ranking, abs=1e-6)
    assert reranker.observations[0].prompts == {"query": "query: ", "document": "document: "}


def test_a_reranker_is_a_search_model(wrapper: CrossEncoderWrapper) -> None:
    """mteb takes it as one, and as no cross-encoder that it would wrap again."""
    reranker = reranker_of(wrapper)
    assert isinstance(reranker, SearchProtocol)
    assert is_reranker(wrapper)
    assert not is_reranker(reranker)


# --- the store ------------------------------------------------------------------------------------

QUERIES = queries_of(["the grey harbour", "a pilot", "the grey harbour"])
CORPUS = corpus_of(["one", "two two", "one", "", "harbour " * 100, "x"])
TOP_RANKED = {"q0": ["d4", "d0", "d1"], "q1": ["d2", "d3"], "q2": ["d1", "d5", "d1"]}


def test_pairs_are_scored_once(wrapper: CrossEncoderWrapper, tmp_path: Path) -> None:
    """The same candidates again cost nothing, and a deeper list only what is new in it."""
    first = reranker_of(wrapper, tmp_path)
    found = reranked(first, QUERIES, CORPUS, TOP_RANKED)
    cost = first.observations[0].pairs
    # q0 and q2 ask the same of d1; d1 stands twice in q2's list.
    assert (cost.n_pairs, cost.n_unique, cost.n_scored, cost.n_truncated) == (7, 6, 6, 1)
    again = reranker_of(wrapper, tmp_path, query_tokens=64)
    assert reranked(again, QUERIES, CORPUS, TOP_RANKED) == found
    assert again.observations[0].pairs.n_scored == 0
    deeper = reranker_of(wrapper, tmp_path)
    reranked(deeper, QUERIES, CORPUS, TOP_RANKED | {"q1": ["d2", "d3", "d5"]})
    assert deeper.observations[0].pairs.n_scored == 1


def test_what_changes_a_score_changes_its_address(reranker_folder: Path, tmp_path: Path) -> None:
    """A shorter maximum length scores the truncated pairs again; an activation function, all."""
    reranked(reranker_of(loaded(reranker_folder), tmp_path), QUERIES, CORPUS, TOP_RANKED)
    shorter = loaded(reranker_folder)
    shorter.model.max_seq_length = 32
    of_length = reranker_of(shorter, tmp_path)
    reranked(of_length, QUERIES, CORPUS, TOP_RANKED)
    assert of_length.observations[0].pairs.n_scored == 1
    raw = reranker_of(loaded(reranker_folder, activation_fn=torch.nn.Identity()), tmp_path)
    scores = reranked(raw, QUERIES, CORPUS, TOP_RANKED)
    assert raw.observations[0].pairs.n_scored == 6
    assert max(scores["q0"].values()) > 1 or min(scores["q0"].values()) < 0


def test_a_crash_costs_one_shard(
    wrapper: CrossEncoderWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill in the middle only the rest is scored, and scores are the same to the bit."""
    monkeypatch.setattr(encoder_module, "TEXTS_PER_SHARD", 10)
    pairs = some_pairs(40, longest_document=60)
    queries = queries_of([query for query, _ in pairs])
    corpus = corpus_of([document for _, document in pairs])
    top_ranked = {f"q{n}": [f"d{n}", f"d{(n + 1) % 40}"] for n in range(40)}
    whole = reranked(reranker_of(wrapper, tmp_path / "whole"), queries, corpus, top_ranked)

    killed = reranker_of(wrapper, tmp_path / "killed")
    encode, n_scored = CrossEncoderBackend.encode, 0

    def encode_some(self: Any, tokens: Any, rows: Any, instruction: Any) -> Any:
        nonlocal n_scored
        if n_scored > 40:
            raise KeyboardInterrupt
        n_scored += len(rows)
        return encode(self, tokens, rows, instruction)

    with monkeypatch.context() as patch:
        patch.setattr(CrossEncoderBackend, "encode", encode_some)
        with pytest.raises(KeyboardInterrupt):
            reranked(killed, queries, corpus, top_ranked)
    resumed = reranker_of(wrapper, tmp_path / "killed")
    assert reranked(resumed, queries, corpus, top_ranked) == whole
    cost = resumed.observations[0].pairs
    assert 0 < cost.n_scored <= cost.n_unique - 40


def test_latency_is_of_one_query_and_keeps_nothing(
    wrapper: CrossEncoderWrapper, tmp_path: Path
) -> None:
    """32 queries after three, from pairs to scores, whatever the store has."""
    reranker = reranker_of(wrapper, tmp_path)
    reranker.measure_latency = True
    queries = queries_of([f"query {n}" for n in range(40)])
    reranked(reranker, queries, CORPUS, {f"q{n}": ["d0", "d4"] for n in range(1, 40)})
    seconds = reranker.observations[0].query_seconds
    assert len(seconds) == 32
    assert min(seconds) > 0
    assert not reranker.measure_latency
    assert reranker.observations[0].pairs.n_scored == 78


# --- what is wrong --------------------------------------------------------------------------------


def test_a_score_that_is_no_number_names_its_pair(
    wrapper: CrossEncoderWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first bad pair by its ids, how many there are, and what to try."""
    encode = CrossEncoderBackend.encode

    def without_x(self: Any, tokens: Any, rows: Any, instruction: Any) -> Any:
        scores = encode(self, tokens, rows, instruction)
        scores[[pair_of(tokens.texts[row])[1] == "x" for row in rows]] = np.nan
        return scores

    monkeypatch.setattr(CrossEncoderBackend, "encode", without_x)
    with pytest.raises(TaskError) as raised:
        reranked(reranker_of(wrapper), QUERIES, CORPUS, TOP_RANKED)
    assert str(raised.value).splitlines() == [
        "the scores of 1 of 7 pairs are NaN or infinite (first: query 'q2', document 'd5')",
        "  nothing was saved for this task; try --dtype float32",
    ]


def test_a_query_without_candidates_has_an_empty_ranking(wrapper: CrossEncoderWrapper) -> None:
    """As in mteb; the others are scored."""
    found = reranked(reranker_of(wrapper), QUERIES, CORPUS, {"q1": ["d0"], "q2": []})
    assert {query_id: list(ranking) for query_id, ranking in found.items()} == {
        "q0": [],
        "q1": ["d0"],
        "q2": [],
    }


@pytest.mark.parametrize("top_ranked", [None, {}, {"other": ["d0"]}, {"q0": []}])
def test_no_candidates_at_all_is_an_error(wrapper: CrossEncoderWrapper, top_ranked: Any) -> None:
    """It says what a reranker needs."""
    with pytest.raises(TaskError, match=r"none of 3 queries has candidates.*\n.*--first-stage"):
        reranked(reranker_of(wrapper), QUERIES, CORPUS, top_ranked)


def test_a_candidate_from_elsewhere_is_an_error(wrapper: CrossEncoderWrapper) -> None:
    """A run of another corpus is named as such."""
    with pytest.raises(TaskError, match=r"1 of 2 candidates.*document 'd99' of query 'q1'"):
        reranked(reranker_of(wrapper), QUERIES, CORPUS, {"q1": ["d0", "d99"]})


# --- rerankers with code of their own -------------------------------------------------------------


class Listwise:
    """Scores a document by its place among the candidates that it is shown with."""

    mteb_model_meta = ModelMeta.create_empty(overwrites={"name": "test/listwise", "revision": "1"})
    tokenizer: Any = None

    def __init__(self) -> None:
        self.queries = list[str]()

    def predict(self, inputs1: Any, inputs2: Any, **kwargs: Any) -> Any:
        """0, 1, 2, ...; NaN for a document with an x."""
        self.queries += [text for batch in inputs1 for text in batch["text"]]
        documents = [text for batch in inputs2 for text in batch["text"]]
        return np.array([np.nan if "x" in text else n for n, text in enumerate(documents)])


def test_other_rerankers_run_as_in_mteb() -> None:
    """Their scores may depend on all candidates, so nothing is batched or kept for them."""
    model = Listwise()
    reranker = reranker_of(model, query_tokens=1)
    assert isinstance(reranker, RerankerOfMteb)
    found = reranked(reranker, QUERIES, CORPUS, {"q0": ["d1", "d0", "d1"], "q1": ["d2"]})
    assert found == {"q0": {"d0": 1.0, "d1": 0.0}, "q1": {"d2": 2.0}, "q2": {}}
    assert list(found["q0"]) == ["d0", "d1"]
    cost = reranker.observations[0].pairs
    assert (cost.n_pairs, cost.n_scored, cost.query_tokens) == (3, 3, None)
    assert model.queries == ["the grey harbour", "the grey harbour", "a pilot"]


def test_other_rerankers_cut_queries_where_they_have_a_tokenizer(
    wrapper: CrossEncoderWrapper,
) -> None:
    """By their own; the observation says so."""
    model = Listwise()
    model.tokenizer = wrapper.model.tokenizer
    reranker = reranker_of(model, query_tokens=2)
    reranker.measure_latency = True
    reranked(reranker, QUERIES, CORPUS, {"q0": ["d0"], "q1": ["d1"]})
    assert model.queries[:2] == ["the grey", "a pilot"]
    cost = reranker.observations[0].pairs
    assert (cost.query_tokens, cost.n_queries_cut) == (2, 2)
    assert reranker.observations[0].query_seconds == []  # two queries are less than the warm-up


def test_other_rerankers_name_the_pair_without_a_score() -> None:
    """As ours do."""
    with pytest.raises(TaskError, match=r"2 of 3 pairs.*query 'q0', document 'd5'"):
        reranked(reranker_of(Listwise()), QUERIES, CORPUS, {"q0": ["d1", "d5"], "q2": ["d5"]})


def test_a_subclass_of_mtebs_wrapper_is_left_to_mteb(reranker_folder: Path) -> None:
    """It may prepare its inputs in its own way."""

    class Own(CrossEncoderWrapper):
        pass

    own = Own(CrossEncoder(str(reranker_folder), device="cpu"))
    assert isinstance(reranker_of(own), RerankerOfMteb)
    assert isinstance(reranker_of(loaded(reranker_folder)), Reranker)
