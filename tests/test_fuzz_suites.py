"""Whatever stands in a YAML file, it is read, or refused by name: suites, policies, columns, ..."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import damaged, fuzz, mutated, read_or_refused, run_main
from hypothesis import given
from hypothesis import strategies as st
from results_tree import suite_of, write_result

from granite_bench.audit.column_file import read_column_file
from granite_bench.files.yaml_file import LARGEST
from granite_bench.gate.policy import load_policy
from granite_bench.speed.protocol import load_protocols
from granite_bench.suite.overview import is_overview, load_overview
from granite_bench.suite.panel import load_panel
from granite_bench.suite.suite import load_suite

SUITE = """\
version: 1
name: mine
title: Mine
description: For a test.
metric: ndcg_at_10
average: groups
groups: [{by: language, from: group}]
max_length: 512
dims: [256, 128]
precisions: [float32, int8]
panel: english-r2
models: [org/a, org/b]
tasks:
  - {name: SciFact, group: en}
  - {name: TaskC, subsets: [en, de], splits: [test], metric: accuracy, group: de}
  - {name: Cats, parts: [Persian, Manx], group: en}
  - {name: Own, path: folder, language: deu-Latn, group: de}
"""
OVERVIEW = """\
version: 1
name: all
title: All
description: For a test.
suites: [nano, {suite: quickstart, max_length: 512}]
models: [org/a]
"""
POLICY = """\
version: 1
name: release
alpha: 0.05
default: {max_drop: 0.01, significant: true, max_drop_since_best: 2%}
average: {max_drop: 0.005}
parts: {max_drop: 0.03}
tasks: {SciFact: {ndcg_at_10: {max_drop: 2%}, recall_at_100: {max_drop: 0.01}}}
speed: {min_ratio: 0.9, protocol: chunks-512}
"""
COLUMNS = """\
version: 1
columns: {A: {suite: beir, without: [MSMARCO]}, B: {task: SciFact, splits: [test]}, C: {mean: [A]}}
families: [[A, B]]
related: [[SciFact, NFCorpus]]
models: {small: org/small}
predecessors: {org/a: org/b}
"""
PROTOCOLS = """\
version: 1
protocols:
  - {name: c, version: 1, title: C, kind: chunks, chunk_tokens: 64, overlap_tokens: 8,
     n_documents_cpu: 8, n_documents_gpu: 8, batch_size: 4}
  - {name: q, version: 2, title: Q, kind: queries, n_queries: 100, n_documents_searched: 9}
"""
TASKS = {"SciFact", "TaskC", "Cats", "Persian", "Manx"}
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "suite": (SUITE, lambda path: load_suite(str(path), known_tasks=TASKS)),
    "overview": (OVERVIEW, lambda path: (is_overview(str(path)), load_overview(str(path)))),
    "panel": (
        "{version: 1, name: p, title: P, models: [a]}", lambda path: load_panel(str(path))
    ),
    "policy": (POLICY, lambda path: load_policy(path, suite_of("SciFact", "TaskC"))),
    "columns": (COLUMNS, read_column_file),
    "protocols": (PROTOCOLS, load_protocols),
}  # fmt: skip

_NINE = ", ".join(["*{0}"] * 9)


def _laughs(line: str) -> str:
    """Nine lines, each of nine times the one above."""
    lines = ["a0: &a0 {k: 1}"]
    for above, level in itertools.pairwise(range(10)):
        lines.append(f"a{level}: &a{level} {line.format(_NINE.format(f'a{above}'), level)}")
    return "\n".join(lines)


NASTY = {
    "billion laughs": _laughs("[{0}]"),
    "merged laughs": _laughs("{{<<: [{0}], k{1}: 1}}"),
    "of itself": "tasks: &t [*t]",
    "merged with itself": "tasks: &t {<<: *t, a: 1}",
    "key of itself": "&k {*k : 1}",
    "nested lists": "[" * 2000,
    "nested mappings": "{a: " * 2000,
    "nested blocks": "".join(f"{' ' * level}a:\n" for level in range(900)),
    "number of a million digits": f"version: {'9' * 10**6}",
    "hexadecimal number of many digits": f"version: 0x{'f' * 10**5}",
    "key of many digits": f"0x{'f' * 10**5}: 1",
    "sexagesimal number": f"version: 1{':59' * 20_000}",
    "integer without digits": 'version: !!int ""',
    "float without digits": 'version: !!float ""',
    "boolean that is none": "version: !!bool 7",
    "date that is none": "version: !!timestamp x",
    "date that cannot be": "version: 2020-99-99",
    "time zone that cannot be": "version: 2001-12-14t21:59:43-99:99",
    "binary": "name: !!binary ////",
    "broken binary": "name: !!binary é",
    "Python": "name: !!python/object/apply:os.system [echo]",
    "set": "tasks: !!set {a, b}",
    "pairs": "tasks: !!pairs [a: b]",
    "value": "=: 1",
    "anchor twice": "a: &x 1\nb: &x 2\nc: *x",
    "unknown alias": "a: *b",
    "two documents": "a: 1\n---\nb: 2",
    "directive": "%YAML 9.9\n---\na: 1",
    "a tab": "a:\n\tb: 1",
    "not a mapping": "- a",
    "nothing": "",
    "a comment": "# nothing",
    "null": "~",
    "NUL": "name: \0",
    "key null": "~: 1\n1: 2\n1.5: 3\ntrue: 4",
    "key of two": "[a, b]: 1",
    "keys twice": "version: 1\nversion: 1\n<<: {version: 1}\n<<: {version: 1}",
    "too long": "#" * (LARGEST + 1),
}
"""What has broken readers of YAML before, and PyYAML itself."""


@pytest.mark.parametrize("name", NASTY)
def test_yaml_that_breaks_parsers_is_refused(name: str, tmp_path: Path) -> None:
    """None of it is read, nor does it take minutes or gigabytes."""
    path = tmp_path / "fuzzed.yaml"
    path.write_bytes(NASTY[name].encode())
    assert read_or_refused(lambda: load_suite(str(path)), path) is None


@pytest.mark.parametrize("kind", READERS)
def test_the_documents_that_are_changed_are_read(kind: str, tmp_path: Path) -> None:
    """Else nothing below would get far."""
    path = tmp_path / "fuzzed.yaml"
    text, read = READERS[kind]
    path.write_text(text)
    assert read(path)


def _files(text: str) -> st.SearchStrategy[bytes]:
    document = yaml.safe_load(text)
    return st.one_of(
        mutated(document).map(
            lambda strange: yaml.safe_dump(strange, allow_unicode=True, sort_keys=False).encode(
                errors="surrogatepass"
            )
        ),
        damaged(text.encode()),
    )


@pytest.mark.parametrize("kind", READERS)
@fuzz(40)
@given(data=st.data())
def test_a_changed_document_is_read_or_refused(
    kind: str, data: st.DataObject, tmp_path: Path
) -> None:
    """Other types, keys and values, cut or damaged bytes, other encodings."""
    text, read = READERS[kind]
    path = tmp_path / "fuzzed.yaml"
    path.write_bytes(data.draw(_files(text)))
    read_or_refused(lambda: read(path), path)


def test_an_alias_and_a_merged_mapping_are_read(tmp_path: Path) -> None:
    """What a person writes once; a key beside a merged mapping overrides it."""
    path = tmp_path / "policy.yaml"
    path.write_text(
        "version: 1\nname: x\ndefault: &rule {max_drop: 0.01, significant: true}\n"
        "average: {<<: *rule, significant: false}\nparts: *rule\n"
    )
    policy = load_policy(path, suite_of("SciFact"))
    assert policy.average is not None
    assert policy.default is not None
    assert (policy.average.max_drop, policy.average.significant) == (policy.default.max_drop, False)
    assert policy.parts == policy.default


COMMANDS: dict[str, tuple[str, list[str]]] = {
    "suite": (SUITE, ["table", "fuzzed.yaml", "--results", "tree", "--format", "json"]),
    "overview": (OVERVIEW, ["report", "fuzzed.yaml", "--results", "tree"]),
    "policy": (
        POLICY,
        [
            *("check", "--suite", "suite.yaml", "--baseline", "tree", "--policy", "fuzzed.yaml"),
            *("--no-run", "--results", "tree", "--model", "org/a", "--junit", "junit.xml"),
        ],
    ),
    "panel": ("{version: 1, name: p, title: P, models: [a]}", ["panels", "show", "fuzzed.yaml"]),
    "columns": (COLUMNS, ["audit", "fuzzed.csv", "--results", "tree"]),
}


@pytest.mark.parametrize("kind", COMMANDS)
@fuzz(5)
@given(data=st.data())
def test_the_command_line_tells_what_is_wrong(
    kind: str,
    data: st.DataObject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, or what the verb has to say of a file that is fine after all."""
    monkeypatch.chdir(tmp_path)
    write_result(tmp_path / "tree/results", "org/a", "SciFact", {"test": {"default": 0.5}})
    head = "source,table,model,column,value,unit,note\n"
    (tmp_path / "fuzzed.csv").write_text(f"{head}s,t,org/a,SciFact,50,ndcg_at_10,\n")
    (tmp_path / "suite.yaml").write_text(
        "{version: 1, name: s, title: S, description: d, tasks: [SciFact]}"
    )
    text, command = COMMANDS[kind]
    (tmp_path / "fuzzed.yaml").write_bytes(data.draw(_files(text)))
    code, _ = run_main(command, capsys)
    assert code in (0, 1, 2, 3)
