"""Exported models against torch: what is computed, and what is said of it."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from beir_folder import write_folder
from exported_models import small_model

from granite_bench.__main__ import main
from granite_bench.exported.cosines import row_cosines
from granite_bench.models import Loading, find_model
from granite_bench.parity import Candidate, Drift, Parity, Quality, exported_variants, measure
from granite_bench.parity.measure import drift_of
from granite_bench.parity.quality import Stratum, overall_of
from granite_bench.report.parity import as_json, as_text, parity_page, verdict
from granite_bench.results.speed_comparison import Ratio
from granite_bench.stats.bootstrap import ConfidenceInterval

WORDS = "grey harbour freezes in a cold January while the pilot sleeps".split()


def interval(mean: float, low: float, high: float) -> ConfidenceInterval:
    """Of 100 queries."""
    return ConfidenceInterval(mean, low, high, 0.95, 100)


def ratio(value: float, low: float, high: float) -> Ratio:
    """Of five turns."""
    return Ratio(value=value, low=low, high=high, confidence=0.95, n_pairs=5)


CANDIDATE = Candidate(
    backend="onnx",
    name="onnx/model_qint8.onnx",
    sha256="0" * 64,
    weights_dtype="int8",
    n_bytes=25_000_000,
    drift=Drift(1_000, 0.91, 0.95, 0.97, 0.99, 0.985),
    quality=[Quality("T", 0.60, 0.59, interval(-0.01, -0.02, -0.004), 100, 30)],
    overall=interval(-0.01, -0.02, -0.004),
    speed=ratio(1.9, 1.8, 2.0),
)
PARITY = Parity(
    model="org/<m>",
    revision="1",
    dtype="float32",
    n_bytes=100_000_000,
    n_threads=2,
    candidates=[CANDIDATE],
    hardware={"cpu": "some CPU"},
    packages={"onnxruntime": "1"},
)


# What is computed


def test_cosines_are_of_rows_of_any_length() -> None:
    """3-4-5 triangles; nothing compared with nothing is the same, with something it is far."""
    ones = np.array([[3, 4], [1, 0], [2, 0], [0, 0], [0, 0]], dtype=np.float32)
    others = np.array([[6, 8], [0, 2], [3, 4], [0, 0], [1, 0]], dtype=np.float32)
    assert row_cosines(ones, others).tolist() == pytest.approx([1, 0, 0.6, 1, 0])


def test_percentiles_of_drift_are_of_its_low_end() -> None:
    """Of 101 cosines 0.00, 0.01, ..., 1.00 the p-th percentile is p hundredths."""
    found = drift_of(np.linspace(0, 1, 101, dtype=np.float32))
    assert (found.least, found.p1, found.p5, found.p50, found.mean) == pytest.approx(
        (0, 0.01, 0.05, 0.5, 0.5)
    )
    assert found.n_texts == 101


def test_every_task_counts_once_whatever_its_queries() -> None:
    """A task of one subset that gains 0.2 and one of two that lose 0.1 gain 0.05 together."""
    gains = Stratum(np.zeros(10), np.full(10, 0.2))
    loses = Stratum(np.full(500, 0.1), np.zeros(500))
    found = overall_of([[gains], [loses, loses]])
    assert found is not None
    assert found.mean == pytest.approx(0.05)


def test_a_single_query_has_no_interval() -> None:
    """Nor has the mean over tasks, when one has a subset of one query."""
    single, several = Stratum(np.zeros(1), np.ones(1)), Stratum(np.zeros(9), np.ones(9))
    assert overall_of([[single]]) is None
    assert overall_of([[several], [several, single]]) is None


# What is said


def test_a_clear_loss_is_said_in_points() -> None:
    """With its interval; and the vectors, the speed and the size."""
    assert verdict(CANDIDATE, PARITY) == (
        "onnx/model_qint8.onnx: worse in nDCG@10 (−1.00 points, 95% interval −2.00 to −0.40); "
        "vectors moved (median cosine 0.990, least 0.910); 1.90 times as fast; 25% of the size."
    )


def test_what_noise_could_make_is_no_difference() -> None:
    """Neither in quality nor in speed."""
    noisy = replace(CANDIDATE, overall=interval(-0.001, -0.01, 0.008), speed=ratio(1.1, 0.9, 1.3))
    said = verdict(noisy, PARITY)
    assert "no clear difference in nDCG@10 (−0.10 points, 95% interval −1.00 to +0.80)" in said
    assert "no clear difference in speed" in said


def test_rounding_is_told_from_a_change() -> None:
    """Every query as before, every cosine near one."""
    same = replace(
        CANDIDATE,
        quality=[Quality("T", 0.6, 0.6, interval(0, 0, 0), 100, 0)],
        overall=interval(0, 0, 0),
        drift=Drift(10, 0.99999, 1, 1, 1, 1),
    )
    said = verdict(same, PARITY)
    assert "the same nDCG@10 for every query; vectors the same but for rounding" in said


def test_a_difference_without_an_interval_is_said_without_a_verdict() -> None:
    """On a page, in a terminal and in JSON."""
    single = replace(CANDIDATE, quality=[Quality("T", 0.6, 0.5, None, 1, 1)], overall=None)
    parity = replace(PARITY, candidates=[single])
    assert "nDCG@10 changed by −10.00 points, over too few queries for an" in verdict(
        single, parity
    )
    row = next(line for line in as_text(parity).splitlines() if "int8 " in line)
    assert "│ −10.00 │" in " ".join(row.split())
    assert '<td class="number">−10.00</td>' in parity_page(parity)
    content = json.loads(as_json(parity))["candidates"][0]
    assert content["overall"] is content["quality"][0]["difference"] is None


def test_a_page_escapes_names_and_runs_nothing() -> None:
    """The same figures make the same bytes."""
    page = parity_page(PARITY)
    assert page == parity_page(PARITY)
    assert "org/&lt;m&gt;" in page
    assert page.count("<script") == 1  # the page's own
    assert "default-src 'none'" in page


def test_text_has_a_row_for_torch_and_one_per_file() -> None:
    """Sizes in decimal units, nDCG@10 in points."""
    lines = as_text(PARITY).splitlines()
    assert any("torch" in line and "100.0 MB" in line and "60.00" in line for line in lines)
    assert any("qint8" in line and "25.0 MB" in line and "59.00" in line for line in lines)


def test_json_has_fractions_and_bytes() -> None:
    """And a version."""
    content = json.loads(as_json(PARITY))
    assert content["version"] == 1
    candidate = content["candidates"][0]
    assert (candidate["n_bytes"], candidate["overall"]["mean"]) == (25_000_000, -0.01)
    assert candidate["speed"]["value"] == 1.9


# The commands


def _task_folder(folder: Path) -> Path:
    """Thirty documents, ten queries, in the BEIR layout."""
    drawn = np.random.default_rng(2).choice(WORDS, size=(40, 12))
    return write_folder(
        folder,
        {f"d{i}": " ".join(words) for i, words in enumerate(drawn[:30])},
        {f"q{i}": " ".join(words[:4]) for i, words in enumerate(drawn[20:30])},
        {f"q{i}": {f"d{20 + i}": 1} for i in range(10)},
    )


@pytest.fixture
def small(tmp_path: Path, minilm: Any) -> Path:
    """The folder of a small model."""
    small_model(tmp_path / "small", copy.deepcopy(minilm.model.tokenizer))
    return tmp_path / "small"


def test_without_an_export_the_report_says_how_to_make_one(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is run."""
    task = _task_folder(tmp_path / "task")
    arguments = ["parity", str(small), "--task", str(task), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "has no exported file" in (said := capsys.readouterr().err)
    assert "granite-bench export" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        (["model.onnx", "model_qint8.onnx"], [None, "model_qint8.onnx"]),
        (["onnx/model.onnx", "model.onnx"], ["model.onnx", None]),
        (["onnx/model_qint8.onnx"], ["onnx/model_qint8.onnx"]),
    ],
)
def test_the_file_that_run_takes_by_itself_is_asked_for_without_its_name(
    small: Path, files: Sequence[str], asked: Sequence[str | None]
) -> None:
    """So that both keep one result of it; permission for the model's code goes with it."""
    for name in files:
        (small / name).parent.mkdir(exist_ok=True)
        (small / name).write_bytes(b"")
    reference = find_model(str(small), loading=Loading(trusted=("local/small@1",)))
    found = [each.loading for each in exported_variants(reference, str(small))]
    shared: dict[str, Any] = {"backend": "onnx", "trusted": ("local/small@1",)}
    assert found == [Loading(**shared, backend_file=each) for each in asked]


def test_parity_takes_permission_for_code(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As run does: for a revision."""
    task = _task_folder(tmp_path / "task")
    command = ["parity", str(small), "--task", str(task), "--trust-remote-code", "local/small"]
    assert main(command) == 2
    assert "'local/small' names no revision" in capsys.readouterr().err


def test_export_then_parity_then_run_have_one_result(
    small: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    The results of a report are those that run finds, and the file says what made them. What a
    suite asks for besides is named and left out.
    """
    for package in ("onnxruntime", "onnx"):
        if importlib.util.find_spec(package) is None:
            pytest.skip("needs pip install 'granite-bench[onnx]'")
    monkeypatch.setattr(measure, "SPEED_TURNS", 2)
    task, out = _task_folder(tmp_path / "task"), tmp_path / "out"
    assert main(["export", str(small), "--backend", "onnx"]) == 0
    assert not list(small.rglob("*.onnx"))
    measured = tmp_path / "parity.json"
    shared = ["--task", str(task), "--out", str(out)]
    assert main(["parity", str(small), *shared, "--json", str(measured)]) == 0
    candidate = json.loads(measured.read_text())["candidates"][0]
    assert candidate["name"] == "onnx/model.onnx"
    assert candidate["drift"]["n_texts"] == 40
    assert candidate["drift"]["least"] == pytest.approx(1, abs=1e-5)
    assert candidate["overall"]["mean"] == pytest.approx(0, abs=0.001)
    assert candidate["speed"]["n_pairs"] == 2
    capsys.readouterr()
    named = ["--backend-file", "onnx/model.onnx"]
    for file in ([], named):  # that of no name is this one
        assert main(["run", "--model", str(small), "--backend", "onnx", *file, *shared]) == 0
        assert "nothing to do" in capsys.readouterr().out
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "version: 1\nname: s\ntitle: S\ndescription: d\nmetric: ndcg_at_10\n"
        "precisions: [int8]\ntasks: [{name: task, path: task}]\n"
    )
    assert main(["parity", str(small), str(suite), *named, "--out", str(out)]) == 0
    left_out = "only with all dimensions in float32; left out: output_dtypes=int8"
    assert left_out in capsys.readouterr().err
    records = [json.loads(path.read_text()) for path in out.rglob("records/task.json")]
    backends = {record["runs"][-1]["settings"]["backend"] for record in records}
    assert len(backends) == 2
    assert any("onnx file onnx/model.onnx, sha256 " in each for each in backends)
