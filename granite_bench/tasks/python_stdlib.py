"""
Code search over the interpreter's own standard library.

The first sentence of a function's docstring is the query, the function's source without its
docstring is the document. The data are whatever this Python ships, so its version is the
revision: scores of two Python versions are of two revisions of the task.
"""

from __future__ import annotations

import ast
import platform
import re
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mteb.abstasks.task_metadata import TaskMetadata

from granite_bench.tasks.offline import OfflineRetrievalTask, Qrels, Texts

# Packages that distributions leave out or add, and tests: without them one Python version has
# one corpus, however it was installed.
_LEFT_OUT = {
    "test", "tests", "idlelib", "idle_test", "lib2to3", "tkinter", "turtledemo", "distutils",
    "ensurepip", "site-packages", "dist-packages", "pydoc_data", "__pycache__", "turtle.py",
    "sitecustomize.py", "usercustomize.py", "__phello__", "lib-dynload",
}  # fmt: skip
MIN_DOC_CHARS = 80
MAX_DOC_CHARS = 600
"""Of source. Bounds keep the run short on a CPU and leave out stubs that tell nothing."""

MIN_QUERY_WORDS = 4


def _functions(root: Path) -> Iterator[tuple[str, str, str]]:
    """(id, source without docstring, docstring's first sentence) of every function that fits."""
    for file in sorted(root.rglob("*.py")):
        relative = file.relative_to(root)
        generated = relative.parts[0].startswith(("config-", "_sysconfigdata"))
        if generated or _LEFT_OUT & set(relative.parts):
            continue
        source = file.read_text(encoding="utf-8", errors="replace")
        try:
            module = ast.parse(source)
        except SyntaxError:  # lib carries templates that are no modules
            continue
        name = ".".join(relative.with_suffix("").parts)
        lines = source.splitlines(keepends=True)
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node)
                if docstring:
                    code = _without_docstring(node, lines)
                    yield f"{name}:{node.name}:{node.lineno}", code, _first_sentence(docstring)


def _without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    docstring = node.body[0]
    head = lines[node.lineno - 1 : docstring.lineno - 1]
    body = lines[docstring.end_lineno or docstring.lineno : node.end_lineno]
    indent = len(lines[node.lineno - 1]) - len(lines[node.lineno - 1].lstrip())
    return "".join(line[indent:] if line.strip() else "\n" for line in head + body).strip()


def _first_sentence(docstring: str) -> str:
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", paragraph)[0]


@cache
def _data() -> tuple[Texts, Texts, Qrels]:
    docs: dict[str, str] = {}
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    doc_of_code: dict[str, str] = {}
    query_of_text: dict[str, str] = {}
    for identifier, code, sentence in _functions(Path(sysconfig.get_paths()["stdlib"])):
        fits = MIN_DOC_CHARS <= len(code) <= MAX_DOC_CHARS
        if not fits or len(sentence.split()) < MIN_QUERY_WORDS:
            continue
        # The same code in two modules is one document, the same sentence one query.
        doc = doc_of_code.setdefault(code, identifier)
        query = query_of_text.setdefault(sentence, identifier)
        docs[doc] = code
        queries[query] = sentence
        qrels.setdefault(query, {})[doc] = 1
    return docs, queries, qrels


class PythonStdlibRetrieval(OfflineRetrievalTask):
    """Find a function of Python's standard library from its docstring's first sentence."""

    metadata = TaskMetadata(
        name="PythonStdlibRetrieval",
        description=(
            "Find a function of the running interpreter's standard library, its docstring "
            "removed, from the docstring's first sentence."
        ),
        dataset={
            "path": "granite-bench/python-stdlib",
            "revision": f"cpython-{platform.python_version()}",
        },
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn", "python-Code"],
        main_score="ndcg_at_10",
        date=("1991-02-20", "2026-11-21"),
        domains=["Programming", "Written"],
        task_subtypes=["Code retrieval"],
        license="not specified",
        sample_creation="found",
    )

    def make_split(self, subset: str, split: str) -> tuple[Texts, Texts, Qrels]:
        """All functions that fit; a query whose sentence two functions share has both."""
        return _data()
