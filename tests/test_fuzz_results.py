"""Whatever a results tree holds, it is read and shown, or refused with the file's name."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing import EVIL, TEXTS, damaged, fuzz, json_files, read_or_refused, run_main
from gate_tree import write_measured
from hypothesis import given
from hypothesis import strategies as st
from results_tree import write_record, write_result
from speed_tree import LATENCY, speed_content, turns_content, write_speed

from granite_bench.comparison.measured import measured_of
from granite_bench.errors import plain_lines
from granite_bench.files.parquet_file import column_names, read_rows
from granite_bench.rankings.ranking import candidates_of
from granite_bench.rankings.trec import trec_run
from granite_bench.report.layout import lay_out
from granite_bench.report.text import as_csv, as_json, as_latex, as_markdown
from granite_bench.results.index import ResultIndex
from granite_bench.results.result_files import read_meta, read_record, read_scores
from granite_bench.results.speed_records import latest, read_speed_records
from granite_bench.results.store import RANKING_SCHEMA, read_ranking
from granite_bench.results.tree import ranking_path, read_results, record_path
from granite_bench.suite.suite import Suite
from granite_bench.tables.table import make_table

SUITE = Suite.model_validate(
    {
        "version": 1, "name": "small", "title": "Small", "description": "For a test.",
        "tasks": ["TaskA", {"name": "TaskB", "subsets": ["en", "de"]}],
    }
)  # fmt: skip
SCORES = [0.0, 0.25, 0.5, 1.0]


def _tree(root: Path) -> Path:
    """Two models with all that stands beside a result; the result of org/a on TaskA."""
    for model, scores in (("org/a", SCORES), ("org/b", SCORES[::-1])):
        write_measured(root, model, "TaskA", scores, recalls=scores)
        write_measured(root, model, "TaskB", {"en": scores, "de": scores})
        write_speed(root, model)
    path = root / "org__a/rev-1/TaskA.json"
    rows = [
        {
            "split": "test", "subset": "default", "query_id": f"q{number}",
            "doc_ids": ["d1", "d2"], "scores": [1.0, 0.5],
        }
        for number in range(4)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, RANKING_SCHEMA), ranking_path(path))
    return path


def _content(path: Path) -> Any:
    return json.loads(path.read_bytes())


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """The result of org/a on TaskA, in a whole tree."""
    return _tree(tmp_path / "results")


def _meta(path: Path) -> Any:
    known = {"n_parameters": 1000, "n_embedding_parameters": 100, "n_active_parameters_override": 9}
    more = {"embed_dim": [256, 128], "max_tokens": 512.0, "experiment_kwargs": {"dtype": "float16"}}
    return {**_content(path.with_name("model_meta.json")), **known, **more}


# --- one file ---------------------------------------------------------------------------------

DOCUMENTS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "scores": (_content, read_scores),
    "meta": (_meta, read_meta),
    "record": (lambda path: _content(record_path(path)), read_record),
}


@pytest.mark.parametrize("kind", DOCUMENTS)
@fuzz(60)
@given(data=st.data())
def test_a_json_file_of_a_tree_is_read_or_refused(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is read can be kept in the index and written as UTF-8."""
    tree = _trees(tmp_path_factory)
    document, read = DOCUMENTS[kind]
    path = tree / "fuzzed.json"
    path.write_bytes(data.draw(json_files(document(tree / "results/org__a/rev-1/TaskA.json"))))
    found = read_or_refused(lambda: read(path), path)
    if found is not None:
        json.dumps(found, ensure_ascii=False).encode()


_made: dict[str, Path] = {}
_numbers = itertools.count()


def _trees(factory: pytest.TempPathFactory) -> Path:
    """One tree for all examples of this module that do not change it."""
    if "tree" not in _made:
        _made["tree"] = factory.mktemp("fuzzed-tree")
        _tree(_made["tree"] / "results")
    return _made["tree"]


@fuzz(80)
@given(data=st.data())
def test_a_speed_record_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    """One of texts, and one of queries that took turns."""
    turns = turns_content(0, "org/a", org_b=(1.1, 1.0, 1.2))
    document = data.draw(
        st.sampled_from(
            [
                speed_content("org/a", comparison=turns),
                speed_content("org/a", chunks=None, latency=LATENCY, protocol="queries"),
            ]
        )
    )
    path = tmp_path / "results/speed/org__a/chunks-512/fuzzed.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.draw(json_files(document)))
    found = read_or_refused(lambda: read_speed_records(tmp_path), path)
    assert found is None or len(latest(found)) == 1


# --- rows -------------------------------------------------------------------------------------

_NAMES = (
    "split",
    "subset",
    "query_id",
    "ndcg_at_10",
    "top_docs",
    "top_scores",
    "doc_ids",
    "scores",
)
_CELLS = [
    st.one_of(st.none(), st.sampled_from(["test", "default", "q1", EVIL])),
    st.integers(0, 9),
    st.one_of(st.none(), st.floats()),
    st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=3),
    st.lists(st.floats(width=32), max_size=3),
    st.binary(max_size=3),
]


@st.composite
def _parquet(draw: Callable[[Any], Any], whole: bytes) -> bytes:
    """Bytes of a good file that are damaged, or a good file of other columns."""
    if draw(st.booleans()):
        return draw(damaged(whole))
    n_rows = draw(st.integers(0, 3))
    columns = {
        name: draw(st.lists(draw(st.sampled_from(_CELLS)), min_size=n_rows, max_size=n_rows))
        for name in draw(st.lists(st.sampled_from([*_NAMES, ""]), unique=True))
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    content = sink.getvalue()
    return content.replace(b"test", b"t\xff\xfet") if draw(st.booleans()) else content


@fuzz(60)
@given(data=st.data())
def test_rows_of_any_content_are_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    """Their texts can be used."""
    sink = io.BytesIO()
    rows = [{"split": "test", "subset": "default", "query_id": "q1", "ndcg_at_10": 0.5}]
    pq.write_table(pa.Table.from_pylist(rows), sink)
    path = tmp_path / "fuzzed.parquet"
    path.write_bytes(data.draw(_parquet(sink.getvalue())))
    read_or_refused(lambda: column_names(path, "mend it"), path)
    table = read_or_refused(lambda: read_rows(path, "mend it"), path)
    assert table is None or isinstance(table.to_pylist(), list)


@fuzz(60)
@given(data=st.data())
def test_a_ranking_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is read is whole: a reranker takes it, and TREC's format."""
    tree = _trees(tmp_path_factory)
    whole = ranking_path(tree / "results/org__a/rev-1/TaskA.json").read_bytes()
    path = tree / "fuzzed.ranking.parquet"
    path.write_bytes(data.draw(_parquet(whole)))
    table = read_or_refused(lambda: read_ranking(path), path)
    if table is not None:
        assert table.schema == RANKING_SCHEMA
        candidates_of(table, top_k=2)
        read_or_refused(lambda: list(trec_run(table, tag="t", where=path.name)), path)


# --- a whole tree -----------------------------------------------------------------------------

FILES: dict[str, Callable[[Path], Path]] = {
    "scores": lambda path: path,
    "meta": lambda path: path.with_name("model_meta.json"),
    "record": record_path,
    "rows": lambda path: record_path(path).with_suffix(".parquet"),
    "speed": lambda path: next((path.parents[2] / "speed/org__a").rglob("*.json")),
}


@st.composite
def _strange(draw: Callable[[Any], Any], file: Path) -> bytes:
    if file.suffix == ".parquet":
        content: bytes = draw(_parquet(file.read_bytes()))
        return content
    return draw(json_files(_content(file)))  # type: ignore[no-any-return]


def _tree_with_a_strange_file(kind: str, data: st.DataObject, tmp_path: Path) -> tuple[Path, Path]:
    """The tree, and which of its files is strange."""
    root = tmp_path / f"{next(_numbers)}/results"
    file = FILES[kind](_tree(root))
    file.write_bytes(data.draw(_strange(file)))
    return root, file


@pytest.mark.parametrize("kind", FILES)
@fuzz(15)
@given(data=st.data())
def test_a_tree_is_shown_in_every_format_or_refused(
    kind: str, data: st.DataObject, tmp_path: Path
) -> None:
    """One file of it is strange; nothing that is read breaks a table."""
    root, file = _tree_with_a_strange_file(kind, data, tmp_path)

    def shown() -> list[str]:
        page = lay_out(make_table(SUITE, [root]))
        return [as_markdown(page), as_latex(page), as_csv(page), as_json(page)]

    for text in read_or_refused(shown, file) or []:
        text.encode()


@pytest.mark.parametrize("kind", FILES)
@fuzz(15)
@given(data=st.data())
def test_what_a_comparison_and_a_gate_measure_is_read_or_refused(
    kind: str, data: st.DataObject, tmp_path: Path
) -> None:
    """Scores per query, and what must agree for a fair comparison."""
    root, file = _tree_with_a_strange_file(kind, data, tmp_path)

    def measured() -> None:
        results = read_results(root, index=ResultIndex(None))
        of_model = {each.task: each for each in results if each.path.parts[-3] == "org__a"}
        measured_of("org/a", "rev-1", {}, of_model, SUITE)

    read_or_refused(measured, file)


COMMANDS = {
    "table": ["table", "small.yaml", "--results", "tree", "--format", "csv"],
    "report": ["report", "small.yaml", "--results", "tree"],
    "card": ["report", "small.yaml", "--results", "tree", "--card", "org/a"],
    "compare": ["compare", "org/a", "org/b", "--suite", "small.yaml", "--results", "tree"],
    "check": [
        *("check", "--suite", "small.yaml", "--baseline", "tree", "--no-run", "--model", "org/a"),
        *("--results", "tree", "--junit", "junit.xml", "--json", "check.json"),
    ],
}


@pytest.mark.parametrize("verb", COMMANDS)
@fuzz(5)
@given(data=st.data())
def test_the_command_line_tells_what_is_wrong(
    verb: str,
    data: st.DataObject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, or what the verb has to say of a tree that can be read after all."""
    folder = tmp_path / str(next(_numbers))
    file = FILES[data.draw(st.sampled_from(list(FILES)))](_tree(folder / "tree/results"))
    file.write_bytes(data.draw(_strange(file)))
    (folder / "small.yaml").write_text(json.dumps(SUITE.model_dump(mode="json", by_alias=True)))
    monkeypatch.chdir(folder)
    assert run_main(COMMANDS[verb], capsys)[0] in (0, 1, 2, 3)


# --- names ------------------------------------------------------------------------------------


@fuzz(25)
@given(model=TEXTS, task=TEXTS, subset=TEXTS, revision=TEXTS, metric=TEXTS)
def test_names_of_any_text_are_shown_or_refused(
    model: str, task: str, subset: str, revision: str, metric: str, tmp_path: Path
) -> None:
    """In JSON, where the file system does not limit them; no format has a control character."""
    root = tmp_path / f"{next(_numbers)}/results"
    path = write_result(
        root, "org/a", "TaskA", {"test": {subset: {metric: 0.5, "ndcg_at_10": 0.5}}}
    )
    path.write_text(json.dumps({**_content(path), "task_name": task, "dataset_revision": revision}))
    meta = path.with_name("model_meta.json")
    meta.write_text(json.dumps({**_content(meta), "name": model}))
    write_record(path)

    def shown() -> list[str]:
        page = lay_out(make_table(SUITE, [root]))
        return [as_markdown(page), as_latex(page), as_csv(page)]

    for text in read_or_refused(shown, root / "org__a") or []:
        assert text == plain_lines(text)
