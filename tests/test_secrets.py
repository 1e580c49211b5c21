"""
No secret reaches the disk: keys of the environment, and passwords in what looks like a URL.

What is done with the key of an endpoint in memory is in test_endpoint.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from endpoint_server import EndpointServer, Reply
from fuzzing import run_main

from granite_bench.__main__ import main
from granite_bench.console import log_path, log_to_file
from granite_bench.errors import Fault, first_line, without_passwords

SECRET = "canary0123456789"
BM25 = "mteb/baseline-bm25s"

VARIABLES = (
    "OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN", "GITHUB_TOKEN", "WANDB_API_KEY", "MY_KEY",
)  # fmt: skip


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a BEIR-layout folder and a suite of it; the cache is beside it."""
    work = tmp_path / "work"
    (work / "rocks/qrels").mkdir(parents=True)
    texts = {"d1": "Pumice floats on water.", "d2": "Slate covers roofs."}
    lines = [json.dumps({"_id": key, "text": text}) for key, text in texts.items()]
    (work / "rocks/corpus.jsonl").write_text("\n".join(lines))
    (work / "rocks/queries.jsonl").write_text(json.dumps({"_id": "q1", "text": "what floats"}))
    (work / "rocks/qrels/test.tsv").write_text("q1\td1\t1\n")
    (work / "small.yaml").write_text(
        "{version: 1, name: small, title: S, description: d, tasks: [{name: rocks, path: rocks}]}"
    )
    monkeypatch.chdir(work)
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path / "cache"))
    return work


def leaks(folder: Path) -> list[str]:
    """Files and folders that hold the secret, or are called by it."""
    paths = sorted(folder.rglob("*"))
    named = [path for path in paths if SECRET in path.name]
    held = [path for path in paths if path.is_file() and SECRET.encode() in path.read_bytes()]
    return [str(path.relative_to(folder)) for path in (*named, *held)]


def test_a_leak_would_be_found(tmp_path: Path) -> None:
    """In a name, and in a file of any kind."""
    (tmp_path / f"s3:/user:{SECRET}@bucket").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"\xff" + SECRET.encode())
    assert len(leaks(tmp_path)) == 2


def test_secrets_of_the_environment_are_in_no_file(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results, records, vectors, logs, reports, baselines, caches; a server quotes its key."""
    for variable in VARIABLES:
        monkeypatch.setenv(variable, SECRET)
    server = EndpointServer()
    served = ["--model", "test-model", "--api-key-env", "MY_KEY", "--vectors", "vectors"]
    check = ["check", "--suite", "small.yaml", "--baseline", "base.json", "--no-run"]
    outputs = ["--junit", "junit.xml", "--json", "check.json", "--summary", "summary.md"]
    with server.running():
        busy = Reply({"error": f"busy, {SECRET}"}, 429, {"Retry-After": "0"})
        wrong = Reply({"error": f"bad key {SECRET}"}, 401)
        run = ["run", "small.yaml", "--endpoint", server.url, *served]
        server.then(busy)
        codes = [
            run_main(command, capsys)[0]
            for command in (
                ["run", "small.yaml", "--model", BM25],
                run,
                ["table", "small.yaml"],
                ["report", "small.yaml"],
                ["report", "small.yaml", "--card", "endpoint/test-model"],
                ["compare", BM25, "endpoint/test-model", "--suite", "small.yaml", "--no-texts"],
                [*check, *outputs, "--update-baseline"],
                ["export-run", "--task", "rocks", "--out", "runs"],
            )
        ]
        server.always(wrong)
        codes.append(run_main([*run, "--out", "other", "--vectors", "others"], capsys)[0])
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {SECRET}"}
    assert codes[:4] == [0, 0, 0, 0]
    assert codes[-1] == 3
    made = {path.suffix for path in work.parent.rglob("*") if path.is_file()}
    assert {".json", ".parquet", ".safetensors", ".html", ".xml", ".log", ".sqlite"} <= made
    assert leaks(work.parent) == []


URLS = (f"s3://user:{SECRET}@bucket/x", f"https://{SECRET}@host/a/b", f"s3://u:{SECRET}/+/@b/x")
RUN = ["run", "small.yaml", "--model", BM25]
CHECK = [
    *("check", "--suite", "small.yaml", "--no-run", "--junit", "junit.xml", "--json", "c.json"),
    *("--summary", "summary.md"),
]
OPTIONS = {
    "vectors": [*RUN, "--vectors"],
    "out": [*RUN, "--out"],
    "mirror": [*RUN, "--mirror"],
    "endpoint": [*RUN, "--endpoint"],
    "ray": [*RUN, "--ray"],
    "model": ["run", "small.yaml", "--model"],
    "task": ["run", "--model", BM25, "--task"],
    "first stage": ["run", "small.yaml", "--reranker", "org/a", "--first-stage"],
    "suite": ["table"],
    "results": ["table", "small.yaml", "--results"],
    "baseline": [*CHECK, "--baseline"],
    "policy": [*CHECK, "--baseline", "results", "--policy"],
    "published": ["audit"],
    "to": ["fetch", "small.yaml", "--to"],
    "documents": ["speed", "--model", BM25, "--protocol"],
}


@pytest.mark.parametrize("url", URLS, ids=["user", "token", "slashes"])
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_with_a_secret_is_refused_and_not_repeated(
    option: str, url: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the terminal, in the files for a workflow, in the log; and no folder is called so."""
    argument = f"file:{url}" if option == "documents" else url
    code, said = run_main([*OPTIONS[option], argument], capsys)
    assert code == 2, said
    assert SECRET not in said
    assert leaks(work.parent) == []


def test_a_page_or_a_table_is_not_written_to_a_url(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of which a folder of that name would be made."""
    assert main(RUN) == 0
    code, said = run_main(["report", "small.yaml", "--out", URLS[0]], capsys)
    assert (code, SECRET in said) == (2, False)
    assert "the URL s3://... is no place on this machine" in said
    assert leaks(work.parent) == []


def test_an_address_without_a_scheme_is_not_repeated(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands before the @ is taken for the scheme."""
    code, said = run_main([*RUN, "--endpoint", f"user:{SECRET}@host/v1"], capsys)
    assert (code, SECRET in said) == (2, False)
    assert leaks(work.parent) == []


def test_the_address_of_a_private_hub_is_in_no_log(work: Path) -> None:
    """HF_ENDPOINT may name a mirror with its password; the hub's client says it in its errors."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_HUB_")},
        "HF_ENDPOINT": f"http://user:{SECRET}@127.0.0.1:9",
        "HF_TOKEN": SECRET,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "GITHUB_STEP_SUMMARY": str(work / "summary.md"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "granite_bench", "run", "small.yaml", "--model", "org/none"],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "unknown model 'org/none'" in done.stderr
    assert SECRET not in done.stderr
    assert leaks(work.parent) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at s3://key:a/b+c@bucket/x", "at s3://...@bucket/x"),
        ("no such folder s3:/key:secret@bucket", "no such folder s3:/...@bucket"),
        ("https://token@host: refused", "https://...@host: refused"),
        ("https://host/path?x=1", "https://host/path?x=1"),
        ("org/model@revision of someone@example.org", "org/model@revision of someone@example.org"),
    ],
)
def test_passwords_of_urls_are_left_out(text: str, shown: str) -> None:
    """Of faults, of first lines of errors, of logs."""
    assert without_passwords(text) == shown
    assert first_line(ValueError(f"{text}\nmore")) == shown
    fault = Fault(text, text, text)
    assert (fault.where, fault.what, fault.hint) == (shown, shown, shown)


def test_the_log_has_neither_passwords_nor_characters_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a message and of a traceback; logging itself would print a traceback of its own."""
    monkeypatch.setenv("GRANITE_BENCH_CACHE", str(tmp_path))
    log_to_file()
    # Not to pytest's own handlers: what they have is sent from process to process, as UTF-8.
    library, log = logging.getLogger("library"), str(log_path())
    ours = [each for each in logging.getLogger().handlers if vars(each).get("baseFilename") == log]
    monkeypatch.setattr(library, "handlers", ours)
    monkeypatch.setattr(library, "propagate", False)
    try:
        raise ValueError(f"cannot reach https://user:{SECRET}@host")
    except ValueError:
        library.exception("s3://%s@bucket caf\udce9", SECRET)
    text = log_path().read_text(encoding="utf-8")
    assert "ValueError: cannot reach https://...@host" in text
    assert "s3://...@bucket caf\\udce9" in text
    assert leaks(tmp_path) == []
    assert "Logging error" not in capfd.readouterr().err
