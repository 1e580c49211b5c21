"""Protocols of speed: the shipped file, what makes two figures comparable, and faults."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from granite_bench.errors import BadInput
from granite_bench.speed.protocol import Protocol, find_protocol, load_protocols
from granite_bench.suite.overview import is_overview
from granite_bench.suite.shipped import overview_names, suite_names, suites_folder
from granite_bench.suite.suite import load_suite

NAMES = ["chunks-512", "fixed-128", "fixed-512", "fixed-2048", "fixed-8192", "queries"]


def _faults(path: Path) -> list[str]:
    """Every fault of a file, with its hint, without the folder."""
    with pytest.raises(BadInput) as caught:
        load_protocols(path)
    return [str(fault).replace(f"{path.parent}/", "") for fault in caught.value.faults]


def _write(folder: Path, *entries: dict[str, Any], **document: Any) -> Path:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "protocols": list(entries), **document}))
    return path


CHUNKS = {
    "name": "mine",
    "version": 1,
    "title": "Mine",
    "kind": "chunks",
    "chunk_tokens": 256,
    "overlap_tokens": 32,
    "batch_size": 16,
    "n_documents_cpu": 8,
    "n_documents_gpu": 80,
}
FIXED = {
    "name": "short",
    "version": 2,
    "title": "Short",
    "kind": "fixed",
    "text_tokens": 32,
    "batch_size": 16,
    "n_documents_cpu": 8,
    "n_documents_gpu": 80,
}


def test_the_shipped_protocols_are_those_of_the_readme() -> None:
    """In this order; documents is what suite:TASK is made of."""
    assert list(load_protocols()) == [*NAMES, "documents"]
    assert [find_protocol(name).name for name in NAMES] == NAMES


def test_chunks_512_is_what_the_paper_did() -> None:
    """Granite Embedding R2: 512-token chunks, 100 overlap, batch 128, 23,000 documents."""
    protocol = find_protocol("chunks-512")
    assert (protocol.kind, protocol.chunk_tokens, protocol.overlap_tokens) == ("chunks", 512, 100)
    assert (protocol.batch_size, protocol.n_documents("cuda:0")) == (128, 23_000)
    assert protocol.n_documents("cpu") == protocol.n_documents("cpu:0") == 64
    assert "H100" in (protocol.source or "")


def test_fixed_lengths_have_the_length_of_their_name_and_equal_batches() -> None:
    """From 512 tokens on a batch has 65,536 tokens; passes have whole batches."""
    for length in (128, 512, 2048, 8192):
        protocol = find_protocol(f"fixed-{length}")
        assert (protocol.kind, protocol.text_tokens) == ("fixed", length)
        assert protocol.batch_size is not None
        assert length < 512 or protocol.batch_size * length == 65_536
        for device in ("cpu", "cuda:1"):
            assert (protocol.n_documents(device) or 0) % protocol.batch_size == 0


def test_every_shipped_protocol_is_repeated_and_warmed_up() -> None:
    """At least three times, for a median and a spread."""
    for protocol in load_protocols().values():
        assert protocol.repeats >= 3
        assert protocol.warm_up_seconds > 0


def test_an_identity_is_name_version_and_a_hash_of_what_is_measured() -> None:
    """The canonical JSON, written by hand."""
    canonical = (
        '{"batch_size":128,"chunk_tokens":512,"corpus_sha256":null,"kind":"chunks",'
        '"n_documents_cpu":64,"n_documents_gpu":23000,"overlap_tokens":100,"seed":0}'
    )
    by_hand = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    assert find_protocol("chunks-512").identity == f"chunks-512/2:{by_hand}"


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("chunks-512", "chunk_tokens"),
        ("chunks-512", "overlap_tokens"),
        ("chunks-512", "batch_size"),
        ("chunks-512", "n_documents"),
        ("chunks-512", "seed"),
        ("fixed-512", "text_tokens"),
        ("fixed-512", "n_documents_cpu"),
        ("queries", "n_queries"),
        ("queries", "n_documents_searched"),
    ],
)
def test_every_setting_that_changes_what_is_measured_changes_the_identity(
    name: str, setting: str
) -> None:
    """And comes back to the same one with the old value."""
    protocol = find_protocol(name)
    changed = protocol.changed(**{setting: 77})
    assert changed.identity != protocol.identity
    assert changed.identity.startswith(f"{name}/2:")
    again = changed.changed(**{each: getattr(protocol, each) for each in protocol.settings()})
    assert again.identity == protocol.identity


def test_how_long_is_measured_does_not_change_the_identity() -> None:
    """More repeats say the same more surely."""
    protocol = find_protocol("queries")
    longer = protocol.changed(repeats=9, warm_up_seconds=1.5)
    assert longer.identity == protocol.identity
    assert longer.settings()["repeats"] == 9


def test_a_new_version_is_another_identity(tmp_path: Path) -> None:
    """With the same settings: the texts are others, or the code."""
    one = load_protocols(_write(tmp_path, CHUNKS))["mine"].identity
    two = load_protocols(_write(tmp_path, {**CHUNKS, "version": 2}))["mine"].identity
    assert (one.split("/")[1][:2], two.split("/")[1][:2]) == ("1:", "2:")


def test_settings_are_those_of_the_kind() -> None:
    """For the record, and for the page."""
    assert find_protocol("queries").settings() == {
        "n_queries": 1000,
        "n_documents_searched": 100_000,
        "seed": 0,
        "warm_up_seconds": 120,
        "repeats": 3,
    }


def test_a_setting_of_another_kind_cannot_be_changed() -> None:
    """Such as --documents with the protocol queries."""
    with pytest.raises(BadInput, match="protocol queries: has no setting n_documents"):
        find_protocol("queries").changed(n_documents=5)
    assert find_protocol("fixed-128").changed(n_documents=5).n_documents("cpu") == 5


def test_other_batches_take_the_place_of_the_protocols() -> None:
    """A token budget is not an addition to 128 texts; single queries have no batches."""
    protocol = find_protocol("chunks-512")
    by_tokens = protocol.with_batches(None, 4096)
    assert (by_tokens.batch_size, by_tokens.token_budget) == (None, 4096)
    assert by_tokens.identity != protocol.identity
    by_texts = protocol.with_batches(32, None)
    assert (by_texts.batch_size, by_texts.token_budget) == (32, None)
    assert protocol.with_batches(None, None) is protocol
    assert protocol.with_batches(128, None).identity == protocol.identity
    queries = find_protocol("queries")
    assert queries.with_batches(32, None) is queries


def test_documents_of_a_task_are_a_protocol() -> None:
    """All of them, as they are; the name says which task."""
    protocol = find_protocol("suite:PythonStdlibRetrieval")
    assert (protocol.name, protocol.kind) == ("suite:PythonStdlibRetrieval", "documents")
    assert (protocol.task, protocol.path) == ("PythonStdlibRetrieval", None)
    assert (protocol.n_documents("cpu"), protocol.batch_size) == (None, 128)
    assert "seed" not in protocol.settings()
    assert find_protocol("suite:data/beir/aitqa").name == "suite:aitqa"
    assert find_protocol("suite:data/beir/aitqa").task == "data/beir/aitqa"


def test_a_file_is_cut_as_chunks_512_does(tmp_path: Path) -> None:
    """All its documents; the name is the same wherever the file lies."""
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"text": "a"}\n')
    protocol = find_protocol(f"file:{path}")
    assert (protocol.name, protocol.path, protocol.task) == ("file:corpus.jsonl", path, None)
    assert (protocol.kind, protocol.chunk_tokens, protocol.overlap_tokens) == ("chunks", 512, 100)
    assert (protocol.n_documents("cpu"), protocol.n_documents("cuda:0")) == (None, None)
    assert "seed" not in protocol.settings()


def test_the_identity_of_documents_of_ones_own_has_their_hash(tmp_path: Path) -> None:
    """Two files of one name are two corpora; a synthetic corpus follows from the settings."""
    path = tmp_path / "corpus.txt"
    path.write_text("a\n")
    protocol = find_protocol(f"file:{path}")
    with pytest.raises(ValueError, match="read them first"):
        _ = protocol.identity
    one, other = protocol.of_corpus("a" * 64).identity, protocol.of_corpus("b" * 64).identity
    assert one != other
    assert one.startswith("file:corpus.txt/2:")
    assert protocol.of_corpus("a" * 64).identity == one
    synthetic = find_protocol("chunks-512")
    assert synthetic.of_corpus("a" * 64).identity == synthetic.identity


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("chunk-512", "unknown protocol 'chunk-512'\n  did you mean 'chunks-512'?"),
        (
            "xyz",
            "unknown protocol 'xyz'\n  there are: chunks-512, fixed-128, fixed-512, fixed-2048, "
            "fixed-8192, queries; or suite:TASK, file:PATH",
        ),
        ("documents", "unknown protocol 'documents'"),
        ("suite:", "protocol suite: lacks a task"),
        ("suite:longembed", "protocol suite:longembed is of a whole suite\n  it takes one task, "),
        ("file:", "protocol file: lacks a path"),
        ("file:nowhere.jsonl", "nowhere.jsonl: no such file"),
    ],
)
def test_a_protocol_that_is_not_there_says_what_would_be_right(name: str, what: str) -> None:
    """Misspelt, incomplete, or no protocol at all."""
    with pytest.raises(BadInput) as caught:
        find_protocol(name)
    assert str(caught.value).startswith(what)


def test_protocols_of_ones_own_come_from_a_file(tmp_path: Path) -> None:
    """With the defaults of what is left out."""
    path = _write(tmp_path, {**CHUNKS, "repeats": 5}, FIXED)
    mine = find_protocol("mine", path)
    assert isinstance(mine, Protocol)
    assert (mine.repeats, mine.seed, mine.n_documents("mps")) == (5, 0, 80)
    assert list(load_protocols(path)) == ["mine", "short"]
    with pytest.raises(BadInput, match="unknown protocol 'chunks-512'"):
        find_protocol("chunks-512", path)


def test_all_faults_of_a_file_are_named(tmp_path: Path) -> None:
    """Wrong values, unknown keys, keys of another kind, keys that are missing, names twice."""
    broken = {**CHUNKS, "chunk_tokns": 1, "batch_size": 0, "repeats": 2, "overlap_tokens": 129}
    fixed = {key: value for key, value in FIXED.items() if key != "text_tokens"}
    path = _write(
        tmp_path,
        broken,
        {**fixed, "chunk_tokens": 512, "task": "SciFact"},
        {**FIXED, "name": "a/b"},
        {**FIXED, "kind": "fixd"},
        {**FIXED, "name": "other", "batch_size": None},
        "a name",
        version=2,
    )
    where = "own.yaml: protocols"
    expected = [
        "own.yaml: version: format 2 is not known; this release reads 1",
        f"{where}[0].chunk_tokns: unknown key\n  did you mean 'chunk_tokens'",
        f"{where}[0].batch_size: input should be greater than 0 (found 0)",
        f"{where}[0].repeats: input should be greater than or equal to 3 (found 2)",
        f"{where}[0].overlap_tokens: must be at most half of chunk_tokens (256) (found 129)",
        f"{where}[1].task: unknown key",
        f"{where}[1].text_tokens: is missing; kind fixed needs it",
        f"{where}[1].chunk_tokens: is no setting of kind fixed\n  it has: text_tokens, n_doc",
        f"{where}[2].name: string should match",
        f"{where}[3].kind: input should be 'chunks', 'fixed', 'queries' or 'documents'",
        f"{where}[3].name: protocol 'short' is listed twice\n  it is protocols[1] too",
        f"{where}[4]: kind fixed needs batch_size or token_budget",
        f"{where}[5]: must be a name, or a mapping",
    ]
    faults = _faults(path)
    for start in expected:
        assert any(fault.startswith(start) for fault in faults), start
    assert len(faults) == len(expected)


def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path: Path) -> None:
    """YAML would keep the last without a word."""
    path = _write(tmp_path, CHUNKS)
    text = path.read_text().replace("  kind: chunks\n", "  kind: chunks\n  seed: 1\n  seed: 2\n")
    path.write_text(text)
    (fault,) = _faults(path)
    line = text.splitlines().index("  seed: 2") + 1
    assert fault == f"own.yaml:{line}: key 'seed' stands here twice\n  keep one of the two"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("protocols: [", "own.yaml:1: not valid YAML"),
        ("- version: 1\n", "own.yaml: must be a mapping"),
        ("version: 1\nprotocols: []\n", "own.yaml: protocols: tuple should have at least 1 item"),
        ("version: 1\n", "own.yaml: protocols: is missing"),
    ],
)
def test_a_file_without_protocols_is_a_fault(content: str, fault: str, tmp_path: Path) -> None:
    """Nothing could be measured."""
    path = tmp_path / "own.yaml"
    path.write_text(content)
    (found,) = _faults(path)
    assert found.startswith(fault)


def test_the_file_of_protocols_is_no_suite() -> None:
    """It lies beside the suites, and is shipped with them, but is not listed or read as one."""
    assert (suites_folder() / "speed.yaml").is_file()
    assert "speed" not in [*suite_names(), *overview_names()]
    assert not is_overview("speed")
    with pytest.raises(BadInput, match="unknown suite 'speed'"):
        load_suite("speed")
