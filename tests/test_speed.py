"""Measuring speed: passes, turns, records and the command, on a tiny untrained model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from speed_subjects import few_chunks, tiny_model, tiny_subject, workload

from granite_bench.__main__ import main
from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.tokens import Tokens
from granite_bench.errors import StorageError
from granite_bench.results.speed_records import read_speed_records
from granite_bench.speed import measure
from granite_bench.speed import session as session_module
from granite_bench.speed.counters import Counters
from granite_bench.speed.measure import (
    Latency,
    Pass,
    WarmUp,
    is_steady,
    matrix_product_peak,
    percentiles_ms,
    run_pass,
    warm_up,
)
from granite_bench.speed.protocol import find_protocol
from granite_bench.speed.record import describe, save
from granite_bench.speed.session import Session, measure_speed
from granite_bench.speed.settings import vary
from granite_bench.speed.subject import Subject
from granite_bench.speed.turns import Measurement, ratio_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One matrix product is the peak, and a model is warm at once: what these take is not asked."""
    monkeypatch.setattr(measure, "_PEAK_SECONDS", 1e-9)
    monkeypatch.setattr(measure, "LEAST_WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(measure, "is_steady", lambda seconds: True)


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """An untrained model of two layers."""
    return tiny_model(tmp_path)


@pytest.fixture
def subject(tiny: str) -> Subject:
    """It, loaded."""
    return tiny_subject(tiny)


def test_percentiles_stand_between_neighbours() -> None:
    """Of 0, 1, ..., 100 ms the 95th percentile is 95 ms; of 0 and 1 ms it is 0.95 ms."""
    assert percentiles_ms([number / 1000 for number in range(101)]) == pytest.approx(
        {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
    )
    assert percentiles_ms([0, 0.001])["p95"] == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("seconds", "steady"),
    [
        ([1.0, 1.0], False),  # two are too few
        ([9.0, 1.0, 1.05, 1.02], True),  # the first was a compilation
        ([1.0, 1.0, 1.06], False),
        ([1.0, 1.0, 1.0, 0.9], False),  # still getting faster
    ],
)
def test_steady_is_three_passes_within_five_percent(seconds: list[float], *, steady: bool) -> None:
    """Of the last three, against the least of them."""
    assert is_steady(seconds) is steady


def test_warming_up_ends_though_the_speed_is_not_steady(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the protocol's time; the record says so."""
    monkeypatch.setattr(measure, "is_steady", lambda seconds: False)
    found = warm_up(subject, workload(subject, few_chunks(1)))
    assert (found.n_passes, found.is_steady) == (1, False)


def test_a_pass_counts_tokens_with_and_without_padding(subject: Subject) -> None:
    """Texts of 128 tokens have no padding; their number is exact."""
    protocol = find_protocol("fixed-128").changed(n_documents=5)
    found = run_pass(subject, workload(subject, protocol))
    assert (found.n_texts, found.n_documents) == (5, None)
    assert found.n_tokens == found.n_tokens_padded == 5 * 128
    assert found.flops == subject.flops(np.full(5, 128, np.int32))
    assert found.seconds > 0
    assert found.model_seconds > 0


class Counting:
    """A backend that counts what it is asked to tokenise, and remembers its batches."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.n_tokenized = 0
        self.batches: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def tokenize(self, texts: Sequence[str], instruction: Instruction) -> Tokens:
        """Counted."""
        self.n_tokenized += len(texts)
        found: Tokens = self._backend.tokenize(texts, instruction)
        return found

    def encode(self, tokens: Tokens, rows: Any, instruction: Instruction) -> Any:
        """Remembered."""
        self.batches.append(len(rows))
        return self._backend.encode(tokens, rows, instruction)


def test_the_second_half_of_a_pass_is_the_same_batches_without_tokenisation(
    subject: Subject,
) -> None:
    """Each text is tokenised once for both, and both have batches of 128 and what is left."""
    backend = Counting(subject.backend)
    protocol = find_protocol("fixed-128").changed(n_documents=200)
    counted = replace(subject, backend=backend)
    run_pass(counted, workload(counted, protocol))
    assert backend.n_tokenized == 200
    assert backend.batches == [128, 72, 128, 72]


def test_the_peak_is_that_of_a_matrix_product() -> None:
    """More than a hundred million operations a second on anything that runs this test."""
    assert 1e8 < matrix_product_peak("cpu", "float32", n_products=1) < 1e15


def test_models_take_turns(tiny: str, tmp_path: Path) -> None:
    """A B A B A B, after both were warmed up; the record says which comparison it was."""
    said: list[str] = []
    settings = vary("cpu", batch_sizes=(1, 4))
    session = measure_speed(
        [tiny], few_chunks(1), settings, out=tmp_path, repeats=3, say=said.append
    )
    ones = [f"untrained:{tiny.removeprefix('untrained:')} (batch size {n})" for n in (1, 4)]
    assert [line for line in said if line.startswith("warming")] == [
        f"warming up {label}" for label in ones
    ]
    assert [record["protocol"]["settings"]["repeats"] for record in session.records] == [3, 3]
    labels = [line.partition(": ")[2] for line in said if line.startswith("turn")]
    assert [label.startswith(ones[turn % 2]) for turn, label in enumerate(labels)] == [True] * 6
    assert sum(line.startswith("loading") for line in said) == 1  # one model serves both
    assert session.records[0]["summary"]["resident_bytes_peak"] is None  # of both together


def test_a_record_has_the_ratio_to_each_that_it_took_turns_with(tiny: str, tmp_path: Path) -> None:
    """In the unit that both did alike, with its interval; seen from the other it is turned over."""
    settings = vary("cpu", dtypes=("float32", "bfloat16"), max_lengths=(128,))
    session = measure_speed([tiny], few_chunks(1), settings, out=tmp_path, repeats=3)
    first, second = (record["comparison"] for record in session.records)
    assert first["id"] == second["id"]
    assert (first["position"], second["position"]) == (0, 1)
    assert (first["label"], second["label"]) == (
        f"{tiny} (dtype float32)",
        f"{tiny} (dtype bfloat16)",
    )
    (ratio,), (turned,) = first["ratios"], second["ratios"]
    assert (ratio["label"], ratio["position"]) == (second["label"], 1)
    assert ratio["settings"] == session.records[1]["settings"]
    assert ratio["unit"] == "texts"  # the same ones for both
    assert ratio["ratio"]["n_pairs"] == 3
    assert ratio["ratio"]["confidence"] == 0.95
    assert ratio["ratio"]["low"] <= ratio["ratio"]["value"] <= ratio["ratio"]["high"]
    assert turned["ratio"]["value"] == pytest.approx(1 / ratio["ratio"]["value"])
    read = {record.path: record.turns for record in read_speed_records(tmp_path)}
    assert [read[path].model_dump() for path in session.paths] == [first, second]


def test_a_place_that_cannot_be_written_is_found_before_anything_is_measured(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file stands where the results folder should be."""

    def never(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("measured")

    monkeypatch.setattr(session_module, "measure_in_turns", never)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        measure_speed([tiny], few_chunks(1), vary("cpu"), out=tmp_path / "file")


def test_looking_whether_records_can_be_written_leaves_no_file(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder for them is made."""
    monkeypatch.setattr(session_module, "measure_in_turns", lambda *prepared, **options: [])
    measure_speed([tiny], few_chunks(1), vary("cpu"), out=tmp_path / "out")
    assert list((tmp_path / "out/results/speed").iterdir()) == []


def measured(subject: Subject, seconds: Sequence[float], **counters: Any) -> Measurement:
    """A measurement with passes of these times: 100 texts of 10 documents, 1,000 tokens."""
    counted = Counters(seconds=1.0, n_samples=2, cpu_seconds=1.0, **counters)
    passes = [Pass(each, each / 2, 100, 10, 1000, 1100, 4e9, 0, counted) for each in seconds]
    found = workload(subject, few_chunks(1))
    return Measurement(subject, found, WarmUp(3, is_steady=True), passes, peak_flops=8e9)


def test_a_record_has_medians_and_the_share_of_the_peak(subject: Subject, tmp_path: Path) -> None:
    """Passes of 1, 2 and 4 s: 100 texts in the median 2 s, 4 GFLOP in 2 s of 8 GFLOP/s."""
    record = describe(measured(subject, [1, 4, 2], energy_joules=50.0), date=NOW)
    summary = record["summary"]
    assert summary["chunks_per_second"] == {"median": 50, "least": 25, "most": 100}
    assert summary["documents_per_second"]["median"] == 5
    assert summary["model_chunks_per_second"]["median"] == 100
    assert summary["share_of_peak"] == pytest.approx(2e9 / 8e9)
    assert summary["joules_per_1000_documents"] == pytest.approx(5000)
    assert summary["joules_per_million_tokens"] == pytest.approx(50_000)
    assert record["warnings"][-1].startswith("noisy: 3 passes' seconds differ by 150%")
    path = save(record, tmp_path / "results")
    assert path.parent.parent.parent == tmp_path / "results" / "speed"
    assert path.name.startswith("20260102T030405Z-")
    assert json.loads(path.read_text()) == json.loads(json.dumps(record))


def test_energy_that_was_not_measured_in_every_pass_is_left_out(subject: Subject) -> None:
    """Half of the passes are not the measurement."""
    found = measured(subject, [1, 1], energy_joules=50.0)
    counters = replace(found.passes[0].counters, energy_joules=None)
    found.passes[0] = replace(found.passes[0], counters=counters)
    summary = describe(found, date=NOW)["summary"]
    assert summary["joules_per_1000_documents"] is None


def test_what_was_written_is_read_again(tiny: str, tmp_path: Path) -> None:
    """The reading side takes the records of both kinds of protocol."""
    out = tmp_path / "results"
    queries = find_protocol("queries").changed(n_queries=60, n_documents_searched=50)
    sessions: list[Session] = [
        measure_speed([tiny], protocol, vary("cpu"), out=out, repeats=3)
        for protocol in (few_chunks(1), queries)
    ]
    found = {record.path: record for record in read_speed_records(out)}
    assert set(found) == {path for session in sessions for path in session.paths}
    assert all(record.untrained for record in found.values())


def test_texts_that_differ_are_compared_by_their_tokens(subject: Subject) -> None:
    """1,000 tokens in 1 s and in 4 s, though both had 100 texts: 4 times as fast."""
    one, other = measured(subject, [1, 1]), measured(subject, [4, 4])
    other.workload = replace(other.workload, texts=["something else"])
    ratio, unit = ratio_of(one, other)
    assert unit == "tokens"
    assert ratio.value == pytest.approx(4)


def test_one_turn_and_cut_batches_are_said(subject: Subject) -> None:
    """A single pass has no spread; batches that did not fit are not the protocol's."""
    found = measured(subject, [1])
    found.passes[0] = replace(found.passes[0], budget_cuts=1)
    said = describe(found, date=NOW)["warnings"]
    assert any(text.startswith("one turn") for text in said)
    assert any(text.startswith("noisy: the memory was too small") for text in said)


def test_queries_are_encoded_and_searched_one_at_a_time(tiny: str, tmp_path: Path) -> None:
    """Sixty queries in three turns; both together take longer than encoding alone."""
    protocol = find_protocol("queries").changed(n_queries=60, n_documents_searched=50)
    session = measure_speed([tiny], protocol, vary("cpu"), out=tmp_path, repeats=3)
    latency = session.records[0]["latency"]
    assert latency["n_queries"] == 60
    assert latency["n_documents_searched"] == 50
    assert latency["encode_and_search_ms"]["p50"] > latency["encode_ms"]["p50"] > 0
    assert session.records[0]["passes"] == []


def test_latencies_add_up_query_by_query() -> None:
    """1 + 9 and 9 + 1 ms are 10 ms each, though the medians of the parts are 5 ms."""
    counters = Counters(seconds=1.0, n_samples=2, cpu_seconds=1.0)
    found = Latency([0.001, 0.009], [0.009, 0.001], 10, counters)
    assert found.encode_ms()["p50"] == pytest.approx(5)
    assert found.encode_and_search_ms()["p50"] == pytest.approx(10)


def test_the_command_prints_speeds_ratio_and_record(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Settings of one model: a row each, the ratio with its interval, and where it lies."""
    arguments = ["speed", "--model", tiny, "--protocol", "fixed-128", "--documents", "2"]
    arguments += ["--batch-size", "1", "--batch-size", "2,1", "--padding", "--no-padding"]
    assert main([*arguments, "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "texts/s" in printed
    assert f"{tiny} (padding, batch size 1) is " in printed
    assert (
        f"times as fast as {tiny} (no padding, batch size 2) (texts per second; 95% int" in printed
    )
    assert printed.count("record: ") == 4


def test_the_protocols_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that stand for themselves, and the two forms."""
    assert main(["speed", "--list"]) == 0
    printed = capsys.readouterr().out
    assert "chunks-512" in printed
    assert "suite:TASK" in printed


def test_protocols_of_ones_own(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Listed and measured; wherever the option stands, and with a file's faults named."""
    own = tmp_path / "own.yaml"
    fixed = {"text_tokens": 16, "batch_size": 2, "n_documents_cpu": 2, "n_documents_gpu": 2}
    entry = {"name": "short", "version": 1, "title": "Short", "kind": "fixed", **fixed}
    own.write_text(json.dumps({"version": 1, "protocols": [entry]}))
    assert main(["speed", "--list", "--protocols", str(own)]) == 0
    printed = capsys.readouterr().out
    assert "short" in printed
    assert "chunks-512" not in printed
    arguments = ["speed", "--model", tiny, "--device", "cpu", "--out", str(tmp_path / "out")]
    arguments += ["--protocols", str(own)]
    assert main([*arguments, "--protocol", "short"]) == 0
    record = next((tmp_path / "out").rglob("*.json"))
    assert json.loads(record.read_text())["protocol"]["identity"].startswith("short/1:")
    assert main([*arguments, "--protocol", "shrot"]) == 2
    assert "did you mean 'short'?" in capsys.readouterr().err
    own.write_text(json.dumps({"version": 1, "protocols": [{**entry, "batch_size": 0}]}))
    assert main([*arguments, "--protocol", "short"]) == 2
    assert "batch_size" in capsys.readouterr().err


def test_a_speed_is_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the list needs none."""
    assert main(["speed"]) == 2
    assert "Missing option '--model'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--speed", "--curves", "length"], "two tables"),
        (["--speed", "--format", "html"], "the page has it already"),
    ],
)
def test_the_table_of_speed_stands_alone(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One table at a time, and none where the page shows the picture."""
    assert main(["table", "quickstart", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_random_weights_are_not_evaluated(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A quality of an untrained model is a number that means nothing."""
    assert main(["run", "quickstart", "--model", tiny]) == 2
    assert "has random weights: a speed, and no quality" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compile"], "--no-padding"),
        (["--compile", "--no-compile", "--padding"], "--no-padding"),
        (["--max-length", "2"], "leave no room for a word"),
        (["--protocol", "queries", "--batch-size", "8"], "one at a time"),
        (["--protocol", "queries", "--repeats", "501"], "too many"),
        (["--max-length", "4"], "too few for chunks"),
        (["--protocol", "chunk-512"], "did you mean 'chunks-512'?"),
        (["--model", "untrained:bert-bas"], "bert-base"),
        (["--batch-size", "8", "--token-budget", "64"], "two ways to make batches"),
        (["--protocol", "queries", "--documents", "3"], "encodes no documents"),
        (["--dtype", "float23"], "did you mean 'float32'"),
        (["--device", "cuda:99"], "--device"),
        (["--protocol", "file:no-such.jsonl"], "no-such.jsonl"),
        (["--model", "mteb/baseline-bm25s"], "is not an encoder that our engine drives"),
    ],
)
def test_what_cannot_be_measured_is_said_with_exit_code_2(
    arguments: list[str], said: str, tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and the next step."""
    assert main(["speed", "--model", tiny, "--device", "cpu", *arguments]) == 2
    assert said in capsys.readouterr().err
