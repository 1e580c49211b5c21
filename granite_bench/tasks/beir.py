"""
A BEIR-layout folder as an mteb retrieval task: corpus.jsonl, queries.jsonl, qrels/<split>.tsv.

Every fault of the three files is named at once, with its line, before anything is encoded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from granite_bench.errors import BadInput, Fault, plain, shortened
from granite_bench.files.local import is_file
from granite_bench.files.text_lines import has_surrogate, json_lines, lines_of

_LONGEST_NAME = 200  # bytes, and most file systems allow 255 with what is put behind it

MOST_RELEVANT = 1000
"""trec_eval's nDCG takes time and memory by the highest relevance."""


@dataclass
class _Folder:
    """The content of a BEIR-layout folder, and what is wrong with it."""

    path: Path
    corpus: dict[str, dict[str, str]] = field(default_factory=dict)
    queries: dict[str, dict[str, str]] = field(default_factory=dict)
    qrels: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


class BeirFolderTask(AbsTaskRetrieval):
    """A task whose data set's path is a BEIR-layout folder."""

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Read the folder; raises BadInput with every fault of its files."""
        if self.data_loaded:
            return
        folder = _read(Path(self.metadata.dataset["path"]), list(self.eval_splits))
        corpus = _dataset(folder.corpus)
        self.dataset = {"default": {}}
        for split in self.eval_splits:
            judged = folder.qrels[split]
            self.dataset["default"][split] = {
                "corpus": corpus,
                "queries": _dataset({query: folder.queries[query] for query in judged}),
                "relevant_docs": judged,
                "top_ranked": None,
            }
        self.data_loaded = True


def is_beir_folder(path: str | Path) -> bool:
    """Whether *path* is a folder with a corpus.jsonl."""
    return is_file(Path(path) / "corpus.jsonl")


def beir_task(
    path: Path, *, name: str | None = None, language: str | None = None
) -> AbsTaskRetrieval:
    """
    The folder as a task: its splits are the files of qrels/, its revision is the SHA-256 of
    its content. The files are read when the task's data are loaded.

    Args:
        path: a folder with corpus.jsonl ({"_id", "title" (optional), "text"} a line),
            queries.jsonl ({"_id", "text"}) and qrels/<split>.tsv (query-id, corpus-id, score,
            tab-separated, with or without that header; TREC's four columns also).
        name: the task's name; the folder's when None.
        language: mteb's language code, such as deu-Latn; English when None. BM25 stems by it.

    Raises:
        BadInput: a file of the layout is missing, or no file of results could have the name.
    """
    path = Path(os.path.realpath(path))
    name = name or path.name
    qrels_files = sorted(filter(is_file, (path / "qrels").glob("*.tsv")))
    faults = [
        Fault(str(path / file), "no such file", "a BEIR-layout folder has it")
        for file in ("corpus.jsonl", "queries.jsonl")
        if not is_file(path / file)
    ]
    named = f"{path}{name}"
    if not name or plain(named) != named or len(name.encode()) > _LONGEST_NAME:
        hint = f"rename it: UTF-8 without control characters, at most {_LONGEST_NAME} bytes"
        faults.append(Fault(str(path), "has a name that files of results cannot have", hint))
    if not qrels_files:
        faults.append(Fault(str(path / "qrels"), "holds no .tsv file", "such as qrels/test.tsv"))
    if faults:
        raise BadInput(faults)
    splits = [file.stem for file in qrels_files]

    class Task(BeirFolderTask):
        metadata = TaskMetadata(
            name=name,
            description=f"BEIR-layout folder {path.name}",
            dataset={"path": str(path), "revision": _revision(path, qrels_files)},
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            eval_splits=splits,
            eval_langs=[language or "eng-Latn"],
            main_score="ndcg_at_10",
        )

    # "test" alone when it is there and no other is asked for, as BEIR and mteb do.
    return Task().filter_eval_splits(["test"] if "test" in splits else splits)


def _dataset(rows: Mapping[str, Mapping[str, str]]) -> Dataset:
    columns = ["text", "title"] if any("title" in row for row in rows.values()) else ["text"]
    return Dataset.from_dict(
        {"id": list(rows), **{c: [row.get(c, "") for row in rows.values()] for c in columns}}
    )


def _revision(path: Path, qrels_files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in (path / "corpus.jsonl", path / "queries.jsonl", *qrels_files):
        with file.open("rb") as content:
            digest.update(
                f"{file.name}:{hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode()
            )
    return digest.hexdigest()[:40]


def _read(path: Path, splits: list[str]) -> _Folder:
    folder = _Folder(path)
    folder.corpus = _read_texts(folder, "corpus.jsonl", "document", with_title=True)
    folder.queries = _read_texts(folder, "queries.jsonl", "query", with_title=False)
    for split in splits:
        folder.qrels[split] = _read_qrels(folder, split)
    if folder.faults:
        raise BadInput(folder.faults)
    return folder


def _read_texts(
    folder: _Folder, name: str, kind: str, *, with_title: bool
) -> dict[str, dict[str, str]]:
    file = folder.path / name
    rows: dict[str, dict[str, str]] = {}
    line_of: dict[str, int] = {}
    faults: list[Fault] = []
    for number, row in json_lines(file, faults):
        where = f"{file}:{number}"
        identifier, text = row.get("_id"), row.get("text")
        title = row.get("title") if with_title else None
        if not isinstance(identifier, str) or not identifier:
            faults.append(Fault(where, '"_id" must be a string that is not empty'))
        elif identifier in rows:
            first = line_of[identifier]
            faults.append(
                Fault(where, f"duplicate {kind} id '{identifier}'", f"first seen on line {first}")
            )
        elif not isinstance(text, str):
            faults.append(Fault(where, '"text" must be a string'))
        elif title is not None and not isinstance(title, str):
            faults.append(Fault(where, '"title" must be a string'))
        elif any(map(has_surrogate, (identifier, text, title or ""))):
            faults.append(Fault(where, "has half of a surrogate pair, which is no character"))
        else:
            rows[identifier] = {"text": text, **({"title": title} if title else {})}
            line_of[identifier] = number
    if not rows and not faults:
        plural = {"document": "documents", "query": "queries"}[kind]
        faults.append(Fault(str(file), f"has no {plural}"))
    folder.faults += shortened(faults, str(file))
    return rows


def _relevance(text: str) -> int | None:
    """A relevance, also as "1.0"; None when it is no whole number, or beyond MOST_RELEVANT."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) <= MOST_RELEVANT else None


def _tab_separated(file: Path, faults: list[Fault]) -> Iterator[tuple[int, list[str]]]:
    """(line number, columns) of the lines that are not blank; quotes have no meaning."""
    for number, line in lines_of(file, faults):
        try:
            yield number, line.decode().strip("\r\n").split("\t")
        except UnicodeDecodeError as error:
            faults.append(Fault(f"{file}:{number}", f"not valid UTF-8: {error}"))


def _read_qrels(folder: _Folder, split: str) -> dict[str, dict[str, int]]:
    file = folder.path / "qrels" / f"{split}.tsv"
    qrels: dict[str, dict[str, int]] = {}
    faults: list[Fault] = []
    first = True
    for number, row in _tab_separated(file, faults):
        where = f"{file}:{number}"
        if first and _relevance(row[-1]) is None:
            first = False
            continue  # the header
        first = False
        if len(row) == 4:  # TREC: query-id, iteration, corpus-id, score
            row = [row[0], row[2], row[3]]
        if len(row) != 3:
            faults.append(Fault(where, f"has {len(row)} columns", "three, tab-separated"))
            continue
        query, document, score = row
        if query not in folder.queries:
            faults.append(Fault(where, f"query '{query}' is not in queries.jsonl"))
        if document not in folder.corpus:
            faults.append(Fault(where, f"document '{document}' is not in corpus.jsonl"))
        if document in qrels.get(query, {}):
            faults.append(Fault(where, f"'{query}' and '{document}' are judged twice"))
        relevance = _relevance(score)
        if relevance is None:
            limits = f"from -{MOST_RELEVANT} to {MOST_RELEVANT}"
            faults.append(Fault(where, f"score '{score}' is not a whole number", limits))
        else:
            qrels.setdefault(query, {})[document] = relevance
    if not qrels and not faults:
        faults.append(Fault(str(file), "has no judgements"))
    folder.faults += shortened(faults, str(file))
    return qrels
