"""
The texts and judgements behind the ids of queries and documents, where the data are on this
machine. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from granite_bench.errors import BadInput, Fault, first_line
from granite_bench.suite.suite import Suite, SuiteTask
from granite_bench.tables.scores import Evaluation


@dataclass(frozen=True)
class Wanted:
    """Ids of one evaluation, whose data are of this revision."""

    evaluation: Evaluation
    dataset_revision: str
    queries: frozenset[str]
    docs: frozenset[str]


@dataclass(frozen=True)
class Texts:
    """
    What stands behind ids of one evaluation.

    Attributes:
        queries: id -> text.
        docs: id -> title and text.
        relevant: query id -> ids of the documents that are judged relevant.
    """

    queries: Mapping[str, str] = field(default_factory=dict)
    docs: Mapping[str, str] = field(default_factory=dict)
    relevant: Mapping[str, frozenset[str]] = field(default_factory=dict)


def read_texts(
    suite: Suite, wanted: Iterable[Wanted], *, source: str = "", mirror: Path | None = None
) -> tuple[dict[Evaluation, Texts], list[str]]:
    """
    The texts of ids, from built-in tasks, folders of the suite file, a mirror, or the hub's cache.

    Args:
        source: the suite's name or file; relative paths of its tasks start from there.
        mirror: a folder with data sets as org/name.

    Returns:
        Evaluation -> texts; and a sentence for each task whose data are not to be had here.
    """
    by_task: dict[str, list[Wanted]] = {}
    for each in wanted:
        by_task.setdefault(each.evaluation.task, []).append(each)
    base = Path(source).parent if source.endswith((".yaml", ".yml")) else Path()
    found: dict[Evaluation, Texts] = {}
    notes = []
    for name, of_task in by_task.items():
        try:
            with _offline():
                found |= _of_task(_entry(suite, name), of_task, base, mirror)
        except BadInput as error:
            notes.append(f"No texts of {name}: {error.faults[0].what}.")
        except Exception as error:  # noqa: BLE001 (readers of data sets raise whatever they meet)
            notes.append(f"No texts of {name}: {first_line(error)}.")
    return found, notes


def _entry(suite: Suite, name: str) -> SuiteTask:
    """The suite's entry of a task, or of an aggregate's part as a task of its own."""
    for task in suite.tasks:
        if task.name == name:
            return task
        if name in task.parts:
            return task.model_copy(update={"name": name, "parts": ()})
    raise KeyError(name)


def _of_task(
    entry: SuiteTask, wanted: Sequence[Wanted], base: Path, mirror: Path | None
) -> dict[Evaluation, Texts]:
    from granite_bench.tasks import is_downloaded, restrict, suite_task

    task: Any = suite_task(entry, base=base, mirror=mirror)
    if not is_downloaded(task):
        raise BadInput(Fault(entry.name, "its data are not on this machine (see --mirror)"))
    revision = str(task.metadata.revision)
    if any(each.dataset_revision not in ("", revision) for each in wanted):
        raise BadInput(Fault(entry.name, "the data here are of another revision than the results"))
    task = restrict(
        task,
        subsets=[each.evaluation.subset for each in wanted],
        splits=[each.evaluation.split for each in wanted],
    )
    task.load_data()
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    return {
        each.evaluation: _texts(task.dataset[each.evaluation.subset][each.evaluation.split], each)
        for each in wanted
    }


def _texts(data: Mapping[str, Any], wanted: Wanted) -> Texts:
    from granite_bench.engine.backends.texts import DocumentTexts, query_texts

    docs, doc_ids = _rows(data["corpus"], wanted.docs)
    queries, query_ids = _rows(data["queries"], wanted.queries)
    texts_of_docs = [text for block in DocumentTexts(docs) for text in block]
    judged = data["relevant_docs"]
    return Texts(
        dict(zip(query_ids, query_texts(queries), strict=True)),
        dict(zip(doc_ids, texts_of_docs, strict=True)),
        {
            query: frozenset(doc for doc, grade in judged[query].items() if grade > 0)
            for query in wanted.queries
            if query in judged
        },
    )


def _rows(dataset: Any, wanted: frozenset[str]) -> tuple[Any, list[str]]:
    """The rows of these ids, and their ids; the ids of all are read, and no text of the others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from granite_bench.engine.backends.texts import document_ids

    ids = document_ids(dataset)
    places = pc.indices_nonzero(pc.is_in(ids, pa.array(sorted(wanted), ids.type))).to_pylist()
    return dataset.select(places), [ids[place].as_py() for place in places]


@contextmanager
def _offline() -> Iterator[None]:
    """The hub's client and its readers as HF_HUB_OFFLINE makes them, which they read once."""
    import datasets.config
    import huggingface_hub.constants

    modules: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    before = [module.HF_HUB_OFFLINE for module in modules]
    for module in modules:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value
