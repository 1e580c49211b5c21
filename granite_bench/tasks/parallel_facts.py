"""
Parallel facts: short passages and one question each, the same in ten languages.

Each language is a subset (its questions, its passages), and so is each pair with English, in
both directions: "ru-en" asks in Russian for English passages.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from mteb.abstasks.task_metadata import TaskMetadata

from granite_bench.tasks.offline import OfflineRetrievalTask, Qrels, Texts

_DATA = Path(__file__).parent / "data" / "parallel_facts.jsonl"

LANGUAGES = {
    "en": "eng-Latn",
    "de": "deu-Latn",
    "es": "spa-Latn",
    "ru": "rus-Cyrl",
    "el": "ell-Grek",
    "ar": "arb-Arab",
    "hi": "hin-Deva",
    "zh": "zho-Hans",
    "ja": "jpn-Jpan",
    "ko": "kor-Hang",
}

SUBSETS = {
    **{code: [language] for code, language in LANGUAGES.items()},
    **{
        f"{code}-en": [language, "eng-Latn"] for code, language in LANGUAGES.items() if code != "en"
    },
    **{
        f"en-{code}": ["eng-Latn", language] for code, language in LANGUAGES.items() if code != "en"
    },
}


@cache
def _facts() -> list[dict[str, Any]]:
    return [json.loads(line) for line in _DATA.read_text(encoding="utf-8").splitlines()]


class ParallelFactsRetrieval(OfflineRetrievalTask):
    """59 facts in ten languages and eight scripts, within a language and across to English."""

    metadata = TaskMetadata(
        name="ParallelFactsRetrieval",
        description=(
            "Short factual passages and a question each, the same in ten languages; within each "
            "language and between each language and English."
        ),
        dataset={
            "path": "granite-bench/parallel-facts",
            "revision": hashlib.sha256(_DATA.read_bytes()).hexdigest()[:40],
        },
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=SUBSETS,
        main_score="ndcg_at_10",
        date=("2026-11-21", "2026-11-21"),
        domains=["Encyclopaedic", "Written"],
        license="apache-2.0",
        sample_creation="created",
    )

    def make_split(self, subset: str, split: str) -> tuple[Texts, Texts, Qrels]:
        """Questions of the first language of *subset* over passages of its last."""
        asked, read = subset.split("-")[0], subset.split("-")[-1]
        docs = {fact["id"]: fact["passage"][read] for fact in _facts()}
        queries = {f"{fact['id']}-{asked}": fact["question"][asked] for fact in _facts()}
        qrels = {f"{fact['id']}-{asked}": {fact["id"]: 1} for fact in _facts()}
        return docs, queries, qrels
