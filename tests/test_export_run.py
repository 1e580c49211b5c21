"""export-run: trec_eval over the exported files gives the scores of the results."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import pytrec_eval
from beir_folder import write_folder
from results_tree import evaluation, write_record, write_result

from granite_bench.__main__ import main
from granite_bench.rankings.per_query import query_rows
from granite_bench.rankings.ranking import rows_of
from granite_bench.rankings.trec_export import _scored
from granite_bench.results.tree import ranking_path, record_path
from granite_bench.tasks import find_task

N_QUERIES, N_DOCS = 12, 40


@pytest.fixture
def rocks(tmp_path: Path) -> Path:
    """A BEIR-layout folder of graded judgements; one query has nothing relevant."""
    rng = np.random.default_rng(0)
    docs = {f"d{d}": f"text {d}" for d in range(N_DOCS)}
    queries = {f"q{q}": f"query {q}" for q in range(N_QUERIES)}
    qrels = {
        f"q{q}": {
            f"d{d}": 0 if q == 3 else int(rng.integers(4))
            for d in rng.choice(N_DOCS, 8, replace=False)
        }
        for q in range(N_QUERIES)
    }
    return write_folder(tmp_path / "rocks", docs, queries, qrels)


@pytest.fixture
def results(tmp_path: Path, rocks: Path) -> Path:
    """A result on the folder with the ranking of a model that ties many documents."""
    task = find_task(str(rocks))
    task.load_data()
    qrels = task.dataset["default"]["test"]["relevant_docs"]
    rng = np.random.default_rng(1)
    run = {query: {f"d{d}": float(rng.integers(6)) / 7 for d in range(N_DOCS)} for query in qrels}
    root = tmp_path / "results"
    rows = query_rows(qrels, run, split="test", subset="default")
    score = float(np.mean(rows["ndcg_at_10"]))
    path = write_result(root, "org/a", "rocks", {"test": {"default": score}})
    content = {**json.loads(path.read_text()), "dataset_revision": task.metadata.revision}
    path.write_text(json.dumps(content))
    write_record(path, [evaluation()])
    _change_record(path, data={"dataset": str(rocks), "revision": task.metadata.revision})
    table = rows_of(run, split="test", subset="default", depth=30)
    pq.write_table(table, ranking_path(path))
    return root


def _change_record(result: Path, **changes: Any) -> None:
    path = record_path(result)
    record = json.loads(path.read_text())
    record["runs"][-1] |= changes
    path.write_text(json.dumps(record))


def test_trec_evals_scores_of_the_files_are_the_results(results: Path, tmp_path: Path) -> None:
    """nDCG@10 over ties, grades and a query with nothing relevant; ten decimals."""
    out = tmp_path / "runs"
    assert main(["export-run", "--results", str(results), "--out", str(out)]) == 0
    run_file = out / "org__a" / "rev-1" / "rocks.test.default.trec"
    with run_file.open() as run, (out / "qrels" / "rocks.test.default.qrels").open() as qrels:
        judged = pytrec_eval.RelevanceEvaluator(pytrec_eval.parse_qrel(qrels), {"ndcg_cut.10"})
        scores = judged.evaluate(pytrec_eval.parse_run(run))
    (result,) = results.glob("*/*/rocks.json")
    stored = json.loads(result.read_text())["scores"]["test"][0]["ndcg_at_10"]
    assert len(scores) == N_QUERIES
    assert np.mean([each["ndcg_cut_10"] for each in scores.values()]) == pytest.approx(
        stored, abs=1e-10
    )


def test_exported_twice_the_files_are_the_same(results: Path, tmp_path: Path) -> None:
    """The same command makes the same bytes, and says what it wrote."""
    command = ["export-run", "--results", str(results), "--task", "rocks", "--model", "org/a"]
    for name in ("one", "two"):
        assert main([*command, "--out", str(tmp_path / name)]) == 0
    one, two = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in files}
        for name in ("one", "two")
        if (files := [p for p in (tmp_path / name).rglob("*") if p.is_file()])
    )
    assert one == two
    assert len(one) == 2


def test_runs_alone_need_no_data(results: Path, tmp_path: Path) -> None:
    """--no-qrels writes no judgements."""
    out = tmp_path / "runs"
    assert main(["export-run", "--results", str(results), "--no-qrels", "--out", str(out)]) == 0
    assert [path.suffix for path in out.rglob("*") if path.is_file()] == [".trec"]


def test_a_folder_that_was_moved_is_named_with_task(
    results: Path, rocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The record has the old path; --task has the new one."""
    moved = tmp_path / "elsewhere" / "rocks"
    moved.parent.mkdir()
    rocks.rename(moved)
    command = ["export-run", "--results", str(results), "--out", str(tmp_path / "runs")]
    assert main(command) == 2
    assert "unknown task 'rocks'" in capsys.readouterr().err
    assert main([*command, "--task", str(moved)]) == 0


def test_other_data_than_the_results_are_refused(
    results: Path, rocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Judgements that changed since would give other scores under the same name."""
    (rocks / "qrels" / "test.tsv").write_text("q0\td0\t1\n")
    assert main(["export-run", "--results", str(results), "--out", str(tmp_path / "runs")]) == 2
    assert "is of data of revision" in capsys.readouterr().err


def test_results_without_their_ranking_say_how_to_keep_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A result alone has ten documents per query, which is no run."""
    write_result(tmp_path / "results", "org/a", "rocks", {"test": {"default": 0.5}})
    command = ["export-run", "--results", str(tmp_path / "results"), "--out", str(tmp_path / "o")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "none of 1 results has its ranking" in error
    assert "--keep-ranking" in error
    assert main([*command, "--model", "org/aa"]) == 2
    said = capsys.readouterr().err
    assert "no results of these models and tasks\n  did you mean 'org/a'?" in said


def test_an_id_with_a_space_is_named_and_the_rest_is_written(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One model's broken ids do not keep another's run from its file."""
    (result,) = results.glob("*/*/rocks.json")
    other = write_result(results, "org/b", "rocks", {"test": {"default": 0.5}})
    other.write_bytes(result.read_bytes())
    record_path(other).parent.mkdir(exist_ok=True)
    record_path(other).write_bytes(record_path(result).read_bytes())
    run = {"q0": {"d 1": 1.0}}
    pq.write_table(rows_of(run, split="test", subset="default", depth=9), ranking_path(other))
    out = tmp_path / "runs"
    assert main(["export-run", "--results", str(results), "--out", str(out)]) == 2
    assert "org/b / rocks: document id 'd 1' has white space in it" in capsys.readouterr().err
    assert [path.parts[-3] for path in out.rglob("*.trec")] == ["org__a"]


@pytest.mark.parametrize(
    ("ignore_identical_ids", "skip_first_result", "left"),
    [
        (False, False, ["q", "a", "b"]),
        (True, False, ["a", "b"]),
        (False, True, ["a", "b"]),
        (True, True, ["b"]),
    ],
)
def test_what_mteb_does_not_score_is_not_exported(
    ignore_identical_ids: bool, skip_first_result: bool, left: list[str]
) -> None:
    """The document that is the query (ArguAna), and the first one where a task says so."""
    table = rows_of({"q": {"q": 3.0, "a": 2.0, "b": 1.0}}, split="t", subset="s", depth=9)
    task = SimpleNamespace(
        ignore_identical_ids=ignore_identical_ids, skip_first_result=skip_first_result
    )
    (row,) = _scored(table, task).to_pylist()
    assert row["doc_ids"] == left
    assert len(row["scores"]) == len(left)
    assert _scored(table, task).schema == table.schema
