"""The corpus of a speed measurement: lengths as published, the same bytes everywhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from granite_bench.errors import MOST_FAULTS_SHOWN, BadInput
from granite_bench.speed.corpus import (
    SyntheticDocuments,
    corpus_sha256,
    document_lengths,
    query_texts,
    read_documents,
)
from granite_bench.speed.prose import VOCABULARY, draws, prose, word_table

PINNED_DOCUMENTS = "fe64405987fe953a9d00ddb66f03e6118099e98a17eb377f741e7899ad2763ba"
PINNED_QUERIES = "7a1117185d40d8470d3c2033e3a543e374195ee2a24a76a36b21ea64ee44e75f"


def test_a_full_corpus_has_the_published_lengths() -> None:
    """23,000 documents of 10 to 475,001 characters, mean 6,393 (Granite Embedding R2 paper)."""
    lengths = SyntheticDocuments(23_000).lengths
    assert (len(lengths), min(lengths), max(lengths)) == (23_000, 10, 475_001)
    assert statistics.fmean(lengths) == pytest.approx(6393, rel=0.0001)
    assert statistics.median(lengths) == pytest.approx(2956, abs=1)


@pytest.mark.parametrize(("n_documents", "mean"), [(64, 6156), (200, 6290), (5000, 6386)])
def test_a_smaller_corpus_keeps_the_body_of_the_distribution(n_documents: int, mean: int) -> None:
    """Its median stays within 3%; its mean is a little less, for it lacks the longest."""
    lengths = document_lengths(n_documents)
    assert statistics.median(lengths) == pytest.approx(2956, rel=0.03)
    assert statistics.fmean(lengths) == pytest.approx(mean, abs=1)


def test_a_larger_corpus_stays_within_the_published_lengths() -> None:
    """Its outer quantiles would lie beyond them."""
    lengths = document_lengths(100_000)
    assert (lengths[0], lengths[-2], lengths[-1]) == (10, 475_001, 475_001)


def test_every_document_has_its_length_stripped_or_not() -> None:
    """The document template strips; what is said of the lengths must stay true."""
    documents = SyntheticDocuments(150, seed=3)
    assert [len(text) for text in documents] == list(documents.lengths)
    assert [text.strip() for text in documents] == list(documents)
    assert all(text.isascii() for text in documents)


def test_the_shortest_document_is_the_beginning_of_its_prose() -> None:
    """Ten characters, of which only a space at the end would be another."""
    documents = SyntheticDocuments(23_000)
    place = documents.lengths.index(10)
    whole = next(prose(f"0:{place}"))
    assert documents[place] in (whole[:10], whole[:9] + ".")


def test_the_bytes_of_the_corpus_are_pinned() -> None:
    """
    A figure measured here compares with one measured elsewhere, or years ago.

    Whoever changes what the texts are raises the versions in suites/speed.yaml.
    """
    assert corpus_sha256(SyntheticDocuments(64)) == PINNED_DOCUMENTS
    assert corpus_sha256(query_texts(1000)) == PINNED_QUERIES


def test_draws_are_little_endian_numbers_of_shake_256() -> None:
    """The first bytes of SHAKE-256 of "a", from hashlib."""
    first = hashlib.shake_256(b"a").digest(4)
    assert draws("a", 2) == (first[0] + 256 * first[1], first[2] + 256 * first[3])


def test_another_seed_is_another_order_and_other_texts() -> None:
    """The lengths as a whole stay the same."""
    one, other = SyntheticDocuments(50, seed=0), SyntheticDocuments(50, seed=1)
    assert one.lengths != other.lengths
    assert sorted(one.lengths) == sorted(other.lengths)
    assert not {text[:30] for text in one} & {text[:30] for text in other}


def test_documents_are_shuffled() -> None:
    """The first half is not the shorter half."""
    lengths = SyntheticDocuments(1000).lengths
    first, second = statistics.fmean(lengths[:500]), statistics.fmean(lengths[500:])
    assert 0.7 < first / second < 1.4


def test_documents_can_be_gone_through_again_and_asked_for_one_by_one() -> None:
    """They are made anew each time, and are the same."""
    documents = SyntheticDocuments(20)
    texts = list(documents)
    assert list(documents) == texts
    assert (documents[7], documents[-1], documents[3:5]) == (texts[7], texts[19], texts[3:5])
    with pytest.raises(IndexError):
        documents[20]


def test_no_documents_are_no_corpus() -> None:
    """A rate over nothing would be a division by zero later."""
    with pytest.raises(ValueError, match="0 documents"):
        SyntheticDocuments(0)


def test_text_has_as_many_characters_per_bert_token_as_the_published_corpus(minilm: Any) -> None:
    """6,393 characters in the mean are 1,873 BERT tokens in the mean: 3.41."""
    documents = list(SyntheticDocuments(100))
    ids = minilm.model.tokenizer(documents, truncation=False, verbose=False)["input_ids"]
    per_token = sum(map(len, documents)) / sum(map(len, ids))
    assert 3.2 < per_token < 3.65


def test_the_word_table_follows_zipf() -> None:
    """Each word of the vocabulary is in it, rank r as often as 1 / (r + 3), none has a space."""
    table = word_table()
    assert len(table) == 65_536
    assert not any(set(word) & set(" \n") for word in table)
    counts = dict.fromkeys(VOCABULARY, 0)
    for word in table:
        if word.rstrip(",") in counts:
            counts[word.rstrip(",")] += 1
    assert min(counts.values()) > 0
    assert counts["the"] / counts[VOCABULARY[97]] == pytest.approx(100 / 3, rel=0.02)
    assert len(set(VOCABULARY)) == len(VOCABULARY)


def test_queries_are_questions_of_5_to_20_words() -> None:
    """Every length occurs, and no question twice: the engine would encode it once."""
    texts = query_texts(1000)
    assert {len(text.split()) for text in texts} == set(range(5, 21))
    assert all(text.endswith("?") and text.count("?") == 1 for text in texts)
    assert len(set(texts)) == 1000
    assert query_texts(1000, seed=1)[0] not in texts


def test_the_hash_of_a_corpus_knows_where_its_texts_end() -> None:
    """Worked by hand: the length in 8 bytes, then UTF-8."""
    by_hand = hashlib.sha256(b"\0\0\0\0\0\0\0\x03a\xc3\xbc" + b"\0\0\0\0\0\0\0\x01c").hexdigest()
    assert corpus_sha256(["aü", "c"]) == by_hand
    assert corpus_sha256(["a", "üc"]) != by_hand
    assert corpus_sha256(iter(["aü", "c"])) == by_hand


ROWS = (
    {"_id": "1", "title": "Otters", "text": " hold hands. "},
    {"_id": "2", "title": "", "text": " Bread rises. ", "metadata": {"url": None}},
    {"title": None, "text": "Granit ist ein Gestein, sagt Jörg."},
    {"text": ""},
)
DOCUMENTS = [
    "Otters  hold hands.",
    "Bread rises.",
    "Granit ist ein Gestein, sagt Jörg.",
    "",
]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file of documents; .gz is compressed."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        raw = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return path

    return write


def _jsonl(*rows: Any) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def _faults(path: Path) -> list[str]:
    """What is wrong, without the folder, and with the hint behind it."""
    with pytest.raises(BadInput) as caught:
        read_documents(path)
    return [str(fault).replace(f"{path.parent}/", "") for fault in caught.value.faults]


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_json_lines_are_documents_of_title_and_text(
    name: str, written: Callable[[str, str], Path]
) -> None:
    """As the engine's document template: joined by a space, then stripped."""
    path = written(name, "\ufeff" + _jsonl(*ROWS[:2], "", *ROWS[2:]))
    assert read_documents(path) == DOCUMENTS


def test_the_document_template_is_the_engines(written: Callable[[str, str], Path]) -> None:
    """What a run would encode for these rows."""
    from datasets import Dataset

    from granite_bench.engine.backends.texts import DocumentTexts

    columns = {key: [row.get(key) for row in ROWS] for key in ("title", "text")}
    (expected,) = DocumentTexts(Dataset.from_dict(columns))
    assert read_documents(written("c.jsonl", _jsonl(*ROWS))) == expected


def test_a_text_file_has_a_document_on_each_line(written: Callable[[str, str], Path]) -> None:
    """Only line feeds end a line, with or without carriage returns; empty lines are none."""
    path = written("c.txt", "one \u2028document\r\n\n  \ntwo\x0cpages\nthe last")
    assert read_documents(path) == ["one \u2028document", "two\x0cpages", "the last"]


def test_all_faults_of_a_file_are_named(written: Callable[[str, str], Path]) -> None:
    """Each with its line; a line may have two."""
    path = written(
        "c.jsonl",
        _jsonl(
            {"text": "fine"},
            "{",
            ["text"],
            {"title": 3, "txt": "misspelt"},
            '{"text": "half \\ud83d"}',
            "[" * 100_000,
        ),
    )
    faults = _faults(path)
    assert faults[0].startswith("c.jsonl:2: not valid JSON")
    assert faults[1:5] == [
        "c.jsonl:3: must be a JSON object",
        'c.jsonl:4: "text" must be a string',
        'c.jsonl:4: "title" must be a string',
        "c.jsonl:5: has half of a surrogate pair, which is no character",
    ]
    assert faults[5].startswith("c.jsonl:6: not valid JSON")
    assert len(faults) == 6


def test_no_more_faults_are_shown_than_anyone_reads(written: Callable[[str, str], Path]) -> None:
    """A broken export repeats one fault on every line."""
    faults = _faults(written("c.jsonl", "nonsense\n" * (MOST_FAULTS_SHOWN + 5)))
    assert len(faults) == MOST_FAULTS_SHOWN + 1
    assert faults[-1] == "c.jsonl: and 5 more faults"


@pytest.mark.parametrize(
    ("name", "content"),
    [("c.jsonl", ""), ("c.txt", " \n\n"), ("c.jsonl", '{"text": ""}\n'), ("c.jsonl.gz", "")],
)
def test_a_file_without_text_is_a_fault(
    name: str, content: str, written: Callable[[str, str], Path]
) -> None:
    """There would be nothing to measure."""
    assert _faults(written(name, content)) == [f"{name}: has no text"]


def test_bytes_that_are_no_utf8_are_a_fault(written: Callable[[str, bytes], Path]) -> None:
    """Named with the line, in text and in JSON."""
    (fault,) = _faults(written("c.txt", b"fine\n\xff\xfe\n"))
    assert fault.startswith("c.txt:2: not valid UTF-8")
    (fault,) = _faults(written("c.jsonl", b'{"text": "\xe9"}\n'))
    assert fault.startswith("c.jsonl:1: not valid JSON: 'utf-8' codec can't decode")


def test_a_compressed_file_that_is_cut_off_is_a_fault(tmp_path: Path) -> None:
    """One that is not compressed, whatever its name, is read as it is."""
    whole = gzip.compress(_jsonl(*ROWS).encode())
    (tmp_path / "c.jsonl.gz").write_bytes(whole[:-12])
    (fault,) = _faults(tmp_path / "c.jsonl.gz")
    assert "cannot be read: Compressed file ended" in fault
    (tmp_path / "c.jsonl.gz").write_text(_jsonl(*ROWS))
    assert read_documents(tmp_path / "c.jsonl.gz") == DOCUMENTS


def test_only_files_of_known_names_are_read(tmp_path: Path) -> None:
    """A folder of the BEIR layout is pointed to its corpus."""
    assert _faults(tmp_path / "c.jsonl") == ["c.jsonl: no such file"]
    (tmp_path / "c.csv").write_text("text\n")
    known = "a file of documents ends in .jsonl, .jsonl.gz, .txt"
    assert _faults(tmp_path / "c.csv") == [f"c.csv: is not known to hold documents\n  {known}"]
    (tmp_path / "beir").mkdir()
    assert _faults(tmp_path / "beir") == [f"beir: is a folder\n  {known}"]
    (tmp_path / "beir/corpus.jsonl").write_text(_jsonl(*ROWS))
    assert _faults(tmp_path / "beir") == ["beir: is a folder\n  give beir/corpus.jsonl"]
