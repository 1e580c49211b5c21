"""
Every benchmark of the engine, one after the other, into one Markdown file.

    python benchmarks/all.py --out benchmarks/engine.md [--mirror FOLDER] [--repeats 3] [--folder F]

Each runs in a process of its own, on an otherwise idle machine; on two cores all take about an
hour, and 10 GB on the disk under --folder. What is finished is in the file if a later one fails.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mirror", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    options.out.write_text(f"# The engine, measured\n\n{datetime.date.today()}\n", encoding="utf-8")
    failed = [title for title, command in _benchmarks(options) if not _run(title, command, options)]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _benchmarks(options: argparse.Namespace) -> list[tuple[str, list[str]]]:
    repeats = ["--repeats", str(options.repeats)]
    mirror = ["--mirror", str(options.mirror)] if options.mirror else []
    folder = ["--folder", str(options.folder)] if options.folder else []
    without = ["--without", "torch,sentence-transformers"]
    return [
        ("Encoding alone", ["engine.py", *repeats, *mirror, "--only", "encode"]),
        ("One evaluation", ["engine.py", *repeats, *mirror, "--only", "plain"]),
        ("A sweep of five dimensions", ["engine.py", *repeats, *mirror, "--only", "sweep"]),
        ("Start-up", ["engine.py", *repeats, "--only", "start"]),
        ("Exact search", ["search.py", *repeats, "--scoring", "--data", "gaussian"]),
        ("Exact search on other vectors", ["search.py", *repeats, *without, "--data",
                                           "clustered,topics,ties"]),
        ("Exact search in 1,000,000 documents", ["search.py", "--repeats", "1", "--scoring",
            "--data", "gaussian", "--docs", "1000000", "--without", "torch,sentence-transformers"]),
        ("5,000,000 documents", ["memory.py", *folder]),
        ("What the tokenizer takes", ["memory.py", *folder, "--docs", "200000", "--tokenize"]),
    ]  # fmt: skip


def _run(title: str, command: list[str], options: argparse.Namespace) -> bool:
    print(title, flush=True)
    shown = " ".join("FOLDER" if part == str(options.mirror) else part for part in command)
    # stderr goes to the terminal: progress bars and warnings have no place in the file.
    done = subprocess.run(
        [sys.executable, str(HERE / command[0]), *command[1:]], stdout=subprocess.PIPE, text=True
    )
    with options.out.open("a", encoding="utf-8") as out:
        out.write(f"\n## {title}\n\n`python benchmarks/{shown}`\n\n{done.stdout.strip()}\n")
        if done.returncode:
            out.write("\nThis benchmark failed.\n")
    return done.returncode == 0


if __name__ == "__main__":
    main()
