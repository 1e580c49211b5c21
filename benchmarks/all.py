"""
Every benchmark, one after the other, into one Markdown file.

    python benchmarks/all.py --out FILE [--only WORDS ...] [--mirror FOLDER] [--results FOLDER]
        [--task FOLDER] [--reranker FOLDER] [--model FOLDER --server COMMAND] [--folder FOLDER]

    --only      those whose title has one of these words
    --mirror    has mteb/XQuADRetrieval in the layout of the hub's repository
    --results   a clone of mteb's public results
    --task      a BEIR-layout folder
    --reranker  the cross-encoder that benchmarks/reranking.py --save left
    --model     a sentence-transformers folder, and --server what serves it: see endpoint.py
    --folder    for scratch files, 10 GB

What an option has not been given for is left out, and the file says so. Each benchmark runs in a
process of its own, on a machine that should be idle; the load average before and after stands
beside it, since it may not be. On two cores all take about two hours. What is finished is in the
file if a later one fails. benchmarks/RESULTS.md is such a file, with remarks under the figures.
A GPU's benchmark is benchmarks/gpu.py.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import string
import subprocess
import sys
import tempfile
from pathlib import Path

from granite_bench.provenance import code_revision, hardware, package_versions

MINILM = "quickstart/all-MiniLM-L6-v2"
GIVEN = ("mirror", "results", "task", "reranker", "model", "server", "folder")
WITHOUT_SLOW = "--without torch,sentence-transformers,ours-cosine"

BENCHMARKS: dict[str, str | tuple[str, ...]] = {
    "Encoding alone": "engine.py --repeats 2 --mirror {mirror} --only encode",
    "One evaluation": "engine.py --repeats 2 --mirror {mirror} --only plain",
    "A sweep of five dimensions": "engine.py --repeats 2 --mirror {mirror} --only sweep",
    "Start-up": "engine.py --repeats 3 --only start",
    "Exact search": f"search.py --repeats 3 --scoring --data gaussian {WITHOUT_SLOW}",
    "Exact search in other vectors":
        f"search.py --repeats 3 --data clustered,topics,ties {WITHOUT_SLOW}",
    "Exact search in 1,000,000 documents":
        f"search.py --repeats 1 --data gaussian --docs 1000000 {WITHOUT_SLOW},mteb",
    "Sparse search": "sparse.py --docs 200000 --queries 200 --repeats 2",
    "Reading results": "results_reading.py {results} --repeats 3 --synthetic 100000",
    "5,000,000 documents": "memory.py --folder {folder}",
    "What the tokenizer takes": "memory.py --folder {folder} --docs 200000 --tokenize",
    "Speed, a model and its shape":
        f"granite-bench speed --model {MINILM} --model untrained:all-MiniLM-L6-v2 --documents 4 "
        "--out {folder}/results",
    "Speed of single queries, a model and its shape":
        f"granite-bench speed --model {MINILM} --model untrained:all-MiniLM-L6-v2 "
        "--protocol queries --out {folder}/results",
    "Workers": "cluster.py --texts 1024 --turns 3 --shards-per-node 6",
    "The forecast":
        "forecast.py --repeats 3 --documents 48 --task ParallelFactsRetrieval --subset en "
        "--subset de --subset ru --subset zh --subset de-en",
    "Exported files": (
        f"granite-bench export {MINILM} --backend onnx",
        f"granite-bench export {MINILM} --backend onnx --quantize int8",
        f"granite-bench export {MINILM} --backend openvino",
        f"granite-bench export {MINILM} --backend openvino --quantize int8",
        f"granite-bench parity {MINILM} --task {{task}} --out {{folder}}/results",
    ),
    "Reranking":
        "reranking.py --mirror {mirror} --model {reranker} --queries 100 --timed 12 --repeats 2",
    "A server":
        "endpoint.py --model-folder {model} --model all-MiniLM-L6-v2 "
        "--url http://127.0.0.1:7997/v1 --task {task} --server {server}",
    "Killed at random moments": "kill_test.py --kills 20 --minutes 20",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+")
    for name in GIVEN:
        parser.add_argument(f"--{name}")
    options = parser.parse_args()
    chosen = {
        title: command
        for title, command in BENCHMARKS.items()
        if not options.only or any(word in title for word in options.only)
    }
    options.out.write_text(_heading(), encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        given = {each: vars(options)[each] for each in GIVEN if vars(options)[each] is not None}
        given["folder"] = scratch
        failed = [title for title in chosen if not _run(title, chosen[title], given, options.out)]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _heading() -> str:
    machine = hardware("cpu")
    packages = ", ".join(f"{name} {version}" for name, version in package_versions().items())
    return (
        f"# Benchmarks\n\n{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB "
        f"of memory, {os.uname().sysname} {os.uname().release}, no GPU; granite-bench at "
        f"{code_revision() or 'no commit'}; {packages}.\n"
    )


def _run(title: str, commands: str | tuple[str, ...], given: dict[str, str], out: Path) -> bool:
    """One benchmark, at the end of the file; whether it came to its end, or was left out."""
    print(title, flush=True)
    commands = (commands,) if isinstance(commands, str) else commands
    fields = {field for each in commands for _, field, _, _ in string.Formatter().parse(each)}
    needed = sorted(fields - {None, ""})
    shown = {field: field.upper() for field in needed}
    if missing := [f"--{field}" for field in needed if field not in given]:
        succeeded, said = True, f"Left out: needs {', '.join(missing)}.\n"
    else:
        succeeded, said = _measured(commands, given)
    lines = [f"\n## {title}\n", *(f"`{_typed(each.format(**shown))}`\n" for each in commands), said]
    with out.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return succeeded


def _measured(commands: tuple[str, ...], given: dict[str, str]) -> tuple[bool, str]:
    """Whether all commands ended well, and what they print, with the machine's load around them."""
    environment = {"HF_HUB_OFFLINE": "1", "GRANITE_BENCH_CACHE": f"{given['folder']}/cache"}
    quoted = {field: shlex.quote(value) for field, value in given.items()}
    before = os.getloadavg()[0]
    # stderr goes to the terminal: progress bars and warnings have no place in the file.
    done = [
        subprocess.run(
            shlex.split(_executed(each).format(**quoted)),
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
            check=False,
        )
        for each in commands
    ]
    load = f"load average {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    lines = [f"{datetime.date.today()}, {load}.\n", *(each.stdout.strip() for each in done), ""]
    if failed := any(each.returncode for each in done):
        codes = ", ".join(str(each.returncode) for each in done)
        lines.append(f"\nThis benchmark failed: exit codes {codes}.\n")
    return not failed, "\n".join(lines)


def _typed(command: str) -> str:
    return command if command.startswith("granite-bench ") else f"python benchmarks/{command}"


def _executed(command: str) -> str:
    python = shlex.quote(sys.executable)
    if command.startswith("granite-bench "):
        return f"{python} -m granite_bench {command.removeprefix('granite-bench ')}"
    return f"{python} {shlex.quote(str(Path(__file__).parent))}/{command}"


if __name__ == "__main__":
    main()
