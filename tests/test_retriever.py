"""Our engine under mteb's protocols: mteb's numbers, with what happened written down."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import numpy.typing as npt
import pytest
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import EncoderProtocol, SearchEncoderWrapper, SearchProtocol
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from mteb.similarity_functions import dot_score
from mteb.types import PromptType
from torch.utils.data import DataLoader

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.dense_backend import has_backend
from granite_bench.engine.backends.tokens import Tokens, counted
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.encoding import encoder as encoder_module
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.forms import form_of, loaded_from
from granite_bench.engine.observed_search import ObservedSearch
from granite_bench.engine.search.run import Run
from granite_bench.engine.variants import Variant
from granite_bench.engine.vectors.vectors import StoredVectors
from granite_bench.errors import TaskError

Scores = dict[str, Any]
Part = dict[str, Any]


class ByHash(dict[str, npt.NDArray[np.float32]]):
    """A vector for every text: those given, and 16 normally distributed numbers for the others."""

    def __missing__(self, text: str) -> npt.NDArray[np.float32]:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
        return np.random.default_rng(seed).normal(size=16).astype(np.float32)


class SmallIntegers(ByHash):
    """
    Values of -1..1, so that many dot products are equal, exactly; times 5 for query 5.

    Without the factor, two queries may have the same scores in another order. Their standard
    deviations then differ by rounding alone, which decides mteb's nauc_*_std.
    """

    def __missing__(self, text: str) -> npt.NDArray[np.float32]:
        factor = float(text.removeprefix("query ")) if text.startswith("query ") else 1.0
        return np.sign(super().__missing__(text)[:4]) * np.float32(factor)


def task_of(
    subsets: Mapping[str, Part],
    *,
    task_type: str = "Retrieval",
    ignore_identical_ids: bool = False,
    prompt: str | None = None,
) -> AbsTaskRetrieval:
    """An mteb task over data that are in memory; one subset is called default."""
    languages = {"en": ["eng-Latn"], "de": ["deu-Latn"]}

    class TinyRetrieval(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="TinyRetrieval",
            description="made up here",
            dataset={"path": "tests/tiny", "revision": "1"},
            type=task_type,
            category="t2t",
            eval_langs=["eng-Latn"] if "default" in subsets else {s: languages[s] for s in subsets},
            main_score="ndcg_at_10",
            prompt=prompt,
        )

        def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
            self.dataset = {subset: {"test": dict(part)} for subset, part in subsets.items()}
            self.data_loaded = True

    TinyRetrieval.ignore_identical_ids = ignore_identical_ids
    return TinyRetrieval()


def part_of(
    n_docs: int, n_queries: int, *, name: str = "", grades: Sequence[int] = (1,), copies: int = 1
) -> Part:
    """
    One subset: documents with and without titles, queries, and judgements in a fixed pattern.

    Each query has a judged document per grade; every text stands *copies* times in the corpus.
    """
    texts = [f"{name}document {number // copies}" for number in range(n_docs)]
    titles = [("", "Title", "Other title")[(number // copies) % 3] for number in range(n_docs)]
    return {
        "corpus": Dataset.from_dict(
            {"id": [f"d{n}" for n in range(n_docs)], "title": titles, "text": texts}
        ),
        "queries": Dataset.from_dict(
            {
                "id": [f"q{n}" for n in range(n_queries)],
                "text": [f"{name}query {n}" for n in range(n_queries)],
            }
        ),
        "relevant_docs": {
            f"q{n}": {
                f"d{(11 * n + 5 * place) % n_docs}": grade for place, grade in enumerate(grades)
            }
            for n in range(n_queries)
        },
        "top_ranked": None,
    }


class EncodeBackend:
    """A backend over a model's own encode, to give our engine the vectors that mteb gets."""

    name, dtype, device, pads = "test", "float32", "cpu", True
    max_length: int | None = None
    attention: str | None = None
    similarity_name: str | None = None

    def __init__(self, model: Any) -> None:
        self._model = model

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """No prompt; the role alone."""
        return Instruction(prompt_type.value if prompt_type else None, "")

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """Words."""
        counts = np.array([len(text.split()) for text in texts], dtype=np.int32)
        return counted(texts, counts, self.max_length)

    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Instruction
    ) -> npt.NDArray[np.float32]:
        """What the model makes of them."""
        role = PromptType(instruction.role) if instruction.role else None
        texts = [tokens.texts[row] for row in rows]
        vectors = self._model.encode([{"text": texts}], prompt_type=role)
        return np.asarray(vectors, dtype=np.float32)

    def knows_tokens(self, instruction: Instruction) -> bool:
        """Texts are counted as they are."""
        return True

    def release_memory(self) -> None:
        """Nothing to release."""


def dense(model: Any, store: Path | None = None) -> DenseRetriever:
    """The model in our engine."""
    options: dict[str, Any] = {"store_folder": store, "token_budget": 64}
    if has_backend(model):
        retriever = form_of(model, encoder_options=options)
        assert isinstance(retriever, DenseRetriever)
        return retriever
    meta = model.mteb_model_meta
    identity = {"model": meta.name, "revision": meta.revision, "loaded": loaded_from(meta)}
    return DenseRetriever(model, encoder=Encoder(EncodeBackend(model), identity, **options))


def evaluate(model: Any, task: Any) -> dict[str, list[Scores]]:
    """mteb's scores: split -> one dictionary per subset."""
    result = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    scores: dict[str, list[Scores]] = result.task_results[0].scores
    return scores


def assert_same_scores(
    ours: Mapping[str, list[Scores]], theirs: Mapping[str, list[Scores]]
) -> None:
    """Every split, subset and metric: same keys, values within 1e-9, NaN where mteb has NaN."""
    assert ours.keys() == theirs.keys()
    for split, subsets in theirs.items():
        assert len(ours[split]) == len(subsets)
        for our, their in zip(ours[split], subsets, strict=True):
            assert our.keys() == their.keys()
            for key, value in their.items():
                number = isinstance(value, float | int)
                expected = pytest.approx(value, rel=0, abs=1e-9, nan_ok=True) if number else value
                assert our[key] == expected, key


def test_a_dense_retriever_fits_mtebs_protocols(fixed_encoder: Callable[..., Any]) -> None:
    """mteb decides by isinstance what it can do with a model."""
    retriever = dense(fixed_encoder(ByHash()))
    assert isinstance(retriever, SearchProtocol)
    assert isinstance(retriever, EncoderProtocol)


def test_graded_judgements_score_as_with_mteb_alone(fixed_encoder: Callable[..., Any]) -> None:
    """Grades 3, 2, 1 and 0 over 60 documents; 20 queries of different success."""
    task = task_of({"default": part_of(60, 20, grades=(3, 2, 1, 0))})
    theirs = evaluate(fixed_encoder(ByHash()), task)
    assert 0 < theirs["test"][0]["ndcg_at_10"] < 1
    assert_same_scores(evaluate(dense(fixed_encoder(ByHash())), task), theirs)


def test_duplicate_documents_and_ties_score_as_with_mteb_alone(
    fixed_encoder: Callable[..., Any],
) -> None:
    """Every document three times, and few different scores, so that ids decide on most ranks."""
    task = task_of({"default": part_of(60, 20, grades=(2, 1), copies=3)})
    model = fixed_encoder(SmallIntegers(), similarity=dot_score)
    theirs = evaluate(model, task)
    retriever = dense(model)
    assert_same_scores(evaluate(retriever, task), theirs)
    [seen] = retriever.observations
    assert max(len(set(scores.values())) for scores in seen.run.values()) < 10


def test_copies_of_a_document_have_the_same_score(fixed_encoder: Callable[..., Any]) -> None:
    """To the last bit, so that trec_eval orders them by id, wherever they stand in the corpus."""
    retriever = dense(fixed_encoder(ByHash()))
    evaluate(retriever, task_of({"default": part_of(120, 20, copies=3)}))
    [seen] = retriever.observations
    for scores in seen.run.values():
        for first in range(0, 120, 3):
            assert len({scores[f"d{number}"] for number in range(first, first + 3)}) == 1


def test_queries_of_the_same_text_score_as_with_mteb_alone(
    fixed_encoder: Callable[..., Any],
) -> None:
    """Every text is asked twice, under two ids with judgements of their own."""
    part = part_of(60, 20, grades=(2, 1))
    texts = [f"query {number % 10}" for number in range(20)]
    part["queries"] = part["queries"].remove_columns("text").add_column("text", texts)
    task = task_of({"default": part})
    theirs = evaluate(fixed_encoder(ByHash()), task)
    retriever = dense(fixed_encoder(ByHash()))
    assert_same_scores(evaluate(retriever, task), theirs)
    [seen] = retriever.observations
    assert (seen.queries.n_texts, seen.queries.n_encoded) == (20, 10)


def test_two_subsets_score_as_with_mteb_alone(fixed_encoder: Callable[..., Any]) -> None:
    """A multilingual task: each subset has a corpus of its own, the ids are the same ones."""
    task = task_of({"en": part_of(40, 10, name="en "), "de": part_of(30, 8, name="de ")})
    theirs = evaluate(fixed_encoder(ByHash()), task)
    assert theirs["test"][0]["ndcg_at_10"] != theirs["test"][1]["ndcg_at_10"]
    retriever = dense(fixed_encoder(ByHash()))
    assert_same_scores(evaluate(retriever, task), theirs)
    assert [(seen.subset, seen.n_docs, seen.n_queries) for seen in retriever.observations] == [
        ("en", 40, 10),
        ("de", 30, 8),
    ]


def test_reranking_scores_as_with_mteb_alone(fixed_encoder: Callable[..., Any]) -> None:
    """Nine candidates for each query, some of them relevant; the rest of the corpus is out."""
    part = part_of(60, 20, grades=(2, 1))
    candidates = {f"q{n}": [f"d{(11 * n + 5 * m) % 60}" for m in range(9)] for n in range(20)}
    task = task_of({"default": {**part, "top_ranked": candidates}}, task_type="Reranking")
    theirs = evaluate(fixed_encoder(ByHash()), task)
    retriever = dense(fixed_encoder(ByHash()))
    assert_same_scores(evaluate(retriever, task), theirs)
    [seen] = retriever.observations
    assert {query: set(scores) for query, scores in seen.run.items()} == {
        query: set(listed) for query, listed in candidates.items()
    }


def test_a_querys_own_document_is_left_out_as_with_mteb_alone(
    fixed_encoder: Callable[..., Any],
) -> None:
    """ArguAna and Quora: queries that stand in the corpus, under the same id and text."""
    part = part_of(40, 10, grades=(2, 1))
    queries = part["corpus"].select(range(10)).select_columns(["id", "text"])
    judged = {f"d{n}": {f"d{n + 10}": 1, f"d{n + 20}": 2} for n in range(10)}
    part = {**part, "queries": queries, "relevant_docs": judged}
    scores = []
    for ignored in (True, False):
        task = task_of({"default": part}, ignore_identical_ids=ignored)
        theirs = evaluate(fixed_encoder(ByHash()), task)
        assert_same_scores(evaluate(dense(fixed_encoder(ByHash())), task), theirs)
        scores.append(theirs["test"][0]["ndcg_at_10"])
    assert scores[0] != scores[1]


def test_other_types_of_task_score_as_with_mteb_alone(fixed_encoder: Callable[..., Any]) -> None:
    """STS goes through encode and the model's similarities."""

    class TinySTS(AbsTaskSTS):
        metadata = TaskMetadata(
            name="TinySTS",
            description="made up here",
            dataset={"path": "tests/tiny", "revision": "1"},
            type="STS",
            category="t2t",
            eval_langs=["eng-Latn"],
            main_score="cosine_spearman",
        )
        min_score, max_score = 0, 5

        def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
            pairs = {
                "sentence1": [f"left {n}" for n in range(12)],
                "sentence2": [f"right {n}" for n in range(12)],
                "score": [float(7 * n % 6) for n in range(12)],
            }
            self.dataset = {"test": Dataset.from_dict(pairs)}
            self.data_loaded = True

    theirs = evaluate(fixed_encoder(ByHash()), TinySTS())
    assert_same_scores(evaluate(dense(fixed_encoder(ByHash())), TinySTS()), theirs)


def test_the_real_model_ranks_as_with_mteb_alone(minilm: Any) -> None:
    """Prompts, batches and search together: the same documents in the same order."""
    docs = {
        "granite": "Granite is a coarse-grained igneous rock.",
        "basalt": "Basalt is a fine-grained volcanic rock.",
        "marble": "Marble forms when limestone is heated under pressure.",
        "bread": "Bread is baked from flour, water and yeast.",
        "yoghurt": "Yoghurt is milk that bacteria have fermented.",
    }
    asked = {
        "q0": "Which rock is volcanic?",
        "q1": "What is bread made of?",
        "q2": "fermented milk",
    }
    part = {
        "corpus": Dataset.from_dict({"id": list(docs), "text": list(docs.values())}),
        "queries": Dataset.from_dict({"id": list(asked), "text": list(asked.values())}),
        "relevant_docs": {"q0": {"basalt": 1}, "q1": {"bread": 1}, "q2": {"yoghurt": 1}},
        "top_ranked": None,
    }
    theirs = ObservedSearch(SearchEncoderWrapper(minilm), minilm.mteb_model_meta)
    ours = dense(minilm)
    assert evaluate(ours, task_of({"default": part}))["test"][0]["ndcg_at_10"] == 1.0
    evaluate(theirs, task_of({"default": part}))
    for query, scores in theirs.observations[0].run.items():
        run = ours.observations[0].run[query]
        assert list(run) == sorted(scores, key=lambda doc: -scores[doc])
        assert run == pytest.approx(scores, rel=0, abs=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_document_vector_is_an_error_that_names_the_document(
    fixed_encoder: Callable[..., Any], value: float
) -> None:
    """pytrec_eval would take a NaN score and rank it somewhere."""
    bad = np.full(16, value, np.float32)
    vectors = ByHash({"Title document 4": bad, "document 6": bad})
    task = task_of({"default": part_of(12, 3)})
    expected = r"2 of 12 document embeddings contain NaN or infinity \(first: document 'd4'\)"
    with pytest.raises(TaskError, match=expected):
        evaluate(dense(fixed_encoder(vectors)), task)


def test_a_bad_query_vector_is_an_error_that_names_the_query(
    fixed_encoder: Callable[..., Any],
) -> None:
    """And the next step: another dtype."""
    vectors = ByHash({"query 2": np.full(16, np.nan, np.float32)})
    expected = r"1 of 5 query embeddings .* \(first: query 'q2'\)\n.*try --dtype float32"
    with pytest.raises(TaskError, match=expected):
        evaluate(dense(fixed_encoder(vectors)), task_of({"default": part_of(12, 5)}))


def test_a_bad_vector_of_another_type_of_task_is_an_error_that_names_its_position(
    fixed_encoder: Callable[..., Any],
) -> None:
    """Such texts have no ids."""
    retriever = dense(fixed_encoder(ByHash({"bad": np.full(16, np.nan, np.float32)})))
    loader = DataLoader(Dataset.from_dict({"text": ["good", "bad"]}), batch_size=1)
    with pytest.raises(TaskError, match=r"1 of 2 text embeddings .* \(first: text '1'\)"):
        retriever.encode(
            loader, task_metadata=task_of({}).metadata, hf_split="test", hf_subset="default"
        )


def test_encode_gives_the_models_vectors_in_the_order_of_the_texts(
    fixed_encoder: Callable[..., Any],
) -> None:
    """Through mteb's data loader, several batches of it, longest not first, one text twice."""
    texts = ["b", "a longer text", "c", "b", "the longest text of them all"]
    retriever = dense(fixed_encoder(ByHash()))
    vectors = retriever.encode(
        DataLoader(Dataset.from_dict({"text": texts}), batch_size=2),
        task_metadata=task_of({}).metadata,
        hf_split="test",
        hf_subset="default",
    )
    assert vectors.tobytes() == np.array([ByHash()[text] for text in texts]).tobytes()
    [seen] = retriever.observations
    assert seen.prompts == {"text": ""}
    assert (seen.n_docs, seen.docs.n_texts, seen.docs.n_encoded) == (5, 5, 4)


def test_the_models_own_similarities_are_used(fixed_encoder: Callable[..., Any]) -> None:
    """mteb asks our engine, and it asks the model."""
    model = fixed_encoder(ByHash(), similarity=dot_score)
    vectors = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    retriever = dense(model)
    assert retriever.similarity(vectors, vectors).tolist() == [[5, 11], [11, 25]]
    assert retriever.similarity_pairwise(vectors, vectors).tolist() == pytest.approx([1, 1])


def test_an_observation_holds_what_the_subset_took(
    fixed_encoder: Callable[..., Any], tmp_path: Path
) -> None:
    """Texts asked for, different ones and encoded ones, of both roles."""
    task = task_of({"default": part_of(12, 5, copies=3)})
    retriever = dense(fixed_encoder(ByHash()), tmp_path)
    evaluate(retriever, task)
    [seen] = retriever.observations
    assert (seen.split, seen.subset, seen.n_docs, seen.n_queries) == ("test", "default", 12, 5)
    assert (seen.docs.n_texts, seen.docs.n_unique, seen.docs.n_encoded) == (12, 4, 4)
    assert (seen.queries.n_texts, seen.queries.n_unique, seen.queries.n_encoded) == (5, 5, 5)
    assert {query: len(scores) for query, scores in seen.run.items()} == {
        f"q{n}": 12 for n in range(5)
    }
    assert seen.index_seconds > 0
    assert seen.search_seconds > 0


def test_a_second_run_of_a_task_encodes_nothing(
    fixed_encoder: Callable[..., Any], tmp_path: Path
) -> None:
    """Another process with the same store: the same scores from stored vectors."""
    task = task_of({"default": part_of(12, 5)})
    first = evaluate(dense(fixed_encoder(ByHash()), tmp_path), task)
    retriever = dense(fixed_encoder(ByHash()), tmp_path)
    assert_same_scores(evaluate(retriever, task), first)
    [seen] = retriever.observations
    assert (seen.docs.n_encoded, seen.queries.n_encoded) == (0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "test/other"},
        {"revision": "2"},
        {"loader_kwargs": {"model_prompts": {"query": "q"}}},
    ],
)
def test_another_model_revision_or_way_of_loading_has_vectors_of_its_own(
    fixed_encoder: Callable[..., Any], tmp_path: Path, change: dict[str, Any]
) -> None:
    """The model's metadata are part of the address of a vector, its prompts among them."""
    task = task_of({"default": part_of(12, 5)})
    model = fixed_encoder(ByHash())
    evaluate(dense(model, tmp_path), task)
    model.mteb_model_meta = model.mteb_model_meta.model_copy(update=change)
    retriever = dense(model, tmp_path)
    evaluate(retriever, task)
    [seen] = retriever.observations
    assert (seen.docs.n_encoded, seen.queries.n_encoded) == (12, 5)


def test_the_way_of_loading_is_described_the_same_in_every_process(
    fixed_encoder: Callable[..., Any],
) -> None:
    """The order of arguments does not matter; the loader and their values do."""
    meta = fixed_encoder(ByHash()).mteb_model_meta
    one = meta.model_copy(update={"loader_kwargs": {"a": 1, "b": {"x": 1, "y": 2}}})
    same = meta.model_copy(update={"loader_kwargs": {"b": {"y": 2, "x": 1}, "a": 1}})
    other = meta.model_copy(update={"loader_kwargs": {"a": 1, "b": {"x": 1, "y": 3}}})
    wrapped = one.model_copy(update={"loader": SentenceTransformerEncoderWrapper})
    assert loaded_from(one) == loaded_from(same)
    assert len({loaded_from(meta) for meta in (one, other, wrapped)}) == 3


@pytest.mark.filterwarnings(
    "ignore:Model prompts specified",
    "ignore:The fill_missing parameter",
    "ignore:The `get_sentence_embedding_dimension` method",
)
def test_prompts_in_force_are_observed(minilm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was put before queries and documents is part of what a score means."""
    # The wrapper writes its prompts into the model, which other tests share.
    monkeypatch.setattr(minilm.model, "prompts", dict(minilm.model.prompts))
    model = SentenceTransformerEncoderWrapper(
        minilm.model, model_prompts={"query": "query: ", "document": "passage: "}
    )
    retriever = dense(model)
    evaluate(retriever, task_of({"default": part_of(3, 2)}))
    assert retriever.observations[0].prompts == {"document": "passage: ", "query": "query: "}


def test_latency_is_measured_only_when_asked(fixed_encoder: Callable[..., Any]) -> None:
    """And then once: for the first subset of a task, not for every one."""
    task = task_of({"en": part_of(12, 8, name="en "), "de": part_of(12, 8, name="de ")})
    retriever = dense(fixed_encoder(ByHash()))
    evaluate(retriever, task)
    retriever.measure_latency = True
    evaluate(retriever, task)
    # Eight queries less the three that warm up.
    assert [len(seen.query_seconds) for seen in retriever.observations] == [0, 0, 5, 0]
    assert retriever.measure_latency is False


def test_latency_is_that_of_single_queries_encoded_now(
    fixed_encoder: Callable[..., Any], tmp_path: Path
) -> None:
    """40 queries, all in the store: the first 35 are encoded one by one, and 32 count."""
    task = task_of({"default": part_of(12, 40)})
    evaluate(dense(fixed_encoder(ByHash()), tmp_path), task)
    model, batches = fixed_encoder(ByHash()), []
    plain = model.encode

    def encode(inputs: Any, **arguments: Any) -> Any:
        batches.append([text for batch in inputs for text in batch["text"]])
        return plain(inputs)

    model.encode = encode
    retriever = dense(model, tmp_path)
    retriever.measure_latency = True
    evaluate(retriever, task)
    assert batches == [[f"query {n}"] for n in range(35)]
    assert len(retriever.observations[0].query_seconds) == 32


def test_measuring_latency_changes_no_score(fixed_encoder: Callable[..., Any]) -> None:
    """The run is made before, and stays."""
    task = task_of({"default": part_of(40, 10)})
    retriever = dense(fixed_encoder(ByHash()))
    retriever.measure_latency = True
    assert_same_scores(evaluate(retriever, task), evaluate(fixed_encoder(ByHash()), task))


def test_a_reranking_task_has_no_latency(fixed_encoder: Callable[..., Any]) -> None:
    """Its search is over each query's candidates alone; the next task is measured instead."""
    candidates = {f"q{n}": ["d0", "d1"] for n in range(8)}
    task = task_of({"default": {**part_of(12, 8), "top_ranked": candidates}}, task_type="Reranking")
    retriever = dense(fixed_encoder(ByHash()))
    retriever.measure_latency = True
    evaluate(retriever, task)
    assert retriever.observations[0].query_seconds == []
    assert retriever.measure_latency is True


# Corpora that stay on the disk, and variants of one encode.


@pytest.mark.parametrize("copies", [1, 3])
def test_a_corpus_on_the_disk_is_searched_as_one_in_memory(
    fixed_encoder: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: int
) -> None:
    """The same documents with the same scores, to the last bit; several shards, ties and copies."""
    monkeypatch.setattr(encoder_module, "TEXTS_PER_SHARD", 7)
    task = task_of({"default": part_of(60, 20, grades=(2, 1), copies=copies)})
    model = fixed_encoder(SmallIntegers(), similarity=dot_score)
    in_memory, on_disk = dense(model), dense(model, tmp_path)
    scores = evaluate(in_memory, task)
    monkeypatch.setattr("granite_bench.engine.encoding.batch_encoder.RESIDENT_BYTES", 0)
    assert_same_scores(evaluate(on_disk, task), scores)
    [ours], [theirs] = on_disk.observations, in_memory.observations
    assert isinstance(on_disk._docs, StoredVectors)
    assert {query: list(found.items()) for query, found in ours.run.items()} == {
        query: list(found.items()) for query, found in theirs.run.items()
    }


def test_candidates_from_the_disk_are_ranked_as_those_in_memory(
    fixed_encoder: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine for each of 20 queries, from shards of seven."""
    monkeypatch.setattr(encoder_module, "TEXTS_PER_SHARD", 7)
    part = part_of(60, 20, grades=(2, 1))
    candidates = {f"q{n}": [f"d{(11 * n + 5 * m) % 60}" for m in range(9)] for n in range(20)}
    task = task_of({"default": {**part, "top_ranked": candidates}}, task_type="Reranking")
    in_memory, on_disk = dense(fixed_encoder(ByHash())), dense(fixed_encoder(ByHash()), tmp_path)
    scores = evaluate(in_memory, task)
    monkeypatch.setattr("granite_bench.engine.encoding.batch_encoder.RESIDENT_BYTES", 0)
    assert_same_scores(evaluate(on_disk, task), scores)
    assert isinstance(on_disk._docs, StoredVectors)


@pytest.mark.parametrize("stored", [True, False])
def test_a_second_variant_encodes_nothing(
    fixed_encoder: Callable[..., Any], tmp_path: Path, stored: bool
) -> None:
    """Neither documents nor queries, with a store or without; its scores are others."""
    task = task_of({"default": part_of(60, 20, grades=(2, 1))})
    retriever = dense(fixed_encoder(ByHash()), tmp_path if stored else None)
    scores = []
    for dim in (16, 2):
        retriever.variant = Variant(dim=dim)
        scores.append(evaluate(retriever, task)["test"][0]["ndcg_at_10"])
    assert [(seen.docs.n_encoded, seen.queries.n_encoded) for seen in retriever.observations] == [
        (60, 20),
        (0, 0),
    ]
    assert scores[0] != scores[1]


def test_arrays_score_as_dictionaries(fixed_encoder: Callable[..., Any]) -> None:
    """search hands over its Run where the runner asks for it, else what mteb's scoring reads."""
    part, task = part_of(40, 10), task_of({}).metadata
    retriever = dense(fixed_encoder(ByHash()))
    retriever.index(part["corpus"], task_metadata=task, **RETRIEVAL)
    found = [retriever.search(part["queries"], task_metadata=task, top_k=25, **RETRIEVAL)]
    retriever.as_arrays = True
    found.append(retriever.search(part["queries"], task_metadata=task, top_k=25, **RETRIEVAL))
    assert [type(run) for run in found] == [dict, Run]
    assert found[0] == dict(found[1])


def test_ranking_is_part_of_searching(fixed_encoder: Callable[..., Any]) -> None:
    """rank_seconds leave out what encoding the queries takes."""
    model = fixed_encoder(ByHash())
    plain = model.encode

    def encode(inputs: Any, **arguments: Any) -> Any:
        time.sleep(0.05)
        return plain(inputs)

    model.encode = encode
    retriever = dense(model)
    evaluate(retriever, task_of({"default": part_of(12, 5)}))
    [seen] = retriever.observations
    assert 0 < seen.rank_seconds <= seen.search_seconds - 0.05


# Models that search by themselves.

RETRIEVAL = {
    "hf_split": "test",
    "hf_subset": "default",
    "encode_kwargs": {"show_progress_bar": False, "batch_size": 32},
    "num_proc": None,
}


def bm25() -> Any:
    """mteb's BM25, loaded."""
    return mteb.get_model_meta("mteb/baseline-bm25s").load_model()


@pytest.mark.parametrize("measure_latency", [True, False])
def test_bm25s_run_is_untouched(measure_latency: bool) -> None:
    """Same documents, order and scores as from mteb's BM25 itself."""
    part, task = part_of(40, 10), task_of({}).metadata
    theirs = bm25()
    theirs.index(part["corpus"], task_metadata=task, **RETRIEVAL)
    run = theirs.search(part["queries"], task_metadata=task, top_k=25, **RETRIEVAL)

    observed = form_of(bm25(), encoder_options={})
    assert isinstance(observed, ObservedSearch)
    observed.measure_latency = measure_latency
    observed.index(part["corpus"], task_metadata=task, **RETRIEVAL)
    returned = observed.search(part["queries"], task_metadata=task, top_k=25, **RETRIEVAL)
    assert [list(scores.items()) for scores in returned.values()] == [
        list(scores.items()) for scores in run.values()
    ]
    [seen] = observed.observations
    assert seen.run == run
    assert (seen.n_docs, seen.n_queries, seen.docs, seen.queries) == (40, 10, None, None)
    assert len(seen.query_seconds) == (7 if measure_latency else 0)


def test_bm25_scores_as_with_mteb_alone() -> None:
    """Through mteb.evaluate, with a query that is a document's text."""
    part = part_of(40, 10)
    texts = [f"document {n} title" for n in range(10)]
    part["queries"] = Dataset.from_dict({"id": [f"q{n}" for n in range(10)], "text": texts})
    task = task_of({"default": part})
    theirs = evaluate(bm25(), task)
    assert_same_scores(evaluate(form_of(bm25(), encoder_options={}), task), theirs)


def test_an_observed_search_fits_mtebs_protocol() -> None:
    """Or mteb would refuse to search with it."""
    assert isinstance(form_of(bm25(), encoder_options={}), SearchProtocol)


def test_a_model_whose_vectors_are_not_dense_is_searched_by_mteb(
    fixed_encoder: Callable[..., Any],
) -> None:
    """Sparse vectors have no place in the store; the scores are mteb's all the same."""
    task = task_of({"default": part_of(40, 10)})
    theirs = evaluate(fixed_encoder(ByHash()), task)
    model = fixed_encoder(ByHash())
    model.mteb_model_meta = model.mteb_model_meta.model_copy(update={"model_type": ["sparse"]})
    retriever = form_of(model, encoder_options={"store_folder": None, "token_budget": 64})
    assert isinstance(retriever, ObservedSearch)
    retriever.measure_latency = True
    assert_same_scores(evaluate(retriever, task), theirs)
    assert retriever.observations[0].query_seconds == []


class Spy:
    """Stands in for a model's encode and keeps what mteb's protocol handed to it."""

    def __init__(self, model: Any) -> None:
        self.rows: set[tuple[str, ...]] = set()
        self.places: set[tuple[str, str]] = set()
        self._encode = model.encode
        model.encode = self

    def __call__(self, inputs: Any, **arguments: Any) -> Any:
        """Keep the rows, the split and the subset, then let the model encode."""
        batches = list(inputs)
        for batch in batches:
            columns = [batch[name] for name in ("text", "title", "body") if name in batch]
            self.rows |= set(zip(*columns, strict=True))
        self.places.add((arguments["hf_split"], arguments["hf_subset"]))
        return self._encode(batches)


def test_a_models_own_encode_gets_titles_and_bodies_as_from_mteb(
    fixed_encoder: Callable[..., Any],
) -> None:
    """google/embeddinggemma-2 writes "title: ... | text: ..." from these two columns."""
    task = task_of({"default": part_of(6, 2)})
    model, same = fixed_encoder(ByHash()), fixed_encoder(ByHash())
    theirs, ours = Spy(model), Spy(same)
    evaluate(model, task)
    evaluate(form_of(same, encoder_options={}), task)
    assert ("Title document 1", "Title", "document 1") in theirs.rows
    assert ours.rows == theirs.rows


def test_a_models_own_encode_gets_the_split_and_subset_as_from_mteb(
    fixed_encoder: Callable[..., Any],
) -> None:
    """jxm/cde-small-v2 samples its context from the corpus of that split and subset."""
    task = task_of({"en": part_of(6, 2, name="en "), "de": part_of(6, 2, name="de ")})
    model, same = fixed_encoder(ByHash()), fixed_encoder(ByHash())
    theirs, ours = Spy(model), Spy(same)
    evaluate(model, task)
    evaluate(form_of(same, encoder_options={}), task)
    assert theirs.places == {("test", "en"), ("test", "de")}
    assert ours.places == theirs.places


def test_roles_are_given_to_the_model(fixed_encoder: Callable[..., Any]) -> None:
    """Documents are encoded as documents and queries as queries."""
    model, seen = fixed_encoder(ByHash()), set()
    plain = model.encode

    def encode(inputs: Any, **arguments: Any) -> Any:
        texts = [text for batch in inputs for text in batch["text"]]
        seen.update((text, arguments["prompt_type"]) for text in texts)
        return plain([{"text": texts}])

    model.encode = encode
    evaluate(dense(model), task_of({"default": part_of(3, 2)}))
    assert seen == {
        ("document 0", PromptType.document),
        ("Title document 1", PromptType.document),
        ("Other title document 2", PromptType.document),
        ("query 0", PromptType.query),
        ("query 1", PromptType.query),
    }


def test_documents_under_mtebs_search_count_as_indexing(
    fixed_encoder: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """mteb encodes the corpus while it searches; docs/s would be of no work at all."""
    clock = iter(range(1000))
    monkeypatch.setattr(
        "granite_bench.engine.observed_search.time.perf_counter", lambda: next(clock)
    )
    retriever = form_of(fixed_encoder(ByHash()), encoder_options={})
    evaluate(retriever, task_of({"default": part_of(6, 2)}))
    [seen] = retriever.observations
    # One tick for index() itself and one for the documents' encode; search() spans the rest.
    assert seen.index_seconds == 2
    assert seen.search_seconds > 0
