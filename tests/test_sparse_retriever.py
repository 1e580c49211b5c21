"""Sparse models: mteb's numbers from our batches, store and search, and how sparse they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
import torch
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import SearchEncoderWrapper
from mteb.models.sentence_transformer_wrapper import SparseEncoderWrapper
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.sparse_backend import SparseEncoderBackend
from granite_bench.engine.encoding import encoder as encoder_module
from granite_bench.engine.sparse_retriever import (
    LOGITS_BYTES,
    SparseRetriever,
    is_sparse,
    sparse_retriever,
)
from granite_bench.engine.variants import Variant
from granite_bench.errors import TaskError
from granite_bench.models import find_model

WORDS = "harbour winter pilot ferry grey tide lamp rope anchor storm gull quay fog chart".split()


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "search", ":", *map(str, range(380))]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The model is so small that handing work to another thread takes longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained BERT that reads whole words; its bias leaves some tens of 400 active."""
    folder = tmp_path_factory.mktemp("masked-lm")
    torch.manual_seed(0)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=64, initializer_range=0.2, max_position_embeddings=32,
        )
    )  # fmt: skip
    with torch.no_grad():
        model.cls.predictions.decoder.bias.fill_(-2.0)
    model.save_pretrained(folder)
    words = Tokenizer(WordLevel({word: n for n, word in enumerate(VOCABULARY)}, "[UNK]"))
    words.normalizer, words.pre_tokenizer = Lowercase(), Whitespace()
    words.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=words, model_max_length=32,
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[UNK]",
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture
def splade(masked_lm: Path) -> Callable[..., SparseEncoderWrapper]:
    """Makes mteb's wrapper of a model of its own; arguments are SparseEncoder's."""

    def make(**options: Any) -> SparseEncoderWrapper:
        return wrapped([fill_mask(masked_lm), SpladePooling()], **options)

    return make


def fill_mask(folder: Path) -> Transformer:
    """The first module of a SPLADE model."""
    return Transformer(str(folder), transformer_task="fill-mask")


def wrapped(modules: list[Any], **options: Any) -> SparseEncoderWrapper:
    """As mteb has it, with a name."""
    wrapper = SparseEncoderWrapper(SparseEncoder(modules=modules, device="cpu", **options))
    known = {"name": "test/sparse", "revision": "1"}
    wrapper.mteb_model_meta = wrapper.mteb_model_meta.model_copy(update=known)
    return wrapper


def ours(model: SparseEncoderWrapper, store: Path | None = None, **options: Any) -> SparseRetriever:
    """Our engine over it."""
    return sparse_retriever(
        model,
        identity={"model": "test/sparse", "revision": "1"},
        encoder_options={"store_folder": store, "token_budget": 64},
        **options,
    )


def sentence(number: int, n_words: int) -> str:
    """Words in an order of its own."""
    order = np.random.default_rng(number).permutation(len(WORDS))
    return " ".join(WORDS[place] for place in order[:n_words])


def task_of(*, n_docs: int = 40, n_queries: int = 12, reranking: bool = False) -> AbsTaskRetrieval:
    """Documents of 1 to 14 words, some with a title; two judged for each query."""

    class TinyRetrieval(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="TinyRetrieval",
            description="made up here",
            dataset={"path": "tests/tiny", "revision": "1"},
            type="Reranking" if reranking else "Retrieval",
            category="t2t",
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
            doc_ids = [f"d{n}" for n in range(n_docs)]
            query_ids = [f"q{n}" for n in range(n_queries)]
            part = {
                "corpus": Dataset.from_dict(
                    {
                        "id": doc_ids,
                        "title": [("", "Harbour")[n % 2] for n in range(n_docs)],
                        "text": [sentence(n, 1 + n % 14) for n in range(n_docs)],
                    }
                ),
                "queries": Dataset.from_dict(
                    {
                        "id": query_ids,
                        "text": [sentence(900 + n, 1 + n % 4) for n in range(n_queries)],
                    }
                ),
                "relevant_docs": {
                    f"q{n}": {f"d{3 * n % n_docs}": 1, f"d{7 * n % n_docs}": 1}
                    for n in range(n_queries)
                },
                "top_ranked": {
                    query_id: [f"d{(3 * n + 2 * place) % n_docs}" for place in range(9)]
                    for n, query_id in enumerate(query_ids)
                }
                if reranking
                else None,
            }
            self.dataset = {"default": {"test": part}}
            self.data_loaded = True

    return TinyRetrieval()


def evaluate(model: Any, task: Any) -> dict[str, Any]:
    """mteb's scores of the task's only part."""
    results = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    [scores] = results.task_results[0].scores["test"]
    return dict(scores)


def assert_same_scores(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Every metric, up to the rounding of float32 sums."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, float):
            assert found[name] == pytest.approx(value, abs=1e-6, nan_ok=True), name


# vectors


@pytest.mark.parametrize("role", ["query", "document", None])
@pytest.mark.parametrize("prompt", ["", "search: "])
def test_vectors_are_those_of_sentence_transformers(
    splade: Callable[..., SparseEncoderWrapper], role: str | None, prompt: str
) -> None:
    """Batched otherwise; also of an empty text and one that is truncated."""
    model = splade()
    texts = ["", "fog", sentence(1, 5), " ".join(WORDS * 5)]
    backend = SparseEncoderBackend(model)
    instruction = Instruction(role, prompt)
    tokens = backend.tokenize(texts, instruction)
    assert backend.knows_tokens(instruction)
    assert tokens.counts[-1] > 32
    found = backend.encode(tokens, np.arange(4), instruction)
    expected = model.model.encode(texts, prompt=prompt, convert_to_sparse_tensor=False).numpy()
    np.testing.assert_allclose(found.to_dense(), expected, atol=1e-6)
    assert 0 < found.n_active.min() < found.n_active.max() < len(VOCABULARY) / 2
    assert (found.values != 0).all()
    assert all((np.diff(found[row : row + 1].indices) > 0).all() for row in range(len(texts)))


def test_no_more_dimensions_are_active_than_the_model_says(
    splade: Callable[..., SparseEncoderWrapper],
) -> None:
    """The largest stay, as sentence-transformers chooses them."""
    model = splade(max_active_dims=5)
    texts = [sentence(n, 6) for n in range(5)]
    backend = SparseEncoderBackend(model)
    instruction = Instruction("document", "")
    found = backend.encode(backend.tokenize(texts, instruction), np.arange(5), instruction)
    assert found.n_active.tolist() == [5] * 5
    expected = model.model.encode_document(texts, convert_to_sparse_tensor=False).numpy()
    np.testing.assert_allclose(found.to_dense(), expected, atol=1e-6)


def test_another_number_of_active_dimensions_has_vectors_of_its_own(
    splade: Callable[..., SparseEncoderWrapper], tmp_path: Path
) -> None:
    """What is stored for all dimensions is no hit for the 5 largest."""
    evaluate(ours(splade(), tmp_path), task_of())
    other = ours(splade(max_active_dims=5), tmp_path)
    evaluate(other, task_of())
    assert other.observations[0].docs.n_encoded == other.observations[0].docs.n_unique > 0


# scores


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("reranking", [False, True])
def test_every_metric_is_that_of_mteb_alone(
    splade: Callable[..., SparseEncoderWrapper], tmp_path: Path, similarity: str, reranking: bool
) -> None:
    """Search of all documents, and of those that a task lists; dictionaries or arrays."""
    model = splade(similarity_fn_name=similarity)
    expected = evaluate(SearchEncoderWrapper(model), task_of(reranking=reranking))
    assert 0.1 < expected["ndcg_at_10"] < 0.99
    found = evaluate(ours(model, tmp_path), task_of(reranking=reranking))
    assert_same_scores(found, expected)


def test_a_router_model_scores_as_with_mteb_alone(masked_lm: Path) -> None:
    """Documents by the masked language model, queries by a table: no inference for them."""
    torch.manual_seed(0)
    documents = fill_mask(masked_lm)
    table = SparseStaticEmbedding(tokenizer=documents.tokenizer, frozen=True)
    torch.nn.init.uniform_(table.weight, 0.5, 2.0)
    router = Router.for_query_document([table], [documents, SpladePooling()])
    model = wrapped([router], similarity_fn_name="dot")
    expected = evaluate(SearchEncoderWrapper(model), task_of())
    retriever = ours(model)
    assert_same_scores(evaluate(retriever, task_of()), expected)
    [seen] = retriever.observations
    assert seen.sparsity.query_active_dims < 6 < seen.sparsity.doc_active_dims


def test_tasks_that_do_not_search_score_as_with_mteb_alone(
    splade: Callable[..., SparseEncoderWrapper],
) -> None:
    """They get dense vectors."""

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
                "sentence1": [sentence(n, 5) for n in range(12)],
                "sentence2": [sentence(50 + n, 5) for n in range(12)],
                "score": [float(7 * n % 6) for n in range(12)],
            }
            self.dataset = {"test": Dataset.from_dict(pairs)}
            self.data_loaded = True

    model = splade()
    assert_same_scores(evaluate(ours(model), TinySTS()), evaluate(model, TinySTS()))


def test_empty_vectors_are_scored(splade: Callable[..., SparseEncoderWrapper]) -> None:
    """A model that activates nothing: all scores are 0, and nothing is divided by 0."""
    model = splade(similarity_fn_name="cosine")
    with torch.no_grad():
        model.model.transformers_model.cls.predictions.decoder.bias.fill_(-1000)
    retriever = ours(model)
    evaluate(retriever, task_of())
    [seen] = retriever.observations
    assert {score for ranking in seen.run.values() for score in ranking.values()} == {0.0}
    assert seen.sparsity.flops == seen.sparsity.doc_active_dims == 0


# the store


def test_a_second_run_encodes_nothing(
    splade: Callable[..., SparseEncoderWrapper], tmp_path: Path
) -> None:
    """And has the same scores to the last bit."""
    first, second = ours(splade(), tmp_path), ours(splade(), tmp_path)
    assert evaluate(first, task_of()) == evaluate(second, task_of())
    [seen], [again] = first.observations, second.observations
    assert (seen.docs.n_encoded, seen.queries.n_encoded) == (40, 12)
    assert (again.docs.n_encoded, again.queries.n_encoded) == (0, 0)
    assert np.array_equal(seen.run.scores, again.run.scores)


def test_a_run_goes_on_where_a_crash_ended_it(
    splade: Callable[..., SparseEncoderWrapper], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One shard is encoded again; the run is the one without a crash."""
    monkeypatch.setattr(encoder_module, "TEXTS_PER_SHARD", 10)
    crashing = ours(splade(), tmp_path)
    encode, n_batches = crashing.encoder.backend.encode, [0]

    def fail_in_the_third_shard(*args: Any) -> Any:
        n_batches[0] += len(args[1])
        if n_batches[0] > 25:
            raise KeyboardInterrupt
        return encode(*args)

    monkeypatch.setattr(crashing.encoder.backend, "encode", fail_in_the_third_shard)
    with pytest.raises(KeyboardInterrupt):
        evaluate(crashing, task_of())
    resumed, whole = ours(splade(), tmp_path), ours(splade())
    assert evaluate(resumed, task_of()) == evaluate(whole, task_of())
    assert resumed.observations[0].docs.n_encoded == 20
    assert np.array_equal(resumed.observations[0].run.scores, whole.observations[0].run.scores)


def test_a_broken_shard_is_encoded_again_and_reported(
    splade: Callable[..., SparseEncoderWrapper], tmp_path: Path
) -> None:
    """Scores are those of the first run."""
    expected = evaluate(ours(splade(), tmp_path), task_of())
    for shard in tmp_path.rglob("*.safetensors"):
        content = bytearray(shard.read_bytes())
        content[-1] ^= 1
        shard.write_bytes(content)
    again = ours(splade(), tmp_path)
    assert evaluate(again, task_of()) == expected
    assert len(again.encoder.repaired_shards) == 2
    assert again.observations[0].docs.n_encoded == 40


def test_a_corpus_on_the_disk_is_searched_as_one_in_memory(
    splade: Callable[..., SparseEncoderWrapper], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Larger than what may stay in memory; the rankings are the same to the last bit."""
    in_memory = ours(splade(), tmp_path)
    expected = evaluate(in_memory, task_of())
    monkeypatch.setattr("granite_bench.engine.encoding.batch_encoder.RESIDENT_BYTES", 0)
    on_disk = ours(splade(), tmp_path)
    assert evaluate(on_disk, task_of()) == expected
    runs = [each.observations[0].run for each in (in_memory, on_disk)]
    assert np.array_equal(runs[0].docs, runs[1].docs)
    assert np.array_equal(runs[0].scores, runs[1].scores)


# what is observed, and what is refused


def test_sparsity_is_observed(splade: Callable[..., SparseEncoderWrapper]) -> None:
    """Counted here from what sentence-transformers gives for the same texts."""
    model, task = splade(), task_of()
    retriever = ours(model)
    evaluate(retriever, task)
    task.load_data()
    part = task.dataset["default"]["test"]
    docs = [f"{row['title']} {row['text']}".strip() for row in part["corpus"]]
    queries = list(part["queries"]["text"])
    active = [
        model.model.encode(texts, convert_to_sparse_tensor=False).numpy() != 0
        for texts in (queries, docs)
    ]
    [seen] = retriever.observations
    assert seen.sparsity.dim == len(VOCABULARY)
    assert seen.sparsity.query_active_dims == pytest.approx(active[0].sum(axis=1).mean())
    assert seen.sparsity.doc_active_dims == pytest.approx(active[1].sum(axis=1).mean())
    shared = active[0].astype(float) @ active[1].astype(float).T
    assert seen.sparsity.flops == pytest.approx(shared.mean())


def test_prompts_are_put_before_texts(
    splade: Callable[..., SparseEncoderWrapper], tmp_path: Path
) -> None:
    """The model's own, unless others are given; both are observed, and change scores."""
    prompts = {"query": "fog: ", "document": "chart: "}
    plain, prompted = ours(splade(), tmp_path), ours(splade(prompts=prompts), tmp_path)
    given = ours(splade(), tmp_path, prompts=prompts)
    runs = []
    for retriever in (plain, prompted, given):
        evaluate(retriever, task_of())
        runs.append(retriever.observations[0].run.scores)
    assert plain.observations[0].prompts == {"document": "", "query": ""}
    assert prompted.observations[0].prompts == given.observations[0].prompts == prompts
    assert not np.array_equal(runs[0], runs[1])
    assert np.array_equal(runs[1], runs[2])


def test_latency_is_measured_when_asked(splade: Callable[..., SparseEncoderWrapper]) -> None:
    """12 queries, 3 of them to warm up; scores stay the same."""
    timed, untimed = ours(splade()), ours(splade())
    timed.measure_latency = True
    assert evaluate(timed, task_of()) == evaluate(untimed, task_of())
    assert len(timed.observations[0].query_seconds) == 9
    assert untimed.observations[0].query_seconds == []


@pytest.mark.parametrize("variant", [Variant(dim=64), Variant(precision="int8")])
def test_other_variants_are_refused(
    splade: Callable[..., SparseEncoderWrapper], variant: Variant
) -> None:
    """--dims may mean max_active_dims, which is the model's; the error says so."""
    retriever = ours(splade())
    retriever.variant = Variant()
    with pytest.raises(TaskError, match=r"--dims and --precision[^\n]*\n.*max_active_dims"):
        retriever.variant = variant


def test_a_vector_that_is_not_finite_names_its_document(
    splade: Callable[..., SparseEncoderWrapper], tmp_path: Path
) -> None:
    """Nothing is stored."""
    model = splade()
    with torch.no_grad():
        model.model.transformers_model.cls.predictions.decoder.bias[7] = float("nan")
    with pytest.raises(TaskError, match=r"40 of 40 document embeddings contain NaN[^\n]*'d0'"):
        evaluate(ours(model, tmp_path), task_of())
    assert not list(tmp_path.rglob("*.safetensors"))


def test_batches_on_a_processor_leave_room_for_the_scores_of_all_words(
    splade: Callable[..., SparseEncoderWrapper],
) -> None:
    """One for each token, in float32; a smaller budget stays as it is."""
    options = {"store_folder": None, "token_budget": 10_000_000}
    large = sparse_retriever(splade(), identity={}, encoder_options=options)
    assert large.encoder.token_budget == LOGITS_BYTES // (4 * len(VOCABULARY))
    assert ours(splade()).encoder.token_budget == 64


def test_a_model_of_a_folder_is_sparse_as_mteb_loads_it(
    splade: Callable[..., SparseEncoderWrapper], tmp_path: Path
) -> None:
    """What save_pretrained wrote; with another similarity it is left to mteb."""
    splade().model.save_pretrained(str(tmp_path / "model"))
    model = find_model(str(tmp_path / "model")).load("cpu")
    assert is_sparse(model)
    assert_same_scores(evaluate(ours(model), task_of()), evaluate(ours(splade()), task_of()))
    assert not is_sparse(splade(similarity_fn_name="euclidean"))
