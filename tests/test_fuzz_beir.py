"""Whatever the user's own files of texts hold, they are read, or refused with file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from fuzzing import TEXTS, damaged, fuzz, lines_of_json, read_or_refused, run_main
from hypothesis import given
from hypothesis import strategies as st

from granite_bench.rankings.trec import read_trec_run, trec_qrels, trec_run
from granite_bench.results.store import RANKING_SCHEMA
from granite_bench.speed.corpus import read_documents
from granite_bench.tasks import find_task, sizes
from granite_bench.tasks.beir import beir_task

DOCS: list[dict[str, Any]] = [
    {"_id": "d1", "title": "Granite", "text": "An igneous rock."},
    {"_id": "d2", "text": "Slate splits."},
    {"_id": "d3", "title": "", "text": "Pumice floats.", "metadata": {}},
]
QUERIES: list[dict[str, Any]] = [{"_id": "q1", "text": "floats"}, {"_id": "q2", "text": "splits"}]
QRELS = b"query-id\tcorpus-id\tscore\nq1\td3\t1\nq2\td2\t2\nq2\td1\t0\n"
RUN = b"q1 Q0 d3 1 12.5 bm25\nq1 Q0 d1 2 0.5 bm25\nq2 Q0 d2 1 -1e-3 bm25\n"


def _write(folder: Path, docs: bytes, queries: bytes, qrels: bytes) -> Path:
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "corpus.jsonl").write_bytes(docs)
    (folder / "queries.jsonl").write_bytes(queries)
    (folder / "qrels/test.tsv").write_bytes(qrels)
    return folder


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@st.composite
def _folders(draw: Any) -> tuple[bytes, bytes, bytes]:
    """The three files, one of them strange."""
    files = [_lines(DOCS), _lines(QUERIES), QRELS]
    strange = [lines_of_json(DOCS), lines_of_json(QUERIES), st.one_of(damaged(QRELS), _tables())]
    which = draw(st.integers(0, 2))
    files[which] = draw(strange[which])
    return files[0], files[1], files[2]


def _tables() -> st.SearchStrategy[bytes]:
    """Rows of any number of columns, separated by whatever."""
    cells = st.one_of(TEXTS, st.sampled_from(["q1", "d1", "0", "1", "1.0", "1e999", "nan", "٣"]))
    rows = st.lists(st.lists(cells, max_size=5), max_size=5)
    ends = st.sampled_from(["\n", "\r\n", "\r", "\x85"])
    return st.builds(
        lambda table, between, end: end.join(between.join(row) for row in table).encode(
            errors="surrogatepass"
        ),
        rows, st.sampled_from(["\t", " ", ",", "\t\t"]), ends,
    )  # fmt: skip


@fuzz(70)
@given(files=_folders())
def test_a_beir_folder_is_read_or_refused(
    files: tuple[bytes, bytes, bytes], tmp_path: Path
) -> None:
    """As the planning of a run reads it; what is read, mteb can evaluate."""
    folder = _write(tmp_path / "fuzzed", *files)
    task = beir_task(folder)
    counted = read_or_refused(lambda: sizes(task), folder)
    if counted is not None:
        task.load_data()
        data = task.dataset["default"]["test"]
        assert set(data["relevant_docs"]) == set(data["queries"]["id"])
        texts = [*data["corpus"]["text"], *data["queries"]["text"]]
        assert all(text == text.encode().decode() for text in texts)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels", "qrels/test.tsv"])
@pytest.mark.parametrize("kind", ["folder", "missing", "empty", "link to itself"])
def test_a_beir_folder_of_other_things_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    """A folder or nothing where a file should be."""
    folder = _write(tmp_path / "fuzzed", _lines(DOCS), _lines(QUERIES), QRELS)
    path = folder / name
    if path.is_dir():
        (path / "test.tsv").unlink()
        path.rmdir()
    else:
        path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "link to itself":
        path.symlink_to(path)
    assert read_or_refused(lambda: sizes(beir_task(folder)), folder) is None


@pytest.mark.parametrize(
    "name", ["x" * 250, "a\x1b[2Jb", "new\nline", b"caf\xe9".decode(errors="surrogateescape")]
)
def test_a_folder_whose_name_no_result_could_have_is_refused(name: str, tmp_path: Path) -> None:
    """Before hours of encoding, and in plain words."""
    folder = _write(tmp_path / name, _lines(DOCS), _lines(QUERIES), QRELS)
    with pytest.raises(Exception, match="has a name that files of results cannot have"):
        find_task(str(folder))


def test_a_folder_below_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    """mteb keeps the path as text, and writes it."""
    above = tmp_path / b"caf\xe9".decode(errors="surrogateescape")
    folder = _write(above / "fuzzed", _lines(DOCS), _lines(QUERIES), QRELS)
    assert read_or_refused(lambda: beir_task(folder), folder) is None


@pytest.mark.parametrize("name", ["fuzzed.jsonl", "fuzzed.jsonl.gz", "fuzzed.txt"])
@fuzz(40)
@given(data=st.data())
def test_documents_for_speed_are_read_or_refused(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    """JSON lines and plain lines, gzipped or not, and gzip that is damaged itself."""
    path = tmp_path / name
    content = data.draw(lines_of_json(DOCS))
    if data.draw(st.booleans()):
        content = gzip.compress(content, mtime=0)
        content = data.draw(st.one_of(st.just(content), damaged(content)))
    path.write_bytes(content)
    documents = read_or_refused(lambda: read_documents(path), path)
    assert documents is None or all(text == text.encode().decode() for text in documents)


@fuzz(70)
@given(data=st.data())
def test_a_trec_run_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    """What is read has finite scores, and is written again as a run."""
    path = tmp_path / "fuzzed.trec"
    content = data.draw(st.one_of(damaged(RUN), _tables(), damaged(gzip.compress(RUN, mtime=0))))
    path.write_bytes(content)
    table = read_or_refused(lambda: read_trec_run(path), path)
    if table is not None:
        assert table.schema == RANKING_SCHEMA
        "".join(trec_run(table, tag="fuzzed", where="here")).encode()


@fuzz(40)
@given(queries=st.lists(TEXTS, max_size=3), documents=st.lists(TEXTS, max_size=3))
def test_ids_are_written_as_trec_or_refused(queries: list[str], documents: list[str]) -> None:
    """What is written has as many columns as the format."""
    where = Path("fuzzed")
    qrels = {query: dict.fromkeys(documents, 1) for query in queries}
    lines = read_or_refused(lambda: list(trec_qrels(qrels, where=str(where))), where)
    assert all(len(line.split()) == 4 for line in lines or ())


@fuzz(6)
@given(files=_folders())
def test_the_command_line_refuses_a_broken_folder_before_it_loads_a_model(
    files: tuple[bytes, bytes, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2; the plan of a folder that is fine is printed."""
    monkeypatch.chdir(tmp_path)
    folder = _write(tmp_path / "fuzzed", *files)
    command = ["run", "--task", str(folder), "--model", "mteb/baseline-bm25s", "--dry-run"]
    assert run_main(command, capsys)[0] in (0, 2)


@fuzz(6)
@given(data=st.data())
def test_the_command_line_refuses_a_broken_run(
    data: st.DataObject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As what a reranker is to reorder."""
    monkeypatch.chdir(tmp_path)
    folder = _write(tmp_path / "rocks", _lines(DOCS), _lines(QUERIES), QRELS)
    (tmp_path / "fuzzed.trec").write_bytes(data.draw(damaged(RUN)))
    command = ["run", "--task", str(folder), "--first-stage", "fuzzed.trec", "--dry-run"]
    command += ["--reranker", "cross-encoder/ms-marco-MiniLM-L6-v2"]
    assert run_main(command, capsys)[0] in (0, 2)
