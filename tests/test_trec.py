"""TREC's files: what we write trec_eval reads as we mean it, and what others wrote we read."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import pytrec_eval

from granite_bench.errors import MOST_FAULTS_SHOWN, BadInput
from granite_bench.rankings.trec import (
    qrels_file_name,
    read_trec_run,
    run_file_name,
    trec_qrels,
    trec_run,
)
from granite_bench.results.store import RANKING_SCHEMA


def rankings(by_query: Mapping[str, Sequence[tuple[str, float]]]) -> pa.Table:
    """Rows of RANKING_SCHEMA, in the order given."""
    rows = [
        {
            "split": "test",
            "subset": "default",
            "query_id": query,
            "doc_ids": [doc for doc, _ in ranked],
            "scores": [score for _, score in ranked],
        }
        for query, ranked in by_query.items()
    ]
    return pa.Table.from_pylist(rows, schema=RANKING_SCHEMA)


def written(path: Path, content: str | bytes) -> Path:
    """A file of this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def faults_of(path: Path) -> list[str]:
    """What read_trec_run finds wrong with a file, a line each, without its folder."""
    with pytest.raises(BadInput) as refused:
        read_trec_run(path)
    return [str(fault).replace(f"{path.parent}/", "") for fault in refused.value.faults]


def test_a_run_has_six_columns_and_ranks_from_one() -> None:
    """The system's name is one word, since spaces separate columns."""
    lines = trec_run(
        rankings({"q1": [("b", 0.5), ("a", 0.25)], "q2": [("a", 2.0)]}),
        tag="org/a (dim=2, top_k=3)",
        where="x",
    )
    assert "".join(lines) == (
        "q1 Q0 b 1 0.5 org/a_(dim=2,_top_k=3)\n"
        "q1 Q0 a 2 0.25 org/a_(dim=2,_top_k=3)\n"
        "q2 Q0 a 1 2 org/a_(dim=2,_top_k=3)\n"
    )


def test_every_float32_survives_the_text() -> None:
    """Neighbouring scores stay apart, and ties stay ties, as trec_eval compares them."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 20_000, dtype=np.uint32)
    scores = np.concatenate([bits, bits + 1]).view(np.float32)
    scores = scores[np.isfinite(scores)]
    table = rankings({"q": [(f"d{i}", float(score)) for i, score in enumerate(scores)]})
    texts = [line.split()[4] for line in trec_run(table, tag="t", where="x")]
    back = np.array([float(text) for text in texts]).astype(np.float32)
    assert np.array_equal(back, scores)


def test_pytrec_eval_reads_our_runs_and_qrels() -> None:
    """Ids, scores and grades come back as they were."""
    run = {"q1": [("dö", 0.1), ("d-2", -0.5)], "q/2": [("d3", 3.5)]}
    lines = trec_run(rankings(run), tag="t", where="x")
    assert pytrec_eval.parse_run(lines) == {
        "q1": {"dö": pytest.approx(0.1), "d-2": -0.5},
        "q/2": {"d3": 3.5},
    }
    qrels = {"q1": {"dö": 2, "d-2": 0}, "q/2": {"d3": 1}}
    assert pytrec_eval.parse_qrel(trec_qrels(qrels, where="x")) == qrels


@pytest.mark.parametrize("bad", ["two words", "tab\there", "", "no\u00a0break", " edge"])
def test_an_id_with_white_space_cannot_be_written(bad: str) -> None:
    """Before anything is written, every such id is named, of queries and of documents."""
    with pytest.raises(BadInput) as refused:
        trec_run(rankings({bad: [(bad, 1.0), ("fine", 0.5)]}), tag="t", where="org/a / Rocks")
    kinds = [str(fault).split(" id ")[0] for fault in refused.value.faults]
    assert kinds == ["org/a / Rocks: query", "org/a / Rocks: document"]
    with pytest.raises(BadInput, match="document id"):
        trec_qrels({"q": {bad: 1}}, where="Rocks")


def test_files_are_named_by_task_split_and_subset() -> None:
    """A subset's name may hold a slash, a file's may not."""
    assert run_file_name("MLDR", "test", "en") == "MLDR.test.en.trec"
    assert qrels_file_name("Tatoeba", "test", "en/de") == "Tatoeba.test.en_de.qrels"


def test_a_run_is_read_in_trec_evals_order(tmp_path: Path) -> None:
    """By score, equal ones by descending id; ranks and the order of the lines say nothing."""
    path = written(
        tmp_path / "run.trec",
        "q2 Q0 x 1 1.5 sys\nq1 Q0 a 1 0.5 sys\nq1 Q0 c 9 0.5 sys\n\nq1\tQ0\tb\t3\t7e-1\tsys\n",
    )
    table = read_trec_run(path, split="dev", subset="en")
    assert table.schema == RANKING_SCHEMA
    assert table.to_pylist() == [
        {"split": "dev", "subset": "en", "query_id": "q2", "doc_ids": ["x"], "scores": [1.5]},
        {
            "split": "dev",
            "subset": "en",
            "query_id": "q1",
            "doc_ids": ["b", "c", "a"],
            "scores": pytest.approx([0.7, 0.5, 0.5]),
        },
    ]


def test_scores_that_float32_cannot_tell_apart_are_ties(tmp_path: Path) -> None:
    """0.5 and 0.5 + 1e-9 are one float32, so that b precedes a, as in trec_eval."""
    path = written(tmp_path / "run.trec", "q Q0 a 1 0.500000001 s\nq Q0 b 2 0.5 s\n")
    (row,) = read_trec_run(path).to_pylist()
    assert row["doc_ids"] == ["b", "a"]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Ours to TREC and back is the same table, gzipped or not, whatever the file's name."""
    rng = np.random.default_rng(1)
    table = rankings(
        {
            f"q{q}": sorted(
                ((f"d{d}", float(np.float32(rng.integers(5) / 3))) for d in range(20)),
                key=lambda hit: (hit[1], hit[0]),
                reverse=True,
            )
            for q in range(5)
        }
    )
    content = "".join(trec_run(table, tag="t", where="x")).encode()
    assert read_trec_run(written(tmp_path / "plain", content)) == table
    assert read_trec_run(written(tmp_path / "packed", gzip.compress(content))) == table


def test_every_fault_of_a_run_is_named_with_its_line(tmp_path: Path) -> None:
    """Columns, scores, duplicates and encoding, in the order of the file."""
    path = written(
        tmp_path / "run.trec",
        b"q Q0 a 1 0.5 s\n"
        b"q a 0.5\n"
        b"q Q0 b 2 high s\n"
        b"q Q0 c 3 nan s\n"
        b"q Q0 d 4 1e39 s\n"
        b"q Q0 a 5 0.25 s\n"
        b"q Q0 \xff 6 0.1 s\n",
    )
    assert faults_of(path) == [
        "run.trec:2: has 3 columns, not 6\n  query Q0 document rank score tag",
        "run.trec:3: score 'high' is no finite float32",
        "run.trec:4: score 'nan' is no finite float32",
        "run.trec:5: score '1e39' is no finite float32",
        "run.trec:6: document 'a' of query 'q' is ranked twice\n"
        "  line 1 has it too; keep one of the two",
        "run.trec:7: is not UTF-8: invalid start byte\n  save the file as UTF-8",
    ]


def test_a_fault_on_every_line_is_not_printed_for_every_line(tmp_path: Path) -> None:
    """A file of another format says so 20 times, and how often more."""
    path = written(tmp_path / "run.csv", "q,a,0.5\n" * 1000)
    found = faults_of(path)
    assert len(found) == MOST_FAULTS_SHOWN + 1
    assert found[-1] == "run.csv: and 980 more faults"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\n \n", "has no lines"),
        (gzip.compress(b"q Q0 a 1 0.5 s\n" * 99)[:-12], "cannot be read"),
        (gzip.compress(b"q Q0 a 1 0.5 s\n")[:12] + b"\xff" * 20, "cannot be read"),
    ],
    ids=["empty", "cut short", "broken"],
)
def test_an_empty_or_broken_file_says_so(tmp_path: Path, content: bytes, complaint: str) -> None:
    """A download that broke off is bad input, not a bug."""
    (found,) = faults_of(written(tmp_path / "run.trec.gz", content))
    assert complaint in found


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """The path is in the message."""
    (found,) = faults_of(tmp_path / "run.trec")
    assert found == "run.trec: cannot be read: No such file or directory"
