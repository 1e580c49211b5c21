"""Measuring speed: workloads, passes, turns, records and the command, on a tiny untrained model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from granite_bench.__main__ import main
from granite_bench.engine.backend import Instruction
from granite_bench.engine.tokens import Tokens
from granite_bench.errors import BadInput
from granite_bench.speed.counters import Counters
from granite_bench.speed.measure import (
    Latency,
    Pass,
    WarmUp,
    is_steady,
    matrix_product_peak,
    percentiles_ms,
    run_pass,
)
from granite_bench.speed.protocol import Protocol, find_protocol
from granite_bench.speed.record import describe, save
from granite_bench.speed.session import Session, measure_speed
from granite_bench.speed.subject import Settings, Subject, load_subject
from granite_bench.speed.turns import Measurement, compare
from granite_bench.speed.workload import documents_of, workload_for
from granite_bench.speed_records import read_speed_records

CPU = Settings("cpu")


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """untrained:FOLDER with a BERT of two layers of 32, which reads 128 tokens."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    config = {
        "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 500,
        "max_position_embeddings": 128, "architectures": ["BertModel"],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return f"untrained:{folder}"


@pytest.fixture
def subject(tiny: str) -> Subject:
    """It, loaded."""
    return load_subject(tiny, CPU, label="tiny")


def chunks(n_documents: int = 3) -> Protocol:
    """chunks-512 over few documents."""
    return find_protocol("chunks-512").changed(n_documents=n_documents, warm_up_seconds=0)


def workload(subject: Subject, protocol: Protocol) -> Any:
    """The workload of a protocol for a model on the CPU."""
    return workload_for(subject, protocol, documents_of(protocol, "cpu"))


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


def test_chunks_are_no_longer_than_the_model_reads_and_are_another_protocol(
    subject: Subject,
) -> None:
    """Of 128 tokens with half of them in the next one; the remark says so."""
    found = workload(subject, chunks())
    assert (found.protocol.chunk_tokens, found.protocol.overlap_tokens) == (128, 64)
    assert found.protocol.identity != chunks().identity
    tokens = subject.backend.tokenize(found.texts, Instruction(None, ""))
    assert tokens.counts.max() == 128
    assert "chunks of 128 tokens: the model reads no more" in found.remarks


def test_documents_of_an_untrained_model_are_not_counted(subject: Subject) -> None:
    """Its tokens are words, so a document is less work than for any real model."""
    found = workload(subject, chunks())
    assert found.n_documents is None
    assert found.corpus.n_documents == 3
    assert found.corpus.n_chunks == len(found.texts)


def test_copies_of_a_text_are_left_out_and_said(subject: Subject, tmp_path: Path) -> None:
    """The engine encodes a text once; counting it twice would be a speed nobody has."""
    (tmp_path / "mine.txt").write_text("one two\nthree\none two\n")
    found = workload(subject, find_protocol(f"file:{tmp_path / 'mine.txt'}"))
    assert found.texts == ["one two", "three"]
    assert "copies of texts left out: 1" in found.remarks
    assert found.corpus.kind == "file"


def test_documents_of_a_task_are_encoded_as_they_are(subject: Subject) -> None:
    """The built-in code task, cut by nothing."""
    protocol = find_protocol("suite:PythonStdlibRetrieval")
    found = workload(subject, protocol)
    assert found.corpus.kind == "task"
    assert found.n_documents == found.corpus.n_documents > 1_000
    assert found.protocol.identity.startswith("suite:PythonStdlibRetrieval/1:")


def test_texts_that_the_model_would_truncate_are_refused(subject: Subject) -> None:
    """A truncated text is less work than its length says."""
    with pytest.raises(BadInput, match=r"reads 128 tokens, and fixed-512 has texts of 512"):
        workload(subject, find_protocol("fixed-512"))


def test_given_batches_replace_the_protocols_and_change_its_identity(tiny: str) -> None:
    """Batches of 7 are not batches of 128."""
    other = load_subject(tiny, replace(CPU, batch_size=7), label="tiny")
    found = workload(other, find_protocol("fixed-128").changed(n_documents=4))
    assert found.protocol.batch_size == 7
    assert found.protocol.identity != find_protocol("fixed-128").identity


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
    session = measure_speed(
        [tiny],
        chunks(1),
        device="cpu",
        out=tmp_path,
        batch_sizes=(1, 4),
        repeats=3,
        say=said.append,
    )
    ones = [f"untrained:{tiny.removeprefix('untrained:')} (batch size {n})" for n in (1, 4)]
    assert [line for line in said if line.startswith("warming")] == [
        f"warming up {label}" for label in ones
    ]
    assert [record["protocol"]["settings"]["repeats"] for record in session.records] == [3, 3]
    labels = [line.partition(": ")[2] for line in said if line.startswith("turn")]
    assert [label.startswith(ones[turn % 2]) for turn, label in enumerate(labels)] == [True] * 6
    comparisons = [record["comparison"] for record in session.records]
    assert comparisons[0]["id"] == comparisons[1]["id"]
    assert [each["position"] for each in comparisons] == [0, 1]
    (comparison,) = compare(session.measurements)
    assert comparison.unit == "texts"  # the same ones for both
    assert comparison.ratio.n_pairs == 3
    assert session.records[0]["summary"]["resident_bytes_peak"] is None  # of both together


def measured(subject: Subject, seconds: Sequence[float], **counters: Any) -> Measurement:
    """A measurement with passes of these times: 100 texts of 10 documents, 1,000 tokens."""
    counted = Counters(seconds=1.0, n_samples=2, cpu_seconds=1.0, **counters)
    passes = [Pass(each, each / 2, 100, 10, 1000, 1100, 4e9, 0, counted) for each in seconds]
    found = workload(subject, chunks(1))
    return Measurement(subject, found, WarmUp(3, is_steady=True), passes, peak_flops=8e9)


def test_a_record_has_medians_and_the_share_of_the_peak(subject: Subject, tmp_path: Path) -> None:
    """Passes of 1, 2 and 4 s: 100 texts in the median 2 s, 4 GFLOP in 2 s of 8 GFLOP/s."""
    from datetime import UTC, datetime

    date = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    record = describe(measured(subject, [1, 4, 2], energy_joules=50.0), date=date)
    summary = record["summary"]
    assert summary["chunks_per_second"] == {"median": 50, "least": 25, "most": 100}
    assert summary["documents_per_second"]["median"] == 5
    assert summary["model_chunks_per_second"]["median"] == 100
    assert summary["share_of_peak"] == pytest.approx(2e9 / 8e9)
    assert summary["joules_per_1000_documents"] == pytest.approx(5000)
    assert summary["joules_per_million_tokens"] == pytest.approx(50_000)
    assert record["warnings"][-1].startswith("noisy: 3 passes differ by 150% of their median")
    path = save(record, tmp_path / "results")
    assert path.parent.parent.parent == tmp_path / "results" / "speed"
    assert path.name.startswith("20260102T030405Z-")
    assert json.loads(path.read_text()) == json.loads(json.dumps(record))


def test_energy_that_was_not_measured_in_every_pass_is_left_out(subject: Subject) -> None:
    """Half of the passes are not the measurement."""
    from datetime import UTC, datetime

    found = measured(subject, [1, 1], energy_joules=50.0)
    counters = replace(found.passes[0].counters, energy_joules=None)
    found.passes[0] = replace(found.passes[0], counters=counters)
    summary = describe(found, date=datetime.now(UTC))["summary"]
    assert summary["joules_per_1000_documents"] is None


def test_what_was_written_is_read_again(tiny: str, tmp_path: Path) -> None:
    """The reading side takes the records of both kinds of protocol."""
    out = tmp_path / "results"
    common: dict[str, Any] = {"device": "cpu", "out": out, "repeats": 3}
    sessions: list[Session] = [
        measure_speed([tiny], chunks(1), **common),
        measure_speed(
            [tiny],
            find_protocol("queries").changed(n_queries=60, n_documents_searched=50),
            **common,
        ),
    ]
    found = {record.path: record for record in read_speed_records(out)}
    assert set(found) == {path for session in sessions for path in session.paths}
    assert all(record.untrained for record in found.values())


def test_texts_that_differ_are_compared_by_their_tokens(subject: Subject) -> None:
    """1,000 tokens in 1 s and in 4 s, though both had 100 texts: 4 times as fast."""
    one, other = measured(subject, [1, 1]), measured(subject, [4, 4])
    other.workload = replace(other.workload, texts=["something else"])
    (found,) = compare([one, other])
    assert found.unit == "tokens"
    assert found.ratio.value == pytest.approx(4)


def test_documents_are_counted_where_they_have_text_and_once(minilm: Any, tmp_path: Path) -> None:
    """Of three lines that are two texts, a real model encodes two documents."""
    (tmp_path / "mine.jsonl").write_text('{"text": "a b"}\n{"text": "c"}\n{"text": "a b"}\n')
    subject = load_subject("quickstart/all-MiniLM-L6-v2", CPU, label="MiniLM")
    found = workload(subject, find_protocol(f"file:{tmp_path / 'mine.jsonl'}"))
    assert (found.n_documents, found.texts) == (2, ["a b", "c"])


def test_one_turn_and_cut_batches_are_said(subject: Subject) -> None:
    """A single pass has no spread; batches that did not fit are not the protocol's."""
    from datetime import UTC, datetime

    found = measured(subject, [1])
    found.passes[0] = replace(found.passes[0], budget_cuts=1)
    said = describe(found, date=datetime.now(UTC))["warnings"]
    assert any(text.startswith("one turn") for text in said)
    assert any(text.startswith("noisy: the memory was too small") for text in said)


def test_queries_are_encoded_and_searched_one_at_a_time(tiny: str, tmp_path: Path) -> None:
    """Sixty queries in three turns; both together take longer than encoding alone."""
    protocol = find_protocol("queries").changed(n_queries=60, n_documents_searched=50)
    session = measure_speed([tiny], protocol, device="cpu", out=tmp_path, repeats=3)
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
    """Two settings of one model: a row each, the ratio with its interval, and where it lies."""
    arguments = ["speed", "--model", tiny, "--documents", "1", "--token-budget", "256,1024"]
    assert main([*arguments, "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "texts/s" in printed
    assert "95% interval" in printed
    assert printed.count("record: ") == 2


def test_the_protocols_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that stand for themselves, and the two forms."""
    assert main(["speed", "--list"]) == 0
    printed = capsys.readouterr().out
    assert "chunks-512" in printed
    assert "suite:TASK" in printed


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
