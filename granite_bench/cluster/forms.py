"""The form of a model whose weights are on workers: what mteb evaluates on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

from mteb.abstasks.task_metadata import TaskMetadata
from mteb.types import PromptType
from sentence_transformers import SimilarityFunction

from granite_bench.cluster.pool import Pool
from granite_bench.cluster.shards import PoolEncoder
from granite_bench.cluster.worker import Facts
from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.tokens import Tokens
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.encoding.encoder import Encoder
from granite_bench.engine.form_loading import EngineOptions
from granite_bench.engine.forms import Form
from granite_bench.engine.reranker import Reranker
from granite_bench.engine.sparse_retriever import SparseRetriever
from granite_bench.models import ModelSource


class BackendOfWorkers:
    """
    What the driver knows of a backend (see Backend); prompts and tokens are asked of a worker.

    Args:
        pool: workers that have loaded the model.
        facts: of the model.

    Attributes:
        hardware: of a worker, as provenance.hardware.
    """

    def __init__(self, pool: Pool, facts: Facts) -> None:
        described = dict(facts.backend)
        self.name: str = described["name"]
        self.max_length: int | None = described["max_length"]
        self.dtype: str = described["dtype"]
        self.device: str = described["device"]
        self.attention: str | None = described["attention"]
        self.similarity_name: str | None = described["similarity_name"]
        self.pads: bool = described["pads"]
        self.compiled: bool = described["compiled"]
        self.hardware = facts.hardware
        self._pool = pool
        self.knows_tokens = cache(self._knows_tokens)

    def instruction(self, task: TaskMetadata, prompt_type: PromptType | None) -> Instruction:
        """mteb's choice for this model."""
        instruction: Instruction = self._pool.ask("instruction", task, prompt_type)
        return instruction

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """As Backend.tokenize."""
        tokens: Tokens = self._pool.ask("tokenize", texts, instruction)
        return tokens

    def encode(self, *arguments: Any) -> Any:
        """Refused: the model is not here."""
        raise NotImplementedError("the driver encodes nothing")

    def release_memory(self) -> None:
        """Nothing is here."""

    def _knows_tokens(self, instruction: Instruction) -> bool:
        return bool(self._pool.ask("knows_tokens", instruction))


def form_of_workers(pool: Pool, facts: Facts, source: ModelSource, options: EngineOptions) -> Form:
    """
    The form of a model that the workers have loaded.

    Args:
        facts: their kind is not "whole".
        source: the model.
        options: those that the workers loaded it with.
    """
    elsewhere: PoolEncoder[Any] = PoolEncoder(pool, facts)
    encoder: Encoder[Any] = Encoder(
        BackendOfWorkers(pool, facts),
        facts.identity,
        store_folder=options.vectors,
        token_budget=facts.token_budget,
        elsewhere=elsewhere,
        sparse=facts.sparse,
        longest_first=facts.longest_first,
    )
    model = _ModelOfWorkers(source.meta, facts)
    if facts.kind == "reranker":
        query_tokens = source.reranking.query_tokens if source.reranking else None
        return Reranker(
            model, encoder=encoder, query_tokens=query_tokens, tokenizer=facts.tokenizer
        )
    form: Any = SparseRetriever if facts.kind == "sparse" else DenseRetriever
    retriever: Form = form(model, encoder=encoder, prompts=source.loading.prompts)
    return retriever


class _ModelOfWorkers:
    """What mteb and the forms ask of a model besides its vectors."""

    def __init__(self, meta: Any, facts: Facts) -> None:
        self.mteb_model_meta = meta
        self.query_prefix, self.passage_prefix = facts.prefixes
        self.model = SimpleNamespace(device=facts.backend["device"])
        name = facts.backend["similarity_name"] or SimilarityFunction.COSINE.value
        self.similarity = SimilarityFunction.to_similarity_fn(name)
        self.similarity_pairwise = SimilarityFunction.to_similarity_pairwise_fn(name)
