"""What a model encodes under a protocol: chunks, texts of one length, documents, prompts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from beir_folder import write_folder
from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
from speed_subjects import CPU, few_chunks, tiny_model, tiny_subject, workload

from granite_bench.engine.backends.backend import Instruction
from granite_bench.engine.backends.dense_backend import SentenceTransformersBackend
from granite_bench.errors import BadInput
from granite_bench.speed.measure import run_pass
from granite_bench.speed.protocol import find_protocol
from granite_bench.speed.record import describe
from granite_bench.speed.subject import Subject, load_subject
from granite_bench.speed.turns import Measurement


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """An untrained model of two layers."""
    return tiny_subject(tiny_model(tmp_path))


def test_chunks_are_no_longer_than_the_model_reads_and_are_another_protocol(
    subject: Subject,
) -> None:
    """Of 128 tokens with half of them in the next one; the remark says so."""
    found = workload(subject, few_chunks())
    assert (found.protocol.chunk_tokens, found.protocol.overlap_tokens) == (128, 64)
    assert found.protocol.identity != few_chunks().identity
    tokens = subject.backend.tokenize(found.texts, Instruction(None, ""))
    assert tokens.counts.max() == 128
    assert "chunks of 128 tokens: the model reads no more" in found.remarks


def test_documents_of_an_untrained_model_are_not_counted(subject: Subject) -> None:
    """Its tokens are words, so a document is less work than for any real model."""
    found = workload(subject, few_chunks())
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


def test_documents_of_a_task_are_encoded_as_they_are(subject: Subject, tmp_path: Path) -> None:
    """Title and text, cut by nothing."""
    docs = {"d1": {"title": "Tea", "text": "green"}, "d2": "coffee"}
    folder = write_folder(tmp_path / "shop", docs, {"q1": "a drink"}, {"q1": {"d1": 1}})
    found = workload(subject, find_protocol(f"suite:{folder}"))
    assert found.corpus.kind == "task"
    assert found.texts == ["Tea green", "coffee"]
    assert found.n_documents == found.corpus.n_documents == 2
    assert found.protocol.identity.startswith("suite:shop/2:")


@pytest.fixture
def prompted(minilm: Any) -> Subject:
    """all-MiniLM-L6-v2 with prompts for queries and documents, as e5 models have them."""
    wrapper = SentenceTransformerEncoderWrapper(
        minilm.model, model_prompts={"query": "query: ", "document": "passage: "}
    )
    wrapper.mteb_model_meta = minilm.mteb_model_meta
    return Subject(
        label="MiniLM", name="local/prompted", revision="1", content_sha256=None, settings=CPU,
        backend=SentenceTransformersBackend(wrapper), tokenizer=minilm.model.tokenizer,
        n_parameters=None, geometry=None, load_seconds=1.0,
    )  # fmt: skip


def test_texts_have_the_models_own_prompt_and_their_length_with_it(prompted: Subject) -> None:
    """As a run puts it before documents: "passage" and ":" are two of the 128 tokens."""
    found = workload(prompted, find_protocol("fixed-128").changed(n_documents=3))
    assert found.instruction == Instruction("document", "passage: ")
    assert [len(text.split()) for text in found.texts] == [124] * 3
    one_pass = run_pass(prompted, found)
    assert one_pass.n_tokens == 3 * 128
    measured = Measurement(prompted, found, passes=[one_pass], peak_flops=1e9)
    record = describe(measured, date=datetime(2026, 1, 2, tzinfo=UTC))
    assert record["settings"]["prompt"] == "passage: "


def test_queries_have_the_prompt_of_queries(prompted: Subject) -> None:
    """What is timed is what a search waits for."""
    found = workload(prompted, find_protocol("queries").changed(n_queries=100))
    assert found.instruction == Instruction("query", "query: ")


def test_chunks_are_as_much_shorter_as_the_prompt_is_long(prompted: Subject) -> None:
    """Of 256 tokens, which this model reads, all are read: nothing is cut off at their end."""
    found = workload(prompted, few_chunks(3))
    tokens = prompted.backend.tokenize(found.texts, found.instruction)
    assert np.median(tokens.counts) == 256
    assert (tokens.counts > 256).mean() < 0.02


def test_texts_that_the_model_would_truncate_are_refused(subject: Subject) -> None:
    """A truncated text is less work than its length says."""
    with pytest.raises(BadInput, match=r"reads 128 tokens, and fixed-512 has texts of 512"):
        workload(subject, find_protocol("fixed-512"))


def test_given_batches_replace_the_protocols_and_change_its_identity(subject: Subject) -> None:
    """Batches of 7 are not batches of 128."""
    other = replace(subject, settings=replace(CPU, batch_size=7))
    found = workload(other, find_protocol("fixed-128").changed(n_documents=4))
    assert found.protocol.batch_size == 7
    assert found.protocol.identity != find_protocol("fixed-128").identity


def test_documents_are_counted_where_they_have_text_and_once(minilm: Any, tmp_path: Path) -> None:
    """Of three lines that are two texts, a real model encodes two documents."""
    (tmp_path / "mine.jsonl").write_text('{"text": "a b"}\n{"text": "c"}\n{"text": "a b"}\n')
    subject = load_subject("quickstart/all-MiniLM-L6-v2", CPU, label="MiniLM")
    found = workload(subject, find_protocol(f"file:{tmp_path / 'mine.jsonl'}"))
    assert (found.n_documents, found.texts) == (2, ["a b", "c"])
