"""
Folders in BEIR's layout, for tests of what a user's own task goes through.

    write_folder(folder, {"d1": "Pumice floats."}, {"q1": "what floats"}, {"q1": {"d1": 1}})
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def write_folder(
    folder: Path,
    docs: Mapping[str, str | Mapping[str, str]],
    queries: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
) -> Path:
    """
    The folder, which must not be there yet.

    Args:
        docs: id -> text, or title and text.
        queries: id -> text.
        qrels: query id -> document id -> relevance.
    """
    (folder / "qrels").mkdir(parents=True)
    corpus = {key: {"text": doc} if isinstance(doc, str) else doc for key, doc in docs.items()}
    asked = {key: {"text": text} for key, text in queries.items()}
    for file, rows in (("corpus.jsonl", corpus), ("queries.jsonl", asked)):
        lines = [json.dumps({"_id": key, **row}) for key, row in rows.items()]
        (folder / file).write_text("\n".join(lines), encoding="utf-8")
    judged = [
        f"{query}\t{doc}\t{grade}\n" for query, of_query in qrels.items()
        for doc, grade in of_query.items()
    ]  # fmt: skip
    (folder / "qrels" / "test.tsv").write_text("".join(judged), encoding="utf-8")
    return folder
