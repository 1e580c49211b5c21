"""A BEIR-layout folder becomes a task, and every fault of its files is named at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from granite_bench.errors import MOST_FAULTS_SHOWN, BadInput
from granite_bench.tasks import find_task, sizes
from granite_bench.tasks.beir import beir_task, is_beir_folder

DOCS = (
    {"_id": "d1", "title": "Otters", "text": "Otters hold hands while they sleep."},
    {"_id": "d2", "title": "", "text": "Bread rises because yeast makes gas."},
    {"_id": "d3", "text": "Granite is an igneous rock."},
)
QUERIES = (
    {"_id": "q1", "text": "how do otters sleep"},
    {"_id": "q2", "text": "why does bread rise"},
    {"_id": "q3", "text": "nobody judged this one"},
)
HEADER = "query-id\tcorpus-id\tscore\n"
QRELS = HEADER + "q1\td1\t2\nq1\td3\t1\nq2\td2\t1\n"


def _lines(rows: Iterable[Mapping[str, Any] | str]) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def _folder(
    path: Path,
    *,
    docs: Iterable[Mapping[str, Any] | str] = DOCS,
    queries: Iterable[Mapping[str, Any] | str] = QUERIES,
    qrels: Mapping[str, str] | str = QRELS,
) -> Path:
    """A BEIR-layout folder; a string among the rows is a line as it stands."""
    (path / "qrels").mkdir(parents=True)
    (path / "corpus.jsonl").write_text(_lines(docs), encoding="utf-8")
    (path / "queries.jsonl").write_text(_lines(queries), encoding="utf-8")
    by_split = {"test": qrels} if isinstance(qrels, str) else qrels
    for split, text in by_split.items():
        (path / "qrels" / f"{split}.tsv").write_text(text, encoding="utf-8")
    return path


def _loaded(path: Path, split: str = "test") -> Mapping[str, Any]:
    task = beir_task(path)
    task.load_data()
    data: Mapping[str, Any] = task.dataset["default"][split]
    return data


def _faults(path: Path) -> list[tuple[str, str, str]]:
    """(place below the folder, what, hint) of every fault of loading."""
    with pytest.raises(BadInput) as raised:
        beir_task(path).load_data()
    root = f"{path.resolve()}/"
    return [(f.where.removeprefix(root), f.what, f.hint) for f in raised.value.faults]


# What is right


def test_task_is_called_what_the_folder_is_called(tmp_path: Path) -> None:
    """The task's name is the folder's, also for a path that ends in a dot or a slash."""
    folder = _folder(tmp_path / "otter-facts")
    assert beir_task(folder / ".").metadata.name == "otter-facts"
    assert find_task(f"{folder}/").metadata.name == "otter-facts"


def test_documents_keep_ids_texts_and_titles_in_file_order(tmp_path: Path) -> None:
    """A missing title is the empty one."""
    corpus = _loaded(_folder(tmp_path / "data"))["corpus"]
    assert corpus["id"][:] == ["d1", "d2", "d3"]
    assert corpus["title"][:] == ["Otters", "", ""]
    assert corpus["text"][2] == "Granite is an igneous rock."


def test_corpus_without_any_title_has_no_title_column(tmp_path: Path) -> None:
    """mteb joins a title that is there; a column of empty ones says nothing."""
    docs = [{"_id": "d1", "title": "", "text": "a"}, {"_id": "d2", "title": None, "text": "b"}]
    corpus = _loaded(_folder(tmp_path / "data", docs=docs, qrels="q1\td1\t1\n"))["corpus"]
    assert corpus.column_names == ["id", "text"]


def test_queries_without_judgements_are_left_out(tmp_path: Path) -> None:
    """mteb would score a query that nobody judged as zero."""
    assert _loaded(_folder(tmp_path / "data"))["queries"]["id"][:] == ["q1", "q2"]


def test_grades_are_kept(tmp_path: Path) -> None:
    """A relevance of 2 stays 2, and a judged zero stays judged."""
    qrels = "q1\td1\t2\nq1\td3\t1\nq2\td2\t0\n"
    judged = _loaded(_folder(tmp_path / "data", qrels=qrels))["relevant_docs"]
    assert judged == {"q1": {"d1": 2, "d3": 1}, "q2": {"d2": 0}}


@pytest.mark.parametrize(
    "qrels",
    [
        pytest.param("q1\td1\t2\nq1\td3\t1\nq2\td2\t1\n", id="no header"),
        pytest.param("q1\t0\td1\t2\nq1\t0\td3\t1\nq2\tQ0\td2\t1\n", id="TREC"),
        pytest.param(
            "query-id\titeration\tcorpus-id\tscore\nq1\t0\td1\t2\nq1\t0\td3\t1\nq2\t0\td2\t1\n",
            id="TREC with a header",
        ),
        pytest.param(QRELS.replace("\n", "\r\n"), id="Windows line ends"),
        pytest.param(QRELS.replace("\nq2", "\n\nq2") + "\n", id="blank lines"),
        pytest.param(QRELS.rstrip("\n"), id="no last line end"),
    ],
)
def test_qrels_of_every_common_form_read_the_same(tmp_path: Path, qrels: str) -> None:
    """With or without header, three columns or TREC's four, any line ends."""
    judged = _loaded(_folder(tmp_path / "data", qrels=qrels))["relevant_docs"]
    assert judged == {"q1": {"d1": 2, "d3": 1}, "q2": {"d2": 1}}


def test_quotes_in_ids_of_qrels_are_characters(tmp_path: Path) -> None:
    """TSV of BEIR knows no quoting."""
    docs = [{"_id": '"d"1', "text": "a"}]
    judged = _loaded(_folder(tmp_path / "data", docs=docs, qrels='q1\t"d"1\t1\n'))["relevant_docs"]
    assert judged == {"q1": {'"d"1': 1}}


def test_blank_lines_and_further_keys_of_documents_are_ignored(tmp_path: Path) -> None:
    """BEIR's corpora carry a "metadata" key."""
    docs = [{"_id": "d1", "text": "a", "metadata": {"url": "x"}}, "", {"_id": "d2", "text": "b"}]
    corpus = _loaded(_folder(tmp_path / "data", docs=docs, qrels="q1\td1\t1\n"))["corpus"]
    assert corpus["id"][:] == ["d1", "d2"]


def test_test_split_alone_is_evaluated_when_it_is_there(tmp_path: Path) -> None:
    """As BEIR and mteb do; train and dev are for training."""
    folder = _folder(tmp_path / "data", qrels={"test": QRELS, "dev": QRELS, "train": QRELS})
    assert beir_task(folder).eval_splits == ["test"]


def test_all_splits_are_evaluated_without_a_test_split(tmp_path: Path) -> None:
    """Each split has the queries of its own judgements."""
    folder = _folder(tmp_path / "data", qrels={"hard": "q2\td2\t1\n", "easy": "q1\td1\t1\n"})
    task = beir_task(folder)
    assert task.eval_splits == ["easy", "hard"]
    assert _loaded(folder, "easy")["queries"]["id"][:] == ["q1"]
    assert _loaded(folder, "hard")["queries"]["id"][:] == ["q2"]


def test_faults_of_a_split_that_is_not_evaluated_do_not_matter(tmp_path: Path) -> None:
    """A broken train.tsv is nobody's business when test.tsv is there."""
    folder = _folder(tmp_path / "data", qrels={"test": QRELS, "train": "nonsense\n"})
    assert set(_loaded(folder)["relevant_docs"]) == {"q1", "q2"}


def test_revision_is_the_same_wherever_the_folder_lies(tmp_path: Path) -> None:
    """A copy of the folder is the same data."""
    folder = _folder(tmp_path / "here" / "data")
    copied = Path(shutil.copytree(folder, tmp_path / "there" / "data"))
    assert beir_task(folder).metadata.revision == beir_task(copied).metadata.revision


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_revision_changes_with_each_file(tmp_path: Path, file: str) -> None:
    """One byte more is another revision."""
    folder = _folder(tmp_path / "data")
    before = beir_task(folder).metadata.revision
    with (folder / file).open("a", encoding="utf-8") as content:
        content.write("\n")
    assert beir_task(folder).metadata.revision != before


def test_language_of_the_folder_is_what_the_caller_says(tmp_path: Path) -> None:
    """BM25 stems by it; English when nothing is said."""
    folder = _folder(tmp_path / "data")
    assert beir_task(folder).metadata.eval_langs == ["eng-Latn"]
    assert beir_task(folder, language="deu-Latn").metadata.eval_langs == ["deu-Latn"]


def test_sizes_count_the_documents_and_the_judged_queries(tmp_path: Path) -> None:
    """Three documents, and two of three queries are judged."""
    task = beir_task(_folder(tmp_path / "data"))
    assert sizes(task) == {("test", "default"): (3, 2)}


def test_other_folders_are_no_beir_folders(tmp_path: Path) -> None:
    """corpus.jsonl is what tells."""
    assert not is_beir_folder(tmp_path)
    assert is_beir_folder(_folder(tmp_path / "data"))


# What is wrong


@pytest.mark.parametrize("file", ["queries.jsonl", "qrels/test.tsv"])
def test_missing_file_is_named(tmp_path: Path, file: str) -> None:
    """Before anything is read."""
    folder = _folder(tmp_path / "data")
    (folder / file).unlink()
    with pytest.raises(BadInput, match=file.removesuffix("/test.tsv")):
        find_task(str(folder))


def test_all_missing_files_are_named_together(tmp_path: Path) -> None:
    """Queries and judgements in one go."""
    folder = _folder(tmp_path / "data")
    (folder / "queries.jsonl").unlink()
    (folder / "qrels" / "test.tsv").unlink()
    with pytest.raises(BadInput) as raised:
        beir_task(folder)
    assert [fault.what for fault in raised.value.faults] == ["no such file", "holds no .tsv file"]


def test_folder_without_corpus_is_told_what_it_needs(tmp_path: Path) -> None:
    """It is no BEIR folder, and the message says what one has."""
    with pytest.raises(BadInput, match=r"it has no corpus.jsonl\n.*qrels/test.tsv"):
        find_task(str(tmp_path))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        pytest.param("{'_id': 'd4'}", "not valid JSON", id="not JSON"),
        pytest.param('["d4", "text"]', "must be a JSON object", id="a list"),
        pytest.param({"text": "a"}, '"_id" must be a string', id="no id"),
        pytest.param({"_id": "", "text": "a"}, '"_id" must be a string', id="empty id"),
        pytest.param({"_id": 4, "text": "a"}, '"_id" must be a string', id="number as id"),
        pytest.param({"_id": "d4"}, '"text" must be a string', id="no text"),
        pytest.param({"_id": "d4", "text": 7}, '"text" must be a string', id="number as text"),
        pytest.param({"_id": "d4", "text": ["a"]}, '"text" must be a string', id="list as text"),
        pytest.param(
            {"_id": "d4", "text": "a", "title": 7}, '"title" must be a string', id="title"
        ),
    ],
)
def test_broken_document_is_named_with_its_line(
    tmp_path: Path, row: Mapping[str, Any] | str, what: str
) -> None:
    """The fourth line, and nothing but it."""
    [(where, found, _)] = _faults(_folder(tmp_path / "data", docs=[*DOCS, row]))
    assert where == "corpus.jsonl:4"
    assert found.startswith(what)


def test_broken_query_is_named_with_its_line(tmp_path: Path) -> None:
    """Queries are checked as documents are."""
    [(where, found, _)] = _faults(_folder(tmp_path / "data", queries=[*QUERIES, {"_id": "q4"}]))
    assert (where, found) == ("queries.jsonl:4", '"text" must be a string')


def test_document_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    """Latin-1 bytes, as an old export has them."""
    folder = _folder(tmp_path / "data")
    with (folder / "corpus.jsonl").open("ab") as content:
        content.write('{"_id": "d4", "text": "café"}\n'.encode("latin-1"))
    [(where, found, _)] = _faults(folder)
    assert where == "corpus.jsonl:4"
    assert found.startswith("not valid JSON")


def test_qrels_that_are_not_utf8_are_bad_input(tmp_path: Path) -> None:
    """The file is the user's, so it is no bug of ours."""
    folder = _folder(tmp_path / "data")
    (folder / "qrels" / "test.tsv").write_bytes("q1\td1\t1\ncafé\td1\t1\n".encode("latin-1"))
    [(where, _, _)] = _faults(folder)
    assert where.startswith("qrels/test.tsv")


def test_text_with_a_lone_surrogate_is_bad_input(tmp_path: Path) -> None:
    """Half of an emoji, cut off by a careless export: valid JSON, but no text."""
    row = '{"_id": "d4", "text": "cut \\ud83d"}'
    [(where, _, _)] = _faults(_folder(tmp_path / "data", docs=[*DOCS, row]))
    assert where == "corpus.jsonl:4"


def test_duplicate_document_id_names_both_lines(tmp_path: Path) -> None:
    """The second line is where, the first is in the hint."""
    faults = _faults(_folder(tmp_path / "data", docs=[*DOCS, {"_id": "d2", "text": "again"}]))
    assert faults == [("corpus.jsonl:4", "duplicate document id 'd2'", "first seen on line 2")]


def test_duplicate_query_id_names_both_lines(tmp_path: Path) -> None:
    """The same for queries, blank lines counted."""
    queries = [QUERIES[0], "", QUERIES[1], {"_id": "q1", "text": "again"}]
    faults = _faults(_folder(tmp_path / "data", queries=queries))
    assert faults == [("queries.jsonl:4", "duplicate query id 'q1'", "first seen on line 1")]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        pytest.param("q1\td9\t1", "document 'd9' is not in corpus.jsonl", id="document"),
        pytest.param("q9\td1\t1", "query 'q9' is not in queries.jsonl", id="query"),
        pytest.param("q2\td1\t1.5", "score '1.5' is not a whole number", id="fraction"),
        pytest.param("q2\td1\tyes", "score 'yes' is not a whole number", id="word"),
        pytest.param("q2\td1\t", "score '' is not a whole number", id="empty"),
        pytest.param("q2\td2\t1", "'q2' and 'd2' are judged twice", id="twice"),
        pytest.param("q2\td1", "has 2 columns", id="two columns"),
        pytest.param("q2 d1 1", "has 1 columns", id="spaces"),
        pytest.param("q2\t0\td1\t1\trun", "has 5 columns", id="five columns"),
    ],
)
def test_broken_judgement_is_named_with_its_line(tmp_path: Path, line: str, what: str) -> None:
    """The fifth line of the qrels, and nothing but it."""
    [(where, found, _)] = _faults(_folder(tmp_path / "data", qrels=f"{QRELS}{line}\n"))
    assert (where, found) == ("qrels/test.tsv:5", what)


def test_missing_document_and_missing_query_of_one_line_are_both_named(tmp_path: Path) -> None:
    """One line, two faults."""
    faults = _faults(_folder(tmp_path / "data", qrels=f"{QRELS}q9\td9\t1\n"))
    assert [what for _, what, _ in faults] == [
        "query 'q9' is not in queries.jsonl",
        "document 'd9' is not in corpus.jsonl",
    ]


def test_empty_corpus_is_a_fault(tmp_path: Path) -> None:
    """Named as such, beside the judgements that point nowhere."""
    faults = _faults(_folder(tmp_path / "data", docs=[], qrels="q1\td1\t1\n"))
    assert faults[0][:2] == ("corpus.jsonl", "has no documents")


def test_empty_queries_are_a_fault(tmp_path: Path) -> None:
    """Named as such."""
    faults = _faults(_folder(tmp_path / "data", queries=[], qrels="q1\td1\t1\n"))
    assert faults[0][:2] == ("queries.jsonl", "has no queries")


@pytest.mark.parametrize("qrels", ["", HEADER, "\n\n"])
def test_qrels_without_judgements_are_a_fault(tmp_path: Path, qrels: str) -> None:
    """An empty file, and one with its header alone."""
    faults = _faults(_folder(tmp_path / "data", qrels=qrels))
    assert faults == [("qrels/test.tsv", "has no judgements", "")]


def test_faults_of_all_files_come_together(tmp_path: Path) -> None:
    """One BadInput, in the order corpus, queries, qrels."""
    folder = _folder(
        tmp_path / "data",
        docs=[*DOCS, "{", {"_id": "d1", "text": "again"}],
        queries=[*QUERIES, {"_id": "q4", "text": None}],
        qrels={"a": f"{QRELS}q1\td2\tx\n", "b": f"{QRELS}q1\td9\t1\n"},
    )
    assert [where for where, _, _ in _faults(folder)] == [
        "corpus.jsonl:4",
        "corpus.jsonl:5",
        "queries.jsonl:4",
        "qrels/a.tsv:5",
        "qrels/b.tsv:5",
    ]


def test_faults_of_one_file_are_capped(tmp_path: Path) -> None:
    """A broken export repeats itself; the number of the others is said."""
    docs = [*DOCS, *[{"_id": f"x{number}"} for number in range(MOST_FAULTS_SHOWN + 5)]]
    faults = _faults(_folder(tmp_path / "data", docs=docs))
    assert len(faults) == MOST_FAULTS_SHOWN + 1
    assert faults[-1] == ("corpus.jsonl", "and 5 more faults", "")


def test_as_many_faults_as_the_cap_are_all_shown(tmp_path: Path) -> None:
    """No "and 0 more"."""
    docs = [*DOCS, *[{"_id": f"x{number}"} for number in range(MOST_FAULTS_SHOWN)]]
    faults = _faults(_folder(tmp_path / "data", docs=docs))
    assert len(faults) == MOST_FAULTS_SHOWN
    assert all(what == '"text" must be a string' for _, what, _ in faults)


def test_faults_of_one_file_do_not_crowd_out_those_of_another(tmp_path: Path) -> None:
    """The cap is per file."""
    docs = [*DOCS, *[{"_id": f"x{number}"} for number in range(MOST_FAULTS_SHOWN + 5)]]
    faults = _faults(_folder(tmp_path / "data", docs=docs, queries=[*QUERIES, "{"]))
    assert [where for where, _, _ in faults if where.startswith("queries")] == ["queries.jsonl:4"]


def test_faults_show_when_the_run_is_planned(tmp_path: Path) -> None:
    """sizes() is what planning calls: nothing is encoded before the files are read."""
    task = beir_task(_folder(tmp_path / "data", docs=[*DOCS, "{"]))
    with pytest.raises(BadInput, match=r"corpus\.jsonl:4: not valid JSON"):
        sizes(task)


def test_another_split_than_test_can_be_asked_for(tmp_path: Path) -> None:
    """Test alone is what is evaluated otherwise."""
    from granite_bench.tasks import restrict

    folder = _folder(tmp_path)
    (folder / "qrels" / "dev.tsv").write_bytes((folder / "qrels" / "test.tsv").read_bytes())
    assert list(restrict(beir_task(folder), splits=["dev"]).eval_splits) == ["dev"]
