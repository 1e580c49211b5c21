"""From a first stage to a reranked result: what is kept, what is run again, what is said."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mteb
import pyarrow.parquet as pq
import pytest
from endpoint_server import EndpointServer
from mteb.models import CrossEncoderWrapper

import granite_bench
from granite_bench.__main__ import main
from granite_bench.errors import BadInput
from granite_bench.models import QUICKSTART_MODEL as MINILM
from granite_bench.models import Reranking, find_model, find_reranker
from granite_bench.runner.execution import Outcome
from granite_bench.runner.preparation import prepare
from granite_bench.tasks import find_task

BM25 = "mteb/baseline-bm25s"
TASK = "ParallelFactsRetrieval"
TOP_K = 8


@dataclass(frozen=True)
class Reranked:
    """A reranker behind MiniLM on the English facts."""

    base: Path
    reranker: Path
    outcomes: Sequence[Outcome]

    @property
    def results(self) -> Path:
        """The results folder."""
        return self.base / "results"

    def options(self, **others: Any) -> dict[str, Any]:
        """Of the command, or of one that differs by *others*."""
        return {
            "first_stages": [MINILM],
            "rerankers": [str(self.reranker)],
            "top_k": TOP_K,
            "tasks": [TASK],
            "subsets": ["en"],
            "results": self.results,
            "vectors": self.base / "vectors",
            "device": "cpu",
            **others,
        }

    def run(self, **others: Any) -> list[Outcome]:
        """The same command, or one that differs by *others*."""
        return granite_bench.run(**self.options(**others))

    def file(self, of: str, suffix: str) -> Path:
        """The file of the reranker's (or the first stage's) result with this suffix."""
        [path] = self.results.glob(f"*{of}*/**/records/{TASK}{suffix}")
        return path


@pytest.fixture(scope="module")
def reranked(tmp_path_factory: pytest.TempPathFactory, reranker_folder: Path) -> Reranked:
    """The finished run, shared by tests that only read it."""
    base = tmp_path_factory.mktemp("reranked")
    empty = Reranked(base, reranker_folder, [])
    return Reranked(base, reranker_folder, empty.run())


def test_a_first_stage_is_run_where_it_is_missing(reranked: Reranked) -> None:
    """Then the reranker over its best documents, under a name that says so."""
    first, second = reranked.outcomes
    assert (first.model, first.status) == (MINILM, "ran")
    assert second.model == f"local/reranker (first_stage={MINILM}, top_k={TOP_K})"
    assert second.status == "ran"
    assert second.n_scored == 59 * TOP_K


def test_every_score_is_what_mteb_gives_the_same_pairs(reranked: Reranked, tmp_path: Path) -> None:
    """mteb's own way: predictions of the first stage, convert_to_reranking, cross-encoder."""

    def task() -> Any:
        english = find_task(TASK)
        english.hf_subsets = ["en"]
        return english

    mteb.evaluate(
        find_model(MINILM).load("cpu"), task(), cache=None, co2_tracker=False,
        show_progress_bar=False, prediction_folder=tmp_path,
    )  # fmt: skip
    again = task()
    again.load_data()
    again.unload_data = lambda: None
    model = CrossEncoderWrapper(str(reranked.reranker), device="cpu")
    theirs = mteb.evaluate(
        model, again.convert_to_reranking(tmp_path, top_k=TOP_K), cache=None, co2_tracker=False,
        show_progress_bar=False,
    ).task_results[0].scores["test"][0]  # fmt: skip
    result = json.loads(
        reranked.file("reranker", ".json").parent.with_name(f"{TASK}.json").read_bytes()
    )
    ours = result["scores"]["test"][0]
    assert ours.keys() == theirs.keys()
    assert ours["previous_results_model_meta"]["model_name"] == MINILM
    numbers = {name for name, value in theirs.items() if isinstance(value, float)}
    assert len(numbers) > 50
    for name in numbers:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-5, nan_ok=True), name


def test_both_rankings_are_kept(reranked: Reranked) -> None:
    """The first stage's to a depth that serves other rerankers; scores fall."""
    first = pq.read_table(reranked.file("MiniLM", ".ranking.parquet")).to_pylist()
    second = pq.read_table(reranked.file("reranker", ".ranking.parquet")).to_pylist()
    assert {len(row["doc_ids"]) for row in first} == {59}  # all there are: fewer than 100
    assert {len(row["doc_ids"]) for row in second} == {TOP_K}
    for before, after in zip(first, second, strict=True):
        assert before["query_id"] == after["query_id"]
        assert set(after["doc_ids"]) == set(before["doc_ids"][:TOP_K])
        assert after["scores"] == sorted(after["scores"], reverse=True)


def test_rows_say_what_the_candidates_allow(reranked: Reranked) -> None:
    """One document is relevant to a fact: the ceiling is 1 where it is among the candidates."""
    rows = pq.read_table(reranked.file("reranker", ".parquet")).to_pylist()
    first = pq.read_table(reranked.file("MiniLM", ".parquet")).to_pylist()
    assert len(rows) == 59
    for row, before in zip(rows, first, strict=True):
        found = before["first_relevant_rank"] <= TOP_K
        assert row["first_stage_ndcg_at_10"] == pytest.approx(
            before["ndcg_at_10"] if found else 0.0
        )
        assert row["ceiling_ndcg_at_10"] == row["candidate_recall"] == float(found)
        assert row["ndcg_at_10"] <= row["ceiling_ndcg_at_10"]


def test_the_record_says_what_was_reranked(reranked: Reranked) -> None:
    """The first stage, its revision, the candidates' hash, and what scoring cost."""
    record = json.loads(reranked.file("reranker", ".json").read_bytes())
    [run] = record["runs"]
    revision = find_model(MINILM).meta.revision
    assert run["first_stage"] == {
        "name": MINILM, "argument": MINILM, "settings": {}, "revision": revision,
        "top_k": TOP_K, "query_tokens": None,
    }  # fmt: skip
    assert run["settings"]["max_length"] == 64
    [entry] = run["evaluations"]
    assert len(entry["candidates_sha256"]) == 64
    assert entry["pairs"]["n_pairs"] == 59 * TOP_K
    assert entry["pairs"]["score_seconds"] > 0
    assert entry["docs"] is entry["queries"] is None


def test_a_second_run_has_nothing_to_do(reranked: Reranked) -> None:
    """Both results are there, and the candidates are those that were scored."""
    assert prepare(**reranked.options()).nothing_to_do


def test_another_top_k_reuses_the_first_stage(reranked: Reranked, tmp_path: Path) -> None:
    """And every pair that was scored."""
    plan = prepare(**reranked.options(top_k=TOP_K + 2)).plan
    assert [job.done for job in plan.jobs] == [True, False]
    first, second = reranked.run(top_k=TOP_K + 2)
    assert (first.status, second.n_scored) == ("done", 59 * 2)


def test_queries_are_cut_to_so_many_tokens(reranked: Reranked) -> None:
    """It is part of the result's name, and new pairs are scored."""
    _, second = reranked.run(query_tokens=3)
    assert "query_tokens=3" in second.model
    assert second.n_scored == 59 * TOP_K


def test_a_result_without_its_ranking_is_run_again(tmp_path: Path) -> None:
    """Vectors are there; the ranking is what is missing."""
    options: dict[str, Any] = {
        "tasks": [TASK], "subsets": ["en"], "results": tmp_path, "vectors": None,
    }  # fmt: skip
    granite_bench.run(models=[BM25], **options)
    [job] = prepare(models=[BM25], ranking_depth=5, **options).plan.jobs
    assert job.reason == "its ranking is not kept"
    granite_bench.run(models=[BM25], ranking_depth=5, **options)
    assert prepare(models=[BM25], ranking_depth=5, **options).nothing_to_do
    [job] = prepare(models=[BM25], ranking_depth=6, **options).plan.jobs
    assert job.reason == "its ranking is not kept"


def test_a_ranking_that_was_moved_away_is_made_again(tmp_path: Path) -> None:
    """What is on the disk counts, not what the record says of it."""
    options: dict[str, Any] = {
        "models": [BM25], "tasks": [TASK], "subsets": ["en"], "results": tmp_path,
        "vectors": None, "ranking_depth": 5,
    }  # fmt: skip
    granite_bench.run(**options)
    [path] = tmp_path.rglob("*.ranking.parquet")
    path.unlink()
    [job] = prepare(**options).plan.jobs
    assert job.reason == "its ranking is not kept"
    granite_bench.run(**options)
    assert path.exists()


def test_a_run_that_keeps_no_ranking_leaves_no_old_one(tmp_path: Path) -> None:
    """export-run would write it beside newer results; those of other parts stay."""
    options: dict[str, Any] = {
        "models": [BM25], "tasks": [TASK], "results": tmp_path, "vectors": None,
    }  # fmt: skip
    granite_bench.run(subsets=["en", "de"], ranking_depth=5, **options)
    [path] = tmp_path.rglob("*.ranking.parquet")
    result = path.parent.parent / f"{TASK}.json"
    stored = json.loads(result.read_bytes())
    stored["scores"]["test"] = [e for e in stored["scores"]["test"] if e["hf_subset"] != "de"]
    result.write_text(json.dumps(stored))
    granite_bench.run(subsets=["en", "de"], **options)
    assert set(pq.read_table(path)["subset"].to_pylist()) == {"en"}


def test_another_ranking_of_the_first_stage_is_reranked(
    reranked: Reranked, tmp_path: Path, reranker_folder: Path
) -> None:
    """As after a change of its revision or of the data: scores of other candidates do not stay."""
    mine = Reranked(tmp_path, reranker_folder, [])
    mine.run(first_stages=[BM25])
    path = mine.file("bm25s", ".ranking.parquet")
    rows = pq.read_table(path)
    backwards = [docs[::-1] for docs in rows["doc_ids"].to_pylist()]
    pq.write_table(rows.set_column(3, rows.schema.field(3), [backwards]), path)
    first, second = prepare(**mine.options(first_stages=[BM25])).plan.jobs
    assert first.done
    assert second.reason == "the first stage's ranking changed"
    handed_on = dict(zip(rows["query_id"].to_pylist(), backwards, strict=True))
    _, outcome = mine.run(first_stages=[BM25])
    assert outcome.status == "ran"
    for row in pq.read_table(mine.file("reranker", ".ranking.parquet")).to_pylist():
        assert set(row["doc_ids"]) == set(handed_on[row["query_id"]][:TOP_K])
    assert prepare(**mine.options(first_stages=[BM25])).nothing_to_do


def test_what_waits_for_a_first_stage_is_not_done(reranked: Reranked, tmp_path: Path) -> None:
    """Its new ranking is not known when the plan is made."""
    shutil.copytree(reranked.results, tmp_path / "results")
    mine = Reranked(tmp_path, reranked.reranker, [])
    for path in mine.results.glob(f"*MiniLM*/**/{TASK}.json"):
        path.unlink()
    first, second = prepare(**mine.options()).plan.jobs
    assert (first.done, second.done) == (False, False)
    assert second.reason == "its first stage runs first"


def test_settings_with_the_same_folder_name_are_told_apart(tmp_path: Path) -> None:
    """mteb spells both prompts "find_ " in the name of the folder."""
    options: dict[str, Any] = {
        "models": [MINILM], "tasks": [TASK], "subsets": ["en"], "results": tmp_path,
        "vectors": None, "device": "cpu",
    }  # fmt: skip
    [outcome] = granite_bench.run(prompt_query="find: ", **options)
    assert outcome.model == f"{MINILM} (prompt_query=find: )"
    with pytest.raises(BadInput, match="holds results of other settings"):
        prepare(prompt_query="find? ", **options)
    assert prepare(prompt_query="find: ", **options).nothing_to_do


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dims": (64,)}, "--dims: changes nothing of a reranker"),
        ({"precisions": ("int8",)}, "--precision: changes nothing of a reranker"),
        ({"first_stages": [], "max_length": 64}, "--max-length: changes nothing of a reranker"),
        ({"first_stages": [], "prompt_query": "q"}, "--prompt-query: changes nothing"),
        ({"top_k": 1001}, "--top-k: mteb ranks 1,000 documents"),
        ({"ranking_depth": 5000}, "--keep-ranking: mteb ranks 1,000 documents"),
        ({"max_length": (64, 128)}, "--max-length: a first stage reads texts of one length"),
    ],
)
def test_options_without_effect_are_bad_input(
    reranked: Reranked, options: dict[str, Any], said: str
) -> None:
    """A result named after them would claim what is not so."""
    with pytest.raises(BadInput) as error:
        prepare(**reranked.options(**options))
    assert said in str(error.value)


def test_a_reranker_of_the_users_own_goes_behind_the_suites_first_stages(
    tmp_path: Path, reranker_folder: Path
) -> None:
    """And the suite's cut of queries and depth hold."""
    suite = tmp_path / "own.yaml"
    suite.write_text(
        f"""
version: 1
name: own
title: Own
description: A suite with rerankers.
first_stages: [{BM25}]
rerankers: [org/another]
top_k: 7
query_tokens: 9
tasks:
  - {{name: {TASK}, subsets: [en]}}
"""
    )
    plan = prepare(
        str(suite), rerankers=[str(reranker_folder)], results=tmp_path, vectors=None
    ).plan
    assert [source.name for source in plan.sources] == [
        BM25,
        f"local/reranker (first_stage={BM25}, query_tokens=9, top_k=7)",
    ]


def test_a_server_is_not_asked_to_cut(tmp_path: Path) -> None:
    """Neither texts to a length nor queries to tokens: it has the tokenizer."""
    with pytest.raises(BadInput) as error:
        prepare(
            models=["some-model"], endpoint="http://127.0.0.1:9", max_length=64, query_tokens=8,
            tasks=[TASK], results=tmp_path,
        )  # fmt: skip
    assert "--endpoint: a server cuts texts by its own rule, not to 64 tokens" in str(error.value)
    assert "--query-tokens: cuts by the reranker's tokenizer" in str(error.value)


def test_a_failed_first_stage_fails_what_is_behind_it(
    tmp_path: Path, reranker_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is said once per reranker, and nothing is scored."""
    monkeypatch.setattr("granite_bench.models.source.ModelSource.load", _failing_for(MINILM))
    first, second = Reranked(tmp_path, reranker_folder, []).run()
    assert (first.status, second.status) == ("failed", "failed")
    assert f"the first stage {MINILM} has no ranking of test en" in second.cause


def _failing_for(name: str) -> Any:
    from granite_bench.models import ModelSource

    load = ModelSource.load

    def loaded(source: ModelSource, device: str | None = None) -> Any:
        if source.meta.name == name:
            raise RuntimeError("no memory today")
        return load(source, device)

    return loaded


class TestRunFile:
    """A first stage that somebody else ran."""

    @pytest.fixture
    def run_file(self, reranked: Reranked, tmp_path: Path) -> Path:
        """MiniLM's ranking in TREC's format."""
        rows = pq.read_table(reranked.file("MiniLM", ".ranking.parquet")).to_pylist()
        lines = [
            f"{row['query_id']} Q0 {doc} {rank} {score} theirs"
            for row in rows
            for rank, (doc, score) in enumerate(
                zip(row["doc_ids"], row["scores"], strict=True), start=1
            )
        ]
        path = tmp_path / "theirs.trec"
        path.write_text("\n".join(lines) + "\n")
        return path

    def test_gives_the_same_scores(self, reranked: Reranked, run_file: Path) -> None:
        """Each pair was scored behind the model before."""
        [outcome] = reranked.run(first_stages=[str(run_file)])
        assert outcome.model.startswith("local/reranker (first_stage=theirs.trec@")
        assert (outcome.status, outcome.n_scored) == ("ran", 0)
        assert outcome.main_score == reranked.outcomes[1].main_score

    def test_of_another_corpus_is_an_error(self, reranked: Reranked, run_file: Path) -> None:
        """The first document and query are named."""
        text = run_file.read_text()
        run_file.write_text(text.replace(" fact-01 ", " elsewhere ", 1))
        [outcome] = reranked.run(first_stages=[str(run_file)])
        assert outcome.status == "failed"
        assert "document 'elsewhere'" in outcome.cause

    def test_is_of_one_part_of_one_task(self, reranked: Reranked, run_file: Path) -> None:
        """Of several, each would get the documents of the first."""
        options = reranked.options(first_stages=[str(run_file)], subsets=["en", "de"])
        with pytest.raises(BadInput, match="is one run, and 2 parts of tasks are to be reranked"):
            prepare(**options)

    def test_may_be_a_folder_with_a_file_for_each_part(
        self, reranked: Reranked, run_file: Path, tmp_path: Path
    ) -> None:
        """Named as export-run names them; compressed or not."""
        (tmp_path / "runs").mkdir()
        packed = gzip.compress(run_file.read_bytes())
        (tmp_path / "runs" / f"{TASK}.test.en.trec.gz").write_bytes(packed)
        (tmp_path / "runs" / f"{TASK}.test.en.trec.bak").write_text("old")
        [outcome] = reranked.run(first_stages=[str(tmp_path / "runs")])
        assert outcome.model == f"local/reranker (first_stage=runs, top_k={TOP_K})"
        assert outcome.main_score == reranked.outcomes[1].main_score

    def test_with_faults_is_bad_input(
        self, reranked: Reranked, run_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Every line of them, before anything runs."""
        run_file.write_text("q1 Q0 d1 1 0.5 tag\nq1 Q0 d2 2 high tag\nq1 Q0\n")
        with pytest.raises(BadInput) as error:
            prepare(**reranked.options(first_stages=[str(run_file)]))
        assert ":2" in str(error.value)
        assert ":3" in str(error.value)


def test_a_model_in_the_other_role_is_bad_input(
    reranker_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are named at once, with the option that would be right."""
    run = ["run", "--task", TASK, "--model", str(reranker_folder), "--reranker", MINILM]
    assert main(run) == 2
    said = capsys.readouterr().err
    assert f"give it as --reranker {reranker_folder}" in said
    assert f"give it as --model {MINILM}" in said


def test_a_reranker_without_a_first_stage_ranks_what_the_task_brings(
    reranked: Reranked, tmp_path: Path
) -> None:
    """A retrieval task brings nothing."""
    [outcome] = reranked.run(first_stages=[], results=tmp_path)
    assert outcome.status == "failed"
    assert "this task brings no candidates to rerank" in outcome.cause
    assert "--first-stage" in outcome.cause


def test_reranking_settings_are_the_results_address(reranker_folder: Path) -> None:
    """Other candidates or other queries are other results."""
    first = find_model(MINILM)
    names = {
        find_reranker(str(reranker_folder), Reranking(first, top_k, tokens)).name
        for top_k in (10, 20)
        for tokens in (None, 64)
    }
    assert len(names) == 4


def test_a_servers_speed_stands_under_the_servers_name(tmp_path: Path) -> None:
    """It is of that server and the way to it, and no figure of this machine."""
    with EndpointServer().running() as server:
        options = {"tasks": [TASK], "subsets": ["en"], "results": tmp_path, "vectors": None}
        [outcome] = granite_bench.run(models=["test-model"], endpoint=f"{server.url}/", **options)
        assert outcome.status == "ran"
    [path] = tmp_path.rglob(f"endpoint__test-model/**/records/{TASK}.json")
    [run] = json.loads(path.read_bytes())["runs"]
    assert run["server"] == {"endpoint": server.url, "served": {"model": "test-model"}}
    assert run["hardware"]["device_name"] == f"server {server.url}"
    assert run["settings"]["batches"].startswith("up to 64 inputs")
    assert run["usage"]["n_requests"] > 1
    assert run["usage"]["cost"] is None
