"""The command line's exit codes and messages: bad input, bugs, typos, and broken vectors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from beir_folder import write_folder

from granite_bench.__main__ import main
from granite_bench.errors import BadInput, ExitCode, StorageError, TaskError

MINILM = "quickstart/all-MiniLM-L6-v2"
BM25 = "mteb/baseline-bm25s"

# mteb warns about each of its beta tasks when its names are listed.
pytestmark = pytest.mark.filterwarnings("ignore:The task '.*' is currently in beta:UserWarning")

HEAVY = ("torch", "transformers", "mteb", "sentence_transformers", "datasets", "sklearn")

SAY_WHAT_WAS_IMPORTED = """
import sys
from granite_bench.__main__ import main
code = main(sys.argv[1:])
print("imported:", *(name for name in {heavy} if name in sys.modules))
sys.exit(code)
"""


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in, and a cache of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BEIR-layout folder of four documents."""
    docs = {
        "granite": "Granite is an igneous rock of quartz, feldspar and mica.",
        "marble": "Marble is limestone that was changed by heat and pressure.",
        "slate": "Slate splits into thin sheets and covers roofs.",
        "pumice": "Pumice is so full of bubbles that it floats.",
    }
    queries = {"q1": "which rock floats on water", "q2": "what roofs are made of"}
    qrels = {"q1": {"pumice": 1}, "q2": {"slate": 1}}
    return write_folder(tmp_path / "rocks", docs, queries, qrels)


def _process(*arguments: str, code: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """python -m granite_bench (or *code*) in a process of its own, offline."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    start = ["-c", code] if code else ["-m", "granite_bench"]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        env=environment,
        text=True,
        capture_output=True,
        check=False,
        **options,
    )


# Bad input: 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["run", "quickstrat"], "did you mean 'quickstart'?", id="suite of run"),
        pytest.param(["table", "quickstrat"], "did you mean 'quickstart'?", id="suite of table"),
        pytest.param(["suites", "show", "nanoo"], "did you mean 'nano'?", id="suite of show"),
        pytest.param(["run", "--panel", "sparce", "nano"], "did you mean 'sparse'?", id="panel"),
        pytest.param(
            ["run", "--task", "SciFacts", "--model", BM25], "did you mean 'SciFact'", id="task"
        ),
        pytest.param(
            ["run", "--task", "ParallelFactsRetrieval", "--model", "quickstart-MiniLM-L6-v2"],
            "sentence-transformers/all-MiniLM-L6-v2'",
            id="model",
        ),
        pytest.param(
            ["run", "--task", "ParallelFactsRetrieval", "--model", BM25, "--subset", "klingon"],
            "no task has a subset 'klingon'\n  there are: ar, ",
            id="subset",
        ),
        pytest.param(
            ["run", "quickstart", "--task", "SciFact"],
            "suite quickstart has no task 'SciFact'\n  granite-bench suites show quickstart",
            id="task of another suite",
        ),
        pytest.param(
            ["run", "quickstart", "--task", "ParalelFactsRetrieval"],
            "did you mean 'ParallelFactsRetrieval' or",
            id="task of the suite",
        ),
        pytest.param(["table", "quickstart", "--by", "langage"], "has no 'langage'", id="by"),
    ],
)
def test_unknown_name_exits_with_2_and_a_suggestion(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message starts with "error:" and is on stderr; nothing is written."""
    assert main(arguments) == ExitCode.BAD_INPUT == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert said in err
    assert out == ""
    assert list(Path.cwd().iterdir()) == []


def test_unknown_model_of_an_organisation_exits_with_2_without_the_hub(tmp_path: Path) -> None:
    """The hub is asked, cannot be reached, and that is said in one line."""
    done = _process(
        *("run", "--task", "ParallelFactsRetrieval", "--model", "intfloat/e5-smal-v2"), cwd=tmp_path
    )
    assert done.returncode == 2
    assert "unknown model 'intfloat/e5-smal-v2'" in done.stderr
    assert "intfloat/e5-small-v2" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["run"], "nothing to run\n  name a suite or give --task", id="nothing"),
        pytest.param(["run", "--task", "ParallelFactsRetrieval"], "no model is named", id="model"),
        pytest.param(["table", "quickstart"], "no such results folder", id="results"),
        pytest.param(
            ["run", "quickstart", "--mirror", "nowhere"], "--mirror: no such folder", id="mirror"
        ),
        pytest.param(["table", "mine.yaml"], "mine.yaml: no such suite file", id="suite file"),
    ],
)
def test_what_is_missing_is_named_with_the_next_step(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2."""
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_all_faults_of_a_command_are_printed_together(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An unknown task, a broken folder and an unknown model."""
    command = ["run", "--task", "SciFacts", "--task", str(tmp_path), "--model", "nonesuch"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "unknown task 'SciFacts'" in said
    assert "is no BEIR-layout folder" in said
    assert "unknown model 'nonesuch'" in said


def test_all_faults_of_a_suite_file_are_printed_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A misspelt key, an unknown task and a task that is listed twice."""
    Path("mine.yaml").write_text(
        "version: 1\nname: mine\ntitle: Mine\ndescription: d\nmetrics: ndcg_at_10\n"
        "tasks: [SciFact, SciFacts, NFCorpus, SciFact]\n"
    )
    assert main(["run", "mine.yaml", "--model", BM25]) == 2
    said = capsys.readouterr().err
    assert "mine.yaml: metrics: unknown key\n  did you mean 'metric'?" in said
    assert "mine.yaml: tasks[1]: unknown task 'SciFacts'\n  did you mean 'SciFact'" in said
    assert "mine.yaml: tasks[3]: task 'SciFact' is listed twice\n  it is tasks[0] too" in said


def test_faults_of_a_beir_folder_exit_with_2_before_a_model_is_loaded(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with file and line."""
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as corpus:
        corpus.write('\n{"_id": "granite", "text": "again"}\n{"_id": "basalt"}\n')
    monkeypatch.setattr("granite_bench.models.ModelSource.load", lambda *a: pytest.fail("loaded"))
    assert main(["run", "--task", str(folder), "--model", MINILM]) == 2
    said = capsys.readouterr().err
    assert "corpus.jsonl:5: duplicate document id 'granite'\n  first seen on line 1" in said
    assert 'corpus.jsonl:6: "text" must be a string' in said


def test_broken_result_exits_with_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also for run, which would otherwise have to overwrite it."""
    command = ["run", "--task", str(folder), "--model", BM25, "--out", "results"]
    assert main(command) == 0
    [path] = Path("results").glob("*/*/rocks.json")
    path.write_text("{")
    capsys.readouterr()
    assert main(command) == 2
    assert "rocks.json" in capsys.readouterr().err
    assert path.read_text() == "{"


# Typos


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["tabel", "quickstart"], "did you mean 'table'?", id="command"),
        pytest.param(["suites", "shwo"], "did you mean 'show'?", id="command of a group"),
        pytest.param(["xyzzy"], "there are: audit, cache, check", id="nothing like a command"),
        pytest.param(["run", "--modle", "x"], "--model", id="option"),
        pytest.param(["table", "nano", "--format", "pdf"], "'md'", id="choice"),
        pytest.param(
            ["run", "nano", "--max-length", "0"],
            "'0' is not numbers of tokens above 0",
            id="number",
        ),
        pytest.param(["run", "nano", "--max-length", "many"], "such as 512 or 512,256", id="word"),
        pytest.param(["run", "nano", "--dims", "256,x"], "or 'listed'", id="dimensions"),
        pytest.param(["run", "nano", "--precision", "int9"], "did you mean 'int8'?", id="name"),
        pytest.param(["table"], "Missing argument 'SUITE'", id="argument"),
        pytest.param(["--verison"], "--version", id="option of the program"),
    ],
)
def test_typo_exits_with_2_and_says_what_would_be_right(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands, options and their values."""
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_search_without_a_hit_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """So that a script notices."""
    assert main(["models", "--search", "xyzzy"]) == 2
    assert "no model contains 'xyzzy'" in capsys.readouterr().err


# Fine: 0


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["suites"]])
def test_asking_for_help_is_fine(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, the text on stdout."""
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out
    assert err == ""


def test_dry_run_prints_the_plan_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four documents, two queries."""
    assert main(["run", "--task", str(folder), "--model", MINILM, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"{MINILM}  rocks  no result yet     4        2" in said
    assert said.endswith("nothing was run\n")
    assert list(Path.cwd().iterdir()) == []


def test_finished_run_and_its_repetition_are_fine(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second time says that there is nothing to do."""
    command = ["run", "--task", str(folder), "--model", BM25, "--no-vectors"]
    assert main(command) == 0
    assert "1 finished, 0 were there, 0 failed; results in results" in capsys.readouterr().out
    assert main(command) == 0
    assert "nothing to do: every result is there" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["suites"], ["table", "quickstart"]], ids=" ".join)
def test_reader_that_goes_away_is_no_fault(arguments: list[str]) -> None:
    """granite-bench suites | head -0: neither the gate failed nor is there a bug."""
    _result(Path("results") / "some__model" / "1" / "PythonStdlibRetrieval.json")
    read_end, write_end = os.pipe()
    os.close(read_end)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with os.fdopen(write_end, "wb") as nobody_reads:
        done = subprocess.run(
            [sys.executable, "-u", "-m", "granite_bench", *arguments],
            stdout=nobody_reads,
            stderr=subprocess.PIPE,
            env=environment,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


# Incomplete: 3, a bug: 4, interrupted: 130


def test_failed_task_exits_with_3_and_names_the_cause(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr, at the end, where it is seen."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("granite_bench.runner.task_scores.mteb.evaluate", fail)
    assert main(["run", "--task", str(folder), "--model", BM25]) == ExitCode.INCOMPLETE == 3
    out, err = capsys.readouterr()
    assert "0 finished, 0 were there, 1 failed" in out
    assert err.splitlines()[-1] == f"failed: {BM25} on rocks: RuntimeError: out of luck"


def test_bug_of_ours_exits_with_4_and_names_the_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The traceback is in the log, one line of it on the terminal."""

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise KeyError("never meant to happen")

    monkeypatch.setattr("granite_bench.runner.preparation.prepare", broken)
    assert main(["run", "quickstart"]) == ExitCode.BUG == 4
    said = capsys.readouterr().err
    assert "a bug of granite-bench: KeyError: 'never meant to happen'" in said
    assert "Traceback" not in said
    log = Path(said.strip().splitlines()[-1].partition("the details are in ")[2])
    assert log.is_relative_to(tmp_path / "cache" / "logs")
    assert "Traceback" in log.read_text()
    assert "in broken" in log.read_text()


def test_bug_is_told_in_full_where_no_log_can_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The cache is a file here, so there is no folder for logs."""
    (tmp_path / "cache").write_text("")
    monkeypatch.setattr("granite_bench.runner.preparation.prepare", lambda **options: 1 / 0)
    assert main(["run", "quickstart"]) == 4
    assert "Traceback" in capsys.readouterr().err


def test_interrupt_exits_with_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says that nothing is lost."""

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("granite_bench.runner.preparation.prepare", interrupted)
    assert main(["run", "quickstart"]) == ExitCode.INTERRUPTED == 130
    said = capsys.readouterr().err
    assert said.strip() == "interrupted; what is finished is stored, the same command goes on"


@pytest.mark.parametrize(
    ("error", "code"),
    [(BadInput([]), 2), (TaskError("t"), 3), (StorageError("s"), 3)],
)
def test_every_error_of_ours_has_its_exit_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the tree in granite_bench.errors says."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr("granite_bench.runner.preparation.prepare", fail)
    assert main(["run", "quickstart"]) == code


# Quick commands


def _imported(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stdout.splitlines()[-1].split()[1:]


def _result(path: Path) -> None:
    path.parent.mkdir(parents=True)
    scores = {"test": [{"hf_subset": "default", "languages": [], "ndcg_at_10": 0.5}]}
    path.write_text(
        json.dumps(
            {
                "dataset_revision": "1",
                "task_name": "PythonStdlibRetrieval",
                "mteb_version": "2.26.24",
                "scores": scores,
            }
        )
    )


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["suites"], ["table", "quickstart", "--format", "md"]],
    ids=" ".join,
)
def test_help_and_tables_import_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    """Seconds, and gigabytes of packages, that reading results must not need."""
    _result(tmp_path / "results" / "some__model" / "1" / "PythonStdlibRetrieval.json")
    done = _process(*arguments, code=SAY_WHAT_WAS_IMPORTED.format(heavy=HEAVY), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert _imported(done) == []


def test_a_search_of_models_imports_what_the_test_above_looks_for(tmp_path: Path) -> None:
    """The list of heavy modules names what mteb needs."""
    code = SAY_WHAT_WAS_IMPORTED.format(heavy=HEAVY)
    done = _process("models", "--search", "minilm", code=code, cwd=tmp_path)
    assert {"mteb", "datasets"} <= set(_imported(done))


# Broken vectors


@pytest.mark.parametrize("where", ["vectors", "header"])
def test_broken_shard_is_said_and_encoded_again(
    folder: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    """One byte of a vector, or of what says where the vectors are; the scores stay the same."""
    command = ["run", "--task", str(folder), "--model", MINILM, "--device", "cpu"]
    assert main([*command, "--vectors", "vectors", "--out", "first"]) == 0
    shard = max(Path("vectors").rglob("*.safetensors"), key=lambda path: path.stat().st_size)
    whole = shard.read_bytes()
    position = len(whole) - 100 if where == "vectors" else 0
    shard.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
    capsys.readouterr()
    assert main([*command, "--vectors", "vectors", "--out", "second"]) == 0
    said = capsys.readouterr().err
    assert "4 texts encoded" in said
    assert f"vector shard {shard.name} was broken; its texts were encoded again" in said
    assert shard.read_bytes() == whole
    [record] = Path("second").rglob("records/rocks.json")
    assert json.loads(record.read_bytes())["runs"][0]["repaired_shards"] == [shard.name]
    scores = [
        json.loads(next(Path(out).glob("results/*/*/rocks.json")).read_bytes())["scores"]
        for out in ("first", "second")
    ]
    assert str(scores[0]) == str(scores[1])
