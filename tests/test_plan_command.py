"""granite-bench plan: what it prints, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from results_tree import CPU, evaluation, write_record, write_result
from speed_tree import write_speed

from granite_bench.__main__ import main
from granite_bench.forecast.devices import find_kind
from granite_bench.forecast.forecast import forecast_of
from granite_bench.models import find_model
from granite_bench.provenance import hardware
from granite_bench.runner.preparation import prepare
from granite_bench.tasks import find_task

E5 = "intfloat/e5-small-v2"
H100 = {**CPU, "device_name": "NVIDIA H100 80GB HBM3"}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder that is not there yet."""
    return tmp_path / "results"


def _plan(results: Path, *arguments: str) -> int:
    return main(["plan", "--results", str(results), *arguments])


def _json(capsys: pytest.CaptureFixture[str], results: Path, *arguments: str) -> Any:
    assert _plan(results, *arguments, "--format", "json") == 0
    return json.loads(capsys.readouterr().out)


ON_H100 = ("--task", "SciFact", "--model", E5, "--kind", "h100", "--dtype", "bfloat16")


def test_a_plan_on_paper_names_time_gpu_hours_bottleneck_and_sources(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SciFact on two H100, without anything of it on this machine; lines of 120 columns at most."""
    assert _plan(results, *ON_H100, "--gpus", "2") == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split() == [
        "model", "task", "docs", "queries", "M", "tokens", "time", "GPU-hours", "vectors",
    ]  # fmt: skip
    assert lines[1].split()[:4] == [E5, "SciFact", "5,183", "300"]
    assert "all with dtype=bfloat16" in lines
    assert "2 workers, 2 x NVIDIA H100 SXM" in out
    assert "\nbottleneck: " in out
    assert "NVIDIA H100 SXM's data sheet" in out
    assert "characters a token: 4.9 English" in out
    assert max(map(len, lines[:-1])) <= 120  # but for the command, which is to be copied


def test_a_plan_names_what_it_assumes(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each figure with its source; of one worker, nothing about several."""
    several = _json(capsys, results, *ON_H100, "--gpus", "2")["assumptions"]
    for each in (
        "3% to 40% (assumed) of 989 TFLOP/s in bfloat16",
        "loading, where no earlier run says: 1 s and 500.0 MB a second (assumed)",
        "start of the workers: 20 s (assumed)",
        "search: 5% to 50% of the peak in float32 (assumed)",
        "scoring: 8,000 queries a second (measured on two cores)",
        "a query that is timed alone: 10 ms beside its arithmetic (assumed)",
        "merging: 20 ns for each document that a worker finds for a query (assumed)",
        "the store takes 500.0 MB a second (assumed)",
    ):
        assert any(each in said for said in several), each
    single = _json(capsys, results, *ON_H100)["assumptions"]
    assert [said for said in several if said not in single] == [
        "start of the workers: 20 s (assumed)",
        "merging: 20 ns for each document that a worker finds for a query (assumed)",
    ]


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs granite-bench[ray]")
def test_devices_of_this_machine_are_counted(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two workers on one processor, unless told otherwise."""
    what = ("--task", "ParallelFactsRetrieval", "--model", E5, "--devices", "cpu,cpu")
    two = _json(capsys, results, *what)
    assert (two["n_workers"], two["n_devices"]) == (2, 1)
    four = _json(capsys, results, *what, "--gpus", "2", "--workers", "4")
    assert (four["n_workers"], four["n_devices"]) == (4, 2)


def test_a_plan_ends_with_the_command_of_the_run(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the options that a run has, and the suite first."""
    given = ("--model", E5, "--max-length", "128,256", "--no-padding", "--prompt-query", "")
    here = ("--kind", "h100", "--gpus=2", "--workers", "2", "--store-mb-per-second", "9")
    assert _plan(results, "nano", "--task", "NanoSciFactRetrieval", *given, *here) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        f"next: granite-bench run nano --model {E5} --task NanoSciFactRetrieval "
        "--max-length 128,256 --prompt-query '' --no-padding --results " + shlex.quote(str(results))
    )


def test_a_plan_leaves_nothing_behind(results: Path, files_below: Any) -> None:
    """No result, no vector, no folder."""
    assert _plan(results, *ON_H100) == 0
    assert files_below() == []
    assert not results.exists()


def test_an_unknown_kind_has_a_suggestion(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2."""
    assert _plan(results, "--task", "SciFact", "--model", E5, "--kind", "h10") == 2
    assert "did you mean 'h100'" in capsys.readouterr().err


def test_an_unknown_task_and_model_are_the_errors_of_run(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both at once."""
    assert _plan(results, "--task", "SciFacts", "--model", "no/such/model") == 2
    said = capsys.readouterr().err
    assert "unknown task 'SciFacts'" in said
    assert "unknown model 'no/such/model'" in said


@pytest.mark.parametrize("option", [("--gpus", "0"), ("--workers", "x"), ("--format", "xml")])
def test_bad_values_of_options_are_refused(results: Path, option: tuple[str, str]) -> None:
    """Exit code 2."""
    assert _plan(results, *ON_H100, *option) == 2


def test_a_speed_record_is_preferred_to_arithmetic(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """400,000 tokens a second at 400 tokens a text."""
    before = _json(capsys, results, *ON_H100)["models"][0]
    write_speed(results, E5, dtype="bfloat16", hardware=H100)
    after = _json(capsys, results, *ON_H100)["models"][0]
    assert before["speed_basis"] == "arithmetic"
    assert after["speed_basis"] == "speed record"
    low, likely, high = after["tokens_per_second"]
    assert 380_000 < low < likely < high < 480_000


def test_more_gpus_take_less_time_and_no_less_of_it_together(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """HotpotQA with 5.2 million documents: 8 GPUs against 2."""
    big = ("--task", "HotpotQA", "--model", E5, "--kind", "l4", "--dtype", "float16")
    two = _json(capsys, results, *big, "--gpus", "2")
    eight = _json(capsys, results, *big, "--gpus", "8")
    assert 3 < two["seconds"][1] / eight["seconds"][1] <= 4
    assert eight["device_seconds"][1] >= two["device_seconds"][1]
    assert eight["models"][0]["n_docs"] == 5_233_329


def test_json_has_the_range_and_what_is_unknown(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """BM25 has no rate of tokens, and stands among the unknown."""
    found = _json(capsys, results, *ON_H100[:6], "--model", "mteb/baseline-bm25s")
    assert found["seconds"] == sorted(found["seconds"])
    assert [each["model"] for each in found["unknown"]] == ["mteb/baseline-bm25s"]
    assert [each["model"] for each in found["models"]] == [E5]


def test_totals_say_what_they_are_without(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLQA, of whose texts mteb has no statistics."""
    assert _plan(results, *ON_H100, "--task", "MLQARetrieval") == 0
    out = capsys.readouterr().out
    assert f"unknown: {E5} (dtype=bfloat16) on MLQARetrieval: mteb has no statistics" in out
    assert "total, without 1 job unknown: " in out


def test_a_plan_of_unknown_jobs_alone_says_so(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No total of nothing."""
    assert _plan(results, *ON_H100[2:], "--task", "MLQARetrieval") == 0
    out = capsys.readouterr().out
    assert "nothing of this can be forecast" in out
    assert "total" not in out


def test_a_reranker_scores_pairs_of_its_first_stage(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """300 queries with 50 documents each, and no vectors."""
    found = _json(
        capsys, results, "--task", "SciFact", "--first-stage", E5, "--kind", "h100",
        "--reranker", "cross-encoder/ms-marco-MiniLM-L6-v2", "--top-k", "50", "--dtype", "bfloat16",
    )  # fmt: skip
    first, reranker = found["models"]
    assert reranker["vector_bytes"] == 0
    assert first["vector_bytes"] == 5483 * (4 * 384 + 24)
    # A query has 90 characters and a document 1,500.
    assert 15_000 * 200 < reranker["n_tokens"][1] <= 15_000 * 512


def _ran(results: Path, tokens: int, seconds: float) -> None:
    """A finished result of e5-small on the English facts, on this machine's CPU."""
    task = find_task("ParallelFactsRetrieval")
    path = write_result(
        results, E5, task.metadata.name, {"test": {"en": 0.5}},
        revision=find_model(E5).revision or "",
    )  # fmt: skip
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "dataset_revision": task.metadata.revision}))
    cost = {"n_unique": 1, "n_encoded": 1, "n_truncated": 0, "n_tokens_encoded": tokens}
    entry = evaluation(subset="en", docs={**cost, "encode_seconds": seconds})
    write_record(path, [entry], hardware=hardware("cpu"))


def test_what_is_done_costs_nothing_unless_asked_for(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From scratch it is forecast from that run's own speed: 6,000 tokens in 2 s."""
    _ran(results, 6000, 2.0)
    what = ("--task", "ParallelFactsRetrieval", "--model", E5, "--device", "cpu", "--subset", "en")
    assert _plan(results, *what) == 0
    assert capsys.readouterr().out.startswith("nothing to do: every result is there")
    again = _json(capsys, results, *what, "--from-scratch")["models"][0]
    assert again["speed_basis"] == "earlier runs"
    assert again["tokens_per_second"] == [3000, 3000, 3000]
    assert (again["n_docs"], again["n_queries"]) == (59, 59)


def test_only_what_is_missing_is_counted(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """English is done, German is not."""
    _ran(results, 6000, 2.0)
    what = ("--task", "ParallelFactsRetrieval", "--model", E5, "--device", "cpu")
    found = _json(capsys, results, *what, "--subset", "en", "--subset", "de")["models"][0]
    assert (found["n_docs"], found["n_queries"]) == (59, 59)


def test_a_run_says_its_forecast_in_a_few_lines(results: Path) -> None:
    """For run, before it starts."""
    prepared = prepare(tasks=["SciFact"], models=[E5], dtype="bfloat16", results=results)
    lines = forecast_of(
        prepared.plan, device=find_kind("h100"), n_devices=4, results=results
    ).lines()
    assert len(lines) == 2
    assert lines[0].startswith("forecast: ")
    assert "on 4 workers (NVIDIA H100 SXM)" in lines[0]
    assert lines[1].startswith("speed from: arithmetic; bottleneck: ")
